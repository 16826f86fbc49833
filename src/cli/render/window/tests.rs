//! What is printed to the letter.

use super::*;
use crate::config::parse_policy;
use crate::domain::window::OneOff;

const POLICY: &str = r#"
[time]
zone = "Europe/Berlin"
[[window]]
id = "night"
opens = "Sat 23:00"
lasts = "3h"
allow = ["*"]
[[blackout]]
id = "holidays"
every = "12-20/01-02"
strength = "soft"
reason = "skeleton staff"
[[policy]]
name = "critical"
match = { severity = "critical" }
outside_windows = "after 4h"
may_break = ["soft"]
approval = "none"
[[policy]]
name = "rest"
approval = "none"
"#;

fn shown(policy: &str, now: &str, change: impl FnOnce(&mut Outlook<'_>)) -> String {
    let policy = parse_policy(Path::new("p"), policy).unwrap();
    let mut one = Outlook {
        hold: None,
        instance: "social.example",
        policy_file: Path::new("security-first"),
        policy: &policy,
        schedule: policy.schedule().clone(),
        needed: Needed::UNMEASURED,
        now: now.parse().unwrap(),
        clock_doubt: None,
        tz_version: Some("2026a".to_owned()),
    };
    change(&mut one);
    let text = outlook(&one, 2);
    let answer = one.answer(2);
    assert_eq!(answer.open, text.contains("\n\nOpen now"), "{text}");
    let table = text.lines().skip_while(|line| !line.starts_with("WINDOW"));
    for line in table.take_while(|line| !line.is_empty()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    text
}

/// Its second part: why it is open or closed.
fn state(policy: &str, now: &str, change: impl FnOnce(&mut Outlook<'_>)) -> String {
    let text = shown(policy, now, change);
    text.lines().nth(2).unwrap().to_owned()
}

#[test]
fn what_comes_is_shown_in_local_time_and_utc_with_the_latest_start() {
    let text = shown(POLICY, "2026-11-23T12:00:00Z", |_| {});
    assert_eq!(
        text,
        "social.example   policy security-first, zone Europe/Berlin (tz database 2026a)\n\n\
         Closed now, Mon 2026-11-23 13:00 CET. No window is open.\n\
         A run and its way back need 45m (22m 30s and 22m 30s, assumed until a run was measured here).\n\n\
         WINDOW   OPENS                     CLOSES         LATEST START\n\
         night    Sat 2026-11-28 23:00 CET  Sun 02:00 CET  Sun 01:15 CET\n\
         for all  Sat 2026-11-28 22:00 UTC  Sun 01:00 UTC  Sun 00:15 UTC\n\
         night    Sat 2026-12-05 23:00 CET  Sun 02:00 CET  Sun 01:15 CET\n\
         for all  Sat 2026-12-05 22:00 UTC  Sun 01:00 UTC  Sun 00:15 UTC\n\n\
         Rules that need no window: `critical` 4h after publication, in soft blackouts too.\n\n\
         Blackout `holidays` (soft): Sun 2026-12-20 00:00 CET to Sun 2027-01-03 00:00 CET, skeleton staff."
    );
}

#[test]
fn open_too_late_blacked_out_and_doubtful_are_told_apart() {
    let until = "Window `night` is open until Sun 2026-11-29 02:00 CET";
    for (now, said) in [
        ("2026-11-29T00:15:00Z", "Open now, Sun 2026-11-29 01:15 CET.".to_owned()),
        (
            "2026-11-29T00:15:01Z",
            format!("Closed now, Sun 2026-11-29 01:15 CET. {until}, but its latest start was Sun 2026-11-29 01:15 CET."),
        ),
        ("2026-11-29T01:00:00Z", "Closed now, Sun 2026-11-29 02:00 CET. No window is open.".to_owned()),
        (
            "2026-12-26T22:30:00Z",
            "Closed now, Sat 2026-12-26 23:30 CET. Blackout `holidays` (soft) holds until Sun 2027-01-03 00:00 CET: skeleton staff.".to_owned(),
        ),
    ] {
        assert_eq!(state(POLICY, now, |_| {}), said, "{now}");
    }
    let doubt =
        |one: &mut Outlook<'_>| one.clock_doubt = Some("Nobody vouches for the clock.".to_owned());
    let open = "2026-11-28T22:30:00Z";
    assert_eq!(
        state(POLICY, open, doubt),
        "Closed now, Sat 2026-11-28 23:30 CET. Nobody vouches for the clock."
    );
    let trusting = POLICY.replacen("[[window]]", "require_sync = false\n[[window]]", 1);
    assert_eq!(
        state(&trusting, open, doubt),
        "Open now, Sat 2026-11-28 23:30 CET."
    );
    let short = POLICY.replacen("3h", "30m", 1);
    assert_eq!(
        state(&short, "2026-11-28T22:10:00Z", |_| {}),
        "Closed now, Sat 2026-11-28 23:10 CET. Window `night` is open until Sat 2026-11-28 23:30 CET, but is too short for a run and its way back."
    );
    assert!(shown(&short, open, |_| {}).contains("23:30 CET  too short\n"));
}

#[test]
fn a_window_that_was_opened_once_stands_among_the_others_and_fits() {
    let text = shown(POLICY, "2026-11-23T12:00:00Z", |one| {
        let start = "2026-11-26T13:00:00Z".parse().unwrap();
        let end = "2026-11-26T15:00:00Z".parse().unwrap();
        let once = OneOff {
            id: "once-20261126T1300Z".to_owned(),
            opening: Opening { start, end },
            allow: [Class::Security, Class::Patch].into(),
            breaks_soft: false,
            reason: "announced".to_owned(),
            by: "eva".to_owned(),
            at: start,
        };
        one.schedule = one.schedule.with_one_offs(&[once]);
    });
    assert!(
        text.contains(
            "once-20261126T1300Z  Thu 2026-11-26 14:00 CET  16:00 CET      15:15 CET\n\
             for security, patch  Thu 2026-11-26 13:00 UTC  15:00 UTC      14:15 UTC\n"
        ),
        "{text}"
    );
}

#[test]
fn a_calendar_that_is_over_and_long_names_are_no_trouble() {
    let never = POLICY.replacen("Sat 23:00", "2025-01-04 23:00", 1);
    let text = shown(&never, "2026-11-23T12:00:00Z", |one| one.tz_version = None);
    assert!(
        text.contains("\n\nNo window opens within 400 days.\n\n"),
        "{text}"
    );
    assert!(text.contains("(tz database of unknown version)"), "{text}");
    let long = POLICY
        .replacen("\"night\"", &format!("\"{}\"", "n".repeat(60)), 1)
        .replacen("[\"*\"]", "[\"security\", \"patch\", \"minor\"]", 1)
        .replace("match", "# match")
        .replace("[[policy]]\nname = \"rest\"\napproval = \"none\"\n", "")
        .replace("Europe/Berlin", "Pacific/Chatham");
    // Times stay whole, names give way.
    let text = shown(&long, "2026-11-23T12:00:00Z", |_| {});
    assert!(
        text.contains("Sat 2026-11-28 23:00 +1345  Sun 02:00 +1345  Sun 01:15 +1345"),
        "{text}"
    );
}
