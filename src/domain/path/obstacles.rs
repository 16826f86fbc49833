//! What stands in the way of a version on a host.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::lines::{self, Support};
use super::{Host, HostService, Obstacle, ObstacleKind, Weight};
use crate::domain::plan::Role;
use crate::domain::release::Release;
use crate::domain::version::{ReleaseLine, ReleaseVersion};

mod notes;
mod services;

/// How long before its end a line's support is worth a word: Mastodon's own mails begin three months before.
const SOON: i64 = 92;

/// Lines since which something holds.
const L4_2: ReleaseLine = ReleaseLine { major: 4, minor: 2 };
const L4_3: ReleaseLine = ReleaseLine { major: 4, minor: 3 };
const L4_4: ReleaseLine = ReleaseLine { major: 4, minor: 4 };
const L4_7: ReleaseLine = ReleaseLine { major: 4, minor: 7 };

/// One step, as everything is asked about it.
struct Step<'a> {
    host: &'a Host,
    from: ReleaseLine,
    to: ReleaseLine,
    found: Vec<Obstacle>,
}

/// Everything that stands in the way from one version to another on this host, worst first.
///
/// The union of what all lines between them demand, because each must be passed through, and of what the notes of every
/// release between them ask for. `releases` are all that are known, in any order: those on the way are picked here. Where
/// table and notes say the same, the table speaks. `ends` overrides the ends of support that this program knows. What was
/// not looked at is an obstacle too: it needs a person where the step enters another line, and is good to know within one.
/// Total; the same arguments give the same answer.
pub fn obstacles(
    host: &Host,
    from: &ReleaseVersion,
    to: &ReleaseVersion,
    releases: &[Release],
    now: Timestamp,
    ends: &BTreeMap<ReleaseLine, Date>,
) -> Vec<Obstacle> {
    since(host, [from, from, to], releases, now, ends)
}

/// The same for a way of which a part was looked at already: of the versions, the first runs, the second was looked at as
/// a target, the third is the target now. Notes of releases up to the second are not read again.
pub(super) fn since(
    host: &Host,
    [from, since, to]: [&ReleaseVersion; 3],
    releases: &[Release],
    now: Timestamp,
    ends: &BTreeMap<ReleaseLine, Date>,
) -> Vec<Obstacle> {
    let mut step = Step {
        host,
        from: entered_from(from),
        to: to.line(),
        found: Vec::new(),
    };
    step.postgresql();
    step.redis();
    step.pgbouncer();
    step.rows();
    step.services();
    step.lines();
    step.releases([from, since, to], releases);
    step.support(now, ends);
    step.refused_by_preflight();
    for sentence in &host.outside {
        step.add(
            Weight::Notice,
            ObstacleKind::OutsideServer,
            sentence.clone(),
            "It is never replaced or removed; see to it that nobody updates or stops it while a run is under way.",
        );
    }
    for sentence in &host.not_seen {
        step.add(
            Weight::Notice,
            ObstacleKind::NotLookedAt,
            sentence.clone(),
            "Look at it yourself before you agree to an update.",
        );
    }
    let mut found = step.found;
    found.sort();
    found.dedup();
    found
}

/// The line that a version counts as: a pre-release has not entered its own yet.
fn entered_from(version: &ReleaseVersion) -> ReleaseLine {
    let line = version.line();
    if !version.is_pre_release() {
        return line;
    }
    ReleaseLine {
        minor: line.minor.saturating_sub(1),
        ..line
    }
}

