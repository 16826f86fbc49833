//! `snapshot list`, `verify`, `create` and `prune`.

use super::{Call, ask};
use crate::adapters::files::StateDir;
use crate::cli::answers::{
    CreateAnswer, ListAnswer, PruneAnswer, SnapshotAnswer, StaysAnswer, VerifiedAnswer,
    VerifyAnswer,
};
use crate::cli::failure::Failure;
use crate::cli::output::problem;
use crate::cli::progress::Show;
use crate::cli::render;
use crate::config::Instance;
use crate::daemon::act;
use crate::daemon::knowledge::instance_ref;
use crate::daemon::world::{World, WorldError, open_store};
use crate::engine::snapshots::{self, Defect, Listed, VerifyError, Wanted};
use crate::engine::{Ports as _, Progress, chain};
use crate::exit::Exit;
use crate::ports::clock::Clock as _;
use crate::ports::files::{Found, Manifest, RunFiles as _};
use crate::ports::store::Journal as _;

/// An abbreviation of a run that is shorter would soon mean several.
const LEAST_ABBREVIATION: usize = 4;

pub(super) fn list(call: &Call<'_>) -> Result<Exit, Failure> {
    let store = open_store(call.settings)?;
    let files = StateDir::open(&call.settings.state_dir).map_err(WorldError::from)?;
    let rules = act::limits(&call.settings.run).retention();
    let listed = snapshots::list(&store, &files, rules, call.clock.now());
    let (mut listed, troubles) = listed.map_err(WorldError::from)?;
    if let Some(wanted) = call.instance {
        listed.retain(|one| {
            one.found
                .manifest
                .as_ref()
                .is_ok_and(|known| known.instance == wanted)
        });
    }
    let answer = ListAnswer {
        snapshots: listed.iter().map(SnapshotAnswer::new).collect(),
        problems: troubles.iter().map(|err| chain(err)).collect(),
    };
    if call.out.is_json() {
        call.out.json(&answer);
    } else {
        call.out.text(&render::snapshots(&answer.snapshots));
        for problem in &answer.problems {
            let note = format!(
                "it cannot be said what some are kept for, so nothing removes them: {problem}"
            );
            call.out.note(&note);
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn verify(call: &Call<'_>, typed: Option<&str>) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let _lock = act::lock(call.settings, instance)?;
    let found = world.files().found_snapshots().map_err(WorldError::from)?;
    let chosen = match typed {
        Some(typed) => vec![the_one(found, typed)?],
        None => found
            .into_iter()
            .filter(|one| counts(one, instance))
            .collect(),
    };
    let stores = snapshots::stores(&world, &instance_ref(instance)).await?;
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    let limit = call.settings.run.snapshot_timeout;
    let (mut results, mut trouble) = (Vec::new(), None);
    for one in &chosen {
        let name = &instance.name;
        progress(Progress::Note(format!("{}:", one.run)));
        let seen = snapshots::verify(&world, one, name, &stores, limit, &progress).await;
        results.push((
            &one.run,
            match seen {
                Ok(whole) => Ok(whole),
                Err(VerifyError::Defect(defect)) => Err(defect),
                Err(VerifyError::Trouble(err)) => {
                    trouble = Some(Failure::from(err));
                    break;
                }
            },
        ));
    }
    drop(show);
    tell_verified(call, instance, &results, trouble.as_ref());
    let is_damaged = results.iter().any(|(_, result)| result.is_err());
    Ok(match trouble {
        _ if is_damaged => Exit::Damaged,
        Some(trouble) => trouble.exit,
        None => Exit::Done,
    })
}

type Results<'a> = [(&'a String, Result<snapshots::Verified, Defect>)];

fn tell_verified(
    call: &Call<'_>,
    instance: &Instance,
    results: &Results<'_>,
    trouble: Option<&Failure>,
) {
    if call.out.is_json() {
        call.out.json(&VerifyAnswer {
            instance: instance.name.clone(),
            snapshots: results
                .iter()
                .map(|(run, result)| VerifiedAnswer::new(run, result))
                .collect(),
            error: trouble.map(problem),
        });
    } else {
        for (run, result) in results {
            call.out.text(&render::verified(run, result));
        }
        if results.is_empty() && trouble.is_none() {
            call.out
                .text(&format!("{} has no snapshot.", instance.name));
        }
    }
    if let Some(trouble) = trouble {
        call.out.error_note(trouble);
    }
}

/// Whether a snapshot is to be looked through where none is named: those that are still being written count for nothing, and
/// those whose manifest cannot be read may be anybody's.
fn counts(found: &Found, instance: &Instance) -> bool {
    match &found.manifest {
        Ok(manifest) => manifest.instance == instance.name,
        Err(_) => found.path.ends_with(&found.run),
    }
}

/// The snapshot whose run ends as a person typed it.
pub(super) fn the_one(found: Vec<Found>, typed: &str) -> Result<Found, Failure> {
    let is_it = |one: &Found| one.run.ends_with(typed) && typed.len() >= LEAST_ABBREVIATION;
    let mut all = found.into_iter().filter(is_it);
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Failure::new(
            Exit::Refused,
            format!(
                "there is no snapshot of a run `{typed}`; `mastopatch snapshot list` lists them"
            ),
        )),
        (Some(_), Some(_)) => Err(Failure::new(
            Exit::Refused,
            format!("`{typed}` is the end of several runs' ids; write more of it"),
        )),
    }
}

