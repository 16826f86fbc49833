//! The container engine: containers, networks, images.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mastopatch::ports::runtime::{
    Container, ContainerSpec, ContainerState, Endpoint, PublishedPort, RUN_LABEL,
};
use serde_json::{Value, json};

use super::script::Script;
use super::world::{Target, Version, World};

/// From the start of a Mastodon process until it answers.
const BOOT_MS: u64 = 4_000;
/// How long a web that dies lives.
const DIES_AFTER_MS: u64 = 6_000;
/// What one migration takes.
const MIGRATION_MS: u64 = 2_000;
/// From the end of a process until the engine starts it again by its policy; doubles while it does not stay up.
const RESTART_MS: u64 = 100;
const RESTART_MAX_MS: u64 = 60_000;
/// One that ran for so long counts as having stayed up.
const STAYED_UP_MS: u64 = 10_000;
/// Exit code of a process that was killed.
pub(crate) const KILLED: i64 = 137;

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
    /// A throw-away PostgreSQL or Redis.
    Scratch,
    Scripted,
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
    /// One of them that it could not be connected to while it ran: it looks as if it were, until it is started again.
    pub(crate) half: Option<String>,
    pub(crate) policy: Arc<str>,
    pub(crate) running: bool,
    /// Whether it was stopped, or sent a signal, since it was started.
    pub(crate) stopped_by_hand: bool,
    /// Whether it was told to take no new job since it was started.
    pub(crate) quiet: bool,
    pub(crate) exit_code: i64,
    pub(crate) created_at: Timestamp,
    /// How often it was started; 0 means `created`.
    pub(crate) starts: u32,
    pub(crate) started_ms: u64,
    pub(crate) started_at: Timestamp,
    /// How often it was started again by its policy since somebody started it.
    pub(crate) restarts: i64,
    /// When it is started again by its policy, and how long it has to wait for that.
    pub(crate) again_ms: Option<u64>,
    pub(crate) wait_ms: u64,
    pub(crate) script: Option<Arc<Script>>,
    /// What it wrote.
    pub(crate) said: Arc<Vec<String>>,
    pub(crate) migrated_ms: u64,
}

impl SimContainer {
    pub(crate) fn serves(&self) -> bool {
        matches!(
            self.program,
            Program::Web | Program::Streaming | Program::Sidekiq
        )
    }

    /// Its exit code after its stop signal; `None` when it does not listen.
    pub(crate) fn code_when_asked(&self) -> Option<i64> {
        self.script
            .as_ref()
            .map_or(Some(0), |script| script.on_term)
    }

    /// Its process starts.
    fn begin(&mut self, now_ms: u64, wall: Timestamp) {
        self.running = true;
        self.quiet = false;
        self.exit_code = 0;
        self.again_ms = None;
        self.half = None;
        self.starts += 1;
        self.started_ms = now_ms;
        // Two starts never have the same instant.
        self.started_at = wall + SignedDuration::from_nanos(self.starts.into());
        self.migrated_ms = now_ms;
        if let Some(script) = self.script.clone() {
            let lines = script.written(&self.env);
            let lines: Vec<String> = lines.map(|(_is_error, line)| line.to_owned()).collect();
            Arc::make_mut(&mut self.said).extend(lines);
        }
    }

