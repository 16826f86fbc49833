//! What a run's state answers, one question at a time. Its properties as a whole are in `tests/run_state.rs`.

use super::*;

fn apply(state: &mut RunState, event: &Event) {
    state.apply(event).unwrap();
}

fn planned() -> RunState {
    let mut state = RunState::default();
    let plan_hash = String::new();
    apply(&mut state, &Event::Planned { plan_hash });
    state
}

fn resumed() -> Event {
    Event::Resumed {
        because: "killed".to_owned(),
    }
}

fn done(step: Step) -> Event {
    let finding = match step {
        Step::Pull => Finding::Pulled {
            image_ids: Vec::new(),
            pending: vec!["20260101000001".to_owned()],
            pending_post: vec!["20260101000002".to_owned()],
            config_hashes: [("web".to_owned(), "abc".to_owned())].into(),
            brings_data: false,
        },
        Step::Fence => Finding::Fenced {
            closed_after_ms: 1,
            started: [("old-web".to_owned(), "before the fence".to_owned())].into(),
        },
        Step::Preflight
        | Step::Snapshot
        | Step::Prove
        | Step::Migrate
        | Step::Switch
        | Step::Verify
        | Step::Open
        | Step::Finalise => Finding::Nothing,
    };
    Event::Done {
        step,
        elapsed_ms: 0,
        finding,
    }
}

fn failed(step: Step) -> Event {
    Event::Failed {
        step,
        elapsed_ms: 0,
        error: "it failed".to_owned(),
        blame: Blame::Target,
        not_begun: false,
    }
}

/// Goes forward, through the commit where it is on the way, until `until` is announced.
fn up_to(until: Step) -> RunState {
    let mut state = planned();
    loop {
        match state.next() {
            Next::Step(step) => {
                apply(&mut state, &Event::Intent { step });
                if step == until {
                    return state;
                }
                apply(&mut state, &done(step));
            }
            Next::Commit => apply(&mut state, &Event::Committed),
            other @ (Next::BeginRollback { .. }
            | Next::Undo { .. }
            | Next::Finish { .. }
            | Next::Over) => {
                panic!("{other:?}")
            }
        }
    }
}

/// Takes the way back until `until` is announced.
fn back_to(state: &mut RunState, until: UndoStep) {
    loop {
        match state.next() {
            Next::BeginRollback { because } => apply(state, &Event::RollbackBegun { because }),
            Next::Undo { step, attempt } => {
                apply(state, &Event::UndoIntent { step, attempt });
                if step == until {
                    return;
                }
                apply(state, &undone(step));
            }
            other @ (Next::Step(_) | Next::Commit | Next::Finish { .. } | Next::Over) => {
                panic!("{other:?}")
            }
        }
    }
}

fn undone(step: UndoStep) -> Event {
    Event::UndoDone {
        step,
        elapsed_ms: 0,
        finding: Finding::Nothing,
    }
}

/// What is left to tidy closes no site that serves.
#[test]
fn a_clean_up_that_fails_stops_the_old_version_no_more() {
    let mut state = up_to(Step::Migrate);
    apply(&mut state, &failed(Step::Migrate));
    back_to(&mut state, UndoStep::CleanUp);
    let step = UndoStep::CleanUp;
    let failed = Event::UndoFailed {
        step,
        elapsed_ms: 0,
        error: "no space".to_owned(),
        needs_person: false,
    };
    apply(&mut state, &failed);
    let (step, attempt) = (UndoStep::StartOld, 2);
    assert_eq!(state.next(), Next::Undo { step, attempt });
    // An earlier program began every further way back at its beginning.
    let mut earlier = state.clone();
    let step = UndoStep::RemoveNew;
    apply(&mut earlier, &Event::UndoIntent { step, attempt });
    let step = UndoStep::RestoreData;
    assert!(state.apply(&Event::UndoIntent { step, attempt }).is_err());
}

