//! The configuration: files as written become [`Settings`] in which every value is good.
//!
//! Loading never stops at the first mistake: all of them are returned, each with its file, line and key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::domain::method::MethodChoice;
use crate::domain::plan::{OnDeadline, Proof};
use crate::domain::policy::Policy;
use crate::domain::rehearsal::Rehearse;
use crate::domain::report::words::clean;
use crate::domain::window::Needed;

mod checks;
mod fragments;
mod policy;
mod reader;
mod validate;
mod values;
mod windows;
mod zones;

pub use policy::SHIPPED as SHIPPED_POLICIES;
pub use windows::WrittenWindow;
pub use zones::{tz_version, zone_names};

/// Where the configuration is expected when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/mastopatch/mastopatch.toml";

/// Everything the operator decided, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file it was read from.
    pub file: PathBuf,
    /// Where journal, snapshots and reports are kept.
    pub state_dir: PathBuf,
    /// The file the policy was read from, or the name of a shipped one.
    pub policy_file: PathBuf,
    /// When what may be updated, on instances without a policy of their own.
    pub policy: Policy,
    /// The container engine.
    pub docker: Docker,
    /// The source of releases.
    pub github: GitHub,
    /// The address of Mastodon's own update check, the second source; not asked if absent.
    pub update_check: Option<String>,
    /// What is kept patched; at least one, with unique names and projects.
    pub instances: Vec<Instance>,
    /// Limits of a run.
    pub run: Run,
    /// Whom to write to; nobody if absent.
    pub mail: Option<Mail>,
}

/// The container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// The path of its Unix socket.
    pub socket: PathBuf,
}

/// The source of releases.
#[derive(Debug, Clone)]
pub struct GitHub {
    /// The address of the API, without a slash at its end. `https`, or `http` on this host.
    pub base_url: String,
    /// `owner/name`.
    pub repository: String,
    /// The time between two questions.
    pub poll: Duration,
    /// The time one answer may take.
    pub timeout: Duration,
    /// The token, if there is one.
    pub token: Option<SecretString>,
}

/// One Mastodon server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The name people know it by.
    pub name: String,
    /// The name of its Compose project.
    pub project: String,
    /// The repository of the main image, without a tag.
    pub main_image: String,
    /// The repository of the streaming image, without a tag.
    pub streaming_image: String,
    /// The policy's file, or the name of a shipped one.
    pub policy_file: PathBuf,
    /// When what may be updated here.
    pub policy: Policy,
    /// Where the windows of the policy stand, for [`Settings::faults`].
    pub written: Vec<WrittenWindow>,
}

/// Limits of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// For pulling all images.
    pub pull_timeout: Duration,
    /// For a container to stop by itself.
    pub stop_grace: Duration,
    /// For the snapshot.
    pub snapshot_timeout: Duration,
    /// For the migrations.
    pub migrate_timeout: Duration,
    /// For a service to answer after its start.
    pub boot_timeout: Duration,
    /// How long everything must stay well before it counts.
    pub settle: Duration,
    /// How many snapshots are kept.
    pub keep_snapshots: u32,
    /// Those younger than this are kept, too; none unless it is set.
    pub keep_snapshots_for: Option<Duration>,
    /// Bytes a second that a copy of the open site is written with at the most, if that is limited.
    pub hot_rate: Option<u64>,
    /// What a run does that would outlast its window.
    pub on_deadline: OnDeadline,
    /// How the database is copied.
    pub snapshot: MethodChoice,
    /// Whether a logical copy is restored into a throw-away server to prove it; else it is read back.
    pub proof: Proof,
    /// Whether updates are rehearsed before they start.
    pub rehearse: Rehearse,
}

/// Whom to write to, and how.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The mail server.
    pub server: MailServer,
    /// The sender's address.
    pub from: String,
    /// User and password; both or neither.
    pub login: Option<MailLogin>,
    /// The recipients; at least one.
    pub to: Vec<Recipient>,
}

