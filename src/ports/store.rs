//! What survives: plans, journals, the outbox, quarantine, approvals and what GitHub said.

use jiff::Timestamp;

use crate::domain::event::{Entry, Event};
use crate::domain::plan::Plan;

/// One mail that waits or was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its place in the outbox.
    pub id: i64,
    /// The run it reports, if it reports one.
    pub run: Option<String>,
    /// Who gets it.
    pub recipient: String,
    /// The whole message, ready to be sent (RFC 5322).
    pub message: Vec<u8>,
    /// Times it was tried.
    pub attempts: u32,
    /// When it was delivered.
    pub sent_at: Option<Timestamp>,
    /// What the server said last when it did not take it.
    pub last_error: Option<String>,
}

/// A message to put into the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail {
    /// Who gets it.
    pub recipient: String,
    /// The whole message (RFC 5322).
    pub message: Vec<u8>,
}

/// A release that failed here and is not tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// The version.
    pub version: String,
    /// Why.
    pub reason: String,
    /// The run that found out.
    pub run: String,
    /// When.
    pub at: Timestamp,
}

/// A person's consent to a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// The version.
    pub version: String,
    /// The plan that was consented to; empty where only the version was, as in files of format 1.
    pub plan_hash: String,
    /// The person's login name.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When it ends; none where it does not.
    pub expires_at: Option<Timestamp>,
}

/// A person's order that nothing is to start by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// Why.
    pub reason: String,
    /// The person's login name.
    pub by: String,
    /// When it was given.
    pub at: Timestamp,
    /// When it ends; none where it does not.
    pub until: Option<Timestamp>,
}

/// A person's order to stay on a line, or on one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinRow {
    /// The line or version: `4.5` or `4.5.8`.
    pub to: String,
    /// Why.
    pub reason: String,
    /// The person's login name.
    pub by: String,
    /// When it was given.
    pub at: Timestamp,
    /// When it ends; none where it does not.
    pub until: Option<Timestamp>,
}

/// Something that changed about a release or an advisory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its tag or id.
    pub id: String,
    /// When it was noticed.
    pub at: Timestamp,
    /// What, in a sentence.
    pub what: String,
}

/// One run as stored.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Its plan.
    pub plan: Plan,
    /// Its journal so far.
    pub journal: Vec<Entry>,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be used.
    #[error("failed to {action} the state file {path}")]
    File {
        /// `open`, `write to`, `read`.
        action: &'static str,
        /// The file.
        path: String,
        /// What SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another version of the program wrote it.
    #[error(
        "the state file {path} has format {found}, this program knows formats up to {known}; install the newer mastopatch again"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// What it holds cannot be read back.
    #[error("the state file {path} holds a damaged {what}")]
    Damaged {
        /// The file.
        path: String,
        /// Which row.
        what: String,
    },
    /// There is no such run.
    #[error("there is no run `{run}`; `mastopatch history` lists them")]
    NoSuchRun {
        /// What was asked for.
        run: String,
    },
}

/// The journal of runs: append-only, each entry durable when the call returns.
pub trait Journal: Send + Sync {
    /// Stores a plan and its first event in one transaction; afterwards the run exists, also after a
    /// power cut.
    fn begin(&self, plan: &Plan, at: Timestamp) -> Result<Entry, StoreError>;

    /// Appends one event.
    ///
    /// When this returns `Ok`, the event survives a power cut. When it returns an error, the event may
    /// or may not be on disk. Does not check that the event is legal here; `RunState::apply` does.
    fn append(&self, run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError>;

    /// Opens a held run again with the order of a person, in one transaction; refused for every other run, and while
    /// another run of the instance is open.
    fn reopen(&self, run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError>;

    /// Ends a run in one transaction: its last event, the mails that report it, and, when the target is
    /// to blame, its quarantine.
    fn finish(
        &self,
        run: &str,
        at: Timestamp,
        event: &Event,
        mails: &[NewMail],
        quarantine: Option<&str>,
    ) -> Result<Entry, StoreError>;

    /// One run with its journal.
    fn run(&self, run: &str) -> Result<StoredRun, StoreError>;

    /// Runs of an instance, newest first, `limit` at the most.
    fn runs(&self, instance: &str, limit: u32) -> Result<Vec<StoredRun>, StoreError>;

    /// The run of an instance that has no end yet, if any.
    fn unfinished(&self, instance: &str) -> Result<Option<StoredRun>, StoreError>;
}
