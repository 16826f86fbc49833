//! What people read on a terminal.

use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use crate::adapters::store::OutboxSummary;
use crate::domain::decide::{Decision, When};
use crate::domain::plan::Plan;
use crate::domain::report::Report;
use crate::domain::report::words::{human_bytes, human_ms, human_time};
use crate::ports::store::{ApprovalRow, QuarantineRow};

/// One instance in `status`.
#[derive(Debug, Clone)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// Versions that failed here.
    pub quarantined: Vec<QuarantineRow>,
    /// Versions somebody agreed to.
    pub approvals: Vec<ApprovalRow>,
    /// Its newest run.
    pub last: Option<Report>,
}

/// A decision with its reasons.
pub fn decision(decision: &Decision) -> String {
    let mut lines = vec![match &decision.target {
        Some(target) => format!(
            "{}: {} -> {} ({}{})",
            decision.instance,
            decision.installed,
            target.version,
            json!(target.class).as_str().unwrap_or_default(),
            target
                .severity
                .map(|severity| format!(", {severity}"))
                .unwrap_or_default()
        ),
        None => format!("{}: {}", decision.instance, decision.installed),
    }];
    lines.push(format!("  {}", when(decision)));
    lines.extend(
        decision
            .reasons
            .iter()
            .map(|reason| format!("  - {}", reason.text)),
    );
    lines.join("\n")
}

/// When it would start.
pub fn when(decision: &Decision) -> String {
    match &decision.when {
        When::Nothing => "nothing to do".to_owned(),
        When::Now {
            window: Some(window),
            ..
        } => {
            format!("may start now, in window {window}; `mastopatch apply` starts it")
        }
        When::Now { window: None, .. } => "may start now; `mastopatch apply` starts it".to_owned(),
        When::Wait {
            not_before,
            because,
        } => {
            format!(
                "by policy not before {}: {because}",
                human_time(*not_before)
            )
        }
        When::NeedsApproval => match &decision.target {
            Some(target) => format!(
                "waits for a person: `mastopatch approve {0}` agrees, `mastopatch apply` does it now",
                target.version
            ),
            None => "waits for a person".to_owned(),
        },
        When::Blocked => "blocked; the reasons say what has to change".to_owned(),
    }
}

/// A plan, as what would be done.
pub fn plan(plan: &Plan) -> String {
    let mut lines = vec![format!("{}: {} -> {}", plan.instance, plan.from, plan.to)];
    for image in &plan.images {
        lines.push(format!("  pull      {}", image.to_reference));
        lines.push(format!("            {}", image.to_digest));
    }
    lines.push(format!(
        "  close     {}",
        plan.services
            .iter()
            .map(|s| s.container.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    ));
    lines.push(format!(
        "  snapshot  database {} ({}), Redis, compose and environment files; read back and compared",
        plan.database.name,
        human_bytes(plan.database.bytes)
    ));
    lines.push(format!(
        "  migrate   bundle exec rails db:migrate, from the image of {}",
        plan.to
    ));
    lines.push(
        "  switch    new containers beside the old ones, tried out of the public's reach"
            .to_owned(),
    );
    lines.push(format!("  open      {}", plan.site.domain));
    for file in &plan.files {
        lines.push(format!("  edit      {}", file.path));
    }
    lines.push(
        "If anything fails before the site opens, code and data go back by themselves.".to_owned(),
    );
    lines.join("\n")
}

/// One run with its timeline.
pub fn run(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    for row in &report.steps {
        table.add_row(vec![
            row.step.clone(),
            row.elapsed_ms.map_or_else(String::new, human_ms),
            row.result.name().to_owned(),
            row.detail.clone(),
        ]);
    }
    let mut lines = vec![
        report.subject(),
        String::new(),
        table.to_string(),
        String::new(),
    ];
    if let Some(reason) = &report.reason {
        lines.push(format!("why: {reason}"));
    }
    lines.push(format!("downtime: {}", report.downtime()));
    if let Some(snapshot) = &report.snapshot {
        lines.push(format!(
            "snapshot: {} ({})",
            snapshot.path,
            human_bytes(snapshot.bytes)
        ));
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.push(format!("run: {}", report.id));
    lines.join("\n")
}

/// Runs, one a line.
pub fn history(reports: &[Report]) -> String {
    if reports.is_empty() {
        return "no run yet".to_owned();
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    for report in reports {
        table.add_row(vec![
            human_time(report.started_at),
            report.instance.clone(),
            format!("{} -> {}", report.from, report.to),
            report
                .outcome
                .map_or("running", |outcome| outcome.name())
                .to_owned(),
            report.downtime(),
            report.short_id().to_owned(),
        ]);
    }
    table.to_string()
}

/// Every instance.
pub fn status(instances: &[InstanceStatus], outbox: &OutboxSummary) -> String {
    let mut lines = Vec::new();
    for instance in instances {
        lines.push(match &instance.last {
            None => format!(
                "{}: no run yet; `mastopatch check` looks for updates",
                instance.name
            ),
            Some(report) => format!("{}: {}", instance.name, report.subject()),
        });
        for row in &instance.quarantined {
            lines.push(format!(
                "  not tried again: {} ({})",
                row.version, row.reason
            ));
        }
        for row in &instance.approvals {
            lines.push(format!("  approved: {} by {}", row.version, row.by));
        }
    }
    if outbox.waiting > 0 {
        lines.push(format!("mail: {} waiting to be sent", outbox.waiting));
    }
    lines.join("\n")
}

/// The same for programs.
pub fn status_json(instances: &[InstanceStatus], outbox: &OutboxSummary) -> Value {
    let instances: Vec<Value> = instances
        .iter()
        .map(|instance| {
            let rows = instance.quarantined.iter();
            json!({
                "name": instance.name,
                "quarantined": rows
                    .map(|row| json!({ "version": row.version, "reason": row.reason }))
                    .collect::<Vec<_>>(),
                "approvals": instance
                    .approvals
                    .iter()
                    .map(|row| json!({ "version": row.version, "by": row.by }))
                    .collect::<Vec<_>>(),
                "last_run": instance.last,
            })
        })
        .collect();
    json!({ "instances": instances, "mail_waiting": outbox.waiting })
}
