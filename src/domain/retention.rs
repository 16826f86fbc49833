//! Which snapshots of an instance stay, and what for. The end of a run, `snapshot prune` and `snapshot list` all ask here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// How many snapshots are kept for their own sake, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The newest so many; hot ones are counted for themselves.
    pub newest: u32,
    /// Those younger than this, too.
    pub younger_than: Option<SignedDuration>,
}

/// What counts of one finished snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The run that took it, or an id of its own where a person did.
    pub run: String,
    /// When.
    pub taken_at: Timestamp,
    /// Whether the copy of the database lies in the server, as big as the one that serves or as what changed since.
    pub is_clone: bool,
    /// Whether it was taken while the site was open.
    pub is_hot: bool,
}

/// What must not go, whatever the rules say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ties {
    /// Runs that are open or held, and those whose snapshot such a run brings back.
    pub needed: BTreeSet<String>,
    /// The newest run that was committed, where that is known.
    pub newest_committed: Option<String>,
}

/// What a snapshot is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeptFor {
    /// A run that is open or held may need it: to go back with it, or to bring it back.
    Run,
    /// Its run is the newest one that was committed: it is what `rollback` goes back with.
    NewestCommitted,
    /// It is one of the newest.
    Newest,
    /// It is young.
    Young,
}

/// What each snapshot of an instance is kept for, by its run. One that is kept for nothing goes.
///
/// A snapshot that a run may still need never goes, nor that of the newest committed run. A clone from before that run goes
/// however new or young it is: each is as big as the database.
pub fn retention(
    candidates: &[Candidate],
    ties: &Ties,
    rules: Rules,
    now: Timestamp,
) -> BTreeMap<String, BTreeSet<KeptFor>> {
    let age_of = |candidate: &Candidate| (candidate.taken_at, candidate.run.clone());
    let newest_committed = candidates
        .iter()
        .find(|candidate| {
            // A hot one is of no run, whatever its id.
            !candidate.is_hot && Some(&candidate.run) == ties.newest_committed.as_ref()
        })
        .map(age_of);
    let is_superseded = |candidate: &Candidate| {
        candidate.is_clone
            && newest_committed
                .as_ref()
                .is_some_and(|newest| age_of(candidate) < *newest)
    };
    let oldest_young = rules.younger_than.and_then(|age| now.checked_sub(age).ok());
    let mut kept: BTreeMap<String, BTreeSet<KeptFor>> = candidates
        .iter()
        .map(|candidate| {
            let is_young = !is_superseded(candidate)
                && oldest_young.is_some_and(|oldest| candidate.taken_at > oldest);
            let all = [
                (ties.needed.contains(&candidate.run), KeptFor::Run),
                (
                    ties.newest_committed.as_ref() == Some(&candidate.run),
                    KeptFor::NewestCommitted,
                ),
                (is_young, KeptFor::Young),
            ];
            let why = all
                .into_iter()
                .filter_map(|(holds, why)| holds.then_some(why));
            (candidate.run.clone(), why.collect())
        })
        .collect();
    for is_hot in [false, true] {
        let mut alike: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| candidate.is_hot == is_hot && !is_superseded(candidate))
            .collect();
        alike.sort_by_key(|candidate| Reverse(age_of(candidate)));
        let n_newest = usize::try_from(rules.newest).unwrap_or(usize::MAX);
        for candidate in alike.into_iter().take(n_newest) {
            if let Some(why) = kept.get_mut(&candidate.run) {
                why.insert(KeptFor::Newest);
            }
        }
    }
    kept
}

