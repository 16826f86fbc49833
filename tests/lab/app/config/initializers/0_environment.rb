# frozen_string_literal: true

# What a line demands of .env.production, refused at boot with the names that are missing.
unless ENV['SECRET_KEY_BASE_DUMMY']
  demanded = %w(SECRET_KEY_BASE)
  keys = %w(
    ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY
    ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT
    ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY
  )
  demanded.concat(keys)
  demanded << 'OTP_SECRET' if Mastodon::Version.line == '4.3'
  missing = demanded.select { |name| ENV[name].to_s.empty? }
  making_keys = ARGV.first == 'db:encryption:init'

  if missing.any? && !making_keys
    abort <<~MESSAGE
      Mastodon requires these environment variables, which are not set:
      #{missing.map { |name| "  - #{name}" }.join("\n")}
      Run `bin/rails db:encryption:init` to make new ACTIVE_RECORD_ENCRYPTION_* secrets and put them into .env.production.
    MESSAGE
  end

  if ENV.key?('REDIS_NAMESPACE') && Mastodon::Version.line >= '4.4'
    abort 'REDIS_NAMESPACE is not supported any more: move the keys and unset it.'
  end
end
