//! Windows that get in each other's way: a mistake in nearly every case, and told as one.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use super::{Calendar, Window};

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

/// A window and every opening of a whole cycle as it is written.
#[derive(Debug)]
pub struct OnPaper<'a> {
    window: &'a Window,
    /// When, and by which line; in order.
    openings: Vec<(DateTime, usize)>,
}

impl Window {
    /// Every opening as it is written, for comparing.
    pub fn on_paper(&self) -> OnPaper<'_> {
        let days =
            std::iter::successors(Some(FIRST_DAY), |date| date.tomorrow().ok()).take(CYCLE_DAYS);
        let openings = days.flat_map(|date| {
            let lines = self.opens().iter().enumerate();
            let mut today: Vec<(DateTime, usize)> = lines
                .filter(|(_, line)| line.is_on(date))
                .map(|(position, line)| (line.nominal(date), position))
                .collect();
            today.sort_unstable();
            today
        });
        OnPaper {
            window: self,
            openings: openings.collect(),
        }
    }
}

impl OnPaper<'_> {
    /// The window.
    pub const fn window(&self) -> &Window {
        self.window
    }

    /// The first pair of openings of this window of which one opens while the other is still open, by the wall clock.
    pub fn overlap(&self) -> Option<Overlap> {
        let next = self.openings.iter().skip(1);
        self.openings.iter().zip(next).find_map(|(before, after)| {
            let apart = after.0.duration_since(before.0);
            (apart < self.window.lasts()).then_some(Overlap {
                line: after.1,
                with: before.1,
                at: after.0,
                apart,
            })
        })
    }

    /// Whether this window is open only when `other`, which allows as much or more, is open anyway, and so is good for
    /// nothing, by the wall clock. Windows in different zones are never compared, nor are years that are not looked at.
    pub fn is_within(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.window, other.window);
        let looked_at = |line: &Calendar| line.year().is_none_or(is_looked_at);
        if mine.zone() != theirs.zone()
            || !mine.allow().is_subset(theirs.allow())
            || mine.lasts() > theirs.lasts()
            || !mine.opens().iter().all(looked_at)
        {
            return false;
        }
        self.openings.iter().all(|(at, _)| {
            let before = other.openings.partition_point(|(begun, _)| begun <= at);
            let begun = before
                .checked_sub(1)
                .and_then(|place| other.openings.get(place));
            begun.is_some_and(|(begun, _)| {
                // The other one is certain to be open only once all of its jitter is over.
                let since = at.duration_since(*begun);
                since >= theirs.jitter.most && since.saturating_add(mine.lasts()) <= theirs.lasts()
            })
        })
    }
}

fn is_looked_at(year: i16) -> bool {
    let first = FIRST_DAY.year();
    (first..first.saturating_add(CYCLE_YEARS)).contains(&year)
}
