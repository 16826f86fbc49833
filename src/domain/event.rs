//! What happened in a run: the events that are journalled, in the order in which they became durable.
//!
//! A run's journal is the list of its [`Entry`]s. Folding it with [`super::run::RunState::apply`] gives the
//! run's state; nothing else is stored about it. Readers must load every journal of an older format;
//! fields are only added, with a default.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One step of an update run, in the order of the way forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Looks whether everything is as planned; changes nothing.
    Preflight,
    /// Brings the new images to this host by digest and checks them.
    Pull,
    /// Stops web, streaming and Sidekiq: from here on no outside write is accepted.
    Fence,
    /// Copies database, Redis and the project's files.
    Snapshot,
    /// Proves that the copy can be restored and is complete.
    Prove,
    /// Runs the new version's migrations.
    Migrate,
    /// Puts the old containers aside and creates the new ones, out of the public's reach.
    Switch,
    /// Probes the new version before anybody else can reach it.
    Verify,
    /// Opens the site on the new version. Only ever after the commit.
    Open,
    /// Removes what only the run needed.
    Finalise,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 10] = [
        Self::Preflight,
        Self::Pull,
        Self::Fence,
        Self::Snapshot,
        Self::Prove,
        Self::Migrate,
        Self::Switch,
        Self::Verify,
        Self::Open,
        Self::Finalise,
    ];

    /// The word people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Pull => "pull",
            Self::Fence => "fence",
            Self::Snapshot => "snapshot",
            Self::Prove => "prove",
            Self::Migrate => "migrate",
            Self::Switch => "switch",
            Self::Verify => "verify",
            Self::Open => "open",
            Self::Finalise => "finalise",
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One step of the way back, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndoStep {
    /// Removes every container the run made.
    RemoveNew,
    /// Restores database and Redis from the snapshot, beside the damaged ones, and switches by name.
    RestoreData,
    /// Puts the project's files back.
    RestoreFiles,
    /// Gives the old containers their names and restart policies back, and starts them.
    StartOld,
    /// Probes the old version.
    VerifyOld,
    /// Removes what only the run needed.
    CleanUp,
}

impl UndoStep {
    /// Every step of the way back, in order.
    pub const ALL: [Self; 6] = [
        Self::RemoveNew,
        Self::RestoreData,
        Self::RestoreFiles,
        Self::StartOld,
        Self::VerifyOld,
        Self::CleanUp,
    ];

    /// The word people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::RemoveNew => "remove-new",
            Self::RestoreData => "restore-data",
            Self::RestoreFiles => "restore-files",
            Self::StartOld => "start-old",
            Self::VerifyOld => "verify-old",
            Self::CleanUp => "clean-up",
        }
    }
}

impl std::fmt::Display for UndoStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How much of the database the new version changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MigrationClass {
    /// No migration is pending.
    M0,
    /// Only pre-deployment migrations: the old code runs on the new schema.
    M1,
    /// Post-deployment migrations too: the old code does not run on the new schema.
    M2,
}

/// The class that pending migrations make.
pub fn class_of(pending: &[String], pending_post: &[String]) -> MigrationClass {
    if !pending_post.is_empty() {
        MigrationClass::M2
    } else if !pending.is_empty() {
        MigrationClass::M1
    } else {
        MigrationClass::M0
    }
}

/// Whose fault a failure is; decides whether the target is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The new version's: trying it again unchanged fails again.
    Target,
    /// This host's, the network's or a person's: the same target may go well later.
    Host,
}

/// What came of restoring a copy into a throw-away server: its schema and the rows of every table are the live database's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProof {
    /// How long the restore took.
    pub elapsed_ms: u64,
    /// Why PostgreSQL's own check of every table and index did not come to an end; none where it found all of them sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<String>,
}

