//! Runs that an earlier process left: carried to their ends before anything else, and told where that cannot be.

use jiff::Timestamp;

use super::act::{self, ActError};
use super::lock::LockError;
use super::notices;
use super::world::World;
use crate::adapters::clock::SystemClock;
use crate::adapters::store::Store;
use crate::config::{Instance, Settings};
use crate::domain::run::RunState;
use crate::engine::{Ports, ProgressSink, StopFlag, chain};
use crate::ports::clock::Clock;
use crate::ports::files::RunFiles;
use crate::ports::store::Journal;

/// Carries every instance's interrupted run to its end; whether all are there. One instance's trouble keeps nobody from
/// the others.
pub(super) async fn recover(
    world: &World,
    settings: &Settings,
    show: ProgressSink<'_>,
    stop: &StopFlag,
) -> bool {
    let (mut all, store) = (true, world.store());
    for instance in &settings.instances {
        let recovered = recover_one(world, settings, instance, show, stop).await;
        let now = world.clock().now();
        match recovered {
            Ok(None) => notices::moves(store, &instance.name, now),
            Ok(Some(trouble)) => {
                notices::stands_still(store, settings, &instance.name, &trouble, now);
            }
            Err(err) => {
                all = false;
                let because = chain(&err);
                tracing::error!("{}: {because}", instance.name);
                // Whoever has the lock looks after it.
                if !matches!(err, ActError::Lock(LockError::Held { .. })) {
                    notices::stands_still(store, settings, &instance.name, &because, now);
                }
            }
        }
    }
    tell_orphans(world, settings);
    all
}

/// Gives what is in the way of a run that ended, if its end could not be written.
async fn recover_one(
    world: &World,
    settings: &Settings,
    instance: &Instance,
    show: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Option<String>, ActError> {
    let lock = act::lock(settings, instance)?;
    let Some(ended) = act::recover(world, instance, &lock, show, stop).await? else {
        return Ok(None);
    };
    act::tell_trouble(instance, &ended);
    tracing::warn!(
        "{}: an interrupted run was carried to its end: {}, {}",
        instance.name,
        ended.outcome.name(),
        ended.because
    );
    let trouble = ended.trouble.as_ref();
    Ok(trouble.map(|trouble| format!("its end could not be written: {trouble}")))
}

/// Tells of the runs that are open while nothing can be done about them.
pub(super) fn tell_open(store: &Store, settings: &Settings, because: &str, now: Timestamp) {
    for instance in &settings.instances {
        match store.unfinished(&instance.name) {
            Ok(Some(_)) => notices::stands_still(store, settings, &instance.name, because, now),
            Ok(None) => {}
            Err(err) => tracing::error!("{}: {}", instance.name, chain(&err)),
        }
    }
}

/// Tells of runs whose instance is not in the configuration any more: nobody carries them to their ends.
fn tell_orphans(world: &World, settings: &Settings) {
    let plans = match world.files().open_plans() {
        Ok(plans) => plans,
        Err(err) => return tracing::error!("{}", chain(&err)),
    };
    let is_known = |name: &str| settings.instances.iter().any(|it| it.name == name);
    for (run, plan) in plans {
        let Some(instance) = act::planned_for(&plan).filter(|name| !is_known(name)) else {
            continue;
        };
        let stored = world.store().run(&run);
        let state = stored.ok().and_then(|it| RunState::fold(&it.journal).ok());
        // One that ended left only its plan.
        if state.is_some_and(|state| state.outcome().is_some() && !state.is_held()) {
            continue;
        }
        let now = world.clock().now();
        notices::orphaned(world.store(), settings, &instance, &run, now);
    }
}

/// Brings sites back that an interrupted run closed, though the state file cannot be used.
pub(super) async fn rescue(
    settings: &Settings,
    clock: SystemClock,
    stop: &StopFlag,
    show: ProgressSink<'_>,
) {
    for instance in &settings.instances {
        match act::rescue(settings, clock, instance, show, stop).await {
            Ok(None) => {}
            Ok(Some(ended)) => tracing::error!(
                "{}: the state file cannot be used; an interrupted run was carried to its end from what is on the host: {}, {}",
                instance.name,
                ended.outcome.name(),
                ended.because
            ),
            Err(err) => tracing::error!("{}: {}", instance.name, chain(&err)),
        }
    }
}
