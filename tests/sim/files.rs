//! Files of runs, the owner's Compose file, and the clock.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use mastopatch::domain::clock::ClockState;
use mastopatch::ports::clock::{Clock, Woke};
use mastopatch::ports::compose::{
    ComposeError, ComposeProject, FileEdit, FileState, Generation, ProjectFiles,
};
use mastopatch::ports::files::{FileMark, FilesError, FilesResult, Manifest, Mark, Room, RunFiles};

use super::fault::When;
use super::world::{COMPOSE_FILE, Call, Copies, EPOCH_S, Port, SimPorts, World};

/// Where snapshots lie.
const SNAPSHOTS: &str = "/var/lib/mastopatch/snapshots";

const fn call(name: &'static str, mutating: bool) -> Call {
    Call {
        name,
        port: Port::Files,
        mutating,
        limit_ms: 30_000,
    }
}

fn full(action: &'static str, path: &Path) -> FilesError {
    FilesError::Io {
        action,
        path: path.to_owned(),
        source: io::ErrorKind::StorageFull.into(),
    }
}

fn partial(run: &str) -> PathBuf {
    format!("{SNAPSHOTS}/.{run}.partial").into()
}

fn sealed(run: &str) -> PathBuf {
    format!("{SNAPSHOTS}/{run}").into()
}

impl SimPorts {
    fn file<T>(
        &self,
        call: Call,
        path: &Path,
        effect: impl FnOnce(&mut World, When) -> T,
    ) -> FilesResult<T> {
        self.call(call, effect)
            .map_err(|_upset| full(call.name, path))
    }
}

impl RunFiles for SimPorts {
    fn save_material(&self, run: &str, text: &str) -> FilesResult<()> {
        self.file(call("save material", true), Path::new(run), |world, _| {
            world.materials.insert(run.to_owned(), text.into());
        })
    }

