# frozen_string_literal: true

class AddPreferencesToUsers < ActiveRecord::Migration[6.1]
  def change
    add_column :users, :preferences, :jsonb
  end
end
