//! Helper containers: the server's own image, with a folder of this host mounted, in the server's network.
//!
//! The tools in them have exactly the server's version. They carry the run's labels and are removed with
//! the run; they hold no data of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ports::database::{DataError, DataResult, OnBehalf};
use crate::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, Exec, ExecDone, INSTANCE_LABEL, ROLE_LABEL,
    RUN_LABEL, RuntimeError,
};

/// Where the folder is inside.
pub(super) const INSIDE: &str = "/mastopatch";
/// Longest time for a question; work that takes longer brings its own limit.
pub(super) const QUESTION: Duration = Duration::from_secs(120);

/// One kind of helper.
pub(super) struct Kind<'a> {
    /// Part of its name and its role label.
    pub(super) role: &'static str,
    /// What it is called in errors.
    pub(super) what: &'a str,
    /// Program and arguments; it has to stay.
    pub(super) command: &'a [&'a str],
    /// Whether it may write into the folder.
    pub(super) writes: bool,
}

/// Makes sure a helper runs, made from the image of container `server`, and gives its id.
pub(super) async fn ensure<R: ContainerRuntime>(
    runtime: &R,
    server: &str,
    network: &str,
    on_behalf: &OnBehalf,
    dir: &Path,
    kind: &Kind<'_>,
) -> DataResult<String> {
    let server = server_of(runtime, server, kind.what).await?;
    let mount = if kind.writes { "rw" } else { "ro" };
    let (program, arguments) = kind.command.split_at(1);
    let mut host = json!({
        "Binds": [format!("{}:{INSIDE}:{mount}", dir.display())],
        "NetworkMode": network,
        "RestartPolicy": { "Name": "no" },
        "Init": true,
        "CapDrop": ["NET_RAW", "SYS_CHROOT", "MKNOD"],
        "Tmpfs": over_volumes(runtime, &server.image_id).await?,
    });
    if on_behalf.gently {
        gently(&mut host);
    }
    let body = json!({
        "Image": server.image_id,
        "User": "0:0",
        "Entrypoint": program,
        "Cmd": arguments,
        "Healthcheck": { "Test": ["NONE"] },
        "Labels": labels(on_behalf, kind.role),
        "HostConfig": host,
        "NetworkingConfig": { "EndpointsConfig": { network: {} } },
    });
    let name = format!("mastopatch_{}_{}", kind.role, on_behalf.short_run);
    start_anew(runtime, &name, body, kind.what).await
}

/// The container of a server; `what` is what the one that is made after it is called in errors.
pub(super) async fn server_of<R: ContainerRuntime>(
    runtime: &R,
    name: &str,
    what: &str,
) -> DataResult<Container> {
    let problem = |source| DataError::Container {
        what: what.to_owned(),
        source,
    };
    let found = runtime.container(name).await.map_err(problem)?;
    found.ok_or_else(|| {
        problem(RuntimeError::NotFound {
            what: "container",
            name: name.to_owned(),
        })
    })
}

/// Under what a throw-away server answers in its own network: the live server's host name, so that Mastodon needs no other
/// environment. An address is not for a container to choose; there its own name stands in.
pub(super) fn host_of_scratch(live: &str, container: &str) -> String {
    let is_address = live.parse::<IpAddr>().is_ok();
    if is_address { container } else { live }.to_owned()
}

/// Makes a container and starts it; gives its id. One of an earlier attempt, which may have another folder mounted, is removed
/// first. `what` is what it is called in errors.
pub(super) async fn start_anew<R: ContainerRuntime>(
    runtime: &R,
    name: &str,
    body: Value,
    what: &str,
) -> DataResult<String> {
    let problem = |source| DataError::Container {
        what: what.to_owned(),
        source,
    };
    runtime.ensure_removed(name).await.map_err(problem)?;
    let spec = ContainerSpec {
        body,
        more_networks: Vec::new(),
    };
    let id = runtime.ensure_created(name, &spec).await.map_err(problem)?;
    runtime.ensure_running(&id).await.map_err(problem)?;
    Ok(id)
}

/// Labels of a helper.
pub(super) fn labels(on_behalf: &OnBehalf, role: &str) -> Value {
    json!({
        RUN_LABEL: on_behalf.run,
        ROLE_LABEL: role,
        INSTANCE_LABEL: on_behalf.instance,
    })
}

/// Empty folders in memory at the places for which an image declares volumes: the engine would make a volume of no name
/// for each, which outlives the container.
pub(super) async fn over_volumes<R: ContainerRuntime>(
    runtime: &R,
    image: &str,
) -> DataResult<BTreeMap<String, String>> {
    let found = runtime
        .image(image)
        .await
        .map_err(|source| DataError::Container {
            what: format!("image `{image}`"),
            source,
        })?;
    let declared = found.and_then(|image| image.raw.pointer("/Config/Volumes").cloned());
    let places = declared.as_ref().and_then(Value::as_object);
    let places = places.into_iter().flat_map(serde_json::Map::keys);
    Ok(places.map(|place| (place.clone(), String::new())).collect())
}

/// Lets a container give way to others: a quarter of the usual share of the processors, a fifth of the disks'. It matters only
/// where both want the same at the same moment. Weights are asked of the engine, because not every image has `nice`, and
/// `ionice` works with one scheduler only; an engine that cannot weigh disks leaves that out by itself.
pub(super) fn gently(host: &mut Value) {
    host["CpuShares"] = json!(256);
    host["BlkioWeight"] = json!(100);
}

/// Runs a command in a container; an exit code other than 0 is an error of `tool`.
pub(super) async fn run<R: ContainerRuntime>(
    runtime: &R,
    container: &str,
    tool: &'static str,
    exec: Exec<'_>,
) -> DataResult<String> {
    let what = format!("container `{container}`");
    let done = runtime
        .exec(container, exec)
        .await
        .map_err(|source| DataError::Container { what, source })?;
    match done {
        ExecDone {
            exit: 0, stdout, ..
        } => Ok(stdout),
        ExecDone {
            exit,
            stdout,
            stderr,
        } => {
            let said = if stderr.trim().is_empty() {
                stdout
            } else {
                stderr
            };
            Err(DataError::Tool {
                tool,
                exit,
                stderr: shortened(&said),
            })
        }
    }
}

/// The end of what a tool wrote, on one line.
pub(super) fn shortened(text: &str) -> String {
    /// Characters of a tool's output that fit into an error a person reads.
    const MAX: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let n_chars = line.chars().count();
    line.chars().skip(n_chars.saturating_sub(MAX)).collect()
}