/// The mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// How the connection is protected.
    pub protection: MailProtection,
    /// The name or address of the host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailProtection {
    /// Not at all; only to this host.
    Plain,
    /// TLS after the greeting, required.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// How to log in at the mail server.
#[derive(Debug, Clone)]
pub struct MailLogin {
    /// The user.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// What the recipient wants to read.
    pub role: Role,
}

/// What a recipient wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Plain language: are we patched, did anybody notice?
    Manager,
    /// All of it.
    Administrator,
}

/// Every mistake in the configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line and column, counted from 1; none if the file could not be read.
    pub at: Option<(usize, usize)>,
    /// The key, with the tables it stands in; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Not TOML.
    #[error("{0}")]
    Syntax(String),
    /// No such key.
    #[error("unknown key{}", .0.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
    UnknownKey(Option<String>),
    /// Another type of value.
    #[error("must be {wanted}, not {found}")]
    WrongType {
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Not there.
    #[error("is required")]
    Missing,
    /// There, but not good.
    #[error("{0}")]
    Refused(String),
}

/// Reads and checks the configuration file, the policy it names, and the secrets.
///
/// `credentials` is the directory in which systemd hands secrets over; a key that names a file wins over it.
pub fn load(file: &Path, credentials: Option<&Path>) -> Result<Settings, ConfigErrors> {
    validate::load(file, credentials)
}

/// Checks a configuration that is at hand as a text; `name` is the file named in errors.
///
/// The policy and the secrets that it names are asked of `read`; nothing else is touched.
pub fn parse(
    name: &Path,
    text: &str,
    read: fn(&Path) -> io::Result<String>,
) -> Result<Settings, ConfigErrors> {
    validate::parse(name, text, None, read)
}

/// Reads and checks a policy. `name` is the file named in errors.
pub fn parse_policy(name: &Path, text: &str) -> Result<Policy, ConfigErrors> {
    let problems = reader::Problems::default();
    let policy = policy::parse(name, text, None, "", &problems);
    policy
        .map(|(policy, _)| policy)
        .ok_or_else(|| problems.into_errors())
}

/// The time zone of this name, or what to write instead.
pub fn zone(name: &str) -> Result<jiff::tz::TimeZone, String> {
    zones::find(name).map_err(|err| err.to_string())
}

/// A length of time as the configuration writes it, `36h`; longer than nothing.
pub fn span(text: &str) -> Option<jiff::SignedDuration> {
    let span = values::span(text).ok().filter(|span| !span.is_zero())?;
    jiff::SignedDuration::try_from(span).ok()
}

impl Settings {
    /// What is wrong with the windows today, though the file was right once: calendars that do not open within 400 days,
    /// and windows that are shorter than what a run needs on this host. `needed` says the latter for an instance.
    ///
    /// Whoever changes the configuration is refused with these; a daemon that starts only tells them.
    pub fn faults(
        &self,
        now: Timestamp,
        needed: impl Fn(&Instance) -> Needed,
    ) -> Result<(), ConfigErrors> {
        let mut errors: Vec<ConfigError> = Vec::new();
        for instance in &self.instances {
            let found =
                windows::faults(&instance.policy, &instance.written, now, &needed(instance));
            let new: Vec<ConfigError> = found
                .into_iter()
                .filter(|err| !errors.contains(err))
                .collect();
            errors.extend(new);
        }
        if errors.is_empty() {
            return Ok(());
        }
        errors.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        Err(ConfigErrors { errors })
    }
}

impl ConfigErrors {
    /// The mistakes, by file and line.
    pub fn all(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl fmt::Display for ConfigErrors {
    /// One mistake per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.errors.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigError {
    /// `mastopatch.toml:12:1: instance.projct: unknown key, did you mean …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        // It quotes what is written, and a file may hold what a terminal takes for orders.
        write!(f, ": {}", clean(&self.problem.to_string()))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
