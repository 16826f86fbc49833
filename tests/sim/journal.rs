//! The journal, with the legality of the product's own store, and the writer of mails.

use jiff::Timestamp;
use mastopatch::adapters::files::StateDir;
use mastopatch::domain::event::{Entry, Event, Outcome};
use mastopatch::domain::plan::Plan;
use mastopatch::domain::run::RunState;
use mastopatch::engine::Ports;
use mastopatch::ports::reporter::Reporter;
use mastopatch::ports::store::{Journal, NewMail, StoreError, StoredRun};

use super::fault::When;
use super::files::WorldDisk;
use super::world::{Call, Port, SimPorts, Upset, World};

const fn call(name: &'static str, mutating: bool) -> Call {
    Call {
        name,
        port: Port::Journal,
        mutating,
        limit_ms: 5_000,
    }
}

fn refused(action: &'static str) -> StoreError {
    StoreError::File {
        action,
        path: "/var/lib/mastopatch/state.db".to_owned(),
        source: "disk I/O error".into(),
    }
}

/// What can befall the journal while no process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The state file is gone.
    Lost,
    /// It can be neither read nor written, until somebody puts it out of the way.
    Garbled,
    /// It came back from a backup: so many entries are missing at its end, though never the first.
    RolledBack(u32),
}

impl World {
    /// Does to the journal what is due, if anything.
    pub(crate) fn harm_journal(&mut self) {
        let Some(harm) = self.harm.take() else {
            return;
        };
        self.n_faults += 1;
        self.harmed = true;
        // A snapshot that is whole counts as proved where the journal cannot say.
        self.seen.proved |= super::invariants::has_copy(self);
        // What was done from memory is in no journal.
        self.seen.finalises |= self.state.is_committed() && self.ever_refused;
        self.say(|| format!("the journal: {harm:?}"));
        match harm {
            Harm::Lost => self.journal_holds(0),
            Harm::Garbled => {
                self.garbled = true;
                self.ever_refused = true;
            }
            Harm::RolledBack(entries) => {
                let missing = usize::try_from(entries).unwrap();
                self.journal_holds(self.log.len().saturating_sub(missing).max(1));
            }
        }
    }

    /// Somebody puts a state file that cannot be read out of the way.
    pub(crate) fn put_journal_away(&mut self) {
        self.say(|| "the damaged journal is put out of the way".to_owned());
        self.garbled = false;
        // What was done without a journal is not in it.
        let went_on = [Some(Outcome::Committed), Some(Outcome::Held)];
        self.seen.finalises |= went_on.contains(&self.ended_unwritten);
        self.journal_holds(0);
    }

    pub(crate) fn journal_holds(&mut self, entries: usize) {
        self.log.truncate(entries);
        self.state = RunState::fold(&self.log).unwrap();
        if self.log.is_empty() {
            self.begun = None;
        }
        // Mails and quarantines lie in the same file.
        self.mails.clear();
        self.quarantine = None;
        self.seen.forgets(&self.log);
    }
}

impl SimPorts {
    fn write<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A transaction is there whole or not at all.
        let written = self.call(call, |world, when| {
            if when == When::After && !world.garbled {
                effect(world)
            } else {
                Err(refused("write to"))
            }
        });
        let written = written.unwrap_or_else(|_upset: Upset| Err(refused("write to")));
        if written.is_err() {
            let mut world = self.world();
            world.refused = true;
            world.ever_refused = true;
        }
        written
    }

    /// The run that the journal has.
    fn stored(&self) -> Result<Option<StoredRun>, StoreError> {
        let found = self.call(call("journal: read", false), |world, _| {
            if world.garbled {
                return Err(refused("read"));
            }
            Ok(world.begun.as_ref().map(|plan| StoredRun {
                plan: (**plan).clone(),
                journal: world.log.clone(),
            }))
        });
        found.map_err(|_upset| refused("read"))?
    }
}

