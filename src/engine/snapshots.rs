//! Snapshots beside runs: what each is kept for, a look through one, one that is taken while the site is open, and the
//! removal of what is kept for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::drive::load_material;
use super::planner::{self, InstanceRef, Stores};
use super::steps::check::room_for_snapshot;
use super::steps::snapshot::owners_files;
use super::{Ports, Progress, ProgressSink, StepError, chain};
use crate::domain::plan::{cluster_folder, original_database, sha256_hex};
use crate::domain::retention::{Candidate, KeptFor, Rules, Ties, retention};
use crate::domain::run::RunState;
use crate::ports::clock::Clock;
use crate::ports::database::{Database, OnBehalf, Redis};
use crate::ports::files::{FilesError, Found, MANIFEST_FORMAT, Manifest, RunFiles};
use crate::ports::runtime::{ContainerRuntime, INSTANCE_LABEL, RUN_LABEL};
use crate::ports::store::{Journal, StoreError};

mod verify;

pub use verify::{Defect, Verified, VerifyError, verify};

/// What helpers of the snapshot commands have in the label where those of a run have its id.
const BESIDE_RUNS: &str = "snapshot-command";

/// How a snapshot says that it was taken while the site was open, by `snapshot create` or by a rehearsal.
pub(crate) const HOT_METHOD: &str =
    "hot, while the site was open: pg_dump --format=directory; redis-cli --rdb";

/// Why it cannot be said what snapshots are kept for.
#[derive(Debug, thiserror::Error)]
pub enum TiesError {
    /// The journal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state folder.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// A snapshot and what it is kept for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The snapshot.
    pub found: Found,
    /// What it is kept for; none where it goes. `None` where nothing removes it: it is unfinished or damaged, or the journal
    /// cannot be read.
    pub kept_for: Option<BTreeSet<KeptFor>>,
}

impl Listed {
    /// Whether the next end of a run, or `snapshot prune`, removes it.
    pub fn goes(&self) -> bool {
        self.kept_for.as_ref().is_some_and(BTreeSet::is_empty)
    }
}

/// What must not go of an instance's snapshots. Only runs that have one are asked for.
pub(crate) fn ties<J: Journal, F: RunFiles>(
    journal: &J,
    files: &F,
    snapshots: &[Manifest],
) -> Result<Ties, TiesError> {
    // The plan lies beside the journal for as long as its run is open or held, also where the journal was lost.
    let mut ties = Ties {
        needed: needed_by_plans(files)?,
        newest_committed: None,
    };
    if let Some(first) = snapshots.first() {
        let open = journal.unfinished(&first.instance)?;
        let brought_back = open.and_then(|open| open.plan.restore);
        ties.needed.extend(brought_back.map(|restore| restore.run));
    }
    for manifest in snapshots.iter().rev() {
        let stored = match journal.run(&manifest.run) {
            // Of a journal that was lost, or taken by a person.
            Err(StoreError::NoSuchRun { .. }) => continue,
            stored => stored?,
        };
        let state = RunState::fold(&stored.journal).ok();
        let is_over = state
            .as_ref()
            .is_some_and(|state| state.outcome().is_some() && !state.is_held());
        if !is_over {
            ties.needed.insert(manifest.run.clone());
            let brought_back = stored.plan.restore.map(|restore| restore.run);
            ties.needed.extend(brought_back);
        }
        let is_forward = |state: &RunState| state.is_committed() && !state.is_going_back();
        if ties.newest_committed.is_none() && state.as_ref().is_some_and(is_forward) {
            ties.newest_committed = Some(manifest.run.clone());
        }
    }
    Ok(ties)
}

/// The runs whose plans lie beside the journal, and those whose snapshots these bring back.
pub(crate) fn needed_by_plans<F: RunFiles>(files: &F) -> Result<BTreeSet<String>, FilesError> {
    let mut needed = BTreeSet::new();
    for (run, text) in files.open_plans()? {
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let brought_back = plan.pointer("/restore/run").and_then(|run| run.as_str());
        needed.extend(brought_back.map(str::to_owned));
        needed.insert(run);
    }
    Ok(needed)
}

/// What each of an instance's snapshots is kept for.
pub(crate) fn kept(
    snapshots: &[Manifest],
    ties: &Ties,
    rules: Rules,
    now: Timestamp,
) -> BTreeMap<String, BTreeSet<KeptFor>> {
    let candidates: Vec<Candidate> = snapshots
        .iter()
        .map(|manifest| Candidate {
            run: manifest.run.clone(),
            taken_at: manifest.taken_at,
            is_clone: manifest.is_in_server(),
            is_hot: manifest.hot,
        })
        .collect();
    retention(&candidates, ties, rules, now)
}

