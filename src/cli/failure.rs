//! Errors as people and scripts meet them: a sentence and an exit code.

use crate::config::ConfigErrors;
use crate::daemon::act::ActError;
use crate::daemon::knowledge::KnowledgeError;
use crate::daemon::lock::LockError;
use crate::daemon::supervisor::DaemonError;
use crate::daemon::world::WorldError;
use crate::engine::StepError;
use crate::engine::drive::DriveError;
use crate::engine::restorable::ReturnError;
use crate::exit::Exit;
use crate::ports::release_source::ReleaseSourceError;
use crate::ports::runtime::RuntimeError;
use crate::ports::store::StoreError;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// What is said.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with a sentence of its own.
    pub fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self {
            exit,
            error: anyhow::Error::msg(sentence.into()),
        }
    }

    /// Something that should not happen.
    pub fn bug(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Bug,
            error,
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(err: ConfigErrors) -> Self {
        Self {
            exit: Exit::Config,
            error: anyhow::Error::new(err),
        }
    }
}

impl From<WorldError> for Failure {
    fn from(err: WorldError) -> Self {
        let exit = match &err {
            WorldError::Runtime(err) => of_runtime(err),
            WorldError::Files(_) | WorldError::Store(_) => Exit::Refused,
        };
        Self {
            exit,
            error: anyhow::Error::new(err),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(err: StoreError) -> Self {
        Self {
            exit: Exit::Refused,
            error: anyhow::Error::new(err),
        }
    }
}

impl From<StepError> for Failure {
    fn from(err: StepError) -> Self {
        Self {
            exit: of_step(&err),
            error: anyhow::Error::new(err),
        }
    }
}

impl From<LockError> for Failure {
    fn from(err: LockError) -> Self {
        Self {
            exit: of_lock(&err),
            error: anyhow::Error::new(err),
        }
    }
}

impl From<KnowledgeError> for Failure {
    fn from(err: KnowledgeError) -> Self {
        let exit = match &err {
            KnowledgeError::Source { .. } => Exit::Unreachable,
            KnowledgeError::Store(_) => Exit::Refused,
        };
        Self {
            exit,
            error: anyhow::Error::new(err),
        }
    }
}

impl From<ReleaseSourceError> for Failure {
    fn from(err: ReleaseSourceError) -> Self {
        Self {
            exit: Exit::Unreachable,
            error: anyhow::Error::new(err),
        }
    }
}

impl From<ActError> for Failure {
    fn from(err: ActError) -> Self {
        let exit = match &err {
            ActError::Lock(err) => of_lock(err),
            ActError::Plan(err) => of_step(err),
            ActError::Store(_)
            | ActError::Files(_)
            | ActError::World(_)
            | ActError::Material(_) => Exit::Refused,
            ActError::Commit { .. }
            | ActError::Drive(DriveError::EngineGone { closed: false, .. }) => Exit::Unreachable,
            ActError::Drive(_) => Exit::Held,
        };
        Self {
            exit,
            error: anyhow::Error::new(err),
        }
    }
}

fn of_lock(err: &LockError) -> Exit {
    match err {
        LockError::Held { .. } => Exit::Locked,
        LockError::Io { .. } => Exit::Refused,
    }
}

fn of_step(err: &StepError) -> Exit {
    match err {
        StepError::Runtime(err) => of_runtime(err),
        StepError::Target(_)
        | StepError::Host(_)
        | StepError::NotBegun(_)
        | StepError::NeedsPerson(_)
        | StepError::Data(_)
        | StepError::Compose(_)
        | StepError::Files(_) => Exit::Refused,
    }
}

fn of_runtime(err: &RuntimeError) -> Exit {
    match err {
        RuntimeError::Unreachable { .. } | RuntimeError::Registry { .. } => Exit::Unreachable,
        RuntimeError::NoSuchImage { .. }
        | RuntimeError::NotFound { .. }
        | RuntimeError::Engine { .. }
        | RuntimeError::Unknown { .. }
        | RuntimeError::TimedOut { .. }
        | RuntimeError::Unfaithful { .. } => Exit::Refused,
    }
}

impl From<ReturnError> for Failure {
    fn from(err: ReturnError) -> Self {
        let exit = match &err {
            ReturnError::Trouble(err) => of_step(err),
            ReturnError::Refused(_) | ReturnError::Damaged { .. } | ReturnError::Store(_) => {
                Exit::Refused
            }
        };
        Self {
            exit,
            error: anyhow::Error::new(err),
        }
    }
}

impl From<DaemonError> for Failure {
    fn from(err: DaemonError) -> Self {
        match err {
            DaemonError::Lock(err) => err.into(),
            DaemonError::World(err) => err.into(),
            DaemonError::Source(err) => err.into(),
            DaemonError::Knowledge(err) => err.into(),
            DaemonError::Survey(err) => err.into(),
            DaemonError::Act(err) => err.into(),
            DaemonError::Store(err) => err.into(),
            err @ DaemonError::Signals(_) => Self::bug(anyhow::Error::new(err)),
        }
    }
}
