//! What came of a rehearsal.

use super::fields;
use crate::domain::rehearsal::{Measures, Rehearsal, Tried};
use crate::domain::report::words::{clean, human_bytes, human_count, human_ms, human_time};

/// In a sentence.
pub fn rehearsed(rehearsal: &Rehearsal) -> String {
    let (to, at) = (&rehearsal.to, human_time(rehearsal.ended_at));
    match &rehearsal.result {
        Tried::Passed(measures) => format!(
            "{to} was rehearsed on {at}, expected downtime {}",
            human_ms(measures.downtime_ms)
        ),
        Tried::Failed { because } => {
            format!("{to} failed its rehearsal on {at}: {}", clean(because))
        }
        Tried::NotDone { because } => {
            format!("{to} could not be rehearsed on {at}: {}", clean(because))
        }
    }
}

/// All of it.
pub fn rehearsal(rehearsal: &Rehearsal) -> String {
    let sentence = format!("{}: {}.", clean(&rehearsal.instance), rehearsed(rehearsal));
    match &rehearsal.result {
        Tried::Passed(measures) => format!("{sentence}\n\n{}", fields(&measured(measures))),
        Tried::Failed { .. } => format!(
            "{sentence}\nThe site was never closed and is as before; {} is not tried again by itself.",
            rehearsal.to
        ),
        Tried::NotDone { .. } => format!("{sentence}\nThe site is as before."),
    }
}

fn measured(measures: &Measures) -> Vec<(&'static str, String)> {
    let applied = match measures.applied {
        0 => "none pending".to_owned(),
        1 => format!("{} (1 migration)", human_ms(measures.migrate_ms)),
        n => format!(
            "{} ({} migrations)",
            human_ms(measures.migrate_ms),
            human_count(n)
        ),
    };
    let mut rows = vec![
        ("Copy", human_ms(measures.dump_ms)),
        ("Restore", human_ms(measures.restore_ms)),
    ];
    if let Some(ms) = measures.clone_ms {
        rows.push(("Clone", human_ms(ms)));
    }
    rows.push(("Migrations", applied));
    rows.push(("Boot", human_ms(measures.boot_ms)));
    for locked in &measures.locked {
        let text = format!("{} for {}", clean(&locked.table), human_ms(locked.ms));
        rows.push(("Locked", text));
    }
    let (path, bytes) = (
        clean(&measures.snapshot),
        human_bytes(measures.snapshot_bytes),
    );
    rows.push(("Kept", format!("{path} ({bytes}), a copy of the open site")));
    rows
}
