# frozen_string_literal: true

class MoveSilencedToSilencedAt < ActiveRecord::Migration[6.1]
  def up
    execute('UPDATE accounts SET silenced_at = now() WHERE silenced AND silenced_at IS NULL')
    remove_column :accounts, :silenced
  end

  def down
    raise ActiveRecord::IrreversibleMigration
  end
end
