//! The owner's Compose files and the Compose CLI.
//!
//! Files are changed by replacing the bytes of a tag and nothing else; the CLI is asked read-only
//! questions only.

mod cli;
mod edit;
mod env;
mod template;
mod users;
mod write;
mod yaml;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::adapters::disk::{Disk, HostDisk};
use crate::ports::compose::{
    ComposeError, ComposeProject, FileEdit, FileState, Generation, ProjectFiles,
};

/// Where programs are looked for. The daemon's own environment does not reach the CLI.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Compose projects on this host.
#[derive(Debug, Clone)]
pub struct Compose<D: Disk = HostDisk> {
    disk: D,
    socket: PathBuf,
    path: OsString,
    home: PathBuf,
}

impl Compose {
    /// Projects whose containers the engine behind `socket` runs.
    pub fn new(socket: &Path) -> Self {
        Self::on(HostDisk, socket)
    }
}

impl<D: Disk> Compose<D> {
    /// As `new`, with the files that are replaced on `disk`. What to replace is read from this host in any case.
    pub fn on(disk: D, socket: &Path) -> Self {
        Self {
            disk,
            socket: socket.to_owned(),
            path: PATH.into(),
            home: "/root".into(),
        }
    }

    /// Looks for the CLI in other folders, separated by colons.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<OsString>) -> Self {
        self.path = path.into();
        self
    }

    /// Takes the CLI's own configuration and plugins from another home folder than root's.
    #[must_use]
    pub fn with_home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = home.into();
        self
    }

    /// Makes sure a file in state `from` holds `text`, and is then in state `to`. One in any other state is
    /// left as it is, for good.
    fn ensure(
        &self,
        edit: &FileEdit,
        from: FileState,
        to: FileState,
        text: &str,
    ) -> Result<FileState, ComposeError> {
        let found = write::state(&self.disk, edit)?;
        if found == from {
            write::replace(&self.disk, &edit.path, text)?;
            return Ok(to);
        }
        if found != FileState::Missing {
            write::settle(&self.disk, &edit.path)?;
        }
        Ok(found)
    }
}

impl<D: Disk> ComposeProject for Compose<D> {
    fn files(
        &self,
        container_name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<ProjectFiles, ComposeError> {
        let label = |missing: &'static str| {
            labels
                .get(missing)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| ComposeError::NoLabels {
                    container: container_name.to_owned(),
                    missing,
                })
        };
        let working_dir = PathBuf::from(label("com.docker.compose.project.working_dir")?);
        let version = label("com.docker.compose.version")?;
        let env_file = match labels.get("com.docker.compose.project.environment_file") {
            None => None,
            Some(unset) if unset.is_empty() || unset == "None" => None,
            Some(several) if several.contains(',') && !Path::new(several).exists() => {
                return Err(ComposeError::Syntax {
                    path: several.into(),
                    reason: "more than one environment file (`--env-file`) is not supported; put them into one".to_owned(),
                });
            }
            Some(one) => Some(found(&working_dir, one)),
        };
        Ok(ProjectFiles {
            project: label("com.docker.compose.project")?.clone(),
            config_files: label("com.docker.compose.project.config_files")?
                .split(',')
                .map(|file| found(&working_dir, file.trim()))
                .collect(),
            env_file,
            generation: if version.trim_start_matches('v').starts_with("1.") {
                Generation::V1
            } else {
                Generation::V2
            },
            working_dir,
        })
    }

    fn edits(
        &self,
        files: &ProjectFiles,
        images: &BTreeMap<String, String>,
    ) -> Result<Vec<FileEdit>, ComposeError> {
        edit::Project::load(files)?.edits(images)
    }

    async fn hashes(
        &self,
        files: &ProjectFiles,
        edits: &[FileEdit],
        services: &[String],
    ) -> Result<BTreeMap<String, String>, ComposeError> {
        self.ask_hashes(files, edits, services).await
    }

    fn state(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        write::state(&self.disk, edit)
    }

    fn ensure_edited(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.ensure(edit, FileState::Before, FileState::After, &edit.after)
    }

    fn ensure_restored(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.ensure(edit, FileState::After, FileState::Before, &edit.before)
    }
}

/// The environment file that counts: the explicit one, else `.env` in the project's folder.
fn env_file(files: &ProjectFiles) -> PathBuf {
    files
        .env_file
        .clone()
        .unwrap_or_else(|| files.working_dir.join(".env"))
}

/// A file as a label names it. Compose 1.x may name it relative to the folder it was started in, which
/// is the project's or one above it.
fn found(working_dir: &Path, name: &str) -> PathBuf {
    let name = Path::new(name);
    working_dir
        .ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| working_dir.join(name))
}

#[cfg(test)]
mod tests;
