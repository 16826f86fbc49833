//! How the copy is proved: restored into a throw-away server, or read back where there is none.

use mastopatch::domain::event::{Event, Finding, MigrationClass, RestoreProof};
use mastopatch::domain::plan::{Method, Proof};

use crate::sim::fault::{Fault, Schedule};
use crate::sim::fixture::fixture;
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::carry_through;
use crate::sim::world::World;

/// What the proof of an update found that is interrupted at the first call of a name, if at all, and how it ended.
fn proved(proof: Proof, fault: Option<(&str, Fault)>) -> (Option<Finding>, Verdict) {
    let start = fixture(MigrationClass::M2, Method::Logical);
    let mut plan = start.plan.clone();
    plan.proof = proof;
    let run = |world: World| carry_through(world, Some(plan.clone())).world;
    let mut world = start.world.clone();
    if let Some((name, fault)) = fault {
        world.made = Some(Vec::new());
        let made = run(world.clone()).made.unwrap();
        let call = made.iter().find(|made| made.call.name == name);
        let number = call.expect("such a call").number;
        world.made = None;
        world.schedule = Schedule::from([(number, fault)]).into();
    }
    let mut over = run(world);
    let found = over.log.iter().find_map(|entry| match &entry.event {
        Event::Done {
            finding: found @ Finding::Proved { .. },
            ..
        } => Some(found.clone()),
        _ => None,
    });
    let verdict = judge(&mut over, &start.world, &plan);
    (found, verdict.expect("all old or all new"))
}

fn how(found: Option<Finding>) -> (u64, Option<RestoreProof>, Option<String>) {
    match found {
        Some(Finding::Proved {
            tables,
            restored,
            only_read,
            ..
        }) => (tables, restored, only_read),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_is_restored_into_a_throw_away_server_and_compared() {
    let (found, verdict) = proved(Proof::Restore, None);
    assert_eq!(verdict, Verdict::Committed);
    let (tables, restored, only_read) = how(found);
    assert_eq!((tables, only_read), (4, None));
    let restored = restored.expect("it was restored");
    assert!(
        (7_000..8_000).contains(&restored.elapsed_ms),
        "{restored:?}"
    );
    assert_eq!(restored.unchecked, None);
}

#[test]
fn where_the_plan_says_so_a_copy_is_only_read_back() {
    let because = Some("no room".to_owned());
    for proof in [Proof::default(), Proof::Read { because }] {
        let (found, verdict) = proved(proof, None);
        assert_eq!(verdict, Verdict::Committed);
        assert_eq!(how(found), (4, None, None));
    }
}

#[test]
fn where_no_throw_away_server_can_be_had_the_copy_is_read_back_and_that_is_told() {
    for call in ["make network", "make scratch"] {
        let (found, verdict) = proved(Proof::Restore, Some((call, Fault::Error)));
        assert_eq!(verdict, Verdict::Committed, "{call}");
        let (tables, restored, only_read) = how(found);
        assert_eq!((tables, restored), (4, None), "{call}");
        assert!(only_read.is_some_and(|why| why.contains(call)), "{call}");
    }
}

#[test]
fn a_copy_that_cannot_be_restored_is_none() {
    let fault = Some(("restore scratch", Fault::Error));
    let (found, verdict) = proved(Proof::Restore, fault);
    assert_eq!((found, verdict), (None, Verdict::Aborted));
}
