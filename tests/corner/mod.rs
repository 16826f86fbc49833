//! One test's own corner of the lab; everything in it is gone when it is dropped, also after a panic.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use mastopatch::adapters::docker::Engine;
use mastopatch::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, ROLE_LABEL, RUN_LABEL,
};
use serde_json::json;

/// The label that the lab sweeps up by.
pub const LAB_LABEL: &str = "org.mastopatch.lab";
/// Long enough for anything that is not a download.
pub const MINUTE: Duration = Duration::from_secs(60);

/// A connection, a name that nothing else uses, and an image with a shell that is on the engine.
#[derive(Debug)]
pub struct Corner {
    pub engine: Engine,
    pub name: String,
    pub image: String,
}

/// What the lab says.
pub fn env(key: &str) -> String {
    std::env::var(key).unwrap_or_else(|_| {
        panic!("{key} is not set; run this under the lab: `tests/lab/lab.sh run cargo test ...`")
    })
}

/// The engine's socket.
pub fn socket() -> PathBuf {
    let host = env("DOCKER_HOST");
    let path = host.strip_prefix("unix://");
    path.expect("DOCKER_HOST is a Unix socket").into()
}

/// What the Docker CLI says.
pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Asks again and again until there is an answer.
#[allow(dead_code, reason = "not every test file waits")]
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let waits = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let answer = tokio::time::timeout(limit, waits).await;
    answer.unwrap_or_else(|_late| panic!("not within {} s: {what}", limit.as_secs()))
}

/// Removes every container, network, volume and image with the label.
pub fn sweep(label: &str) {
    let filter = format!("label={label}");
    for (list, remove) in [
        (&["ps", "-a"][..], &["rm", "-f", "-v"][..]),
        (&["network", "ls"], &["network", "rm"]),
        (&["volume", "ls"], &["volume", "rm"]),
        (&["images"], &["rmi", "-f"]),
    ] {
        let ids = docker(&[list, &["-q", "--filter", &filter]].concat());
        for id in ids.split_whitespace() {
            docker(&[remove, &[id]].concat());
        }
    }
}

/// The corner of this name, swept clean of what an earlier, killed test left.
pub async fn corner(name: &str) -> Corner {
    let engine = Engine::connect(&socket()).await.unwrap();
    let repository = format!("{}/lab/redis", env("LAB_REGISTRY"));
    let remote = engine.resolve(&format!("{repository}:7")).await.unwrap();
    let image = engine
        .ensure_image(&repository, &remote.digest, 10 * MINUTE, &|_| {})
        .await
        .unwrap();
    let corner = Corner {
        engine,
        name: format!("mplab{name}"),
        image: image.id,
    };
    corner.sweep();
    corner
}

#[allow(dead_code, reason = "not every test file uses every part")]
impl Corner {
    fn sweep(&self) {
        sweep(&format!("{LAB_LABEL}={}", self.name));
    }

    /// A name in this corner.
    pub fn object(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// A container that runs a shell line, for this role.
    pub fn spec(&self, role: &str, line: &str) -> ContainerSpec {
        ContainerSpec {
            body: json!({
                "Image": self.image, "Entrypoint": ["/bin/sh", "-c"], "Cmd": [line],
                "Labels": {LAB_LABEL: self.name, RUN_LABEL: self.name, ROLE_LABEL: role},
            }),
            more_networks: Vec::new(),
        }
    }

    /// The id of such a container, running.
    pub async fn running(&self, role: &str, line: &str) -> String {
        let name = self.object(role);
        let spec = self.spec(role, line);
        let id = self.engine.ensure_created(&name, &spec).await.unwrap();
        self.engine.ensure_running(&id).await.unwrap();
        id
    }

    /// The container, which is there.
    pub async fn look(&self, id: &str) -> Container {
        let found = self.engine.container(id).await.unwrap();
        found.expect("the container is there")
    }

    /// The name of a new network.
    pub fn network(&self, what: &str, internal: bool) -> String {
        let name = self.object(what);
        let label = format!("{LAB_LABEL}={}", self.name);
        let mut args = vec!["network", "create", "--label", &label];
        if internal {
            args.push("--internal");
        }
        args.push(&name);
        assert!(!docker(&args).is_empty(), "network {name}");
        name
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        self.sweep();
    }
}
