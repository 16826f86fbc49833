//! The state of the simulated host, its time, and the one place through which every call of a port goes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mastopatch::domain::event::{Entry, Event, Step, UndoStep};
use mastopatch::domain::plan::{Method, Plan};
use mastopatch::domain::run::RunState;
use mastopatch::engine::StopFlag;
use mastopatch::ports::database::RedisUse;
use mastopatch::ports::runtime::Image;

use super::engine::SimContainer;
use super::fault::{Dice, Fault, Schedule, When};
use super::files::{self, Files};
use super::invariants;
use super::platter::{Cut, Platter};
use super::stranger::Deed;

/// The owner's one Compose file.
pub(crate) const COMPOSE_FILE: &str = "/srv/mastodon/docker-compose.yml";
/// The live database.
pub(crate) const LIVE: &str = "mastodon_production";
/// When the simulated host's wall clock starts.
pub(crate) const EPOCH_S: i64 = 1_795_000_000;
/// What one call takes.
const CALL_MS: u64 = 5;

/// Which of the two versions something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Version {
    /// The one before.
    #[default]
    A,
    /// The target.
    B,
}

/// How good the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// It works.
    Good,
    /// Its migrations fail after the first.
    MigrationFails,
    /// Its migrations hang after the first.
    MigrationHangs,
    /// Its web answers errors.
    Unhealthy,
    /// Its web ends after a while.
    Dies,
}

impl Target {
    pub(crate) const ALL: [Self; 5] = [
        Self::Good,
        Self::MigrationFails,
        Self::MigrationHangs,
        Self::Unhealthy,
        Self::Dies,
    ];
}

/// One database of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Db {
    /// Posts of the public, in the order in which they were written; one that a cut restore lacks is missing.
    pub(crate) posts: Vec<u32>,
    /// `schema_migrations`.
    pub(crate) schema: Arc<BTreeSet<String>>,
    /// The remark in the catalogue.
    pub(crate) remark: String,
    /// Whether it is whole: false for what a restore was cut off in.
    pub(crate) whole: bool,
    /// Whether `ALTER DATABASE … ALLOW_CONNECTIONS false` was said.
    pub(crate) shut: bool,
}

/// What a tool put into a snapshot's folder. The files are small and only name it, so a copy is whole as long as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Copied {
    Db(Db),
    Redis(Vec<u32>),
}

/// An image on the host.
#[derive(Debug, Clone)]
pub(crate) struct SimImage {
    pub(crate) id: Arc<str>,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) version: Option<Version>,
    pub(crate) image: Arc<Image>,
}

/// What never changes while a run is simulated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setting {
    /// Migrations that A has.
    pub(crate) base: Arc<BTreeSet<String>>,
    /// Migrations before the deployment that B brings.
    pub(crate) pre: Vec<String>,
    /// Migrations after the deployment that B brings.
    pub(crate) post: Vec<String>,
    /// Images of the registry, by `repository@digest`.
    pub(crate) registry: BTreeMap<String, SimImage>,
    /// Digest of each reference in the registry.
    pub(crate) digests: BTreeMap<String, String>,
    /// How the plan copies the database.
    pub(crate) method: Method,
    /// The run's id.
    pub(crate) run: &'static str,
    /// What serves before the run.
    pub(crate) from: Version,
    /// What it goes to.
    pub(crate) to: Version,
    /// Migrations that are applied before the run.
    pub(crate) from_schema: Arc<BTreeSet<String>>,
    /// The earlier snapshot that is one too many when the run is over.
    pub(crate) too_many: &'static str,
    /// The earlier snapshot that stays.
    pub(crate) to_keep: &'static str,
    /// How the snapshot of [`Self::to_keep`] was taken, where that is an update's which is taken back.
    pub(crate) source: Option<Method>,
}

/// One kind of call, for schedules and traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// What is called.
    pub(crate) name: &'static str,
    /// Which port.
    pub(crate) port: Port,
    /// Whether it changes the world.
    pub(crate) mutating: bool,
    /// Longest time it may take, in milliseconds.
    pub(crate) limit_ms: u64,
}

impl Call {
    /// Whether it fails where the disk is full. Removing does not.
    fn needs_room(self) -> bool {
        match self.port {
            Port::Journal => self.mutating,
            Port::Files => files::needs_room(self.name),
            Port::Data => ["dump", "redis dump"].contains(&self.name),
            Port::Engine | Port::Probe | Port::Clock => false,
        }
    }
}

/// The ports that can be upset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Engine,
    Data,
    Files,
    Journal,
    Probe,
    Clock,
}

/// What a caller is told in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upset {
    /// It failed, and nothing happened.
    Failed,
    /// Nobody knows.
    Lost,
    /// The limit was reached.
    TimedOut,
    /// The engine is restarting.
    Gone,
}