    fn load_material(&self, run: &str) -> FilesResult<String> {
        let found = self.file(call("load material", false), Path::new(run), |world, _| {
            world.materials.get(run).map(ToString::to_string)
        })?;
        found.ok_or_else(|| FilesError::Io {
            action: "read",
            path: run.into(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    fn save_plan(&self, run: &str, text: &str) -> FilesResult<()> {
        self.file(call("save plan", true), Path::new(run), |world, _| {
            world.plans.insert(run.to_owned(), text.into());
        })
    }

    fn set_mark(&self, run: &str, mark: Mark) -> FilesResult<()> {
        self.file(call("set mark", false), Path::new(run), |world, _| {
            world.marks.insert((run.to_owned(), mark));
        })
    }

    fn has_mark(&self, run: &str, mark: Mark) -> FilesResult<bool> {
        self.file(call("has mark", false), Path::new(run), |world, _| {
            world.marks.contains(&(run.to_owned(), mark))
        })
    }

    fn take_mark(&self, run: &str, mark: Mark) -> FilesResult<()> {
        self.file(call("take mark", false), Path::new(run), |world, _| {
            world.marks.remove(&(run.to_owned(), mark));
        })
    }

    fn open_plans(&self) -> FilesResult<Vec<(String, String)>> {
        self.file(call("read plans", false), Path::new("runs"), |world, _| {
            let plans = world.plans.iter();
            plans
                .map(|(run, text)| (run.clone(), text.to_string()))
                .collect()
        })
    }

    fn close_plan(&self, run: &str) -> FilesResult<()> {
        self.file(call("close plan", false), Path::new(run), |world, _| {
            world.plans.remove(run);
            world.marks.retain(|(of, _)| of != run);
        })
    }

    fn begin_snapshot(&self, run: &str) -> FilesResult<PathBuf> {
        let dir = partial(run);
        self.file(call("begin snapshot", true), &dir, |world, _| {
            world.sealed.remove(&sealed(run));
            let copies = Copies {
                run: run.to_owned(),
                ..Copies::default()
            };
            world.partial.insert(dir.clone(), copies);
        })?;
        Ok(dir)
    }

    fn copy_into(&self, dir: &Path, _files: &[PathBuf]) -> FilesResult<()> {
        self.file(call("copy files", true), dir, |_, _| ())
    }

    fn seal_snapshot(&self, dir: &Path, mut manifest: Manifest) -> FilesResult<(PathBuf, u64)> {
        let into = sealed(&manifest.run);
        let mark = FileMark {
            bytes: 1,
            sha256: "0".to_owned(),
        };
        manifest.files.insert("database/1.dat".to_owned(), mark);
        let moved = self.file(call("seal snapshot", true), dir, |world, when| {
            // Cut off in the middle, everything is written but the final name.
            if when == When::Middle {
                return true;
            }
            let Some(mut copies) = world.partial.remove(dir) else {
                return false;
            };
            copies.manifest = Some(manifest);
            world.sealed.insert(into.clone(), copies);
            true
        })?;
        if moved {
            Ok((into, 1))
        } else {
            Err(full("rename", dir))
        }
    }

    fn open_snapshot(&self, run: &str) -> FilesResult<Option<(PathBuf, Manifest)>> {
        let dir = sealed(run);
        self.file(call("open snapshot", false), &dir, |world, _| {
            let manifest = world.sealed.get(&dir)?.manifest.clone()?;
            Some((dir.clone(), manifest))
        })
    }

    fn ensure_no_partial(&self, run: &str) -> FilesResult<()> {
        let dir = partial(run);
        self.file(call("remove partial", true), &dir, |world, _| {
            world.partial.remove(&dir);
        })
    }

    fn prune_snapshots(
        &self,
        _instance: &str,
        _keep: u32,
        _run: &str,
    ) -> FilesResult<Vec<PathBuf>> {
        self.file(
            call("prune snapshots", true),
            Path::new(SNAPSHOTS),
            |_, _| Vec::new(),
        )
    }

    fn snapshot_root(&self) -> &Path {
        Path::new(SNAPSHOTS)
    }

    fn room(&self, path: &Path) -> FilesResult<Room> {
        self.file(call("room", false), path, |_, _| Room {
            bytes: 1 << 40,
            inodes: None,
        })
    }
}

fn refused(call: Call) -> ComposeError {
    ComposeError::Io {
        action: call.name,
        path: COMPOSE_FILE.into(),
        source: io::ErrorKind::StorageFull.into(),
    }
}

impl SimPorts {
    fn compose_file<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World) -> T,
    ) -> Result<T, ComposeError> {
        self.call(call, |world, _| effect(world))
            .map_err(|_upset| refused(call))
    }

    fn replace(&self, call: Call, from: &str, to: &str) -> Result<FileState, ComposeError> {
        let writes = *self.world().files[COMPOSE_FILE] == *from;
        let call = Call {
            mutating: writes,
            ..call
        };
        self.compose_file(call, |world| {
            let found = world.files[COMPOSE_FILE].clone();
            if *found == *to {
                FileState::After
            } else if *found == *from {
                world.files.insert(COMPOSE_FILE, to.into());
                FileState::After
            } else {
                FileState::Other
            }
        })
    }
}

/// What Compose calls a service's definition in a file.
pub(crate) fn hash_of(service: &str, text: &str) -> String {
    let tags = text.lines().filter(|line| line.contains("image:"));
    let mut version = tags
        .filter_map(|line| line.rsplit_once(':'))
        .map(|(_, tag)| tag);
    format!("hash-{service}-{}", version.next_back().unwrap_or_default())
}

impl ComposeProject for SimPorts {
    fn files(
        &self,
        _container_name: &str,
        _labels: &BTreeMap<String, String>,
    ) -> Result<ProjectFiles, ComposeError> {
        self.compose_file(call("project files", false), |_| ProjectFiles {
            project: "mastodon".to_owned(),
            working_dir: "/srv/mastodon".into(),
            config_files: vec![COMPOSE_FILE.into()],
            env_file: None,
            generation: Generation::V2,
        })
    }

    fn edits(
        &self,
        _files: &ProjectFiles,
        images: &BTreeMap<String, String>,
    ) -> Result<Vec<FileEdit>, ComposeError> {
        self.compose_file(call("edits", false), |world| {
            let before = world.files[COMPOSE_FILE].to_string();
            let tag = |text: &str| text.rsplit_once(':').map(|(_, tag)| tag.to_owned());
            let new = images
                .values()
                .next()
                .and_then(|reference| tag(reference))
                .unwrap();
            let old = before
                .lines()
                .find(|line| line.contains("image:"))
                .and_then(tag)
                .unwrap();
            vec![FileEdit {
                path: COMPOSE_FILE.into(),
                after: before.replace(&old, &new),
                before,
            }]
        })
    }

    async fn hashes(
        &self,
        _files: &ProjectFiles,
        edits: &[FileEdit],
        services: &[String],
    ) -> Result<BTreeMap<String, String>, ComposeError> {
        self.compose_file(call("hashes", false), |world| {
            let found = world.files[COMPOSE_FILE].clone();
            let text = edits.first().map_or(&*found, |edit| &edit.after);
            let hashes = services
                .iter()
                .map(|name| (name.clone(), hash_of(name, text)));
            hashes.collect()
        })
    }

    fn state(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.compose_file(call("file state", false), |world| {
            let found = &*world.files[COMPOSE_FILE];
            if found == edit.before {
                FileState::Before
            } else if found == edit.after {
                FileState::After
            } else {
                FileState::Other
            }
        })
    }

    fn ensure_edited(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.replace(call("edit file", true), &edit.before, &edit.after)
    }

    fn ensure_restored(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.replace(call("restore file", true), &edit.after, &edit.before)
    }
}

impl World {
    pub(crate) fn wall(&self) -> Timestamp {
        let ms = i64::try_from(self.now_ms).unwrap() + self.wall_offset_ms;
        Timestamp::from_millisecond(EPOCH_S * 1_000 + ms).unwrap()
    }
}

impl Clock for SimPorts {
    fn now(&self) -> Timestamp {
        self.world().wall()
    }

    fn monotonic(&self) -> Duration {
        self.since_boot()
    }

    fn since_boot(&self) -> Duration {
        let world = self.world();
        Duration::from_millis(world.now_ms - world.boot_ms)
    }

    fn synchronised(&self) -> ClockState {
        ClockState::Synchronised
    }

    async fn pause(&self, length: Duration) {
        let pause = Call {
            name: "pause",
            port: Port::Clock,
            mutating: false,
            limit_ms: 0,
        };
        let ms = u64::try_from(length.as_millis()).unwrap();
        let _paused = self.call(pause, |world, _| world.pass(ms));
    }

    async fn sleep_until(&self, at: Timestamp) -> Woke {
        let length = at.duration_since(self.now());
        self.pause(length.try_into().unwrap_or_default()).await;
        Woke::Time
    }
}
