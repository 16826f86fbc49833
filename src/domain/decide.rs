//! The decision: what is known, what follows from it, when it may happen, and why.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::advisory::Severity;
use crate::domain::installed::{Installed, Origin};
use crate::domain::path::{self, Host, Obstacle, Path, Weight};
use crate::domain::policy::{Action, Approvals, Class, Policy, Rule, Subject};
use crate::domain::published::Published;
use crate::domain::version::{NotAVersion, ReleaseLine, ReleaseVersion, UpdateKind};

mod attempts;
mod choice;
mod exposure;
mod timing;

pub use attempts::Attempt;
pub use choice::{NotATarget, target_of};
pub use exposure::{Exposed, Exposure, Standing};

use choice::Choice;
use timing::{Gate, Timing};

/// Everything that is known about one instance and about the world's releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The name of the instance.
    pub instance: String,
    /// What it runs, and who says so.
    pub installed: Installed,
    /// What the host has, as far as an update depends on it.
    pub host: Host,
    /// What has been published.
    pub published: Arc<Published>,
    /// Versions that must not be installed.
    pub quarantined: Vec<Quarantined>,
    /// What people agreed to.
    pub approvals: Vec<Approval>,
    /// A person's order that nothing starts by itself.
    pub hold: Option<Hold>,
    /// A person's order not to go further than this.
    pub pin: Option<Pin>,
    /// Runs since the last one that committed, newest first.
    pub attempts: Vec<Attempt>,
    /// The plan that was made for a version just now, by [`crate::domain::plan::Plan::approval_hash`]; where one is given,
    /// only an approval of this very plan counts.
    pub planned: Option<(ReleaseVersion, String)>,
    /// What could not be read about this instance, as sentences. While there are any, nothing is called "not listed".
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

/// A person's agreement to one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The version agreed to.
    pub version: ReleaseVersion,
    /// The plan agreed to, by [`crate::domain::plan::Plan::approval_hash`].
    pub plan: String,
    /// Who agreed.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
}

/// A person's order that nothing starts by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when; without an end, until somebody takes it back.
    pub until: Option<Timestamp>,
}

/// A person's order not to go further than a line or a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// How far.
    pub to: PinTo,
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when; without an end, until somebody takes it back.
    pub until: Option<Timestamp>,
}

/// How far a pin lets updates go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinTo {
    /// Patches of this line, nothing beyond.
    Line(ReleaseLine),
    /// This version, nothing beyond.
    Version(ReleaseVersion),
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
    /// What upstream has for a build that is not upstream's: to be told, never to be installed.
    pub notice: Option<Target>,
    /// Whether and when to start.
    pub when: When,
    /// The three dates of the target or the notice.
    pub dates: Option<Dates>,
    /// Every version on the way to the newest line.
    pub path: Path,
    /// What stands in the way of the target.
    pub obstacles: Vec<Obstacle>,
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
    /// Whether one of the holes it closes is known to be exploited.
    pub exploited: bool,
    /// The ids it closes, as far as is known.
    pub advisories: Vec<String>,
    /// When it was published.
    pub published_at: Timestamp,
    /// Since when what it closes has been public: its deadline is counted from here.
    pub public_since: Timestamp,
    /// Where a person can read about it.
    pub url: Option<String>,
}

/// The three dates of an update. They are always shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dates {
    /// Before this, nothing starts by itself: minimum age, hold, pause after a failed run.
    pub not_before: Timestamp,
    /// The rule's deadline.
    pub forced_by: Option<Timestamp>,
    /// The first instant at which it may start as things are; where a person must agree first, once that is done. None
    /// where it never starts by itself.
    pub effective: Option<Timestamp>,
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
    /// People are told, and do it themselves.
    NotifyOnly,
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
    /// What runs.
    Installed,
    /// How the running version stands.
    Exposure,
    /// Why this version and no other.
    Choice,
    /// What stands in the way on this host.
    Obstacle,
    /// Which rule decides.
    Rule,
    /// Who must agree.
    Approval,
    /// How old the release must be.
    Age,
    /// What people ordered.
    Hold,
    /// When it may start.
    Window,
    /// What earlier runs say.
    Attempts,
    /// Until when it should be done.
    Deadline,
}

