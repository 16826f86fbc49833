//! Runs against their deadline: the steps are a script, the clock is set by hand, and everything else is the real driver.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "tests may fail loudly"
)]

mod fake;

use fake::{Fakes, journal_of, run};
use jiff::SignedDuration;

use super::driver::*;
use super::*;
use crate::domain::event::{Blame, Finding, Step, UndoStep};
use crate::domain::plan::{Method, OnDeadline};
use crate::domain::report::samples::{START, plan};
use crate::engine::StepError;
use crate::ports::reporter::Reporter;

/// A run that begins at [`START`] in a window of two hours, and whose way back needs half an hour.
fn in_a_window() -> Plan {
    Plan {
        hard_deadline: Some("2026-11-21T04:00:00Z".parse().unwrap()),
        way_back_s: 1_800,
        ..plan()
    }
}

/// The minutes that some steps last; the others take none.
fn minutes(steps: &[(Step, i64)]) -> Fakes {
    let fakes = Fakes::at(START.parse().unwrap());
    for (step, minutes) in steps {
        fakes.lasts(*step, SignedDuration::from_mins(*minutes));
    }
    fakes
}

fn undone(ended: &Ended) -> Vec<UndoStep> {
    let undone = |entry: &Entry| match entry.event {
        Event::UndoDone { step, .. } => Some(step),
        _ => None,
    };
    ended.run.journal.iter().filter_map(undone).collect()
}

fn quarantined(ended: &Ended) -> Option<String> {
    let state = RunState::fold(&ended.run.journal).unwrap();
    state.quarantine_reason().map(str::to_owned)
}

#[tokio::test]
async fn a_run_that_outlasts_its_window_in_migrate_is_rolled_back_and_the_old_version_serves() {
    let fakes = minutes(&[(Step::Snapshot, 20), (Step::Migrate, 75)]);
    let ended = run(&fakes, in_a_window()).await;
    assert_eq!(ended.outcome, Outcome::RolledBack);
    assert_eq!(
        ended.because,
        "the maintenance window ends at 2026-11-21T04:00:00Z, and the way back needs 30m; it is taken now"
    );
    assert_eq!(undone(&ended), UndoStep::ALL);
    assert_eq!(fakes.taken().last(), Some(&Step::Migrate));
    assert_eq!(quarantined(&ended), None);
    assert_eq!(fakes.quarantined(), None);
    let begun = Event::RollbackBegun {
        because: ended.because.clone(),
    };
    assert!(journal_of(&fakes).contains(&begun));
}

#[tokio::test]
async fn a_run_that_may_finish_is_committed_after_its_window() {
    let fakes = minutes(&[(Step::Migrate, 300)]);
    let plan = Plan {
        on_deadline: OnDeadline::Finish,
        method: Method::Logical,
        ..in_a_window()
    };
    assert_eq!(run(&fakes, plan).await.outcome, Outcome::Committed);
}

#[tokio::test]
async fn a_run_that_outlasts_its_window_after_the_commit_stays_committed() {
    let fakes = minutes(&[(Step::Open, 300)]);
    let ended = run(&fakes, in_a_window()).await;
    assert_eq!(ended.outcome, Outcome::Committed);
    assert_eq!(fakes.taken(), Step::ALL);
}

