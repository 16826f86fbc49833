//! The timetable: at most ten questions in any hour while nothing changes, and nothing new unseen for ten minutes.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::feed::{Failure, Feed, FeedState, States, plus};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Advisories follow the releases that name them, so half an hour is early. The pause is between nine and ten tenths of
/// this, so never below 30 minutes: two questions in any hour.
const ADVISORIES: SignedDuration = SignedDuration::from_secs(2_000);
/// Mastodon itself asks every half hour; here it is the second opinion.
const UPDATE_CHECK: SignedDuration = SignedDuration::from_hours(2);
/// Old releases change seldom, and never what is newest.
const SWEEP: SignedDuration = SignedDuration::from_hours(24);
/// The first page of releases every nine to ten minutes makes seven questions in any hour, the advisories make two; one
/// is left for everything else.
const EXTRAS: usize = 1;
/// The longest pause between two tries.
const CEILING: SignedDuration = HOUR;
/// The longest pause that a source may ask for: a wrong header must not silence it for good.
const LONGEST_REQUEST: SignedDuration = SignedDuration::from_hours(6);

/// When what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetable {
    releases: SignedDuration,
    seed: u64,
}

/// One question that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub feed: Feed,
    /// One more page that is asked for along with the first, counted from 0.
    pub page: Option<usize>,
}

/// The questions of the last hour beside the first pages of releases and advisories, which are never put off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    extras: Vec<Timestamp>,
}

impl Timetable {
    /// `poll` lies between two looks at the releases. `seed` belongs to the host, so that hosts do not ask in step.
    pub const fn new(poll: SignedDuration, seed: u64) -> Self {
        Self {
            releases: poll,
            seed,
        }
    }

    /// When a feed is asked again after an answer at `now`.
    pub fn after_success(&self, feed: &Feed, now: Timestamp) -> Timestamp {
        let interval = match feed {
            Feed::Releases => self.releases,
            Feed::Advisories => ADVISORIES.max(self.releases),
            Feed::UpdateCheck(_) => UPDATE_CHECK.max(self.releases),
            Feed::Commits => return now,
        };
        plus(now, self.jittered(interval, now))
    }

    /// When a feed is asked again after its `failures`th failure in a row, at `now`.
    ///
    /// One minute, two, four, … up to an hour; an hour at once where only a person can help; later where the source
    /// asked for it, but not later than in six hours.
    pub fn after_failure(&self, failures: u32, failure: &Failure, now: Timestamp) -> Timestamp {
        let doubled = 1_i32.checked_shl(failures.saturating_sub(1).min(16));
        let pause = if failure.needs_person {
            CEILING
        } else {
            MINUTE
                .checked_mul(doubled.unwrap_or(i32::MAX))
                .unwrap_or(CEILING)
                .min(CEILING)
        };
        let ours = plus(now, self.jittered(pause, now));
        let theirs = failure
            .again
            .unwrap_or(ours)
            .min(plus(now, LONGEST_REQUEST));
        ours.max(theirs)
    }

    /// What is asked at `now`, most urgent first.
    pub fn due(&self, states: &States, ledger: &Ledger, now: Timestamp) -> Vec<Ask> {
        let first = |feed: &&Feed| matches!(feed, Feed::Releases | Feed::Advisories);
        let due = states.iter().filter(|(_, state)| state.is_due(now));
        let mut asks: Vec<Ask> = due
            .map(|(feed, _)| feed)
            .filter(first)
            .map(|feed| Ask {
                feed: feed.clone(),
                page: None,
            })
            .collect();
        match extra(states, now) {
            Some(Extra::Ask(feed)) if ledger.is_free(now) => asks.push(Ask { feed, page: None }),
            // A page is asked for along with the first one, and waits for it.
            Some(Extra::Page(feed, page)) if ledger.is_free(now) => {
                if let Some(ask) = asks.iter_mut().find(|ask| ask.feed == feed) {
                    ask.page = Some(page);
                }
            }
            Some(_) | None => {}
        }
        asks
    }

