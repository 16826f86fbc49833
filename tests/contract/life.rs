//! From the making of a container to its end.

use std::time::Duration;

use jiff::Timestamp;
use mastopatch::ports::runtime::{ContainerRuntime, RuntimeError};
use serde_json::json;

use super::{
    Bench, Does, GRACE, MINUTE, Says, created, is_missing, is_refused, look, object, spec, started,
    until,
};

pub(crate) async fn the_engine_tells_of_itself(bench: &impl Bench) {
    let info = bench.runtime().info().await.unwrap();
    assert!(!info.version.is_empty());
    assert!(info.api.starts_with("1."), "{}", info.api);
    assert!(info.data_root.is_absolute());
    assert!(info.platform.starts_with("linux/"), "{}", info.platform);
}

pub(crate) async fn a_container_lives_its_life_and_every_step_may_come_twice(bench: &impl Bench) {
    let engine = bench.runtime();
    let (name, other) = (object(bench, "new"), object(bench, "renamed"));
    let does = Does::runs().saying(Says::Out("up")).on_term(7);
    let wanted = spec(bench, "new", &does);

    let id = engine.ensure_created(&name, &wanted).await.unwrap();
    assert_eq!(engine.ensure_created(&name, &wanted).await.unwrap(), id);
    let foreign = spec(bench, "migrate", &Does::ends(0));
    let err = engine.ensure_created(&name, &foreign).await.unwrap_err();
    assert!(is_refused(&err), "{err:?}");
    assert!(!look(bench, &id).await.state.running);
    let err = engine.wait(&id, MINUTE).await.unwrap_err();
    assert!(is_refused(&err), "{err:?}");

    for _again in 0..2 {
        engine.ensure_running(&id).await.unwrap();
        assert!(look(bench, &id).await.state.running);
    }
    assert_eq!(engine.ensure_created(&name, &wanted).await.unwrap(), id);
    let err = engine.wait(&id, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(err, RuntimeError::TimedOut { .. }), "{err:?}");

    let policy = json!({"Name": "unless-stopped", "MaximumRetryCount": 0});
    for wanted in [&policy, &policy, &json!({"Name": "no"})] {
        engine.ensure_restart_policy(&id, wanted).await.unwrap();
        assert_eq!(look(bench, &id).await.restart_policy, wanted["Name"]);
    }
    for _again in 0..2 {
        engine.ensure_name(&id, &other).await.unwrap();
        assert_eq!(look(bench, &id).await.name, other);
    }
    assert!(engine.container(&name).await.unwrap().is_none());

    for _again in 0..2 {
        engine.ensure_stopped(&id, MINUTE).await.unwrap();
        let state = look(bench, &id).await.state;
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
        engine.ensure_name(&id, &name).await.unwrap_err(),
        engine
            .ensure_restart_policy(&id, &policy)
            .await
            .unwrap_err(),
        engine.files_in_container(&id, "/etc").await.unwrap_err(),
    ] {
        assert!(is_missing(&err, "container"), "{err:?}");
    }
}

pub(crate) async fn a_container_that_ignores_its_signal_is_killed_after_the_grace(
    bench: &impl Bench,
) {
    let id = started(bench, "new", &Does::runs().saying(Says::Out("up")).deaf()).await;
    // It listens until its first line is written.
    while bench.runtime().logs(&id, 1).await.unwrap().is_empty() {
        bench.moment().await;
    }
    let since = bench.elapsed();
    let grace = Duration::from_millis(1500);
    bench.runtime().ensure_stopped(&id, grace).await.unwrap();
    let took = bench.elapsed().saturating_sub(since);
    assert!(took >= grace, "{took:?}");
    assert_eq!(look(bench, &id).await.state.exit_code, 137);
}

