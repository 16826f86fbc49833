# frozen_string_literal: true

# One row per run of DistributionWorker, on purpose without a unique index.
class CreateDistributions < ActiveRecord::Migration[6.1]
  def change
    create_table :distributions do |t|
      t.bigint :status_id, null: false, index: true
      t.string :jid, null: false
      t.datetime :created_at, null: false
    end
  end
end
