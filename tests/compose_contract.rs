//! Containers made by the real Compose, replaced by ours, and looked at by Compose again.
//!
//! Started by the lab: `tests/lab/lab.sh run cargo test --test compose_contract`.
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
use std::process::Command;
use std::time::Duration;

use corner::{Corner, LAB_LABEL, MINUTE, corner, docker, socket, sweep};
use mastopatch::adapters::compose::Compose;
use mastopatch::ports::compose::{ComposeProject, FileState, Generation};
use mastopatch::ports::runtime::{
    Container, ContainerRuntime, OneOff, ROLE_LABEL, RUN_LABEL, Replacement,
};
use serde_json::{Value, json};

/// A service with about everything in it, and its database, on images `NAME/app:1` and `NAME/app:2`.
const COMPOSE: &str = "version: '3.8'
services:
  db:
    image: NAME/app:1
    entrypoint: [/bin/sh, -c]
    command: ['while :; do sleep 0.1; done']
    networks: [inner]
  web:
    image: NAME/app:${TAG:-1} # the tag
    entrypoint: [/bin/sh, -c]
    command: ['while :; do sleep 0.1; done']
    restart: always
    environment: {SECRET: 'a b', DOLLAR: '$$x'}
    env_file: app.env
    depends_on: [db]
    networks: {outer: {aliases: [front]}, inner: {}}
    ports: ['127.0.0.1::3000']
    volumes: ['named:/named', './bound:/bound:ro', '/anon']
    healthcheck: {test: ['CMD', 'true'], interval: 7s}
    stop_grace_period: 3s
    ulimits: {nofile: 1234}
    extra_hosts: ['somewhere:192.0.2.1']
    labels: {own: label}
    init: true
networks:
  outer: {}
  inner: {internal: true}
volumes:
  named: {}
";

/// A Compose project in a folder of its own, taken down when dropped.
struct Project {
    dir: tempfile::TempDir,
    name: String,
}

impl Project {
    fn compose(&self, args: &[&str]) -> String {
        let words = std::env::var("LAB_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
        let (program, rest) = words.split_once(' ').unwrap_or((&words, ""));
        let output = Command::new(program)
            .args(rest.split_whitespace())
            .args(["-p", &self.name])
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        sweep(&format!("com.docker.compose.project={}", self.name));
        for tag in ["1", "2"] {
            docker(&["rmi", &format!("{}/app:{tag}", self.name)]);
        }
    }
}

async fn project(corner: &Corner) -> Project {
    let dir = tempfile::tempdir().unwrap();
    let name = corner.name.clone();
    sweep(&format!("com.docker.compose.project={name}"));
    for tag in ["1", "2"] {
        let reference = format!("{name}/app:{tag}");
        let tagged = corner.engine.ensure_tag(&corner.image, &reference).await;
        tagged.unwrap();
    }
    let compose = COMPOSE.replace("NAME", &name);
    std::fs::write(dir.path().join("docker-compose.yml"), compose).unwrap();
    std::fs::write(dir.path().join("app.env"), "FROM_FILE=1\n").unwrap();
    std::fs::create_dir(dir.path().join("bound")).unwrap();
    let project = Project { dir, name };
    project.compose(&["up", "-d"]);
    project
}

async fn service(corner: &Corner, project: &Project, service: &str) -> Container {
    let all = corner
        .engine
        .labelled("com.docker.compose.project", &project.name)
        .await;
    let mut found = all.unwrap();
    found.retain(|container| container.labels["com.docker.compose.service"] == service);
    assert_eq!(found.len(), 1, "{service}");
    found.remove(0)
}

/// An inspect answer without what differs between any two containers of a service.
fn comparable(container: &Container) -> Value {
    let raw = &container.raw;
    let mut config = raw["Config"].clone();
    let labels = config["Labels"].as_object_mut().unwrap();
    labels.retain(|key, _| !key.starts_with("org.mastopatch."));
    for key in ["config-hash", "image", "replace"] {
        labels.remove(&format!("com.docker.compose.{key}"));
    }
    let mut env: Vec<_> = config["Env"].as_array().unwrap().clone();
    env.retain(|entry| !entry.as_str().unwrap().starts_with("affinity:"));
    env.sort_by_key(Value::to_string);
    config["Env"] = json!(env);
    let hostname = config["Hostname"].as_str().unwrap();
    assert!(container.id.starts_with(hostname), "{hostname}");
    config["Hostname"] = Value::Null;
    config["Image"] = Value::Null;
    // Compose names the volume it inherits in two ways, so the mounts are compared, not the wishes.
    config["Volumes"] = Value::Null;
    let mut host = raw["HostConfig"].clone();
    host["Binds"] = Value::Null;
    let mounts: BTreeMap<_, _> = raw["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            (
                mount["Destination"].to_string(),
                json!([mount["Type"], mount["Source"], mount["RW"]]),
            )
        })
        .collect();
    let endpoints = raw["NetworkSettings"]["Networks"].as_object().unwrap();
    let aliases: BTreeMap<_, _> = endpoints
        .iter()
        .map(|(name, endpoint)| {
            let aliases = endpoint["Aliases"].as_array().unwrap().iter();
            let mut aliases: Vec<_> = aliases.map(|alias| alias.as_str().unwrap()).collect();
            aliases.retain(|alias| !container.id.starts_with(alias));
            aliases.sort_unstable();
            (name.clone(), aliases)
        })
        .collect();
    json!({"Config": config, "HostConfig": host, "Mounts": mounts, "Aliases": aliases})
}

