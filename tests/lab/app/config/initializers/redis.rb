# frozen_string_literal: true

REDIS_URL = ENV['REDIS_URL'] || begin
  password = ENV['REDIS_PASSWORD'].to_s.empty? ? '' : ":#{ENV['REDIS_PASSWORD']}@"
  "redis://#{password}#{ENV.fetch('REDIS_HOST', 'redis')}:#{ENV.fetch('REDIS_PORT', 6379)}/#{ENV.fetch('REDIS_DB', 0)}"
end

REDIS_POOL = ConnectionPool.new(size: 5, timeout: 5) { Redis.new(url: REDIS_URL, connect_timeout: 2) }

# Debian pairs Sidekiq 6.4 with a newer client library, which would fill the log with advice.
Redis.silence_deprecations = true
