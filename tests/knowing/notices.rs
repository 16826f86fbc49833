//! When a deadline is told to be at risk, why, and what justifies a run that waits for no window.

use std::sync::Arc;

use jiff::SignedDuration;
use mastopatch::adapters::mail::MailReporter;
use mastopatch::adapters::store::Store;
use mastopatch::domain::advisory::Severity;
use mastopatch::domain::decide::{Attempt, Facts, Hold, When, decide};
use mastopatch::domain::event::Outcome;
use mastopatch::domain::installed::{Installed, Origin};
use mastopatch::domain::notice::{Cause, DeadlineAtRisk, Notice, Start};
use mastopatch::domain::published::Published;
use mastopatch::ports::mailer::{Outbox as _, Recipient, RecipientRole};

use crate::known::{SUNDAY_NIGHT, WEDNESDAY, at, facts_on, fixture, shipped, version};

/// 4.5.8 came out on Tuesday 2026-03-24 and is wanted within seven days, before Tuesday 2026-03-31; the only window
/// before that is on Sunday the 29th.
const THURSDAY: &str = "2026-03-26T12:00:00Z";
const FORCED_BY: &str = "2026-03-31T15:15:49Z";

fn risk(facts: &Facts, now: &str) -> Option<DeadlineAtRisk> {
    let policy = fixture("sunday");
    let decision = decide(facts, &policy, at(now), SignedDuration::from_mins(30));
    match Notice::deadline(&decision, &policy, at(now))? {
        Notice::DeadlineAtRisk(risk) => Some(*risk),
        Notice::ConfigRefused(_) | Notice::StandsStill(_) | Notice::NotRehearsed(_) => {
            panic!("that is no deadline")
        }
    }
}

fn hold(until: Option<&str>) -> Hold {
    Hold {
        reason: "election".to_owned(),
        by: "eva".to_owned(),
        at: at("2026-03-25T00:00:00Z"),
        until: until.map(at),
    }
}

fn attempt(outcome: Outcome, on: &str) -> Attempt {
    Attempt {
        version: version("4.5.8"),
        outcome,
        closed: true,
        at: at(on),
    }
}

fn fork() -> Facts {
    let mut installed = Installed::taken_for_granted(version("4.5.7+glitch"));
    installed.origin = Origin::Fork {
        name: "glitch".to_owned(),
    };
    Facts {
        installed,
        ..facts_on("4.5.7", THURSDAY)
    }
}

type Change = fn(&mut Facts);

/// What is the matter, on which day, and what is told of it: when it would start, and why not in time.
type Row = (
    &'static str,
    Change,
    &'static str,
    Option<(Start, Vec<Cause>)>,
);

fn table() -> Vec<Row> {
    let start = |text: &str| Start::At(text.to_owned());
    vec![
        ("a window comes in time", |_| {}, THURSDAY, None),
        (
            "it ends in time",
            |facts| facts.hold = Some(hold(Some("2026-03-27T00:00:00Z"))),
            THURSDAY,
            None,
        ),
        (
            "the window was missed",
            |_| {},
            "2026-03-30T12:00:00Z",
            Some((start("Sun 2026-04-05 02:00 CEST"), vec![Cause::Window])),
        ),
        (
            "it ends after the only window",
            |facts| facts.hold = Some(hold(Some("2026-03-30T00:00:00Z"))),
            THURSDAY,
            Some((start("Sun 2026-04-05 02:00 CEST"), vec![Cause::Window])),
        ),
        (
            "it ends after the deadline",
            |facts| facts.hold = Some(hold(Some("2026-04-10T00:00:00Z"))),
            THURSDAY,
            Some((start("Sun 2026-04-12 02:00 CEST"), vec![Cause::Hold])),
        ),
        (
            "it has no end",
            |facts| facts.hold = Some(hold(None)),
            THURSDAY,
            Some((Start::Never, vec![Cause::Hold])),
        ),
        (
            "the last run is held",
            |facts| facts.attempts = vec![attempt(Outcome::Held, "2026-03-25T00:00:00Z")],
            THURSDAY,
            Some((Start::Never, vec![Cause::Attempts])),
        ),
        (
            "it is not certain what runs",
            |facts| facts.installed.disagreements = vec!["Two say two things.".to_owned()],
            THURSDAY,
            Some((Start::Never, vec![Cause::Version])),
        ),
        (
            "it is over, and a window is open",
            |_| {},
            SUNDAY_NIGHT,
            Some((Start::Now, vec![])),
        ),
        (
            "it is over, and no window is open",
            |_| {},
            WEDNESDAY,
            Some((start("Sun 2026-04-19 02:00 CEST"), vec![Cause::Window])),
        ),
        (
            "the clock is behind what was published",
            |facts| {
                let published = Published::clone(&facts.published);
                facts.published = Arc::new(published.with_clock_doubt(Some("No.".to_owned())));
            },
            THURSDAY,
            Some((Start::Never, vec![Cause::Closed])),
        ),
    ]
}

