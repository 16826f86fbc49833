# frozen_string_literal: true

class AddIndexUsersOnCurrentSignInAt < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def change
    add_index :users, :current_sign_in_at, algorithm: :concurrently, if_not_exists: true
  end
end
