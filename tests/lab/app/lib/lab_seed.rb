# frozen_string_literal: true

module Lab
  # Rows in bulk, made inside the database. May be called again: it adds to what is there.
  class Seed
    WORDS = %w(
      the a of and to in is it you that he was for on are with as his they be at one have this from had by hot word but what some we can
      out other were all there when up use your how said an each she which do their time if will way about many then them write would like
      so these her long make thing see him two has look more day could go come did number sound no most people my over know water than call
      first who may down side been now find mastodon fediverse instance timeline boost follow garden bicycle weather coffee release morning
    ).freeze

    def initialize(accounts, statuses, domain)
      @accounts = accounts
      @statuses = statuses
      @domain = domain
    end

    def run
      @modern = Mastodon::Version.since?('4.4')
      connection.transaction do
        execute("SELECT setseed(0.42)")
        seed_accounts
        seed_tags
        seed_statuses
        seed_settings
      end
      execute('ANALYZE')
      puts "#{value('SELECT count(*) FROM accounts')} accounts, #{value('SELECT count(*) FROM statuses')} statuses, #{value('SELECT count(*) FROM tags')} tags"
    end

    private

    def connection
      ApplicationRecord.connection
    end

    def execute(sql)
      connection.execute(sql)
    end

    def value(sql)
      connection.select_value(sql)
    end

    def quote(text)
      connection.quote(text)
    end

    def words
      "ARRAY[#{WORDS.map { |word| quote(word) }.join(',')}]"
    end

    # Words joined, `shortest` to `shortest + spread`; `row` ties the draw to the row.
    def prose(row, shortest, spread)
      "(SELECT string_agg((#{words})[1 + floor(random() * #{WORDS.size})::int], ' ') FROM generate_series(1, #{shortest} + (#{row} * 7919) % #{spread}))"
    end

    def seed_accounts
      first = value('SELECT coalesce(max(id), 0) FROM accounts').to_i
      column, settings = @modern ? ['preferences', "#{quote(User::DEFAULTS.to_json)}::jsonb"] : ['settings', quote(long_settings)]
      execute(<<~SQL)
        INSERT INTO accounts (username, domain, display_name, note, uri, public_key, private_key, created_at, updated_at)
        SELECT 'user' || n, CASE WHEN n % 4 = 0 THEN 'remote' || n % 50 || '.example' END, initcap('person ' || n), #{prose('n', 5, 40)},
               'https://#{@domain}/users/user' || n, repeat(md5(n::text), 14), repeat(md5('k' || n), 52),
               now() - interval '3 years' + n * interval '7 minutes', now()
        FROM generate_series(#{first + 1}, #{first + @accounts}) AS n
      SQL
      execute(<<~SQL)
        INSERT INTO users (account_id, email, encrypted_password, current_sign_in_at, #{column}, created_at, updated_at)
        SELECT id, username || '@mail.example', repeat(md5(username), 2), now() - (id % 90) * interval '1 day', #{settings}, created_at, now()
        FROM accounts WHERE id > #{first} AND domain IS NULL
      SQL
      execute("UPDATE accounts SET silenced#{@modern ? '_at = now()' : ' = true'} WHERE id > #{first} AND id % 97 = 0")
    end

    # The text blob that 4.4 takes apart: about as long as an old user's settings.
    def long_settings
      names = %w(follow reblog favourite mention follow_request report pending_account trends link_trends status_trends appeal software_updates)
      settings = User::DEFAULTS.dup
      names.each { |name| settings["notification_emails.#{name}"] = name.size.even? }
      settings.to_yaml
    end

    # Before 4.4 a tag may stand there in several spellings.
    def seed_tags
      spelling = @modern ? "'topic' || n" : "CASE WHEN n % 5 = 0 THEN 'Topic' || n - 1 ELSE 'topic' || n END"
      execute("INSERT INTO tags (name, created_at, updated_at) SELECT #{spelling}, now(), now() FROM generate_series(1, 200) AS n ON CONFLICT DO NOTHING")
    end

    def seed_statuses
      return if @statuses.zero?

      first = value('SELECT coalesce(max(id), 0) FROM statuses').to_i
      account_ids = value('SELECT max(id) FROM accounts').to_i
      execute(<<~SQL)
        INSERT INTO statuses (id, account_id, text, uri, language, visibility, created_at, updated_at)
        SELECT n, a.id, #{prose('n', 8, 60)}, a.uri || '/statuses/' || n, CASE WHEN n % 3 = 0 THEN NULL ELSE 'en' END,
               CASE WHEN n % 10 < 7 THEN 0 ELSE n % 4 END, now() - interval '1 year' + n * interval '1 second', now()
        FROM generate_series(#{first + 1}, #{first + @statuses}) AS n
        JOIN accounts a ON a.id = 1 + (n * 31) % #{account_ids}
      SQL
      execute("SELECT setval('statuses_id_seq', (SELECT max(id) FROM statuses))")
      execute(<<~SQL)
        INSERT INTO status_stats (status_id, replies_count, reblogs_count, favourites_count, created_at, updated_at)
        SELECT id, id % 3, id % 7, id % 11, now(), now() FROM statuses WHERE id > #{first} AND id % 2 = 0
      SQL
      execute(<<~SQL)
        INSERT INTO statuses_tags (status_id, tag_id)
        SELECT s.id, t.id FROM statuses s JOIN tags t ON t.id = (SELECT min(id) FROM tags) + s.id % 200
        WHERE s.id > #{first} AND s.id % 3 = 0 ON CONFLICT DO NOTHING
      SQL
    end

    def seed_settings
      rows = { 'site_title' => 'A practice Mastodon', 'registrations_mode' => 'none', 'site_terms' => 'Be kind. ' * 200 }
      rows.each do |name, text|
        execute("INSERT INTO settings (var, value, created_at, updated_at) VALUES (#{quote(name)}, #{quote(text.to_yaml)}, now(), now()) ON CONFLICT (var) DO NOTHING")
      end
    end
  end
end
