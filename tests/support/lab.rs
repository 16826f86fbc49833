//! The practice Mastodon: one compose project per instance, made from the lab's templates.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::dump::Dump;
use super::{check, eventually, shell};

/// The services that the product updates.
pub(crate) const APP_SERVICES: [&str; 3] = ["web", "streaming", "sidekiq"];
/// Every service of the compose file.
pub(crate) const SERVICES: [&str; 5] = ["db", "redis", "web", "streaming", "sidekiq"];
/// A boot takes a few seconds alone and up to a minute when several stacks start on two cores.
const BOOT: Duration = Duration::from_secs(180);

/// Where the parts of the lab are; made by `tests/lab/lab.sh run`.
#[derive(Debug, Clone)]
pub(crate) struct Lab {
    pub(crate) docker_host: String,
    pub(crate) registry: String,
    pub(crate) smtp: String,
    pub(crate) maildir: PathBuf,
    pub(crate) compose: Vec<String>,
    pub(crate) dir: PathBuf,
    /// Folder for instances; it belongs to the user who runs the tests.
    pub(crate) sites: PathBuf,
}

impl Lab {
    /// Reads the environment that the lab exports.
    pub(crate) fn from_env() -> Self {
        Self {
            docker_host: env("DOCKER_HOST"),
            registry: env("LAB_REGISTRY"),
            smtp: env("LAB_SMTP"),
            maildir: env("LAB_MAILDIR").into(),
            compose: env("LAB_COMPOSE")
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            dir: env("LAB_DIR").into(),
            sites: env("LAB_SITES").into(),
        }
    }

    /// The engine's socket as a path.
    pub(crate) fn socket(&self) -> PathBuf {
        let path = self.docker_host.strip_prefix("unix://");
        path.unwrap_or_else(|| {
            panic!(
                "DOCKER_HOST is {}, and the lab needs a unix:// socket",
                self.docker_host
            )
        })
        .into()
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: this needs the lab. Run `make test` or `make demo`, which start it"
        )
    })
}

/// How an instance is made.
#[derive(Debug, Clone)]
pub(crate) struct InstanceOptions {
    pub(crate) tag: String,
    pub(crate) accounts: u32,
    pub(crate) statuses: u32,
    /// The tag stands in `.env` instead of the compose file.
    pub(crate) dotenv: bool,
    /// Another address of the registry, for instance a proxy in front of it.
    pub(crate) registry: Option<String>,
    /// PostgreSQL and Redis are of a Compose project of their own.
    pub(crate) shared_servers: bool,
    /// They ask for a password, and are named by `DATABASE_URL` and `REDIS_URL` alone.
    pub(crate) addresses: bool,
}

impl InstanceOptions {
    /// An instance at this tag with a few hundred rows.
    pub(crate) fn at(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            accounts: 200,
            statuses: 2000,
            dotenv: false,
            registry: None,
            shared_servers: false,
            addresses: false,
        }
    }

    pub(crate) fn seeded(self, accounts: u32, statuses: u32) -> Self {
        Self {
            accounts,
            statuses,
            ..self
        }
    }

    pub(crate) fn with_shared_servers(self) -> Self {
        Self {
            shared_servers: true,
            ..self
        }
    }

    pub(crate) fn with_addresses(self) -> Self {
        Self {
            addresses: true,
            ..self.with_shared_servers()
        }
    }

    pub(crate) fn with_dotenv(self) -> Self {
        Self {
            dotenv: true,
            ..self
        }
    }
}

/// A container as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) image: String,
    pub(crate) image_id: String,
    pub(crate) running: bool,
    pub(crate) health: String,
    pub(crate) restart_policy: String,
    pub(crate) command: String,
    pub(crate) run: Option<String>,
    pub(crate) networks: Vec<String>,
}

/// A running practice Mastodon. Everything of it is removed when this is dropped, also on a panic.
#[must_use = "the instance is removed when this is dropped"]
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) lab: Lab,
    pub(crate) project: String,
    pub(crate) domain: String,
    pub(crate) dir: PathBuf,
    pub(crate) web_port: u16,
    pub(crate) streaming_port: u16,
    pub(crate) registry: String,
    pub(crate) dotenv: bool,
    pub(crate) shared_servers: bool,
    pub(crate) addresses: bool,
    agent: ureq::Agent,
}

