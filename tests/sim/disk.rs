//! The product's [`Disk`] over a [`Platter`], operation by operation: at each of them it can go wrong.
#![allow(dead_code, reason = "not every user needs all of it")]

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use mastopatch::adapters::disk::Disk;
use mastopatch::ports::files::Room;

use super::platter::{Chance, Cut, Platter};

/// One operation, as a kernel does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    MakeFolder,
    Create,
    Write,
    SetMode,
    Sync,
    Rename,
    Remove,
    Read,
    List,
    Look,
}

impl Op {
    /// Whether it needs room on the disk.
    pub(crate) fn needs_room(self) -> bool {
        matches!(
            self,
            Self::MakeFolder | Self::Create | Self::Write | Self::Rename
        )
    }
}

/// How much of an operation happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// A part: of a write half of the bytes, of everything else nothing.
    Half,
    /// What it leaves behind when it fails: a part of a write, and nothing that a later synchronisation would mend.
    Failed,
}

/// Lets operations happen, or go wrong.
pub(crate) trait Gate: Debug + Send + Sync {
    /// Does one operation at a path. The answer is the effect's, or that it went wrong.
    fn pass<T>(
        &self,
        op: Op,
        path: &Path,
        effect: impl Fn(&mut Platter, Part) -> io::Result<T>,
    ) -> io::Result<T>;

    /// The disk as it is.
    fn look<T>(&self, at: impl FnOnce(&mut Platter) -> T) -> T;
}

/// A disk behind a gate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gated<G>(pub(crate) G);

impl<G: Gate> Gated<G> {
    /// An operation that happens or does not.
    fn whole<T>(
        &self,
        op: Op,
        path: &Path,
        effect: impl Fn(&mut Platter) -> io::Result<T>,
    ) -> io::Result<T> {
        self.0.pass(op, path, |disk, part| match part {
            Part::Whole => effect(disk),
            Part::Half | Part::Failed => Err(ErrorKind::Interrupted.into()),
        })
    }
}