/// The runs whose snapshots go, the oldest id first.
pub fn doomed(kept: &BTreeMap<String, BTreeSet<KeptFor>>) -> Vec<String> {
    let gone = kept.iter().filter(|(_, why)| why.is_empty());
    gone.map(|(run, _)| run.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Taken on a day of the year.
    fn taken(run: &str, day: i16) -> Candidate {
        let new_year: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let since = SignedDuration::from_hours(i64::from(day).saturating_mul(24));
        Candidate {
            run: run.to_owned(),
            taken_at: new_year.checked_add(since).unwrap(),
            is_clone: false,
            is_hot: false,
        }
    }

    fn clone(run: &str, day: i16) -> Candidate {
        Candidate {
            is_clone: true,
            ..taken(run, day)
        }
    }

    fn hot(run: &str, day: i16) -> Candidate {
        Candidate {
            is_hot: true,
            ..taken(run, day)
        }
    }

    fn rules(newest: u32, days: Option<i64>) -> Rules {
        Rules {
            newest,
            younger_than: days.map(|days| SignedDuration::from_hours(days.saturating_mul(24))),
        }
    }

    fn ties(needed: &[&str], newest_committed: Option<&str>) -> Ties {
        Ties {
            needed: needed.iter().map(|run| (*run).to_owned()).collect(),
            newest_committed: newest_committed.map(str::to_owned),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn what_goes_is_as_the_table_says() {
        let now = taken("now", 100).taken_at;
        let plain = [
            taken("a", 1),
            taken("b", 50),
            taken("c", 90),
            taken("d", 99),
        ];
        let clones = [
            clone("a", 1),
            clone("b", 50),
            clone("c", 90),
            clone("d", 99),
        ];
        let mixed = [taken("a", 1), hot("h", 2), hot("i", 3), taken("b", 50)];
        for (what, snapshots, ties, rules, gone) in [
            (
                "the newest stay",
                &plain,
                ties(&[], None),
                rules(2, None),
                "ab",
            ),
            (
                "the young stay, too",
                &plain,
                ties(&[], None),
                rules(1, Some(60)),
                "a",
            ),
            (
                "the young do not take a place",
                &plain,
                ties(&[], None),
                rules(3, Some(5)),
                "a",
            ),
            (
                "of the age itself, it is not younger",
                &plain,
                ties(&[], None),
                rules(1, Some(50)),
                "ab",
            ),
            (
                "a held run keeps its own",
                &plain,
                ties(&["a"], None),
                rules(1, None),
                "bc",
            ),
            (
                "so does the newest committed",
                &plain,
                ties(&[], Some("b")),
                rules(1, None),
                "ac",
            ),
            ("both", &plain, ties(&["a"], Some("b")), rules(1, None), "c"),
            (
                "clones before the newest committed go",
                &clones,
                ties(&[], Some("c")),
                rules(100, Some(365)),
                "ab",
            ),
            (
                "but not one that a held run needs",
                &clones,
                ties(&["a"], Some("c")),
                rules(100, Some(365)),
                "b",
            ),
            (
                "they take no place",
                &clones,
                ties(&[], Some("d")),
                rules(1, None),
                "abc",
            ),
            (
                "where none is known to be committed, they count like others",
                &clones,
                ties(&[], None),
                rules(3, None),
                "a",
            ),
            (
                "a committed run without a snapshot supersedes nothing",
                &clones,
                ties(&[], Some("x")),
                rules(3, None),
                "a",
            ),
            (
                "hot ones are counted for themselves",
                &mixed,
                ties(&[], None),
                rules(1, None),
                "ah",
            ),
        ] {
            let kept = retention(snapshots, &ties, rules, now);
            assert_eq!(kept.len(), snapshots.len(), "{what}");
            assert_eq!(doomed(&kept).concat(), gone, "{what}");
        }
    }

    #[test]
    fn everything_that_a_snapshot_is_kept_for_is_said() {
        let now = taken("now", 100).taken_at;
        let kept = retention(
            &[taken("a", 99), taken("b", 98)],
            &ties(&["a"], Some("a")),
            rules(1, Some(30)),
            now,
        );
        let all = [
            KeptFor::Run,
            KeptFor::NewestCommitted,
            KeptFor::Newest,
            KeptFor::Young,
        ];
        assert_eq!(kept["a"], all.into());
        assert_eq!(kept["b"], [KeptFor::Young].into());
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (-20_i16..120, any::<bool>(), any::<bool>());
        prop::collection::vec(one, 0..12).prop_map(|all| {
            let numbered = all.into_iter().enumerate();
            let made = numbered.map(|(place, (day, is_clone, is_hot))| Candidate {
                is_clone: is_clone && !is_hot,
                is_hot,
                ..taken(&format!("r{place:02}"), day)
            });
            made.collect()
        })
    }

    fn any_ties() -> impl Strategy<Value = Ties> {
        let needed = prop::collection::btree_set(0_u8..12, 0..3);
        (needed, prop::option::of(0_u8..12)).prop_map(|(needed, committed)| {
            let name = |place: u8| format!("r{place:02}");
            Ties {
                needed: needed.into_iter().map(name).collect(),
                newest_committed: committed.map(name),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_needed_stays_and_generosity_never_removes(
            candidates in any_candidates(),
            ties in any_ties(),
            newest in 1_u32..6,
            days in prop::option::of(1_i64..90),
        ) {
            let now = taken("now", 100).taken_at;
            let gone = doomed(&retention(&candidates, &ties, rules(newest, days), now));
            for run in &gone {
                prop_assert!(!ties.needed.contains(run));
                prop_assert!(ties.newest_committed.as_ref() != Some(run));
            }
            // A snapshot of a run is left wherever there was one.
            let is_run = |candidate: &&Candidate| !candidate.is_hot;
            let left = |candidate: &&Candidate| !gone.contains(&candidate.run);
            let n_left = candidates.iter().filter(is_run).filter(left).count();
            prop_assert!(n_left > 0 || candidates.iter().filter(is_run).count() == 0);
            // More room for them removes no other ones.
            for more in [rules(newest.saturating_add(1), days), rules(newest, Some(days.unwrap_or(0).saturating_add(5)))] {
                for run in doomed(&retention(&candidates, &ties, more, now)) {
                    prop_assert!(gone.contains(&run));
                }
            }
            // Done twice, it is the same as done once; and the order in which they are looked at is nothing.
            let mut rest: Vec<Candidate> = candidates.iter().filter(left).cloned().collect();
            rest.reverse();
            prop_assert!(doomed(&retention(&rest, &ties, rules(newest, days), now)).is_empty());
        }
    }
}
