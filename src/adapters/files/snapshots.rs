//! Snapshots on the disk: their manifests, what differs from them, and their removal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{PARTIAL, REMOVED, StateDir, at, gone, is_nothing};
use crate::adapters::disk::Disk;
use crate::ports::files::{FilesResult, Flaw, Found, MANIFEST, MANIFEST_FORMAT, Manifest};

impl<D: Disk> StateDir<D> {
    /// The manifest in a folder, or why none there counts. What the system refuses is an error.
    pub(super) fn read_manifest(
        &self,
        dir: &Path,
        run: &str,
    ) -> FilesResult<Result<Manifest, Flaw>> {
        /// What every format says first.
        #[derive(serde::Deserialize)]
        struct Head {
            format: u32,
        }
        let path = dir.join(MANIFEST);
        let text = match self.disk.read(&path) {
            Err(err) if is_nothing(&err) => return Ok(Err(Flaw::Unfinished)),
            text => text.map_err(at("read", &path))?,
        };
        let unreadable = |err: serde_json::Error| Flaw::Manifest {
            reason: err.to_string(),
        };
        Ok(match serde_json::from_slice::<Head>(&text) {
            Err(err) => Err(unreadable(err)),
            // Before the rest is read, which may have fields that nobody here knows.
            Ok(Head { format }) if format > MANIFEST_FORMAT => Err(Flaw::Newer { found: format }),
            Ok(Head { .. }) => match serde_json::from_slice::<Manifest>(&text) {
                Err(err) => Err(unreadable(err)),
                Ok(manifest) if manifest.run != run => Err(Flaw::OtherRun {
                    found: manifest.run,
                }),
                Ok(manifest) => Ok(manifest),
            },
        })
    }

    /// What differs between a snapshot's files and its manifest first: names before contents, which take long to read.
    pub(super) fn difference(
        &self,
        dir: &Path,
        manifest: &Manifest,
        seen: &dyn Fn(u64),
    ) -> FilesResult<Option<Flaw>> {
        let found = self.names_in(dir)?;
        if let Some(file) = manifest.files.keys().find(|name| !found.contains(*name)) {
            return Ok(Some(Flaw::Missing { file: file.clone() }));
        }
        if let Some(file) = found
            .iter()
            .find(|name| !manifest.files.contains_key(*name))
        {
            return Ok(Some(Flaw::Surplus { file: file.clone() }));
        }
        let mut bytes = 0_u64;
        for (name, wanted) in &manifest.files {
            let found = self.mark(&dir.join(name))?;
            bytes = bytes.saturating_add(found.bytes);
            seen(bytes);
            let file = name.clone();
            if found.bytes != wanted.bytes {
                let (wanted, found) = (wanted.bytes, found.bytes);
                return Ok(Some(Flaw::Length {
                    file,
                    wanted,
                    found,
                }));
            }
            if found.sha256 != wanted.sha256 {
                return Ok(Some(Flaw::Altered { file }));
            }
        }
        Ok(None)
    }

    /// Every folder of a snapshot, sorted by run.
    pub(super) fn all_found(&self) -> FilesResult<Vec<Found>> {
        let mut found = Vec::new();
        for (name, is_folder) in self.list(&self.snapshots)? {
            let name = name.to_string_lossy().into_owned();
            let path = self.snapshots.join(&name);
            let partial = name
                .strip_prefix('.')
                .and_then(|rest| rest.strip_suffix(PARTIAL));
            let (run, manifest) = match partial {
                Some(run) => (run.to_owned(), Err(Flaw::Unfinished)),
                // What is being removed counts no more.
                None if name.starts_with('.') || !is_folder => continue,
                None => {
                    let manifest = match self.read_manifest(&path, &name) {
                        // The others are to be seen all the same.
                        Err(err) => Err(Flaw::Manifest {
                            reason: err.to_string(),
                        }),
                        Ok(manifest) => manifest,
                    };
                    (name, manifest)
                }
            };
            found.push(Found {
                run,
                path,
                manifest,
            });
        }
        found.sort_by(|a, b| a.run.cmp(&b.run));
        Ok(found)
    }

    /// The manifests of an instance's finished snapshots, the oldest first.
    pub(super) fn finished(&self, instance: &str) -> FilesResult<Vec<Manifest>> {
        let mut found = Vec::new();
        for (name, _) in self.list(&self.snapshots)? {
            let name = name.to_string_lossy().into_owned();
            // One that is not finished does not count.
            if name.starts_with('.') {
                continue;
            }
            // One that cannot be read is kept: it may be worth a person's look.
            if let Ok(Ok(manifest)) = self.read_manifest(&self.snapshots.join(&name), &name)
                && manifest.instance == instance
            {
                found.push(manifest);
            }
        }
        found.sort_by(|a, b| (a.taken_at, &a.run).cmp(&(b.taken_at, &b.run)));
        Ok(found)
    }

    /// Removes finished snapshots, and the rest of those that were removed before.
    pub(super) fn discard_all(&self, runs: &[String]) -> FilesResult<Vec<PathBuf>> {
        for (name, _) in self.list(&self.snapshots)? {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with('.') && name.ends_with(REMOVED) {
                // Of one that was removed, the rest goes.
                self.ensure_no_tree(&self.snapshots.join(&name))?;
            }
        }
        let mut removed = Vec::new();
        for run in runs {
            self.discard(run)?;
            removed.push(self.sealed(run));
        }
        self.sync(&self.snapshots)?;
        Ok(removed)
    }

    /// Every file of a snapshot but its manifest, by path relative to its folder.
    pub(super) fn names_in(&self, dir: &Path) -> FilesResult<BTreeSet<String>> {
        let files = self.walk(dir)?.0.into_iter();
        let names = files.map(|relative| relative.to_string_lossy().into_owned());
        Ok(names.filter(|name| name != MANIFEST).collect())
    }

    /// Removes a finished snapshot. It stops to count in one step, so that one whose removal is cut off is
    /// not taken for a damaged one.
    pub(super) fn discard(&self, run: &str) -> FilesResult<()> {
        let (sealed, aside) = (
            self.sealed(run),
            self.snapshots.join(format!(".{run}{REMOVED}")),
        );
        self.ensure_no_tree(&aside)?;
        gone(self.disk.rename(&sealed, &aside)).map_err(at("rename", &sealed))?;
        self.sync(&self.snapshots)?;
        self.ensure_no_tree(&aside)
    }
}
