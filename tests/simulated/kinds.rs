//! What every kind of run has to stand, whatever it does: an error at every call, everything done twice, every way back
//! taken twice. A kind says only how its world begins and how it is begun.

use mastopatch::domain::event::MigrationClass;

use crate::case::{Case, Tally};
use crate::sim::fault::{Fault, Schedule, When};
use crate::sim::outcome::Verdict;
use crate::sim::world::{Phase, Place, Target};

/// A kind of run.
pub(crate) trait Kind {
    /// The run of this kind towards a target, without a fault.
    fn case(&self, target: Target) -> Case;

    /// How it ends with a good target.
    fn goes_well(&self) -> Verdict {
        Verdict::Committed
    }
}

/// An update whose target brings migrations of a class.
struct Update(MigrationClass);

impl Kind for Update {
    fn case(&self, target: Target) -> Case {
        Case {
            class: self.0,
            target,
            schedule: Schedule::new(),
        }
    }
}

fn kinds() -> [Box<dyn Kind>; 3] {
    [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2]
        .map(|class| Box::new(Update(class)) as Box<dyn Kind>)
}

fn with(mut case: Case, call: u32, fault: Fault) -> Case {
    case.schedule.insert(call, fault);
    case
}

/// An error at every call, one at a time: the run ends well or is taken back, never in between.
fn error_at_every_step(kind: &dyn Kind) {
    let mut tally = Tally::default();
    for target in [Target::Good, Target::Unhealthy] {
        let base = kind.case(target);
        for made in base.calls() {
            let case = with(base.clone(), made.number, Fault::Error);
            tally.count(&case.run(), || format!("{case:?}"));
        }
    }
    tally.assert_right();
}

/// After the commit, every step is done, its result is lost, and it is done again: the world is the same.
fn repeat_every_action(kind: &dyn Kind) {
    repeat(kind, Target::Good, |place| matches!(place, Place::Step(_)));
}

/// Every step of the way back is done, its result is lost, and all of it is done again: the world is the same.
fn repeat_every_undo(kind: &dyn Kind) {
    repeat(kind, Target::Unhealthy, |place| {
        matches!(place, Place::Undo(_))
    });
}

fn repeat(kind: &dyn Kind, target: Target, counts: impl Fn(Place) -> bool) {
    let base = kind.case(target);
    let calls = base.calls();
    let committed = calls
        .iter()
        .find(|made| made.call.name == "journal: commit")
        .map(|made| made.number);
    for made in calls
        .into_iter()
        .filter(|made| made.phase == Phase::After && counts(made.place))
    {
        let case = with(base.clone(), made.number, Fault::Kill(When::Before));
        let went = case.run();
        let verdict = went.verdict.unwrap_or_else(|why| panic!("{why}: {case:?}"));
        // The judge compares the whole world with what it has to be; here only the way has to be the right one.
        let is_after = committed.is_some_and(|commit| made.number > commit);
        match target {
            Target::Good if is_after => assert_eq!(verdict, kind.goes_well(), "{case:?}"),
            Target::Good => assert!(verdict <= Verdict::RolledBack, "{verdict:?}: {case:?}"),
            _ => assert_eq!(verdict, Verdict::RolledBack, "{case:?}"),
        }
    }
}

#[test]
fn an_error_at_any_call_leaves_all_old_or_all_new() {
    kinds().iter().for_each(|kind| error_at_every_step(&**kind));
}

#[test]
fn a_step_that_is_done_twice_leaves_what_it_leaves_when_done_once() {
    kinds().iter().for_each(|kind| repeat_every_action(&**kind));
}

#[test]
fn a_way_back_that_is_taken_twice_leaves_what_it_leaves_when_taken_once() {
    kinds().iter().for_each(|kind| repeat_every_undo(&**kind));
}
