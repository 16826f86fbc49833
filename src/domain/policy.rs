//! The operator's rules: which update may start when, and who must agree.

use std::collections::BTreeSet;
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::advisory::Severity;
use crate::domain::window::Window;

/// What an update is to the operator.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A patch that closes security holes.
    Security,
    /// Any other patch.
    Patch,
    /// A step into the next line.
    Minor,
    /// A step into the next major version.
    Major,
}

/// Validated rules and windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    zone: TimeZone,
    windows: Vec<Window>,
    rules: Vec<Rule>,
    pre_releases: bool,
}

/// One rule. The first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name the operator gave it.
    pub name: String,
    /// What it speaks about.
    pub matches: Matches,
    /// What to do.
    pub action: Action,
    /// Whether a matching update may start outside of maintenance windows.
    pub outside_windows: OutsideWindows,
    /// Who must agree first.
    pub approval: Approvals,
    /// How long an approval holds.
    pub approval_expires: SignedDuration,
    /// How old the release must be; an update that closes holes of what runs does not wait for it.
    pub min_age: SignedDuration,
    /// How long after publication it should be done. Nothing starts because of it; that it is or will be missed is said.
    pub deadline: Option<SignedDuration>,
}

/// What a rule speaks about; an empty set or nothing means anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matches {
    /// Classes of update.
    pub classes: BTreeSet<Class>,
    /// Severities. A rule that names severities does not match an update that has none.
    pub severities: BTreeSet<Severity>,
    /// Whether one of the holes it closes is known to be exploited.
    pub exploited: Option<bool>,
    /// Whether what runs is a fork.
    pub fork: Option<bool>,
    /// How long it must have been public at least.
    pub older_than: Option<SignedDuration>,
}

/// One update, as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its class.
    pub class: Class,
    /// The worst grade among the holes it closes.
    pub severity: Option<Severity>,
    /// Whether one of them is known to be exploited.
    pub exploited: bool,
    /// Whether what runs is a fork.
    pub fork: bool,
    /// How long it has been public.
    pub age: SignedDuration,
}

/// What a rule does about an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Carry it out, when everything else allows.
    Update,
    /// Tell people, and leave it to them.
    Notify,
}

/// Whether an update may start outside of maintenance windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutsideWindows {
    /// It waits for a window that allows its class.
    Never,
    /// A window comes first; without one, from this long after publication on.
    After(SignedDuration),
    /// As soon as it is known and old enough.
    AtOnce,
}

/// Who must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approvals {
    /// Nobody.
    None,
    /// One person.
    One,
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There are no rules.
    #[error("the policy has no rule, so nothing would ever be updated")]
    NoRules,
    /// Two windows with the same id.
    #[error("two windows are called `{0}`")]
    WindowTwice(String),
    /// Two rules with the same name.
    #[error("two rules are called `{0}`")]
    RuleTwice(String),
    /// A deadline that the minimum age makes impossible.
    #[error("rule `{0}` has a deadline before its minimum age is over")]
    DeadlineTooEarly(String),
    /// A rule that waits for a window that does not exist.
    #[error("rule `{rule}` waits for a window, but no window allows {class}")]
    NoWindow {
        /// The rule.
        rule: String,
        /// The class that no window allows.
        class: Class,
    },
    /// A rule behind another one that takes everything it speaks about.
    #[error("rule `{rule}` can never match, because rule `{earlier}` before it matches all of it")]
    NeverReached {
        /// The rule.
        rule: String,
        /// The earlier rule.
        earlier: String,
    },
    /// A negative age.
    #[error("rule `{0}` has a negative minimum age")]
    NegativeAge(String),
}

