//! Properties of the run's state machine: whatever fails or is interrupted, a run ends, and ends right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "tests may fail loudly"
)]

use mastopatch::domain::event::{Blame, Event, Finding, Outcome, Step, UndoStep};
use mastopatch::domain::run::{MAX_FORWARD, MAX_ROLLBACKS, MAX_TRANSITIONS, Next, RunState};
use proptest::prelude::*;

/// What happens to one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    FailedByTarget,
    FailedByHost,
    /// The process dies before the step's result is journalled.
    Killed,
    /// The run's time is up before the step; where it does not count any more, the step goes well.
    Overdue,
}

/// Everything that happened, as the journal has it.
#[derive(Debug, Default)]
struct Story {
    events: Vec<Event>,
    outcome: Option<Outcome>,
}

impl Story {
    fn add(&mut self, state: &mut RunState, event: Event) {
        state
            .apply(&event)
            .unwrap_or_else(|err| panic!("{err} after {:#?}", self.events));
        self.events.push(event);
    }

    fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }

    fn place(&self, wanted: impl Fn(&Event) -> bool) -> Option<usize> {
        self.events.iter().position(wanted)
    }
}

fn finding(step: Step, n_pending: usize, n_post: usize) -> Finding {
    let names = |n: usize| (0..n).map(|idx| format!("2026010100000{idx}")).collect();
    match step {
        Step::Pull => Finding::Pulled {
            image_ids: Vec::new(),
            pending: names(n_pending),
            pending_post: names(n_post),
            config_hashes: [].into(),
            brings_data: false,
        },
        _ => Finding::Nothing,
    }
}

/// What a step's fate puts into the journal.
fn answer(step: Step, fate: Fate, n_pending: usize, n_post: usize) -> Event {
    let failed = |blame| Event::Failed {
        step,
        elapsed_ms: 1,
        error: "it failed".to_owned(),
        blame,
        not_begun: false,
    };
    match fate {
        Fate::Done | Fate::Overdue => Event::Done {
            step,
            elapsed_ms: 1,
            finding: finding(step, n_pending, n_post),
        },
        Fate::FailedByTarget => failed(Blame::Target),
        Fate::FailedByHost => failed(Blame::Host),
        Fate::Killed => killed(),
    }
}

fn killed() -> Event {
    Event::Resumed {
        because: "killed".to_owned(),
    }
}

fn overdue() -> Event {
    Event::RollbackBegun {
        because: "its time is up".to_owned(),
    }
}

/// Drives a run with the given fates; after the last one everything goes well.
fn drive(fates: &[Fate], n_pending: usize, n_post: usize) -> Story {
    let (mut state, mut story) = (RunState::default(), Story::default());
    story.add(
        &mut state,
        Event::Planned {
            plan_hash: String::new(),
        },
    );
    let mut fates = fates.iter().copied();
    for _ in 0..1_000 {
        match state.next() {
            Next::Step(step) => {
                let fate = fates.next().unwrap_or(Fate::Done);
                if fate == Fate::Overdue && state.may_turn_back() {
                    story.add(&mut state, overdue());
                    continue;
                }
                story.add(&mut state, Event::Intent { step });
                let event = answer(step, fate, n_pending, n_post);
                story.add(&mut state, event);
            }
            Next::Commit => {
                let event = match fates.next().unwrap_or(Fate::Done) {
                    Fate::Killed => killed(),
                    Fate::Overdue => overdue(),
                    Fate::Done | Fate::FailedByTarget | Fate::FailedByHost => Event::Committed,
                };
                story.add(&mut state, event);
            }
            Next::BeginRollback { because } => {
                story.add(&mut state, Event::RollbackBegun { because });
            }
            Next::Undo { step, attempt } => {
                story.add(&mut state, Event::UndoIntent { step, attempt });
                let event = match fates.next().unwrap_or(Fate::Done) {
                    Fate::Done | Fate::Overdue => Event::UndoDone {
                        step,
                        elapsed_ms: 1,
                        finding: Finding::Nothing,
                    },
                    Fate::FailedByTarget | Fate::FailedByHost => Event::UndoFailed {
                        step,
                        elapsed_ms: 1,
                        error: "no".to_owned(),
                        needs_person: false,
                    },
                    Fate::Killed => killed(),
                };
                story.add(&mut state, event);
            }
            Next::Finish { outcome, because } => {
                story.outcome = Some(outcome);
                story.add(&mut state, Event::Finished { outcome, because });
            }
            Next::Over => {
                assert!(
                    state.transitions() <= MAX_TRANSITIONS,
                    "{:#?}",
                    story.events
                );
                return story;
            }
        }
    }
    panic!("the run does not end: {:#?}", story.events)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Done),
        1 => Just(Fate::FailedByTarget),
        1 => Just(Fate::FailedByHost),
        1 => Just(Fate::Killed),
        1 => Just(Fate::Overdue),
    ];
    prop::collection::vec(fate, 0..60)
}

