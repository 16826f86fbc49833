//! The real binary with a configuration of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mastopatch::adapters::store::Store;
use mastopatch::daemon::world::STATE_FILE;
use mastopatch::ports::store::{Journal as _, StoredRun};
use serde_json::Value;

use super::lab::{Instance, Lab};
use super::mailbox::Mailbox;
use super::statuses::Statuses;
use super::{check, eventually};

/// No command of the product takes longer in the lab; a run that does is stuck.
const LONGEST: Duration = Duration::from_secs(420);

/// What the configuration says; every field has a value that suits the lab.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) github: String,
    /// Longest wait for an answer of GitHub.
    pub(crate) github_timeout: String,
    pub(crate) socket: PathBuf,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) smtp: String,
    pub(crate) main_image: String,
    pub(crate) streaming_image: String,
    pub(crate) migrate_timeout: String,
    pub(crate) boot_timeout: String,
    /// How the database is copied; by itself, unless a scenario is about one method.
    pub(crate) snapshot: String,
    /// What is done about rehearsals; nothing by itself, unless a scenario is about them.
    pub(crate) rehearse: String,
    pub(crate) settle: String,
    pub(crate) stop_grace: String,
    /// `approval` of minor steps in the usual policy.
    pub(crate) minor_approval: String,
    /// The policy, in place of the usual one.
    pub(crate) policy: Option<String>,
    /// Another recipient, who gets the administrator's mails.
    pub(crate) administrator: Option<String>,
    /// Lines put in front of the first table of the configuration.
    pub(crate) extra: String,
}

/// The configured product.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    dir: PathBuf,
    pub(crate) mailbox: Mailbox,
    pub(crate) name: String,
    project: String,
    pub(crate) settings: Settings,
}

/// What a finished command left.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
}

/// A command that is running; it is killed when this is dropped.
#[must_use = "the command is killed when this is dropped"]
pub(crate) struct Running {
    child: Child,
    command: String,
    started: Instant,
    stdout: Reader,
    stderr: Reader,
}

impl Product {
    /// Writes configuration and policy beside the instance's folder. Mail goes to a mailbox of its own.
    pub(crate) fn configure(instance: &Instance, github: &str) -> Self {
        let lab = &instance.lab;
        let dir = lab.sites.join(format!("{}-mastopatch", instance.project));
        fs::create_dir_all(&dir).expect("folder of the configuration");
        let product = Self {
            dir,
            mailbox: Mailbox::of(lab, &format!("manager-{}", instance.project)),
            name: instance.domain.clone(),
            project: instance.project.clone(),
            settings: Settings::lab(lab, &instance.registry, github),
        };
        product.write();
        product
    }

