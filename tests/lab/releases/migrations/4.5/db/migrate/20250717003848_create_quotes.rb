# frozen_string_literal: true

class CreateQuotes < ActiveRecord::Migration[6.1]
  def change
    create_table :quotes do |t|
      t.references :status, null: false, foreign_key: { on_delete: :cascade }, index: { unique: true }
      t.bigint :quoted_status_id
      t.integer :state, null: false, default: 0
      t.timestamps
    end
  end
end
