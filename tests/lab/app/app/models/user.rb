# frozen_string_literal: true

class User < ApplicationRecord
  belongs_to :account

  # 4.4 moves this text to the JSON column `preferences` and drops it after the deployment.
  self.ignored_columns = %w(settings) if Mastodon::Version.since?('4.4')

  DEFAULTS = { 'notification_emails.follow' => true, 'web.auto_play' => false, 'theme' => 'default', 'default_language' => 'en' }.freeze

  def self.new_settings
    Mastodon::Version.since?('4.4') ? { preferences: DEFAULTS } : { settings: DEFAULTS.to_yaml }
  end
end
