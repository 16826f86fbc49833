//! What people are told that is not how a run ended: a deadline that will be missed, a configuration that was refused, a
//! run that cannot be carried on.
//!
//! A notice is told at once, and once: see [`Told`]. Like a report, it shows only texts that came through
//! [`clean`], and holds no secret.

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod told;
mod words;

use std::collections::BTreeSet;

use jiff::Timestamp;

pub use self::told::{News, Told};
use super::advisory::Severity;
use super::decide::{About, Dates, Decision, Target, When};
use super::path::Weight;
use super::plan::sha256_hex;
use super::policy::Policy;
use super::report::words::{clean, cut};
use super::version::ReleaseVersion;

/// Longest text taken over from somewhere else.
const LONGEST_TEXT: usize = 500;
/// Mistakes that a mail lists: enough for every one that a person makes, and a wrong file cannot fill it.
const MOST_MISTAKES: usize = 20;

/// Something that people must be told, and that is not how a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An update will be, or is, later than its rule wants it.
    DeadlineAtRisk(Box<DeadlineAtRisk>),
    /// A changed configuration was not taken.
    ConfigRefused(ConfigRefused),
    /// An interrupted run cannot be carried to its end.
    StandsStill(StandsStill),
    /// A rehearsal keeps an update from starting.
    NotRehearsed(NotRehearsed),
}

/// What a notice belongs to. What was told about one is remembered, and cleared, on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// The deadlines of one instance, by its name.
    Deadlines(String),
    /// The configuration.
    Configuration,
    /// The interrupted runs of one instance, by its name.
    Runs(String),
    /// The rehearsals of one instance, by its name.
    Rehearsals(String),
}

/// An update that comes later than its rule wants it, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlineAtRisk {
    /// The instance.
    pub instance: String,
    /// The version that runs.
    pub from: String,
    /// The version to go to.
    pub to: String,
    /// The rule that wants it.
    pub rule: Option<String>,
    /// The ids it closes.
    pub advisories: Vec<String>,
    /// The worst of their severities.
    pub severity: Option<Severity>,
    /// Whether one of the holes is known to be exploited.
    pub exploited: bool,
    /// By when it is wanted.
    pub forced_by: Timestamp,
    /// The same as the operator reads it.
    pub wanted_by: String,
    /// Whether that is over.
    pub is_over: bool,
    /// When it would start.
    pub start: Start,
    /// Why it comes too late, as far as that is of a known kind.
    pub causes: BTreeSet<Cause>,
    /// Every sentence of the decision that explains it.
    pub reasons: Vec<String>,
    /// Where a person can read about the version.
    pub url: Option<String>,
}

/// When an update that is late would start. Instants are as the operator reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Now.
    Now,
    /// By itself, then at the earliest.
    At(String),
    /// Then at the earliest, and only if a person has agreed.
    OnceAgreed(String),
    /// Never by itself.
    Never,
}

/// What keeps an update from starting in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The build is not upstream's.
    Fork,
    /// No rule speaks about it, or the rule leaves it to people.
    LeftToPeople,
    /// A person put everything on hold.
    Hold,
    /// Something on the host stands in the way.
    Obstacle,
    /// The witnesses do not agree which version runs.
    Version,
    /// Earlier runs did not succeed.
    Attempts,
    /// A person must agree first.
    Approval,
    /// It must be older.
    Age,
    /// No window comes in time.
    Window,
    /// No window will ever let it in as things are: none is meant for it, none is long enough, or the clock is not to be
    /// trusted.
    Closed,
}

/// A changed configuration that was not taken; the old one stays in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRefused {
    /// The instances that are kept by the old one.
    pub instances: Vec<String>,
    /// Every mistake, with file and line; the first so many of them.
    pub mistakes: Vec<String>,
    /// Mistakes that are not listed.
    pub more: usize,
    /// Since when the configuration that stays has been in force.
    pub since: Timestamp,
    key: String,
}

/// A run that is not carried to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandsStill {
    /// The instance.
    pub instance: String,
    /// What is in the way.
    pub because: String,
    /// Whether nobody tries it again, because the instance is not in the configuration any more. Else it is tried every
    /// minute.
    pub is_orphaned: bool,
}

