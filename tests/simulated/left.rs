//! What is left of a run whose journal is lost or came back from a backup, and what is learnt of it: each thing that the world
//! shows has to count by itself, for any other may be missing.

use std::path::Path;

use mastopatch::domain::event::{Event, MigrationClass, Order, Outcome, Rebuilt, Step};
use mastopatch::domain::plan::{Method, Role};
use mastopatch::engine::held::remains;
use mastopatch::ports::files::RunFiles as _;
use mastopatch::ports::runtime::ContainerSpec;
use serde_json::{Value, json};

use crate::patience::killed;
use crate::sim::files::{SNAPSHOTS, sealed};
use crate::sim::fixture::{RUN, fixture};
use crate::sim::held::{HeldAt, held};
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::{carry_order, carry_through, one_process, run_to_end};
use crate::sim::stranger::Deed;
use crate::sim::world::{LIVE, Made, Place, SimPorts, World};

const RUNS: &str = "/var/lib/mastopatch/runs";

fn in_step(step: Step, name: &'static str) -> impl Fn(&Made) -> bool {
    move |made| made.place == Place::Step(step) && made.call.name == name
}

/// A run of class M2 that was killed behind such a call, and whose journal is lost.
fn lost_after(is_it: impl Fn(&Made) -> bool) -> World {
    let mut world = killed(fixture(MigrationClass::M2, Method::Logical), is_it);
    world.journal_holds(0);
    world.harmed = true;
    world
}

/// What the next process learns of it; `None` if it finds no run.
fn learnt(world: World) -> (World, Option<Rebuilt>) {
    let (world, _exit) = one_process(world, None);
    assert_eq!(world.violation, None);
    let mut learnt = world.log.iter().filter_map(|entry| match &entry.event {
        Event::Rebuilt(rebuilt) => Some(rebuilt.clone()),
        _ => None,
    });
    let first = learnt.next();
    (world, first)
}

fn reached(world: World) -> Option<Step> {
    learnt(world).1.map(|rebuilt| rebuilt.reached)
}

fn forget_mark(world: &mut World, name: &str) {
    let names = world.disk.names(RUNS.as_ref());
    let mark = names
        .iter()
        .find(|it| it.contains(RUN) && it.contains(name));
    let mark = mark.unwrap_or_else(|| panic!("no {name} among {names:?}"));
    let path = Path::new(RUNS).join(mark);
    world.disk.remove_file(&path).unwrap();
}

fn forget_snapshot(world: &mut World) {
    let folder = sealed(world);
    let mut below = world.disk.below(SNAPSHOTS.as_ref()).unwrap();
    below.retain(|(path, _)| path.starts_with(&folder));
    // What is in a folder goes before it.
    below.sort_by(|a, b| b.cmp(a));
    for (path, is_folder) in below {
        let removed = if is_folder {
            world.disk.remove_folder(&path)
        } else {
            world.disk.remove_file(&path)
        };
        removed.unwrap();
    }
    world.has_copy = None;
    // That it is gone is what is looked at.
    world.seen.proved = false;
}

#[test]
fn everything_that_a_switched_run_shows_is_learnt_at_once() {
    let world = lost_after(in_step(Step::Verify, "probe"));
    let plan = &fixture(MigrationClass::M2, Method::Logical).plan;
    let (mut world, rebuilt) = learnt(world);
    let rebuilt = rebuilt.unwrap();
    assert_eq!(rebuilt.reached, Step::Switch);
    assert_eq!((rebuilt.committed, rebuilt.held), (false, None));
    assert_eq!(rebuilt.class, Some(MigrationClass::M2));
    for service in &plan.services {
        let hash = &rebuilt.config_hashes[&service.service];
        assert!(hash.ends_with("4.5.9"), "{hash}");
        let started = &rebuilt.started[&service.id];
        assert!(!started.is_empty(), "{} ran before", service.service);
    }
    let start = fixture(MigrationClass::M2, Method::Logical);
    let verdict = judge(&mut world, &start.world, &start.plan);
    assert_eq!(verdict, Ok(Verdict::RolledBack));
}

