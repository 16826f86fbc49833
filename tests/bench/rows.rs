//! Rows like those of a Mastodon, the same for the same size.

use super::support::lab::Instance;

/// Bytes of `100M`, `1G`.
pub(super) fn bytes_of(size: &str) -> u64 {
    let (number, shift) = match size.split_at(size.len() - 1) {
        (number, "M") => (number, 20),
        (number, "G") => (number, 30),
        _ => panic!("`{size}` is no size: 100M, 1G and the like are"),
    };
    number.parse::<u64>().expect("a number before M or G") << shift
}

/// Fills the database up with rows like those of a Mastodon: the same for the same size. Texts are half words, half what does
/// not compress.
pub(super) fn fill(instance: &Instance, bytes: u64) {
    instance.sql(TABLES);
    let mut from: u64 = 0;
    // A status takes about a kilobyte in all tables and indexes; the last steps are small.
    let mut rows = (bytes / 2_048).max(2_000);
    loop {
        let size: u64 = instance
            .sql("SELECT pg_database_size(current_database())")
            .parse()
            .unwrap();
        if size >= bytes {
            break;
        }
        if let Some(each) = size.checked_div(from) {
            rows = ((bytes - size) / each.max(1)).max(500);
        }
        let to = from + rows;
        instance.sql(
            &ROWS
                .replace(":from", &(from + 1).to_string())
                .replace(":to", &to.to_string()),
        );
        from = to;
    }
    instance.sql("ANALYZE; CHECKPOINT");
}

const TABLES: &str = "\
CREATE TABLE bench_accounts (id bigint PRIMARY KEY, username text NOT NULL, domain text, display_name text, note text, \
uri text NOT NULL, public_key text, created_at timestamp NOT NULL); \
CREATE UNIQUE INDEX ON bench_accounts (lower(username), lower(domain)); CREATE INDEX ON bench_accounts (uri); \
CREATE TABLE bench_statuses (id bigint PRIMARY KEY, uri text, text text NOT NULL, created_at timestamp NOT NULL, \
in_reply_to_id bigint, reblog_of_id bigint, account_id bigint NOT NULL, visibility int NOT NULL, sensitive boolean, \
language text, conversation_id bigint); \
CREATE UNIQUE INDEX ON bench_statuses (uri text_pattern_ops); \
CREATE INDEX ON bench_statuses (account_id, id DESC, visibility); CREATE INDEX ON bench_statuses (in_reply_to_id); \
CREATE INDEX ON bench_statuses (reblog_of_id, account_id); \
CREATE TABLE bench_media_attachments (id bigint PRIMARY KEY, status_id bigint, account_id bigint, remote_url text, \
file_file_name text, file_meta json, description text, blurhash text, created_at timestamp NOT NULL); \
CREATE INDEX ON bench_media_attachments (account_id, status_id DESC); CREATE INDEX ON bench_media_attachments (status_id)";

/// For each status: an account for every tenth, an attachment for every second.
const ROWS: &str = "\
INSERT INTO bench_accounts SELECT i, 'user' || md5(i::text), 'host' || i % 997 || '.example', 'Somebody ' || i, \
repeat('about me and what I like ', (i % 7)::int) || md5(i::text), 'https://host' || i % 997 || '.example/users/' || i, \
'-----BEGIN PUBLIC KEY-----' || md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text) || md5((i + 3)::text), \
timestamp '2020-01-01' + i * interval '7 seconds' FROM generate_series(:from, :to) i WHERE i % 10 = 0; \
INSERT INTO bench_statuses SELECT i, 'https://host' || i % 997 || '.example/users/' || i % 1000 || '/statuses/' || i, \
substr('the quick brown fox jumps over a lazy dog while somebody writes what everybody reads and nobody remembers tomorrow ', \
(i * 31 % 40)::int + 1, (i * 17 % 70)::int + 5) || md5(i::text) || md5((i * 3)::text) || \
substr('another sentence follows here because people like to say more than one thing at a time ', (i % 20)::int + 1), \
timestamp '2020-01-01' + i * interval '3 seconds', CASE WHEN i % 5 = 0 THEN i - 3 END, CASE WHEN i % 4 = 0 THEN i - 2 END, \
i % 100003, (i % 3)::int, i % 11 = 0, (ARRAY['en', 'de', 'fr', 'ja'])[1 + i % 4], i / 3 \
FROM generate_series(:from, :to) i; \
INSERT INTO bench_media_attachments SELECT i, i, i % 100003, 'https://files.example/' || md5(i::text) || '.png', \
md5((i * 7)::text) || '.png', json_build_object('original', json_build_object('width', i % 4000, 'height', i % 3000, \
'size', i % 4000 || 'x' || i % 3000)), CASE WHEN i % 3 = 0 THEN 'a picture of ' || md5((i * 5)::text) END, \
substr(md5((i * 11)::text), 1, 30), timestamp '2020-01-01' + i * interval '3 seconds' \
FROM generate_series(:from, :to) i WHERE i % 2 = 0";
