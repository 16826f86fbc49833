//! What a person may bring back from behind a commit, or out of a snapshot; and why not. Looking changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::planner::{InstanceRef, Stores, Survey};
use super::snapshots::{Defect, VerifyError, stores, verify};
use super::{Ports, ProgressSink, StepError};
use crate::domain::event::{Event, Finding, MigrationClass};
use crate::domain::plan::{Restore, short};
use crate::domain::run::RunState;
use crate::domain::version::ReleaseVersion;
use crate::ports::database::Database;
use crate::ports::files::{FilesError, Found, Manifest, RunFiles};
use crate::ports::store::{Journal, StoreError, StoredRun};

/// Runs that are looked through for the newest update: more than this many in a row that did not succeed are no update to
/// take back, but a trouble of its own.
const LOOK_BACK: u32 = 100;
/// `server_version_num` counts a major version so.
const MAJOR: u32 = 10_000;

/// Why something cannot be brought back. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReturnError {
    /// It is not there, or not to be brought back.
    #[error("{0}")]
    Refused(String),
    /// The snapshot is not what it says.
    #[error("the snapshot of run {run} cannot be restored")]
    Damaged {
        /// Whose.
        run: String,
        /// Why.
        #[source]
        defect: Defect,
    },
    /// The journal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be looked at.
    #[error(transparent)]
    Trouble(#[from] StepError),
}

impl From<FilesError> for ReturnError {
    fn from(err: FilesError) -> Self {
        Self::Trouble(err.into())
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The version that is to run.
    pub to: ReleaseVersion,
    /// What the plan says of it.
    pub restore: Restore,
    /// The snapshot whose data are put in, looked through whole; none where the data stay.
    pub manifest: Option<Manifest>,
}

/// How a snapshot is looked through.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct Looking<'a> {
    /// The longest that each reading may take.
    pub limit: Duration,
    /// What is told meanwhile.
    pub progress: ProgressSink<'a>,
}

/// Refuses while a run of the instance is open or held: that one ends first.
pub fn nothing_is_open<P: Ports>(ports: &P, instance: &str) -> Result<(), ReturnError> {
    let runs = ports.journal().runs(instance, 1)?;
    let newest = runs.first().map(|run| RunState::fold(&run.journal));
    if newest.is_some_and(|state| state.is_ok_and(|state| state.is_held())) {
        return Err(refused(
            "the last run is held: first say `mastopatch resume`, `rollback` (without a run) or `release`",
        ));
    }
    if ports.journal().unfinished(instance)?.is_some() {
        return Err(refused(format!(
            "the last run of {instance} was interrupted: the daemon, or `mastopatch apply`, carries it to its end first"
        )));
    }
    Ok(())
}

/// What taking a run back would bring: the version from before it and, where that cannot run on what the run made of the data,
/// the data of its snapshot. Only the newest run that was committed is taken back, and only while its version runs.
///
/// The caller holds the instance's lock.
pub async fn of_run<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    survey: &Survey,
    run: &StoredRun,
    looking: Looking<'_>,
) -> Result<Return, ReturnError> {
    let (plan, name) = (&run.plan, short(&run.plan.run));
    let class = newest_committed(ports, instance, run)?;
    if survey.installed != plan.to {
        return Err(refused(format!(
            "run {name} brought {}, and {} runs now: somebody changed the version by other means since",
            plan.to, survey.installed
        )));
    }
    let stores = stores(ports, instance).await?;
    if class > MigrationClass::M1 {
        let manifest = whole(ports, instance, &stores, &plan.run, looking).await?;
        return Ok(Return {
            to: plan.from.clone(),
            restore: with_data(&manifest),
            manifest: Some(manifest),
        });
    }
    nothing_else_migrated(ports, instance, &stores, run).await?;
    let images = plan.images.iter().map(|image| image.from_id.clone());
    Ok(Return {
        to: plan.from.clone(),
        restore: Restore {
            run: plan.run.clone(),
            data: false,
            database: None,
            image_ids: images.collect(),
        },
        manifest: None,
    })
}

/// What restoring a snapshot would bring: its data, and the version that served when it was taken.
///
/// The caller holds the instance's lock.
pub async fn of_snapshot<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    run: &str,
    looking: Looking<'_>,
) -> Result<Return, ReturnError> {
    let stores = stores(ports, instance).await?;
    let manifest = whole(ports, instance, &stores, run, looking).await?;
    let to = manifest.version.parse().map_err(|_err| {
        let (name, version) = (short(run), &manifest.version);
        refused(format!(
            "the snapshot of run {name} is of version `{version}`, which is none that is known"
        ))
    })?;
    Ok(Return {
        to,
        restore: with_data(&manifest),
        manifest: Some(manifest),
    })
}

