//! How the running version stands against what has been published. It never says "safe".

use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::advisory::{Advisory, Affected, Severity, VersionRange};
use crate::domain::decide::Facts;
use crate::domain::path::lines::{Support, support};
use crate::domain::release::Release;
use crate::domain::version::ReleaseVersion;

mod words;

/// All supported lines get a repair within hours of each other. What another line gets later than this after the last
/// release of the installed line belongs to a batch that the installed line was not part of.
const ONE_BATCH: SignedDuration = SignedDuration::from_hours(24);

/// How the running version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// All of it in one word.
    pub standing: Standing,
    /// Advisories that list the running version.
    pub listed: Vec<Exposed>,
    /// Advisories that allow no answer.
    pub undecided: Vec<Exposed>,
    /// Security releases of the installed line that are newer than what runs, oldest first.
    pub newer_security: Vec<ReleaseVersion>,
    /// Security releases of the installed line that are newer than what runs, and that the publisher took back or no
    /// longer calls final.
    pub taken_back: Vec<ReleaseVersion>,
    /// Security releases of other lines that came out well after the last release of the installed line.
    pub other_lines: Vec<ReleaseVersion>,
    /// Whether the support of the installed line is over: nobody says any more whether a new hole is in it.
    pub support_over: bool,
    /// Its last day, where it is over and the day is known.
    pub support_ended: Option<Date>,
    /// Ids of advisories that list the running version and were withdrawn: not counted.
    pub withdrawn: Vec<String>,
    /// Ids of advisories without a usable range whose repair is older than what runs: not counted.
    pub set_aside: Vec<String>,
}

/// One advisory that speaks, or may speak, about the running version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposed {
    /// The `GHSA-…` id.
    pub id: String,
    /// The `CVE-…` id.
    pub cve: Option<String>,
    /// How bad it is; [`Severity::High`] where the publisher does not say.
    pub severity: Severity,
    /// Whether the publisher does not say.
    pub severity_missing: bool,
    /// Whether it is known to be exploited.
    pub exploited: bool,
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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
    /// Weighs every known advisory and release against the running version, as things are at `now`.
    pub fn of(facts: &Facts, now: Timestamp) -> Self {
        let (installed, published) = (facts.version(), &facts.published);
        let line = installed.line();
        let newer: Vec<&Release> = published
            .releases()
            .iter()
            .filter(|release| counts(release, installed))
            .collect();
        let secure = |offered: bool| {
            let secure = newer
                .iter()
                .filter(|release| is_offered(release) == offered)
                .filter(|release| published.is_security(release));
            let mut versions: Vec<_> = secure.map(|release| release.version.clone()).collect();
            versions.dedup();
            versions
        };
        let mut newer_security: Vec<ReleaseVersion> = secure(true);
        newer_security.extend(published.unlisted_urgent(installed).cloned());
        newer_security.sort();
        let support = support(line, now, published.ends());
        let mut exposure = Self {
            standing: Standing::CannotTell,
            listed: Vec::new(),
            undecided: Vec::new(),
            newer_security,
            taken_back: secure(false),
            other_lines: later_elsewhere(facts),
            support_over: matches!(support, Support::Over(_) | Support::LongOver),
            support_ended: match support {
                Support::Over(end) => Some(end),
                Support::Open | Support::Until(_) | Support::LongOver => None,
            },
            withdrawn: Vec::new(),
            set_aside: Vec::new(),
        };
        for advisory in published.advisories() {
            exposure.weigh(facts, advisory);
        }
        exposure.standing = exposure.standing(facts, &newer);
        exposure
    }

    fn weigh(&mut self, facts: &Facts, advisory: &Advisory) {
        let installed = facts.version();
        if advisory.withdrawn {
            if advisory.would_list(installed) {
                self.withdrawn.push(advisory.id.clone());
            }
            return;
        }
        let named = facts
            .published
            .naming(advisory)
            .find(|release| counts(release, installed))
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
        let published = &facts.published;
        let known = published.release(facts.version()).is_some();
        let described = newer.iter().all(|release| release.described);
        let complete = known
            && described
            && facts.problems.is_empty()
            && published.problems().is_empty()
            && facts.installed.disagreements.is_empty()
            && self.taken_back.is_empty()
            && !self.support_over
            && !published.advisories().is_empty();
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
}

