//! The daemon: one task owns the state, wakes when something can have changed, and acts by policy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::act::{self, ActError, Order};
use super::feeds;
use super::knowledge::{self, KnowledgeError, Known};
use super::lock::{self, LockError};
use super::world::{self, World, WorldError};
use crate::adapters::clock::SystemClock;
use crate::adapters::mail::{Smtp, deliver_due};
use crate::adapters::store::Store;
use crate::config::{self, Instance, Settings};
use crate::domain::decide::{Decision, Facts, When, decide};
use crate::domain::feed::{Alarm, AlarmKind};
use crate::domain::plan::Asked;
use crate::domain::published::Published;
use crate::engine::planner::{Depth, Survey, look};
use crate::engine::{Progress, StepError, StopFlag, chain};
use crate::exit::Exit;
use crate::ports::clock::Clock;
use crate::ports::release_source::ReleaseSourceError;
use crate::ports::store::StoreError;

/// Longest sleep while mail waits: the shortest back-off of the outbox.
const MAIL_ROUND: Duration = Duration::from_secs(60);
/// Wait before the engine or GitHub is tried again after it did not answer.
const AFTER_TROUBLE: Duration = Duration::from_secs(60);

/// A round that is due again at once would be a circle.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

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

/// What wakes the daemon beside time.
#[derive(Debug, Default)]
struct Bell {
    stop: StopFlag,
    ring: Notify,
    reload: std::sync::atomic::AtomicBool,
}

/// Runs until SIGTERM or SIGINT. SIGHUP reads the configuration again; a bad one is told and the old one
/// stays.
///
/// A run that an earlier process left unfinished is carried to its end before anything else.
pub async fn run(settings: Settings, file: &Path, clock: SystemClock) -> Result<Exit, DaemonError> {
    let bell = listen()?;
    // Makes the state folder before the lock's file is put there.
    drop(world::open_store(&settings)?);
    let _lock = lock::daemon(&settings.state_dir)?;
    let mut daemon = Daemon {
        settings,
        file: file.to_owned(),
        clock,
        bell,
        afresh: false,
        told: BTreeSet::new(),
    };
    notify(&[NotifyState::Ready, NotifyState::Status("started")]);
    tracing::info!(
        "mastopatch {} follows {}",
        env!("CARGO_PKG_VERSION"),
        daemon.names()
    );
    while !daemon.bell.stop.is_asked() {
        let sleep = daemon.round().await;
        daemon.rest(sleep).await;
    }
    notify(&[NotifyState::Stopping]);
    Ok(Exit::Done)
}

fn listen() -> Result<Arc<Bell>, DaemonError> {
    let bell = Arc::new(Bell::default());
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind).map_err(DaemonError::Signals)?;
        let bell = Arc::clone(&bell);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if kind == SignalKind::hangup() {
                    bell.reload.store(true, std::sync::atomic::Ordering::SeqCst);
                } else {
                    bell.stop.ask();
                }
                bell.ring.notify_one();
            }
        });
    }
    Ok(bell)
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell; with it, a lost status line changes nothing.
    drop(sd_notify::notify(states));
}

struct Daemon {
    settings: Settings,
    file: PathBuf,
    clock: SystemClock,
    bell: Arc<Bell>,
    /// Whether waits after failures end, because the configuration may have changed.
    afresh: bool,
    /// The alarms that were logged and still hold.
    told: BTreeSet<(AlarmKind, Timestamp)>,
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

    /// One look at everything; gives how long nothing can change by itself.
    async fn round(&mut self) -> Duration {
        if self
            .bell
            .reload
            .swap(false, std::sync::atomic::Ordering::SeqCst)
        {
            self.reload();
        }
        let sleep = match self.look().await {
            Ok(sleep) => sleep,
            Err(err) => {
                tracing::error!("{}", chain(&err));
                notify(&[NotifyState::Status(&chain(&err))]);
                AFTER_TROUBLE
            }
        };
        if self.deliver().await {
            sleep.min(MAIL_ROUND)
        } else {
            sleep
        }
    }

    fn reload(&mut self) {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        match config::load(&self.file, credentials.as_deref().map(Path::new)) {
            Ok(settings) if settings.state_dir != self.settings.state_dir => {
                tracing::error!("state_dir cannot change while the daemon runs; restart it");
            }
            Ok(settings) => {
                self.settings = settings;
                self.afresh = true;
                tracing::info!("the configuration was read again");
            }
            Err(err) => tracing::error!("the old configuration stays: {err}"),
        }
    }

