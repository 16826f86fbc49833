//! The journal, with the legality of the product's own store, and the writer of mails.

use jiff::Timestamp;
use mastopatch::adapters::files::StateDir;
use mastopatch::domain::event::{Entry, Event};
use mastopatch::domain::plan::Plan;
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

impl SimPorts {
    fn write<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A transaction is there whole or not at all.
        let written = self.call(call, |world, when| {
            if when == When::After {
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

    fn stored(world: &World) -> Option<StoredRun> {
        let plan = world.begun.as_ref()?;
        Some(StoredRun {
            plan: (**plan).clone(),
            journal: world.log.clone(),
        })
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
        let found = self.call(call("journal: read", false), |world, _| Self::stored(world));
        found
            .map_err(|_upset| refused("read"))?
            .ok_or_else(|| StoreError::NoSuchRun {
                run: run.to_owned(),
            })
    }

    fn runs(&self, _instance: &str, _limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        let found = self.call(call("journal: read", false), |world, _| Self::stored(world));
        Ok(found
            .map_err(|_upset| refused("read"))?
            .into_iter()
            .collect())
    }

    fn unfinished(&self, _instance: &str) -> Result<Option<StoredRun>, StoreError> {
        let found = self.call(call("journal: read", false), |world, _| {
            let open = world.state.outcome().is_none();
            Self::stored(world).filter(|_| open)
        });
        found.map_err(|_upset| refused("read"))
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