impl Instance {
    /// Writes the files, creates and seeds the database, starts everything and waits until it serves.
    pub(crate) fn start(lab: &Lab, options: &InstanceOptions) -> Self {
        let project = unique_project();
        let domain = format!("{project}.lab.test");
        let registry = options
            .registry
            .clone()
            .unwrap_or_else(|| lab.registry.clone());
        let instance = Self {
            dir: lab.sites.join(&project),
            web_port: free_port(),
            streaming_port: free_port(),
            lab: lab.clone(),
            project,
            domain,
            registry,
            dotenv: options.dotenv,
            shared_servers: options.shared_servers,
            addresses: options.addresses,
            agent: agent(Duration::from_secs(10)),
        };
        instance.write_files(&options.tag);
        if instance.shared_servers {
            let servers = servers_of(&instance.project);
            instance.compose(&["-p", &servers, "-f", "servers.yml", "up", "-d"]);
        } else {
            instance.compose(&["up", "-d", "db", "redis"]);
        }
        eventually("PostgreSQL takes connections", BOOT, || {
            shell::attempt(
                "docker",
                [
                    "exec",
                    &self_id(&instance, "db")?,
                    "psql",
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "mastodon",
                    "-d",
                    "mastodon_production",
                    "-Atc",
                    "SELECT 1",
                ],
            )
        });
        instance.rails(&[], "db:migrate");
        if options.accounts + options.statuses > 0 {
            let (accounts, statuses) = (
                format!("ACCOUNTS={}", options.accounts),
                format!("STATUSES={}", options.statuses),
            );
            instance.rails(&["-e", &accounts, "-e", &statuses], "lab:seed");
        }
        instance.compose(&["up", "-d"]);
        instance.wait_healthy(&options.tag);
        instance
    }

    /// Waits until web, streaming and Sidekiq of this version serve.
    pub(crate) fn wait_healthy(&self, tag: &str) {
        let version = tag.trim_start_matches('v').to_owned();
        eventually(&format!("{} serves {tag}", self.project), BOOT, || {
            let shown = self.shown_version()?;
            check(shown == version, format!("web shows {shown}"))?;
            self.streaming_health()?;
            self.sidekiq_ready()
        });
    }

    /// The version a visitor is told.
    pub(crate) fn shown_version(&self) -> Result<String, String> {
        let (status, body) = self.http("/api/v2/instance")?;
        check(status == 200, format!("/api/v2/instance answers {status}"))?;
        let json: Value =
            serde_json::from_str(&body).map_err(|err| format!("/api/v2/instance: {err}"))?;
        Ok(json["version"].as_str().unwrap_or_default().to_owned())
    }

    /// The streaming server's health page through its published port.
    pub(crate) fn streaming_health(&self) -> Result<(), String> {
        let url = format!(
            "http://127.0.0.1:{}/api/v1/streaming/health",
            self.streaming_port
        );
        let mut response = self
            .agent
            .get(&url)
            .call()
            .map_err(|err| format!("streaming: {err}"))?;
        let body = response
            .body_mut()
            .read_to_string()
            .map_err(|err| format!("streaming: {err}"))?;
        check(
            body.contains("OK"),
            format!("streaming answers {}: {body}", response.status()),
        )
    }

    /// Whether Sidekiq has written its readiness file.
    pub(crate) fn sidekiq_ready(&self) -> Result<(), String> {
        let id = self_id(self, "sidekiq")?;
        let test = "test -e \"tmp/$MASTODON_SIDEKIQ_READY_FILENAME\" || test -e \"$MASTODON_SIDEKIQ_READY_FILENAME\" \
                    || test -e \"/opt/mastodon/tmp/$MASTODON_SIDEKIQ_READY_FILENAME\"";
        shell::attempt("docker", ["exec", &id, "sh", "-c", test])
            .map(drop)
            .map_err(|said| format!("Sidekiq is not ready {said}"))
    }

    /// `GET` through the published web port as the reverse proxy would send it: status and body.
    pub(crate) fn http(&self, path: &str) -> Result<(u16, String), String> {
        let request = self
            .agent
            .get(format!("http://127.0.0.1:{}{path}", self.web_port));
        let mut response = request
            .header("Host", &self.domain)
            .header("X-Forwarded-Proto", "https")
            .call()
            .map_err(|err| err.to_string())?;
        let body = response
            .body_mut()
            .read_to_string()
            .map_err(|err| err.to_string())?;
        Ok((response.status().as_u16(), body))
    }