fn labels(corner: &Corner, role: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (RUN_LABEL.to_owned(), corner.name.clone()),
        (ROLE_LABEL.to_owned(), role.to_owned()),
        (LAB_LABEL.to_owned(), corner.name.clone()),
    ])
}

#[tokio::test]
async fn the_hash_of_the_untouched_file_is_the_one_on_the_containers() {
    let corner = corner("hash").await;
    let project = project(&corner).await;
    let web = service(&corner, &project, "web").await;
    let compose = Compose::new(&socket());
    let files = compose.files(&web.name, &web.labels).unwrap();
    let expected = project.dir.path().join("docker-compose.yml");
    assert_eq!(files.config_files, [expected]);
    let services = ["web".to_owned(), "db".to_owned()];
    let hashes = compose.hashes(&files, &[], &services).await.unwrap();
    for name in &services {
        let container = service(&corner, &project, name).await;
        let label = &container.labels["com.docker.compose.config-hash"];
        assert_eq!(&hashes[name], label, "{name}");
    }
}

#[tokio::test]
async fn the_hash_of_an_edit_is_the_one_of_the_written_file() {
    let corner = corner("edit").await;
    let project = project(&corner).await;
    let web = service(&corner, &project, "web").await;
    let compose = Compose::new(&socket());
    let files = compose.files(&web.name, &web.labels).unwrap();
    let reference = format!("{}/app:2", project.name);
    let images = BTreeMap::from([("web".to_owned(), reference)]);
    let services = ["web".to_owned()];
    let old = &web.labels["com.docker.compose.config-hash"];
    let yml = project.dir.path().join("docker-compose.yml");
    let env = project.dir.path().join(".env");
    for edited in [&yml, &env] {
        if edited == &env {
            std::fs::write(&env, "TAG=1\n").unwrap();
        }
        let edits = compose.edits(&files, &images).unwrap();
        assert_eq!([&edits[0].path], [edited]);
        let told = compose.hashes(&files, &edits, &services).await.unwrap();
        assert_ne!(&told["web"], old);
        compose.ensure_edited(&edits[0]).unwrap();
        let written = compose.hashes(&files, &[], &services).await.unwrap();
        assert_eq!(told, written);
        compose.ensure_restored(&edits[0]).unwrap();
        let back = compose.hashes(&files, &[], &services).await.unwrap();
        assert_eq!(&back["web"], old);
    }
}

