//! Maintenance windows and blackouts: when the calendar lets work begin, and until when it must be over.
//!
//! A window belongs to the day on which it opens and lasts a fixed *elapsed* time, so a change of the clocks makes it
//! neither longer nor shorter. It is half-open: it holds its start and not its end. Several windows add up; a blackout
//! takes away from all of them. Everything here is a function of its arguments: zones are resolved by whoever reads them.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::policy::Class;

mod blackout;
mod calendar;
mod local;
mod needed;
mod overlap;
mod schedule;
#[cfg(test)]
mod tests;
mod upcoming;

pub use blackout::{Blackout, BlackoutError, Days, Strength};
pub use calendar::{Calendar, CalendarFault, NotACalendar};
pub use needed::{Measured, Needed};
pub use overlap::{OnPaper, Overlap};
pub use schedule::{HORIZON, OneOff, Schedule, Slot};
pub use upcoming::{Closed, Upcoming};

/// The shortest window: a run with its rollback does not fit into less.
pub const SHORTEST: SignedDuration = SignedDuration::from_mins(15);
/// The longest window: openings of one calendar line then overlap at most their neighbours.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// A window of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    id: String,
    opens: Vec<Calendar>,
    lasts: SignedDuration,
    zone: TimeZone,
    allow: BTreeSet<Class>,
    jitter: Jitter,
}

/// How much later than written a window opens on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Jitter {
    most: SignedDuration,
    host: String,
    /// Whether it is the most on every day.
    always: bool,
}

/// One concrete opening, `[start, end)`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Opening {
    /// The first instant inside.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// Why a window cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It never opens.
    #[error("the window never opens; give at least one time, such as `Sun 02:00`")]
    NeverOpens,
    /// Its length is out of bounds.
    #[error("a window lasts between 15m and 24h, not {0:#}")]
    Length(SignedDuration),
    /// Nothing may start in it.
    #[error("the window allows nothing to start in it; name classes, or `*` for all")]
    AllowsNothing,
    /// The jitter leaves less than the shortest window.
    #[error(
        "a jitter of {jitter:#} leaves less than 15m of the window's {lasts:#}; at most {most:#} is possible"
    )]
    Jitter {
        /// What was written.
        jitter: SignedDuration,
        /// The window's length.
        lasts: SignedDuration,
        /// The longest jitter for it.
        most: SignedDuration,
    },
}

impl Window {
    /// Makes a window; `zone` is the zone in which its times are meant.
    pub fn new(
        id: String,
        opens: Vec<Calendar>,
        lasts: SignedDuration,
        zone: TimeZone,
        allow: BTreeSet<Class>,
    ) -> Result<Self, WindowError> {
        if opens.is_empty() {
            return Err(WindowError::NeverOpens);
        }
        if lasts < SHORTEST || lasts > LONGEST {
            return Err(WindowError::Length(lasts));
        }
        if allow.is_empty() {
            return Err(WindowError::AllowsNothing);
        }
        Ok(Self {
            id,
            opens,
            lasts,
            zone,
            allow,
            jitter: Jitter::default(),
        })
    }

    /// The same window, opening up to `most` later. How much later is the same every time for one host, window and day,
    /// and differs between hosts and days; when it closes does not change.
    pub fn with_jitter(self, most: SignedDuration, host: &str) -> Result<Self, WindowError> {
        let longest = self.lasts.saturating_sub(SHORTEST);
        if most > longest || most.is_negative() {
            return Err(WindowError::Jitter {
                jitter: most,
                lasts: self.lasts,
                most: longest,
            });
        }
        let jitter = Jitter {
            most,
            host: host.to_owned(),
            always: false,
        };
        Ok(Self { jitter, ..self })
    }

    /// The same window, opening as late as its jitter may ever let it.
    #[must_use]
    pub fn at_its_latest(&self) -> Self {
        let jitter = Jitter {
            always: true,
            ..self.jitter.clone()
        };
        Self {
            jitter,
            ..self.clone()
        }
    }

    /// The same window, its times meant in another zone.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// The name the operator gave it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its calendar, line by line.
    pub fn opens(&self) -> &[Calendar] {
        &self.opens
    }

    /// How long each opening lasts, as written.
    pub const fn lasts(&self) -> SignedDuration {
        self.lasts
    }

    /// The zone in which its times are meant.
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// What may start in it.
    pub const fn allow(&self) -> &BTreeSet<Class> {
        &self.allow
    }

