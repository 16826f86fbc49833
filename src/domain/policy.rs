//! The operator's rules: which update may start when, and who must agree.

use std::collections::BTreeSet;
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::advisory::Severity;
use crate::domain::window::Window;

/// What an update is to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
}

/// One rule. The first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name the operator gave it.
    pub name: String,
    /// What it speaks about.
    pub matches: Matches,
    /// When a matching update may start.
    pub when: StartRule,
    /// Who must agree first.
    pub approval: Approvals,
    /// How old the release must be.
    pub min_age: SignedDuration,
}

/// What a rule speaks about; an empty set means anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matches {
    /// Classes of update.
    pub classes: BTreeSet<Class>,
    /// Severities. A rule that names severities does not match an update that has none.
    pub severities: BTreeSet<Severity>,
}

/// When an update may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartRule {
    /// In a maintenance window that allows its class.
    Window,
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
            if rule.when == StartRule::Window {
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

    /// The zone in which dates are shown.
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first rule that matches, if any does.
    pub fn rule_for(&self, class: Class, severity: Option<Severity>) -> Option<&Rule> {
        self.rules
            .iter()
            .find(|rule| rule.matches.hold(class, severity))
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
    /// Whether an update of this class and severity is meant.
    pub fn hold(&self, class: Class, severity: Option<Severity>) -> bool {
        let class_fits = self.classes.is_empty() || self.classes.contains(&class);
        let severity_fits = self.severities.is_empty()
            || severity.is_some_and(|severity| self.severities.contains(&severity));
        class_fits && severity_fits
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
        classes && severities
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
            },
            when: StartRule::AtOnce,
            approval: Approvals::None,
            min_age: SignedDuration::ZERO,
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = vec![
            rule("critical", &[Class::Security], &[Severity::Critical]),
            rule("security", &[Class::Security], &[]),
            rule("rest", &[], &[]),
        ];
        let policy = Policy::new(TimeZone::UTC, vec![], rules).unwrap();
        let name = |class, severity| policy.rule_for(class, severity).unwrap().name.clone();
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
                when: StartRule::Window,
                ..rule("late", &[Class::Minor], &[])
            },
            rule("all", &[Class::Patch], &[Severity::Low]),
        ];
        let problems = Policy::new(TimeZone::UTC, vec![], rules).unwrap_err();
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
            Policy::new(TimeZone::UTC, vec![], vec![]).unwrap_err(),
            [PolicyError::NoRules]
        );
    }
}
