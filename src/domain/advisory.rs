//! Security advisories, and whether one lists a version as affected.
//!
//! Published ranges are written by hand and some are empty, inverted or name no version. The answer is therefore
//! three-valued, and the best it can say is "not listed", never "safe".

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::release::advisory_ids;
use crate::domain::version::ReleaseVersion;

mod range;

pub use range::{Undecidable, VersionRange};

/// One published advisory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisory {
    /// The `GHSA-…` id.
    pub id: String,
    /// The `CVE-…` id, which is often given later.
    pub cve: Option<String>,
    /// How bad it is; [`Severity::High`] where the publisher does not (yet) say.
    pub severity: Severity,
    /// Whether the publisher did not say, or said something unknown.
    pub severity_missing: bool,
    /// One line about it.
    pub summary: String,
    /// Where a person can read about it.
    pub url: Option<String>,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Option<Timestamp>,
    /// Whether the publisher took it back.
    pub withdrawn: bool,
    /// What it lists as affected, and the versions that repair it.
    pub vulnerable: Vec<Vulnerable>,
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

/// One range of versions that an advisory lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vulnerable {
    /// The affected versions.
    pub range: VersionRange,
    /// The versions named as repaired, as far as they can be read.
    pub patched: Vec<ReleaseVersion>,
}

/// The plain parts of an advisory, before anything is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdvisoryParts {
    /// The `GHSA-…` id.
    pub id: String,
    /// The `CVE-…` id.
    pub cve: Option<String>,
    /// The severity as written.
    pub severity: Option<String>,
    /// One line about it.
    pub summary: Option<String>,
    /// The page of the advisory.
    pub url: Option<String>,
    /// The publication date.
    pub published_at: Option<Timestamp>,
    /// The date of the last change.
    pub updated_at: Option<Timestamp>,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
    /// Pairs of an affected range and the patched versions, as written.
    pub vulnerable: Vec<(Option<String>, Option<String>)>,
}

/// The publisher's grade, least first.
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
        let severity = parts.severity.as_deref().and_then(Severity::read);
        let vulnerable = parts.vulnerable.iter().map(|(range, patched)| Vulnerable {
            range: VersionRange::new(range.as_deref().unwrap_or_default()),
            patched: patched
                .iter()
                .flat_map(|text| text.split(','))
                .filter_map(|text| text.trim().parse().ok())
                .collect(),
        });
        Ok(Self {
            id,
            severity: severity.unwrap_or(Severity::High),
            severity_missing: severity.is_none(),
            summary: parts.summary.unwrap_or_default(),
            url: parts.url,
            published_at: parts.published_at,
            updated_at: parts.updated_at,
            withdrawn: parts.withdrawn,
            vulnerable: vulnerable.collect(),
            first_seen: None,
            gone_since: None,
            graded_before: None,
            cve: parts.cve.filter(|cve| !cve.is_empty()),
        })
    }

    /// Whether this advisory lists `version`. Build metadata has no say; a withdrawn advisory lists nothing.
    pub fn affects(&self, version: &ReleaseVersion) -> Affected {
        if self.withdrawn {
            return Affected::NotListed;
        }
        if self.vulnerable.is_empty() {
            return Affected::CannotDecide("it names no affected versions".to_owned());
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
            (Some(_), Some(_)) | (None, _) => Affected::NotListed,
        }
    }

    /// The newest version in `version`'s own line that is named as repaired and is not newer than `version`.
    pub fn repaired_at(&self, version: &ReleaseVersion) -> Option<&ReleaseVersion> {
        self.patched()
            .filter(|fix| fix.line() == version.line() && !version.precedes(fix))
            .max()
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

    /// STUB
    pub fn is_exploited(&self) -> bool {
        let _ = self;
        false
    }

    /// Every id it has.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.cve.as_deref())
    }

    /// Whether `id` is this advisory's GHSA or CVE id.
    pub fn is_called(&self, id: &str) -> bool {
        self.id == id || self.cve.as_deref() == Some(id)
    }
}

impl Severity {
    fn read(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ReleaseVersion {
        text.parse().unwrap()
    }

    fn advisory(vulnerable: &[(&str, &str)]) -> Advisory {
        let vulnerable = vulnerable
            .iter()
            .map(|(range, patched)| (Some((*range).to_owned()), Some((*patched).to_owned())));
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
    fn an_advisory_survives_being_stored() {
        let advisory = advisory(&[("= 4.5.0-beta1", "4.5.0-beta.2, weird"), ("nonsense", "")]);
        let json = serde_json::to_string(&advisory).unwrap();
        assert_eq!(serde_json::from_str::<Advisory>(&json).unwrap(), advisory);
    }
}
