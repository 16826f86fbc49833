//! What notices say, and when they are news.
#![allow(clippy::arithmetic_side_effects, reason = "tests may fail loudly")]

use jiff::{SignedDuration, Timestamp};

use super::samples::{at_risk, on_sunday, refused, risk};
use super::*;

fn minute(minute: i64) -> Timestamp {
    let begin: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    begin + SignedDuration::from_mins(minute)
}

/// Whether something is to be told, and that it then is.
fn told(memory: &mut Told, notice: &Notice, now: Timestamp) -> bool {
    let news = memory.raise(notice, now) != News::Old;
    memory.heard(notice);
    news
}

#[test]
fn the_first_line_says_what_is_late_and_whether_somebody_must_act() {
    let on = "Sun 2026-11-29 02:00 CET";
    let cases = [
        (
            on_sunday(),
            false,
            "social.example will be late: the update to Mastodon 4.5.4 is wanted by Fri 2026-11-27 15:00 CET, but as things are it starts on Sun 2026-11-29 02:00 CET at the earliest. If that is too late, somebody must act, see below.",
            "[mastopatch] social.example: the update to 4.5.4 WILL BE LATE, it is wanted by Fri 2026-11-27 15:00 CET",
        ),
        (
            on_sunday(),
            true,
            "social.example is late: the update to Mastodon 4.5.4 was wanted by Fri 2026-11-27 15:00 CET, and as things are it starts on Sun 2026-11-29 02:00 CET at the earliest. If that is too late, somebody must act, see below.",
            "[mastopatch] social.example: the update to 4.5.4 IS LATE, it was wanted by Fri 2026-11-27 15:00 CET",
        ),
        (
            Start::OnceAgreed(on.to_owned()),
            false,
            "social.example will be late: the update to Mastodon 4.5.4 is wanted by Fri 2026-11-27 15:00 CET, but it starts only when somebody agrees to it, on Sun 2026-11-29 02:00 CET at the earliest. Somebody must act, see below.",
            "[mastopatch] social.example: ACTION NEEDED, the update to 4.5.4 waits for an approval and is wanted by Fri 2026-11-27 15:00 CET",
        ),
        (
            Start::Never,
            true,
            "social.example is late: the update to Mastodon 4.5.4 was wanted by Fri 2026-11-27 15:00 CET, and it does not start by itself. Somebody must act, see below.",
            "[mastopatch] social.example: ACTION NEEDED, the update to 4.5.4 does not start by itself and was wanted by Fri 2026-11-27 15:00 CET",
        ),
        (
            Start::Now,
            true,
            "social.example is late: the update to Mastodon 4.5.4 was wanted by Fri 2026-11-27 15:00 CET, and it starts now. You need not do anything.",
            "[mastopatch] social.example: the update to 4.5.4 IS LATE, it was wanted by Fri 2026-11-27 15:00 CET",
        ),
    ];
    for (start, is_over, line, subject) in cases {
        let notice = Notice::DeadlineAtRisk(Box::new(DeadlineAtRisk {
            is_over,
            ..risk(start)
        }));
        assert_eq!(notice.line(), line);
        assert_eq!(notice.subject(), subject);
    }
}

#[test]
fn every_cause_has_a_remedy_that_works_against_it() {
    let remedies = |cause| {
        let notice = Notice::DeadlineAtRisk(Box::new(DeadlineAtRisk {
            causes: [cause].into(),
            ..risk(Start::Never)
        }));
        assert_eq!(notice.why().len(), 1);
        notice.remedies().join(" ")
    };
    for (cause, command, apply) in [
        (Cause::Approval, "`mastopatch approve 4.5.4`", true),
        (Cause::Hold, "`mastopatch unhold`", true),
        (Cause::Window, "`mastopatch window open`", true),
        (Cause::Attempts, "`mastopatch show`", true),
        (Cause::LeftToPeople, "`mastopatch apply`", true),
        (Cause::Closed, "`mastopatch explain`", true),
        (Cause::Age, "`mastopatch apply`", true),
        (Cause::Obstacle, "`mastopatch doctor`", false),
        (Cause::Version, "`mastopatch doctor`", false),
        (Cause::Fork, "whoever builds your Mastodon", false),
    ] {
        let text = remedies(cause);
        assert!(text.contains(command), "{cause:?}: {text}");
        assert_eq!(
            text.contains("mastopatch apply"),
            apply,
            "{cause:?}: {text}"
        );
        assert_eq!(text.contains("window open"), cause == Cause::Window);
    }
}

#[test]
fn a_refused_configuration_names_its_mistakes_and_what_stays_in_force() {
    let notice = refused(&[
        "policy.toml:9:9: window.opens: no such day",
        "mastopatch.toml:3:1: instance.projct: unknown key, did you mean `project`?",
        "policy.toml:9:9: window.opens: no such day",
    ]);
    assert_eq!(
        notice.line(),
        "The changed configuration of mastopatch is not in force: it has mistakes. social.example is kept patched as before, by the configuration that was read on 2026-11-20 08:00:00 UTC. Somebody must correct the mistakes."
    );
    assert_eq!(
        notice.why(),
        [
            "mastopatch.toml:3:1: instance.projct: unknown key, did you mean `project`?",
            "policy.toml:9:9: window.opens: no such day",
        ]
    );
    assert!(
        notice
            .remedies()
            .join(" ")
            .contains("`mastopatch config check`")
    );
    // The same mistakes in another order are the same matter, others are another.
    let again = refused(&[
        "mastopatch.toml:3:1: instance.projct: unknown key, did you mean `project`?",
        "policy.toml:9:9: window.opens: no such day",
    ]);
    assert_eq!(notice.key(), again.key());
    assert_ne!(
        notice.key(),
        refused(&["policy.toml:9:9: window.opens: no such day"]).key()
    );
}