fn exposed(advisory: &Advisory, mut why: String, repaired_in: Option<ReleaseVersion>) -> Exposed {
    if advisory.gone_since.is_some() {
        why.push_str("; GitHub no longer lists it, without saying why");
    }
    if let Some(before) = advisory.graded_before {
        why.push_str("; it was graded ");
        why.push_str(&before.to_string());
        why.push_str(" before");
    }
    Exposed {
        id: advisory.id.clone(),
        cve: advisory.cve.clone(),
        severity: advisory.severity,
        severity_missing: advisory.severity_missing,
        exploited: advisory.is_exploited(),
        summary: advisory.summary.clone(),
        published_at: advisory.published_at,
        why,
        repaired_in,
    }
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
/// runs, names it, and no range mentions anything later of the line; or all its repairs were published, in older lines,
/// before the installed line began, and nothing in it speaks of the line.
fn is_past(facts: &Facts, advisory: &Advisory) -> bool {
    let (installed, published) = (facts.version(), &facts.published);
    let line = installed.line();
    if let Some(fix) = named_before(facts, advisory) {
        let mut ranges = advisory.vulnerable.iter().map(|one| &one.range);
        let later = |range: &VersionRange| {
            matches!(range.contains(installed), Affected::CannotDecide(_))
                && range.mentions_newer(fix)
        };
        return !ranges.any(later);
    }
    let first = published
        .line(line)
        .find(|release| release.version.patch() == 0);
    let Some(first) = first.map(|first| first.published_at) else {
        return false;
    };
    let before_the_line = |fix: &ReleaseVersion| {
        fix.line() < line
            && published
                .release(fix)
                .is_some_and(|release| release.published_at < first)
    };
    let all_read = advisory
        .vulnerable
        .iter()
        .all(|one| one.patched_unread.is_empty());
    all_read
        && !advisory.names_line(line)
        && advisory.patched().next().is_some()
        && advisory.patched().all(before_the_line)
}

/// The newest release of the installed line, not newer than what runs, that names the advisory.
fn named_before<'a>(facts: &'a Facts, advisory: &'a Advisory) -> Option<&'a ReleaseVersion> {
    let installed = facts.version();
    let mut named = facts.published.naming(advisory).filter(|release| {
        release.version.line() == installed.line() && !installed.precedes(&release.version)
    });
    named.next_back().map(|release| &release.version)
}

/// Whether a release says something about holes of what runs: a newer one of its line, and final, unless what runs is not.
/// One that is only marked as not final counts, too: a mark can be put on afterwards.
fn counts(release: &Release, installed: &ReleaseVersion) -> bool {
    release.version.line() == installed.line()
        && release.version.build().is_none()
        && installed.precedes(&release.version)
        && (installed.is_pre_release() || !release.version.is_pre_release())
}

/// Whether a release can be had as what its version says.
fn is_offered(release: &Release) -> bool {
    release.gone_since.is_none() && (!release.pre_release || release.version.is_pre_release())
}

/// Security releases of other lines after the last one of the installed line: what they repair may be in it, too. A line
/// without a security release counts from its first release on.
fn later_elsewhere(facts: &Facts) -> Vec<ReleaseVersion> {
    let (installed, published) = (facts.version(), &facts.published);
    let line = installed.line();
    let own = || {
        published
            .releases()
            .iter()
            .filter(|release| release.version.line() == line)
    };
    let secure = own().filter(|release| published.is_security(release));
    let last = secure.map(|release| release.published_at).max();
    let first = own().map(|release| release.published_at).min();
    let Some(limit) = last
        .or(first)
        .and_then(|last| last.checked_add(ONE_BATCH).ok())
    else {
        return Vec::new();
    };
    let final_or_like_ours =
        |release: &Release| installed.is_pre_release() || !release.version.is_pre_release();
    let concerns = |release: &&Release| {
        release.version.line() != line
            && release.version.build().is_none()
            && release.published_at > limit
            && final_or_like_ours(release)
            && published.is_security(release)
            && !is_settled(facts, release)
    };
    let mut found: Vec<ReleaseVersion> = published
        .releases()
        .iter()
        .filter(concerns)
        .map(|release| release.version.clone())
        .collect();
    found.dedup();
    found
}

/// Whether every id that the release names belongs to a known advisory that the installed line has repaired, or that does
/// not list what runs and would say so: it speaks of the installed line, or of older ones only. Older lines with the same
/// hole have been forgotten before.
fn is_settled(facts: &Facts, release: &Release) -> bool {
    let (installed, published) = (facts.version(), &facts.published);
    let line = installed.line();
    let settled = |id: &String| {
        published.advisory(id).is_some_and(|advisory| {
            let (of_ours, of_newer) = published.speaks_of(advisory, line);
            let unlisted =
                (of_ours || !of_newer) && advisory.affects(installed) == Affected::NotListed;
            unlisted || named_before(facts, advisory).is_some()
        })
    };
    !release.ids.is_empty() && release.ids.iter().all(settled)
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
