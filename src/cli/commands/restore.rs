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
use crate::domain::event::MigrationClass;
use crate::domain::plan::{Restore, short};
use crate::domain::run::RunState;
use crate::engine::held::rows_since;
use crate::engine::planner::{Survey, survey};
use crate::engine::snapshots::stores;
use crate::engine::{Ports as _, Progress, chain};
use crate::exit::Exit;
use crate::ports::database::Database as _;
use crate::ports::files::{Manifest, RunFiles as _};
use crate::ports::store::{Journal as _, StoredRun};

/// Runs that are looked through for the newest update: more than this many in a row that did not succeed are no update to
/// take back, but a trouble of its own.
const LOOK_BACK: u32 = 100;

/// Takes the newest committed run of the instance back.
pub(super) async fn rollback(
    call: &Call<'_>,
    typed: &str,
    accept_loss: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    ask::somebody_is_there(yes)?;
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let lock = act::lock(call.settings, instance)?;
    nothing_is_open(&world, instance)?;
    let run = world.store().run(&world.store().resolve(typed)?)?;
    let class = newest_committed(&world, instance, &run)?;
    let survey = survey(&world, &instance_ref(instance)).await?;
    if survey.installed != run.plan.to {
        return Err(refused(format!(
            "run {} brought {}, and {} runs now: somebody updated by other means since",
            short(&run.plan.run),
            run.plan.to,
            survey.installed
        )));
    }
    let brings_data = class > MigrationClass::M1;
    let manifest = brings_data
        .then(|| whole_snapshot(&world, &run.plan.run))
        .transpose()?;
    let back = Back {
        to: run.plan.from.clone(),
        restore: Restore {
            run: run.plan.run.clone(),
            data: brings_data,
            database: manifest.as_ref().and_then(|it| it.original.clone()),
        },
        by: person(),
        reason: format!(
            "The update {} -> {} is taken back by hand.",
            run.plan.from, run.plan.to
        ),
    };
    let consent = Consent { accept_loss, yes };
    carry_out(
        call,
        &world,
        instance,
        &lock,
        &survey,
        back,
        manifest.as_ref(),
        consent,
    )
    .await
}

/// Puts the data of a snapshot in, where the version that runs is the snapshot's.
pub(super) async fn data(
    call: &Call<'_>,
    typed: &str,
    accept_loss: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    ask::somebody_is_there(yes)?;
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let lock = act::lock(call.settings, instance)?;
    nothing_is_open(&world, instance)?;
    let found = world.files().found_snapshots().map_err(WorldError::from)?;
    let found = the_one(found, typed)?;
    let manifest = whole_snapshot(&world, &found.run)?;
    if manifest.instance != instance.name {
        return Err(refused(format!(
            "the snapshot of run {} is of instance {}",
            short(&found.run),
            manifest.instance
        )));
    }
    let survey = survey(&world, &instance_ref(instance)).await?;
    let stores = stores(&world, &instance_ref(instance)).await?;
    let live = world
        .database()
        .schema_versions(&stores.database, &stores.database_password);
    let fits = live.await.map_err(crate::engine::StepError::from)? == manifest.schema;
    if survey.installed.to_string() != manifest.version || !fits {
        return Err(refused(format!(
            "the snapshot of run {0} is of Mastodon {1}, whose schema is another one than that of {2}, which runs now; \
             `mastopatch rollback {0}` takes the version back, too, if that run was the newest update",
            short(&found.run),
            manifest.version,
            survey.installed
        )));
    }
    let back = Back {
        to: survey.installed.clone(),
        restore: Restore {
            run: found.run.clone(),
            data: true,
            database: manifest.original.clone(),
        },
        by: person(),
        reason: format!(
            "The data of the snapshot of run {} are restored by hand.",
            short(&found.run)
        ),
    };
    let consent = Consent { accept_loss, yes };
    carry_out(
        call,
        &world,
        instance,
        &lock,
        &survey,
        back,
        Some(&manifest),
        consent,
    )
    .await
}

/// What a person agreed to beforehand.
#[derive(Debug, Clone, Copy)]
struct Consent {
    accept_loss: bool,
    yes: bool,
}

