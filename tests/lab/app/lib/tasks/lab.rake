# frozen_string_literal: true

namespace :lab do
  desc 'Make ACCOUNTS= accounts and STATUSES= statuses of realistic size (set-based, deterministic)'
  task seed: :environment do
    accounts = Integer(ENV.fetch('ACCOUNTS', '200'))
    statuses = Integer(ENV.fetch('STATUSES', '2000'))
    domain = ENV.fetch('LOCAL_DOMAIN', 'localhost')
    require Rails.root.join('lib/lab_seed')
    Lab::Seed.new(accounts, statuses, domain).run
  end
end
