//! A server's disk that fills up while a run is under way.

use mastopatch::domain::event::{Event, MigrationClass, Outcome, Step};
use mastopatch::domain::plan::Method;

use crate::sim::fixture::fixture;
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::carry_through;
use crate::sim::world::World;

fn failed(world: &World) -> Option<(Step, bool, String)> {
    world.log.iter().find_map(|entry| match &entry.event {
        Event::Failed {
            step,
            not_begun,
            error,
            ..
        } => Some((*step, *not_begun, error.clone())),
        _ => None,
    })
}

#[test]
fn a_server_without_room_for_a_copy_is_noticed_before_the_copy_and_nothing_is_lost() {
    for (class, method) in [
        (MigrationClass::M0, Method::Clone),
        (MigrationClass::M1, Method::Clone),
        (MigrationClass::M2, Method::Logical),
    ] {
        for (full_from, fails) in [
            // The plan is of a patch, which a dump needs no room in the server for, as far as anybody knows by then.
            (Step::Preflight, Step::Preflight),
            (Step::Pull, Step::Fence),
            (Step::Fence, Step::Fence),
            (Step::Snapshot, Step::Snapshot),
        ] {
            let at = format!("{class:?} {method:?} full from {full_from}");
            let begins = full_from == Step::Preflight && method == Method::Logical;
            let fails = if begins { Step::Fence } else { fails };
            let start = fixture(class, method);
            let mut world = start.world.clone();
            world.server_full_from = Some(full_from);
            let mut over = carry_through(world, Some(start.plan.clone())).world;
            let (step, not_begun, error) = failed(&over).expect("a step that failed");
            assert_eq!(step, fails, "{at}: {error}");
            // The site was not closed at all.
            assert_eq!(not_begun, step == Step::Fence, "{at}");
            for words in ["not enough room for", "copy of the database", "make room"] {
                assert!(error.contains(words), "{at}: {error}");
            }
            let outcome = over.state.outcome().map(|(outcome, _)| outcome);
            assert_eq!(outcome, Some(Outcome::Aborted), "{at}");
            let verdict = judge(&mut over, &start.world, &start.plan);
            assert_eq!(verdict, Ok(Verdict::Aborted), "{at}");
        }
    }
}

/// A security patch must not be kept away by a disk that it needs nothing of.
#[test]
fn a_dump_without_migrations_needs_no_room_in_the_server() {
    let start = fixture(MigrationClass::M0, Method::Logical);
    let mut world = start.world.clone();
    world.server_full_from = Some(Step::Preflight);
    let mut over = carry_through(world, Some(start.plan.clone())).world;
    let verdict = judge(&mut over, &start.world, &start.plan);
    assert_eq!(verdict, Ok(Verdict::Committed));
}