/// An update that does not start because of its rehearsal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRehearsed {
    /// The instance.
    pub instance: String,
    /// The version that runs.
    pub from: String,
    /// The version to go to.
    pub to: String,
    /// What failed, or was in the way.
    pub because: String,
    /// Whether the new version is to blame, so that it is not tried again by itself.
    pub is_quarantined: bool,
}

impl Notice {
    /// What is to be told about an update whose rehearsal keeps it from starting.
    pub fn not_rehearsed(
        instance: &str,
        from: &ReleaseVersion,
        to: &ReleaseVersion,
        because: &str,
        is_quarantined: bool,
    ) -> Self {
        Self::NotRehearsed(NotRehearsed {
            instance: clean(instance),
            from: from.to_string(),
            to: to.to_string(),
            because: shown(because),
            is_quarantined,
        })
    }

    /// What is to be told about an interrupted run that cannot be carried to its end, and why.
    pub fn stands_still(instance: &str, because: &str) -> Self {
        Self::StandsStill(StandsStill {
            instance: clean(instance),
            because: shown(because),
            is_orphaned: false,
        })
    }

    /// What is to be told about a run that is open or held, and whose instance is not in the configuration any more.
    pub fn orphaned(instance: &str, run: &str) -> Self {
        Self::StandsStill(StandsStill {
            instance: clean(instance),
            because: format!(
                "run {} is open or held, and no instance of that name is in the configuration",
                clean(run)
            ),
            is_orphaned: true,
        })
    }

    /// What is to be told about a decision, if its update comes too late as things are. An update that a fork is told
    /// about counts as well.
    pub fn deadline(decision: &Decision, policy: &Policy, now: Timestamp) -> Option<Self> {
        let target = decision.target.as_ref().or(decision.notice.as_ref())?;
        let dates = decision.dates.filter(Dates::is_late)?;
        let forced_by = dates.forced_by?;
        let start = match (dates.effective, &decision.when) {
            (None, _) => Start::Never,
            (Some(at), When::NeedsApproval) => Start::OnceAgreed(policy.show(at)),
            (Some(_), When::Now { .. }) => Start::Now,
            (Some(at), _) => Start::At(policy.show(at)),
        };
        let told = decision
            .reasons
            .iter()
            .filter(|reason| explains(reason.about));
        Some(Self::DeadlineAtRisk(Box::new(DeadlineAtRisk {
            instance: clean(&decision.instance),
            from: decision.installed.to_string(),
            to: target.version.to_string(),
            rule: target.rule.as_deref().map(clean),
            advisories: target.advisories.iter().map(|id| clean(id)).collect(),
            severity: target.severity,
            exploited: target.exploited,
            forced_by,
            wanted_by: policy.show(forced_by),
            is_over: forced_by <= now,
            start,
            causes: causes(decision, target, dates, now),
            reasons: told.map(|reason| shown(&reason.text)).collect(),
            url: target.url.as_deref().map(shown),
        })))
    }

    /// What is to be told about a configuration that was not taken. `since` is when the one that stays was read.
    pub fn config_refused(instances: &[&str], mistakes: &[String], since: Timestamp) -> Self {
        let all: BTreeSet<String> = mistakes.iter().map(|text| clean(text)).collect();
        let all_in_one: Vec<&str> = all.iter().map(String::as_str).collect();
        Self::ConfigRefused(ConfigRefused {
            instances: instances.iter().map(|name| clean(name)).collect(),
            key: format!(
                "configuration/{}",
                sha256_hex(all_in_one.join("\n").as_bytes())
            ),
            more: all.len().saturating_sub(MOST_MISTAKES),
            mistakes: all
                .iter()
                .take(MOST_MISTAKES)
                .map(|text| shown(text))
                .collect(),
            since,
        })
    }

