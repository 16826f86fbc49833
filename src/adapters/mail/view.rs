//! What the templates show: the report in ready words.

use serde::Serialize;

use crate::domain::event::Outcome;
use crate::domain::report::words::{human_bytes, human_count, human_ms, human_s, human_time};
use crate::domain::report::{ImageNote, Report, Row, RowResult};

/// Everything a template may name.
#[derive(Debug, Serialize)]
pub(super) struct View {
    line: String,
    instance: String,
    tone: &'static str,
    colour: &'static str,
    facts: Vec<Fact>,
    details: Vec<Fact>,
    rows: Vec<RowView>,
    images: Vec<ImageNote>,
    notes: Vec<String>,
    commands: Vec<String>,
    show: String,
}

/// A label and what it says; `padded` is the label as a column of a plain text.
#[derive(Debug, Serialize)]
struct Fact {
    label: &'static str,
    padded: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct RowView {
    step: String,
    elapsed: String,
    result: &'static str,
    detail: String,
    line: String,
    failed: bool,
}

impl View {
    pub(super) fn of(report: &Report) -> Self {
        let (tone, colour) = tone(report);
        Self {
            line: report.answers().line(),
            instance: report.instance.clone(),
            tone,
            colour,
            facts: facts(report),
            details: details(report),
            rows: report.steps.iter().map(row).collect(),
            images: report.images.clone(),
            notes: report.notes.clone(),
            commands: commands(report),
            show: show(report),
        }
    }
}

/// A word and a colour with enough contrast under white letters, on light and on dark.
fn tone(report: &Report) -> (&'static str, &'static str) {
    if report.is_urgent() {
        return ("action needed", "#b3261e");
    }
    match report.outcome {
        None => ("running", "#1f5fa8"),
        Some(Outcome::Committed) => ("patched", "#1e7d34"),
        Some(Outcome::RolledBack) => ("rolled back", "#9a5b00"),
        Some(Outcome::Aborted) => ("aborted", "#9a5b00"),
        Some(Outcome::Held) => ("held", "#b3261e"),
    }
}

/// What everybody reads.
fn facts(report: &Report) -> Vec<Fact> {
    let mut facts = Facts::default();
    facts.push(
        "Update",
        format!("Mastodon {} -> {}", report.from, report.to),
    );
    facts.push_some("Closes", closes(report));
    facts.push(
        "Result",
        report.outcome.map_or("running", Outcome::name).to_owned(),
    );
    if report.outcome != Some(Outcome::Committed) {
        facts.push_some("Reason", report.reason.clone());
    }
    facts.push("Started", human_time(report.started_at));
    facts.push_some("Finished", report.finished_at.map(human_time));
    facts.push("Downtime", report.downtime());
    facts.push_some("Exposure", report.exposure_s.map(exposure));
    facts.0
}

fn details(report: &Report) -> Vec<Fact> {
    let mut facts = Facts::default();
    facts.push("Run", report.id.clone());
    facts.push_some("Class", report.class.map(|class| format!("{class:?}")));
    facts.push("Asked by", report.asked_by.clone());
    for reason in &report.reasons {
        facts.push("Because", reason.clone());
    }
    facts.push_some(
        "Snapshot",
        report
            .snapshot
            .as_ref()
            .map(|kept| format!("{} ({})", kept.path, human_bytes(kept.bytes))),
    );
    facts.push_some(
        "Proved",
        report
            .rows_proved
            .map(|rows| format!("{} rows", human_count(rows))),
    );
    facts.push_some(
        "Restored",
        report
            .rows_restored
            .map(|rows| format!("{} rows", human_count(rows))),
    );
    if report.quarantined {
        facts.push(
            "Quarantine",
            format!("{} is not tried again by itself", report.to),
        );
    }
    facts.push_some("Plan", report.plan_hash.clone());
    facts.push("Release", report.url.clone());
    facts.0
}

fn closes(report: &Report) -> Option<String> {
    if report.advisories.is_empty() {
        return None;
    }
    let ids = report.advisories.join(", ");
    Some(match report.severity {
        Some(severity) => format!("{ids} (severity {severity})"),
        None => ids,
    })
}

fn exposure(seconds: u64) -> String {
    format!("{} from the release to the commit", human_s(seconds))
}

fn show(report: &Report) -> String {
    format!("mastopatch show {}", report.short_id())
}

fn commands(report: &Report) -> Vec<String> {
    let since = report.started_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    vec![
        show(report),
        "mastopatch status".to_owned(),
        "mastopatch history".to_owned(),
        format!("journalctl -u mastopatchd --since \"{since}\""),
    ]
}

fn row(row: &Row) -> RowView {
    let elapsed = row.elapsed_ms.map_or_else(String::new, human_ms);
    let line = format!(
        "{:<13} {elapsed:>11}  {:<7}  {}",
        row.step,
        row.result.name(),
        row.detail
    );
    RowView {
        step: row.step.clone(),
        line: line.trim_end().to_owned(),
        elapsed,
        result: row.result.name(),
        detail: row.detail.clone(),
        failed: row.result == RowResult::Failed,
    }
}

#[derive(Debug, Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn push(&mut self, label: &'static str, text: String) {
        self.0.push(Fact {
            label,
            padded: format!("{:<12}", format!("{label}:")),
            text,
        });
    }

    fn push_some(&mut self, label: &'static str, text: Option<String>) {
        if let Some(text) = text {
            self.push(label, text);
        }
    }
}
