# frozen_string_literal: true

namespace :db do
  desc 'Refuse a PostgreSQL that is too old for this line'
  task pre_migration_check: :environment do
    found = ActiveRecord::Base.connection.database_version
    minimum = Mastodon::Version.postgresql_minimum
    if found < minimum * 10_000
      abort "This version of Mastodon requires PostgreSQL #{minimum} or newer, but the server is #{found / 10_000}.#{found % 10_000}. Please move to a newer PostgreSQL before you go on."
    end
  end

  namespace :encryption do
    desc 'Print a new set of ACTIVE_RECORD_ENCRYPTION_* secrets'
    Rake::Task['db:encryption:init'].clear if Rake::Task.task_defined?('db:encryption:init')
    task :init do
      require 'securerandom'
      puts 'Add these to .env.production, keep them for ever, and never change them:'
      %w(DETERMINISTIC_KEY KEY_DERIVATION_SALT PRIMARY_KEY).each { |name| puts "ACTIVE_RECORD_ENCRYPTION_#{name}=#{SecureRandom.alphanumeric(32)}" }
    end
  end
end

Rake::Task['db:migrate'].enhance(['db:pre_migration_check'])