/// What a step found out that later steps, the report or a recovery need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Nothing beyond having been done.
    Nothing,
    /// The step was not needed.
    Skipped {
        /// Why.
        because: String,
    },
    /// The new images are here.
    Pulled {
        /// Ids of the images now on this host, in the plan's order.
        image_ids: Vec<String>,
        /// Pending pre-deployment migrations, by version.
        pending: Vec<String>,
        /// Pending post-deployment migrations, by version.
        pending_post: Vec<String>,
        /// What Compose calls the edited definition of each service (`config --hash`).
        config_hashes: BTreeMap<String, String>,
        /// Whether the run puts other data in the place of those that are there: then a way back puts these back, whatever
        /// is pending.
        #[serde(default, skip_serializing_if = "is_false")]
        brings_data: bool,
    },
    /// The site is closed.
    Fenced {
        /// Milliseconds from the step's start until the first service was stopped.
        closed_after_ms: u64,
        /// When each old container was started last, by its id, as the engine writes it: a later start means
        /// that somebody opened the old version behind the fence.
        started: BTreeMap<String, String>,
    },
    /// The copy is on disk, its manifest written.
    Snapshotted {
        /// Folder of the snapshot.
        path: String,
        /// Bytes of all its files.
        bytes: u64,
    },
    /// The copy was proved to be whole.
    Proved {
        /// Tables compared; of a clone, all relations.
        tables: u64,
        /// Rows counted in the copy and in the database; 0 of a clone.
        rows: u64,
        /// Bytes of the relations of a clone, each as big as the original's.
        #[serde(default, skip_serializing_if = "is_zero")]
        bytes: u64,
        /// Keys of Redis in the copy.
        redis_keys: u64,
        /// What restoring it into a throw-away server showed, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restored: Option<RestoreProof>,
        /// Why it was only read back, where the plan wanted it restored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only_read: Option<String>,
    },
    /// The schema is the new version's.
    Migrated {
        /// Migrations applied.
        applied: u64,
    },
    /// The new version answered every probe.
    Verified {
        /// One line a probe.
        probes: Vec<String>,
    },
    /// The public reaches the new version.
    Opened {
        /// Milliseconds from the step's start until the published port answered.
        open_after_ms: u64,
        /// What a person should know, for instance that the labels could not be kept true.
        notes: Vec<String>,
    },
    /// The data of a snapshot have taken the place of those that were in use.
    PutIn {
        /// Tables counted in them; 0 of a clone.
        tables: u64,
        /// Rows in them.
        rows: u64,
    },
    /// Data came back from the snapshot.
    Restored {
        /// Tables compared after the restore; 0 where the untouched original came back.
        tables: u64,
        /// Rows in them.
        rows: u64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new version serves.
    Committed,
    /// The new version was tried; the old one serves again with all data from before.
    RolledBack,
    /// The run ended before anything of the new version was tried; the old one serves.
    Aborted,
    /// Nothing moves until a person decides.
    Held,
    /// It was held, and a person took the site over as it stands.
    Released,
}

impl Outcome {
    /// The words people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled back",
            Self::Aborted => "aborted",
            Self::Held => "held",
            Self::Released => "released",
        }
    }
}

/// What a person decides about a held run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Go on in the direction in which the run was going, with all its tries anew.
    Resume,
    /// Back to the old version, also from behind the commit.
    Rollback,
    /// Leave everything as it stands; the run is over.
    Release,
}

impl Order {
    /// The word people type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Rollback => "rollback",
            Self::Release => "release",
        }
    }
}

/// What the world shows of a run whose journal is lost or older than the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The furthest step that may have been begun.
    pub reached: Step,
    /// Whether the new version was let in, which only a commit allows.
    pub committed: bool,
    /// The migrations' class, where it is certain.
    pub class: Option<MigrationClass>,
    /// When each old container was started last before the snapshot, by its id; empty where it was started later.
    pub started: BTreeMap<String, String>,
    /// What Compose calls the edited definition of each service, as the new containers say.
    pub config_hashes: BTreeMap<String, String>,
    /// Why nothing may move without a person, if that is so.
    pub held: Option<String>,
    /// Whether people may have written to the new version, though nothing shows it: then a way back may lose that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_have_served: bool,
    /// What was seen, in one sentence.
    pub because: String,
}

