# frozen_string_literal: true

class Status < ApplicationRecord
  belongs_to :account

  enum visibility: { public: 0, unlisted: 1, private: 2, direct: 3 }, _suffix: :visibility

  # Like the public timeline of the line: it names the columns that the line's schema has.
  def self.public_timeline(limit)
    columns = %w(id uri text language visibility account_id created_at)
    columns << 'quote_approval_policy' if Mastodon::Version.since?('4.4')
    columns << 'fetched_replies_at' if Mastodon::Version.since?('4.5')
    select(columns.map { |name| "statuses.#{name}" }.join(', '))
      .public_visibility.joins(:account).merge(Account.heard)
      .includes(:account).references(nil).order(id: :desc).limit(limit)
  end

  def content
    "<p>#{ERB::Util.html_escape(text)}</p>"
  end

  def as_entity
    entity = { id: id.to_s, uri: uri, content: content, text: text, language: language, visibility: visibility, created_at: created_at, account: account.as_entity }
    entity[:quote_approval] = quote_approval_policy if Mastodon::Version.since?('4.4')
    entity[:fetched_replies_at] = fetched_replies_at if Mastodon::Version.since?('4.5')
    entity
  end
end