#[tokio::test]
async fn no_step_begins_once_only_the_way_back_fits_and_what_was_verified_is_committed() {
    for (place, step) in Step::ALL.into_iter().enumerate() {
        // From 03:30 on, only the way back fits: 90 minutes in any step before the commit are too many.
        let fakes = minutes(&[(step, 90)]);
        let ended = run(&fakes, in_a_window()).await;
        let wanted = match step {
            Step::Verify | Step::Open | Step::Finalise => Outcome::Committed,
            Step::Migrate | Step::Switch => Outcome::RolledBack,
            Step::Preflight | Step::Pull | Step::Fence | Step::Snapshot | Step::Prove => {
                Outcome::Aborted
            }
        };
        assert_eq!(ended.outcome, wanted, "{step}");
        if wanted != Outcome::Committed {
            assert_eq!(fakes.taken(), Step::ALL[..=place], "{step}");
        }
        // A minute less, and it goes on.
        let fakes = minutes(&[(step, 89)]);
        let ended = run(&fakes, in_a_window()).await;
        assert_eq!(ended.outcome, Outcome::Committed, "{step}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_meanwhile_neither_stretches_a_run_nor_cuts_it_short() {
    for hours in [-5, 5] {
        let fakes = minutes(&[(Step::Migrate, 80)]);
        fakes.sets_clock(Step::Snapshot, SignedDuration::from_hours(hours));
        let ended = run(&fakes, in_a_window()).await;
        assert_eq!(ended.outcome, Outcome::Committed, "set by {hours} h");
        let fakes = minutes(&[(Step::Migrate, 95)]);
        fakes.sets_clock(Step::Snapshot, SignedDuration::from_hours(hours));
        let ended = run(&fakes, in_a_window()).await;
        assert_eq!(ended.outcome, Outcome::RolledBack, "set by {hours} h");
    }
}

#[tokio::test]
async fn a_run_without_a_window_has_no_deadline() {
    let fakes = minutes(&[(Step::Migrate, 6_000)]);
    assert_eq!(run(&fakes, plan()).await.outcome, Outcome::Committed);
}

#[tokio::test]
async fn where_nobody_knows_what_the_way_back_needs_the_deadline_itself_counts() {
    let plan = || Plan {
        way_back_s: 0,
        ..in_a_window()
    };
    let fakes = minutes(&[(Step::Prove, 119)]);
    assert_eq!(run(&fakes, plan()).await.outcome, Outcome::Committed);
    let fakes = minutes(&[(Step::Prove, 120)]);
    let ended = run(&fakes, plan()).await;
    assert_eq!(ended.outcome, Outcome::Aborted);
    assert_eq!(
        ended.because,
        "the maintenance window ended at 2026-11-21T04:00:00Z; the way back is taken now"
    );
}

#[tokio::test]
async fn a_target_that_failed_before_the_deadline_is_to_blame_and_not_the_time() {
    let fakes = minutes(&[(Step::Migrate, 200)]);
    fakes.fails(Step::Migrate);
    let ended = run(&fakes, in_a_window()).await;
    assert_eq!(ended.outcome, Outcome::RolledBack);
    assert_eq!(ended.because, "the migration failed");
    assert_eq!(fakes.quarantined().as_deref(), Some("the migration failed"));
    let blamed = |event: &Event| {
        matches!(
            event,
            Event::Failed {
                blame: Blame::Target,
                ..
            }
        )
    };
    assert!(journal_of(&fakes).iter().any(blamed));
}

#[tokio::test]
async fn the_way_back_is_taken_even_if_the_journal_cannot_say_so() {
    let fakes = minutes(&[(Step::Migrate, 100)]);
    fakes.journal_breaks_after(Step::Migrate);
    let ended = run(&fakes, in_a_window()).await;
    assert!(
        ended.because.starts_with("the maintenance window ends at"),
        "{}",
        ended.because
    );
    assert_eq!(ended.outcome, Outcome::RolledBack);
    assert_eq!(undone(&ended), UndoStep::ALL);
}

#[tokio::test]
async fn a_commit_that_was_refused_and_is_there_all_the_same_is_taken_back_with_the_run() {
    let fakes = minutes(&[]);
    fakes.commit_is_refused_and_written();
    let ended = run(&fakes, plan()).await;
    assert_eq!(ended.outcome, Outcome::RolledBack);
    assert_eq!(undone(&ended), UndoStep::ALL);
    assert_eq!(ended.trouble, None);
    // What the next process reads says the same.
    let journal = fakes.stored();
    assert!(journal.iter().any(|entry| entry.event == Event::Committed));
    let state = RunState::fold(&journal).unwrap();
    assert!(!state.is_committed());
    assert!(matches!(state.outcome(), Some((Outcome::RolledBack, _))));
}

#[tokio::test]
async fn the_site_is_not_closed_after_the_clock_was_set() {
    let fakes = Fakes::at(START.parse().unwrap());
    for (by, set) in [(3, "forward by 3h"), (-3, "back by 3h")] {
        let err = fakes
            .fence_after_clock_set(&in_a_window(), SignedDuration::from_hours(by))
            .await
            .unwrap_err();
        assert!(matches!(err, StepError::NotBegun(_)));
        assert_eq!(
            err.to_string(),
            format!(
                "the clock was set {set} since the run began, so its maintenance window may be another one now; \
                 the site was not closed, and it is thought over again"
            )
        );
    }
}

#[test]
fn a_plan_of_before_there_were_deadlines_is_read_and_would_go_back() {
    let mut stored = serde_json::to_value(in_a_window()).unwrap();
    let fields = stored.as_object_mut().unwrap();
    assert!(fields.remove("on_deadline").is_some() && fields.remove("way_back_s").is_some());
    let plan: Plan = serde_json::from_value(stored).unwrap();
    assert_eq!(
        (plan.on_deadline, plan.way_back_s),
        (OnDeadline::Rollback, 0)
    );
}
