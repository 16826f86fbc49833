//! Rehearsals: when the daemon makes one by itself, what is kept of it, and who is told.

use jiff::{SignedDuration, Timestamp};

use super::act::{self, ActError, Order};
use super::lock::Lock;
use super::notices;
use super::world::World;
use crate::adapters::store::Store;
use crate::config::{Instance, Settings};
use crate::domain::decide::{Decision, When};
use crate::domain::event::Step;
use crate::domain::plan::Plan;
use crate::domain::rehearsal::{Rehearsal, Rehearse, Rehearsed, Tried, Usual, prefix, rehearsed};
use crate::domain::version::ReleaseVersion;
use crate::engine::planner::Survey;
use crate::engine::{ProgressSink, StopFlag, chain, rehearsal};
use crate::ports::release_source::ReleaseSource;
use crate::ports::store::StoreError;

/// What a rehearsal is taken to last before one was measured here: as long as a run and its way back.
const UNMEASURED: SignedDuration = SignedDuration::from_mins(45);
/// What is added to the longest that was measured, half of it: images have to be pulled, and hosts are busy at times.
const SLACK: i32 = 2;
/// Rehearsals that are looked back at.
const LOOK_BACK: usize = 3;
/// After one that something on the host was in the way of, another is tried by itself.
const AGAIN: SignedDuration = SignedDuration::from_hours(6);

