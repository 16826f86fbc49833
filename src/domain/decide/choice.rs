//! Which version to go to: the installed line first, then the next line, never past a line.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::advisory::{Advisory, Affected, Severity};
use crate::domain::decide::{About, Facts, Pin, Reason, Target};
use crate::domain::policy::{Class, Policy};
use crate::domain::release::Release;
use crate::domain::version::{ReleaseLine, ReleaseVersion, UpdateKind};

/// What the known releases offer.
pub(super) enum Choice<'a> {
    /// Nothing newer that may be installed unattended.
    Nothing,
    /// Something newer, but not without a person.
    Blocked,
    /// This release.
    Go(&'a Release, UpdateKind),
}

/// Why a version that a person asked for is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotATarget {
    /// What runs is not upstream's, or its tag names no release.
    #[error("{0}")]
    Foreign(String),
    /// The publisher took it back.
    #[error(
        "{0} was published and is no longer listed; a release that was taken back is not installed"
    )]
    Gone(ReleaseVersion),
    /// Nobody can tell for certain what runs.
    #[error("what runs is not certain: {0}")]
    Disagreement(String),
    /// There is no such release.
    #[error("{0} is not a known release")]
    Unknown(ReleaseVersion),
    /// It is what runs, or older.
    #[error("{wanted} is not newer than {installed}, which runs")]
    NotNewer {
        /// The version asked for.
        wanted: ReleaseVersion,
        /// The version that runs.
        installed: Box<ReleaseVersion>,
    },
    /// It lies more than one line ahead.
    #[error(
        "{wanted} is more than one line ahead of {installed}; every line must be passed through"
    )]
    SkipsALine {
        /// The version asked for.
        wanted: ReleaseVersion,
        /// The version that runs.
        installed: Box<ReleaseVersion>,
    },
    /// It is in quarantine.
    #[error("{version} is in quarantine: {reason}")]
    Quarantined {
        /// The version asked for.
        version: ReleaseVersion,
        /// Why it is there.
        reason: String,
    },
    /// A person pinned the instance.
    #[error(
        "{by} pinned this instance to {to}: {reason}; `mastopatch unpin` ends that, --force goes past it"
    )]
    Pinned {
        /// How far updates may go.
        to: String,
        /// Who said so.
        by: String,
        /// Why.
        reason: String,
    },
    /// It is not final.
    #[error("{0} is a pre-release")]
    PreRelease(ReleaseVersion),
}

/// Checks a version that a person asked for and describes it.
///
/// It must be a known release, newer than what runs, and at most one line ahead. `force` lets quarantined versions and
/// pre-releases through, and past a pin, nothing else. A person may choose a line's first release, which [`super::decide`] never does.
pub fn target_of(
    facts: &Facts,
    wanted: &ReleaseVersion,
    force: bool,
    now: Timestamp,
) -> Result<Target, NotATarget> {
    let runs = facts.version();
    let installed = || Box::new(runs.clone());
    if let Some(why) = facts.installed.origin_refusal() {
        return Err(NotATarget::Foreign(why));
    }
    if let Some(disagreement) = facts.installed.disagreements.first() {
        return Err(NotATarget::Disagreement(disagreement.clone()));
    }
    let Some(release) = facts.published.release(wanted) else {
        return Err(NotATarget::Unknown(wanted.clone()));
    };
    let Some(kind) = runs.step_to(wanted) else {
        return Err(NotATarget::NotNewer {
            wanted: wanted.clone(),
            installed: installed(),
        });
    };
    if release.gone_since.is_some() {
        return Err(NotATarget::Gone(wanted.clone()));
    }
    let reachable = wanted.line() == runs.line() || follows(runs.line(), wanted.line(), facts);
    if !reachable {
        return Err(NotATarget::SkipsALine {
            wanted: wanted.clone(),
            installed: installed(),
        });
    }
    if !force {
        if let Some(pin) = facts.pin_at(now).filter(|pin| !pin.allows(wanted)) {
            return Err(NotATarget::Pinned {
                to: pin.to.to_string(),
                by: pin.by.clone(),
                reason: pin.reason.clone(),
            });
        }
        if let Some(quarantined) = facts.quarantine(wanted) {
            return Err(NotATarget::Quarantined {
                version: wanted.clone(),
                reason: quarantined.reason.clone(),
            });
        }
        if release.pre_release {
            return Err(NotATarget::PreRelease(wanted.clone()));
        }
    }
    let listed: Vec<&Advisory> = facts
        .published
        .advisories()
        .iter()
        .filter(|advisory| matches!(advisory.affects(runs), Affected::Listed(_)))
        .collect();
    Ok(target(facts, release, kind, &listed, &[]))
}

