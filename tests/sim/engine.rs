//! The container engine: containers, networks, images.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mastopatch::adapters::recreate::recreate;
use mastopatch::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, ContainerState, Endpoint, EngineInfo, Exec,
    ExecDone, Image, Network, PublishedPort, PullProgress, ROLE_LABEL, RUN_LABEL, RemoteImage,
    Replacement, RuntimeError, RuntimeResult,
};
use serde_json::{Value, json};

use super::fault::When;
use super::world::{Call, Port, SimImage, SimPorts, Target, Upset, Version, World};

/// API version of the simulated engine.
const API: (u32, u32) = (1, 47);
/// From the start of a Mastodon process until it answers.
const BOOT_MS: u64 = 4_000;
/// How long a web that dies lives.
const DIES_AFTER_MS: u64 = 6_000;
/// What one migration takes.
const MIGRATION_MS: u64 = 2_000;
const CALL_LIMIT_MS: u64 = 60_000;

/// What a container's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Web,
    Streaming,
    Sidekiq,
    Migrate,
    SidekiqProbe,
    Postgres,
    Redis,
    Helper,
}

/// One container.
#[derive(Debug, Clone)]
pub(crate) struct SimContainer {
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) image: Arc<str>,
    pub(crate) image_id: Arc<str>,
    pub(crate) version: Option<Version>,
    pub(crate) program: Program,
    pub(crate) body: Arc<Value>,
    pub(crate) labels: Arc<BTreeMap<String, String>>,
    pub(crate) env: Arc<BTreeMap<String, String>>,
    pub(crate) command: Arc<Vec<String>>,
    pub(crate) ports: Arc<Vec<PublishedPort>>,
    /// Networks it is in, with its aliases.
    pub(crate) networks: BTreeMap<String, Arc<Vec<String>>>,
    pub(crate) policy: Arc<str>,
    pub(crate) running: bool,
    pub(crate) stopped_by_hand: bool,
    pub(crate) exit_code: i64,
    /// How often it was started; 0 means `created`.
    pub(crate) starts: u32,
    pub(crate) started_ms: u64,
    pub(crate) migrated_ms: u64,
}

impl SimContainer {
    pub(crate) fn serves(&self) -> bool {
        matches!(
            self.program,
            Program::Web | Program::Streaming | Program::Sidekiq
        )
    }

    pub(crate) fn run_label(&self) -> Option<&String> {
        self.labels.get(RUN_LABEL)
    }
}

impl World {
    pub(crate) fn find(&self, name: &str) -> Option<&SimContainer> {
        let mut all = self.containers.iter();
        all.find(|c| &*c.id == name || &*c.name == name)
    }

    fn find_mut(&mut self, name: &str) -> Option<&mut SimContainer> {
        let mut all = self.containers.iter_mut();
        all.find(|c| &*c.id == name || &*c.name == name)
    }

    pub(crate) fn image_named(&self, name: &str) -> Option<&SimImage> {
        let mut all = self.images.iter();
        all.find(|image| {
            &*image.id == name
                || image.tags.contains(name)
                || image.image.repo_digests.iter().any(|digest| digest == name)
        })
    }

    /// Whether something outside can reach it, or it would reach the outside.
    pub(crate) fn is_public(&self, container: &SimContainer) -> bool {
        container.running
            && container
                .networks
                .keys()
                .any(|network| self.networks.get(network) == Some(&false))
    }

    /// Whether a port of the host is held by another container.
    fn is_held(&self, container: &SimContainer) -> bool {
        container.ports.iter().any(|port| {
            self.containers.iter().any(|other| {
                other.id != container.id
                    && self.is_public(other)
                    && other
                        .ports
                        .iter()
                        .any(|held| held.host_port == port.host_port)
            })
        })
    }

