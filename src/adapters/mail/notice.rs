//! What the templates of notices show.

use jiff::Timestamp;
use serde::Serialize;

use super::view::{Fact, Facts, closed};
use crate::domain::notice::Notice;
use crate::domain::plan::sha256_hex;
use crate::domain::report::words::human_time;
use crate::ports::mailer::RecipientRole;

/// Everything a template may name.
#[derive(Debug, Serialize)]
pub(super) struct View {
    line: String,
    instance: String,
    tone: &'static str,
    colour: &'static str,
    facts: Vec<Fact>,
    /// Only mails about runs have one; the layout is the same.
    emergency: Option<String>,
    parts: Vec<Part>,
    commands: Vec<String>,
}

/// A headline and what stands below.
#[derive(Debug, Serialize)]
struct Part {
    title: &'static str,
    texts: Vec<String>,
}

impl View {
    pub(super) fn of(notice: &Notice, role: RecipientRole) -> Self {
        let (tone, colour) = if notice.is_urgent() {
            ("action needed", "#b3261e")
        } else {
            ("late", "#9a5b00")
        };
        let parts = [
            ("Why", notice.why()),
            ("What the decision is made of", reasons(notice, role)),
            ("What can be done", notice.remedies()),
        ];
        let parts = parts.into_iter().filter(|(_, texts)| !texts.is_empty());
        Self {
            line: notice.line(),
            instance: notice.concerns(),
            tone,
            colour,
            facts: facts(notice),
            emergency: None,
            parts: parts.map(|(title, texts)| Part { title, texts }).collect(),
            commands: commands(notice, role),
        }
    }
}

/// The first part of a notice's Message-ID.
pub(super) fn id(notice: &Notice, now: Timestamp) -> String {
    let what = match notice {
        Notice::DeadlineAtRisk(_) => "deadline",
        Notice::ConfigRefused(_) => "configuration",
        Notice::StandsStill(_) => "stands-still",
        Notice::NotRehearsed(_) => "rehearsal",
    };
    let identity = sha256_hex(format!("{}\n{}\n{now}", notice.key(), notice.grade()).as_bytes());
    let short: String = identity.chars().take(16).collect();
    format!("{what}-{short}")
}

fn facts(notice: &Notice) -> Vec<Fact> {
    let mut facts = Facts::default();
    match notice {
        Notice::DeadlineAtRisk(risk) => {
            facts.push("Update", format!("Mastodon {} -> {}", risk.from, risk.to));
            facts.push_some("Closes", closed(&risk.advisories, risk.severity));
            if risk.exploited {
                facts.push("Exploited", "yes, attackers are known to use it".to_owned());
            }
            let rule = risk.rule.as_ref().map(|rule| format!(", by rule `{rule}`"));
            let rule = rule.unwrap_or_default();
            facts.push("Wanted by", format!("{}{rule}", risk.wanted_by));
            facts.push("Starts", risk.start.fact());
            facts.push_some("Release", risk.url.clone());
        }
        Notice::ConfigRefused(refused) => {
            let count = refused.mistakes.len().saturating_add(refused.more);
            facts.push("Mistakes", count.to_string());
            facts.push(
                "In force",
                format!("what was read on {}", human_time(refused.since)),
            );
        }
        Notice::NotRehearsed(it) => {
            facts.push("Update", format!("Mastodon {} -> {}", it.from, it.to));
        }
        Notice::StandsStill(_) => {}
    }
    facts.0
}

fn reasons(notice: &Notice, role: RecipientRole) -> Vec<String> {
    match (notice, role) {
        (Notice::DeadlineAtRisk(risk), RecipientRole::Administrator) => risk.reasons.clone(),
        (Notice::DeadlineAtRisk(_), RecipientRole::Manager)
        | (Notice::ConfigRefused(_) | Notice::StandsStill(_) | Notice::NotRehearsed(_), _) => {
            Vec::new()
        }
    }
}

fn commands(notice: &Notice, role: RecipientRole) -> Vec<String> {
    let commands: &[&str] = match (notice, role) {
        (_, RecipientRole::Manager) => &[],
        (Notice::DeadlineAtRisk(_), RecipientRole::Administrator) => &[
            "mastopatch explain",
            "mastopatch doctor",
            "mastopatch status",
        ],
        (Notice::ConfigRefused(_), RecipientRole::Administrator) => {
            &["mastopatch config check", "systemctl reload mastopatchd"]
        }
        (Notice::NotRehearsed(_), RecipientRole::Administrator) => {
            &["mastopatch status", "mastopatch explain"]
        }
        (Notice::StandsStill(_), RecipientRole::Administrator) => &[
            "mastopatch show",
            "journalctl --unit mastopatchd --since today",
        ],
    };
    commands.iter().map(|&command| command.to_owned()).collect()
}
