//! Runs: one with its timeline, many as a list.

use crate::domain::event::Outcome;
use crate::domain::report::words::{human_bytes, human_count, human_ms, human_s, human_time};
use crate::domain::report::{Report, SiteState};

use super::{fields, lines_of, table};

/// One run: its headline, the facts, the timeline.
pub fn run(report: &Report) -> String {
    let mut parts = vec![report.headline(), fields(&facts(report)), timeline(report)];
    if let Some(why) = &report.emergency {
        parts.push(format!(
            "Why it did not wait for a maintenance window: {why}"
        ));
    }
    if report.outcome == Some(Outcome::Held) {
        parts.push(
            "Nothing moves until you decide: `mastopatch resume`, `rollback` or `release`. Each first shows what it \
             would do, and what would be lost."
                .to_owned(),
        );
    }
    if !report.notes.is_empty() {
        let notes: Vec<String> = report
            .notes
            .iter()
            .map(|note| format!("Note: {note}"))
            .collect();
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n")
}

/// The steps of a run as a table.
pub fn timeline(report: &Report) -> String {
    let mut table = table(&["STEP", "TIME", "RESULT", "DETAIL"]);
    for row in &report.steps {
        table.add_row([
            row.step.clone(),
            row.elapsed_ms.map_or_else(String::new, human_ms),
            row.result.name().to_owned(),
            row.detail.clone(),
        ]);
    }
    lines_of(table, &[1])
}

/// Runs as a list, one line each. The instance stands there only where it tells something.
pub fn history(reports: &[Report]) -> String {
    let Some(first) = reports.first() else {
        return "There has been no run yet.".to_owned();
    };
    let several = reports
        .iter()
        .any(|report| report.instance != first.instance);
    let mut header = vec!["RUN", "STARTED (UTC)", "UPDATE", "OUTCOME", "DOWNTIME"];
    if several {
        header.insert(2, "INSTANCE");
    }
    let mut table = table(&header);
    for report in reports {
        let mut row = vec![
            report.short_id().to_owned(),
            report.started_at.strftime("%Y-%m-%d %H:%M").to_string(),
            format!("{} -> {}", report.from, report.to),
            outcome(report).to_owned(),
            downtime(report),
        ];
        if several {
            row.insert(2, report.instance.clone());
        }
        table.add_row(row);
    }
    lines_of(table, &[])
}

fn outcome(report: &Report) -> &'static str {
    report.outcome.map_or("running", Outcome::name)
}

/// Short, for a column.
fn downtime(report: &Report) -> String {
    match (report.downtime_ms, report.site) {
        (None, _) => "none".to_owned(),
        (Some(ms), SiteState::Open) => human_ms(ms),
        (Some(_), SiteState::Closed) => "DOWN".to_owned(),
        (Some(_), SiteState::Unknown) => "unknown".to_owned(),
    }
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Run", report.id.clone()),
        (
            if report.restore.is_some() {
                "Restore"
            } else {
                "Update"
            },
            format!("{} -> {}", report.from, report.to),
        ),
        ("Outcome", outcome(report).to_owned()),
    ];
    let mut some = |label, text: Option<String>| {
        if let Some(text) = text {
            facts.push((label, text));
        }
    };
    some("Reason", report.reason.clone());
    some("Started", Some(human_time(report.started_at)));
    some("Finished", report.finished_at.map(human_time));
    some("Downtime", Some(report.downtime()));
    some(
        "Migrations",
        report.class.map(|class| class_words(report, class)),
    );
    let advisories = report.advisories.join(", ");
    some("Closes", (!advisories.is_empty()).then_some(advisories));
    some(
        "Exposure",
        report
            .exposure_s
            .map(|s| format!("{} after the release", human_s(s))),
    );
    some("Asked by", Some(report.asked_by.clone()));
    some("Rehearsal", report.rehearsed.clone());
    some(
        "Snapshot",
        report
            .snapshot
            .as_ref()
            .map(|kept| format!("{} ({})", kept.path, human_bytes(kept.bytes))),
    );
    some("Method", method(report));
    some(
        "Proved",
        report
            .rows_proved
            .map(|rows| format!("{} rows, {}", human_count(rows), report.proved_how())),
    );
    some(
        "Restored",
        report
            .rows_restored
            .map(|rows| format!("{} rows", human_count(rows))),
    );
    if let Some(by) = report
        .loss_accepted_by
        .as_ref()
        .filter(|_| report.data_restored)
    {
        let lost = format!("what was written after the snapshot; {by} agreed to that");
        facts.push(("Lost", lost));
    }
    if report.quarantined {
        facts.push((
            "Quarantine",
            format!("{} is not tried again by itself", report.judged()),
        ));
    }
    facts
}