pub(super) fn choose<'a>(
    facts: &'a Facts,
    policy: &'a Policy,
    now: Timestamp,
    reasons: &mut Vec<Reason>,
) -> Choice<'a> {
    let line = facts.version().line();
    let mut say = |text: String| reasons.push(Reason::new(About::Choice, text));
    if let Some(why) = facts.installed.origin_refusal() {
        say(why);
    }
    if facts.published.releases().is_empty() {
        say("No release is known, so there is nothing to choose from.".to_owned());
        return Choice::Blocked;
    }
    let pin = facts.pin_at(now);
    let chooser = Chooser { facts, policy, pin };
    let newer = chooser.candidates(line, |version| facts.version().precedes(version));
    if !newer.is_empty() {
        if let Some(release) = chooser.newest_usable(&newer, &mut say) {
            return chooser.go(release);
        }
        say(format!(
            "No newer release of line {line} may be installed here."
        ));
        return Choice::Blocked;
    }
    say(format!("No newer release of line {line} is known."));
    chooser.next_line(&mut say)
}

/// What the choice depends on.
struct Chooser<'a> {
    facts: &'a Facts,
    policy: &'a Policy,
    pin: Option<&'a Pin>,
}

impl<'a> Chooser<'a> {
    /// What may be chosen of a line, oldest first; pre-releases only where the policy asks for them.
    fn candidates(
        &self,
        line: ReleaseLine,
        passes: impl Fn(&ReleaseVersion) -> bool,
    ) -> Vec<&'a Release> {
        let published = &self.facts.published;
        if !self.policy.pre_releases() {
            return published
                .line(line)
                .filter(|release| passes(&release.version))
                .collect();
        }
        let usable = |release: &&Release| {
            release.version.line() == line
                && release.version.build().is_none()
                && release.gone_since.is_none()
                && passes(&release.version)
        };
        published.releases().iter().filter(usable).collect()
    }

    fn next_line(&self, say: &mut impl FnMut(String)) -> Choice<'a> {
        let line = self.facts.version().line();
        let Some(next) = self.facts.published.lines().find(|next| *next > line) else {
            return Choice::Nothing;
        };
        if !follows(line, next, self.facts) {
            say(format!(
                "The next known line after {line} is {next}, but a line lies between them of which no release is known; every \
                 line must be passed through."
            ));
            return Choice::Blocked;
        }
        let mut patched = self.candidates(next, |version| version.patch() > 0);
        let is_newest = self.facts.published.lines().next_back() == Some(next);
        if patched.is_empty() && !is_newest {
            // A line that never got a patch is passed through by what it has.
            patched = self.candidates(next, |_any| true);
        }
        if patched.is_empty() {
            say(format!(
                "Line {next} has only its first release so far; it is entered when its first patch is out."
            ));
            return Choice::Nothing;
        }
        let Some(release) = self.newest_usable(&patched, say) else {
            say(format!(
                "No patch of the next line {next} may be installed here."
            ));
            return Choice::Blocked;
        };
        self.go(release)
    }

    fn go(&self, release: &'a Release) -> Choice<'a> {
        match self.facts.version().step_to(&release.version) {
            Some(kind) => Choice::Go(release, kind),
            None => Choice::Nothing,
        }
    }

    fn newest_usable(
        &self,
        candidates: &[&'a Release],
        say: &mut impl FnMut(String),
    ) -> Option<&'a Release> {
        let mut pinned = None;
        let found = candidates.iter().rev().copied().find(|release| {
            let version = &release.version;
            if let Some(pin) = self.pin.filter(|pin| !pin.allows(version)) {
                pinned = pinned.or(Some((pin, version)));
                return false;
            }
            if let Some(quarantined) = self.facts.quarantine(version) {
                say(format!(
                    "{version} is passed over, because it is in quarantine: {}.",
                    quarantined.reason
                ));
                return false;
            }
            true
        });
        if let Some((pin, newest)) = pinned {
            say(format!(
                "{newest} is passed over, because {} pinned this instance to {}{}: {}.",
                pin.by,
                pin.to,
                super::case::until(pin.until, self.policy),
                pin.reason
            ));
        }
        found
    }
}

