//! `resume`, `rollback` and `release`: what a person decides about a held run, shown before it is done.

use super::apply::{end, stop_on_signals};
use super::{Call, ask, person};
use crate::cli::failure::Failure;
use crate::cli::progress::Show;
use crate::cli::render;
use crate::daemon::act;
use crate::daemon::world::World;
use crate::domain::event::{Event, Order};
use crate::domain::outlook::outlook;
use crate::domain::report::words::clean;
use crate::domain::run::RunState;
use crate::engine::held::remains;
use crate::engine::{Ports, Progress};
use crate::exit::Exit;
use crate::ports::store::Journal;

/// Shows what an order would do and lose, asks, and carries it out.
pub(super) async fn order(
    call: &Call<'_>,
    order: Order,
    accept_loss: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    ask::somebody_is_there(yes)?;
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let lock = act::lock(call.settings, instance)?;
    let Some(run) = act::held(&world, instance)? else {
        let open = world.journal().unfinished(&instance.name);
        let sentence = if open.is_ok_and(|run| run.is_some()) {
            format!(
                "the last run of {} was interrupted and is not held: the daemon, or `mastopatch apply`, carries it to its \
                 end by itself",
                instance.name
            )
        } else {
            format!(
                "the last run of {} is not held, so there is nothing to {}; `mastopatch history` lists the runs",
                instance.name,
                order.name()
            )
        };
        return Err(Failure::new(Exit::Refused, sentence));
    };
    let state = RunState::fold(&run.journal).map_err(|err| Failure::bug(err.into()))?;
    let Some(seen) = outlook(&state, order) else {
        return Err(Failure::new(Exit::Refused, "the run takes no order"));
    };
    let left = remains(&world, &run.plan).await;
    let because = state.outcome().map_or("", |(_, because)| because);
    let text = render::order(&run.plan, &clean(because), order, &seen, &left);
    if call.out.is_json() {
        call.out.note(&text);
    } else {
        call.out.text(&text);
    }
    if seen.needs_consent && !accept_loss {
        return Err(Failure::new(
            Exit::Refused,
            "what was written since the snapshot would be lost; say --accept-loss to agree. Nothing was changed",
        ));
    }
    if !yes && !ask::agreed(&format!("Do it ({})?", order.name()))? {
        return Err(Failure::new(
            Exit::Refused,
            "not agreed to; nothing was changed",
        ));
    }
    let stop = stop_on_signals(call)?;
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    let event = Event::Ordered {
        order,
        by: person(),
        accept_loss,
    };
    let ended = act::order(&world, run, event, &lock, &progress, &stop).await?;
    drop(show);
    call.wake_daemon();
    end(call, &world, &ended).await
}