/// Every snapshot of the host, sorted by instance and time; and why it cannot be said what those of an instance are kept for.
pub fn list<J: Journal, F: RunFiles>(
    journal: &J,
    files: &F,
    rules: Rules,
    now: Timestamp,
) -> Result<(Vec<Listed>, Vec<TiesError>), FilesError> {
    let all = files.found_snapshots()?;
    let manifests = all.iter().filter_map(|found| found.manifest.as_ref().ok());
    let instances: BTreeSet<&str> = manifests.map(|found| found.instance.as_str()).collect();
    let (mut judged, mut troubles) = (BTreeMap::new(), Vec::new());
    for instance in instances {
        let snapshots = files.snapshots(instance)?;
        match ties(journal, files, &snapshots) {
            Ok(ties) => judged.extend(kept(&snapshots, &ties, rules, now)),
            Err(err) => troubles.push(err),
        }
    }
    let mut listed: Vec<Listed> = all
        .into_iter()
        .map(|found| Listed {
            kept_for: judged
                .get(&found.run)
                .cloned()
                .filter(|_| found.manifest.is_ok()),
            found,
        })
        .collect();
    listed.sort_by_cached_key(|one| {
        let known = one.found.manifest.as_ref().ok();
        let place = known.map(|known| (known.instance.clone(), known.taken_at));
        (place.is_none(), place, one.found.run.clone())
    });
    Ok((listed, troubles))
}

/// Where the data of an instance are: as they are found now, or as the plan of its newest run says while that has the
/// containers in other places.
pub async fn stores<P: Ports>(ports: &P, instance: &InstanceRef) -> Result<Stores, StepError> {
    let seen = match planner::stores(ports, instance).await {
        Ok(stores) => return Ok(stores),
        Err(err) => err,
    };
    let runs = ports.journal().runs(&instance.name, 1).unwrap_or_default();
    let known = runs.into_iter().next().and_then(|run| {
        let material = load_material(ports, &run.plan).ok()?;
        Some(Stores {
            database: run.plan.database,
            redis: run.plan.redis,
            database_password: material.database_password(),
            redis_password: material.redis_password(),
        })
    });
    known.ok_or(seen)
}

/// On whose behalf helpers work that belong to no run: an instance has one of each kind, which the next command replaces.
fn beside_runs(instance: &str) -> OnBehalf {
    OnBehalf {
        run: BESIDE_RUNS.to_owned(),
        short_run: partial_name(instance),
        instance: instance.to_owned(),
        gently: true,
    }
}

/// Under what name a snapshot of an instance is written that belongs to no run, until it is sealed. Always the same, so that
/// what was cut off is found again.
fn partial_name(instance: &str) -> String {
    /// Enough to tell the instances of a host apart, and short in a container's name.
    const DIGITS: usize = 12;
    let digits: String = sha256_hex(instance.as_bytes())
        .chars()
        .take(DIGITS)
        .collect();
    format!("hot-{digits}")
}

/// Makes sure that no helper of a snapshot command is left, of this one or of one that was cut off.
async fn remove_helpers<P: Ports>(ports: &P, instance: &str) -> Result<(), StepError> {
    let runtime = ports.runtime();
    for helper in runtime.labelled(RUN_LABEL, BESIDE_RUNS).await? {
        if helper
            .labels
            .get(INSTANCE_LABEL)
            .is_some_and(|of| of == instance)
        {
            runtime.ensure_removed(&helper.id).await?;
        }
    }
    Ok(())
}

/// What a snapshot of its own needs to know.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Its id: that of no run.
    pub id: &'a str,
    /// The longest that each of copying and reading back may take.
    pub limit: Duration,
}

/// Takes a snapshot while the site is open, and stops nothing: database and Redis, each as of one instant of its own, and the
/// owner's files. It is read back whole before it is sealed; what was cut off counts for nothing.
///
/// The caller holds the instance's lock. No run goes back with it.
pub async fn create<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    wanted: &Wanted<'_>,
    progress: ProgressSink<'_>,
) -> Result<(PathBuf, Manifest), StepError> {
    remove_helpers(ports, &instance.name).await?;
    let partial = partial_name(&instance.name);
    let made = take(ports, instance, wanted, progress).await;
    // Both, also where one fails: what stays is in nobody's way, and goes with the next one.
    let tidied = remove_helpers(ports, &instance.name).await;
    if made.is_err() {
        ports.files().ensure_no_partial(&partial)?;
    }
    let made = made?;
    if let Err(err) = tidied {
        progress(Progress::Note(format!(
            "a helper container stays for now: {}",
            chain(&err)
        )));
    }
    Ok(made)
}

