//! A decision told so that somebody who knows nothing of Mastodon understands it.

use crate::domain::decide::{About, Decision, Exposure, Standing, Target, When};
use crate::domain::path::{Obstacle, Weight};
use crate::domain::policy::Policy;
use crate::domain::report::words::clean;

/// Answers first, reasons after them, in the policy's zone.
pub fn explanation(decision: &Decision, policy: &Policy) -> String {
    let mut lines = vec![
        format!(
            "{} runs Mastodon {}.",
            clean(&decision.instance),
            decision.installed
        ),
        String::new(),
        format!("Are we patched?      {}", patched(&decision.exposure)),
        format!("What will happen?    {}", future(decision, policy)),
        format!("Must I do something? {}", duty(decision)),
    ];
    if let Some(dates) = dates(decision, policy) {
        lines.push(format!("Dates                {dates}"));
    }
    if let Some(way) = way(decision) {
        lines.push(format!("The whole way        {way}"));
    }
    for (title, abouts) in SECTIONS {
        let reasons = decision
            .reasons
            .iter()
            .filter(|reason| abouts.contains(&reason.about));
        let reasons: Vec<String> = reasons
            .map(|reason| format!("  - {}", clean(&reason.text)))
            .collect();
        if !reasons.is_empty() {
            lines.push(String::new());
            lines.push((*title).to_owned());
            lines.extend(reasons);
        }
    }
    let notices: Vec<&Obstacle> = decision
        .obstacles
        .iter()
        .filter(|obstacle| obstacle.weight == Weight::Notice)
        .collect();
    if !notices.is_empty() {
        lines.push(String::new());
        lines.push("Good to know".to_owned());
        lines.extend(notices.iter().map(|obstacle| sentence(obstacle)));
    }
    lines.join("\n")
}

/// The order in which a reader asks.
const SECTIONS: &[(&str, &[About])] = &[
    ("How sure is this", &[About::Data, About::Installed]),
    ("Known holes", &[About::Exposure]),
    ("Which version", &[About::Choice]),
    ("What stands in the way here", &[About::Obstacle]),
    (
        "Which rule, and who must agree",
        &[About::Rule, About::Approval, About::Hold],
    ),
    (
        "When",
        &[About::Age, About::Window, About::Attempts, About::Deadline],
    ),
];

/// What stands in the way, each with what to do; empty if nothing does.
pub fn obstacles(obstacles: &[Obstacle]) -> String {
    if obstacles.is_empty() {
        return "Nothing that was looked at stands in the way.".to_owned();
    }
    let lines: Vec<String> = obstacles.iter().map(sentence).collect();
    format!("What stands in the way:\n{}", lines.join("\n"))
}

fn sentence(obstacle: &Obstacle) -> String {
    let weight = match obstacle.weight {
        Weight::Blocks => "blocks: ",
        Weight::NeedsPerson => "look: ",
        Weight::Notice => "",
    };
    format!(
        "  - {weight}{} {}",
        clean(&obstacle.what),
        clean(&obstacle.todo)
    )
}

fn patched(exposure: &Exposure) -> String {
    let count = |n: usize, one: &str, many: &str| match n {
        1 => format!("one {one}"),
        n => format!("{n} {many}"),
    };
    match exposure.standing {
        Standing::ListedAsAffected => {
            let worst = exposure.listed.iter().map(|item| item.severity).max();
            let worst = worst.map(|worst| worst.to_string()).unwrap_or_default();
            let exploited = if exposure.listed.iter().any(|item| item.exploited) {
                ", and attackers use it"
            } else {
                ""
            };
            format!(
                "No. {} this version; the worst is graded {worst}{exploited}.",
                match exposure.listed.len() {
                    1 => "One known hole is in".to_owned(),
                    n => format!("{n} known holes are in"),
                }
            )
        }
        Standing::SecurityUpdateMissing => format!(
            "No. {} missing: what it repairs is public, or soon will be.",
            if exposure.newer_security.len() == 1 {
                "A security release is".to_owned()
            } else {
                format!("{} security releases are", exposure.newer_security.len())
            }
        ),
        Standing::CannotTell if exposure.undecided.is_empty() => {
            "That cannot be said for certain; see below.".to_owned()
        }
        Standing::CannotTell => format!(
            "That cannot be said for certain: {} no answer; see below.",
            count(
                exposure.undecided.len(),
                "advisory allows",
                "advisories allow"
            )
        ),
        Standing::NotListed => {
            "As far as is known: no advisory lists this version, and no security release is missing."
                .to_owned()
        }
    }
}

