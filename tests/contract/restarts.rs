//! What the engine starts again by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use mastopatch::ports::runtime::ContainerRuntime;
use serde_json::json;

use super::{Bench, Does, GRACE, MINUTE, Says, created, look, spec, started, until};

/// A container that behaves like this, under this policy.
async fn under(bench: &impl Bench, what: &str, policy: &str, does: &Does) -> String {
    let mut wanted = spec(bench, what, does);
    wanted.body["HostConfig"]["RestartPolicy"] = json!({"Name": policy, "MaximumRetryCount": 0});
    created(bench, what, &wanted).await
}

pub(crate) async fn the_restart_policy_of_a_stopped_container_is_changed(bench: &impl Bench) {
    let engine = bench.runtime();
    let id = under(bench, "new", "always", &Does::runs()).await;
    let set = async |name: &str| {
        let policy = json!({"Name": name, "MaximumRetryCount": 0});
        engine.ensure_restart_policy(&id, &policy).await.unwrap();
        let found = look(bench, &id).await;
        assert_eq!(found.restart_policy, name);
        found.state.running
    };
    assert_eq!(look(bench, &id).await.restart_policy, "always");
    assert!(!set("no").await, "created");
    engine.ensure_running(&id).await.unwrap();
    engine.ensure_stopped(&id, GRACE).await.unwrap();
    for policy in ["always", "unless-stopped", "on-failure", "no"] {
        assert!(!set(policy).await, "{policy} starts nothing");
    }
}

pub(crate) async fn what_ends_is_started_again_where_its_policy_says_so(bench: &impl Bench) {
    let engine = bench.runtime();
    for (policy, code, again) in [
        ("no", 1, false),
        ("on-failure", 0, false),
        ("on-failure", 1, true),
        ("unless-stopped", 0, true),
        ("always", 1, true),
    ] {
        let does = Does::ends(code).lasting(Duration::from_millis(300));
        let id = under(bench, "new", policy, &does).await;
        engine.ensure_running(&id).await.unwrap();
        let first = look(bench, &id).await.state;
        if again {
            until(bench, &id, policy, |found| found.state.restarts >= 2).await;
            let state = look(bench, &id).await.state;
            assert_ne!(state.started_at, first.started_at, "{policy}");
            engine.ensure_stopped(&id, GRACE).await.unwrap();
        }
        until(bench, &id, policy, |found| !found.state.running).await;
        for _moment in 0..10 {
            bench.moment().await;
        }
        let state = look(bench, &id).await.state;
        assert!(!state.running, "{policy} after {code}");
        assert_eq!(state.restarts > 0, again, "{policy} after {code}");
        engine.ensure_removed(&id).await.unwrap();
    }
}

pub(crate) async fn what_somebody_ended_is_not_started_again(bench: &impl Bench) {
    let engine = bench.runtime();
    let does = Does::runs().saying(Says::Out("up")).on_term(1);
    for signal in [None, Some("SIGTERM"), Some("SIGKILL")] {
        let id = under(bench, "new", "always", &does).await;
        engine.ensure_running(&id).await.unwrap();
        while engine.logs(&id, 1).await.unwrap().is_empty() {
            bench.moment().await;
        }
        match signal {
            None => engine.ensure_stopped(&id, MINUTE).await.unwrap(),
            Some(signal) => engine.signal(&id, signal).await.unwrap(),
        }
        until(bench, &id, "it ends", |found| !found.state.running).await;
        for _moment in 0..10 {
            bench.moment().await;
        }
        let state = look(bench, &id).await.state;
        assert_eq!((state.running, state.restarts), (false, 0), "{signal:?}");
        engine.ensure_removed(&id).await.unwrap();
    }
}

/// The last words of each line: whether it runs when the engine is back.
pub(crate) async fn an_engine_that_restarts_starts_what_the_policies_say(bench: &impl Bench) {
    let engine = bench.runtime();
    let mut wanted = BTreeMap::new();
    for (what, policy, code, before, after) in [
        ("no", "no", 0, "runs", false),
        ("always", "always", 0, "runs", true),
        ("unless", "unless-stopped", 0, "runs", true),
        ("failed", "on-failure", 7, "runs", true),
        ("ended-well", "on-failure", 0, "runs", false),
        ("always-stopped", "always", 0, "stopped", true),
        ("unless-stopped", "unless-stopped", 0, "stopped", false),
        ("unless-signalled", "unless-stopped", 0, "signalled", false),
        ("always-created", "always", 0, "created", false),
    ] {
        let does = Does::runs().saying(Says::Out("up")).on_term(code);
        let id = under(bench, what, policy, &does).await;
        if before != "created" {
            engine.ensure_running(&id).await.unwrap();
            // Whoever has not begun yet does not hear that it shall end.
            while engine.logs(&id, 1).await.unwrap().is_empty() {
                bench.moment().await;
            }
        }
        match before {
            "stopped" => engine.ensure_stopped(&id, MINUTE).await.unwrap(),
            "signalled" => engine.signal(&id, "SIGCONT").await.unwrap(),
            _ => {}
        }
        let state = look(bench, &id).await.state;
        wanted.insert(what, (id, code, after, state));
    }
    let other = started(bench, "other", &Does::runs()).await;

    bench.restart_engine().await;
    for (what, (id, code, after, before)) in wanted {
        if after {
            until(bench, &id, what, |found| found.state.running).await;
        }
        let state = look(bench, &id).await.state;
        assert_eq!(state.running, after, "{what}");
        let same = state.started_at == before.started_at;
        assert_eq!(same, !after, "{what}: {}", state.started_at);
        if !after && before.running {
            assert_eq!(state.exit_code, code, "{what}");
        }
    }
    engine.ensure_running(&other).await.unwrap();
    assert!(look(bench, &other).await.state.running);
}
