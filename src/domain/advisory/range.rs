//! Ranges of versions as advisories write them, and what they hold.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::advisory::Affected;
use crate::domain::version::{ReleaseLine, ReleaseVersion};

mod read;

pub(super) use read::lines_in;

/// A range of versions as advisories write it.
///
/// Read are comparisons joined by commas, blanks or "and" (all must hold), alternatives joined by `||` or "or" (one must
/// hold), lists (`4.2.1, 4.2.3`), lines (`4.2.x`), spans (`4.2.0 - 4.2.8`), `~>` and `^`, and the usual words ("prior to
/// 4.3.2", "4.3.1 and earlier"). The text is always kept. One word that is not understood, and nothing is decided by that
/// alternative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub struct VersionRange {
    text: String,
    /// One of them must hold; never empty.
    alternatives: Vec<Result<Set, Undecidable>>,
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
    /// Comparisons and single versions stand side by side, so it is not clear whether all or one of them must hold.
    #[error("its range `{0}` mixes bounds with single versions")]
    Mixed(String),
    /// No version can be in it.
    #[error("its range `{0}` is empty as written")]
    Empty(String),
    /// The lower bound is above the upper one.
    #[error("its range `{0}` is inverted")]
    Inverted(String),
}

/// One alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Set {
    /// What all comparisons hold.
    Within(Vec<Bound>),
    /// What one of them holds.
    AnyOf(Vec<Item>),
}

/// Something that names versions by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    /// `*`
    Everything,
    /// `= 4.5.0`
    Exactly(Bound),
    /// `4.5.0`, which may mean this one, all up to it, or all before it.
    Bare(Bound),
    /// `4.2.0 - 4.2.8`, "4.2.x before 4.2.8"
    Between(Vec<Bound>),
    /// `4.2.x`, `4.x`, and with a lower bound `~> 4.2.1`, `^4.2`.
    Series {
        lower: Option<Bound>,
        of: ReleaseVersion,
        reach: Reach,
    },
}

/// How far a series goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the end of the line.
    Line,
    /// To the end of the line or of the major version: two families of tools read `~> 4.2` differently.
    LineOrMajor,
    /// To the end of the major version.
    Major,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    version: ReleaseVersion,
    precision: Precision,
}

/// How many numbers a version had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Full,
    /// Two: `4.2`.
    Line,
    /// One: `4`.
    Major,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    /// "up to 4.3.2", which does not say whether 4.3.2 itself is meant.
    UpTo,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl VersionRange {
    /// Reads a range; never fails, see [`VersionRange::contains`].
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            alternatives: read::alternatives(text),
        }
    }

    /// The range as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the range holds `version`, by precedence and not by the rules of package managers: `< 4.3.0` holds
    /// `4.3.0-rc.1`.
    pub fn contains(&self, version: &ReleaseVersion) -> Affected {
        let mut doubt = None;
        for alternative in &self.alternatives {
            match alternative {
                Ok(set) => match set.holds(version) {
                    Some(true) => return Affected::Listed(self.text.clone()),
                    Some(false) => {}
                    None => doubt = doubt.or(Some(None)),
                },
                Err(undecidable) => doubt = doubt.or(Some(Some(undecidable))),
            }
        }
        match doubt {
            None => Affected::NotListed,
            Some(Some(undecidable)) => Affected::CannotDecide(undecidable.to_string()),
            Some(None) => Affected::CannotDecide(format!(
                "it is not clear whether its range `{}` covers {version}",
                self.text
            )),
        }
    }

    /// Whether the range's text mentions a version of the same line that is newer than this one, readable or not.
    pub fn mentions_newer(&self, than: &ReleaseVersion) -> bool {
        let words = self
            .text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'));
        words
            .filter_map(|word| ReleaseVersion::parse_partial(word.trim_matches(['.', '-'])).ok())
            .any(|(version, _)| version.line() == than.line() && than.precedes(&version))
    }

    /// Whether the range says anything about a line: names a version of it, readable or not, or covers its beginning.
    pub fn names_line(&self, line: ReleaseLine) -> bool {
        lines_in(&self.text).any(|named| named == line)
            || self.alternatives.iter().flatten().any(|set| {
                let first = format!("{line}.0").parse::<ReleaseVersion>();
                first.is_ok_and(|first| set.holds(&first) == Some(true))
            })
    }

    /// Whether the range begins in `version`'s own line, later than `version`: then it leaves it out on purpose.
    pub(super) fn begins_after(&self, version: &ReleaseVersion) -> bool {
        let begins = |bound: &Bound| {
            bound.is_lower()
                && bound.version.line() == version.line()
                && bound.holds(version) == Some(false)
                && version.precedes(&bound.version)
        };
        self.alternatives.iter().flatten().any(|set| match set {
            Set::Within(bounds) => bounds.iter().any(begins),
            Set::AnyOf(items) => items.iter().any(|item| match item {
                Item::Exactly(bound) => begins(bound),
                Item::Between(bounds) => bounds.iter().any(begins),
                Item::Series { lower, .. } => lower.as_ref().is_some_and(begins),
                Item::Everything | Item::Bare(_) => false,
            }),
        })
    }
}

