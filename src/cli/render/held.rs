//! What an order on a held run would do and lose.

use std::fmt::Write as _;

use crate::domain::event::{Order, Outcome};
use crate::domain::outlook::Outlook;
use crate::domain::plan::Plan;
use crate::domain::report::words::{clean, human_time};
use crate::engine::held::Remains;

/// The text a person reads before agreeing.
pub fn order(plan: &Plan, because: &str, order: Order, seen: &Outlook, left: &Remains) -> String {
    let mut text = format!(
        "{}: the update {} -> {} is held: {because}\n\n`{}` will:\n",
        clean(&plan.instance),
        plan.from,
        plan.to,
        order.name()
    );
    for (place, step) in seen.steps.iter().enumerate() {
        let _infallible = writeln!(text, "  {}. {step}", place.saturating_add(1));
    }
    if seen.steps.is_empty() {
        text.push_str("  change nothing: the site stays as it stands, and the run is over\n");
    }
    let _infallible = writeln!(text, "\n{}", after(plan, seen.ends));
    text.push_str(&loss(seen, left));
    if !left.objects.is_empty() {
        text.push_str("\nThere is of the run now:\n");
        for line in &left.objects {
            let _infallible = writeln!(text, "  {}", clean(line));
        }
    }
    if order == Order::Release {
        text.push_str(&by_hand(left));
    }
    for trouble in &left.trouble {
        let _infallible = writeln!(text, "could not be looked at: {}", clean(trouble));
    }
    text
}

fn after(plan: &Plan, ends: Outcome) -> String {
    match ends {
        Outcome::Committed => format!("Afterwards Mastodon {} serves.", plan.to),
        Outcome::RolledBack | Outcome::Aborted => {
            format!("Afterwards Mastodon {} serves again.", plan.from)
        }
        Outcome::Held => "It stays held.".to_owned(),
        Outcome::Released => "Updates by policy are possible again afterwards.".to_owned(),
    }
}

fn loss(seen: &Outlook, left: &Remains) -> String {
    if !seen.restores_data {
        return "What was written is kept: no data are taken back.\n".to_owned();
    }
    let at = left
        .snapshot_at
        .map_or_else(|| "an unknown time".to_owned(), human_time);
    let certain = if seen.needs_consent {
        "is LOST, and no update brings it back"
    } else {
        "is lost; if the site was closed all the time, there is none"
    };
    let mut text = format!("What was written since the snapshot of {at} {certain}.\n");
    match &left.since {
        None => text.push_str("How much that is cannot be counted now.\n"),
        Some(since) if since.is_empty() => {
            text.push_str("Counted now: no table that people know has other numbers of rows.\n");
        }
        Some(since) => {
            text.push_str("Counted now, against the snapshot:\n");
            for (table, rows) in since {
                let table = table.strip_prefix("public.").unwrap_or(table);
                let _infallible = writeln!(text, "  {rows:+} {table}");
            }
        }
    }
    text
}

fn by_hand(left: &Remains) -> String {
    let mut text =
        "\nNothing of that is removed. Once the site is well, remove by hand what is not needed: `docker rm` for old \
         containers, `docker rmi` for kept images.\n"
            .to_owned();
    if let Some(path) = &left.snapshot {
        let _infallible = writeln!(text, "The snapshot stays in {}.", clean(path));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::samples::plan;

    fn left() -> Remains {
        Remains {
            snapshot_at: Some("2026-11-21T02:01:00Z".parse().unwrap()),
            snapshot: Some("/var/lib/mastopatch/snapshots/r".to_owned()),
            since: Some([("public.statuses".to_owned(), 12)].into()),
            objects: vec!["old web `mastodon_web_1_before_x`, stopped".to_owned()],
            trouble: Vec::new(),
        }
    }

    #[test]
    fn a_way_back_that_loses_says_what_and_since_when() {
        let seen = Outlook {
            steps: vec!["close the site", "start the old containers"],
            ends: Outcome::RolledBack,
            restores_data: true,
            needs_consent: true,
        };
        let text = order(
            &plan(),
            "the port is taken",
            Order::Rollback,
            &seen,
            &left(),
        );
        for words in [
            "is held: the port is taken",
            "  1. close the site\n  2. start the old containers\n",
            "What was written since the snapshot of 2026-11-21 02:01",
            "is LOST",
            "  +12 statuses\n",
        ] {
            assert!(text.contains(words), "`{words}` in\n{text}");
        }
    }

    #[test]
    fn a_release_says_that_nothing_is_removed_and_what_stays() {
        let seen = Outlook {
            steps: Vec::new(),
            ends: Outcome::Released,
            restores_data: false,
            needs_consent: false,
        };
        let text = order(&plan(), "it failed", Order::Release, &seen, &left());
        for words in [
            "change nothing",
            "What was written is kept",
            "mastodon_web_1_before_x",
            "The snapshot stays in /var/lib",
        ] {
            assert!(text.contains(words), "`{words}` in\n{text}");
        }
    }
}
