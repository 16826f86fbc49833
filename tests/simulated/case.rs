//! One simulated run: what it is made of, how it is judged, and how it is told.

use std::sync::Arc;

use mastopatch::domain::event::{Event, MigrationClass, Order};
use mastopatch::domain::plan::Method;

use crate::known;
use crate::sim::fault::Schedule;
use crate::sim::fixture::{Brings, Fixture, brought_back, fixture};
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
    /// What a person brings back; `None` begins an update.
    pub(crate) brings: Option<Brings>,
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
            brings: None,
            order: None,
        }
    }

    /// An update of this class that went well is taken back, without a fault.
    pub(crate) fn take_back(class: MigrationClass, method: Method, target: Target) -> Self {
        Self {
            brings: Some(Brings::UpdateBack),
            method,
            ..Self::update(class, target)
        }
    }

    /// The data of an update that was rolled back are put in once more, without a fault.
    pub(crate) fn restore_data() -> Self {
        Self {
            brings: Some(Brings::DataBack),
            ..Self::update(MigrationClass::M2, Target::Good)
        }
    }

    fn start(&self) -> &'static Fixture {
        match self.brings {
            None => fixture(self.class, self.method),
            Some(brings) => brought_back(brings, self.class, self.method),
        }
    }

    /// An order on a held run, without a fault; `None` where a run of this class is not held there.
    pub(crate) fn order(
        class: MigrationClass,
        method: Method,
        at: HeldAt,
        order: Order,
        accept_loss: bool,
    ) -> Option<Self> {
        held(at, class, method)?;
        Some(Self {
            method,
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
        let begins = self.held.map(|at| held(at, self.class, self.method));
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

    /// The command that tells an update once more; without harm and orders.
    pub(crate) fn command(&self) -> String {
        let faults = self
            .schedule
            .iter()
            .map(|(at, fault)| format!("{at}:{fault}"));
        format!(
            "FAULTS={} CLASS={:?} METHOD={} TARGET={} cargo test --test simulated retell -- --nocapture",
            faults.collect::<Vec<_>>().join(","),
            self.class,
            self.method.name(),
            Target::ALL
                .iter()
                .position(|it| *it == self.target)
                .unwrap()
        )
    }

    /// Reads what [`Self::command`] says; `None` if `FAULTS` is not there.
    pub(crate) fn of_environment() -> Option<Self> {
        let said = |name: &str| std::env::var(name).ok();
        let class = match said("CLASS").as_deref() {
            Some("M0") => MigrationClass::M0,
            Some("M1") => MigrationClass::M1,
            _ => MigrationClass::M2,
        };
        let target = said("TARGET").and_then(|place| place.parse::<usize>().ok());
        let mut case = Self::update(class, Target::ALL[target.unwrap_or_default()]);
        let methods = [Method::Clone, Method::Physical].into_iter();
        case.method = methods
            .chain([Method::Logical])
            .find(|method| said("METHOD").as_deref() == Some(method.name()))
            .unwrap_or_default();
        for fault in said("FAULTS")?.split(',').filter(|it| !it.is_empty()) {
            let (at, fault) = fault.split_once(':').unwrap();
            case.schedule
                .insert(at.parse().unwrap(), fault.parse().unwrap());
        }
        Some(case)
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
