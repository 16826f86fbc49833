# frozen_string_literal: true

class CreateStatuses < ActiveRecord::Migration[6.1]
  def change
    create_table :statuses do |t|
      t.references :account, null: false, foreign_key: { on_delete: :cascade }
      t.text :text, null: false, default: ''
      t.string :uri
      t.string :language
      t.integer :visibility, null: false, default: 0
      t.string :idempotency_key
      t.timestamps
    end
    add_index :statuses, :uri, unique: true, where: 'uri IS NOT NULL'
    add_index :statuses, %i(account_id idempotency_key), unique: true, where: 'idempotency_key IS NOT NULL'

    create_table :status_stats do |t|
      t.references :status, null: false, foreign_key: { on_delete: :cascade }, index: { unique: true }
      t.bigint :replies_count, null: false, default: 0
      t.bigint :reblogs_count, null: false, default: 0
      t.bigint :favourites_count, null: false, default: 0
      t.timestamps
    end
  end
end
