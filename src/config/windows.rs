//! Windows and blackouts as written, and what can become wrong with them in time.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::checks::{all, optional, required, span, word, words};
use crate::config::fragments::{Blackout as BlackoutFragment, Time, Window as WindowFragment};
use crate::config::policy::CLASSES;
use crate::config::reader::{File, Located, Place};
use crate::config::values::{self, show_span};
use crate::config::{ConfigError, Problem, zones};
use crate::domain::policy::{Action, Class, Policy, show};
use crate::domain::window::{Blackout, Days, HORIZON, Needed, Strength, Window};

/// Windows, and lines of one, that are looked at: more than anybody has, and few enough to be compared with each other for
/// 28 years in a blink.
const MOST_WINDOWS: usize = 32;
/// Blackouts that are looked at: some years of elections.
const MOST_BLACKOUTS: usize = 100;
/// How the ids of windows begin that people open once.
const ONE_OFF: &str = "once-";
/// A reason is a sentence or two; it is shown in one line.
const LONGEST_REASON: usize = 300;
pub(super) const STRENGTHS: [(&str, Strength); 2] =
    [("soft", Strength::Soft), ("hard", Strength::Hard)];

/// `[time]`, each part of it good.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    pub(super) zone: Option<TimeZone>,
    pub(super) require_sync: Option<bool>,
}

/// A window, and what is asked about it later.
#[derive(Debug, Clone)]
pub(super) struct Drafted {
    pub(super) window: Window,
    /// Whether it names its own zone, so that another zone for all does not touch it.
    pub(super) zoned: bool,
    pub(super) written: WrittenWindow,
}

/// Where a window stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenWindow {
    /// Its id.
    pub(super) id: String,
    pub(super) file: PathBuf,
    /// The table itself.
    pub(super) place: Place,
    /// Each line of its calendar.
    pub(super) lines: Vec<Place>,
    pub(super) lasts: Place,
}

pub(super) fn times(file: File<'_>, time: &Time) -> Option<Times> {
    let zone = optional(time.zone.as_ref(), |name| zone(file, name))?;
    Some(Times {
        zone,
        require_sync: time.require_sync.as_ref().map(|flag| flag.value),
    })
}

fn zone(file: File<'_>, name: &Located<String>) -> Option<TimeZone> {
    zones::find(&name.value)
        .map_err(|err| file.refuse(&file.inside(name, 0), &err))
        .ok()
}

/// Every window; `None` when a problem was reported.
pub(super) fn windows(
    file: File<'_>,
    fragments: &[WindowFragment],
    usual: &TimeZone,
    host: &str,
) -> Option<Vec<Drafted>> {
    let few = not_more_than(file, MOST_WINDOWS, fragments, |fragment| &fragment.place);
    all(few?
        .iter()
        .map(|fragment| window(file, fragment, usual, host)))
}

/// Every blackout; `None` when a problem was reported.
pub(super) fn blackouts(
    file: File<'_>,
    fragments: &[BlackoutFragment],
    zone: &TimeZone,
) -> Option<Vec<Blackout>> {
    let few = not_more_than(file, MOST_BLACKOUTS, fragments, |fragment| &fragment.place);
    all(few?.iter().map(|fragment| blackout(file, fragment, zone)))
}

fn not_more_than<'a, T>(
    file: File<'_>,
    most: usize,
    items: &'a [T],
    place: impl Fn(&T) -> &Place,
) -> Option<&'a [T]> {
    match items.get(most) {
        None => Some(items),
        Some(first_too_many) => {
            file.refuse(
                place(first_too_many),
                &format!("there may be {most} at the most"),
            );
            None
        }
    }
}

