//! How the running version stands against what has been published. It never says "safe".

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::advisory::{Advisory, Affected, Severity};
use crate::domain::decide::{About, Facts, Reason};
use crate::domain::policy::Policy;
use crate::domain::release::Release;
use crate::domain::version::ReleaseVersion;

/// All supported lines get a repair within hours of each other. What another line gets later than this after the last
/// release of the installed line belongs to a batch that the installed line was not part of.
const ONE_BATCH: SignedDuration = SignedDuration::from_hours(24);

/// How the running version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// All of it in one word.
    pub standing: Standing,
    /// Advisories that list the running version.
    pub listed: Vec<Exposed>,
    /// Advisories that allow no answer.
    pub undecided: Vec<Exposed>,
    /// Security releases of the installed line that are newer than what runs, oldest first.
    pub newer_security: Vec<ReleaseVersion>,
    /// Security releases of later lines that came out well after the last release of the installed line.
    pub other_lines: Vec<ReleaseVersion>,
    /// Ids of advisories without a usable range whose repair is older than what runs: not counted.
    pub set_aside: Vec<String>,
}

/// One advisory that speaks, or may speak, about the running version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposed {
    /// The `GHSA-…` id.
    pub id: String,
    /// The `CVE-…` id.
    pub cve: Option<String>,
    /// How bad it is; [`Severity::High`] where the publisher does not say.
    pub severity: Severity,
    /// Whether the publisher does not say.
    pub severity_missing: bool,
    /// One line about it.
    pub summary: String,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// Why it is here.
    pub why: String,
    /// The first release of the installed line that repairs it, where one is known.
    pub repaired_in: Option<ReleaseVersion>,
}

/// The running version's standing, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// At least one advisory lists it.
    ListedAsAffected,
    /// No advisory lists it yet, but its line has a newer security release.
    SecurityUpdateMissing,
    /// Something stands in the way of an answer.
    CannotTell,
    /// No known advisory lists it and its line has no newer security release.
    NotListed,
}

impl Exposure {
    /// Weighs every known advisory and release against the running version.
    pub fn of(facts: &Facts) -> Self {
        let newer = facts.newer_in_line();
        let mut exposure = Self {
            standing: Standing::CannotTell,
            listed: Vec::new(),
            undecided: Vec::new(),
            newer_security: newer
                .iter()
                .filter(|release| release.is_security())
                .map(|release| release.version.clone())
                .collect(),
            other_lines: if newer.is_empty() {
                later_elsewhere(facts)
            } else {
                Vec::new()
            },
            set_aside: Vec::new(),
        };
        for advisory in facts
            .advisories
            .iter()
            .filter(|advisory| !advisory.withdrawn)
        {
            exposure.weigh(facts, advisory, &newer);
        }
        exposure.standing = exposure.standing(facts, &newer);
        exposure
    }

    fn weigh(&mut self, facts: &Facts, advisory: &Advisory, newer: &[&Release]) {
        let installed = &facts.installed;
        let named = newer
            .iter()
            .find(|release| names(release, advisory))
            .map(|release| release.version.clone());
        match (advisory.affects(installed), &named) {
            (Affected::Listed(range), _) => {
                let repaired_in = named.or_else(|| patch_named(advisory, installed));
                self.listed.push(exposed(
                    advisory,
                    format!("its range `{range}` covers {installed}"),
                    repaired_in,
                ));
            }
            (Affected::CannotDecide(why), Some(release)) => {
                let why = format!("{why}, and {release} names it as repaired");
                self.undecided.push(exposed(advisory, why, named));
            }
            (Affected::CannotDecide(_), None) if is_past(facts, advisory) => {
                self.set_aside.push(advisory.id.clone());
            }
            (Affected::CannotDecide(why), None) => {
                self.undecided.push(exposed(advisory, why, None));
            }
            (Affected::NotListed, Some(release)) => {
                let why =
                    format!("no range covers {installed}, but {release} names it as repaired");
                self.undecided.push(exposed(advisory, why, named));
            }
            (Affected::NotListed, None) => {}
        }
    }

    fn standing(&self, facts: &Facts, newer: &[&Release]) -> Standing {
        let known = facts
            .releases
            .iter()
            .any(|release| release.version == facts.installed);
        let described = newer.iter().all(|release| release.described);
        let complete =
            known && described && facts.problems.is_empty() && !facts.advisories.is_empty();
        if !self.listed.is_empty() {
            Standing::ListedAsAffected
        } else if !self.newer_security.is_empty() {
            Standing::SecurityUpdateMissing
        } else if complete && self.undecided.is_empty() && self.other_lines.is_empty() {
            Standing::NotListed
        } else {
            Standing::CannotTell
        }
    }

    pub(super) fn reasons(&self, facts: &Facts, policy: &Policy) -> Vec<Reason> {
        let data = gaps(facts)
            .into_iter()
            .map(|text| Reason::new(About::Data, text));
        let exposure = self
            .sentences(facts, policy)
            .into_iter()
            .map(|text| Reason::new(About::Exposure, text));
        data.chain(exposure).collect()
    }

