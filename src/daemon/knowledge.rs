//! What is known of the outside, and what follows for an instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::world::{STATE_FILE, open_store};
use super::{feeds, rehearsals};
use crate::adapters::clock::SystemClock;
use crate::adapters::store::Store;
use crate::config::{ConfigErrors, Instance, Settings};
use crate::domain::advisory::Advisory;
use crate::domain::clock::ClockState;
use crate::domain::decide::{Approval, Attempt, Decision, Facts, Hold, Pin, Quarantined, decide};
use crate::domain::event::{Event, Outcome, Step, UndoStep};
use crate::domain::feed::{Alarm, AlarmKind, Offered};
use crate::domain::installed::Installed;
use crate::domain::path::Host;
use crate::domain::published::Published;
use crate::domain::release::Release;
use crate::domain::run::RunState;
use crate::domain::version::{ReleaseLine, ReleaseVersion};
use crate::domain::window::{Measured, Needed};
use crate::engine::planner::{InstanceRef, Look};
use crate::ports::clock::Clock as _;
use crate::ports::release_source::ReleaseSourceError;
use crate::ports::store::{Journal, StoreError};

/// Everything that is known of the outside.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Every release that was ever seen, at its worst; also those that are gone.
    pub releases: Vec<Release>,
    /// Every advisory that was ever seen, at its worst; also those that are withdrawn or gone.
    pub advisories: Vec<Advisory>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// What is wrong with the sources themselves, worst first.
    pub alarms: Vec<Alarm>,
    /// What Mastodon's own update check offers to the versions that run here.
    pub offered: Vec<Offered>,
    /// Versions that it ever called urgent: each of them closes a security hole.
    pub urgent: BTreeSet<ReleaseVersion>,
    /// When lines get no more repairs, as it says; the earliest day where it says several.
    pub end_of_support: BTreeMap<ReleaseLine, Date>,
}

impl Known {
    /// What keeps anybody from saying that all is well, as sentences for [`Facts::problems`].
    pub fn obstacles(&self) -> Vec<String> {
        let mut sentences = self.problems.clone();
        for alarm in self.alarms.iter().filter(|it| it.kind.hides_news()) {
            if !sentences.contains(&alarm.sentence) {
                sentences.push(alarm.sentence.clone());
            }
        }
        sentences
    }

