//! The loop itself: what comes next is announced, done, and its result written.

use std::time::Duration;

use super::{DriveError, Ended, engine_answers, look};
use crate::domain::event::{Blame, Entry, Event, Finding, Outcome, Step, UndoStep};
use crate::domain::recovery;
use crate::domain::run::{Next, RunState};
use crate::engine::deadline::Deadline;
use crate::engine::{Ctx, Ports, Progress, StepError, StopFlag, chain, millis, steps};
use crate::ports::clock::Clock;
use crate::ports::files::{Mark, RunFiles};
use crate::ports::reporter::Reporter;
use crate::ports::store::{Journal, StoreError, StoredRun};

/// Between two ways back: a server that crashed has recovered by then.
const BETWEEN_ROLLBACKS: Duration = Duration::from_secs(15);

/// What takes the steps: [`Ctx`], in the world.
pub(super) trait Steps {
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

pub(super) struct Driver<'a, P: Ports, S> {
    ctx: &'a Ctx<'a, P>,
    steps: &'a S,
    deadline: Option<Deadline>,
    state: RunState,
    journal: Vec<Entry>,
    /// Set once the journal could not be written: from then on the way back is taken from memory.
    pub(super) trouble: Option<StoreError>,
}

impl<'a, P: Ports, S: Steps> Driver<'a, P, S> {
    pub(super) fn new(
        ctx: &'a Ctx<'a, P>,
        steps: &'a S,
        state: RunState,
        journal: Vec<Entry>,
    ) -> Self {
        Self {
            ctx,
            steps,
            deadline: Deadline::of(ctx.plan, ctx.began),
            state,
            journal,
            trouble: None,
        }
    }

    /// Lets the journal learn what the world shows and it does not know; whether the world shows something that is to be
    /// undone or finished, or cannot be looked at.
    pub(super) async fn learn(&mut self) -> Result<bool, DriveError> {
        let seen = match look(self.ctx, Some(&self.state), self.state.may_be_fenced()).await {
            Ok(seen) => seen,
            Err(err @ DriveError::Unseen { .. }) if !self.state.only_committed() => {
                self.ctx.note(chain(&err));
                return Ok(true);
            }
            Err(err) => return Err(err),
        };
        if let Some(rebuilt) = recovery::judge(Some(&self.state), &seen) {
            self.record(Event::Rebuilt(rebuilt))?;
        }
        Ok(seen.fenced || seen.old_aside || seen.new_containers)
    }

    /// Whether the world shows nothing of the run that is to be undone or finished; no, if it cannot be looked at.
    pub(super) async fn is_at_home(&self) -> bool {
        let seen = look(self.ctx, None, self.state.may_be_fenced()).await;
        seen.is_ok_and(|seen| recovery::judge(None, &seen).is_none())
    }

    pub(super) async fn carry_on(mut self, stop: &StopFlag) -> Result<Ended, DriveError> {
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
                    let last = self.journal.last().map(|entry| &entry.event);
                    if matches!(last, Some(Event::UndoFailed { .. })) {
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

    async fn engine_answers(&self) -> Result<(), DriveError> {
        engine_answers(self.ctx, self.state.may_be_fenced()).await
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
                    not_begun: matches!(err, StepError::NotBegun(_)),
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
                needs_person: matches!(err, StepError::NeedsPerson(_)),
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
        // First the second witness: a state file that is lost later must not make anybody take back what people wrote.
        if let Err(err) = self.ctx.ports.files().set_mark(run, Mark::Committing) {
            let because = format!("the commit cannot be marked: {}", chain(&err));
            self.take_back_the_mark();
            return self.record(Event::Resumed { because });
        }
        let at = self.ctx.ports.clock().now();
        match self.ctx.ports.journal().append(run, at, &Event::Committed) {
            Ok(entry) => self.take(entry),
            Err(err) => match self.read_back(&Event::Committed) {
                Some(entry) => self.take(entry),
                None => {
                    self.take_back_the_mark();
                    self.without_journal(err)
                }
            },
        }
    }

    /// Nobody was let in, and nobody will be. A mark that stays leads to a person where the journal is lost.
    fn take_back_the_mark(&self) {
        let run = &self.ctx.plan.run;
        drop(self.ctx.ports.files().take_mark(run, Mark::Committing));
    }

    /// The entry of an event that the store refused, and has all the same.
    fn read_back(&self, event: &Event) -> Option<Entry> {
        let stored = self.ctx.ports.journal().run(&self.ctx.plan.run).ok()?;
        let next = self.journal.len();
        let last = (stored.journal.len() == next.saturating_add(1))
            .then(|| stored.journal.into_iter().next_back());
        last.flatten().filter(|entry| entry.event == *event)
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
                // It may be there although the store said no.
                if let Some(entry) = self.read_back(&event) {
                    return self.take(entry);
                }
                // A result that happened is true, whether it could be written or not.
                if matches!(event, Event::Done { .. } | Event::Failed { .. })
                    || self.state.is_committed()
                    || matches!(
                        event,
                        Event::RollbackBegun { .. } | Event::UndoIntent { .. } | Event::Rebuilt(_)
                    )
                    || matches!(event, Event::UndoDone { .. } | Event::UndoFailed { .. })
                {
                    self.take_from_memory(event)?;
                }
                self.without_journal(err)
            }
        }
    }

    /// Goes on without the journal: back, before the commit; forward, after it. A way back that was begun goes on as it is.
    fn without_journal(&mut self, err: StoreError) -> Result<(), DriveError> {
        self.ctx
            .note(format!("the journal cannot be written: {}", chain(&err)));
        self.trouble = Some(err);
        if self.state.is_committed() || self.state.is_going_back() {
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
        if outcome == Outcome::Held {
            // Before it is written: a journal that says so and is lost then must not be the only witness.
            drop(ports.files().set_mark(&self.ctx.plan.run, Mark::Held));
        }
        let caught_up = self.catch_up();
        let quarantine = self.ctx.plan.quarantine(&self.state);
        let quarantine = quarantine.as_deref();
        let written = caught_up.and_then(|()| {
            ports
                .journal()
                .finish(&self.ctx.plan.run, at, &event, &mails, quarantine)
        });
        if outcome != Outcome::Held && written.is_ok() {
            // One that stays is recognised by its journal.
            drop(ports.files().close_plan(&self.ctx.plan.run));
        }
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
        // An entry that was refused, could not be read back, and is there all the same: nothing of it was done.
        let same = stored
            .iter()
            .zip(memory)
            .take_while(|(a, b)| a.event == b.event)
            .count();
        let mut n_known = stored.len();
        if let (Some(surplus), true) = (stored.get(same), stored.len() == same.saturating_add(1))
            && let Some(answer) = not_taken(&surplus.event)
        {
            journal.append(run, surplus.at, &answer)?;
            n_known = same;
        }
        let Some((known, missing)) = memory.split_at_checked(n_known) else {
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

/// What takes back an entry that the store refused and has all the same.
fn not_taken(event: &Event) -> Option<Event> {
    if let Event::Intent { step } = event {
        return Some(Event::Failed {
            step: *step,
            elapsed_ms: 0,
            error: "its announcement could not be written".to_owned(),
            blame: Blame::Host,
            not_begun: true,
        });
    }
    (*event == Event::Committed).then(|| Event::Rebuilt(recovery::not_committed()))
}
