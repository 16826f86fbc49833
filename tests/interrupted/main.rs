//! Interruptions of an update on a real engine: the process is killed at every entry of the journal and in the
//! middle of every long effect, the engine is restarted at every step, and people do things meanwhile. Every case
//! ends all old, all new or, where a person has to decide, held, with every acknowledged write there.
//!
//! `tests/lab/lab.sh run cargo test --test interrupted` takes a spread in some minutes; words after `--` choose
//! cases by name out of all. With `SOAK=1` every case is taken, again and again for `SOAK_MINUTES` (one round
//! where that is not set).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test code may fail loudly, prints, runs programs, reads the clock"
)]

mod acts;
mod cases;
mod check;
mod moments;
mod place;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use acts::Act;
use cases::Case;
use check::Seen;
use place::{Place, Update};
use support::lab::Lab;
use support::panics;
use table::Table;

/// Stacks that run at the same time; the moments are met by looking, so a starved boot only costs time.
const SIDE_BY_SIDE: usize = 3;

/// Known faults of the product: a case's name, and a sentence about what is wrong.
const KNOWN: [(&str, &str); 0] = [];

struct Orders {
    names: Vec<String>,
    list: bool,
    soak: bool,
    until: Option<Instant>,
}

impl Orders {
    fn read() -> Self {
        let soak = std::env::var("SOAK").is_ok_and(|value| value == "1");
        let minutes = std::env::var("SOAK_MINUTES").ok();
        let minutes = minutes.and_then(|text| text.parse::<u64>().ok());
        let names = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
        Self {
            names: names.collect(),
            list: std::env::args().any(|arg| arg == "--list"),
            soak,
            until: minutes
                .filter(|_| soak)
                .map(|minutes| Instant::now() + Duration::from_secs(minutes * 60)),
        }
    }

    fn wants(&self, case: &Case) -> bool {
        if self.names.is_empty() {
            self.soak || case.spread
        } else {
            let name = case.name();
            self.names.iter().any(|word| name.contains(word.as_str()))
        }
    }
}

/// What the workers share.
struct Log {
    table: Mutex<Table>,
    failures: Mutex<Vec<(String, String)>>,
    known: Mutex<Vec<String>>,
}

fn main() -> ExitCode {
    let orders = Orders::read();
    let chosen = |suite: Vec<Case>| -> Vec<Case> {
        suite
            .into_iter()
            .filter(|case| orders.wants(case))
            .collect()
    };
    let beside: Vec<Vec<Case>> = cases::beside_others().into_iter().map(chosen).collect();
    let mut alone = chosen(cases::alone());
    if orders.list {
        let all = beside.iter().flatten().chain(&alone);
        all.for_each(|case| println!("{}: test", case.name()));
        return ExitCode::SUCCESS;
    }
    let every = cases::beside_others().iter().map(Vec::len).sum::<usize>() + cases::alone().len();
    let wanted = beside.iter().map(Vec::len).sum::<usize>() + alone.len();
    if wanted == 0 {
        println!("no interruption has such a name");
        return ExitCode::SUCCESS;
    }
    let lab = Lab::from_env();
    support::lab::sweep(&lab);
    let owned = std::env::var("LAB_ENGINE_OWNED").is_ok_and(|value| value == "1");
    let foreign = if owned {
        Vec::new()
    } else {
        std::mem::take(&mut alone)
    };
    println!(
        "\nrunning {wanted} of {every} interruptions on the engine at {}",
        lab.docker_host
    );
    panics::listen();
    let started = Instant::now();
    let log = Log {
        table: Mutex::default(),
        failures: Mutex::default(),
        known: Mutex::default(),
    };
    let mut rounds = 0;
    loop {
        rounds += 1;
        round(&lab, &orders, &beside, &alone, rounds, &log);
        if orders.until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
    }
    let left = panic::catch_unwind(nothing_of_ours_is_left).unwrap_or_else(|_| Err(panics::take()));
    if let Err(left) = left {
        let mut failures = log.failures.lock().expect("log");
        failures.push(("nothing is left on the machine".to_owned(), left));
    }
    report(&log, started.elapsed(), rounds, every - wanted, &foreign)
}