    pub(super) fn ends(&mut self, line: ReleaseLine, day: Option<Date>) {
        if let Some(day) = day {
            let known = self.end_of_support.entry(line).or_insert(day);
            *known = day.min(*known);
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// GitHub.
    #[error("failed to ask GitHub for {what}")]
    Source {
        /// `releases`, `advisories`, ….
        what: &'static str,
        /// What it said.
        #[source]
        source: ReleaseSourceError,
    },
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Known {
    /// The same, ready to be decided upon by all instances.
    pub fn published(&self) -> Arc<Published> {
        let published = Published::new(self.releases.clone(), self.advisories.clone())
            .with_second_source(self.urgent.clone(), self.end_of_support.clone())
            .with_problems(self.obstacles())
            .with_clock_doubt(
                self.alarms
                    .iter()
                    .find(|alarm| alarm.kind == AlarmKind::ClockBehind)
                    .map(|alarm| alarm.sentence.clone()),
            );
        Arc::new(published)
    }
}

/// The facts about a version that runs nowhere.
pub fn what_if(version: ReleaseVersion, published: &Arc<Published>) -> Facts {
    let installed = Installed::taken_for_granted(version);
    Facts::about(
        "nobody".to_owned(),
        installed,
        Host::default(),
        Arc::clone(published),
    )
}

/// Keeps which plan was made for an instance last: an approval of another plan for the same version means nothing any more,
/// and whoever asks is told so, not only the daemon that found it out.
pub fn note_plan(
    store: &Store,
    instance: &str,
    version: &ReleaseVersion,
    plan: &str,
) -> Result<(), StoreError> {
    store.put_feed(&last_plan(instance), &(version, plan))
}

fn last_plan(instance: &str) -> String {
    format!("last plan of {instance}")
}

/// Everything `decide` needs about one instance.
pub fn facts(
    store: &Store,
    instance: &Instance,
    look: &Look,
    published: &Arc<Published>,
    clock: &SystemClock,
) -> Result<Facts, StoreError> {
    feeds::note_version(store, &instance.name, &look.installed.version)?;
    let mut problems = Vec::new();
    let mut quarantined = Vec::new();
    for row in store.quarantined(&instance.name)? {
        match row.version.parse() {
            Ok(version) => quarantined.push(Quarantined {
                version,
                reason: row.reason,
            }),
            Err(err) => problems.push(format!("A quarantined version is unreadable: {err}.")),
        }
    }
    Ok(Facts {
        instance: instance.name.clone(),
        installed: look.installed.clone(),
        host: look.host.clone(),
        published: Arc::clone(published),
        hold: hold(store, instance)?,
        pin: pin(store, instance, &mut problems)?,
        planned: store.feed(&last_plan(&instance.name))?,
        quarantined,
        approvals: approvals(store, instance)?,
        one_offs: store.one_offs(&instance.name)?,
        clock_doubt: clock_doubt(clock),
        attempts: attempts(store, &instance.name)?,
        problems,
    })
}

/// The same facts with what people ordered meanwhile.
pub fn with_fresh_orders(
    store: &Store,
    instance: &Instance,
    mut facts: Facts,
    clock: &SystemClock,
) -> Result<Facts, StoreError> {
    facts.clock_doubt = clock_doubt(clock);
    facts.approvals = approvals(store, instance)?;
    facts.one_offs = store.one_offs(&instance.name)?;
    facts.hold = hold(store, instance)?;
    facts.pin = pin(store, instance, &mut facts.problems)?;
    Ok(facts)
}

fn approvals(store: &Store, instance: &Instance) -> Result<Vec<Approval>, StoreError> {
    let rows = store.approvals(&instance.name)?.into_iter();
    let approvals = rows.filter_map(|row| {
        Some(Approval {
            version: row.version.parse().ok()?,
            plan: row.plan_hash,
            expires_at: row.expires_at,
            by: row.by,
            at: row.at,
        })
    });
    Ok(approvals.collect())
}

fn hold(store: &Store, instance: &Instance) -> Result<Option<Hold>, StoreError> {
    Ok(store.hold(&instance.name)?.map(|row| Hold {
        reason: row.reason,
        by: row.by,
        at: row.at,
        until: row.until,
    }))
}

fn pin(
    store: &Store,
    instance: &Instance,
    problems: &mut Vec<String>,
) -> Result<Option<Pin>, StoreError> {
    let Some(row) = store.pin(&instance.name)? else {
        return Ok(None);
    };
    let to = row.to.parse();
    if to.is_err() {
        problems.push(format!("A pin is unreadable: {}.", row.to));
    }
    Ok(to.ok().map(|to| Pin {
        to,
        reason: row.reason,
        by: row.by,
        at: row.at,
        until: row.until,
    }))
}

/// Runs since the last one that committed, newest first.
fn attempts(store: &Store, instance: &str) -> Result<Vec<Attempt>, StoreError> {
    /// More than enough for the pauses between tries to have reached their longest.
    const LOOKED_AT: u32 = 20;
    let mut attempts = Vec::new();
    for run in store.runs(instance, LOOKED_AT)? {
        let Some(last) = run.journal.last() else {
            continue;
        };
        let Event::Finished { outcome, .. } = last.event else {
            continue;
        };
        if outcome == Outcome::Committed {
            break;
        }
        // What a person brought back is no try of an update.
        if run.plan.restore.is_some() {
            continue;
        }
        let closed =
            RunState::fold(&run.journal).is_ok_and(|state| state.furthest() >= Some(Step::Fence));
        attempts.push(Attempt {
            version: run.plan.to,
            outcome,
            closed,
            at: last.at,
        });
    }
    Ok(attempts)
}

/// How long a run and its way back take on this host, as its last runs measured.
pub fn time_needed(store: &Store, instance: &Instance) -> Result<Needed, StoreError> {
    Ok(Needed::measured(&measured(store, instance)?))
}

/// Decides, with the time that is usually needed; where the update that this comes to was rehearsed, once more with the time
/// that its migrations took there.
pub fn decided(
    store: &Store,
    instance: &Instance,
    facts: &Facts,
    now: Timestamp,
) -> Result<(Decision, Needed), StoreError> {
    let mut measured = measured(store, instance)?;
    let needed = Needed::measured(&measured);
    let decision = decide(facts, &instance.policy, now, needed.total());
    let Some(target) = &decision.target else {
        return Ok((decision, needed));
    };
    let (from, to) = (&decision.installed, &target.version);
    let rehearsal = rehearsals::newest(store, &instance.name, from, to)?;
    let Some(migrations) = rehearsal.and_then(|it| it.migrations()) else {
        return Ok((decision, needed));
    };
    measured.migrations = vec![u64::try_from(migrations.as_millis()).unwrap_or(u64::MAX)];
    let needed = Needed::measured(&measured);
    let again = decide(facts, &instance.policy, now, needed.total());
    // What was rehearsed says nothing about another version.
    if again.target == decision.target {
        return Ok((again, needed));
    }
    let needed = time_needed(store, instance)?;
    Ok((decision, needed))
}

fn measured(store: &Store, instance: &Instance) -> Result<Measured, StoreError> {
    let name = &instance.name;
    let mut measured = Measured::default();
    for step in Step::ALL {
        let lengths = store.durations(name, step)?;
        match step {
            Step::Preflight | Step::Pull => measured.before_close.push(lengths),
            Step::Migrate => measured.migrations = lengths,
            Step::Fence
            | Step::Snapshot
            | Step::Prove
            | Step::Switch
            | Step::Verify
            | Step::Open
            | Step::Finalise => measured.closed.push(lengths),
        }
    }
    for step in UndoStep::ALL {
        let lengths = store.undo_durations(name, step)?;
        if step == UndoStep::RestoreData {
            measured.n_restores = lengths.len();
        }
        measured.way_back.push(lengths);
    }
    Ok(measured)
}

/// What is wrong with the windows of all instances today, by what their runs measured on this host; see
/// [`Settings::faults`]. Makes no state file.
pub fn faults(settings: &Settings, now: Timestamp) -> Result<(), ConfigErrors> {
    let there = settings
        .state_dir
        .join(STATE_FILE)
        .try_exists()
        .unwrap_or(false);
    let store = there.then(|| open_store(settings).ok()).flatten();
    settings.faults(now, |instance| {
        let measured = store
            .as_ref()
            .and_then(|store| time_needed(store, instance).ok());
        measured.unwrap_or(Needed::UNMEASURED)
    })
}

/// Why this host's clock is not to be trusted, if it is not.
pub fn clock_doubt(clock: &SystemClock) -> Option<String> {
    const HELP: &str = "set up a time service (`timedatectl set-ntp true`, or chrony), or write `require_sync = false` under [time]";
    match clock.synchronised() {
        ClockState::Synchronised => None,
        ClockState::Unsynchronised => Some(format!(
            "This host's clock is not synchronised, as its kernel says; {HELP}."
        )),
        ClockState::Unknown(why) => Some(format!(
            "Whether this host's clock is synchronised cannot be told ({why}); {HELP}."
        )),
    }
}

/// The instance, as the planner wants it.
pub fn instance_ref(instance: &Instance) -> InstanceRef {
    InstanceRef {
        name: instance.name.clone(),
        project: instance.project.clone(),
        main_image: instance.main_image.clone(),
        streaming_image: instance.streaming_image.clone(),
    }
}

/// The instance of this name; the only one when no name is given.
pub fn choose<'a>(settings: &'a Settings, name: Option<&str>) -> Result<&'a Instance, String> {
    let names = || {
        settings
            .instances
            .iter()
            .map(|i| i.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (name, settings.instances.as_slice()) {
        (Some(name), all) => all
            .iter()
            .find(|instance| instance.name == name)
            .ok_or_else(|| {
                format!(
                    "there is no instance `{name}`; the configuration has: {}",
                    names()
                )
            }),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("say which instance with --instance: {}", names())),
    }
}
