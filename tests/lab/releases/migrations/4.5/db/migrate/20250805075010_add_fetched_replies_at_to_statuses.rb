# frozen_string_literal: true

class AddFetchedRepliesAtToStatuses < ActiveRecord::Migration[6.1]
  def change
    add_column :statuses, :fetched_replies_at, :datetime
  end
end
