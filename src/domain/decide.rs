//! The decision: what is known, what follows from it, when it may happen, and why.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::advisory::{Advisory, Severity};
use crate::domain::policy::{Approvals, Class, Policy};
use crate::domain::release::Release;
use crate::domain::version::{ReleaseVersion, UpdateKind};

mod attempts;
mod choice;
mod exposure;
mod timing;

pub use attempts::Attempt;
pub use choice::{NotATarget, target_of};
pub use exposure::{Exposed, Exposure, Standing};

use choice::Choice;

/// Everything that is known about one instance and about the world's releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The name of the instance.
    pub instance: String,
    /// The version it runs.
    pub installed: ReleaseVersion,
    /// Every known release, in any order.
    pub releases: Vec<Release>,
    /// Every known advisory, in any order.
    pub advisories: Vec<Advisory>,
    /// Versions that must not be installed.
    pub quarantined: Vec<Quarantined>,
    /// What people agreed to.
    pub approvals: Vec<Approval>,
    /// Runs since the last one that committed, newest first.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// What could not be read or fetched, as sentences. While there are any, nothing is called "not listed".
    pub problems: Vec<String>,
}

/// A version that must not be installed, for instance because it was rolled back here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The version.
    pub version: ReleaseVersion,
    /// Why.
    pub reason: String,
}

/// A person's agreement to one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The version agreed to.
    pub version: ReleaseVersion,
    /// Who agreed.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What should happen now, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a decision does nothing by itself"]
pub struct Decision {
    /// The instance it is about.
    pub instance: String,
    /// The version that runs.
    pub installed: ReleaseVersion,
    /// The version to go to, if there is one.
    pub target: Option<Target>,
    /// Whether and when to start.
    pub when: When,
    /// How the running version stands.
    pub exposure: Exposure,
    /// Every rule and fact that spoke, in the order in which they were asked.
    pub reasons: Vec<Reason>,
}

/// A version to go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The version.
    pub version: ReleaseVersion,
    /// Its git and image tag.
    pub tag: String,
    /// How far it is.
    pub kind: UpdateKind,
    /// What it is to the policy.
    pub class: Class,
    /// The rule that decides about it; none when a person chose the target, or no rule matches.
    pub rule: Option<String>,
    /// The worst grade among what it closes; a hole without a grade counts as high. None where it closes nothing known.
    pub severity: Option<Severity>,
    /// The ids it closes, as far as is known.
    pub advisories: Vec<String>,
    /// When it was published.
    pub published_at: Timestamp,
    /// Where a person can read about it.
    pub url: Option<String>,
}

/// Whether and when to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum When {
    /// There is nothing to do.
    Nothing,
    /// It may start now.
    Now {
        /// The window that allows it; none where the rule needs no window.
        window: Option<String>,
        /// When that window closes.
        until: Option<Timestamp>,
    },
    /// It may not start yet.
    Wait {
        /// The first instant at which it may.
        not_before: Timestamp,
        /// What it waits for, in a sentence.
        because: String,
    },
    /// A person must agree first.
    NeedsApproval,
    /// It cannot start by itself; the reasons say what a person has to change.
    Blocked,
}

/// One sentence of the explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What it is about.
    pub about: About,
    /// The sentence.
    pub text: String,
}

/// What a reason is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// How complete the knowledge is.
    Data,
    /// How the running version stands.
    Exposure,
    /// Why this version and no other.
    Choice,
    /// Which rule decides.
    Rule,
    /// Who must agree.
    Approval,
    /// How old the release must be.
    Age,
    /// When it may start.
    Window,
    /// What earlier runs say.
    Attempts,
}