    /// Its process is gone, and is not started again.
    pub(crate) fn end(&mut self, exit_code: i64) {
        if self.running {
            self.running = false;
            self.again_ms = None;
            self.exit_code = exit_code;
        }
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

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut SimContainer> {
        let mut all = self.containers.iter_mut();
        all.find(|c| &*c.id == name || &*c.name == name)
    }

    /// Whether something outside can reach it, or it would reach the outside.
    pub(crate) fn is_public(&self, container: &SimContainer) -> bool {
        container.running
            && container
                .networks
                .keys()
                .filter(|network| container.half.as_ref() != Some(network))
                .any(|network| self.networks.get(network) == Some(&false))
    }

    /// Whether a port of the host is held by another container.
    pub(crate) fn is_held(&self, container: &SimContainer) -> bool {
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
        let mut networks = container.networks.keys();
        if let Some(gone) = networks.find(|name| !self.networks.contains_key(*name)) {
            return Err(format!("network {gone} not found"));
        }
        let mut will = container.clone();
        will.running = true;
        if self.is_public(&will) && self.is_held(&will) {
            return Err("the port is allocated".to_owned());
        }
        if will.program == Program::Postgres && self.is_headless() {
            // Its entry point finds neither a whole folder nor an empty one, and ends.
            return Ok(());
        }
        let (now, wall) = (self.now_ms, self.wall());
        if let Some(container) = self.find_mut(id) {
            container.stopped_by_hand = false;
            container.restarts = 0;
            container.wait_ms = 0;
            container.begin(now, wall);
        }
        Ok(())
    }

    /// Somebody stops it; what does not listen is killed.
    pub(crate) fn stop(&mut self, id: &str) {
        if let Some(container) = self.find_mut(id) {
            container.end(container.code_when_asked().unwrap_or(KILLED));
            container.stopped_by_hand = true;
        }
    }

    pub(crate) fn rename(&mut self, id: &str, name: &str) {
        if let Some(container) = self.find_mut(id) {
            container.name = name.into();
        }
    }

    pub(crate) fn remove(&mut self, id: &str) {
        let is_it = |c: &SimContainer| &*c.id == id || &*c.name == id;
        // What a throw-away server holds goes with its container.
        for gone in self.containers.iter().filter(|c| is_it(c)) {
            self.scratch.remove(&*gone.name);
        }
        self.containers.retain(|c| !is_it(c));
    }

    pub(crate) fn stop_everything(&mut self) {
        self.cloning = None;
        for container in &mut self.containers {
            container.end(KILLED);
        }
    }

    /// The engine ends, and stops every container before.
    pub(crate) fn stop_everything_in_order(&mut self) {
        self.cloning = None;
        for container in &mut self.containers {
            container.end(container.code_when_asked().unwrap_or(KILLED));
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
                "on-failure" => c.exit_code != 0,
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
            if let Some(again_ms) = container.again_ms {
                if self.now_ms >= again_ms {
                    let (now, wall) = (self.now_ms, self.wall());
                    self.containers[index].begin(now, wall);
                }
                continue;
            }
            match container.program {
                Program::Scripted => {
                    let script = container.script.as_ref();
                    if let Some(script) = script
                        && let Some(lasts_ms) = script.lasts_ms
                        && self.now_ms >= container.started_ms + lasts_ms
                    {
                        let code = script.ends;
                        self.ends(index, code);
                    }
                }
                Program::Migrate => self.migrate(index),
                Program::Web
                    if self.target == Target::Dies
                        && container.version == Some(self.setting.to)
                        && self.now_ms >= container.started_ms + DIES_AFTER_MS =>
                {
                    self.ends(index, 1);
                }
                _ => {}
            }
        }
    }

    /// A process ends by itself. Where its policy says so, the engine starts it again after a while, and says until then
    /// that it runs.
    fn ends(&mut self, index: usize, exit_code: i64) {
        let now = self.now_ms;
        let container = &mut self.containers[index];
        let again = match &*container.policy {
            "always" | "unless-stopped" => true,
            "on-failure" => exit_code != 0,
            _ => false,
        };
        if !again || container.stopped_by_hand {
            return container.end(exit_code);
        }
        container.wait_ms = match container.wait_ms {
            0 => RESTART_MS,
            _ if now >= container.started_ms + STAYED_UP_MS => RESTART_MS,
            before => (before * 2).min(RESTART_MAX_MS),
        };
        container.exit_code = exit_code;
        container.restarts += 1;
        container.again_ms = Some(now + container.wait_ms);
    }

    /// Applies the migrations whose time has come.
    fn migrate(&mut self, index: usize) {
        loop {
            let due = self.containers[index].migrated_ms + MIGRATION_MS;
            if due > self.now_ms {
                return;
            }
            let applied_before = self.migrations_applied(&self.containers[index]);
            match self.target {
                Target::MigrationFails if applied_before >= 1 => return self.ends(index, 1),
                Target::MigrationHangs if applied_before >= 1 => return,
                _ => {}
            }
            let rehearses = self.is_isolated(&self.containers[index]);
            if !rehearses && !self.postgres_answers() {
                return self.ends(index, 1);
            }
            let setting = self.setting.clone();
            let all = setting.pre.iter().chain(&setting.post);
            let found = if rehearses {
                let server = self.scratch_server().map(|c| c.name.to_string());
                server.and_then(|name| self.scratch.get_mut(&name))
            } else {
                self.databases.get_mut(super::world::LIVE)
            };
            let Some(db) = found.filter(|db| !db.shut) else {
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
                    if !rehearses {
                        super::invariants::i3_data_change_is_covered(self, "a migration");
                    }
                }
            }
            self.containers[index].migrated_ms = due;
        }
    }