fn future(decision: &Decision, policy: &Policy) -> String {
    if let Some(notice) = &decision.notice {
        return format!(
            "Nothing by itself: this build is not Mastodon's own. Upstream has {} ({}).",
            notice.version, notice.class
        );
    }
    let Some(target) = &decision.target else {
        return match decision.when {
            When::Blocked => "Nothing by itself; see what is in the way.".to_owned(),
            When::Nothing
            | When::Now { .. }
            | When::Wait { .. }
            | When::NeedsApproval
            | When::NotifyOnly => "Nothing; there is nothing newer to go to.".to_owned(),
        };
    };
    let what = what(target);
    match &decision.when {
        When::Now { window, .. } => format!(
            "{what} may start now{}.",
            window
                .as_ref()
                .map(|window| format!(", in window `{}`", clean(window)))
                .unwrap_or_default()
        ),
        When::Wait { not_before, .. } => {
            format!("{what} starts by itself on {}.", policy.show(*not_before))
        }
        When::NeedsApproval => format!("{what} waits until somebody agrees."),
        When::NotifyOnly => format!("{what} waits until somebody runs it."),
        When::Nothing | When::Blocked => {
            format!("{what} is there, but cannot start by itself; see what is in the way.")
        }
    }
}

fn what(target: &Target) -> String {
    let grade = target
        .severity
        .map(|grade| format!(", {grade}"))
        .unwrap_or_default();
    format!("{} ({}{grade})", target.version, target.class)
}

fn duty(decision: &Decision) -> String {
    let name = clean(&decision.instance);
    let blocks = decision
        .obstacles
        .iter()
        .any(|obstacle| obstacle.weight == Weight::Blocks);
    match &decision.when {
        When::Nothing => match decision.exposure.standing {
            Standing::NotListed => "No.".to_owned(),
            Standing::CannotTell => {
                "Look below: there is nothing to install, and no certainty either.".to_owned()
            }
            Standing::ListedAsAffected | Standing::SecurityUpdateMissing => {
                "Yes: there is no repair to install yet. Read the advisories (`mastopatch advisories`) for what helps meanwhile."
                    .to_owned()
            }
        },
        When::Now { .. } | When::Wait { .. } => "No.".to_owned(),
        When::NeedsApproval => {
            format!("Yes: look at the plan and agree, with `mastopatch --instance {name} approve`.")
        }
        When::NotifyOnly if decision.notice.is_some() => {
            "Yes: update it as the makers of this build say.".to_owned()
        }
        When::NotifyOnly => format!("Yes: run `mastopatch --instance {name} apply`."),
        When::Blocked if blocks => {
            format!("Yes: `mastopatch --instance {name} doctor` says what to change.")
        }
        When::Blocked => "Yes: see what is in the way, below.".to_owned(),
    }
}

fn dates(decision: &Decision, policy: &Policy) -> Option<String> {
    let dates = decision.dates?;
    let mut words = Vec::new();
    if dates
        .not_before
        .duration_since(jiff::Timestamp::MAX)
        .is_negative()
    {
        words.push(format!("not before {}", policy.show(dates.not_before)));
    }
    if let Some(forced_by) = dates.forced_by {
        words.push(format!("wanted by {}", policy.show(forced_by)));
    }
    words.push(match dates.effective {
        Some(effective) => format!("earliest start {}", policy.show(effective)),
        None => "no start by itself".to_owned(),
    });
    if dates.is_late() {
        words.push("LATE".to_owned());
    }
    Some(words.join("; "))
}

fn way(decision: &Decision) -> Option<String> {
    let stops: Vec<String> = decision
        .path
        .stops
        .iter()
        .map(|stop| stop.version.to_string())
        .collect();
    if decision.notice.is_some() || (stops.len() < 2 && decision.path.dead_end.is_none()) {
        return None;
    }
    let mut text = format!("{} -> {}", decision.installed, stops.join(" -> "));
    if let Some(end) = &decision.path.dead_end {
        text = format!("{}; then: {}", text.trim_end_matches(" -> "), clean(end));
    }
    Some(text)
}
