# frozen_string_literal: true

# One row in `distributions` per run: a lost job leaves none, a doubled one leaves two.
class DistributionWorker
  include Sidekiq::Worker
  sidekiq_options queue: 'default', retry: 25

  def perform(status_id)
    status = Status.find(status_id)
    sleep ENV['LAB_JOB_SECONDS'].to_f if ENV['LAB_JOB_SECONDS']
    now = Time.now.utc
    connection = ApplicationRecord.connection
    connection.execute(ApplicationRecord.sanitize_sql([<<~SQL, { status: status_id, jid: jid, now: now }]))
      INSERT INTO distributions (status_id, jid, created_at) VALUES (:status, :jid, :now);
    SQL
    connection.execute(ApplicationRecord.sanitize_sql([<<~SQL, { status: status_id, now: now }]))
      INSERT INTO status_stats (status_id, replies_count, reblogs_count, favourites_count, created_at, updated_at)
      VALUES (:status, 0, 0, 0, :now, :now) ON CONFLICT (status_id) DO UPDATE SET updated_at = :now
    SQL
    REDIS_POOL.with { |redis| redis.publish('timeline:public', { event: 'update', payload: status.as_entity.to_json }.to_json) }
    DeliveryWorker.perform_async(status_id)
  end
end
