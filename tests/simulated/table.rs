//! Every step of a run, forward and back, x before, during and after its effect x every fault x the first time, on the
//! way back, and in a recovery. A step that is not in [`expected`] does not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mastopatch::domain::event::{MigrationClass, Step, UndoStep};
use mastopatch::domain::plan::Method;

use crate::case::{Case, Tally};
use crate::sim::fault::{Fault, When};
use crate::sim::outcome::Verdict;
use crate::sim::stranger::Deed;
use crate::sim::world::{Made, Phase, Place, Port, Target};

/// Dice thrown for each write that is torn.
const TORN: u32 = 6;

/// How a run may end that was interrupted once, in this step, and had a good target.
fn expected(step: Step) -> &'static [Verdict] {
    match step {
        // Nothing of the new version was tried.
        Step::Preflight | Step::Pull | Step::Fence | Step::Snapshot => {
            &[Verdict::Aborted, Verdict::Committed]
        }
        // A lost intent is not acted upon, so the way back may find nothing to take; and an engine that goes away
        // while a result is written is missed by the next step only.
        Step::Prove | Step::Migrate => &[Verdict::Aborted, Verdict::RolledBack, Verdict::Committed],
        // What was tried is taken back.
        Step::Switch | Step::Verify => &[Verdict::RolledBack, Verdict::Committed],
        // There is only forward.
        Step::Open | Step::Finalise => &[Verdict::Committed],
    }
}

/// The same for a way back that a bad target made necessary.
fn expected_back(step: UndoStep) -> &'static [Verdict] {
    match step {
        UndoStep::RemoveNew
        | UndoStep::RestoreData
        | UndoStep::RestoreFiles
        | UndoStep::StartOld
        | UndoStep::VerifyOld
        | UndoStep::CleanUp => &[Verdict::RolledBack],
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    place: Place,
    again: Again,
}

/// How often the run was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    First,
    OnTheWayBack,
    InARecovery,
}

/// One run of the table.
#[derive(Debug)]
struct Cell {
    row: Row,
    column: &'static str,
    case: Case,
}

fn bases() -> Vec<Case> {
    let mut bases = Vec::new();
    for class in [MigrationClass::M0, MigrationClass::M1, MigrationClass::M2] {
        for target in [Target::Good, Target::Unhealthy] {
            bases.push(Case::update(class, target));
        }
    }
    // Where nothing is pending, a clone is made and thrown away.
    for (method, class, target) in [
        (Method::Clone, MigrationClass::M0, Target::Good),
        (Method::Clone, MigrationClass::M2, Target::Good),
        (Method::Clone, MigrationClass::M2, Target::Unhealthy),
        (Method::Physical, MigrationClass::M2, Target::Good),
        (Method::Physical, MigrationClass::M2, Target::Unhealthy),
    ] {
        let case = Case::update(class, target);
        bases.push(Case { method, ..case });
    }
    bases
}

/// Every fault at every call of a run without a fault. The way forward of a bad target is that of a good one.
fn firsts(base: &Case) -> Vec<Cell> {
    let calls = base.calls().into_iter();
    let counts = |made: &Made| match made.place {
        Place::Between => true,
        Place::Step(_) => base.target == Target::Good,
        Place::Undo(_) => true,
    };
    let mut cells = Vec::new();
    for made in calls.filter(counts) {
        // Only where something can be torn; the others would be one more power cut.
        let is_written = made.unsynced || (made.call.port == Port::Journal && made.call.mutating);
        let torn = (0..TORN).map(Fault::TornWrite).filter(|_| is_written);
        let others = Fault::TABLE.into_iter();
        let others = others.filter(|fault| !matches!(fault, Fault::TornWrite(_)));
        for fault in others.chain(torn) {
            let mut case = base.clone();
            case.schedule.insert(made.number, fault);
            cells.push(Cell {
                row: Row {
                    place: made.place,
                    again: Again::First,
                },
                column: fault.column(),
                case,
            });
        }
    }
    cells
}

/// For each place and phase the first, the middle and the last call.
fn spread(calls: &[Made]) -> Vec<Made> {
    let mut groups: BTreeMap<(Place, Phase), Vec<Made>> = BTreeMap::new();
    for made in calls {
        groups
            .entry((made.place, made.phase))
            .or_default()
            .push(*made);
    }
    let chosen = groups.values().flat_map(|group| {
        let places: BTreeSet<usize> = [0, group.len() / 2, group.len() - 1].into();
        places
            .into_iter()
            .map(|place| group[place])
            .collect::<Vec<_>>()
    });
    chosen.collect()
}

/// A second fault at a spread of the calls that follow a first one: an error leads to the way back, a kill to a recovery.
fn seconds(base: &Case) -> Vec<Cell> {
    let first_faults = [
        (Fault::Error, Again::OnTheWayBack),
        (Fault::Kill(When::After), Again::InARecovery),
    ];
    let mut cells = Vec::new();
    for first in spread(&base.calls()) {
        for (fault, again) in first_faults {
            let mut once = base.clone();
            once.schedule.insert(first.number, fault);
            let after: Vec<Made> = once
                .calls()
                .into_iter()
                .filter(|made| made.number > first.number)
                .collect();
            for (turn, second) in spread(&after).into_iter().enumerate() {
                // Every fault comes round at every place, spread over the first faults.
                for which in 0..2 {
                    let place = usize::try_from(first.number).unwrap() + turn + which * 5;
                    let second_fault = Fault::TABLE[place % Fault::TABLE.len()];
                    let mut case = once.clone();
                    case.schedule.insert(second.number, second_fault);
                    cells.push(Cell {
                        row: Row {
                            place: second.place,
                            again,
                        },
                        column: second_fault.column(),
                        case,
                    });
                }
            }
        }
    }
    cells
}

