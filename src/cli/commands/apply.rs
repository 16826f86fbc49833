//! `apply`: one update now, in the foreground.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::check::{nothing_to_do, prepare};
use super::{Call, ask};
use crate::adapters::mail::{Smtp, deliver_due};
use crate::cli::failure::Failure;
use crate::cli::progress::Show;
use crate::cli::render;
use crate::daemon::world::{World, smtp_settings};
use crate::daemon::{act, lock, rehearsals};
use crate::domain::event::Outcome;
use crate::domain::policy::Policy;
use crate::domain::report::Report;
use crate::domain::report::words::clean;
use crate::engine::drive::Ended;
use crate::engine::{Progress, StopFlag, chain};
use crate::exit::Exit;
use crate::ports::clock::Clock as _;

pub(super) async fn apply(
    call: &Call<'_>,
    to: Option<&str>,
    force: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    ask::somebody_is_there(yes)?;
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let lock = act::lock(call.settings, instance)?;
    let stop = stop_on_signals(call)?;
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    if let Some(ended) = act::recover(&world, instance, &lock, &progress, &stop).await? {
        drop(show);
        call.out
            .note("an earlier run was interrupted; it is finished now, and no new one was started");
        return end(call, &world, &ended).await;
    }
    if act::held(&world, instance)?.is_some() {
        let sentence = "the last run is held: first say `mastopatch resume`, `rollback` or `release`, each of which \
                        shows what it will do before it does it";
        return Err(Failure::new(Exit::Held, sentence));
    }
    let (decision, planned) = prepare(call, &world, instance, to, force).await?;
    let Some((plan, material)) = planned else {
        return Ok(nothing_to_do(call, &decision));
    };
    if !call.out.is_json() {
        call.out.note(&render::plan(&plan));
    }
    if let Some(because) = rehearsals::refusal(call.settings, &plan) {
        let sentence = format!(
            "`rehearse = \"required\"`, and this plan was not rehearsed ({because}); `mastopatch rehearse --to {}` does that",
            plan.to
        );
        return Err(Failure::new(Exit::Refused, sentence));
    }
    tell_blackouts(call, &instance.policy);
    if !yes && !ask::agreed("Update now? The site is closed meanwhile.")? {
        return Err(Failure::new(
            Exit::Refused,
            "not agreed to; nothing was changed",
        ));
    }
    let ended = act::execute(&world, plan, &material, &lock, &progress, &stop).await?;
    drop(show);
    end(call, &world, &ended).await
}

/// What a person does is not kept by blackouts, but should not be done without knowing of them.
fn tell_blackouts(call: &Call<'_>, policy: &Policy) {
    let holding = policy
        .schedule()
        .blackouts_at(call.clock.now(), &BTreeSet::new());
    for (blackout, until) in holding {
        call.out.note(&format!(
            "blackout `{}` ({}) holds until {}: {}; it does not keep what is done by hand",
            blackout.id(),
            blackout.strength(),
            policy.show(until),
            clean(blackout.reason())
        ));
    }
}

/// A first Ctrl-C or SIGTERM asks the run to stop; it does so only while the site is open.
pub(super) fn stop_on_signals(call: &Call<'_>) -> Result<Arc<StopFlag>, Failure> {
    let stop = Arc::new(StopFlag::default());
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind).map_err(|err| Failure::bug(err.into()))?;
        let (stop, out) = (Arc::clone(&stop), *call.out);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                stop.ask();
                out.note(
                    "stopping: if the site is already closed, the run first goes on to its end, so that \
                     the site is not left half-way",
                );
            }
        });
    }
    Ok(stop)
}

/// Tells the end of a run, and sends its mail.
pub(super) async fn end(call: &Call<'_>, world: &World, ended: &Ended) -> Result<Exit, Failure> {
    if let Some(trouble) = &ended.trouble {
        call.out
            .note(&format!(
                "the journal could not be written: {trouble}\nthe run counts as open until its end is written: make room, then \
                 `mastopatch apply` once more, before you change anything by hand"
            ));
    }
    send_mail(call, world).await;
    let report = Report::new(&ended.run.plan, &ended.run.journal);
    if call.out.is_json() {
        call.out.json(&json!({ "run": report }));
    } else {
        call.out.text(&render::run(&report));
    }
    Ok(match ended.outcome {
        Outcome::Committed | Outcome::Released => Exit::Done,
        Outcome::RolledBack => Exit::RolledBack,
        Outcome::Aborted => Exit::Refused,
        Outcome::Held => Exit::Held,
    })
}

/// Tries once; what does not go out waits in the outbox. Never changes an outcome.
pub(super) async fn send_mail(call: &Call<'_>, world: &World) {
    let Some(mail) = &call.settings.mail else {
        return;
    };
    // Whoever delivers just now delivers this run's mail, too.
    let Ok(_lock) = lock::mail(&call.settings.state_dir) else {
        return;
    };
    let sent = match Smtp::new(&smtp_settings(mail)) {
        Ok(smtp) => deliver_due(world.store(), &smtp, &call.clock)
            .await
            .map_err(|err| chain(&err)),
        Err(err) => Err(chain(&err)),
    };
    match sent {
        Ok(delivery) if delivery.failed == 0 => {}
        Ok(delivery) => call.out.note(&format!(
            "the mail waits, it could not be sent yet: {}",
            delivery.last_error.unwrap_or_default()
        )),
        Err(err) => call
            .out
            .note(&format!("the mail waits, it could not be sent yet: {err}")),
    }
}
