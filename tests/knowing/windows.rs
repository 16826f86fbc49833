//! Which start windows, blackouts, rules and the clock allow together.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use mastopatch::config::parse_policy;
use mastopatch::domain::decide::{About, Decision, Facts, Hold, When, decide};
use mastopatch::domain::policy::{Class, Policy};
use mastopatch::domain::window::{OneOff, Opening, Strength};
use proptest::prelude::*;

use crate::known::{at, facts_on, said};

/// 4.5.8, a security patch, came out on Tuesday 2026-03-24 at 15:15:49 UTC.
const BEFORE: &str = "4.5.7";
/// A Wednesday, a day after it.
const WEDNESDAY: &str = "2026-03-25T16:00:00Z";
const NEEDED: SignedDuration = SignedDuration::from_mins(45);

fn known() -> Facts {
    static FACTS: LazyLock<Facts> = LazyLock::new(|| facts_on(BEFORE, WEDNESDAY));
    FACTS.clone()
}

/// A policy in UTC with one rule for everything.
fn policy(tables: &str, rule: &str) -> Policy {
    let text = format!(
        "[time]\nzone = \"UTC\"\n{tables}[[policy]]\nname = \"all\"\napproval = \"none\"\n{rule}"
    );
    parse_policy(Path::new("p"), &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn window(id: &str, opens: &str, lasts: &str, allow: &str) -> String {
    format!(
        "[[window]]\nid = \"{id}\"\nopens = \"{opens}\"\nlasts = \"{lasts}\"\nallow = {allow}\n"
    )
}

fn blackout(strength: &str, from: &str, to: &str) -> String {
    format!(
        "[[blackout]]\nid = \"{strength}\"\nfrom = \"{from}\"\nto = \"{to}\"\nstrength = \"{strength}\"\nreason = \"because\"\n"
    )
}

fn on(policy: &Policy, now: &str) -> Decision {
    decide(&known(), policy, at(now), NEEDED)
}

/// The start that was found; none if it never starts.
fn start(decision: &Decision, now: &str) -> Option<Timestamp> {
    match &decision.when {
        When::Now { .. } => Some(at(now)),
        When::Wait { not_before, .. } => Some(*not_before),
        When::Nothing | When::NeedsApproval | When::NotifyOnly | When::Blocked => None,
    }
}

fn one_off(from: &str, to: &str, allow: &[Class], breaks_soft: bool) -> OneOff {
    OneOff {
        id: "once".to_owned(),
        opening: Opening {
            start: at(from),
            end: at(to),
        },
        allow: allow.iter().copied().collect(),
        breaks_soft,
        reason: "announced".to_owned(),
        by: "eva".to_owned(),
        at: at(WEDNESDAY),
    }
}

#[test]
fn a_hard_blackout_beats_an_emergency_which_beats_a_soft_one_which_beats_a_window() {
    const DAILY: &str = "02:00";
    let no_break = "outside_windows = \"at-once\"\n";
    let breaks = "outside_windows = \"at-once\"\nmay_break = [\"soft\"]\n";
    let inside = "may_break = [\"soft\"]\n";
    let never = "";
    // In which blackout; the rule; whether a window is open; whether it starts now, and in it.
    let table = [
        ("", never, true, Some(true)),
        ("", never, false, None),
        ("", no_break, true, Some(true)),
        ("", no_break, false, Some(false)),
        ("soft", never, true, None),
        ("soft", never, false, None),
        ("soft", inside, true, Some(true)),
        ("soft", inside, false, None),
        ("soft", no_break, true, None),
        ("soft", no_break, false, None),
        ("soft", breaks, true, Some(true)),
        ("soft", breaks, false, Some(false)),
        ("hard", never, true, None),
        ("hard", never, false, None),
        ("hard", inside, true, None),
        ("hard", no_break, true, None),
        ("hard", no_break, false, None),
        ("hard", breaks, true, None),
        ("hard", breaks, false, None),
        ("soft+hard", breaks, true, None),
        ("soft+hard", breaks, false, None),
    ];
    for (holding, rule, open, starts) in table {
        let mut tables = window("night", DAILY, "2h", "\"*\"");
        for one in holding.split('+').filter(|one| !one.is_empty()) {
            tables += &blackout(one, "2026-03-25T00:00", "2026-03-27T00:00");
        }
        let now = if open {
            "2026-03-26T02:10:00Z"
        } else {
            "2026-03-26T05:00:00Z"
        };
        let decision = on(&policy(&tables, rule), now);
        let found = match &decision.when {
            When::Now { window, .. } => Some(window.is_some()),
            When::Wait { not_before, .. } => {
                let free = rule == no_break || rule == breaks;
                let end = if free && !holding.is_empty() {
                    "2026-03-27T00:00:00Z"
                } else {
                    "2026-03-27T02:00:00Z"
                };
                assert_eq!(*not_before, at(end), "{holding} {rule:?} {open}");
                None
            }
            other @ (When::Nothing | When::NeedsApproval | When::NotifyOnly | When::Blocked) => {
                panic!("{holding} {rule:?} {open}: {other:?}")
            }
        };
        assert_eq!(found, starts, "{holding} {rule:?} {open}");
        for one in holding.split('+').filter(|one| !one.is_empty()) {
            let told = said(&decision, About::Window);
            assert!(
                told.contains(&format!(
                    "Blackout `{one}` ({one}) holds until Fri 2026-03-27 00:00 UTC"
                )),
                "{told}"
            );
        }
        if starts == Some(false) && holding == "soft" {
            assert!(
                said(&decision, About::Window).contains("which rule `all` may break: because.")
            );
            assert!(
                decision
                    .emergency(&policy(&tables, rule), at(now))
                    .is_some()
            );
        }
    }
}

#[test]
fn nothing_starts_that_a_blackout_would_catch_before_it_is_over() {
    let tables = window("night", "02:00", "2h", "\"*\"")
        + &blackout("hard", "2026-03-26T03:00", "2026-03-26T12:00");
    let in_windows = policy(&tables, "");
    let outside = policy(&tables, "outside_windows = \"at-once\"\n");
    for (now, expected) in [
        // In a window, until the blackout.
        ("2026-03-26T02:15:00Z", "2026-03-26T02:15:00Z"),
        ("2026-03-26T02:15:01Z", "2026-03-27T02:00:00Z"),
        ("2026-03-26T03:00:00Z", "2026-03-27T02:00:00Z"),
    ] {
        let decision = on(&in_windows, now);
        assert_eq!(start(&decision, now), Some(at(expected)), "{now}");
        if let When::Now { until, .. } = decision.when {
            assert_eq!(
                until,
                Some(at("2026-03-26T03:00:00Z")),
                "the blackout is the run's hard end"
            );
        }
        let free = on(&outside, now);
        let expected = if expected == now {
            now
        } else {
            "2026-03-26T12:00:00Z"
        };
        assert_eq!(start(&free, now), Some(at(expected)), "{now}");
    }
    // Outside of windows, with the blackout not begun yet.
    let now = "2026-03-26T01:00:00Z";
    let until = Some(at("2026-03-26T03:00:00Z"));
    assert_eq!(
        on(&outside, now).when,
        When::Now {
            window: None,
            until
        }
    );
}

#[test]
fn a_rule_that_matures_inside_a_window_or_a_blackout_starts_when_both_allow_it() {
    // 15:15:49 and four hours: 19:15:49.
    let matured = "2026-03-24T19:15:49Z";
    let rule = "outside_windows = \"after 4h\"\n";
    let now = "2026-03-24T15:16:00Z";
    let of = |tables: &str| {
        let facts = facts_on(BEFORE, now);
        let decision = decide(&facts, &policy(tables, rule), at(now), NEEDED);
        (start(&decision, now).unwrap(), decision)
    };
    assert_eq!(
        of(&window("far", "Sun 02:00", "2h", "\"*\"")).0,
        at(matured)
    );
    // The window comes first.
    assert_eq!(
        of(&window("near", "18:00", "2h", "\"*\"")).0,
        at("2026-03-24T18:00:00Z")
    );
    // Before the rule matures the window is open, and starts it.
    assert_eq!(of(&window("open", "15:00", "5h", "\"*\"")).0, at(now));
    // It matures inside a window that does not allow it.
    assert_eq!(
        of(&(window("other", "19:00", "2h", "[\"patch\"]")
            + &window("far", "Sun 02:00", "2h", "\"*\"")))
        .0,
        at(matured)
    );
    // It matures inside a blackout, and just before one.
    let far = window("far", "Sun 02:00", "2h", "\"*\"");
    let (first, decision) =
        of(&(far.clone() + &blackout("soft", "2026-03-24T19:00", "2026-03-24T21:00")));
    assert_eq!(first, at("2026-03-24T21:00:00Z"));
    assert!(
        said(&decision, About::Window)
            .contains("Because of blackout `soft` that is Tue 2026-03-24 21:00 UTC.")
    );
    let (first, decision) = of(&(far + &blackout("soft", "2026-03-24T20:00", "2026-03-24T21:00")));
    assert_eq!(first, at("2026-03-24T21:00:00Z"));
    assert!(
        said(&decision, About::Window).contains("a blackout that begins before it could be over")
    );
}

#[test]
fn what_may_break_a_soft_blackout_does_so_inside_its_windows_only() {
    let tables = window("night", "02:00", "2h", "\"*\"")
        + &blackout("soft", "2026-03-25T00:00", "2026-03-30T00:00");
    let now = WEDNESDAY;
    let with = on(&policy(&tables, "may_break = [\"soft\"]\n"), now);
    let without = on(&policy(&tables, ""), now);
    assert_eq!(start(&with, now), Some(at("2026-03-26T02:00:00Z")));
    assert_eq!(start(&without, now), Some(at("2026-03-30T02:00:00Z")));
}

#[test]
fn a_window_that_a_person_opens_once_counts_like_a_written_one() {
    let sunday = window("sunday", "Sun 02:00", "2h", "\"*\"");
    let plain = policy(&sunday, "");
    let (from, to) = ("2026-03-26T13:00:00Z", "2026-03-26T14:00:00Z");
    let next = at("2026-03-29T02:00:00Z");
    let with = |policy: &Policy, one: OneOff, now: &str| {
        let facts = Facts {
            one_offs: vec![one],
            ..known()
        };
        decide(&facts, policy, at(now), NEEDED)
    };
    let first =
        |policy: &Policy, one: OneOff| start(&with(policy, one, WEDNESDAY), WEDNESDAY).unwrap();
    let security = [Class::Security];
    assert_eq!(first(&plain, one_off(from, to, &security, false)), at(from));
    // Its class is not meant.
    assert_eq!(
        first(&plain, one_off(from, to, &[Class::Patch], false)),
        next
    );
    for (strength, breaks_soft, expected) in [
        ("soft", false, next),
        ("soft", true, at(from)),
        ("hard", false, next),
        ("hard", true, next),
    ] {
        let tables = sunday.clone() + &blackout(strength, "2026-03-26T00:00", "2026-03-27T00:00");
        let found = first(
            &policy(&tables, ""),
            one_off(from, to, &security, breaks_soft),
        );
        assert_eq!(found, expected, "{strength} {breaks_soft}");
    }
    // It touches the written one: both are one stretch, and its end is that of the last.
    let touching = one_off(
        "2026-03-29T01:30:00Z",
        "2026-03-29T02:00:00Z",
        &security,
        false,
    );
    let decision = with(&plain, touching, "2026-03-29T01:30:00Z");
    let until = Some(at("2026-03-29T04:00:00Z"));
    assert_eq!(
        decision.when,
        When::Now {
            window: Some("once".to_owned()),
            until
        }
    );
    // Nothing else allows the class at all.
    let patches = policy(
        &window("sunday", "Sun 02:00", "2h", "[\"patch\"]"),
        "match = { class = \"patch\" }\n[[policy]]\nname = \"security\"\napproval = \"none\"\nmatch = { class = \"security\" }\noutside_windows = \"after 90d\"\n",
    );
    assert_eq!(
        first(&patches, one_off(from, to, &security, false)),
        at(from)
    );
}

#[test]
fn the_latest_start_is_exact_to_the_second() {
    let plain = policy(&window("night", "02:00", "2h", "\"*\""), "");
    let until = Some(at("2026-03-26T04:00:00Z"));
    let now = "2026-03-26T03:15:00Z";
    assert_eq!(
        on(&plain, now).when,
        When::Now {
            window: Some("night".to_owned()),
            until
        }
    );
    let late = "2026-03-26T03:15:01Z";
    let decision = on(&plain, late);
    assert_eq!(start(&decision, late), Some(at("2026-03-27T02:00:00Z")));
    assert!(said(&decision, About::Window).contains(
        "Window `night` is open until Thu 2026-03-26 04:00 UTC, but a run and its rollback need 45m, which no longer fits."
    ));
    // Half-open: it holds its first instant, and not its last.
    assert!(matches!(
        on(&plain, "2026-03-26T02:00:00Z").when,
        When::Now { .. }
    ));
    assert!(matches!(
        on(&plain, "2026-03-26T01:59:59Z").when,
        When::Wait { .. }
    ));
    let nothing = decide(
        &known(),
        &plain,
        at("2026-03-26T04:00:00Z"),
        SignedDuration::ZERO,
    );
    assert!(matches!(nothing.when, When::Wait { .. }));
}

#[test]
fn the_three_dates_are_there_whatever_comes_of_it() {
    let tables = window("night", "02:00", "2h", "\"*\"");
    let published = at("2026-03-24T15:15:49Z");
    for (rule, effective) in [
        ("deadline = \"7d\"\n", Some("2026-03-26T02:00:00Z")),
        (
            "deadline = \"7d\"\noutside_windows = \"at-once\"\n",
            Some(WEDNESDAY),
        ),
        ("deadline = \"7d\"\naction = \"notify\"\n", None),
    ] {
        let dates = on(&policy(&tables, rule), WEDNESDAY).dates.unwrap();
        assert_eq!(dates.not_before, published, "{rule}");
        assert_eq!(
            dates.forced_by,
            Some(published + SignedDuration::from_hours(168)),
            "{rule}"
        );
        assert_eq!(dates.effective, effective.map(at), "{rule}");
    }
    let held = Facts {
        hold: Some(Hold {
            reason: "r".to_owned(),
            by: "eva".to_owned(),
            at: at(WEDNESDAY),
            until: Some(at("2026-03-28T12:00:00Z")),
        }),
        ..known()
    };
    let dates = decide(&held, &policy(&tables, ""), at(WEDNESDAY), NEEDED)
        .dates
        .unwrap();
    assert_eq!(
        (dates.not_before, dates.effective),
        (at("2026-03-28T12:00:00Z"), Some(at("2026-03-29T02:00:00Z")))
    );
}

#[test]
fn a_clock_that_nobody_vouches_for_closes_everything_unless_the_policy_says_otherwise() {
    let doubting = Facts {
        clock_doubt: Some("This host's clock is not synchronised; run a time service.".to_owned()),
        ..known()
    };
    let now = "2026-03-26T02:10:00Z";
    let tables = window("night", "02:00", "2h", "\"*\"");
    for rule in [
        "",
        "outside_windows = \"at-once\"\nmay_break = [\"soft\"]\n",
    ] {
        let decision = decide(&doubting, &policy(&tables, rule), at(now), NEEDED);
        assert_eq!(decision.when, When::Blocked);
        assert_eq!(decision.dates.unwrap().effective, None);
        let told = said(&decision, About::Window);
        assert!(told.contains("run a time service. While that is so, every window is closed; `mastopatch apply` starts it all the same."), "{told}");
        let trusting = policy(&tables, rule).requiring_sync(false);
        assert!(matches!(
            decide(&doubting, &trusting, at(now), NEEDED).when,
            When::Now { .. }
        ));
    }
}

#[test]
fn a_window_that_was_missed_is_not_caught_up_with() {
    let plain = policy(
        &window("sunday", "Sun 02:00", "2h", "\"*\""),
        "deadline = \"1h\"\n",
    );
    // Weeks of Sundays passed while the host slept.
    for now in [
        "2026-03-29T04:00:00Z",
        "2026-05-06T12:00:00Z",
        "2027-05-05T12:00:00Z",
    ] {
        let decision = on(&plain, now);
        let first = start(&decision, now).unwrap();
        assert!(
            first > at(now) && first <= at(now) + SignedDuration::from_hours(168),
            "{now}"
        );
        assert_eq!(first.strftime("%a %H:%M:%S").to_string(), "Sun 02:00:00");
        assert_eq!(decision.dates.unwrap().effective, Some(first));
    }
}

#[test]
fn each_class_has_its_own_windows_and_windows_that_touch_are_one_stretch() {
    let tables = window("patches", "Thu 02:00", "2h", "[\"patch\"]")
        + &window("holes", "Fri 02:00", "1h", "[\"security\"]")
        + &window("more", "Fri 03:00", "1h", "[\"security\", \"patch\"]")
        + &window("big", "Fri 04:00", "4h", "[\"minor\", \"major\"]");
    let plain = policy(&tables, "");
    assert_eq!(
        start(&on(&plain, WEDNESDAY), WEDNESDAY),
        Some(at("2026-03-27T02:00:00Z"))
    );
    let now = "2026-03-27T02:30:00Z";
    let until = Some(at("2026-03-27T04:00:00Z"));
    assert_eq!(
        on(&plain, now).when,
        When::Now {
            window: Some("holes".to_owned()),
            until
        }
    );
    let cut = tables + &blackout("soft", "2026-03-27T03:30", "2026-03-27T05:00");
    let until = Some(at("2026-03-27T03:30:00Z"));
    assert_eq!(
        on(&policy(&cut, ""), now).when,
        When::Now {
            window: Some("holes".to_owned()),
            until
        }
    );
}

/// A calendar of a few windows and blackouts, a rule, and an instant.
fn any_case() -> impl Strategy<Value = (Policy, bool, Timestamp, SignedDuration)> {
    let opens = [
        "02:00",
        "Thu,Fri 23:30",
        "Sun 01:15",
        "*-*~1 12:00",
        "Mon..Wed 06:45",
        "2026-04-02 13:00",
    ];
    let lasts = ["30m", "1h", "2h", "5h", "24h"];
    let allow = ["\"*\"", "[\"security\"]", "[\"patch\", \"minor\"]"];
    let one = (
        proptest::sample::select(opens.to_vec()),
        proptest::sample::select(lasts.to_vec()),
        proptest::sample::select(allow.to_vec()),
    );
    let windows = proptest::collection::vec(one, 1..4);
    let blackouts = proptest::collection::vec((0_i64..400, 1_i64..60, any::<bool>()), 0..4);
    let outside = proptest::sample::select(vec![
        "",
        "outside_windows = \"at-once\"\n",
        "outside_windows = \"after 4h\"\n",
        "outside_windows = \"after 10d\"\n",
    ]);
    let zone = proptest::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe"]);
    let when = (0_i64..20 * 86_400, 0_i64..180);
    (windows, blackouts, outside, any::<bool>(), zone, when).prop_filter_map(
        "a good policy",
        |(windows, blackouts, outside, breaks, zone, (seconds, needed))| {
            let mut tables = String::new();
            for (idx, (opens, lasts, allow)) in windows.iter().enumerate() {
                tables += &window(&format!("w{idx}"), opens, lasts, allow);
            }
            for (idx, (start, hours, hard)) in blackouts.iter().enumerate() {
                let moment = |hours: i64| {
                    let at = at("2026-03-24T00:00:00Z") + SignedDuration::from_hours(hours);
                    at.strftime("%Y-%m-%dT%H:%M").to_string()
                };
                let strength = if *hard { "hard" } else { "soft" };
                tables += &blackout(strength, &moment(*start), &moment(start + hours))
                    .replace("id = \"", &format!("id = \"b{idx}-"));
            }
            let breaks_soft = if breaks { "may_break = [\"soft\"]\n" } else { "" };
            let text = format!("[time]\nzone = \"{zone}\"\n{tables}[[policy]]\nname = \"all\"\napproval = \"none\"\n{outside}{breaks_soft}");
            let rule_free = outside.is_empty();
            let policy = parse_policy(Path::new("p"), &text).ok()?;
            let now = at("2026-03-25T00:00:00Z") + SignedDuration::from_secs(seconds);
            Some((policy, rule_free, now, SignedDuration::from_mins(needed)))
        },
    )
}

/// Whether work of a security update may be under way at an instant; slowly, and obviously.
fn open(policy: &Policy, at: Timestamp, in_window: bool) -> bool {
    let schedule = policy.schedule();
    let breaks: &BTreeSet<Strength> = &policy.rules()[0].may_break;
    let just_after = at + SignedDuration::from_nanos(1);
    let black = schedule
        .blackouts()
        .iter()
        .filter(|one| !breaks.contains(&one.strength()))
        .any(|one| !one.stretches(at, just_after).is_empty());
    let window = schedule
        .windows()
        .iter()
        .any(|one| one.allows(Class::Security) && one.contains(at));
    !black && (window || !in_window)
}

#[test]
fn an_emergency_that_happens_in_a_window_need_not_be_over_when_it_closes() {
    let night = window("night", "02:00", "2h", "\"*\"");
    let now = "2026-03-26T02:10:00Z";
    let at_once = on(&policy(&night, "outside_windows = \"at-once\"\n"), now);
    let in_window = |until: Option<&str>| When::Now {
        window: Some("night".to_owned()),
        until: until.map(at),
    };
    assert_eq!(at_once.when, in_window(None));
    // Only a blackout ends it; and without the rule, the window does.
    let hard = blackout("hard", "2026-03-26T12:00", "2026-03-27T12:00");
    let tables = format!("{night}{hard}");
    let at_once = on(&policy(&tables, "outside_windows = \"at-once\"\n"), now);
    assert_eq!(at_once.when, in_window(Some("2026-03-26T12:00:00Z")));
    let later = on(&policy(&tables, "outside_windows = \"after 20d\"\n"), now);
    assert_eq!(later.when, in_window(Some("2026-03-26T04:00:00Z")));
}

#[test]
fn a_window_that_a_person_opened_is_told_as_theirs_and_not_as_the_rules() {
    let policy = policy(
        &format!(
            "{}{}",
            window("night", "02:00", "2h", "\"*\""),
            blackout("soft", "2026-03-25T00:00", "2026-03-27T00:00")
        ),
        "",
    );
    let mut facts = known();
    facts.one_offs = vec![one_off(
        "2026-03-25T15:00:00Z",
        "2026-03-25T18:00:00Z",
        &[Class::Security],
        true,
    )];
    let decision = decide(&facts, &policy, at(WEDNESDAY), NEEDED);
    let justified = decision.emergency(&policy, at(WEDNESDAY)).unwrap();
    assert!(
        justified.contains("Window `once`, opened by eva (announced), is open until"),
        "{justified}"
    );
    assert!(
        !justified.contains("Rule `all` of the policy lets it start"),
        "{justified}"
    );
}

#[test]
fn a_decision_says_when_time_alone_may_change_it() {
    let night = window("night", "02:00", "2h", "\"*\"");
    let waits = policy(&night, "");
    let mut facts = known();
    let changes = |facts: &Facts, policy: &Policy| {
        let now = at(WEDNESDAY);
        decide(facts, policy, now, NEEDED).changes_at(facts, policy, now)
    };
    assert_eq!(changes(&facts, &waits), Some(at("2026-03-26T02:00:00Z")));
    facts.hold = Some(Hold {
        reason: "fair".to_owned(),
        by: "eva".to_owned(),
        at: at(WEDNESDAY),
        until: Some(at("2026-03-25T20:00:00Z")),
    });
    assert_eq!(changes(&facts, &waits), Some(at("2026-03-25T20:00:00Z")));
    // A rule that only matches what is older comes into force by time alone.
    let told = "action = \"notify\"\nmatch = { older_than = \"2d\" }\n";
    facts.hold = None;
    assert_eq!(
        changes(&facts, &policy(&night, told)),
        Some(at("2026-03-26T15:15:49Z"))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_starts_has_open_time_until_it_is_over((policy, _, now, needed) in any_case()) {
        let decision = decide(&known(), &policy, now, needed);
        let (first, in_window) = match &decision.when {
            When::Now { window, until } => {
                if let Some(until) = until {
                    prop_assert!(now + needed <= *until);
                }
                (now, window.is_some())
            }
            When::Wait { not_before, .. } => {
                let there = decide(&known(), &policy, *not_before, needed);
                let started = matches!(there.when, When::Now { .. });
                prop_assert!(started, "not at {not_before}: {:?}", there.when);
                let before = *not_before - SignedDuration::from_secs(1);
                prop_assert!(before >= now);
                let early = decide(&known(), &policy, before, needed);
                let starts = matches!(early.when, When::Now { .. });
                prop_assert!(!starts, "already at {before}: {:?}", early.when);
                let When::Now { window, .. } = there.when else { unreachable!() };
                (*not_before, window.is_some())
            }
            When::Nothing | When::NeedsApproval | When::NotifyOnly | When::Blocked => return Ok(()),
        };
        // Every edge lies on a whole minute here, so looking once a minute and at the last second misses nothing.
        let minute = SignedDuration::from_mins(1);
        let mut at = first;
        while at < first + needed {
            prop_assert!(open(&policy, at, in_window), "closed at {at}, from {first}");
            at += minute;
        }
        let last = first + needed - SignedDuration::from_secs(1);
        prop_assert!(last < first || open(&policy, last, in_window), "closed at {last}");
    }
}
