//! Files of runs on this host, durable when a call returns: written under a temporary name, synchronised,
//! renamed, and the folder synchronised.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::disk::{Disk, HostDisk};
use crate::ports::files::{
    FileMark, FilesError, FilesResult, Flaw, Found, MANIFEST, Manifest, Mark, Room, RunFiles,
};

mod snapshots;

/// Bytes read at a time while a checksum is made.
const CHUNK: usize = 1 << 20;
/// How the name of a snapshot ends that is being removed, and counts no more.
const REMOVED: &str = ".removed";
/// How the name of a snapshot ends that is not finished.
const PARTIAL: &str = ".partial";
/// How the name of a plan's file ends.
const PLAN: &str = ".plan.json";

/// Everything under one state folder.
#[derive(Debug)]
pub struct StateDir<D: Disk = HostDisk> {
    disk: D,
    runs: PathBuf,
    snapshots: PathBuf,
}

impl StateDir {
    /// Uses `root` on this host, and makes it, mode 0700, if it does not exist.
    pub fn open(root: &Path) -> FilesResult<Self> {
        Self::on(HostDisk, root)
    }
}

impl<D: Disk> StateDir<D> {
    /// Uses `root` on `disk`, and makes it, mode 0700, if it does not exist. Its folders are durable when
    /// this returns.
    pub fn on(disk: D, root: &Path) -> FilesResult<Self> {
        let dirs = Self {
            disk,
            runs: root.join("runs"),
            snapshots: root.join("snapshots"),
        };
        for dir in [&dirs.runs, &dirs.snapshots] {
            dirs.ensure_folder(dir)?;
        }
        Ok(dirs)
    }

    fn partial(&self, run: &str) -> PathBuf {
        self.snapshots.join(format!(".{run}{PARTIAL}"))
    }

    fn sealed(&self, run: &str) -> PathBuf {
        self.snapshots.join(run)
    }

    fn material(&self, run: &str) -> PathBuf {
        self.runs.join(format!("{run}.json"))
    }

    fn mark_path(&self, run: &str, mark: Mark) -> PathBuf {
        self.runs.join(format!("{run}.{}", mark.name()))
    }

    fn plan(&self, run: &str) -> PathBuf {
        self.runs.join(format!("{run}{PLAN}"))
    }

    /// Makes sure the folder is there for good, with all above it.
    fn ensure_folder(&self, path: &Path) -> FilesResult<()> {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        if !self.disk.exists(path) {
            parent.map_or(Ok(()), |parent| self.ensure_folder(parent))?;
            match self.disk.make_folder(path, 0o700) {
                // Another process was quicker.
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(at("make folder", path))?,
            }
        }
        // Also if it was there: one that made it may have been cut off before this.
        parent.map_or(Ok(()), |parent| self.sync(parent))
    }

    fn make_folder(&self, path: &Path) -> FilesResult<()> {
        self.disk
            .make_folder(path, 0o700)
            .map_err(at("make folder", path))
    }

    fn sync(&self, path: &Path) -> FilesResult<()> {
        self.disk.sync(path).map_err(at("synchronise", path))
    }

    /// Writes a file of mode 0600 so that it is there whole or not at all.
    fn write_durably(&self, path: &Path, text: &[u8]) -> FilesResult<()> {
        let temporary = temporary(path);
        // One that an attempt left behind that was cut off.
        self.ensure_no_file(&temporary)?;
        let written = self
            .disk
            .write_new(&temporary, text, None)
            .and_then(|()| self.disk.rename(&temporary, path));
        written.map_err(|err| {
            // Only ours can be there; if it cannot be removed, the next attempt will.
            drop(self.disk.remove_file(&temporary));
            at("write", path)(err)
        })?;
        path.parent().map_or(Ok(()), |folder| self.sync(folder))
    }

    /// Makes what is written durable, and marks it.
    fn mark(&self, path: &Path) -> FilesResult<FileMark> {
        let read = || {
            self.disk.sync(path)?;
            let mut file = self.disk.open(path)?;
            let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
            let mut chunk = Vec::new();
            loop {
                chunk.clear();
                let part = u64::try_from(CHUNK).unwrap_or(u64::MAX);
                let n_read = file.by_ref().take(part).read_to_end(&mut chunk)?;
                if n_read == 0 {
                    return Ok(FileMark {
                        bytes,
                        sha256: format!("{:x}", hash.finalize()),
                    });
                }
                hash.update(&chunk);
                bytes = bytes.saturating_add(u64::try_from(n_read).unwrap_or(u64::MAX));
            }
        };
        read().map_err(at("read", path))
    }

