//! What a run works with, from memory: steps that last as long as they are told to, and a clock that only they move.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::domain::clock::{ClockState, Reading};
use crate::engine::planner::look::tests::fake::{FakeHost, host_with};
use crate::ports::clock::Woke;
use crate::ports::compose::{
    ComposeError, ComposeProject, FileEdit, FileState, Generation, ProjectFiles,
};
use crate::ports::files::{FilesResult, Flaw, Found, Manifest, Mark, Room};
use crate::ports::store::NewMail;

/// The world of one run.
pub(super) struct Fakes {
    host: FakeHost,
    time: Mutex<Reading>,
    lasts: Mutex<BTreeMap<Step, SignedDuration>>,
    sets: Mutex<BTreeMap<Step, SignedDuration>>,
    fails: Mutex<BTreeSet<Step>>,
    taken: Mutex<Vec<Step>>,
    journal: Mutex<Vec<Entry>>,
    breaks_after: Mutex<Option<Step>>,
    /// Whether the commit's record is refused though it is written, and cannot be read back at once.
    refuses_commit: Mutex<bool>,
    quarantined: Mutex<Option<String>>,
}

/// Carries a plan's run to its end.
pub(super) async fn run(fakes: &Fakes, plan: Plan) -> Ended {
    let first = fakes.begin(&plan, fakes.now()).unwrap();
    let state = RunState::fold(std::slice::from_ref(&first)).unwrap();
    let material = material();
    let ctx = fakes.ctx(&plan, &material);
    let stop = StopFlag::default();
    let driver = Driver::new(&ctx, fakes, state, vec![first]);
    driver.carry_on(&stop).await.unwrap()
}

pub(super) fn journal_of(fakes: &Fakes) -> Vec<Event> {
    let journal = fakes.journal.lock().unwrap();
    journal.iter().map(|entry| entry.event.clone()).collect()
}

impl Fakes {
    pub(super) fn at(wall: Timestamp) -> Self {
        Self {
            host: host_with(Vec::new(), "4.5.2"),
            time: Mutex::new(Reading {
                wall,
                since_boot: Duration::from_secs(86_400),
            }),
            lasts: Mutex::default(),
            sets: Mutex::default(),
            fails: Mutex::default(),
            taken: Mutex::default(),
            journal: Mutex::default(),
            breaks_after: Mutex::default(),
            refuses_commit: Mutex::default(),
            quarantined: Mutex::default(),
        }
    }

    /// A step takes so long.
    pub(super) fn lasts(&self, step: Step, length: SignedDuration) {
        self.lasts.lock().unwrap().insert(step, length);
    }

    /// During a step, somebody sets the wall clock.
    pub(super) fn sets_clock(&self, step: Step, by: SignedDuration) {
        self.sets.lock().unwrap().insert(step, by);
    }

    /// A step fails, by the target's fault.
    pub(super) fn fails(&self, step: Step) {
        self.fails.lock().unwrap().insert(step);
    }

    /// From this step's end on, nothing can be written.
    pub(super) fn journal_breaks_after(&self, step: Step) {
        *self.breaks_after.lock().unwrap() = Some(step);
    }

    /// The commit's record is refused though it is written, and cannot be read back at once.
    pub(super) fn commit_is_refused_and_written(&self) {
        *self.refuses_commit.lock().unwrap() = true;
    }

    pub(super) fn stored(&self) -> Vec<Entry> {
        self.journal.lock().unwrap().clone()
    }

    /// The steps that were begun, in order.
    pub(super) fn taken(&self) -> Vec<Step> {
        self.taken.lock().unwrap().clone()
    }

    /// Why the target was quarantined with the run's end.
    pub(super) fn quarantined(&self) -> Option<String> {
        self.quarantined.lock().unwrap().clone()
    }

    /// The real fence, in a run during which the clock was set by so much. Whatever it asks of the host is a panic.
    pub(super) async fn fence_after_clock_set(
        &self,
        plan: &Plan,
        by: SignedDuration,
    ) -> Result<Finding, StepError> {
        let material = material();
        let ctx = self.ctx(plan, &material);
        self.time.lock().unwrap().wall += by;
        let result = ctx.act(Step::Fence, &RunState::default()).await;
        self.time.lock().unwrap().wall -= by;
        result
    }

