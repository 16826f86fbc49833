//! The daemon: one task owns the state, wakes when something can have changed, and acts by policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sd_notify::NotifyState;

use super::act::{self, ActError, Order};
use super::feeds;
use super::knowledge::{self, KnowledgeError, Known};
use super::lock::{self, LockError};
use super::notices;
use super::rehearsals;
use super::rest::{Bell, SHORTEST_SLEEP, Watch, rest};
use super::status::{behind, in_a_line, notify, status_line};
use super::unfinished;
use super::world::{self, World, WorldError};
use crate::adapters::clock::SystemClock;
use crate::adapters::mail::{Smtp, deliver_due};
use crate::adapters::store::Store;
use crate::config::{self, Instance, Settings, tz_version};
use crate::domain::decide::{Decision, Facts, Target, When, decide};
use crate::domain::feed::{Alarm, AlarmKind};
use crate::domain::plan::Asked;
use crate::domain::published::Published;
use crate::domain::window::Needed;
use crate::engine::planner::{Depth, Survey, look};
use crate::engine::{Progress, StepError, chain};
use crate::exit::Exit;
use crate::ports::clock::Clock;
use crate::ports::release_source::ReleaseSourceError;
use crate::ports::store::StoreError;

mod rehearse;

/// Longest sleep while mail waits: the shortest back-off of the outbox.
const MAIL_ROUND: SignedDuration = SignedDuration::from_secs(60);
/// Wait before an unsynchronised clock is asked again: the kernel tells nobody that it is synchronised, which takes a
/// time server minutes.
const CLOCK_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Wait before the engine or GitHub is tried again after it did not answer.
const AFTER_TROUBLE: SignedDuration = SignedDuration::from_secs(60);

