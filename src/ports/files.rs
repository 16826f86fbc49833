//! Files of a run on this host: its material, its snapshot, and the room they need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::database::{Cluster, RowCounts};
use crate::domain::event::is_false;
pub use crate::domain::room::Room;

/// Format of the manifests this program writes.
pub const MANIFEST_FORMAT: u32 = 1;
/// Name of the manifest in a snapshot's folder. A snapshot without it is not one.
pub const MANIFEST: &str = "manifest.json";

/// What a snapshot holds. Written last; a snapshot without it does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// The run that took it.
    pub run: String,
    /// The instance.
    pub instance: String,
    /// Version that served.
    pub version: String,
    /// When.
    pub taken_at: Timestamp,
    /// Images that ran: reference to id.
    pub images: BTreeMap<String, String>,
    /// How it was taken.
    pub method: String,
    /// Whether the site was open: database and Redis are then of two moments. Such a copy is there for the day on which the
    /// server's disk is lost, and no way back ever uses it.
    // Left out where it says nothing, so that manifests of runs are what they were.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hot: bool,
    /// The database in the server that is the copy, if it is not in the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// The copy of the server's whole data folder, if that is the copy of the database: it lies in the server, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// `server_version_num` of PostgreSQL.
    pub postgres: u32,
    /// Versions in `schema_migrations`.
    pub schema: BTreeSet<String>,
    /// Rows of every table, counted behind the fence.
    pub rows: RowCounts,
    /// Keys in Redis, counted behind the fence before the copy.
    pub redis_keys: u64,
    /// Every file, by path relative to the folder.
    pub files: BTreeMap<String, FileMark>,
}

impl Manifest {
    /// Whether the copy of the database lies in the server, as big as what it is a copy of, and not in the snapshot's folder.
    pub fn is_in_server(&self) -> bool {
        self.original.is_some() || self.cluster.is_some()
    }
}

/// Why a snapshot's folder is not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It has no manifest.
    #[error("it has no manifest: it was never finished")]
    Unfinished,
    /// Its manifest cannot be read.
    #[error("its manifest cannot be read: {reason}")]
    Manifest {
        /// Why.
        reason: String,
    },
    /// A newer program wrote it.
    #[error("a newer mastopatch wrote it (format {found}, this one knows up to {MANIFEST_FORMAT})")]
    Newer {
        /// The manifest's format.
        found: u32,
    },
    /// The manifest is of another run.
    #[error("its manifest is that of run {found}")]
    OtherRun {
        /// That run.
        found: String,
    },
    /// A file is gone.
    #[error("file `{file}` is missing")]
    Missing {
        /// The file.
        file: String,
    },
    /// A file does not belong to it.
    #[error("file `{file}` does not belong to it")]
    Surplus {
        /// The file.
        file: String,
    },
    /// A file has another length.
    #[error("file `{file}` is not as it was written: it has {found} bytes instead of {wanted}")]
    Length {
        /// The file.
        file: String,
        /// Its length when it was sealed.
        wanted: u64,
        /// Its length now.
        found: u64,
    },
    /// A file has the same length and another content.
    #[error("file `{file}` is not as it was written: its SHA-256 is another one")]
    Altered {
        /// The file.
        file: String,
    },
}

/// A folder of a snapshot, finished or not, without a look into its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The run, as the folder's name says it.
    pub run: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its manifest, or why there is none that counts.
    pub manifest: Result<Manifest, Flaw>,
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMark {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// Why a file of ours could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system said no.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// `write`, `read`, ….
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
}

/// What is marked beside a run's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// The site is closed, or about to be: an old container that does not run was stopped by the run.
    Fencing,
    /// A migration was about to run: the schema and the data may have changed.
    Migrating,
    /// The commit was about to be written: from here on people may have written to the new version.
    Committing,
    /// The run is held.
    Held,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 4] = [Self::Fencing, Self::Migrating, Self::Committing, Self::Held];

    /// The word in its file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fencing => "fencing",
            Self::Migrating => "migrating",
            Self::Committing => "committing",
            Self::Held => "held",
        }
    }
}