    fn ctx<'a>(&'a self, plan: &'a Plan, material: &'a Material) -> Ctx<'a, Self> {
        Ctx {
            ports: self,
            plan,
            material,
            progress: &|_| {},
            began: self.reading(),
        }
    }

    fn pass(&self, length: SignedDuration) {
        let mut time = self.time.lock().unwrap();
        time.wall += length;
        time.since_boot += Duration::try_from(length).unwrap();
    }
}

fn material() -> Material {
    Material {
        format: crate::engine::material::MATERIAL_FORMAT,
        containers: BTreeMap::new(),
        images: BTreeMap::new(),
        project: ProjectFiles {
            project: "mastodon".to_owned(),
            working_dir: "/srv/mastodon".into(),
            config_files: Vec::new(),
            env_file: None,
            generation: Generation::V2,
        },
        edits: Vec::new(),
        bystanders: BTreeSet::new(),
    }
}

impl Steps for Fakes {
    async fn forward(&self, step: Step, _state: &RunState) -> Result<Finding, StepError> {
        self.taken.lock().unwrap().push(step);
        let length = self.lasts.lock().unwrap().get(&step).copied();
        self.pass(length.unwrap_or_default());
        let by = self.sets.lock().unwrap().get(&step).copied();
        self.time.lock().unwrap().wall += by.unwrap_or_default();
        if self.fails.lock().unwrap().contains(&step) {
            return Err(StepError::Target("the migration failed".to_owned()));
        }
        Ok(match step {
            Step::Pull => Finding::Pulled {
                image_ids: Vec::new(),
                pending: vec!["20260101000000".to_owned()],
                pending_post: Vec::new(),
                config_hashes: BTreeMap::new(),
                brings_data: false,
            },
            _ => Finding::Nothing,
        })
    }

    async fn back(&self, _step: UndoStep, _state: &RunState) -> Result<Finding, StepError> {
        Ok(Finding::Nothing)
    }
}

impl Ports for Fakes {
    type Runtime = FakeHost;
    type Database = FakeHost;
    type Redis = FakeHost;
    type Compose = Self;
    type Probe = FakeHost;
    type Files = Self;
    type Journal = Self;
    type Reporter = Self;
    type Clock = Self;

    fn runtime(&self) -> &FakeHost {
        &self.host
    }
    fn database(&self) -> &FakeHost {
        &self.host
    }
    fn redis(&self) -> &FakeHost {
        &self.host
    }
    fn compose(&self) -> &Self {
        self
    }
    fn probe(&self) -> &FakeHost {
        &self.host
    }
    fn files(&self) -> &Self {
        self
    }
    fn journal(&self) -> &Self {
        self
    }
    fn reporter(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
}

impl Clock for Fakes {
    fn now(&self) -> Timestamp {
        self.time.lock().unwrap().wall
    }

    fn monotonic(&self) -> Duration {
        self.since_boot()
    }

    fn since_boot(&self) -> Duration {
        self.time.lock().unwrap().since_boot
    }

    fn synchronised(&self) -> ClockState {
        ClockState::Synchronised
    }

    async fn pause(&self, length: Duration) {
        self.pass(length.try_into().unwrap());
    }

    async fn sleep_until(&self, at: Timestamp) -> Woke {
        self.pass(at.duration_since(self.now()));
        Woke::Time
    }
}

impl Fakes {
    fn add(&self, at: Timestamp, event: &Event) -> Result<Entry, StoreError> {
        let mut journal = self.journal.lock().unwrap();
        let last = journal.last().map(|entry| &entry.event);
        let breaks_after = *self.breaks_after.lock().unwrap();
        if matches!(last, Some(Event::Done { step, .. }) if Some(*step) == breaks_after) {
            return Err(damaged());
        }
        let entry = Entry {
            seq: u64::try_from(journal.len()).unwrap() + 1,
            at,
            event: event.clone(),
        };
        journal.push(entry.clone());
        if *event == Event::Committed && *self.refuses_commit.lock().unwrap() {
            return Err(damaged());
        }
        Ok(entry)
    }
}

fn damaged() -> StoreError {
    StoreError::Damaged {
        path: "/state.db".to_owned(),
        what: "journal".to_owned(),
    }
}

impl Journal for Fakes {
    fn begin(&self, plan: &Plan, at: Timestamp) -> Result<Entry, StoreError> {
        let plan_hash = plan.hash().unwrap();
        self.add(at, &Event::Planned { plan_hash })
    }

