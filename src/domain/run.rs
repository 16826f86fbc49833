//! The run as a state machine: [`RunState::apply`] folds the journal, [`RunState::next`] says what comes.
//!
//! The same `next` drives an uninterrupted run and a recovery; an interruption is only one more event
//! ([`Event::Resumed`]). Nothing here looks at the world: every effect announced by `next` converges on
//! the state it describes, whatever it finds.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{
    Blame, Entry, Event, Finding, MigrationClass, Order, Outcome, Rebuilt, Step, UndoStep, class_of,
};

mod questions;

/// Steps announced in one run, at the most (I11). The longest sane run, ten steps forward, `open` and
/// `finalise` tried three times each and three ways back of six steps, needs 32.
pub const MAX_TRANSITIONS: u32 = 40;
/// Ways back tried before a person is needed (I11).
pub const MAX_ROLLBACKS: u32 = 3;
/// Times a step after the commit is tried before a person is needed.
pub const MAX_FORWARD: u32 = 3;

/// Everything a run's journal says, folded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the journal that is true or not"
)]
pub struct RunState {
    planned: bool,
    done: BTreeSet<Step>,
    intended: BTreeSet<Step>,
    open_intent: Option<Step>,
    open_undo: Option<UndoStep>,
    failure: Option<Failure>,
    class: Option<MigrationClass>,
    config_hashes: BTreeMap<String, String>,
    fenced: BTreeMap<String, String>,
    committed: bool,
    rollback: Option<Rollback>,
    forward_failures: u32,
    transitions: u32,
    outcome: Option<(Outcome, String)>,
    /// Why nothing may move without a person, though no way was tried.
    hold: Option<String>,
    /// Whether the data came back from the snapshot: that happens once in a run.
    restored: bool,
    /// The person who ordered the way back, or released the run.
    ordered: Option<(Order, String)>,
    accept_loss: bool,
    /// Whether the journal lacked what the world showed.
    rebuilt: bool,
    /// Whether the run was interrupted.
    resumed: bool,
    /// Whether people may have written to the new version though no commit is known.
    may_have_served: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    step: Step,
    because: String,
    blame: Blame,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rollback {
    because: String,
    attempt: u32,
    done: BTreeSet<UndoStep>,
    failed: Option<UndoStep>,
}

/// What comes next in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a run that does not do what comes next stands still"]
pub enum Next {
    /// Announce and take this step.
    Step(Step),
    /// Write the commit record: the point of no return.
    Commit,
    /// Write that the way back is taken.
    BeginRollback {
        /// Why.
        because: String,
    },
    /// Announce and take this step of the way back.
    Undo {
        /// Which.
        step: UndoStep,
        /// 1 to [`MAX_ROLLBACKS`].
        attempt: u32,
    },
    /// Write the end.
    Finish {
        /// How the run ended.
        outcome: Outcome,
        /// Why, in one sentence.
        because: String,
    },
    /// The run is over; nothing comes.
    Over,
}

/// An event that cannot follow the ones before it: the journal is damaged, or written by a program that
/// is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {what} cannot follow what is before it")]
pub struct Illegal {
    what: String,
}

impl RunState {
    /// Folds a whole journal.
    pub fn fold(journal: &[Entry]) -> Result<Self, Illegal> {
        let mut state = Self::default();
        for entry in journal {
            state.apply(&entry.event)?;
        }
        Ok(state)
    }