/// From memory, more may have been done than the journal says.
#[test]
fn an_interrupted_way_back_starts_the_old_version_again_before_it_tidies() {
    let mut state = up_to(Step::Fence);
    apply(&mut state, &failed(Step::Fence));
    back_to(&mut state, UndoStep::CleanUp);
    apply(&mut state, &resumed());
    let (step, attempt) = (UndoStep::StartOld, 2);
    assert_eq!(state.next(), Next::Undo { step, attempt });
}

/// Journals of an earlier program, which went on with the way back where it was interrupted, stay readable to their ends.
#[test]
fn an_earlier_programs_way_back_that_was_interrupted_ends_as_it_did() {
    let outcome = Outcome::Aborted;
    let finished = Event::Finished {
        outcome,
        because: String::new(),
    };
    let mut state = up_to(Step::Fence);
    apply(&mut state, &failed(Step::Fence));
    back_to(&mut state, UndoStep::StartOld);
    apply(&mut state, &undone(UndoStep::StartOld));
    apply(&mut state, &resumed());
    let attempt = 1;
    for step in [UndoStep::VerifyOld, UndoStep::CleanUp] {
        apply(&mut state, &Event::UndoIntent { step, attempt });
        assert!(state.apply(&finished).is_err());
        apply(&mut state, &undone(step));
    }
    let mut after = state.clone();
    apply(&mut after, &resumed());
    for mut state in [state, after] {
        let committed = Event::Finished {
            outcome: Outcome::Committed,
            because: String::new(),
        };
        assert!(state.apply(&committed).is_err());
        apply(&mut state, &finished);
        assert_eq!(state.outcome().unwrap().0, outcome);
    }
}

/// A person who resumes what could not be tidied closes no site.
#[test]
fn a_way_back_that_is_resumed_after_its_clean_up_failed_starts_with_the_old_version() {
    let mut state = up_to(Step::Fence);
    apply(&mut state, &failed(Step::Fence));
    back_to(&mut state, UndoStep::CleanUp);
    for _ in 0..MAX_ROLLBACKS {
        let step = UndoStep::CleanUp;
        let failed = Event::UndoFailed {
            step,
            elapsed_ms: 0,
            error: "no space".to_owned(),
            needs_person: false,
        };
        apply(&mut state, &failed);
        if matches!(state.next(), Next::Finish { .. }) {
            break;
        }
        back_to(&mut state, step);
    }
    let Next::Finish { outcome, because } = state.next() else {
        panic!("{:?}", state.next());
    };
    apply(&mut state, &Event::Finished { outcome, because });
    for (order, first) in [
        (Order::Resume, UndoStep::StartOld),
        (Order::Rollback, UndoStep::RemoveNew),
    ] {
        let mut state = state.clone();
        let ordered = Event::Ordered {
            order,
            by: "ada".to_owned(),
            accept_loss: false,
        };
        apply(&mut state, &ordered);
        let (step, attempt) = (first, 1);
        assert_eq!(state.next(), Next::Undo { step, attempt });
    }
}

/// A run that is held behind its commit: `open` failed as often as it may.
fn held() -> RunState {
    let mut state = up_to(Step::Open);
    for _ in 1..MAX_FORWARD {
        apply(&mut state, &failed(Step::Open));
        apply(&mut state, &Event::Intent { step: Step::Open });
    }
    apply(&mut state, &failed(Step::Open));
    let Next::Finish { outcome, because } = state.next() else {
        panic!("{:?}", state.next());
    };
    apply(&mut state, &Event::Finished { outcome, because });
    assert!(state.is_held());
    state
}

fn ordered(order: Order, accept_loss: bool) -> Event {
    Event::Ordered {
        order,
        by: "ada".to_owned(),
        accept_loss,
    }
}