    fn sentences(&self, facts: &Facts, policy: &Policy) -> Vec<String> {
        let (installed, line) = (&facts.installed, facts.installed.line());
        let mut texts = Vec::new();
        for item in &self.listed {
            texts.push(format!(
                "{installed} is listed as affected by {} ({}): {}.",
                item.id,
                item.grade(),
                item.why
            ));
        }
        for item in &self.undecided {
            let (id, severity, why) = (&item.id, item.grade(), &item.why);
            texts.push(format!(
                "Whether {id} ({severity}) affects {installed} cannot be decided: {why}."
            ));
        }
        for release in facts
            .newer_in_line()
            .into_iter()
            .filter(|release| release.is_security())
        {
            let (version, published) = (&release.version, policy.show(release.published_at));
            let why = release.security.why().join(", ");
            texts.push(format!(
                "{version}, published {published}, is a security release of line {line}: {why}."
            ));
        }
        if !self.other_lines.is_empty() {
            texts.push(format!(
                "Later lines got security releases after the last one of line {line}: {}. Whether line {line} needs the same is not known.",
                join(&self.other_lines)
            ));
        }
        if !self.set_aside.is_empty() {
            texts.push(format!(
                "{} not counted, because there is no usable range and the repairs are older than what runs: {}.",
                if self.set_aside.len() == 1 { "One advisory is".to_owned() } else { format!("{} advisories are", self.set_aside.len()) },
                self.set_aside.join(", ")
            ));
        }
        if self.standing == Standing::NotListed {
            let known = facts.advisories.len();
            texts.push(format!(
                "{installed} is not listed as affected by any of the {known} known advisories, and line {line} has no newer security release."
            ));
        }
        texts
    }
}

impl Exposed {
    fn grade(&self) -> String {
        if self.severity_missing {
            return format!("not graded, taken as {}", self.severity);
        }
        self.severity.to_string()
    }
}

/// What is missing from the knowledge, as sentences.
fn gaps(facts: &Facts) -> Vec<String> {
    let installed = &facts.installed;
    let mut texts: Vec<String> = facts
        .problems
        .iter()
        .map(|problem| format!("Not all could be read: {problem}."))
        .collect();
    if !facts
        .releases
        .iter()
        .any(|release| release.version == *installed)
    {
        texts.push(format!("{installed} is not among the known releases."));
    }
    if facts.advisories.is_empty() {
        texts.push("No advisory is known.".to_owned());
    }
    for release in facts
        .newer_in_line()
        .into_iter()
        .filter(|release| !release.described)
    {
        texts.push(format!(
            "{} has no release notes, so what it repairs is not known.",
            release.version
        ));
    }
    texts
}

fn exposed(advisory: &Advisory, why: String, repaired_in: Option<ReleaseVersion>) -> Exposed {
    Exposed {
        id: advisory.id.clone(),
        cve: advisory.cve.clone(),
        severity: advisory.severity,
        severity_missing: advisory.severity_missing,
        summary: advisory.summary.clone(),
        published_at: advisory.published_at,
        why,
        repaired_in,
    }
}

fn names(release: &Release, advisory: &Advisory) -> bool {
    release.ids.iter().any(|id| advisory.is_called(id))
}

/// The first version of the installed line, newer than what runs, that the advisory itself names as repaired.
fn patch_named(advisory: &Advisory, installed: &ReleaseVersion) -> Option<ReleaseVersion> {
    advisory
        .patched()
        .filter(|fix| fix.line() == installed.line() && installed.precedes(fix))
        .min()
        .cloned()
}

/// Whether an undecidable advisory belongs to the past of what runs: a release of the installed line, not newer than what
/// runs, names it; or all its repairs were published, in older lines, before the installed line began.
fn is_past(facts: &Facts, advisory: &Advisory) -> bool {
    let installed = &facts.installed;
    let line = installed.line();
    let named = facts.releases.iter().any(|release| {
        release.version.line() == line
            && !installed.precedes(&release.version)
            && names(release, advisory)
    });
    if named {
        return true;
    }
    let Some(first) = facts
        .finals(|version| version.line() == line && version.patch() == 0)
        .first()
        .map(|first| first.published_at)
    else {
        return false;
    };
    let before_the_line = |fix: &ReleaseVersion| {
        fix.line() < line
            && facts
                .releases
                .iter()
                .any(|release| release.version == *fix && release.published_at < first)
    };
    advisory.patched().next().is_some() && advisory.patched().all(before_the_line)
}

fn later_elsewhere(facts: &Facts) -> Vec<ReleaseVersion> {
    let line = facts.installed.line();
    let last = facts
        .finals(|version| version.line() == line)
        .iter()
        .map(|release| release.published_at)
        .max();
    let Some(limit) = last.and_then(|last| last.checked_add(ONE_BATCH).ok()) else {
        return Vec::new();
    };
    let later = facts.finals(|version| version.line() > line);
    let concerns = |release: &&&Release| {
        release.published_at > limit && release.is_security() && !is_settled(facts, release)
    };
    later
        .iter()
        .filter(concerns)
        .map(|release| release.version.clone())
        .collect()
}

/// Whether every id that the release names belongs to a known advisory that does not list what runs.
fn is_settled(facts: &Facts, release: &Release) -> bool {
    let settled = |id: &String| {
        let known = facts
            .advisories
            .iter()
            .find(|advisory| advisory.is_called(id));
        known.is_some_and(|advisory| advisory.affects(&facts.installed) == Affected::NotListed)
    };
    !release.ids.is_empty() && release.ids.iter().all(settled)
}

fn join(versions: &[ReleaseVersion]) -> String {
    versions
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ListedAsAffected => "listed as affected",
            Self::SecurityUpdateMissing => "a security update is missing",
            Self::CannotTell => "cannot tell",
            Self::NotListed => "not listed as affected",
        })
    }
}
