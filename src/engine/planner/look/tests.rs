//! Looks at hosts as they really are.

pub(crate) mod fake;

use std::collections::BTreeMap;

use fake::{FakeHost, container, host_with, instance};

use super::*;
use crate::domain::installed::{Origin, Said, Witness};
use crate::engine::planner::survey::PROJECT;

const MAIN: &str = "ghcr.io/mastodon/mastodon";
const STREAMING: &str = "ghcr.io/mastodon/mastodon-streaming";

/// The official Compose file since 4.3.
fn official(version: &str) -> FakeHost {
    let main = format!("{MAIN}:v{version}");
    host_with(
        vec![
            container("sidekiq", &main, "tini -- bundle exec sidekiq"),
            container(
                "streaming",
                &format!("{STREAMING}:v{version}"),
                "tini -- node ./streaming/index.js",
            ),
            container("web", &main, "tini -- bundle exec puma -C config/puma.rb"),
        ],
        version,
    )
}

async fn seen(host: &FakeHost, depth: Depth) -> (Installed, Host) {
    host.eyes().look(&instance(), depth).await.unwrap()
}

fn said(installed: &Installed, witness: Witness) -> &Said {
    let found = installed
        .testimonies
        .iter()
        .find(|it| it.witness == witness);
    &found.unwrap().said
}

#[tokio::test]
async fn on_the_official_compose_file_every_witness_speaks_and_agrees() {
    let host = official("4.5.8");
    let (installed, host_seen) = seen(&host, Depth::Thorough).await;
    assert_eq!(installed.version.to_string(), "4.5.8");
    assert_eq!(installed.origin, Origin::Upstream);
    assert_eq!(installed.disagreements, Vec::<String>::new());
    assert_eq!(installed.commit.as_deref(), Some("abc"));
    let version = Said::Version {
        version: "4.5.8".parse().unwrap(),
    };
    for witness in [Witness::Api, Witness::Tootctl, Witness::ImageTag] {
        assert_eq!(said(&installed, witness), &version, "{witness:?}");
    }
    for witness in [Witness::ImageEnvironment, Witness::Schema] {
        let said = said(&installed, witness);
        assert!(matches!(said, Said::Fits { .. }), "{witness:?}: {said:?}");
    }
    assert_eq!(host_seen.postgresql, Some(140_011));
    assert_eq!(host_seen.redis.as_deref(), Some("7.2.4"));
    assert_eq!(host_seen.duplicate_accounts, Some(0));
    assert_eq!(host_seen.not_seen, Vec::<String>::new());
    let services: Vec<_> = host_seen
        .services
        .iter()
        .map(|it| (it.name.as_str(), it.role, it.streaming_image))
        .collect();
    assert_eq!(
        services,
        [
            ("web", Role::Web, false),
            ("streaming", Role::Streaming, true),
            ("sidekiq", Role::Sidekiq, false),
        ]
    );
    assert!(host_seen.services[0].public_mounts.is_empty());
    assert_eq!(host_seen.services[0].keys.get("OTP_SECRET"), Some(&true));
}

