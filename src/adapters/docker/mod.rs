//! The Docker Engine behind the runtime port.
//!
//! Requests with one answer go over [`wire`] as plain JSON; streams (pull, logs, exec, archive) go
//! through bollard. Both speak the API version agreed on when the connection was made. A request that
//! broke or timed out is never taken for done or not done: the engine is asked again what is there.

mod containers;
mod convert;
mod exec;
mod folder;
mod images;
mod networks;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bollard::{BollardRequest, ClientVersion, Docker};
use serde_json::Value;

use crate::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, EngineInfo, Exec, ExecDone, Image, Network,
    PullProgress, RemoteImage, Replacement, RuntimeError, RuntimeResult,
};
use wire::{Wire, WireError};

/// The oldest API spoken with: Engine 20.10, the oldest one that was tried.
const API_MIN: (u32, u32) = (1, 41);

/// The newest API spoken with: that of Engine 29.3, whose answers bollard knows.
const API_MAX: (u32, u32) = (1, 53);

/// Longest time for a question or a small change. Busy engines on slow disks take tens of seconds.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// A connection to the Docker Engine on this host.
#[derive(Debug, Clone)]
pub struct Engine {
    wire: Wire,
    docker: Docker,
    api: (u32, u32),
    version: String,
    platform: String,
}

impl Engine {
    /// Connects to the engine's socket and agrees on an API version.
    ///
    /// [`RuntimeError::Unreachable`] when nothing answers there, or not a container engine; a permanent
    /// error when it is one that is not supported (too old, too new, Podman).
    pub async fn connect(socket: &Path) -> RuntimeResult<Self> {
        let wire = Wire::new(socket);
        let said = match wire.get("/version", CALL_LIMIT).await {
            Ok(said) => said,
            Err(err) => return Err(unreachable(&wire, err)),
        };
        let (Some(newest), version) = (
            api_version(&convert::text(&said, "/ApiVersion")),
            convert::text(&said, "/Version"),
        ) else {
            let answer = "what answers there is no Docker Engine".to_owned();
            return Err(unreachable(&wire, WireError::Nonsense(answer)));
        };
        let oldest = api_version(&convert::text(&said, "/MinAPIVersion")).unwrap_or(API_MIN);
        let api = agree(oldest, newest, &said)?;

        let docker = Docker::connect_with_unix(
            &socket.to_string_lossy(),
            CALL_LIMIT.as_secs(),
            &ClientVersion {
                major_version: usize::try_from(api.0).unwrap_or(1),
                minor_version: usize::try_from(api.1).unwrap_or(0),
            },
        )
        .map_err(|err| RuntimeError::Unreachable {
            socket: socket.display().to_string(),
            source: Box::new(err),
        })?;
        Ok(Self {
            wire: wire.pinned(api),
            docker: docker.with_request_modifier(move |req| with_version(req, api)),
            api,
            version,
            platform: convert::platform(
                &convert::text(&said, "/Os"),
                &convert::text(&said, "/Arch"),
                "",
            ),
        })
    }

    /// An error of a request that only asks: nothing can have happened.
    fn asking(&self, action: impl Into<String>, err: WireError) -> RuntimeError {
        match err {
            WireError::Connect(_) | WireError::Cut(_) | WireError::Slow(_) => {
                unreachable(&self.wire, err)
            }
            WireError::Status { .. } | WireError::Nonsense(_) => RuntimeError::Engine {
                action: action.into(),
                source: Box::new(err),
            },
        }
    }

    /// An error of a request that changes something.
    fn changing(&self, action: impl Into<String>, err: WireError) -> RuntimeError {
        if err.is_open() {
            RuntimeError::Unknown {
                action: action.into(),
                source: Box::new(err),
            }
        } else {
            self.asking(action, err)
        }
    }
}

impl ContainerRuntime for Engine {
    async fn info(&self) -> RuntimeResult<EngineInfo> {
        let info = self
            .wire
            .get("/info", CALL_LIMIT)
            .await
            .map_err(|err| self.asking("describe itself", err))?;
        Ok(EngineInfo {
            version: match convert::text(&info, "/ServerVersion") {
                unsaid if unsaid.is_empty() => self.version.clone(),
                version => version,
            },
            api: format!("{}.{}", self.api.0, self.api.1),
            data_root: convert::text(&info, "/DockerRootDir").into(),
            platform: self.platform.clone(),
        })
    }

    async fn labelled(&self, key: &str, value: &str) -> RuntimeResult<Vec<Container>> {
        self.containers_labelled(key, value).await
    }

    async fn container(&self, name: &str) -> RuntimeResult<Option<Container>> {
        self.find_container(name).await
    }

    async fn network(&self, name: &str) -> RuntimeResult<Option<Network>> {
        self.find_network(name).await
    }

    async fn attached(&self, network: &str) -> RuntimeResult<Vec<Container>> {
        self.containers_in(network).await
    }

    async fn networks_labelled(&self, key: &str, value: &str) -> RuntimeResult<Vec<Network>> {
        self.find_networks(key, value).await
    }