fn with_data(manifest: &Manifest) -> Restore {
    Restore {
        run: manifest.run.clone(),
        data: true,
        database: manifest.original.clone(),
        image_ids: manifest.images.values().cloned().collect(),
    }
}

/// The class of a run that is the newest committed one of the instance.
fn newest_committed<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    run: &StoredRun,
) -> Result<MigrationClass, ReturnError> {
    let name = short(&run.plan.run);
    if run.plan.instance != instance.name {
        return Err(refused(format!(
            "run {name} is of instance {}, not of {}",
            run.plan.instance, instance.name
        )));
    }
    let is_forward = |state: &RunState| state.is_committed() && !state.is_going_back();
    let fold = |run: &StoredRun| RunState::fold(&run.journal).ok().filter(is_forward);
    let Some(state) = fold(run) else {
        return Err(refused(format!(
            "run {name} was not committed, so there is nothing to take back; `mastopatch history` lists the runs"
        )));
    };
    let runs = ports.journal().runs(&instance.name, LOOK_BACK)?;
    match runs.iter().find(|run| fold(run).is_some()) {
        Some(newest) if newest.plan.run == run.plan.run => {
            Ok(state.class().unwrap_or(MigrationClass::M2))
        }
        Some(newer) => Err(refused(format!(
            "run {} was committed after run {name}, and only the newest can be taken back; \
             `mastopatch snapshot restore {name}` brings back the data and the version from before run {name}, if its \
             snapshot is still there",
            short(&newer.plan.run)
        ))),
        None => Err(refused(format!(
            "none of the last {LOOK_BACK} runs was committed, so it is not known whether run {name} is the newest that was"
        ))),
    }
}

/// The version from before a run keeps the data of now only where nobody else has migrated them since.
async fn nothing_else_migrated<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    stores: &Stores,
    run: &StoredRun,
) -> Result<(), ReturnError> {
    let snapshots = ports.files().snapshots(&instance.name)?;
    let before = snapshots.into_iter().find(|it| it.run == run.plan.run);
    let brought = run.journal.iter().find_map(|entry| {
        let Event::Done { finding, .. } = &entry.event else {
            return None;
        };
        let Finding::Pulled { pending, .. } = finding else {
            return None;
        };
        Some(pending)
    });
    // Of what is not known any more, the version's own start tells, behind the fence.
    let (Some(before), Some(brought)) = (before, brought) else {
        return Ok(());
    };
    let (live, password) = (&stores.database, &stores.database_password);
    let now = ports.database().schema_versions(live, password).await;
    let now = now.map_err(StepError::from)?;
    let known: BTreeSet<String> = before.schema.iter().chain(brought).cloned().collect();
    match now.difference(&known).next() {
        None => Ok(()),
        Some(version) => Err(refused(format!(
            "the database has migration {version}, which run {} did not bring: somebody migrated it since, so whether {} runs \
             on it is not known",
            short(&run.plan.run),
            run.plan.from
        ))),
    }
}

/// The manifest of a run's snapshot, once all of it was read and found to be what was written.
async fn whole<P: Ports>(
    ports: &P,
    instance: &InstanceRef,
    stores: &Stores,
    run: &str,
    looking: Looking<'_>,
) -> Result<Manifest, ReturnError> {
    let name = short(run);
    let mut all = ports.files().found_snapshots()?.into_iter();
    let is_it = |found: &Found| found.run == run && found.path.ends_with(run);
    let Some(found) = all.find(is_it) else {
        return Err(refused(format!(
            "the snapshot of run {name} is gone, so its data cannot come back"
        )));
    };
    if let Ok(manifest) = &found.manifest {
        if manifest.hot {
            return Err(refused(format!(
                "the snapshot of run {name} was taken while the site was open, so its database and its Redis are of two moments; \
                 it is for the day on which the server is lost, and is restored by hand"
            )));
        }
        let here = stores.database.server_version;
        let is_newer = manifest.postgres.div_euclid(MAJOR) > here.div_euclid(MAJOR);
        if !manifest.is_in_server() && is_newer {
            return Err(refused(format!(
                "the snapshot of run {name} was dumped from a newer PostgreSQL ({}) than the one that runs here ({here})",
                manifest.postgres
            )));
        }
    }
    let Looking { limit, progress } = looking;
    let seen = verify(ports, &found, &instance.name, stores, limit, progress).await;
    let damaged = |defect| ReturnError::Damaged {
        run: name.to_owned(),
        defect,
    };
    match (seen, found.manifest) {
        (Ok(_), Ok(manifest)) => Ok(manifest),
        (_, Err(flaw)) => Err(damaged(flaw.into())),
        (Err(VerifyError::Defect(defect)), Ok(_)) => Err(damaged(defect)),
        (Err(VerifyError::Trouble(err)), Ok(_)) => Err(err.into()),
    }
}

fn refused(sentence: impl Into<String>) -> ReturnError {
    ReturnError::Refused(sentence.into())
}
