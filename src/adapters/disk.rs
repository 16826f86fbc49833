//! What we ask of a file system, and the one of this host.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::ports::files::Room;

/// A file system. Made, renamed and removed names survive a power cut once their folder was synchronised;
/// nothing here does that by itself.
pub trait Disk: Debug + Send + Sync {
    /// Makes one folder. Its parent exists, it does not.
    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// Makes a file that was not there, with mode 0600, or with mode and owner of the file `like`.
    ///
    /// When this returns `Ok`, its content survives a power cut, but not yet its name. When it returns an
    /// error, any part of it may be there.
    fn write_new(&self, path: &Path, bytes: &[u8], like: Option<&Path>) -> io::Result<()>;

    /// Makes a file's content durable, whoever wrote it, or a folder's names.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Renames within one folder; a file that has the name already is replaced, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and all that is in it. An error may leave any part of it.
    fn remove_tree(&self, path: &Path) -> io::Result<()>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + '_>>;

    /// Names in a folder, and whether each is a folder; in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>>;

    /// The path without links.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether there is something of that name; a link counts as itself.
    fn exists(&self, path: &Path) -> bool;

    /// Room on the file system of something that exists.
    fn room(&self, path: &Path) -> io::Result<Room>;

    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The file systems of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostDisk;

impl Disk for HostDisk {
    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().mode(mode).create(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8], like: Option<&Path>) -> io::Result<()> {
        let old = like.map(fs::metadata).transpose()?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        if let Some(old) = old {
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            // After the owner: a change of owner takes some bits away.
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        file.sync_all()
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(path)?))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), entry.file_type()?.is_dir()))
            })
            .collect()
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    fn room(&self, path: &Path) -> io::Result<Room> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Room {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            inodes: (stat.f_files > 0).then_some(stat.f_favail),
        })
    }
}
