//! A host that answers from memory. Whatever would change it is never asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use crate::domain::plan::{DatabaseRef, RedisRef};
use crate::domain::room::DataPlace;
use crate::engine::planner::InstanceRef;
use crate::engine::planner::look::Eyes;
use crate::engine::planner::survey::{PROJECT, SERVICE};
use crate::ports::database::{
    CloneSeen, DataError, DataResult, Database, Haste, OnBehalf, Redis, RedisUse, RowCounts,
    ServerFacts, Soundness,
};
use crate::ports::probe::{Answer, Probe, ProbeError, Request};
use crate::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, ContainerState, Endpoint, EngineInfo, Exec,
    ExecDone, Image, Network, PullProgress, RemoteImage, Replacement, RuntimeError, RuntimeResult,
};

/// A host.
pub(crate) struct FakeHost {
    pub(super) containers: Vec<Container>,
    /// Containers of others.
    pub(super) others: Vec<Container>,
    pub(super) images: Vec<Image>,
    /// What `/api/v2/instance` shows; nothing answers without it.
    pub(super) api: Option<String>,
    /// What `tootctl` does: its output, or its exit code with its complaint.
    pub(super) tootctl: Result<String, (i64, String)>,
    /// Migrations in the image, and in the database.
    pub(super) files: Vec<String>,
    pub(super) applied: Vec<String>,
    pub(super) postgresql: Option<u32>,
    pub(super) redis: Option<String>,
    pub(super) duplicates: u64,
    pub(super) may_create_databases: bool,
    pub(super) is_gone: bool,
    /// What was asked of containers, in order.
    pub(super) asked: Mutex<Vec<String>>,
}

/// The instance as the configuration names it by default.
pub(super) fn instance() -> InstanceRef {
    InstanceRef {
        name: "social.example".to_owned(),
        project: "mastodon".to_owned(),
        main_image: "ghcr.io/mastodon/mastodon".to_owned(),
        streaming_image: "ghcr.io/mastodon/mastodon-streaming".to_owned(),
    }
}

/// A running container of the project, with its service's name as its name in the one network.
pub(super) fn container(service: &str, image: &str, command: &str) -> Container {
    let env = [
        ("LOCAL_DOMAIN", "social.example"),
        ("DB_HOST", "db"),
        ("REDIS_HOST", "redis"),
        ("OTP_SECRET", "x"),
    ];
    let env = env.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Container {
        id: format!("id-{service}"),
        name: format!("mastodon-{service}-1"),
        image: image.to_owned(),
        image_id: format!("sha256:{image}"),
        labels: BTreeMap::from([
            (PROJECT.to_owned(), "mastodon".to_owned()),
            (SERVICE.to_owned(), service.to_owned()),
        ]),
        env: env.into(),
        command: command.split(' ').map(str::to_owned).collect(),
        state: ContainerState {
            running: true,
            exit_code: 0,
            started_at: String::new(),
            restarts: 0,
        },
        networks: BTreeMap::from([(
            "internal".to_owned(),
            Endpoint {
                ip: Some("172.20.0.5".parse().unwrap()),
                aliases: vec![service.to_owned()],
            },
        )]),
        ports: Vec::new(),
        restart_policy: "always".to_owned(),
        health_check: None,
        mounts: vec!["/mastodon/public/system".to_owned()],
        raw: Value::Null,
    }
}

/// A host with these containers of Mastodon, a database and a Redis. Everything agrees on `version`.
pub(crate) fn host_with(mut containers: Vec<Container>, version: &str) -> FakeHost {
    let images = containers.iter().map(|container| Image {
        id: container.image_id.clone(),
        repo_digests: Vec::new(),
        repo_tags: vec![container.image.clone()],
        env: BTreeMap::from([("SOURCE_COMMIT".to_owned(), "abc".to_owned())]),
        size: 0,
        platform: "linux/amd64".to_owned(),
        raw: json!({}),
    });
    let images = images.collect();
    let mut other = |service: &str, image: &str| {
        let mut container = container(service, image, "run");
        container.env.clear();
        containers.push(container);
    };
    other("db", "postgres:14-alpine");
    other("redis", "redis:7-alpine");
    FakeHost {
        containers,
        others: Vec::new(),
        images,
        api: Some(version.to_owned()),
        tootctl: Ok(format!("a warning of a library\n{version}\n")),
        files: vec!["20240101000000_a.rb".to_owned()],
        applied: vec!["20240101000000".to_owned()],
        postgresql: Some(140_011),
        redis: Some("7.2.4".to_owned()),
        duplicates: 0,
        may_create_databases: true,
        is_gone: false,
        asked: Mutex::default(),
    }
}

