//! What `snapshot list`, `verify`, `create` and `prune` print with `--json`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Problem;
use crate::domain::retention::KeptFor;
use crate::engine::snapshots::{Defect, Listed, Verified};

/// `snapshot list`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListAnswer {
    /// Every snapshot of the host, by instance and time, the oldest first.
    pub snapshots: Vec<SnapshotAnswer>,
    /// Why it cannot be said what some are kept for.
    pub problems: Vec<String>,
}

/// `snapshot create`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreateAnswer {
    /// What was taken.
    pub snapshot: SnapshotAnswer,
}

/// `snapshot prune`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PruneAnswer {
    /// The instance.
    pub instance: String,
    /// Whether nothing was removed because of `--dry-run`.
    pub dry_run: bool,
    /// What is kept for nothing.
    pub goes: Vec<SnapshotAnswer>,
    /// The folders that were removed.
    pub removed: Vec<String>,
    /// What could not be removed.
    pub stays: Vec<StaysAnswer>,
}

/// A snapshot that could not be removed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StaysAnswer {
    /// Its run.
    pub run: String,
    /// Why.
    pub because: String,
}

/// One snapshot.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SnapshotAnswer {
    /// The run that took it; of a hot one, an id of its own.
    pub run: String,
    /// The instance; null where its manifest cannot be read, as with the next ones.
    pub instance: Option<String>,
    /// The version that ran.
    pub version: Option<String>,
    /// When it was taken.
    pub taken_at: Option<Timestamp>,
    /// How the database was copied.
    pub method: Option<SnapshotMethod>,
    /// Bytes of its files.
    pub bytes: Option<u64>,
    /// Its folder.
    pub path: String,
    /// The database in the server that is the copy, of a clone.
    pub database: Option<String>,
    /// What it is kept for; null where nothing removes it by itself.
    pub kept_for: Option<BTreeSet<KeptFor>>,
    /// Whether the end of the next run, or `snapshot prune`, removes it.
    pub goes: bool,
    /// Why it does not count; null where it does. Its files are not read for this.
    pub flaw: Option<FlawAnswer>,
}

/// How a database was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotMethod {
    /// By `pg_dump`, behind the fence.
    Logical,
    /// As a second database, behind the fence.
    Clone,
    /// As a copy of the server's data folder, behind the fence.
    Physical,
    /// By `pg_dump`, while the site was open.
    Hot,
}

impl SnapshotMethod {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logical => "logical",
            Self::Clone => "clone",
            Self::Physical => "physical",
            Self::Hot => "hot",
        }
    }
}

/// Why a snapshot is not to be relied on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FlawAnswer {
    /// One of `unfinished`, `manifest`, `newer-format`, `other-run`, `other-instance`, `missing-file`, `surplus-file`, `length`,
    /// `checksum`, `too-small`, `no-mastodon`, `dump`, `rows`, `schema`, `redis`, `original-gone`.
    pub kind: &'static str,
    /// A sentence.
    pub because: String,
}

/// `snapshot verify`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VerifyAnswer {
    /// The instance.
    pub instance: String,
    /// Every snapshot that was looked through.
    pub snapshots: Vec<VerifiedAnswer>,
    /// What could not be looked at. Only there if it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// A snapshot that was looked through.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VerifiedAnswer {
    /// Its run.
    pub run: String,
    /// Whether it is what it says.
    pub whole: bool,
    /// Why not; null where it is.
    pub flaw: Option<FlawAnswer>,
    /// Files compared; null where it is not whole, as with the next ones.
    pub files: Option<u64>,
    /// Bytes of them.
    pub bytes: Option<u64>,
    /// Tables counted; 0 of a clone.
    pub tables: Option<u64>,
    /// Rows in them.
    pub rows: Option<u64>,
    /// Migrations compared.
    pub migrations: Option<u64>,
    /// Keys in the copy of Redis.
    pub redis_keys: Option<u64>,
}

impl From<&Defect> for FlawAnswer {
    fn from(defect: &Defect) -> Self {
        Self {
            kind: defect.kind(),
            because: defect.to_string(),
        }
    }
}

impl SnapshotAnswer {
    /// One that was found.
    pub fn new(listed: &Listed) -> Self {
        let found = &listed.found;
        let known = found.manifest.as_ref().ok();
        let method = known.map(|known| {
            if known.hot {
                SnapshotMethod::Hot
            } else if known.cluster.is_some() {
                SnapshotMethod::Physical
            } else if known.original.is_some() {
                SnapshotMethod::Clone
            } else {
                SnapshotMethod::Logical
            }
        });
        Self {
            run: found.run.clone(),
            instance: known.map(|known| known.instance.clone()),
            version: known.map(|known| known.version.clone()),
            taken_at: known.map(|known| known.taken_at),
            method,
            bytes: known.map(|known| known.files.values().map(|file| file.bytes).sum()),
            path: found.path.display().to_string(),
            database: known.and_then(|known| known.original.clone()),
            kept_for: listed.kept_for.clone(),
            goes: listed.goes(),
            flaw: found
                .manifest
                .as_ref()
                .err()
                .map(|flaw| (&Defect::from(flaw.clone())).into()),
        }
    }
}

impl VerifiedAnswer {
    /// One that was looked through.
    pub fn new(run: &str, result: &Result<Verified, Defect>) -> Self {
        let whole = result.as_ref().ok();
        Self {
            run: run.to_owned(),
            whole: whole.is_some(),
            flaw: result.as_ref().err().map(FlawAnswer::from),
            files: whole.map(|whole| whole.files),
            bytes: whole.map(|whole| whole.bytes),
            tables: whole.map(|whole| whole.tables),
            rows: whole.map(|whole| whole.rows),
            migrations: whole.map(|whole| whole.migrations),
            redis_keys: whole.map(|whole| whole.redis_keys),
        }
    }
}
