//! I1 to I15, one function each, looked at after every call, every journal entry and every change of data.
//!
//! Whoever meddles with the host may break what only the program promises: where that counts, the function says so.

use std::path::Path;

use mastopatch::domain::event::{Blame, Entry, Event, Outcome, Step, UndoStep};
use mastopatch::domain::plan::Method;
use mastopatch::domain::run::{MAX_ROLLBACKS, MAX_TRANSITIONS};
use mastopatch::ports::files::{MANIFEST, Mark};

use super::data::{DUMP, REDIS};
use super::engine::{Program, SimContainer};
use super::files;
use super::world::{Call, Place, Port, Version, World};

/// What the journal has said so far, as far as the invariants need it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// The fence is up.
    pub(crate) fenced: bool,
    /// It was announced that it goes down again.
    pub(crate) reopened: bool,
    /// The snapshot is proved.
    pub(crate) proved: bool,
    /// `finalise` was announced.
    pub(crate) finalises: bool,
    /// Ends written.
    pub(crate) ends: u32,
    /// Faults when the last look at a version's health was announced.
    pub(crate) faults_at_look: u32,
    /// The failure by the target's fault that came first.
    pub(crate) target_failed: bool,
}

impl Seen {
    /// The journal knows only these entries from here on: what it does not know cannot be asked of the next process.
    pub(crate) fn forgets(&mut self, log: &[Entry]) {
        let ends = |entry: &&Entry| matches!(entry.event, Event::Finished { .. });
        // An order opens the run once more.
        let opens = |entry: &&Entry| matches!(entry.event, Event::Ordered { .. });
        let since = log.iter().rev().take_while(|entry| !opens(entry));
        self.ends = u32::try_from(since.filter(ends).count()).unwrap();
        self.target_failed &= log.iter().any(|entry| {
            matches!(
                entry.event,
                Event::Failed {
                    blame: Blame::Target,
                    ..
                }
            )
        });
    }
}

/// What holds at every instant.
pub(crate) fn always(world: &mut World) {
    if world.begun.is_none() {
        return;
    }
    i1_one_version_is_startable(world);
    i2_nothing_of_a_is_deleted(world);
    i9_only_what_was_planned_runs(world);
    i13_never_a_mix(world);
}

/// What holds when an entry was written.
pub(crate) fn event(world: &mut World) {
    let Some(event) = world.log.last().map(|entry| entry.event.clone()) else {
        return;
    };
    match &event {
        Event::Intent { step } => match step {
            Step::Open => world.seen.reopened = true,
            Step::Verify => world.seen.faults_at_look = world.n_faults,
            Step::Finalise => {
                world.seen.finalises = true;
                world.seen.faults_at_look = world.n_faults;
            }
            _ => {}
        },
        Event::UndoIntent { step, .. } => match step {
            UndoStep::StartOld => world.seen.reopened = true,
            UndoStep::VerifyOld => world.seen.faults_at_look = world.n_faults,
            _ => {}
        },
        Event::Done { step, .. } => match step {
            Step::Fence => world.seen.fenced = true,
            Step::Prove => world.seen.proved = true,
            _ => {}
        },
        Event::Failed { blame, .. } => {
            world.seen.target_failed |= *blame == Blame::Target && !world.state.is_committed();
        }
        Event::Finished { .. } => world.seen.ends += 1,
        // The run is open once more, and has one more end.
        Event::Ordered { .. } => {
            world.seen.ends = 0;
            world.mails.clear();
        }
        Event::Rebuilt(_)
        | Event::Planned { .. }
        | Event::Resumed { .. }
        | Event::Committed
        | Event::RollbackBegun { .. }
        | Event::UndoDone { .. }
        | Event::UndoFailed { .. } => {}
    }
    i8_closed_in_time(world, &event);
    i10_a_failed_target_is_quarantined(world, &event);
    i11_bounds(world, &event);
    i12_one_end_with_its_mails(world, &event);
    i14_durations_are_monotonic(world, &event);
    i15_success_is_observed(world, &event);
}

/// I7 cannot be seen here: the lock lies around the engine. What can be, that a second run cannot begin beside an open
/// one, is refused by the journal. I14's other half, closed windows, is decided before a run.
fn of(version: Version) -> impl Fn(&&SimContainer) -> bool {
    move |container| container.serves() && container.version == Some(version)
}

fn has_all(world: &World, version: Version) -> bool {
    [Program::Web, Program::Streaming, Program::Sidekiq]
        .into_iter()
        .all(|program| {
            let mut all = world.containers.iter().filter(of(version));
            all.any(|c| {
                c.program == program && world.images.iter().any(|image| image.id == c.image_id)
            })
        })
}