pub(super) async fn create(call: &Call<'_>) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let _lock = act::lock(call.settings, instance)?;
    if world.store().unfinished(&instance.name)?.is_some() {
        return Err(Failure::new(
            Exit::Refused,
            "a run was interrupted and is not at its end yet: the daemon, or `mastopatch apply`, carries it there first",
        ));
    }
    let show = Show::new(call.out);
    let progress = |progress: Progress| show.on(progress);
    let wanted = Wanted {
        id: &act::run_id(call.clock.now()),
        limit: call.settings.run.snapshot_timeout,
    };
    let made = snapshots::create(&world, &instance_ref(instance), &wanted, &progress).await;
    drop(show);
    let (path, manifest) = made?;
    let taken = Listed {
        found: Found {
            run: manifest.run.clone(),
            path,
            manifest: Ok(manifest),
        },
        kept_for: None,
    };
    let rules = act::limits(&call.settings.run).retention();
    let listed = snapshots::list(world.store(), world.files(), rules, call.clock.now());
    let listed = listed.map(|(all, _)| all).unwrap_or_default();
    let judged = listed
        .into_iter()
        .find(|one| one.found.run == taken.found.run);
    let snapshot = SnapshotAnswer::new(&judged.unwrap_or(taken));
    if call.out.is_json() {
        call.out.json(&CreateAnswer { snapshot });
    } else {
        call.out.text(&render::taken(&snapshot));
    }
    Ok(Exit::Done)
}

pub(super) async fn prune(call: &Call<'_>, dry_run: bool, yes: bool) -> Result<Exit, Failure> {
    ask::somebody_is_there(yes || dry_run)?;
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let _lock = act::lock(call.settings, instance)?;
    let rules = act::limits(&call.settings.run).retention();
    let listed = snapshots::list(world.store(), world.files(), rules, call.clock.now());
    let (listed, troubles) = listed.map_err(WorldError::from)?;
    if let Some(trouble) = troubles.first() {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "it cannot be said what snapshots are kept for, so none is removed: {}",
                chain(trouble)
            ),
        ));
    }
    let is_doomed = |one: &&Listed| {
        one.goes()
            && one
                .found
                .manifest
                .as_ref()
                .is_ok_and(|known| known.instance == instance.name)
    };
    let doomed: Vec<&Listed> = listed.iter().filter(is_doomed).collect();
    let goes: Vec<SnapshotAnswer> = doomed.iter().map(|one| SnapshotAnswer::new(one)).collect();
    let text = render::doomed(&instance.name, &goes);
    if call.out.is_json() {
        call.out.note(&text);
    } else {
        call.out.text(&text);
    }
    let mut answer = PruneAnswer {
        instance: instance.name.clone(),
        dry_run,
        goes,
        removed: Vec::new(),
        stays: Vec::new(),
    };
    if !dry_run && !doomed.is_empty() {
        if !yes && !ask::agreed("Remove them?")? {
            return Err(Failure::new(
                Exit::Refused,
                "not agreed to; nothing was changed",
            ));
        }
        let manifests: Vec<Manifest> = doomed
            .iter()
            .filter_map(|one| one.found.manifest.clone().ok())
            .collect();
        let stores = snapshots::stores(&world, &instance_ref(instance)).await;
        let removed = snapshots::remove(&world, &manifests, stores.as_ref()).await;
        let removed = removed.map_err(WorldError::from)?;
        answer.removed = removed
            .folders
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let stay = removed.stay.into_iter();
        answer.stays = stay
            .map(|(run, because)| StaysAnswer { run, because })
            .collect();
    }
    tell_pruned(call, &answer);
    let exit = if answer.stays.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    };
    Ok(exit)
}

fn tell_pruned(call: &Call<'_>, answer: &PruneAnswer) {
    if call.out.is_json() {
        call.out.json(answer);
        return;
    }
    for path in &answer.removed {
        call.out.text(&format!("removed {path}"));
    }
    for stays in &answer.stays {
        call.out
            .note(&format!("run {} stays: {}", stays.run, stays.because));
    }
}