#[test]
fn a_file_full_of_mistakes_is_listed_in_part() {
    let mistakes: Vec<String> = (100..150)
        .map(|line| format!("x.toml:{line}:1: \u{1b}[31munknown key"))
        .collect();
    let texts: Vec<&str> = mistakes.iter().map(String::as_str).collect();
    let why = refused(&texts).why();
    assert_eq!(why.len(), MOST_MISTAKES + 1);
    assert_eq!(why[0], "x.toml:100:1: unknown key");
    assert_eq!(why[MOST_MISTAKES], "and 30 more");
}

#[test]
fn the_same_matter_is_told_once_however_its_start_moves() {
    let mut memory = Told::default();
    assert!(told(&mut memory, &at_risk(on_sunday()), minute(0)));
    for (later, day) in [(10, "Mon"), (20, "Tue"), (5_000, "Wed")] {
        let moved = at_risk(Start::At(format!("{day} at night")));
        assert!(!told(&mut memory, &moved, minute(later)));
    }
    assert!(!told(&mut memory, &at_risk(Start::Now), minute(6_000)));
}

#[test]
fn it_is_told_again_when_it_becomes_worse_in_kind_and_not_when_it_gets_better() {
    let mut memory = Told::default();
    assert!(told(&mut memory, &at_risk(on_sunday()), minute(0)));
    assert!(told(&mut memory, &at_risk(Start::Never), minute(10)));
    for (later, start) in [
        (20, on_sunday()),
        (30, Start::Never),
        (40, Start::OnceAgreed("Sun".to_owned())),
        (50, Start::Never),
    ] {
        assert!(!told(&mut memory, &at_risk(start), minute(later)));
    }
}

#[test]
fn another_version_or_deadline_is_another_matter() {
    let mut memory = Told::default();
    assert!(told(&mut memory, &at_risk(on_sunday()), minute(0)));
    let next = Notice::DeadlineAtRisk(Box::new(DeadlineAtRisk {
        to: "4.5.5".to_owned(),
        ..risk(on_sunday())
    }));
    assert!(told(&mut memory, &next, minute(10)));
    let sooner = Notice::DeadlineAtRisk(Box::new(DeadlineAtRisk {
        forced_by: minute(60),
        ..risk(on_sunday())
    }));
    assert!(told(&mut memory, &sooner, minute(20)));
    // A list of releases that flips to and fro is no reason to write again.
    assert!(!told(&mut memory, &next, minute(30)));
    assert!(!told(&mut memory, &at_risk(on_sunday()), minute(40)));
}

#[test]
fn a_relapse_is_told_anew_after_an_hour_of_calm_and_flapping_is_not() {
    let late = at_risk(on_sunday());
    let topic = Topic::deadlines("social.example");
    let mut memory = Told::default();
    assert!(told(&mut memory, &late, minute(0)));
    for round in 1..20 {
        memory.rest(&topic, minute(20 * round));
        assert!(!told(&mut memory, &late, minute(20 * round + 10)));
    }
    memory.rest(&topic, minute(1_000));
    assert!(!memory.is_empty());
    // Nobody looked in between.
    assert!(told(&mut memory.clone(), &late, minute(1_060)));
    memory.rest(&topic, minute(1_060));
    assert!(memory.is_empty());
    assert!(told(&mut memory, &late, minute(1_070)));
}

#[test]
fn a_clock_that_was_ahead_does_not_silence_a_relapse_for_ever() {
    let late = at_risk(on_sunday());
    let topic = Topic::deadlines("social.example");
    let mut memory = Told::default();
    assert!(told(&mut memory, &late, minute(0)));
    memory.rest(&topic, minute(1_000_000));
    memory.rest(&topic, minute(10));
    assert!(!memory.is_empty());
    memory.rest(&topic, minute(70));
    assert!(memory.is_empty());
}

#[test]
fn mistakes_are_told_once_until_a_good_configuration_was_read() {
    let (one, other) = (refused(&["a"]), refused(&["b"]));
    let mut memory = Told::default();
    assert!(told(&mut memory, &one, minute(0)));
    assert!(!told(&mut memory, &one, minute(1)));
    assert!(told(&mut memory, &other, minute(2)));
    assert!(!told(&mut memory, &one, minute(300)));
    memory.rest(&Topic::Configuration, minute(301));
    assert!(memory.is_empty());
    assert!(told(&mut memory, &one, minute(302)));
}

#[test]
fn what_nobody_was_written_to_about_is_told_when_there_is_somebody() {
    let late = at_risk(on_sunday());
    let mut memory = Told::default();
    assert_eq!(memory.raise(&late, minute(0)), News::New);
    assert_eq!(memory.raise(&late, minute(1)), News::Unheard);
    memory.heard(&late);
    assert_eq!(memory.raise(&late, minute(2)), News::Old);
}
