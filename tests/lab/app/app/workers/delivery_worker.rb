# frozen_string_literal: true

# Stands for the delivery to other servers: counted in Redis, nothing leaves the machine.
class DeliveryWorker
  include Sidekiq::Worker
  sidekiq_options queue: 'push', retry: 16

  def perform(status_id)
    REDIS_POOL.with { |redis| redis.hincrby('lab:deliveries', status_id, 1) }
  end
end
