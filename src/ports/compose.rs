//! The owner's Compose project: its files and what the Compose CLI makes of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Retry;

/// Where a project's files lie, as its containers' labels say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFiles {
    /// Project name.
    pub project: String,
    /// Folder that relative paths start from.
    pub working_dir: PathBuf,
    /// Compose files, in the order they are merged.
    pub config_files: Vec<PathBuf>,
    /// Explicit environment file; without one, `.env` in the folder counts if it exists.
    pub env_file: Option<PathBuf>,
    /// Which generation of Compose made the project.
    pub generation: Generation,
}

/// The two generations of Compose; they hash and label differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// `docker-compose`, written in Python, 1.x.
    V1,
    /// `docker compose`, the CLI plugin, 2.x and later.
    V2,
}

/// One file before and after: every byte outside the image tags is the same.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEdit {
    /// The file.
    pub path: PathBuf,
    /// Its whole text before. An environment file may hold secrets: kept in files of mode 0600 only.
    pub before: String,
    /// Its whole text after.
    pub after: String,
}

impl std::fmt::Debug for FileEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileEdit")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Which of an edit's two texts a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// The text before the edit.
    Before,
    /// The text after the edit.
    After,
    /// Neither: somebody else wrote it.
    Other,
    /// There is no such file.
    Missing,
}

/// Why the project's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A container carries no usable Compose labels.
    #[error(
        "container `{container}` does not say which Compose project it belongs to: {missing} is missing; start it with Compose"
    )]
    NoLabels {
        /// The container.
        container: String,
        /// The label.
        missing: &'static str,
    },
    /// A file could not be read or written.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// `read`, `write`, ….
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML that Compose takes.
    #[error("{} is not a Compose file that can be read: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// An image is written in a way that cannot be changed safely.
    #[error("{}:{line}: the image of service `{service}` cannot be changed safely: {reason}", path.display())]
    Uneditable {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// The service.
        service: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// No file of the project gives the service an image.
    #[error("no Compose file of project `{project}` gives service `{service}` an image")]
    NoSuchService {
        /// The project.
        project: String,
        /// The service.
        service: String,
    },
    /// The Compose CLI said no.
    #[error("`{command}` failed: {stderr}")]
    Cli {
        /// The command line.
        command: String,
        /// What it wrote, cut.
        stderr: String,
    },
    /// There is no Compose CLI on this host.
    #[error(
        "no Compose CLI on this host ({wanted}); install it, so that the Compose labels can be kept true"
    )]
    NoCli {
        /// The command that was looked for.
        wanted: String,
    },
}

impl ComposeError {
    /// Whether trying again makes sense: it never does without a person.
    pub fn retry(&self) -> Retry {
        Retry::Permanent
    }
}

/// The project's files and the Compose CLI.
pub trait ComposeProject: Send + Sync {
    /// Where the project's files lie, from one container's labels.
    fn files(
        &self,
        container_name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<ProjectFiles, ComposeError>;

    /// Edits that make each service of `images` (service -> `repository:tag`) run that image: in a
    /// Compose file, or in the environment file or variable its tag comes from. Nothing is written.
    /// No edits when the files already say so.
    fn edits(
        &self,
        files: &ProjectFiles,
        images: &BTreeMap<String, String>,
    ) -> Result<Vec<FileEdit>, ComposeError>;

    /// What `config --hash` prints for the services, with `edits` in place of what lies on disk. Writes
    /// nothing outside a temporary folder. Compose v1 needs the new images on this host, by tag.
    fn hashes(
        &self,
        files: &ProjectFiles,
        edits: &[FileEdit],
        services: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, String>, ComposeError>> + Send;

    /// Which text the file holds now.
    fn state(&self, edit: &FileEdit) -> Result<FileState, ComposeError>;

    /// Makes the file hold the text after the edit, if it holds the one before (or already the new one).
    /// Atomic; mode and owner are kept. When the file holds neither, nothing is written and
    /// [`FileState::Other`] comes back.
    fn ensure_edited(&self, edit: &FileEdit) -> Result<FileState, ComposeError>;

    /// The way back of [`Self::ensure_edited`], with the same care.
    fn ensure_restored(&self, edit: &FileEdit) -> Result<FileState, ComposeError>;
}
