//! How containers are found, named and described.

use std::collections::BTreeMap;

use mastopatch::ports::runtime::{
    ContainerRuntime, OneOff, PublishedPort, ROLE_LABEL, RUN_LABEL, Replacement,
};
use serde_json::json;

use super::{
    Bench, Does, GRACE, MINUTE, Says, created, inside, is_refused, look, object, publishing, spec,
    started,
};

pub(crate) async fn containers_are_found_by_label_sorted_by_name(bench: &impl Bench) {
    let engine = bench.runtime();
    let names = async || {
        let found = engine.labelled(RUN_LABEL, bench.name()).await.unwrap();
        found
            .into_iter()
            .map(|found| found.name)
            .collect::<Vec<_>>()
    };
    let stopped = started(bench, "c", &Does::runs()).await;
    engine.ensure_stopped(&stopped, GRACE).await.unwrap();
    started(bench, "b", &Does::runs()).await;
    created(bench, "a", &spec(bench, "a", &Does::runs())).await;
    let all = ["a", "b", "c"].map(|what| object(bench, what));
    assert_eq!(names().await, all, "created, running and stopped");
    let found = engine.labelled(RUN_LABEL, bench.name()).await.unwrap();
    assert_eq!(found[0].labels[ROLE_LABEL], "a");
    assert_eq!(found[1].state, look(bench, &found[1].id).await.state);
    assert!(found[1].state.running && !found[2].state.running);
    for (key, value) in [
        (RUN_LABEL, "nobody"),
        ("org.example.nothing", bench.name()),
        // A beginning is not enough.
        (RUN_LABEL, &bench.name()[..4]),
    ] {
        let none = engine.labelled(key, value).await.unwrap();
        assert!(none.is_empty(), "{key}={value}");
    }
    engine.ensure_removed(&stopped).await.unwrap();
    assert_eq!(names().await, all[..2]);
}

pub(crate) async fn a_container_is_found_by_name_and_by_id_and_by_nothing_else(bench: &impl Bench) {
    let engine = bench.runtime();
    let name = object(bench, "new");
    let id = created(bench, "new", &spec(bench, "new", &Does::runs())).await;
    assert_eq!(id.len(), 64);
    for key in [&name, &id] {
        let found = look(bench, key).await;
        assert_eq!((&found.id, &found.name), (&id, &name));
    }
    for key in [&name[..name.len() - 1], "new", &"f".repeat(64)] {
        assert!(engine.container(key).await.unwrap().is_none(), "{key}");
    }
    // What is done to a name is done to the container that has it.
    engine.ensure_running(&name).await.unwrap();
    assert!(look(bench, &id).await.state.running);
    engine.ensure_stopped(&name, GRACE).await.unwrap();
    assert!(!look(bench, &id).await.state.running);
}

pub(crate) async fn a_container_is_described_as_it_was_made(bench: &impl Bench) {
    let engine = bench.runtime();
    let network = object(bench, "net");
    bench.network(&network, false);
    let port = bench.free_port();
    let wanted = spec(bench, "new", &Does::runs());
    let mut wanted = publishing(inside(wanted, &network, "web"), port);
    wanted.body["Env"] = json!(["A=b=c"]);
    wanted.body["Labels"]["org.example.mine"] = json!("yes");
    wanted.body["Healthcheck"] = json!({"Test": ["CMD-SHELL", "true"]});
    wanted.body["HostConfig"]["RestartPolicy"] = json!({"Name": "unless-stopped"});
    let id = created(bench, "new", &wanted).await;
    let image = engine.image(&bench.image()).await.unwrap().unwrap();

    let found = look(bench, &id).await;
    assert_eq!(found.image, bench.image(), "as it was asked for");
    assert_eq!(found.image_id, image.id);
    assert_eq!(json!(found.command), wanted.body["Cmd"]);
    assert_eq!(found.env["A"], "b=c");
    for (name, value) in &image.env {
        assert_eq!(found.env.get(name), Some(value), "the image's `{name}`");
    }
    assert_eq!(found.labels["org.example.mine"], "yes");
    assert_eq!(found.labels[RUN_LABEL], bench.name());
    assert_eq!(found.health_check.as_deref(), Some("true"));
    assert_eq!(found.restart_policy, "unless-stopped");
    let published = PublishedPort {
        container_port: 80,
        host_ip: "127.0.0.1".to_owned(),
        host_port: port,
    };
    assert_eq!(found.ports, [published], "also while it does not run");
    assert_eq!(found.networks.keys().collect::<Vec<_>>(), [&network]);

    let plain = created(bench, "plain", &spec(bench, "plain", &Does::runs())).await;
    let plain = look(bench, &plain).await;
    assert_eq!(plain.restart_policy, "no");
    assert_eq!(plain.health_check, None);
    assert!(plain.ports.is_empty());
}

