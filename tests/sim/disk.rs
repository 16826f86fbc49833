//! A disk in memory that forgets at a power cut what a real one may forget.
//!
//! - A file's content and mode are durable once the file was synchronised. Until then a power cut leaves the
//!   old content, the new one, a part of it, or blocks of both and of zeros.
//! - A name that is made, renamed or removed is durable once its folder was synchronised. Until then each of
//!   these survives or not, independently of the others; a rename survives as a whole.
//! - After a failed synchronisation of a file its unwritten content is given up: a later one says that all is well.
//! - The end of the process alone loses nothing.
#![allow(dead_code, reason = "not every user needs all of it")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use mastopatch::adapters::disk::Disk;
use mastopatch::ports::files::Room;

/// Bytes that are written or lost together; small, so that short texts are torn too.
const BLOCK: usize = 8;
const ROOT: usize = 0;

/// Gives a number below its argument; all chance comes in through it.
pub(crate) type Chance<'a> = &'a mut dyn FnMut(usize) -> usize;

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

/// A disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    nodes: Vec<Node>,
    /// Operations so far.
    n_done: u64,
    trouble: Option<(u64, Trouble)>,
}

#[derive(Debug, Clone)]
struct Node {
    body: Body,
    mode: u32,
    kept_mode: u32,
}

#[derive(Debug, Clone)]
enum Body {
    File {
        now: Vec<u8>,
        kept: Vec<u8>,
        /// Whether `now` may be lost.
        dirty: bool,
        /// Whether `now` was given up after a failed synchronisation.
        given_up: bool,
    },
    Folder {
        now: BTreeMap<OsString, usize>,
        kept: BTreeMap<OsString, usize>,
        pending: Vec<NameOp>,
    },
}

#[derive(Debug, Clone)]
enum NameOp {
    Made(OsString, usize),
    Renamed(OsString, OsString, usize),
    Removed(OsString, usize),
}

/// What an operation needs of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Room,
    Nothing,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            nodes: vec![Node::folder(0o755)],
            n_done: 0,
            trouble: None,
        }
    }
}

impl SimDisk {
    /// A disk that is a copy of this one, for another future.
    pub(crate) fn fork(&self) -> Self {
        let inner = self.inner();
        Self(Arc::new(Mutex::new(Inner {
            nodes: inner.nodes.clone(),
            n_done: inner.n_done,
            trouble: inner.trouble,
        })))
    }

    /// Operations that were done or tried so far.
    pub(crate) fn n_done(&self) -> u64 {
        self.inner().n_done
    }

    /// Lets the operation after the next `n_more` go wrong.
    pub(crate) fn after(&self, n_more: u64, trouble: Trouble) {
        let mut inner = self.inner();
        inner.trouble = Some((inner.n_done + n_more, trouble));
    }

    /// Ends the trouble: a new process, and room again. Nothing is lost by it.
    pub(crate) fn restart(&self) {
        self.inner().trouble = None;
    }

    /// The power is cut and comes back: what was not synchronised is lost, cut, torn or there.
    pub(crate) fn power_cut(&self, chance: Chance<'_>) {
        let mut inner = self.inner();
        inner.trouble = None;
        for node in &mut inner.nodes {
            node.power_cut(chance);
        }
    }