fn rebuilt(reached: Step, committed: bool) -> Event {
    Event::Rebuilt(Rebuilt {
        reached,
        committed,
        class: Some(MigrationClass::M1),
        started: [("old-web".to_owned(), "what was seen".to_owned())].into(),
        config_hashes: [("web".to_owned(), "seen".to_owned())].into(),
        held: None,
        may_have_served: false,
        because: "seen".to_owned(),
    })
}

#[track_caller]
fn refuses(state: &RunState, event: &Event) {
    let mut after = state.clone();
    assert!(after.apply(event).is_err(), "{event:?}");
    assert_eq!(&after, state);
}

#[test]
fn what_comes_at_the_wrong_time_is_refused_and_changes_nothing() {
    let nothing = RunState::default();
    refuses(&nothing, &resumed());
    refuses(&nothing, &rebuilt(Step::Pull, false));
    refuses(&planned(), &Event::Intent { step: Step::Pull });
    refuses(&planned(), &ordered(Order::Release, true));
    refuses(&held(), &resumed());
    let mut announced = up_to(Step::Pull);
    refuses(&announced, &Event::Intent { step: Step::Pull });
    refuses(&announced, &rebuilt(Step::Fence, false));
    apply(&mut announced, &failed(Step::Pull));
    back_to(&mut announced, UndoStep::CleanUp);
    let again = Event::UndoIntent {
        step: UndoStep::CleanUp,
        attempt: 1,
    };
    refuses(&announced, &again);
    let mut fenced = up_to(Step::Snapshot);
    apply(&mut fenced, &failed(Step::Snapshot));
    back_to(&mut fenced, UndoStep::RemoveNew);
    apply(&mut fenced, &undone(UndoStep::RemoveNew));
    let other = Event::UndoIntent {
        step: UndoStep::StartOld,
        attempt: 1,
    };
    refuses(&fenced, &other);
}

#[test]
fn what_a_step_found_can_be_asked_for() {
    let state = up_to(Step::Snapshot);
    assert_eq!(state.class(), Some(MigrationClass::M2));
    assert_eq!(state.config_hash("web"), Some("abc"));
    assert_eq!(state.config_hash("sidekiq"), None);
    let before = state.started_before_fence("old-web");
    assert_eq!(before, Some("before the fence"));
    assert_eq!(state.started_before_fence("old-sidekiq"), None);
    assert_eq!(state.furthest(), Some(Step::Snapshot));
    // Preflight, pull, fence and snapshot were announced.
    assert_eq!(state.transitions(), 4);
    assert_eq!(state.failed_step(), None);
    let mut state = state;
    apply(&mut state, &failed(Step::Snapshot));
    assert_eq!(state.failed_step(), Some(Step::Snapshot));
    assert_eq!(state.quarantine_reason(), Some("it failed"));
}

#[test]
fn the_site_may_be_closed_from_the_fence_until_one_way_has_opened_it() {
    assert!(!up_to(Step::Pull).may_be_fenced());
    assert!(up_to(Step::Fence).may_be_fenced());
    let mut state = up_to(Step::Open);
    assert!(state.may_be_fenced());
    apply(&mut state, &done(Step::Open));
    assert!(!state.may_be_fenced());

    let mut back = up_to(Step::Migrate);
    apply(&mut back, &failed(Step::Migrate));
    back_to(&mut back, UndoStep::StartOld);
    assert!(back.may_be_fenced());
    apply(&mut back, &undone(UndoStep::StartOld));
    assert!(!back.may_be_fenced());
    let mut early = up_to(Step::Pull);
    apply(&mut early, &failed(Step::Pull));
    back_to(&mut early, UndoStep::CleanUp);
    assert!(!early.may_be_fenced());
}