pub(crate) async fn a_name_that_is_taken_is_not_given(bench: &impl Bench) {
    let engine = bench.runtime();
    let (one, two) = (object(bench, "one"), object(bench, "two"));
    let first = started(bench, "one", &Does::runs()).await;
    let second = created(bench, "two", &spec(bench, "two", &Does::runs())).await;
    for (id, name) in [(&second, &one), (&first, &two)] {
        let err = engine.ensure_name(id, name).await.unwrap_err();
        assert!(is_refused(&err), "{err:?}");
    }
    assert_eq!(look(bench, &one).await.id, first);
    assert_eq!(look(bench, &two).await.id, second);
    // One that runs is renamed like any other, and a name that is given up may be taken.
    engine
        .ensure_name(&first, &object(bench, "three"))
        .await
        .unwrap();
    engine.ensure_name(&second, &one).await.unwrap();
    assert_eq!(look(bench, &one).await.id, second);
    assert!(look(bench, &first).await.state.running);
    assert!(engine.container(&two).await.unwrap().is_none());
}

pub(crate) async fn one_that_is_there_stays_as_it_was_made(bench: &impl Bench) {
    let engine = bench.runtime();
    let name = object(bench, "new");
    let first = spec(bench, "new", &Does::runs().saying(Says::Out("first")));
    let id = engine.ensure_created(&name, &first).await.unwrap();
    let before = look(bench, &id).await;
    let mut second = spec(bench, "new", &Does::ends(1));
    second.body["Env"] = json!(["A=b"]);
    second.body["Labels"]["org.example.mine"] = json!("yes");
    for _again in 0..2 {
        assert_eq!(engine.ensure_created(&name, &second).await.unwrap(), id);
        let found = look(bench, &id).await;
        assert_eq!(found.command, before.command);
        assert_eq!(
            (found.env, found.labels),
            (before.env.clone(), before.labels.clone())
        );
        engine.ensure_running(&id).await.unwrap();
    }
    assert!(
        look(bench, &id).await.state.running,
        "it was not started anew"
    );
}

pub(crate) async fn one_without_the_labels_of_a_run_is_nobodys(bench: &impl Bench) {
    let engine = bench.runtime();
    let name = object(bench, "new");
    let mut without = spec(bench, "new", &Does::runs());
    without.body["Labels"] = bench.labels();
    engine.ensure_created(&name, &without).await.unwrap();
    for wanted in [&without, &spec(bench, "new", &Does::runs())] {
        let err = engine.ensure_created(&name, wanted).await.unwrap_err();
        assert!(is_refused(&err), "{err:?}");
    }
    let found = engine.labelled(RUN_LABEL, bench.name()).await.unwrap();
    assert!(found.is_empty());
}

