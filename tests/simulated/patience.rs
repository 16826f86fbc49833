//! How long a run waits, how often it asks again, and what it does where neither helps: what nobody notices in a run that ends
//! well, because the next process puts it right, and what an administrator waits for at night.

use mastopatch::domain::event::{Event, Finding, MigrationClass, Outcome, Step, UndoStep};
use mastopatch::domain::plan::Method;
use mastopatch::engine::drive::DriveError;

use crate::sim::fault::{Fault, Schedule, When};
use crate::sim::fixture::{Fixture, fixture};
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::{Exit, carry_through, first_process, one_process};
use crate::sim::stranger::Deed;
use crate::sim::world::{Call, Made, OutOfReach, Place, Port, Upset, World};

const CLASS: MigrationClass = MigrationClass::M2;

/// The first call of a run without a fault that is one of those.
pub(crate) fn call(start: &Fixture, is_it: impl Fn(&Made) -> bool) -> u32 {
    let mut world = start.world.clone();
    world.made = Some(Vec::new());
    let made = carry_through(world, Some(start.plan.clone())).world.made;
    made.unwrap().iter().find(|it| is_it(it)).unwrap().number
}

/// The world in which the run's first process was killed after the first such call; what is said from here on is kept.
pub(crate) fn killed(start: &Fixture, is_it: impl Fn(&Made) -> bool) -> World {
    let mut world = start.world.clone();
    let kill = (call(start, is_it), Fault::Kill(When::After));
    world.schedule = Schedule::from([kill]).into();
    let mut world = first_process(world, start.plan.clone());
    world.schedule = Schedule::new().into();
    world.trace = Some(Vec::new());
    world
}

fn killed_in(step: Step) -> World {
    killed(fixture(CLASS, Method::Logical), |made| {
        made.place == Place::Step(step)
    })
}

/// For so long, those calls are told so.
fn without(mut world: World, is_it: fn(Call) -> bool, seconds: u64, upset: Upset) -> World {
    world.out_of_reach = Some(OutOfReach {
        is_it,
        until_ms: world.now_ms + seconds * 1_000,
        upset,
    });
    world
}

/// How often something was said.
fn said(world: &World, text: &str) -> usize {
    let trace = world.trace.iter().flatten();
    trace.filter(|line| line.contains(text)).count()
}

/// Whole seconds between two moments of a world.
fn seconds(before: &World, after: &World) -> u64 {
    (after.now_ms - before.now_ms) / 1_000
}

/// The process that finds this world carries the run to its end.
fn ends(world: World, wanted: Verdict) -> World {
    let start = fixture(CLASS, Method::Logical);
    let (mut world, exit) = one_process(world, None);
    assert!(matches!(exit, Exit::Ended(_)), "{exit:?}");
    let verdict = judge(&mut world, &start.world, &start.plan);
    assert_eq!(verdict, Ok(wanted));
    world
}

/// Nothing but that somebody came by was written since.
fn stands_still(before: &World, after: &World) {
    assert_eq!(after.violation, None);
    let since: Vec<_> = after.log[before.log.len()..]
        .iter()
        .map(|entry| &entry.event)
        .collect();
    assert!(
        since.iter().all(|it| matches!(it, Event::Resumed { .. })),
        "{since:?}"
    );
}

/// Once nothing is in the way any more, the next process carries the run to its end.
fn goes_on(mut world: World, wanted: Verdict) {
    let start = fixture(CLASS, Method::Logical);
    world.out_of_reach = None;
    world.engine_back_ms = 0;
    let mut over = carry_through(world, None).world;
    let verdict = judge(&mut over, &start.world, &start.plan);
    assert_eq!(verdict, Ok(wanted));
}

#[test]
fn an_engine_that_is_gone_is_waited_for_a_minute_with_the_site_open_and_a_quarter_of_an_hour_with_it_closed()
 {
    for (step, patience, wanted) in [
        (Step::Pull, 60, Verdict::Aborted),
        (Step::Switch, 15 * 60, Verdict::RolledBack),
    ] {
        let mut back_in_time = killed_in(step);
        back_in_time.engine_back_ms = back_in_time.now_ms + (patience - 5) * 1_000;
        let world = ends(back_in_time, wanted);
        assert_eq!(said(&world, "note: waiting for the engine"), 1, "{step}");

        let mut too_late = killed_in(step);
        too_late.engine_back_ms = too_late.now_ms + (patience + 60) * 1_000;
        let (world, exit) = one_process(too_late.clone(), None);
        let Exit::Failed(err @ DriveError::EngineGone { closed, .. }) = &exit else {
            panic!("{step}: {exit:?}")
        };
        assert_eq!(*closed, step == Step::Switch);
        assert_eq!(err.to_string().contains("the site is closed"), *closed);
        let waited = seconds(&too_late, &world);
        assert!(
            (patience..patience + 5).contains(&waited),
            "{step}: {waited} s"
        );
        stands_still(&too_late, &world);
        goes_on(world, wanted);
    }
}

