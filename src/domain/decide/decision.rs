//! What a decision says.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Exposure;
use crate::domain::advisory::Severity;
use crate::domain::path::{Obstacle, Path};
use crate::domain::policy::Class;
use crate::domain::version::{ReleaseVersion, UpdateKind};

/// What should happen now, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[must_use = "a decision does nothing by itself"]
pub struct Decision {
    /// The instance it is about.
    pub instance: String,
    /// The version that runs.
    pub installed: ReleaseVersion,
    /// The version to go to, if there is one.
    pub target: Option<Target>,
    /// What upstream has for a build that is not upstream's: to be told, never to be installed.
    pub notice: Option<Target>,
    /// Whether and when to start.
    pub when: When,
    /// The three dates of the target or the notice.
    pub dates: Option<Dates>,
    /// Every version on the way to the newest line.
    pub path: Path,
    /// What stands in the way of the target.
    pub obstacles: Vec<Obstacle>,
    /// How the running version stands.
    pub exposure: Exposure,
    /// Every rule and fact that spoke, in the order in which they were asked.
    pub reasons: Vec<Reason>,
}

/// A version to go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The version.
    pub version: ReleaseVersion,
    /// Its git and image tag.
    pub tag: String,
    /// How far it is.
    pub kind: UpdateKind,
    /// What it is to the policy.
    pub class: Class,
    /// The rule that decides about it; none when a person chose the target, or no rule matches.
    pub rule: Option<String>,
    /// The worst grade among what it closes; a hole without a grade counts as high. None where it closes nothing known.
    pub severity: Option<Severity>,
    /// Whether one of the holes it closes is known to be exploited.
    pub exploited: bool,
    /// The ids it closes, as far as is known.
    pub advisories: Vec<String>,
    /// When it was published.
    pub published_at: Timestamp,
    /// Since when what it closes has been public: its deadline is counted from here.
    pub public_since: Timestamp,
    /// Where a person can read about it.
    pub url: Option<String>,
}

/// The three dates of an update. They are always shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dates {
    /// Before this, nothing starts by itself: minimum age, hold, pause after a failed run.
    pub not_before: Timestamp,
    /// The rule's deadline.
    pub forced_by: Option<Timestamp>,
    /// The first instant at which it may start as things are; where a person must agree first, once that is done. None
    /// where it never starts by itself.
    pub effective: Option<Timestamp>,
}

/// Whether and when to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum When {
    /// There is nothing to do.
    Nothing,
    /// It may start now.
    Now {
        /// The window that allows it; none where the rule needs no window.
        window: Option<String>,
        /// When that window closes.
        until: Option<Timestamp>,
    },
    /// It may not start yet.
    Wait {
        /// The first instant at which it may.
        not_before: Timestamp,
        /// What it waits for, in a sentence.
        because: String,
    },
    /// A person must agree first.
    NeedsApproval,
    /// People are told, and do it themselves.
    NotifyOnly,
    /// It cannot start by itself; the reasons say what a person has to change.
    Blocked,
}

/// One sentence of the explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// What it is about.
    pub about: About,
    /// The sentence.
    pub text: String,
}

/// What a reason is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// How complete the knowledge is.
    Data,
    /// What runs.
    Installed,
    /// How the running version stands.
    Exposure,
    /// Why this version and no other.
    Choice,
    /// What stands in the way on this host.
    Obstacle,
    /// Which rule decides.
    Rule,
    /// Who must agree.
    Approval,
    /// How old the release must be.
    Age,
    /// What people ordered.
    Hold,
    /// When it may start.
    Window,
    /// What earlier runs say.
    Attempts,
    /// Until when it should be done.
    Deadline,
}

impl Dates {
    /// Whether the deadline was or will be missed as things are.
    pub fn is_late(&self) -> bool {
        self.forced_by
            .is_some_and(|forced_by| self.effective.is_none_or(|effective| effective > forced_by))
    }
}

impl Reason {
    pub(super) fn new(about: About, text: impl Into<String>) -> Self {
        Self {
            about,
            text: text.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
