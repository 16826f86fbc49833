//! Files of runs on this host, durable when a call returns: written under a temporary name, synchronised,
//! renamed, and the folder synchronised.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::ports::files::{
    FileMark, FilesError, FilesResult, MANIFEST, MANIFEST_FORMAT, Manifest, Room, RunFiles,
};

/// Bytes read at a time while a checksum is made.
const CHUNK: usize = 1 << 20;

/// Everything under one state folder.
#[derive(Debug)]
pub struct StateDir {
    runs: PathBuf,
    snapshots: PathBuf,
}

impl StateDir {
    /// Uses `root`, and makes it, mode 0700, if it does not exist.
    pub fn open(root: &Path) -> FilesResult<Self> {
        let dirs = Self {
            runs: root.join("runs"),
            snapshots: root.join("snapshots"),
        };
        for dir in [&dirs.runs, &dirs.snapshots] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(at("make folder", dir))?;
        }
        Ok(dirs)
    }

    fn partial(&self, run: &str) -> PathBuf {
        self.snapshots.join(format!(".{run}.partial"))
    }

    fn sealed(&self, run: &str) -> PathBuf {
        self.snapshots.join(run)
    }

    fn material(&self, run: &str) -> PathBuf {
        self.runs.join(format!("{run}.json"))
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

fn sync_dir(path: &Path) -> FilesResult<()> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(at("synchronise", path))
}

