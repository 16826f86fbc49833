//! Processes: they start, are killed, and start again, until the run is over.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mastopatch::domain::plan::Plan;
use mastopatch::engine::drive::{self, DriveError, Ended};
use mastopatch::engine::recovery;
use mastopatch::engine::{Ports as _, Progress, StopFlag};
use mastopatch::ports::files::RunFiles as _;

use super::world::{Killed, SimPorts, World};

/// Processes that one run may need: far more than any schedule kills.
const PROCESSES_MAX: u32 = 40;
/// Starts after the last fault within which a run has to be over.
pub(crate) const RESTARTS_MAX: u32 = 2;
/// From the end of a process until the next one starts.
const DOWN_MS: u64 = 3_000;

/// How a process ended.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It was killed.
    Killed,
    /// It carried the run to its end.
    Ended(Box<Ended>),
    /// It could not carry it on.
    Failed(DriveError),
    /// There was nothing to do.
    Idle,
}

/// A process starts: it begins the run of `plan`, or looks for what an earlier one left. Everything that a start of the
/// daemon does before it is idle belongs here.
async fn process(ports: &SimPorts, plan: Option<Plan>, stop: &StopFlag) -> Exit {
    let progress = |progress: Progress| match progress {
        Progress::Note(note) => ports.world().say(|| format!("note: {note}")),
        Progress::Ended {
            error: Some(error), ..
        } => ports.world().say(|| format!("failed: {error}")),
        Progress::Began { .. } | Progress::Ended { .. } | Progress::Pull { .. } => {}
    };
    if let Err(source) = ports.files.open() {
        let run = "none".to_owned();
        return Exit::Failed(DriveError::Material { run, source });
    }
    let result = match plan {
        Some(plan) => {
            let material = ports.world().material.clone();
            match ports.files().save_material(&plan.run, &material) {
                Ok(()) => drive::begin(ports, plan, &progress, stop).await,
                Err(source) => Err(DriveError::Material {
                    run: plan.run,
                    source,
                }),
            }
        }
        None => {
            let found = recovery::recover(
                ports,
                "social.example",
                "the process ended",
                &progress,
                stop,
            );
            match found.await {
                Ok(Some(ended)) => Ok(ended),
                Ok(None) => return Exit::Idle,
                Err(err) => Err(err),
            }
        }
    };
    result.map_or_else(Exit::Failed, |ended| Exit::Ended(Box::new(ended)))
}

/// Runs a future to its end: nothing in it ever waits. A kill unwinds it, so that it is dropped where it stands.
pub(crate) fn run_to_end<T>(future: impl Future<Output = T>) -> Option<T> {
    let run = AssertUnwindSafe(|| {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("a simulated future waits"),
        }
    });
    match catch_unwind(run) {
        Ok(answer) => Some(answer),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// How a run went, seen over all its processes.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) world: World,
    /// Processes after the first.
    pub(crate) restarts: u32,
}

/// The world as the first process of a run leaves it.
pub(crate) fn first_process(world: World, plan: Plan) -> World {
    let ports = SimPorts::new(world);
    let _exit = run_to_end(process(&ports, Some(plan), &ports.stop));
    ports.into_world()
}

/// Carries a run through: the process of `plan` starts, or the one that finds what is in the journal; whenever one ends
/// before the run is over, the next starts.
pub(crate) fn carry_through(world: World, mut plan: Option<Plan>) -> Carried {
    let mut ports = SimPorts::new(world);
    let mut restarts = 0;
    let mut since_last_fault = 0;
    loop {
        let faults_before = ports.world().n_faults;
        ports.restart();
        let exit = run_to_end(process(&ports, plan.take(), &ports.stop)).unwrap_or(Exit::Killed);
        let mut world = ports.world();
        world.say(|| match &exit {
            Exit::Killed => "the process is dead".to_owned(),
            Exit::Ended(ended) => {
                format!("ended: {:?}, trouble {:?}", ended.outcome, ended.trouble)
            }
            Exit::Failed(err) => format!("the process ends: {err:?}"),
            Exit::Idle => "idle".to_owned(),
        });
        let over = matches!(exit, Exit::Idle) || world.state.outcome().is_some();
        if over || world.violation.is_some() {
            break;
        }
        // A disk that is full is a fault that lasts.
        let still_full = world.calls <= world.full_until;
        if world.n_faults != faults_before || still_full {
            since_last_fault = 0;
        } else {
            since_last_fault += 1;
        }
        restarts += 1;
        if since_last_fault > RESTARTS_MAX || restarts > PROCESSES_MAX {
            world.wrong(|| {
                format!(
                    "the run is not over after {since_last_fault} starts without a fault: {exit:?}"
                )
            });
            break;
        }
        world.pass(DOWN_MS);
        if still_full {
            // Somebody makes room while nothing runs.
            world.full_until = world.calls;
        }
    }
    Carried {
        world: ports.into_world(),
        restarts,
    }
}