fn round(
    lab: &Lab,
    orders: &Orders,
    beside: &[Vec<Case>],
    alone: &[Case],
    number: usize,
    log: &Log,
) {
    let queue: Mutex<VecDeque<&Vec<Case>>> =
        Mutex::new(beside.iter().filter(|suite| !suite.is_empty()).collect());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let Some(suite) = queue.lock().expect("queue").pop_front() else {
                        return;
                    };
                    run_suite(lab, orders, suite, number, log);
                }
            });
        }
    });
    run_suite(lab, orders, alone, number, log);
}

fn run_suite(lab: &Lab, orders: &Orders, suite: &[Case], round: usize, log: &Log) {
    let mut place: Option<Place> = None;
    for (index, case) in suite.iter().enumerate() {
        if orders.until.is_some_and(|until| Instant::now() >= until) {
            return;
        }
        let started = Instant::now();
        let taken = panic::catch_unwind(AssertUnwindSafe(|| -> Seen {
            let here = ready(lab, &mut place, case.update);
            check::run(here, case, index + round)
        }));
        let result = taken.map_err(|_panic| panics::take());
        let name = case.name();
        let seconds = started.elapsed().as_secs_f64();
        match &result {
            Ok(seen) => {
                if KNOWN.iter().any(|(known, _)| *known == name) {
                    let gone = format!("{name}: did not show any more; take it off the list");
                    log.known.lock().expect("log").push(gone);
                }
                let why = if seen.why_held.is_empty() {
                    String::new()
                } else {
                    format!("\n{}\n", seen.why_held)
                };
                println!(
                    "test {name} ... {}, {} restarts, last entry `{}` ({seconds:.1} s){why}",
                    seen.ended.name(),
                    seen.restarts,
                    seen.last
                );
            }
            Err(why) => {
                let known = KNOWN.iter().find(|(known, _)| *known == name);
                let word = if known.is_some() {
                    "known fault"
                } else {
                    "FAILED"
                };
                println!("test {name} ... {word} ({seconds:.1} s)\n{why}\n");
                match known {
                    Some((name, what)) => log
                        .known
                        .lock()
                        .expect("log")
                        .push(format!("{name}: {what}")),
                    None => log.failures.lock().expect("log").push((name, why.clone())),
                }
            }
        }
        // What a held or failed case leaves is nobody's "before".
        let well = result
            .as_ref()
            .is_ok_and(|seen| seen.ended != check::Ended::Held);
        if let Some(left) = place.take_if(|_| !well) {
            left.abandon();
        }
        log.table.lock().expect("log").add(case, &result);
    }
}

/// The place of the last case, back at its beginning, or a new one.
fn ready<'a>(lab: &Lab, place: &'a mut Option<Place>, update: Update) -> &'a mut Place {
    if place.as_ref().is_some_and(|place| place.update != update) {
        drop(place.take());
    }
    let fresh = place.is_none();
    let here = place.get_or_insert_with(|| Place::new(lab, update));
    let shown = here.instance.shown_version();
    if !fresh && shown.as_deref() != Ok(support::world::plain(update.from())) {
        here.go_back();
    }
    here
}

fn nothing_of_ours_is_left() -> Result<(), String> {
    let containers = support::lab::containers("label=org.mastopatch.run");
    let mut left: Vec<String> = containers.into_iter().map(|found| found.name).collect();
    left.extend(support::world::networks("label=org.mastopatch.run"));
    left.extend(support::world::keep_tags());
    support::check(left.is_empty(), format!("left on the machine: {left:?}"))
}

fn report(
    log: &Log,
    elapsed: Duration,
    rounds: usize,
    unchosen: usize,
    foreign: &[Case],
) -> ExitCode {
    let failures = log.failures.lock().expect("log");
    for (name, why) in failures.iter() {
        println!("\n---- {name}\n{why}");
    }
    log.table.lock().expect("log").print();
    for known in log.known.lock().expect("log").iter() {
        println!("known fault: {known}");
    }
    if unchosen > 0 {
        println!("not run: {unchosen} interruptions that only SOAK=1 takes");
    }
    if !foreign.is_empty() {
        let restarts = foreign.iter().filter(|case| case.act == Act::EngineRestart);
        println!(
            "skipped: the engine is not the lab's: {} restarts and {} prunes of all images",
            restarts.clone().count(),
            foreign.len() - restarts.count()
        );
    }
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {} failed; {rounds} rounds; finished in {:.0} s\n",
        failures.len(),
        elapsed.as_secs_f64()
    );
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
