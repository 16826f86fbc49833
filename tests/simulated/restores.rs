//! What may be brought back and what is refused, and that nothing takes away what an open restore needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mastopatch::domain::event::{MigrationClass, Outcome, Step};
use mastopatch::domain::plan::{Method, original_database};
use mastopatch::domain::retention::{KeptFor, Rules};
use mastopatch::engine::planner::survey;
use mastopatch::engine::restorable::{
    Looking, Return, ReturnError, nothing_is_open, of_run, of_snapshot,
};
use mastopatch::engine::{Ports as _, chain, snapshots};
use mastopatch::ports::clock::Clock as _;
use mastopatch::ports::files::MANIFEST;
use mastopatch::ports::store::Journal as _;
use serde_json::Value;

use crate::case::{Case, Tally};
use crate::sim::data::REDIS;
use crate::sim::engine::Program;
use crate::sim::fault::{Fault, When};
use crate::sim::files::SNAPSHOTS;
use crate::sim::fixture::{Brings, EARLIER, RUN, TAKEN_BACK, brought_back, fixture, instance};
use crate::sim::held::{HeldAt, held};
use crate::sim::journal::Harm;
use crate::sim::process::{carry_through, run_to_end};
use crate::sim::world::{LIVE, Made, Place, SimPorts, Target, World};

/// Far longer than anything takes here.
const LOOKING: Looking<'static> = Looking {
    limit: Duration::from_secs(600),
    progress: &|_| {},
};

/// A world in which an update went as its target lets it go.
fn went(class: MigrationClass, method: Method, target: Target) -> World {
    let start = fixture(class, method);
    let mut world = start.world.clone();
    world.target = target;
    let mut world = carry_through(world, Some(start.plan.clone())).world;
    world.target = Target::Good;
    world.beside_runs = true;
    // The run is over; what is done to its snapshot here nobody promised to prevent.
    world.seen.proved = false;
    world
}

fn started(world: World) -> SimPorts {
    let ports = SimPorts::new(world);
    ports.files.open().unwrap();
    ports
}

fn taking_back(world: &World) -> Result<Return, ReturnError> {
    let ports = started(world.clone());
    let found = run_to_end(async {
        let survey = survey(&ports, &instance()).await.unwrap();
        let run = ports.journal().run(RUN).unwrap();
        of_run(&ports, &instance(), &survey, &run, LOOKING).await
    });
    // People write on meanwhile.
    let kept = |world: &World| -> Vec<_> {
        let all = world.databases.iter();
        all.map(|(name, db)| (name.clone(), db.schema.clone(), db.remark.clone()))
            .collect()
    };
    assert_eq!(
        kept(&ports.into_world()),
        kept(world),
        "looking changes nothing"
    );
    found.unwrap()
}

fn restoring(world: &World, run: &str) -> Result<Return, ReturnError> {
    let ports = started(world.clone());
    let found = run_to_end(of_snapshot(&ports, &instance(), run, LOOKING));
    found.unwrap()
}

#[track_caller]
fn assert_refused(found: Result<Return, ReturnError>, words: &str) {
    let err = found.expect_err(words);
    assert!(chain(&err).contains(words), "`{words}`: {}", chain(&err));
}

