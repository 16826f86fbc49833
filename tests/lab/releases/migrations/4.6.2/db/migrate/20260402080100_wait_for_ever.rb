# frozen_string_literal: true

# The second: it holds a lock on accounts and does not come back. The server goes on with it even when the client is gone.
class WaitForEver < ActiveRecord::Migration[6.1]
  def up
    add_column :accounts, :hangs, :boolean
    execute('SELECT pg_sleep(86400)')
  end

  def down
    remove_column :accounts, :hangs
  end
end