impl Step<'_> {
    fn add(
        &mut self,
        weight: Weight,
        about: ObstacleKind,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.found.push(Obstacle {
            weight,
            about,
            what: what.into(),
            todo: todo.into(),
        });
    }

    /// Something that matters where another line is entered, and is good to know otherwise.
    fn add_crossing(
        &mut self,
        about: ObstacleKind,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) {
        let weight = if self.enters_a_line() {
            Weight::NeedsPerson
        } else {
            Weight::Notice
        };
        self.add(weight, about, what, todo);
    }

    fn enters_a_line(&self) -> bool {
        self.from < self.to
    }

    /// Whether this step enters `line`, or a later one from before it.
    fn passes(&self, line: ReleaseLine) -> bool {
        self.from < line && line <= self.to
    }

    fn postgresql(&mut self) {
        let Some(holding) = lines::holding(self.to) else {
            return;
        };
        let (to, needed) = (self.to, lines::postgresql_text(holding.postgresql));
        let Some(here) = self.host.postgresql else {
            self.add_crossing(
                ObstacleKind::NotLookedAt,
                format!(
                    "PostgreSQL's version was not seen; Mastodon {to} needs {needed} or newer."
                ),
                "Look with `SHOW server_version`.",
            );
            return;
        };
        let shown = lines::postgresql_text(here);
        if here < holding.postgresql {
            self.add(
                Weight::Blocks,
                ObstacleKind::Postgresql,
                format!("Mastodon {to} needs PostgreSQL {needed} or newer; here runs {shown}."),
                "Move PostgreSQL to a newer major version first, with a dump and a restore; changing only the tag of its \
                 image does not move the data.",
            );
        }
        if lines::excludes_postgresql(self.to, here) {
            self.add(
                Weight::Blocks,
                ObstacleKind::Postgresql,
                format!(
                    "Mastodon excludes PostgreSQL 14.0 to 14.3 since 4.3, because they damage indexes; here runs {shown}."
                ),
                "Update PostgreSQL within 14, and rebuild the indexes (`REINDEX DATABASE`).",
            );
        }
    }

    fn redis(&mut self) {
        let Some(holding) = lines::holding(self.to) else {
            return;
        };
        let (to, (major, minor)) = (self.to, holding.redis);
        let here = self.host.redis.as_deref();
        match here.and_then(|text| Some((text, lines::redis_pair(text)?))) {
            None => self.add_crossing(
                ObstacleKind::NotLookedAt,
                format!(
                    "Redis's version was not seen; Mastodon {to} needs {major}.{minor} or newer."
                ),
                "Look with `redis-cli INFO server`.",
            ),
            Some((here, pair)) if pair < holding.redis => self.add(
                Weight::Blocks,
                ObstacleKind::Redis,
                format!("Mastodon {to} needs Redis {major}.{minor} or newer; here runs {here}."),
                "Move Redis first: it reads the data of an older version.",
            ),
            Some(_) => {}
        }
    }

    fn pgbouncer(&mut self) {
        if let Some(why) = &self.host.pgbouncer {
            self.add_crossing(
                ObstacleKind::Pgbouncer,
                format!("A pgbouncer seems to stand before the database ({why}); migrations break behind one."),
                "Let DB_HOST and DB_PORT name PostgreSQL itself, at least while Mastodon is updated.",
            );
        }
    }

    /// What the migrations find in the rows.
    fn rows(&mut self) {
        if self.passes(L4_7) {
            let todo = "Stop Mastodon's services and run `tootctl maintenance fix-duplicates` on the running version, after \
                        a backup.";
            match self.host.duplicate_accounts {
                Some(0) => {}
                Some(many) => self.add(
                    Weight::NeedsPerson,
                    ObstacleKind::Duplicates,
                    format!(
                        "4.7 makes the addresses of accounts unique; here {many} stand in the database more than once, and \
                         their accounts would be merged or deleted."
                    ),
                    todo,
                ),
                None => self.add(
                    Weight::NeedsPerson,
                    ObstacleKind::NotLookedAt,
                    "4.7 makes the addresses of accounts unique; whether some stand in the database more than once was not \
                     counted by this quick look.",
                    "Run `mastopatch doctor`, which counts them.",
                ),
            }
        }
        for (floor, since) in [(L4_2, L4_4), (L4_3, L4_7)] {
            if self.from < floor && since <= self.to {
                self.add(
                    Weight::Notice,
                    ObstacleKind::SchemaFloor,
                    format!(
                        "{since} migrates only from {floor} or newer while Mastodon runs; {} runs here.",
                        self.from
                    ),
                    "Nothing, as long as every line between is passed through: mastopatch does that, with every service \
                     stopped.",
                );
            }
        }
    }

    /// What the table says of the lines on the way.
    fn lines(&mut self) {
        let search = self.searches();
        let passed = lines::LINES
            .iter()
            .filter(|known| self.from < known.line && known.line <= self.to);
        let passed: Vec<&lines::Line> = passed.collect();
        for line in passed {
            if let Some(what) = line.migrations {
                self.add(
                    Weight::Notice,
                    ObstacleKind::Migrations,
                    what,
                    "Choose a quiet hour. mastopatch takes its snapshot first; after the site has opened again there is no \
                     way back.",
                );
            }
            for step in line.steps.iter().filter(|step| search || !step.search) {
                self.add(
                    Weight::Notice,
                    ObstacleKind::ManualStep,
                    step.what,
                    step.todo,
                );
            }
        }
    }

    fn searches(&self) -> bool {
        self.host.services.iter().any(|service| service.search)
    }

    fn support(&mut self, now: Timestamp, ends: &BTreeMap<ReleaseLine, Date>) {
        let to = self.to;
        let move_on = "Go on to a newer line.";
        let what = match lines::support(to, now, ends) {
            Support::Over(end) => Some(format!(
                "Support of line {to} ended on {end}; do not count on repairs."
            )),
            Support::Until(end) if is_soon(end, now) => {
                Some(format!("Support of line {to} ends on {end}."))
            }
            Support::LongOver => Some(format!("Support of line {to} ended long ago.")),
            Support::Until(_) | Support::Open => None,
        };
        if let Some(what) = what {
            self.add(Weight::Notice, ObstacleKind::EndOfSupport, what, move_on);
        }
        let Some(newest) = lines::newest().filter(|newest| to > *newest) else {
            return;
        };
        let what = format!(
            "Line {to} is newer than {newest}, the newest that this mastopatch knows; what {newest} needs is taken to hold."
        );
        let todo = "Read the notes of the release, and update mastopatch.";
        // Within one major version a line has never turned everything around; another major version may.
        if to.major > newest.major && self.enters_a_line() {
            self.add(Weight::NeedsPerson, ObstacleKind::UnknownLine, what, todo);
        } else {
            self.add(Weight::Notice, ObstacleKind::UnknownLine, what, todo);
        }
    }

    /// What a run would refuse before it closes the site, whatever the version.
    fn refused_by_preflight(&mut self) {
        let host = self.host;
        for sentence in &host.no_way_back {
            self.add(
                Weight::Blocks,
                ObstacleKind::NoWayBack,
                sentence.clone(),
                "Change that, so that a run that fails can go back.",
            );
        }
        for service in &host.unapplied {
            self.add(
                Weight::Blocks,
                ObstacleKind::UnappliedEdit,
                format!("`{service}` does not run as the Compose file says: somebody edited it, or its environment, and has not applied that."),
                "Run `docker compose up -d` for it at a quiet time, or take the edit back: an update must not bring in what \
                 nobody has tried.",
            );
        }
    }

    /// Services of one image, or a word that none was seen.
    fn services(&mut self) {
        if self.host.services.is_empty() {
            self.add_crossing(
                ObstacleKind::NotLookedAt,
                "No service of Mastodon was looked at: its environment, commands, health checks and mounts are unknown.",
                "Start the services, so that they can be looked at.",
            );
            return;
        }
        let services: &[HostService] = &self.host.services;
        for service in services {
            self.service(service);
        }
        self.keys();
    }

    /// Names of the services that run the main image and of which `is` is true.
    fn main_services(&self, is: impl Fn(&HostService) -> bool) -> Vec<&str> {
        self.host
            .services
            .iter()
            .filter(|service| service.role != Role::Streaming && is(service))
            .map(|service| service.name.as_str())
            .collect()
    }
}

fn is_soon(end: Date, now: Timestamp) -> bool {
    let today = now.to_zoned(TimeZone::UTC).date();
    end.duration_since(today).as_hours() / 24 <= SOON
}

#[cfg(test)]
mod tests;
