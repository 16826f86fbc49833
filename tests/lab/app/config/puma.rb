# frozen_string_literal: true

require_relative '../lib/mastodon/version'

threads_count = ENV.fetch('MAX_THREADS', 5).to_i
threads threads_count, threads_count
bind "tcp://#{ENV.fetch('BIND', '127.0.0.1')}:#{ENV.fetch('PORT', 3000)}"
environment ENV.fetch('RAILS_ENV', 'production')
workers ENV.fetch('WEB_CONCURRENCY', 0).to_i
preload_app!
force_shutdown_after 10

if Mastodon::Version.flaw?(:web_exits)
  require 'net/http'
  Thread.new do
    begin
      Net::HTTP.get(URI("http://127.0.0.1:#{ENV.fetch('PORT', 3000)}/health")) == 'OK' || raise
    rescue StandardError
      sleep 0.2
      retry
    end
    sleep 5
    warn 'lab release: this web process ends itself 5 s after boot'
    exit!(1)
  end
end
