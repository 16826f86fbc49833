# frozen_string_literal: true

# Rewrites a third of the statuses, in batches that commit one by one.
class FillLanguageOfStatuses < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def up
    loop do
      result = execute(<<~SQL)
        UPDATE statuses SET language = 'und'
        WHERE id IN (SELECT id FROM statuses WHERE language IS NULL LIMIT 5000)
      SQL
      break if result.cmd_tuples.zero?
    end
    change_column_default :statuses, :language, from: nil, to: 'und'
  end

  def down
    raise ActiveRecord::IrreversibleMigration
  end
end