async fn take<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    wanted: &Wanted<'_>,
    progress: ProgressSink<'_>,
) -> Result<(PathBuf, Manifest), StepError> {
    let (files, limit) = (ports.files(), wanted.limit);
    let survey = planner::survey(ports, instance).await?;
    let stores = planner::stores(ports, instance).await?;
    room_for_snapshot(files, survey.database.bytes)?;
    let on_behalf = beside_runs(&instance.name);
    let dir = files.begin_snapshot(&on_behalf.short_run)?;
    let (database, redis) = (ports.database(), ports.redis());
    let (live, password) = (&stores.database, &stores.database_password);
    let taken_at = ports.clock().now();
    let schema = database.schema_versions(live, password).await?;
    timed(
        ports,
        progress,
        "database",
        database.dump(live, password, &on_behalf, &dir, limit),
    )
    .await?;
    let copies = redis.dump(
        &stores.redis,
        &stores.redis_password,
        &on_behalf,
        &dir,
        limit,
    );
    timed(ports, progress, "redis", copies).await?;
    files.copy_into(&dir, &owners_files(&survey.project))?;
    let reads = database.count_dump(live, &on_behalf, &dir, limit);
    let rows = timed(ports, progress, "read back", reads).await?;
    if database.dump_schema(live, &on_behalf, &dir, limit).await? != schema {
        return Err(StepError::Host(
            "the schema changed while the database was copied: somebody migrates; try again when that is over".to_owned(),
        ));
    }
    verify::has_its_tables(&rows).map_err(|defect| StepError::Host(defect.to_string()))?;
    let (_, redis_keys) = redis
        .count_dump(&stores.redis, &on_behalf, &dir, limit)
        .await?;
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        run: wanted.id.to_owned(),
        instance: instance.name.clone(),
        version: survey.installed.to_string(),
        taken_at,
        images: survey
            .references
            .iter()
            .filter_map(|(kind, reference)| {
                Some((reference.clone(), survey.images.get(kind)?.id.clone()))
            })
            .collect(),
        method: HOT_METHOD.to_owned(),
        hot: true,
        original: None,
        cluster: None,
        postgres: stores.database.server_version,
        schema,
        rows,
        redis_keys,
        files: BTreeMap::new(),
    };
    let (path, _) = files.seal_snapshot(&dir, manifest)?;
    // As it is on the disk, with the marks of its files.
    let sealed = files.open_snapshot(wanted.id)?;
    let lost = || StepError::Host(format!("{} is gone again", path.display()));
    sealed.ok_or_else(lost)
}

/// Does one part of a command, and tells how long it took.
async fn timed<P: Ports, T, E: std::error::Error>(
    ports: &P,
    progress: ProgressSink<'_>,
    step: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    progress(Progress::Began { step, back: false });
    let start = ports.clock().monotonic();
    let done = work.await;
    progress(Progress::Ended {
        step,
        elapsed: ports.clock().monotonic().saturating_sub(start),
        error: done.as_ref().err().map(|err| chain(err)),
    });
    done
}

/// What a removal did.
#[derive(Debug, Default)]
pub struct Removed {
    /// The folders that are gone.
    pub folders: Vec<PathBuf>,
    /// Runs whose snapshot stays, each with the reason.
    pub stay: Vec<(String, String)>,
}

/// Removes snapshots that are kept for nothing; of a clone, the database first, so that the folder tells of it until it is
/// gone. What cannot be removed stays, and is told.
///
/// The caller holds the instance's lock, and `stores` is where the data of the instance are, if that is known.
pub async fn remove<P: Ports>(
    ports: &P,
    doomed: &[Manifest],
    stores: Result<&Stores, &StepError>,
) -> Result<Removed, FilesError> {
    let mut removed = Removed::default();
    let mut gone = Vec::new();
    for manifest in doomed {
        let dropped = match stores {
            _ if !manifest.is_in_server() => Ok(()),
            Err(err) => Err(chain(err)),
            Ok(stores) if manifest.cluster.is_some() => no_cluster(ports, manifest, stores).await,
            Ok(stores) => ensure_no_original(ports, manifest, stores).await,
        };
        match dropped {
            Ok(()) => gone.push(manifest.run.clone()),
            Err(why) => removed.stay.push((manifest.run.clone(), why)),
        }
    }
    removed.folders = ports.files().remove_snapshots(&gone)?;
    Ok(removed)
}

/// Makes sure that the database is gone that a clone's snapshot consists of. A manifest is only a file: no other database than
/// the one that its run would put aside is dropped.
async fn ensure_no_original<P: Ports>(
    ports: &P,
    manifest: &Manifest,
    stores: &Stores,
) -> Result<(), String> {
    let name = original_database(&stores.database.name, &manifest.run);
    if manifest.original.as_ref() != Some(&name) {
        return Err(format!(
            "its manifest names database `{}`, and a run of this instance would name it `{name}`: drop it by hand if it is to go",
            manifest.original.as_deref().unwrap_or_default()
        ));
    }
    let dropped = ports
        .database()
        .ensure_dropped(&stores.database, &stores.database_password, &name)
        .await;
    dropped.map_err(|err| chain(&err))
}

/// Makes sure that the copy of the data folder is gone. No other folder than that of the manifest's run is removed.
async fn no_cluster<P: Ports>(
    ports: &P,
    manifest: &Manifest,
    stores: &Stores,
) -> Result<(), String> {
    let (live, password) = (&stores.database, &stores.database_password);
    let (on_behalf, folder) = (
        beside_runs(&manifest.instance),
        cluster_folder(&manifest.run),
    );
    let dropped = ports
        .database()
        .ensure_no_cluster(live, password, &on_behalf, &folder)
        .await;
    dropped.map_err(|err| chain(&err))
}
