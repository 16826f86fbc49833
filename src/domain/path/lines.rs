//! What each line of Mastodon demands and brings, as its release notes, its code and its official Compose file say.
//!
//! Sources, by fact:
//! - `PostgreSQL` and Redis minimums: the release notes of each line's first release. Mastodon's own check before the
//!   migrations (`db:pre_migration_check`) enforces those of `PostgreSQL`; for 3.5 to 4.1 it says 9.5, which stands here
//!   where the notes say nothing.
//! - Majors of Sidekiq: the health check in the official Compose file of each line, which looks for `sidekiq N`.
//! - Migrations: the files in `db/migrate` and `db/post_migrate` that each line added.
//! - Ends of support: the table in Mastodon's `SECURITY.md`.
//! - Steps: the release notes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::version::ReleaseLine;

/// What is known of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The line.
    pub line: ReleaseLine,
    /// Its minimum of `PostgreSQL`, as `server_version_num`.
    pub postgresql: u32,
    /// Its minimum of Redis.
    pub redis: (u32, u32),
    /// Majors of Sidekiq that its images have had.
    pub sidekiq: &'static [u32],
    /// When its support ends; none where that is open.
    pub ends: Option<Date>,
    /// What its migrations do that is worth knowing before: a sentence.
    pub migrations: Option<&'static str>,
    /// Steps for a person, and whether they concern only hosts with Elasticsearch.
    pub steps: &'static [Step],
}

/// A step that a line's notes ask a person for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Whether it is for hosts with Elasticsearch only.
    pub search: bool,
    /// What changes, as a sentence.
    pub what: &'static str,
    /// What to do, as a sentence.
    pub todo: &'static str,
}

/// Versions of `PostgreSQL` that the notes of 4.3 exclude, from one to before another, as `server_version_num`:
/// `CREATE INDEX CONCURRENTLY` of 14.0 to 14.3 damages indexes. Excluded for every line since.
const POSTGRESQL_EXCLUDED: (u32, u32) = (140_000, 140_004);

const EXCLUDED_SINCE: ReleaseLine = line(4, 3);

const fn line(major: u64, minor: u64) -> ReleaseLine {
    ReleaseLine { major, minor }
}

/// The last step for search after an update.
const DEPLOY: &str = "After the update, run `tootctl search deploy` as the notes say; the site works meanwhile, only search \
                      does not find everything.";

/// Every line that this program knows, oldest first.
pub const LINES: [Line; 9] = [
    Line {
        line: line(3, 5),
        postgresql: 90_500,
        redis: (4, 0),
        sidekiq: &[6],
        ends: Some(date(2023, 12, 31)),
        migrations: None,
        steps: &[],
    },
    Line {
        line: line(4, 0),
        postgresql: 90_500,
        redis: (4, 0),
        sidekiq: &[6],
        ends: Some(date(2023, 10, 31)),
        migrations: Some(
            "4.0 brings 23 migrations and 10 afterwards; several drop columns and have no way back of their own.",
        ),
        steps: &[],
    },
    Line {
        line: line(4, 1),
        postgresql: 90_500,
        redis: (4, 0),
        sidekiq: &[6],
        ends: Some(date(2025, 4, 8)),
        migrations: None,
        steps: &[],
    },
    Line {
        line: line(4, 2),
        postgresql: 100_000,
        redis: (4, 0),
        sidekiq: &[6],
        ends: Some(date(2026, 1, 8)),
        migrations: Some(
            "4.2 brings 22 migrations and 5 afterwards; they move every user's settings and drop follow recommendations.",
        ),
        steps: &[Step {
            search: true,
            what: "4.2 has a new search index, `public_statuses`.",
            todo: DEPLOY,
        }],
    },
    Line {
        line: line(4, 3),
        postgresql: 120_000,
        redis: (4, 0),
        sidekiq: &[6],
        ends: Some(date(2026, 5, 6)),
        migrations: Some(
            "4.3 brings 40 migrations and 10 afterwards; three of these cannot be undone: they encrypt the secrets of \
             two-factor logins anew and drop tables.",
        ),
        steps: &[],
    },
    Line {
        line: line(4, 4),
        postgresql: 130_000,
        redis: (6, 2),
        sidekiq: &[7],
        ends: Some(date(2026, 12, 17)),
        migrations: Some(
            "4.4 brings 62 migrations and 5 afterwards; some drop tables, columns and old settings and cannot be undone.",
        ),
        steps: &[
            Step {
                search: false,
                what: "4.4 no longer lets apps log in with name and password (OAuth's password grant).",
                todo: "Tell people whose scripts log in that way.",
            },
            Step {
                search: true,
                what: "4.4 changes the search index of accounts.",
                todo: DEPLOY,
            },
        ],
    },
    Line {
        line: line(4, 5),
        postgresql: 140_000,
        redis: (7, 0),
        // 7 at its first release, 8 in later patches.
        sidekiq: &[7, 8],
        ends: Some(date(2027, 2, 20)),
        migrations: None,
        steps: &[],
    },
    Line {
        line: line(4, 6),
        postgresql: 140_000,
        redis: (7, 0),
        sidekiq: &[8],
        ends: None,
        migrations: Some("4.6 brings 34 migrations; one rewrites every user's choice of theme."),
        steps: &[
            Step {
                search: false,
                what: "4.6 has other style sheets: themes of one's own must be adapted.",
                todo: "If you serve a theme of your own, adapt it first.",
            },
            Step {
                search: true,
                what: "4.6 is tried with Elasticsearch 8; its data folder cannot go back to 7.",
                todo: "Move Elasticsearch by itself, before or after, with a backup.",
            },
        ],
    },
    Line {
        line: line(4, 7),
        postgresql: 140_000,
        redis: (7, 0),
        sidekiq: &[8],
        ends: None,
        migrations: Some(
            "4.7 brings 19 migrations and 8 afterwards, and its notes call them unusually long; they merge duplicate \
             accounts over some 30 tables, delete invalid ones, and move the keys of federation into an encrypted table.",
        ),
        steps: &[
            Step {
                search: false,
                what: "Since 4.7 the ACTIVE_RECORD_ENCRYPTION_* keys also guard the keys of federation: a database \
                       without them is worthless.",
                todo: "Make sure that your backups hold .env.production.",
            },
            Step {
                search: false,
                what: "4.7 ends logins that were made before 4.3.",
                todo: "Expect that some people must log in again.",
            },
        ],
    },
];