    pub(crate) fn start(&mut self, id: &str) -> Result<(), String> {
        let Some(container) = self.find(id) else {
            return Err("no such container".to_owned());
        };
        if container.running {
            return Ok(());
        }
        if !self
            .images
            .iter()
            .any(|image| image.id == container.image_id)
        {
            return Err("its image is gone".to_owned());
        }
        let mut will = container.clone();
        will.running = true;
        if self.is_public(&will) && self.is_held(&will) {
            return Err("the port is allocated".to_owned());
        }
        let now = self.now_ms;
        if let Some(container) = self.find_mut(id) {
            container.running = true;
            container.stopped_by_hand = false;
            container.starts += 1;
            container.started_ms = now;
            container.migrated_ms = now;
        }
        Ok(())
    }

    pub(crate) fn stop(&mut self, id: &str) {
        if let Some(container) = self.find_mut(id) {
            if container.running {
                container.running = false;
                container.exit_code = 0;
            }
            container.stopped_by_hand = true;
        }
    }

    pub(crate) fn rename(&mut self, id: &str, name: &str) {
        if let Some(container) = self.find_mut(id) {
            container.name = name.into();
        }
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.containers.retain(|c| &*c.id != id && &*c.name != id);
    }

    pub(crate) fn stop_everything(&mut self) {
        for container in &mut self.containers {
            if container.running {
                container.running = false;
                container.exit_code = 137;
            }
        }
    }

    pub(crate) fn start_by_policy(&mut self) {
        let due: Vec<Arc<str>> = self
            .containers
            .iter()
            .filter(|c| c.starts > 0)
            .filter(|c| match &*c.policy {
                "always" => true,
                "unless-stopped" => !c.stopped_by_hand,
                _ => false,
            })
            .map(|c| c.id.clone())
            .collect();
        for id in due {
            // One whose port is taken stays stopped, as the engine leaves it.
            let _started = self.start(&id);
        }
    }

