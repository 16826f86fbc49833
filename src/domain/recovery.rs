//! Taking a run up again: what the world shows, against what the journal says.
//!
//! The journal alone is never trusted. It may be lost, or older than the world (a state folder that came back from a
//! backup). [`judge`] is total: whatever is seen, the answer is a run that goes forward, one that goes back, one that is
//! held, or none.

use std::collections::BTreeMap;

use super::event::{MigrationClass, Rebuilt, Step};
use super::run::{Next, RunState};

/// What is on the host of one run, beside its journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that is seen or not, and all can be together"
)]
pub struct Evidence {
    /// The run was held, and nobody has ordered anything since.
    pub was_held: bool,
    /// A container that serves in place of a planned one, is not of this run, and runs neither of its versions.
    pub moved_on: Option<String>,
    /// A new container was started with a way out: the public may have written to the new version. Only a commit allows
    /// that.
    pub opened: bool,
    /// The way back was taken: the live database carries its remark, or the old containers have their names back and
    /// there are no new ones. Looked at only where the commit is the journal's last word.
    pub taken_back: bool,
    /// The commit was about to be written, and the journal does not know that the run came so far: people may have written
    /// to the new version, though it does not show.
    pub may_be_committed: bool,
    /// There are containers that are to serve the new version.
    pub new_containers: bool,
    /// An old container has the name that a switch gives it.
    pub old_aside: bool,
    /// An old container is not to be started by the engine as its owner wished, or does not run though he wished nothing.
    pub fenced: bool,
    /// There is a container that migrates.
    pub migrating: bool,
    /// There was about to be one.
    pub may_have_migrated: bool,
    /// There are other containers of the run, or images that are kept for it.
    pub leftovers: bool,
    /// The copy of the data.
    pub snapshot: SnapshotSeen,
    /// Whether a migration that only the new version brings is applied; `None` where that cannot be known.
    pub schema_moved: Option<bool>,
    /// The migrations' class, where it can be known.
    pub class: Option<MigrationClass>,
    /// When each old container was started last, by its id, if that was before the snapshot was taken; else empty.
    pub started: BTreeMap<String, String>,
    /// What the new containers say Compose calls their services' edited definition.
    pub config_hashes: BTreeMap<String, String>,
}

/// What there is of a run's snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotSeen {
    /// None, or only the beginning of one.
    #[default]
    None,
    /// One with a manifest that fits its files.
    Whole,
    /// One that is not what was written.
    Damaged,
}

/// What the journal has to learn from the world before the run is taken up again; `None` if nothing.
///
/// `known` is the folded journal; `None` where it is lost. A lost journal of a run of which nothing is left needs no run.
pub fn judge(known: Option<&RunState>, seen: &Evidence) -> Option<Rebuilt> {
    let furthest = known.and_then(RunState::furthest);
    let (is_committed, is_going_back) = known.map_or((false, false), |state| {
        (state.is_committed(), state.is_going_back())
    });
    let stands_still = was_held(seen).or_else(|| moved_on(seen));
    if known.is_some_and(|state| matches!(state.next(), Next::Finish { .. })) {
        return None;
    }
    if known.is_some_and(RunState::only_committed) && seen.taken_back {
        let because = "the commit was refused when it was written, and the way back was taken";
        return Some(rebuilt(seen, Step::Verify, stands_still, because));
    }
    // A way back moves the world towards the old version, and a commit is the last word: both go on as they are.
    if is_committed || is_going_back {
        return known.zip(stands_still).map(|(state, why)| held(state, why));
    }
    let reached = reached(seen);
    if seen.opened {
        return Some(rebuilt(
            seen,
            Step::Open,
            stands_still,
            "the new version was already let in",
        ));
    }
    let why = stands_still
        .clone()
        .or_else(|| nothing_to_go_back_with(seen))
        .or_else(|| may_have_served(seen));
    match (known, reached) {
        (None, None) => seen
            .was_held
            .then(|| rebuilt(seen, Step::Preflight, why, "the journal was lost")),
        (None, Some(reached)) => Some(rebuilt(seen, reached, why, "the journal was lost")),
        (Some(_), Some(reached))
            if furthest.is_none_or(|known| known < reached) || seen.may_be_committed =>
        {
            let reached = furthest.map_or(reached, |known| known.max(reached));
            let because = "the journal knew less than the world shows";
            Some(rebuilt(seen, reached, why, because))
        }
        (Some(state), _) => stands_still.map(|why| held(state, why)),
    }
}

