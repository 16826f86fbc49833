//! The survived-interruption table.

use std::collections::BTreeMap;

use crate::cases::Case;
use crate::check::{Ended, Seen};

/// Rows by kind of interruption and update, then by place, in the order of the run.
#[derive(Default)]
pub(crate) struct Table {
    rows: BTreeMap<(String, usize), Row>,
    order: Vec<String>,
}

#[derive(Default)]
struct Row {
    place: String,
    /// What README counts it as.
    by: String,
    times: u32,
    old: u32,
    new: u32,
    held: u32,
    failed: u32,
    restarts: u32,
    acknowledged: usize,
    seconds: f64,
    missed: u32,
}

impl Table {
    pub(crate) fn add(&mut self, case: &Case, result: &Result<Seen, String>) {
        let name = case.name();
        let place = self.order.iter().position(|known| *known == name);
        let place = place.unwrap_or_else(|| {
            self.order.push(name);
            self.order.len() - 1
        });
        let kind = format!("{}, {}", case.act.name(), case.kind());
        let row = self.rows.entry((kind, place)).or_default();
        row.place = case.moment.to_string();
        row.by = case.told();
        row.times += 1;
        match result {
            Ok(seen) => {
                match seen.ended {
                    Ended::AllOld => row.old += 1,
                    Ended::AllNew => row.new += 1,
                    Ended::Held => row.held += 1,
                }
                row.restarts = row.restarts.max(seen.restarts);
                row.acknowledged += seen.acknowledged;
                row.seconds += seen.took.as_secs_f64();
                row.missed += u32::from(!case.moment.is_at(&seen.last));
            }
            Err(_) => row.failed += 1,
        }
    }

    /// Prints it: writes lost are 0 in every row that did not fail, or it would have failed.
    pub(crate) fn print(&self) {
        println!(
            "\n{:<34} {:<32} {:>5} {:>7} {:>7} {:>4} {:>6} {:>8} {:>6} {:>4} {:>6}",
            "interruption",
            "at",
            "times",
            "all old",
            "all new",
            "held",
            "failed",
            "restarts",
            "writes",
            "lost",
            "s each"
        );
        for ((kind, _), row) in &self.rows {
            let good = row.times - row.failed;
            let lost = if good == 0 { "?" } else { "0" };
            let missed = if row.missed > 0 {
                format!("  ({} came one entry late or more)", row.missed)
            } else {
                String::new()
            };
            println!(
                "{kind:<34} {:<32} {:>5} {:>7} {:>7} {:>4} {:>6} {:>8} {:>6} {lost:>4} {:>6.0}{missed}",
                row.place,
                row.times,
                row.old,
                row.new,
                row.held,
                row.failed,
                row.restarts,
                row.acknowledged,
                row.seconds / f64::from(good.max(1)),
            );
        }
        let sum = |of: fn(&Row) -> u32| self.rows.values().map(of).sum::<u32>();
        println!(
            "{} interruptions: {} all old, {} all new, {} held, {} failed; {} writes acknowledged",
            sum(|row| row.times),
            sum(|row| row.old),
            sum(|row| row.new),
            sum(|row| row.held),
            sum(|row| row.failed),
            self.rows
                .values()
                .map(|row| row.acknowledged)
                .sum::<usize>(),
        );
        self.print_by_act();
    }

    /// The table as README has it.
    fn print_by_act(&self) {
        let mut by: BTreeMap<&str, [u32; 5]> = BTreeMap::new();
        for row in self.rows.values() {
            let line = by.entry(&row.by).or_default();
            for (sum, n) in line
                .iter_mut()
                .zip([row.times, row.old, row.new, row.held, row.failed])
            {
                *sum += n;
            }
        }
        println!("\n| Interrupted by | runs | all old | all new | held | failed |");
        println!("|---|---:|---:|---:|---:|---:|");
        for (by, [times, old, new, held, failed]) in by {
            println!("| {by} | {times} | {old} | {new} | {held} | {failed} |");
        }
    }
}
