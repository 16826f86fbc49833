//! Security advisories, and whether one lists a version as affected.
//!
//! Published ranges are written by hand and some are empty, inverted or name no version. The answer is therefore
//! three-valued, and the best it can say is "not listed", never "safe".

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::release::advisory_ids;
use crate::domain::version::{ReleaseLine, ReleaseVersion};

mod cvss;
mod entry;
pub(crate) mod exploited;
mod range;
mod severity;

pub use cvss::{Cvss, CvssParts, CvssVersion, NotAScore, Score};
pub use entry::{Vulnerable, VulnerableParts};
pub use exploited::Exploitation;
pub use range::{Undecidable, VersionRange};
pub use severity::Severity;
use severity::worst_score;

/// A sentence that is shown to people is cut after so many letters; about three lines of a terminal.
const LONGEST_SENTENCE: usize = 240;

/// One published advisory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Advisory {
    /// The `GHSA-…` id.
    pub id: String,
    /// The `CVE-…` id, which is often given later; the first, if there are several.
    pub cve: Option<String>,
    /// Every other id it goes by, in the usual spelling; the CVE id is among them.
    #[serde(default)]
    pub aliases: BTreeSet<String>,
    /// How bad it is: the worse of the publisher's word and the score; [`Severity::High`] where there is neither.
    pub severity: Severity,
    /// Whether the publisher gave neither a word nor a score that can be read.
    pub severity_missing: bool,
    /// The publisher's word for the severity, as written.
    #[serde(default)]
    pub severity_word: Option<String>,
    /// The scores and vectors that the publisher gives.
    #[serde(default)]
    pub cvss: Vec<Cvss>,
    /// What is known about attacks.
    #[serde(default)]
    pub exploited: Exploitation,
    /// What says so: a clause of the text, or a vector.
    #[serde(default)]
    pub exploited_because: Option<String>,
    /// One line about it.
    pub summary: String,
    /// The first sentence of the description, cut where it is long.
    #[serde(default)]
    pub about: Option<String>,
    /// Where a person can read about it.
    pub url: Option<String>,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Option<Timestamp>,
    /// Whether the publisher took it back.
    pub withdrawn: bool,
    /// Whether the publisher closed it after it was published. It still counts: closing takes nothing back.
    #[serde(default)]
    pub closed: bool,
    /// What it lists as affected, and the versions that repair it.
    pub vulnerable: Vec<Vulnerable>,
    /// Entries that are clearly about another product, in a few words; they say nothing about Mastodon's versions.
    #[serde(default)]
    pub other_products: Vec<String>,
    /// When this host saw it first, kept for ever; none where nothing is remembered.
    #[serde(default)]
    pub first_seen: Option<Timestamp>,
    /// Since when the publisher no longer lists it, without a word. It is remembered, and still counts.
    #[serde(default)]
    pub gone_since: Option<Timestamp>,
    /// The worst grade this host ever saw on it, where that is worse than the present one.
    #[serde(default)]
    pub graded_before: Option<Severity>,
}

/// The plain parts of an advisory, before anything is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdvisoryParts {
    /// The `GHSA-…` id.
    pub id: String,
    /// The `CVE-…` id.
    pub cve: Option<String>,
    /// Further ids, of any kind.
    pub aliases: Vec<String>,
    /// The severity as written.
    pub severity: Option<String>,
    /// Scores and vectors.
    pub cvss: Vec<CvssParts>,
    /// One line about it.
    pub summary: Option<String>,
    /// The whole text. Only its first sentence is kept, and what it says about attacks.
    pub description: Option<String>,
    /// The page of the advisory.
    pub url: Option<String>,
    /// The publication date.
    pub published_at: Option<Timestamp>,
    /// The date of the last change.
    pub updated_at: Option<Timestamp>,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
    /// Whether it was closed after its publication.
    pub closed: bool,
    /// Products, affected ranges and patched versions, as written.
    pub vulnerable: Vec<VulnerableParts>,
}

/// Whether an advisory lists a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[must_use]
pub enum Affected {
    /// The version lies in this range of the advisory.
    Listed(String),
    /// No range of the advisory holds the version. That is not the same as being safe.
    NotListed,
    /// The advisory does not allow an answer, for this reason.
    CannotDecide(String),
}