impl Journal for SimPorts {
    fn begin(&self, plan: &Plan, at: Timestamp) -> Result<Entry, StoreError> {
        let plan_hash = plan.hash().unwrap();
        self.write(call("journal: begin", true), |world| {
            if world.begun.is_some() && world.state.outcome().is_none() {
                return Err(refused("begin a second run in"));
            }
            world.begun = Some(plan.clone().into());
            let event = Event::Planned { plan_hash };
            world
                .write_down(at, &event)
                .map_err(|_why| refused("write to"))
        })
    }

    fn append(&self, run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError> {
        let name = match event {
            Event::Intent { .. } | Event::UndoIntent { .. } => "journal: intent",
            Event::Done { .. }
            | Event::Failed { .. }
            | Event::UndoDone { .. }
            | Event::UndoFailed { .. } => "journal: result",
            Event::Committed => "journal: commit",
            Event::Planned { .. }
            | Event::Resumed { .. }
            | Event::Rebuilt(_)
            | Event::RollbackBegun { .. } => "journal",
            Event::Ordered { .. } => return Err(refused("order without opening again in")),
            Event::Finished { .. } => return Err(refused("end a run without its mails in")),
        };
        self.write(call(name, true), |world| {
            if world.begun.as_ref().is_none_or(|plan| plan.run != run) {
                return Err(StoreError::NoSuchRun {
                    run: run.to_owned(),
                });
            }
            world
                .write_down(at, event)
                .map_err(|_why| refused("write to"))
        })
    }

    fn reopen(&self, _run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError> {
        self.write(call("journal: order", true), |world| {
            if !world.state.is_held() {
                return Err(refused("open again a run that is not held in"));
            }
            world
                .write_down(at, event)
                .map_err(|_why| refused("write to"))
        })
    }

    fn finish(
        &self,
        _run: &str,
        at: Timestamp,
        event: &Event,
        mails: &[NewMail],
        quarantine: Option<&str>,
    ) -> Result<Entry, StoreError> {
        self.write(call("journal: finish", true), |world| {
            world.quarantine = quarantine.map(str::to_owned);
            world
                .mails
                .extend(mails.iter().map(|mail| mail.message.clone()));
            world
                .write_down(at, event)
                .map_err(|_why| refused("write to"))
        })
    }

    fn run(&self, run: &str) -> Result<StoredRun, StoreError> {
        let stored = self.stored()?.filter(|stored| stored.plan.run == run);
        stored.ok_or_else(|| StoreError::NoSuchRun {
            run: run.to_owned(),
        })
    }

    fn runs(&self, _instance: &str, _limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        Ok(self.stored()?.into_iter().collect())
    }

    fn unfinished(&self, _instance: &str) -> Result<Option<StoredRun>, StoreError> {
        let is_open = |run: &StoredRun| RunState::fold(&run.journal).unwrap().outcome().is_none();
        Ok(self.stored()?.filter(is_open))
    }
}

impl Reporter for SimPorts {
    fn mails(&self, _plan: &Plan, journal: &[Entry]) -> Vec<NewMail> {
        if self.world().silent {
            return Vec::new();
        }
        vec![NewMail {
            recipient: "admin@example.org".to_owned(),
            message: format!("{} entries", journal.len()).into_bytes(),
        }]
    }
}

impl Ports for SimPorts {
    type Runtime = Self;
    type Database = Self;
    type Redis = Self;
    type Compose = Self;
    type Probe = Self;
    type Files = StateDir<WorldDisk>;
    type Journal = Self;
    type Reporter = Self;
    type Clock = Self;

    fn runtime(&self) -> &Self {
        self
    }
    fn database(&self) -> &Self {
        self
    }
    fn redis(&self) -> &Self {
        self
    }
    fn compose(&self) -> &Self {
        self
    }
    fn probe(&self) -> &Self {
        self
    }
    fn files(&self) -> &StateDir<WorldDisk> {
        self.files.state_dir()
    }
    fn journal(&self) -> &Self {
        self
    }
    fn reporter(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
}
