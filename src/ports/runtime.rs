//! The container engine: what is there, and the effects a run needs.
//!
//! Effects converge: an `ensure_…` describes the state that holds afterwards, and calling it again is
//! harmless. Containers are found by id or name; names are ours to choose, ids are the engine's.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Retry;

/// The label that every object of a run carries: its value is the run's id.
pub const RUN_LABEL: &str = "org.mastopatch.run";
/// The label that says what an object is for: `new`, `migrate`, `toolbox`, `scratch`, `sidekiq-probe`.
pub const ROLE_LABEL: &str = "org.mastopatch.role";
/// The label that names the instance an object belongs to.
pub const INSTANCE_LABEL: &str = "org.mastopatch.instance";

/// One container, as the engine describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// The engine's full id.
    pub id: String,
    /// The name, without the leading slash.
    pub name: String,
    /// The image reference the container was created from (`Config.Image`).
    pub image: String,
    /// The id of the image it runs.
    pub image_id: String,
    /// Labels of the container, those of its image included.
    pub labels: BTreeMap<String, String>,
    /// Environment, that of its image included. It holds secrets: never log it.
    pub env: BTreeMap<String, String>,
    /// Entry point and command, as one list.
    pub command: Vec<String>,
    /// What the engine says it is doing.
    pub state: ContainerState,
    /// Networks by name.
    pub networks: BTreeMap<String, Endpoint>,
    /// Ports published on the host, from the wanted configuration (also when stopped).
    pub ports: Vec<PublishedPort>,
    /// Name of the restart policy (`no`, `always`, `unless-stopped`, `on-failure`).
    pub restart_policy: String,
    /// The command of its health check, on one line, if it has one.
    #[serde(default)]
    pub health_check: Option<String>,
    /// Places inside it at which something is mounted.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// The raw inspect answer. It holds secrets: files with it are 0600.
    pub raw: Value,
}

/// What the engine says a container is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Whether its main process lives.
    pub running: bool,
    /// Exit code of the last main process.
    pub exit_code: i64,
    /// When the main process started last, as the engine writes it. It changes with every restart.
    pub started_at: String,
    /// How often the engine restarted it by its restart policy.
    pub restarts: i64,
}

impl ContainerState {
    /// Whether it ran at any time.
    pub fn started(&self) -> bool {
        !self.started_at.is_empty() && self.started_at != NEVER_STARTED
    }
}

/// How Docker writes that a container was never started.
const NEVER_STARTED: &str = "0001-01-01T00:00:00Z";

/// One container's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address there, while it runs.
    pub ip: Option<IpAddr>,
    /// Its names there.
    pub aliases: Vec<String>,
}

/// A port of a container published on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Port inside the container.
    pub container_port: u16,
    /// Host address, empty for all.
    pub host_ip: String,
    /// Host port; 0 when the engine chooses one.
    pub host_port: u16,
}

/// One image on this host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// The engine's id (of the image configuration).
    pub id: String,
    /// `repository@sha256:…` names under which it was pulled.
    pub repo_digests: Vec<String>,
    /// Tags.
    pub repo_tags: Vec<String>,
    /// The image's own environment.
    pub env: BTreeMap<String, String>,
    /// Bytes, unpacked.
    pub size: u64,
    /// `linux/amd64` and the like.
    pub platform: String,
    /// The raw inspect answer.
    pub raw: Value,
}

/// An image as the registry describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteImage {
    /// `sha256:…` of the manifest (list) the tag points to now.
    pub digest: String,
    /// Platforms the registry has, `linux/amd64` and the like; empty when it does not say.
    pub platforms: Vec<String>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Without a way out and without published ports.
    pub internal: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What to create: the body for the engine's create call and what follows it.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// `POST /containers/create` body: the configuration, `HostConfig` and `NetworkingConfig` with at
    /// most the first network (engines before API 1.44 take only one).
    pub body: Value,
    /// Networks to connect before the first start, by name, with their endpoint configuration.
    pub more_networks: Vec<(String, Value)>,
}

/// What differs between a container and its replacement.
#[derive(Debug, Clone, Default)]
pub struct Replacement {
    /// The image reference to run (`repository:tag`).
    pub image: String,
    /// Labels to set, over the old ones.
    pub labels: BTreeMap<String, String>,
    /// A one-off for this command: no published ports, no health check, no restart, no Compose labels,
    /// no name of its own in the networks.
    pub one_off: Option<OneOff>,
}

