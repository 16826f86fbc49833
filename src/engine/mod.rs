//! Carries a plan out: [`drive`] asks the run's state what comes, journals the intent, acts,
//! and journals the result, until the run is over.
#![deny(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::domain::clock::Reading;
use crate::domain::plan::Plan;
use crate::ports::clock::Clock;
use crate::ports::compose::{ComposeError, ComposeProject};
use crate::ports::database::{DataError, Database, OnBehalf, Redis};
use crate::ports::files::{FilesError, RunFiles};
use crate::ports::probe::Probe;
use crate::ports::reporter::Reporter;
use crate::ports::runtime::{ContainerRuntime, RuntimeError};
use crate::ports::store::Journal;

pub(crate) mod address;
mod deadline;
pub mod drive;
pub mod held;
pub mod material;
pub mod planner;
pub mod probes;
pub mod recovery;
pub mod rehearsal;
pub mod restorable;
pub mod snapshots;
mod steps;
mod strangers;
mod undo;

use material::Material;

/// Everything the engine needs of the world, in one bundle.
pub trait Ports: Send + Sync {
    /// The container engine.
    type Runtime: ContainerRuntime;
    /// PostgreSQL.
    type Database: Database;
    /// Redis.
    type Redis: Redis;
    /// The Compose project.
    type Compose: ComposeProject;
    /// HTTP.
    type Probe: Probe;
    /// Files of runs.
    type Files: RunFiles;
    /// The journal.
    type Journal: Journal;
    /// The writer of mails.
    type Reporter: Reporter;
    /// Time.
    type Clock: Clock;

    /// The container engine.
    fn runtime(&self) -> &Self::Runtime;
    /// PostgreSQL.
    fn database(&self) -> &Self::Database;
    /// Redis.
    fn redis(&self) -> &Self::Redis;
    /// The Compose project.
    fn compose(&self) -> &Self::Compose;
    /// HTTP.
    fn probe(&self) -> &Self::Probe;
    /// Files of runs.
    fn files(&self) -> &Self::Files;
    /// The journal.
    fn journal(&self) -> &Self::Journal;
    /// The writer of mails.
    fn reporter(&self) -> &Self::Reporter;
    /// Time.
    fn clock(&self) -> &Self::Clock;
}

/// How far a run is. Shown, never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A step begins.
    Began {
        /// Its name.
        step: &'static str,
        /// Whether it belongs to the way back.
        back: bool,
    },
    /// A step is over.
    Ended {
        /// Its name.
        step: &'static str,
        /// How long it took.
        elapsed: Duration,
        /// What failed, if it failed.
        error: Option<String>,
    },
    /// A pull goes on.
    Pull {
        /// The image.
        image: String,
        /// Bytes here.
        done: u64,
        /// Bytes known so far.
        total: u64,
    },
    /// Files are read through.
    Read {
        /// Bytes read.
        done: u64,
        /// Bytes to read.
        total: u64,
    },
    /// Something worth a line.
    Note(String),
}

/// Where progress goes.
pub type ProgressSink<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// A wish to stop, looked at between steps.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

impl StopFlag {
    /// Wishes to stop. A run whose site is open stops; one whose site is closed goes on to its end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody wished to stop.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Why a step did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The new version is at fault.
    #[error("{0}")]
    Target(String),
    /// This host, the network or a person is; the sentence says what to do.
    #[error("{0}")]
    Host(String),
    /// The same, and nothing of the step was done, so nothing of it is to be undone.
    #[error("{0}")]
    NotBegun(String),
    /// Only a person can decide; trying again changes nothing.
    #[error("{0}")]
    NeedsPerson(String),
    /// The container engine.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// PostgreSQL or Redis.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The Compose project.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Files of ours.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// One line: an error and its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(err) = cause {
        let line = err.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = err.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What every step works with.
pub(crate) struct Ctx<'a, P: Ports> {
    pub(crate) ports: &'a P,
    pub(crate) plan: &'a Plan,
    pub(crate) material: &'a Material,
    pub(crate) progress: ProgressSink<'a>,
    /// When the run, or its taking over, began.
    pub(crate) began: Reading,
}

impl<P: Ports> Ctx<'_, P> {
    pub(crate) fn on_behalf(&self) -> OnBehalf {
        OnBehalf {
            run: self.plan.run.clone(),
            short_run: self.plan.short_run().to_owned(),
            instance: self.plan.instance.clone(),
            gently: false,
        }
    }

    /// Names of the Compose services that will be replaced.
    pub(crate) fn service_names(&self) -> Vec<String> {
        let services = self.plan.services.iter();
        services.map(|service| service.service.clone()).collect()
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        (self.progress)(Progress::Note(text.into()));
    }

    pub(crate) fn boot_limit(&self) -> Duration {
        Duration::from_secs(self.plan.limits.boot_s)
    }

    pub(crate) fn snapshot_limit(&self) -> Duration {
        Duration::from_secs(self.plan.limits.snapshot_s)
    }

    pub(crate) fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.plan.limits.stop_grace_s)
    }

    /// Milliseconds since `start` on the monotonic clock.
    pub(crate) fn since(&self, start: Duration) -> u64 {
        millis(self.ports.clock().monotonic().saturating_sub(start))
    }
}

/// Whole milliseconds; a length that does not fit is not a real one.
pub(crate) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