    /// Every file below `dir`, by its path relative to it, sorted; and every folder.
    fn walk(&self, dir: &Path) -> FilesResult<(Vec<PathBuf>, Vec<PathBuf>)> {
        let (mut files, mut folders, mut todo) = (Vec::new(), Vec::new(), vec![dir.to_owned()]);
        while let Some(folder) = todo.pop() {
            for (name, is_folder) in self.list(&folder)? {
                let path = folder.join(name);
                if is_folder {
                    todo.push(path);
                } else if let Ok(relative) = path.strip_prefix(dir) {
                    files.push(relative.to_owned());
                }
            }
            folders.push(folder);
        }
        files.sort();
        Ok((files, folders))
    }

    fn list(&self, folder: &Path) -> FilesResult<Vec<(OsString, bool)>> {
        self.disk.list(folder).map_err(at("read", folder))
    }

    fn marks(&self, dir: &Path) -> FilesResult<BTreeMap<String, FileMark>> {
        let mut marks = BTreeMap::new();
        for name in self.names_in(dir)? {
            let mark = self.mark(&dir.join(&name))?;
            marks.insert(name, mark);
        }
        Ok(marks)
    }

    fn ensure_no_file(&self, path: &Path) -> FilesResult<()> {
        gone(self.disk.remove_file(path)).map_err(at("remove", path))
    }

    fn ensure_no_tree(&self, path: &Path) -> FilesResult<()> {
        gone(self.disk.remove_tree(path)).map_err(at("remove", path))
    }

    fn read_text(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.disk.read(path)?)
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))
    }
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Io {
        action,
        path,
        source,
    }
}

