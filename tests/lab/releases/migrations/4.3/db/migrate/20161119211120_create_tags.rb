# frozen_string_literal: true

class CreateTags < ActiveRecord::Migration[6.1]
  def change
    create_table :tags do |t|
      t.string :name, null: false, default: ''
      t.timestamps
    end
    add_index :tags, :name, unique: true

    create_table :statuses_tags, id: false do |t|
      t.bigint :status_id, null: false
      t.bigint :tag_id, null: false
    end
    add_index :statuses_tags, %i(tag_id status_id), unique: true
    add_index :statuses_tags, :status_id
    add_foreign_key :statuses_tags, :statuses, on_delete: :cascade
    add_foreign_key :statuses_tags, :tags, on_delete: :cascade
  end
end
