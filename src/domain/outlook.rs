//! What an order on a held run would do, reckoned before anything is done.

use super::event::{Event, Finding, Order, Outcome, Step, UndoStep};
use super::run::{Next, RunState};

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// What will be done, a sentence each, in order.
    pub steps: Vec<&'static str>,
    /// How the run ends if all goes well.
    pub ends: Outcome,
    /// Whether the data are taken back to the snapshot.
    pub restores_data: bool,
    /// Whether what people wrote since the snapshot is lost for certain, so that a person has to agree first.
    pub needs_consent: bool,
}

/// Reckons what `order` would do to a run; `None` where the run is not held.
pub fn outlook(state: &RunState, order: Order) -> Option<Outlook> {
    let mut state = state.clone();
    let needs_consent = state.would_lose(order);
    let event = Event::Ordered {
        order,
        by: String::new(),
        accept_loss: true,
    };
    state.apply(&event).ok()?;
    let mut outlook = Outlook {
        steps: Vec::new(),
        ends: Outcome::Held,
        restores_data: false,
        needs_consent,
    };
    // A run that is not over announces at most 40 steps, and each has at most two events.
    for _bounded in 0..100 {
        let (announced, answer) = match state.next() {
            Next::Step(step) => {
                outlook.steps.push(forward(step));
                let done = Event::Done {
                    step,
                    elapsed_ms: 0,
                    finding: Finding::Nothing,
                };
                (Some(Event::Intent { step }), done)
            }
            Next::Undo { step, attempt } => {
                outlook.steps.push(back(step));
                outlook.restores_data |= step == UndoStep::RestoreData;
                let done = Event::UndoDone {
                    step,
                    elapsed_ms: 0,
                    finding: Finding::Nothing,
                };
                (Some(Event::UndoIntent { step, attempt }), done)
            }
            Next::BeginRollback { because } => (None, Event::RollbackBegun { because }),
            Next::Commit => (None, Event::Committed),
            Next::Finish { outcome, .. } => {
                outlook.ends = outcome;
                break;
            }
            Next::Over => break,
        };
        if let Some(announced) = announced {
            state.apply(&announced).ok()?;
        }
        state.apply(&answer).ok()?;
    }
    Some(outlook)
}

fn forward(step: Step) -> &'static str {
    match step {
        Step::Preflight => "look whether everything is as planned",
        Step::Pull => "fetch the new images",
        Step::Fence => "close the site",
        Step::Snapshot => "copy database, Redis and files",
        Step::Prove => "prove that the copy is complete",
        Step::Migrate => "run the new version's migrations",
        Step::Switch => "put the old containers aside and create the new ones",
        Step::Verify => "try the new version out of the public's reach",
        Step::Open => "open the site on the new version",
        Step::Finalise => "see that the new version serves, then remove the old containers",
    }
}

fn back(step: UndoStep) -> &'static str {
    match step {
        UndoStep::RemoveNew => "close the site and remove the containers of the new version",
        UndoStep::RestoreData => "take database and Redis back to the snapshot",
        UndoStep::RestoreFiles => "let the Compose files name the old version",
        UndoStep::StartOld => "start the old containers",
        UndoStep::VerifyOld => "see that the old version serves",
        UndoStep::CleanUp => "remove what only the run needed",
    }
}

#[cfg(test)]
#[expect(
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    reason = "tests may fail loudly"
)]
mod tests {
    use super::*;
    use crate::domain::event::{Blame, MigrationClass};

    fn apply(state: &mut RunState, event: Event) {
        state.apply(&event).unwrap();
    }

