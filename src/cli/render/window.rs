//! When windows open, for people and for programs.

use std::path::Path;

use comfy_table::ColumnConstraint;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{lines_of, table};
use crate::cli::answers::{BlackoutAnswer, LocalInstant, OpeningAnswer, OutlookAnswer};
use crate::domain::policy::{Class, OutsideWindows, Policy, Rule, show};
use crate::domain::report::words::clean;
use crate::domain::window::{Closed, HORIZON, Needed, Opening, Schedule, Strength, Upcoming};
use crate::ports::store::HoldRow;

/// Blackouts that are listed: those that are next matter.
const MOST_BLACKOUTS: usize = 5;

/// What the calendar of an instance has in store.
#[derive(Debug)]
pub struct Outlook<'a> {
    /// The instance.
    pub instance: &'a str,
    /// The policy's file, or the name of a shipped one.
    pub policy_file: &'a Path,
    /// The policy.
    pub policy: &'a Policy,
    /// Its calendar, with the windows that people opened.
    pub schedule: Schedule,
    /// What a run takes.
    pub needed: Needed,
    /// Now.
    pub now: Timestamp,
    /// Why the host's clock is not to be trusted.
    pub clock_doubt: Option<String>,
    /// A person's order that nothing starts by itself.
    pub hold: Option<HoldRow>,
    /// The version of the time zone database.
    pub tz_version: Option<String>,
}

impl Outlook<'_> {
    fn zone(&self) -> &TimeZone {
        self.policy.zone()
    }

    fn next(&self, count: usize) -> Vec<Upcoming<'_>> {
        self.schedule.upcoming(self.now, self.needed.total(), count)
    }

    /// Sentences why nothing may start now; empty where something may.
    fn closed_because(&self) -> Vec<String> {
        let doubt = self
            .clock_doubt
            .iter()
            .filter(|_| self.policy.requires_sync());
        let mut sentences: Vec<String> = doubt.cloned().collect();
        sentences.extend(self.hold.iter().map(|hold| {
            let until = hold.until.map_or_else(String::new, |until| {
                format!(" until {}", show(until, self.zone()))
            });
            format!(
                "{} put everything on hold{until}: {}.",
                clean(&hold.by),
                clean(hold.reason.trim_end_matches('.'))
            )
        }));
        let closed = self.schedule.why_closed(self.now, self.needed.total());
        sentences.extend(closed.iter().map(|one| self.closed(one)));
        sentences
    }

    fn closed(&self, closed: &Closed<'_>) -> String {
        let show = |at| show(at, self.zone());
        match closed {
            Closed::Blackout {
                id,
                strength,
                reason,
                until,
            } => format!(
                "Blackout `{id}` ({strength}) holds until {}: {}.",
                show(*until),
                clean(reason).trim_end_matches('.')
            ),
            Closed::NoWindow => "No window is open.".to_owned(),
            Closed::TooLate {
                window,
                until,
                latest_start: Some(latest),
            } => format!(
                "Window `{window}` is open until {}, but its latest start was {}.",
                show(*until),
                show(*latest)
            ),
            Closed::TooLate {
                window,
                until,
                latest_start: None,
            } => format!(
                "Window `{window}` is open until {}, but is too short for a run and its way back.",
                show(*until)
            ),
        }
    }

    /// The blackouts that hold or come, next first.
    fn blackouts(&self) -> Vec<BlackoutAnswer<'_>> {
        let to = self.now.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let all = self.schedule.blackouts().iter();
        let mut found: Vec<(Opening, BlackoutAnswer<'_>)> = all
            .filter_map(|one| {
                let stretch = one.stretches(self.now, to).into_iter().next()?;
                let answer = BlackoutAnswer {
                    id: one.id(),
                    strength: one.strength(),
                    reason: one.reason(),
                    from: self.local(stretch.start),
                    to: self.local(stretch.end),
                };
                Some((stretch, answer))
            })
            .collect();
        found.sort_by_key(|(stretch, _)| *stretch);
        found
            .into_iter()
            .map(|(_, answer)| answer)
            .take(MOST_BLACKOUTS)
            .collect()
    }

    fn local(&self, at: Timestamp) -> LocalInstant {
        LocalInstant {
            utc: at,
            local: at
                .to_zoned(self.zone().clone())
                .strftime("%Y-%m-%dT%H:%M:%S%:z")
                .to_string(),
        }
    }

    /// The same for programs.
    pub fn answer(&self, count: usize) -> OutlookAnswer<'_> {
        let closed_because = self.closed_because();
        OutlookAnswer {
            instance: self.instance,
            policy: self.policy_file,
            zone: self.zone().iana_name().unwrap_or("UTC"),
            tz_version: self.tz_version.as_deref(),
            now: self.local(self.now),
            open: closed_because.is_empty(),
            closed_because,
            needed_s: self.needed.total().as_secs(),
            needed_is_measured: self.needed.n_measured > 0,
            next: self
                .next(count)
                .into_iter()
                .map(|one| OpeningAnswer {
                    window: one.window,
                    one_off: one.one_off,
                    opens: self.local(one.opening.start),
                    closes: self.local(one.opening.end),
                    latest_start: one.latest_start.map(|at| self.local(at)),
                    allow: one.allow,
                })
                .collect(),
            blackouts: self.blackouts(),
            outside_windows: rules_without_windows(self.policy),
        }
    }
}

