//! What the templates show: the report in ready words.

use serde::Serialize;

use crate::domain::advisory::Severity;
use crate::domain::event::Outcome;
use crate::domain::report::words::{human_bytes, human_count, human_ms, human_s, human_time};
use crate::domain::report::{ImageNote, Report, RestoreNote, Row, RowResult};
use crate::ports::mailer::RecipientRole;

/// Where an auditor looks for the reason of a change that did not go the usual way.
const EMERGENCY_CHANGE: &str = "It is an emergency change under the change-management procedure, and this is its justification (NIS2 implementing regulation (EU) 2024/2690, annex 6.4.3).";

/// Everything a template may name.
#[derive(Debug, Serialize)]
pub(super) struct View {
    line: String,
    instance: String,
    tone: &'static str,
    colour: &'static str,
    facts: Vec<Fact>,
    details: Vec<Fact>,
    emergency: Option<String>,
    rows: Vec<RowView>,
    images: Vec<ImageNote>,
    notes: Vec<String>,
    commands: Vec<String>,
    show: String,
}

/// A label and what it says; `padded` is the label as a column of a plain text.
#[derive(Debug, Serialize)]
pub(super) struct Fact {
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
    pub(super) fn of(report: &Report, role: RecipientRole) -> Self {
        let (tone, colour) = tone(report);
        Self {
            line: report.answers().line(),
            instance: report.instance.clone(),
            tone,
            colour,
            facts: facts(report),
            details: details(report),
            emergency: emergency(report, role),
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
        Some(Outcome::Committed) if report.restore.is_some() => {
            let is_same = report.from == report.to;
            (if is_same { "restored" } else { "taken back" }, "#1e7d34")
        }
        Some(Outcome::Committed) => ("patched", "#1e7d34"),
        Some(Outcome::RolledBack) => ("rolled back", "#9a5b00"),
        Some(Outcome::Aborted) => ("aborted", "#9a5b00"),
        Some(Outcome::Held) => ("held", "#b3261e"),
        Some(Outcome::Released) => ("taken over", "#9a5b00"),
    }
}

/// What everybody reads.
fn facts(report: &Report) -> Vec<Fact> {
    let mut facts = Facts::default();
    let what = if report.restore.is_some() {
        "Restore"
    } else {
        "Update"
    };
    facts.push(what, format!("Mastodon {} -> {}", report.from, report.to));
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
    facts.push_some("Rehearsal", report.rehearsed.clone());
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
    let because = &report.method_because;
    facts.push_some(
        "Method",
        (!because.is_empty()).then(|| format!("{}: {because}", report.method)),
    );
    facts.push_some(
        "Proved",
        report
            .rows_proved
            .map(|rows| format!("{} rows, {}", human_count(rows), report.proved_how())),
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
            format!("{} is not tried again by itself", report.judged()),
        );
    }
    facts.push_some("Plan", report.plan_hash.clone());
    facts.push_some("Brings back", report.restore.as_ref().map(brought_back));
    if report.restore.is_none() {
        facts.push("Release", report.url.clone());
    }
    facts.0
}

/// Why it did not wait for a maintenance window. Only what closes holes is called an emergency.
fn emergency(report: &Report, role: RecipientRole) -> Option<String> {
    let why = report.emergency.as_deref()?;
    Some(match (role, report.severity) {
        (RecipientRole::Administrator, Some(_)) => format!("{why} {EMERGENCY_CHANGE}"),
        (RecipientRole::Administrator, None) => why.to_owned(),
        (RecipientRole::Manager, Some(severity)) => format!(
            "It closes security holes (severity {severity}) that are public. To wait would have left the server open to attack, so your policy lets such an update start at any time."
        ),
        (RecipientRole::Manager, None) => {
            "Your policy lets such an update start at any time.".to_owned()
        }
    })
}

fn brought_back(restore: &RestoreNote) -> String {
    let what = if restore.data {
        "the data of the snapshot"
    } else {
        "the version from before"
    };
    format!("{what} of run {}", restore.run)
}

fn closes(report: &Report) -> Option<String> {
    closed(&report.advisories, report.severity)
}

/// The ids that an update closes, with the worst of their severities.
pub(super) fn closed(advisories: &[String], severity: Option<Severity>) -> Option<String> {
    if advisories.is_empty() {
        return None;
    }
    let ids = advisories.join(", ");
    Some(match severity {
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
pub(super) struct Facts(pub(super) Vec<Fact>);

impl Facts {
    pub(super) fn push(&mut self, label: &'static str, text: String) {
        self.0.push(Fact {
            label,
            padded: format!("{:<12}", format!("{label}:")),
            text,
        });
    }

    pub(super) fn push_some(&mut self, label: &'static str, text: Option<String>) {
        if let Some(text) = text {
            self.push(label, text);
        }
    }
}