    /// The Compose CLI, called as a person would who stands in the folder.
    pub(crate) fn compose(&self, args: &[&str]) -> String {
        let (program, first) = self
            .lab
            .compose
            .split_first()
            .expect("LAB_COMPOSE is empty");
        let first = first.iter().map(String::as_str);
        shell::run_in(&self.dir, program, first.chain(args.iter().copied()))
    }

    /// A one-off `bundle exec rails <task>` in a container of the web service.
    pub(crate) fn rails(&self, options: &[&str], task: &str) -> String {
        let mut args = vec!["run", "--rm", "-T"];
        args.extend(options);
        args.extend(["web", "bundle", "exec", "rails", task]);
        self.compose(&args)
    }

    /// Every container of the project, running or not, also what a run has put aside.
    pub(crate) fn containers(&self) -> Vec<Container> {
        containers(&format!(
            "label=com.docker.compose.project={}",
            self.project
        ))
    }

    /// The container that serves a service now.
    pub(crate) fn container(&self, service: &str) -> Result<Container, String> {
        let is_server = ["db", "redis"].contains(&service);
        let project = if self.shared_servers && is_server {
            servers_of(&self.project)
        } else {
            self.project.clone()
        };
        let name = |container: &Container| {
            ["_", "-"]
                .map(|separator| [&project, service, "1"].join(separator))
                .contains(&container.name)
        };
        let filter = format!("label=com.docker.compose.project={project}");
        let found = containers(&filter).into_iter().find(name);
        found.ok_or_else(|| format!("{} has no container for {service}", self.project))
    }

    /// Service name to the reference of the image it runs.
    pub(crate) fn running_images(&self) -> BTreeMap<String, String> {
        let containers = self
            .containers()
            .into_iter()
            .filter(|container| container.running);
        containers
            .map(|container| (container.service, container.image))
            .collect()
    }

    /// SQL through the database container; rows as `psql -At` prints them.
    pub(crate) fn sql(&self, query: &str) -> String {
        let id = self_id(self, "db").expect("database container");
        let args = [
            "exec",
            "-i",
            &id,
            "psql",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "mastodon",
            "-d",
            "mastodon_production",
            "-At",
        ];
        shell::feed("docker", args, query).trim_end().to_owned()
    }

    /// The whole database as text.
    pub(crate) fn dump(&self) -> Dump {
        let id = self_id(self, "db").expect("database container");
        Dump::from_text(&shell::run(
            "docker",
            [
                "exec",
                &id,
                "pg_dump",
                "-U",
                "mastodon",
                "mastodon_production",
            ],
        ))
    }

    /// Names of all databases on the server: none may be left over.
    pub(crate) fn databases(&self) -> Vec<String> {
        self.sql("SELECT datname FROM pg_database ORDER BY 1")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Number of keys in Redis.
    pub(crate) fn redis_dbsize(&self) -> u64 {
        let id = self_id(self, "redis").expect("redis container");
        let size = shell::run("docker", ["exec", &id, "redis-cli", "dbsize"]);
        size.trim()
            .trim_start_matches("(integer)")
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("dbsize says {size}"))
    }

    /// Waits until no job waits or runs.
    pub(crate) fn wait_for_quiet_sidekiq(&self) {
        let id = self_id(self, "redis").expect("redis container");
        eventually("Sidekiq has nothing to do", Duration::from_secs(60), || {
            let script = "local n = 0 \
                 for _, q in ipairs(redis.call('smembers', 'queues')) do n = n + redis.call('llen', 'queue:' .. q) end \
                 n = n + redis.call('zcard', 'retry') + redis.call('zcard', 'schedule') \
                 for _, p in ipairs(redis.call('smembers', 'processes')) do n = n + (tonumber(redis.call('hget', p, 'busy')) or 0) end \
                 return n";
            let jobs = shell::attempt("docker", ["exec", &id, "redis-cli", "eval", script, "0"])?;
            let jobs = jobs.trim().trim_start_matches("(integer)").trim();
            check(jobs == "0", format!("{jobs} jobs"))
        });
    }

    /// The compose file's text.
    pub(crate) fn compose_text(&self) -> String {
        read(&self.dir.join("docker-compose.yml"))
    }

    /// Writes the compose file anew, as a person with an editor would.
    pub(crate) fn edit_compose(&self, text: &str) {
        fs::write(self.dir.join("docker-compose.yml"), text).expect("compose file");
    }

    /// The path of the environment file.
    pub(crate) fn environment_path(&self) -> PathBuf {
        self.dir.join(".env.production")
    }