/// Whether the run's snapshot is there and would be after a power cut: whole, sealed and with its manifest.
pub(crate) fn has_copy(world: &mut World) -> bool {
    has_files(world)
        && match world.setting.method {
            Method::Logical => true,
            Method::Clone => has_original(world),
            Method::Physical => world.has_cluster(),
        }
}

/// Whether a whole database of the old version's schema is in the server: the untouched original, under any name.
fn has_original(world: &World) -> bool {
    let mut all = world.databases.values();
    all.any(|db| db.whole && db.schema == world.setting.from_schema)
}

fn has_files(world: &mut World) -> bool {
    let at = world.disk.n_changes();
    if let Some((then, found)) = world.has_copy
        && then == at
    {
        return found;
    }
    let durable = |path: &Path| world.disk.durable(path);
    let dir = files::sealed(world);
    let found = durable(&dir.join(MANIFEST)).is_some()
        && (world.setting.method != Method::Logical
            || world.copy_in(&dir, DUMP, &durable).is_some())
        && world.copy_in(&dir, REDIS, &durable).is_some();
    world.has_copy = Some((at, found));
    found
}

fn i1_one_version_is_startable(world: &mut World) {
    if !world.interfered.is_empty() {
        return;
    }
    let (from, to) = (world.setting.from, world.setting.to);
    let a = has_all(world, from) && (world.schema_fits(from) || has_copy(world));
    let b = || has_all(world, to) && world.schema_fits(to);
    if !a && !b() {
        world.wrong(|| "I1: no complete, startable version is on the host".to_owned());
    }
}

fn i2_nothing_of_a_is_deleted(world: &mut World) {
    if !world.interfered.is_empty() {
        return;
    }
    // What was done from memory is in no journal.
    let unwritten = world.ever_refused && (world.state.is_committed() || world.harmed);
    let may = world.seen.finalises || world.garbled || unwritten;
    if !may
        && world
            .containers
            .iter()
            .filter(of(world.setting.from))
            .count()
            < 3
    {
        world.wrong(|| "I2: a container of the old version was deleted before the end".to_owned());
    }
    if world.seen.proved && !has_copy(world) {
        world.wrong(|| "I2: the proved snapshot was deleted".to_owned());
    }
}

/// I3, at every change of schema or data that is not the public's.
pub(crate) fn i3_data_change_is_covered(world: &mut World, what: &str) {
    // A snapshot that is whole counts as proved where the journal cannot say.
    let is_proved = world.seen.proved || world.harmed;
    if !is_proved || !has_copy(world) {
        world.wrong(|| format!("I3: {what} changed data without a proved snapshot"));
    }
    let opened_by_others = world.was_opened_by_others();
    let mut serving = world.containers.iter().filter(|c| c.serves());
    if !opened_by_others && serving.any(|c| world.is_public(c)) {
        world.wrong(|| format!("I3: {what} changed data while the site was open"));
    }
}

/// I4, at every write of the public. The old version that a stranger starts does not count as the program's doing.
pub(crate) fn i4_no_write_behind_the_fence(world: &mut World) {
    let closed = world.seen.fenced && !world.seen.reopened && world.state.outcome().is_none();
    if closed && !world.ever_refused && !world.was_opened_by_others() {
        world.wrong(|| "I4: a write was acknowledged behind the fence".to_owned());
    }
}

/// I5, at every restore. A person who was shown what would be lost may want it all the same. And a commit that was refused when
/// it was written, though it is there, is none: its mark is gone before anything is taken back.
pub(crate) fn i5_no_restore_after_the_commit(world: &mut World, what: &str) {
    let was_refused = world.ever_refused && !files::has_mark(world, Mark::Committing);
    if world.state.is_committed() && !world.state.accepts_loss() && !was_refused {
        world.wrong(|| format!("I5: {what} after the commit"));
    }
}

/// I6, at every call that changes something: the last durable entry announces it, unless the journal takes nothing.
pub(crate) fn i6_the_intent_is_durable(world: &mut World, call: Call) {
    // What is noted beside the journal is no effect, as little as the journal itself.
    let notes = matches!(call.port, Port::Journal | Port::Clock) || files::is_a_note(call.name);
    let counts = !notes && world.begun.is_some() && !world.beside_runs;
    if counts && !world.refused && world.place() == Place::Between {
        world.wrong(|| format!("I6: `{}` without a durable intent", call.name));
    }
}

fn i8_closed_in_time(world: &mut World, event: &Event) {
    let Event::Done {
        step: Step::Fence, ..
    } = event
    else {
        return;
    };
    let close_by = world.begun.as_ref().and_then(|plan| plan.close_by);
    let intent = world.log.iter().rev().nth(1).map(|entry| entry.at);
    if let (Some(close_by), Some(intent)) = (close_by, intent)
        && intent > close_by
    {
        world.wrong(|| format!("I8: the site was closed at {intent}, after {close_by}"));
    }
}