/// `usual` is the zone of windows that name none; `host` is what makes this host's jitter its own.
fn window(
    file: File<'_>,
    fragment: &WindowFragment,
    usual: &TimeZone,
    host: &str,
) -> Option<Drafted> {
    let place = &fragment.place;
    let id = required(file, place, "id", fragment.id.as_ref())
        .and_then(|id| file.check(id, values::name))
        .filter(|id| {
            let ours = id.starts_with(ONE_OFF);
            if ours {
                file.refuse(
                    place,
                    &format!(
                        "ids that begin with `{ONE_OFF}` are those of `mastopatch window open`"
                    ),
                );
            }
            !ours
        });
    let opens = required(file, place, "opens", fragment.opens.as_ref())
        .and_then(|lines| not_more_than(file, MOST_WINDOWS, lines, |line| &line.place))
        .and_then(|lines| all(lines.iter().map(|line| calendar(file, line))));
    let lasts =
        required(file, place, "lasts", fragment.lasts.as_ref()).and_then(|lasts| span(file, lasts));
    let allow = required(file, place, "allow", fragment.allow.as_ref())
        .and_then(|classes| allowed(file, classes));
    let own_zone = optional(fragment.zone.as_ref(), |name| zone(file, name));
    let jitter = optional(fragment.jitter.as_ref(), |jitter| span(file, jitter));
    let own_zone = own_zone?;
    let zone = own_zone.clone().unwrap_or_else(|| usual.clone());
    let (id, jitter) = (id?, jitter?);
    let made = Window::new(id.clone(), opens?, lasts?, zone, allow?);
    let window = made
        .map_err(|err| {
            use crate::domain::window::WindowError;
            let at = match &err {
                // An empty list was refused when it was read.
                WindowError::NeverOpens | WindowError::AllowsNothing => place.clone(),
                WindowError::Length(_) | WindowError::Jitter { .. } => {
                    value_place(file, fragment.lasts.as_ref(), place)
                }
            };
            file.refuse(&at, &err);
        })
        .ok()?;
    let window = match jitter {
        None => window,
        Some(jitter) => window
            .with_jitter(jitter, host)
            .map_err(|err| file.refuse(&value_place(file, fragment.jitter.as_ref(), place), &err))
            .ok()?,
    };
    let lines = fragment
        .opens
        .iter()
        .flatten()
        .map(|line| file.inside(line, 0));
    Some(Drafted {
        window,
        zoned: own_zone.is_some(),
        written: WrittenWindow {
            id,
            file: file.name.to_owned(),
            place: place.clone(),
            lines: lines.collect(),
            lasts: value_place(file, fragment.lasts.as_ref(), place),
        },
    })
}

