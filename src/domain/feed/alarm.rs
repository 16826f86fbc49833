//! Alarms: what about the sources themselves keeps anybody from saying that all is well.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::feed::{Feed, FeedState, States, plus};
use crate::domain::version::ReleaseVersion;

/// Without an answer for this long nothing can be said. All releases of a batch are out within an hour, and a list that
/// is asked for every ten minutes has then failed more than ten times.
const STALE: SignedDuration = SignedDuration::from_hours(6);
/// The update check may know a release before GitHub's list shows it, but not for long.
const AHEAD: SignedDuration = SignedDuration::from_hours(2);
/// Clocks differ by seconds. A date that is a day ahead means that this host's clock is wrong.
const CLOCK: SignedDuration = SignedDuration::from_hours(24);

/// Something about a source that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// What kind of thing.
    pub kind: AlarmKind,
    /// All of it, in one sentence.
    pub sentence: String,
    /// Since when.
    pub since: Timestamp,
}

/// What an alarm is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// A feed has not answered for so long that nothing can be said, or never.
    Stale,
    /// A feed lost what it had.
    WentBack,
    /// The second source knows a version that the releases do not show.
    SecondSourceAhead,
    /// This host's clock is behind dates that are known.
    ClockBehind,
    /// Something in a feed cannot be read.
    Unreadable,
    /// A feed fails in a way that only a person can end: a wrong address, name or token.
    NeedsPerson,
    /// A feed failed just now; it is asked again.
    Failing,
}

/// All that alarms are made of.
#[derive(Debug, Clone, Copy)]
pub struct Outlook<'a> {
    /// How each feed went.
    pub states: &'a States,
    /// Every version in the list of releases, also in the one of memory; none that is gone.
    pub listed: &'a [ReleaseVersion],
    /// The versions that the update check offers, and since when it does.
    pub offered: &'a BTreeMap<ReleaseVersion, Timestamp>,
    /// The newest date that is known of anything.
    pub newest: Option<Timestamp>,
}

impl AlarmKind {
    /// Whether nobody may say that all is well as long as it lasts.
    pub const fn hides_news(self) -> bool {
        match self {
            Self::Stale
            | Self::WentBack
            | Self::SecondSourceAhead
            | Self::ClockBehind
            | Self::Unreadable => true,
            Self::NeedsPerson | Self::Failing => false,
        }
    }
}

/// Every alarm at `now`, worst first.
pub fn alarms(outlook: &Outlook<'_>, now: Timestamp) -> Vec<Alarm> {
    let mut found = Vec::new();
    for (feed, state) in outlook.states {
        // The second source and the commits say nothing about what is new, only whether something is.
        let first = matches!(feed, Feed::Releases | Feed::Advisories);
        if first {
            found.extend(stale(feed, state, now));
            found.extend(went_back(feed, state));
        }
        found.extend(failing(feed, state));
        if let (Some(since), true) = (state.problems_since, first) {
            found.extend(state.problems.iter().map(|problem| Alarm {
                kind: AlarmKind::Unreadable,
                sentence: problem.clone(),
                since,
            }));
        }
    }
    for (version, since) in outlook.offered {
        found.extend(ahead(version, *since, outlook.listed, now));
    }
    found.extend(clock(outlook, now));
    found.sort_by(|one, other| {
        (one.kind, one.since, &one.sentence).cmp(&(other.kind, other.since, &other.sentence))
    });
    found
}

fn stale(feed: &Feed, state: &FeedState, now: Timestamp) -> Option<Alarm> {
    let error = state
        .last_error
        .as_ref()
        .map_or_else(String::new, |err| format!("; the last error: {err}"));
    let (since, sentence) = match state.succeeded_at {
        Some(at) if plus(at, STALE) > now => return None,
        Some(at) => (
            at,
            format!("{} was last answered at {at}{error}.", upper(feed)),
        ),
        None => (
            state.failing_since.unwrap_or(now),
            format!("{} was never answered{error}.", upper(feed)),
        ),
    };
    Some(Alarm {
        kind: AlarmKind::Stale,
        sentence,
        since,
    })
}

fn went_back(feed: &Feed, state: &FeedState) -> Option<Alarm> {
    let back = state.back.as_ref()?;
    Some(Alarm {
        kind: AlarmKind::WentBack,
        sentence: format!(
            "{} went back: {}. What was known still counts.",
            upper(feed),
            back.what
        ),
        since: back.since,
    })
}

fn failing(feed: &Feed, state: &FeedState) -> Option<Alarm> {
    let (since, error) = (state.failing_since?, state.last_error.as_ref()?);
    let next = state
        .next_at
        .map_or_else(String::new, |at| format!("; it is asked again at {at}"));
    let (kind, sentence) = if state.needs_person {
        let sentence = format!(
            "{} is refused, and a person must put it right: {error}{next}.",
            upper(feed)
        );
        (AlarmKind::NeedsPerson, sentence)
    } else {
        let sentence = format!("{} is not answered: {error}{next}.", upper(feed));
        (AlarmKind::Failing, sentence)
    };
    Some(Alarm {
        kind,
        sentence,
        since,
    })
}

fn ahead(
    version: &ReleaseVersion,
    since: Timestamp,
    listed: &[ReleaseVersion],
    now: Timestamp,
) -> Option<Alarm> {
    let shown = listed
        .iter()
        .any(|listed| listed.cmp_precedence(version).is_eq());
    if shown || plus(since, AHEAD) > now {
        return None;
    }
    Some(Alarm {
        kind: AlarmKind::SecondSourceAhead,
        sentence: format!(
            "Mastodon's update check has offered {version} since {since}, and the list of releases does not show it: \
             that list may be held back."
        ),
        since,
    })
}

fn clock(outlook: &Outlook<'_>, now: Timestamp) -> Option<Alarm> {
    let answered = outlook
        .states
        .values()
        .filter_map(|state| state.succeeded_at);
    let newest = answered.chain(outlook.newest).max()?;
    if plus(now, CLOCK) >= newest {
        return None;
    }
    Some(Alarm {
        kind: AlarmKind::ClockBehind,
        sentence: format!(
            "This host's clock says {now}, and {newest} is known to have been: dates run backwards here, and no age \
             or window can be trusted."
        ),
        since: now,
    })
}

/// The feed's name at the beginning of a sentence.
fn upper(feed: &Feed) -> String {
    let name = feed.to_string();
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests;