/// Whether no line can lie between the two. Across a major version that depends on which lines are known.
fn follows(line: ReleaseLine, next: ReleaseLine, facts: &Facts) -> bool {
    if line.major == next.major {
        return line.minor.checked_add(1) == Some(next.minor);
    }
    let none_between = !facts
        .published
        .every_line()
        .iter()
        .any(|between| *between > line && *between < next);
    line.major.checked_add(1) == Some(next.major) && next.minor == 0 && none_between
}

/// Describes `release` as a target; the rule is left open. `listed` are the advisories that list what runs, `elsewhere` the
/// security releases of other lines whose repairs may concern it.
pub(super) fn target(
    facts: &Facts,
    release: &Release,
    kind: UpdateKind,
    listed: &[&Advisory],
    elsewhere: &[ReleaseVersion],
) -> Target {
    let published = &facts.published;
    let crossed = crossed(facts, &release.version, kind);
    let secure: Vec<&&Release> = crossed
        .iter()
        .filter(|crossed| published.is_security(crossed))
        .collect();
    let closed = closed(facts, &crossed, &release.version, listed);
    let known: Vec<&Advisory> = closed
        .iter()
        .filter_map(|id| published.advisory(id))
        .collect();
    let class = match kind {
        UpdateKind::Patch if !secure.is_empty() || !closed.is_empty() => Class::Security,
        UpdateKind::Patch => Class::Patch,
        UpdateKind::Minor => Class::Minor,
        UpdateKind::Major => Class::Major,
    };
    let graded = known.iter().map(|advisory| advisory.severity).max();
    // A hole that is named without an advisory, a security release that names none, and what a second source calls
    // urgent count as high at least.
    let unnamed = closed.iter().any(|id| published.advisory(id).is_none())
        || (class == Class::Security && closed.is_empty())
        || secure
            .iter()
            .any(|release| release.ids.is_empty() || published.is_urgent(release));
    // A step into a line that has what the running one may need.
    let brought: Vec<&Release> = elsewhere
        .iter()
        .filter(|other| kind != UpdateKind::Patch && other.line() == release.version.line())
        .filter_map(|other| published.release(other))
        .collect();
    let ungraded = (unnamed || !brought.is_empty()).then_some(Severity::High);
    let public_since = secure
        .iter()
        .map(|release| release.known_since())
        .chain(brought.iter().map(|release| release.known_since()))
        .chain(known.iter().filter_map(|advisory| advisory.known_since()))
        .min();
    Target {
        version: release.version.clone(),
        tag: release.tag.clone(),
        kind,
        class,
        rule: None,
        severity: graded.max(ungraded),
        exploited: known.iter().any(|advisory| advisory.is_exploited())
            || secure.iter().any(|release| release.security.exploited),
        advisories: closed.into_iter().collect(),
        published_at: release.known_since(),
        public_since: public_since.unwrap_or_else(|| release.known_since()),
        url: release.url.clone(),
    }
}

/// The releases whose repairs a patch brings. A step into another line crosses none: what that line repaired may long be
/// repaired in the installed one too, so only advisories that list the installed version count there.
fn crossed<'a>(facts: &'a Facts, to: &ReleaseVersion, kind: UpdateKind) -> Vec<&'a Release> {
    match kind {
        UpdateKind::Patch => facts
            .published
            .releases()
            .iter()
            .filter(|release| release.version.line() == to.line())
            .filter(|release| {
                facts.version().precedes(&release.version) && !to.precedes(&release.version)
            })
            .collect(),
        UpdateKind::Minor | UpdateKind::Major => Vec::new(),
    }
}

fn closed(
    facts: &Facts,
    crossed: &[&Release],
    to: &ReleaseVersion,
    listed: &[&Advisory],
) -> BTreeSet<String> {
    let published = &facts.published;
    let named = crossed.iter().flat_map(|release| &release.ids);
    let named = named.map(|id| {
        published
            .advisory(id)
            .map_or_else(|| id.clone(), |advisory| advisory.id.clone())
    });
    let listed = listed.iter().filter(|advisory| {
        advisory.affects(to) == Affected::NotListed || advisory.repaired_at(to).is_some()
    });
    named
        .chain(listed.map(|advisory| advisory.id.clone()))
        .collect()
}
