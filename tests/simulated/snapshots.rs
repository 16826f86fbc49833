//! Snapshots beside runs: one is looked through, one is taken while the site is open, those that nothing needs are removed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mastopatch::domain::event::MigrationClass;
use mastopatch::domain::plan::{Limits, Method, sha256_hex};
use mastopatch::domain::retention::KeptFor;
use mastopatch::engine::Ports as _;
use mastopatch::engine::snapshots::{
    self, Defect, Listed, Verified, VerifyError, Wanted, create, list, stores,
};
use mastopatch::ports::clock::Clock as _;
use mastopatch::ports::files::{Found, MANIFEST, RunFiles as _};
use mastopatch::ports::runtime::RUN_LABEL;
use serde_json::{Value, json};

use crate::sim::fault::Fault;
use crate::sim::files::SNAPSHOTS;
use crate::sim::fixture::{EARLIER, RUN, fixture, instance};
use crate::sim::process::{carry_through, run_to_end};
use crate::sim::world::{LIVE, SimPorts, World};

/// Far longer than anything takes here.
const LIMIT: Duration = Duration::from_secs(600);
const HOT: &str = "019aa000-0000-7000-8000-0000000000ff";

/// A world in which an update went through.
fn updated(method: Method) -> World {
    let start = fixture(MigrationClass::M2, method);
    let world = carry_through(start.world.clone(), Some(start.plan.clone())).world;
    assert!(world.state.is_committed() && world.violation.is_none());
    world
}

fn limits() -> Limits {
    fixture(MigrationClass::M2, Method::Logical).plan.limits
}

fn started(world: World) -> SimPorts {
    let ports = SimPorts::new(world);
    ports.files.open().unwrap();
    ports
}

/// A command that is no run announces nothing in a journal, and what is done to the snapshot here nobody promised to prevent.
fn apart(mut world: World) -> SimPorts {
    world.begun = None;
    started(world)
}

fn found(ports: &SimPorts, run: &str) -> Found {
    let all = ports.files().found_snapshots().unwrap();
    all.into_iter().find(|one| one.run == run).unwrap()
}