    /// A run of a class that was held behind the commit, or in its way back.
    fn held(class: MigrationClass, committed: bool) -> RunState {
        let mut state = RunState::default();
        let planned = Event::Planned {
            plan_hash: String::new(),
        };
        apply(&mut state, planned);
        let names = |wanted: bool| {
            if wanted {
                vec!["20260101000000".to_owned()]
            } else {
                Vec::new()
            }
        };
        for _bounded in 0..100 {
            match state.next() {
                Next::Step(step) => {
                    apply(&mut state, Event::Intent { step });
                    let finding = if step == Step::Pull {
                        Finding::Pulled {
                            image_ids: Vec::new(),
                            pending: names(class >= MigrationClass::M1),
                            pending_post: names(class == MigrationClass::M2),
                            config_hashes: [].into(),
                            brings_data: false,
                        }
                    } else {
                        Finding::Nothing
                    };
                    let fails = step >= Step::Open || (!committed && step == Step::Verify);
                    let event = if fails {
                        Event::Failed {
                            step,
                            elapsed_ms: 0,
                            error: "it failed".to_owned(),
                            blame: Blame::Host,
                            not_begun: false,
                        }
                    } else {
                        Event::Done {
                            step,
                            elapsed_ms: 0,
                            finding,
                        }
                    };
                    apply(&mut state, event);
                }
                Next::Commit => apply(&mut state, Event::Committed),
                Next::BeginRollback { because } => {
                    apply(&mut state, Event::RollbackBegun { because });
                }
                Next::Undo { step, attempt } => {
                    apply(&mut state, Event::UndoIntent { step, attempt });
                    let event = Event::UndoFailed {
                        step,
                        elapsed_ms: 0,
                        error: "it failed".to_owned(),
                        needs_person: false,
                    };
                    apply(&mut state, event);
                }
                Next::Finish { outcome, because } => {
                    apply(&mut state, Event::Finished { outcome, because });
                }
                Next::Over => break,
            }
        }
        assert!(state.is_held());
        state
    }

    #[test]
    fn to_resume_goes_on_in_the_direction_the_run_had() {
        let forward = outlook(&held(MigrationClass::M2, true), Order::Resume).unwrap();
        assert_eq!(
            (forward.ends, forward.steps.len(), forward.restores_data),
            (Outcome::Committed, 2, false)
        );
        assert_eq!(
            forward.steps,
            [
                "open the site on the new version",
                "see that the new version serves, then remove the old containers"
            ]
        );
        let back = outlook(&held(MigrationClass::M2, false), Order::Resume).unwrap();
        assert_eq!(
            (
                back.ends,
                back.steps.len(),
                back.restores_data,
                back.needs_consent
            ),
            (Outcome::RolledBack, 6, true, false)
        );
        let restores = back.steps.get(1).copied();
        assert_eq!(
            restores,
            Some("take database and Redis back to the snapshot")
        );
    }

    #[test]
    fn a_way_back_from_behind_the_commit_loses_data_only_where_the_old_code_cannot_use_them() {
        for (class, restores) in [
            (MigrationClass::M0, false),
            (MigrationClass::M1, false),
            (MigrationClass::M2, true),
        ] {
            let state = held(class, true);
            let back = outlook(&state, Order::Rollback).unwrap();
            assert_eq!(back.ends, Outcome::RolledBack);
            assert_eq!(
                (back.restores_data, back.needs_consent),
                (restores, restores)
            );
            let mut state = state;
            let unasked = Event::Ordered {
                order: Order::Rollback,
                by: "alice".to_owned(),
                accept_loss: false,
            };
            assert_eq!(state.apply(&unasked).is_err(), restores, "{class:?}");
        }
    }

    #[test]
    fn a_person_who_rolled_back_a_committed_version_does_not_get_it_again_by_itself() {
        let mut state = held(MigrationClass::M1, true);
        assert_eq!(state.quarantine_reason(), None);
        let order = Event::Ordered {
            order: Order::Rollback,
            by: "alice".to_owned(),
            accept_loss: false,
        };
        apply(&mut state, order);
        assert_eq!(state.quarantine_reason(), Some("alice ordered it"));
    }

    #[test]
    fn to_release_does_nothing_and_what_is_not_held_takes_no_order() {
        let released = outlook(&held(MigrationClass::M2, true), Order::Release).unwrap();
        assert_eq!(
            (released.ends, released.steps.len()),
            (Outcome::Released, 0)
        );
        assert_eq!(outlook(&RunState::default(), Order::Release), None);
    }

    #[test]
    fn an_order_gives_a_held_run_all_its_tries_anew() {
        let mut state = held(MigrationClass::M2, false);
        for _again in 0..5 {
            let order = Event::Ordered {
                order: Order::Resume,
                by: "alice".to_owned(),
                accept_loss: false,
            };
            apply(&mut state, order);
            let mut n_tries = 0;
            while !state.is_held() {
                match state.next() {
                    Next::Undo { step, attempt } => {
                        n_tries += 1;
                        apply(&mut state, Event::UndoIntent { step, attempt });
                        let event = Event::UndoFailed {
                            step,
                            elapsed_ms: 0,
                            error: "it failed".to_owned(),
                            needs_person: false,
                        };
                        apply(&mut state, event);
                    }
                    Next::Finish { outcome, because } => {
                        apply(&mut state, Event::Finished { outcome, because });
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(n_tries, 3);
        }
    }
}