    /// The text of `.env`, empty where there is none.
    pub(crate) fn dotenv_text(&self) -> String {
        fs::read_to_string(self.dir.join(".env")).unwrap_or_default()
    }

    fn write_files(&self, tag: &str) {
        fs::create_dir_all(self.dir.join("public/system")).expect("instance folder");
        let templates = self.lab.dir.join("compose");
        let render = |text: &str| {
            text.replace("@REGISTRY@", &self.registry)
                .replace("@TAG@", tag)
                .replace("@WEB_PORT@", &self.web_port.to_string())
                .replace("@STREAMING_PORT@", &self.streaming_port.to_string())
                .replace("@LOCAL_DOMAIN@", &self.domain)
        };
        let write = |template: &str, name: &str| {
            fs::write(
                self.dir.join(name),
                render(&read(&templates.join(template))),
            )
            .expect("instance file");
        };
        write("env.production", ".env.production");
        if self.dotenv {
            write("docker-compose.dotenv.yml", "docker-compose.yml");
            write("dotenv", ".env");
        } else {
            write("docker-compose.yml", "docker-compose.yml");
        }
        if self.shared_servers {
            let (own, servers) = apart(&self.compose_text(), &servers_of(&self.project));
            self.edit_compose(&own);
            let servers = if self.addresses {
                with_passwords(&servers)
            } else {
                servers
            };
            fs::write(self.dir.join("servers.yml"), servers).expect("compose file");
        }
        if self.addresses {
            let text = by_address(&read(&self.environment_path()));
            fs::write(self.environment_path(), text).expect("environment file");
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::env::var_os("LAB_KEEP").is_some() {
            eprintln!(
                "LAB_KEEP is set: {} stays, in {}",
                self.project,
                self.dir.display()
            );
            return;
        }
        remove_project(&self.lab, &self.project);
    }
}

/// Removes what earlier runs of a test left that were killed before they could clean up.
pub(crate) fn sweep(lab: &Lab) {
    let Ok(entries) = fs::read_dir(&lab.sites) else {
        return;
    };
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let project = name.trim_end_matches("-mastopatch");
        let pid = project
            .strip_prefix("mplab")
            .and_then(|rest| rest.split('x').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            eprintln!("removing {project}, left by a test that was killed");
            remove_project(lab, project);
        }
    }
}

/// The Compose project of an instance's servers, where they have one of their own.
pub(crate) fn servers_of(project: &str) -> String {
    format!("{project}servers")
}

/// A compose file without the servers, and one of theirs, whose internal network both are in.
fn apart(text: &str, servers: &str) -> (String, String) {
    let (head, rest) = text.split_once("  db:\n").expect("the database");
    let (blocks, rest) = rest.split_once("  # es:\n").expect("the end of Redis");
    let waits = ["depends_on:", "- db", "- redis", "# - es"];
    let own: String = rest
        .split_inclusive('\n')
        .filter(|line| !waits.contains(&line.trim()))
        .collect();
    let theirs = "  internal_network:\n    internal: true\n";
    let joined =
        format!("  internal_network:\n    external: true\n    name: {servers}_internal_network\n");
    assert!(own.contains(theirs), "the internal network");
    let own = own.replace(theirs, &joined);
    (
        format!("{head}  # es:\n{own}"),
        format!("version: '3.7'\nservices:\n  db:\n{blocks}networks:\n{theirs}"),
    )
}

/// The password of servers that ask for one.
pub(crate) const PASSWORD: &str = "p@ss/w:ord!x";
/// The same in an address.
const ENCODED: &str = "p%40ss%2Fw%3Aord!x";

/// Servers of a compose file that ask for the password, but for connections inside their containers.
fn with_passwords(servers: &str) -> String {
    let trust = "- 'POSTGRES_HOST_AUTH_METHOD=trust'";
    let redis = "    healthcheck:\n      test: ['CMD', 'redis-cli', 'ping']\n";
    assert!(
        servers.contains(trust) && servers.contains(redis),
        "the servers"
    );
    let command = format!(
        "    command: ['redis-server', '--requirepass', '{PASSWORD}']\n    environment:\n      - 'REDISCLI_AUTH={PASSWORD}'\n"
    );
    servers
        .replace(trust, &format!("- 'POSTGRES_PASSWORD={PASSWORD}'"))
        .replace(redis, &format!("{command}{redis}"))
}