    /// Whether work of this class may start in it.
    pub fn allows(&self, class: Class) -> bool {
        self.allow.contains(&class)
    }

    /// Whether the window is open at `at`.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.current(at).is_some()
    }

    /// The opening that holds `at`; where several do, the one that ends last.
    pub fn current(&self, at: Timestamp) -> Option<Opening> {
        let just_after = at.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let around = self.openings(at, just_after).into_iter();
        around
            .filter(|opening| opening.holds(at))
            .max_by_key(|opening| opening.end)
    }

    /// The first opening that starts strictly later than `after`, if one does within [`HORIZON`].
    pub fn next_opening(&self, after: Timestamp) -> Option<Opening> {
        schedule::horizons(after).find_map(|to| {
            let openings = self.openings(after, to).into_iter();
            openings
                .filter(|opening| opening.start > after)
                .min_by_key(|opening| opening.start)
        })
    }

    /// The opening that started last before `before`, looked for eight years back, so that a leap day is found.
    pub fn last_opening(&self, before: Timestamp) -> Option<Opening> {
        let from = before.checked_sub(HORIZON.checked_mul(8)?).ok()?;
        let mut openings = self.openings(from, before).into_iter();
        openings.rfind(|opening| opening.start < before)
    }

    /// The same window with one line of its calendar, counted from 0.
    pub fn only_line(&self, line: usize) -> Option<Self> {
        let opens = vec![self.opens.get(line)?.clone()];
        Some(Self {
            opens,
            ..self.clone()
        })
    }

    /// Every opening that has an instant in `[from, to)`, by its start.
    pub fn openings(&self, from: Timestamp, to: Timestamp) -> Vec<Opening> {
        let mut openings: Vec<Opening> = self
            .days(from, to)
            .flat_map(|date| {
                self.opens
                    .iter()
                    .filter_map(move |line| self.opening_on(line, date))
            })
            .filter(|opening| from < to && opening.start < to && opening.end > from)
            .collect();
        openings.sort_unstable();
        openings
    }

    /// The days whose openings can reach into `[from, to)`. Two days more than its length before, and one after: a gap in
    /// the clock can put an opening off, by a day where a zone left one out.
    fn days(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Date> + use<> {
        let day_of = |at| self.zone.to_datetime(at).date();
        let earliest = from.checked_sub(LONGEST).unwrap_or(Timestamp::MIN);
        let back = |date: Date| date.yesterday().unwrap_or(date);
        let first = back(back(day_of(earliest)));
        let last = day_of(to).tomorrow().unwrap_or(Date::MAX);
        std::iter::successors(Some(first), |date| date.tomorrow().ok())
            .take_while(move |date| *date <= last)
    }

    fn opening_on(&self, line: &Calendar, date: Date) -> Option<Opening> {
        if !line.is_on(date) {
            return None;
        }
        let written = local::first(&self.zone, line.nominal(date))?;
        let start = written.checked_add(self.jitter.on(&self.id, date)).ok()?;
        let end = written.checked_add(self.lasts).ok()?;
        Some(Opening { start, end })
    }
}

impl Jitter {
    /// Whole seconds from nothing to the most, spread evenly.
    fn on(&self, window: &str, date: Date) -> SignedDuration {
        let Some(n_choices) = u64::try_from(self.most.as_secs())
            .ok()
            .filter(|most| *most > 0)
        else {
            return SignedDuration::ZERO;
        };
        if self.always {
            return self.most;
        }
        let hash = Sha256::digest(format!(
            "mastopatch jitter 1\n{}\n{window}\n{date}",
            self.host
        ));
        let mut first = [0_u8; 8];
        first
            .iter_mut()
            .zip(hash)
            .for_each(|(byte, from)| *byte = from);
        let seconds = u64::from_be_bytes(first)
            .checked_rem(n_choices.saturating_add(1))
            .unwrap_or_default();
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or_default())
    }
}

/// The first instant at which a zone's wall clock shows `local`, or where it never does, the first after the gap.
pub fn instant(zone: &TimeZone, local: jiff::civil::DateTime) -> Option<Timestamp> {
    local::first(zone, local)
}

impl Opening {
    /// Whether `at` lies inside.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// How much of it is left at `at`; zero outside.
    pub fn left(&self, at: Timestamp) -> SignedDuration {
        if self.holds(at) {
            self.end.duration_since(at)
        } else {
            SignedDuration::ZERO
        }
    }
}