/// What was not there is gone, too.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether there is nothing at a path.
fn is_nothing(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Where a file is written before it gets its name.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

impl<D: Disk> RunFiles for StateDir<D> {
    fn save_material(&self, run: &str, text: &str) -> FilesResult<()> {
        self.write_durably(&self.material(run), text.as_bytes())
    }

    fn load_material(&self, run: &str) -> FilesResult<String> {
        let path = self.material(run);
        self.read_text(&path).map_err(at("read", &path))
    }

    fn save_plan(&self, run: &str, text: &str) -> FilesResult<()> {
        self.write_durably(&self.plan(run), text.as_bytes())
    }

    fn set_mark(&self, run: &str, mark: Mark) -> FilesResult<()> {
        self.write_durably(&self.mark_path(run, mark), b"")
    }

    fn has_mark(&self, run: &str, mark: Mark) -> FilesResult<bool> {
        let path = self.mark_path(run, mark);
        match self.disk.read(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found.map(|_| true).map_err(at("read", &path)),
        }
    }

    fn take_mark(&self, run: &str, mark: Mark) -> FilesResult<()> {
        self.ensure_no_file(&self.mark_path(run, mark))?;
        self.sync(&self.runs)
    }

    fn open_plans(&self) -> FilesResult<Vec<(String, String)>> {
        let mut plans = Vec::new();
        for (name, _) in self.list(&self.runs)? {
            let name = name.to_string_lossy();
            let Some(run) = name.strip_suffix(PLAN).filter(|run| !run.starts_with('.')) else {
                continue;
            };
            let path = self.plan(run);
            match self.read_text(&path) {
                // Its run ended meanwhile.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                text => plans.push((run.to_owned(), text.map_err(at("read", &path))?)),
            }
        }
        plans.sort();
        Ok(plans)
    }

    fn close_plan(&self, run: &str) -> FilesResult<()> {
        let path = self.plan(run);
        self.ensure_no_file(&path)?;
        self.ensure_no_file(&temporary(&path))?;
        // After the plan: a mark without one means nothing.
        for mark in Mark::ALL {
            self.ensure_no_file(&self.mark_path(run, mark))?;
        }
        // Also if it was not there: one that removed it may have been cut off before this.
        self.sync(&self.runs)
    }

    fn begin_snapshot(&self, run: &str) -> FilesResult<PathBuf> {
        let dir = self.partial(run);
        self.ensure_no_tree(&dir)?;
        self.discard(run)?;
        self.make_folder(&dir)?;
        Ok(dir)
    }

    fn copy_into(&self, dir: &Path, files: &[PathBuf]) -> FilesResult<()> {
        let into = dir.join("files");
        self.make_folder(&into)?;
        for (idx, file) in files.iter().enumerate() {
            let bytes = match self.disk.read(file) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(at("read", file))?,
            };
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            self.write_durably(&into.join(format!("{idx}-{name}")), &bytes)?;
        }
        Ok(())
    }

    fn seal_snapshot(&self, dir: &Path, mut manifest: Manifest) -> FilesResult<(PathBuf, u64)> {
        let path = dir.join(MANIFEST);
        // It would be marked as one of the snapshot's files.
        self.ensure_no_file(&temporary(&path))?;
        manifest.files = self.marks(dir)?;
        let bytes = manifest.files.values().map(|file| file.bytes).sum();
        for folder in self.walk(dir)?.1 {
            self.sync(&folder)?;
        }
        let text = serde_json::to_vec_pretty(&manifest).map_err(|err| FilesError::Damaged {
            path: path.clone(),
            reason: err.to_string(),
        })?;
        self.write_durably(&path, &text)?;
        let sealed = self.sealed(&manifest.run);
        self.disk.rename(dir, &sealed).map_err(at("rename", dir))?;
        self.sync(&self.snapshots)?;
        Ok((sealed, bytes))
    }

    fn open_snapshot(&self, run: &str) -> FilesResult<Option<(PathBuf, Manifest)>> {
        let dir = self.sealed(run);
        let damaged = |flaw: Flaw| FilesError::Damaged {
            path: dir.clone(),
            reason: flaw.to_string(),
        };
        let manifest = match self.read_manifest(&dir, run)? {
            Err(Flaw::Unfinished) => return Ok(None),
            manifest => manifest.map_err(damaged)?,
        };
        let flaw = self.difference(&dir, &manifest, &|_| {})?;
        // One that sealed it may have been cut off before this.
        self.sync(&self.snapshots)?;
        flaw.map_or(Ok(()), |flaw| Err(damaged(flaw)))?;
        Ok(Some((dir, manifest)))
    }

    fn ensure_no_partial(&self, run: &str) -> FilesResult<()> {
        self.ensure_no_tree(&self.partial(run))?;
        // Also if it was not there: one that removed it may have been cut off before this.
        self.sync(&self.snapshots)
    }

    fn ensure_no_partials(&self, prefix: &str) -> FilesResult<()> {
        for (name, _) in self.list(&self.snapshots)? {
            let name = name.to_string_lossy().into_owned();
            let run = name
                .strip_prefix('.')
                .and_then(|name| name.strip_suffix(PARTIAL));
            if run.is_some_and(|run| run.starts_with(prefix)) {
                self.ensure_no_tree(&self.snapshots.join(&name))?;
            }
        }
        self.sync(&self.snapshots)
    }

    fn snapshots(&self, instance: &str) -> FilesResult<Vec<Manifest>> {
        self.finished(instance)
    }

    fn found_snapshots(&self) -> FilesResult<Vec<Found>> {
        self.all_found()
    }

    fn flaw(&self, found: &Found, seen: &dyn Fn(u64)) -> FilesResult<Option<Flaw>> {
        match &found.manifest {
            Ok(manifest) => self.difference(&found.path, manifest, seen),
            Err(flaw) => Ok(Some(flaw.clone())),
        }
    }

    fn remove_snapshots(&self, runs: &[String]) -> FilesResult<Vec<PathBuf>> {
        self.discard_all(runs)
    }

    fn snapshot_root(&self) -> &Path {
        &self.snapshots
    }

    fn room(&self, path: &Path) -> FilesResult<Room> {
        let mut path = path;
        loop {
            match (self.disk.room(path), path.parent()) {
                (Err(err), Some(parent)) if is_nothing(&err) => path = parent,
                (room, _) => return room.map_err(at("look at", path)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
