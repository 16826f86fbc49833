//! `rollback RUN` and `snapshot restore RUN`: what a person takes back from behind a commit, shown before it is done.

use super::apply::{end, stop_on_signals};
use super::snapshot::the_one;
use super::{Call, ask, person};
use crate::cli::failure::Failure;
use crate::cli::progress::Show;
use crate::cli::render::{self, Loss};
use crate::config::Instance;
use crate::daemon::act::{self, Back};
use crate::daemon::knowledge::instance_ref;
use crate::daemon::lock::Lock;
use crate::daemon::world::{World, WorldError};
use crate::domain::plan::short;
use crate::engine::held::rows_since;
use crate::engine::planner::{Survey, survey};
use crate::engine::restorable::{Looking, Return, nothing_is_open, of_run, of_snapshot};
use crate::engine::snapshots::stores;
use crate::engine::{Ports as _, Progress, chain};
use crate::exit::Exit;
use crate::ports::files::{Manifest, RunFiles as _};
use crate::ports::store::Journal as _;

/// What a person agreed to beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Consent {
    /// That what was written since the snapshot is lost.
    accept_loss: bool,
    /// That it is done without a question.
    yes: bool,
}

impl Consent {
    pub(super) fn new(accept_loss: bool, yes: bool) -> Self {
        Self { accept_loss, yes }
    }
}

/// Takes the newest committed run of the instance back.
pub(super) async fn rollback(
    call: &Call<'_>,
    typed: &str,
    consent: Consent,
) -> Result<Exit, Failure> {
    let desk = Desk::open(call, consent).await?;
    let run = desk.world.store().resolve(typed)?;
    let run = desk.world.store().run(&run)?;
    let instance = instance_ref(desk.instance);
    let survey = survey(&desk.world, &instance).await?;
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    let looking = desk.looking(&progress);
    let found = of_run(&desk.world, &instance, &survey, &run, looking).await;
    drop(show);
    let (from, to) = (&run.plan.from, &run.plan.to);
    let reason = format!("The update {from} -> {to} is taken back by hand.");
    desk.carry_out(&survey, found?, reason).await
}

/// Puts the data of a snapshot in, with the version that served when it was taken.
pub(super) async fn data(call: &Call<'_>, typed: &str, consent: Consent) -> Result<Exit, Failure> {
    let desk = Desk::open(call, consent).await?;
    let all = desk.world.files().found_snapshots();
    let run = the_one(all.map_err(WorldError::from)?, typed)?.run;
    let instance = instance_ref(desk.instance);
    let survey = survey(&desk.world, &instance).await?;
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    let found = of_snapshot(&desk.world, &instance, &run, desk.looking(&progress)).await;
    drop(show);
    let name = short(&run);
    let reason = format!("The data of the snapshot of run {name} are restored by hand.");
    desk.carry_out(&survey, found?, reason).await
}

/// Where both commands begin and end.
struct Desk<'a> {
    call: &'a Call<'a>,
    instance: &'a Instance,
    world: World,
    lock: Lock,
    consent: Consent,
}

impl<'a> Desk<'a> {
    async fn open(call: &'a Call<'a>, consent: Consent) -> Result<Self, Failure> {
        ask::somebody_is_there(consent.yes)?;
        let instance = call.chosen()?;
        let world = World::open(call.settings, call.clock).await?;
        let lock = act::lock(call.settings, instance)?;
        nothing_is_open(&world, &instance.name)?;
        Ok(Self {
            call,
            instance,
            world,
            lock,
            consent,
        })
    }

    fn looking<'b>(&self, progress: &'b (dyn Fn(Progress) + Send + Sync)) -> Looking<'b> {
        Looking {
            limit: self.call.settings.run.snapshot_timeout,
            progress,
        }
    }

    /// Plans, shows, asks, and does it.
    async fn carry_out(
        &self,
        survey: &Survey,
        found: Return,
        reason: String,
    ) -> Result<Exit, Failure> {
        let Self { call, world, .. } = self;
        let back = Back {
            to: found.to,
            restore: found.restore,
            by: person(),
            reason,
        };
        let planned = act::plan_back(world, call.settings, self.instance, survey, back).await;
        let (plan, material) = planned?;
        let loss = match &found.manifest {
            Some(manifest) => Some(self.loss(manifest).await?),
            None => None,
        };
        let text = render::restore(&plan, loss.as_ref());
        if call.out.is_json() {
            call.out.note(&text);
        } else {
            call.out.text(&text);
        }
        if loss.is_some() && !self.consent.accept_loss {
            return Err(Failure::new(
                Exit::Refused,
                "what was written since the snapshot would be lost; say --accept-loss to agree. Nothing was changed",
            ));
        }
        if !self.consent.yes && !ask::agreed("Do it? The site is closed meanwhile.")? {
            let sentence = "not agreed to; nothing was changed";
            return Err(Failure::new(Exit::Refused, sentence));
        }
        let stop = stop_on_signals(call)?;
        let show = Show::new(call.out);
        let progress = |progress: Progress| show.on(progress);
        let ended = act::execute(world, plan, &material, &self.lock, &progress, &stop).await?;
        drop(show);
        call.wake_daemon();
        end(call, world, &ended).await
    }

    /// Counts what would be lost.
    async fn loss(&self, manifest: &Manifest) -> Result<Loss, Failure> {
        let stores = stores(&self.world, &instance_ref(self.instance)).await?;
        let (live, password) = (&stores.database, &stores.database_password);
        let limit = self.call.settings.run.snapshot_timeout;
        let rows = rows_since(self.world.database(), live, password, manifest, limit).await;
        Ok(Loss {
            since: manifest.taken_at,
            rows: rows.map_err(|err| chain(&err)),
        })
    }
}