    /// Processes in containers do what they do while time passes.
    pub(crate) fn work_goes_on(&mut self) {
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            if !container.running {
                continue;
            }
            match container.program {
                Program::Migrate => self.migrate(index),
                Program::Web
                    if self.target == Target::Dies
                        && container.version == Some(Version::B)
                        && self.now_ms >= container.started_ms + DIES_AFTER_MS =>
                {
                    self.ends(index, 1);
                }
                _ => {}
            }
        }
    }

    fn ends(&mut self, index: usize, exit_code: i64) {
        self.containers[index].running = false;
        self.containers[index].exit_code = exit_code;
    }

    /// Applies the migrations whose time has come.
    fn migrate(&mut self, index: usize) {
        loop {
            let due = self.containers[index].migrated_ms + MIGRATION_MS;
            if due > self.now_ms {
                return;
            }
            let applied_before = self.migrations_applied();
            match self.target {
                Target::MigrationFails if applied_before >= 1 => return self.ends(index, 1),
                Target::MigrationHangs if applied_before >= 1 => return,
                _ => {}
            }
            if !self.postgres_answers() {
                return self.ends(index, 1);
            }
            let setting = self.setting.clone();
            let all = setting.pre.iter().chain(&setting.post);
            let Some(db) = self
                .databases
                .get_mut(super::world::LIVE)
                .filter(|db| !db.shut)
            else {
                return self.ends(index, 1);
            };
            let next = all
                .into_iter()
                .find(|version| !db.schema.contains(*version));
            match next {
                None => return self.ends(index, 0),
                Some(version) => {
                    Arc::make_mut(&mut db.schema).insert(version.clone());
                    self.say(|| format!("migration {version} is applied"));
                    super::invariants::i3_data_change_is_covered(self, "a migration");
                }
            }
            self.containers[index].migrated_ms = due;
        }
    }

    fn migrations_applied(&self) -> usize {
        let live = self.databases.get(super::world::LIVE);
        live.map_or(0, |db| db.schema.difference(&self.setting.base).count())
    }

    pub(crate) fn answers(&self, container: &SimContainer) -> bool {
        container.running && self.now_ms >= container.started_ms + BOOT_MS
    }

    fn ip(&self, container: &SimContainer, network: &str) -> Option<IpAddr> {
        if !container.running {
            return None;
        }
        let number: u8 = container
            .id
            .trim_start_matches('0')
            .parse::<u32>()
            .map_or(250, |number| u8::try_from(number % 250).unwrap());
        let net = self.networks.keys().position(|name| name == network)?;
        let net = u8::try_from(net).unwrap();
        Some(Ipv4Addr::new(10, net, 0, number).into())
    }

    pub(crate) fn by_address(&self, address: std::net::SocketAddr) -> Option<&SimContainer> {
        if address.ip().is_loopback() {
            return self.containers.iter().find(|c| {
                self.is_public(c) && c.ports.iter().any(|port| port.host_port == address.port())
            });
        }
        self.containers.iter().find(|c| {
            c.networks
                .keys()
                .any(|network| self.ip(c, network) == Some(address.ip()))
        })
    }

    pub(crate) fn describe(&self, container: &SimContainer) -> Container {
        let networks: BTreeMap<String, Endpoint> = container
            .networks
            .iter()
            .map(|(name, aliases)| {
                let endpoint = Endpoint {
                    ip: self.ip(container, name),
                    aliases: aliases.to_vec(),
                };
                (name.clone(), endpoint)
            })
            .collect();
        Container {
            raw: self.raw(container, &networks),
            id: container.id.to_string(),
            name: container.name.to_string(),
            image: container.image.to_string(),
            image_id: container.image_id.to_string(),
            labels: (*container.labels).clone(),
            env: (*container.env).clone(),
            command: (*container.command).clone(),
            state: ContainerState {
                running: container.running,
                exit_code: container.exit_code,
                started_at: started_at(container),
                restarts: 0,
            },
            networks,
            ports: (*container.ports).clone(),
            restart_policy: container.policy.to_string(),
            health_check: None,
            mounts: Vec::new(),
        }
    }

    /// The inspect answer: whole where a plan is made of it, else the parts that change while a run is under way.
    fn raw(&self, container: &SimContainer, networks: &BTreeMap<String, Endpoint>) -> Value {
        let mut ports = serde_json::Map::new();
        if self.is_public(container) {
            for port in container.ports.iter() {
                let binding =
                    json!([{"HostIp": port.host_ip, "HostPort": port.host_port.to_string()}]);
                ports.insert(format!("{}/tcp", port.container_port), binding);
            }
        }
        if !self.in_full {
            return json!({"NetworkSettings": {"Ports": ports}});
        }
        let mut config = container.body.as_object().cloned().unwrap_or_default();
        let mut host = config.remove("HostConfig").unwrap_or_else(|| json!({}));
        host["RestartPolicy"] = json!({"Name": &*container.policy, "MaximumRetryCount": 0});
        config.remove("NetworkingConfig");
        let image = self
            .images
            .iter()
            .find(|image| image.id == container.image_id);
        let default = image
            .and_then(|image| image.image.raw.get("Config"))
            .cloned();
        for (key, value) in default
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            config.entry(key.clone()).or_insert_with(|| value.clone());
        }
        config.insert(
            "Env".to_owned(),
            container
                .env
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect(),
        );
        config.insert("Labels".to_owned(), json!(*container.labels));
        let networks: serde_json::Map<String, Value> = networks
            .iter()
            .map(|(name, endpoint)| {
                let ip = endpoint.ip.map(|ip| ip.to_string()).unwrap_or_default();
                (
                    name.clone(),
                    json!({"IPAddress": ip, "Aliases": endpoint.aliases, "NetworkID": name}),
                )
            })
            .collect();
        json!({
            "Id": &*container.id, "Name": format!("/{}", container.name), "Image": &*container.image_id,
            "State": {"Running": container.running}, "Config": config, "HostConfig": host,
            "NetworkSettings": {"Networks": networks, "Ports": ports}, "Mounts": [],
        })
    }

    /// Makes a container of a create body.
    pub(crate) fn create(
        &mut self,
        name: &str,
        spec: &ContainerSpec,
        whole: bool,
    ) -> Result<Arc<str>, String> {
        let text = |pointer: &str| {
            let found = spec.body.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let list = |key: &str| -> Option<Vec<String>> {
            let list = spec.body.get(key)?.as_array()?;
            Some(
                list.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            )
        };
        let wanted = text("/Image");
        let Some(image) = self.image_named(&wanted).cloned() else {
            return Err(format!("no such image: {wanted}"));
        };
        let mut env = image.image.env.clone();
        for entry in list("Env").unwrap_or_default() {
            if let Some((key, value)) = entry.split_once('=') {
                env.insert(key.to_owned(), value.to_owned());
            }
        }
        let labels: BTreeMap<String, String> = spec
            .body
            .get("Labels")
            .map_or_else(BTreeMap::new, |labels| {
                serde_json::from_value(labels.clone()).unwrap()
            });
        let defaults = |key: &str| -> Vec<String> {
            let found = image.image.raw.pointer(&format!("/Config/{key}"));
            found.map_or_else(Vec::new, |found| {
                serde_json::from_value(found.clone()).unwrap()
            })
        };
        let mut command = list("Entrypoint").unwrap_or_else(|| defaults("Entrypoint"));
        command.extend(list("Cmd").unwrap_or_else(|| defaults("Cmd")));
        let mut networks = BTreeMap::new();
        let first = spec
            .body
            .pointer("/NetworkingConfig/EndpointsConfig")
            .and_then(Value::as_object);
        for (network, endpoint) in first.into_iter().flatten() {
            networks.insert(network.clone(), aliases(endpoint));
        }
        for (network, endpoint) in spec.more_networks.iter().filter(|_| whole) {
            networks.insert(network.clone(), aliases(endpoint));
        }
        let mut ports = Vec::new();
        let bindings = spec
            .body
            .pointer("/HostConfig/PortBindings")
            .and_then(Value::as_object);
        for (port, hosts) in bindings.into_iter().flatten() {
            let text = |key: &str| hosts[0][key].as_str().unwrap_or_default();
            ports.push(PublishedPort {
                container_port: port.trim_end_matches("/tcp").parse().unwrap(),
                host_ip: text("HostIp").to_owned(),
                host_port: text("HostPort").parse().unwrap(),
            });
        }
        let policy = text("/HostConfig/RestartPolicy/Name");
        self.next_id += 1;
        let id: Arc<str> = format!("{:064}", self.next_id).into();
        self.containers.push(SimContainer {
            id: id.clone(),
            name: name.into(),
            image: wanted.into(),
            image_id: image.id.clone(),
            version: image.version,
            program: program(&command.join(" ")),
            body: Arc::new(spec.body.clone()),
            labels: Arc::new(labels),
            env: Arc::new(env),
            command: Arc::new(command),
            ports: Arc::new(ports),
            networks,
            policy: if policy.is_empty() {
                "no".into()
            } else {
                policy.into()
            },
            running: false,
            stopped_by_hand: false,
            exit_code: 0,
            starts: 0,
            started_ms: 0,
            migrated_ms: 0,
        });
        Ok(id)
    }

    fn connect_rest(&mut self, id: &str, spec: &ContainerSpec) {
        if let Some(container) = self.find_mut(id)
            && container.starts == 0
        {
            for (network, endpoint) in &spec.more_networks {
                container
                    .networks
                    .entry(network.clone())
                    .or_insert_with(|| aliases(endpoint));
            }
        }
    }
}