impl FakeHost {
    pub(super) fn eyes(&self) -> Eyes<'_, Self, Self, Self, Self> {
        Eyes {
            runtime: self,
            database: self,
            redis: self,
            probe: self,
        }
    }

    fn unreachable() -> RuntimeError {
        RuntimeError::Unreachable {
            socket: "/var/run/docker.sock".to_owned(),
            source: "nobody there".into(),
        }
    }

    fn data<T: Clone>(what: Option<&T>) -> DataResult<T> {
        what.cloned().ok_or_else(|| DataError::Container {
            what: "the server".to_owned(),
            source: Self::unreachable(),
        })
    }
}

/// Methods that would change something, or that nobody needs to look.
macro_rules! never {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(async fn $name(&self, $($arg: $type),*) -> $answer {
            $(let _ = $arg;)*
            unreachable!(concat!(stringify!($name), " is no look"))
        })*
    };
}

impl ContainerRuntime for FakeHost {
    async fn labelled(&self, key: &str, value: &str) -> RuntimeResult<Vec<Container>> {
        assert_eq!((key, value), ("com.docker.compose.project", "mastodon"));
        if self.is_gone {
            return Err(Self::unreachable());
        }
        Ok(self.containers.clone())
    }

    async fn attached(&self, network: &str) -> RuntimeResult<Vec<Container>> {
        let all = self.containers.iter().chain(&self.others);
        let found = all.filter(|it| it.state.running && it.networks.contains_key(network));
        Ok(found.cloned().collect())
    }

    async fn info(&self) -> RuntimeResult<EngineInfo> {
        Ok(EngineInfo {
            version: "28.0.0".to_owned(),
            api: "1.44".to_owned(),
            data_root: "/var/lib/docker".into(),
            platform: "linux/amd64".to_owned(),
        })
    }

    async fn image(&self, reference: &str) -> RuntimeResult<Option<Image>> {
        Ok(self.images.iter().find(|it| it.id == reference).cloned())
    }

    async fn files_in_container(&self, id: &str, path: &str) -> RuntimeResult<Vec<String>> {
        self.asked.lock().unwrap().push(format!("{id} {path}"));
        Ok(match path {
            "/opt/mastodon/db/migrate" => self.files.clone(),
            _ => Vec::new(),
        })
    }

    async fn exec(&self, id: &str, exec: Exec<'_>) -> RuntimeResult<ExecDone> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("{id} {}", exec.command.join(" ")));
        Ok(match &self.tootctl {
            Ok(text) => ExecDone {
                exit: 0,
                stdout: text.clone(),
                stderr: String::new(),
            },
            Err((exit, text)) => ExecDone {
                exit: *exit,
                stdout: String::new(),
                stderr: text.clone(),
            },
        })
    }

    fn replacement(
        &self,
        _old: &Container,
        _old_image: &Image,
        _new_image: &Image,
        _wanted: &Replacement,
    ) -> RuntimeResult<ContainerSpec> {
        unreachable!("replacement is no look")
    }

    async fn ensure_image(
        &self,
        _repository: &str,
        _digest: &str,
        _limit: Duration,
        _progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> RuntimeResult<Image> {
        unreachable!("ensure_image is no look")
    }

    never! {
        container(name: &str) -> RuntimeResult<Option<Container>>;
        network(name: &str) -> RuntimeResult<Option<Network>>;
        networks_labelled(key: &str, value: &str) -> RuntimeResult<Vec<Network>>;
        ensure_isolated_network(name: &str, labels: &BTreeMap<String, String>) -> RuntimeResult<()>;
        ensure_no_network(name: &str) -> RuntimeResult<()>;
        resolve(reference: &str) -> RuntimeResult<RemoteImage>;
        ensure_tag(id: &str, reference: &str) -> RuntimeResult<()>;
        ensure_no_tag(reference: &str) -> RuntimeResult<()>;
        files_in_image(id: &str, path: &str, labels: &BTreeMap<String, String>) -> RuntimeResult<Vec<String>>;
        ensure_created(name: &str, spec: &ContainerSpec) -> RuntimeResult<String>;
        ensure_running(id: &str) -> RuntimeResult<()>;
        ensure_stopped(id: &str, grace: Duration) -> RuntimeResult<()>;
        signal(id: &str, signal: &str) -> RuntimeResult<()>;
        ensure_name(id: &str, name: &str) -> RuntimeResult<()>;
        ensure_restart_policy(id: &str, policy: &Value) -> RuntimeResult<()>;
        ensure_removed(id: &str) -> RuntimeResult<()>;
        ensure_connected(id: &str, network: &str, endpoint: &Value) -> RuntimeResult<()>;
        ensure_disconnected(id: &str, network: &str) -> RuntimeResult<()>;
        wait(id: &str, limit: Duration) -> RuntimeResult<i64>;
        logs(id: &str, max_lines: usize) -> RuntimeResult<String>;
    }
}

impl Database for FakeHost {
    async fn facts(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
    ) -> DataResult<ServerFacts> {
        Ok(ServerFacts {
            version: Self::data(self.postgresql.as_ref())?,
            bytes: 1,
            may_create_databases: self.may_create_databases,
            foreign_extensions: Vec::new(),
            no_clone: None,
        })
    }