/// Decides what to do about one instance at the instant `now`.
///
/// `needed` is the time that a run and its rollback take together: nothing starts in a window with less left.
/// The same arguments give the same decision.
pub fn decide(facts: &Facts, policy: &Policy, now: Timestamp, needed: SignedDuration) -> Decision {
    let exposure = Exposure::of(facts);
    let mut reasons = exposure.reasons(facts, policy);
    let (target, when) = match choice::choose(facts, &mut reasons) {
        Choice::Nothing => (None, When::Nothing),
        Choice::Blocked => (None, When::Blocked),
        Choice::Go(release, kind) => {
            let mut target = choice::target(facts, release, kind);
            reasons.push(Reason::new(
                About::Choice,
                describe(&target, &facts.installed, policy),
            ));
            let when = apply_rule(facts, policy, &mut target, now, needed, &mut reasons);
            let when = attempts::pace(facts, policy, &target, now, when, &mut reasons);
            (Some(target), when)
        }
    };
    Decision {
        instance: facts.instance.clone(),
        installed: facts.installed.clone(),
        target,
        when,
        exposure,
        reasons,
    }
}

fn apply_rule(
    facts: &Facts,
    policy: &Policy,
    target: &mut Target,
    now: Timestamp,
    needed: SignedDuration,
    reasons: &mut Vec<Reason>,
) -> When {
    let Some(rule) = policy.rule_for(target.class, target.severity) else {
        let text = format!(
            "No rule of the policy speaks about a {} update, so it does not start by itself.",
            target.class
        );
        reasons.push(Reason::new(About::Rule, text));
        return When::Blocked;
    };
    target.rule = Some(rule.name.clone());
    reasons.push(Reason::new(
        About::Rule,
        format!("Rule `{}` decides about {}.", rule.name, target.version),
    ));
    let when = timing::when(policy, rule, target, now, needed, reasons);
    if rule.approval == Approvals::None {
        return when;
    }
    if let Some(approval) = facts
        .approvals
        .iter()
        .find(|approval| approval.version == target.version)
    {
        let text = format!(
            "{} agreed to {} on {}.",
            approval.by,
            target.version,
            policy.show(approval.at)
        );
        reasons.push(Reason::new(About::Approval, text));
        return when;
    }
    let text = format!(
        "Rule `{}` asks one person to agree to {}, and nobody has yet.",
        rule.name, target.version
    );
    reasons.push(Reason::new(About::Approval, text));
    if when == When::Blocked {
        when
    } else {
        When::NeedsApproval
    }
}

fn describe(target: &Target, installed: &ReleaseVersion, policy: &Policy) -> String {
    let version = &target.version;
    let published = policy.show(target.published_at);
    let what = match target.kind {
        UpdateKind::Patch => format!(
            "{version} is the newest usable release of line {}",
            installed.line()
        ),
        UpdateKind::Minor | UpdateKind::Major => {
            format!(
                "{version} is the last usable release of the next line, {}",
                version.line()
            )
        }
    };
    let closes = match (target.severity, target.advisories.as_slice()) {
        (None, []) => String::new(),
        (Some(severity), []) => {
            format!("; it closes security holes without a known grade, taken as {severity}")
        }
        (None, ids) => format!("; it closes {}", ids.join(", ")),
        (Some(severity), ids) => format!("; it closes {} ({severity})", ids.join(", ")),
    };
    format!("{what}, published {published}{closes}.")
}

impl Facts {
    /// The final releases of the installed line that are newer than what runs, oldest first.
    fn newer_in_line(&self) -> Vec<&Release> {
        let installed = &self.installed;
        self.finals(|version| version.line() == installed.line() && installed.precedes(version))
    }

    /// Final releases that pass, oldest first, each version once.
    fn finals(&self, passes: impl Fn(&ReleaseVersion) -> bool) -> Vec<&Release> {
        let wanted = |release: &&Release| {
            !release.pre_release && release.version.build().is_none() && passes(&release.version)
        };
        let mut found: Vec<&Release> = self.releases.iter().filter(wanted).collect();
        found.sort_by(|a, b| a.version.cmp_precedence(&b.version));
        found.dedup_by(|a, b| a.version == b.version);
        found
    }

    fn quarantine(&self, version: &ReleaseVersion) -> Option<&Quarantined> {
        self.quarantined
            .iter()
            .find(|quarantined| quarantined.version.cmp_precedence(version).is_eq())
    }
}

impl Reason {
    fn new(about: About, text: impl Into<String>) -> Self {
        Self {
            about,
            text: text.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
