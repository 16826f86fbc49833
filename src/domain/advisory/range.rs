//! Ranges of versions as advisories write them, and what they hold.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::domain::advisory::Affected;
use crate::domain::version::ReleaseVersion;

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
}
