//! A commit that the store refuses, that cannot be read back, and that is on the disk all the same: the way back is taken, and
//! whoever finds the run in the middle of it has to go on with it. The journal says otherwise by then.

use mastopatch::domain::event::MigrationClass;
use mastopatch::domain::plan::Method;

use crate::case::{Case, Tally};
use crate::sim::fault::{Fault, When};
use crate::sim::outcome::Verdict;
use crate::sim::world::Target;

/// The update whose commit is refused and written, and the number of the call after the question whether it was.
fn refused(class: MigrationClass, method: Method) -> (Case, u32) {
    let mut case = Case {
        method,
        ..Case::update(class, Target::Good)
    };
    let calls = case.calls();
    let commit = calls
        .iter()
        .find(|made| made.call.name == "journal: commit");
    let commit = commit.expect("a good target is committed").number;
    case.schedule.insert(commit, Fault::LostAfter);
    case.schedule.insert(commit + 1, Fault::Error);
    (case, commit + 2)
}

#[test]
fn a_commit_that_was_refused_and_is_there_is_taken_back_also_by_who_finds_the_run_in_the_middle() {
    let mut tally = Tally::default();
    for method in [Method::Logical, Method::Clone, Method::Physical] {
        for class in [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2] {
            let (case, first) = refused(class, method);
            let went = case.run();
            assert_eq!(went.verdict, Ok(Verdict::RolledBack), "{}", case.told());
            let last = case.calls().last().expect("calls").number;
            assert!(last > first, "the way back makes no call");
            for number in first..=last {
                for fault in [
                    Fault::Kill(When::Before),
                    Fault::Kill(When::Middle),
                    Fault::Kill(When::After),
                    Fault::PowerCut(When::After),
                ] {
                    let mut case = case.clone();
                    case.schedule.insert(number, fault);
                    let mut went = case.run();
                    if let Ok(verdict) = went.verdict
                        && verdict != Verdict::RolledBack
                        // Before the mark is gone, the commit that is on the disk counts.
                        && !(verdict == Verdict::Committed && number <= first + 1)
                    {
                        went.verdict = Err(format!("ends {verdict:?}"));
                    }
                    tally.count(&went, || format!("{case:?}"));
                }
            }
        }
    }
    println!("{} runs: {:?}", tally.runs, tally.verdicts);
    tally.assert_right();
}