    /// What it belongs to.
    pub fn topic(&self) -> Topic {
        match self {
            Self::DeadlineAtRisk(risk) => Topic::Deadlines(risk.instance.clone()),
            Self::ConfigRefused(_) => Topic::Configuration,
            Self::StandsStill(still) => Topic::Runs(still.instance.clone()),
            Self::NotRehearsed(it) => Topic::Rehearsals(it.instance.clone()),
        }
    }

    /// What it is about, the same for the same matter: the instance, the version and the deadline; or the set of
    /// mistakes; or the instance whose run stands still. An earliest start that merely moves does not change it, nor does
    /// what is in a run's way.
    pub fn key(&self) -> String {
        match self {
            Self::DeadlineAtRisk(risk) => {
                format!("deadline/{}/{}/{}", risk.instance, risk.to, risk.forced_by)
            }
            Self::ConfigRefused(refused) => refused.key.clone(),
            Self::StandsStill(still) => {
                format!("stands still/{}/{}", still.instance, still.is_orphaned)
            }
            Self::NotRehearsed(it) => {
                format!("rehearsal/{}/{}/{}", it.instance, it.to, it.is_quarantined)
            }
        }
    }

    /// How bad it is: the same matter is told again only when this rises.
    pub fn grade(&self) -> u8 {
        match self {
            Self::DeadlineAtRisk(risk) => match risk.start {
                Start::Now | Start::At(_) => 0,
                Start::OnceAgreed(_) | Start::Never => 1,
            },
            Self::ConfigRefused(_) | Self::StandsStill(_) | Self::NotRehearsed(_) => 0,
        }
    }
}

/// Whether reasons of this kind explain when an update starts, or that it does not.
const fn explains(about: About) -> bool {
    match about {
        About::Installed
        | About::Obstacle
        | About::Rule
        | About::Approval
        | About::Age
        | About::Hold
        | About::Window
        | About::Attempts
        | About::Deadline => true,
        About::Data | About::Exposure | About::Choice => false,
    }
}

/// Why a late update is late. What would not have kept it from being in time is left out.
fn causes(decision: &Decision, target: &Target, dates: Dates, now: Timestamp) -> BTreeSet<Cause> {
    let spoke = |about| decision.reasons.iter().any(|reason| reason.about == about);
    // Where the deadline is over, what counts is what keeps it from starting now.
    let in_time = dates.forced_by.map_or(now, |forced_by| forced_by.max(now));
    let mut causes = BTreeSet::new();
    match &decision.when {
        When::Nothing | When::Now { .. } => {}
        When::NotifyOnly if decision.notice.is_some() => {
            causes.insert(Cause::Fork);
        }
        When::NotifyOnly => {
            causes.insert(Cause::LeftToPeople);
        }
        When::Blocked => {
            let blocks = decision
                .obstacles
                .iter()
                .any(|obstacle| obstacle.weight == Weight::Blocks);
            let found = [
                (target.rule.is_none(), Cause::LeftToPeople),
                (
                    dates.not_before == Timestamp::MAX && spoke(About::Hold),
                    Cause::Hold,
                ),
                (blocks, Cause::Obstacle),
                (spoke(About::Installed), Cause::Version),
                (spoke(About::Attempts), Cause::Attempts),
            ];
            causes.extend(found.iter().filter(|(it, _)| *it).map(|(_, cause)| *cause));
            if causes.is_empty() {
                causes.insert(Cause::Closed);
            }
        }
        When::Wait { .. } | When::NeedsApproval => {
            if decision.when == When::NeedsApproval {
                causes.insert(Cause::Approval);
            }
            let gates = [
                (About::Hold, Cause::Hold),
                (About::Attempts, Cause::Attempts),
            ];
            let spoken = gates.iter().filter(|(about, _)| spoke(*about));
            if dates.not_before > in_time {
                let before = causes.len();
                causes.extend(spoken.map(|(_, cause)| *cause));
                if causes.len() == before {
                    causes.insert(Cause::Age);
                }
            } else if dates.effective.is_some_and(|effective| effective > in_time) {
                causes.insert(Cause::Window);
            }
        }
    }
    causes
}

fn shown(text: &str) -> String {
    cut(&clean(text), LONGEST_TEXT)
}