const UNSEEN: &str = "what is on the host cannot be looked at";

/// The engine answers, and one question is not answered: what may pass is asked for a minute, the rest five times. Then the way
/// back is taken without it.
#[test]
fn what_cannot_be_looked_at_is_asked_for_again_and_then_done_without() {
    let asks_for_objects: fn(Call) -> bool = |call| call.name == "labelled";
    for (length, upset, is_seen) in [
        (50, Upset::Lost, true),
        (70, Upset::Lost, false),
        (3, Upset::Failed, true),
        (12, Upset::Failed, false),
    ] {
        let world = without(killed_in(Step::Switch), asks_for_objects, length, upset);
        let world = ends(world, Verdict::RolledBack);
        let told = usize::from(!is_seen);
        assert_eq!(said(&world, UNSEEN), told, "{upset:?} for {length} s");
    }
}

/// With the commit as the journal's last word it decides everything whether the way back was taken since: that is not guessed.
#[test]
fn a_commit_of_which_nobody_can_tell_whether_it_counts_stands_still_until_the_data_answer() {
    let committed = killed(fixture(CLASS, Method::Logical), |made| {
        made.call.name == "journal: commit"
    });
    let asks_for_data: fn(Call) -> bool = |call| call.port == Port::Data;
    let late = without(committed.clone(), asks_for_data, 40 * 60, Upset::Failed);
    let (world, exit) = one_process(late.clone(), None);
    assert!(
        matches!(exit, Exit::Failed(DriveError::Unseen { .. })),
        "{exit:?}"
    );
    // What has waited for so long by itself is not asked once more.
    let waited = seconds(&late, &world);
    assert!((15 * 60..16 * 60).contains(&waited), "{waited} s");
    stands_still(&late, &world);
    goes_on(world, Verdict::Committed);
    let in_time = without(committed, asks_for_data, 14 * 60, Upset::Failed);
    ends(in_time, Verdict::Committed);
}

#[test]
fn a_material_that_is_out_of_reach_is_asked_for_again_and_holds_no_run() {
    let reads: fn(Call) -> bool = |call| call.name == "runs: read";
    for (step, wanted) in [
        (Step::Pull, Verdict::Aborted),
        (Step::Switch, Verdict::RolledBack),
        (Step::Open, Verdict::Committed),
    ] {
        let killed = killed_in(step);
        ends(without(killed.clone(), reads, 3, Upset::Failed), wanted);
        let late = without(killed, reads, 60, Upset::Failed);
        let (world, exit) = one_process(late.clone(), None);
        assert!(
            matches!(exit, Exit::Failed(DriveError::Material { .. })),
            "{step}: {exit:?}"
        );
        assert!(seconds(&late, &world) < 10, "{step}");
        stands_still(&late, &world);
        goes_on(world, wanted);
    }
}

#[test]
fn a_run_begins_no_step_with_a_material_that_is_not_its_own() {
    let start = fixture(CLASS, Method::Logical);
    let mut world = start.world.clone();
    world.material = "{}".into();
    let (world, exit) = one_process(world, Some(start.plan.clone()));
    assert!(
        matches!(exit, Exit::Failed(DriveError::Altered(_))),
        "{exit:?}"
    );
    assert_eq!(world.log.len(), 1, "{:?}", world.log);
}

/// A journal that takes nothing: a run that has left something behind is carried to its end from memory, and one that has not
/// is left for when it can be written. Else every start of the daemon would take a way back.
#[test]
fn a_journal_that_takes_nothing_keeps_no_site_closed_and_begins_no_way_back_for_nothing() {
    let writes: fn(Call) -> bool = |call| call.port == Port::Journal && call.mutating;
    let hour = 3_600;
    let untouched = killed_in(Step::Preflight);
    let untouched = without(untouched, writes, hour, Upset::Failed);
    let (world, exit) = one_process(untouched.clone(), None);
    assert!(
        matches!(exit, Exit::Failed(DriveError::Journal { .. })),
        "{exit:?}"
    );
    stands_still(&untouched, &world);
    assert_eq!(said(&world, "remove"), 0);
    goes_on(world, Verdict::Aborted);

    for (step, outcome, verdict) in [
        // The site is open, and images are kept for the run.
        (Step::Fence, Outcome::Aborted, Verdict::Aborted),
        (Step::Switch, Outcome::RolledBack, Verdict::RolledBack),
    ] {
        let world = without(killed_in(step), writes, hour, Upset::Failed);
        let (world, exit) = one_process(world, None);
        let Exit::Ended(ended) = exit else {
            panic!("{step}: {exit:?}")
        };
        assert_eq!(ended.outcome, outcome, "{step}");
        let trouble = ended.trouble.unwrap();
        assert!(trouble.contains("disk I/O error"), "{step}: {trouble}");
        goes_on(world, verdict);
    }
}

