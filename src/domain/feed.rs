//! The outside sources: when each is asked, what it ever said, and what about it is alarming.
//!
//! A feed that is silent, goes back or stands still must never look like a feed with no news.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::version::ReleaseVersion;

mod alarm;
mod memory;
mod timetable;

pub use alarm::{Alarm, AlarmKind, Outlook, alarms};
pub use memory::{Back, Change, Entry, Kept, Listing, Memorable, Remembered, Update, remember};
pub use timetable::{Ask, Ledger, Timetable};

/// One question to the outside that is asked again and again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feed {
    /// The list of releases.
    Releases,
    /// The list of advisories.
    Advisories,
    /// Mastodon's own update check, for a version that runs here.
    UpdateCheck(ReleaseVersion),
    /// The commit behind a tag, asked before a plan is made.
    Commits,
}

/// How a feed went so far. Kept, so that a restart neither forgets a back-off nor asks before it is due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedState {
    /// Whom it was asked of; waits that belong to another address count for nothing.
    pub source: String,
    /// The last question.
    pub asked_at: Option<Timestamp>,
    /// The last complete answer.
    pub succeeded_at: Option<Timestamp>,
    /// When it is asked again.
    pub next_at: Option<Timestamp>,
    /// Failures since the last complete answer.
    pub failures: u32,
    /// Since when there has been no complete answer, if the last question failed.
    pub failing_since: Option<Timestamp>,
    /// What the last failure was, in a sentence.
    pub last_error: Option<String>,
    /// Whether only a person can end the failures: a wrong address, name or token.
    pub needs_person: bool,
    /// How many pages it has, as far as is known.
    pub pages: usize,
    /// When all pages were last asked for.
    pub swept_at: Option<Timestamp>,
    /// The page at which the sweep goes on; 0 where none is under way.
    pub sweep_page: usize,
    /// The newest publication date that was ever listed.
    pub newest: Option<Timestamp>,
    /// That the list went back, as long as it has not moved on.
    pub back: Option<Back>,
    /// What of the last complete answer could not be read, as sentences.
    pub problems: Vec<String>,
    /// Since when there have been such problems.
    pub problems_since: Option<Timestamp>,
}

/// A question that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why, in a sentence without a full stop.
    pub sentence: String,
    /// Whether asking again changes nothing until a person does something.
    pub needs_person: bool,
    /// When the source wants to be asked again, if it said so.
    pub again: Option<Timestamp>,
}

/// What Mastodon's own update check says about one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateCheck {
    /// The version that was asked about.
    pub asked_for: ReleaseVersion,
    /// When its line gets no more repairs.
    pub current_end_of_support: Option<Date>,
    /// What it could be updated to.
    pub available: Vec<Offered>,
    /// What could not be read, as sentences.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// One version that the update check offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The version.
    pub version: ReleaseVersion,
    /// Whether it is called urgent, which means that it closes a security hole.
    pub urgent: bool,
    /// `patch`, `minor` or `major`, as it was said.
    pub kind: Option<String>,
    /// Where a person can read about it.
    pub release_notes: Option<String>,
    /// When its line gets no more repairs.
    pub end_of_support: Option<Date>,
}

impl Feed {
    /// The name under which it is kept.
    pub fn name(&self, repository: &str) -> String {
        match self {
            Self::Releases => format!("releases of {repository}"),
            Self::Advisories => format!("advisories of {repository}"),
            Self::UpdateCheck(version) => format!("update check of {version}"),
            Self::Commits => format!("commits of {repository}"),
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Releases => f.write_str("the list of releases"),
            Self::Advisories => f.write_str("the list of advisories"),
            Self::UpdateCheck(version) => write!(f, "Mastodon's update check for {version}"),
            Self::Commits => f.write_str("the commit of a release"),
        }
    }
}

impl FeedState {
    /// When it may be asked again. A stored time is not believed when the clock was set back since.
    pub fn due_at(&self, now: Timestamp) -> Timestamp {
        match (self.asked_at, self.next_at) {
            (Some(asked), Some(next)) if asked <= now => next,
            _ => now,
        }
    }

    /// Whether it may be asked now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due_at(now) <= now
    }

    /// Notes a complete answer.
    pub fn succeed(&mut self, now: Timestamp, next_at: Timestamp) {
        self.asked_at = Some(now);
        self.succeeded_at = Some(now);
        self.next_at = Some(next_at);
        self.failures = 0;
        self.failing_since = None;
        self.last_error = None;
        self.needs_person = false;
    }

    /// Notes that a question came to nothing. What was known stays known.
    pub fn fail(&mut self, now: Timestamp, failure: &Failure, next_at: Timestamp) {
        self.asked_at = Some(now);
        self.next_at = Some(next_at);
        self.failures = self.failures.saturating_add(1);
        self.failing_since = self.failing_since.or(Some(now));
        self.last_error = Some(failure.sentence.clone());
        self.needs_person = failure.needs_person;
    }

    /// Forgets waits that were for another address, or that a person ended.
    pub fn start_afresh(&mut self, source: &str) {
        source.clone_into(&mut self.source);
        self.next_at = None;
        self.failures = 0;
        self.needs_person = false;
    }
}

/// The states of all feeds.
pub type States = BTreeMap<Feed, FeedState>;

/// `from` plus `length`; the end of time where there is no such instant.
fn plus(from: Timestamp, length: SignedDuration) -> Timestamp {
    from.saturating_add(length).unwrap_or(Timestamp::MAX)
}