fn aliases(endpoint: &Value) -> Arc<Vec<String>> {
    let list = endpoint.get("Aliases").and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    Arc::new(names.map(str::to_owned).collect())
}

fn program(command: &str) -> Program {
    for (word, program) in [
        ("db:migrate", Program::Migrate),
        ("mastopatch_probe", Program::SidekiqProbe),
        ("puma", Program::Web),
        ("streaming", Program::Streaming),
        ("sidekiq", Program::Sidekiq),
        ("postgres", Program::Postgres),
        ("redis-server", Program::Redis),
    ] {
        if command.contains(word) {
            return program;
        }
    }
    Program::Helper
}

const fn reads(name: &'static str) -> Call {
    Call {
        name,
        port: Port::Engine,
        mutating: false,
        limit_ms: CALL_LIMIT_MS,
    }
}

const fn changes(name: &'static str) -> Call {
    Call {
        name,
        port: Port::Engine,
        mutating: true,
        limit_ms: CALL_LIMIT_MS,
    }
}

pub(crate) fn error(upset: Upset, call: Call) -> RuntimeError {
    let (action, source) = (call.name.to_owned(), "simulated".into());
    match upset {
        Upset::Failed => RuntimeError::Engine { action, source },
        Upset::Lost => RuntimeError::Unknown { action, source },
        Upset::Gone => RuntimeError::Unreachable {
            socket: "/simulated.sock".to_owned(),
            source,
        },
        Upset::TimedOut => RuntimeError::TimedOut {
            action,
            limit: Duration::from_millis(call.limit_ms),
        },
    }
}

