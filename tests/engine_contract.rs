//! The contract of the runtime port, held against a real engine.
//!
//! Started by the lab: `tests/lab/lab.sh run cargo test --test engine_contract`.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests may fail loudly, and look at the world they test against"
)]

mod corner;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use corner::{LAB_LABEL, MINUTE, corner, env};
use mastopatch::adapters::docker::Engine;
use mastopatch::ports::runtime::{
    ContainerRuntime, Exec, PullProgress, ROLE_LABEL, RUN_LABEL, RuntimeError,
};
use serde_json::json;

/// A shell line that runs until it is stopped.
const FOR_EVER: &str = "while :; do sleep 0.1; done";

#[tokio::test]
async fn the_engine_tells_of_itself() {
    let corner = corner("info").await;
    let info = corner.engine.info().await.unwrap();
    assert!(!info.version.is_empty());
    assert!(info.api.starts_with("1."), "{}", info.api);
    assert!(info.data_root.is_absolute());
    assert!(info.platform.starts_with("linux/"), "{}", info.platform);
}

#[tokio::test]
async fn a_socket_that_is_no_engine_is_unreachable() {
    for path in ["/nonexistent.sock", "/etc/hostname"] {
        let err = Engine::connect(Path::new(path)).await.unwrap_err();
        assert!(matches!(err, RuntimeError::Unreachable { .. }), "{err:?}");
    }
}

#[tokio::test]
async fn a_container_lives_its_life_and_every_step_may_come_twice() {
    let corner = corner("life").await;
    let engine = &corner.engine;
    let (name, other) = (corner.object("new"), corner.object("renamed"));
    let line = "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done";
    let spec = corner.spec("new", line);

    let id = engine.ensure_created(&name, &spec).await.unwrap();
    assert_eq!(engine.ensure_created(&name, &spec).await.unwrap(), id);
    let foreign = corner.spec("migrate", "true");
    let err = engine.ensure_created(&name, &foreign).await.unwrap_err();
    assert!(matches!(err, RuntimeError::Engine { .. }), "{err:?}");
    assert!(!corner.look(&id).await.state.running);
    let err = engine.wait(&id, MINUTE).await.unwrap_err();
    assert!(matches!(err, RuntimeError::Engine { .. }), "{err:?}");

    for _again in 0..2 {
        engine.ensure_running(&id).await.unwrap();
        assert!(corner.look(&id).await.state.running);
    }
    assert_eq!(engine.ensure_created(&name, &spec).await.unwrap(), id);
    let err = engine.wait(&id, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(err, RuntimeError::TimedOut { .. }), "{err:?}");

    let policy = json!({"Name": "unless-stopped", "MaximumRetryCount": 0});
    for wanted in [&policy, &policy, &json!({"Name": "no"})] {
        engine.ensure_restart_policy(&id, wanted).await.unwrap();
        assert_eq!(corner.look(&id).await.restart_policy, wanted["Name"]);
    }
    for _again in 0..2 {
        engine.ensure_name(&id, &other).await.unwrap();
        assert_eq!(corner.look(&id).await.name, other);
    }
    assert!(engine.container(&name).await.unwrap().is_none());

    for _again in 0..2 {
        engine.ensure_stopped(&id, MINUTE).await.unwrap();
        let state = corner.look(&id).await.state;
        assert_eq!((state.running, state.exit_code), (false, 7));
    }
    assert_eq!(engine.wait(&id, MINUTE).await.unwrap(), 7);
    engine.signal(&id, "SIGTERM").await.unwrap();
    assert_eq!(engine.logs(&id, 10).await.unwrap(), "up\n");

    for _again in 0..2 {
        engine.ensure_removed(&id).await.unwrap();
        assert!(engine.container(&id).await.unwrap().is_none());
    }
    for err in [
        engine.ensure_running(&id).await.unwrap_err(),
        engine.ensure_stopped(&id, MINUTE).await.unwrap_err(),
        engine.signal(&id, "SIGTERM").await.unwrap_err(),
        engine.wait(&id, MINUTE).await.unwrap_err(),
        engine.logs(&id, 1).await.unwrap_err(),
    ] {
        let is_missing = matches!(
            err,
            RuntimeError::NotFound {
                what: "container",
                ..
            }
        );
        assert!(is_missing, "{err:?}");
    }
}

#[tokio::test]
async fn a_container_that_ignores_its_signal_is_killed_after_the_grace() {
    let corner = corner("grace").await;
    let line = format!("trap '' TERM; {FOR_EVER}");
    let id = corner.running("new", &line).await;
    let since = Instant::now();
    let grace = Duration::from_millis(1500);
    corner.engine.ensure_stopped(&id, grace).await.unwrap();
    assert!(since.elapsed() >= grace, "{:?}", since.elapsed());
    assert_eq!(corner.look(&id).await.state.exit_code, 137);
}