/// Why the daemon ends, or a round of it comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another daemon runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The world cannot be opened.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The system does not deliver signals.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    /// GitHub's address is unusable.
    #[error(transparent)]
    Source(#[from] ReleaseSourceError),
    /// GitHub did not answer.
    #[error(transparent)]
    Knowledge(#[from] KnowledgeError),
    /// An instance cannot be looked at.
    #[error(transparent)]
    Survey(#[from] StepError),
    /// An update came to nothing.
    #[error(transparent)]
    Act(#[from] ActError),
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs until SIGTERM or SIGINT. SIGHUP reads the configuration again; a bad one is told and the old one
/// stays.
///
/// A run that an earlier process left unfinished is carried to its end before anything else.
pub async fn run(settings: Settings, file: &Path, clock: SystemClock) -> Result<Exit, DaemonError> {
    let bell = Bell::listen().map_err(DaemonError::Signals)?;
    // Makes the state folder before the lock's file is put there.
    let opened = world::open_store(&settings).map(drop);
    let _lock = lock::daemon(&settings.state_dir)?;
    if let Err(err) = opened {
        unfinished::rescue(&settings, clock, bell.stop(), &|_| {}).await;
        return Err(err.into());
    }
    bell.hear_commands(&settings.state_dir);
    notices::accepted(&settings, clock.now());
    let config_alarm = faults(&settings, clock.now());
    let mut daemon = Daemon {
        settings,
        read_at: clock.now(),
        file: file.to_owned(),
        clock,
        bell,
        afresh: false,
        told: BTreeSet::new(),
        lines: BTreeMap::new(),
        watch: Watch::from(clock.reading()),
        config_alarm,
        tz_version: tz_version(),
    };
    notify(&[NotifyState::Ready, NotifyState::Status("started")]);
    tracing::info!(
        "mastopatch {} follows {}",
        env!("CARGO_PKG_VERSION"),
        daemon.names()
    );
    while !daemon.bell.stop().is_asked() {
        let until = daemon.round().await;
        // What was reckoned by a clock that was set meanwhile is no reason to sleep.
        if !daemon.look_at_clock() {
            rest(&clock, &daemon.bell, until).await;
            daemon.look_at_clock();
        }
    }
    notify(&[NotifyState::Stopping]);
    Ok(Exit::Done)
}

struct Daemon {
    settings: Settings,
    /// When the settings were read.
    read_at: Timestamp,
    file: PathBuf,
    clock: SystemClock,
    bell: Arc<Bell>,
    /// Whether waits after failures end, because the configuration may have changed.
    afresh: bool,
    /// The alarms that were logged and still hold.
    told: BTreeSet<(AlarmKind, Timestamp)>,
    /// How each instance stood at the last look.
    lines: BTreeMap<String, String>,
    /// The wall clock against the one that nobody can set.
    watch: Watch,
    /// What is wrong about the configuration on disk: it is not the one that holds, or has become wrong with time.
    config_alarm: Option<String>,
    /// The time zone database that the zones were read from.
    tz_version: Option<String>,
}

impl Daemon {
    fn names(&self) -> String {
        let names = self
            .settings
            .instances
            .iter()
            .map(|instance| instance.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// One look at everything; gives the instant until which nothing can change by itself.
    ///
    /// It decides by the time that it is now, and by nothing else: a start that was missed, because the host was off,
    /// asleep or its clock wrong, is missed.
    async fn round(&mut self) -> Timestamp {
        let tz_version = tz_version();
        let zones_changed = tz_version != self.tz_version;
        if zones_changed {
            tracing::info!(
                "the time zone database was updated; the configuration is read again for it"
            );
            self.tz_version = tz_version;
        }
        if self.bell.wants_reload() || zones_changed {
            self.reload();
        }
        let until = match self.look().await {
            Ok(until) => until,
            Err(err) => {
                tracing::error!("{}", chain(&err));
                self.show_status(&chain(&err));
                self.after(AFTER_TROUBLE)
            }
        };
        let until = if self.deliver().await {
            until.min(self.after(MAIL_ROUND))
        } else {
            until
        };
        until.max(self.after(SHORTEST_SLEEP))
    }

    /// Whether the clock was set since the last look. It is told; the round that follows thinks again anyway.
    fn look_at_clock(&mut self) -> bool {
        let jump = self.watch.look(self.clock.reading());
        if let Some(jump) = &jump {
            tracing::warn!(
                "{jump}; everything is thought over again, nothing that was missed is caught up"
            );
        }
        jump.is_some()
    }

    fn show_status(&self, line: &str) {
        let line = behind(self.config_alarm.as_deref(), line);
        notify(&[NotifyState::Status(&line)]);
    }

    /// Shows how far a run is.
    fn show(&self, progress: Progress) {
        match progress {
            Progress::Began { step, back } => {
                let way = if back { "back: " } else { "" };
                notify(&[NotifyState::Watchdog]);
                self.show_status(&format!("{way}{step}"));
            }
            Progress::Ended {
                step,
                elapsed,
                error: None,
            } => {
                tracing::info!("{step}: done in {elapsed:.1?}");
            }
            Progress::Ended {
                step,
                elapsed,
                error: Some(error),
            } => {
                tracing::error!("{step}: failed after {elapsed:.1?}: {error}");
            }
            Progress::Pull { .. } | Progress::Read { .. } => {}
            Progress::Note(text) => tracing::warn!("{text}"),
        }
    }

    fn reload(&mut self) {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        let now = self.clock.now();
        let read = config::load(&self.file, credentials.as_deref().map(Path::new));
        match read {
            Ok(settings) if settings.state_dir != self.settings.state_dir => {
                let why = "state_dir cannot change while the daemon runs; restart it";
                self.keep_old(&[why.to_owned()], now);
            }
            Ok(settings) => {
                notices::accepted(&settings, now);
                self.settings = settings;
                self.read_at = now;
                self.afresh = true;
                self.config_alarm = faults(&self.settings, now);
                tracing::info!("the configuration was read again");
            }
            Err(err) => self.keep_old(&notices::mistakes(&err), now),
        }
    }

    /// A configuration that is not taken changes nothing, and is an alarm until one is (W12).
    fn keep_old(&mut self, mistakes: &[String], now: Timestamp) {
        tracing::error!("the old configuration stays: {}", mistakes.join("\n"));
        self.config_alarm = Some(in_a_line("the old configuration stays", mistakes));
        notices::refused(&self.settings, mistakes, self.read_at, now);
    }

    async fn look(&mut self) -> Result<Timestamp, DaemonError> {
        let world = match World::open(&self.settings, self.clock).await {
            Ok(world) => world,
            Err(err) => {
                if let WorldError::Store(_) = &err {
                    let show = |progress| self.show(progress);
                    unfinished::rescue(&self.settings, self.clock, self.bell.stop(), &show).await;
                }
                // Without an engine nothing can be tended; what is published is followed all the same.
                let store = world::open_store(&self.settings)?;
                let now = self.clock.now();
                unfinished::tell_open(&store, &self.settings, &chain(&err), now);
                self.follow(&store).await?;
                return Err(err.into());
            }
        };
        // One instance's trouble must not keep the others from being looked after.
        let show = |progress| self.show(progress);
        let mut trouble =
            !unfinished::recover(&world, &self.settings, &show, self.bell.stop()).await;
        if self.bell.stop().is_asked() {
            return Ok(self.clock.now());
        }
        let (known, mut until) = self.follow(world.store()).await?;
        let published = known.published();
        for instance in &self.settings.instances.clone() {
            let tended = match self.tend(&world, instance, &published, &known).await {
                Ok(tended) => tended,
                Err(err) => {
                    tracing::error!("{}: {}", instance.name, chain(&err));
                    trouble = true;
                    continue;
                }
            };
            let decision = &tended.decision;
            let line = status_line(decision, &known);
            self.show_status(&line);
            self.tell_change(&instance.name, line);
            let now = self.clock.now();
            notices::deadline(world.store(), &self.settings, instance, decision, now);
            until = tended.again.into_iter().fold(until, Timestamp::min);
            if knowledge::clock_doubt(&self.clock).is_some() && instance.policy.requires_sync() {
                until = until.min(self.after(CLOCK_AGAIN));
            }
        }
        if trouble {
            until = until.min(self.after(AFTER_TROUBLE));
        }
        Ok(until)
    }

    /// Asks what is due, and gives everything that is known, with the time of the next question. A source that fails
    /// is told, and ends nothing.
    async fn follow(&mut self, store: &Store) -> Result<(Known, Timestamp), DaemonError> {
        let github = world::github(&self.settings)?;
        let update_check = world::update_check(&self.settings)?;
        let poller = feeds::poller(store, &github, update_check.as_ref(), &self.settings);
        if std::mem::take(&mut self.afresh) {
            poller.start_afresh()?;
        }
        let round = poller.poll(self.clock.now()).await?;
        for news in &round.news {
            tracing::info!("{news}");
        }
        for (feed, err) in &round.failures {
            tracing::error!("{feed}: {}", chain(err));
        }
        let now = self.clock.now();
        let known = poller.known(now)?;
        self.tell(&known.alarms);
        Ok((known, poller.wake(now)?))
    }

    /// Logs how an instance stands when that is something else than before.
    fn tell_change(&mut self, instance: &str, line: String) {
        if self.lines.get(instance) != Some(&line) {
            tracing::info!("{line}");
            self.lines.insert(instance.to_owned(), line);
        }
    }

    /// Logs each alarm once, and that it ended.
    fn tell(&mut self, alarms: &[Alarm]) {
        let holding: BTreeSet<_> = alarms.iter().map(|it| (it.kind, it.since)).collect();
        for alarm in alarms {
            if !self.told.contains(&(alarm.kind, alarm.since)) {
                tracing::error!("{}", alarm.sentence);
            }
        }
        if holding.is_empty() && !self.told.is_empty() {
            tracing::info!("all sources answer again, and nothing about them is odd");
        }
        self.told = holding;
    }

    fn after(&self, length: SignedDuration) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(length).unwrap_or(Timestamp::MAX)
    }

    /// Decides about one instance, and acts if it is due.
    ///
    /// What is due is looked at a second time, thoroughly, and decided again with the plan that was made: only if that
    /// still says "now" does anything start.
    async fn tend(
        &self,
        world: &World,
        instance: &Instance,
        published: &Arc<Published>,
        known: &Known,
    ) -> Result<Tended, DaemonError> {
        let (seen, decision) = self.judge(world, instance, published, Depth::Quick).await?;
        let mut tended = Tended::new(decision, &seen.facts, instance, self.clock.now());
        let (decision, store) = (&tended.decision, world.store());
        let now = self.clock.now();
        let due = rehearsals::due(store, &self.settings, instance, decision, now)?;
        if let Some(due) = due {
            Box::pin(self.rehearse(world, instance, published, due.until)).await?;
            // A target that failed is in quarantine now, and one that passed needs less time, or more.
            let (seen, decision) = self.judge(world, instance, published, Depth::Quick).await?;
            let now = self.clock.now();
            tended = Tended::new(decision, &seen.facts, instance, now);
            // The next best target wants a rehearsal of its own before it starts.
            if rehearsals::due(store, &self.settings, instance, &tended.decision, now)?.is_some() {
                let soon = self.after(AFTER_TROUBLE);
                tended.again = tended.again.into_iter().chain([soon]).min();
                return Ok(tended);
            }
        }
        if !matches!(tended.decision.when, When::Now { .. }) {
            return Ok(tended);
        }
        // Its future holds a whole run's; on the heap it costs its callers nothing.
        let retry = Box::pin(self.act(world, instance, published, known)).await?;
        // What became of it decides what comes next: a pause after a run that failed, for instance.
        let (seen, decision) = self.judge(world, instance, published, Depth::Quick).await?;
        tended = Tended::new(decision, &seen.facts, instance, self.clock.now());
        tended.again = tended.again.into_iter().chain(retry).min();
        Ok(tended)
    }

    /// Carries out what is due, if a closer look agrees; gives the instant from which on it can be tried, if that is later.
    async fn act(
        &self,
        world: &World,
        instance: &Instance,
        published: &Arc<Published>,
        known: &Known,
    ) -> Result<Option<Timestamp>, DaemonError> {
        let github = world::github(&self.settings)?;
        let poller = feeds::poller(world.store(), &github, None, &self.settings);
        if let Err(at) = poller.may_plan(self.clock.now())? {
            tracing::warn!(
                "{}: an update is due, but GitHub cannot say before {at} which commit it is",
                instance.name
            );
            return Ok(Some(at));
        }
        let lock = act::lock(&self.settings, instance)?;
        let (seen, decision) = self
            .judge(world, instance, published, Depth::Thorough)
            .await?;
        let (Some(target), When::Now { until, .. }) = (&decision.target, &decision.when) else {
            tracing::warn!(
                "{}: at a closer look it does not start: {}",
                instance.name,
                status_line(&decision, known)
            );
            return Ok(None);
        };
        let survey = seen.survey?;
        let order = order(target, &decision, *until, &seen.needed);
        tracing::info!(
            "{}: {} -> {} starts",
            instance.name,
            survey.installed,
            target.version
        );
        let planned = act::plan(world, &github, &self.settings, instance, &survey, order).await;
        poller.planned(act::asked(&planned), planned.is_ok(), self.clock.now())?;
        let (mut plan, material) = planned?;
        let planned = plan.approval_hash(&decision.obstacles).ok();
        if let Some(hash) = &planned {
            knowledge::note_plan(world.store(), &instance.name, &plan.to, hash)?;
        }
        let facts = Facts {
            planned: planned.map(|hash| (plan.to.clone(), hash)),
            ..knowledge::with_fresh_orders(world.store(), instance, seen.facts, &self.clock)?
        };
        let needed = seen.needed.total();
        let decision = decide(&facts, &instance.policy, self.clock.now(), needed);
        let When::Now { until, .. } = decision.when else {
            tracing::warn!(
                "{}: now that it is planned, it does not start: {}",
                instance.name,
                status_line(&decision, known)
            );
            return Ok(None);
        };
        // An order that was given meanwhile may allow something, but not this, or not for so long.
        if decision.target.as_ref().map(|target| &target.version) != Some(&plan.to) {
            tracing::warn!(
                "{}: {} is not what is wanted any more",
                instance.name,
                plan.to
            );
            return Ok(None);
        }
        if self.must_be_rehearsed(world, &plan) {
            return Ok(Some(self.after(AFTER_TROUBLE)));
        }
        plan.hard_deadline = until;
        plan.close_by = close_by(until, &seen.needed);
        plan.why.emergency = decision.emergency(&instance.policy, self.clock.now());
        let (show, stop) = (|progress| self.show(progress), self.bell.stop());
        let ended = act::execute(world, plan, &material, &lock, &show, stop).await?;
        act::tell_trouble(instance, &ended);
        tracing::info!(
            "{}: {}, {}",
            instance.name,
            ended.outcome.name(),
            ended.because
        );
        Ok(None)
    }

    /// Looks at one instance, and decides about it.
    async fn judge(
        &self,
        world: &World,
        instance: &Instance,
        published: &Arc<Published>,
        depth: Depth,
    ) -> Result<(Seen, Decision), DaemonError> {
        let look = look(world, &knowledge::instance_ref(instance), depth).await?;
        let store = world.store();
        let facts = knowledge::facts(store, instance, &look, published, &self.clock)?;
        let now = self.clock.now();
        let (decision, needed) = knowledge::decided(store, instance, &facts, now)?;
        // What fails after this must not hide that it is late.
        notices::late(store, &self.settings, instance, &decision, now);
        let seen = Seen {
            survey: look.survey,
            facts,
            needed,
        };
        Ok((seen, decision))
    }

    /// Sends what waits; whether something still does.
    async fn deliver(&self) -> bool {
        let Some(mail) = &self.settings.mail else {
            return false;
        };
        let deliver = async {
            let store = world::open_store(&self.settings).map_err(|err| chain(&err))?;
            let _lock = lock::mail(&self.settings.state_dir).map_err(|err| chain(&err))?;
            let smtp = Smtp::new(&world::smtp_settings(mail)).map_err(|err| chain(&err))?;
            deliver_due(&store, &smtp, &self.clock)
                .await
                .map_err(|err| chain(&err))?;
            Ok::<_, String>(store.outbox_summary().map_err(|err| chain(&err))?.waiting > 0)
        };
        deliver.await.unwrap_or_else(|err| {
            tracing::error!("mail: {err}");
            true
        })
    }
}

/// What a decision wants done, until when.
fn order(target: &Target, decision: &Decision, until: Option<Timestamp>, needed: &Needed) -> Order {
    let reasons = decision.reasons.iter();
    Order {
        target: target.clone(),
        asked_by: Asked::Rule(target.rule.clone().unwrap_or_default()),
        reasons: reasons.map(|reason| reason.text.clone()).collect(),
        hard_deadline: until,
        close_by: close_by(until, needed),
        way_back: needed.way_back,
    }
}

/// How an instance stands after it was looked after.
struct Tended {
    decision: Decision,
    /// When to look at it again, if nothing new comes.
    again: Option<Timestamp>,
}

impl Tended {
    fn new(decision: Decision, facts: &Facts, instance: &Instance, now: Timestamp) -> Self {
        Self {
            again: decision.changes_at(facts, &instance.policy, now),
            decision,
        }
    }
}

/// What a decision was made of.
struct Seen {
    survey: Result<Survey, StepError>,
    facts: Facts,
    needed: Needed,
}

/// The last instant at which a site may be closed.
fn close_by(until: Option<Timestamp>, needed: &Needed) -> Option<Timestamp> {
    until.and_then(|until| until.checked_sub(needed.once_closed()).ok())
}

/// What has become wrong with time, logged and as an alarm. It is told and nothing more: it must not keep a server without
/// its updates, nor a person from a change that is urgent.
fn faults(settings: &Settings, now: Timestamp) -> Option<String> {
    let faults = notices::mistakes(&knowledge::faults(settings, now).err()?);
    for fault in &faults {
        tracing::error!("{fault}");
    }
    Some(in_a_line("no longer right", &faults))
}