fn i9_only_what_was_planned_runs(world: &mut World) {
    let Some(plan) = world.begun.clone() else {
        return;
    };
    let ours = |c: &&SimContainer| c.run_label() == Some(&plan.run) && c.serves();
    let strange = world
        .containers
        .iter()
        .filter(ours)
        .find(|c| {
            // One that was removed by somebody is made anew, as it was.
            let old = c
                .labels
                .get(mastopatch::ports::runtime::ROLE_LABEL)
                .is_some_and(|it| it == "old");
            let setting = &world.setting;
            c.version != Some(if old { setting.from } else { setting.to })
        })
        .map(|c| c.name.clone());
    if let Some(name) = strange {
        world.wrong(|| format!("I9: `{name}` of the run does not have the planned image"));
    }
}

fn i10_a_failed_target_is_quarantined(world: &mut World, event: &Event) {
    let Event::Finished { outcome, .. } = event else {
        return;
    };
    let Some(plan) = world.begun.clone() else {
        return;
    };
    // The first failure counts: what fails after it is its consequence.
    let wanted = plan.quarantine(&world.state).is_some();
    if wanted != world.quarantine.is_some() {
        world.wrong(|| "I10: the target's quarantine is not what the journal says".to_owned());
    }
    if plan.restore.is_some() {
        // What is taken back is quarantined, once it is.
        let is_taken_back = *outcome == Outcome::Committed && plan.to != plan.from;
        if wanted != is_taken_back {
            world.wrong(|| "I10: a version that was taken back may come again".to_owned());
        }
        return;
    }
    if *outcome == Outcome::Committed && world.quarantine.is_some() {
        world.wrong(|| "I10: a committed target is quarantined".to_owned());
    }
    // What a person takes back from behind the commit is not tried again by itself.
    let failed = if world.state.is_committed() {
        world.state.is_going_back()
    } else {
        world.seen.target_failed
    };
    if failed != wanted {
        world.wrong(|| "I10: a target that failed is not quarantined".to_owned());
    }
}

fn i11_bounds(world: &mut World, event: &Event) {
    if world.state.transitions() > MAX_TRANSITIONS {
        world.wrong(|| "I11: too many transitions".to_owned());
    }
    if let Event::UndoIntent { attempt, .. } = event
        && *attempt > MAX_ROLLBACKS
    {
        world.wrong(|| format!("I11: attempt {attempt} at a way back"));
    }
}

fn i12_one_end_with_its_mails(world: &mut World, event: &Event) {
    let Event::Finished { .. } = event else {
        return;
    };
    if world.seen.ends != 1 {
        world.wrong(|| "I12: a second end".to_owned());
    }
    // A reporter that falls silent just now has written its mail already.
    let wrong = if world.silent {
        world.mails.len() > 1
    } else {
        world.mails.len() != 1
    };
    if wrong {
        let found = world.mails.len();
        world.wrong(|| format!("I12: {found} mails with the end"));
    }
}

fn i13_never_a_mix(world: &mut World) {
    let public = |version| {
        let mut all = world.containers.iter().filter(of(version));
        all.any(|c| world.is_public(c))
    };
    if public(Version::A) && public(Version::B) && !world.was_opened_by_others() {
        world.wrong(|| "I13: both versions are public".to_owned());
    }
}

fn i14_durations_are_monotonic(world: &mut World, event: &Event) {
    let (Event::Done { elapsed_ms, .. }
    | Event::Failed { elapsed_ms, .. }
    | Event::UndoDone { elapsed_ms, .. }
    | Event::UndoFailed { elapsed_ms, .. }) = event
    else {
        return;
    };
    if *elapsed_ms > world.now_ms - world.boot_ms {
        world.wrong(|| "I14: a duration is longer than the host runs".to_owned());
    }
}

/// I15: what is said to serve does serve. What struck after the last look at it cannot have been seen.
fn i15_success_is_observed(world: &mut World, event: &Event) {
    if world.n_faults != world.seen.faults_at_look || world.ever_refused {
        return;
    }
    let well = |world: &World, version| {
        let mut all = world.containers.iter().filter(of(version));
        all.any(|c| c.program == Program::Web && world.is_well(c))
    };
    let version = match event {
        Event::Committed => world.setting.to,
        Event::Finished {
            outcome: Outcome::Committed,
            ..
        } => world.setting.to,
        Event::Finished {
            outcome: Outcome::RolledBack,
            ..
        } => world.setting.from,
        _ => return,
    };
    if !well(world, version) {
        world.wrong(|| format!("I15: {version:?} is said to serve and does not"));
    }
}
