# frozen_string_literal: true

class CreateTagTrends < ActiveRecord::Migration[6.1]
  def change
    create_table :tag_trends do |t|
      t.references :tag, null: false, foreign_key: { on_delete: :cascade }, index: { unique: true }
      t.float :score, null: false, default: 0.0
      t.integer :rank, null: false, default: 0
      t.boolean :allowed, null: false, default: false
    end
  end
end
