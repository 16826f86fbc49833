//! Files of runs, the owner's Compose file, and the clock. What is written to files, the product's own adapters write.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use mastopatch::adapters::compose::Compose;
use mastopatch::adapters::files::StateDir;
use mastopatch::domain::clock::ClockState;
use mastopatch::ports::clock::{Clock, Woke};
use mastopatch::ports::compose::{
    ComposeError, ComposeProject, FileEdit, FileState, Generation, ProjectFiles,
};
use mastopatch::ports::files::{FilesResult, Mark};

use super::disk::{Gate, Gated, Op, Part};
use super::fault::When;
use super::platter::Platter;
use super::world::{COMPOSE_FILE, Call, EPOCH_S, Host, Port, SimPorts, Upset, World};

/// Our state folder.
const STATE: &str = "/var/lib/mastopatch";
/// Where plans, materials and marks lie.
const RUNS: &str = "/var/lib/mastopatch/runs";
/// Where snapshots lie.
pub(crate) const SNAPSHOTS: &str = "/var/lib/mastopatch/snapshots";

/// The disk of a simulated host: every operation on it is a call.
pub(crate) type WorldDisk = Gated<Host>;

impl Gate for Host {
    fn pass<T>(
        &self,
        op: Op,
        path: &Path,
        effect: impl Fn(&mut Platter, Part) -> io::Result<T>,
    ) -> io::Result<T> {
        let call = call(
            name(op, Where::of(op, path)),
            !matches!(op, Op::Sync) && changes(op),
        );
        let answer = self.call(call, |world, when| {
            let part = if when == When::Middle {
                Part::Half
            } else {
                Part::Whole
            };
            effect(&mut world.disk, part)
        });
        answer.unwrap_or_else(|upset| {
            let mut world = self.world();
            match upset {
                Upset::Failed => drop(effect(&mut world.disk, Part::Failed)),
                Upset::Lost | Upset::TimedOut | Upset::Gone => {}
            }
            Err(match upset {
                Upset::Failed if world.calls <= world.full_until => {
                    io::ErrorKind::StorageFull.into()
                }
                Upset::TimedOut => io::ErrorKind::TimedOut.into(),
                Upset::Failed | Upset::Lost | Upset::Gone => io::Error::from_raw_os_error(5),
            })
        })
    }

    fn look<T>(&self, at: impl FnOnce(&mut Platter) -> T) -> T {
        at(&mut self.world().disk)
    }
}

/// Whether an operation changes what is seen. A synchronisation only makes it last.
fn changes(op: Op) -> bool {
    !matches!(op, Op::Sync | Op::Read | Op::List | Op::Look)
}

/// The name of a disk's operation: where, and what.
const fn name(op: Op, place: Where) -> &'static str {
    macro_rules! names {
        ($place:literal) => {
            match op {
                Op::MakeFolder => concat!($place, ": make folder"),
                Op::Create => concat!($place, ": create"),
                Op::Write => concat!($place, ": write"),
                Op::SetMode => concat!($place, ": set mode"),
                Op::Sync => concat!($place, ": sync"),
                Op::Rename => concat!($place, ": rename"),
                Op::Remove => concat!($place, ": remove"),
                Op::Read => concat!($place, ": read"),
                Op::List => concat!($place, ": list"),
                Op::Look => concat!($place, ": look"),
            }
        };
    }
    match place {
        Where::Runs => names!("runs"),
        Where::Snapshots => names!("snapshots"),
        Where::Owners => names!("owner's files"),
    }
}

/// Which files.
#[derive(Debug, Clone, Copy)]
enum Where {
    Runs,
    Snapshots,
    Owners,
}

impl Where {
    fn of(op: Op, path: &Path) -> Self {
        // Every process makes the folder of all snapshots when it starts.
        let is_made_at_start = op == Op::MakeFolder && path == Path::new(SNAPSHOTS);
        if path.starts_with(SNAPSHOTS) && !is_made_at_start {
            Self::Snapshots
        } else if path.starts_with(STATE) || Path::new(STATE).starts_with(path) {
            Self::Runs
        } else {
            Self::Owners
        }
    }
}

/// Whether a call writes only what we note of runs: plans, materials, marks.
pub(crate) fn is_a_note(name: &str) -> bool {
    name.starts_with("runs: ")
}

/// Whether an operation of a disk needs room.
pub(crate) fn needs_room(name: &str) -> bool {
    [": make folder", ": create", ": write", ": rename"]
        .iter()
        .any(|op| name.ends_with(op))
}

/// The product's adapters over the disk, as one process has them.
#[derive(Debug)]
pub(crate) struct Files {
    disk: WorldDisk,
    state_dir: OnceLock<StateDir<WorldDisk>>,
    compose: Compose<WorldDisk>,
}

impl Files {
    pub(crate) fn new(host: &Host) -> Self {
        let disk = Gated(host.clone());
        Self {
            compose: Compose::on(disk.clone(), Path::new("/none")),
            state_dir: OnceLock::new(),
            disk,
        }
    }

    /// What a process does with its state folder when it starts.
    pub(crate) fn open(&self) -> FilesResult<()> {
        let opened = StateDir::on(self.disk.clone(), Path::new(STATE))?;
        self.state_dir.set(opened).expect("opened once");
        Ok(())
    }

    pub(crate) fn state_dir(&self) -> &StateDir<WorldDisk> {
        self.state_dir
            .get()
            .expect("a process opens it when it starts")
    }
}

/// The run's sealed snapshot.
pub(crate) fn sealed(world: &World) -> PathBuf {
    Path::new(SNAPSHOTS).join(world.setting.run)
}

/// Whether a mark of the run lies on the disk.
pub(crate) fn has_mark(world: &World, mark: Mark) -> bool {
    let path = Path::new(RUNS).join(format!("{}.{}", world.setting.run, mark.name()));
    world.disk.read(&path).is_ok()
}

impl World {
    /// What the owner's Compose file says.
    pub(crate) fn compose_text(&self) -> String {
        let bytes = self.disk.read(COMPOSE_FILE.as_ref()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it says now and after any power cut.
    pub(crate) fn durable_compose_text(&self) -> Option<String> {
        let bytes = self.disk.durable(COMPOSE_FILE.as_ref())?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The run's material, as it lies on the disk.
    pub(crate) fn material_text(&self) -> Option<String> {
        let bytes = self.disk.read(&material(self)).ok()?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// Puts another material in its place, for good.
    pub(crate) fn keep_material(&mut self, text: &str) {
        let path = material(self);
        self.disk.put(&path, text.as_bytes());
        self.disk.sync_all();
    }
}

fn material(world: &World) -> PathBuf {
    Path::new(RUNS).join(format!("{}.json", world.setting.run))
}

const fn call(name: &'static str, mutating: bool) -> Call {
    Call {
        name,
        port: Port::Files,
        mutating,
        limit_ms: 30_000,
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
            let before = world.compose_text();
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
            let found = world.compose_text();
            let text = edits.first().map_or(&found, |edit| &edit.after);
            let hashes = services
                .iter()
                .map(|name| (name.clone(), hash_of(name, text)));
            hashes.collect()
        })
    }

    fn state(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.files.compose.state(edit)
    }

    fn ensure_edited(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.files.compose.ensure_edited(edit)
    }

    fn ensure_restored(&self, edit: &FileEdit) -> Result<FileState, ComposeError> {
        self.files.compose.ensure_restored(edit)
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
