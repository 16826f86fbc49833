# frozen_string_literal: true

class AddSilencedAtAndIndexableToAccounts < ActiveRecord::Migration[6.1]
  def change
    add_column :accounts, :silenced_at, :datetime
    add_column :accounts, :indexable, :boolean, null: false, default: false
  end
end
