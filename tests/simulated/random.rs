//! Runs by chance: a seed makes a schedule of several faults; the same seed makes the same run on every machine.

use std::sync::atomic::{AtomicU64, Ordering};

use mastopatch::domain::event::{MigrationClass, Order};
use mastopatch::domain::plan::Method;

use crate::case::{Case, Tally};
use crate::sim::fault::{Dice, Fault, Schedule};
use crate::sim::journal::Harm;
use crate::sim::stranger::Deed;
use crate::sim::world::Target;

/// Runs by chance in `cargo test`, unless `RUNS` says otherwise.
const RUNS: u64 = 60_000;
/// Seeds that one thread takes at a time.
const BATCH: u64 = 500;
/// Calls of a run without a fault, and its way back, at the most.
const CALLS: u32 = 540;

/// The run of a seed.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let class = dice.pick(&[MigrationClass::M0, MigrationClass::M1, MigrationClass::M2]);
    let target = dice.pick(&[
        Target::Good,
        Target::Good,
        Target::Good,
        Target::MigrationFails,
        Target::MigrationHangs,
        Target::Unhealthy,
        Target::Dies,
    ]);
    let strangers = dice.below(4) == 0;
    let mut schedule = Schedule::new();
    for _ in 0..=dice.below(4) {
        let at = 1 + dice.below(CALLS);
        let fault = if strangers && dice.below(2) == 0 {
            Fault::Stranger(dice.pick(&Deed::ALL))
        } else {
            match dice.pick(&Fault::TABLE) {
                Fault::TornWrite(_) => Fault::TornWrite(dice.below(u32::MAX)),
                fault => fault,
            }
        };
        schedule.insert(at, fault);
    }
    let harm = (dice.below(8) == 0).then(|| {
        let missing = 1 + dice.below(12);
        dice.pick(&[Harm::Lost, Harm::Garbled, Harm::RolledBack(missing)])
    });
    // What a person who was shown all of it may say.
    let order = dice.pick(&[
        None,
        Some((Order::Resume, true)),
        Some((Order::Rollback, true)),
        Some((Order::Release, false)),
    ]);
    // Thrown last, so that the other dice of a seed stay what they are.
    let method = dice.pick(&[Method::Logical, Method::Clone, Method::Physical]);
    Case {
        method,
        schedule,
        harm,
        order,
        ..Case::update(class, target)
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_run_interrupted_by_chance_ends_all_old_all_new_or_held() {
    let (first, runs) = (number("FIRST").unwrap_or(0), number("RUNS").unwrap_or(RUNS));
    let next = AtomicU64::new(0);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            if start >= runs {
                return tally;
            }
            for seed in (start..runs.min(start + BATCH)).map(|n| first + n) {
                let went = case(seed).run();
                tally.count(&went, || {
                    format!("SEED={seed} cargo test --test simulated replay -- --nocapture")
                });
            }
        }
    };
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            all.add(thread.join().unwrap());
        }
    });
    println!(
        "{} runs by chance (seeds {first} to {}), {} of them interrupted, {} restarts: {:?}",
        all.runs,
        first + runs - 1,
        all.interrupted,
        all.restarts,
        all.verdicts
    );
    assert!(
        all.interrupted >= runs * 5 / 6,
        "{} of {runs} are too few",
        all.interrupted
    );
    all.assert_right();
}

/// Tells one run of [`a_run_interrupted_by_chance_ends_all_old_all_new_or_held`], by its seed in `SEED`.
#[test]
fn replay() {
    if let Some(seed) = number("SEED") {
        println!("{}", case(seed).told());
    }
}