/// Whoever starts the old version behind the fence may let people write: a start after the snapshot is none from before.
#[test]
fn an_old_container_that_was_started_after_the_snapshot_is_known_for_it() {
    let mut world = lost_after(in_step(Step::Verify, "probe"));
    let plan = &fixture(MigrationClass::M2, Method::Logical).plan;
    let sidekiq = plan.services.iter().find(|it| it.role == Role::Sidekiq);
    let sidekiq = &sidekiq.unwrap().id;
    world.pass(5_000);
    world.start(sidekiq).unwrap();
    world.stop(sidekiq);
    let (_, rebuilt) = learnt(world);
    for (id, started) in rebuilt.unwrap().started {
        assert_eq!(started.is_empty(), id == *sidekiq, "{id}: {started}");
    }
}

/// Somebody gave the old containers other names.
#[test]
fn new_containers_alone_tell_of_a_switch() {
    let mut world = lost_after(in_step(Step::Verify, "probe"));
    for service in &fixture(MigrationClass::M2, Method::Logical).plan.services {
        world.rename(&service.id, &format!("somebodys_{}", service.service));
    }
    assert_eq!(reached(world), Some(Step::Switch));
}

#[test]
fn a_container_that_migrates_and_a_mark_each_tell_of_migrations() {
    // Neither a snapshot nor an applied migration tells.
    let mut container = lost_after(in_step(Step::Migrate, "create"));
    forget_snapshot(&mut container);
    forget_mark(&mut container, "migrating");
    assert_eq!(reached(container.clone()), Some(Step::Migrate));
    let mut mark = lost_after(in_step(Step::Migrate, "create"));
    forget_snapshot(&mut mark);
    mark.containers
        .retain(|it| it.serves() || it.run_label().is_none());
    assert_eq!(reached(mark.clone()), Some(Step::Migrate));
    forget_mark(&mut mark, "migrating");
    assert_eq!(reached(mark), Some(Step::Fence));
}

#[test]
fn a_fence_is_known_by_any_of_its_signs() {
    // The engine would not start it as its owner wished.
    let mut policy = lost_after(in_step(Step::Fence, "restart policy"));
    forget_mark(&mut policy, "fencing");
    assert_eq!(reached(policy), Some(Step::Fence));
    // The policy is back already, and it does not run.
    let plan = &fixture(MigrationClass::M2, Method::Logical).plan;
    let mut stopped = lost_after(|made| made.place == Place::Step(Step::Snapshot));
    forget_snapshot_if_any(&mut stopped);
    for service in &plan.services {
        let wished = fixture(MigrationClass::M2, Method::Logical)
            .world
            .find(&service.id)
            .unwrap();
        let wished = wished.policy.clone();
        stopped.find_mut(&service.id).unwrap().policy = wished;
    }
    assert_eq!(reached(stopped.clone()), Some(Step::Fence));
    // Stopped by its owner, as no mark tells of us.
    forget_mark(&mut stopped, "fencing");
    assert_ne!(reached(stopped.clone()), Some(Step::Fence));
    // It runs as its owner wishes.
    let open = lost_after(|made| made.place == Place::Step(Step::Fence));
    assert_ne!(reached(open), Some(Step::Fence));
}

fn forget_snapshot_if_any(world: &mut World) {
    if world.disk.exists(&sealed(world)).is_ok() {
        forget_snapshot(world);
    }
}

