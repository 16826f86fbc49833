//! The simulated engine keeps the contract that the real one keeps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mastopatch::domain::event::MigrationClass;
use mastopatch::domain::plan::Method;
use serde_json::{Value, json};

use crate::clauses::{self, Bench, Does, Registry, Says, every_clause};
use crate::sim::fixture::fixture;
use crate::sim::process::run_to_end;
use crate::sim::script::{Line, Script};
use crate::sim::web::B;
use crate::sim::world::{SimImage, SimPorts};

/// The small image of the simulated host.
const IMAGE: &str = "sha256:redis";
const REGISTRY: &str = "ghcr.io/mastodon";

macro_rules! held_by_the_simulated_engine {
    ($([$($group:ident::$clause:ident,)*])*) => {
        $($(
            #[test]
            fn $clause() {
                let kept = run_to_end(clauses::$group::$clause(&simulated(stringify!($clause))));
                assert_eq!(kept, Some(()), "nothing kills it");
            }
        )*)*
    };
}
every_clause!(held_by_the_simulated_engine);

/// A host of its own.
#[derive(Debug)]
struct Simulated {
    ports: SimPorts,
    name: &'static str,
}

fn simulated(name: &'static str) -> Simulated {
    let mut world = fixture(MigrationClass::M2, Method::Logical).world.clone();
    // Replacements are made from whole answers.
    world.in_full = true;
    Simulated {
        ports: SimPorts::new(world),
        name,
    }
}

impl Simulated {
    fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.ports.world().pass(ms);
    }
}

impl Bench for Simulated {
    type Runtime = SimPorts;

    fn runtime(&self) -> &SimPorts {
        &self.ports
    }

    fn name(&self) -> &str {
        self.name
    }

    fn image(&self) -> String {
        IMAGE.to_owned()
    }

    fn labels(&self) -> Value {
        json!({})
    }

    fn command(&self, does: &Does) -> Vec<String> {
        let lines = does.says.iter().map(|line| match *line {
            Says::Out(text) => Line::Out(text.to_owned()),
            Says::Err(text) => Line::Err(text.to_owned()),
            Says::Variable(name) => Line::Variable(name.to_owned()),
        });
        let script = Script {
            says: lines.collect(),
            lasts_ms: does
                .lasts
                .map(|length| u64::try_from(length.as_millis()).unwrap()),
            ends: does.ends,
            on_term: does.on_term,
        };
        script.command()
    }

    fn network(&self, name: &str, internal: bool) {
        let mut world = self.ports.world();
        world.networks.insert(name.to_owned(), internal);
    }

    fn free_port(&self) -> u16 {
        8080
    }

    fn make_image(&self, reference: &str) {
        let mut world = self.ports.world();
        let like = world.image_named(IMAGE).unwrap();
        let mut image = (*like.image).clone();
        image.id = format!("sha256:made-{}", world.images.len());
        image.repo_digests.clear();
        let made = SimImage {
            id: image.id.as_str().into(),
            tags: BTreeSet::from([reference.to_owned()]),
            version: None,
            image: Arc::new(image),
        };
        world.images.push(made);
    }

    fn take_image(&self, reference: &str) {
        let mut world = self.ports.world();
        world.images.retain(|image| !image.tags.contains(reference));
    }

    fn registry(&self) -> Registry {
        Registry {
            repository: format!("{REGISTRY}/mastodon"),
            tag: format!("v{B}"),
            other: format!("{REGISTRY}/mastodon-streaming"),
            unknown: format!("{REGISTRY}/no-such"),
        }
    }

    async fn moment(&self) {
        self.pass(Duration::from_millis(50));
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.ports.world().now_ms)
    }

    fn clock(&self) -> Timestamp {
        self.ports.world().wall()
    }

    async fn restart_engine(&self) {
        self.ports.world().engine_restart();
        self.pass(Duration::from_secs(10));
    }
}

#[test]
fn every_method_of_the_port_is_in_a_clause() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let port = fs::read_to_string(root.join("src/ports/runtime.rs")).unwrap();
    let (_before, methods) = port.split_once("pub trait ContainerRuntime").unwrap();
    let names = methods.lines().filter_map(|line| {
        let (name, _rest) = line.strip_prefix("    fn ")?.split_once('(')?;
        Some(name)
    });
    let names: Vec<&str> = names.collect();
    assert!(names.contains(&"exec"), "{names:?}");
    let mut clauses = String::new();
    for file in fs::read_dir(root.join("tests/contract")).unwrap() {
        clauses.push_str(&fs::read_to_string(file.unwrap().path()).unwrap());
    }
    let missing: Vec<_> = names
        .into_iter()
        .filter(|name| !clauses.contains(&format!(".{name}(")))
        .collect();
    assert!(missing.is_empty(), "in no clause: {missing:?}");
}
