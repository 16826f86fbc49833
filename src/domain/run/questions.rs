//! What a run's journal says, asked for one thing at a time.

use super::{MigrationClass, Next, Order, Outcome, RunState, Step, UndoStep};
use crate::domain::event::Blame;

impl RunState {
    /// Whether migrations of the new version may have run. Then a way back restores the data: a schema
    /// that looks unmoved is no proof, for a migration can change rows before it fails.
    ///
    /// From behind the commit a way back leaves the data alone where the old code runs on the new schema (M0, M1):
    /// people have written since. The same where they may have, though no commit is known.
    pub fn data_may_have_changed(&self) -> bool {
        let class = self.class.unwrap_or(MigrationClass::M2);
        let spared = if self.committed || self.may_have_served {
            MigrationClass::M1
        } else {
            MigrationClass::M0
        };
        self.intended.contains(&Step::Migrate) && class > spared
    }

    /// Whether the run stands still until a person decides.
    pub fn is_held(&self) -> bool {
        matches!(self.outcome, Some((Outcome::Held, _)))
    }

    /// Whether carrying out an order would lose what was written since the snapshot, so that a person has to agree.
    pub fn would_lose(&self, order: Order) -> bool {
        // Without a commit the direction is back, whether or not the way back was begun.
        let goes_back = self.rollback.is_some() || !self.committed;
        let back = order == Order::Rollback || (order == Order::Resume && goes_back);
        let served = self.committed || self.may_have_served;
        back && served && !self.restored && self.data_may_have_changed()
    }

    /// Whether the data came back from the snapshot already.
    pub fn is_restored(&self) -> bool {
        self.restored
    }

    /// Whether the journal lacked what the world showed: more may have been done than it says.
    pub fn was_rebuilt(&self) -> bool {
        self.rebuilt
    }

    /// Whether the run was interrupted: its journal may be one that came back from a backup.
    pub fn was_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether a person agreed that what was written since the snapshot is lost.
    pub fn accepts_loss(&self) -> bool {
        self.accept_loss
    }

    /// Whether the new version was seen to be well: only then is a commit about to be written.
    pub fn was_verified(&self) -> bool {
        self.done.contains(&Step::Verify)
    }

    /// Whether a person gave an order.
    pub fn was_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    /// Whether the way back was begun.
    pub fn is_going_back(&self) -> bool {
        self.rollback.is_some()
    }

    /// The furthest step that was begun.
    pub fn furthest(&self) -> Option<Step> {
        self.intended.last().copied()
    }

    /// Whether the site may be closed: the fence was announced and neither way has opened it again.
    pub fn may_be_fenced(&self) -> bool {
        self.intended.contains(&Step::Fence)
            && !self.done.contains(&Step::Open)
            && !self
                .rollback
                .as_ref()
                .is_some_and(|r| r.done.contains(&UndoStep::StartOld))
    }

    /// Whether the way back may be taken though nothing failed: only between two steps, and only before the commit.
    pub fn may_turn_back(&self) -> bool {
        self.open_intent.is_none()
            && !self.committed
            && matches!(self.next(), Next::Step(_) | Next::Commit)
    }

    /// What kind of migrations the new version brings, once its images are here.
    pub fn class(&self) -> Option<MigrationClass> {
        self.class
    }

    /// What Compose calls the edited definition of a service.
    pub fn config_hash(&self, service: &str) -> Option<&str> {
        self.config_hashes.get(service).map(String::as_str)
    }

    /// When an old container was started last before the site was closed; `None` before that is known.
    pub fn started_before_fence(&self, container_id: &str) -> Option<&str> {
        self.fenced.get(container_id).map(String::as_str)
    }

    /// Whether the point of no return is passed.
    pub fn is_committed(&self) -> bool {
        self.committed
    }

    /// Whether the commit is the last word: nothing after it was begun.
    pub fn only_committed(&self) -> bool {
        self.committed && self.rollback.is_none() && !self.intended.contains(&Step::Open)
    }

    /// How the run ended, once it has.
    pub fn outcome(&self) -> Option<(Outcome, &str)> {
        self.outcome
            .as_ref()
            .map(|(outcome, because)| (*outcome, because.as_str()))
    }

    /// Why the target should not be tried again, if a failure was its fault.
    pub fn quarantine_reason(&self) -> Option<&str> {
        // Or the next window would bring it back.
        if self.committed
            && let Some(rollback) = &self.rollback
        {
            return Some(rollback.because.as_str());
        }
        let failure = self.failure.as_ref().filter(|_| !self.committed)?;
        (failure.blame == Blame::Target).then_some(failure.because.as_str())
    }

    /// The step that failed or was interrupted first, if any.
    pub fn failed_step(&self) -> Option<Step> {
        self.failure.as_ref().map(|failure| failure.step)
    }

    /// Steps announced so far.
    pub fn transitions(&self) -> u32 {
        self.transitions
    }
}
