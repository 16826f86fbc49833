# frozen_string_literal: true

class CreateAccounts < ActiveRecord::Migration[6.1]
  def change
    create_table :accounts do |t|
      t.string :username, null: false, default: ''
      t.string :domain
      t.string :display_name, null: false, default: ''
      t.text :note, null: false, default: ''
      t.string :uri, null: false, default: ''
      t.text :public_key, null: false, default: ''
      t.text :private_key
      t.boolean :silenced, null: false, default: false
      t.timestamps
    end
    add_index :accounts, "lower(username), coalesce(lower(domain), '')", unique: true, name: 'index_accounts_on_username_and_domain_lower'
    add_index :accounts, :uri
  end
end
