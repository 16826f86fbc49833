//! Reads a line of a calendar, or says what is wrong with it, where, and what to write instead.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::{Calendar, Days, WEEKDAYS, short_name};

/// What systemd knows as years.
const YEARS: Bounds = Bounds {
    what: "year",
    least: 1970,
    most: 2199,
};
const MONTHS: Bounds = Bounds {
    what: "month",
    least: 1,
    most: 12,
};
const DAYS: Bounds = Bounds {
    what: "day of the month",
    least: 1,
    most: 31,
};
/// Every month has that many days, so counting from the end never leaves it; systemd stops here, too.
const DAYS_FROM_END: Bounds = Bounds {
    what: "day counted from the month's end",
    least: 1,
    most: 28,
};

/// Why a text is no line of a calendar, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct NotACalendar {
    /// How many bytes of the text stand before the mistake.
    pub at: usize,
    /// What it is.
    pub fault: CalendarFault,
}

/// What can be wrong with a line of a calendar. Every message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarFault {
    /// Nothing was written.
    #[error("nothing is written here; write days and a time, such as `Sat,Sun 23:30`")]
    Empty,
    /// Blanks around it.
    #[error("there is a blank at the beginning or the end; take it away")]
    Blank,
    /// Not the shape of a calendar.
    #[error(
        "`{0}` is too much; a calendar is days and a time, such as `Sat,Sun 23:30` or `Sun *-*-1..7 01:00`, and its zone stands in `zone`"
    )]
    TooMuch(String),
    /// The time of day stands in front.
    #[error("the time stands last: write `{0}`")]
    Order(String),
    /// The time of day is missing or odd.
    #[error("`{text}` is not a time of day; {hint}")]
    Time {
        /// What was written.
        text: String,
        /// What to write.
        hint: String,
    },
    /// A day is unknown.
    #[error("`{text}` is not a day of the week{}", meant(.near))]
    Weekday {
        /// What was written.
        text: String,
        /// What may have been meant.
        near: Vec<&'static str>,
    },
    /// A range runs backwards.
    #[error("`{text}` runs backwards; write `{instead}`")]
    Backwards {
        /// What was written.
        text: String,
        /// The same as a list or in order.
        instead: String,
    },
    /// Not the shape of a date.
    #[error("`{text}` is not a date; {hint}")]
    Date {
        /// What was written.
        text: String,
        /// What to write.
        hint: String,
    },
    /// A number is none, or out of bounds.
    #[error("`{text}` is not a {what} ({least} to {most})")]
    Number {
        /// What was written.
        text: String,
        /// What it should be.
        what: &'static str,
        /// The least that it may be.
        least: i16,
        /// The most.
        most: i16,
    },
    /// A day counted from the month's end that systemd does not read behind the others of its list.
    #[error(
        "`{0}` is too far from the month's end for this list, and systemd would not read it; join neighbours, such as `1..3`, or give it a line of its own"
    )]
    OwnLine(String),
    /// No such day exists in any year, such as 30 February or a Monday that is a Thursday.
    #[error("{0}")]
    NoSuchDay(String),
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    what: &'static str,
    least: i16,
    most: i16,
}

/// A part of the text and how many bytes stand before it.
type Part<'a> = (usize, &'a str);

impl FromStr for Calendar {
    type Err = NotACalendar;

    fn from_str(text: &str) -> Result<Self, NotACalendar> {
        let fail = |at, fault| Err(NotACalendar { at, fault });
        if text.trim().is_empty() {
            return fail(0, CalendarFault::Empty);
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            let at = if text.starts_with(' ') {
                0
            } else {
                text.trim_end().len()
            };
            return fail(at, CalendarFault::Blank);
        }
        let words: Vec<Part<'_>> = split(text, 0, " ")
            .filter(|(_, word)| !word.is_empty())
            .collect();
        let (weekdays, date, time) = match *words.as_slice() {
            [time] => (None, None, time),
            [(_, first), (_, second)] if is_time(first) && !is_time(second) => {
                return fail(0, CalendarFault::Order(format!("{second} {first}")));
            }
            [date, time] if looks_like_date(date.1) => (None, Some(date), time),
            [weekdays, time] => (Some(weekdays), None, time),
            [weekdays, date, time] if is_time(time.1) || !is_time(date.1) => {
                (Some(weekdays), Some(date), time)
            }
            [_, _, _, (at, word), ..] | [.., (at, word)] => {
                return fail(at, CalendarFault::TooMuch(word.to_owned()));
            }
            [] => return fail(0, CalendarFault::Empty),
        };
        let weekdays = weekdays.map_or_else(|| Ok((0..7).collect()), read_weekdays)?;
        let (year, months, days) = date.map_or(Ok((None, None, Days::Every)), read_date)?;
        let (hour, minute) = read_time(time)?;
        let calendar = Self {
            weekdays,
            year,
            months,
            days,
            hour,
            minute,
        };
        match calendar.impossible() {
            Some(why) => fail(date.map_or(0, |(at, _)| at), CalendarFault::NoSuchDay(why)),
            None => Ok(calendar),
        }
    }
}

