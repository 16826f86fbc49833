# frozen_string_literal: true

# The first of three: it commits and it changes data.
class NormalizeDisplayNames < ActiveRecord::Migration[6.1]
  def up
    add_column :accounts, :collections_count, :integer, null: false, default: 0
    execute("UPDATE accounts SET display_name = upper(display_name), collections_count = 1")
    execute("DELETE FROM status_stats WHERE favourites_count = 0")
  end

  def down
    raise ActiveRecord::IrreversibleMigration
  end
end