fn is_undo(event: &Event, wanted: UndoStep) -> bool {
    matches!(event, Event::UndoDone { step, .. } if *step == wanted)
}

fn check(story: &Story, n_pending: usize, n_post: usize) {
    let committed = story.place(|event| *event == Event::Committed);
    let back = story.place(|event| matches!(event, Event::RollbackBegun { .. }));
    assert!(
        committed.is_none() || back.is_none(),
        "a run went both ways: {:#?}",
        story.events
    );
    let done = |wanted: Step| {
        story.place(|event| matches!(event, Event::Done { step, .. } if *step == wanted))
    };
    let intended = |wanted: Step| {
        story.place(|event| matches!(event, Event::Intent { step } if *step == wanted))
    };
    if let Some(committed) = committed {
        for step in Step::ALL.into_iter().take_while(|step| *step != Step::Open) {
            assert!(
                done(step).is_some_and(|place| place < committed),
                "{step} was skipped"
            );
        }
    }
    if let Some(opened) = intended(Step::Open) {
        assert!(
            committed.is_some_and(|committed| committed < opened),
            "opened before the commit"
        );
    }
    if let Some(migrated) = intended(Step::Migrate) {
        assert!(
            done(Step::Prove).is_some_and(|proved| proved < migrated),
            "no proof, no migration"
        );
    }
    let n_restored = story.count(|event| is_undo(event, UndoStep::RestoreData));
    assert!(
        n_restored <= 1,
        "data was restored twice: {:#?}",
        story.events
    );
    match story.outcome.expect("a run that is over has an outcome") {
        Outcome::Committed => {
            assert!(committed.is_some());
            assert!(done(Step::Finalise).is_some());
        }
        Outcome::RolledBack | Outcome::Aborted => {
            assert!(committed.is_none());
            assert!(story.count(|event| is_undo(event, UndoStep::CleanUp)) >= 1);
            let changed = intended(Step::Migrate).is_some() && n_pending + n_post > 0;
            assert_eq!(n_restored == 1, changed, "{:#?}", story.events);
            if intended(Step::Fence).is_some() {
                assert!(story.count(|event| is_undo(event, UndoStep::VerifyOld)) >= 1);
            }
        }
        Outcome::Released => panic!("nobody released it"),
        // Held needs more than one fault.
        Outcome::Held => {
            let n_faults = story.count(|event| {
                matches!(
                    event,
                    Event::Failed { .. } | Event::UndoFailed { .. } | Event::Resumed { .. }
                )
            });
            let least = MAX_FORWARD.min(MAX_ROLLBACKS) as usize;
            assert!(
                n_faults >= least,
                "held after {n_faults} faults: {:#?}",
                story.events
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_keeps_its_promises(
        fates in fates(), n_pending in 0_usize..3, n_post in 0_usize..3,
    ) {
        check(&drive(&fates, n_pending, n_post), n_pending, n_post);
    }
}

#[test]
fn every_single_fault_ends_all_old_or_all_new_never_held() {
    for fault in [
        Fate::FailedByTarget,
        Fate::FailedByHost,
        Fate::Killed,
        Fate::Overdue,
    ] {
        for place in 0..20 {
            let mut fates = vec![Fate::Done; place];
            fates.push(fault);
            let story = drive(&fates, 2, 1);
            check(&story, 2, 1);
            assert_ne!(story.outcome, Some(Outcome::Held), "{fault:?} at {place}");
        }
    }
}

#[test]
fn two_kills_end_all_old_or_all_new() {
    for first in 0..14 {
        for second in 0..20 {
            let mut fates = vec![Fate::Done; first];
            fates.push(Fate::Killed);
            fates.extend(vec![Fate::Done; second]);
            fates.push(Fate::Killed);
            let story = drive(&fates, 1, 1);
            check(&story, 1, 1);
            assert_ne!(
                story.outcome,
                Some(Outcome::Held),
                "killed at {first} and {second}"
            );
        }
    }
}

#[test]
fn a_folded_journal_gives_the_state_that_wrote_it() {
    let story = drive(
        &[
            Fate::Done,
            Fate::Done,
            Fate::Done,
            Fate::Killed,
            Fate::Killed,
        ],
        1,
        0,
    );
    let mut state = RunState::default();
    for event in &story.events {
        state.apply(event).unwrap();
        assert!(
            state
                .apply(&Event::Planned {
                    plan_hash: String::new()
                })
                .is_err()
        );
    }
    assert_eq!(state.outcome().map(|(outcome, _)| outcome), story.outcome);
}

#[test]
fn a_run_whose_time_is_up_goes_back_from_every_step_before_the_commit_and_from_none_after_it() {
    let forward = Step::ALL
        .iter()
        .position(|step| *step == Step::Open)
        .unwrap();
    // Every step before the commit, the commit itself, and the two steps after it.
    for place in 0..=Step::ALL.len() {
        let mut fates = vec![Fate::Done; place];
        fates.push(Fate::Overdue);
        let story = drive(&fates, 1, 0);
        check(&story, 1, 0);
        let migrated = story.count(|event| {
            *event
                == Event::Intent {
                    step: Step::Migrate,
                }
        }) > 0;
        let wanted = match (place <= forward, migrated) {
            (true, true) => Outcome::RolledBack,
            (true, false) => Outcome::Aborted,
            (false, _) => Outcome::Committed,
        };
        assert_eq!(story.outcome, Some(wanted), "at {place}");
        let state = folded(&story.events);
        assert_eq!(state.quarantine_reason(), None, "at {place}");
        if place <= forward {
            let because = state.outcome().map(|(_, because)| because.to_owned());
            assert_eq!(because.as_deref(), Some("its time is up"));
        }
    }
}

#[test]
fn the_way_back_is_only_begun_between_two_steps_of_a_run_that_goes_forward() {
    let story = drive(&[Fate::Done; 4], 1, 0);
    let mut state = RunState::default();
    let mut n_allowed = 0;
    for event in &story.events {
        let allowed = state.clone().apply(&overdue()).is_ok();
        assert_eq!(allowed, state.may_turn_back(), "before {event:?}");
        let between = matches!(event, Event::Intent { step } if *step < Step::Open)
            || *event == Event::Committed;
        assert_eq!(allowed, between, "before {event:?}");
        n_allowed += usize::from(allowed);
        state.apply(event).unwrap();
    }
    assert_eq!(n_allowed, 9);
    assert!(!state.may_turn_back());
    let back = drive(&[Fate::Done, Fate::Overdue], 1, 0);
    let last = back.events.len() - 1;
    let begun = back
        .place(|event| matches!(event, Event::RollbackBegun { .. }))
        .unwrap();
    for end in begun + 1..=last {
        assert!(!folded(&back.events[..end]).may_turn_back());
    }
}

fn folded(events: &[Event]) -> RunState {
    let mut state = RunState::default();
    for event in events {
        state.apply(event).unwrap();
    }
    state
}