#[tokio::test]
async fn a_replacement_is_what_compose_would_have_made_and_compose_leaves_it_alone() {
    let corner = corner("replace").await;
    let engine = &corner.engine;
    let project = project(&corner).await;
    let old = service(&corner, &project, "web").await;
    let compose = Compose::new(&socket());
    let files = compose.files(&old.name, &old.labels).unwrap();
    let reference = format!("{}/app:2", project.name);
    let images = BTreeMap::from([("web".to_owned(), reference.clone())]);
    let edits = compose.edits(&files, &images).unwrap();
    assert_eq!(edits.len(), 1);
    let web = ["web".to_owned()];
    let mut hashes = compose.hashes(&files, &edits, &web).await.unwrap();
    assert_eq!(compose.state(&edits[0]).unwrap(), FileState::Before);

    let image = engine.image(&old.image_id).await.unwrap().unwrap();
    let mut wanted = Replacement {
        image: reference,
        labels: labels(&corner, "new"),
        one_off: None,
    };
    let hash = (
        "com.docker.compose.config-hash",
        hashes.remove("web").unwrap(),
    );
    let by_generation = match files.generation {
        Generation::V1 => None,
        Generation::V2 => Some(("com.docker.compose.image", image.id.clone())),
    };
    for (key, value) in [Some(hash), by_generation].into_iter().flatten() {
        wanted.labels.insert(key.to_owned(), value);
    }
    let spec = engine.replacement(&old, &image, &image, &wanted).unwrap();

    let grace = Duration::from_secs(1);
    engine.ensure_stopped(&old.id, grace).await.unwrap();
    let aside = corner.object("old");
    engine.ensure_name(&old.id, &aside).await.unwrap();
    let id = engine.ensure_created(&old.name, &spec).await.unwrap();
    engine.ensure_running(&id).await.unwrap();
    engine.ensure_removed(&old.id).await.unwrap();
    let edited = compose.ensure_edited(&edits[0]).unwrap();
    assert_eq!(edited, FileState::After);

    let new = corner.look(&id).await;
    assert_eq!(comparable(&new), comparable(&old));
    let said = project.compose(&["up", "-d"]);
    assert_eq!(service(&corner, &project, "web").await.id, id, "{said}");

    project.compose(&["up", "-d", "--force-recreate", "web"]);
    let theirs = service(&corner, &project, "web").await;
    assert_ne!(theirs.id, id);
    assert_eq!(
        comparable(&theirs),
        comparable(&new),
        "Compose makes the same"
    );
}

#[tokio::test]
async fn a_one_off_runs_beside_the_service_without_its_names_and_ports() {
    let corner = corner("oneoff").await;
    let engine = &corner.engine;
    let project = project(&corner).await;
    let web = service(&corner, &project, "web").await;
    let image = engine.image(&web.image_id).await.unwrap().unwrap();
    let inner = format!("{}_inner", project.name);
    let wanted = Replacement {
        image: format!("{}/app:2", project.name),
        labels: labels(&corner, "migrate"),
        one_off: Some(OneOff {
            command: vec!["echo $SECRET $EXTRA $FROM_FILE; exit 4".to_owned()],
            env: BTreeMap::from([("EXTRA".to_owned(), "e".to_owned())]),
            networks: vec![inner.clone()],
        }),
    };
    let spec = engine.replacement(&web, &image, &image, &wanted).unwrap();
    let name = corner.object("migrate");
    let id = engine.ensure_created(&name, &spec).await.unwrap();
    engine.ensure_running(&id).await.unwrap();
    assert_eq!(engine.wait(&id, MINUTE).await.unwrap(), 4);
    assert_eq!(engine.logs(&id, 5).await.unwrap(), "a b e 1\n");
    let one_off = corner.look(&id).await;
    assert!(one_off.ports.is_empty());
    assert_eq!(one_off.networks.keys().collect::<Vec<_>>(), [&inner]);
    let aliases = &one_off.networks[&inner].aliases;
    assert!(!aliases.contains(&"web".to_owned()), "{aliases:?}");
    assert!(corner.look(&web.id).await.state.running);
    let said = project.compose(&["up", "-d"]);
    assert_eq!(service(&corner, &project, "web").await.id, web.id, "{said}");
}