/// How the database was copied, and why so.
fn method(report: &Report) -> Option<String> {
    let because = &report.method_because;
    (!because.is_empty()).then(|| format!("{}: {because}", report.method))
}

fn class_words(report: &Report, class: crate::domain::event::MigrationClass) -> String {
    use crate::domain::event::MigrationClass::{M0, M1, M2};
    let words = match class {
        M0 => "none",
        M1 => "some; the old version would run on the new schema",
        M2 => "some; the old version does not run on the new schema",
    };
    format!(
        "{class:?}: {words}{}",
        if report.data_restored {
            "; taken back"
        } else {
            ""
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Plan;
    use crate::domain::report::samples::{self, plan};

    fn fits(text: &str) {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert!(!line.contains('\u{1b}') && !line.ends_with(' '), "{line:?}");
        }
    }

    #[test]
    fn a_timeline_fits_a_terminal() {
        let report = Report::new(&plan(), &samples::rolled_back());
        let text = timeline(&report);
        fits(&text);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("STEP "), "{text}");
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["preflight", "300", "ms", "done"]
        );
        let migrate = lines
            .iter()
            .find(|line| line.starts_with("migrate "))
            .unwrap();
        assert!(migrate.contains("5.0 s  failed"), "{text}");
        assert!(text.contains("restore-data "));
    }

    #[test]
    fn a_run_shows_headline_facts_and_timeline() {
        let report = Report::new(&plan(), &samples::rolled_back());
        let text = run(&report);
        for wanted in [
            "social.example: update 4.5.2 -> 4.5.4 rolled back, 4.5.2 runs again, down 32 s",
            "Run         019aa3f0-0000-7000-8000-00000000abcd",
            "Outcome     rolled back",
            "Downtime    32 s",
            "Restored    12,345 rows",
            "Quarantine  4.5.4 is not tried again by itself",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        assert!(text.contains("STEP "));
    }

    #[test]
    fn a_run_outside_of_windows_shows_why_it_did_not_wait() {
        let mut plan = plan();
        plan.why.emergency = Some("Rule `exploited` lets it start at once.".to_owned());
        let report = Report::new(&plan, &samples::committed_m0());
        let wanted =
            "Why it did not wait for a maintenance window: Rule `exploited` lets it start at once.";
        assert!(run(&report).ends_with(wanted), "{}", run(&report));
    }

    #[test]
    fn every_kind_of_run_can_be_shown() {
        for journal in [
            samples::committed_m0(),
            samples::committed_m2(),
            samples::aborted(),
            samples::held(),
            samples::interrupted(),
            samples::Scribe::until_proved(&[], &[]).entries(),
        ] {
            let report = Report::new(&plan(), &journal);
            fits(&timeline(&report));
            assert!(run(&report).starts_with(&report.headline()));
        }
    }

    #[test]
    fn history_has_one_line_a_run() {
        let here = Report::new(&plan(), &samples::committed_m0());
        let down = Report::new(&plan(), &samples::held());
        let text = history(&[here.clone(), down]);
        fits(&text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(!lines[0].contains("INSTANCE"));
        let first: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(
            first,
            [
                "00000000abcd",
                "2026-11-21",
                "02:00",
                "4.5.2",
                "->",
                "4.5.4",
                "committed",
                "16",
                "s"
            ]
        );
        assert!(lines[2].ends_with("DOWN"), "{text}");
        let other = Plan {
            instance: "other.example".to_owned(),
            ..plan()
        };
        let other = Report::new(&other, &samples::aborted());
        let text = history(&[here, other]);
        assert!(text.contains("INSTANCE") && text.contains("other.example"));
    }

    #[test]
    fn no_run_is_a_sentence() {
        assert_eq!(history(&[]), "There has been no run yet.");
    }
}