/// Whether a run that was interrupted once ended as its step says.
fn as_expected(cell: &Cell, verdict: Verdict) -> bool {
    match (cell.row.again, cell.row.place, cell.case.target) {
        (Again::First, Place::Step(step), Target::Good) => expected(step).contains(&verdict),
        (Again::First, Place::Undo(step), _) => expected_back(step).contains(&verdict),
        _ => true,
    }
}

type Counts = BTreeMap<Row, BTreeMap<&'static str, u64>>;

/// Runs every cell; counts by row and column, and how they ended by column.
fn run_all(cells: &[Cell]) -> (Counts, BTreeMap<&'static str, Tally>) {
    let next = AtomicUsize::new(0);
    let counts: Mutex<Counts> = Mutex::default();
    let work = || {
        let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut went = cell.case.run();
            if let Ok(verdict) = went.verdict
                && !as_expected(cell, verdict)
            {
                went.verdict = Err(format!("{:?} ends {verdict:?}", cell.row.place));
            }
            let tally = tallies.entry(cell.column).or_default();
            tally.count(&went, || cell.case.command());
            *counts
                .lock()
                .unwrap()
                .entry(cell.row)
                .or_default()
                .entry(cell.column)
                .or_default() += 1;
        }
        tallies
    };
    let mut all: BTreeMap<&'static str, Tally> = BTreeMap::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            for (column, tally) in thread.join().unwrap() {
                all.entry(column).or_default().add(tally);
            }
        }
    });
    (counts.into_inner().unwrap(), all)
}

/// The table as README has it: how many runs each fault interrupted, and how they ended.
fn print_by_fault(tallies: &BTreeMap<&'static str, Tally>) {
    println!("| Interrupted by | runs | half-states | held | posts lost |");
    println!("|---|---:|---:|---:|---:|");
    for (column, tally) in tallies {
        let is_post = |why: &&String| why.starts_with("post ");
        let n_posts: u64 = tally
            .wrong
            .iter()
            .filter(|(why, _)| is_post(why))
            .map(|(_, (n, _))| n)
            .sum();
        let n_wrong: u64 = tally.wrong.values().map(|(n, _)| n).sum();
        let n_held = tally.verdicts.get(&Verdict::Held).unwrap_or(&0);
        println!(
            "| {column} | {} | {} | {n_held} | {n_posts} |",
            tally.runs,
            n_wrong - n_posts
        );
    }
}

fn name(place: Place) -> &'static str {
    match place {
        Place::Between => "(between steps)",
        Place::Step(step) => step.name(),
        Place::Undo(step) => step.name(),
    }
}

#[test]
fn every_step_survives_every_fault_the_first_time_on_the_way_back_and_in_a_recovery() {
    let mut cells: Vec<Cell> = Vec::new();
    for base in bases() {
        cells.extend(firsts(&base));
        cells.extend(seconds(&base));
    }
    let (counts, tallies) = run_all(&cells);
    let columns: BTreeSet<&str> = Fault::TABLE.iter().map(|fault| fault.column()).collect();
    print!("{:16} {:14}", "step", "");
    columns.iter().for_each(|column| print!("{column:>15}"));
    println!();
    for (row, line) in &counts {
        let again = match row.again {
            Again::First => "first",
            Again::OnTheWayBack => "on the way back",
            Again::InARecovery => "in a recovery",
        };
        print!("{:16} {again:14}", name(row.place));
        columns
            .iter()
            .for_each(|column| print!("{:>15}", line.get(column).unwrap_or(&0)));
        println!();
    }
    print_by_fault(&tallies);
    let mut tally = Tally::default();
    tallies.into_values().for_each(|part| tally.add(part));
    println!(
        "{} runs, {} restarts: {:?}",
        tally.runs, tally.restarts, tally.verdicts
    );
    // Half of what README promises; the runs by chance are the other half.
    assert!(
        tally.interrupted >= 50_000,
        "{} runs are too few",
        tally.interrupted
    );
    let seen: BTreeSet<Place> = counts.keys().map(|row| row.place).collect();
    for step in Step::ALL {
        assert!(
            seen.contains(&Place::Step(step)),
            "{step} was never interrupted"
        );
    }
    for step in UndoStep::ALL {
        assert!(
            seen.contains(&Place::Undo(step)),
            "{step} was never interrupted"
        );
    }
    tally.assert_right();
}

/// Tells one run of the table, by the command that a failure names ([`Case::command`]).
#[test]
fn retell() {
    if let Some(case) = Case::of_environment() {
        println!("{}", case.told());
    }
}

#[test]
fn a_case_is_read_as_its_command_says_it() {
    for fault in Fault::TABLE
        .into_iter()
        .chain([Fault::Stranger(Deed::PrunesImages)])
    {
        assert_eq!(fault.to_string().parse(), Ok(fault));
    }
    assert!("kill-3".parse::<Fault>().is_err());
    let mut case = bases().pop().unwrap();
    case.schedule.insert(12, Fault::LostAfter);
    case.schedule.insert(80, Fault::Kill(When::Middle));
    let said = case.command();
    assert!(
        said.starts_with("FAULTS=12:lost-1,80:kill-1 CLASS="),
        "{said}"
    );
}