impl<G: Gate> Disk for Gated<G> {
    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.whole(Op::MakeFolder, path, |disk| disk.make_folder(path, mode))
    }

    fn write_new(&self, path: &Path, bytes: &[u8], like: Option<&Path>) -> io::Result<()> {
        self.whole(Op::Create, path, |disk| {
            like.map_or(Ok(()), |like| disk.exists(like))?;
            disk.create(path)
        })?;
        self.0.pass(Op::Write, path, |disk, part| match part {
            Part::Whole => disk.write(path, bytes),
            Part::Half | Part::Failed => disk.write(path, &bytes[..bytes.len() / 2]),
        })?;
        if let Some(like) = like {
            self.whole(Op::SetMode, path, |disk| disk.copy_mode(path, like))?;
        }
        self.sync(path)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.0.pass(Op::Sync, path, |disk, part| match part {
            Part::Whole => disk.sync(path),
            Part::Half => Ok(()),
            Part::Failed => disk.give_up(path),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole(Op::Rename, to, |disk| disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.whole(Op::Remove, path, |disk| disk.remove_file(path))
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let all = self.whole(Op::List, path, |disk| disk.below(path))?;
        for (path, is_folder) in all {
            self.whole(Op::Remove, &path, |disk| {
                if is_folder {
                    disk.remove_folder(&path)
                } else {
                    disk.remove_file(&path)
                }
            })?;
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        let bytes = self.whole(Op::Read, path, |disk| disk.read(path))?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        self.whole(Op::List, path, |disk| disk.list(path))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.whole(Op::Look, path, |disk| {
            disk.exists(path).map(|()| path.to_owned())
        })
    }

    /// As on a real disk, one that gives errors has nothing.
    fn exists(&self, path: &Path) -> bool {
        self.whole(Op::Look, path, |disk| disk.exists(path)).is_ok()
    }

    fn room(&self, path: &Path) -> io::Result<Room> {
        self.whole(Op::Look, path, |disk| disk.exists(path))?;
        Ok(Room {
            bytes: 1 << 40,
            total: 1 << 42,
            inodes: None,
        })
    }
}

/// A disk for itself. Clones are the same disk.
pub(crate) type SimDisk = Gated<Alone>;

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// From it on, whatever needs room fails with ENOSPC; a write is done in part.
    Full,
    /// It fails with EIO, once; a write is done in part.
    Broken,
    /// The process ends in it, and does nothing more until [`SimDisk::restart`]; a write is done in part.
    Killed,
}

/// A gate that counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alone(Arc<Mutex<Inner>>);

#[derive(Debug, Clone, Default)]
struct Inner {
    disk: Platter,
    /// Operations so far.
    n_done: u64,
    trouble: Option<(u64, Trouble)>,
}

impl Gate for Alone {
    fn pass<T>(
        &self,
        op: Op,
        _path: &Path,
        effect: impl Fn(&mut Platter, Part) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inner = self.inner();
        let idx = inner.n_done;
        inner.n_done += 1;
        let (part, err) = match inner.trouble {
            // Only the operation in which it ends is done in part.
            Some((at, Trouble::Killed)) if idx > at => return Err(io::Error::other("killed")),
            Some((at, Trouble::Killed)) if idx == at => (Part::Half, io::Error::other("killed")),
            Some((at, Trouble::Full)) if idx >= at && op.needs_room() => {
                (Part::Failed, ErrorKind::StorageFull.into())
            }
            Some((at, Trouble::Broken)) if idx == at => {
                (Part::Failed, io::Error::from_raw_os_error(5))
            }
            _ => return effect(&mut inner.disk, Part::Whole),
        };
        drop(effect(&mut inner.disk, part));
        Err(err)
    }

    fn look<T>(&self, at: impl FnOnce(&mut Platter) -> T) -> T {
        at(&mut self.inner().disk)
    }
}

impl Alone {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl SimDisk {
    /// A disk that is a copy of this one, for another future.
    pub(crate) fn fork(&self) -> Self {
        let inner = self.0.inner().clone();
        Self(Alone(Arc::new(Mutex::new(inner))))
    }

    /// Operations that were done or tried so far.
    pub(crate) fn n_done(&self) -> u64 {
        self.0.inner().n_done
    }

    /// Lets the operation after the next `n_more` go wrong.
    pub(crate) fn after(&self, n_more: u64, trouble: Trouble) {
        let mut inner = self.0.inner();
        inner.trouble = Some((inner.n_done + n_more, trouble));
    }

    /// Ends the trouble: a new process, and room again. Nothing is lost by it.
    pub(crate) fn restart(&self) {
        self.0.inner().trouble = None;
    }

    /// [`Platter::power_cut`], after which there is no trouble any more.
    pub(crate) fn power_cut(&self, chance: Chance<'_>) {
        self.restart();
        self.0.look(|disk| disk.power_cut(Cut::Any, chance));
    }

    /// [`Platter::put`].
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) {
        self.0.look(|disk| disk.put(path, bytes));
    }

    /// [`Platter::sync_all`].
    pub(crate) fn sync_all(&self) {
        self.0.look(Platter::sync_all);
    }

    /// What a file holds, if it is there.
    pub(crate) fn text(&self, path: &Path) -> Option<Vec<u8>> {
        let bytes = self.0.look(|disk| disk.read(path));
        bytes.ok().map(|bytes| bytes.to_vec())
    }

    /// [`Platter::mode`].
    pub(crate) fn mode(&self, path: &Path) -> Option<u32> {
        self.0.look(|disk| disk.mode(path))
    }

    /// [`Platter::set_mode`].
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) {
        self.0.look(|disk| disk.set_mode(path, mode));
    }

    /// [`Platter::names`].
    pub(crate) fn names(&self, path: &Path) -> Vec<String> {
        self.0.look(|disk| disk.names(path))
    }
}