#[tokio::test]
async fn containers_are_found_by_label_sorted_by_name() {
    let corner = corner("label").await;
    for role in ["b", "a"] {
        let spec = corner.spec(role, "true");
        let name = corner.object(role);
        corner.engine.ensure_created(&name, &spec).await.unwrap();
    }
    let found = corner.engine.labelled(RUN_LABEL, &corner.name).await;
    let found = found.unwrap();
    let names: Vec<_> = found.iter().map(|found| found.name.clone()).collect();
    assert_eq!(names, [corner.object("a"), corner.object("b")]);
    assert_eq!(found[0].labels[ROLE_LABEL], "a");
    let none = corner.engine.labelled(RUN_LABEL, "nobody").await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn networks_are_joined_and_left_and_a_half_made_container_is_finished() {
    let corner = corner("net").await;
    let engine = &corner.engine;
    let (out, inner) = (corner.network("out", false), corner.network("in", true));
    let look = async |name: &str| engine.network(name).await.unwrap();
    assert!(!look(&out).await.unwrap().internal);
    assert!(look(&inner).await.unwrap().internal);
    assert!(look("mplab-nope").await.is_none());

    let endpoint = json!({"Aliases": ["web"]});
    let mut spec = corner.spec("new", FOR_EVER);
    spec.body["HostConfig"] = json!({"NetworkMode": out});
    spec.body["NetworkingConfig"] = json!({"EndpointsConfig": {&out: endpoint}});
    let half = spec.clone();
    spec.more_networks = vec![(inner.clone(), endpoint.clone())];
    let name = corner.object("new");
    let id = engine.ensure_created(&name, &half).await.unwrap();
    assert_eq!(corner.look(&id).await.networks.len(), 1);
    for _again in 0..2 {
        assert_eq!(engine.ensure_created(&name, &spec).await.unwrap(), id);
        let networks = corner.look(&id).await.networks;
        assert!(networks.contains_key(&out));
        assert!(networks[&inner].aliases.contains(&"web".to_owned()));
    }

    for _again in 0..2 {
        engine.ensure_disconnected(&id, &out).await.unwrap();
        assert!(!corner.look(&id).await.networks.contains_key(&out));
    }
    engine.ensure_running(&id).await.unwrap();
    assert!(corner.look(&id).await.networks[&inner].ip.is_some());
    for _again in 0..2 {
        engine.ensure_connected(&id, &out, &endpoint).await.unwrap();
        assert!(corner.look(&id).await.networks[&out].ip.is_some());
    }
    let err = engine.ensure_connected(&id, "mplab-nope", &json!({})).await;
    let err = err.unwrap_err();
    let is_missing = matches!(
        err,
        RuntimeError::NotFound {
            what: "network",
            ..
        }
    );
    assert!(is_missing, "{err:?}");

    engine.ensure_stopped(&id, Duration::ZERO).await.unwrap();
    engine.ensure_disconnected(&id, &inner).await.unwrap();
    engine.ensure_created(&name, &spec).await.unwrap();
    let networks = corner.look(&id).await.networks;
    assert!(!networks.contains_key(&inner), "one that ran is left alone");
}

#[tokio::test]
async fn a_command_inside_gives_its_code_and_both_streams() {
    let corner = corner("exec").await;
    let engine = &corner.engine;
    let id = corner.running("toolbox", FOR_EVER).await;
    let run = async |command: &[&str], limit| {
        let env = &[("SECRET", "s3")];
        let exec = Exec {
            command,
            env,
            limit,
        };
        engine.exec(&id, exec).await
    };
    let line = "echo out $SECRET; echo err >&2; exit 3";
    let done = run(&["sh", "-c", line], MINUTE).await.unwrap();
    let found = (done.exit, &*done.stdout, &*done.stderr);
    assert_eq!(found, (3, "out s3\n", "err\n"));
    let line = "head -c 5000000 /dev/zero";
    let done = run(&["sh", "-c", line], MINUTE).await.unwrap();
    assert_eq!((done.exit, done.stdout.len()), (0, 4 << 20));
    let missing = run(&["/no/such/program"], MINUTE).await;
    let is_good = matches!(&missing, Ok(done) if done.exit == 0);
    assert!(!is_good, "{missing:?}");
    let limit = Duration::from_secs(1);
    let err = run(&["sleep", "30"], limit).await.unwrap_err();
    assert!(matches!(err, RuntimeError::TimedOut { .. }), "{err:?}");
    engine.ensure_stopped(&id, Duration::ZERO).await.unwrap();
    let err = run(&["true"], MINUTE).await.unwrap_err();
    assert!(matches!(err, RuntimeError::Engine { .. }), "{err:?}");
}

#[tokio::test]
async fn logs_are_the_last_lines_of_both_streams() {
    let corner = corner("logs").await;
    let line = "for i in 1 2 3 4; do echo $i; sleep 0.1; echo e$i >&2; sleep 0.1; done";
    let id = corner.running("new", line).await;
    assert_eq!(corner.engine.wait(&id, MINUTE).await.unwrap(), 0);
    let lines = corner.engine.logs(&id, 3).await.unwrap();
    assert_eq!(lines, "e3\n4\ne4\n");
}

#[tokio::test]
async fn images_are_resolved_fetched_and_named() {
    let corner = corner("image").await;
    let engine = &corner.engine;
    let repository = format!("{}/mastodon/mastodon", env("LAB_REGISTRY"));
    let remote = engine.resolve(&format!("{repository}:v4.5.7")).await;
    let remote = remote.unwrap();
    assert!(remote.digest.starts_with("sha256:"));
    let platform = engine.info().await.unwrap().platform;
    assert!(remote.platforms.is_empty() || remote.platforms.contains(&platform));

    let seen = Mutex::new(Vec::<PullProgress>::new());
    let heard = |progress| seen.lock().unwrap().push(progress);
    let named = format!("{repository}@{}", remote.digest);
    for _again in 0..2 {
        let image = engine
            .ensure_image(&repository, &remote.digest, 10 * MINUTE, &heard)
            .await
            .unwrap();
        assert!(image.repo_digests.contains(&named));
        assert_eq!(image.platform, platform);
    }
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|progress| progress.done <= progress.total));
    let image = engine.image(&named).await.unwrap().unwrap();

    let keep = "mastopatch-keep/contract:1";
    for _again in 0..2 {
        engine.ensure_tag(&image.id, keep).await.unwrap();
        assert_eq!(engine.image(keep).await.unwrap().unwrap().id, image.id);
    }
    for _again in 0..2 {
        engine.ensure_no_tag(keep).await.unwrap();
        assert!(engine.image(keep).await.unwrap().is_none());
    }
    assert!(engine.image(&image.id).await.unwrap().is_some());
}

