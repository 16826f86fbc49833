//! What is on a disk in memory that forgets at a power cut what a real one may forget.
//!
//! - A file's content and mode are durable once the file was synchronised. Until then a power cut leaves the
//!   old content, the new one, a part of it, or blocks of both and of zeros.
//! - A name that is made, renamed or removed is durable once its folder was synchronised. Until then each of
//!   these survives or not, independently of the others; a rename survives as a whole.
//! - After a failed synchronisation of a file its unwritten content is given up: a later one says that all is well.
//! - The end of the process alone loses nothing.
#![allow(dead_code, reason = "not every user needs all of it")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Bytes that are written or lost together; small, so that short texts are torn too.
const BLOCK: usize = 8;
const ROOT: usize = 0;

/// Gives a number below its argument; all chance comes in through it.
pub(crate) type Chance<'a> = &'a mut dyn FnMut(usize) -> usize;

/// What a power cut does to the content of a file that was not synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Anything that can happen.
    Any,
    /// It is cut off or torn: never as it was, never as it was to be, unless chance has it so.
    Torn,
}

/// The content of a disk, and what of it is durable.
#[derive(Debug, Clone)]
pub(crate) struct Platter {
    nodes: Vec<Arc<Node>>,
    /// Changes so far.
    n_changes: u64,
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
        now: Arc<[u8]>,
        kept: Arc<[u8]>,
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

impl Default for Platter {
    fn default() -> Self {
        Self {
            nodes: vec![Arc::new(Node::folder(0o755))],
            n_changes: 0,
        }
    }
}

/// What a file system does.
impl Platter {
    pub(crate) fn make_folder(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.make(path, Node::folder(mode)).map(drop)
    }

    /// Makes an empty file of mode 0600 that was not there.
    pub(crate) fn create(&mut self, path: &Path) -> io::Result<()> {
        self.make(path, Node::file(0o600)).map(drop)
    }

    /// Gives a file a new content.
    pub(crate) fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let node = self.find(path)?;
        self.change(node).write(bytes);
        Ok(())
    }

    /// Gives a file the mode of another.
    pub(crate) fn copy_mode(&mut self, path: &Path, like: &Path) -> io::Result<()> {
        let (node, mode) = (self.find(path)?, self.nodes[self.find(like)?].mode);
        self.change(node).mode = mode;
        Ok(())
    }

