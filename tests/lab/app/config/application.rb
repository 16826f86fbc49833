# frozen_string_literal: true

require_relative 'boot'
require 'rails'
require 'active_record/railtie'
require 'action_controller/railtie'
require 'pg'
require 'redis'
require 'sidekiq'
require_relative '../lib/mastodon/version'

module Mastodon
  class Application < Rails::Application
    config.load_defaults 6.1
    config.api_only = true
    config.eager_load = true
    config.consider_all_requests_local = false
    config.cache_classes = true
    config.active_record.dump_schema_after_migration = false
    config.active_record.record_timestamps = true
    config.log_level = ENV.fetch('RAILS_LOG_LEVEL', 'info').to_sym
    config.secret_key_base = ENV['SECRET_KEY_BASE']

    if ENV['RAILS_LOG_TO_STDOUT']
      $stdout.sync = true
      config.logger = ActiveSupport::Logger.new($stdout)
    end

    # The reverse proxy must name the site and speak https; only the liveness path is exempt.
    liveness = ->(request) { request.path == '/health' }
    config.public_file_server.enabled = ENV['RAILS_SERVE_STATIC_FILES'] == 'true'
    config.hosts = [ENV.fetch('LOCAL_DOMAIN', 'localhost')]
    config.hosts.concat(ENV.fetch('ALTERNATE_DOMAINS', '').split(/\s*,\s*/))
    config.host_authorization = { exclude: liveness }
    config.force_ssl = true
    config.ssl_options = { hsts: false, redirect: { exclude: liveness } }

    # A presence switch: any value, even "false" or an empty one, skips.
    config.paths['db/migrate'] << 'db/post_migrate' unless ENV.key?('SKIP_POST_DEPLOYMENT_MIGRATIONS')
  end
end
