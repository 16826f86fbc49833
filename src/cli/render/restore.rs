//! What a restore would do and lose.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::domain::plan::{Plan, short};
use crate::domain::report::words::{clean, human_time};

/// What would be lost: since when, and how many rows, where they could be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// When the snapshot was taken.
    pub since: Timestamp,
    /// Rows now minus rows in the snapshot, of tables that people know and that differ; or why they cannot be counted.
    pub rows: Result<BTreeMap<String, i64>, String>,
}

/// The text a person reads before agreeing. `loss` is there where data are put in.
pub fn restore(plan: &Plan, loss: Option<&Loss>) -> String {
    let run = plan
        .restore
        .as_ref()
        .map_or("", |restore| restore.run.as_str());
    let mut text = format!("{}: ", clean(&plan.instance));
    if plan.from == plan.to {
        let _infallible = writeln!(
            text,
            "the data of the snapshot of run {} come back",
            short(run)
        );
    } else {
        let _infallible = writeln!(
            text,
            "the update {} -> {} of run {} is taken back",
            plan.to,
            plan.from,
            short(run)
        );
    }
    text.push_str("\nThat is a run of its own, and will:\n");
    for (place, step) in steps(plan).iter().enumerate() {
        let _infallible = writeln!(text, "  {}. {step}", place.saturating_add(1));
    }
    let _infallible = writeln!(
        text,
        "\nIf anything fails before it is open, Mastodon {} serves again with all data of now.",
        plan.from
    );
    let Some(loss) = loss else {
        text.push_str("What was written is kept: only the version changes.\n");
        return text;
    };
    let _infallible = writeln!(
        text,
        "What was written since the snapshot of {} is LOST to the site. The database of now is kept as `{}`.",
        human_time(loss.since),
        plan.original_database()
    );
    match &loss.rows {
        Err(why) => {
            let _infallible = writeln!(
                text,
                "How much that is cannot be counted now: {}",
                clean(why)
            );
        }
        Ok(rows) if rows.is_empty() => {
            text.push_str("Counted now: no table that people know has other numbers of rows.\n");
        }
        Ok(rows) => {
            text.push_str("Counted now, against the snapshot:\n");
            for (table, rows) in rows {
                let table = table.strip_prefix("public.").unwrap_or(table);
                let _infallible = writeln!(text, "  {rows:+} {table}");
            }
        }
    }
    text
}

fn steps(plan: &Plan) -> Vec<String> {
    let mut steps = vec![
        "close the site".to_owned(),
        "copy Redis and the files, as of now".to_owned(),
    ];
    if plan.brings_data().is_some() {
        steps.extend([
            "bring the snapshot into a second database, and compare it with what was written down".to_owned(),
            format!(
                "give it the place of the database in use, which stands aside as `{}`; and the snapshot's Redis",
                plan.original_database()
            ),
        ]);
    } else {
        steps.push("copy the database, as of now".to_owned());
    }
    steps.extend([
        format!(
            "start Mastodon {}, and try it out of the public's reach",
            plan.to
        ),
        "open the site on it".to_owned(),
    ]);
    if plan.to.precedes(&plan.from) {
        steps.push(format!(
            "quarantine {}: it does not come back by itself",
            plan.from
        ));
    }
    steps
}