    pub(crate) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.change(node).sync();
        Ok(())
    }

    /// What a synchronisation that failed leaves behind.
    pub(crate) fn give_up(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.change(node).give_up();
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (folder, from) = self.place(from)?;
        let (other, to_name) = self.place(to)?;
        if folder != other {
            return Err(ErrorKind::CrossesDevices.into());
        }
        if let Ok(old) = self.find(to) {
            match (self.nodes[node].names(), self.nodes[old].names()) {
                (Some(_), None) => return Err(ErrorKind::NotADirectory.into()),
                (None, Some(_)) => return Err(ErrorKind::IsADirectory.into()),
                (Some(_), Some(old)) if !old.is_empty() => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                _ => {}
            }
        }
        self.change(folder)
            .rename(NameOp::Renamed(from, to_name, node));
        Ok(())
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        if self.nodes[node].names().is_some() {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.unlink(path, node)
    }

    /// Removes a folder in which nothing is.
    pub(crate) fn remove_folder(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        let names = self.nodes[node].names().ok_or(ErrorKind::NotADirectory)?;
        if !names.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        self.unlink(path, node)
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        match &self.nodes[self.find(path)?].body {
            Body::File { now, .. } => Ok(now.clone()),
            Body::Folder { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let node = self.find(path)?;
        let names = self.nodes[node].names().ok_or(ErrorKind::NotADirectory)?;
        let is_folder = |node: usize| self.nodes[node].names().is_some();
        Ok(names
            .iter()
            .map(|(name, node)| (name.clone(), is_folder(*node)))
            .collect())
    }

    pub(crate) fn exists(&self, path: &Path) -> io::Result<()> {
        self.find(path).map(drop)
    }
}

/// What is asked of it from outside of the file system.
impl Platter {
    /// The power is cut and comes back: what was not synchronised is lost, cut, torn or there.
    pub(crate) fn power_cut(&mut self, cut: Cut, chance: Chance<'_>) {
        self.n_changes += 1;
        for node in &mut self.nodes {
            if !node.is_durable() {
                Arc::make_mut(node).power_cut(cut, chance);
            }
        }
    }

    /// Whether a power cut would lose nothing.
    pub(crate) fn is_durable(&self) -> bool {
        self.nodes.iter().all(|node| node.is_durable())
    }

    /// Changes so far: with the same number, the same disk.
    pub(crate) fn n_changes(&self) -> u64 {
        self.n_changes
    }

    /// Somebody else writes a file, makes the folders above it, and synchronises nothing.
    pub(crate) fn put(&mut self, path: &Path, bytes: &[u8]) {
        if let Some(folder) = path.parent() {
            self.make_all(folder);
        }
        let node = match self.find(path) {
            Ok(node) => node,
            Err(_) => self.make(path, Node::file(0o644)).unwrap(),
        };
        self.change(node).write(bytes);
    }

    /// All that is there now becomes durable.
    pub(crate) fn sync_all(&mut self) {
        self.n_changes += 1;
        for node in &mut self.nodes {
            if !node.is_durable() {
                Arc::make_mut(node).sync();
            }
        }
    }

    /// The mode of what is there.
    pub(crate) fn mode(&self, path: &Path) -> Option<u32> {
        Some(self.nodes[self.find(path).ok()?].mode)
    }

    /// Gives it another mode, durably.
    pub(crate) fn set_mode(&mut self, path: &Path, mode: u32) {
        let node = self.find(path).unwrap();
        let node = self.change(node);
        node.mode = mode;
        node.kept_mode = mode;
    }

    /// The names in a folder; none if it is not there.
    pub(crate) fn names(&self, path: &Path) -> Vec<String> {
        let found = self.list(path).unwrap_or_default();
        let names = found.into_iter();
        names
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect()
    }

    /// What a file holds that is there now, and is there with this content after any power cut.
    pub(crate) fn durable(&self, path: &Path) -> Option<Arc<[u8]>> {
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let Body::Folder { now, kept, pending } = &self.nodes[node].body else {
                    return None;
                };
                let found = now.get(name)?;
                if kept.get(name) != Some(found) || pending.iter().any(|op| op.is_about(name)) {
                    return None;
                }
                node = *found;
            }
        }
        match &self.nodes[node].body {
            Body::File { now, dirty, .. } if !dirty => Some(now.clone()),
            Body::File { .. } | Body::Folder { .. } => None,
        }
    }

    /// The names in a folder that are there now or may be there after a power cut.
    pub(crate) fn possible_names(&self, path: &Path) -> Vec<String> {
        let Some(Body::Folder { now, kept, pending }) =
            self.find(path).ok().map(|node| &self.nodes[node].body)
        else {
            return Vec::new();
        };
        let made = pending.iter().filter_map(|op| match op {
            NameOp::Made(name, _) | NameOp::Renamed(_, name, _) => Some(name),
            NameOp::Removed(..) => None,
        });
        let names = now.keys().chain(kept.keys()).chain(made);
        let mut names: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// All that is below a folder, files and folders, in the order in which they can be removed; the folder is the last.
    pub(crate) fn below(&self, path: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
        let mut all = Vec::new();
        for (name, is_folder) in self.list(path)? {
            let path = path.join(name);
            if is_folder {
                all.extend(self.below(&path)?);
            } else {
                all.push((path, false));
            }
        }
        all.push((path.to_owned(), true));
        Ok(all)
    }

    fn change(&mut self, node: usize) -> &mut Node {
        self.n_changes += 1;
        Arc::make_mut(&mut self.nodes[node])
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
        self.nodes.push(Arc::new(new));
        self.change(folder).rename(NameOp::Made(name, node));
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

    fn unlink(&mut self, path: &Path, node: usize) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        self.change(folder).rename(NameOp::Removed(name, node));
        Ok(())
    }
}

impl Node {
    fn file(mode: u32) -> Self {
        let body = Body::File {
            now: Arc::default(),
            kept: Arc::default(),
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

    fn is_durable(&self) -> bool {
        self.mode == self.kept_mode
            && match &self.body {
                Body::File {
                    dirty, given_up, ..
                } => !dirty && !given_up,
                Body::Folder { pending, .. } => pending.is_empty(),
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
            *now = bytes.into();
            (*dirty, *given_up) = (true, false);
        }
    }

    fn rename(&mut self, op: NameOp) {
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

    fn power_cut(&mut self, cut: Cut, chance: Chance<'_>) {
        match &mut self.body {
            Body::File {
                now,
                kept,
                dirty,
                given_up,
            } => {
                if *dirty {
                    *kept = survivor(kept, now, cut, chance).into();
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
    fn is_about(&self, name: &OsStr) -> bool {
        match self {
            Self::Made(it, _) | Self::Removed(it, _) => it == name,
            Self::Renamed(from, to, _) => from == name || to == name,
        }
    }

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
fn survivor(old: &[u8], new: &[u8], cut: Cut, chance: Chance<'_>) -> Vec<u8> {
    let way = match cut {
        Cut::Any => chance(4),
        Cut::Torn => 2 + chance(2),
    };
    match way {
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
