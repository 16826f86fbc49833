//! Blackouts: stretches in which nothing may be under way, whatever the windows say.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Opening, local};

/// A stretch in which nothing may be under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blackout {
    id: String,
    days: Days,
    strength: Strength,
    reason: String,
    zone: TimeZone,
}

/// When a blackout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    /// Once, `[from, to)` as the wall clock shows it.
    Once {
        /// The first minute inside.
        from: DateTime,
        /// The first minute after it.
        to: DateTime,
    },
    /// Every year, whole days, the last one included.
    Yearly {
        /// Month and day of the first.
        first: (i8, i8),
        /// Month and day of the last; before the first where it spans the new year.
        last: (i8, i8),
    },
}

/// What a blackout gives way to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// A rule that says so (`may_break`) goes on in it.
    Soft,
    /// Nothing does.
    Hard,
}

/// Why a blackout cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlackoutError {
    /// Not a date and time.
    #[error("`{0}` is not a date and a time of day; write `2026-09-25T18:00`")]
    Instant(String),
    /// Not a range of days.
    #[error("`{0}` is not a range of days of the year; write month and day twice: `12-20/01-02`")]
    Range(String),
    /// No such day in any year.
    #[error("`{0}` is in no year; write month and day, such as `12-20`")]
    NoSuchDay(String),
    /// It ends before it begins.
    #[error("it ends before it begins; `to` must be later than `from`")]
    Empty,
    /// Nobody says why.
    #[error("say why; the reason stands in every explanation and mail")]
    NoReason,
}

impl Blackout {
    /// Makes a blackout; `zone` is the zone in which its times are meant.
    pub fn new(
        id: String,
        days: Days,
        strength: Strength,
        reason: String,
        zone: TimeZone,
    ) -> Result<Self, BlackoutError> {
        if reason.trim().is_empty() {
            return Err(BlackoutError::NoReason);
        }
        if matches!(days, Days::Once { from, to } if from >= to) {
            return Err(BlackoutError::Empty);
        }
        Ok(Self {
            id,
            days,
            strength,
            reason,
            zone,
        })
    }

    /// The same blackout, its times meant in another zone.
    #[must_use]
    pub fn in_zone(self, zone: TimeZone) -> Self {
        Self { zone, ..self }
    }

    /// The name the operator gave it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it gives way to.
    pub const fn strength(&self) -> Strength {
        self.strength
    }

    /// Why there is one.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When it is, as written.
    pub const fn days(&self) -> Days {
        self.days
    }

    /// Every stretch of it that has an instant in `[from, to)`, by its start.
    ///
    /// Where clocks change it is rather too long than too short: it begins with the first of two equal times, and ends
    /// with the last.
    pub fn stretches(&self, from: Timestamp, to: Timestamp) -> Vec<Opening> {
        let year_of = |at| self.zone.to_datetime(at).date().year();
        let all: Vec<Option<Opening>> = match self.days {
            Days::Once { from, to } => vec![self.between(from, to)],
            Days::Yearly { first, last } => {
                // One that began in the year before may still go on.
                let years = year_of(from).saturating_sub(1)..=year_of(to);
                years.map(|year| self.in_year(year, first, last)).collect()
            }
        };
        let mut all: Vec<Opening> = all
            .into_iter()
            .flatten()
            .filter(|stretch| from < to && stretch.start < to && stretch.end > from)
            .collect();
        all.sort_unstable();
        all
    }

    fn between(&self, from: DateTime, to: DateTime) -> Option<Opening> {
        let start = local::first(&self.zone, from)?;
        let end = local::last(&self.zone, to)?;
        (start < end).then_some(Opening { start, end })
    }

    fn in_year(&self, year: i16, first: (i8, i8), last: (i8, i8)) -> Option<Opening> {
        let last_year = if last < first {
            year.checked_add(1)?
        } else {
            year
        };
        // 29 February where there is none: a blackout begins on the day after it and ends on the day before.
        let begins = Date::new(year, first.0, first.1)
            .or_else(|_| Date::new(year, 3, 1))
            .ok()?;
        let ends = Date::new(last_year, last.0, last.1)
            .and_then(Date::tomorrow)
            .or_else(|_| Date::new(last_year, 3, 1))
            .ok()?;
        self.between(begins.at(0, 0, 0, 0), ends.at(0, 0, 0, 0))
    }
}

impl Days {
    /// Reads the two ends of a blackout that is once, `2026-09-25T18:00`.
    pub fn once(from: DateTime, to: DateTime) -> Self {
        Self::Once { from, to }
    }

    /// Reads date and time as the wall clock shows them; a length or a zone with it is refused.
    pub fn moment(text: &str) -> Result<DateTime, BlackoutError> {
        let bad = || BlackoutError::Instant(text.to_owned());
        // Exactly as shown: the library reads more shapes than people should have to know.
        let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let seen: String = text.chars().map(shape).collect();
        if seen != "0000-00-00T00:00" && seen != "0000-00-00 00:00" {
            return Err(bad());
        }
        text.parse().map_err(|_err| bad())
    }
}

impl FromStr for Days {
    type Err = BlackoutError;

    /// Reads a range of days of the year, `12-20/01-02`.
    fn from_str(text: &str) -> Result<Self, BlackoutError> {
        let bad = || BlackoutError::Range(text.to_owned());
        let (first, last) = text.split_once('/').ok_or_else(bad)?;
        let day = |part: &str| {
            let (month, day) = part.split_once('-').ok_or_else(bad)?;
            let number = |digits: &str| {
                let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
                digits.parse::<i8>().ok().filter(|_| two).ok_or_else(bad)
            };
            let (month, day) = (number(month)?, number(day)?);
            // A leap year has every day there is.
            Date::new(2024, month, day)
                .map_err(|_err| BlackoutError::NoSuchDay(part.to_owned()))?;
            Ok((month, day))
        };
        Ok(Self::Yearly {
            first: day(first)?,
            last: day(last)?,
        })
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once { from, to } => {
                let shape = "%Y-%m-%d %H:%M";
                write!(f, "{} to {}", from.strftime(shape), to.strftime(shape))
            }
            Self::Yearly { first, last } => write!(
                f,
                "every year {:02}-{:02}/{:02}-{:02}",
                first.0, first.1, last.0, last.1
            ),
        }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

impl Strength {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Soft, Self::Hard];
}

/// Puts stretches that touch or overlap together; what comes must be sorted by start.
pub(super) fn merged(stretches: impl Iterator<Item = Opening>) -> Vec<Opening> {
    let mut merged: Vec<Opening> = Vec::new();
    for stretch in stretches {
        match merged.last_mut() {
            Some(last) if stretch.start <= last.end => last.end = last.end.max(stretch.end),
            _ => merged.push(stretch),
        }
    }
    merged
}

/// How long a stretch is.
pub(super) fn length(stretch: &Opening) -> SignedDuration {
    stretch.end.duration_since(stretch.start)
}