    async fn look(&mut self) -> Result<Duration, DaemonError> {
        let world = match World::open(&self.settings, self.clock).await {
            Ok(world) => world,
            Err(err) => {
                // Without an engine nothing can be tended; what is published is followed all the same.
                let store = world::open_store(&self.settings)?;
                self.follow(&store).await?;
                return Err(err.into());
            }
        };
        // One instance's trouble must not keep the others from being looked after.
        let mut trouble = false;
        for instance in &self.settings.instances {
            if let Err(err) = self.recover(&world, instance).await {
                tracing::error!("{}: {}", instance.name, chain(&err));
                trouble = true;
            }
        }
        if self.bell.stop.is_asked() {
            return Ok(Duration::ZERO);
        }
        let (known, wake) = self.follow(world.store()).await?;
        let published = known.published();
        let mut sleep = self.until(wake);
        for instance in &self.settings.instances {
            let decision = match self.tend(&world, instance, &published, &known).await {
                Ok(decision) => decision,
                Err(err) => {
                    tracing::error!("{}: {}", instance.name, chain(&err));
                    trouble = true;
                    continue;
                }
            };
            notify(&[NotifyState::Status(&status_line(&decision, &known))]);
            if let When::Wait { not_before, .. } = decision.when {
                sleep = sleep.min(self.until(not_before));
            }
        }
        if trouble {
            sleep = sleep.min(AFTER_TROUBLE);
        }
        Ok(sleep.max(SHORTEST_SLEEP))
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

    fn until(&self, at: Timestamp) -> Duration {
        let left = at.duration_since(self.clock.now());
        Duration::try_from(left).unwrap_or(Duration::ZERO)
    }

    async fn recover(&self, world: &World, instance: &Instance) -> Result<(), DaemonError> {
        let lock = act::lock(&self.settings, instance)?;
        let ended = act::recover(world, instance, &lock, &log_progress, &self.bell.stop).await?;
        if let Some(ended) = ended {
            tracing::warn!(
                "{}: an interrupted run was carried to its end: {}, {}",
                instance.name,
                ended.outcome.name(),
                ended.because
            );
        }
        Ok(())
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
    ) -> Result<Decision, DaemonError> {
        let (_, decision) = self.judge(world, instance, published, Depth::Quick).await?;
        if !matches!(decision.when, When::Now { .. }) {
            tracing::debug!("{}: {}", instance.name, status_line(&decision, known));
            return Ok(decision);
        }
        let github = world::github(&self.settings)?;
        let poller = feeds::poller(world.store(), &github, None, &self.settings);
        if let Err(at) = poller.may_plan(self.clock.now())? {
            tracing::warn!(
                "{}: an update is due, but GitHub cannot say before {at} which commit it is",
                instance.name
            );
            return Ok(decision);
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
            return Ok(decision);
        };
        let survey = seen.survey?;
        let order = Order {
            target: target.clone(),
            asked_by: Asked::Rule(target.rule.clone().unwrap_or_default()),
            reasons: decision
                .reasons
                .iter()
                .map(|reason| reason.text.clone())
                .collect(),
            hard_deadline: *until,
            close_by: until.and_then(|until| until.checked_sub(seen.needed).ok()),
            // What is needed is a run and its way back, which is reckoned to last as long as the run.
            way_back: seen.needed / 2,
        };
        tracing::info!(
            "{}: {} -> {} starts",
            instance.name,
            survey.installed,
            target.version
        );
        let planned = act::plan(world, &github, &self.settings, instance, &survey, order).await;
        let asked = match &planned {
            Err(ActError::Commit { source, .. }) => Err(source),
            Ok(_) | Err(_) => Ok(()),
        };
        poller.planned(asked, planned.is_ok(), self.clock.now())?;
        let (plan, material) = planned?;
        let planned = plan.approval_hash(&decision.obstacles).ok();
        if let Some(hash) = &planned {
            knowledge::note_plan(world.store(), &instance.name, &plan.to, hash)?;
        }
        let facts = Facts {
            planned: planned.map(|hash| (plan.to.clone(), hash)),
            ..knowledge::with_fresh_orders(world.store(), instance, seen.facts)?
        };
        let decision = decide(&facts, &instance.policy, self.clock.now(), seen.needed);
        if !matches!(decision.when, When::Now { .. }) {
            tracing::warn!(
                "{}: now that it is planned, it does not start: {}",
                instance.name,
                status_line(&decision, known)
            );
            return Ok(decision);
        }
        let stop = &self.bell.stop;
        let ended = act::execute(world, plan, &material, &lock, &log_progress, stop).await?;
        tracing::info!(
            "{}: {}, {}",
            instance.name,
            ended.outcome.name(),
            ended.because
        );
        Ok(decision)
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
        let facts = knowledge::facts(store, instance, &look, published)?;
        let needed = knowledge::time_needed(store, instance)?;
        let decision = decide(&facts, &instance.policy, self.clock.now(), needed);
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

    /// Sleeps, tells the watchdog meanwhile, and wakes early for signals.
    async fn rest(&self, mut left: Duration) {
        let turn = sd_notify::watchdog_enabled().map_or(left, |limit| limit / 2);
        while !left.is_zero() && !self.bell.stop.is_asked() {
            notify(&[NotifyState::Watchdog]);
            let nap = left.min(turn.max(Duration::from_secs(1)));
            let rung = tokio::time::timeout(nap, self.bell.ring.notified()).await;
            if rung.is_ok() {
                return;
            }
            left = left.saturating_sub(nap);
        }
    }
}

/// What a decision was made of.
struct Seen {
    survey: Result<Survey, StepError>,
    facts: Facts,
    needed: SignedDuration,
}

fn status_line(decision: &Decision, known: &Known) -> String {
    let line = decision_line(decision);
    match known.alarms.first() {
        Some(alarm) => format!("{line}; {}", alarm.sentence),
        None => line,
    }
}

fn decision_line(decision: &Decision) -> String {
    let (name, installed) = (&decision.instance, &decision.installed);
    let Some(target) = &decision.target else {
        return format!("{name}: {installed}, nothing to do");
    };
    let when = match &decision.when {
        When::Nothing => "nothing to do".to_owned(),
        When::Now { .. } => "due now".to_owned(),
        When::Wait {
            not_before,
            because,
        } => format!("waits until {not_before}: {because}"),
        When::NeedsApproval => "needs approval".to_owned(),
        When::NotifyOnly => "left to people".to_owned(),
        When::Blocked => "blocked".to_owned(),
    };
    format!("{name}: {installed} -> {}, {when}", target.version)
}

fn log_progress(progress: Progress) {
    match progress {
        Progress::Began { step, back } => {
            let way = if back { "back: " } else { "" };
            notify(&[
                NotifyState::Watchdog,
                NotifyState::Status(&format!("{way}{step}")),
            ]);
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
        Progress::Pull { .. } => {}
        Progress::Note(text) => tracing::warn!("{text}"),
    }
}