/// Calls that go wrong for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutOfReach {
    /// Which.
    pub(crate) is_it: fn(Call) -> bool,
    /// Until this moment.
    pub(crate) until_ms: u64,
    /// What their callers are told.
    pub(crate) upset: Upset,
}

/// The process was killed: the payload of the unwinding that drops it.
#[derive(Debug)]
pub(crate) struct Killed;

/// Where in the run a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Outside of steps: the beginning, the commit, the end.
    Between,
    /// A step forward.
    Step(Step),
    /// A step back.
    Undo(UndoStep),
}

/// Which part of a step a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Its intent is written.
    Before,
    /// It is done.
    During,
    /// Its result is written.
    After,
}

/// One call as it was made, for tables made of an uninterrupted run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) number: u32,
    pub(crate) place: Place,
    pub(crate) phase: Phase,
    pub(crate) call: Call,
    /// Whether a power cut before it can lose something that was written.
    pub(crate) unsynced: bool,
}

/// The host and everything on it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) setting: Arc<Setting>,
    pub(crate) target: Target,

    pub(crate) now_ms: u64,
    pub(crate) boot_ms: u64,
    pub(crate) wall_offset_ms: i64,

    pub(crate) containers: Vec<SimContainer>,
    pub(crate) images: Vec<SimImage>,
    pub(crate) networks: BTreeMap<String, bool>,
    /// Labels of the networks that the product made.
    pub(crate) network_labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What throw-away servers hold, by their container's name.
    pub(crate) scratch: BTreeMap<String, Db>,
    pub(crate) next_id: u32,
    pub(crate) engine_back_ms: u64,
    pub(crate) in_full: bool,

    pub(crate) databases: BTreeMap<String, Db>,
    /// From which step on there is no room where the server keeps its data.
    pub(crate) server_full_from: Option<Step>,
    pub(crate) redis: Vec<u32>,
    /// Who else uses Redis.
    pub(crate) redis_use: RedisUse,
    pub(crate) edited: bool,
    /// The run's material, which the process writes that begins the run.
    pub(crate) material: Arc<str>,
    /// All files: the owner's, those of runs, and what is in snapshots.
    pub(crate) disk: Platter,
    /// A clone that the server still makes though nobody waits for it: its name, what it will be, and when.
    pub(crate) cloning: Option<(String, Db, u64)>,
    /// What the tools copied so far.
    pub(crate) copied: Vec<Arc<Copied>>,
    /// Whether a snapshot is durable, for a number of changes of the disk.
    pub(crate) has_copy: Option<(u64, bool)>,

    pub(crate) begun: Option<Arc<Plan>>,
    pub(crate) log: Vec<Entry>,
    pub(crate) state: RunState,
    pub(crate) seen: invariants::Seen,
    pub(crate) mails: Vec<Vec<u8>>,
    pub(crate) quarantine: Option<String>,
    pub(crate) silent: bool,
    pub(crate) full_until: u32,
    /// Calls that go wrong for a while, whoever makes them.
    pub(crate) out_of_reach: Option<OutOfReach>,
    /// Whether this process was told that the journal took nothing.
    pub(crate) refused: bool,
    /// Whether any process was told so: the journal may then lack what happened.
    pub(crate) ever_refused: bool,
    /// What is to befall the journal before the next process starts.
    pub(crate) harm: Option<super::journal::Harm>,
    /// Whether something befell it.
    pub(crate) harmed: bool,
    /// Whether the journal can be neither read nor written.
    pub(crate) garbled: bool,
    /// Whether a person's order was refused: what was held stays so.
    pub(crate) order_refused: bool,
    /// How a run ended that could not be written down.
    pub(crate) ended_unwritten: Option<mastopatch::domain::event::Outcome>,

    pub(crate) acknowledged: Vec<u32>,
    /// Whether a command is at work that is no run, and announces nothing in a journal.
    pub(crate) beside_runs: bool,
    /// Posts that a person gave up, if the restore that they ordered is committed.
    pub(crate) given_up: Vec<u32>,
    pub(crate) next_post: u32,

    pub(crate) schedule: Arc<Schedule>,
    pub(crate) calls: u32,
    pub(crate) n_faults: u32,
    pub(crate) interfered: Vec<Deed>,
    pub(crate) stop_asked: bool,
    pub(crate) violation: Option<String>,
    pub(crate) made: Option<Vec<Made>>,
    pub(crate) trace: Option<Vec<String>>,
}

/// The world, as it is shared by the ports of one process and the disk under its files.
#[derive(Debug, Clone)]
pub(crate) struct Host(Arc<Mutex<World>>);