/// Rehearses an order, keeps what came of it, and tells people if the target is to blame. `until` is the instant by which it
/// has to be over.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one thing that a command and the daemon have differently"
)]
pub async fn rehearse<S: ReleaseSource>(
    world: &World,
    source: &S,
    settings: &Settings,
    instance: &Instance,
    survey: &Survey,
    order: Order,
    until: Option<Timestamp>,
    _lock: &Lock,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Rehearsal, ActError> {
    rehearsal::sweep(world, &instance.name).await?;
    let (mut plan, material) = act::plan(world, source, settings, instance, survey, order).await?;
    plan.run = format!("{}{}", prefix(&instance.name), plan.run);
    let usual = usual(world.store(), instance)?;
    let done = rehearsal::rehearse(world, &plan, &material, &usual, until, progress, stop);
    // It holds every step of it; on the heap it costs its callers nothing.
    let done = Box::pin(done).await?;
    keep(world.store(), settings, &plan, &done)?;
    Ok(done)
}

/// Keeps a rehearsal. People are told first: what is told twice is told once, and what is kept is not tried again.
fn keep(
    store: &Store,
    settings: &Settings,
    plan: &Plan,
    done: &Rehearsal,
) -> Result<(), StoreError> {
    match &done.result {
        Tried::Failed { because } => {
            notices::not_rehearsed(store, settings, plan, because, true, done.ended_at);
        }
        Tried::Passed(_) => notices::rehearsed(store, &plan.instance, done.ended_at),
        Tried::NotDone { .. } => {}
    }
    store.put_rehearsal(done, plan)
}

/// What rehearsals say of a plan; nothing where nobody wants to know.
pub fn said(
    store: &Store,
    settings: &Settings,
    plan: &Plan,
) -> Result<Option<Rehearsed>, StoreError> {
    let said = rehearsed(&store.rehearsals(&plan.instance)?, plan);
    let wanted = settings.run.rehearse != Rehearse::Off;
    Ok(Some(said).filter(|said| wanted || matches!(said, Rehearsed::Passed { .. })))
}

/// Whether a plan may not start because it was not rehearsed: why.
pub fn refusal(settings: &Settings, plan: &Plan) -> Option<String> {
    match &plan.rehearsed {
        Some(Rehearsed::Not { because }) if settings.run.rehearse == Rehearse::Required => {
            Some(because.clone())
        }
        Some(_) | None => None,
    }
}

/// The newest rehearsal from this version to that one.
pub fn newest(
    store: &Store,
    instance: &str,
    from: &ReleaseVersion,
    to: &ReleaseVersion,
) -> Result<Option<Rehearsal>, StoreError> {
    let mut all = store.rehearsals(instance)?.into_iter();
    Ok(all.find(|it| it.is_step(from, to)))
}

/// A rehearsal that is due, and the instant by which it has to be over, if there is one.
pub(super) struct Due {
    pub(super) until: Option<Timestamp>,
}

/// Whether what a decision waits for is to be rehearsed now; or what may start now, if nothing may start without.
pub(super) fn due(
    store: &Store,
    settings: &Settings,
    instance: &Instance,
    decision: &Decision,
    now: Timestamp,
) -> Result<Option<Due>, StoreError> {
    let Some(target) = &decision.target else {
        return Ok(None);
    };
    let until = match (&decision.when, settings.run.rehearse) {
        (When::Wait { not_before, .. }, Rehearse::Required | Rehearse::WhenPossible) => {
            Some(*not_before)
        }
        (When::Now { until, .. }, Rehearse::Required) => *until,
        (_, _) => return Ok(None),
    };
    let newest_first = store.rehearsals(&instance.name)?;
    let mut all = newest_first.iter();
    let last = all.find(|it| it.is_step(&decision.installed, &target.version));
    let is_done = last.is_some_and(|last| match last.result {
        Tried::Passed(_) | Tried::Failed { .. } => true,
        Tried::NotDone { .. } => now.duration_since(last.ended_at) < AGAIN,
    });
    let lasts = lasts(&newest_first);
    let fits = until.is_none_or(|until| until.duration_since(now) >= lasts);
    Ok((!is_done && fits).then_some(Due { until }))
}

/// How long a rehearsal may take here.
fn lasts(newest_first: &[Rehearsal]) -> SignedDuration {
    let passed = newest_first.iter().filter(|it| it.measures().is_some());
    let longest = passed.take(LOOK_BACK).map(|it| it.elapsed_ms).max();
    longest.map_or(UNMEASURED, |ms| {
        let measured = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
        let slack = measured.checked_div(SLACK).unwrap_or_default();
        measured.saturating_add(slack)
    })
}

/// What the steps of the last committed runs took.
fn usual(store: &Store, instance: &Instance) -> Result<Usual, StoreError> {
    let median = |step| -> Result<Option<u64>, StoreError> {
        let mut lengths = store.durations(&instance.name, step)?;
        lengths.sort_unstable();
        Ok(lengths.get(lengths.len() / 2).copied())
    };
    Ok(Usual {
        fence: median(Step::Fence)?,
        switch: median(Step::Switch)?,
        verify: median(Step::Verify)?,
        open: median(Step::Open)?,
    })
}

/// Removes what rehearsals of an instance left that were killed. What cannot be removed now is tried again by the next start,
/// and keeps nothing else from being done.
pub(super) async fn sweep(world: &World, instance: &Instance) {
    if let Err(err) = rehearsal::sweep(world, &instance.name).await {
        tracing::warn!(
            "{}: what a rehearsal left cannot be removed yet: {}",
            instance.name,
            chain(&err)
        );
    }
}

/// Logs what came of a rehearsal.
pub(super) fn log(done: &Rehearsal) {
    let (instance, to) = (&done.instance, &done.to);
    match &done.result {
        Tried::Passed(measures) => tracing::info!(
            "{instance}: {to} was rehearsed, the site will be closed for about {} s",
            measures.downtime_ms / 1_000
        ),
        Tried::Failed { because } => {
            tracing::error!("{instance}: {to} failed its rehearsal: {because}");
        }
        Tried::NotDone { because } => {
            tracing::warn!("{instance}: {to} could not be rehearsed: {because}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rehearsal::REHEARSAL_FORMAT;

    fn lasted(elapsed_ms: u64, passed: bool) -> Rehearsal {
        let at: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        Rehearsal {
            format: REHEARSAL_FORMAT,
            id: "rehearsal-1".to_owned(),
            instance: "social.example".to_owned(),
            from: "4.5.2".parse().unwrap(),
            to: "4.5.4".parse().unwrap(),
            images: Vec::new(),
            began_at: at,
            ended_at: at,
            elapsed_ms,
            result: if passed {
                Tried::Passed(crate::domain::rehearsal::Measures {
                    dump_ms: 1,
                    restore_ms: 1,
                    clone_ms: None,
                    redis_ms: 1,
                    redis_proof_ms: 1,
                    migrate_ms: 1,
                    boot_ms: 1,
                    applied: 0,
                    locked: Vec::new(),
                    downtime_ms: 1,
                    snapshot: String::new(),
                    snapshot_bytes: 0,
                })
            } else {
                Tried::NotDone {
                    because: "no room".to_owned(),
                }
            },
        }
    }

    #[test]
    fn a_rehearsal_is_given_half_as_long_again_as_the_longest_that_was_measured() {
        assert_eq!(lasts(&[]), SignedDuration::from_mins(45));
        assert_eq!(
            lasts(&[lasted(1_000, false)]),
            SignedDuration::from_mins(45)
        );
        let measured = [
            lasted(60_000, true),
            lasted(1, false),
            lasted(120_000, true),
        ];
        assert_eq!(lasts(&measured), SignedDuration::from_mins(3));
    }
}