/// Plans, shows, asks, and does it.
#[expect(
    clippy::too_many_arguments,
    reason = "both commands end alike, and each of these is a thing of its own"
)]
async fn carry_out(
    call: &Call<'_>,
    world: &World,
    instance: &Instance,
    lock: &Lock,
    survey: &Survey,
    back: Back,
    manifest: Option<&Manifest>,
    consent: Consent,
) -> Result<Exit, Failure> {
    let (plan, material) = act::plan_back(world, call.settings, instance, survey, back).await?;
    let loss = match manifest {
        Some(manifest) => Some(loss(call, world, instance, manifest).await?),
        None => None,
    };
    let text = render::restore(&plan, loss.as_ref());
    if call.out.is_json() {
        call.out.note(&text);
    } else {
        call.out.text(&text);
    }
    if loss.is_some() && !consent.accept_loss {
        return Err(refused(
            "what was written since the snapshot would be lost; say --accept-loss to agree. Nothing was changed".to_owned(),
        ));
    }
    if !consent.yes && !ask::agreed("Do it? The site is closed meanwhile.")? {
        return Err(refused("not agreed to; nothing was changed".to_owned()));
    }
    let stop = stop_on_signals(call)?;
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    let ended = act::execute(world, plan, &material, lock, &progress, &stop).await?;
    drop(show);
    call.wake_daemon();
    end(call, world, &ended).await
}

/// Counts what would be lost.
async fn loss(
    call: &Call<'_>,
    world: &World,
    instance: &Instance,
    manifest: &Manifest,
) -> Result<Loss, Failure> {
    let stores = stores(world, &instance_ref(instance)).await?;
    let (live, password) = (&stores.database, &stores.database_password);
    let limit = call.settings.run.snapshot_timeout;
    let rows = rows_since(world.database(), live, password, manifest, limit).await;
    Ok(Loss {
        since: manifest.taken_at,
        rows: rows.map_err(|err| chain(&err)),
    })
}

fn refused(sentence: String) -> Failure {
    Failure::new(Exit::Refused, sentence)
}

fn nothing_is_open(world: &World, instance: &Instance) -> Result<(), Failure> {
    if world.store().unfinished(&instance.name)?.is_some() {
        return Err(refused(format!(
            "the last run of {} was interrupted: the daemon, or `mastopatch apply`, carries it to its end first",
            instance.name
        )));
    }
    if act::held(world, instance)?.is_some() {
        return Err(refused(
            "the last run is held: first say `mastopatch resume`, `rollback` (without a run) or `release`".to_owned(),
        ));
    }
    Ok(())
}

/// The class of a run that is the newest committed one of the instance.
fn newest_committed(
    world: &World,
    instance: &Instance,
    run: &StoredRun,
) -> Result<MigrationClass, Failure> {
    let name = short(&run.plan.run);
    let is_forward = |state: &RunState| state.is_committed() && !state.is_going_back();
    let fold = |run: &StoredRun| RunState::fold(&run.journal).ok().filter(is_forward);
    let Some(state) = fold(run).filter(|_| run.plan.instance == instance.name) else {
        return Err(refused(format!(
            "run {name} is no update of {} that went well, so there is nothing to take back; `mastopatch history` lists the runs",
            instance.name
        )));
    };
    let runs = world.store().runs(&instance.name, LOOK_BACK)?;
    let newest = runs.iter().find(|run| fold(run).is_some());
    match newest.filter(|newest| newest.plan.run != run.plan.run) {
        None => Ok(state.class().unwrap_or(MigrationClass::M2)),
        Some(newer) => Err(refused(format!(
            "run {} was committed after run {name}, and only the newest can be taken back",
            short(&newer.plan.run)
        ))),
    }
}

/// The manifest of a run's snapshot, once all its files were found to be what was written.
fn whole_snapshot(world: &World, run: &str) -> Result<Manifest, Failure> {
    match world.files().open_snapshot(run).map_err(WorldError::from)? {
        Some((_, manifest)) => Ok(manifest),
        None => Err(refused(format!(
            "the snapshot of run {} is gone, so its data cannot come back",
            short(run)
        ))),
    }
}
