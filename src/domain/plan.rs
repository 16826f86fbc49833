//! The plan of one run: everything that will be done, decided before anything is done.
//!
//! A plan is immutable and holds no secret. What it must know of secrets (container definitions, the text
//! of environment files) lies beside it in a file of mode 0600, the *material*, bound by its SHA-256.
//! The executor makes no choices: where the world no longer is as the plan says, the plan is void (I9).

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::advisory::Severity;
use super::path::{Obstacle, Weight};
use super::rehearsal::Rehearsed;
use super::retention::Rules;
use super::version::{ReleaseVersion, UpdateKind};

mod restore;

pub use restore::Restore;

/// Format of the plans this program writes.
pub const PLAN_FORMAT: u32 = 1;

/// One run's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// The run's id: a UUID of version 7, so ids sort by time.
    pub run: String,
    /// Name of the instance, from the configuration.
    pub instance: String,
    /// Its Compose project.
    pub project: String,
    /// The version that serves now.
    pub from: ReleaseVersion,
    /// The version to go to.
    pub to: ReleaseVersion,
    /// How far that is.
    pub kind: UpdateKind,
    /// Why, and why now.
    pub why: Why,
    /// The commit the release was tagged at; the image must have been built from it. `None` when GitHub
    /// did not say.
    pub expected_commit: Option<String>,
    /// The images, main first.
    pub images: Vec<PlannedImage>,
    /// The containers that will be replaced.
    pub services: Vec<PlannedService>,
    /// Where the site is probed.
    pub site: Site,
    /// The database.
    pub database: DatabaseRef,
    /// How the database is copied behind the fence.
    // Left out where it says nothing, so that plans from before are the same bytes as ever.
    #[serde(default, skip_serializing_if = "Method::is_logical")]
    pub method: Method,
    /// Why in this way, in one sentence; empty in plans from before there was a choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method_because: String,
    /// How a logical copy is proved.
    #[serde(default, skip_serializing_if = "Proof::is_plain")]
    pub proof: Proof,
    /// What was rehearsed of it; none in plans that nobody asked that of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Rehearsed>,
    /// Redis.
    pub redis: RedisRef,
    /// The project's files that will name the new version.
    pub files: Vec<PlannedFile>,
    /// SHA-256 of the material.
    pub material_sha256: String,
    /// Longest times.
    pub limits: Limits,
    /// When the plan was made.
    pub created_at: Timestamp,
    /// When the run has to be over, its way back included, if a window limits it.
    pub hard_deadline: Option<Timestamp>,
    /// The last instant at which the site may be closed so that the deadline can be kept.
    pub close_by: Option<Timestamp>,
    /// What the run does when only the time for its way back is left before the deadline.
    #[serde(default)]
    pub on_deadline: OnDeadline,
    /// Seconds that the way back needs; 0 where nobody knows.
    #[serde(default)]
    pub way_back_s: u64,
    /// What is brought back, where the run is no update.
    // Left out where it says nothing, so that plans from before are the same bytes as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
}

/// How the database is copied behind the fence, and how the way back brings it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `pg_dump` into files, which `pg_restore` reads into a new database. Survives the loss of the server.
    #[default]
    Logical,
    /// A second database in the same server, made of copies of the first one's files. The new version migrates the copy;
    /// the original is not touched, and the way back is a renaming. Lives and dies with the server's disk.
    Clone,
}

impl Method {
    /// Whether it is [`Self::Logical`].
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_logical(&self) -> bool {
        *self == Self::Logical
    }

    /// Its name in configuration, plan and manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logical => "logical",
            Self::Clone => "clone",
        }
    }
}

/// How a logical copy is proved before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// It is restored into a throw-away server, and what came of it is compared.
    Restore,
    /// It is read back whole, and its rows are counted.
    Read {
        /// Why it is not restored; none in plans from before there was another way.
        because: Option<String>,
    },
}

impl Default for Proof {
    fn default() -> Self {
        Self::Read { because: None }
    }
}

impl Proof {
    /// Whether it is what plans say that say nothing.
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What a run does that would outlast its deadline (W13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDeadline {
    /// Before the commit it takes the way back, early enough to be over in time; after it, it goes on.
    #[default]
    Rollback,
    /// It goes on to its end.
    Finish,
}

/// Why a run is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// A policy rule's name, or the person who asked.
    pub asked_by: Asked,
    /// Every reason, as sentences.
    pub reasons: Vec<String>,
    /// Why it did not wait for a maintenance window; none where it did, or where a person asked.
    // Left out where it says nothing, so that plans from before are the same bytes as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<String>,
    /// Advisories the new version closes.
    pub advisories: Vec<String>,
    /// The worst of their severities.
    pub severity: Option<Severity>,
    /// When the release was published.
    pub published_at: Timestamp,
    /// The release's page.
    pub url: String,
}

/// Who or what asked for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// The policy, by this rule.
    Rule(String),
    /// A person at the terminal, by login name.
    Person(String),
}

