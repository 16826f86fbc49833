//! Maintenance windows: when the calendar lets work begin.
//!
//! A window belongs to the day on which it opens and lasts a fixed *elapsed* time, so a change of the clocks makes it
//! neither longer nor shorter. It is half-open: it holds its start and not its end.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::policy::Class;

/// The shortest window: a run with its rollback does not fit into less.
pub const SHORTEST: SignedDuration = SignedDuration::from_mins(15);
/// The longest window: openings of one calendar line then overlap at most their neighbours.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// How many days around an instant are looked at. Calendars repeat weekly; the rest is for zones that skip a day.
const HORIZON_DAYS: usize = 16;

/// A window of the weekly calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    id: String,
    opens: Vec<OpensAt>,
    lasts: SignedDuration,
    zone: TimeZone,
    allow: BTreeSet<Class>,
}

/// One line of a calendar: days of the week and a time of day, such as `Sat,Sun 23:30`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpensAt {
    /// Days counted from Monday = 0; never empty.
    days: BTreeSet<i8>,
    hour: i8,
    minute: i8,
}

/// One concrete opening of a window, `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    #[error("the window never opens; give at least one time")]
    NeverOpens,
    /// Its length is out of bounds.
    #[error("a window lasts between 15 minutes and 24 hours, not {0:#}")]
    Length(SignedDuration),
    /// Nothing may start in it.
    #[error("the window allows nothing to start in it")]
    AllowsNothing,
}

/// Why a text is no line of a calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACalendar {
    /// The time of day is missing or odd.
    #[error("`{0}` is not a time of day; write hours and minutes, such as `02:00`")]
    Time(String),
    /// A day is unknown.
    #[error("`{0}` is not a day of the week; use Mon, Tue, Wed, Thu, Fri, Sat or Sun")]
    Weekday(String),
    /// A range of days runs backwards.
    #[error("the days `{0}` run backwards; list them instead, such as `Sat,Sun,Mon`")]
    Backwards(String),
    /// A date was given.
    #[error("dates such as `{0}` are not supported yet; use days of the week")]
    Date(String),
    /// More words than days and a time.
    #[error("`{0}` is not days of the week and a time, such as `Sat,Sun 23:30`")]
    Shape(String),
}

impl Window {
    /// Makes a window; `zone` is the zone in which its times are meant.
    pub fn new(
        id: String,
        opens: Vec<OpensAt>,
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
        })
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

    /// How long each opening lasts.
    pub const fn lasts(&self) -> SignedDuration {
        self.lasts
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
        self.openings_around(at)
            .filter(|opening| opening.holds(at))
            .max_by_key(|opening| opening.end)
    }

    /// The first opening that starts strictly later than `after`.
    pub fn next_opening(&self, after: Timestamp) -> Option<Opening> {
        self.openings_around(after)
            .filter(|opening| opening.start > after)
            .min_by_key(|opening| opening.start)
    }

    /// Every opening from a few days before `at` until more than a week after it, in no order.
    fn openings_around(&self, at: Timestamp) -> impl Iterator<Item = Opening> {
        let today = self.zone.to_datetime(at).date();
        let first = (0..3)
            .try_fold(today, |date, _| date.yesterday())
            .unwrap_or(today);
        let days =
            std::iter::successors(Some(first), |date| date.tomorrow().ok()).take(HORIZON_DAYS);
        days.flat_map(move |date| {
            self.opens
                .iter()
                .filter_map(move |opens| self.opening_on(opens, date))
        })
    }

    fn opening_on(&self, opens: &OpensAt, date: Date) -> Option<Opening> {
        if !opens.days.contains(&date.weekday().to_monday_zero_offset()) {
            return None;
        }
        let start = first_instant(&self.zone, date.at(opens.hour, opens.minute, 0, 0))?;
        let end = start.checked_add(self.lasts).ok()?;
        Some(Opening { start, end })
    }
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