    /// Takes one event in. An illegal event leaves the state as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        let legal = match event {
            Event::Planned { .. } => !self.planned,
            Event::Resumed { .. } => self.planned && self.outcome.is_none(),
            Event::Rebuilt(rebuilt) => {
                self.planned
                    && self.outcome.is_none()
                    && self.open_intent.is_none()
                    && (self.may_learn(rebuilt) || self.stands_still(rebuilt))
            }
            Event::Ordered {
                order, accept_loss, ..
            } => self.is_held() && (!self.would_lose(*order) || *accept_loss),
            Event::Intent { step } => {
                self.open_intent.is_none() && self.next() == Next::Step(*step)
            }
            Event::Done { step, .. } | Event::Failed { step, .. } => {
                self.open_intent == Some(*step)
            }
            Event::Committed => self.next() == Next::Commit,
            Event::RollbackBegun { .. } => {
                matches!(self.next(), Next::BeginRollback { .. }) || self.may_turn_back()
            }
            Event::UndoIntent { step, .. } => self.open_undo.is_none() && self.may_undo(*step),
            Event::UndoDone { step, .. } | Event::UndoFailed { step, .. } => {
                self.open_undo == Some(*step)
            }
            Event::Finished { outcome, .. } => {
                matches!(self.next(), Next::Finish { .. }) || self.was_at_home(*outcome)
            }
        };
        if !legal {
            return Err(Illegal {
                what: format!("{event:?}"),
            });
        }
        self.take(event);
        Ok(())
    }

    /// A way back moves the world towards the old version, and a commit is the last word.
    fn may_learn(&self, rebuilt: &Rebuilt) -> bool {
        (!self.committed || (self.only_committed() && !rebuilt.committed))
            && self.rollback.is_none()
    }

    /// That a person has to look changes nothing else of what is known.
    fn stands_still(&self, rebuilt: &Rebuilt) -> bool {
        let reached = self.furthest().unwrap_or(Step::Preflight);
        rebuilt.held.is_some() && rebuilt.committed == self.committed && rebuilt.reached == reached
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Planned { .. } => self.planned = true,
            Event::Resumed { because } => {
                self.resumed = true;
                self.interrupted(because);
            }
            Event::Rebuilt(rebuilt) => self.rebuild(rebuilt),
            Event::Ordered {
                order,
                by,
                accept_loss,
            } => self.ordered(*order, by, *accept_loss),
            Event::Intent { step } => {
                self.transitions = self.transitions.saturating_add(1);
                self.intended.insert(*step);
                self.open_intent = Some(*step);
            }
            Event::Done { step, finding, .. } => self.step_done(*step, finding),
            Event::Failed {
                step,
                error,
                blame,
                not_begun,
                ..
            } => {
                self.open_intent = None;
                if *not_begun {
                    self.intended.remove(step);
                }
                self.failed(Failure {
                    step: *step,
                    because: error.clone(),
                    blame: *blame,
                });
            }
            Event::Committed => self.committed = true,
            Event::RollbackBegun { because } => {
                self.rollback = Some(Rollback {
                    because: because.clone(),
                    attempt: 1,
                    done: BTreeSet::new(),
                    failed: None,
                });
            }
            Event::UndoIntent { step, .. } => {
                self.transitions = self.transitions.saturating_add(1);
                self.open_undo = Some(*step);
            }
            Event::UndoDone { step, .. } => {
                self.open_undo = None;
                self.restored |= *step == UndoStep::RestoreData;
                if let Some(rollback) = &mut self.rollback {
                    rollback.done.insert(*step);
                }
            }
            Event::UndoFailed {
                error,
                needs_person,
                ..
            } => {
                self.undo_again();
                self.hold = needs_person.then(|| error.clone());
            }
            Event::Finished { outcome, because } => {
                self.outcome = Some((*outcome, because.clone()));
            }
        }
    }

    fn step_done(&mut self, step: Step, finding: &Finding) {
        self.open_intent = None;
        self.forward_failures = 0;
        self.done.insert(step);
        if let Finding::Pulled {
            pending,
            pending_post,
            config_hashes,
            brings_data,
            ..
        } = finding
        {
            // Other data are to the version that ran before what no old code runs on.
            let class = if *brings_data {
                MigrationClass::M2
            } else {
                class_of(pending, pending_post)
            };
            self.class = Some(class);
            self.config_hashes.clone_from(config_hashes);
        }
        if let Finding::Fenced { started, .. } = finding {
            self.fenced.clone_from(started);
        }
    }

    /// A process ended in the middle. After the commit only forward; in a way back, once more from its
    /// start; before that, the way back.
    fn interrupted(&mut self, because: &str) {
        let step = self.open_intent.take();
        if self.rollback.is_some() {
            if self.open_undo.is_some() {
                self.undo_again();
            }
            // What was done from memory is not in the journal: the old version may have been stopped once more.
            if let Some(rollback) = &mut self.rollback {
                rollback.done.retain(|step| *step < UndoStep::StartOld);
            }
        } else if self.committed {
            if step.is_some() {
                self.forward_failures = self.forward_failures.saturating_add(1);
            }
        } else if self.failure.is_none() {
            let step = step
                .or_else(|| self.done.last().copied())
                .unwrap_or(Step::Preflight);
            self.failure = Some(Failure {
                step,
                because: format!("interrupted in step `{step}`: {because}"),
                blame: Blame::Host,
            });
        }
    }

    /// What was seen counts on top of what is known: a step that may have been begun is one that is undone.
    fn rebuild(&mut self, rebuilt: &Rebuilt) {
        for step in Step::ALL.into_iter().filter(|it| *it <= rebuilt.reached) {
            self.intended.insert(step);
            if step < rebuilt.reached {
                self.done.insert(step);
            }
        }
        self.class = rebuilt.class.or(self.class);
        for (id, started) in &rebuilt.started {
            self.fenced
                .entry(id.clone())
                .or_insert_with(|| started.clone());
        }
        for (service, hash) in &rebuilt.config_hashes {
            self.config_hashes
                .entry(service.clone())
                .or_insert_with(|| hash.clone());
        }
        // Also where a commit was refused when it was written, and is there all the same.
        self.committed = rebuilt.committed;
        if rebuilt.committed {
            self.failure = None;
            let before = Step::ALL.into_iter().filter(|step| *step < Step::Open);
            self.done.extend(before);
            self.done.retain(|step| *step < Step::Open);
        } else if self.failure.is_none() {
            self.failure = Some(Failure {
                step: rebuilt.reached,
                because: rebuilt.because.clone(),
                blame: Blame::Host,
            });
        }
        self.hold.clone_from(&rebuilt.held);
        self.may_have_served |= rebuilt.may_have_served;
        self.rebuilt = true;
    }

    fn ordered(&mut self, order: Order, by: &str, accept_loss: bool) {
        self.outcome = None;
        self.hold = None;
        self.transitions = 0;
        self.forward_failures = 0;
        self.accept_loss = accept_loss;
        let before = self.rollback.take();
        // What was left to tidy closes no site that serves again.
        let tidies = before.as_ref().is_some_and(|rollback| {
            rollback.failed == Some(UndoStep::CleanUp) && order == Order::Resume
        });
        let kept = before.iter().flat_map(|rollback| &rollback.done).copied();
        let kept = kept.filter(|step| tidies && *step < UndoStep::StartOld);
        let done = kept
            .chain(self.restored.then_some(UndoStep::RestoreData))
            .collect();
        let reason = before.map(|rollback| rollback.because);
        let back = order == Order::Rollback || (order == Order::Resume && reason.is_some());
        if back {
            self.rollback = Some(Rollback {
                because: reason.unwrap_or_else(|| format!("{by} ordered it")),
                attempt: 1,
                done,
                failed: None,
            });
        }
        self.ordered = Some((order, by.to_owned()));
    }

    fn failed(&mut self, failure: Failure) {
        if self.committed {
            self.forward_failures = self.forward_failures.saturating_add(1);
        }
        self.failure = Some(failure);
    }

    fn undo_again(&mut self) {
        let failed = self.open_undo.take();
        if let Some(rollback) = &mut self.rollback {
            rollback.failed = failed;
            rollback.attempt = rollback.attempt.saturating_add(1);
            let served = rollback.done.contains(&UndoStep::VerifyOld);
            // Everything is done again but the data: once it is back, the old version may have served,
            // and a second restore would lose what people wrote since. And a site that was seen to serve is not closed
            // again for what is left to tidy.
            rollback.done.retain(|step| {
                *step == UndoStep::RestoreData || (served && *step < UndoStep::StartOld)
            });
        }
    }

    /// Whether an earlier program, which started the old version no more after an interruption, was at the end of its way
    /// back.
    fn was_at_home(&self, outcome: Outcome) -> bool {
        let is_over = self.resumed && self.open_undo.is_none() && outcome == self.outcome_back();
        is_over && matches!(self.next(), Next::Undo { step, .. } if step >= UndoStep::StartOld)
    }

    /// Whether a step back is due. Earlier programs began every further way back at its beginning, and went on after an
    /// interruption where they were: their journals stay readable.
    fn may_undo(&self, step: UndoStep) -> bool {
        let Next::Undo { step: due, attempt } = self.next() else {
            return false;
        };
        due == step || ((self.resumed || attempt > 1) && step != UndoStep::RestoreData)
    }

    /// What comes next. An open intent is first answered by its result or by [`Event::Resumed`]; asking
    /// while one is open gives the same step again.
    pub fn next(&self) -> Next {
        if self.outcome.is_some() || !self.planned {
            return Next::Over;
        }
        if let Some(step) = self.open_intent {
            return Next::Step(step);
        }
        if let Some((Order::Release, by)) = &self.ordered {
            return Next::Finish {
                outcome: Outcome::Released,
                because: format!("{by} took the site over as it stands"),
            };
        }
        if let Some(because) = &self.hold {
            return Next::Finish {
                outcome: Outcome::Held,
                because: because.clone(),
            };
        }
        if let Some(rollback) = &self.rollback {
            return self.next_back(rollback);
        }
        if self.committed {
            return self.next_forward();
        }
        if let Some(failure) = &self.failure {
            return Next::BeginRollback {
                because: failure.because.clone(),
            };
        }
        if self.transitions >= MAX_TRANSITIONS {
            return Next::BeginRollback {
                because: too_many(),
            };
        }
        for step in Step::ALL {
            if step == Step::Open {
                return Next::Commit;
            }
            if !self.done.contains(&step) {
                return Next::Step(step);
            }
        }
        Next::Over
    }

    fn next_forward(&self) -> Next {
        let Some(step) = [Step::Open, Step::Finalise]
            .into_iter()
            .find(|s| !self.done.contains(s))
        else {
            return Next::Finish {
                outcome: Outcome::Committed,
                because: "the new version serves and answered every probe".to_owned(),
            };
        };
        if self.forward_failures >= MAX_FORWARD || self.transitions >= MAX_TRANSITIONS {
            let because = self
                .failure
                .as_ref()
                .map_or_else(too_many, |f| f.because.clone());
            return Next::Finish {
                outcome: Outcome::Held,
                because: format!(
                    "the new version is committed, but step `{step}` failed {} times: {because}",
                    self.forward_failures
                ),
            };
        }
        Next::Step(step)
    }

    fn next_back(&self, rollback: &Rollback) -> Next {
        if let Some(step) = self.open_undo {
            return Next::Undo {
                step,
                attempt: rollback.attempt,
            };
        }
        let due = UndoStep::ALL
            .into_iter()
            .find(|step| self.undo_needed(*step) && !rollback.done.contains(step));
        let Some(step) = due else {
            return Next::Finish {
                outcome: self.outcome_back(),
                because: rollback.because.clone(),
            };
        };
        if rollback.attempt > MAX_ROLLBACKS || self.transitions >= MAX_TRANSITIONS {
            return Next::Finish {
                outcome: Outcome::Held,
                because: format!(
                    "the way back failed {} times, last in `{}`; it was taken because: {}",
                    rollback.attempt.saturating_sub(1),
                    rollback.failed.unwrap_or(step),
                    rollback.because
                ),
            };
        }
        Next::Undo {
            step,
            attempt: rollback.attempt,
        }
    }

    /// Every step whose intent was journalled is undone, including the one that failed.
    fn undo_needed(&self, step: UndoStep) -> bool {
        match step {
            UndoStep::CleanUp => true,
            UndoStep::RestoreData => self.data_may_have_changed(),
            UndoStep::RemoveNew
            | UndoStep::RestoreFiles
            | UndoStep::StartOld
            | UndoStep::VerifyOld => self.intended.contains(&Step::Fence),
        }
    }

    fn outcome_back(&self) -> Outcome {
        if self.intended.contains(&Step::Migrate) || self.intended.contains(&Step::Switch) {
            Outcome::RolledBack
        } else {
            Outcome::Aborted
        }
    }
}

fn too_many() -> String {
    format!("more than {MAX_TRANSITIONS} steps in one run")
}

#[cfg(test)]
mod tests;
