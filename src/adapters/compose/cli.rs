//! Read-only questions to the Compose CLI. The one place that starts a program.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::write::failed;
use super::{Compose, env_file};
use crate::adapters::disk::Disk;
use crate::ports::compose::{ComposeError, FileEdit, Generation, ProjectFiles};

/// Longest time for one question. The Python one needs seconds on a small, busy host.
const CLI_LIMIT: Duration = Duration::from_secs(60);

/// Bytes of error output that are worth showing.
const STDERR_SHOWN: usize = 2000;

impl<D: Disk> Compose<D> {
    pub(super) async fn ask_hashes(
        &self,
        files: &ProjectFiles,
        edits: &[FileEdit],
        services: &[String],
    ) -> Result<BTreeMap<String, String>, ComposeError> {
        let mut args = self.cli(files.generation).await?;
        let folder = Folder::new()?;
        let (config_files, env) = folder.with_edits(files, edits)?;
        args.extend(["-p".to_owned(), files.project.clone()]);
        for path in &config_files {
            args.extend(["-f".to_owned(), path.to_string_lossy().into_owned()]);
        }
        args.extend([
            "--project-directory".to_owned(),
            files.working_dir.to_string_lossy().into_owned(),
        ]);
        if let Some(env) = env {
            args.extend(["--env-file".to_owned(), env.to_string_lossy().into_owned()]);
        }
        args.extend(["config".to_owned(), "--hash".to_owned(), services.join(",")]);

        let said = self.run(&args, &files.working_dir).await?;
        let hashes: BTreeMap<String, String> = said
            .lines()
            .filter_map(|line| {
                let (service, hash) = line.trim().split_once(' ')?;
                Some((service.to_owned(), hash.trim().to_owned()))
            })
            .filter(|(service, hash)| services.contains(service) && !hash.is_empty())
            .collect();
        match services
            .iter()
            .find(|service| !hashes.contains_key(*service))
        {
            Some(missing) => Err(ComposeError::Cli {
                command: args.join(" "),
                stderr: format!("it printed no hash for `{missing}`"),
            }),
            None => Ok(hashes),
        }
    }

    /// The command line that a CLI of this generation begins with. Both may be called
    /// `docker-compose`, and they hash differently, so the version decides.
    async fn cli(&self, generation: Generation) -> Result<Vec<String>, ComposeError> {
        let candidates: &[&[&str]] = match generation {
            Generation::V1 => &[&["docker-compose"]],
            Generation::V2 => &[&["docker", "compose"], &["docker-compose"]],
        };
        for words in candidates {
            let mut args: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let program = args.clone();
            args.extend(["version".to_owned(), "--short".to_owned()]);
            let Ok(said) = self.run(&args, Path::new("/")).await else {
                continue;
            };
            let version = said.trim().trim_start_matches('v');
            let is_v1 = version.starts_with("1.");
            let is_any = version.starts_with(|c: char| c.is_ascii_digit());
            if is_any && is_v1 == (generation == Generation::V1) {
                return Ok(program);
            }
        }
        Err(ComposeError::NoCli {
            wanted: match generation {
                Generation::V1 => "`docker-compose` 1.x".to_owned(),
                Generation::V2 => "`docker compose`".to_owned(),
            },
        })
    }

    /// Runs it to its end, [`CLI_LIMIT`] at the longest, and gives what it printed.
    async fn run(&self, args: &[String], folder: &Path) -> Result<String, ComposeError> {
        let no = |stderr: String| ComposeError::Cli {
            command: args.join(" "),
            stderr,
        };
        let (program, rest) = match args.split_first() {
            Some((program, rest)) => (program.as_str(), rest),
            None => ("docker", args),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the Compose CLI alone knows its hashes; asked read-only"
        )]
        let mut command = tokio::process::Command::new(self.program(program)?);
        let child = command
            .args(rest)
            .current_dir(folder)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &self.home)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that plugins die with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|err| no(err.to_string()))?;
        let group = Group(child.id());
        let done = tokio::time::timeout(CLI_LIMIT, child.wait_with_output()).await;
        let output = match done {
            Ok(output) => output.map_err(|err| no(err.to_string()))?,
            Err(_elapsed) => {
                drop(group);
                return Err(no(format!("it took longer than {CLI_LIMIT:?}")));
            }
        };
        group.ended();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(no(stderr.trim().chars().take(STDERR_SHOWN).collect()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn program(&self, name: &str) -> Result<PathBuf, ComposeError> {
        std::env::split_paths(&self.path)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| ComposeError::NoCli {
                wanted: format!("`{name}`"),
            })
    }
}

/// A process group that is killed when this is dropped before it has ended.
struct Group(Option<u32>);

impl Group {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self
            .0
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _may_have_ended_by_itself =
                rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// A temporary folder that only its owner can read; gone when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, ComposeError> {
        let base = std::env::temp_dir();
        let mut attempt = 0_u32;
        loop {
            let path = base.join(format!("mastopatch-{}-{attempt}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Another question is being asked, or somebody else took the name.
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {
                    attempt += 1;
                }
                Err(err) => return Err(failed("create", &path, err)),
            }
        }
    }

    /// The Compose files and the environment file with each edited one replaced by a copy in here.
    fn with_edits(
        &self,
        files: &ProjectFiles,
        edits: &[FileEdit],
    ) -> Result<(Vec<PathBuf>, Option<PathBuf>), ComposeError> {
        let mut copies = BTreeMap::new();
        for (idx, edit) in edits.iter().enumerate() {
            let copy = self.0.join(format!("{idx}.edited"));
            let written = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&copy)
                .and_then(|mut file| io::Write::write_all(&mut file, edit.after.as_bytes()));
            written.map_err(|err| failed("write", &copy, err))?;
            copies.insert(edit.path.as_path(), copy);
        }
        let config_files = files
            .config_files
            .iter()
            .map(|path| copies.get(path.as_path()).unwrap_or(path).clone())
            .collect();
        let env = env_file(files);
        let env = match copies.get(env.as_path()) {
            Some(copy) => Some(copy.clone()),
            None => files.env_file.clone(),
        };
        Ok((config_files, env))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary folder, which the system empties.
        drop(fs::remove_dir_all(&self.0));
    }
}
