//! PostgreSQL and Redis in containers of another Compose project: updated with, brought back, and otherwise left alone.

use std::collections::{BTreeMap, BTreeSet};

use mastopatch::domain::event::{Event, MigrationClass, Outcome, Step};
use mastopatch::domain::plan::{Method, Owner};
use mastopatch::ports::database::RedisUse;
use mastopatch::ports::runtime::ContainerRuntime as _;

use crate::patience::call;
use crate::sim::fault::{Fault, Schedule};
use crate::sim::fixture::{fixture, with_servers_of};
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::{carry_through, run_to_end};
use crate::sim::stranger::Deed;
use crate::sim::world::{Made, Place, SimPorts, Target, World};

const SHARED: &str = "shared";

/// Ids of the other project's containers, with how often each was started.
fn theirs(world: &World) -> BTreeMap<String, u32> {
    let all = world.containers.iter();
    let label = "com.docker.compose.project";
    let theirs = all.filter(|c| c.labels.get(label).is_some_and(|it| it == SHARED));
    theirs
        .map(|c| {
            assert!(c.running, "{} does not run", c.name);
            (format!("{} {}", c.id, c.name), c.starts)
        })
        .collect()
}

#[test]
fn servers_of_another_project_go_through_a_run_untouched_whatever_comes_of_it() {
    for class in [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2] {
        for method in [Method::Logical, Method::Clone] {
            for (target, wanted) in [
                (Target::Good, Verdict::Committed),
                (Target::Unhealthy, Verdict::RolledBack),
            ] {
                let at = format!("{class:?} {method:?} {target:?}");
                let start = with_servers_of(SHARED, class, method);
                let owner = Owner::Project(SHARED.to_owned());
                assert_eq!(start.plan.database.container, "shared-db-1");
                assert_eq!(
                    (&start.plan.database.owner, &start.plan.redis.owner),
                    (&owner, &owner)
                );
                let before = theirs(&start.world);
                let mut world = start.world.clone();
                world.target = target;
                let mut over = carry_through(world, Some(start.plan.clone())).world;
                assert_eq!(theirs(&over), before, "{at}");
                let verdict = judge(&mut over, &start.world, &start.plan);
                assert_eq!(verdict, Ok(wanted), "{at}");
            }
        }
    }
}

#[test]
fn a_way_back_starts_a_database_of_another_project_that_somebody_stopped_and_names_both() {
    for method in [Method::Logical, Method::Clone] {
        let start = with_servers_of(SHARED, MigrationClass::M2, method);
        let during = |made: &Made| made.place == Place::Step(Step::Verify);
        let stop = (call(&start, during), Fault::Stranger(Deed::StopsDatabase));
        let mut world = start.world.clone();
        world.target = Target::Unhealthy;
        world.schedule = Schedule::from([stop]).into();
        world.trace = Some(Vec::new());
        let before = theirs(&world);
        let mut over = carry_through(world, Some(start.plan.clone())).world;
        let told = "starting container `shared-db-1` of project `shared`, which somebody stopped";
        let trace = over.trace.iter().flatten();
        assert_eq!(
            trace.filter(|line| line.contains(told)).count(),
            1,
            "{method:?}"
        );
        let after = theirs(&over);
        assert!(after.keys().eq(before.keys()), "the same containers");
        let verdict = judge(&mut over, &start.world, &start.plan);
        assert_eq!(verdict, Ok(Verdict::RolledBack), "{method:?}");
    }
}

#[test]
fn a_redis_that_others_use_too_is_not_set_back_and_no_patch_is_kept_away() {
    let elsewhere = RedisUse {
        clients: BTreeSet::from(["10.9.8.7".parse().unwrap()]),
        databases: BTreeSet::from([0]),
    };
    let kept = RedisUse {
        clients: BTreeSet::new(),
        databases: BTreeSet::from([0, 3]),
    };
    for (class, used, words) in [
        (MigrationClass::M0, &elsewhere, None),
        (
            MigrationClass::M1,
            &elsewhere,
            Some("10.9.8.7 is connected to it"),
        ),
        (
            MigrationClass::M2,
            &kept,
            Some("its database 3 is in use, beside 0"),
        ),
    ] {
        let start = with_servers_of(SHARED, class, Method::Clone);
        let mut world = start.world.clone();
        world.redis_use = used.clone();
        // Mastodon's own containers are no strangers.
        let all = run_to_end(async {
            let ports = SimPorts::new(world.clone());
            ports
                .labelled("com.docker.compose.project", "mastodon")
                .await
                .unwrap()
        });
        let all = all.unwrap();
        let endpoints = all.iter().flat_map(|it| it.networks.values());
        world
            .redis_use
            .clients
            .extend(endpoints.filter_map(|it| it.ip));
        let mut over = carry_through(world, Some(start.plan.clone())).world;
        let refused = over.log.iter().find_map(|entry| match &entry.event {
            Event::Failed {
                step,
                error,
                not_begun,
                ..
            } => Some((*step, *not_begun, error.clone())),
            _ => None,
        });
        let outcome = over.state.outcome().map(|(outcome, _)| outcome);
        match words {
            None => {
                assert_eq!(refused, None, "{class:?}");
                assert_eq!(outcome, Some(Outcome::Committed));
            }
            Some(words) => {
                let (step, not_begun, error) = refused.expect("a refusal");
                assert_eq!(
                    (step, not_begun),
                    (Step::Fence, true),
                    "the site stays open"
                );
                assert!(
                    error.contains(words) && error.contains("`shared-redis-1` of project `shared`"),
                    "{error}"
                );
                assert!(!error.contains("172."), "{error}");
                assert_eq!(outcome, Some(Outcome::Aborted));
            }
        }
        let verdict = judge(&mut over, &start.world, &start.plan);
        assert!(verdict.is_ok(), "{verdict:?}");
    }
}

#[test]
fn a_redis_of_the_instances_own_project_is_taken_to_be_its_own() {
    let start = fixture(MigrationClass::M1, Method::Clone);
    let mut world = start.world.clone();
    world.redis_use.clients.insert("10.9.8.7".parse().unwrap());
    let mut over = carry_through(world, Some(start.plan.clone())).world;
    let verdict = judge(&mut over, &start.world, &start.plan);
    assert_eq!(verdict, Ok(Verdict::Committed));
}
