//! The loop that carries a run to its end, first time or after an interruption.

use std::time::Duration;

use super::material::{Material, MaterialError};
use super::{Ctx, Ports, ProgressSink, StepError, StopFlag, chain};
use crate::domain::event::{Entry, Event, Outcome};
use crate::domain::plan::Plan;
use crate::domain::recovery::{self, Evidence};
use crate::domain::run::{Illegal, Next, RunState};
use crate::ports::Retry;
use crate::ports::clock::Clock;
use crate::ports::files::{FilesError, Mark, RunFiles};
use crate::ports::runtime::{ContainerRuntime, RuntimeError};
use crate::ports::store::{Journal, StoreError, StoredRun};

mod driver;

use driver::Driver;

/// How long a run waits for an engine that does not answer while the site is open: a restart of the engine
/// takes seconds, and nothing is lost by leaving the rest to the next start.
const OPEN_PATIENCE: Duration = Duration::from_secs(60);
/// The same while the site is closed, where only the engine can bring it back: an upgrade of the engine's
/// package, or a host that is short of memory, takes minutes.
const CLOSED_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Times the world is looked at where the engine answers and something else fails.
const LOOKS: u32 = 5;
/// Between two questions whether the engine is back.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

/// Why a run could not be carried on. The site is as the last journalled step left it.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The journal cannot be written or read.
    #[error("the journal of `{run}` cannot be used")]
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
    /// Material, plan or marks cannot be used.
    #[error("what is kept of `{run}` beside the journal cannot be used")]
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
    /// What is on the host cannot be looked at.
    #[error("run `{run}` stands still: what is on the host cannot be looked at")]
    Unseen {
        /// The run.
        run: String,
        /// What was in the way.
        #[source]
        source: StepError,
    },
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
    // Durable before the run exists: a state file that is lost later can be rebuilt from it.
    let saved = plan.canonical().map_err(|err| FilesError::json(&err));
    saved
        .and_then(|text| ports.files().save_plan(&plan.run, &text))
        .map_err(|source| DriveError::Material {
            run: plan.run.clone(),
            source,
        })?;
    let entry = ports.journal().begin(&plan, at).map_err(|source| {
        // There is no run, so nothing must be taken up later.
        drop(ports.files().close_plan(&plan.run));
        journal(source)
    })?;
    let run = StoredRun {
        plan,
        journal: vec![entry],
    };
    // A run's future holds every step's; on the heap it costs its callers nothing.
    Box::pin(drive(ports, run, None, progress, stop)).await
}

