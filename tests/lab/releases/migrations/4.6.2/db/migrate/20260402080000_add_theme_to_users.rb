# frozen_string_literal: true

# The first: it commits.
class AddThemeToUsers < ActiveRecord::Migration[6.1]
  def up
    add_column :users, :theme, :string
    execute("UPDATE users SET theme = 'default'")
  end

  def down
    remove_column :users, :theme
  end
end
