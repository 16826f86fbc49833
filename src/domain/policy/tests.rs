//! The rules against each other.

use super::*;

fn rule(name: &str, classes: &[Class], severities: &[Severity]) -> Rule {
    Rule {
        name: name.to_owned(),
        matches: Matches {
            classes: classes.iter().copied().collect(),
            severities: severities.iter().copied().collect(),
            ..Matches::default()
        },
        action: Action::Update,
        outside_windows: OutsideWindows::AtOnce,
        may_break: BTreeSet::new(),
        approval: Approvals::None,
        approval_expires: SignedDuration::from_hours(168),
        min_age: SignedDuration::ZERO,
        deadline: None,
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = vec![
        rule("critical", &[Class::Security], &[Severity::Critical]),
        rule("security", &[Class::Security], &[]),
        rule("rest", &[], &[]),
    ];
    let policy = Policy::new(TimeZone::UTC, Schedule::default(), rules, false).unwrap();
    let name = |class, severity| {
        let subject = Subject {
            class,
            severity,
            exploited: false,
            fork: false,
            age: SignedDuration::ZERO,
        };
        policy.rule_for(&subject).unwrap().name.clone()
    };
    assert_eq!(name(Class::Security, Some(Severity::Critical)), "critical");
    assert_eq!(name(Class::Security, Some(Severity::High)), "security");
    assert_eq!(name(Class::Security, None), "security");
    assert_eq!(name(Class::Major, None), "rest");
}

#[test]
fn all_problems_of_a_policy_are_found_at_once() {
    let rules = vec![
        rule("all", &[], &[]),
        Rule {
            outside_windows: OutsideWindows::Never,
            ..rule("late", &[Class::Minor], &[])
        },
        rule("all", &[Class::Patch], &[Severity::Low]),
    ];
    let problems = Policy::new(TimeZone::UTC, Schedule::default(), rules, false).unwrap_err();
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "two rules are called `all`",
            "rule `late` waits for a window, but no window allows minor; name it in a window's `allow`, or let the rule do something else with [[override]]",
            "rule `late` can never match, because rule `all` before it matches all of it",
            "rule `all` can never match, because rule `all` before it matches all of it",
        ]
    );
    assert_eq!(
        Policy::new(TimeZone::UTC, Schedule::default(), vec![], false).unwrap_err(),
        [PolicyError::NoRules]
    );
}

#[test]
fn a_rule_may_ask_for_exploitation_forks_and_age() {
    let base = Subject {
        class: Class::Security,
        severity: Some(Severity::Low),
        exploited: false,
        fork: false,
        age: SignedDuration::from_hours(30),
    };
    let matches = |matches: Matches, subject: &Subject| matches.hold(subject);
    let exploited = Matches {
        exploited: Some(true),
        ..Matches::default()
    };
    assert!(!matches(exploited.clone(), &base));
    assert!(matches(
        exploited.clone(),
        &Subject {
            exploited: true,
            ..base
        }
    ));
    let forks = Matches {
        fork: Some(true),
        ..Matches::default()
    };
    assert!(!matches(forks.clone(), &base));
    assert!(matches(forks, &Subject { fork: true, ..base }));
    let old = |hours| Matches {
        older_than: Some(SignedDuration::from_hours(hours)),
        ..Matches::default()
    };
    assert!(matches(old(30), &base) && !matches(old(31), &base));
    // What an earlier rule takes, a later one never sees.
    assert!(Matches::default().covers(&exploited));
    assert!(old(24).covers(&old(48)) && !old(48).covers(&old(24)));
    assert!(!exploited.covers(&Matches::default()));
}

#[test]
fn a_deadline_before_the_minimum_age_is_refused() {
    let rules = vec![Rule {
        min_age: SignedDuration::from_hours(48),
        deadline: Some(SignedDuration::from_hours(24)),
        ..rule("late", &[], &[])
    }];
    assert_eq!(
        Policy::new(TimeZone::UTC, Schedule::default(), rules, false).unwrap_err(),
        [PolicyError::DeadlineTooEarly("late".to_owned())]
    );
}
