//! What systemd is told: the states, and the line that `systemctl status` shows.

use sd_notify::NotifyState;

use super::knowledge::Known;
use crate::domain::decide::{About, Decision, When};

/// Tells systemd, if it started this process.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell; with it, a lost status line changes nothing.
    drop(sd_notify::notify(states));
}

/// What is wrong about a configuration, on one line: the first mistake, and how many more there are.
pub(super) fn in_a_line(what: &str, mistakes: &[String]) -> String {
    let first = mistakes.first().map(String::as_str).unwrap_or_default();
    let more = match mistakes.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n.saturating_sub(1)),
    };
    format!("{what}: {first}{more}")
}

/// A status line, behind what is wrong.
pub(super) fn behind(alarm: Option<&str>, line: &str) -> String {
    match alarm {
        Some(alarm) => format!("{alarm}; {line}"),
        None => line.to_owned(),
    }
}

/// How an instance stands, and the worst alarm about the sources.
pub(super) fn status_line(decision: &Decision, known: &Known) -> String {
    let line = decision_line(decision);
    match known.alarms.first() {
        Some(alarm) => format!("{line}; {}", alarm.sentence),
        None => line,
    }
}

fn decision_line(decision: &Decision) -> String {
    let (name, installed) = (&decision.instance, &decision.installed);
    let Some(target) = &decision.target else {
        return format!("{name}: {installed}, nothing to do");
    };
    let when = match &decision.when {
        When::Nothing => "nothing to do".to_owned(),
        When::Now { .. } => "due now".to_owned(),
        When::Wait {
            not_before,
            because,
        } => format!("waits until {not_before}: {because}"),
        When::NeedsApproval => "needs approval".to_owned(),
        When::NotifyOnly => "left to people".to_owned(),
        When::Blocked => match blocked_by(decision) {
            Some(why) => format!("blocked: {why}"),
            None => "blocked".to_owned(),
        },
    };
    format!("{name}: {installed} -> {}, {when}", target.version)
}

/// The last reason that can keep something from starting.
fn blocked_by(decision: &Decision) -> Option<&str> {
    let blocks = [
        About::Data,
        About::Installed,
        About::Obstacle,
        About::Window,
        About::Attempts,
    ];
    let mut reasons = decision.reasons.iter().rev();
    reasons
        .find(|reason| blocks.contains(&reason.about))
        .map(|reason| reason.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_about_a_configuration_is_told_on_one_line() {
        let mistakes = [
            "m.toml:1:1: a: unknown key",
            "m.toml:2:1: b",
            "m.toml:3:1: c",
        ];
        let mistakes = mistakes.map(ToOwned::to_owned);
        let old = "the old configuration stays";
        assert_eq!(
            in_a_line(old, &mistakes[..1]),
            "the old configuration stays: m.toml:1:1: a: unknown key"
        );
        assert_eq!(
            in_a_line(old, &mistakes),
            "the old configuration stays: m.toml:1:1: a: unknown key (and 2 more)"
        );
    }

    #[test]
    fn an_alarm_comes_before_the_rest_of_the_line() {
        assert_eq!(
            behind(Some("alarm"), "a: 4.5.2, nothing to do"),
            "alarm; a: 4.5.2, nothing to do"
        );
        assert_eq!(behind(None, "a: 4.5.2"), "a: 4.5.2");
    }
}
