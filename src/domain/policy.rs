//! The operator's rules: which update may start when, and who must agree.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::advisory::Severity;
use crate::domain::window::{OnPaper, Overlap, Schedule, Strength, Window};

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
    require_sync: bool,
    schedule: Schedule,
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
    /// The blackouts in which it may go on. Nothing goes on in a hard one, so only soft ones can be named.
    pub may_break: BTreeSet<Strength>,
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
    /// Two blackouts with the same id.
    #[error("two blackouts are called `{0}`")]
    BlackoutTwice(String),
    /// A window whose openings overlap.
    #[error("the openings of window `{window}` overlap: {why}")]
    Overlaps {
        /// The window.
        window: String,
        /// Which line of its calendar, counted from 0.
        line: usize,
        /// How, and what to do.
        why: String,
    },
    /// A window that is good for nothing.
    #[error(
        "window `{window}` is open only when `{other}` is, which allows the same; take one of them away"
    )]
    Within {
        /// The window.
        window: String,
        /// The other one.
        other: String,
    },
    /// A rule that goes on in hard blackouts.
    #[error("rule `{0}` cannot break a hard blackout, nothing does; make the blackout soft")]
    BreaksHard(String),
    /// Two rules with the same name.
    #[error("two rules are called `{0}`")]
    RuleTwice(String),
    /// A deadline that the minimum age makes impossible.
    #[error("rule `{0}` has a deadline before its minimum age is over")]
    DeadlineTooEarly(String),
    /// A rule that waits for a window that does not exist.
    #[error(
        "rule `{rule}` waits for a window, but no window allows {class}; name it in a window's `allow`, or let the rule do something else with [[override]]"
    )]
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
    /// Checks rules, windows and blackouts against each other and returns every problem found.
    ///
    /// `zone` is the zone in which dates are shown to the operator.
    pub fn new(
        zone: TimeZone,
        schedule: Schedule,
        rules: Vec<Rule>,
        pre_releases: bool,
    ) -> Result<Self, Vec<PolicyError>> {
        let mut problems = problems_of(&schedule);
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
            if rule.may_break.contains(&Strength::Hard) {
                problems.push(PolicyError::BreaksHard(rule.name.clone()));
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
                    .find(|class| !schedule.allows(*class));
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
                require_sync: true,
                schedule,
                rules,
                pre_releases,
            })
        } else {
            Err(problems)
        }
    }

    /// The same policy; with `false`, a clock that is not synchronised closes nothing.
    #[must_use]
    pub fn requiring_sync(self, require_sync: bool) -> Self {
        Self {
            require_sync,
            ..self
        }
    }

    /// The same rules with only these windows of it; gives every problem that follows.
    pub fn with_only_windows(self, ids: &[&str]) -> Result<Self, Vec<PolicyError>> {
        let schedule = self.schedule.with_only(ids);
        let policy = Self::new(self.zone, schedule, self.rules, self.pre_releases)?;
        Ok(policy.requiring_sync(self.require_sync))
    }

    /// The maintenance windows and blackouts.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Whether a clock that is not synchronised closes everything.
    pub const fn requires_sync(&self) -> bool {
        self.require_sync
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
        show(at, &self.zone)
    }
}

/// An instant as people in a zone read it, `Sun 2026-03-29 03:00 CEST`.
pub fn show(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%a %Y-%m-%d %H:%M %Z")
        .to_string()
}

fn problems_of(schedule: &Schedule) -> Vec<PolicyError> {
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    let twice = schedule
        .blackouts()
        .iter()
        .filter(|one| !ids.insert(one.id()));
    problems.extend(twice.map(|one| PolicyError::BlackoutTwice(one.id().to_owned())));
    let mut ids = BTreeSet::new();
    let papers: Vec<OnPaper<'_>> = schedule.windows().iter().map(Window::on_paper).collect();
    for (position, paper) in papers.iter().enumerate() {
        let window = paper.window();
        let id = || window.id().to_owned();
        if !ids.insert(window.id()) {
            problems.push(PolicyError::WindowTwice(id()));
            continue;
        }
        if let Some(overlap) = paper.overlap() {
            problems.push(PolicyError::Overlaps {
                window: id(),
                line: overlap.line,
                why: overlap_in_words(window, &overlap),
            });
        }
        let others = papers
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != position);
        // Of two that are the same, the later one is told.
        let wider =
            others
                .map(|(other, wider)| (other < position, wider))
                .find(|(earlier, wider)| {
                    paper.is_within(wider) && (*earlier || !wider.is_within(paper))
                });
        problems.extend(wider.map(|(_, wider)| PolicyError::Within {
            window: id(),
            other: wider.window().id().to_owned(),
        }));
    }
    problems
}

fn overlap_in_words(window: &Window, overlap: &Overlap) -> String {
    let line = |position: usize| window.opens().get(position).map(ToString::to_string);
    let (this, that) = (
        line(overlap.line).unwrap_or_default(),
        line(overlap.with).unwrap_or_default(),
    );
    let lasts = window.lasts();
    let at = overlap.at.strftime("%a %Y-%m-%d %H:%M");
    if overlap.apart.is_zero() {
        return format!(
            "`{this}` and `{that}` open at once, for instance on {at}; take one of them away"
        );
    }
    format!(
        "`{this}` opens {:#} after `{that}`, which is open for {lasts:#} (for instance on {at}); let it last {:#} at the most, or make two windows",
        overlap.apart, overlap.apart
    )
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

/// The word is no class of update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is none of security, patch, minor, major")]
pub struct NotAClass;

impl FromStr for Class {
    type Err = NotAClass;

    fn from_str(text: &str) -> Result<Self, NotAClass> {
        let mut all = Self::ALL.into_iter();
        all.find(|class| class.to_string() == text).ok_or(NotAClass)
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
mod tests;