impl Policy {
    /// Checks rules and windows against each other and returns every problem found.
    ///
    /// `zone` is the zone in which dates are shown to the operator.
    pub fn new(
        zone: TimeZone,
        windows: Vec<Window>,
        rules: Vec<Rule>,
        pre_releases: bool,
    ) -> Result<Self, Vec<PolicyError>> {
        let mut problems = Vec::new();
        let mut ids = BTreeSet::new();
        let twice = windows.iter().filter(|window| !ids.insert(window.id()));
        problems.extend(twice.map(|window| PolicyError::WindowTwice(window.id().to_owned())));
        let mut names = BTreeSet::new();
        let twice = rules
            .iter()
            .filter(|rule| !names.insert(rule.name.as_str()));
        problems.extend(twice.map(|rule| PolicyError::RuleTwice(rule.name.clone())));
        if rules.is_empty() {
            problems.push(PolicyError::NoRules);
        }
        for (position, rule) in rules.iter().enumerate() {
            if rule.min_age.is_negative() {
                problems.push(PolicyError::NegativeAge(rule.name.clone()));
            }
            if rule
                .deadline
                .is_some_and(|deadline| deadline < rule.min_age)
            {
                problems.push(PolicyError::DeadlineTooEarly(rule.name.clone()));
            }
            if rule.action == Action::Update && rule.outside_windows == OutsideWindows::Never {
                let closed = rule
                    .matches
                    .all_classes()
                    .find(|class| !windows.iter().any(|window| window.allows(*class)));
                problems.extend(closed.map(|class| PolicyError::NoWindow {
                    rule: rule.name.clone(),
                    class,
                }));
            }
            let earlier = rules
                .iter()
                .take(position)
                .find(|earlier| earlier.matches.covers(&rule.matches));
            problems.extend(earlier.map(|earlier| PolicyError::NeverReached {
                rule: rule.name.clone(),
                earlier: earlier.name.clone(),
            }));
        }
        if problems.is_empty() {
            Ok(Self {
                zone,
                windows,
                rules,
                pre_releases,
            })
        } else {
            Err(problems)
        }
    }

    /// The maintenance windows.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The rules, in the order in which they are asked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether pre-releases may be chosen.
    pub const fn pre_releases(&self) -> bool {
        self.pre_releases
    }

    /// The zone in which dates are shown.
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first rule that matches, if any does.
    pub fn rule_for(&self, subject: &Subject) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.matches.hold(subject))
    }

    /// An instant as the operator reads it, `Sun 2026-03-29 03:00 CEST`.
    pub fn show(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime("%a %Y-%m-%d %H:%M %Z")
            .to_string()
    }
}

impl Class {
    /// Every class there is.
    pub const ALL: [Self; 4] = [Self::Security, Self::Patch, Self::Minor, Self::Major];
}

impl Matches {
    /// Whether this update is meant.
    pub fn hold(&self, subject: &Subject) -> bool {
        let class = self.classes.is_empty() || self.classes.contains(&subject.class);
        let severity = self.severities.is_empty()
            || subject
                .severity
                .is_some_and(|severity| self.severities.contains(&severity));
        let exploited = self
            .exploited
            .is_none_or(|wanted| wanted == subject.exploited);
        let fork = self.fork.is_none_or(|wanted| wanted == subject.fork);
        let old = self.older_than.is_none_or(|least| subject.age >= least);
        class && severity && exploited && fork && old
    }

    fn all_classes(&self) -> impl Iterator<Item = Class> {
        Class::ALL
            .into_iter()
            .filter(|class| self.classes.is_empty() || self.classes.contains(class))
    }

    fn covers(&self, other: &Self) -> bool {
        let classes = other
            .all_classes()
            .all(|class| self.classes.is_empty() || self.classes.contains(&class));
        let severities = self.severities.is_empty()
            || (!other.severities.is_empty() && other.severities.is_subset(&self.severities));
        let exploited = self.exploited.is_none() || self.exploited == other.exploited;
        let fork = self.fork.is_none() || self.fork == other.fork;
        let age = self
            .older_than
            .is_none_or(|least| other.older_than.is_some_and(|theirs| theirs >= least));
        classes && severities && exploited && fork && age
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Security => "security",
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

#[cfg(test)]
mod tests {
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
        let policy = Policy::new(TimeZone::UTC, vec![], rules, false).unwrap();
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
        let problems = Policy::new(TimeZone::UTC, vec![], rules, false).unwrap_err();
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "two rules are called `all`",
                "rule `late` waits for a window, but no window allows minor",
                "rule `late` can never match, because rule `all` before it matches all of it",
                "rule `all` can never match, because rule `all` before it matches all of it",
            ]
        );
        assert_eq!(
            Policy::new(TimeZone::UTC, vec![], vec![], false).unwrap_err(),
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
            Policy::new(TimeZone::UTC, vec![], rules, false).unwrap_err(),
            [PolicyError::DeadlineTooEarly("late".to_owned())]
        );
    }
}
