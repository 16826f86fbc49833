//! The loop that carries a run to its end, first time or after an interruption.

use std::time::Duration;

use super::deadline::Deadline;
use super::material::{Material, MaterialError};
use super::{Ctx, Ports, Progress, ProgressSink, StepError, StopFlag, chain, millis, steps};
use crate::domain::event::{Entry, Event, Finding, Outcome, Step, UndoStep};
use crate::domain::plan::Plan;
use crate::domain::run::{Illegal, Next, RunState};
use crate::ports::clock::Clock;
use crate::ports::files::{FilesError, RunFiles};
use crate::ports::reporter::Reporter;
use crate::ports::runtime::{ContainerRuntime, RuntimeError};
use crate::ports::store::{Journal, StoreError, StoredRun};

/// How long a run waits for an engine that does not answer while the site is open: a restart of the engine
/// takes seconds, and nothing is lost by leaving the rest to the next start.
const OPEN_PATIENCE: Duration = Duration::from_secs(60);
/// The same while the site is closed, where only the engine can bring it back: an upgrade of the engine's
/// package, or a host that is short of memory, takes minutes.
const CLOSED_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Between two ways back: a server that crashed has recovered by then.
const BETWEEN_ROLLBACKS: Duration = Duration::from_secs(15);
/// Between two questions whether the engine is back.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

/// Why a run could not be carried on. The site is as the last journalled step left it.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal cannot be written or read.
    #[error("the journal of run `{run}` cannot be used")]
    Journal {
        /// The run.
        run: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The journal holds what this program would never write.
    #[error("the journal of run `{run}` does not fit together")]
    Illegal {
        /// The run.
        run: String,
        /// Which entry.
        #[source]
        source: Illegal,
    },
    /// The material is lost or altered.
    #[error("the material of run `{run}` is lost")]
    Material {
        /// The run.
        run: String,
        /// What the file system said.
        #[source]
        source: FilesError,
    },
    /// The material is altered.
    #[error(transparent)]
    Altered(#[from] MaterialError),
    /// The engine is gone. The run stays open; whoever finds it next carries it on.
    #[error(
        "run `{run}` stands still{}: start the engine again, and the daemon or `mastopatch apply` carries the run to its end",
        if *.closed { ", and the site is closed" } else { "; the site was left as it is" }
    )]
    EngineGone {
        /// The run.
        run: String,
        /// Whether the site may be closed.
        closed: bool,
        /// What the engine said last.
        #[source]
        source: RuntimeError,
    },
}

/// How a run ended.
#[derive(Debug, Clone)]
#[must_use = "the outcome decides the exit code"]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub because: String,
    /// What went wrong beside the run itself: the journal, for instance.
    pub trouble: Option<String>,
    /// Plan and journal, also what could not be written of it.
    pub run: StoredRun,
}