/// The instant a wall clock first shows `local`; where it never does because clocks are put forward, the first instant
/// after the gap.
fn first_instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            // Read with the old offset, `local` lies at or after the change; the last change up to there is the gap's end.
            let inside = before
                .to_timestamp(local)
                .ok()?
                .checked_add(SignedDuration::from_nanos(1))
                .ok()?;
            zone.preceding(inside)
                .next()
                .map(|change| change.timestamp())
        }
    }
}

impl FromStr for OpensAt {
    type Err = NotACalendar;

    /// Reads `[days] HH:MM`; without days it is every day. Days are lists and ranges: `Mon..Thu,Sat`.
    fn from_str(text: &str) -> Result<Self, NotACalendar> {
        let shape = || NotACalendar::Shape(text.to_owned());
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (days, time) = match words.as_slice() {
            [time] => (None, *time),
            [days, time] => (Some(*days), *time),
            [_, date, _] if date.contains('-') => {
                return Err(NotACalendar::Date((*date).to_owned()));
            }
            _ => return Err(shape()),
        };
        let days = match days {
            None => (0..7).collect(),
            Some(date) if date.contains('-') => return Err(NotACalendar::Date(date.to_owned())),
            Some(days) => read_days(days)?,
        };
        let (hour, minute) = read_time(time).ok_or_else(|| NotACalendar::Time(time.to_owned()))?;
        Ok(Self { days, hour, minute })
    }
}

fn read_days(text: &str) -> Result<BTreeSet<i8>, NotACalendar> {
    let mut days = BTreeSet::new();
    for item in text.split(',') {
        match item.split_once("..") {
            None => {
                days.insert(read_day(item)?);
            }
            Some((first, last)) => {
                let (first, last) = (read_day(first)?, read_day(last)?);
                if first > last {
                    return Err(NotACalendar::Backwards(item.to_owned()));
                }
                days.extend(first..=last);
            }
        }
    }
    Ok(days)
}

fn read_day(text: &str) -> Result<i8, NotACalendar> {
    let day = match text.to_ascii_lowercase().as_str() {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return Err(NotACalendar::Weekday(text.to_owned())),
    };
    Ok(day.to_monday_zero_offset())
}

fn read_time(text: &str) -> Option<(i8, i8)> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<i8>().ok())
    };
    let (hour, minute) = (two_digits(hour)??, two_digits(minute)??);
    (hour < 24 && minute < 60).then_some((hour, minute))
}

