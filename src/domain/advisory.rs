//! Security advisories, and whether one lists a version as affected.
//!
//! Published ranges are written by hand and some are empty, inverted or name no version. The answer is therefore
//! three-valued, and the best it can say is "not listed", never "safe".

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::release::advisory_ids;
use crate::domain::version::{ReleaseLine, ReleaseVersion};

mod cvss;
mod entry;
mod exploited;
mod range;

pub use cvss::{Cvss, CvssParts, CvssVersion, NotAScore, Score};
pub use entry::{Vulnerable, VulnerableParts};
pub use exploited::Exploitation;
pub use range::{Undecidable, VersionRange};

/// A sentence that is shown to people is cut after so many letters; about three lines of a terminal.
const LONGEST_SENTENCE: usize = 240;

/// One published advisory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// How bad an advisory is, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Low.
    Low,
    /// Medium, also called moderate.
    Medium,
    /// High; also everything that is not graded.
    High,
    /// Critical.
    Critical,
}

/// Whether an advisory lists a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
            (Some(_) | None, Some(_)) => Affected::NotListed,
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

    /// Whether a range or a repaired version speaks of this line at all. If not, that the line's versions are not listed
    /// says nothing: branches with the same hole have been forgotten before.
    pub fn names_line(&self, line: ReleaseLine) -> bool {
        self.vulnerable
            .iter()
            .any(|vulnerable| vulnerable.names_line(line))
    }

    /// Whether `id` is one of this advisory's ids, in any spelling.
    pub fn is_called(&self, id: &str) -> bool {
        let ids = std::iter::once(&self.id)
            .chain(&self.cve)
            .chain(&self.aliases);
        ids.into_iter().any(|own| own.eq_ignore_ascii_case(id))
    }

    /// Why it has its severity: the publisher's word, the worst score, and which of them counts.
    pub fn why_severity(&self) -> String {
        let written = self.severity_word.as_deref().map(str::trim);
        let word = written.and_then(Severity::read);
        let score = worst_score(&self.cvss).map(|(score, cvss)| {
            let source = if cvss.computed { " vector" } else { "" };
            let text = format!("{}{source} gives {score}", cvss.version);
            (score.grade(), text)
        });
        let no_word = match written {
            Some(written) if !written.is_empty() => {
                format!("the publisher's grade `{written}` is not known")
            }
            Some(_) | None => "the publisher gives no grade".to_owned(),
        };
        match (word, score) {
            (Some(word), None) => format!("the publisher says {word}"),
            (Some(word), Some((grade, text))) if word == grade => {
                format!("the publisher says {word}, and {text}")
            }
            (Some(word), Some((grade, text))) => {
                format!("the publisher says {word}, but {text}, which is {grade}; the worse counts")
            }
            (None, Some((grade, text))) => format!("{no_word}; {text}, which is {grade}"),
            // Stored by a version of this program that did not keep the word.
            (None, None) if !self.severity_missing => {
                format!("the publisher says {}", self.severity)
            }
            (None, None) => format!("{no_word}, so it is taken as {}", self.severity),
        }
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

impl Severity {
    fn read(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "low" => Some(Self::Low),
            "medium" | "moderate" => Some(Self::Medium),
            "high" => Some(Self::High),
            "critical" => Some(Self::Critical),
            _ => None,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

fn worst_score(cvss: &[Cvss]) -> Option<(Score, &Cvss)> {
    cvss.iter()
        .filter_map(|cvss| Some((cvss.score?, cvss)))
        .max_by_key(|(score, _)| *score)
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
mod tests {
    use super::*;

    fn version(text: &str) -> ReleaseVersion {
        text.parse().unwrap()
    }

    fn advisory(vulnerable: &[(&str, &str)]) -> Advisory {
        let vulnerable = vulnerable
            .iter()
            .map(|(range, patched)| (Some((*range).to_owned()), Some((*patched).to_owned())))
            .map(VulnerableParts::from);
        Advisory::new(AdvisoryParts {
            id: "GHSA-aaaa-bbbb-cccc".to_owned(),
            vulnerable: vulnerable.collect(),
            ..Default::default()
        })
        .unwrap()
    }

    fn sign(affected: &Affected) -> char {
        match affected {
            Affected::Listed(_) => '+',
            Affected::NotListed => '-',
            Affected::CannotDecide(_) => '?',
        }
    }

    #[test]
    fn ranges_without_lower_bound_do_not_condemn_a_version_that_is_named_as_repaired() {
        let ccpr = advisory(&[
            ("< 4.3.19", "4.3.19"),
            ("< 4.4.13", "4.4.13"),
            ("< 4.5.6", "4.5.6"),
        ]);
        for (installed, wanted) in [
            ("4.3.18", '+'),
            ("4.3.19", '?'),
            ("4.4.12", '+'),
            ("4.4.13", '?'),
            ("4.5.6", '-'),
            ("4.2.29", '+'),
        ] {
            assert_eq!(
                sign(&ccpr.affects(&version(installed))),
                wanted,
                "{installed}"
            );
        }
    }

    #[test]
    fn a_range_that_makes_no_sense_is_outweighed_only_by_a_repaired_version_of_the_same_line() {
        let gwhw = advisory(&[
            ("< 4.2.28", "4.2.28"),
            (">= 4.4.0-beta.1, < 4.4.10", "4.4.10"),
            (">= 4.5.0-beta.1, < 4.2.28", "4.5.3"),
        ]);
        for (installed, wanted) in [
            ("4.2.27", '+'),
            ("4.4.12", '-'),
            ("4.5.2", '?'),
            ("4.5.3", '-'),
            ("4.3.20", '?'),
            ("4.6.0", '?'),
        ] {
            assert_eq!(
                sign(&gwhw.affects(&version(installed))),
                wanted,
                "{installed}"
            );
        }
    }

    #[test]
    fn an_advisory_without_ranges_or_grade_is_taken_seriously() {
        let bare = advisory(&[]);
        assert_eq!(
            (bare.severity, bare.severity_missing),
            (Severity::High, true)
        );
        assert_eq!(sign(&bare.affects(&version("4.5.8"))), '?');
        let withdrawn = Advisory {
            withdrawn: true,
            ..bare
        };
        assert_eq!(withdrawn.affects(&version("4.5.8")), Affected::NotListed);
        for (text, severity, missing) in [
            ("moderate", Severity::Medium, false),
            ("weird", Severity::High, true),
        ] {
            let parts = AdvisoryParts {
                id: "ghsa-AAAA-bbbb-cccc".to_owned(),
                severity: Some(text.to_owned()),
                ..Default::default()
            };
            let advisory = Advisory::new(parts).unwrap();
            assert_eq!(
                (advisory.severity, advisory.severity_missing),
                (severity, missing)
            );
            assert_eq!(advisory.id, "GHSA-aaaa-bbbb-cccc");
        }
        let parts = AdvisoryParts {
            id: "x GHSA-aaaa-bbbb-cccc".to_owned(),
            ..Default::default()
        };
        assert!(Advisory::new(parts).is_err());
    }

    #[test]
    fn a_later_repair_of_the_line_forbids_an_all_clear_unless_the_range_begins_later() {
        let early_end = advisory(&[(">= 4.5.0, < 4.5.6", "4.5.8"), ("< 4.2.28", "4.3.4")]);
        for (installed, wanted) in [
            ("4.5.5", '+'),
            ("4.5.6", '?'),
            ("4.5.7", '?'),
            ("4.5.8", '-'),
            ("4.3.3", '?'),
            ("4.3.4", '-'),
            ("4.4.0", '-'),
        ] {
            assert_eq!(
                sign(&early_end.affects(&version(installed))),
                wanted,
                "{installed}"
            );
        }
        let late_begin = advisory(&[(">= 4.5.3, < 4.5.8", "4.5.8")]);
        for (installed, wanted) in [("4.5.2", '-'), ("4.5.3", '+'), ("4.5.8", '-')] {
            assert_eq!(
                sign(&late_begin.affects(&version(installed))),
                wanted,
                "{installed}"
            );
        }
        let in_two_parts = advisory(&[("nonsense", "4.5.3, 4.5.5")]);
        for (installed, wanted) in [("4.5.3", '?'), ("4.5.4", '?'), ("4.5.5", '-')] {
            assert_eq!(
                sign(&in_two_parts.affects(&version(installed))),
                wanted,
                "{installed}"
            );
        }
    }

    #[test]
    fn a_line_that_is_not_named_is_told_from_one_that_is_named_and_outside() {
        let q4g8 = advisory(&[
            (">= 4.5.0, < 4.5.8", "4.5.8"),
            (">= 4.4.0, < 4.4.15", "4.4.15"),
        ]);
        assert_eq!(q4g8.affects(&version("4.3.20")), Affected::NotListed);
        for (line, named) in [
            ("4.3.0", false),
            ("4.4.0", true),
            ("4.5.0", true),
            ("4.6.0", false),
        ] {
            assert_eq!(q4g8.names_line(version(line).line()), named, "{line}");
        }
        let unread = advisory(&[("nonsense", "4.3.21 once search is off")]);
        assert!(unread.names_line(version("4.3.0").line()));
    }

    #[test]
    fn word_and_score_are_weighed_and_the_worse_counts() {
        let graded = |word: Option<&str>, scores: &[(&str, &str)]| {
            let some = |text: &str| Some(text.to_owned());
            Advisory::new(AdvisoryParts {
                id: "GHSA-aaaa-bbbb-cccc".to_owned(),
                severity: word.map(ToOwned::to_owned),
                cvss: scores
                    .iter()
                    .map(|(vector, score)| CvssParts {
                        vector: some(vector),
                        score: some(score),
                    })
                    .collect(),
                ..Default::default()
            })
            .unwrap()
        };
        let v3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H";
        for (advisory, severity, missing, why) in [
            (
                graded(Some("low"), &[]),
                Severity::Low,
                false,
                "the publisher says low",
            ),
            (
                graded(Some("high"), &[(v3, "7.5")]),
                Severity::High,
                false,
                "the publisher says high, and CVSS 3.1 gives 7.5",
            ),
            (
                graded(Some("low"), &[(v3, "")]),
                Severity::High,
                false,
                "the publisher says low, but CVSS 3.1 vector gives 7.5, which is high; the worse counts",
            ),
            (
                graded(Some("critical"), &[(v3, "7.5")]),
                Severity::Critical,
                false,
                "the publisher says critical, but CVSS 3.1 gives 7.5, which is high; the worse counts",
            ),
            (
                graded(None, &[(v3, "5.3"), ("CVSS:4.0/AV:N/E:U", "6.9")]),
                Severity::Medium,
                false,
                "the publisher gives no grade; CVSS 4.0 gives 6.9, which is medium",
            ),
            (
                graded(None, &[("", "0.0")]),
                Severity::High,
                true,
                "the publisher gives no grade, so it is taken as high",
            ),
            (
                graded(Some("weird"), &[]),
                Severity::High,
                true,
                "the publisher's grade `weird` is not known, so it is taken as high",
            ),
        ] {
            assert_eq!(
                (advisory.severity, advisory.severity_missing),
                (severity, missing)
            );
            assert_eq!(advisory.why_severity(), why);
        }
    }

    #[test]
    fn every_id_is_its_name_and_attacks_are_told_with_their_source() {
        let advisory = Advisory::new(AdvisoryParts {
            id: "GHSA-aaaa-bbbb-cccc".to_owned(),
            aliases: ["cve-2026-2000", "GHSA-AAAA-bbbb-cccc", "CVE-2026-1000", "?"]
                .map(ToOwned::to_owned)
                .to_vec(),
            description: Some(
                "### Summary\n\nSpam gets through. More.\n\nThis is actively exploited.".to_owned(),
            ),
            ..Default::default()
        })
        .unwrap();
        assert_eq!(advisory.cve.as_deref(), Some("CVE-2026-1000"));
        assert_eq!(advisory.aliases.len(), 2);
        for id in ["CVE-2026-2000", "cve-2026-1000", "ghsa-aaaa-BBBB-cccc"] {
            assert!(advisory.is_called(id), "{id}");
        }
        assert!(!advisory.is_called("CVE-2026-3000") && !advisory.is_called(""));
        assert_eq!(advisory.about.as_deref(), Some("Spam gets through."));
        assert_eq!(advisory.exploited, Exploitation::Reported);
        assert_eq!(
            advisory.exploited_because.as_deref(),
            Some("This is actively exploited.")
        );
    }

    #[test]
    fn an_advisory_about_other_products_only_leaves_mastodon_open() {
        let library = VulnerableParts {
            ecosystem: Some("rubygems".to_owned()),
            package: Some("nokogiri".to_owned()),
            range: Some("< 1.16.2".to_owned()),
            patched: None,
        };
        let mut parts = AdvisoryParts {
            id: "GHSA-aaaa-bbbb-cccc".to_owned(),
            vulnerable: vec![library],
            ..Default::default()
        };
        let only = Advisory::new(parts.clone()).unwrap();
        assert_eq!(only.other_products, ["rubygems nokogiri < 1.16.2"]);
        assert_eq!(sign(&only.affects(&version("4.5.8"))), '?');
        parts
            .vulnerable
            .push((Some("< 4.5.8".to_owned()), None).into());
        let both = Advisory::new(parts).unwrap();
        assert_eq!(sign(&both.affects(&version("4.5.7"))), '+');
        assert_eq!(sign(&both.affects(&version("4.5.8"))), '-');
    }

    #[test]
    fn an_advisory_survives_being_stored() {
        let advisory = advisory(&[("= 4.5.0-beta1", "4.5.0-beta.2, weird"), ("nonsense", "")]);
        let json = serde_json::to_string(&advisory).unwrap();
        assert_eq!(serde_json::from_str::<Advisory>(&json).unwrap(), advisory);
        // As the first version of this program stored it.
        let old = r#"{"id":"GHSA-aaaa-bbbb-cccc","cve":"CVE-2026-1000","severity":"high","severity_missing":false,
            "summary":"","url":null,"published_at":null,"updated_at":null,"withdrawn":false,
            "vulnerable":[{"range":"< 4.5.8","patched":["4.5.8"]}]}"#;
        let old: Advisory = serde_json::from_str(old).unwrap();
        assert_eq!(sign(&old.affects(&version("4.5.7"))), '+');
        assert!(old.is_called("cve-2026-1000"));
        assert_eq!(old.why_severity(), "the publisher says high");
    }
}