#[test]
fn only_the_restore_brings_the_data_back_and_an_interruption_is_remembered() {
    let mut state = up_to(Step::Migrate);
    assert!(!state.was_resumed());
    apply(&mut state, &resumed());
    assert!(state.was_resumed() && !state.was_rebuilt());
    back_to(&mut state, UndoStep::RestoreData);
    assert!(!state.is_restored());
    apply(&mut state, &undone(UndoStep::RestoreData));
    assert!(state.is_restored());
    back_to(&mut state, UndoStep::StartOld);
    apply(&mut state, &undone(UndoStep::StartOld));
    assert!(state.is_restored());
}

#[test]
fn what_would_be_lost_needs_consent_and_only_that() {
    // Of class M2, and committed: the way back takes the data back.
    let state = held();
    let loses =
        [Order::Resume, Order::Rollback, Order::Release].map(|order| state.would_lose(order));
    assert_eq!(loses, [false, true, false]);
    refuses(&state, &ordered(Order::Rollback, false));
    let mut agreed = state.clone();
    apply(&mut agreed, &ordered(Order::Rollback, true));
    assert!(agreed.accepts_loss() && agreed.is_going_back());
    let mut forward = state;
    apply(&mut forward, &ordered(Order::Resume, false));
    assert!(!forward.accepts_loss() && !forward.is_going_back());
    assert_eq!(forward.transitions(), 0);

    // Never committed, and nobody can have written: what is taken back is the run's own.
    let mut back = planned();
    let found = Rebuilt {
        class: Some(MigrationClass::M2),
        held: Some("a person has to look".to_owned()),
        ..seen(Step::Migrate)
    };
    apply(&mut back, &Event::Rebuilt(found.clone()));
    end(&mut back);
    assert!(back.is_held() && !back.would_lose(Order::Rollback) && !back.would_lose(Order::Resume));
    // The same, but people may have written to the new version: resuming means going back, too.
    let mut served = planned();
    let found = Rebuilt {
        may_have_served: true,
        ..found
    };
    apply(&mut served, &Event::Rebuilt(found));
    end(&mut served);
    assert!(served.would_lose(Order::Rollback) && served.would_lose(Order::Resume));
    assert!(!served.would_lose(Order::Release));
}

fn seen(reached: Step) -> Rebuilt {
    let Event::Rebuilt(seen) = rebuilt(reached, false) else {
        unreachable!()
    };
    seen
}

fn end(state: &mut RunState) {
    let Next::Finish { outcome, because } = state.next() else {
        panic!("{:?}", state.next());
    };
    apply(state, &Event::Finished { outcome, because });
}

#[test]
fn a_step_that_may_have_been_begun_is_not_done_and_those_before_it_are() {
    let mut state = planned();
    apply(&mut state, &rebuilt(Step::Switch, false));
    assert!(state.was_rebuilt());
    assert_eq!(state.furthest(), Some(Step::Switch));
    assert!(state.done.contains(&Step::Migrate) && !state.done.contains(&Step::Switch));
    assert_eq!(state.failed_step(), Some(Step::Switch));
    assert_eq!(state.class(), Some(MigrationClass::M1));
    assert_eq!(state.config_hash("web"), Some("seen"));
    assert_eq!(state.started_before_fence("old-web"), Some("what was seen"));
}

#[test]
fn what_the_journal_knew_of_hashes_and_starts_stands_against_what_is_seen() {
    let mut state = up_to(Step::Switch);
    apply(&mut state, &resumed());
    apply(&mut state, &rebuilt(Step::Verify, false));
    assert_eq!(state.config_hash("web"), Some("abc"));
    let before = state.started_before_fence("old-web");
    assert_eq!(before, Some("before the fence"));
}

#[test]
fn a_commit_that_is_seen_leads_to_open_whatever_the_journal_knew() {
    let mut state = up_to(Step::Pull);
    apply(&mut state, &resumed());
    apply(&mut state, &rebuilt(Step::Open, true));
    assert!(state.is_committed());
    assert_eq!(state.next(), Next::Step(Step::Open));
    assert_eq!(state.failed_step(), None);
    let before: BTreeSet<Step> = Step::ALL
        .into_iter()
        .filter(|it| *it < Step::Open)
        .collect();
    assert_eq!(state.done, before);
}