/// What a one-off container runs.
#[derive(Debug, Clone, Default)]
pub struct OneOff {
    /// The command; the image's entry point stays.
    pub command: Vec<String>,
    /// Environment on top of the service's.
    pub env: BTreeMap<String, String>,
    /// The only networks it gets, by name.
    pub networks: Vec<String>,
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    /// Bytes of layers here.
    pub done: u64,
    /// Bytes of layers known so far; grows while layers are announced.
    pub total: u64,
}

/// A command to run inside a running container.
#[derive(Debug, Clone)]
pub struct Exec<'a> {
    /// Program and arguments. Shown in the engine's events: no secrets.
    pub command: &'a [&'a str],
    /// Environment; secrets go here.
    pub env: &'a [(&'a str, &'a str)],
    /// Longest time it may take.
    pub limit: Duration,
}

/// How a command inside a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecDone {
    /// Exit code.
    pub exit: i64,
    /// Standard output, cut at [`EXEC_OUTPUT_MAX`].
    pub stdout: String,
    /// Standard error, cut at [`EXEC_OUTPUT_MAX`].
    pub stderr: String,
}

/// Bytes kept of one output stream of an exec: row counts of every table of a big schema fit many times.
pub const EXEC_OUTPUT_MAX: usize = 4 << 20;

