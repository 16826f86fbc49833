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
    let mut text = format!("{}: {}\n", clean(&plan.instance), what(plan, short(run)));
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

fn what(plan: &Plan, run: &str) -> String {
    let (from, to) = (&plan.from, &plan.to);
    match (from == to, plan.brings_data().is_some()) {
        (true, _) => format!("the data of the snapshot of run {run} come back"),
        (false, true) => {
            format!("Mastodon {from} -> {to}, with the data of the snapshot of run {run}")
        }
        (false, false) => {
            format!("Mastodon {from} -> {to}, as before run {run}, with the data of now")
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Method, Restore};
    use crate::domain::report::samples;

    fn back(data: bool) -> Plan {
        let update = samples::plan();
        Plan {
            from: update.to.clone(),
            to: update.from.clone(),
            method: Method::Clone,
            restore: Some(Restore {
                run: update.run.clone(),
                data,
                database: None,
                image_ids: Vec::new(),
            }),
            ..update
        }
    }

    fn loss(rows: Result<BTreeMap<String, i64>, String>) -> Loss {
        let since = samples::START.parse().unwrap();
        Loss { since, rows }
    }

    #[test]
    fn what_would_be_lost_is_counted_and_what_is_kept_is_named() {
        let rows = [("public.statuses", 12), ("public.follows", -1)];
        let rows = rows.map(|(table, rows)| (table.to_owned(), rows));
        let text = restore(&back(true), Some(&loss(Ok(rows.into()))));
        for words in [
            "Mastodon 4.5.4 -> 4.5.2, with the data of the snapshot of run 00000000abcd",
            "is LOST",
            "\n  +12 statuses\n",
            "\n  -1 follows\n",
            "_before_00000000abcd",
            "quarantine 4.5.4",
        ] {
            assert!(text.contains(words), "`{words}` in {text}");
        }
        let unknown = restore(&back(true), Some(&loss(Err("it is away".to_owned()))));
        assert!(unknown.contains("cannot be counted now: it is away"));
    }

    #[test]
    fn where_only_the_version_changes_nothing_is_said_to_be_lost() {
        let text = restore(&back(false), None);
        assert!(text.contains("with the data of now"), "{text}");
        assert!(text.contains("only the version changes"), "{text}");
        assert!(!text.contains("LOST"), "{text}");
        let same = Plan {
            from: samples::plan().from,
            ..back(true)
        };
        let text = restore(&same, Some(&loss(Ok(BTreeMap::new()))));
        assert!(text.contains("the data of the snapshot of run"), "{text}");
        assert!(!text.contains("quarantine"), "{text}");
    }
}
