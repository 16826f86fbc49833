# frozen_string_literal: true

class CreateUsers < ActiveRecord::Migration[6.1]
  def change
    create_table :users do |t|
      t.references :account, null: false, foreign_key: { on_delete: :cascade }
      t.string :email, null: false, default: '', index: { unique: true }
      t.string :encrypted_password, null: false, default: ''
      t.text :settings
      t.datetime :current_sign_in_at
      t.timestamps
    end
  end
end