/// Looks through the snapshot of a run.
fn look(ports: &SimPorts, run: &str) -> Result<Verified, Defect> {
    let (found, instance) = (found(ports, run), instance());
    let looked = run_to_end(async {
        let stores = stores(ports, &instance).await.unwrap();
        snapshots::verify(ports, &found, &instance.name, &stores, LIMIT, &|_| {}).await
    });
    match looked.unwrap() {
        Ok(whole) => Ok(whole),
        Err(VerifyError::Defect(defect)) => Err(defect),
        Err(VerifyError::Trouble(err)) => panic!("{err:?}"),
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(SNAPSHOTS).join(RUN).join(file)
}

/// Changes the manifest of the run's snapshot.
fn manifest(world: &mut World, change: impl FnOnce(&mut Value)) {
    let path = path(MANIFEST);
    let text = world.disk.read(&path).unwrap();
    let mut value = serde_json::from_slice(&text).unwrap();
    change(&mut value);
    world.disk.put(&path, value.to_string().as_bytes());
}

/// Writes a file and gives it its right mark in the manifest, as whoever damaged it before it was sealed would have.
fn sealed_with(world: &mut World, file: &str, bytes: &[u8]) {
    world.disk.put(&path(file), bytes);
    let mark = json!({"bytes": bytes.len(), "sha256": sha256_hex(bytes)});
    manifest(world, |it| it["files"][file] = mark);
}

/// What is done to a snapshot, and how that is told.
type Harm = (&'static str, &'static str, fn(&mut World));

const HARMS: [Harm; 13] = [
    ("length", "has 2500 bytes", |world| {
        let path = path("database/toc.dat");
        let bytes = world.disk.read(&path).unwrap();
        world.disk.put(&path, &bytes[..2_500]);
    }),
    ("checksum", "SHA-256", |world| {
        let path = path("redis.rdb");
        let mut bytes = world.disk.read(&path).unwrap().to_vec();
        bytes[3] ^= 1;
        world.disk.put(&path, &bytes);
    }),
    ("missing-file", "`database/1.dat` is missing", |world| {
        world.disk.remove_file(&path("database/1.dat")).unwrap();
    }),
    ("surplus-file", "`database/2.dat`", |world| {
        world.disk.put(&path("database/2.dat"), b"x");
    }),
    ("too-small", "1500 bytes", |world| {
        sealed_with(world, "database/toc.dat", &[b'x'; 1_400]);
        sealed_with(world, "database/1.dat", &[b'x'; 100]);
    }),
    ("dump", "read back", |world| {
        sealed_with(world, "database/1.dat", b"of something else");
    }),
    ("rows", "public.polls is missing", |world| {
        manifest(world, |it| it["rows"]["public.polls"] = 7.into());
    }),
    ("schema", "29990101000000 is missing", |world| {
        let more = |it: &mut Value| {
            it["schema"]
                .as_array_mut()
                .unwrap()
                .push("29990101000000".into())
        };
        manifest(world, more);
    }),
    ("redis", "Redis", |world| {
        sealed_with(world, "redis.done", b"of something else");
    }),
    ("other-instance", "other.example", |world| {
        manifest(world, |it| it["instance"] = "other.example".into());
    }),
    ("other-run", EARLIER[1].0, |world| {
        let older = Path::new(SNAPSHOTS).join(EARLIER[1].0).join(MANIFEST);
        let text = world.disk.read(&older).unwrap();
        world.disk.put(&path(MANIFEST), &text);
    }),
    ("newer-format", "format 9", |world| {
        manifest(world, |it| {
            it["format"] = 9.into();
            it["not_known_yet"] = true.into();
        });
    }),
    ("unfinished", "never finished", |world| {
        world.disk.remove_file(&path(MANIFEST)).unwrap();
    }),
];

#[test]
fn every_harm_to_a_snapshot_is_told_with_a_reason_of_its_own() {
    let world = updated(Method::Logical);
    let whole = look(&apart(world.clone()), RUN).unwrap();
    assert_eq!((whole.tables, whole.migrations), (4, 3));
    let mut kinds = Vec::new();
    for (kind, words, harm) in HARMS {
        let mut world = world.clone();
        harm(&mut world);
        let ports = apart(world);
        let defect = look(&ports, RUN).unwrap_err();
        assert_eq!(defect.kind(), kind, "{defect}");
        assert!(defect.to_string().contains(words), "{kind}: {defect}");
        kinds.push(kind);
        no_helper_is_left(&ports);
    }
    kinds.dedup();
    assert_eq!(kinds.len(), HARMS.len());
}

#[test]
fn a_manifest_of_a_database_without_mastodon_is_no_snapshot() {
    for (table, change) in [
        (
            "public.users",
            (|it: &mut Value| {
                it["rows"].as_object_mut().unwrap().remove("public.users");
            }) as fn(&mut Value),
        ),
        ("public.schema_migrations", |it| it["schema"] = json!([])),
    ] {
        let mut world = updated(Method::Logical);
        manifest(&mut world, change);
        let defect = look(&apart(world), RUN).unwrap_err();
        assert_eq!(defect.kind(), "no-mastodon");
        assert!(defect.to_string().contains(table), "{defect}");
    }
}

#[test]
fn a_clone_is_whole_while_its_original_is_there_with_its_schema() {
    let world = updated(Method::Clone);
    let plan = &fixture(MigrationClass::M2, Method::Clone).plan;
    let whole = look(&apart(world.clone()), RUN).unwrap();
    assert_eq!((whole.tables, whole.migrations), (0, 3));

    let mut moved = world.clone();
    let newer = moved.databases[LIVE].schema.clone();
    let original = moved.databases.get_mut(&plan.original_database()).unwrap();
    original.schema = newer;
    assert_eq!(look(&apart(moved), RUN).unwrap_err().kind(), "schema");

    let mut gone = world;
    gone.databases.remove(&plan.original_database());
    let defect = look(&apart(gone), RUN).unwrap_err();
    assert_eq!(defect.kind(), "original-gone");
}

fn listed(ports: &SimPorts) -> Vec<Listed> {
    let now = ports.now();
    let (listed, troubles) = list(ports, ports.files(), limits().retention(), now).unwrap();
    assert!(troubles.is_empty());
    listed
}

fn no_helper_is_left(ports: &SimPorts) {
    let world = ports.world();
    let mut helpers = world.containers.iter();
    assert!(!helpers.any(|c| c.labels.contains_key(RUN_LABEL) && !c.serves()));
}

/// The world before a run, with posts in it.
fn open_site() -> World {
    let mut world = fixture(MigrationClass::M2, Method::Logical).world.clone();
    for _ in 0..5 {
        world.pass(3_000);
        world.public_writes();
    }
    assert!(world.acknowledged.len() > 3);
    world
}

fn take(ports: &SimPorts) -> Option<Result<(), String>> {
    let wanted = Wanted {
        id: HOT,
        limit: LIMIT,
    };
    let made = run_to_end(create(ports, &instance(), &wanted, &|_| {}));
    made.map(|made| made.map(drop).map_err(|err| err.to_string()))
}

#[test]
fn a_hot_snapshot_is_whole_and_stops_nothing() {
    let before = open_site();
    let ports = started(before.clone());
    take(&ports).unwrap().unwrap();
    no_helper_is_left(&ports);
    let whole = look(&ports, HOT).unwrap();
    assert!(whole.rows > 3 && whole.redis_keys > 0);
    let found = found(&ports, HOT).manifest.unwrap();
    assert!(found.hot && found.method.contains("hot"));
    let kept: Vec<_> = listed(&ports)
        .into_iter()
        .map(|one| (one.found.run, one.kept_for))
        .collect();
    let newest = Some([KeptFor::Newest].into());
    // It takes no place from those of runs.
    assert_eq!(
        kept,
        [
            (EARLIER[0].0.to_owned(), newest.clone()),
            (EARLIER[1].0.to_owned(), newest.clone()),
            (HOT.to_owned(), newest),
        ]
    );
    let world = ports.world();
    let running = |world: &World| -> Vec<_> {
        let all = world.containers.iter();
        all.map(|c| (c.id.clone(), c.running, c.started_ms))
            .collect()
    };
    assert_eq!(running(&world), running(&before));
    assert!(world.acknowledged.len() > before.acknowledged.len());
    assert_eq!(world.databases[LIVE].posts, world.acknowledged);
}

/// Whatever strikes while one is taken: it is sealed and whole, or it is none, and the next one goes well and leaves nothing
/// of the first.
#[test]
fn a_hot_snapshot_that_is_interrupted_is_whole_or_none() {
    let mut calm = open_site();
    calm.calls = 0;
    let ports = started(calm.clone());
    take(&ports).unwrap().unwrap();
    let n_calls = ports.world().calls;
    let (mut n_whole, mut n_none) = (0, 0);
    for number in 1..=n_calls {
        for fault in Fault::TABLE {
            let mut world = calm.clone();
            world.schedule = Arc::new([(number, fault)].into());
            let ports = SimPorts::new(world);
            let opened = run_to_end(async { ports.files.open() });
            let told = opened
                .is_some_and(|opened| opened.is_ok())
                .then(|| take(&ports));
            let mut world = ports.into_world();
            world.pass(120_000);
            world.full_until = 0;
            let ports = started(world);
            let sealed = ports.files().found_snapshots().unwrap();
            let sealed = sealed.iter().any(|one| one.run == HOT);
            if sealed {
                look(&ports, HOT).unwrap();
                n_whole += 1;
            } else {
                assert!(
                    !matches!(told, Some(Some(Ok(())))),
                    "{fault:?} at {number}: it was told to be there"
                );
                take(&ports).unwrap().unwrap();
                look(&ports, HOT).unwrap();
                n_none += 1;
            }
            no_helper_is_left(&ports);
            let world = ports.world();
            let names = world.disk.names(SNAPSHOTS.as_ref());
            let is_part = |name: &String| name.ends_with(".partial");
            assert!(
                sealed || !names.iter().any(is_part),
                "{fault:?} at {number}: {names:?}"
            );
            assert_eq!(world.databases.len(), 1, "{fault:?} at {number}");
            assert_eq!(
                world.databases[LIVE].posts, world.acknowledged,
                "{fault:?} at {number}"
            );
            let serving = world.containers.iter().filter(|c| c.serves());
            assert_eq!(
                serving.filter(|c| c.running).count(),
                3,
                "{fault:?} at {number}"
            );
        }
    }
    println!("{n_whole} whole, {n_none} none");
    assert!(n_whole > 20 && n_none > 200);
}

#[test]
fn a_held_run_and_the_newest_update_keep_their_snapshots_whatever_the_rules_say() {
    let ports = started(updated(Method::Logical));
    let of = |ports: &SimPorts, run: &str| {
        let all = listed(ports);
        let one = all.into_iter().find(|one| one.found.run == run);
        one.map(|one| one.kept_for.unwrap())
    };
    let kept = of(&ports, RUN).unwrap();
    assert_eq!(kept, [KeptFor::NewestCommitted, KeptFor::Newest].into());
    // The run removed the one that was too many.
    assert_eq!(of(&ports, EARLIER[0].0), None);

    let held = crate::sim::held::held(
        crate::sim::held::HeldAt::WayBack,
        MigrationClass::M2,
        Method::Logical,
    );
    let ports = started(held.unwrap().clone());
    let kept = of(&ports, RUN).unwrap();
    assert_eq!(kept, [KeptFor::Run, KeptFor::Newest].into());
}

/// A manifest is only a file: whoever wrote another name into it does not get that database dropped.
#[test]
fn no_database_is_dropped_but_the_original_of_its_own_run() {
    let plan = &fixture(MigrationClass::M2, Method::Clone).plan;
    let mut world = updated(Method::Clone);
    let precious = world.databases[LIVE].clone();
    world.databases.insert("precious".to_owned(), precious);
    let doomed = |ports: &SimPorts| vec![found(ports, RUN).manifest.unwrap()];
    let remove = |ports: &SimPorts| {
        let doomed = doomed(ports);
        let removed = run_to_end(async {
            let stores = stores(ports, &instance()).await.unwrap();
            snapshots::remove(ports, &doomed, Ok(&stores))
                .await
                .unwrap()
        });
        removed.unwrap()
    };
    for name in ["precious", LIVE] {
        let mut world = world.clone();
        manifest(&mut world, |it| it["original"] = name.into());
        let ports = apart(world);
        let removed = remove(&ports);
        assert!(removed.folders.is_empty() && removed.stay.len() == 1);
        assert!(removed.stay[0].1.contains("by hand"), "{:?}", removed.stay);
        assert_eq!(ports.world().databases.len(), 3);
    }
    let ports = apart(world);
    let removed = remove(&ports);
    assert_eq!(removed.folders, [Path::new(SNAPSHOTS).join(RUN)]);
    let databases = ports.world().databases.clone();
    assert!(databases.contains_key("precious") && databases.contains_key(LIVE));
    assert!(!databases.contains_key(&plan.original_database()));
}

#[test]
fn how_far_a_look_is_is_told() {
    let ports = apart(updated(Method::Logical));
    let (found, instance) = (found(&ports, RUN), instance());
    let told = Mutex::new(Vec::new());
    let progress = |progress| told.lock().unwrap().push(format!("{progress:?}"));
    run_to_end(async {
        let stores = stores(&ports, &instance).await.unwrap();
        let look = snapshots::verify(&ports, &found, &instance.name, &stores, LIMIT, &progress);
        look.await.unwrap();
    });
    let told = told.into_inner().unwrap().join("\n");
    for step in ["checksums", "dump", "redis"] {
        assert!(
            told.contains(&format!("Began {{ step: \"{step}\"")),
            "{told}"
        );
    }
    assert!(told.contains("Read { done: "), "{told}");
}