/// Writes a file of mode 0600 so that it is there whole or not at all.
fn write_durably(path: &Path, text: &[u8]) -> FilesResult<()> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(at("write", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes what is written durable, and marks it.
fn mark(path: &Path) -> FilesResult<FileMark> {
    let read = || {
        let mut file = File::open(path)?;
        let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
        let mut chunk = vec![0; CHUNK];
        loop {
            let n_read = file.read(&mut chunk)?;
            if n_read == 0 {
                file.sync_all()?;
                return Ok(FileMark {
                    bytes,
                    sha256: format!("{:x}", hash.finalize()),
                });
            }
            hash.update(chunk.get(..n_read).unwrap_or_default());
            bytes = bytes.saturating_add(u64::try_from(n_read).unwrap_or(u64::MAX));
        }
    };
    read().map_err(at("read", path))
}

/// Every file below `dir`, by its path relative to it, sorted; and every folder.
fn walk(dir: &Path) -> FilesResult<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders, mut todo) = (Vec::new(), Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = todo.pop() {
        let read = || fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>();
        for entry in read().map_err(at("read", &folder))? {
            let path = entry.path();
            if entry.file_type().map_err(at("read", &path))?.is_dir() {
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

fn marks(dir: &Path) -> FilesResult<BTreeMap<String, FileMark>> {
    let mut marks = BTreeMap::new();
    for relative in walk(dir)?.0 {
        let name = relative.to_string_lossy().into_owned();
        if name != MANIFEST {
            marks.insert(name, mark(&dir.join(&relative))?);
        }
    }
    Ok(marks)
}

fn ensure_gone(path: &Path) -> FilesResult<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(err)),
        _ => Ok(()),
    }
}

fn read_manifest(dir: &Path) -> FilesResult<Option<Manifest>> {
    let path = dir.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(at("read", &path))?,
    };
    let manifest: Manifest = serde_json::from_str(&text).map_err(|err| FilesError::Damaged {
        path: path.clone(),
        reason: err.to_string(),
    })?;
    if manifest.format > MANIFEST_FORMAT {
        let reason = format!("a newer mastopatch wrote it (format {})", manifest.format);
        return Err(FilesError::Damaged { path, reason });
    }
    Ok(Some(manifest))
}

impl RunFiles for StateDir {
    fn save_material(&self, run: &str, text: &str) -> FilesResult<()> {
        write_durably(&self.material(run), text.as_bytes())
    }

    fn load_material(&self, run: &str) -> FilesResult<String> {
        let path = self.material(run);
        fs::read_to_string(&path).map_err(at("read", &path))
    }

    fn save_plan(&self, run: &str, text: &str) -> FilesResult<()> {
        write_durably(&self.runs.join(format!("{run}.plan.json")), text.as_bytes())
    }

    fn open_plans(&self) -> FilesResult<Vec<(String, String)>> {
        let mut plans = Vec::new();
        let read = || fs::read_dir(&self.runs)?.collect::<Result<Vec<_>, _>>();
        for entry in read().map_err(at("read", &self.runs))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(run) = name.strip_suffix(".plan.json") {
                let path = entry.path();
                let text = fs::read_to_string(&path).map_err(at("read", &path))?;
                plans.push((run.to_owned(), text));
            }
        }
        plans.sort();
        Ok(plans)
    }

    fn close_plan(&self, run: &str) -> FilesResult<()> {
        let path = self.runs.join(format!("{run}.plan.json"));
        match fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(at("remove", &path)(err)),
            Ok(()) | Err(_) => sync_dir(&self.runs),
        }
    }

    fn begin_snapshot(&self, run: &str) -> FilesResult<PathBuf> {
        let dir = self.partial(run);
        ensure_gone(&dir)?;
        ensure_gone(&self.sealed(run))?;
        DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(at("make folder", &dir))?;
        Ok(dir)
    }

    fn copy_into(&self, dir: &Path, files: &[PathBuf]) -> FilesResult<()> {
        let into = dir.join("files");
        DirBuilder::new()
            .mode(0o700)
            .create(&into)
            .map_err(at("make folder", &into))?;
        for (idx, file) in files.iter().enumerate() {
            let bytes = match fs::read(file) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(at("read", file))?,
            };
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            write_durably(&into.join(format!("{idx}-{name}")), &bytes)?;
        }
        Ok(())
    }

    fn seal_snapshot(&self, dir: &Path, mut manifest: Manifest) -> FilesResult<(PathBuf, u64)> {
        manifest.files = marks(dir)?;
        let bytes = manifest.files.values().map(|file| file.bytes).sum();
        for folder in walk(dir)?.1 {
            sync_dir(&folder)?;
        }
        let path = dir.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|err| FilesError::Damaged {
            path: path.clone(),
            reason: err.to_string(),
        })?;
        write_durably(&path, &text)?;
        let sealed = self.sealed(&manifest.run);
        fs::rename(dir, &sealed).map_err(at("rename", dir))?;
        sync_dir(&self.snapshots)?;
        Ok((sealed, bytes))
    }

    fn open_snapshot(&self, run: &str) -> FilesResult<Option<(PathBuf, Manifest)>> {
        let dir = self.sealed(run);
        let Some(manifest) = read_manifest(&dir)? else {
            return Ok(None);
        };
        let found = marks(&dir)?;
        if found == manifest.files {
            return Ok(Some((dir, manifest)));
        }
        let differs = manifest
            .files
            .iter()
            .find(|(name, mark)| found.get(*name) != Some(*mark));
        let reason = match differs {
            Some((name, _)) => format!("file `{name}` is not as it was written"),
            None => "there are files that do not belong to it".to_owned(),
        };
        Err(FilesError::Damaged { path: dir, reason })
    }

    fn ensure_no_partial(&self, run: &str) -> FilesResult<()> {
        ensure_gone(&self.partial(run))
    }

    fn prune_snapshots(&self, instance: &str, keep: u32, run: &str) -> FilesResult<Vec<PathBuf>> {
        let root = &self.snapshots;
        let read = || fs::read_dir(root)?.collect::<Result<Vec<_>, _>>();
        let mut ours = Vec::new();
        for entry in read().map_err(at("read", root))? {
            let dir = entry.path();
            // One that cannot be read is kept: it may be worth a person's look.
            if let Ok(Some(manifest)) = read_manifest(&dir)
                && manifest.instance == instance
                && manifest.run != run
            {
                ours.push((manifest.taken_at, dir));
            }
        }
        ours.sort();
        // The run's own snapshot is one of those that are kept.
        let others = usize::try_from(keep)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let n_removed = ours.len().saturating_sub(others);
        let removed: Vec<PathBuf> = ours
            .into_iter()
            .take(n_removed)
            .map(|(_, dir)| dir)
            .collect();
        for dir in &removed {
            ensure_gone(dir)?;
        }
        Ok(removed)
    }

    fn snapshot_root(&self) -> &Path {
        &self.snapshots
    }

    fn room(&self, path: &Path) -> FilesResult<Room> {
        let mut path = path;
        while !path.exists() {
            let Some(parent) = path.parent() else { break };
            path = parent;
        }
        let stat = rustix::fs::statvfs(path).map_err(|err| at("look at", path)(err.into()))?;
        Ok(Room {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: (stat.f_files > 0).then_some(stat.f_favail),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(run: &str) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT,
            run: run.to_owned(),
            instance: "social.example".to_owned(),
            version: "4.5.7".to_owned(),
            taken_at: "2026-11-23T10:00:00Z".parse().unwrap(),
            images: BTreeMap::new(),
            method: "test".to_owned(),
            postgres: 150_000,
            schema: [].into(),
            rows: BTreeMap::new(),
            redis_keys: 0,
            files: BTreeMap::new(),
        }
    }

    fn snapshot(state: &StateDir, run: &str) -> PathBuf {
        let dir = state.begin_snapshot(run).unwrap();
        fs::create_dir(dir.join("database")).unwrap();
        fs::write(dir.join("database/1.dat"), b"rows").unwrap();
        state.seal_snapshot(&dir, manifest(run)).unwrap().0
    }

    #[test]
    fn a_sealed_snapshot_opens_and_an_altered_or_cut_one_does_not() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path()).unwrap();
        let dir = snapshot(&state, "r1");
        assert_eq!(state.open_snapshot("r1").unwrap().unwrap().0, dir);
        fs::write(dir.join("database/1.dat"), b"rowz").unwrap();
        let text = state.open_snapshot("r1").unwrap_err().to_string();
        assert!(text.contains("database/1.dat"), "{text}");
        fs::remove_file(dir.join("database/1.dat")).unwrap();
        assert!(state.open_snapshot("r1").is_err());
        assert!(state.open_snapshot("r2").unwrap().is_none());
    }

    #[test]
    fn a_snapshot_without_its_manifest_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path()).unwrap();
        fs::remove_file(snapshot(&state, "r1").join(MANIFEST)).unwrap();
        assert!(state.open_snapshot("r1").unwrap().is_none());
    }

    #[test]
    fn the_newest_snapshots_stay_and_the_runs_own_always() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path()).unwrap();
        for run in ["r1", "r2", "r3"] {
            snapshot(&state, run);
        }
        let removed = state.prune_snapshots("social.example", 1, "r1").unwrap();
        assert_eq!(removed.len(), 2);
        assert!(state.open_snapshot("r1").unwrap().is_some());
        assert!(
            state
                .prune_snapshots("other.example", 1, "r9")
                .unwrap()
                .is_empty()
        );
    }
}