    fn append(&self, _run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError> {
        self.add(at, event)
    }

    fn finish(
        &self,
        _run: &str,
        at: Timestamp,
        event: &Event,
        _mails: &[NewMail],
        quarantine: Option<&str>,
    ) -> Result<Entry, StoreError> {
        *self.quarantined.lock().unwrap() = quarantine.map(str::to_owned);
        self.add(at, event)
    }

    fn reopen(&self, _run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError> {
        self.add(at, event)
    }

    fn run(&self, run: &str) -> Result<StoredRun, StoreError> {
        let mut refuses = self.refuses_commit.lock().unwrap();
        if std::mem::take(&mut *refuses) {
            return Err(damaged());
        }
        let plan = Plan {
            run: run.to_owned(),
            ..plan()
        };
        Ok(StoredRun {
            plan,
            journal: self.stored(),
        })
    }

    fn runs(&self, _instance: &str, _limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        Ok(Vec::new())
    }

    fn unfinished(&self, _instance: &str) -> Result<Option<StoredRun>, StoreError> {
        Ok(None)
    }
}

impl Reporter for Fakes {
    fn mails(&self, _plan: &Plan, _journal: &[Entry]) -> Vec<NewMail> {
        Vec::new()
    }
}

/// Methods that only real steps need.
macro_rules! never {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $answer {
            $(let _unused = $arg;)*
            unreachable!(concat!("the script needs no ", stringify!($name)))
        })*
    };
}

impl ComposeProject for Fakes {
    async fn hashes(
        &self,
        _files: &ProjectFiles,
        _edits: &[FileEdit],
        _services: &[String],
    ) -> Result<BTreeMap<String, String>, ComposeError> {
        unreachable!("the script needs no hashes")
    }

    never! {
        files(container: &str, labels: &BTreeMap<String, String>) -> Result<ProjectFiles, ComposeError>;
        edits(files: &ProjectFiles, images: &BTreeMap<String, String>) -> Result<Vec<FileEdit>, ComposeError>;
        state(edit: &FileEdit) -> Result<FileState, ComposeError>;
        ensure_edited(edit: &FileEdit) -> Result<FileState, ComposeError>;
        ensure_restored(edit: &FileEdit) -> Result<FileState, ComposeError>;
    }
}

impl RunFiles for Fakes {
    fn set_mark(&self, _run: &str, _mark: Mark) -> FilesResult<()> {
        Ok(())
    }

    fn has_mark(&self, _run: &str, _mark: Mark) -> FilesResult<bool> {
        Ok(false)
    }

    fn take_mark(&self, _run: &str, _mark: Mark) -> FilesResult<()> {
        Ok(())
    }

    fn close_plan(&self, _run: &str) -> FilesResult<()> {
        Ok(())
    }

    never! {
        save_material(run: &str, text: &str) -> FilesResult<()>;
        load_material(run: &str) -> FilesResult<String>;
        save_plan(run: &str, text: &str) -> FilesResult<()>;
        open_plans() -> FilesResult<Vec<(String, String)>>;
        begin_snapshot(run: &str) -> FilesResult<PathBuf>;
        copy_into(dir: &Path, files: &[PathBuf]) -> FilesResult<()>;
        seal_snapshot(dir: &Path, manifest: Manifest) -> FilesResult<(PathBuf, u64)>;
        open_snapshot(run: &str) -> FilesResult<Option<(PathBuf, Manifest)>>;
        ensure_no_partial(run: &str) -> FilesResult<()>;
        ensure_no_partials(prefix: &str) -> FilesResult<()>;
        snapshots(instance: &str) -> FilesResult<Vec<Manifest>>;
        found_snapshots() -> FilesResult<Vec<Found>>;
        flaw(found: &Found, seen: &dyn Fn(u64)) -> FilesResult<Option<Flaw>>;
        remove_snapshots(runs: &[String]) -> FilesResult<Vec<PathBuf>>;
        snapshot_root() -> &Path;
        room(path: &Path) -> FilesResult<Room>;
    }
}