/// Decides what to do about one instance at the instant `now`.
///
/// `needed` is the time that a run and its rollback take together: nothing starts in a window with less left.
/// The same arguments give the same decision, to the byte, in whatever order the facts were found. It never proposes what
/// is not newer, a pre-release unless the policy asks for one, a version past a line, or anything at all for a fork.
pub fn decide(facts: &Facts, policy: &Policy, now: Timestamp, needed: SignedDuration) -> Decision {
    let exposure = Exposure::of(facts, now);
    let mut reasons = exposure.reasons(facts, policy);
    reasons.extend(
        facts
            .installed
            .disagreements
            .iter()
            .map(|text| Reason::new(About::Installed, text.as_str())),
    );
    let mut decision = Decision {
        instance: facts.instance.clone(),
        installed: facts.version().clone(),
        target: None,
        notice: None,
        when: When::Nothing,
        dates: None,
        path: facts.path(now),
        obstacles: Vec::new(),
        exposure,
        reasons: Vec::new(),
    };
    match choice::choose(facts, policy, now, &mut reasons) {
        Choice::Nothing => {}
        Choice::Blocked => decision.when = When::Blocked,
        Choice::Go(release, kind) => {
            let mut target = choice::target(facts, release, kind);
            reasons.push(Reason::new(
                About::Choice,
                describe(&target, facts.version(), policy),
            ));
            let (when, dates) = Case {
                facts,
                policy,
                now,
                needed,
            }
            .settle(&mut target, &mut decision.obstacles, &mut reasons);
            decision.when = when;
            decision.dates = Some(dates);
            if facts.installed.origin.is_upstream() {
                decision.target = Some(target);
            } else {
                decision.notice = Some(target);
            }
        }
    }
    decision.reasons = reasons;
    decision
}

/// One decision in the making.
struct Case<'a> {
    facts: &'a Facts,
    policy: &'a Policy,
    now: Timestamp,
    needed: SignedDuration,
}

