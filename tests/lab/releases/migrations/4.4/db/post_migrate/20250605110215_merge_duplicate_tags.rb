# frozen_string_literal: true

# Spellings of one tag become one row; the others are deleted.
class MergeDuplicateTags < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def up
    transaction do
      execute(<<~SQL)
        CREATE TEMPORARY TABLE tag_merge ON COMMIT DROP AS
        SELECT id AS old_id, min(id) OVER (PARTITION BY lower(name)) AS new_id FROM tags;
        DELETE FROM tag_merge WHERE old_id = new_id;
        INSERT INTO statuses_tags (status_id, tag_id)
          SELECT st.status_id, tag_merge.new_id FROM statuses_tags st JOIN tag_merge ON st.tag_id = tag_merge.old_id
          ON CONFLICT DO NOTHING;
        DELETE FROM tags USING tag_merge WHERE tags.id = tag_merge.old_id;
        UPDATE tags SET name = lower(name) WHERE name <> lower(name);
      SQL
    end
    add_index :tags, 'lower(name)', unique: true, name: 'index_tags_on_name_lower', algorithm: :concurrently, if_not_exists: true
  end

  def down
    raise ActiveRecord::IrreversibleMigration
  end
end