#[tokio::test]
async fn a_quick_look_runs_nothing_in_a_container_and_counts_nothing() {
    let host = official("4.5.8");
    let (installed, host_seen) = seen(&host, Depth::Quick).await;
    assert!(matches!(
        said(&installed, Witness::Tootctl),
        Said::Silent { .. }
    ));
    assert_eq!(host_seen.duplicate_accounts, None);
    let asked = host.asked.lock().unwrap();
    assert!(
        asked.iter().all(|it| it.starts_with("id-web /opt/")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn mastodon_before_4_3_with_one_image_is_understood() {
    let main = "tootsuite/mastodon:v4.2.20";
    let mut web = container("web", main, "bash -c rm -f x; bundle exec rails s -p 3000");
    web.env.insert("ES_ENABLED".to_owned(), "true".to_owned());
    web.mounts.push("/opt/mastodon/public/".to_owned());
    let host = host_with(
        vec![
            web,
            container("streaming", main, "node ./streaming"),
            container("sidekiq", main, "bundle exec sidekiq"),
        ],
        "4.2.20",
    );
    let (installed, host_seen) = seen(&host, Depth::Thorough).await;
    assert_eq!(installed.version.to_string(), "4.2.20");
    assert_eq!(installed.origin, Origin::Upstream);
    assert_eq!(installed.disagreements, Vec::<String>::new());
    let web = &host_seen.services[0];
    assert!(web.rails_server && web.search);
    assert_eq!(web.public_mounts, ["/opt/mastodon/public/"]);
    assert!(!host_seen.services[1].streaming_image);
}

#[tokio::test]
async fn mastodon_before_4_0_is_asked_by_its_older_interface() {
    let host = host_with(
        vec![container("web", "tootsuite/mastodon:v3.5.3", "rails s")],
        "3.5.3",
    );
    let (installed, _) = seen(&host, Depth::Quick).await;
    assert!(matches!(
        said(&installed, Witness::Api),
        Said::Version { .. }
    ));
}

#[tokio::test]
async fn forks_and_images_with_everything_in_them_are_known_for_what_they_are() {
    let fork = host_with(
        vec![container(
            "web",
            "ghcr.io/glitch-soc/mastodon:v4.5.8",
            "puma",
        )],
        "4.5.8+glitch",
    );
    let (installed, _) = seen(&fork, Depth::Thorough).await;
    assert_eq!(installed.version.to_string(), "4.5.8+glitch");
    assert!(matches!(installed.origin, Origin::Fork { .. }));
    assert_eq!(installed.disagreements, Vec::<String>::new());

    let mut all_in_one = host_with(
        vec![container(
            "mastodon",
            "lscr.io/linuxserver/mastodon:4.7.1-ls211",
            "/init",
        )],
        "4.7.1",
    );
    all_in_one.api = None;
    let (installed, _) = seen(&all_in_one, Depth::Thorough).await;
    assert_eq!(installed.version.to_string(), "4.7.1");
    assert!(matches!(installed.origin, Origin::AllInOne { .. }));
    assert!(
        all_in_one.asked.lock().unwrap().is_empty(),
        "its paths are others"
    );

    let built_here = host_with(vec![container("web", "mine/social:7", "puma")], "4.5.8");
    let (installed, _) = seen(&built_here, Depth::Quick).await;
    assert_eq!(
        installed.origin,
        Origin::Fork {
            name: "mine/social".to_owned()
        }
    );
}

#[tokio::test]
async fn a_neighbour_that_also_runs_puma_is_not_taken_for_mastodon() {
    let mut host = official("4.5.8");
    let mut neighbour = container("shop", "shop/shop:v1.2.3", "bundle exec puma");
    host.containers.push(neighbour.clone());
    neighbour.env.clear();
    neighbour.name = "other".to_owned();
    host.containers.push(neighbour);
    let relay = container("relay", "ghcr.io/mastodon/relay:v0.1.2", "relay");
    host.containers.push(relay);
    let (installed, host_seen) = seen(&host, Depth::Quick).await;
    assert_eq!(installed.origin, Origin::Upstream);
    assert_eq!(installed.disagreements, Vec::<String>::new());
    assert_eq!(host_seen.services.len(), 3);
    assert_eq!(host_seen.not_seen, Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_the_container_knows_by_id_only_has_its_name_from_the_engine() {
    let mut host = official("4.5.8");
    for container in &mut host.containers {
        if container.id == "id-web" {
            container.image = container.image_id.clone();
        }
    }
    let (installed, _) = seen(&host, Depth::Quick).await;
    assert_eq!(installed.origin, Origin::Upstream);
    assert!(matches!(
        said(&installed, Witness::ImageTag),
        Said::Version { .. }
    ));
}

#[tokio::test]
async fn a_witness_that_fails_is_silent_and_says_why() {
    let mut host = official("4.5.8");
    host.tootctl = Err((1, "cannot load such file".to_owned()));
    host.api = None;
    host.postgresql = None;
    host.redis = None;
    host.files.clear();
    let (installed, host_seen) = seen(&host, Depth::Thorough).await;
    assert_eq!(
        installed.version.to_string(),
        "4.5.8",
        "the tag still speaks"
    );
    assert_eq!(installed.disagreements, Vec::<String>::new());
    for (witness, words) in [
        (Witness::Api, "connection refused"),
        (Witness::Tootctl, "it ended with 1: cannot load such file"),
        (Witness::Schema, "no migrations at /opt/mastodon/db"),
    ] {
        let Said::Silent { why } = said(&installed, witness) else {
            panic!("{witness:?} speaks");
        };
        assert!(why.contains(words), "{why}");
    }
    assert_eq!((host_seen.postgresql, host_seen.redis), (None, None));
    assert_eq!(host_seen.not_seen.len(), 2, "{:?}", host_seen.not_seen);
}

#[tokio::test]
async fn a_schema_that_does_not_belong_to_the_image_is_a_disagreement() {
    let mut host = official("4.5.8");
    host.files.push("20250101000000_b.rb".to_owned());
    let (installed, _) = seen(&host, Depth::Quick).await;
    assert_eq!(installed.disagreements.len(), 1, "forgotten");
    let mut host = official("4.5.8");
    host.applied.push("20250101000000".to_owned());
    let (installed, _) = seen(&host, Depth::Quick).await;
    assert_eq!(installed.disagreements.len(), 1, "downgraded");
}

#[tokio::test]
async fn servers_that_cannot_be_followed_are_told_and_no_secret_is() {
    for (key, value, words) in [
        (
            "DATABASE_URL",
            "postgres://u:hunter2@h:6432/x",
            "DATABASE_URL names `h`",
        ),
        (
            "DATABASE_URL",
            "postgres:///x?password=hunter2",
            "DATABASE_URL names no host",
        ),
        ("DB_HOST", "10.0.0.1", "DB_HOST names `10.0.0.1`"),
        ("DB_PORT", "x", "DB_PORT is `x`"),
        ("REDIS_URL", "redis://:hunter2@h", "REDIS_URL names `h`"),
        (
            "REDIS_URL",
            "rediss://:hunter2@redis",
            "REDIS_URL does not begin with",
        ),
    ] {
        let mut host = official("4.5.8");
        for container in &mut host.containers {
            container.env.insert(key.to_owned(), value.to_owned());
        }
        let (installed, host_seen) = seen(&host, Depth::Thorough).await;
        let told = format!("{installed:?}{host_seen:?}");
        assert!(told.contains(words), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

/// The database, moved out of the instance's project under another name.
fn moved_out(host: &mut FakeHost) -> Container {
    let place = host.containers.iter().position(|it| it.id == "id-db");
    let mut database = host.containers.remove(place.unwrap());
    database.labels = BTreeMap::from([(PROJECT.to_owned(), "shared".to_owned())]);
    database.name = "pg".to_owned();
    database
}

fn said_of_server(host_seen: &Host) -> (Option<u32>, String) {
    (host_seen.postgresql, host_seen.not_seen.join(" "))
}

#[tokio::test]
async fn a_server_of_another_project_is_found_by_name_alias_and_address() {
    for (db_host, is_found) in [
        ("pg", true),
        ("db", true),
        ("172.20.0.9", true),
        ("172.20.0.8", false),
        ("mastodon-db-1", false),
    ] {
        let mut host = official("4.5.8");
        let mut database = moved_out(&mut host);
        database.networks.get_mut("internal").unwrap().ip = Some("172.20.0.9".parse().unwrap());
        host.others.push(database);
        for container in &mut host.containers {
            container
                .env
                .insert("DB_HOST".to_owned(), db_host.to_owned());
        }
        let (_, host_seen) = seen(&host, Depth::Quick).await;
        assert_eq!(host_seen.postgresql.is_some(), is_found, "{db_host}");
        let wanted =
            is_found.then(|| "PostgreSQL is container `pg` of project `shared`.".to_owned());
        assert_eq!(host_seen.outside, Vec::from_iter(wanted), "{db_host}");
        let (_, told) = said_of_server(&host_seen);
        let why = format!("DB_HOST names `{db_host}`, and no running container has that name");
        assert_eq!(told.contains(&why), !is_found, "{told}");
    }
    let mut alone = official("4.5.8");
    let mut database = moved_out(&mut alone);
    database.labels.clear();
    alone.others.push(database);
    let (_, host_seen) = seen(&alone, Depth::Quick).await;
    let wanted = "PostgreSQL is container `pg`, which is of no Compose project.";
    assert_eq!(host_seen.outside, [wanted]);
}

#[tokio::test]
async fn a_name_to_which_two_containers_answer_is_nobodys() {
    let mut host = official("4.5.8");
    let mut other = moved_out(&mut host);
    host.others.push(other.clone());
    // One that does not run, or that web does not meet, takes nothing away.
    other.id = "id-other".to_owned();
    other.name = "pg2".to_owned();
    other.state.running = false;
    host.others.push(other.clone());
    other.state.running = true;
    let endpoint = other.networks.remove("internal").unwrap();
    other.networks.insert("elsewhere".to_owned(), endpoint);
    host.others.push(other);
    assert_eq!(
        said_of_server(&seen(&host, Depth::Quick).await.1).0,
        Some(140_011)
    );
    // Whether the network has a way out makes no difference.
    for container in &mut host.containers {
        if container.id == "id-web" {
            let endpoint = container.networks["internal"].clone();
            container.networks.insert("elsewhere".to_owned(), endpoint);
        }
    }
    let (version, told) = said_of_server(&seen(&host, Depth::Quick).await.1);
    assert_eq!(version, None);
    assert!(
        told.contains("`pg2` (in elsewhere), `pg` (in internal)"),
        "{told}"
    );
}

#[tokio::test]
async fn a_name_that_webs_own_hosts_file_has_an_address_for_is_not_followed() {
    let mut host = official("4.5.8");
    for container in &mut host.containers {
        container.raw = serde_json::json!({"HostConfig": {"ExtraHosts": ["db:10.0.0.9"]}});
    }
    let (version, told) = said_of_server(&seen(&host, Depth::Quick).await.1);
    assert_eq!(version, None);
    assert!(told.contains("`extra_hosts`"), "{told}");
}

#[tokio::test]
async fn a_role_that_could_not_restore_the_database_is_told_with_the_cure() {
    let mut host = official("4.5.8");
    assert!(seen(&host, Depth::Quick).await.1.no_way_back.is_empty());
    host.may_create_databases = false;
    let (_, host_seen) = seen(&host, Depth::Quick).await;
    assert!(
        host_seen.no_way_back[0].contains("ALTER ROLE \"mastodon\" CREATEDB"),
        "{host_seen:?}"
    );
}

#[tokio::test]
async fn a_pgbouncer_is_recognised() {
    for (key, value, words) in [
        ("DB_PORT", "6432", "DB_PORT is 6432"),
        (
            "PREPARED_STATEMENTS",
            "false",
            "PREPARED_STATEMENTS is false",
        ),
        (
            "DATABASE_URL",
            "postgres://u:p@h:6432/x",
            "DATABASE_URL names port 6432",
        ),
        ("DB_HOST", "pgbouncer", "DB_HOST leads to `pgbouncer`"),
    ] {
        let mut host = official("4.5.8");
        for container in &mut host.containers {
            container.env.insert(key.to_owned(), value.to_owned());
        }
        let (_, host_seen) = seen(&host, Depth::Quick).await;
        assert_eq!(host_seen.pgbouncer.as_deref(), Some(words));
    }
    let mut host = official("4.5.8");
    for container in &mut host.containers {
        if container.id == "id-db" {
            container.image = "edoburu/pgbouncer:1.22".to_owned();
        }
    }
    let (_, host_seen) = seen(&host, Depth::Quick).await;
    assert_eq!(
        host_seen.pgbouncer.as_deref(),
        Some("DB_HOST leads to `db`")
    );
}

#[tokio::test]
async fn without_mastodon_without_a_version_and_without_an_engine_there_is_no_answer() {
    let host = host_with(Vec::new(), "4.5.8");
    let err = host
        .eyes()
        .look(&instance(), Depth::Quick)
        .await
        .unwrap_err();
    assert!(
        err.to_string()
            .contains("found are: postgres:14-alpine, redis:7-alpine"),
        "{err}"
    );

    let mut host = official("4.5.8");
    host.api = None;
    for container in &mut host.containers {
        container.image = container.image.replace(":v4.5.8", ":latest");
    }
    let err = host
        .eyes()
        .look(&instance(), Depth::Quick)
        .await
        .unwrap_err();
    assert!(
        err.to_string().contains("nothing says which version runs"),
        "{err}"
    );

    host.is_gone = true;
    let err = host
        .eyes()
        .look(&instance(), Depth::Quick)
        .await
        .unwrap_err();
    assert!(
        matches!(err, StepError::Runtime(RuntimeError::Unreachable { .. })),
        "{err}"
    );
}