/// The commit's only other witness is a mark. A new container with a way out, or the owner's files, are as good.
#[test]
fn a_new_version_that_was_let_in_is_never_taken_back() {
    let plan = &fixture(MigrationClass::M2, Method::Logical).plan;
    let outward: Vec<&str> = plan
        .services
        .iter()
        .flat_map(|it| &it.public_networks)
        .map(String::as_str)
        .collect();
    // One is connected, and no file edited yet; with and without the mark.
    for has_mark in [true, false] {
        let mut world = lost_after(in_step(Step::Open, "connect"));
        if !has_mark {
            forget_mark(&mut world, "committing");
        }
        let (world, rebuilt) = learnt(world);
        let rebuilt = rebuilt.unwrap();
        assert!(rebuilt.committed && rebuilt.held.is_none());
        assert_eq!(rebuilt.reached, Step::Open);
        let outcome = world.state.outcome().map(|(outcome, _)| outcome);
        assert_eq!(outcome, Some(Outcome::Committed));
    }
    // The files are edited, and somebody took the networks away.
    let mut world = lost_after(|made| made.place == Place::Step(Step::Finalise));
    for container in &mut world.containers {
        if container.run_label().is_some() {
            container
                .networks
                .retain(|name, _| !outward.contains(&&**name));
        }
    }
    assert!(learnt(world.clone()).1.unwrap().committed);
    // Without the mark its owner may have written the same.
    forget_mark(&mut world, "committing");
    assert!(!learnt(world).1.unwrap().committed);
    // Nobody was let in yet: with the mark only a person can tell.
    let world = lost_after(|made| made.place == Place::Step(Step::Open));
    let (_, rebuilt) = learnt(world);
    let rebuilt = rebuilt.unwrap();
    assert!(!rebuilt.committed && rebuilt.may_have_served && rebuilt.held.is_some());
}

/// The commit's mark, and a journal from a backup that ends before anything was verified: people may have written.
#[test]
fn a_journal_that_ends_before_the_commit_that_was_marked_leads_to_a_person() {
    let start = fixture(MigrationClass::M2, Method::Logical);
    let mut world = killed(start, |made| made.place == Place::Step(Step::Open));
    world.journal_holds(6);
    world.harmed = true;
    let (_, rebuilt) = learnt(world);
    let rebuilt = rebuilt.unwrap();
    assert!(rebuilt.may_have_served && rebuilt.held.is_some() && !rebuilt.committed);
}

/// A site that serves is not closed for a way back that cannot be taken.
#[test]
fn a_way_back_from_behind_the_commit_that_lacks_the_old_version_or_its_data_stops_nothing() {
    let order = Event::Ordered {
        order: Order::Rollback,
        by: "ada".to_owned(),
        accept_loss: true,
    };
    for (lacks, said) in [
        ("image", "`docker pull "),
        ("snapshot", "the snapshot of this run is gone"),
    ] {
        let mut world = held(HeldAt::Finalising, MigrationClass::M2, Method::Logical)
            .unwrap()
            .clone();
        world.interfered.push(Deed::PrunesImages);
        if lacks == "image" {
            world
                .images
                .retain(|image| &*image.id != "sha256:streaming-a");
        } else {
            forget_snapshot(&mut world);
        }
        let running = |world: &World| -> Vec<_> {
            let all = world
                .containers
                .iter()
                .filter(|it| it.running && it.serves());
            all.map(|it| (it.id.clone(), it.started_ms)).collect()
        };
        let before = running(&world);
        let after = carry_order(world, &order).world;
        assert_eq!(after.violation, None, "{lacks}");
        let (outcome, because) = after.state.outcome().unwrap();
        assert_eq!(outcome, Outcome::Held, "{lacks}");
        assert!(because.contains(said), "{lacks}: {because}");
        assert_eq!(running(&after), before, "{lacks}");
    }
}

/// Else another run would take its data for those that were restored already.
#[test]
fn restored_data_carry_the_name_of_their_run() {
    let world = lost_after(in_step(Step::Verify, "probe"));
    let (world, _exit) = one_process(world, None);
    assert!(world.databases[LIVE].remark.contains(RUN));
}