/// The furthest step that may have been begun. A schema that looks unmoved is no proof against a migration; that its mark
/// is not there is one, since the mark is on the disk before anything migrates. To restore the snapshot without need would
/// lose what an old version that somebody started meanwhile has taken.
fn reached(seen: &Evidence) -> Option<Step> {
    let may_have_moved =
        seen.migrating || seen.may_have_migrated || seen.schema_moved == Some(true);
    let at_home = !seen.fenced && !seen.old_aside && !seen.new_containers;
    if at_home && seen.schema_moved != Some(true) {
        // The old version serves as its owner wished: whatever else was done is undone.
        return (seen.leftovers || seen.migrating).then_some(Step::Pull);
    }
    if seen.new_containers || seen.old_aside {
        Some(Step::Switch)
    } else if may_have_moved {
        Some(Step::Migrate)
    } else {
        Some(Step::Fence)
    }
}

/// Why nothing may move, if the run was held.
fn was_held(seen: &Evidence) -> Option<String> {
    seen.was_held.then(|| {
        "it was held, and then its journal was lost, or came back from a backup".to_owned()
    })
}

/// Why nothing may move, if the instance's owner updated by other means since.
fn moved_on(seen: &Evidence) -> Option<String> {
    seen.moved_on.as_ref().map(|name| {
        format!(
            "container `{name}` serves in place of the one that the run knew, with a version that is neither its old nor \
             its new one; if that is right, `mastopatch release`"
        )
    })
}

/// Why the way back cannot be taken by itself, if that is so: the schema moved, and there is no copy from before.
fn nothing_to_go_back_with(seen: &Evidence) -> Option<String> {
    (seen.schema_moved == Some(true) && seen.snapshot != SnapshotSeen::Whole).then(|| {
        "the new version's migrations are applied, and the snapshot from before them is gone or damaged".to_owned()
    })
}

/// Why nobody but a person may take the data back, if that is so.
fn may_have_served(seen: &Evidence) -> Option<String> {
    seen.may_be_committed.then(|| {
        "the new version may have been committed and have served: what people wrote then would be lost on the way back"
            .to_owned()
    })
}

/// What a run learns that cannot go on without a person, whatever the world shows.
pub fn held(state: &RunState, why: String) -> Rebuilt {
    Rebuilt {
        committed: state.is_committed(),
        ..rebuilt(
            &Evidence::default(),
            state.furthest().unwrap_or(Step::Preflight),
            Some(why),
            "a person has to look",
        )
    }
}

/// What takes a commit back that the store refused, has all the same, and nobody acted upon.
pub fn not_committed() -> Rebuilt {
    let because = "the commit was refused when it was written";
    rebuilt(&Evidence::default(), Step::Verify, None, because)
}

