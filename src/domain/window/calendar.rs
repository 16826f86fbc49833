//! One line of a calendar, such as `Sat,Sun 23:30` or `Sun *-*-1..7 01:00`.
//!
//! ```text
//! calendar = [ weekdays " " ] [ date " " ] time
//! weekdays = weekday { ( "," | ".." ) weekday }       Mon Tue Wed Thu Fri Sat Sun
//! date     = ( year | "*" ) "-" list ( "-" list | "~" list )    "~": days counted from the month's end, 1 the last
//! list     = "*" | item { "," item }      item = number | number ".." number
//! time     = HH ":" MM
//! ```
//!
//! Whatever is accepted here is a valid `OnCalendar=` of systemd, so it can be tried with `systemd-analyze calendar`. What
//! it means where clocks change is ours, see [`super::local`]. So a list after `~` may not hold all that the grammar would
//! let it: behind each smaller item, systemd knows three days fewer.

use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::{Date, DateTime};

mod grammar;

pub use grammar::{CalendarFault, NotACalendar};

/// Names of the weekdays, from Monday on. Never localised: a file means the same on every host.
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// One line of a calendar: the days on which something opens, and the time of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Days counted from Monday = 0; never empty.
    weekdays: BTreeSet<i8>,
    year: Option<i16>,
    /// None: every month.
    months: Option<BTreeSet<i8>>,
    days: Days,
    hour: i8,
    minute: i8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    Every,
    /// Counted from the first, 1.
    FromStart(BTreeSet<i8>),
    /// Counted from the last, 1.
    FromEnd(BTreeSet<i8>),
}

impl Calendar {
    /// Whether it opens on this day, as the zone's calendar counts days.
    pub fn is_on(&self, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        let from_end = date
            .days_in_month()
            .saturating_sub(date.day())
            .saturating_add(1);
        self.weekdays.contains(&weekday)
            && self.year.is_none_or(|year| year == date.year())
            && self
                .months
                .as_ref()
                .is_none_or(|months| months.contains(&date.month()))
            && match &self.days {
                Days::Every => true,
                Days::FromStart(days) => days.contains(&date.day()),
                Days::FromEnd(days) => days.contains(&from_end),
            }
    }

    /// What the wall clock shows when it opens on this day.
    pub(super) fn nominal(&self, date: Date) -> DateTime {
        date.at(self.hour, self.minute, 0, 0)
    }

    /// The year that is written, if one is: it opens in that year only.
    pub const fn year(&self) -> Option<i16> {
        self.year
    }

    /// Why it can never open in any year, if that is so.
    fn impossible(&self) -> Option<String> {
        // The calendar repeats after 400 years, and in them every date falls on every day of the week.
        let Some(year) = self.year else {
            let longest = |month: &i8| match month {
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let Days::FromStart(days) = &self.days else {
                return None;
            };
            let months: Vec<i8> = self.months.iter().flatten().copied().collect();
            let none = !months.is_empty()
                && months
                    .iter()
                    .all(|month| days.iter().all(|day| *day > longest(month)));
            return none.then(|| "no such day is in any year; the months end before".to_owned());
        };
        let first = Date::new(year, 1, 1).ok()?;
        let mut dates = std::iter::successors(Some(first), |date| date.tomorrow().ok())
            .take_while(|date| date.year() == year);
        if dates.clone().any(|date| self.is_on(date)) {
            return None;
        }
        let any_weekday = Self {
            weekdays: (0..7).collect(),
            ..self.clone()
        };
        Some(match dates.find(|date| any_weekday.is_on(*date)) {
            Some(date) => format!("{date} is a {}", weekday_name(date)),
            None => format!("no such day is in {year}; the months end before"),
        })
    }
}

fn weekday_name(date: Date) -> &'static str {
    match date.weekday() {
        jiff::civil::Weekday::Monday => "Monday",
        jiff::civil::Weekday::Tuesday => "Tuesday",
        jiff::civil::Weekday::Wednesday => "Wednesday",
        jiff::civil::Weekday::Thursday => "Thursday",
        jiff::civil::Weekday::Friday => "Friday",
        jiff::civil::Weekday::Saturday => "Saturday",
        jiff::civil::Weekday::Sunday => "Sunday",
    }
}

fn short_name(day: i8) -> Option<&'static str> {
    WEEKDAYS.get(usize::try_from(day).ok()?).copied()
}

impl fmt::Display for Calendar {
    /// In the shape in which it is read; the same days always give the same text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weekdays.len() < 7 {
            let days: Vec<&str> = self
                .weekdays
                .iter()
                .copied()
                .filter_map(short_name)
                .collect();
            write!(f, "{} ", days.join(","))?;
        }
        if self.year.is_some() || self.months.is_some() || self.days != Days::Every {
            match self.year {
                Some(year) => write!(f, "{year:04}-")?,
                None => f.write_str("*-")?,
            }
            let (between, days) = match &self.days {
                Days::Every => ("-", None),
                Days::FromStart(days) => ("-", Some(days)),
                Days::FromEnd(days) => ("~", Some(days)),
            };
            write!(f, "{}{between}{} ", list(self.months.as_ref()), list(days))?;
        }
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// `*`, or the numbers with neighbours joined: `1..7,15`.
fn list(numbers: Option<&BTreeSet<i8>>) -> String {
    let Some(numbers) = numbers else {
        return "*".to_owned();
    };
    let mut ranges: Vec<(i8, i8)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.saturating_add(1) == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let texts = ranges.into_iter().map(|(first, last)| {
        if first == last {
            format!("{first:02}")
        } else {
            format!("{first:02}..{last:02}")
        }
    });
    texts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
