//! The contract of the runtime port (`tests/contract`), held against a real engine, and what only the adapter to one has to
//! keep.
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

mod contract;
mod corner;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use contract::{Bench, Does, MINUTE, Registry, Says, every_clause};
use corner::{Corner, LAB_LABEL, corner, docker, env};
use jiff::Timestamp;
use mastopatch::adapters::docker::Engine;
use mastopatch::ports::runtime::{ContainerRuntime, Exec, RuntimeError};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// Held by whoever uses the engine; for itself by whoever restarts it.
static ENGINE: RwLock<()> = RwLock::const_new(());

macro_rules! held_by_the_engine {
    (
        [$($group:ident::$clause:ident,)*]
        [$($alone_group:ident::$alone:ident,)*]
    ) => {
        $(
            #[tokio::test]
            async fn $clause() {
                let _with_others = ENGINE.read().await;
                contract::$group::$clause(&real(stringify!($clause)).await).await;
            }
        )*
        $(
            #[tokio::test]
            async fn $alone() {
                // Somebody's own engine is not restarted.
                if env("LAB_ENGINE_OWNED") == "1" {
                    let _without_others = ENGINE.write().await;
                    contract::$alone_group::$alone(&real(stringify!($alone)).await).await;
                }
            }
        )*
    };
}
every_clause!(held_by_the_engine);

/// A corner of the lab's engine.
#[derive(Debug)]
struct Real {
    corner: Corner,
    since: Instant,
}

async fn real(name: &str) -> Real {
    Real {
        corner: corner(name).await,
        since: Instant::now(),
    }
}

impl Bench for Real {
    type Runtime = Engine;

    fn runtime(&self) -> &Engine {
        &self.corner.engine
    }

    fn name(&self) -> &str {
        &self.corner.name
    }

    fn image(&self) -> String {
        self.corner.image.clone()
    }

    fn labels(&self) -> Value {
        json!({LAB_LABEL: self.corner.name})
    }

    fn command(&self, does: &Does) -> Vec<String> {
        ["/bin/sh", "-c", &shell_line(does)]
            .map(str::to_owned)
            .into()
    }

    fn network(&self, name: &str, internal: bool) {
        let what = name.strip_prefix(&format!("{}-", self.name()));
        self.corner.network(what.unwrap(), internal);
    }

    fn free_port(&self) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    }

    fn make_image(&self, reference: &str) {
        let label = format!("{LAB_LABEL}={}", self.name());
        let container = docker(&["create", "--label", &label, &self.corner.image, "true"]);
        let change = format!("LABEL {label}");
        let made = docker(&["commit", "-c", &change, &container, reference]);
        assert!(made.starts_with("sha256:"), "{reference}: {made}");
        docker(&["rm", &container]);
    }

    fn take_image(&self, reference: &str) {
        assert!(!docker(&["rmi", "-f", reference]).is_empty());
    }

    fn registry(&self) -> Registry {
        let host = env("LAB_REGISTRY");
        Registry {
            repository: format!("{host}/mastodon/mastodon"),
            tag: "v4.5.7".to_owned(),
            other: format!("{host}/mastodon/mastodon-streaming"),
            unknown: format!("{host}/no/such"),
        }
    }

    async fn moment(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    fn clock(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn restart_engine(&self) {
        let lab = Path::new(&env("LAB_DIR")).join("lab.sh");
        let done = Command::new(lab).args(["engine", "restart"]).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

/// The shell's program for a behaviour. It listens to its signal when its first line is written.
fn shell_line(does: &Does) -> String {
    let mut lines = vec![match does.on_term {
        Some(code) => format!("trap 'exit {code}' TERM"),
        None => "trap '' TERM".to_owned(),
    }];
    for line in &does.says {
        lines.push(match line {
            Says::Out(text) => format!("echo {text}"),
            Says::Err(text) => format!("echo {text} >&2"),
            Says::Variable(name) => format!("echo \"${name}\""),
        });
        // Two streams have no order but that of time.
        lines.push("sleep 0.1".to_owned());
    }
    lines.push(match does.lasts {
        None => "while :; do sleep 0.1; done".to_owned(),
        Some(length) => format!("sleep {}; exit {}", length.as_secs_f64(), does.ends),
    });
    lines.join("; ")
}

// What follows speaks of the adapter alone.

/// Of a connection: there is none to the simulated engine.
#[tokio::test]
async fn a_socket_that_is_no_engine_is_unreachable() {
    for path in ["/nonexistent.sock", "/etc/hostname"] {
        let err = Engine::connect(Path::new(path)).await.unwrap_err();
        assert!(matches!(err, RuntimeError::Unreachable { .. }), "{err:?}");
    }
}

/// Of a registry that the engine does not reach: the simulated one has no network to its registry.
#[tokio::test]
async fn a_dead_registry_is_told_apart_from_a_missing_image() {
    let _with_others = ENGINE.read().await;
    let corner = corner("dead").await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let dead = "127.0.0.1:9/a/b";
    for err in [
        corner
            .engine
            .resolve(&format!("{dead}:v0.0.0"))
            .await
            .unwrap_err(),
        corner
            .engine
            .ensure_image(dead, &digest, MINUTE, &|_| {})
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(err, RuntimeError::Registry { .. }), "{err:?}");
    }
}

/// Of bytes on a stream: simulated commands write a few lines.
#[tokio::test]
async fn the_output_of_a_command_is_cut() {
    let _with_others = ENGINE.read().await;
    let corner = corner("cut").await;
    let line = shell_line(&Does::runs());
    let id = corner.running("toolbox", &line).await;
    let exec = Exec {
        command: &["sh", "-c", "head -c 5000000 /dev/zero"],
        env: &[],
        limit: MINUTE,
    };
    let done = corner.engine.exec(&id, exec).await.unwrap();
    assert_eq!((done.exit, done.stdout.len()), (0, 4 << 20));
}
