# frozen_string_literal: true

Sidekiq.configure_client { |config| config.redis = { url: REDIS_URL } }

Sidekiq.configure_server do |config|
  config.redis = { url: REDIS_URL }

  if Mastodon::Version.flaw?(:sidekiq_never_ready)
    config.on(:startup) do
      warn 'lab release: this Sidekiq never gets ready'
      sleep
    end
  end

  if ENV['MASTODON_SIDEKIQ_READY_FILENAME']
    ready = Rails.root.join('tmp', ENV['MASTODON_SIDEKIQ_READY_FILENAME'])
    FileUtils.mkdir_p(ready.dirname)
    FileUtils.rm_f(ready)
    # The first heartbeat: the process has registered itself in Redis and its pollers run.
    config.on(:heartbeat) { FileUtils.touch(ready) }
    config.on(:shutdown) { FileUtils.rm_f(ready) }
  end
end