    async fn places(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
    ) -> DataResult<Vec<DataPlace>> {
        Ok(Vec::new())
    }

    async fn schema_versions(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
    ) -> DataResult<BTreeSet<String>> {
        assert!(["mastodon-db-1", "pg"].contains(&database.container.as_str()));
        Ok(self.applied.iter().cloned().collect())
    }

    async fn duplicate_accounts(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
        _limit: Duration,
    ) -> DataResult<u64> {
        Ok(self.duplicates)
    }

    never! {
        row_counts(database: &DatabaseRef, password: &SecretString, limit: Duration) -> DataResult<RowCounts>;
        dump(database: &DatabaseRef, password: &SecretString, on_behalf: &OnBehalf, dir: &Path, limit: Duration) -> DataResult<()>;
        count_dump(database: &DatabaseRef, on_behalf: &OnBehalf, dir: &Path, limit: Duration) -> DataResult<RowCounts>;
        dump_schema(database: &DatabaseRef, on_behalf: &OnBehalf, dir: &Path, limit: Duration) -> DataResult<BTreeSet<String>>;
        restore(database: &DatabaseRef, password: &SecretString, on_behalf: &OnBehalf, dir: &Path, into: &str, limit: Duration) -> DataResult<RowCounts>;
        fresh_scratch(database: &DatabaseRef, password: &SecretString, on_behalf: &OnBehalf, network: &str, haste: Haste, limit: Duration) -> DataResult<DatabaseRef>;
        restore_scratch(scratch: &DatabaseRef, password: &SecretString, on_behalf: &OnBehalf, dir: &Path, limit: Duration) -> DataResult<()>;
        check_scratch(scratch: &DatabaseRef, password: &SecretString, limit: Duration) -> DataResult<Soundness>;
        locked_tables(database: &DatabaseRef, password: &SecretString) -> DataResult<Vec<String>>;
        clone_to(database: &DatabaseRef, password: &SecretString, into: &str, limit: Duration) -> DataResult<()>;
        compare_clone(database: &DatabaseRef, password: &SecretString, clone: &str) -> DataResult<CloneSeen>;
        exists(database: &DatabaseRef, password: &SecretString, name: &str) -> DataResult<bool>;
        ensure_open(database: &DatabaseRef, password: &SecretString, name: &str) -> DataResult<()>;
        remark(database: &DatabaseRef, password: &SecretString, name: &str, text: &str) -> DataResult<()>;
        remark_on(database: &DatabaseRef, password: &SecretString, name: &str) -> DataResult<String>;
        swap(database: &DatabaseRef, password: &SecretString, restored: &str, aside: &str) -> DataResult<()>;
        ensure_dropped(database: &DatabaseRef, password: &SecretString, name: &str) -> DataResult<()>;
    }
}

impl Redis for FakeHost {
    async fn version(&self, redis: &RedisRef, _password: &SecretString) -> DataResult<String> {
        assert_eq!(redis.container, "mastodon-redis-1");
        Self::data(self.redis.as_ref())
    }

    never! {
        fresh_scratch(redis: &RedisRef, password: &SecretString, on_behalf: &OnBehalf, network: &str, limit: Duration) -> DataResult<RedisRef>;
        keys(redis: &RedisRef, password: &SecretString) -> DataResult<u64>;
        used(redis: &RedisRef, password: &SecretString) -> DataResult<RedisUse>;
        dump(redis: &RedisRef, password: &SecretString, on_behalf: &OnBehalf, dir: &Path, limit: Duration) -> DataResult<()>;
        count_dump(redis: &RedisRef, on_behalf: &OnBehalf, dir: &Path, limit: Duration) -> DataResult<(u64, u64)>;
        restore(redis: &RedisRef, password: &SecretString, on_behalf: &OnBehalf, dir: &Path, limit: Duration) -> DataResult<()>;
    }
}

impl Probe for FakeHost {
    async fn get(&self, request: Request<'_>) -> Result<Answer, ProbeError> {
        let no_answer = || ProbeError::NoAnswer {
            address: request.address,
            path: request.path.to_owned(),
            source: "connection refused".into(),
        };
        if request.address != "172.20.0.5:3000".parse().unwrap() {
            return Err(no_answer());
        }
        assert_eq!(request.host, "social.example");
        let version = self.api.as_ref().ok_or_else(no_answer)?;
        // Before 4.0 there was only the first version of the interface.
        let has_v2 = !version.starts_with('3');
        let status = if request.path == "/api/v2/instance" && !has_v2 {
            404
        } else {
            200
        };
        Ok(Answer {
            status,
            body: json!({ "version": version }).to_string(),
        })
    }
}