#[test]
fn that_people_may_have_written_is_not_forgotten() {
    let mut state = planned();
    let found = Rebuilt {
        may_have_served: true,
        ..seen(Step::Migrate)
    };
    apply(&mut state, &Event::Rebuilt(found));
    apply(&mut state, &Event::Rebuilt(seen(Step::Switch)));
    assert!(state.may_have_served);
    // M1 is spared then: the old code runs on the new schema.
    assert!(!state.data_may_have_changed());
}

#[test]
fn behind_the_commit_too_many_failures_or_too_many_steps_hold_the_run() {
    let state = held();
    let (outcome, because) = state.outcome().unwrap();
    assert_eq!(outcome, Outcome::Held);
    assert!(because.contains("step `open` failed 3 times"), "{because}");
    let mut many = up_to(Step::Open);
    many.open_intent = None;
    many.transitions = MAX_TRANSITIONS;
    let Next::Finish { outcome, because } = many.next() else {
        panic!("{:?}", many.next());
    };
    assert_eq!(outcome, Outcome::Held);
    assert!(
        because.contains("more than 40 steps in one run"),
        "{because}"
    );
}

#[test]
fn a_journal_of_bounded_length_is_folded_into_what_wrote_it() {
    let mut state = planned();
    let plan_hash = String::new();
    let mut events = vec![Event::Planned { plan_hash }];
    for event in [resumed(), rebuilt(Step::Fence, false)] {
        apply(&mut state, &event.clone());
        events.push(event);
    }
    let entries: Vec<Entry> = (1..)
        .zip(events)
        .map(|(seq, event)| Entry {
            seq,
            at: jiff::Timestamp::UNIX_EPOCH,
            event,
        })
        .collect();
    assert_eq!(RunState::fold(&entries).unwrap(), state);
}

/// Also where what was seen says less than a commit needs, or more than it leaves to do: the next step lets people in.
#[test]
fn behind_a_commit_that_is_seen_the_site_is_opened_first() {
    for reached in [Step::Fence, Step::Verify, Step::Open, Step::Finalise] {
        let mut state = planned();
        apply(&mut state, &rebuilt(reached, true));
        assert_eq!(state.next(), Next::Step(Step::Open), "{reached}");
        let before = Step::ALL.into_iter().filter(|it| *it < Step::Open);
        assert_eq!(state.done, before.collect(), "{reached}");
    }
}

/// On the way back and behind the commit, what is seen adds nothing but that a person has to look.
#[test]
fn a_way_back_and_an_opening_learn_only_that_they_stand_still() {
    let mut back = up_to(Step::Switch);
    apply(&mut back, &failed(Step::Switch));
    back_to(&mut back, UndoStep::RestoreFiles);
    apply(&mut back, &resumed());
    let mut forward = up_to(Step::Open);
    apply(&mut forward, &resumed());
    for (state, reached, committed) in [(back, Step::Switch, false), (forward, Step::Open, true)] {
        let why = Some("a person has to look".to_owned());
        let stands_still = Rebuilt {
            committed,
            held: why.clone(),
            ..seen(reached)
        };
        for other in [
            Rebuilt {
                held: None,
                ..stands_still.clone()
            },
            Rebuilt {
                committed: !committed,
                ..stands_still.clone()
            },
            Rebuilt {
                reached: Step::Fence,
                ..stands_still.clone()
            },
            Rebuilt {
                held: None,
                committed: !committed,
                ..stands_still.clone()
            },
        ] {
            refuses(&state, &Event::Rebuilt(other));
        }
        let mut state = state;
        apply(&mut state, &Event::Rebuilt(stands_still));
        assert!(
            matches!(state.next(), Next::Finish { outcome: Outcome::Held, because } if Some(&because) == why.as_ref())
        );
    }
}
