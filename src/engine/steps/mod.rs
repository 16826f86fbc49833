//! The steps of the way forward, one file for each group that shares its means.

use super::{Ctx, Ports, StepError};
use crate::domain::event::{Blame, Finding, Step};
use crate::domain::run::RunState;

pub(crate) mod check;
mod commit;
mod fence;
mod migrate;
mod prove;
pub(crate) mod pull;
mod restore;
mod shared;
pub(crate) mod snapshot;
mod switch;

/// Role labels of the containers a run makes.
pub(crate) mod role {
    /// A container of the new version that will serve.
    pub(crate) const NEW: &str = "new";
    /// A container of the old version, made anew because somebody removed the one there was.
    pub(crate) const OLD: &str = "old";
    /// The one-off that migrates.
    pub(crate) const MIGRATE: &str = "migrate";
    /// Web of the version that runs, in a rehearsal: what it misses there is not the new one's fault.
    pub(crate) const CONTROL: &str = "control";
    /// Web of the new version, in a rehearsal.
    pub(crate) const REHEARSED: &str = "rehearsed";
    /// The network in which throw-away servers are.
    pub(crate) const ISOLATED: &str = "isolated";
    /// The one-off that proves that Sidekiq boots.
    pub(crate) const SIDEKIQ_PROBE: &str = "sidekiq-probe";
}

impl<P: Ports> Ctx<'_, P> {
    /// Takes one step forward. Calling it again after an interruption converges on the same state.
    pub(crate) async fn act(&self, step: Step, state: &RunState) -> Result<Finding, StepError> {
        match step {
            Step::Preflight => self.preflight().await,
            Step::Pull => self.pull().await,
            Step::Fence => self.fence(state).await,
            Step::Snapshot => self.snapshot(state).await,
            Step::Prove => self.prove(state).await,
            Step::Migrate => self.migrate(state).await,
            Step::Switch => self.switch(state).await,
            Step::Verify => self.verify(state).await,
            Step::Open => self.open(state).await,
            Step::Finalise => self.finalise(state).await,
        }
    }
}

/// Whose fault a step's failure is.
pub(crate) fn blame(error: &StepError) -> Blame {
    match error {
        StepError::Target(_) => Blame::Target,
        StepError::Host(_)
        | StepError::NotBegun(_)
        | StepError::NeedsPerson(_)
        | StepError::Runtime(_)
        | StepError::Data(_)
        | StepError::Compose(_)
        | StepError::Files(_) => Blame::Host,
    }
}
