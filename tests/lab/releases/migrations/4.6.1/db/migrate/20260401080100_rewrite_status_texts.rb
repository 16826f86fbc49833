# frozen_string_literal: true

# The second: it rewrites statuses in committed batches and gives up half-way, as on a row that it did not expect.
class RewriteStatusTexts < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def up
    add_index :statuses, :updated_at, algorithm: :concurrently, if_not_exists: true
    first, last = select_rows('SELECT min(id), max(id) FROM statuses').first.map(&:to_i)
    middle = first + ((last - first) / 2)
    (first..middle).step(5000) do |from|
      execute("UPDATE statuses SET text = text || ' [rewritten]', updated_at = now() WHERE id >= #{from} AND id < #{[from + 5000, middle + 1].min}")
    end
    raise "PG::NotNullViolation-like failure at status #{middle}: this row cannot be rewritten"
  end

  def down
    raise ActiveRecord::IrreversibleMigration
  end
end
