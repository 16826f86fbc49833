# frozen_string_literal: true

class AddIndexStatusesPublicTimeline < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def up
    add_index :statuses, %i(id account_id), order: { id: :desc }, where: 'visibility = 0',
              name: 'index_statuses_public_timeline', algorithm: :concurrently, if_not_exists: true
  end

  def down
    remove_index :statuses, name: 'index_statuses_public_timeline', algorithm: :concurrently, if_exists: true
  end
end