    async fn ensure_isolated_network(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> RuntimeResult<()> {
        self.make_network(name, labels).await
    }

    async fn ensure_no_network(&self, name: &str) -> RuntimeResult<()> {
        self.remove_network(name).await
    }

    async fn image(&self, reference: &str) -> RuntimeResult<Option<Image>> {
        self.find_image(reference).await
    }

    async fn resolve(&self, reference: &str) -> RuntimeResult<RemoteImage> {
        self.remote_image(reference).await
    }

    async fn ensure_image(
        &self,
        repository: &str,
        digest: &str,
        limit: Duration,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> RuntimeResult<Image> {
        self.pull(repository, digest, limit, progress).await
    }

    async fn ensure_tag(&self, id: &str, reference: &str) -> RuntimeResult<()> {
        self.tag(id, reference).await
    }

    async fn ensure_no_tag(&self, reference: &str) -> RuntimeResult<()> {
        self.untag(reference).await
    }

    async fn files_in_image(
        &self,
        id: &str,
        path: &str,
        labels: &BTreeMap<String, String>,
    ) -> RuntimeResult<Vec<String>> {
        self.list_files(id, path, labels).await
    }

    async fn files_in_container(&self, id: &str, path: &str) -> RuntimeResult<Vec<String>> {
        self.list_files_of(id, path).await
    }

    fn replacement(
        &self,
        old: &Container,
        old_image: &Image,
        new_image: &Image,
        wanted: &Replacement,
    ) -> RuntimeResult<ContainerSpec> {
        crate::adapters::recreate::recreate(
            &old.raw,
            &old_image.raw,
            &new_image.raw,
            wanted,
            self.api,
        )
        .map_err(|err| RuntimeError::Unfaithful {
            container: old.name.clone(),
            reason: err.to_string(),
        })
    }

    async fn ensure_created(&self, name: &str, spec: &ContainerSpec) -> RuntimeResult<String> {
        self.create(name, spec).await
    }

    async fn ensure_running(&self, id: &str) -> RuntimeResult<()> {
        self.start(id).await
    }

    async fn ensure_stopped(&self, id: &str, grace: Duration) -> RuntimeResult<()> {
        self.stop(id, grace).await
    }

    async fn signal(&self, id: &str, signal: &str) -> RuntimeResult<()> {
        self.kill(id, signal).await
    }

    async fn ensure_name(&self, id: &str, name: &str) -> RuntimeResult<()> {
        self.rename(id, name).await
    }

    async fn ensure_restart_policy(
        &self,
        id: &str,
        host_config_restart: &Value,
    ) -> RuntimeResult<()> {
        self.set_restart_policy(id, host_config_restart).await
    }

    async fn ensure_removed(&self, id: &str) -> RuntimeResult<()> {
        self.remove(id).await
    }

    async fn ensure_connected(
        &self,
        id: &str,
        network: &str,
        endpoint: &Value,
    ) -> RuntimeResult<()> {
        self.connect_to(id, network, endpoint).await
    }

    async fn ensure_disconnected(&self, id: &str, network: &str) -> RuntimeResult<()> {
        self.disconnect_from(id, network).await
    }

    async fn wait(&self, id: &str, limit: Duration) -> RuntimeResult<i64> {
        self.wait_for_end(id, limit).await
    }

    async fn logs(&self, id: &str, max_lines: usize) -> RuntimeResult<String> {
        self.last_lines(id, max_lines).await
    }

    async fn exec(&self, id: &str, exec: Exec<'_>) -> RuntimeResult<ExecDone> {
        self.run_inside(id, exec).await
    }
}

/// The newest version both sides speak.
fn agree(oldest: (u32, u32), newest: (u32, u32), said: &Value) -> RuntimeResult<(u32, u32)> {
    let refuse = |reason: String| RuntimeError::Engine {
        action: "agree on a way to talk".to_owned(),
        source: Box::new(WireError::Nonsense(reason)),
    };
    let is_podman = said
        .pointer("/Components")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|part| convert::text(part, "/Name").starts_with("Podman"));
    if is_podman {
        return Err(refuse(
            "Podman answers on this socket, and only Docker Engine is supported".to_owned(),
        ));
    }
    if newest < API_MIN {
        return Err(refuse(format!(
            "it speaks API {}.{} at the most, and {}.{} (Engine 20.10) is the oldest supported",
            newest.0, newest.1, API_MIN.0, API_MIN.1
        )));
    }
    if oldest > API_MAX {
        return Err(refuse(format!(
            "it speaks API {}.{} at the least, and {}.{} is the newest supported",
            oldest.0, oldest.1, API_MAX.0, API_MAX.1
        )));
    }
    Ok(newest.min(API_MAX))
}

fn api_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// bollard 0.21 negotiates a version and then leaves it out of the path, so the engine would answer in
/// its newest shape. A path that has a version already is left alone: later bollards may write it.
fn with_version(mut req: BollardRequest, api: (u32, u32)) -> BollardRequest {
    let mut parts = req.uri().clone().into_parts();
    let old = parts
        .path_and_query
        .as_ref()
        .map_or("/", http::uri::PathAndQuery::as_str);
    if !old.starts_with("/v1.") {
        parts.path_and_query = format!("/v{}.{}{old}", api.0, api.1).parse().ok();
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *req.uri_mut() = uri;
        }
    }
    req
}

fn unreachable(wire: &Wire, err: WireError) -> RuntimeError {
    RuntimeError::Unreachable {
        socket: wire.socket().display().to_string(),
        source: Box::new(err),
    }
}

/// What a bollard error says about whether something happened.
fn stream_error(err: bollard::errors::Error) -> WireError {
    use bollard::errors::Error;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "bollard's list of errors grows; all others leave the outcome open"
    )]
    match err {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => WireError::Status {
            code: status_code,
            message,
        },
        Error::DockerStreamError { error } => WireError::Status {
            code: 200,
            message: error,
        },
        Error::JsonDataError { message, .. } => WireError::Nonsense(message),
        Error::SocketNotFoundError(path) => {
            WireError::Connect(std::io::Error::new(std::io::ErrorKind::NotFound, path))
        }
        Error::RequestTimeoutError => WireError::Slow(CALL_LIMIT),
        other => WireError::Cut(Box::new(other)),
    }
}

#[cfg(test)]
mod tests;