    /// Somebody else writes a file, makes the folders above it, and synchronises nothing.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) {
        let mut inner = self.inner();
        if let Some(folder) = path.parent() {
            inner.make_all(folder);
        }
        let node = match inner.find(path) {
            Ok(node) => node,
            Err(_) => inner.make(path, Node::file(0o644)).unwrap(),
        };
        inner.nodes[node].write(bytes);
    }

    /// All that is there now becomes durable.
    pub(crate) fn sync_all(&self) {
        for node in &mut self.inner().nodes {
            node.sync();
        }
    }

    /// What a file holds, if it is there.
    pub(crate) fn text(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.inner();
        match &inner.nodes[inner.find(path).ok()?].body {
            Body::File { now, .. } => Some(now.clone()),
            Body::Folder { .. } => None,
        }
    }

    /// The mode of what is there.
    pub(crate) fn mode(&self, path: &Path) -> Option<u32> {
        let inner = self.inner();
        Some(inner.nodes[inner.find(path).ok()?].mode)
    }

    /// Gives it another mode, durably.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) {
        let mut inner = self.inner();
        let node = inner.find(path).unwrap();
        inner.nodes[node].mode = mode;
        inner.nodes[node].kept_mode = mode;
    }

    /// The names in a folder; none if it is not there.
    pub(crate) fn names(&self, path: &Path) -> Vec<String> {
        let inner = self.inner();
        let Ok(node) = inner.find(path) else {
            return Vec::new();
        };
        let names = inner.nodes[node].names().into_iter().flatten();
        names
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Disk for SimDisk {
    fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(Need::Room)?;
        inner.make(path, Node::folder(mode)).map(drop)
    }

    fn write_new(&self, path: &Path, bytes: &[u8], like: Option<&Path>) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(Need::Room)?;
        let like = match like {
            Some(like) => Some(inner.find(like)?),
            None => None,
        };
        let node = inner.make(path, Node::file(0o600))?;
        if let Err(err) = inner.step(Need::Room) {
            inner.nodes[node].write(&bytes[..bytes.len() / 2]);
            return Err(err);
        }
        inner.nodes[node].write(bytes);
        if let Some(like) = like {
            inner.step(Need::Nothing)?;
            inner.nodes[node].mode = inner.nodes[like].mode;
        }
        inner.sync(node)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let node = inner.find(path)?;
        inner.sync(node)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(Need::Room)?;
        let node = inner.find(from)?;
        let (folder, from) = inner.place(from)?;
        let (other, to_name) = inner.place(to)?;
        if folder != other {
            return Err(ErrorKind::CrossesDevices.into());
        }
        if let Ok(old) = inner.find(to) {
            match (inner.nodes[node].names(), inner.nodes[old].names()) {
                (Some(_), None) => return Err(ErrorKind::NotADirectory.into()),
                (None, Some(_)) => return Err(ErrorKind::IsADirectory.into()),
                (Some(_), Some(old)) if !old.is_empty() => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                _ => {}
            }
        }
        inner.nodes[folder].change(NameOp::Renamed(from, to_name, node));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(Need::Nothing)?;
        let node = inner.find(path)?;
        if inner.nodes[node].names().is_some() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let (folder, name) = inner.place(path)?;
        inner.nodes[folder].change(NameOp::Removed(name, node));
        Ok(())
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let node = inner.find(path)?;
        inner.remove_below(node)?;
        inner.step(Need::Nothing)?;
        let (folder, name) = inner.place(path)?;
        inner.nodes[folder].change(NameOp::Removed(name, node));
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + '_>> {
        let mut inner = self.inner();
        inner.step(Need::Nothing)?;
        let node = inner.find(path)?;
        match &inner.nodes[node].body {
            Body::File { now, .. } => Ok(Box::new(io::Cursor::new(now.clone()))),
            Body::Folder { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let mut inner = self.inner();
        inner.step(Need::Nothing)?;
        let node = inner.find(path)?;
        let names = inner.nodes[node].names().ok_or(ErrorKind::NotADirectory)?;
        let is_folder = |node: usize| inner.nodes[node].names().is_some();
        Ok(names
            .iter()
            .map(|(name, node)| (name.clone(), is_folder(*node)))
            .collect())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let mut inner = self.inner();
        inner.step(Need::Nothing)?;
        inner.find(path).map(|_| path.to_owned())
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner().find(path).is_ok()
    }

    fn room(&self, path: &Path) -> io::Result<Room> {
        let mut inner = self.inner();
        inner.step(Need::Nothing)?;
        inner.find(path)?;
        Ok(Room {
            bytes: 1 << 40,
            inodes: None,
        })
    }
}

impl Inner {
    /// Counts one operation; an error if it goes wrong.
    fn step(&mut self, need: Need) -> io::Result<()> {
        let idx = self.n_done;
        self.n_done += 1;
        match self.trouble {
            Some((at, Trouble::Killed)) if idx >= at => Err(io::Error::other("killed")),
            Some((at, Trouble::Full)) if idx >= at && need == Need::Room => {
                Err(ErrorKind::StorageFull.into())
            }
            Some((at, Trouble::Broken)) if idx == at => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }

    fn sync(&mut self, node: usize) -> io::Result<()> {
        let went = self.step(Need::Nothing);
        let is_killed = matches!(self.trouble, Some((_, Trouble::Killed)));
        match went {
            Ok(()) => self.nodes[node].sync(),
            Err(_) if !is_killed => self.nodes[node].give_up(),
            Err(_) => {}
        }
        went
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let names = self.nodes[node].names().ok_or(ErrorKind::NotADirectory)?;
                node = *names.get(name).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// The folder that holds, or would hold, a name.
    fn place(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        Ok((self.find(folder)?, name.to_owned()))
    }

    fn make(&mut self, path: &Path, new: Node) -> io::Result<usize> {
        let (folder, name) = self.place(path)?;
        let names = self.nodes[folder].names().ok_or(ErrorKind::NotADirectory)?;
        if names.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let node = self.nodes.len();
        self.nodes.push(new);
        self.nodes[folder].change(NameOp::Made(name, node));
        Ok(node)
    }

    fn make_all(&mut self, path: &Path) {
        if self.find(path).is_err() {
            if let Some(parent) = path.parent() {
                self.make_all(parent);
            }
            self.make(path, Node::folder(0o755)).unwrap();
        }
    }

    fn remove_below(&mut self, folder: usize) -> io::Result<()> {
        let names = self.nodes[folder].names().ok_or(ErrorKind::NotADirectory)?;
        for (name, node) in names.clone() {
            if self.nodes[node].names().is_some() {
                self.remove_below(node)?;
            }
            self.step(Need::Nothing)?;
            self.nodes[folder].change(NameOp::Removed(name, node));
        }
        Ok(())
    }
}

impl Node {
    fn file(mode: u32) -> Self {
        let body = Body::File {
            now: Vec::new(),
            kept: Vec::new(),
            dirty: false,
            given_up: false,
        };
        Self {
            body,
            mode,
            kept_mode: mode,
        }
    }

    fn folder(mode: u32) -> Self {
        let body = Body::Folder {
            now: BTreeMap::new(),
            kept: BTreeMap::new(),
            pending: Vec::new(),
        };
        Self {
            body,
            mode,
            kept_mode: mode,
        }
    }

    fn names(&self) -> Option<&BTreeMap<OsString, usize>> {
        match &self.body {
            Body::Folder { now, .. } => Some(now),
            Body::File { .. } => None,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Body::File {
            now,
            dirty,
            given_up,
            ..
        } = &mut self.body
        {
            *now = bytes.to_vec();
            (*dirty, *given_up) = (true, false);
        }
    }

    fn change(&mut self, op: NameOp) {
        if let Body::Folder { now, pending, .. } = &mut self.body {
            op.apply(now);
            pending.push(op);
        }
    }

    fn sync(&mut self) {
        match &mut self.body {
            Body::File {
                now,
                kept,
                dirty,
                given_up,
            } => {
                if *dirty && !*given_up {
                    kept.clone_from(now);
                    *dirty = false;
                }
            }
            Body::Folder { now, kept, pending } => {
                kept.clone_from(now);
                pending.clear();
            }
        }
        self.kept_mode = self.mode;
    }

    fn give_up(&mut self) {
        if let Body::File { given_up, .. } = &mut self.body {
            *given_up = true;
        }
    }

    fn power_cut(&mut self, chance: Chance<'_>) {
        match &mut self.body {
            Body::File {
                now,
                kept,
                dirty,
                given_up,
            } => {
                if *dirty {
                    *kept = survivor(kept, now, chance);
                    now.clone_from(kept);
                }
                (*dirty, *given_up) = (false, false);
            }
            Body::Folder { now, kept, pending } => {
                for op in pending.drain(..) {
                    if chance(2) == 1 {
                        op.apply(kept);
                    }
                }
                now.clone_from(kept);
            }
        }
        if self.mode != self.kept_mode && chance(2) == 1 {
            self.kept_mode = self.mode;
        }
        self.mode = self.kept_mode;
    }
}

impl NameOp {
    /// Changes names, if what it is about is still there.
    fn apply(&self, names: &mut BTreeMap<OsString, usize>) {
        match self {
            Self::Made(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Renamed(from, to, node) => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                    names.insert(to.clone(), *node);
                }
            }
            Self::Removed(name, node) => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
        }
    }
}

/// What is left of a content that was not synchronised.
fn survivor(old: &[u8], new: &[u8], chance: Chance<'_>) -> Vec<u8> {
    match chance(4) {
        0 => old.to_vec(),
        1 => new.to_vec(),
        2 => new[..chance(new.len() + 1)].to_vec(),
        _ => {
            let size = if chance(2) == 0 { old.len() } else { new.len() };
            let mut torn = vec![0; size];
            for start in (0..size).step_by(BLOCK) {
                let from = match chance(3) {
                    0 => old,
                    1 => new,
                    _ => continue,
                };
                let end = (start + BLOCK).min(size).min(from.len());
                if start < end {
                    torn[start..end].copy_from_slice(&from[start..end]);
                }
            }
            torn
        }
    }
}