impl Host {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call of the product to its ports: time passes, what the schedule says goes wrong, the public writes,
    /// and the invariants are looked at. `effect` is told how much of it happens.
    pub(crate) fn call<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World, When) -> T,
    ) -> Result<T, Upset> {
        let mut world = self.world();
        let answer = world.answer(call, effect);
        let dead = answer.is_err_and_dead() || world.violation.is_some();
        drop(world);
        match answer {
            _ if dead => resume_unwind(Box::new(Killed)),
            Answer::Said(answer) => Ok(answer),
            Answer::Upset(upset) => Err(upset),
            Answer::Dead => unreachable!("a dead process is unwound"),
        }
    }
}

/// All ports of the product over one world.
#[derive(Debug)]
pub(crate) struct SimPorts {
    pub(crate) host: Host,
    pub(crate) stop: StopFlag,
    pub(crate) files: Files,
}

impl SimPorts {
    pub(crate) fn new(world: World) -> Self {
        let host = Host(Arc::new(Mutex::new(world)));
        Self {
            files: Files::new(&host),
            host,
            stop: StopFlag::default(),
        }
    }

    /// Another process has nothing of what the one before it had in memory.
    pub(crate) fn restart(&mut self) {
        self.stop = StopFlag::default();
        self.files = Files::new(&self.host);
        let mut world = self.world();
        world.refused = world.garbled;
        world.stop_asked = false;
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.host.world()
    }