/// What the engine tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its version (`20.10.24`).
    pub version: String,
    /// API version spoken with it.
    pub api: String,
    /// Where its images and volumes lie on this host.
    pub data_root: std::path::PathBuf,
    /// `linux/amd64` and the like.
    pub platform: String,
}

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Nothing answers.
    #[error(
        "no Docker Engine answers on {socket}; is it running, and may this user use the socket?"
    )]
    Unreachable {
        /// Where it was looked for.
        socket: String,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry has no such image or tag.
    #[error("the registry has no image `{image}`")]
    NoSuchImage {
        /// The reference that was asked for.
        image: String,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry could not be asked.
    #[error("failed to fetch `{image}` from its registry")]
    Registry {
        /// The reference that was asked for.
        image: String,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine has no such container, network or image.
    #[error("the engine has no {what} `{name}`")]
    NotFound {
        /// `container`, `network` or `image`.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The engine refused or failed.
    #[error("the engine failed to {action}")]
    Engine {
        /// What was asked, as a verb phrase.
        action: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke or timed out: the effect may have happened.
    #[error("the engine did not say whether it managed to {action}")]
    Unknown {
        /// What was asked, as a verb phrase.
        action: String,
        /// What broke.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A limit of ours was reached.
    #[error("{action} took longer than {limit:?}")]
    TimedOut {
        /// What was waited for.
        action: String,
        /// How long.
        limit: Duration,
    },
    /// The definition holds something that would be lost.
    #[error("container `{container}` cannot be replaced faithfully: {reason}")]
    Unfaithful {
        /// The container.
        container: String,
        /// What would be lost, and what to do.
        reason: String,
    },
}

impl RuntimeError {
    /// Whether trying again makes sense.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::Registry { .. } => Retry::Transient,
            Self::NoSuchImage { .. }
            | Self::NotFound { .. }
            | Self::Engine { .. }
            | Self::Unfaithful { .. } => Retry::Permanent,
            Self::Unknown { .. } | Self::TimedOut { .. } => Retry::Indeterminate,
        }
    }
}

/// Result of a call to the engine.
pub type RuntimeResult<T> = Result<T, RuntimeError>;

/// A container engine on this host.
pub trait ContainerRuntime: Send + Sync {
    /// Asks the engine for itself; also the cheapest proof that it answers.
    fn info(&self) -> impl Future<Output = RuntimeResult<EngineInfo>> + Send;

    /// Every container, running or not, that carries the label `key=value`, sorted by name.
    fn labelled(
        &self,
        key: &str,
        value: &str,
    ) -> impl Future<Output = RuntimeResult<Vec<Container>>> + Send;

    /// The container of this name or id, if there is one.
    fn container(
        &self,
        name: &str,
    ) -> impl Future<Output = RuntimeResult<Option<Container>>> + Send;

    /// The network of this name or id, if there is one.
    fn network(&self, name: &str) -> impl Future<Output = RuntimeResult<Option<Network>>> + Send;

    /// Every running container that is in the network of this name, sorted by name; none if there is no such network.
    fn attached(&self, network: &str)
    -> impl Future<Output = RuntimeResult<Vec<Container>>> + Send;

    /// Every network that carries the label `key=value`, sorted by name.
    fn networks_labelled(
        &self,
        key: &str,
        value: &str,
    ) -> impl Future<Output = RuntimeResult<Vec<Network>>> + Send;

    /// Makes sure a network of this name and with these labels exists, of which nothing leads outside: no way to another
    /// network, and no published ports. This host alone reaches what is in it. One of this name that does not carry the
    /// same run and role labels is an error.
    fn ensure_isolated_network(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Makes sure there is no network of this name. An error while a running container is in it.
    fn ensure_no_network(&self, name: &str) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// The image of this reference or id on this host, if there is one.
    fn image(&self, reference: &str) -> impl Future<Output = RuntimeResult<Option<Image>>> + Send;

    /// Asks the registry (through the engine) what `reference` points to now. Pulls nothing.
    fn resolve(&self, reference: &str) -> impl Future<Output = RuntimeResult<RemoteImage>> + Send;

    /// Makes sure that `repository@digest` is on this host, and says which image it is.
    ///
    /// An error inside the engine's 200 stream is an error here. Ends after `limit` at the latest; what
    /// was downloaded by then stays with the engine.
    fn ensure_image(
        &self,
        repository: &str,
        digest: &str,
        limit: Duration,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> impl Future<Output = RuntimeResult<Image>> + Send;

    /// Makes `reference` (`repository:tag`) name the image `id`.
    fn ensure_tag(
        &self,
        id: &str,
        reference: &str,
    ) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Takes the name `reference` away; layers stay while anything else needs them.
    fn ensure_no_tag(&self, reference: &str) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Names of the files directly in folder `path` of image `id`; starts nothing. A folder that does
    /// not exist has no files.
    fn files_in_image(
        &self,
        id: &str,
        path: &str,
        labels: &BTreeMap<String, String>,
    ) -> impl Future<Output = RuntimeResult<Vec<String>>> + Send;

    /// Names of the files directly in folder `path` of a container, running or not; changes nothing. A folder
    /// that does not exist has no files; a container that does not exist is an error.
    fn files_in_container(
        &self,
        id: &str,
        path: &str,
    ) -> impl Future<Output = RuntimeResult<Vec<String>>> + Send;

    /// What to create so that it is `old` with the given differences. Pure; see `adapters::recreate`.
    fn replacement(
        &self,
        old: &Container,
        old_image: &Image,
        new_image: &Image,
        wanted: &Replacement,
    ) -> RuntimeResult<ContainerSpec>;

    /// Makes sure a container of this name exists, made from `spec`; an existing one of this name that
    /// carries the same run and role labels is taken for it, any other is an error. Gives its id.
    fn ensure_created(
        &self,
        name: &str,
        spec: &ContainerSpec,
    ) -> impl Future<Output = RuntimeResult<String>> + Send;

    /// Makes sure it runs.
    fn ensure_running(&self, id: &str) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Makes sure it does not run: its stop signal, then SIGKILL after `grace`.
    fn ensure_stopped(
        &self,
        id: &str,
        grace: Duration,
    ) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Sends a signal to the main process, if it runs.
    fn signal(&self, id: &str, signal: &str) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Makes sure it has this name.
    fn ensure_name(&self, id: &str, name: &str) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Makes sure its restart policy is the one of `host_config_restart` (`HostConfig.RestartPolicy`).
    fn ensure_restart_policy(
        &self,
        id: &str,
        host_config_restart: &Value,
    ) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Makes sure it is gone (killed if it runs). Never removes volumes, not even anonymous ones.
    fn ensure_removed(&self, id: &str) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Makes sure it is in the network, with this endpoint configuration. Where that fails while it runs (its published
    /// port is held by another), it may look connected from then on and not be; only one made anew is.
    fn ensure_connected(
        &self,
        id: &str,
        network: &str,
        endpoint: &Value,
    ) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Makes sure it is not in the network.
    fn ensure_disconnected(
        &self,
        id: &str,
        network: &str,
    ) -> impl Future<Output = RuntimeResult<()>> + Send;

    /// Waits until its main process has ended, `limit` at the longest, and gives the exit code.
    fn wait(&self, id: &str, limit: Duration) -> impl Future<Output = RuntimeResult<i64>> + Send;

    /// The last lines it wrote, both streams mixed, `max_lines` at the most.
    fn logs(
        &self,
        id: &str,
        max_lines: usize,
    ) -> impl Future<Output = RuntimeResult<String>> + Send;

    /// Runs a command in a running container. Only a known exit code is an answer; on a time-out the
    /// command may go on inside.
    fn exec(
        &self,
        id: &str,
        exec: Exec<'_>,
    ) -> impl Future<Output = RuntimeResult<ExecDone>> + Send;
}