/// What is known of this line.
pub fn known(line: ReleaseLine) -> Option<&'static Line> {
    LINES.iter().find(|known| known.line == line)
}

/// What holds for this line: of one newer than all that are known the newest, of an older one the oldest.
pub fn holding(line: ReleaseLine) -> Option<&'static Line> {
    let at_most = LINES.iter().rev().find(|known| known.line <= line);
    at_most.or(LINES.first())
}

/// The newest line that is known.
pub fn newest() -> Option<ReleaseLine> {
    LINES.last().map(|known| known.line)
}

/// Whether a line excludes this `server_version_num`, although it is above the minimum.
pub fn excludes_postgresql(line: ReleaseLine, number: u32) -> bool {
    let (first, end) = POSTGRESQL_EXCLUDED;
    line >= EXCLUDED_SINCE && (first..end).contains(&number)
}

/// A `server_version_num` as people write it: `90624` is 9.6.24, `140011` is 14.11, `140000` is 14.
pub fn postgresql_text(number: u32) -> String {
    let (major, rest) = (number / 10_000, number % 10_000);
    match (major, rest) {
        (0..=9, _) if rest % 100 == 0 => format!("{major}.{}", rest / 100),
        (0..=9, _) => format!("{major}.{}.{}", rest / 100, rest % 100),
        (_, 0) => major.to_string(),
        (_, minor) => format!("{major}.{minor}"),
    }
}

/// The first two numbers of Redis' version, `7.2.4`; none where it does not begin with a number.
pub fn redis_pair(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split('.').map(str::parse);
    let major = numbers.next()?.ok()?;
    Some((major, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

/// A known line that lies between two.
pub(super) fn known_between(line: ReleaseLine, next: ReleaseLine) -> Option<ReleaseLine> {
    let mut known = LINES.iter().map(|known| known.line);
    known.find(|known| *known > line && *known < next)
}

/// How a line's support stands on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", content = "day", rename_all = "kebab-case")]
pub enum Support {
    /// Nobody has said when it ends.
    Open,
    /// It ends on this day.
    Until(Date),
    /// It ended on this day.
    Over(Date),
    /// It ended before that of every line that is known.
    LongOver,
}

/// How the support of a line stands, as far as anybody has said: `ends` (from Mastodon's update check) before the table.
pub fn support(line: ReleaseLine, now: Timestamp, ends: &BTreeMap<ReleaseLine, Date>) -> Support {
    let said = ends.get(&line).copied();
    match said.or_else(|| known(line).and_then(|known| known.ends)) {
        None if LINES.first().is_some_and(|oldest| line < oldest.line) => Support::LongOver,
        None => Support::Open,
        Some(end) if end < now.to_zoned(TimeZone::UTC).date() => Support::Over(end),
        Some(end) => Support::Until(end),
    }
}
