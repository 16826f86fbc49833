//! Processes: they start, are killed, and start again, until the run is over.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mastopatch::domain::event::Event;
use mastopatch::domain::plan::Plan;
use mastopatch::engine::drive::{self, DriveError, Ended};
use mastopatch::engine::recovery;
use mastopatch::engine::{Ports as _, Progress, StopFlag};
use mastopatch::ports::files::RunFiles as _;
use mastopatch::ports::store::Journal as _;

use super::world::{Killed, SimPorts, World};

/// Processes that one run may need: far more than any schedule kills.
const PROCESSES_MAX: u32 = 40;
/// Starts after the last fault within which a run has to be over.
pub(crate) const RESTARTS_MAX: u32 = 2;
/// From the end of a process until the next one starts.
const DOWN_MS: u64 = 3_000;
/// Times a person says an order again that was not taken.
const ORDERS_MAX: u32 = 5;
const INSTANCE: &str = "social.example";

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

/// What a process is started for.
#[derive(Debug, Clone)]
enum Start {
    /// To begin the run of a plan.
    Run(Box<Plan>),
    /// To carry out what a person decided about the held run.
    Order(Event),
    /// To look for what an earlier one left: everything that a start of the daemon does before it is idle.
    Recovery,
}

/// Writes notes and failures of a process into the world's trace.
pub(crate) fn traced(ports: &SimPorts) -> impl Fn(Progress) + Send + Sync {
    |progress| match progress {
        Progress::Note(note) => ports.world().say(|| format!("note: {note}")),
        Progress::Ended {
            error: Some(error), ..
        } => ports.world().say(|| format!("failed: {error}")),
        Progress::Began { .. }
        | Progress::Ended { .. }
        | Progress::Pull { .. }
        | Progress::Read { .. } => {}
    }
}

async fn process(ports: &SimPorts, start: Start, stop: &StopFlag) -> Exit {
    let progress = traced(ports);
    if let Err(source) = ports.files.open() {
        let run = "none".to_owned();
        return Exit::Failed(DriveError::Material { run, source });
    }
    let result = match start {
        Start::Run(plan) => {
            let material = ports.world().material.clone();
            match ports.files().save_material(&plan.run, &material) {
                Ok(()) => drive::begin(ports, *plan, &progress, stop).await,
                Err(source) => Err(DriveError::Material {
                    run: plan.run,
                    source,
                }),
            }
        }
        Start::Order(event) => {
            let held = ports.runs(INSTANCE, 1).unwrap_or_default();
            let Some(run) = held.into_iter().next() else {
                return Exit::Idle;
            };
            drive::order(ports, run, event, &progress, stop).await
        }
        Start::Recovery => {
            let because = "the process ended";
            let found = recovery::recover(ports, INSTANCE, because, &progress, stop);
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
    let mut ports = SimPorts::new(world);
    let _exit = run_process(&mut ports, Start::Run(Box::new(plan)));
    ports.into_world()
}

/// The world as a process leaves it that only looks for what an earlier one left.
pub(crate) fn first_recovery(world: World) -> World {
    let mut ports = SimPorts::new(world);
    let _exit = run_process(&mut ports, Start::Recovery);
    ports.into_world()
}

/// The world as one process leaves it, and how that ended: the one of `plan`, or the one that looks for what is left.
pub(crate) fn one_process(world: World, plan: Option<Plan>) -> (World, Exit) {
    let start = plan.map_or(Start::Recovery, |plan| Start::Run(Box::new(plan)));
    let mut ports = SimPorts::new(world);
    let exit = run_process(&mut ports, start);
    (ports.into_world(), exit)
}

/// Carries a run through: the process of `plan` starts, or the one that finds what is in the journal; whenever one ends
/// before the run is over, the next starts.
pub(crate) fn carry_through(world: World, plan: Option<Plan>) -> Carried {
    let start = plan.map_or(Start::Recovery, |plan| Start::Run(Box::new(plan)));
    carry(world, start, 0)
}

/// Carries through what a person decided about a held run. The person says it again until it is in the journal, and the
/// daemon starts in between; a refusal is an answer.
pub(crate) fn carry_order(world: World, order: &Event) -> Carried {
    let taken = |world: &World| {
        let orders = world.log.iter();
        orders.filter(|entry| entry.event == *order).count()
    };
    let before = taken(&world);
    let mut carried = Carried { world, restarts: 0 };
    for _ in 0..=ORDERS_MAX {
        let is_held = carried.world.state.is_held();
        if taken(&carried.world) > before || !is_held || carried.world.violation.is_some() {
            return carried;
        }
        let faults_before = carried.world.n_faults;
        carried = carry(carried.world, Start::Order(order.clone()), carried.restarts);
        if taken(&carried.world) > before {
            return carried;
        }
        if carried.world.n_faults == faults_before {
            carried.world.order_refused = true;
            return carried;
        }
        carried.world.pass(DOWN_MS);
        // Somebody makes room before the order is said again.
        carried.world.full_until = carried.world.full_until.min(carried.world.calls);
        carried = carry(carried.world, Start::Recovery, carried.restarts + 1);
    }
    carried
}

fn run_process(ports: &mut SimPorts, start: Start) -> Exit {
    ports.restart();
    let exit = run_to_end(process(ports, start, &ports.stop)).unwrap_or(Exit::Killed);
    ports.world().say(|| match &exit {
        Exit::Killed => "the process is dead".to_owned(),
        Exit::Ended(ended) => {
            format!("ended: {:?}, trouble {:?}", ended.outcome, ended.trouble)
        }
        Exit::Failed(err) => format!("the process ends: {err:?}"),
        Exit::Idle => "idle".to_owned(),
    });
    exit
}

fn carry(world: World, start: Start, mut restarts: u32) -> Carried {
    let mut ports = SimPorts::new(world);
    let mut start = Some(start);
    let mut since_last_fault = 0;
    loop {
        let faults_before = ports.world().n_faults;
        let exit = run_process(&mut ports, start.take().unwrap_or(Start::Recovery));
        let mut world = ports.world();
        // A person's order may be refused; what the program itself wants to write never is.
        if let Exit::Failed(err @ DriveError::Illegal { source, .. }) = &exit
            && !source.to_string().starts_with("journal entry Ordered")
        {
            world.wrong(|| format!("the program wrote what it does not allow itself: {err:?}"));
        }
        if world.garbled && world.violation.is_none() {
            if let Exit::Ended(ended) = &exit {
                world.ended_unwritten = Some(ended.outcome);
            }
            let gave_up = matches!(exit, Exit::Failed(DriveError::Journal { .. }));
            if gave_up || matches!(exit, Exit::Ended(_) | Exit::Idle) {
                world.put_journal_away();
                world.pass(DOWN_MS);
                continue;
            }
        }
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
        world.harm_journal();
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