impl fmt::Display for OpensAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days.len() < 7 {
            let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
            let days: Vec<&str> = (0..7)
                .zip(names)
                .filter(|(day, _)| self.days.contains(day))
                .map(|(_, name)| name)
                .collect();
            write!(f, "{} ", days.join(","))?;
        }
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn window(opens: &str, hours: i64) -> Window {
        let opens = opens.split(';').map(|line| line.parse().unwrap()).collect();
        let allow = BTreeSet::from([Class::Security]);
        Window::new(
            "w".to_owned(),
            opens,
            SignedDuration::from_hours(hours),
            berlin(),
            allow,
        )
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(window: &Window, after: &str) -> (String, String) {
        let opening = window.next_opening(at(after)).unwrap();
        (opening.start.to_string(), opening.end.to_string())
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let window = window("Sat,Sun 23:30", 2);
        for (instant, open) in [
            ("2026-01-10T22:29:59Z", false),
            ("2026-01-10T22:30:00Z", true),
            ("2026-01-11T00:29:59Z", true),
            ("2026-01-11T00:30:00Z", false),
            // Sunday's opening runs into Monday, and Friday night is closed.
            ("2026-01-12T00:15:00Z", true),
            ("2026-01-10T00:15:00Z", false),
        ] {
            assert_eq!(window.contains(at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn in_the_night_the_clocks_go_forward_it_opens_after_the_gap_and_lasts_as_long() {
        let window = window("Sun 02:30", 2);
        assert_eq!(
            next(&window, "2026-03-28T12:00:00Z"),
            ("2026-03-29T01:00:00Z".into(), "2026-03-29T03:00:00Z".into())
        );
        let early = self::window("Sun 02:00", 2);
        assert_eq!(
            next(&early, "2026-03-28T12:00:00Z"),
            ("2026-03-29T01:00:00Z".into(), "2026-03-29T03:00:00Z".into())
        );
        let late = self::window("Sun 03:00", 2);
        assert_eq!(
            next(&late, "2026-03-28T12:00:00Z"),
            ("2026-03-29T01:00:00Z".into(), "2026-03-29T03:00:00Z".into())
        );
    }

    #[test]
    fn in_the_night_the_clocks_go_back_it_opens_once_at_the_first_of_the_two() {
        let window = window("Sun 02:30", 2);
        assert_eq!(
            next(&window, "2026-10-24T12:00:00Z"),
            ("2026-10-25T00:30:00Z".into(), "2026-10-25T02:30:00Z".into())
        );
        assert_eq!(
            next(&window, "2026-10-25T00:30:00Z"),
            ("2026-11-01T01:30:00Z".into(), "2026-11-01T03:30:00Z".into())
        );
    }

    #[test]
    fn a_day_long_window_every_day_is_always_open() {
        let window = window("00:00", 24);
        for instant in [
            "2026-03-29T12:00:00Z",
            "2026-10-25T22:30:00Z",
            "2026-10-25T23:00:00Z",
        ] {
            // On the 25-hour day the last hour is outside: 24 elapsed hours are over.
            assert_eq!(
                window.contains(at(instant)),
                instant != "2026-10-25T22:30:00Z",
                "{instant}"
            );
        }
        assert_eq!(
            window.current(at("2026-03-29T22:30:00Z")).unwrap().end,
            at("2026-03-30T22:00:00Z")
        );
    }

    #[test]
    fn lists_and_ranges_of_days_are_read() {
        for (text, shown) in [
            ("Sun 02:00", "Sun 02:00"),
            ("Mon..Thu,Sat 02:05", "Mon,Tue,Wed,Thu,Sat 02:05"),
            ("mon..sun 23:59", "23:59"),
            ("02:00", "02:00"),
            ("  Sat,Sun   23:30 ", "Sat,Sun 23:30"),
        ] {
            assert_eq!(text.parse::<OpensAt>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<OpensAt>().unwrap_err();
        assert_eq!(
            refused("Sun *-*-1..7 01:00"),
            NotACalendar::Date("*-*-1..7".to_owned())
        );
        assert_eq!(
            refused("2026-01-01 01:00"),
            NotACalendar::Date("2026-01-01".to_owned())
        );
        assert_eq!(
            refused("Son 01:00"),
            NotACalendar::Weekday("Son".to_owned())
        );
        assert_eq!(
            refused("Sat..Mon 01:00"),
            NotACalendar::Backwards("Sat..Mon".to_owned())
        );
        assert_eq!(
            refused("Mon..Wed..Fri 01:00"),
            NotACalendar::Weekday("Wed..Fri".to_owned())
        );
        for time in ["24:00", "2:00", "02:60", "02:00:00", "02", "+2:00"] {
            assert_eq!(
                refused(&format!("Sun {time}")),
                NotACalendar::Time(time.to_owned())
            );
        }
        assert_eq!(refused(""), NotACalendar::Shape(String::new()));
    }

    #[test]
    fn a_window_that_is_too_short_too_long_or_useless_is_refused() {
        let make = |minutes, classes: &[Class]| {
            let opens = vec!["02:00".parse().unwrap()];
            let allow = classes.iter().copied().collect();
            Window::new(
                "w".to_owned(),
                opens,
                SignedDuration::from_mins(minutes),
                berlin(),
                allow,
            )
        };
        assert!(make(15, &[Class::Patch]).is_ok() && make(24 * 60, &[Class::Patch]).is_ok());
        assert!(matches!(
            make(14, &[Class::Patch]),
            Err(WindowError::Length(_))
        ));
        assert!(matches!(
            make(24 * 60 + 1, &[Class::Patch]),
            Err(WindowError::Length(_))
        ));
        assert_eq!(make(60, &[]), Err(WindowError::AllowsNothing));
    }
}
