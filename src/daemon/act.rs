//! One update, from the lock to the outcome; the terminal's `apply` and the daemon do the same.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::knowledge::instance_ref;
use super::lock::{self, Lock, LockError};
use super::rehearsals;
use super::world::{World, WorldError, open_store};
use crate::adapters::clock::SystemClock;
use crate::config::{Instance, Run, Settings};
use crate::domain::decide::Target;
use crate::domain::event::Event;
use crate::domain::method::MethodChoice;
use crate::domain::plan::{Asked, Limits, Method, OnDeadline, Plan, Restore, Why};
use crate::domain::run::RunState;
use crate::domain::version::{ReleaseVersion, UpdateKind};
use crate::engine::drive::{self, DriveError, Ended};
use crate::engine::material::MaterialError;
use crate::engine::planner::{Goal, Survey, make_plan};
use crate::engine::recovery;
use crate::engine::{Ports, ProgressSink, StepError, StopFlag};
use crate::ports::clock::Clock;
use crate::ports::files::{FilesError, RunFiles};
use crate::ports::release_source::{ReleaseSource, ReleaseSourceError};
use crate::ports::store::{Journal, StoreError, StoredRun};

/// Times a state file is opened before it counts as unusable.
const OPENS: u32 = 5;
/// Between them.
const BETWEEN_OPENS: Duration = Duration::from_secs(1);

/// Why an update did not come to an outcome. Nothing was changed, unless it is [`ActError::Drive`].
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// Somebody else is at it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] StepError),
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state folder.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// GitHub did not say which commit the release is.
    #[error("failed to ask GitHub which commit release {tag} is")]
    Commit {
        /// The release's tag.
        tag: String,
        /// What GitHub said.
        #[source]
        source: ReleaseSourceError,
    },
    /// The world cannot be opened.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The run could not be carried on.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// A rehearsal cannot read what was planned for it.
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// What to do and who wants it.
#[derive(Debug, Clone)]
pub struct Order {
    /// The version and what it closes.
    pub target: Target,
    /// Who asked.
    pub asked_by: Asked,
    /// Why, as sentences.
    pub reasons: Vec<String>,
    /// When it has to be over.
    pub hard_deadline: Option<Timestamp>,
    /// The last instant at which the site may be closed.
    pub close_by: Option<Timestamp>,
    /// What the way back needs; zero where no deadline counts.
    pub way_back: SignedDuration,
}

/// Takes the instance's lock.
pub fn lock(settings: &Settings, instance: &Instance) -> Result<Lock, LockError> {
    lock::instance(&settings.state_dir, &instance.name)
}

/// The instance that a plan file is for, as far as that can be read.
pub fn planned_for(plan: &str) -> Option<String> {
    recovery::planned_for(plan)
}

