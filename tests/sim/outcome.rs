//! All old, all new, or held: how a run's world has to be at its end.

use std::path::Path;

use mastopatch::domain::event::{Entry, Event, Order, Outcome, Step};
use mastopatch::domain::plan::{Method, Plan, cluster_folder, original_database};
use mastopatch::ports::files::MANIFEST;

use super::engine::{Program, SimContainer};
use super::files::{SNAPSHOTS, hash_of};
use super::stranger::Deed;
use super::web::name_of;
use super::world::{COMPOSE_FILE, LIVE, Version, World};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    NotBegun,
    Aborted,
    RolledBack,
    Committed,
    Held,
    Released,
}

/// Judges the world after a run of `plan` that started from `original`. An error says what is wrong.
pub(crate) fn judge(world: &mut World, original: &World, plan: &Plan) -> Result<Verdict, String> {
    if let Some(wrong) = &world.violation {
        return Err(wrong.clone());
    }
    let verdict = match world.state.outcome() {
        // The journal was gone when there was nothing left to do; then what the process said counts.
        None if world.begun.is_none() => match world.ended_unwritten {
            None | Some(Outcome::Aborted) => Verdict::NotBegun,
            Some(Outcome::RolledBack) => Verdict::RolledBack,
            Some(Outcome::Committed) => Verdict::Committed,
            // With the disk full and the journal unreadable, that could be written nowhere.
            Some(Outcome::Held) if world.full_until > 0 => Verdict::NotBegun,
            Some(Outcome::Held) => return Err("what was held is forgotten".to_owned()),
            Some(Outcome::Released) => Verdict::Released,
        },
        None => return Err("the run has no end".to_owned()),
        Some((Outcome::Aborted, _)) => Verdict::Aborted,
        Some((Outcome::RolledBack, _)) => Verdict::RolledBack,
        Some((Outcome::Committed, _)) => Verdict::Committed,
        Some((Outcome::Held, _)) => Verdict::Held,
        Some((Outcome::Released, _)) => Verdict::Released,
    };
    // What was stopped by the last fault boots; what would still happen behind everybody's back happens.
    for _ in 0..20 {
        world.pass(3_000);
        world.public_writes();
    }
    super::invariants::always(world);
    if let Some(wrong) = &world.violation {
        return Err(format!("after the end: {wrong}"));
    }
    no_post_is_lost(world)?;
    match verdict {
        Verdict::Held
            if world.n_faults < 2 && world.interfered.is_empty() && !world.order_refused =>
        {
            Err("held after a single fault".to_owned())
        }
        Verdict::Released if !was_released(world) => Err("nobody released it".to_owned()),
        Verdict::Held | Verdict::Released => Ok(verdict),
        Verdict::NotBegun | Verdict::Aborted | Verdict::RolledBack => {
            all_old(world, original)?;
            nothing_is_left(world, plan)?;
            Ok(verdict)
        }
        Verdict::Committed => {
            all_new(world, original, plan)?;
            nothing_is_left(world, plan)?;
            Ok(verdict)
        }
    }
}

/// Whether a person said so.
fn was_released(world: &World) -> bool {
    let ordered = world.log.iter().rev().find_map(|entry| match entry.event {
        Event::Ordered { order, .. } => Some(order),
        _ => None,
    });
    ordered == Some(Order::Release)
}

fn no_post_is_lost(world: &World) -> Result<(), String> {
    // While it is held, the live database may stand aside; then every post has to be in one of them.
    let held = matches!(
        world.state.outcome(),
        Some((Outcome::Held | Outcome::Released, _))
    );
    let has = |post: &u32| {
        world
            .on_disk()
            .filter(|(name, _)| held || *name == LIVE)
            .any(|(_, db)| db.posts.binary_search(post).is_ok())
    };
    let live_has_all = world
        .databases
        .get(LIVE)
        .is_some_and(|db| db.posts == world.acknowledged);
    if live_has_all {
        return Ok(());
    }
    let is_given_up = |post: &u32| world.state.is_committed() && world.given_up.contains(post);
    match world
        .acknowledged
        .iter()
        .find(|post| !has(post) && !is_given_up(post))
    {
        Some(post) => Err(format!("post {post}, which was acknowledged, is lost")),
        None => Ok(()),
    }
}

/// Compose versions that somebody wrote into the file by hand, and brought up.
fn composed(world: &World) -> bool {
    meddled(world, &[Version::A, Version::B].map(Deed::ComposesUp))
}