    /// Changes the configuration.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.write();
    }

    /// A copy that knows nothing yet and has no history.
    pub(crate) fn newcomer(&self, name: &str) -> Self {
        let own = self.state_dir().with_file_name(format!("state-{name}"));
        self.variant(name, |settings| settings.state_dir = Some(own))
    }

    /// A copy with another configuration, in a folder of its own but with the same state.
    pub(crate) fn variant(&self, name: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let mut other = self.clone();
        other.settings.state_dir = Some(self.state_dir());
        other.dir = self.dir.join(name);
        fs::create_dir_all(&other.dir).expect("folder of the configuration");
        other.change(change);
        other
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.dir.join("mastopatch.toml")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.settings
            .state_dir
            .clone()
            .unwrap_or_else(|| self.dir.join("state"))
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        self.spawn(args).finish(LONGEST)
    }

    /// Runs a command and shows its lines as they come, each after `prefix`.
    pub(crate) fn run_live(&self, args: &[&str], prefix: &'static str) -> Finished {
        self.start(args, Some(prefix), None).finish(LONGEST)
    }

    /// Starts a command.
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        self.start(args, None, None)
    }

    /// Starts the daemon as systemd would, to hear what it says of itself.
    pub(crate) fn daemon(&self) -> (Running, Statuses) {
        let socket = self.dir.join("notify");
        let statuses = Statuses::listen(&socket);
        (self.start(&["daemon"], None, Some(&socket)), statuses)
    }

    /// The state, as the product itself opens it.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.state_dir().join(STATE_FILE)).expect("state file")
    }

    /// The newest run as it is stored, with its plan.
    pub(crate) fn stored_run(&self) -> StoredRun {
        let runs = self.store().runs(&self.name, 1).expect("runs");
        runs.into_iter().next().expect("a run")
    }

    /// Runs a command with `--json` and returns what it printed.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut with_json = args.to_vec();
        with_json.push("--json");
        let finished = self.run(&with_json);
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|err| panic!("`{}` gave no JSON: {err}\n{finished}", args.join(" ")))
    }

    /// The newest run as `show --json` tells it.
    pub(crate) fn last_run(&self) -> Value {
        self.json(&["show"])["run"].clone()
    }

    /// The heads of all runs.
    pub(crate) fn runs(&self) -> Vec<Value> {
        self.json(&["history"])["runs"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// This instance in `status --json`.
    pub(crate) fn status(&self) -> Value {
        let status = self.json(&["status"]);
        let instances = status["instances"].as_array().cloned().unwrap_or_default();
        let own = instances
            .into_iter()
            .find(|instance| instance["name"] == self.name.as_str());
        own.unwrap_or_else(|| panic!("status does not name {}: {status}", self.name))
    }

    /// Reason for which a version is quarantined.
    pub(crate) fn quarantine_reason(&self, version: &str) -> Option<String> {
        let status = self.status();
        let quarantined = status["quarantined"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let entry = quarantined.into_iter().find(|entry| {
            entry["version"]
                .as_str()
                .is_some_and(|v| v.trim_start_matches('v') == version)
        });
        entry.and_then(|entry| entry["reason"].as_str().map(str::to_owned))
    }

    fn start(&self, args: &[&str], echo: Option<&'static str>, notify: Option<&Path>) -> Running {
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.config_path()).args(args);
        for name in [
            "DOCKER_HOST",
            "LAB_REGISTRY",
            "LAB_SMTP",
            "LAB_MAILDIR",
            "LAB_COMPOSE",
            "LAB_DIR",
            "LAB_SITES",
        ] {
            command.env_remove(name);
        }
        if let Some(socket) = notify {
            command.env("NOTIFY_SOCKET", socket);
        }
        command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|err| panic!("cannot start {}: {err}", binary().display()));
        let stdout = Reader::new(child.stdout.take().expect("piped"), echo);
        let stderr = Reader::new(child.stderr.take().expect("piped"), echo);
        Running {
            child,
            command: args.join(" "),
            started: Instant::now(),
            stdout,
            stderr,
        }
    }

    fn write(&self) {
        let settings = &self.settings;
        let config = format!(
            r#"{extra}state_dir = "{state}"
policy = "policy.toml"

[docker]
socket = "{socket}"

[github]
base_url = "{github}"
repository = "mastodon/mastodon"
timeout = "{github_timeout}"

[update_check]
enabled = false

[[instance]]
name = "{name}"
project = "{project}"
main_image = "{main}"
streaming_image = "{streaming}"

[run]
migrate_timeout = "{migrate}"
boot_timeout = "{boot}"
snapshot = "{snapshot}"
rehearse = "{rehearse}"
settle = "{settle}"
stop_grace = "{grace}"

[mail]
smtp = "{smtp}"
from = "mastopatch@lab.test"

[[mail.to]]
address = "{address}"
role = "manager"
{administrator}"#,
            administrator =
                settings
                    .administrator
                    .as_ref()
                    .map_or_else(String::new, |address| format!(
                        "[[mail.to]]\naddress = \"{address}\"\nrole = \"administrator\"\n"
                    )),
            extra = settings.extra,
            state = self.state_dir().display(),
            socket = settings.socket.display(),
            github = settings.github,
            github_timeout = settings.github_timeout,
            name = self.name,
            project = self.project,
            main = settings.main_image,
            streaming = settings.streaming_image,
            migrate = settings.migrate_timeout,
            boot = settings.boot_timeout,
            snapshot = settings.snapshot,
            rehearse = settings.rehearse,
            settle = settings.settle,
            grace = settings.stop_grace,
            smtp = settings.smtp,
            address = self.mailbox.address(),
        );
        fs::write(self.config_path(), config).expect("configuration");
        let usual = || usual_policy(&settings.minor_approval);
        let policy = settings.policy.clone().unwrap_or_else(usual);
        fs::write(self.dir.join("policy.toml"), policy).expect("policy");
    }
}

/// Everything at once, on hosts whose clock nobody synchronises.
fn usual_policy(minor_approval: &str) -> String {
    format!(
        r#"[time]
zone = "Europe/Berlin"
require_sync = false

[[window]]
id = "night"
opens = ["Mon..Sun 02:00"]
lasts = "3h"
allow = ["*"]

[[policy]]
name = "security"
match = {{ class = ["security"] }}
outside_windows = "at-once"
approval = "none"

[[policy]]
name = "patch"
match = {{ class = ["patch"] }}
outside_windows = "at-once"
approval = "none"
min_age = "24h"

[[policy]]
name = "minor"
match = {{ class = ["minor"] }}
outside_windows = "at-once"
approval = "{minor_approval}"
min_age = "24h"
"#
    )
}