/// An environment in which addresses say where the servers are, and the single keys lead nowhere.
fn by_address(text: &str) -> String {
    let nowhere = text
        .replace("\nDB_HOST=db\n", "\nDB_HOST=nowhere\n")
        .replace("\nREDIS_HOST=redis\n", "\nREDIS_HOST=nowhere\n");
    assert_eq!(nowhere.matches("=nowhere\n").count(), 2, "{text}");
    format!(
        "{nowhere}\nDATABASE_URL=postgres://mastodon:{ENCODED}@db:5432/mastodon_production?pool=10\n\
         REDIS_URL=redis://:{ENCODED}@redis:6379/0\n"
    )
}

fn remove_project(lab: &Lab, project: &str) {
    for project in [project.to_owned(), servers_of(project)] {
        let filter = format!("label=com.docker.compose.project={project}");
        remove(&["ps", "-aq", "--filter", &filter], &["rm", "-fv"]);
        remove(
            &["network", "ls", "-q", "--filter", &filter],
            &["network", "rm"],
        );
        remove(
            &["volume", "ls", "-q", "--filter", &filter],
            &["volume", "rm", "-f"],
        );
    }
    let instances = lab.sites.clone();
    for name in [project.to_owned(), format!("{project}-mastopatch")] {
        let dir = instances.join(&name);
        if !dir.exists() || fs::remove_dir_all(&dir).is_ok() {
            continue;
        }
        // Files of the containers' users, and this is not root: a container may remove them.
        let mount = format!("{}:/instances", instances.display());
        let image = format!("{}/lab/redis:7", lab.registry);
        let path = format!("/instances/{name}");
        let done = shell::attempt(
            "docker",
            [
                "run",
                "--rm",
                "-v",
                &mount,
                "--entrypoint",
                "rm",
                &image,
                "-rf",
                &path,
            ],
        );
        if let Err(said) = done {
            eprintln!("{} could not be removed: {said}", dir.display());
        }
    }
}

fn remove(list: &[&str], remove: &[&str]) {
    let Ok(ids) = shell::attempt("docker", list) else {
        return;
    };
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if !ids.is_empty()
        && let Err(said) = shell::attempt("docker", remove.iter().copied().chain(ids))
    {
        eprintln!("docker {} failed: {said}", remove.join(" "));
    }
}

/// Containers that match a `docker ps` filter, by name.
pub(crate) fn containers(filter: &str) -> Vec<Container> {
    let ids = shell::run("docker", ["ps", "-aq", "--no-trunc", "--filter", filter]);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if ids.is_empty() {
        return Vec::new();
    }
    // A container may vanish between the two questions: then each one is asked for alone.
    let all = shell::attempt(
        "docker",
        ["inspect", "--type", "container"]
            .into_iter()
            .chain(ids.iter().copied()),
    );
    let texts = all.map_or_else(
        |_| {
            ids.iter()
                .filter_map(|id| {
                    shell::attempt("docker", ["inspect", "--type", "container", id]).ok()
                })
                .collect()
        },
        |text| vec![text],
    );
    let mut found: Vec<Container> = texts
        .iter()
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .filter_map(|json| json.as_array().cloned())
        .flatten()
        .map(|json| container(&json))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn container(json: &Value) -> Container {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = &json["Config"]["Labels"];
    let words = json["Config"]["Cmd"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let networks = json["NetworkSettings"]["Networks"].as_object();
    Container {
        id: text(&json["Id"]),
        name: text(&json["Name"]).trim_start_matches('/').to_owned(),
        service: text(&labels["com.docker.compose.service"]),
        image: text(&json["Config"]["Image"]),
        image_id: text(&json["Image"]),
        running: json["State"]["Running"].as_bool().unwrap_or(false),
        health: text(&json["State"]["Health"]["Status"]),
        restart_policy: text(&json["HostConfig"]["RestartPolicy"]["Name"]),
        command: words
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        run: labels["org.mastopatch.run"].as_str().map(str::to_owned),
        networks: networks
            .map(|networks| networks.keys().cloned().collect())
            .unwrap_or_default(),
    }
}

/// An HTTP client that reports every status as an answer.
pub(crate) fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .proxy(None)
        .build()
        .into()
}

fn self_id(instance: &Instance, service: &str) -> Result<String, String> {
    instance.container(service).map(|container| container.id)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn unique_project() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    format!(
        "mplab{}x{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A port below the range that the kernel hands out by itself: it must stay free while the site is fenced.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 90).expect("below 90") * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