impl Case<'_> {
    /// What the rules, people's orders and the host make of a target.
    fn settle(
        &self,
        target: &mut Target,
        obstacles: &mut Vec<Obstacle>,
        reasons: &mut Vec<Reason>,
    ) -> (When, Dates) {
        let Some(rule) = self.policy.rule_for(&self.subject(target)) else {
            let text = format!(
                "No rule of the policy speaks about a {} update, so it does not start by itself.",
                target.class
            );
            reasons.push(Reason::new(About::Rule, text));
            let dates = Dates {
                not_before: target.published_at,
                forced_by: None,
                effective: None,
            };
            return (When::Blocked, dates);
        };
        target.rule = Some(rule.name.clone());
        reasons.push(Reason::new(
            About::Rule,
            format!("Rule `{}` decides about {}.", rule.name, target.version),
        ));
        *obstacles = self.obstacles(target, reasons);
        let gates = self.gates(rule, target, reasons);
        let not_before = gates
            .iter()
            .map(|gate| gate.until)
            .max()
            .unwrap_or(target.published_at);
        let Timing { effective, when } = timing::when(self, rule, target, &gates, reasons);
        let when = self.limit(rule, target, obstacles, when, reasons);
        // What people do themselves, or must first make possible, has no start of its own.
        let effective = effective.filter(|_| !matches!(when, When::Blocked | When::NotifyOnly));
        let forced_by = rule
            .deadline
            .and_then(|deadline| target.public_since.checked_add(deadline).ok());
        let dates = Dates {
            not_before,
            forced_by,
            effective,
        };
        if let Some(text) = self.deadline(rule, &dates) {
            reasons.push(Reason::new(About::Deadline, text));
        }
        (when, dates)
    }

    fn subject(&self, target: &Target) -> Subject {
        Subject {
            class: target.class,
            severity: target.severity,
            exploited: target.exploited,
            fork: matches!(self.facts.installed.origin, Origin::Fork { .. }),
            age: self.now.duration_since(target.public_since),
        }
    }

    fn obstacles(&self, target: &Target, reasons: &mut Vec<Reason>) -> Vec<Obstacle> {
        let facts = self.facts;
        if !facts.installed.origin.is_upstream() {
            return Vec::new();
        }
        let obstacles = path::obstacles(
            &facts.host,
            facts.version(),
            &target.version,
            facts.published.releases(),
            self.now,
            facts.published.ends(),
        );
        let told = obstacles
            .iter()
            .filter(|obstacle| obstacle.weight != Weight::Notice);
        reasons.extend(told.map(|obstacle| {
            Reason::new(
                About::Obstacle,
                format!("{} {}", obstacle.what, obstacle.todo),
            )
        }));
        obstacles
    }

    /// Everything that keeps the update from starting before some instant.
    fn gates(&self, rule: &Rule, target: &Target, reasons: &mut Vec<Reason>) -> Vec<Gate> {
        let (facts, policy) = (self.facts, self.policy);
        let mut gates = vec![timing::age(policy, rule, target, self.now, reasons)];
        if let Some(hold) = facts.hold.as_ref().filter(|hold| hold.holds(self.now)) {
            let gate = Gate {
                until: hold.until.unwrap_or(Timestamp::MAX),
                because: format!(
                    "{} put everything on hold on {}{}: {}",
                    hold.by,
                    policy.show(hold.at),
                    until(hold.until, policy),
                    hold.reason
                ),
            };
            reasons.push(Reason::new(About::Hold, format!("{}.", gate.because)));
            gates.push(gate);
        }
        gates.extend(attempts::pace(facts, policy, target, self.now, reasons));
        gates
    }

    /// What stands against starting by itself, whatever the time.
    fn limit(
        &self,
        rule: &Rule,
        target: &Target,
        obstacles: &[Obstacle],
        when: When,
        reasons: &mut Vec<Reason>,
    ) -> When {
        let facts = self.facts;
        let worst = obstacles.iter().map(|obstacle| obstacle.weight).min();
        if !facts.installed.origin.is_upstream() {
            return When::NotifyOnly;
        }
        let stuck = attempts::is_held(facts, self.policy, reasons);
        if stuck || !facts.installed.disagreements.is_empty() || worst == Some(Weight::Blocks) {
            return When::Blocked;
        }
        if rule.action == Action::Notify {
            let text = format!(
                "Rule `{}` leaves it to people: `mastopatch apply` does it.",
                rule.name
            );
            reasons.push(Reason::new(About::Rule, text));
            return When::NotifyOnly;
        }
        if when == When::Blocked {
            return when;
        }
        let look = worst == Some(Weight::NeedsPerson);
        if rule.approval == Approvals::None && !look {
            return when;
        }
        if self.approved(target, reasons) {
            return when;
        }
        let text = if rule.approval == Approvals::None {
            format!(
                "Somebody must have looked at what stands in the way and agree to {}, and nobody has yet.",
                target.version
            )
        } else {
            format!(
                "Rule `{}` asks one person to agree to {}, and nobody has yet.",
                rule.name, target.version
            )
        };
        reasons.push(Reason::new(About::Approval, text));
        When::NeedsApproval
    }

    /// Whether a person agreed, and to what would be done now.
    fn approved(&self, target: &Target, reasons: &mut Vec<Reason>) -> bool {
        let (facts, policy) = (self.facts, self.policy);
        let mut given: Vec<&Approval> = facts
            .approvals
            .iter()
            .filter(|approval| approval.version == target.version)
            .collect();
        given.sort_by_key(|approval| std::cmp::Reverse(approval.at));
        let Some(newest) = given.first() else {
            return false;
        };
        let who = format!(
            "{} agreed to {} on {}",
            newest.by,
            target.version,
            policy.show(newest.at)
        );
        let mut say = |text: String| reasons.push(Reason::new(About::Approval, text));
        if let Some(end) = newest.expires_at.filter(|end| *end <= self.now) {
            say(format!(
                "{who}, but that ended on {}; agree again.",
                policy.show(end)
            ));
            return false;
        }
        let changed = facts
            .planned
            .as_ref()
            .is_some_and(|(version, plan)| *version == target.version && *plan != newest.plan);
        if changed {
            say(format!(
                "{who}, but what would be done has changed since (images, files or containers); look at the plan and agree again."
            ));
            return false;
        }
        let ends = newest
            .expires_at
            .map(|end| format!(", which holds until {}", policy.show(end)))
            .unwrap_or_default();
        say(format!("{who}{ends}."));
        true
    }

    fn deadline(&self, rule: &Rule, dates: &Dates) -> Option<String> {
        let policy = self.policy;
        let forced_by = dates.forced_by?;
        let wanted = format!(
            "Rule `{}` wants it done by {}",
            rule.name,
            policy.show(forced_by)
        );
        if forced_by <= self.now {
            return Some(format!("{wanted}. That is over."));
        }
        if !dates.is_late() {
            return Some(format!("{wanted}."));
        }
        Some(match dates.effective {
            Some(effective) => format!(
                "{wanted}. That will be missed: as things are, it starts on {} at the earliest.",
                policy.show(effective)
            ),
            None => {
                format!(
                    "{wanted}. That will be missed unless a person acts: it does not start by itself."
                )
            }
        })
    }
}