fn refused(call: Call, why: String) -> RuntimeError {
    RuntimeError::Engine {
        action: call.name.to_owned(),
        source: why.into(),
    }
}

fn missing(what: &'static str, name: &str) -> RuntimeError {
    RuntimeError::NotFound {
        what,
        name: name.to_owned(),
    }
}

impl SimPorts {
    fn ask<T>(&self, call: Call, effect: impl FnOnce(&mut World, When) -> T) -> RuntimeResult<T> {
        self.call(call, effect).map_err(|upset| error(upset, call))
    }

    /// A change of a container that has to exist.
    fn change(
        &self,
        call: Call,
        id: &str,
        effect: impl FnOnce(&mut World, &str) -> Result<(), String>,
    ) -> RuntimeResult<()> {
        self.ask(call, |world, _| {
            match world.find(id).map(|c| c.id.clone()) {
                Some(id) => effect(world, &id).map_err(|why| refused(call, why)),
                None => Err(missing("container", id)),
            }
        })?
    }
}

impl ContainerRuntime for SimPorts {
    async fn info(&self) -> RuntimeResult<EngineInfo> {
        self.ask(reads("info"), |_, _| EngineInfo {
            version: "27.0.0".to_owned(),
            api: "1.47".to_owned(),
            data_root: "/var/lib/docker".into(),
            platform: "linux/amd64".to_owned(),
        })
    }

    async fn labelled(&self, key: &str, value: &str) -> RuntimeResult<Vec<Container>> {
        self.ask(reads("labelled"), |world, _| {
            let all = world.containers.iter();
            let found = all.filter(|c| c.labels.get(key).is_some_and(|found| found == value));
            let mut found: Vec<_> = found.map(|c| world.describe(c)).collect();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found
        })
    }

    async fn container(&self, name: &str) -> RuntimeResult<Option<Container>> {
        self.ask(reads("container"), |world, _| {
            world.find(name).map(|c| world.describe(c))
        })
    }

    async fn network(&self, name: &str) -> RuntimeResult<Option<Network>> {
        self.ask(reads("network"), |world, _| {
            world.networks.get(name).map(|internal| Network {
                id: name.to_owned(),
                name: name.to_owned(),
                internal: *internal,
            })
        })
    }

    async fn image(&self, reference: &str) -> RuntimeResult<Option<Image>> {
        self.ask(reads("image"), |world, _| {
            world
                .image_named(reference)
                .map(|image| (*image.image).clone())
        })
    }

    async fn resolve(&self, reference: &str) -> RuntimeResult<RemoteImage> {
        let found = self.ask(reads("resolve"), |world, _| {
            world.setting.digests.get(reference).cloned()
        })?;
        found
            .map(|digest| RemoteImage {
                digest,
                platforms: vec!["linux/amd64".to_owned()],
            })
            .ok_or_else(|| missing("image", reference))
    }

