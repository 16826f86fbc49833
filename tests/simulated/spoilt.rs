//! A snapshot that is not what the run took: neither the proof nor the way back uses it.

use mastopatch::domain::event::{Event, MigrationClass, Outcome, Step, UndoStep};
use mastopatch::domain::plan::Method;

use crate::sim::fault::{Fault, Schedule};
use crate::sim::fixture::{Fixture, fixture};
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::carry_through;
use crate::sim::stranger::{Deed, Spoilt};
use crate::sim::world::{LIVE, Place, Target, World};

const METHODS: [Method; 3] = [Method::Logical, Method::Clone, Method::Physical];

/// The run to a target, with the snapshot spoilt at the first call of a place.
fn spoilt_in(start: &Fixture, target: Target, place: Place, how: Spoilt) -> World {
    let mut world = start.world.clone();
    world.target = target;
    world.made = Some(Vec::new());
    let made = carry_through(world, Some(start.plan.clone())).world.made;
    let made = made.unwrap();
    let call = made
        .iter()
        .find(|made| made.place == place)
        .unwrap_or_else(|| panic!("the run never comes to {place:?}"));
    let mut world = start.world.clone();
    world.target = target;
    let deed = Fault::Stranger(Deed::SpoilsSnapshot(how));
    world.schedule = Schedule::from([(call.number, deed)]).into();
    carry_through(world, Some(start.plan.clone())).world
}

fn words(how: Spoilt) -> &'static str {
    match how {
        Spoilt::OtherInstance => "it is of instance `other.example`",
        Spoilt::OtherVersion => "it is of version 4.4.0",
        Spoilt::OtherMethod => "taken in another way",
        Spoilt::OlderRun => "its manifest is that of run 019a9000-",
        Spoilt::Flipped | Spoilt::Cut => "is not as it was written",
        Spoilt::Lacking => "is missing",
    }
}

#[test]
fn a_proof_refuses_every_snapshot_that_is_not_this_runs_or_not_whole() {
    for method in METHODS {
        let start = fixture(MigrationClass::M2, method);
        for how in Spoilt::ALL {
            let at = format!("{method:?} {how:?}");
            let mut over = spoilt_in(start, Target::Good, Place::Step(Step::Prove), how);
            let error = over.log.iter().find_map(|entry| match &entry.event {
                Event::Failed { step, error, .. } => Some((*step, error.clone())),
                _ => None,
            });
            let (step, error) = error.unwrap_or_else(|| panic!("{at}: nothing failed"));
            assert_eq!(step, Step::Prove, "{at}");
            assert!(error.contains(words(how)), "{at}: {error}");
            let verdict = judge(&mut over, &start.world, &start.plan);
            assert_eq!(verdict, Ok(Verdict::Aborted), "{at}");
        }
    }
}

#[test]
fn a_way_back_restores_nothing_from_a_snapshot_that_was_spoilt_and_a_person_gets_it() {
    for method in METHODS {
        let start = fixture(MigrationClass::M2, method);
        for how in Spoilt::ALL {
            let at = format!("{method:?} {how:?}");
            let place = Place::Undo(UndoStep::RestoreData);
            let over = spoilt_in(start, Target::MigrationFails, place, how);
            assert_eq!(over.violation, None, "{at}");
            let error = over.log.iter().find_map(|entry| match &entry.event {
                Event::UndoFailed { step, error, .. } => Some((*step, error.clone())),
                _ => None,
            });
            let (step, error) = error.unwrap_or_else(|| panic!("{at}: nothing failed"));
            assert_eq!(step, UndoStep::RestoreData, "{at}");
            assert!(error.contains(words(how)), "{at}: {error}");
            let outcome = over.state.outcome().map(|(outcome, _)| outcome);
            assert_eq!(outcome, Some(Outcome::Held), "{at}");
            // Nobody put anything in the damaged database's place, and the original is still there.
            let aside = over.databases.contains_key(&start.plan.original_database());
            assert_eq!(aside, method == Method::Clone, "{at}");
            assert!(over.databases.contains_key(LIVE), "{at}");
        }
    }
}