    /// The first instant after `now` at which something can become due. Feeds without a state are due at once.
    pub fn wake(&self, states: &States, ledger: &Ledger, now: Timestamp) -> Timestamp {
        let extra = extra(states, now);
        let next = states.iter().filter_map(|(feed, state)| {
            let due = state.due_at(now);
            match feed {
                Feed::Releases | Feed::Advisories => Some(due),
                Feed::UpdateCheck(_) if due > now => Some(due),
                Feed::UpdateCheck(_) => {
                    let its_turn = extra == Some(Extra::Ask(feed.clone()));
                    its_turn.then(|| ledger.free_at(now))
                }
                Feed::Commits => None,
            }
        });
        next.min().unwrap_or(now)
    }

    /// Between nine and ten tenths of `interval`, different from time to time and from host to host, and always the
    /// same for the same seed and instant.
    fn jittered(&self, interval: SignedDuration, now: Timestamp) -> SignedDuration {
        let millis = interval.as_millis();
        let salt = u64::from_le_bytes(now.as_second().to_le_bytes());
        let part = i128::from(mix(self.seed ^ salt) % 1_000);
        let less = millis.saturating_mul(part).checked_div(10_000);
        let left = millis.saturating_sub(less.unwrap_or_default());
        i64::try_from(left).map_or(interval, SignedDuration::from_millis)
    }
}

/// What shares the last question of an hour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Extra {
    Ask(Feed),
    Page(Feed, usize),
}

/// What has been due for the longest time.
fn extra(states: &States, now: Timestamp) -> Option<Extra> {
    let mut due: Vec<(Timestamp, Extra)> = Vec::new();
    for (feed, state) in states {
        match feed {
            Feed::Releases | Feed::Advisories => {
                let page = sweep(state, now);
                due.extend(page.map(|(at, page)| (at, Extra::Page(feed.clone(), page))));
            }
            Feed::UpdateCheck(_) => {
                // What was never asked has waited for the longest time.
                let never = state.asked_at.is_none();
                let at = if never {
                    Timestamp::MIN
                } else {
                    state.due_at(now)
                };
                due.push((at, Extra::Ask(feed.clone())));
            }
            Feed::Commits => {}
        }
    }
    let due = due.into_iter().filter(|(at, _)| *at <= now);
    due.min().map(|(_, extra)| extra)
}

/// The page at which a sweep begins or goes on, and when.
fn sweep(state: &FeedState, now: Timestamp) -> Option<(Timestamp, usize)> {
    let due = match state.swept_at {
        Some(at) if at <= now => plus(at, SWEEP),
        Some(_) | None => now,
    };
    (state.pages > 1).then_some((due, state.sweep_page.max(1)))
}

impl FeedState {
    /// Notes that it has `pages` pages, and which of them were asked for: one beside the first, or all.
    pub fn swept(&mut self, page: Option<usize>, all: bool, pages: usize, now: Timestamp) {
        self.pages = pages;
        let last = page.is_some_and(|page| page.saturating_add(1) >= pages);
        if all || last {
            self.swept_at = Some(now);
            self.sweep_page = 0;
        } else if let Some(page) = page {
            self.sweep_page = page.saturating_add(1);
        }
    }
}

impl Ledger {
    /// Notes `count` questions that were sent at `now` beside the first pages of releases and advisories.
    pub fn note(&mut self, count: usize, now: Timestamp) {
        self.forget(now);
        // What goes beyond an hour's share has no meaning for the hour after it.
        self.extras
            .extend(std::iter::repeat_n(now, count.min(EXTRAS)));
    }

    /// Whether one more may be sent now.
    fn is_free(&self, now: Timestamp) -> bool {
        self.free_at(now) <= now
    }

    /// When the next one may be sent.
    fn free_at(&self, now: Timestamp) -> Timestamp {
        let mut asked: Vec<Timestamp> = self
            .extras
            .iter()
            .copied()
            .filter(|at| in_the_last_hour(*at, now))
            .collect();
        asked.sort_unstable();
        let over = asked.len().checked_sub(EXTRAS);
        over.and_then(|over| asked.get(over))
            .map_or(now, |at| plus(*at, HOUR))
    }

    fn forget(&mut self, now: Timestamp) {
        self.extras.retain(|at| in_the_last_hour(*at, now));
    }
}

/// Times ahead of a clock that was set back do not count.
fn in_the_last_hour(at: Timestamp, now: Timestamp) -> bool {
    at <= now && plus(at, HOUR) > now
}

/// Steele, Lea and Flood's `SplitMix64`: every bit of the argument changes every bit of the result.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