#[tokio::test]
async fn files_of_an_image_are_listed_and_nothing_is_left_behind() {
    let corner = corner("files").await;
    let engine = &corner.engine;
    let repository = format!("{}/mastodon/mastodon", env("LAB_REGISTRY"));
    let remote = engine.resolve(&format!("{repository}:v4.5.7")).await;
    let image = engine
        .ensure_image(&repository, &remote.unwrap().digest, 10 * MINUTE, &|_| {})
        .await
        .unwrap();
    let labels = BTreeMap::from([
        (RUN_LABEL.to_owned(), corner.name.clone()),
        (LAB_LABEL.to_owned(), corner.name.clone()),
    ]);
    for folder in ["/opt/mastodon/db/migrate", "/opt/mastodon/db/migrate/"] {
        let files = engine.files_in_image(&image.id, folder, &labels).await;
        let files = files.unwrap();
        assert!(!files.is_empty());
        let is_file = |name: &String| name.contains(".rb") && !name.contains('/');
        assert!(files.iter().all(is_file), "{files:?}");
    }
    let files = engine.files_in_image(&image.id, "/no/such", &labels).await;
    assert!(files.unwrap().is_empty());
    let left = engine.labelled(RUN_LABEL, &corner.name).await.unwrap();
    assert!(left.is_empty(), "the container it was read from is gone");
}

#[tokio::test]
async fn files_of_a_container_are_listed_whether_it_runs_or_not() {
    let corner = corner("inside").await;
    let engine = &corner.engine;
    let spec = corner.spec("new", FOR_EVER);
    let name = corner.object("new");
    let id = engine.ensure_created(&name, &spec).await.unwrap();
    for runs in [false, true] {
        if runs {
            engine.ensure_running(&id).await.unwrap();
        }
        let files = engine.files_in_container(&id, "/etc").await.unwrap();
        assert!(files.iter().any(|name| name == "passwd"), "{files:?}");
        let none = engine.files_in_container(&id, "/no/such").await.unwrap();
        assert!(none.is_empty(), "{none:?}");
        assert_eq!(corner.look(&id).await.state.running, runs);
    }
}

#[tokio::test]
async fn a_missing_image_and_a_dead_registry_are_told_apart() {
    let corner = corner("noimage").await;
    let engine = &corner.engine;
    let registry = env("LAB_REGISTRY");
    let digest = format!("sha256:{}", "0".repeat(64));
    let live = format!("{registry}/mastodon/mastodon");
    let dead = "127.0.0.1:9/a/b";
    let tagged = |repository: &str| format!("{repository}:v0.0.0");
    for err in [
        engine.resolve(&tagged(&live)).await.unwrap_err(),
        engine
            .resolve(&tagged(&format!("{registry}/no/such")))
            .await
            .unwrap_err(),
        engine
            .ensure_image(&live, &digest, MINUTE, &|_| {})
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(err, RuntimeError::NoSuchImage { .. }), "{err:?}");
    }
    for err in [
        engine.resolve(&tagged(dead)).await.unwrap_err(),
        engine
            .ensure_image(dead, &digest, MINUTE, &|_| {})
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(err, RuntimeError::Registry { .. }), "{err:?}");
    }
    let mut spec = corner.spec("new", "true");
    spec.body["Image"] = json!("mplab/none:1");
    let err = engine.ensure_created(&corner.object("new"), &spec).await;
    let err = err.unwrap_err();
    assert!(
        matches!(err, RuntimeError::NotFound { what: "image", .. }),
        "{err:?}"
    );
}