/// Splits and keeps the places.
fn split<'a>(
    text: &'a str,
    start: usize,
    separator: &'static str,
) -> impl Iterator<Item = Part<'a>> {
    let mut at = start;
    text.split(separator).map(move |part| {
        let here = at;
        at = at
            .saturating_add(part.len())
            .saturating_add(separator.len());
        (here, part)
    })
}

fn looks_like_date(text: &str) -> bool {
    text.contains(['-', '~', '/', '*']) || text.starts_with(|c: char| c.is_ascii_digit())
}

fn is_time(text: &str) -> bool {
    text.contains(':')
}

fn read_weekdays((start, text): Part<'_>) -> Result<BTreeSet<i8>, NotACalendar> {
    let mut days = BTreeSet::new();
    for (at, item) in split(text, start, ",") {
        let Some((first, last)) = item.split_once("..") else {
            days.insert(read_weekday((at, item))?);
            continue;
        };
        let place = at.saturating_add(first.len()).saturating_add(2);
        let (from, to) = (read_weekday((at, first))?, read_weekday((place, last))?);
        if from > to {
            // Round the end of the week, day by day.
            let listed: Vec<&str> = (from..7).chain(0..=to).filter_map(short_name).collect();
            let fault = CalendarFault::Backwards {
                text: item.to_owned(),
                instead: listed.join(","),
            };
            return Err(NotACalendar { at, fault });
        }
        days.extend(from..=to);
    }
    Ok(days)
}

fn read_weekday((at, text): Part<'_>) -> Result<i8, NotACalendar> {
    let named = (0..)
        .zip(WEEKDAYS)
        .find(|(_, name)| name.eq_ignore_ascii_case(text));
    if let Some((day, _)) = named {
        return Ok(day);
    }
    let typed = text.to_ascii_lowercase();
    let begins = |name: &&str| typed.len() > 3 && typed.starts_with(&name.to_ascii_lowercase());
    let mut near: Vec<&'static str> = WEEKDAYS.into_iter().filter(begins).collect();
    if near.is_empty() && typed.len() > 1 {
        let close = |name: &&str| strsim::osa_distance(&typed, &name.to_ascii_lowercase()) == 1;
        near = WEEKDAYS.into_iter().filter(close).collect();
    }
    let fault = CalendarFault::Weekday {
        text: text.to_owned(),
        near,
    };
    Err(NotACalendar { at, fault })
}

const SHAPE: &str =
    "write year, month and day, such as `2026-11-05`, `*-*-1..7` or, counted from the end, `*-*~1`";

type ReadDate = (Option<i16>, Option<BTreeSet<i8>>, Days);

fn read_date((start, text): Part<'_>) -> Result<ReadDate, NotACalendar> {
    let odd = |hint: &str| NotACalendar {
        at: start,
        fault: CalendarFault::Date {
            text: text.to_owned(),
            hint: hint.to_owned(),
        },
    };
    if text.contains('/') {
        return Err(odd(
            "repetitions with `/` are not supported; list the days instead, such as `*-*-1,11,21`",
        ));
    }
    if text.contains("-~") {
        return Err(odd(&format!(
            "write `{}`: the `~` stands in place of the `-`",
            text.replace("-~", "~")
        )));
    }
    let parts: Vec<Part<'_>> = split(text, start, "-").collect();
    let (year, months, (days_at, days, from_end)) = match *parts.as_slice() {
        [year, months, (at, days)] if !text.contains('~') => (year, months, (at, days, false)),
        [year, (at, rest)] => match rest.split_once('~') {
            Some((months, days)) => {
                let place = at.saturating_add(months.len()).saturating_add(1);
                (year, (at, months), (place, days, true))
            }
            None => {
                return Err(odd(&format!(
                    "a year comes first: write `*-{text}` for every year"
                )));
            }
        },
        _ => return Err(odd(SHAPE)),
    };
    let year = match year {
        (_, "*") => None,
        (at, text) if text.len() == 4 => Some(read_number((at, text), YEARS)?),
        (at, text) => return Err(out_of((at, text), YEARS)),
    };
    let months = read_list(months, MONTHS)?;
    let bounds = if from_end { DAYS_FROM_END } else { DAYS };
    let listed = read_list((days_at, days), bounds)?;
    if from_end {
        own_line((days_at, days))?;
    }
    let days = match listed {
        None if from_end => return Err(odd(&format!("write `{}`", text.replace('~', "-")))),
        None => Days::Every,
        Some(days) if from_end => Days::FromEnd(days),
        Some(days) => Days::FromStart(days),
    };
    Ok((year, months, days))
}