    pub(crate) fn into_world(self) -> World {
        drop(self.files);
        let world = Arc::into_inner(self.host.0).expect("nobody else holds the world");
        world.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Host::call`].
    pub(crate) fn call<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World, When) -> T,
    ) -> Result<T, Upset> {
        let answer = self.host.call(call, effect);
        // Also one that was asked for while a file was written.
        if std::mem::take(&mut self.world().stop_asked) {
            self.stop.ask();
        }
        answer
    }
}

enum Answer<T> {
    Said(T),
    Upset(Upset),
    Dead,
}

impl<T> Answer<T> {
    fn is_err_and_dead(&self) -> bool {
        matches!(self, Self::Dead)
    }
}

impl World {
    fn answer<T>(&mut self, call: Call, effect: impl FnOnce(&mut Self, When) -> T) -> Answer<T> {
        self.calls += 1;
        let number = self.calls;
        self.note_made(number, call);
        self.pass(CALL_MS);
        let fault = self.schedule.get(&number).copied();
        if let Some(fault) = fault {
            self.n_faults += 1;
            self.say(|| format!("fault: {fault:?}"));
        }
        if call.mutating {
            invariants::i6_the_intent_is_durable(self, call);
        }
        let upset = self.strike(fault, call);
        let answer = match upset {
            _ if call.port == Port::Engine && self.now_ms < self.engine_back_ms => {
                Answer::Upset(Upset::Gone)
            }
            Strike::Nothing => match self.is_out_of_reach(call) {
                Some(upset) => Answer::Upset(upset),
                None => Answer::Said(effect(self, When::After)),
            },
            Strike::Tell(upset) => Answer::Upset(upset),
            Strike::TellAfter(upset) => {
                effect(self, When::After);
                Answer::Upset(upset)
            }
            Strike::Die(when, power_cut) => {
                if when != When::Before {
                    effect(self, when);
                }
                if let Some((cut, dice)) = power_cut {
                    self.power_cut(cut, dice);
                }
                Answer::Dead
            }
        };
        self.say(|| {
            let said = match &answer {
                Answer::Said(_) => "",
                Answer::Upset(_) => " -> upset",
                Answer::Dead => " -> DEAD",
            };
            format!("{}{said}", call.name)
        });
        self.public_writes();
        invariants::always(self);
        answer
    }

    fn is_out_of_reach(&self, call: Call) -> Option<Upset> {
        let gone = self.out_of_reach.filter(|it| self.now_ms < it.until_ms);
        gone.filter(|it| (it.is_it)(call)).map(|it| it.upset)
    }

    fn strike(&mut self, fault: Option<Fault>, call: Call) -> Strike {
        let full = self.calls <= self.full_until;
        match fault {
            None if full && call.needs_room() => Strike::Tell(Upset::Failed),
            None => Strike::Nothing,
            Some(Fault::Kill(when)) => Strike::Die(when, None),
            Some(Fault::PowerCut(when)) => Strike::Die(when, Some((Cut::Any, self.dice()))),
            Some(Fault::TornWrite(seed)) => {
                let dice = Dice::new(u64::from(seed));
                Strike::Die(When::Middle, Some((Cut::Torn, dice)))
            }
            Some(Fault::EngineRestart) => {
                self.engine_restart();
                // A call that is not the engine's does not see it.
                match call.port {
                    Port::Engine | Port::Data => Strike::Tell(Upset::Gone),
                    Port::Probe => Strike::Tell(Upset::Failed),
                    Port::Files | Port::Journal | Port::Clock => Strike::Nothing,
                }
            }
            Some(Fault::Error) if call.port == Port::Clock => Strike::Nothing,
            Some(Fault::Error) => Strike::Tell(Upset::Failed),
            Some(Fault::Lost | Fault::LostAfter | Fault::Hang) if call.port == Port::Clock => {
                Strike::Nothing
            }
            Some(Fault::Lost) => Strike::Tell(Upset::Lost),
            Some(Fault::LostAfter) => Strike::TellAfter(Upset::Lost),
            Some(Fault::Hang) => {
                self.pass(call.limit_ms);
                Strike::Tell(Upset::TimedOut)
            }
            Some(Fault::DiskFull(calls)) => {
                self.full_until = self.calls + calls;
                if call.needs_room() {
                    Strike::Tell(Upset::Failed)
                } else {
                    Strike::Nothing
                }
            }
            Some(Fault::Stranger(deed)) => {
                if deed == Deed::AsksToStop {
                    self.stop_asked = true;
                }
                self.meddle(deed);
                Strike::Nothing
            }
        }
    }

    /// Dice for this call: the same schedule, the same numbers.
    fn dice(&self) -> Dice {
        let faults = self.schedule.keys().map(|number| u64::from(*number));
        Dice::new(faults.fold(u64::from(self.calls), |seed, number| {
            seed.wrapping_mul(1_000_003).wrapping_add(number)
        }))
    }

    fn note_made(&mut self, number: u32, call: Call) {
        let place = self.place();
        let unsynced = self.made.is_some() && !self.disk.is_durable();
        if let Some(made) = &mut self.made {
            let phase = if call.port != Port::Journal {
                Phase::During
            } else if call.name.starts_with("journal: intent") {
                Phase::Before
            } else {
                Phase::After
            };
            made.push(Made {
                number,
                place,
                phase,
                call,
                unsynced,
            });
        }
    }

    /// The step that is under way, as the journal has it.
    pub(crate) fn place(&self) -> Place {
        match self.log.last().map(|entry| &entry.event) {
            Some(Event::Intent { step }) => Place::Step(*step),
            Some(Event::UndoIntent { step, .. }) => Place::Undo(*step),
            _ => Place::Between,
        }
    }

    /// Lets time pass: migrations go on, containers boot.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        if self
            .cloning
            .as_ref()
            .is_some_and(|(.., due)| *due <= self.now_ms)
            && let Some((name, db, _)) = self.cloning.take()
        {
            self.databases.insert(name, db);
        }
        self.work_goes_on();
    }

    /// Everything stops, and what has the policy for it starts again.
    pub(crate) fn engine_restart(&mut self) {
        self.say(|| "the engine restarts".to_owned());
        self.stop_everything_in_order();
        self.engine_back_ms = self.now_ms + 4_000;
        self.now_ms += 1;
        self.start_by_policy();
    }

    /// The host loses power, and comes back a minute later. What was not synchronised is lost, torn or there.
    fn power_cut(&mut self, cut: Cut, mut dice: Dice) {
        self.say(|| "power cut".to_owned());
        self.stop_everything();
        self.disk.power_cut(cut, &mut |below| {
            usize::try_from(dice.below(u32::try_from(below).unwrap())).unwrap()
        });
        self.now_ms += 60_000;
        self.boot_ms = self.now_ms;
        self.engine_back_ms = 0;
        self.start_by_policy();
    }

    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let line = format!("{:>5} {:>9} ms  {}", self.calls, self.now_ms, text());
            trace.push(line);
        }
    }

    /// Remembers the first thing that is wrong.
    pub(crate) fn wrong(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = what();
            self.say(|| format!("WRONG: {what}"));
            self.violation = Some(what);
        }
    }

    /// Takes an event into the durable journal.
    pub(crate) fn write_down(
        &mut self,
        at: jiff::Timestamp,
        event: &Event,
    ) -> Result<Entry, String> {
        let seq = u64::try_from(self.log.len()).unwrap() + 1;
        if let Err(illegal) = self.state.apply(event) {
            self.wrong(|| format!("the journal was given what cannot follow: {illegal}"));
            return Err(illegal.to_string());
        }
        self.say(|| format!("journal {seq}: {event:?}"));
        let entry = Entry {
            seq,
            at,
            event: event.clone(),
        };
        self.log.push(entry.clone());
        invariants::event(self);
        Ok(entry)
    }
}

enum Strike {
    Nothing,
    Tell(Upset),
    TellAfter(Upset),
    Die(When, Option<(Cut, Dice)>),
}
