//! Rehearsals, interrupted everywhere, by everything: the site serves all the time and is not changed, nothing is left of the
//! throw-away servers, and no good version is ever blamed.

use std::collections::BTreeMap;
use std::path::Path;

use mastopatch::domain::event::MigrationClass;
use mastopatch::domain::plan::{Method, Plan};
use mastopatch::domain::rehearsal::{Rehearsal, Tried, Usual, prefix};
use mastopatch::engine::Progress;
use mastopatch::engine::rehearsal::{rehearse, sweep};

use crate::sim::engine::Program;
use crate::sim::fault::{Fault, Schedule};
use crate::sim::files::SNAPSHOTS;
use crate::sim::fixture::{RUN, fixture};
use crate::sim::process::{run_to_end, traced};
use crate::sim::world::{LIVE, Made, SimPorts, Target, Version, World};

const INSTANCE: &str = "social.example";
/// From the end of a process until the next one starts.
const DOWN_MS: u64 = 3_000;
/// Starts after a fault within which everything has to be tidy.
const STARTS: u32 = 3;

/// How it went.
#[derive(Debug)]
struct Went {
    /// What the process said that was not killed.
    said: Option<Rehearsal>,
    world: World,
}

fn plan_of(class: MigrationClass) -> Plan {
    let plan = fixture(class, Method::Logical).plan.clone();
    Plan {
        run: format!("{}{RUN}", prefix(INSTANCE)),
        ..plan
    }
}

/// One process: it looks for what an earlier one left, and rehearses if there is something to rehearse.
async fn process(ports: &SimPorts, plan: Option<&Plan>) -> Result<Option<Rehearsal>, String> {
    ports.files.open().map_err(|err| err.to_string())?;
    sweep(ports, INSTANCE)
        .await
        .map_err(|err| err.to_string())?;
    let Some(plan) = plan else {
        return Ok(None);
    };
    let progress = traced(ports);
    let material = ports.world().material.clone();
    let usual = Usual::default();
    let done = rehearse(ports, plan, &material, &usual, None, &progress, &ports.stop);
    Ok(Some(
        Box::pin(done).await.expect("the material is the plan's"),
    ))
}

fn went(class: MigrationClass, target: Target, schedule: &Schedule, remembers: bool) -> Went {
    let mut world = fixture(class, Method::Logical).world.clone();
    world.target = target;
    world.schedule = schedule.clone().into();
    world.made = remembers.then(Vec::new);
    let plan = plan_of(class);
    let mut ports = SimPorts::new(world);
    ports.restart();
    let first = run_to_end(process(&ports, Some(&plan)));
    let said = first.and_then(|ended| ended.ok().flatten());
    let mut starts = 0;
    loop {
        let faults = {
            let mut world = ports.world();
            world.pass(DOWN_MS);
            // Somebody makes room while nothing runs.
            world.full_until = world.full_until.min(world.calls);
            world.n_faults
        };
        ports.restart();
        let swept = run_to_end(process(&ports, None));
        starts += 1;
        if matches!(swept, Some(Ok(None))) && ports.world().n_faults == faults {
            break;
        }
        assert!(starts < STARTS, "{swept:?} after {schedule:?}");
    }
    Went {
        said,
        world: ports.into_world(),
    }
}

/// Everything of the site is as it was, and everything of the rehearsal is gone but a finished copy.
fn is_as_before(class: MigrationClass, went: &mut Went) -> Result<(), String> {
    let (world, before) = (&mut went.world, &fixture(class, Method::Logical).world);
    if let Some(wrong) = &world.violation {
        return Err(wrong.clone());
    }
    for _ in 0..20 {
        world.pass(3_000);
        world.public_writes();
    }
    let shape = |world: &World| -> Vec<_> {
        let all = world.containers.iter();
        all.map(|c| {
            let networks: Vec<_> = c.networks.keys().cloned().collect();
            (
                c.id.clone(),
                c.name.clone(),
                c.policy.clone(),
                networks,
                c.running,
                c.quiet,
            )
        })
        .collect()
    };
    if shape(world) != shape(before) {
        return Err(format!("the containers are others: {:?}", shape(world)));
    }
    if world.networks != before.networks || !world.network_labels.is_empty() {
        return Err("a network is left".to_owned());
    }
    if world.databases.keys().ne(before.databases.keys()) || !world.scratch.is_empty() {
        return Err("a database is left".to_owned());
    }
    let live = &world.databases[LIVE];
    if live.schema != before.databases[LIVE].schema || live.posts != world.acknowledged {
        return Err("the live database is another".to_owned());
    }
    if world.compose_text() != before.compose_text() {
        return Err("the Compose file is another".to_owned());
    }
    let mut tags = world.images.iter().flat_map(|image| &image.tags);
    if let Some(tag) = tags.find(|tag| tag.starts_with("mastopatch-keep/")) {
        return Err(format!("tag {tag} is left"));
    }
    let snapshots = world.disk.possible_names(SNAPSHOTS.as_ref());
    if let Some(name) = snapshots.iter().find(|name| name.ends_with(".partial")) {
        return Err(format!("the unfinished copy {name} is left"));
    }
    let serves = world.containers.iter().any(|c| {
        c.program == Program::Web
            && c.version == Some(Version::A)
            && world.is_public(c)
            && world.is_well(c)
    });
    serves
        .then_some(())
        .ok_or_else(|| "the site does not serve".to_owned())
}

