//! What commands print with `--json`, as types. The schemas in `schemas/` are made of them, so that they cannot lie.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::render::{AdvisoryAnswer, Verdict};
use crate::domain::decide::{Decision, Standing};
use crate::domain::feed::Alarm;
use crate::domain::installed::Installed;
use crate::domain::path::lines::Support;
use crate::domain::path::{Host, Path as Way};
use crate::domain::policy::Class;
use crate::domain::rehearsal::Rehearsal;
use crate::domain::release::Release;
use crate::domain::version::ReleaseVersion;
use crate::domain::window::{OneOff, Strength};
pub use snapshots::{
    CreateAnswer, FlawAnswer, ListAnswer, PruneAnswer, SnapshotAnswer, SnapshotMethod, StaysAnswer,
    VerifiedAnswer, VerifyAnswer,
};

/// What every command prints that could not do what was asked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: Problem,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// All of it, with its causes. The configuration's mistakes are a line each, everything else is one line.
    pub message: String,
    /// What the process ends with.
    pub exit_code: u8,
}

/// `check` and `explain`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckAnswer<'a> {
    /// One decision for each instance that is meant.
    pub instances: Vec<&'a Decision>,
    /// What is wrong with the sources themselves, worst first.
    pub alarms: &'a [Alarm],
    /// Why GitHub could not be asked. Only there if the answer is from memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// `advisories`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AdvisoriesAnswer<'a> {
    /// The version that was asked about.
    pub version: &'a ReleaseVersion,
    /// How it stands.
    pub standing: Standing,
    /// How many advisories are known, listed here or not.
    pub n_known: usize,
    /// Those that count for the version; with `--all` all of them.
    pub advisories: &'a [AdvisoryAnswer<'a>],
    /// What could not be read.
    pub problems: &'a [String],
    /// What is wrong with the sources themselves, worst first.
    pub alarms: &'a [Alarm],
    /// Why GitHub could not be asked. Only there if the answer is from memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// `releases`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReleasesAnswer<'a> {
    /// The releases that are meant, newest version first.
    pub releases: Vec<&'a Release>,
    /// What could not be read.
    pub problems: &'a [String],
    /// What is wrong with the sources themselves, worst first.
    pub alarms: &'a [Alarm],
    /// Why GitHub could not be asked. Only there if the answer is from memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// `doctor`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DoctorAnswer<'a> {
    /// What was found about each instance that is meant.
    pub instances: Vec<DiagnosisAnswer<'a>>,
}

/// What was found about one instance.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DiagnosisAnswer<'a> {
    /// Its name.
    pub instance: &'a str,
    /// What it comes to.
    pub verdict: Verdict,
    /// What was found.
    #[serde(flatten)]
    pub found: Found<'a>,
}

/// What was found, or why nothing can be said.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Found<'a> {
    /// Nothing can be said.
    Nothing {
        /// Why.
        error: &'a str,
    },
    /// What was found.
    Something(FindingsAnswer<'a>),
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FindingsAnswer<'a> {
    /// What runs, and who says so.
    pub installed: &'a Installed,
    /// Why this build is not updated, if it is not Mastodon's own.
    pub origin_refusal: Option<String>,
    /// What an update depends on.
    pub host: &'a Host,
    /// How the support of the line that runs stands.
    pub support: Support,
    /// The way to the newest line; null where the releases are not known.
    pub way: Option<&'a Way>,
    /// Why the way is not known.
    pub way_unknown_because: Option<&'a str>,
    /// Why no update could be planned today, whatever the version.
    pub refusal: Option<&'a str>,
    /// In which containers the data are.
    pub data_in: &'a [String],
    /// How a run would copy the database, and why so.
    pub copies: &'a [String],
    /// Why nothing starts by itself, in whole or in part: the clock, the windows.
    pub only_by_hand: &'a [String],
}

/// `approve`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ApproveAnswer<'a> {
    /// A person agreed.
    Approved {
        /// To what.
        approved: Approved<'a>,
    },
    /// There is nothing that could be agreed to.
    Nothing(NothingToDo<'a>),
    /// With `--withdraw`.
    TakenBack(TakenBackAnswer<'a>),
}

/// An approval as it was stored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Approved<'a> {
    /// The instance.
    pub instance: &'a str,
    /// The version agreed to.
    pub version: &'a str,
    /// The hash of the plan agreed to.
    pub plan: &'a str,
    /// The person's login name.
    pub by: &'a str,
    /// When.
    pub at: Timestamp,
    /// When it ends; null where it does not.
    pub expires_at: Option<Timestamp>,
}