/// One fact of a run. `Intent` and `UndoIntent` become durable before the effect they announce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run exists; its plan is stored.
    Planned {
        /// SHA-256 of the plan.
        plan_hash: String,
    },
    /// Another process took the run over after an interruption.
    Resumed {
        /// Why it had to.
        because: String,
    },
    /// The journal was lost, or knew less than the world shows: from here on, what was seen counts.
    Rebuilt(Rebuilt),
    /// A person decided about a run that was held.
    Ordered {
        /// What.
        order: Order,
        /// The person's login name.
        by: String,
        /// Whether the person agreed that what was written since the snapshot is lost.
        accept_loss: bool,
    },
    /// A step is about to be taken.
    Intent {
        /// Which.
        step: Step,
    },
    /// A step was taken; its effect was seen in the world.
    Done {
        /// Which.
        step: Step,
        /// How long it took, by a monotonic clock.
        elapsed_ms: u64,
        /// What it found.
        finding: Finding,
    },
    /// A step failed; its effect may have happened in part.
    Failed {
        /// Which.
        step: Step,
        /// How long it took, by a monotonic clock.
        elapsed_ms: u64,
        /// What failed and why, the whole chain in one line. No secrets.
        error: String,
        /// Whose fault it is.
        blame: Blame,
        /// Whether nothing of the step was done, so that nothing of it is to be undone.
        #[serde(default, skip_serializing_if = "is_false")]
        not_begun: bool,
    },
    /// The point of no return is passed: the new version is the one.
    Committed,
    /// The way back is taken: after a failure, or between two steps before the commit because time is up.
    RollbackBegun {
        /// Why.
        because: String,
    },
    /// A step of the way back is about to be taken.
    UndoIntent {
        /// Which.
        step: UndoStep,
        /// 1, 2 or 3.
        attempt: u32,
    },
    /// A step of the way back was taken.
    UndoDone {
        /// Which.
        step: UndoStep,
        /// How long it took, by a monotonic clock.
        elapsed_ms: u64,
        /// What it found.
        finding: Finding,
    },
    /// A step of the way back failed.
    UndoFailed {
        /// Which.
        step: UndoStep,
        /// How long it took, by a monotonic clock.
        elapsed_ms: u64,
        /// What failed and why.
        error: String,
        /// Whether only a person can decide, so that trying again changes nothing.
        #[serde(default, skip_serializing_if = "is_false")]
        needs_person: bool,
    },
    /// The run is over.
    Finished {
        /// How.
        outcome: Outcome,
        /// Why, in one sentence.
        because: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Place in the run's journal, from 1, without gaps.
    pub seq: u64,
    /// Wall-clock time at which it was written; durations never come from it.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: impl Serialize) -> String {
        let written = serde_json::to_value(value).unwrap();
        written.as_str().unwrap().to_owned()
    }

    #[test]
    fn what_people_read_and_type_is_what_the_journal_holds() {
        for step in Step::ALL {
            assert_eq!(step.to_string(), written(step));
        }
        for step in UndoStep::ALL {
            assert_eq!(step.to_string(), written(step));
        }
        for order in [Order::Resume, Order::Rollback, Order::Release] {
            assert_eq!(order.name(), written(order));
        }
        for outcome in [
            Outcome::Committed,
            Outcome::RolledBack,
            Outcome::Aborted,
            Outcome::Held,
            Outcome::Released,
        ] {
            assert_eq!(outcome.name(), written(outcome).replace('_', " "));
        }
    }

    #[test]
    fn that_a_person_is_needed_is_written_only_where_it_is_so() {
        let undo = |needs_person| Event::UndoFailed {
            step: UndoStep::CleanUp,
            elapsed_ms: 1,
            error: String::new(),
            needs_person,
        };
        for (needs_person, is_written) in [(false, false), (true, true)] {
            let text = serde_json::to_string(&undo(needs_person)).unwrap();
            assert_eq!(text.contains("needs_person"), is_written, "{text}");
            let back: Event = serde_json::from_str(&text).unwrap();
            assert_eq!(back, undo(needs_person));
        }
    }
}
