//! `rehearse`: the update, tried on a copy of the running site.

use super::Call;
use super::apply::{end, send_mail, stop_on_signals};
use super::check::{ask_github, judge, nothing_to_do, order};
use crate::cli::answers::RehearseAnswer;
use crate::cli::failure::Failure;
use crate::cli::progress::Show;
use crate::cli::render;
use crate::daemon::act;
use crate::daemon::rehearsals;
use crate::daemon::world::World;
use crate::domain::rehearsal::Tried;
use crate::engine::Progress;
use crate::engine::planner::Depth;
use crate::exit::Exit;
use crate::ports::clock::Clock;

pub(super) async fn rehearse(
    call: &Call<'_>,
    to: Option<&str>,
    force: bool,
) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let lock = act::lock(call.settings, instance)?;
    let stop = stop_on_signals(call)?;
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    if let Some(ended) = act::recover(&world, instance, &lock, &progress, &stop).await? {
        drop(show);
        call.out
            .note("an earlier run was interrupted; it is finished now, and nothing was rehearsed");
        return end(call, &world, &ended).await;
    }
    if act::held(&world, instance)?.is_some() {
        let sentence =
            "the last run is held: first say `mastopatch resume`, `rollback` or `release`";
        return Err(Failure::new(Exit::Held, sentence));
    }
    let asked = ask_github(call, world.store()).await?;
    if let Some(failure) = asked.failure {
        return Err(failure.into());
    }
    let published = asked.known.published();
    let judged = judge(call, &world, instance, &published, Depth::Thorough).await?;
    let Some(order) = order(&judged, to, force, call.clock.now())? else {
        return Ok(nothing_to_do(call, &judged.decision));
    };
    let (github, survey) = (call.github()?, judged.survey?);
    let done = rehearsals::rehearse(
        &world,
        &github,
        call.settings,
        instance,
        &survey,
        order,
        None,
        &lock,
        &progress,
        &stop,
    )
    .await?;
    drop(show);
    send_mail(call, &world).await;
    call.wake_daemon();
    if call.out.is_json() {
        call.out.json(&RehearseAnswer { rehearsal: &done });
    } else {
        call.out.text(&render::rehearsal(&done));
    }
    Ok(match done.result {
        Tried::Passed(_) => Exit::Done,
        Tried::Failed { .. } | Tried::NotDone { .. } => Exit::Refused,
    })
}