fn calendar<T>(file: File<'_>, line: &Located<String>) -> Option<T>
where
    T: std::str::FromStr<Err = crate::domain::window::NotACalendar>,
{
    line.value
        .parse()
        .map_err(|err: T::Err| file.refuse(&file.inside(line, err.at), &err))
        .ok()
}

fn blackout(file: File<'_>, fragment: &BlackoutFragment, zone: &TimeZone) -> Option<Blackout> {
    let place = &fragment.place;
    let id = required(file, place, "id", fragment.id.as_ref())
        .and_then(|id| file.check(id, values::name));
    let strength = required(file, place, "strength", fragment.strength.as_ref())
        .and_then(|strength| word(file, strength, &STRENGTHS));
    let reason = required(file, place, "reason", fragment.reason.as_ref()).and_then(|reason| {
        let good = reason.value.chars().count() <= LONGEST_REASON
            && !reason.value.chars().any(char::is_control);
        if !good {
            file.refuse(
                &reason.place,
                &format!("a reason is one line of at most {LONGEST_REASON} letters"),
            );
        }
        good.then_some(reason)
    });
    let days = days(file, fragment);
    let made = Blackout::new(id?, days?, strength?, reason?.value.clone(), zone.clone());
    made.map_err(|err| {
        use crate::domain::window::BlackoutError as Error;
        let text = match &err {
            Error::NoReason => fragment.reason.as_ref(),
            Error::Empty => fragment.to.as_ref(),
            Error::Instant(_) | Error::Range(_) | Error::NoSuchDay(_) => None,
        };
        file.refuse(&value_place(file, text, place), &err);
    })
    .ok()
}

fn days(file: File<'_>, fragment: &BlackoutFragment) -> Option<Days> {
    let read = |text: &Located<String>| {
        Days::moment(&text.value)
            .map_err(|err| file.refuse(&file.inside(text, 0), &err))
            .ok()
    };
    match (&fragment.every, &fragment.from, &fragment.to) {
        (Some(every), None, None) => every
            .value
            .parse()
            .map_err(|err: crate::domain::window::BlackoutError| {
                file.refuse(&file.inside(every, 0), &err)
            })
            .ok(),
        (None, Some(from), Some(to)) => {
            let (from, to) = (read(from), read(to));
            Some(Days::Once {
                from: from?,
                to: to?,
            })
        }
        (_, _, _) => {
            let refused = |key: &str| {
                let key = format!("{}.{key}", fragment.place.key);
                file.problems.refused(fragment.place.at, &key)
            };
            if !["from", "to", "every"].into_iter().any(refused) {
                file.refuse(
                    &fragment.place,
                    "give either `from` and `to`, for once, or `every`, for every year",
                );
            }
            None
        }
    }
}

fn allowed(file: File<'_>, classes: &[Located<String>]) -> Option<BTreeSet<Class>> {
    match classes {
        [only] if only.value == "*" => Some(Class::ALL.into_iter().collect()),
        _ => words(file, Some(classes), &CLASSES),
    }
}

fn value_place(file: File<'_>, text: Option<&Located<String>>, usual: &Place) -> Place {
    text.map_or_else(|| usual.clone(), |text| file.inside(text, 0))
}

/// What is wrong with the windows of a policy today: calendars that have run out, and windows that have become too short
/// for what a run needs on this host.
///
/// Such a file was right once. It is refused where a person is looking, and only told where a daemon starts: a restart
/// must never be what keeps a server from its updates.
pub(super) fn faults(
    policy: &Policy,
    written: &[WrittenWindow],
    now: Timestamp,
    needed: &Needed,
) -> Vec<ConfigError> {
    let updates = policy
        .rules()
        .iter()
        .any(|rule| rule.action == Action::Update);
    let windows = policy.schedule().windows().iter();
    // By the worst day of the worst host: what is right here must be right on the next one.
    let windows = windows.zip(policy.schedule().at_its_latest().longest(now));
    let mut errors = Vec::new();
    for (window, longest) in windows.filter(|_| updates) {
        let Some(written) = written.iter().find(|written| written.id == window.id()) else {
            continue;
        };
        let mut refuse = |place: &Place, why: String| {
            errors.push(ConfigError {
                file: written.file.clone(),
                at: Some(place.at),
                key: place.key.clone(),
                problem: Problem::Refused(why),
            });
        };
        let silent = silent_lines(policy, window, now);
        for (line, why) in &silent {
            refuse(
                written.lines.get(*line).unwrap_or(&written.place),
                why.clone(),
            );
        }
        if silent.len() < window.opens().len() && longest < needed.least_window() {
            refuse(&written.lasts, too_short(window, longest, needed));
        }
    }
    errors
}

/// The lines of a window's calendar that do not open within the horizon, and why.
fn silent_lines(policy: &Policy, window: &Window, now: Timestamp) -> Vec<(usize, String)> {
    let to = now.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
    let lines = window.opens().iter().enumerate();
    lines
        .filter_map(|(position, line)| {
            let alone = window.only_line(position)?;
            let openings = alone.openings(now, to);
            let days = HORIZON.as_hours().checked_div(24)?;
            let Some(next) = openings.first() else {
                let before = alone.last_opening(now);
                let was = before.map_or_else(String::new, |last| {
                    format!("; it opened last on {}", show(last.start, window.zone()))
                });
                return Some((position, format!("`{line}` does not open within {days} days{was}; take it away or give another day")));
            };
            let open = openings.iter().any(|opening| !policy.schedule().left_of(*opening, &BTreeSet::new()).is_empty());
            (!open).then(|| {
                let by = policy.schedule().blackouts_at(next.start, &BTreeSet::new());
                let id = by.first().map_or_else(|| "blackouts".to_owned(), |(one, _)| format!("blackout `{}`", one.id()));
                (position, format!("every opening of `{line}` within {days} days lies in a blackout, the next on {} in {id}", show(next.start, window.zone())))
            })
        })
        .collect()
}

fn too_short(window: &Window, longest: SignedDuration, needed: &Needed) -> String {
    let show = |length: SignedDuration| show_span(length.unsigned_abs());
    let least = show(needed.least_window());
    let (id, lasts) = (window.id(), show(window.lasts()));
    if longest == window.lasts() {
        return format!(
            "window `{id}` lasts {lasts}, but {needed}, and some minutes for planning: make it at least {least}"
        );
    }
    format!(
        "window `{id}` lasts {lasts}, of which jitter and blackouts leave {} at the most on some host, but {needed}, and some \
         minutes for planning: at least {least} must be left",
        show(longest)
    )
}
