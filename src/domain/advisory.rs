//! Security advisories, and whether one lists a version as affected.
//!
//! Published ranges are written by hand and some are empty, inverted or name no version. The answer is therefore
//! three-valued, and the best it can say is "not listed", never "safe".

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::release::advisory_ids;
use crate::domain::version::ReleaseVersion;

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

/// A range of versions as advisories write it: comparisons joined by commas, all of which must hold.
///
/// The text is always kept. A text that does not make sense becomes a range about which nothing can be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct VersionRange {
    text: String,
    bounds: Result<Vec<Bound>, Undecidable>,
}

/// Why a range does not say which versions it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecidable {
    /// There is no range.
    #[error("it gives no range of versions")]
    Missing,
    /// One of the parts is not a comparison with a version.
    #[error("its range `{range}` holds `{part}`, which is not a bound")]
    NotABound {
        /// The whole range.
        range: String,
        /// The part.
        part: String,
    },
    /// No version can be in it.
    #[error("its range `{0}` is empty as written")]
    Empty(String),
    /// The lower bound is above the upper one.
    #[error("its range `{0}` is inverted")]
    Inverted(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    version: ReleaseVersion,
    /// The bound had only two numbers.
    partial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl VersionRange {
    /// Reads a range; never fails, see [`VersionRange::contains`].
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            bounds: Self::read(text),
        }
    }

    /// The range as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the range holds `version`, by precedence and not by the rules of package managers: `< 4.3.0` holds
    /// `4.3.0-rc.1`.
    pub fn contains(&self, version: &ReleaseVersion) -> Affected {
        let bounds = match &self.bounds {
            Ok(bounds) => bounds,
            Err(undecidable) => return Affected::CannotDecide(undecidable.to_string()),
        };
        let mut doubtful = false;
        for bound in bounds {
            match bound.holds(version) {
                Some(true) => {}
                Some(false) => return Affected::NotListed,
                None => doubtful = true,
            }
        }
        if doubtful {
            Affected::CannotDecide(format!(
                "it is not clear whether its range `{}` covers {version}",
                self.text
            ))
        } else {
            Affected::Listed(self.text.clone())
        }
    }

    fn read(text: &str) -> Result<Vec<Bound>, Undecidable> {
        if text.trim().is_empty() {
            return Err(Undecidable::Missing);
        }
        let bounds = text
            .split(',')
            .map(|part| {
                let not_a_bound = || Undecidable::NotABound {
                    range: text.to_owned(),
                    part: part.trim().to_owned(),
                };
                Bound::read(part.trim()).ok_or_else(not_a_bound)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let lower = bounds
            .iter()
            .filter(|bound| bound.is_lower())
            .max_by(|a, b| a.version.cmp_precedence(&b.version));
        let upper = bounds
            .iter()
            .filter(|bound| bound.is_upper())
            .min_by(|a, b| a.version.cmp_precedence(&b.version));
        if let (Some(lower), Some(upper)) = (lower, upper) {
            match lower.version.cmp_precedence(&upper.version) {
                Ordering::Greater => return Err(Undecidable::Inverted(text.to_owned())),
                Ordering::Equal if !bounds.iter().all(|bound| bound.admits(&lower.version)) => {
                    return Err(Undecidable::Empty(text.to_owned()));
                }
                Ordering::Equal | Ordering::Less => {}
            }
        }
        Ok(bounds)
    }
}

impl Bound {
    fn read(part: &str) -> Option<Self> {
        let (operator, rest) = [
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("==", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("=", Operator::Equal),
        ]
        .into_iter()
        .find_map(|(sign, operator)| part.strip_prefix(sign).map(|rest| (operator, rest)))?;
        let (version, partial) = ReleaseVersion::parse_partial(rest.trim()).ok()?;
        Some(Self {
            operator,
            version,
            partial,
        })
    }

    const fn is_lower(&self) -> bool {
        matches!(
            self.operator,
            Operator::Equal | Operator::GreaterOrEqual | Operator::Greater
        )
    }

    const fn is_upper(&self) -> bool {
        matches!(
            self.operator,
            Operator::Equal | Operator::LessOrEqual | Operator::Less
        )
    }

    fn admits(&self, version: &ReleaseVersion) -> bool {
        let order = version.cmp_precedence(&self.version);
        match self.operator {
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Greater => order == Ordering::Greater,
        }
    }

    /// `None` where the bound's author may have meant either.
    fn holds(&self, version: &ReleaseVersion) -> Option<bool> {
        let admitted = self.admits(version);
        // "<= 4.2" may mean 4.2.0 or the whole line; the same for "= 4.2" and "> 4.2".
        let whole_line = matches!(
            self.operator,
            Operator::LessOrEqual | Operator::Equal | Operator::Greater
        );
        if self.partial
            && whole_line
            && version.line() == self.version.line()
            && version.cmp_precedence(&self.version).is_ne()
        {
            return None;
        }
        // Who writes ">= 4.4.0" seldom thinks of 4.4.0-rc.1, which holds nearly the same code.
        let candidate = version.is_pre_release() && !self.version.is_pre_release();
        if !admitted && self.is_lower() && candidate && self.admits(&version.without_pre_release())
        {
            return None;
        }
        Some(admitted)
    }
}

impl From<String> for VersionRange {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<VersionRange> for String {
    fn from(range: VersionRange) -> Self {
        range.text
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
    fn odd_ranges_get_the_answer_they_allow() {
        for (range, installed, wanted) in [
            (">= 1.3", "1.3.0", '+'),
            (">= 1.3", "1.2.2", '-'),
            (">= 1.3, < 3.5.9", "3.5.8", '+'),
            (">= 4.2.0-beta1, < 4.2.0-rc2", "4.2.0-rc1", '+'),
            (">= 4.2.0-beta1, < 4.2.0-rc2", "4.2.0-rc2", '-'),
            (">= 4.2.0-beta1, < 4.2.0-rc2", "4.2.0", '-'),
            (">= 4.2.6, < 4.2.6", "4.2.5", '?'),
            (">= 4.5.0-beta.1, < 4.2.28", "4.5.1", '?'),
            (">= 4.5.0-beta.1, < 4.2.28", "4.1.0", '?'),
            ("= 4.5.0-beta.1", "4.5.0-beta.1", '+'),
            ("= 4.5.0-beta.1", "4.5.0-beta.2", '-'),
            ("< 4.3.0", "4.3.0-rc.1", '+'),
            ("< 4.3.0", "4.3.0", '-'),
            (">= 4.3.0, < 4.3.4", "4.3.0-rc.1", '?'),
            (">= 4.3.0, < 4.3.4", "4.2.9", '-'),
            (">= 2.6.0, < 4.1.18", "4.0.15", '+'),
            ("<= 4.2", "4.2.0", '+'),
            ("<= 4.2", "4.2.9", '?'),
            ("<= 4.2", "4.3.0", '-'),
            ("> 4.2", "4.2.1", '?'),
            ("> 4.2.0", "4.2.1", '+'),
            ("<4.5.8", "4.5.7+glitch", '+'),
            ("< nightly.2026-03-10", "4.5.7", '?'),
            ("4.5.7", "4.5.7", '?'),
            ("*", "4.5.7", '?'),
            ("< 4.5.8,", "4.5.7", '?'),
            (">= 4.0 < 4.5", "4.2.0", '?'),
            ("", "4.5.7", '?'),
            ("= 4.2.1, = 4.2.1", "4.2.1", '+'),
            ("> 4.2.1, <= 4.2.1", "4.2.1", '?'),
        ] {
            let answer = VersionRange::new(range).contains(&version(installed));
            assert_eq!(sign(&answer), wanted, "{range} / {installed}: {answer:?}");
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