pub(crate) async fn an_end_leaves_its_code_and_a_new_start_takes_it_away(bench: &impl Bench) {
    let engine = bench.runtime();
    let ended = started(bench, "ended", &Does::ends(3)).await;
    for _again in 0..2 {
        assert_eq!(engine.wait(&ended, MINUTE).await.unwrap(), 3);
    }
    let state = look(bench, &ended).await.state;
    assert_eq!((state.running, state.exit_code), (false, 3));
    engine.ensure_stopped(&ended, MINUTE).await.unwrap();
    assert_eq!(look(bench, &ended).await.state.exit_code, 3);

    let killed = started(bench, "killed", &Does::runs()).await;
    // Signals that it does not know leave it alone.
    engine.signal(&killed, "SIGCONT").await.unwrap();
    assert!(look(bench, &killed).await.state.running);
    engine.signal(&killed, "SIGKILL").await.unwrap();
    assert_eq!(engine.wait(&killed, MINUTE).await.unwrap(), 137);
    engine.ensure_running(&killed).await.unwrap();
    let state = look(bench, &killed).await.state;
    assert_eq!((state.running, state.exit_code), (true, 0));

    let does = Does::runs().saying(Says::Out("up")).on_term(9);
    let asked = started(bench, "asked", &does).await;
    while engine.logs(&asked, 1).await.unwrap().is_empty() {
        bench.moment().await;
    }
    engine.signal(&asked, "SIGTERM").await.unwrap();
    assert_eq!(engine.wait(&asked, MINUTE).await.unwrap(), 9);
}

pub(crate) async fn a_start_has_its_time_which_stays_until_the_next_one(bench: &impl Bench) {
    let engine = bench.runtime();
    let before = bench.clock();
    let id = created(bench, "new", &spec(bench, "new", &Does::runs())).await;
    let found = look(bench, &id).await;
    assert!(!found.state.started(), "{}", found.state.started_at);
    let made: Timestamp = found.raw["Created"].as_str().unwrap().parse().unwrap();
    assert!(before <= made && made <= bench.clock(), "{before} {made}");

    let before = bench.clock();
    engine.ensure_running(&id).await.unwrap();
    let first = look(bench, &id).await.state;
    assert!(first.started());
    let at: Timestamp = first.started_at.parse().unwrap();
    assert!(before <= at && at <= bench.clock(), "{before} {at}");
    engine.ensure_running(&id).await.unwrap();
    assert_eq!(look(bench, &id).await.state.started_at, first.started_at);

    engine.ensure_stopped(&id, GRACE).await.unwrap();
    let stopped = look(bench, &id).await.state;
    assert!(stopped.started());
    assert_eq!(stopped.started_at, first.started_at);

    engine.ensure_running(&id).await.unwrap();
    let second = look(bench, &id).await.state;
    assert!(second.started_at.parse::<Timestamp>().unwrap() > at);
    assert_eq!(second.restarts, 0, "somebody started it, not the engine");
}

pub(crate) async fn one_that_runs_is_removed(bench: &impl Bench) {
    let engine = bench.runtime();
    for does in [Does::runs(), Does::runs().deaf()] {
        let id = started(bench, "new", &does).await;
        engine.ensure_removed(&id).await.unwrap();
        assert!(engine.container(&id).await.unwrap().is_none());
        let name = object(bench, "new");
        assert!(engine.container(&name).await.unwrap().is_none());
    }
    // Its name is as good as its id.
    started(bench, "new", &Does::runs()).await;
    let name = object(bench, "new");
    engine.ensure_removed(&name).await.unwrap();
    assert!(engine.container(&name).await.unwrap().is_none());
}

pub(crate) async fn what_was_never_started_may_be_stopped_and_has_written_nothing(
    bench: &impl Bench,
) {
    let engine = bench.runtime();
    let does = Does::ends(0).saying(Says::Out("up"));
    let id = created(bench, "new", &spec(bench, "new", &does)).await;
    engine.ensure_stopped(&id, MINUTE).await.unwrap();
    engine.signal(&id, "SIGTERM").await.unwrap();
    assert_eq!(engine.logs(&id, 10).await.unwrap(), "");
    let state = look(bench, &id).await.state;
    assert_eq!((state.running, state.exit_code), (false, 0));
    assert!(!state.started());
    engine.ensure_running(&id).await.unwrap();
    until(bench, &id, "it ends", |found| !found.state.running).await;
    assert_eq!(engine.logs(&id, 10).await.unwrap(), "up\n");
}