/// Which of Mastodon's two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageKind {
    /// Web, Sidekiq and the migrations.
    Main,
    /// Streaming, an image of its own since 4.3.
    Streaming,
}

/// One image, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedImage {
    /// Which.
    pub kind: ImageKind,
    /// Repository, without tag.
    pub repository: String,
    /// Reference that runs now.
    pub from_reference: String,
    /// Id of the image that runs now.
    pub from_id: String,
    /// `repository:tag` to run.
    pub to_reference: String,
    /// Manifest digest the tag had when the plan was made.
    pub to_digest: String,
}

/// What a service does in Mastodon.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Puma.
    Web,
    /// The streaming server.
    Streaming,
    /// Sidekiq; there may be several.
    Sidekiq,
}

impl Role {
    /// The image it runs.
    pub fn image(self) -> ImageKind {
        match self {
            Self::Web | Self::Sidekiq => ImageKind::Main,
            Self::Streaming => ImageKind::Streaming,
        }
    }
}

/// One container that will be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedService {
    /// Compose service.
    pub service: String,
    /// What it does.
    pub role: Role,
    /// Name of the container; the new one gets it.
    pub container: String,
    /// Id of the old container.
    pub id: String,
    /// Networks in which nothing outside can reach it, by name; sorted.
    pub private_networks: Vec<String>,
    /// The other networks, connected only when the site opens; sorted.
    pub public_networks: Vec<String>,
    /// Port inside the container on which it is probed; `None` for Sidekiq.
    pub port: Option<u16>,
    /// Where the public reaches it, `127.0.0.1:3000` and the like, if it is published.
    pub published: Option<String>,
}

/// Where and how the site is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// `LOCAL_DOMAIN`: every request but `/health` needs it.
    pub domain: String,
}

/// Whose container a server is. Only the instance's own project is ever changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The instance's own Compose project.
    #[default]
    Instance,
    /// Another Compose project.
    Project(String),
    /// Nobody who uses Compose.
    Nobody,
}

impl Owner {
    /// Whether it is [`Self::Instance`].
    pub fn is_instance(&self) -> bool {
        *self == Self::Instance
    }

    /// A container of this owner, for people: ``container `pg` of project `shared` ``.
    pub fn container(&self, name: &str) -> String {
        match self {
            Self::Instance => format!("container `{name}`"),
            Self::Project(project) => format!("container `{name}` of project `{project}`"),
            Self::Nobody => format!("container `{name}`, which is of no Compose project"),
        }
    }
}

/// Where the database is. Its password is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseRef {
    /// The PostgreSQL container, by name.
    pub container: String,
    /// Whose container that is.
    // Left out where it says nothing, so that plans from before are the same bytes as ever.
    #[serde(default, skip_serializing_if = "Owner::is_instance")]
    pub owner: Owner,
    /// Network in which web reaches it.
    pub network: String,
    /// Host name web uses.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Role web uses.
    pub user: String,
    /// Database.
    pub name: String,
    /// PostgreSQL's `server_version_num`.
    pub server_version: u32,
    /// Bytes of the database when the plan was made.
    pub bytes: u64,
}

/// Where Redis is. Its password is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisRef {
    /// The Redis container, by name.
    pub container: String,
    /// Whose container that is.
    // Left out where it says nothing, so that plans from before are the same bytes as ever.
    #[serde(default, skip_serializing_if = "Owner::is_instance")]
    pub owner: Owner,
    /// Network in which web reaches it.
    pub network: String,
    /// Host name web uses.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// One file of the project that will be changed. Its text lies in the material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFile {
    /// The file.
    pub path: String,
    /// SHA-256 of its text now.
    pub before_sha256: String,
    /// SHA-256 of its text afterwards.
    pub after_sha256: String,
}

/// Bounds. Times are in seconds; reaching one is a failure of that step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Both pulls together.
    pub pull_s: u64,
    /// From a stop signal to SIGKILL.
    pub stop_grace_s: u64,
    /// Each of dump, proof and restore.
    pub snapshot_s: u64,
    /// The migrations.
    pub migrate_s: u64,
    /// From a container's start until its probes answer.
    pub boot_s: u64,
    /// How long the new version has to stay well before it is committed.
    pub settle_s: u64,
    /// Finished snapshots of the instance that are kept.
    pub keep_snapshots: u32,
    /// Those younger than this are kept, too.
    // Left out where it says nothing, so that plans from before are the same bytes as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_snapshots_for_s: Option<u64>,
}

impl Limits {
    /// How many snapshots are kept, and for how long.
    pub fn retention(&self) -> Rules {
        let whole_s = |age: u64| i64::try_from(age).unwrap_or(i64::MAX);
        Rules {
            newest: self.keep_snapshots,
            younger_than: self
                .keep_snapshots_for_s
                .map(|age| SignedDuration::from_secs(whole_s(age))),
        }
    }
}

