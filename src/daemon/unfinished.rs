//! Runs that an earlier process left: carried to their ends before anything else, and told where that cannot be.

use super::act::{self, ActError};
use super::notices;
use super::world::World;
use crate::adapters::clock::SystemClock;
use crate::config::{Instance, Settings};
use crate::engine::{Ports, ProgressSink, StopFlag, chain};
use crate::ports::clock::Clock;
use crate::ports::files::RunFiles;

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
        match recover_one(world, settings, instance, show, stop).await {
            Ok(()) => notices::moves(store, &instance.name, world.clock().now()),
            Err(err) => {
                all = false;
                let because = chain(&err);
                tracing::error!("{}: {because}", instance.name);
                // Without the lock there is somebody who looks after it.
                if !matches!(err, ActError::Lock(_)) {
                    let now = world.clock().now();
                    notices::stands_still(store, settings, &instance.name, &because, now);
                }
            }
        }
    }
    tell_orphans(world, settings);
    all
}

async fn recover_one(
    world: &World,
    settings: &Settings,
    instance: &Instance,
    show: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<(), ActError> {
    let lock = act::lock(settings, instance)?;
    if let Some(ended) = act::recover(world, instance, &lock, show, stop).await? {
        act::tell_trouble(instance, &ended);
        tracing::warn!(
            "{}: an interrupted run was carried to its end: {}, {}",
            instance.name,
            ended.outcome.name(),
            ended.because
        );
    }
    Ok(())
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
        let because = format!(
            "Its run {run} is open or held, and no instance of that name is in the configuration: put it back, and the run \
             is carried to its end."
        );
        let now = world.clock().now();
        notices::stands_still(world.store(), settings, &instance, &because, now);
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