/// The next openings, and why nothing may start now.
pub fn outlook(outlook: &Outlook<'_>, count: usize) -> String {
    let zone = outlook.zone();
    let database = outlook
        .tz_version
        .as_deref()
        .unwrap_or("of unknown version");
    let mut parts = vec![format!(
        "{}   policy {}, zone {} (tz database {database})",
        outlook.instance,
        outlook.policy_file.display(),
        zone.iana_name().unwrap_or("UTC"),
    )];
    let now = show(outlook.now, zone);
    let closed = outlook.closed_because();
    let state = if closed.is_empty() {
        format!("Open now, {now}.")
    } else {
        format!("Closed now, {now}. {}", closed.join(" "))
    };
    let needed = outlook.needed.to_string();
    let needed = needed
        .strip_prefix('a')
        .map_or(needed.clone(), |rest| format!("A{rest}"));
    parts.push(format!("{state}\n{needed}."));
    let next = outlook.next(count);
    if next.is_empty() {
        parts.push("No window opens within 400 days.".to_owned());
    } else {
        parts.push(openings(&next, zone));
    }
    let rules = rules_without_windows(outlook.policy);
    if !rules.is_empty() {
        parts.push(format!("Rules that need no window: {}.", rules.join("; ")));
    }
    let blackouts: Vec<String> = outlook
        .blackouts()
        .iter()
        .map(|one| {
            format!(
                "Blackout `{}` ({}): {} to {}, {}.",
                one.id,
                one.strength,
                show(one.from.utc, zone),
                show(one.to.utc, zone),
                clean(one.reason).trim_end_matches('.')
            )
        })
        .collect();
    if !blackouts.is_empty() {
        parts.push(blackouts.join("\n"));
    }
    parts.join("\n\n")
}

fn openings(next: &[Upcoming<'_>], zone: &TimeZone) -> String {
    let mut table = table(&["WINDOW", "OPENS", "CLOSES", "LATEST START"]);
    for one in next {
        let both = |at: Timestamp| {
            let day = one.opening.start;
            format!(
                "{}\n{}",
                clock(at, day, zone),
                clock(at, day, &TimeZone::UTC)
            )
        };
        let opens = format!(
            "{}\n{}",
            show(one.opening.start, zone),
            show(one.opening.start, &TimeZone::UTC)
        );
        let allow: Vec<String> = one.allow.iter().map(ToString::to_string).collect();
        let allow = if allow.len() == Class::ALL.len() {
            "all".to_owned()
        } else {
            allow.join(", ")
        };
        table.add_row([
            format!("{}\nfor {allow}", one.window),
            opens,
            both(one.opening.end),
            one.latest_start
                .map_or_else(|| "too short".to_owned(), both),
        ]);
    }
    // Names give way, times are never broken.
    for column in table.column_iter_mut().skip(1) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    lines_of(table, &[])
}

/// The time of day, with the day of the week where it is another day than `day`.
fn clock(at: Timestamp, day: Timestamp, zone: &TimeZone) -> String {
    let (at, day) = (at.to_zoned(zone.clone()), day.to_zoned(zone.clone()));
    let shape = if at.date() == day.date() {
        "%H:%M %Z"
    } else {
        "%a %H:%M %Z"
    };
    at.strftime(shape).to_string()
}

/// Rules that may start outside of windows, each with its condition.
fn rules_without_windows(policy: &Policy) -> Vec<String> {
    let condition = |rule: &Rule| match rule.outside_windows {
        OutsideWindows::Never => None,
        OutsideWindows::AtOnce => Some("at once".to_owned()),
        OutsideWindows::After(wait) => Some(format!("{wait:#} after publication")),
    };
    let rules = policy.rules().iter();
    rules
        .filter_map(|rule| {
            let soft = if rule.may_break.contains(&Strength::Soft) {
                ", in soft blackouts too"
            } else {
                ""
            };
            Some(format!("`{}` {}{soft}", rule.name, condition(rule)?))
        })
        .collect()
}

#[cfg(test)]
mod tests;
