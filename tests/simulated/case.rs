//! One simulated run: what it is made of, how it is judged, and how it is told.

use std::sync::Arc;

use mastopatch::domain::event::{Event, MigrationClass, Order};
use mastopatch::domain::plan::Method;

use crate::known;
use crate::sim::fault::Schedule;
use crate::sim::fixture::{Fixture, fixture, taken_back};
use crate::sim::held::{HeldAt, held};
use crate::sim::journal::Harm;
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::{Carried, carry_order, carry_through, first_process};
use crate::sim::world::{Made, Target, World};

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) class: MigrationClass,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) schedule: Schedule,
    /// What befalls the journal after the first process that ends before the run is over.
    pub(crate) harm: Option<Harm>,
    /// Where it is held at its beginning; `None` begins an update.
    pub(crate) held: Option<HeldAt>,
    /// Whether a person takes an update back that went well.
    pub(crate) takes_back: bool,
    /// What a person decides if it is held, and whether they agree to a loss.
    pub(crate) order: Option<(Order, bool)>,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Went {
    pub(crate) verdict: Result<Verdict, String>,
    pub(crate) restarts: u32,
    pub(crate) world: World,
}

impl Case {
    /// An update without a fault.
    pub(crate) fn update(class: MigrationClass, target: Target) -> Self {
        Self {
            class,
            method: Method::Logical,
            target,
            schedule: Schedule::new(),
            harm: None,
            held: None,
            takes_back: false,
            order: None,
        }
    }

    /// An update of this class that went well is taken back, without a fault.
    pub(crate) fn take_back(class: MigrationClass, target: Target) -> Self {
        Self {
            takes_back: true,
            ..Self::update(class, target)
        }
    }

    fn start(&self) -> &'static Fixture {
        if self.takes_back {
            taken_back(self.class)
        } else {
            fixture(self.class, self.method)
        }
    }

    /// An order on a held run, without a fault; `None` where a run of this class is not held there.
    pub(crate) fn order(
        class: MigrationClass,
        at: HeldAt,
        order: Order,
        accept_loss: bool,
    ) -> Option<Self> {
        held(at, class)?;
        Some(Self {
            held: Some(at),
            order: Some((order, accept_loss)),
            ..Self::update(class, Target::Good)
        })
    }

    pub(crate) fn run(&self) -> Went {
        self.run_with(false, false)
    }

    /// Runs it, and remembers each call.
    pub(crate) fn calls(&self) -> Vec<Made> {
        self.run_with(true, false).world.made.unwrap()
    }

    /// Its world at the moment at which its first process is killed.
    pub(crate) fn run_until_killed(&self) -> World {
        let fixture = self.start();
        let mut world = fixture.world.clone();
        world.target = self.target;
        world.schedule = Arc::new(self.schedule.clone());
        first_process(world, fixture.plan.clone())
    }

    /// Its world before anything is done, for a comparison.
    pub(crate) fn begins(&self) -> World {
        let begins = self.held.map(|at| held(at, self.class));
        let never = || panic!("{self:?} is never held there");
        begins.map_or_else(
            || self.start().world.clone(),
            |world| world.unwrap_or_else(never).clone(),
        )
    }

    fn run_with(&self, made: bool, trace: bool) -> Went {
        let fixture = self.start();
        let mut world = self.begins();
        world.target = self.target;
        world.schedule = Arc::new(self.schedule.clone());
        world.harm = self.harm;
        world.made = made.then(Vec::new);
        world.trace = trace.then(Vec::new);
        let mut carried = match self.held {
            None => carry_through(world, Some(fixture.plan.clone())),
            Some(_) => Carried { world, restarts: 0 },
        };
        if let Some((order, accept_loss)) = self.order
            && carried.world.state.is_held()
        {
            let by = "ada".to_owned();
            let event = Event::Ordered {
                order,
                by,
                accept_loss,
            };
            let before = carried.restarts;
            carried = carry_order(carried.world, &event);
            carried.restarts += before;
        }
        let verdict = judge(&mut carried.world, &fixture.world, &fixture.plan);
        Went {
            verdict,
            restarts: carried.restarts,
            world: carried.world,
        }
    }

    /// The run once more, as a text that can be read.
    pub(crate) fn told(&self) -> String {
        let went = self.run_with(false, true);
        let trace = went.world.trace.unwrap().join("\n");
        format!("{self:?}\n{trace}\n=> {:?}", went.verdict)
    }
}

/// Counts of many runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) interrupted: u64,
    pub(crate) restarts: u64,
    pub(crate) verdicts: std::collections::BTreeMap<Verdict, u64>,
    pub(crate) known: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) wrong: std::collections::BTreeMap<String, (u64, String)>,
}

impl Tally {
    pub(crate) fn count(&mut self, went: &Went, name: impl FnOnce() -> String) {
        self.runs += 1;
        self.interrupted += u64::from(went.world.n_faults > 0);
        self.restarts += u64::from(went.restarts);
        match &went.verdict {
            Ok(verdict) => *self.verdicts.entry(*verdict).or_default() += 1,
            Err(why) => match known::fault_of(why, &went.world) {
                Some(fault) => *self.known.entry(fault).or_default() += 1,
                None => {
                    // The same fault, whichever post or container it shows by.
                    let kind: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
                    let found = self.wrong.entry(kind).or_insert_with(|| (0, name()));
                    found.0 += 1;
                }
            },
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.interrupted += other.interrupted;
        self.restarts += other.restarts;
        for (verdict, n) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += n;
        }
        for (fault, n) in other.known {
            *self.known.entry(fault).or_default() += n;
        }
        for (kind, (n, name)) in other.wrong {
            self.wrong.entry(kind).or_insert((0, name)).0 += n;
        }
    }

    pub(crate) fn assert_right(&self) {
        for (fault, n) in &self.known {
            println!("known, {n} runs: {fault}");
        }
        let mut text = String::new();
        for (kind, (n, name)) in &self.wrong {
            text.push_str(&format!("\n{n} runs: {kind}\n    {name}"));
        }
        assert!(self.wrong.is_empty(), "{text}");
    }
}
