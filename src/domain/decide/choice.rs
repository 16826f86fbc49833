//! Which version to go to: the installed line first, then the next line, never past a line.

use std::collections::BTreeSet;

use crate::domain::advisory::{Advisory, Affected, Severity};
use crate::domain::decide::{About, Facts, Reason, Target};
use crate::domain::policy::Class;
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
    /// What runs is not upstream's.
    #[error("{0} is a build of its own; upstream's images must not replace it")]
    Fork(ReleaseVersion),
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
    /// It is not final.
    #[error("{0} is a pre-release")]
    PreRelease(ReleaseVersion),
}

/// Checks a version that a person asked for and describes it.
///
/// It must be a known release, newer than what runs, and at most one line ahead. `force` lets quarantined versions and
/// pre-releases through, nothing else. A person may choose a line's first release, which [`super::decide`] never does.
pub fn target_of(
    facts: &Facts,
    wanted: &ReleaseVersion,
    force: bool,
) -> Result<Target, NotATarget> {
    let installed = || Box::new(facts.installed.clone());
    if facts.installed.build().is_some() {
        return Err(NotATarget::Fork(facts.installed.clone()));
    }
    let Some(release) = facts
        .releases
        .iter()
        .find(|release| release.version == *wanted)
    else {
        return Err(NotATarget::Unknown(wanted.clone()));
    };
    let Some(kind) = facts.installed.step_to(wanted) else {
        return Err(NotATarget::NotNewer {
            wanted: wanted.clone(),
            installed: installed(),
        });
    };
    let reachable = wanted.line() == facts.installed.line()
        || follows(facts.installed.line(), wanted.line(), facts);
    if !reachable {
        return Err(NotATarget::SkipsALine {
            wanted: wanted.clone(),
            installed: installed(),
        });
    }
    if !force {
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
    Ok(target(facts, release, kind))
}

pub(super) fn choose<'a>(facts: &'a Facts, reasons: &mut Vec<Reason>) -> Choice<'a> {
    let installed = &facts.installed;
    let mut say = |text: String| reasons.push(Reason::new(About::Choice, text));
    if installed.build().is_some() {
        let mark = installed.build().unwrap_or_default();
        say(format!(
            "{installed} is a build of its own, marked `{mark}`; upstream's images must not replace it."
        ));
        return Choice::Blocked;
    }
    if facts.releases.is_empty() {
        say("No release is known, so there is nothing to choose from.".to_owned());
        return Choice::Blocked;
    }
    let newer = facts.newer_in_line();
    if !newer.is_empty() {
        if let Some(release) = newest_usable(facts, &newer, &mut say) {
            return Choice::Go(release, UpdateKind::Patch);
        }
        say(format!(
            "Every newer release of line {} is in quarantine.",
            installed.line()
        ));
        return Choice::Blocked;
    }
    say(format!(
        "No newer release of line {} is known.",
        installed.line()
    ));
    next_line(facts, &mut say)
}

fn next_line<'a>(facts: &'a Facts, say: &mut impl FnMut(String)) -> Choice<'a> {
    let line = facts.installed.line();
    let Some(next) = facts
        .finals(|version| version.line() > line)
        .first()
        .map(|release| release.version.line())
    else {
        return Choice::Nothing;
    };
    if !follows(line, next, facts) {
        say(format!(
            "The next known line after {line} is {next}, but a line lies between them of which no release is known; every \
             line must be passed through."
        ));
        return Choice::Blocked;
    }
    let finals = facts.finals(|version| version.line() == next);
    let patched: Vec<&Release> = finals
        .into_iter()
        .filter(|release| release.version.patch() > 0)
        .collect();
    if patched.is_empty() {
        say(format!(
            "Line {next} has only its first release so far; it is entered when its first patch is out."
        ));
        return Choice::Nothing;
    }
    let Some(release) = newest_usable(facts, &patched, say) else {
        say(format!(
            "Every patch of the next line {next} is in quarantine."
        ));
        return Choice::Blocked;
    };
    match facts.installed.step_to(&release.version) {
        Some(kind) => Choice::Go(release, kind),
        None => Choice::Nothing,
    }
}

fn newest_usable<'a>(
    facts: &Facts,
    candidates: &[&'a Release],
    say: &mut impl FnMut(String),
) -> Option<&'a Release> {
    candidates
        .iter()
        .rev()
        .copied()
        .find(|release| match facts.quarantine(&release.version) {
            Some(quarantined) => {
                say(format!(
                    "{} is passed over, because it is in quarantine: {}.",
                    release.version, quarantined.reason
                ));
                false
            }
            None => true,
        })
}

/// Whether no line can lie between the two. Across a major version that depends on which lines are known.
fn follows(line: ReleaseLine, next: ReleaseLine, facts: &Facts) -> bool {
    if line.major == next.major {
        return line.minor.checked_add(1) == Some(next.minor);
    }
    let last_of_major = facts
        .finals(|version| version.line() > line && version.line() < next)
        .is_empty();
    line.major.checked_add(1) == Some(next.major) && next.minor == 0 && last_of_major
}

/// Describes `release` as a target; the rule is left open.
pub(super) fn target(facts: &Facts, release: &Release, kind: UpdateKind) -> Target {
    let crossed = crossed(facts, &release.version, kind);
    let closed = closed(facts, &crossed, &release.version);
    let secure = !closed.is_empty() || crossed.iter().any(|crossed| crossed.is_security());
    let class = match kind {
        UpdateKind::Patch if secure => Class::Security,
        UpdateKind::Patch => Class::Patch,
        UpdateKind::Minor => Class::Minor,
        UpdateKind::Major => Class::Major,
    };
    let graded = closed
        .iter()
        .map(|id| find(facts, id).map_or(Severity::High, |advisory| advisory.severity))
        .max();
    let ungraded = (class == Class::Security).then_some(Severity::High);
    Target {
        version: release.version.clone(),
        tag: release.tag.clone(),
        kind,
        class,
        rule: None,
        severity: graded.or(ungraded),
        advisories: closed.into_iter().collect(),
        published_at: release.published_at,
        url: release.url.clone(),
    }
}

/// The releases whose repairs a patch brings. A step into another line crosses none: what that line repaired may long be
/// repaired in the installed one too, so only advisories that list the installed version count there.
fn crossed<'a>(facts: &'a Facts, to: &ReleaseVersion, kind: UpdateKind) -> Vec<&'a Release> {
    match kind {
        UpdateKind::Patch => facts
            .releases
            .iter()
            .filter(|release| release.version.line() == to.line())
            .filter(|release| {
                facts.installed.precedes(&release.version) && !to.precedes(&release.version)
            })
            .collect(),
        UpdateKind::Minor | UpdateKind::Major => Vec::new(),
    }
}

fn closed(facts: &Facts, crossed: &[&Release], to: &ReleaseVersion) -> BTreeSet<String> {
    let named = crossed.iter().flat_map(|release| &release.ids);
    let named =
        named.map(|id| find(facts, id).map_or_else(|| id.clone(), |advisory| advisory.id.clone()));
    let listed = facts.advisories.iter().filter(|advisory| {
        let hit = matches!(advisory.affects(&facts.installed), Affected::Listed(_));
        let gone =
            advisory.affects(to) == Affected::NotListed || advisory.repaired_at(to).is_some();
        hit && gone
    });
    named
        .chain(listed.map(|advisory| advisory.id.clone()))
        .collect()
}

fn find<'a>(facts: &'a Facts, id: &str) -> Option<&'a Advisory> {
    facts
        .advisories
        .iter()
        .find(|advisory| advisory.is_called(id))
}