/// There is nothing to do, or something stands in the way.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NothingToDo<'a> {
    /// Always null: there is no plan.
    pub plan: (),
    /// Why.
    pub decision: &'a Decision,
}

/// `hold` and `unhold`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum HoldAnswer<'a> {
    /// Nothing starts by itself from now on.
    Held {
        /// The order.
        hold: Held<'a>,
    },
    /// By `unhold`.
    TakenBack(TakenBackAnswer<'a>),
}

/// A hold as it was stored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Held<'a> {
    /// The instance.
    pub instance: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The person's login name.
    pub by: &'a str,
    /// When it was given.
    pub at: Timestamp,
    /// When it ends; null where it does not.
    pub until: Option<Timestamp>,
}

/// `pin` and `unpin`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PinAnswer<'a> {
    /// The instance goes no further from now on.
    Pinned {
        /// The order.
        pin: Pinned<'a>,
    },
    /// By `unpin`.
    TakenBack(TakenBackAnswer<'a>),
}

/// A pin as it was stored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pinned<'a> {
    /// The instance.
    pub instance: &'a str,
    /// The line or the version.
    pub to: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The person's login name.
    pub by: &'a str,
    /// When it was given.
    pub at: Timestamp,
    /// When it ends; null where it does not.
    pub until: Option<Timestamp>,
}

/// `window next`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WindowNextAnswer<'a> {
    /// The calendar of each instance that is meant.
    pub instances: Vec<OutlookAnswer<'a>>,
}

/// What the calendar of an instance has in store.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OutlookAnswer<'a> {
    /// Its name.
    pub instance: &'a str,
    /// The policy's file, or the name of a shipped one.
    pub policy: &'a Path,
    /// The zone of the local times.
    pub zone: &'a str,
    /// The version of the time zone database; null where it does not say.
    pub tz_version: Option<&'a str>,
    /// When this was asked.
    pub now: LocalInstant,
    /// Whether something may start now, in a window.
    pub open: bool,
    /// Why not, as sentences.
    pub closed_because: Vec<String>,
    /// Seconds that a run and its way back take together.
    pub needed_s: i64,
    /// Whether that was measured here, or is a careful guess.
    pub needed_is_measured: bool,
    /// The next openings, as blackouts leave them; one that is open now comes first.
    pub next: Vec<OpeningAnswer<'a>>,
    /// The next blackouts, or those that hold.
    pub blackouts: Vec<BlackoutAnswer<'a>>,
    /// Rules that may start outside of windows, each with its condition.
    pub outside_windows: Vec<String>,
}

/// An instant, twice.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LocalInstant {
    /// In UTC.
    pub utc: Timestamp,
    /// As the zone's wall clock shows it, with its offset.
    pub local: String,
}

/// One opening of a window.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OpeningAnswer<'a> {
    /// The window.
    pub window: &'a str,
    /// Whether a person opened it, once.
    pub one_off: bool,
    /// The first instant inside.
    pub opens: LocalInstant,
    /// The first instant after it.
    pub closes: LocalInstant,
    /// The last instant at which something may start; null where it is too short for a run and its way back.
    pub latest_start: Option<LocalInstant>,
    /// What may start in it.
    pub allow: &'a BTreeSet<Class>,
}

/// A blackout that holds or comes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BlackoutAnswer<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it gives way to.
    pub strength: Strength,
    /// Why there is one.
    pub reason: &'a str,
    /// The first instant inside.
    pub from: LocalInstant,
    /// The first instant after it.
    pub to: LocalInstant,
}

/// `window open` and `window close`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum WindowOpenAnswer<'a> {
    /// It is open at that time.
    Opened {
        /// The window.
        window: OneOffOpened<'a>,
    },
    /// By `window close`.
    TakenBack(TakenBackAnswer<'a>),
}

/// A window that a person opened once.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OneOffOpened<'a> {
    /// The instance.
    pub instance: &'a str,
    /// The last instant at which something may start in it.
    pub latest_start: Timestamp,
    /// The window.
    #[serde(flatten)]
    pub one_off: &'a OneOff,
}

/// An order that was taken back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TakenBackAnswer<'a> {
    /// Which.
    pub taken_back: TakenBack<'a>,
}

/// An order that was taken back.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TakenBack<'a> {
    /// The instance.
    pub instance: &'a str,
    /// `approval`, `hold`, `pin` or `one-off window`.
    pub what: &'a str,
    /// Whether there was one.
    pub was_there: bool,
}

mod snapshots;
/// What `rehearse` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RehearseAnswer<'a> {
    /// The rehearsal, as it ended.
    pub rehearsal: &'a Rehearsal,
}

#[cfg(test)]
mod tests;