/// A journal from a backup that ends before the pull: what is brought decides whether the way back takes the data back.
#[test]
fn a_journal_that_ends_early_learns_the_class_of_what_was_migrated() {
    for class in [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2] {
        let start = fixture(class, Method::Logical);
        let mut world = killed(start, in_step(Step::Verify, "probe"));
        world.journal_holds(2);
        world.harmed = true;
        let (_, rebuilt) = learnt(world);
        assert_eq!(rebuilt.unwrap().class, Some(class));
    }
}

fn spec(image: &str, service: &str, one_off: &str) -> ContainerSpec {
    ContainerSpec {
        body: json!({
            "Image": image, "Cmd": ["bundle", "exec", "puma"],
            "Labels": {
                "com.docker.compose.project": "mastodon", "com.docker.compose.service": service,
                "com.docker.compose.oneoff": one_off,
            },
            "HostConfig": {"NetworkMode": "mastodon_internal", "RestartPolicy": {"Name": "always"}},
            "NetworkingConfig": {"EndpointsConfig": {"mastodon_internal": Value::Object(serde_json::Map::new())}},
        }),
        more_networks: Vec::new(),
    }
}

/// With the old version's image it may be `docker compose up`, with the new one's an update by hand.
#[test]
fn a_site_that_serves_another_version_by_now_is_left_to_its_owner() {
    let plan = &fixture(MigrationClass::M2, Method::Logical).plan;
    let web = plan
        .services
        .iter()
        .find(|it| it.role == Role::Web)
        .unwrap();
    let image = &plan.images[0];
    let (old, new) = (image.from_reference.as_str(), image.to_reference.as_str());
    for (image, is_committed, moved) in [
        ("redis:7", false, true),
        (old, false, false),
        // Before the commit nobody but its owner can have updated it.
        (new, false, true),
        ("redis:7", true, true),
        (new, true, false),
    ] {
        let mut world = if is_committed {
            killed(
                fixture(MigrationClass::M2, Method::Logical),
                in_step(Step::Finalise, "untag"),
            )
        } else {
            lost_after(|made| made.place == Place::Step(Step::Snapshot))
        };
        if is_committed {
            let made = world.find(&web.container).unwrap().id.clone();
            world.remove(&made);
        }
        world.tag("sha256:main-b", new);
        world.interfered.push(Deed::RemovesOld);
        world.remove(&web.id);
        let id = world
            .create(&web.container, &spec(image, "web", "False"), true)
            .unwrap();
        world.start(&id).unwrap();
        let (world, exit) = one_process(world, None);
        assert_eq!(world.violation, None, "{exit:?}");
        let because = world.state.outcome().map_or("", |(_, because)| because);
        assert_eq!(
            because.contains("serves in place of the one that the run knew"),
            moved,
            "{image}, {is_committed}: {because}"
        );
        if moved {
            assert!(world.find(&id).unwrap().running, "it was touched");
        }
    }
}

/// `docker compose up` in the middle of a run: it holds names that the run needs, and may let people write.
#[test]
fn a_container_that_somebody_made_meanwhile_is_put_aside_and_removed_at_the_end() {
    let start = fixture(MigrationClass::M0, Method::Logical);
    let image = start.plan.images[0].from_reference.clone();
    let mut world = killed(start, |made| made.place == Place::Step(Step::Verify));
    let make = |world: &mut World, name: &str, one_off: &str| {
        let spec = spec(&image, "web", one_off);
        world.create(name, &spec, true).unwrap()
    };
    let made = make(&mut world, "mastodon-web-2", "False");
    world.start(&made).unwrap();
    let once = make(&mut world, "mastodon-web-run-1", "True");
    let after = carry_through(world, None).world;
    assert_eq!(after.violation, None);
    let outcome = after.state.outcome().map(|(outcome, _)| outcome);
    assert_eq!(outcome, Some(Outcome::RolledBack));
    let trace = after.trace.as_ref().unwrap();
    let told = trace
        .iter()
        .filter(|it| it.contains("was made by somebody"));
    assert_eq!(told.count(), 1);
    assert!(
        after.find(&made).is_none(),
        "what somebody made is still there"
    );
    let once = after.find(&once).expect("what is run once is no concern");
    assert_eq!(&*once.name, "mastodon-web-run-1");
}

