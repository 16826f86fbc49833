//! How every instance stands, as far as this host knows.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::adapters::store::OutboxSummary;
use crate::domain::event::Outcome;
use crate::domain::rehearsal::Rehearsal;
use crate::domain::report::Report;
use crate::domain::report::words::{clean, human_time};
use crate::ports::store::{ApprovalRow, HoldRow, PinRow, QuarantineRow};

/// What is known of one instance without asking anything outside this host.
#[derive(Debug, Clone)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// Versions that are not tried again by themselves.
    pub quarantined: Vec<QuarantineRow>,
    /// Versions that people agreed to.
    pub approvals: Vec<ApprovalRow>,
    /// A person's order that nothing starts by itself.
    pub hold: Option<HoldRow>,
    /// A person's order not to go further.
    pub pin: Option<PinRow>,
    /// The newest run.
    pub last: Option<Report>,
    /// The newest rehearsal, if no run came after it.
    pub rehearsal: Option<Rehearsal>,
}

/// Every instance and the mails that wait.
pub fn status(instances: &[InstanceStatus], outbox: &OutboxSummary) -> String {
    let mut parts: Vec<String> = instances.iter().map(instance).collect();
    parts.extend(mail(outbox));
    parts.join("\n")
}

/// The same for programs.
pub fn status_json(instances: &[InstanceStatus], outbox: &OutboxSummary) -> Value {
    let instances: Vec<Value> = instances.iter().map(instance_json).collect();
    json!({
        "instances": instances,
        "mail_waiting": outbox.waiting,
        "mail": {
            "waiting": outbox.waiting,
            "sent": outbox.sent,
            "given_up": outbox.dead,
            "oldest_waiting": outbox.oldest_waiting,
            "last_error": outbox.last_error,
        },
    })
}

fn instance(status: &InstanceStatus) -> String {
    let mut lines = vec![match &status.last {
        None => format!(
            "{}   no run yet; `mastopatch check` looks for updates",
            status.name
        ),
        Some(report) => last_run(report),
    }];
    let end = |until: Option<Timestamp>| {
        until.map_or_else(
            || "until it is taken back".to_owned(),
            |until| format!("until {}", human_time(until)),
        )
    };
    if let Some(hold) = &status.hold {
        let (by, reason) = (clean(&hold.by), clean(&hold.reason));
        lines.push(format!("  ON HOLD {} by {by}: {reason}", end(hold.until)));
    }
    if let Some(pin) = &status.pin {
        let (to, by, reason) = (clean(&pin.to), clean(&pin.by), clean(&pin.reason));
        lines.push(format!(
            "  pinned to {to} {} by {by}: {reason}",
            end(pin.until)
        ));
    }
    for row in &status.quarantined {
        let reason = clean(&row.reason);
        lines.push(format!(
            "  {} is not tried again by itself: {reason}",
            row.version
        ));
    }
    if let Some(rehearsal) = &status.rehearsal {
        lines.push(format!("  {}", super::rehearsed(rehearsal)));
    }
    for row in &status.approvals {
        lines.push(format!(
            "  {} approved by {} on {}{}",
            row.version,
            row.by,
            human_time(row.at),
            row.expires_at
                .map(|end| format!(", until {}", human_time(end)))
                .unwrap_or_default()
        ));
    }
    lines.join("\n")
}

fn last_run(report: &Report) -> String {
    let Report {
        instance, from, to, ..
    } = report;
    let show = format!("mastopatch show {}", report.short_id());
    let when = human_time(report.finished_at.unwrap_or(report.started_at));
    let downtime = report.downtime();
    match report.outcome {
        None => format!(
            "{instance}   {from} -> {to} RUNNING since {when}, downtime {downtime}   ({show})"
        ),
        Some(Outcome::Held) => format!(
            "{instance}   {from} -> {to} HELD since {when}, downtime {downtime}: a person is needed   ({show}, then `mastopatch resume`, `rollback` or `release`)"
        ),
        Some(outcome) => format!(
            "{instance}   {from} -> {to} {} on {when}, downtime {downtime}   ({show})",
            outcome.name()
        ),
    }
}

fn mail(outbox: &OutboxSummary) -> Option<String> {
    let since = outbox.oldest_waiting.map(human_time).unwrap_or_default();
    let mut words = Vec::new();
    match outbox.waiting {
        0 => {}
        1 => words.push(format!("1 mail waits since {since}")),
        many => words.push(format!("{many} mails wait, the oldest since {since}")),
    }
    if outbox.dead > 0 {
        words.push(format!("{} given up", outbox.dead));
    }
    if words.is_empty() {
        return None;
    }
    let why = outbox.last_error.as_deref().map(clean);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Some(format!("Mail: {}{why}", words.join(", ")))
}

fn instance_json(status: &InstanceStatus) -> Value {
    let quarantined: Vec<Value> = status
        .quarantined
        .iter()
        .map(|row| json!({ "version": row.version, "reason": row.reason, "run": row.run, "at": row.at }))
        .collect();
    let approvals: Vec<Value> = status
        .approvals
        .iter()
        .map(|row| json!({ "version": row.version, "by": row.by, "at": row.at }))
        .collect();
    json!({
        "name": status.name,
        "last_run": status.last,
        "rehearsal": status.rehearsal,
        "quarantined": quarantined,
        "approvals": approvals,
        "hold": status.hold.as_ref().map(|row| json!({
            "reason": row.reason, "by": row.by, "at": row.at, "until": row.until,
        })),
        "pin": status.pin.as_ref().map(|row| json!({
            "to": row.to, "reason": row.reason, "by": row.by, "at": row.at, "until": row.until,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::samples::{self, plan};

    fn one(last: Option<Report>) -> Vec<InstanceStatus> {
        vec![InstanceStatus {
            name: "social.example".to_owned(),
            quarantined: vec![QuarantineRow {
                version: "4.5.4".to_owned(),
                reason: "it\nbroke".to_owned(),
                run: "r".to_owned(),
                at: samples::START.parse().unwrap(),
            }],
            approvals: Vec::new(),
            hold: None,
            pin: None,
            last,
            rehearsal: None,
        }]
    }

    #[test]
    fn a_held_run_is_said_first() {
        let report = Report::new(&plan(), &samples::held());
        let text = status(&one(Some(report)), &OutboxSummary::default());
        let first = text.lines().next().unwrap();
        assert!(first.contains("HELD since 2026-11-21"), "{text}");
        assert!(first.contains("the site is DOWN"), "{text}");
        assert!(
            text.contains("  4.5.4 is not tried again by itself: it broke"),
            "{text}"
        );
        assert!(!text.contains("Mail:"));
    }

    #[test]
    fn mails_that_wait_are_told() {
        let outbox = OutboxSummary {
            waiting: 2,
            dead: 1,
            oldest_waiting: Some(samples::START.parse().unwrap()),
            last_error: Some("no route".to_owned()),
            ..OutboxSummary::default()
        };
        let text = status(&one(None), &outbox);
        assert!(text.starts_with("social.example   no run yet"), "{text}");
        assert!(
            text.ends_with(
                "Mail: 2 mails wait, the oldest since 2026-11-21 02:00:00 UTC, 1 given up: no route"
            ),
            "{text}"
        );
        let json = status_json(&one(None), &outbox);
        assert_eq!(json["mail"]["waiting"], 2);
        assert_eq!(json["instances"][0]["last_run"], Value::Null);
        assert_eq!(json["instances"][0]["quarantined"][0]["version"], "4.5.4");
    }
}