    async fn ensure_image(
        &self,
        repository: &str,
        digest: &str,
        limit: Duration,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> RuntimeResult<Image> {
        let call = Call {
            limit_ms: u64::try_from(limit.as_millis()).unwrap(),
            ..changes("pull")
        };
        let reference = format!("{repository}@{digest}");
        let found = self.ask(call, |world, when| {
            if when == When::Middle {
                return None;
            }
            if world.image_named(&reference).is_none() {
                let image = world.setting.registry.get(&reference)?.clone();
                world.images.push(image);
                world.pass(20_000);
            }
            world
                .image_named(&reference)
                .map(|image| (*image.image).clone())
        })?;
        progress(PullProgress { done: 1, total: 1 });
        found.ok_or_else(|| missing("image", &reference))
    }

    async fn ensure_tag(&self, id: &str, reference: &str) -> RuntimeResult<()> {
        self.ask(changes("tag"), |world, _| {
            if world.image_named(id).is_none() {
                return Err(missing("image", id));
            }
            for image in &mut world.images {
                if &*image.id == id {
                    image.tags.insert(reference.to_owned());
                } else {
                    image.tags.remove(reference);
                }
            }
            Ok(())
        })?
    }

    async fn ensure_no_tag(&self, reference: &str) -> RuntimeResult<()> {
        self.ask(changes("untag"), |world, _| {
            for image in &mut world.images {
                image.tags.remove(reference);
            }
        })
    }

    async fn files_in_image(
        &self,
        id: &str,
        path: &str,
        _labels: &BTreeMap<String, String>,
    ) -> RuntimeResult<Vec<String>> {
        self.ask(reads("files in image"), |world, _| {
            let Some(image) = world.image_named(id) else {
                return Err(missing("image", id));
            };
            let setting = &world.setting;
            let is_new = image.version == Some(Version::B);
            let versions: Vec<&String> = if path.ends_with("db/post_migrate") {
                setting.post.iter().filter(|_| is_new).collect()
            } else {
                setting
                    .base
                    .iter()
                    .chain(setting.pre.iter().filter(|_| is_new))
                    .collect()
            };
            Ok(versions
                .into_iter()
                .map(|version| format!("{version}_x.rb"))
                .collect())
        })?
    }

    async fn files_in_container(&self, _id: &str, _path: &str) -> RuntimeResult<Vec<String>> {
        self.ask(reads("files in container"), |_, _| Vec::new())
    }

    fn replacement(
        &self,
        old: &Container,
        old_image: &Image,
        new_image: &Image,
        wanted: &Replacement,
    ) -> RuntimeResult<ContainerSpec> {
        recreate(&old.raw, &old_image.raw, &new_image.raw, wanted, API).map_err(|err| {
            RuntimeError::Unfaithful {
                container: old.name.clone(),
                reason: err.to_string(),
            }
        })
    }

    async fn ensure_created(&self, name: &str, spec: &ContainerSpec) -> RuntimeResult<String> {
        let call = changes("create");
        self.ask(call, |world, when| {
            if let Some(found) = world.find(name).filter(|c| &*c.name == name) {
                let is_ours = [RUN_LABEL, ROLE_LABEL].iter().all(|label| {
                    let wanted = spec
                        .body
                        .pointer("/Labels")
                        .and_then(|labels| labels.get(*label));
                    found.labels.get(*label).map(String::as_str) == wanted.and_then(Value::as_str)
                });
                if !is_ours {
                    return Err(refused(
                        call,
                        "the name is taken by a container that does not belong to this run"
                            .to_owned(),
                    ));
                }
                let id = found.id.clone();
                world.connect_rest(&id, spec);
                return Ok(id.to_string());
            }
            let made = world.create(name, spec, when == When::After);
            made.map(|id| id.to_string())
                .map_err(|why| refused(call, why))
        })?
    }

    async fn ensure_running(&self, id: &str) -> RuntimeResult<()> {
        self.change(changes("start"), id, World::start)
    }

    async fn ensure_stopped(&self, id: &str, grace: Duration) -> RuntimeResult<()> {
        let call = Call {
            limit_ms: u64::try_from(grace.as_millis()).unwrap() + 30_000,
            ..changes("stop")
        };
        self.change(call, id, |world, id| {
            // The engine says "stopped" of one that does not run without remembering that it was asked.
            if world.find(id).is_some_and(|c| c.running) {
                world.stop(id);
                world.pass(500);
            }
            Ok(())
        })
    }

    async fn signal(&self, id: &str, _signal: &str) -> RuntimeResult<()> {
        self.change(changes("signal"), id, |_, _| Ok(()))
    }

    async fn ensure_name(&self, id: &str, name: &str) -> RuntimeResult<()> {
        self.change(changes("rename"), id, |world, id| {
            if world.find(name).is_some_and(|other| &*other.id != id) {
                return Err("the name is taken".to_owned());
            }
            world.rename(id, name);
            Ok(())
        })
    }

    async fn ensure_restart_policy(&self, id: &str, wanted: &Value) -> RuntimeResult<()> {
        let name = wanted
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or("no")
            .to_owned();
        self.change(changes("restart policy"), id, |world, id| {
            if let Some(container) = world.find_mut(id) {
                container.policy = name.into();
            }
            Ok(())
        })
    }

    async fn ensure_removed(&self, id: &str) -> RuntimeResult<()> {
        self.ask(changes("remove"), |world, _| world.remove(id))
    }

    async fn ensure_connected(
        &self,
        id: &str,
        network: &str,
        endpoint: &Value,
    ) -> RuntimeResult<()> {
        let endpoint = aliases(endpoint);
        self.change(changes("connect"), id, |world, id| {
            let Some(container) = world.find(id) else {
                return Ok(());
            };
            let mut will = container.clone();
            will.networks.insert(network.to_owned(), endpoint.clone());
            if world.is_public(&will) && world.is_held(&will) {
                return Err("the port is allocated".to_owned());
            }
            if let Some(container) = world.find_mut(id) {
                container
                    .networks
                    .entry(network.to_owned())
                    .or_insert(endpoint);
            }
            Ok(())
        })
    }

    async fn ensure_disconnected(&self, id: &str, network: &str) -> RuntimeResult<()> {
        self.change(changes("disconnect"), id, |world, id| {
            if let Some(container) = world.find_mut(id) {
                container.networks.remove(network);
            }
            Ok(())
        })
    }

    async fn wait(&self, id: &str, limit: Duration) -> RuntimeResult<i64> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap();
        let call = Call {
            limit_ms,
            ..reads("wait")
        };
        let ended = self.ask(call, |world, when| {
            let end = world.now_ms
                + if when == When::Middle {
                    3_000
                } else {
                    limit_ms
                };
            loop {
                let Some(container) = world.find(id) else {
                    return Err(missing("container", id));
                };
                if container.starts == 0 {
                    return Err(refused(call, "it was never started".to_owned()));
                }
                if !container.running {
                    return Ok(Some(container.exit_code));
                }
                if world.now_ms >= end {
                    return Ok(None);
                }
                world.pass(500.min(end - world.now_ms));
            }
        })??;
        ended.ok_or_else(|| error(Upset::TimedOut, call))
    }

    async fn logs(&self, _id: &str, _max_lines: usize) -> RuntimeResult<String> {
        self.ask(reads("logs"), |_, _| "simulated output".to_owned())
    }

    async fn exec(&self, id: &str, exec: Exec<'_>) -> RuntimeResult<ExecDone> {
        let call = Call {
            limit_ms: u64::try_from(exec.limit.as_millis()).unwrap(),
            ..reads("exec")
        };
        self.ask(call, |world, _| match world.find(id) {
            Some(container) if container.running => Ok(ExecDone {
                exit: i64::from(!world.answers(container)),
                stdout: String::new(),
                stderr: String::new(),
            }),
            Some(_) => Err(refused(call, "it does not run".to_owned())),
            None => Err(missing("container", id)),
        })?
    }
}

/// As Docker writes it; two starts never have the same instant.
fn started_at(container: &SimContainer) -> String {
    if container.starts == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    let at = i64::try_from(container.started_ms).unwrap() + super::world::EPOCH_S * 1_000;
    let start = i64::from(container.starts);
    let at =
        jiff::Timestamp::from_millisecond(at).unwrap() + jiff::SignedDuration::from_nanos(start);
    at.to_string()
}