/// Carries a run that an earlier process left unfinished to its end, if there is one.
pub async fn recover(
    world: &World,
    instance: &Instance,
    _lock: &Lock,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Option<Ended>, ActError> {
    rehearsals::sweep(world, instance).await;
    let because = "the process that drove it ended";
    Ok(recovery::recover(world, &instance.name, because, progress, stop).await?)
}

/// Says what could not be written of a run that ended: it counts as open until it can.
pub fn tell_trouble(instance: &Instance, ended: &Ended) {
    if let Some(trouble) = &ended.trouble {
        tracing::error!(
            "{}: the end of the run could not be written: {trouble}; until that is mended nothing else can be updated",
            instance.name
        );
    }
}

/// Brings back what an interrupted run of an instance left, though the state file cannot be used: a site must not stay
/// closed for that. Nothing is written down of it, and no mail is made.
pub async fn rescue(
    settings: &Settings,
    clock: SystemClock,
    instance: &Instance,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Option<Ended>, ActError> {
    let _lock = lock(settings, instance)?;
    // To do without the journal is the last resort: a moment's trouble is over by the next round.
    for _ in 0..OPENS {
        if open_store(settings).is_ok() {
            return Ok(None);
        }
        clock.pause(BETWEEN_OPENS).await;
    }
    let world = World::without_journal(settings, clock).await?;
    let because = "the process that drove it ended, and the state file cannot be used";
    match recovery::recover(&world, &instance.name, because, progress, stop).await {
        // There was nothing to bring back.
        Err(DriveError::Journal { .. }) => Ok(None),
        ended => Ok(ended?),
    }
}

/// The held run of an instance, if its last run is held.
pub fn held(world: &World, instance: &Instance) -> Result<Option<StoredRun>, StoreError> {
    let last = world.journal().runs(&instance.name, 1)?.into_iter().next();
    Ok(last.filter(|run| RunState::fold(&run.journal).is_ok_and(|state| state.is_held())))
}

/// Carries out what a person decided about a held run.
pub async fn order(
    world: &World,
    run: StoredRun,
    event: Event,
    _lock: &Lock,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, ActError> {
    Ok(drive::order(world, run, event, progress, stop).await?)
}

/// What GitHub said to the question for the commit, as the poller wants it noted, of whatever was planned with that.
pub fn asked<T>(planned: &Result<T, ActError>) -> Result<(), &ReleaseSourceError> {
    match planned {
        Err(ActError::Commit { source, .. }) => Err(source),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Makes the plan of an order, and the text of its material. Changes nothing.
pub async fn plan<S: ReleaseSource>(
    world: &World,
    source: &S,
    settings: &Settings,
    instance: &Instance,
    survey: &Survey,
    order: Order,
) -> Result<(Plan, String), ActError> {
    let tag = order.target.tag.clone();
    let commit = source
        .commit_of(&tag)
        .await
        .map_err(|source| ActError::Commit { tag, source })?;
    let now = world.clock().now();
    let goal = Goal {
        run: run_id(now),
        to: order.target.version,
        kind: order.target.kind,
        why: Why {
            asked_by: order.asked_by,
            reasons: order.reasons,
            emergency: None,
            advisories: order.target.advisories,
            severity: order.target.severity,
            published_at: order.target.published_at,
            url: order.target.url.unwrap_or_default(),
        },
        expected_commit: Some(commit.as_str().to_owned()),
        limits: limits(&settings.run),
        now,
        hard_deadline: order.hard_deadline,
        close_by: order.close_by,
        on_deadline: settings.run.on_deadline,
        method: settings.run.snapshot,
        proof: settings.run.proof.clone(),
        way_back_s: u64::try_from(order.way_back.as_secs()).unwrap_or_default(),
        restore: None,
    };
    let (mut plan, material) = make_plan(world, &instance_ref(instance), survey, goal).await?;
    plan.rehearsed = rehearsals::said(world.store(), settings, &plan)?;
    Ok((plan, material))
}

/// What a person wants back.
#[derive(Debug, Clone)]
pub struct Back {
    /// The version that is to run.
    pub to: ReleaseVersion,
    /// What is brought back.
    pub restore: Restore,
    /// Who asked.
    pub by: String,
    /// Why, as a sentence.
    pub reason: String,
}

/// Makes the plan that brings something back, and the text of its material. Changes nothing.
pub async fn plan_back(
    world: &World,
    settings: &Settings,
    instance: &Instance,
    survey: &Survey,
    back: Back,
) -> Result<(Plan, String), ActError> {
    let now = world.clock().now();
    let step = back.to.step_to(&survey.installed);
    // The way down is as far as the way up.
    let kind = step.or_else(|| survey.installed.step_to(&back.to));
    let method = if back.restore.data {
        // The data that are there now stand aside, and what comes takes their name.
        MethodChoice::Only(Method::Clone)
    } else {
        settings.run.snapshot
    };
    let goal = Goal {
        run: run_id(now),
        to: back.to,
        kind: kind.unwrap_or(UpdateKind::Patch),
        why: Why {
            asked_by: Asked::Person(back.by),
            reasons: vec![back.reason],
            emergency: None,
            advisories: Vec::new(),
            severity: None,
            published_at: now,
            url: String::new(),
        },
        // The image is the one that the tag names, as it was when this version ran.
        expected_commit: None,
        limits: limits(&settings.run),
        now,
        hard_deadline: None,
        close_by: None,
        on_deadline: OnDeadline::Finish,
        method,
        proof: settings.run.proof.clone(),
        way_back_s: 0,
        restore: Some(back.restore),
    };
    Ok(make_plan(world, &instance_ref(instance), survey, goal).await?)
}

/// Carries a plan out.
pub async fn execute(
    world: &World,
    plan: Plan,
    material: &str,
    _lock: &Lock,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Ended, ActError> {
    // The material is durable before the run exists; without a run it is only a file too many.
    world.files().save_material(&plan.run, material)?;
    Ok(drive::begin(world, plan, progress, stop).await?)
}

/// A new run's id: sorts by time, and no two are alike.
pub fn run_id(now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or_default();
    let context = uuid::NoContext;
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(context, seconds, nanos)).to_string()
}

/// The limits of a run, from the settings.
pub fn limits(run: &Run) -> Limits {
    Limits {
        pull_s: run.pull_timeout.as_secs(),
        stop_grace_s: run.stop_grace.as_secs(),
        snapshot_s: run.snapshot_timeout.as_secs(),
        migrate_s: run.migrate_timeout.as_secs(),
        boot_s: run.boot_timeout.as_secs(),
        settle_s: run.settle.as_secs(),
        keep_snapshots: run.keep_snapshots,
        keep_snapshots_for_s: run.keep_snapshots_for.map(|age| age.as_secs()),
    }
}
