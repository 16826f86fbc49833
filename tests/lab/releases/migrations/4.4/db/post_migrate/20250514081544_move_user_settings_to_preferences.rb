# frozen_string_literal: true

class MoveUserSettingsToPreferences < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  class MigrationUser < ActiveRecord::Base
    self.table_name = 'users'
  end

  def up
    MigrationUser.reset_column_information
    MigrationUser.where.not(settings: nil).where(preferences: nil).in_batches(of: 1000) do |batch|
      rows = batch.pluck(:id, :settings).map do |id, settings|
        "(#{id}, #{connection.quote(YAML.safe_load(settings).to_json)}::jsonb)"
      end
      execute("UPDATE users SET preferences = moved.value FROM (VALUES #{rows.join(',')}) AS moved(id, value) WHERE users.id = moved.id")
    end
    remove_column :users, :settings
    MigrationUser.reset_column_information
  end

  def down
    raise ActiveRecord::IrreversibleMigration
  end
end
