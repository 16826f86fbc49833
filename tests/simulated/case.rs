//! One simulated run: what it is made of, how it is judged, and how it is told.

use std::sync::Arc;

use mastopatch::domain::event::MigrationClass;

use crate::known;
use crate::sim::fault::Schedule;
use crate::sim::fixture::fixture;
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::{carry_through, first_process};
use crate::sim::world::{Made, Target, World};

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) class: MigrationClass,
    pub(crate) target: Target,
    pub(crate) schedule: Schedule,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Went {
    pub(crate) verdict: Result<Verdict, String>,
    pub(crate) restarts: u32,
    pub(crate) world: World,
}

impl Case {
    pub(crate) fn run(&self) -> Went {
        self.run_with(false, false)
    }

    /// Runs it, and remembers each call.
    pub(crate) fn calls(&self) -> Vec<Made> {
        self.run_with(true, false).world.made.unwrap()
    }

    /// Its world at the moment at which its first process is killed.
    pub(crate) fn run_until_killed(&self) -> World {
        let fixture = fixture(self.class);
        let mut world = fixture.world.clone();
        world.target = self.target;
        world.schedule = Arc::new(self.schedule.clone());
        first_process(world, fixture.plan.clone())
    }

    fn run_with(&self, made: bool, trace: bool) -> Went {
        let fixture = fixture(self.class);
        let mut world = fixture.world.clone();
        world.target = self.target;
        world.schedule = Arc::new(self.schedule.clone());
        world.made = made.then(Vec::new);
        world.trace = trace.then(Vec::new);
        let mut carried = carry_through(world, Some(fixture.plan.clone()));
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