impl Dates {
    /// Whether the deadline was or will be missed as things are.
    pub fn is_late(&self) -> bool {
        self.forced_by
            .is_some_and(|forced_by| self.effective.is_none_or(|effective| effective > forced_by))
    }
}

fn until(end: Option<Timestamp>, policy: &Policy) -> String {
    end.map_or_else(String::new, |end| format!(", until {}", policy.show(end)))
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
    let exploited = if target.exploited {
        ", which is being exploited"
    } else {
        ""
    };
    let closes = match (target.severity, target.advisories.as_slice()) {
        (None, []) => String::new(),
        (Some(severity), []) => {
            format!("; it closes security holes without a known grade, taken as {severity}")
        }
        (None, ids) => format!("; it closes {}", ids.join(", ")),
        (Some(severity), ids) => format!("; it closes {} ({severity})", ids.join(", ")),
    };
    format!("{what}, published {published}{closes}{exploited}.")
}

impl Facts {
    /// The way to the newest line, or as far as a pin lets it go, with what stands in it.
    fn path(&self, now: Timestamp) -> Path {
        let pin = self.pin.as_ref().filter(|pin| pin.holds(now));
        let upto = pin.map(|pin| match &pin.to {
            PinTo::Line(line) => *line,
            PinTo::Version(version) => version.line(),
        });
        let (installed, published) = (self.version(), &self.published);
        path::path(installed, &published.finals(), upto).with_obstacles(
            &self.host,
            installed,
            published.releases(),
            now,
            published.ends(),
        )
    }

    /// The version that runs.
    pub const fn version(&self) -> &ReleaseVersion {
        &self.installed.version
    }

    fn quarantine(&self, version: &ReleaseVersion) -> Option<&Quarantined> {
        let mut all: Vec<&Quarantined> = self
            .quarantined
            .iter()
            .filter(|quarantined| quarantined.version.cmp_precedence(version).is_eq())
            .collect();
        all.sort_by(|a, b| a.reason.cmp(&b.reason));
        all.first().copied()
    }
}

impl Hold {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Pin {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Whether it lets updates go to this version.
    pub fn allows(&self, version: &ReleaseVersion) -> bool {
        match &self.to {
            PinTo::Line(line) => version.line() <= *line,
            PinTo::Version(last) => !last.precedes(version),
        }
    }
}

impl FromStr for PinTo {
    type Err = NotAVersion;

    /// Accepts a line, `4.5`, or a version, `4.5.8`.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        match text.parse() {
            Ok(version) => Ok(Self::Version(version)),
            Err(NotAVersion::Incomplete(text)) => {
                let (version, _) = ReleaseVersion::parse_partial(&text)?;
                Ok(Self::Line(version.line()))
            }
            Err(err) => Err(err),
        }
    }
}

impl fmt::Display for PinTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => line.fmt(f),
            Self::Version(version) => version.fmt(f),
        }
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
