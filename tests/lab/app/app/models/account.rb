# frozen_string_literal: true

class Account < ApplicationRecord
  has_one :user
  has_many :statuses

  # 4.4 moves this to silenced_at and drops it after the deployment.
  self.ignored_columns = %w(silenced) if Mastodon::Version.since?('4.4')

  scope :heard, -> { Mastodon::Version.since?('4.4') ? where(silenced_at: nil) : where(silenced: false) }

  def self.named(id_or_username)
    key = id_or_username.to_s
    find_by(username: key, domain: nil) || (key.match?(/\A\d+\z/) ? find_by(id: key) : nil)
  end

  def acct
    domain ? "#{username}@#{domain}" : username
  end

  def as_entity
    entity = { id: id.to_s, username: username, acct: acct, display_name: display_name, note: note, uri: uri, created_at: created_at }
    entity[:indexable] = indexable if Mastodon::Version.since?('4.4')
    entity[:avatar_description] = avatar_description if Mastodon::Version.since?('4.6')
    entity
  end
end