/// Starts the run of a plan and carries it to its end.
///
/// The material must have been saved, and the caller holds the instance's lock.
pub async fn begin<P: Ports>(
    ports: &P,
    plan: Plan,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, DriveError> {
    let at = ports.clock().now();
    let journal = |source| DriveError::Journal {
        run: plan.run.clone(),
        source,
    };
    let entry = ports.journal().begin(&plan, at).map_err(journal)?;
    let run = StoredRun {
        plan,
        journal: vec![entry],
    };
    // A run's future holds every step's; on the heap it costs its callers nothing.
    Box::pin(drive(ports, run, progress, stop)).await
}

/// Takes a run over that another process left unfinished, and carries it to its end.
pub async fn resume<P: Ports>(
    ports: &P,
    mut run: StoredRun,
    because: &str,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, DriveError> {
    let event = Event::Resumed {
        because: because.to_owned(),
    };
    let at = ports.clock().now();
    let journal = |source| DriveError::Journal {
        run: run.plan.run.clone(),
        source,
    };
    let entry = ports
        .journal()
        .append(&run.plan.run, at, &event)
        .map_err(journal)?;
    run.journal.push(entry);
    Box::pin(drive(ports, run, progress, stop)).await
}

async fn drive<P: Ports>(
    ports: &P,
    run: StoredRun,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, DriveError> {
    let StoredRun { plan, journal } = run;
    let state = RunState::fold(&journal).map_err(|source| DriveError::Illegal {
        run: plan.run.clone(),
        source,
    })?;
    let text = ports
        .files()
        .load_material(&plan.run)
        .map_err(|source| DriveError::Material {
            run: plan.run.clone(),
            source,
        })?;
    let material = Material::parse(&text, &plan)?;
    let ctx = Ctx {
        ports,
        plan: &plan,
        material: &material,
        progress,
        began: ports.clock().reading(),
    };
    Driver::new(&ctx, &ctx, state, journal).carry_on(stop).await
}

/// What takes the steps: [`Ctx`], in the world.
trait Steps {
    async fn forward(&self, step: Step, state: &RunState) -> Result<Finding, StepError>;
    async fn back(&self, step: UndoStep, state: &RunState) -> Result<Finding, StepError>;
}

impl<P: Ports> Steps for Ctx<'_, P> {
    async fn forward(&self, step: Step, state: &RunState) -> Result<Finding, StepError> {
        self.act(step, state).await
    }

    async fn back(&self, step: UndoStep, state: &RunState) -> Result<Finding, StepError> {
        self.undo(step, state).await
    }
}

struct Driver<'a, P: Ports, S> {
    ctx: &'a Ctx<'a, P>,
    steps: &'a S,
    deadline: Option<Deadline>,
    state: RunState,
    journal: Vec<Entry>,
    /// Set once the journal could not be written: from then on the way back is taken from memory.
    trouble: Option<StoreError>,
}

impl<'a, P: Ports, S: Steps> Driver<'a, P, S> {
    fn new(ctx: &'a Ctx<'a, P>, steps: &'a S, state: RunState, journal: Vec<Entry>) -> Self {
        Self {
            ctx,
            steps,
            deadline: Deadline::of(ctx.plan, ctx.began),
            state,
            journal,
            trouble: None,
        }
    }

    async fn carry_on(mut self, stop: &StopFlag) -> Result<Ended, DriveError> {
        loop {
            self.keep_deadline()?;
            match self.state.next() {
                Next::Step(step) => {
                    let open = matches!(step, Step::Preflight | Step::Pull | Step::Fence);
                    if open && stop.is_asked() {
                        self.record(Event::Resumed {
                            because: "a stop was asked for".to_owned(),
                        })?;
                        continue;
                    }
                    if self.state.is_committed() {
                        self.engine_answers().await?;
                    }
                    self.step(step).await?;
                }
                Next::Commit => self.commit()?,
                Next::BeginRollback { because } => self.record(Event::RollbackBegun { because })?,
                Next::Undo { step, attempt } => {
                    if attempt > 1 && step == UndoStep::RemoveNew {
                        // What made the last way back fail may need a moment to pass.
                        self.ctx.ports.clock().pause(BETWEEN_ROLLBACKS).await;
                    }
                    self.engine_answers().await?;
                    self.undo(step, attempt).await?;
                }
                Next::Finish { outcome, because } => return self.finish(outcome, because),
                Next::Over => return Ok(self.over()),
            }
        }
    }

    /// Takes the way back where the next step could outlast the run's deadline. A step that has begun is not cut
    /// off: half a migration is worse than a late end. Nor is a version that was verified given up: it is open to the
    /// public within seconds, and going back would keep the site closed for longer.
    fn keep_deadline(&mut self) -> Result<(), DriveError> {
        let turns = self.state.may_turn_back() && self.state.next() != Next::Commit;
        let Some(deadline) = self.deadline.filter(|_| turns) else {
            return Ok(());
        };
        match deadline.is_due(self.ctx.ports.clock().reading()) {
            Some(because) => {
                self.ctx.note(because.as_str());
                self.record(Event::RollbackBegun { because })
            }
            None => Ok(()),
        }
    }

    /// Waits for the engine, so that its absence uses up no attempt.
    async fn engine_answers(&self) -> Result<(), DriveError> {
        let (runtime, clock) = (self.ctx.ports.runtime(), self.ctx.ports.clock());
        let closed = self.state.may_be_fenced();
        let patience = if closed {
            CLOSED_PATIENCE
        } else {
            OPEN_PATIENCE
        };
        let start = clock.monotonic();
        let mut told = false;
        loop {
            let Err(source) = runtime.info().await else {
                return Ok(());
            };
            if clock.monotonic().saturating_sub(start) >= patience {
                return Err(DriveError::EngineGone {
                    run: self.ctx.plan.run.clone(),
                    closed,
                    source,
                });
            }
            if !told {
                self.ctx
                    .note(format!("waiting for the engine: {}", chain(&source)));
                told = true;
            }
            clock.pause(BETWEEN_QUESTIONS).await;
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), DriveError> {
        self.record(Event::Intent { step })?;
        if self.state.next() != Next::Step(step) {
            // The intent could not be made durable, so the effect must not happen.
            return Ok(());
        }
        let start = self.began(step.name(), false);
        let result = self.steps.forward(step, &self.state).await;
        let elapsed_ms = self.ended(step.name(), start, result.as_ref().err());
        let event = match result {
            Ok(finding) => Event::Done {
                step,
                elapsed_ms,
                finding,
            },
            Err(err) => {
                let blame = steps::blame(&err);
                Event::Failed {
                    step,
                    elapsed_ms,
                    error: self.ctx.material.masked(chain(&err)),
                    blame,
                }
            }
        };
        self.record(event)
    }

    async fn undo(&mut self, step: UndoStep, attempt: u32) -> Result<(), DriveError> {
        self.record(Event::UndoIntent { step, attempt })?;
        let start = self.began(step.name(), true);
        let result = self.steps.back(step, &self.state).await;
        let elapsed_ms = self.ended(step.name(), start, result.as_ref().err());
        self.record(match result {
            Ok(finding) => Event::UndoDone {
                step,
                elapsed_ms,
                finding,
            },
            Err(err) => Event::UndoFailed {
                step,
                elapsed_ms,
                error: self.ctx.material.masked(chain(&err)),
            },
        })
    }

    fn began(&self, step: &'static str, back: bool) -> Duration {
        (self.ctx.progress)(Progress::Began { step, back });
        self.ctx.ports.clock().monotonic()
    }

    fn ended(&self, step: &'static str, start: Duration, error: Option<&StepError>) -> u64 {
        let elapsed = self.ctx.ports.clock().monotonic().saturating_sub(start);
        let error = error.map(|err| self.ctx.material.masked(chain(err)));
        (self.ctx.progress)(Progress::Ended {
            step,
            elapsed,
            error,
        });
        millis(elapsed)
    }

    /// The point of no return. When the record may or may not be on disk, what can be read back decides;
    /// when nothing can be read, the way back is taken.
    fn commit(&mut self) -> Result<(), DriveError> {
        let run = &self.ctx.plan.run;
        let at = self.ctx.ports.clock().now();
        match self.ctx.ports.journal().append(run, at, &Event::Committed) {
            Ok(entry) => self.take(entry),
            Err(err) => match self.ctx.ports.journal().run(run) {
                Ok(stored) if stored.journal.len() > self.journal.len() => {
                    let last = stored.journal.into_iter().next_back();
                    last.map_or(Ok(()), |entry| self.take(entry))
                }
                _ => self.without_journal(err),
            },
        }
    }

    /// Makes an event durable, then lets the state know it.
    fn record(&mut self, event: Event) -> Result<(), DriveError> {
        let at = self.ctx.ports.clock().now();
        if self.trouble.is_some() {
            return self.take_from_memory(event);
        }
        match self
            .ctx
            .ports
            .journal()
            .append(&self.ctx.plan.run, at, &event)
        {
            Ok(entry) => self.take(entry),
            Err(err) => {
                // A result that happened is true, whether it could be written or not.
                if matches!(event, Event::Done { .. } | Event::Failed { .. })
                    || self.state.is_committed()
                    || matches!(
                        event,
                        Event::RollbackBegun { .. } | Event::UndoIntent { .. }
                    )
                    || matches!(event, Event::UndoDone { .. } | Event::UndoFailed { .. })
                {
                    self.take_from_memory(event)?;
                }
                self.without_journal(err)
            }
        }
    }

    /// Goes on without the journal: back, before the commit; forward, after it.
    fn without_journal(&mut self, err: StoreError) -> Result<(), DriveError> {
        self.ctx
            .note(format!("the journal cannot be written: {}", chain(&err)));
        self.trouble = Some(err);
        if self.state.is_committed() {
            return Ok(());
        }
        self.take_from_memory(Event::Resumed {
            because: "the journal cannot be written".to_owned(),
        })
    }

    fn take(&mut self, entry: Entry) -> Result<(), DriveError> {
        self.state
            .apply(&entry.event)
            .map_err(|source| DriveError::Illegal {
                run: self.ctx.plan.run.clone(),
                source,
            })?;
        self.journal.push(entry);
        Ok(())
    }

    fn take_from_memory(&mut self, event: Event) -> Result<(), DriveError> {
        let at = self.ctx.ports.clock().now();
        let seq = self
            .journal
            .last()
            .map_or(1, |entry| entry.seq.saturating_add(1));
        self.take(Entry { seq, at, event })
    }

    fn finish(mut self, outcome: Outcome, because: String) -> Result<Ended, DriveError> {
        let ports = self.ctx.ports;
        let event = Event::Finished {
            outcome,
            because: because.clone(),
        };
        self.take_from_memory(event.clone())?;
        let mails = ports.reporter().mails(self.ctx.plan, &self.journal);
        let at = self
            .journal
            .last()
            .map_or_else(|| ports.clock().now(), |entry| entry.at);
        let caught_up = self.catch_up();
        let quarantine = self.state.quarantine_reason();
        let written = caught_up.and_then(|()| {
            ports
                .journal()
                .finish(&self.ctx.plan.run, at, &event, &mails, quarantine)
        });
        let trouble = written.err().map(|err| chain(&err));
        Ok(Ended {
            outcome,
            because,
            trouble,
            run: StoredRun {
                plan: self.ctx.plan.clone(),
                journal: self.journal,
            },
        })
    }

    /// Writes the entries that only memory has, now that the journal may be writable again: a run that is
    /// over must not be taken for one that was interrupted.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let Some(err) = self.trouble.take() else {
            return Ok(());
        };
        let (run, journal) = (&self.ctx.plan.run, self.ctx.ports.journal());
        let stored = journal.run(run)?.journal;
        // The last entry is the end, which is written with the mails.
        let memory = self.journal.split_last().map_or(&[][..], |(_, rest)| rest);
        let Some((known, missing)) = memory.split_at_checked(stored.len()) else {
            return Err(err);
        };
        if known.iter().zip(&stored).any(|(a, b)| a.event != b.event) {
            return Err(err);
        }
        for entry in missing {
            journal.append(run, entry.at, &entry.event)?;
        }
        Ok(())
    }

    fn over(self) -> Ended {
        let (outcome, because) = self
            .state
            .outcome()
            .map_or((Outcome::Held, String::new()), |(outcome, why)| {
                (outcome, why.to_owned())
            });
        Ended {
            outcome,
            because,
            trouble: None,
            run: StoredRun {
                plan: self.ctx.plan.clone(),
                journal: self.journal,
            },
        }
    }
}

#[cfg(test)]
mod tests;