fn rebuilt(seen: &Evidence, reached: Step, held: Option<String>, because: &str) -> Rebuilt {
    Rebuilt {
        reached,
        committed: seen.opened,
        class: seen.class,
        started: seen.started.clone(),
        config_hashes: seen.config_hashes.clone(),
        held,
        may_have_served: seen.may_be_committed,
        because: format!("{because}; what is on the host counts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Event, Outcome, UndoStep};

    fn fenced() -> Evidence {
        Evidence {
            fenced: true,
            leftovers: true,
            ..Evidence::default()
        }
    }

    /// What a run whose journal is lost does first, and how it ends if all goes well.
    fn end(seen: &Evidence) -> (Option<Next>, Option<Outcome>) {
        let Some(rebuilt) = judge(None, seen) else {
            return (None, None);
        };
        let mut state = RunState::default();
        let planned = Event::Planned {
            plan_hash: String::new(),
        };
        state.apply(&planned).unwrap();
        state.apply(&Event::Rebuilt(rebuilt)).unwrap();
        let first = state.next();
        for _bounded in 0..100 {
            let event = match state.next() {
                Next::BeginRollback { because } => Event::RollbackBegun { because },
                Next::Undo { step, attempt } => {
                    state.apply(&Event::UndoIntent { step, attempt }).unwrap();
                    Event::UndoDone {
                        step,
                        elapsed_ms: 0,
                        finding: crate::domain::event::Finding::Nothing,
                    }
                }
                Next::Step(step) => {
                    state.apply(&Event::Intent { step }).unwrap();
                    Event::Done {
                        step,
                        elapsed_ms: 0,
                        finding: crate::domain::event::Finding::Nothing,
                    }
                }
                Next::Finish { outcome, because } => Event::Finished { outcome, because },
                Next::Commit => Event::Committed,
                Next::Over => break,
            };
            state.apply(&event).unwrap();
        }
        (Some(first), state.outcome().map(|(outcome, _)| outcome))
    }

    #[test]
    fn whatever_the_world_shows_of_a_lost_run_it_ends_old_new_held_or_was_none() {
        let bools = [false, true];
        let mut n_judged = 0_u32;
        for bits in 0_u32..128 {
            let bit = |place: u32| bools[usize::try_from(bits >> place & 1).unwrap()];
            for snapshot in [
                SnapshotSeen::None,
                SnapshotSeen::Whole,
                SnapshotSeen::Damaged,
            ] {
                for schema_moved in [None, Some(false), Some(true)] {
                    let seen = Evidence {
                        opened: bit(0),
                        new_containers: bit(1),
                        old_aside: bit(2),
                        fenced: bit(3),
                        migrating: bit(4),
                        leftovers: bit(5),
                        may_have_migrated: bit(6),
                        snapshot,
                        schema_moved,
                        ..Evidence::default()
                    };
                    n_judged += 1;
                    let (_, outcome) = end(&seen);
                    let moved = schema_moved == Some(true);
                    let home = !seen.new_containers && !seen.old_aside && !seen.fenced;
                    let expected = if seen.opened {
                        Some(Outcome::Committed)
                    } else if home && !moved {
                        (seen.leftovers || seen.migrating).then_some(Outcome::Aborted)
                    } else if moved && snapshot != SnapshotSeen::Whole {
                        Some(Outcome::Held)
                    } else if seen.new_containers
                        || seen.old_aside
                        || seen.migrating
                        || moved
                        || seen.may_have_migrated
                    {
                        Some(Outcome::RolledBack)
                    } else {
                        Some(Outcome::Aborted)
                    };
                    assert_eq!(outcome, expected, "{seen:?}");
                }
            }
        }
        assert_eq!(n_judged, 128 * 9);
    }

    #[test]
    fn a_lost_run_that_may_have_migrated_takes_the_data_back_and_one_with_a_snapshot_only_leaves_them()
     {
        let copied = Evidence {
            snapshot: SnapshotSeen::Whole,
            ..fenced()
        };
        let migrated = Evidence {
            may_have_migrated: true,
            ..copied.clone()
        };
        for (seen, restores) in [(migrated, true), (copied, false), (fenced(), false)] {
            let mut state = RunState::default();
            let planned = Event::Planned {
                plan_hash: String::new(),
            };
            state.apply(&planned).unwrap();
            let rebuilt = judge(None, &seen).unwrap();
            state.apply(&Event::Rebuilt(rebuilt)).unwrap();
            assert_eq!(state.data_may_have_changed(), restores);
            assert!(matches!(state.next(), Next::BeginRollback { .. }));
        }
    }

    #[test]
    fn a_journal_older_than_the_world_learns_what_was_begun_and_a_newer_one_nothing() {
        let mut state = RunState::default();
        for event in [
            Event::Planned {
                plan_hash: String::new(),
            },
            Event::Intent {
                step: Step::Preflight,
            },
            Event::Resumed {
                because: "killed".to_owned(),
            },
        ] {
            state.apply(&event).unwrap();
        }
        let seen = Evidence {
            new_containers: true,
            ..fenced()
        };
        let learnt = judge(Some(&state), &seen).unwrap();
        assert_eq!((learnt.reached, learnt.committed), (Step::Switch, false));
        state.apply(&Event::Rebuilt(learnt)).unwrap();
        assert_eq!(judge(Some(&state), &seen), None);
        assert!(matches!(state.next(), Next::BeginRollback { .. }));
        state
            .apply(&Event::RollbackBegun {
                because: String::new(),
            })
            .unwrap();
        let first = Next::Undo {
            step: UndoStep::RemoveNew,
            attempt: 1,
        };
        assert_eq!(state.next(), first);
        let open = Evidence {
            opened: true,
            ..seen
        };
        assert_eq!(judge(Some(&state), &open), None);
    }

    #[test]
    fn a_snapshot_that_the_journal_knows_is_no_news() {
        let mut state = RunState::default();
        let planned = Event::Planned {
            plan_hash: String::new(),
        };
        state.apply(&planned).unwrap();
        while let Next::Step(step) = state.next() {
            state.apply(&Event::Intent { step }).unwrap();
            if step == Step::Snapshot {
                break;
            }
            let done = Event::Done {
                step,
                elapsed_ms: 0,
                finding: crate::domain::event::Finding::Nothing,
            };
            state.apply(&done).unwrap();
        }
        let because = "killed".to_owned();
        state.apply(&Event::Resumed { because }).unwrap();
        let seen = Evidence {
            snapshot: SnapshotSeen::Whole,
            ..fenced()
        };
        assert_eq!(judge(Some(&state), &seen), None);
        // But that a migration was about to run is.
        let marked = Evidence {
            may_have_migrated: true,
            ..seen
        };
        let learnt = judge(Some(&state), &marked).unwrap();
        assert_eq!(learnt.reached, Step::Migrate);
    }

    #[test]
    fn a_lost_run_of_which_only_marks_are_left_is_none() {
        let marked = Evidence {
            may_have_migrated: true,
            may_be_committed: true,
            ..Evidence::default()
        };
        assert_eq!(judge(None, &marked), None);
    }

    #[test]
    fn a_lost_run_that_may_have_served_or_was_held_moves_only_for_a_person() {
        let may_have_served = Evidence {
            may_be_committed: true,
            snapshot: SnapshotSeen::Whole,
            ..fenced()
        };
        let learnt = judge(None, &may_have_served).unwrap();
        assert!(learnt.may_have_served && learnt.held.is_some());
        assert_eq!(end(&may_have_served).1, Some(Outcome::Held));

        let was_held = Evidence {
            was_held: true,
            ..Evidence::default()
        };
        assert_eq!(end(&was_held).1, Some(Outcome::Held));
        for seen in [fenced(), Evidence::default()] {
            for opened in [false, true] {
                let seen = Evidence {
                    was_held: true,
                    opened,
                    ..seen.clone()
                };
                let learnt = judge(None, &seen).unwrap();
                assert_eq!(learnt.committed, opened);
                assert!(learnt.held.unwrap().contains("it was held"));
            }
        }
    }

    /// A run whose last word is the commit.
    fn committed() -> RunState {
        let mut state = RunState::default();
        let planned = Event::Planned {
            plan_hash: String::new(),
        };
        state.apply(&planned).unwrap();
        while let Next::Step(step) = state.next() {
            state.apply(&Event::Intent { step }).unwrap();
            let done = Event::Done {
                step,
                elapsed_ms: 0,
                finding: crate::domain::event::Finding::Nothing,
            };
            state.apply(&done).unwrap();
        }
        state.apply(&Event::Committed).unwrap();
        state
    }

    #[test]
    fn a_commit_after_which_the_way_back_was_taken_is_none_and_one_that_was_acted_upon_is_the_last_word()
     {
        let back = Evidence {
            taken_back: true,
            ..Evidence::default()
        };
        let mut state = committed();
        assert_eq!(judge(Some(&state), &Evidence::default()), None);
        let learnt = judge(Some(&state), &back).unwrap();
        let mut refused = state.clone();
        refused.apply(&Event::Rebuilt(learnt)).unwrap();
        assert!(!refused.is_committed() && refused.data_may_have_changed());
        assert!(matches!(refused.next(), Next::BeginRollback { .. }));

        state.apply(&Event::Intent { step: Step::Open }).unwrap();
        let again = Event::Resumed {
            because: "killed".to_owned(),
        };
        state.apply(&again).unwrap();
        assert_eq!(judge(Some(&state), &back), None);
        let refused = state.apply(&Event::Rebuilt(not_committed()));
        assert!(refused.is_err() && state.is_committed());
    }
    #[test]
    fn a_site_that_its_owner_updated_by_other_means_is_left_to_a_person() {
        let moved = Evidence {
            moved_on: Some("mastodon-web-1".to_owned()),
            ..fenced()
        };
        let learnt = judge(None, &moved).unwrap();
        let why = learnt.held.unwrap();
        assert!(why.contains("`mastodon-web-1` serves in place of"), "{why}");
        assert!(why.contains("`mastopatch release`"), "{why}");
        assert_eq!(end(&moved).1, Some(Outcome::Held));
        let learnt = judge(Some(&committed()), &moved).unwrap();
        assert!(learnt.committed && learnt.held.is_some());
    }
}