#[test]
fn a_deadline_is_at_risk_when_nothing_lets_it_start_before_and_for_the_reason_that_holds() {
    for (name, change, now, wanted) in table() {
        let mut facts = facts_on("4.5.7", THURSDAY);
        change(&mut facts);
        let found = risk(&facts, now);
        if let Some(risk) = &found {
            assert_eq!((risk.to.as_str(), risk.forced_by), ("4.5.8", at(FORCED_BY)));
            assert_eq!(risk.rule.as_deref(), Some("security"));
            assert_eq!(risk.is_over, at(now) >= at(FORCED_BY), "{name}");
            assert!(!risk.reasons.is_empty());
        }
        let found = found.map(|risk| (risk.start, risk.causes.into_iter().collect()));
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn without_a_rule_or_a_deadline_nothing_is_at_risk() {
    // 4.5.8 itself is up to date, and minor steps have no deadline in this policy.
    assert_eq!(risk(&facts_on("4.5.8", THURSDAY), THURSDAY), None);
    let minor = facts_on("4.4.15", "2026-04-15T00:00:00Z");
    assert_eq!(risk(&minor, WEDNESDAY), None);
}

#[test]
fn whoever_runs_a_fork_is_told_too_and_asked_for_nothing_that_mastopatch_could_do() {
    let risk = risk(&fork(), THURSDAY).unwrap();
    assert_eq!(
        (risk.start.clone(), risk.from.as_str()),
        (Start::Never, "4.5.7+glitch")
    );
    assert!(risk.causes.contains(&Cause::Fork));
    let remedies = Notice::DeadlineAtRisk(Box::new(risk)).remedies();
    assert_eq!(
        remedies,
        [
            "Ask whoever builds your Mastodon for a build with what 4.5.8 closes, and have it installed."
        ]
    );
}

#[test]
fn an_approval_that_is_missing_is_told_when_even_the_last_window_is_too_late_for_it() {
    let policy = shipped("conservative");
    let facts = facts_on("4.5.7", THURSDAY);
    let needed = SignedDuration::from_mins(30);
    let start = at(THURSDAY);
    let days = (0..40).map(|day| start + SignedDuration::from_hours(24 * day));
    let mut seen = false;
    for now in days {
        let decision = decide(&facts, &policy, now, needed);
        let Some(Notice::DeadlineAtRisk(risk)) = Notice::deadline(&decision, &policy, now) else {
            assert!(!seen, "what is late stays late");
            continue;
        };
        seen = true;
        if decision.when == When::NeedsApproval {
            assert!(matches!(risk.start, Start::OnceAgreed(_)), "{risk:?}");
            assert!(risk.causes.contains(&Cause::Approval), "{risk:?}");
            assert!(
                Notice::DeadlineAtRisk(risk).remedies()[0].contains("mastopatch approve 4.5.8")
            );
        }
    }
    assert!(seen);
}

#[test]
fn texts_of_people_and_publishers_cannot_forge_a_mail() {
    let evil = "x\r\nBcc: all@example.org\u{1b}[31m\u{202e}";
    let mut facts = facts_on("4.5.7", THURSDAY);
    facts.instance = evil.to_owned();
    facts.hold = Some(Hold {
        reason: evil.to_owned(),
        by: evil.to_owned(),
        ..hold(None)
    });
    let risk = risk(&facts, THURSDAY).unwrap();
    let notice = Notice::DeadlineAtRisk(Box::new(risk.clone()));
    let mut texts = risk.reasons;
    texts.extend([
        notice.subject(),
        notice.line(),
        notice.concerns(),
        notice.key(),
    ]);
    for text in texts {
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
}

#[test]
fn the_same_decision_twice_is_one_mail_and_so_is_one_whose_start_moves() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).unwrap();
    let reporter = MailReporter::new(
        "mastopatch@social.example".to_owned(),
        vec![Recipient {
            address: "marge@example.org".to_owned(),
            role: RecipientRole::Manager,
        }],
    );
    let policy = fixture("sunday");
    let facts = facts_on("4.5.7", THURSDAY);
    let mails = |now: &str| {
        let decision = decide(&facts, &policy, at(now), SignedDuration::from_mins(30));
        let notice = Notice::deadline(&decision, &policy, at(now)).unwrap();
        store
            .queue_notice(&notice, at(now), || reporter.notice(&notice, at(now)))
            .unwrap();
        store.due(at(WEDNESDAY), 10).unwrap().len()
    };
    let late = "2026-03-30T12:00:00Z";
    assert_eq!(mails(late), 1);
    assert_eq!(mails(late), 1);
    // One window after the other passes.
    for now in [
        "2026-03-30T12:10:00Z",
        "2026-04-05T04:00:00Z",
        "2026-04-12T04:00:00Z",
    ] {
        assert_eq!(mails(now), 1);
    }
}

#[test]
fn what_starts_outside_of_windows_carries_the_rule_the_holes_and_since_when_they_are_public() {
    let policy = fixture("at-once");
    let facts = facts_on("4.5.2", THURSDAY);
    let needed = SignedDuration::from_mins(30);
    let decision = decide(&facts, &policy, at(THURSDAY), needed);
    assert!(matches!(decision.when, When::Now { window: None, .. }));
    let text = decision.emergency(&policy, at(THURSDAY)).unwrap();
    let target = decision.target.clone().unwrap();
    for wanted in [
        "Rule `security-now` lets it start at once, inside or outside of windows.".to_owned(),
        format!(
            "Mastodon {} is a security update: it closes {}",
            target.version,
            target.advisories.join(", ")
        ),
        format!("public since {}", policy.show(target.public_since)),
        format!("(severity {})", target.severity.unwrap()),
    ] {
        assert!(text.contains(&wanted), "{wanted} is not in {text}");
    }
    // In a window there is nothing to justify.
    let night = decide(&facts, &policy, at("2026-03-27T01:10:00Z"), needed);
    assert!(matches!(
        night.when,
        When::Now {
            window: Some(_),
            ..
        }
    ));
    assert_eq!(night.emergency(&policy, at("2026-03-27T01:10:00Z")), None);
}

#[test]
fn severity_alone_opens_nothing() {
    let facts = facts_on("4.5.2", THURSDAY);
    let policy = fixture("sunday");
    let decision = decide(&facts, &policy, at(THURSDAY), SignedDuration::from_mins(30));
    assert_eq!(
        decision.target.as_ref().unwrap().severity,
        Some(Severity::High)
    );
    assert!(
        matches!(decision.when, When::Wait { .. }),
        "{:?}",
        decision.when
    );
    assert_eq!(decision.emergency(&policy, at(THURSDAY)), None);
}