/// Whether the run closed the site, or was about to: what somebody makes before is no concern of it.
fn was_closed(world: &World) -> bool {
    let closes = |entry: &Entry| matches!(entry.event, Event::Intent { step: Step::Fence });
    world.log.iter().any(closes)
        && !world.log.iter().any(|entry| {
            matches!(
                entry.event,
                Event::Failed {
                    step: Step::Fence,
                    not_begun: true,
                    ..
                }
            )
        })
}

fn all_old(world: &World, original: &World) -> Result<(), String> {
    if composed(world) && !was_closed(world) {
        return Ok(());
    }
    for old in &original.containers {
        // One that was removed, by somebody or in the end, was made anew, the same in everything but its id.
        let may_be_anew = meddled(world, &[Deed::RemovesOld, Deed::PrunesContainers])
            || composed(world)
            || went_on(world);
        let may_be_renamed = meddled(world, &[Deed::RenamesOld, Deed::RenamesNew]);
        let is_it = |c: &&SimContainer| {
            let alike = c.program == old.program && c.version == old.version && c.serves();
            c.id == old.id || (may_be_anew && (c.name == old.name || (may_be_renamed && alike)))
        };
        let Some(now) = world.containers.iter().find(is_it) else {
            if was_stopped(world, old) && meddled(world, &[Deed::PrunesContainers]) {
                continue;
            }
            return Err(format!("all old: `{}` is gone", old.name));
        };
        same(world, old, now)?;
        if !now.running && !was_stopped(world, old) {
            return Err(format!("all old: `{}` does not run", old.name));
        }
    }
    // What somebody brings up once the old version was seen to serve is theirs.
    if world.containers.len() > original.containers.len() && !composed(world) {
        return Err("all old: there are more containers than before".to_owned());
    }
    if !world.edited && world.durable_compose_text() != Some(original.compose_text()) {
        return Err("all old: the Compose file is not as before, for good".to_owned());
    }
    let live = &world.databases[LIVE];
    // From behind the commit, the old code runs on the new schema, or the data came back.
    let may_have_served = world.log.iter().any(|entry| match &entry.event {
        Event::Rebuilt(rebuilt) => rebuilt.may_have_served,
        _ => false,
    });
    let served = world.state.is_committed() || may_have_served;
    let spared = served && !world.state.data_may_have_changed();
    if !spared && live.schema != original.databases[LIVE].schema {
        return Err("all old: the schema is not as before".to_owned());
    }
    serves(world, world.setting.from)
}

/// Whether what is old may have been removed, also where only memory said so.
fn went_on(world: &World) -> bool {
    world.seen.finalises || (world.state.is_committed() && world.ever_refused)
}

fn meddled(world: &World, with: &[Deed]) -> bool {
    with.iter().any(|deed| world.interfered.contains(deed))
}

/// Whether somebody stopped a server, which the run may never have needed again.
fn was_stopped(world: &World, old: &SimContainer) -> bool {
    old.program == Program::Postgres && meddled(world, &[Deed::StopsDatabase])
}

fn same(world: &World, old: &SimContainer, now: &SimContainer) -> Result<(), String> {
    let differs = |what: &str| Err(format!("`{}`: {what} is not as it was", old.name));
    if old.name != now.name && !meddled(world, &[Deed::RenamesOld, Deed::RenamesNew]) {
        return differs("its name");
    }
    if old.policy != now.policy {
        return differs("its restart policy");
    }
    if now.quiet {
        return Err(format!(
            "`{}` was told to take no new job, and still takes none",
            old.name
        ));
    }
    if old.networks != now.networks {
        return differs("its networks");
    }
    if old.ports != now.ports || old.env != now.env || old.command != now.command {
        return differs("its definition");
    }
    Ok(())
}

fn all_new(world: &World, original: &World, plan: &Plan) -> Result<(), String> {
    for old in &original.containers {
        let Some(now) = world.find(&old.name) else {
            if meddled(world, &[Deed::RemovesNew, Deed::RenamesNew]) {
                continue;
            }
            return Err(format!("all new: `{}` is gone", old.name));
        };
        same(world, old, now)?;
        if !now.running && !was_stopped(world, old) {
            return Err(format!("all new: `{}` does not run", old.name));
        }
        let wanted = if old.serves() {
            Some(world.setting.to)
        } else {
            old.version
        };
        if now.version != wanted {
            return Err(format!("all new: `{}` has the wrong version", old.name));
        }
        if old.serves() && !world.edited {
            let service = plan
                .services
                .iter()
                .find(|s| s.container == *old.name)
                .unwrap();
            let hash = hash_of(&service.service, &world.compose_text());
            // With the journal lost, the removed container was the last that knew it.
            let forgotten =
                world.harmed && meddled(world, &[Deed::RemovesNew, Deed::PrunesContainers]);
            if !forgotten && now.labels.get("com.docker.compose.config-hash") != Some(&hash) {
                return Err(format!("all new: Compose would replace `{}`", old.name));
            }
        }
    }
    let fewer = meddled(world, &[Deed::RemovesNew]);
    if world.containers.len() != original.containers.len() && !fewer {
        return Err("all new: there are other containers than planned".to_owned());
    }
    let text = world.durable_compose_text();
    if !world.edited && text.is_none_or(|text| !text.contains(name_of(world.setting.to))) {
        return Err("all new: the Compose file does not name the new version, for good".to_owned());
    }
    serves(world, world.setting.to)
}

