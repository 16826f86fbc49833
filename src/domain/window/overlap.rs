//! Windows that get in each other's way: a mistake in nearly every case, and told as one.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use super::Window;

/// After so many years weekdays and leap years come again in the same order.
const CYCLE_YEARS: i16 = 28;
const CYCLE_DAYS: usize = 28 * 365 + 7;
/// Where a cycle is looked at; any day would do before the year 2100.
const FIRST_DAY: Date = Date::constant(2020, 1, 1);

/// Two openings that overlap where they should not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The line of the calendar that opens while the window is open, counted from 0.
    pub line: usize,
    /// The line that it overlaps with.
    pub with: usize,
    /// When, for instance.
    pub at: DateTime,
    /// The time between the two openings.
    pub apart: SignedDuration,
}

impl Window {
    /// The first pair of openings of this window of which one opens while the other is still open, by the wall clock.
    pub fn overlap(&self) -> Option<Overlap> {
        let mut last: Option<(DateTime, usize)> = None;
        for (at, line) in self.on_paper() {
            if let Some((before, with)) = last {
                let apart = at.duration_since(before);
                if apart < self.lasts() {
                    return Some(Overlap {
                        line,
                        with,
                        at,
                        apart,
                    });
                }
            }
            last = Some((at, line));
        }
        None
    }

    /// Whether this window is open only when `other`, which allows as much or more, is open anyway, and so is good for
    /// nothing, by the wall clock. Windows in different zones are never compared, nor are years that are not looked at.
    pub fn is_within(&self, other: &Self) -> bool {
        if self.zone() != other.zone()
            || !self.allow().is_subset(other.allow())
            || self.lasts() > other.lasts()
            || !self
                .opens()
                .iter()
                .all(|line| line.year().is_none_or(is_looked_at))
        {
            return false;
        }
        let theirs: Vec<DateTime> = other.on_paper().map(|(at, _)| at).collect();
        self.on_paper().all(|(at, _)| {
            let before = theirs.partition_point(|other| *other <= at);
            let begun = before.checked_sub(1).and_then(|place| theirs.get(place));
            begun.is_some_and(|begun| {
                // The other one is certain to be open only once all of its jitter is over.
                let since = at.duration_since(*begun);
                since >= other.jitter.most && since.saturating_add(self.lasts()) <= other.lasts()
            })
        })
    }

    /// Every opening of a whole cycle as it is written, with its line, in order.
    fn on_paper(&self) -> impl Iterator<Item = (DateTime, usize)> {
        let days =
            std::iter::successors(Some(FIRST_DAY), |date| date.tomorrow().ok()).take(CYCLE_DAYS);
        days.flat_map(move |date| {
            let lines = self.opens().iter().enumerate();
            let mut today: Vec<(DateTime, usize)> = lines
                .filter(|(_, line)| line.is_on(date))
                .map(|(position, line)| (line.nominal(date), position))
                .collect();
            today.sort_unstable();
            today
        })
    }
}

fn is_looked_at(year: i16) -> bool {
    let first = FIRST_DAY.year();
    (first..first.saturating_add(CYCLE_YEARS)).contains(&year)
}