impl Plan {
    /// The plan as canonical JSON: same plan, same bytes.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// SHA-256 of [`Self::canonical`], in hex.
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        Ok(sha256_hex(self.canonical()?.as_bytes()))
    }

    /// What a person agrees to when they approve this plan, as SHA-256 in hex.
    ///
    /// It covers what would be done: versions, images by id and digest, the services that are replaced, the files that are
    /// edited and how, and where the data are. It leaves out what is different each time and changes nothing about that:
    /// the run's id, dates, reasons, container ids, the database's size. So an approval outlives a restart of the
    /// containers, and ends when a tag was moved, a file was edited or a service was added; and when something else stands in
    /// the way that a person must have looked at: of `obstacles`, those count.
    pub fn approval_hash(&self, obstacles: &[Obstacle]) -> Result<String, serde_json::Error> {
        let seen: Vec<&Obstacle> = obstacles
            .iter()
            .filter(|obstacle| obstacle.weight == Weight::NeedsPerson)
            .collect();
        let services: Vec<_> = self
            .services
            .iter()
            .map(|service| (&service.service, service.role))
            .collect();
        let scope = serde_json::json!({
            "instance": self.instance,
            "project": self.project,
            "from": self.from,
            "to": self.to,
            "commit": self.expected_commit,
            "images": self.images,
            "services": services,
            "files": self.files,
            "database": (&self.database.container, &self.database.host, &self.database.name),
            "redis": (&self.redis.container, &self.redis.host),
            "seen": seen,
        });
        Ok(sha256_hex(serde_json::to_string(&scope)?.as_bytes()))
    }

    /// The services of one role, in the plan's order.
    pub fn services_of(&self, role: Role) -> impl Iterator<Item = &PlannedService> {
        self.services
            .iter()
            .filter(move |service| service.role == role)
    }

    /// The image a service runs.
    pub fn image_of(&self, service: &PlannedService) -> Option<&PlannedImage> {
        self.images
            .iter()
            .find(|image| image.kind == service.role.image())
    }

    /// Name of an old container while it is kept aside.
    pub fn kept_name(&self, service: &PlannedService) -> String {
        format!("{}_before_{}", service.container, self.short_run())
    }

    /// Name of a container that somebody made during the run, while it is put aside.
    pub fn aside_name(&self, id: &str) -> String {
        let id: String = id.chars().take(12).collect();
        format!("mastopatch_aside_{}_{id}", self.short_run())
    }

    /// The reference of ours that keeps an image from being pruned while the run is open.
    pub fn keep_reference(&self, image: &PlannedImage, new: bool) -> String {
        let (kind, age) = (
            match image.kind {
                ImageKind::Main => "main",
                ImageKind::Streaming => "streaming",
            },
            if new { "new" } else { "old" },
        );
        format!("mastopatch-keep/{}-{kind}:{age}", self.short_run())
    }

    /// Name of the network that throw-away servers are in.
    pub fn isolated_network(&self) -> String {
        format!("mastopatch_isolated_{}", self.short_run())
    }

    /// Name of the database that the snapshot is restored into before it takes the old one's name.
    pub fn restored_database(&self) -> String {
        format!(
            "{}_restored_{}",
            shortened(&self.database.name),
            self.short_run()
        )
    }

    /// Name of the copy that is made by [`Method::Clone`], until it takes the original's name.
    pub fn cloned_database(&self) -> String {
        format!(
            "{}_clone_{}",
            shortened(&self.database.name),
            self.short_run()
        )
    }

    /// Name under which the untouched original stands aside while the new version has the copy.
    pub fn original_database(&self) -> String {
        original_database(&self.database.name, &self.run)
    }

    /// Name under which a damaged database is put aside during a restore.
    pub fn damaged_database(&self) -> String {
        format!(
            "{}_damaged_{}",
            shortened(&self.database.name),
            self.short_run()
        )
    }

    /// The last twelve digits of the run's id: its random part, enough to tell runs of a host apart.
    pub fn short_run(&self) -> &str {
        short(&self.run)
    }
}

/// The last twelve digits of a run's id.
pub fn short(run: &str) -> &str {
    let start = run.len().saturating_sub(12);
    run.get(start..).unwrap_or(run)
}

/// Name under which the untouched original of a database stands aside once `run` put its clone in the place.
pub fn original_database(database: &str, run: &str) -> String {
    format!("{}_before_{}", shortened(database), short(run))
}

/// PostgreSQL cuts names at 63 bytes; ours add 22.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

/// SHA-256 in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use crate::domain::plan::{Method, Plan};
    use crate::domain::report::samples;

    #[test]
    fn a_plan_from_before_there_was_a_choice_of_methods_keeps_its_bytes() {
        let old = samples::plan();
        let text = old.canonical().unwrap();
        assert!(!text.contains("\"method"), "{text}");
        let loaded: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(loaded, old);
        let new = Plan {
            method: Method::Clone,
            method_because: "there is room".to_owned(),
            ..old
        };
        let text = new.canonical().unwrap();
        assert!(
            text.contains(r#""method":"clone","method_because":"there is room""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), new);
    }
}