fn serves(world: &World, version: Version) -> Result<(), String> {
    // What somebody took away or stopped when the run was over, or where it did not look again, it cannot bring back.
    let with = [Deed::RemovesNew, Deed::StopsDatabase];
    if meddled(world, &with) {
        return Ok(());
    }
    let well = world.containers.iter().any(|c| {
        c.version == Some(version) && world.is_public(c) && !c.ports.is_empty() && world.is_well(c)
    });
    if well {
        Ok(())
    } else {
        Err(format!("{version:?} does not serve the public"))
    }
}

/// No container, database, tag or folder of the run but what is to stay.
fn nothing_is_left(world: &World, plan: &Plan) -> Result<(), String> {
    let serving = matches!(world.state.outcome(), Some((Outcome::Committed, _)));
    let helper = world.containers.iter().find(|c| {
        c.run_label() == Some(&plan.run)
            && !(c.serves() && (serving || c.version == Some(world.setting.from)))
    });
    if let Some(helper) = helper {
        return Err(format!("left over: container `{}`", helper.name));
    }
    if let Some(network) = world.network_labels.keys().next() {
        return Err(format!("left over: network `{network}`"));
    }
    // The original of a clone is this run's snapshot for as long as the copy serves.
    let original = plan.original_database();
    let source = original_database(LIVE, world.setting.to_keep);
    let is_snapshot = |name: &&String| {
        let is_own = plan.method == Method::Clone
            && **name == original
            && (world.databases[LIVE].schema != world.setting.from_schema
                || (plan.brings_data().is_some() && world.state.is_committed()));
        is_own || (world.setting.source == Some(Method::Clone) && **name == source)
    };
    let mut others = world.databases.keys().filter(|name| *name != LIVE);
    if let Some(name) = others.find(|name| !is_snapshot(name)) {
        return Err(format!("left over: database `{name}`"));
    }
    let is_kept = |folder: &&String| {
        let is_own = plan.method == Method::Physical && **folder == plan.cluster_folder();
        let of_source = cluster_folder(world.setting.to_keep);
        let is_forward = world.state.is_committed() && !world.state.is_going_back();
        (is_own && (is_forward || world.databases[LIVE].schema != world.setting.from_schema))
            || (world.setting.source == Some(Method::Physical) && **folder == of_source)
    };
    if let Some(folder) = world.clusters.keys().find(|folder| !is_kept(folder)) {
        return Err(format!("left over: folder `{folder}` in the data folder"));
    }
    let mut tags = world.images.iter().flat_map(|image| &image.tags);
    if let Some(tag) = tags.find(|tag| tag.starts_with("mastopatch-keep/")) {
        return Err(format!("left over: tag `{tag}`"));
    }
    let snapshots = world.disk.possible_names(SNAPSHOTS.as_ref());
    if let Some(name) = snapshots.iter().find(|name| name.ends_with(".partial")) {
        return Err(format!("left over: unfinished snapshot `{name}`"));
    }
    let (too_many, to_keep) = (world.setting.too_many, world.setting.to_keep);
    for run in [too_many, to_keep] {
        let dir = Path::new(SNAPSHOTS).join(run);
        let is_clone = run == to_keep
            && matches!(world.setting.source, Some(Method::Clone | Method::Physical));
        let is_whole = [MANIFEST, if is_clone { MANIFEST } else { "database/1.dat" }]
            .iter()
            .all(|file| world.disk.durable(&dir.join(file)).is_some());
        // The older one may stay: it is kept where its manifest cannot be read.
        let may_be_gone = run == too_many && !snapshots.iter().any(|name| name == run);
        if !is_whole && !may_be_gone {
            return Err(format!("the earlier snapshot `{run}` is damaged or gone"));
        }
    }
    let folder = Path::new(COMPOSE_FILE).parent().unwrap();
    let mut names = world.disk.possible_names(folder).into_iter();
    if let Some(name) = names.find(|name| name.ends_with(".mastopatch")) {
        return Err(format!("left over: `{name}` beside the Compose file"));
    }
    Ok(())
}