/// Gives nothing for `*`.
fn read_list(
    (start, text): Part<'_>,
    bounds: Bounds,
) -> Result<Option<BTreeSet<i8>>, NotACalendar> {
    if text == "*" {
        return Ok(None);
    }
    let mut numbers = BTreeSet::new();
    for (at, item) in split(text, start, ",") {
        let Some((first, last)) = item.split_once("..") else {
            numbers.insert(read_small((at, item), bounds)?);
            continue;
        };
        let place = at.saturating_add(first.len()).saturating_add(2);
        let (from, to) = (
            read_small((at, first), bounds)?,
            read_small((place, last), bounds)?,
        );
        if from > to {
            let fault = CalendarFault::Backwards {
                text: item.to_owned(),
                instead: format!("{last}..{first}"),
            };
            return Err(NotACalendar { at, fault });
        }
        numbers.extend(from..=to);
    }
    Ok(Some(numbers))
}

/// Refuses the days that systemd refuses in a list counted from the month's end: behind each smaller item it knows three
/// days fewer. The list must have been read before.
fn own_line((start, text): Part<'_>) -> Result<(), NotACalendar> {
    let number = |digits: &str| digits.parse::<u8>().unwrap_or_default();
    let items = split(text, start, ",").map(|(at, item)| {
        let (first, last) = item.split_once("..").unwrap_or((item, item));
        (number(first), number(last), at, item)
    });
    let mut items: Vec<(u8, u8, usize, &str)> = items.collect();
    items.sort_unstable();
    items.dedup_by_key(|(first, last, _, _)| (*first, *last));
    let most = (1..=28_u8).rev().step_by(3).chain(std::iter::repeat(0));
    match items
        .into_iter()
        .zip(most)
        .find(|((_, last, _, _), most)| last > most)
    {
        Some(((_, _, at, item), _)) => {
            let fault = CalendarFault::OwnLine(item.to_owned());
            Err(NotACalendar { at, fault })
        }
        None => Ok(()),
    }
}

fn read_small((at, text): Part<'_>, bounds: Bounds) -> Result<i8, NotACalendar> {
    let number = if text.len() > 2 {
        None
    } else {
        Some(read_number((at, text), bounds)?)
    };
    number
        .and_then(|number| i8::try_from(number).ok())
        .ok_or_else(|| out_of((at, text), bounds))
}

fn read_number((at, text): Part<'_>, bounds: Bounds) -> Result<i16, NotACalendar> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<i16>().ok().filter(|_| digits);
    number
        .filter(|number| (bounds.least..=bounds.most).contains(number))
        .ok_or_else(|| out_of((at, text), bounds))
}

fn out_of((at, text): Part<'_>, bounds: Bounds) -> NotACalendar {
    let fault = CalendarFault::Number {
        text: text.to_owned(),
        what: bounds.what,
        least: bounds.least,
        most: bounds.most,
    };
    NotACalendar { at, fault }
}

fn read_time((at, text): Part<'_>) -> Result<(i8, i8), NotACalendar> {
    let odd = |hint: &str| {
        let (text, hint) = (text.to_owned(), hint.to_owned());
        Err(NotACalendar {
            at,
            fault: CalendarFault::Time { text, hint },
        })
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (hour, minute) = match *parts.as_slice() {
        [hour, minute] => (hour, minute),
        [hour, minute, _] => return odd(&format!("leave the seconds out: `{hour}:{minute}`")),
        _ => return odd("write hours and minutes, such as `02:00`"),
    };
    let number = |part: &str| {
        part.parse::<i8>()
            .ok()
            .filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match (number(hour), number(minute)) {
        (Some(24), Some(0)) => odd("the day ends at its 24:00, which is `00:00` of the next day"),
        (Some(hour @ 0..24), Some(minute @ 0..60)) if parts.iter().all(|part| part.len() == 2) => {
            Ok((hour, minute))
        }
        (Some(hour @ 0..24), Some(minute @ 0..60)) => {
            odd(&format!("write `{hour:02}:{minute:02}`"))
        }
        (_, _) => odd("hours go from 00 to 23 and minutes from 00 to 59, such as `02:00`"),
    }
}

fn meant(near: &[&str]) -> String {
    match near {
        [] => "; use Mon, Tue, Wed, Thu, Fri, Sat or Sun".to_owned(),
        near => {
            let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
            format!(", did you mean {}?", names.join(" or "))
        }
    }
}