fn plan_files(world: &World) -> Vec<String> {
    let names = world.disk.names(RUNS.as_ref());
    names
        .into_iter()
        .filter(|it| it.ends_with(".plan.json"))
        .collect()
}

/// It is there to rebuild a lost journal; of a run that is over it would only be looked at for ever.
#[test]
fn a_plan_file_stays_as_long_as_its_run_may_need_it() {
    let start = fixture(MigrationClass::M0, Method::Logical);
    let text = start.plan.canonical().unwrap();
    let path = Path::new(RUNS).join(format!("{RUN}.plan.json"));
    let mut over = carry_through(start.world.clone(), Some(start.plan.clone())).world;
    assert!(plan_files(&over).is_empty());
    over.disk.put(&path, text.as_bytes());
    let (world, _exit) = one_process(over.clone(), None);
    assert!(plan_files(&world).is_empty(), "the run is over");

    // A held one.
    let held = held(HeldAt::Opening, MigrationClass::M2, Method::Logical).unwrap();
    let (world, _exit) = one_process(held.clone(), None);
    assert_eq!(plan_files(&world).len(), 1, "a held run needs its plan");

    // Another instance's, of which this journal knows nothing.
    let other = "019aa000-0000-7000-8000-0000000000bb";
    let path = Path::new(RUNS).join(format!("{other}.plan.json"));
    let plan = text.replace(RUN, other).replace(
        "\"instance\":\"social.example\"",
        "\"instance\":\"other.example\"",
    );
    assert_ne!(plan, text.replace(RUN, other));
    over.disk.put(&path, plan.as_bytes());
    let (world, exit) = one_process(over, None);
    assert!(matches!(exit, crate::sim::process::Exit::Idle), "{exit:?}");
    assert_eq!(plan_files(&world).len(), 1, "it is not ours");
}

/// What a person is shown before they decide.
#[test]
fn what_was_written_since_the_snapshot_and_what_is_left_of_a_held_run_is_counted() {
    let plan = &fixture(MigrationClass::M2, Method::Logical).plan;
    let mut world = held(HeldAt::Finalising, MigrationClass::M2, Method::Logical)
        .unwrap()
        .clone();
    world.out_of_reach = None;
    let n_posts = world.databases[LIVE].posts.len();
    let ports = SimPorts::new(world);
    ports.files.open().unwrap();
    let (dir, manifest) = ports.files.state_dir().open_snapshot(RUN).unwrap().unwrap();
    let then = manifest.rows["public.statuses"];
    let shown = run_to_end(remains(&ports, plan)).unwrap();
    assert_eq!(shown.snapshot_at, Some(manifest.taken_at));
    assert_eq!(shown.snapshot, Some(dir.display().to_string()));
    // The site serves, so people write while it is looked at.
    let count = |n: usize| i64::try_from(n).unwrap();
    let after = count(ports.world().databases[LIVE].posts.len());
    let then = i64::try_from(then).unwrap();
    let since = shown.since.unwrap();
    let tables: Vec<&str> = since.keys().map(String::as_str).collect();
    assert_eq!(tables, ["public.statuses"], "the others are as they were");
    let written = since["public.statuses"];
    assert!(written > 0);
    assert!((count(n_posts) - then..=after - then).contains(&written));
    assert_eq!(shown.trouble, Vec::<String>::new());
    for line in [
        "old web `mastodon-web-1_before_",
        "container `mastodon-web-1` of the run, running",
        "container `mastodon-sidekiq-1` of the run, running",
        "image kept as `",
    ] {
        let found = shown.objects.iter().any(|it| it.starts_with(line));
        assert!(found, "{line} is not in {:#?}", shown.objects);
    }
    let old = shown.objects.iter().filter(|it| it.starts_with("old "));
    assert!(old.clone().all(|it| it.ends_with(", stopped")));
    assert_eq!(old.count(), 3);
}