/// Why the parts do not make an advisory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvisoryError {
    /// The id does not look like one.
    #[error("`{0}` is not the id of an advisory")]
    Id(String),
}

impl Advisory {
    /// Makes an advisory from its parts. Odd ranges are kept as undecidable; they are no error.
    pub fn new(parts: AdvisoryParts) -> Result<Self, AdvisoryError> {
        let mut ids = advisory_ids(&parts.id).into_iter();
        let id = match (ids.next(), ids.next()) {
            (Some(id), None) if id.eq_ignore_ascii_case(&parts.id) => id,
            _ => return Err(AdvisoryError::Id(parts.id)),
        };
        let cve = parts.cve.filter(|cve| !cve.trim().is_empty());
        let named = cve.iter().chain(&parts.aliases);
        let mut aliases: BTreeSet<String> = named.flat_map(|text| advisory_ids(text)).collect();
        aliases.remove(&id);
        let cve = cve.or_else(|| aliases.iter().find(|id| id.starts_with("CVE-")).cloned());
        let cvss = Cvss::all(&parts.cvss);
        let word = parts.severity.as_deref().and_then(Severity::read);
        let graded = word.max(worst_score(&cvss).map(|(score, _)| score.grade()));
        let description = parts.description.unwrap_or_default();
        let summary = parts.summary.unwrap_or_default();
        let (exploited, exploited_because) = exploitation(&cvss, &summary, &description);
        let (elsewhere, here): (Vec<_>, Vec<_>) = parts
            .vulnerable
            .iter()
            .partition(|entry| entry.is_elsewhere());
        Ok(Self {
            id,
            cve,
            aliases,
            severity: graded.unwrap_or(Severity::High),
            severity_missing: graded.is_none(),
            severity_word: parts.severity.map(|word| short(&word, LONGEST_SENTENCE)),
            cvss,
            exploited,
            exploited_because,
            summary,
            about: first_sentence(&description),
            url: parts.url,
            published_at: parts.published_at,
            updated_at: parts.updated_at,
            withdrawn: parts.withdrawn,
            closed: parts.closed,
            vulnerable: here.into_iter().map(Vulnerable::new).collect(),
            other_products: elsewhere.into_iter().map(VulnerableParts::show).collect(),
            first_seen: None,
            gone_since: None,
            graded_before: None,
        })
    }

    /// Whether this advisory lists `version`. Build metadata has no say; a withdrawn advisory lists nothing.
    ///
    /// A version that no range holds is still undecided if the advisory names a later version of its line as repaired
    /// and no range begins in between: then a range is missing or ends too early.
    pub fn affects(&self, version: &ReleaseVersion) -> Affected {
        if self.withdrawn {
            return Affected::NotListed;
        }
        if self.vulnerable.is_empty() {
            return Affected::CannotDecide(match self.other_products.first() {
                Some(product) => format!("it names only another product (`{product}`)"),
                None => "it names no affected versions".to_owned(),
            });
        }
        let repaired = self.repaired_at(version);
        let mut doubt = None;
        for vulnerable in &self.vulnerable {
            match vulnerable.range.contains(version) {
                Affected::Listed(range) => {
                    return match repaired {
                        Some(fix) => Affected::CannotDecide(format!(
                            "its range `{range}` covers {version}, although it names {fix} as repaired"
                        )),
                        None => Affected::Listed(range),
                    };
                }
                Affected::CannotDecide(reason) => doubt = doubt.or(Some(reason)),
                Affected::NotListed => {}
            }
        }
        match (doubt, repaired) {
            (Some(reason), None) => Affected::CannotDecide(reason),
            (Some(reason), Some(fix)) => {
                // An entry that nobody can read, and that speaks of something later than the repair.
                let mut ranges = self.vulnerable.iter().map(|one| &one.range);
                let later = ranges.any(|range| {
                    matches!(range.contains(version), Affected::CannotDecide(_))
                        && range.mentions_newer(fix)
                });
                if later {
                    Affected::CannotDecide(format!("{reason}, although it names {fix} as repaired"))
                } else {
                    Affected::NotListed
                }
            }
            (None, Some(_)) => Affected::NotListed,
            (None, None) => self.left_out(version),
        }
    }