#[test]
fn a_stop_that_is_asked_for_ends_a_run_whose_site_is_open_and_no_other() {
    let start = fixture(CLASS, Method::Logical);
    for step in Step::ALL {
        let mut world = start.world.clone();
        let at = call(start, |made| made.place == Place::Step(step));
        let ask = (at, Fault::Stranger(Deed::AsksToStop));
        world.schedule = Schedule::from([ask]).into();
        let (mut world, exit) = one_process(world, Some(start.plan.clone()));
        let Exit::Ended(ended) = exit else {
            panic!("{step}: {exit:?}")
        };
        let is_open = step < Step::Fence;
        let wanted = if is_open {
            Verdict::Aborted
        } else {
            Verdict::Committed
        };
        let verdict = judge(&mut world, &start.world, &start.plan);
        assert_eq!(verdict, Ok(wanted), "{step}");
        assert_eq!(
            ended.because.contains("a stop was asked for"),
            is_open,
            "{step}: {}",
            ended.because
        );
        // What is under way is finished, and the next one does not begin.
        if is_open {
            let last = world.log.iter().rev().find_map(|entry| match entry.event {
                Event::Done { step, .. } => Some(step),
                _ => None,
            });
            assert_eq!(last, Some(step));
        }
    }
}

/// What the table of durations and the next window's plan are made of.
#[test]
fn a_step_lasted_as_long_as_the_clock_says() {
    let start = fixture(CLASS, Method::Logical);
    let mut world = start.world.clone();
    world.target = crate::sim::world::Target::Unhealthy;
    let over = carry_through(world, Some(start.plan.clone())).world;
    let mut n_long = 0;
    for pair in over.log.windows(2) {
        if let Event::Done {
            elapsed_ms,
            finding: Finding::Fenced {
                closed_after_ms, ..
            },
            ..
        } = &pair[1].event
        {
            // Marks, policies and a signal come before it, and the stops after it.
            assert!((20..*elapsed_ms).contains(closed_after_ms));
        }
        let (Event::Done { elapsed_ms, .. }
        | Event::Failed { elapsed_ms, .. }
        | Event::UndoDone { elapsed_ms, .. }) = &pair[1].event
        else {
            continue;
        };
        let passed = pair[1].at.duration_since(pair[0].at).as_millis();
        let passed = u64::try_from(passed).unwrap();
        // Between the two, only the journal was written.
        assert!(passed.abs_diff(*elapsed_ms) <= 20, "{:?}", pair[1].event);
        n_long += u32::from(*elapsed_ms > 1_000);
    }
    assert!(n_long >= 5, "only {n_long} steps lasted a second");
}

#[test]
fn a_tool_that_hangs_is_given_as_long_as_the_plan_says() {
    let start = fixture(CLASS, Method::Logical);
    for (name, limit_s) in [
        ("dump", start.plan.limits.snapshot_s),
        ("restore scratch", start.plan.limits.snapshot_s),
        ("stop", start.plan.limits.stop_grace_s + 30),
    ] {
        let at = call(start, |made| made.call.name == name);
        let mut world = start.world.clone();
        world.schedule = Schedule::from([(at, Fault::Hang)]).into();
        let over = carry_through(world, Some(start.plan.clone())).world;
        let lasted = over.log.iter().find_map(|entry| match entry.event {
            Event::Failed { elapsed_ms, .. } => Some(elapsed_ms / 1_000),
            _ => None,
        });
        let lasted = lasted.unwrap_or_else(|| panic!("{name} hangs, and nothing fails"));
        assert!(
            (limit_s..limit_s + 60).contains(&lasted),
            "{name}: {lasted} s"
        );
    }
}

/// A server that crashed needs a moment; three ways back in three seconds would be held with the site closed.
#[test]
fn a_way_back_that_failed_is_tried_again_after_a_pause() {
    let start = fixture(CLASS, Method::Logical);
    let mut case = start.world.clone();
    case.target = crate::sim::world::Target::Unhealthy;
    case.made = Some(Vec::new());
    let made = carry_through(case.clone(), Some(start.plan.clone()))
        .world
        .made;
    let made = made.unwrap();
    let back = made
        .iter()
        .find(|it| it.place == Place::Undo(UndoStep::StartOld) && it.call.name == "start");
    case.made = None;
    case.schedule = Schedule::from([(back.unwrap().number, Fault::Error)]).into();
    let over = carry_through(case, Some(start.plan.clone())).world;
    let failed = over
        .log
        .iter()
        .position(|entry| matches!(entry.event, Event::UndoFailed { .. }))
        .expect("a way back that failed");
    let pause = over.log[failed + 1].at.duration_since(over.log[failed].at);
    assert!((15..20).contains(&pause.as_secs()), "{pause:?}");
    assert!(matches!(
        over.state.outcome(),
        Some((Outcome::RolledBack, _))
    ));
}