impl Set {
    /// `None` where the author may have meant either.
    fn holds(&self, version: &ReleaseVersion) -> Option<bool> {
        match self {
            Self::Within(bounds) => within(bounds, version),
            Self::AnyOf(items) => any_of(items.iter().map(|item| item.holds(version))),
        }
    }
}

/// What all bounds hold is held. Two bounds of the same kind that disagree (`< 4.2.5, < 4.3.2`) were perhaps meant as a
/// list, so what only one of them holds is open.
fn within(bounds: &[Bound], version: &ReleaseVersion) -> Option<bool> {
    let side = |wanted: fn(&Bound) -> bool| {
        let mut all = Some(true);
        let mut one = None;
        for bound in bounds.iter().filter(|bound| wanted(bound)) {
            let held = bound.holds(version);
            all = if held == Some(true) { all } else { held };
            one = Some(one == Some(true) || held != Some(false));
        }
        match (all, one) {
            (_, Some(false)) => Some(false),
            (Some(true), _) => Some(true),
            (Some(false) | None, _) => None,
        }
    };
    match (side(Bound::is_lower), side(Bound::is_upper)) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        (Some(true) | None, _) => None,
    }
}

fn any_of(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut found = Some(false);
    for answer in answers {
        match answer {
            Some(true) => return answer,
            Some(false) => {}
            None => found = None,
        }
    }
    found
}

impl Item {
    fn holds(&self, version: &ReleaseVersion) -> Option<bool> {
        match self {
            Self::Everything => Some(true),
            Self::Exactly(bound) => bound.holds(version),
            Self::Between(bounds) => within(bounds, version),
            Self::Bare(bound) => bound.holds(version).filter(|held| *held),
            Self::Series { lower, of, reach } => {
                let lower = lower
                    .as_ref()
                    .map_or(Some(true), |bound| bound.holds(version));
                let same_line = version.line() == of.line();
                let same_major = version.line().major == of.line().major;
                match (reach, same_line, same_major) {
                    (Reach::Line | Reach::LineOrMajor, true, _) | (Reach::Major, _, true) => lower,
                    (Reach::LineOrMajor, false, true) => lower.filter(|held| !held),
                    (Reach::Line, false, _) | (Reach::LineOrMajor | Reach::Major, _, false) => {
                        Some(false)
                    }
                }
            }
        }
    }
}

impl Bound {
    const fn is_lower(&self) -> bool {
        matches!(
            self.operator,
            Operator::Equal | Operator::GreaterOrEqual | Operator::Greater
        )
    }

    const fn is_upper(&self) -> bool {
        matches!(
            self.operator,
            Operator::Equal | Operator::LessOrEqual | Operator::Less | Operator::UpTo
        )
    }

    fn admits(&self, version: &ReleaseVersion) -> bool {
        let order = version.cmp_precedence(&self.version);
        match self.operator {
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual | Operator::UpTo => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Greater => order == Ordering::Greater,
        }
    }

    /// `None` where the bound's author may have meant either.
    fn holds(&self, version: &ReleaseVersion) -> Option<bool> {
        let admitted = self.admits(version);
        let order = version.cmp_precedence(&self.version);
        // "<= 4.2" may mean 4.2.0 or the whole line; the same for "= 4.2" and "> 4.2".
        let whole_line = matches!(
            self.operator,
            Operator::LessOrEqual | Operator::UpTo | Operator::Equal | Operator::Greater
        );
        let covered = match self.precision {
            Precision::Full => false,
            Precision::Line => version.line() == self.version.line(),
            Precision::Major => version.line().major == self.version.line().major,
        };
        if whole_line && covered && order.is_ne() {
            return None;
        }
        if self.operator == Operator::UpTo && order.is_eq() {
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
mod tests;