    /// The newest version in `version`'s own line that is named as repaired; `None` if it is newer than `version`.
    ///
    /// Where several of the line are named, an earlier one may have repaired only a part.
    pub fn repaired_at(&self, version: &ReleaseVersion) -> Option<&ReleaseVersion> {
        self.patched()
            .filter(|fix| fix.line() == version.line())
            .max()
            .filter(|fix| !version.precedes(fix))
    }

    /// All versions that this advisory names as repaired.
    pub fn patched(&self) -> impl Iterator<Item = &ReleaseVersion> {
        self.vulnerable
            .iter()
            .flat_map(|vulnerable| &vulnerable.patched)
    }

    /// Since when it has been public, as far as is known here.
    pub fn known_since(&self) -> Option<Timestamp> {
        [self.published_at, self.first_seen]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether it would list `version` if it were not withdrawn.
    pub fn would_list(&self, version: &ReleaseVersion) -> bool {
        self.vulnerable
            .iter()
            .any(|vulnerable| matches!(vulnerable.range.contains(version), Affected::Listed(_)))
    }

    /// Whether it is known to be exploited.
    pub fn is_exploited(&self) -> bool {
        self.exploited == Exploitation::Reported
    }

    /// Every id it has.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let others = self.cve.iter().chain(&self.aliases);
        std::iter::once(self.id.as_str()).chain(others.map(String::as_str))
    }

    /// Whether a range or a repaired version speaks of this line at all. If not, that the line's versions are not listed
    /// says nothing: branches with the same hole have been forgotten before.
    pub fn names_line(&self, line: ReleaseLine) -> bool {
        self.vulnerable
            .iter()
            .any(|vulnerable| vulnerable.names_line(line))
    }

    /// Whether `id` is one of this advisory's ids, in any spelling.
    pub fn is_called(&self, id: &str) -> bool {
        self.names().any(|own| own.eq_ignore_ascii_case(id))
    }

    /// The answer about a version that no range holds and nothing repairs.
    fn left_out(&self, version: &ReleaseVersion) -> Affected {
        let later = self
            .patched()
            .filter(|fix| fix.line() == version.line() && version.precedes(fix))
            .max();
        let begins_later = self
            .vulnerable
            .iter()
            .any(|vulnerable| vulnerable.range.begins_after(version));
        match later {
            Some(fix) if !begins_later => Affected::CannotDecide(format!(
                "no range covers {version}, although it names {fix} as repaired"
            )),
            Some(_) | None => Affected::NotListed,
        }
    }
}

/// The worst that text and vectors say about attacks, and what says it.
fn exploitation(cvss: &[Cvss], summary: &str, description: &str) -> (Exploitation, Option<String>) {
    let vectors = cvss.iter().map(|cvss| {
        let said = cvss.exploitation();
        let why = (said != Exploitation::NotKnown).then(|| cvss.vector.clone());
        (said, why)
    });
    let mut worst = (Exploitation::NotKnown, None);
    for said in [exploited::told(summary), exploited::told(description)]
        .into_iter()
        .chain(vectors)
    {
        if said.0 > worst.0 {
            worst = said;
        }
    }
    worst
}

/// The first sentence of a text in Markdown, without its headings.
fn first_sentence(text: &str) -> Option<String> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| line.chars().any(char::is_alphanumeric) && !line.starts_with('#'))?;
    let end = line
        .match_indices(". ")
        .map(|(at, _)| at.saturating_add(1))
        .next();
    let sentence = end
        .and_then(|end| line.split_at_checked(end))
        .map_or(line, |(sentence, _)| sentence);
    Some(short(sentence, LONGEST_SENTENCE))
}

/// At most so many letters, without control characters; an ellipsis where something was cut off.
fn short(text: &str, most: usize) -> String {
    let mut letters = text.trim().chars().filter(|c| !c.is_control());
    let mut kept: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests;