/// Takes a run over that another process left unfinished, and carries it to its end. The journal alone is not trusted:
/// what the world shows of the run counts on top of it. If it cannot be written, the run goes on from memory.
pub async fn resume<P: Ports>(
    ports: &P,
    mut run: StoredRun,
    because: &str,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, DriveError> {
    let mut trouble = None;
    // A run that stands still grows no journal.
    if !is_resumed(&run.journal) {
        let because = because.to_owned();
        trouble = append(ports, &mut run, Event::Resumed { because });
    }
    if let Err(lost) = ask_material(ports, &run.plan).await {
        if !is_for_good(&lost) {
            return Err(lost);
        }
        let held = recovery::held(&fold(&run)?, without_material(&lost));
        trouble = trouble.or(append(ports, &mut run, Event::Rebuilt(held)));
    }
    Box::pin(drive(ports, run, trouble, progress, stop)).await
}

/// Takes up a run of which only the plan is left, beside what the world shows; `None` if the world shows nothing that is
/// to be undone or finished. `unreadable` says why the journal cannot be used, if it cannot.
pub(super) async fn rebuild<P: Ports>(
    ports: &P,
    plan: Plan,
    unreadable: &mut Option<StoreError>,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Option<Ended>, DriveError> {
    // Without it nobody knows what to look for: the run stands still until it is there again.
    let material = ask_material(ports, &plan).await?;
    let ctx = Ctx {
        ports,
        plan: &plan,
        material: &material,
        progress,
        began: ports.clock().reading(),
    };
    let seen = look(&ctx, None, true).await?;
    let Some(rebuilt) = recovery::judge(None, &seen) else {
        return Ok(None);
    };
    let planned = Event::Planned {
        plan_hash: plan.hash().unwrap_or_default(),
    };
    let at = ports.clock().now();
    let from_memory = Entry {
        seq: 1,
        at,
        event: planned,
    };
    let begun = match unreadable.take() {
        None => ports.journal().begin(&plan, at),
        Some(err) => Err(err),
    };
    let (first, mut trouble) = match begun {
        Ok(entry) => (entry, None),
        Err(err) => (from_memory, Some(err)),
    };
    drop(material);
    let mut run = StoredRun {
        plan,
        journal: vec![first],
    };
    if trouble.is_some() {
        push(ports, &mut run, Event::Rebuilt(rebuilt));
    } else {
        trouble = append(ports, &mut run, Event::Rebuilt(rebuilt));
    }
    let ended = Box::pin(drive(ports, run, trouble, progress, stop)).await?;
    Ok(Some(ended))
}

/// Carries out what a person decided about a held run. The caller holds the instance's lock, and has shown the person
/// what will be done and what is lost. Refused where the run is not held, or where data would be lost that nobody agreed
/// to lose.
pub async fn order<P: Ports>(
    ports: &P,
    mut run: StoredRun,
    event: Event,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, DriveError> {
    let mut state = fold(&run)?;
    state.apply(&event).map_err(|source| DriveError::Illegal {
        run: run.plan.run.clone(),
        source,
    })?;
    if !is_at_its_end(&state) {
        ask_material(ports, &run.plan).await?;
    }
    let at = ports.clock().now();
    let entry = ports
        .journal()
        .reopen(&run.plan.run, at, &event)
        .map_err(|source| DriveError::Journal {
            run: run.plan.run.clone(),
            source,
        })?;
    // Only now: held is what must not be forgotten. A mark that stays counts only where the journal is lost.
    drop(ports.files().take_mark(&run.plan.run, Mark::Held));
    run.journal.push(entry);
    Box::pin(drive(ports, run, None, progress, stop)).await
}

/// Appends an event; gives what the store said if only memory has it now.
fn append<P: Ports>(ports: &P, run: &mut StoredRun, event: Event) -> Option<StoreError> {
    let at = ports.clock().now();
    match ports.journal().append(&run.plan.run, at, &event) {
        Ok(entry) => {
            run.journal.push(entry);
            None
        }
        Err(err) => {
            push(ports, run, event);
            Some(err)
        }
    }
}

fn push<P: Ports>(ports: &P, run: &mut StoredRun, event: Event) {
    let last = run.journal.last();
    let seq = last.map_or(1, |entry| entry.seq.saturating_add(1));
    let at = ports.clock().now();
    run.journal.push(Entry { seq, at, event });
}

fn fold(run: &StoredRun) -> Result<RunState, DriveError> {
    RunState::fold(&run.journal).map_err(|source| DriveError::Illegal {
        run: run.plan.run.clone(),
        source,
    })
}

pub(super) fn load_material<P: Ports>(ports: &P, plan: &Plan) -> Result<Material, DriveError> {
    let text = ports
        .files()
        .load_material(&plan.run)
        .map_err(|source| DriveError::Material {
            run: plan.run.clone(),
            source,
        })?;
    Ok(Material::parse(&text, plan)?)
}

/// Tries again what may be a moment's trouble: without it only a person can help.
async fn ask_material<P: Ports>(ports: &P, plan: &Plan) -> Result<Material, DriveError> {
    let mut tries_left = LOOKS;
    loop {
        tries_left = tries_left.saturating_sub(1);
        match load_material(ports, plan) {
            Err(DriveError::Material { .. }) if tries_left > 0 => {
                ports.clock().pause(BETWEEN_QUESTIONS).await;
            }
            found => return found,
        }
    }
}

/// Whether a material is gone or altered, and not only out of reach for now.
fn is_for_good(lost: &DriveError) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound};
    match lost {
        DriveError::Material {
            source: FilesError::Io { source, .. },
            ..
        } => matches!(source.kind(), NotFound | InvalidData),
        DriveError::Altered(_) | DriveError::Material { .. } => true,
        DriveError::Journal { .. }
        | DriveError::Illegal { .. }
        | DriveError::Unseen { .. }
        | DriveError::EngineGone { .. } => false,
    }
}

fn without_material(lost: &DriveError) -> String {
    format!(
        "{}; once it is there again as it was, `mastopatch resume` or `rollback`",
        chain(lost)
    )
}

fn is_at_its_end(state: &RunState) -> bool {
    matches!(state.next(), Next::Finish { .. } | Next::Over)
}

/// Looks at the world, and waits for the engine for as long as a closed site is worth it.
async fn look<P: Ports>(
    ctx: &Ctx<'_, P>,
    known: Option<&RunState>,
    closed: bool,
) -> Result<Evidence, DriveError> {
    let start = ctx.ports.clock().monotonic();
    let mut tries_left = LOOKS;
    loop {
        engine_answers(ctx, closed).await?;
        let seen = ctx.evidence(known).await;
        let lasted = ctx.ports.clock().monotonic().saturating_sub(start);
        tries_left = tries_left.saturating_sub(1);
        match seen {
            Ok(seen) => return Ok(seen),
            // It went away between the two questions.
            Err(StepError::Runtime(err))
                if err.retry() != Retry::Permanent && lasted < OPEN_PATIENCE =>
            {
                ctx.ports.clock().pause(BETWEEN_QUESTIONS).await;
            }
            // To go on without having looked is the last resort. What waited for long by itself is not asked again.
            Err(_) if tries_left > 0 && lasted < CLOSED_PATIENCE => {
                ctx.ports.clock().pause(BETWEEN_QUESTIONS).await;
            }
            Err(source) => {
                return Err(DriveError::Unseen {
                    run: ctx.plan.run.clone(),
                    source,
                });
            }
        }
    }
}

async fn drive<P: Ports>(
    ports: &P,
    run: StoredRun,
    trouble: Option<StoreError>,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, DriveError> {
    let state = fold(&run)?;
    let StoredRun { plan, journal } = run;
    let material = match ask_material(ports, &plan).await {
        // To end it needs none.
        Err(_) if is_at_its_end(&state) => Material::none(),
        found => found?,
    };
    let ctx = Ctx {
        ports,
        plan: &plan,
        material: &material,
        progress,
        began: ports.clock().reading(),
    };
    let was_interrupted = is_resumed(&journal);
    let mut driver = Driver::new(&ctx, &ctx, state, journal);
    driver.trouble = trouble;
    if was_interrupted {
        let is_moving = driver.learn().await?;
        // An end that cannot be written is no reason to begin a way back at every start.
        if driver.trouble.is_some()
            && !is_moving
            && driver.is_at_home().await
            && let Some(source) = driver.trouble.take()
        {
            let run = plan.run.clone();
            return Err(DriveError::Journal { run, source });
        }
    }
    driver.carry_on(stop).await
}

fn is_resumed(journal: &[Entry]) -> bool {
    let last = journal.last().map(|entry| &entry.event);
    matches!(last, Some(Event::Resumed { .. }))
}

/// Waits for the engine, so that its absence uses up no attempt.
async fn engine_answers<P: Ports>(ctx: &Ctx<'_, P>, closed: bool) -> Result<(), DriveError> {
    let (runtime, clock) = (ctx.ports.runtime(), ctx.ports.clock());
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
                run: ctx.plan.run.clone(),
                closed,
                source,
            });
        }
        if !told {
            ctx.note(format!("waiting for the engine: {}", chain(&source)));
            told = true;
        }
        clock.pause(BETWEEN_QUESTIONS).await;
    }
}

#[cfg(test)]
mod tests;