pub(crate) async fn a_replacement_is_the_old_one_with_the_differences(bench: &impl Bench) {
    let engine = bench.runtime();
    let (out, inner) = (object(bench, "out"), object(bench, "in"));
    bench.network(&out, false);
    bench.network(&inner, true);
    let does = Does::runs().saying(Says::Variable("A"));
    let port = bench.free_port();
    let mut old = publishing(inside(spec(bench, "old", &does), &out, "web"), port);
    old.body["Env"] = json!(["A=b"]);
    old.body["HostConfig"]["RestartPolicy"] = json!({"Name": "unless-stopped"});
    old.more_networks = vec![(inner.clone(), json!({"Aliases": ["web"]}))];
    let id = created(bench, "old", &old).await;
    engine.ensure_running(&id).await.unwrap();
    engine.ensure_stopped(&id, GRACE).await.unwrap();
    let old = look(bench, &id).await;
    let image = engine.image(&old.image_id).await.unwrap().unwrap();
    let reference = format!("{}/next:1", bench.name());
    engine.ensure_tag(&image.id, &reference).await.unwrap();

    let wanted = Replacement {
        image: reference.clone(),
        labels: BTreeMap::from([(ROLE_LABEL.to_owned(), "new".to_owned())]),
        one_off: None,
    };
    let made = engine.replacement(&old, &image, &image, &wanted).unwrap();
    let new = created(bench, "new", &made).await;
    engine.ensure_running(&new).await.unwrap();
    let new = look(bench, &new).await;
    assert_eq!((&new.image, &new.image_id), (&reference, &image.id));
    assert_eq!(new.env, old.env);
    assert_eq!(new.command, old.command);
    assert_eq!(new.ports, old.ports);
    assert_eq!(new.restart_policy, old.restart_policy);
    let names = [&inner, &out];
    assert_eq!(new.networks.keys().collect::<Vec<_>>(), names);
    for network in names {
        let endpoint = &new.networks[network];
        assert!(endpoint.aliases.contains(&"web".to_owned()), "{endpoint:?}");
    }
    let mut labels = old.labels.clone();
    labels.insert(ROLE_LABEL.to_owned(), "new".to_owned());
    assert_eq!(new.labels, labels);
    engine.ensure_no_tag(&reference).await.unwrap();
}

pub(crate) async fn a_one_off_has_its_own_command_and_networks_and_nothing_published(
    bench: &impl Bench,
) {
    let engine = bench.runtime();
    let (out, inner) = (object(bench, "out"), object(bench, "in"));
    bench.network(&out, false);
    bench.network(&inner, true);
    let old = spec(bench, "old", &Does::runs());
    let mut old = publishing(inside(old, &out, "web"), bench.free_port());
    old.body["Env"] = json!(["A=b", "C=d"]);
    old.body["Healthcheck"] = json!({"Test": ["CMD-SHELL", "true"]});
    old.body["HostConfig"]["RestartPolicy"] = json!({"Name": "always"});
    old.body["Labels"]["com.docker.compose.service"] = json!("web");
    let id = created(bench, "old", &old).await;
    engine.ensure_running(&id).await.unwrap();
    let old = look(bench, &id).await;
    let image = engine.image(&old.image_id).await.unwrap().unwrap();

    let does = Does::ends(4)
        .saying(Says::Variable("A"))
        .saying(Says::Variable("C"));
    let wanted = Replacement {
        image: old.image.clone(),
        labels: BTreeMap::from([(ROLE_LABEL.to_owned(), "migrate".to_owned())]),
        one_off: Some(OneOff {
            command: bench.command(&does),
            env: BTreeMap::from([("C".to_owned(), "e".to_owned())]),
            networks: vec![inner.clone()],
        }),
    };
    let made = engine.replacement(&old, &image, &image, &wanted).unwrap();
    let new = created(bench, "migrate", &made).await;
    engine.ensure_running(&new).await.unwrap();
    assert_eq!(engine.wait(&new, MINUTE).await.unwrap(), 4);
    assert_eq!(engine.logs(&new, 10).await.unwrap(), "b\ne\n");
    let new = look(bench, &new).await;
    assert!(new.ports.is_empty());
    assert_eq!(new.restart_policy, "no");
    assert_eq!(new.health_check, None);
    assert_eq!(new.networks.keys().collect::<Vec<_>>(), [&inner]);
    let aliases = &new.networks[&inner].aliases;
    assert!(!aliases.contains(&"web".to_owned()), "{aliases:?}");
    assert!(!new.labels.contains_key("com.docker.compose.service"));
    assert_eq!(new.labels[ROLE_LABEL], "migrate");
    assert!(
        look(bench, &id).await.state.running,
        "the old one is left alone"
    );
}