impl FilesError {
    /// A value that cannot be written down.
    pub(crate) fn json(err: &serde_json::Error) -> Self {
        Self::Damaged {
            path: PathBuf::new(),
            reason: err.to_string(),
        }
    }
}

/// Result of a call about files.
pub type FilesResult<T> = Result<T, FilesError>;

/// The files of runs.
pub trait RunFiles: Send + Sync {
    /// Writes the run's material, mode 0600, durable when this returns.
    fn save_material(&self, run: &str, text: &str) -> FilesResult<()>;

    /// Reads the run's material.
    fn load_material(&self, run: &str) -> FilesResult<String>;

    /// Writes the run's plan beside its material, mode 0600, durable when this returns.
    ///
    /// The file exists for as long as the run is open or held; it is there so that a lost state file can be
    /// rebuilt.
    fn save_plan(&self, run: &str, text: &str) -> FilesResult<()>;

    /// Sets a mark beside the run's plan, durable when this returns. It is the second witness of what else only the state
    /// file knows.
    fn set_mark(&self, run: &str, mark: Mark) -> FilesResult<()>;

    /// Whether the run has the mark.
    fn has_mark(&self, run: &str, mark: Mark) -> FilesResult<bool>;

    /// Makes sure the run does not have the mark, durably.
    fn take_mark(&self, run: &str, mark: Mark) -> FilesResult<()>;

    /// Run and text of every plan file, sorted by run: the runs that are open or held.
    fn open_plans(&self) -> FilesResult<Vec<(String, String)>>;

    /// Makes sure the run has no plan file and no mark, because it is over; durable when this returns.
    fn close_plan(&self, run: &str) -> FilesResult<()>;

    /// Makes a fresh folder for the run's snapshot, mode 0700; what an earlier attempt left is removed.
    fn begin_snapshot(&self, run: &str) -> FilesResult<PathBuf>;

    /// Copies files (those that exist) into folder `files` of the snapshot, mode 0600.
    fn copy_into(&self, dir: &Path, files: &[PathBuf]) -> FilesResult<()>;

    /// Finishes the snapshot: marks every file, writes the manifest last, makes all of it durable and
    /// gives the folder its final name. Gives that folder and the bytes in it.
    fn seal_snapshot(&self, dir: &Path, manifest: Manifest) -> FilesResult<(PathBuf, u64)>;

    /// The run's finished snapshot, if there is one. One whose manifest names another run is an error, and so is one of whose
    /// files the size or the SHA-256 is another than when it was finished.
    fn open_snapshot(&self, run: &str) -> FilesResult<Option<(PathBuf, Manifest)>>;

    /// Makes sure the run has no unfinished snapshot.
    fn ensure_no_partial(&self, run: &str) -> FilesResult<()>;

    /// Makes sure that there is no unfinished snapshot of a run whose id begins with `prefix`.
    fn ensure_no_partials(&self, prefix: &str) -> FilesResult<()>;

    /// The manifests of an instance's finished snapshots, the oldest first. One that cannot be read is left out.
    fn snapshots(&self, instance: &str) -> FilesResult<Vec<Manifest>>;

    /// Every folder of a snapshot, of whatever instance, also unfinished and damaged ones, sorted by run. Reads manifests only.
    fn found_snapshots(&self) -> FilesResult<Vec<Found>>;

    /// Looks for a flaw in a finished snapshot's folder, reading every file; tells `seen` how many bytes were read so far.
    /// `None` without one.
    fn flaw(&self, found: &Found, seen: &dyn Fn(u64)) -> FilesResult<Option<Flaw>>;

    /// Removes the finished snapshots of these runs, and what an earlier removal that was cut off left. Each stops to count in
    /// one step. Gives their folders.
    fn remove_snapshots(&self, runs: &[String]) -> FilesResult<Vec<PathBuf>>;

    /// Where snapshots lie.
    fn snapshot_root(&self) -> &Path;

    /// Room at `path`, or at its nearest folder that exists.
    fn room(&self, path: &Path) -> FilesResult<Room>;
}