/// Changes a file of the run's snapshot, or removes it.
fn spoil(world: &World, name: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> World {
    let mut world = world.clone();
    let path = Path::new(SNAPSHOTS).join(RUN).join(name);
    let bytes = world.disk.read(&path).unwrap().to_vec();
    match change(bytes) {
        Some(bytes) => world.disk.put(&path, &bytes),
        None => world.disk.remove_file(&path).unwrap(),
    }
    world.disk.sync_all();
    world
}

fn with_manifest(world: &World, key: &str, value: Value) -> World {
    spoil(world, MANIFEST, |bytes| {
        let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
        manifest[key] = value;
        Some(serde_json::to_vec(&manifest).unwrap())
    })
}

fn migrate(world: &mut World, database: &str, version: &str) {
    let found = world.databases.get_mut(database).unwrap();
    Arc::make_mut(&mut found.schema).insert(version.to_owned());
}

#[test]
fn an_update_brings_data_back_only_where_the_old_code_cannot_use_those_of_now() {
    for method in [Method::Logical, Method::Clone] {
        for (class, data) in [
            (MigrationClass::M0, false),
            (MigrationClass::M1, false),
            (MigrationClass::M2, true),
        ] {
            let found = taking_back(&went(class, method, Target::Good)).unwrap();
            assert_eq!(found.to.to_string(), "4.5.8", "{class:?}");
            assert_eq!(found.restore.data, data, "{class:?}");
            assert_eq!(found.manifest.is_some(), data, "{class:?}");
            assert_eq!(found.restore.image_ids.len(), 2, "{class:?}");
            let original = (data && method == Method::Clone).then(|| original_database(LIVE, RUN));
            assert_eq!(found.restore.database, original, "{class:?}");
        }
    }
}

#[test]
fn what_may_not_be_brought_back_is_refused_with_its_reason() {
    let (dumped, cloned) = (
        went(MigrationClass::M2, Method::Logical, Target::Good),
        went(MigrationClass::M2, Method::Clone, Target::Good),
    );
    for world in [&dumped, &cloned] {
        for (spoilt, words) in [
            (
                with_manifest(world, "hot", true.into()),
                "while the site was open",
            ),
            (
                with_manifest(world, "instance", "other.example".into()),
                "other.example",
            ),
            (
                spoil(world, MANIFEST, |_| Some(b"{".to_vec())),
                "its manifest cannot be read",
            ),
            (spoil(world, MANIFEST, |_| None), "it has no manifest"),
            (
                spoil(world, REDIS[0], |mut bytes| {
                    bytes[3] ^= 1;
                    Some(bytes)
                }),
                "cannot be restored",
            ),
            (spoil(world, REDIS[0], |_| None), "cannot be restored"),
        ] {
            assert_refused(taking_back(&spoilt), words);
            assert_refused(restoring(&spoilt, RUN), words);
        }
        assert_refused(restoring(world, TAKEN_BACK), "is gone");
        // Of a snapshot that lacks everything a Mastodon has.
        assert_refused(restoring(world, EARLIER[1].0), "cannot be restored");
    }
    assert_refused(
        taking_back(&with_manifest(&dumped, "postgres", 990_000.into())),
        "newer PostgreSQL",
    );
    let mut gone = cloned.clone();
    gone.databases.remove(&original_database(LIVE, RUN));
    assert_refused(taking_back(&gone), "is gone");
    let mut other = cloned;
    migrate(&mut other, &original_database(LIVE, RUN), "20260101000000");
    assert_refused(taking_back(&other), "has not the schema");

    let back = went(MigrationClass::M2, Method::Logical, Target::Unhealthy);
    assert_refused(taking_back(&back), "was not committed");
    let mut migrated = went(MigrationClass::M1, Method::Logical, Target::Good);
    migrate(&mut migrated, LIVE, "20991231000000");
    assert_refused(taking_back(&migrated), "somebody migrated it since");
}

#[test]
fn nothing_is_brought_back_while_a_run_is_open_or_held() {
    let refusal = |world: World| {
        let ports = started(world);
        let found = nothing_is_open(&ports, &instance().name);
        chain(&found.unwrap_err())
    };
    let held = held(HeldAt::WayBack, MigrationClass::M2, Method::Logical);
    assert!(refusal(held.unwrap().clone()).contains("held"));
    let base = Case::update(MigrationClass::M2, Target::Good);
    let killed = killed_at(&base, |made| made.place == Place::Step(Step::Migrate));
    assert!(refusal(killed).contains("interrupted"));
    let over = started(went(MigrationClass::M2, Method::Logical, Target::Good));
    nothing_is_open(&over, &instance().name).unwrap();
}

/// The world as its first process leaves it that is killed at the first such call.
fn killed_at(base: &Case, wanted: impl Fn(&Made) -> bool) -> World {
    let calls = base.calls();
    let made = calls.iter().find(|made| wanted(made)).unwrap();
    let mut case = base.clone();
    case.schedule.insert(made.number, Fault::Kill(When::After));
    case.run_until_killed()
}

#[test]
fn nothing_takes_away_what_an_open_restore_brings_back() {
    let least = Rules {
        newest: 1,
        younger_than: None,
    };
    let mut n_open = 0;
    for base in [
        Case::take_back(MigrationClass::M2, Method::Logical, Target::Good),
        Case::take_back(MigrationClass::M2, Method::Clone, Target::Good),
        Case::restore_data(),
    ] {
        for made in base.calls().iter().step_by(3) {
            let mut case = base.clone();
            case.schedule.insert(made.number, Fault::Kill(When::After));
            let world = case.run_until_killed();
            let is_open = world.begun.is_some() && world.state.outcome().is_none();
            if !is_open {
                continue;
            }
            n_open += 1;
            let ports = started(world);
            let now = ports.clock().now();
            let (all, troubles) =
                snapshots::list(ports.journal(), ports.files(), least, now).unwrap();
            assert!(troubles.is_empty());
            let it = all.into_iter().find(|one| one.found.run == RUN).unwrap();
            let kept_for = it.kept_for.unwrap();
            assert!(kept_for.contains(&KeptFor::Run), "{made:?}: {kept_for:?}");
        }
    }
    assert!(n_open > 100, "{n_open}");
}

/// Where the version stays, both databases have the same schema: that the original was dropped by somebody must not be taken
/// for its being back in its place.
#[test]
fn an_original_that_is_gone_is_not_made_up_by_what_was_put_in() {
    let base = Case::restore_data();
    let mut world = killed_at(&base, |made| made.place == Place::Step(Step::Switch));
    let original = original_database(LIVE, TAKEN_BACK);
    assert!(world.databases.remove(&original).is_some());
    world.schedule = Arc::default();
    let carried = carry_through(world, None).world;
    assert!(carried.state.is_held(), "{:?}", carried.state.outcome());
    let (_, because) = carried.state.outcome().unwrap();
    assert!(because.contains(&original), "{because}");
    // Left alone, it comes back.
    let mut whole = killed_at(&base, |made| made.place == Place::Step(Step::Switch));
    whole.schedule = Arc::default();
    let carried = carry_through(whole, None).world;
    let (outcome, _) = carried.state.outcome().unwrap();
    assert_eq!(outcome.name(), "rolled back");
    assert!(
        carried
            .acknowledged
            .iter()
            .all(|post| carried.databases[LIVE].posts.contains(post))
    );
}

#[test]
fn an_old_image_that_was_removed_is_pulled_and_another_one_under_its_tag_is_refused() {
    let start = brought_back(Brings::UpdateBack, MigrationClass::M0, Method::Logical);
    let mut world = start.world.clone();
    let ids = start.plan.restore.as_ref().unwrap().image_ids.clone();
    world.images.retain(|image| !ids.contains(&image.image.id));
    let carried = carry_through(world.clone(), Some(start.plan.clone())).world;
    let (outcome, _) = carried.state.outcome().unwrap();
    assert_eq!(outcome, Outcome::Committed);
    // The one that ran is not the one that the tag names.
    let mut plan = start.plan.clone();
    plan.restore.as_mut().unwrap().image_ids = vec!["sha256:another".to_owned()];
    let carried = carry_through(world, Some(plan)).world;
    let (outcome, because) = carried.state.outcome().unwrap();
    assert_eq!(outcome, Outcome::Aborted);
    assert!(because.contains("its tag was moved"), "{because}");
}

/// That it is down is what an update is taken back for.
#[test]
fn a_site_that_is_down_is_taken_back_all_the_same() {
    for (class, method) in [
        (MigrationClass::M0, Method::Logical),
        (MigrationClass::M2, Method::Clone),
    ] {
        let mut updated = went(class, method, Target::Good);
        stop_web(&mut updated);
        taking_back(&updated).unwrap();
        let start = brought_back(Brings::UpdateBack, class, method);
        let mut world = start.world.clone();
        stop_web(&mut world);
        let carried = carry_through(world, Some(start.plan.clone())).world;
        let (outcome, because) = carried.state.outcome().unwrap();
        assert_eq!(outcome, Outcome::Committed, "{class:?}: {because}");
        assert_eq!(carried.violation, None);
    }
}

fn stop_web(world: &mut World) {
    let mut all = world.containers.iter_mut();
    let web = all.find(|c| c.program == Program::Web && c.running);
    web.unwrap().running = false;
}

/// The journal of a restore may be lost, unusable or older than the world, as that of every run.
#[test]
fn a_restore_whose_journal_fails_ends_all_old_all_new_or_held() {
    let harms = [
        Harm::Lost,
        Harm::Garbled,
        Harm::RolledBack(1),
        Harm::RolledBack(4),
    ];
    let whens = [When::Before, When::Middle, When::After];
    let mut tally = Tally::default();
    for base in [
        Case::take_back(MigrationClass::M0, Method::Clone, Target::Good),
        Case::take_back(MigrationClass::M1, Method::Logical, Target::Good),
        Case::take_back(MigrationClass::M2, Method::Logical, Target::Good),
        Case::take_back(MigrationClass::M2, Method::Clone, Target::Unhealthy),
        Case::restore_data(),
    ] {
        let calls = base.calls();
        // Of no common divisor with harms and moments, so that each comes round at every place.
        for (number, made) in calls.iter().enumerate().step_by(5) {
            let mut case = base.clone();
            case.harm = Some(harms[number % harms.len()]);
            let fault = Fault::Kill(whens[number % whens.len()]);
            case.schedule.insert(made.number, fault);
            tally.count(&case.run(), || format!("{case:?}"));
        }
    }
    println!("{} runs, {:?}", tally.runs, tally.verdicts);
    assert!(tally.runs > 200);
    tally.assert_right();
}