impl Settings {
    fn lab(lab: &Lab, registry: &str, github: &str) -> Self {
        Self {
            github: github.to_owned(),
            github_timeout: "30s".to_owned(),
            socket: lab.socket(),
            state_dir: None,
            smtp: if lab.smtp.contains("://") {
                lab.smtp.clone()
            } else {
                format!("smtp://{}", lab.smtp)
            },
            main_image: format!("{registry}/mastodon/mastodon"),
            streaming_image: format!("{registry}/mastodon/mastodon-streaming"),
            migrate_timeout: "60s".to_owned(),
            boot_timeout: "90s".to_owned(),
            snapshot: "auto".to_owned(),
            rehearse: "off".to_owned(),
            settle: "8s".to_owned(),
            stop_grace: "20s".to_owned(),
            minor_approval: "none".to_owned(),
            policy: None,
            administrator: None,
            extra: String::new(),
        }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far: standard output, then standard error.
    pub(crate) fn so_far(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    /// The exit code, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("own child")
    }

    /// Waits for the end; kills it and panics with everything it printed when that takes too long.
    pub(crate) fn finish(mut self, within: Duration) -> Finished {
        let deadline = Instant::now() + within;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                drop(self.child.kill());
                panic!(
                    "`{}` does not end within {} s; so far:\n{}",
                    self.command,
                    within.as_secs(),
                    self.so_far()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.collect()
    }

    /// Tells it to read its configuration again (SIGHUP).
    pub(crate) fn reload(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// Asks it to end (SIGTERM).
    pub(crate) fn ask_to_end(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Asks it to end (SIGTERM) and waits.
    pub(crate) fn terminate(self) -> Finished {
        self.signal(rustix::process::Signal::TERM);
        self.finish(Duration::from_secs(60))
    }

    /// `kill -9`: what a crash or a power cut does to the process.
    pub(crate) fn kill_hard(mut self) -> Finished {
        self.signal(rustix::process::Signal::KILL);
        drop(self.child.wait());
        self.collect()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .expect("own child");
        rustix::process::kill_process(pid, signal).expect("signal to own child");
    }

    fn collect(&mut self) -> Finished {
        let status = self.child.wait().expect("own child");
        Finished {
            code: status.code(),
            stdout: self.stdout.join(),
            stderr: self.stderr.join(),
            elapsed: self.started.elapsed(),
        }
    }

    /// Waits until the condition holds; fails at once when the command ends before.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Result<T, String>,
    ) -> T {
        let command = self.command.clone();
        let found = eventually(what, within, || match look() {
            Ok(found) => Ok(Some(found)),
            Err(_) if self.child.try_wait().expect("own child").is_some() => Ok(None),
            Err(obstacle) => Err(obstacle),
        });
        found.unwrap_or_else(|| panic!("{what}: `{command}` ended before\n{}", self.so_far()))
    }
}

impl Running {
    /// Waits until it has printed these words; fails at once when it ends before.
    pub(crate) fn until_said(&mut self, words: &str, within: Duration) {
        let start = Instant::now();
        while !self.so_far().contains(words) {
            let ended = self.ended().is_some();
            assert!(
                !ended && start.elapsed() < within,
                "`{}` does not say `{words}`; it has said:\n{}",
                self.command,
                self.so_far()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Finished {
    /// Panics with everything printed unless the exit code is the expected one.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\n{self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self
            .code
            .map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
        write!(
            f,
            "ended {code} after {:.1} s\n--- stdout\n{}\n--- stderr\n{}",
            self.elapsed.as_secs_f64(),
            self.stdout,
            self.stderr
        )
    }
}

/// The binary under test: beside the test's own program, where cargo puts it.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = option_env!("CARGO_BIN_EXE_mastopatch") {
        return path.into();
    }
    let own = std::env::current_exe().expect("own path");
    let folder = own.parent().and_then(Path::parent).expect("target folder");
    let binary = folder.join("mastopatch");
    check(
        binary.exists(),
        format!("{} is missing: run `cargo build` first", binary.display()),
    )
    .unwrap_or_else(|err| panic!("{err}"));
    binary
}

/// Collects a stream's lines in a thread, and shows them if asked to.
struct Reader {
    lines: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn new(stream: impl Read + Send + 'static, echo: Option<&'static str>) -> Self {
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&lines);
        let thread = std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                if let Some(prefix) = echo {
                    println!("{prefix}{}", text.trim_end_matches('\n'));
                }
                sink.lock().expect("reader").push_str(&text);
                line.clear();
            }
        });
        Self {
            lines,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        self.lines.lock().expect("reader").clone()
    }

    fn join(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.text()
    }
}