#[test]
fn without_a_fault_a_good_version_passes_and_a_bad_one_is_blamed() {
    for class in [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2] {
        for (target, passes) in [
            (Target::Good, true),
            (Target::Unhealthy, false),
            (Target::MigrationFails, class == MigrationClass::M0),
            (Target::MigrationHangs, class == MigrationClass::M0),
        ] {
            let mut went = went(class, target, &Schedule::new(), false);
            let as_before = is_as_before(class, &mut went);
            assert_eq!(as_before, Ok(()), "{class:?} {target:?}");
            let said = went.said.expect("it ended").result;
            match (&said, passes) {
                (Tried::Passed(_), true) | (Tried::Failed { .. }, false) => {}
                (other, _) => panic!("{class:?} {target:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_was_measured_is_told_and_the_copy_is_kept_and_says_that_the_site_was_open() {
    let class = MigrationClass::M2;
    let went = went(class, Target::Good, &Schedule::new(), false);
    let Some(Tried::Passed(measures)) = went.said.map(|said| said.result) else {
        panic!("it passes");
    };
    assert_eq!(measures.applied, 3);
    // Three migrations of two seconds each, and a look that finds no other.
    assert!(
        (8_000..9_000).contains(&measures.migrate_ms),
        "{measures:?}"
    );
    assert!((4_000..6_000).contains(&measures.boot_ms), "{measures:?}");
    let sum = measures.dump_ms + measures.restore_ms + measures.migrate_ms;
    assert!(measures.downtime_ms > sum, "{measures:?}");
    let manifest = Path::new(&measures.snapshot).join("manifest.json");
    let text = went.world.disk.durable(&manifest).expect("a manifest");
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("\"hot\": true"), "{text}");
    assert!(text.contains("\"public.statuses\""), "{text}");
}

#[test]
fn a_rehearsal_survives_every_fault_at_every_call_and_blames_no_good_version() {
    let class = MigrationClass::M2;
    let calls: Vec<Made> = went(class, Target::Good, &Schedule::new(), true)
        .world
        .made
        .unwrap();
    let (mut runs, mut wrong) = (0, BTreeMap::<String, (u32, String)>::new());
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for made in &calls {
        for fault in Fault::TABLE {
            let schedule = Schedule::from([(made.number, fault)]);
            let mut went = went(class, Target::Good, &schedule, false);
            runs += 1;
            let mut said = is_as_before(class, &mut went);
            let end = match went.said.map(|said| said.result) {
                None => "killed",
                Some(Tried::Passed(_)) => "passed",
                Some(Tried::NotDone { .. }) => "not done",
                Some(Tried::Failed { because }) => {
                    said = said.and(Err(format!("a good version is blamed: {because}")));
                    "failed"
                }
            };
            *ends.entry(end).or_default() += 1;
            if let Err(why) = said {
                let at = format!("{fault:?} at call {}, {}", made.number, made.call.name);
                wrong.entry(why).or_insert_with(|| (0, at)).0 += 1;
            }
        }
    }
    println!("{runs} rehearsals over {} calls: {ends:?}", calls.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        ends.contains_key("passed") && ends.contains_key("killed") && ends.contains_key("not done")
    );
}

#[test]
fn a_rehearsal_that_would_not_be_over_in_time_is_not_done_and_blames_nobody() {
    let class = MigrationClass::M2;
    let plan = plan_of(class);
    let world = fixture(class, Method::Logical).world.clone();
    let until = world.wall() + jiff::SignedDuration::from_secs(8);
    let ports = SimPorts::new(world);
    ports.files.open().unwrap();
    let material = ports.world().material.clone();
    let quiet = |_: Progress| {};
    let usual = Usual::default();
    let done = rehearse(
        &ports,
        &plan,
        &material,
        &usual,
        Some(until),
        &quiet,
        &ports.stop,
    );
    let done = run_to_end(done).unwrap().unwrap();
    let Tried::NotDone { because } = &done.result else {
        panic!("{done:?}");
    };
    assert!(because.contains("before the window opens"), "{because}");
    let world = ports.into_world();
    let mut went = Went { said: None, world };
    assert_eq!(is_as_before(class, &mut went), Ok(()));
}