    /// Whether it is in a network that the product made: it sees throw-away servers only.
    pub(crate) fn is_isolated(&self, container: &SimContainer) -> bool {
        let mut all = container.networks.keys();
        all.any(|name| self.network_labels.contains_key(name))
    }

    /// The throw-away PostgreSQL that runs.
    pub(crate) fn scratch_server(&self) -> Option<&SimContainer> {
        let mut all = self.containers.iter();
        all.find(|c| c.running && self.scratch.contains_key(&*c.name))
    }

    /// The database that a container of Mastodon works with.
    pub(crate) fn database_of(&self, container: &SimContainer) -> Option<&super::world::Db> {
        if self.is_isolated(container) {
            return self.scratch.get(&*self.scratch_server()?.name);
        }
        self.databases.get(super::world::LIVE)
    }

    fn migrations_applied(&self, container: &SimContainer) -> usize {
        let live = self.database_of(container);
        live.map_or(0, |db| db.schema.difference(&self.setting.base).count())
    }

    pub(crate) fn answers(&self, container: &SimContainer) -> bool {
        container.running
            && container.again_ms.is_none()
            && self.now_ms >= container.started_ms + BOOT_MS
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
                restarts: container.restarts,
            },
            networks,
            ports: (*container.ports).clone(),
            restart_policy: container.policy.to_string(),
            health_check: health_check(&container.body),
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
            return json!({
                "Created": container.created_at.to_string(), "NetworkSettings": {"Ports": ports},
            });
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
            "Id": &*container.id, "Created": container.created_at.to_string(), "Name": format!("/{}", container.name), "Image": &*container.image_id,
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
        // With an entry point of its own it does not get the image's command.
        command.extend(list("Cmd").unwrap_or_else(|| {
            if command.is_empty() || list("Entrypoint").is_none() {
                defaults("Cmd")
            } else {
                Vec::new()
            }
        }));
        let script = Script::of(&command).map(Arc::new);
        let mut networks = BTreeMap::new();
        let first = spec
            .body
            .pointer("/NetworkingConfig/EndpointsConfig")
            .and_then(Value::as_object);
        for (network, endpoint) in first.into_iter().flatten() {
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
            program: match script {
                Some(_) => Program::Scripted,
                None => program(&command.join(" ")),
            },
            body: Arc::new(spec.body.clone()),
            labels: Arc::new(labels),
            env: Arc::new(env),
            command: Arc::new(command),
            ports: Arc::new(ports),
            networks,
            half: None,
            policy: if policy.is_empty() {
                "no".into()
            } else {
                policy.into()
            },
            running: false,
            stopped_by_hand: false,
            quiet: false,
            exit_code: 0,
            created_at: self.wall(),
            starts: 0,
            started_ms: 0,
            started_at: Timestamp::UNIX_EPOCH,
            migrated_ms: 0,
            restarts: 0,
            again_ms: None,
            wait_ms: 0,
            script,
            said: Arc::default(),
        });
        if whole {
            self.connect_rest(&id, spec);
        }
        Ok(id)
    }

    /// Connects one that never ran to the networks that it lacks. Whether they are there shows when it is started.
    pub(crate) fn connect_rest(&mut self, id: &str, spec: &ContainerSpec) {
        let starts = self.find(id).map_or(1, |c| c.starts);
        for (network, endpoint) in spec.more_networks.iter().filter(|_| starts == 0) {
            if let Some(container) = self.find_mut(id) {
                let networks = &mut container.networks;
                networks
                    .entry(network.clone())
                    .or_insert_with(|| aliases(endpoint));
            }
        }
    }
}

pub(crate) fn aliases(endpoint: &Value) -> Arc<Vec<String>> {
    let list = endpoint.get("Aliases").and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    Arc::new(names.map(str::to_owned).collect())
}

fn program(command: &str) -> Program {
    for (word, program) in [
        ("throw-away", Program::Scratch),
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

/// As Docker writes it.
fn started_at(container: &SimContainer) -> String {
    if container.starts == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    container.started_at.to_string()
}

fn health_check(body: &Value) -> Option<String> {
    let test = body.pointer("/Healthcheck/Test")?.as_array()?;
    let words: Vec<&str> = test.iter().skip(1).filter_map(Value::as_str).collect();
    (!words.is_empty()).then(|| words.join(" "))
}
