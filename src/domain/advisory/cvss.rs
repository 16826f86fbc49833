//! Scores of the Common Vulnerability Scoring System, versions 3.0, 3.1 and 4.0.
//!
//! The publisher's score is taken as given. Where there is only a vector of version 3, the score is computed from it;
//! version 4 has no formula that would be worth repeating here, so a vector of it without a score gives none.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::advisory::{Exploitation, Severity};

/// Real vectors have less than 200 letters, with every metric set.
const LONGEST_VECTOR: usize = 400;

/// One scoring of an advisory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cvss {
    /// The version of the system, by the vector's own word.
    pub version: CvssVersion,
    /// The vector as written; empty where there is none.
    pub vector: String,
    /// The score; none where it is missing, zero or no score.
    pub score: Option<Score>,
    /// Whether the score was computed here, since the publisher gave only the vector.
    pub computed: bool,
}

/// The plain parts of a scoring, before anything is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CvssParts {
    /// The vector.
    pub vector: Option<String>,
    /// The score, as a decimal number in text.
    pub score: Option<String>,
}

/// The version of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CvssVersion {
    /// 3.0
    #[serde(rename = "3.0")]
    V3_0,
    /// 3.1
    #[serde(rename = "3.1")]
    V3_1,
    /// 4.0
    #[serde(rename = "4.0")]
    V4_0,
    /// Another one, or none named.
    #[serde(rename = "unknown")]
    Unknown,
}

/// A score from 0.1 to 10.0, kept in tenths.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct Score(u8);

/// Why a number is not a score in tenths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} tenths is not a score between 0.1 and 10.0")]
pub struct NotAScore(u8);

impl Cvss {
    /// Reads one scoring; `None` if it holds neither a vector nor a score.
    pub fn new(parts: &CvssParts) -> Option<Self> {
        let vector: String = parts
            .vector
            .as_deref()
            .unwrap_or_default()
            .trim()
            .to_owned();
        let given = parts.score.as_deref().and_then(Score::read);
        if given.is_none() && vector.is_empty() {
            return None;
        }
        let mut cvss = Self {
            version: CvssVersion::of(&vector),
            vector: vector.chars().take(LONGEST_VECTOR).collect(),
            score: given,
            computed: false,
        };
        if given.is_none() {
            cvss.score = cvss.base_score();
            cvss.computed = cvss.score.is_some();
        }
        Some(cvss)
    }

    /// All scorings among the parts. The same vector is often given twice, once without a score; then the score counts.
    pub fn all(parts: &[CvssParts]) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut read: Vec<Self> = parts.iter().filter_map(Self::new).collect();
        read.sort_by_key(|cvss| cvss.computed || cvss.score.is_none());
        for cvss in read {
            let said = found.iter().any(|known| {
                known.vector == cvss.vector
                    && (cvss.computed || cvss.score.is_none() || known.score == cvss.score)
            });
            if !said {
                found.push(cvss);
            }
        }
        found
    }

    /// The value of a metric, `N` for `AV` in `CVSS:3.1/AV:N/AC:L`. The order is free; unknown metrics are there, too.
    pub fn metric(&self, name: &str) -> Option<&str> {
        self.vector.split('/').find_map(|metric| {
            let (key, value) = metric.split_once(':')?;
            let same = key.trim().eq_ignore_ascii_case(name);
            same.then(|| value.trim())
        })
    }

    /// What the vector says about attacks. Version 3 knows only how ready the means are; its worst grade, which covers
    /// worms, became "attacked" in version 4 and is taken as that.
    pub fn exploitation(&self) -> Exploitation {
        let maturity = self.metric("E").unwrap_or_default().to_ascii_uppercase();
        match (self.version, maturity.as_str()) {
            (CvssVersion::V4_0, "A") | (CvssVersion::V3_0 | CvssVersion::V3_1, "H") => {
                Exploitation::Reported
            }
            (CvssVersion::V4_0, "P") | (CvssVersion::V3_0 | CvssVersion::V3_1, "F" | "P") => {
                Exploitation::ProofOfConcept
            }
            _ => Exploitation::NotKnown,
        }
    }

    /// The base score by the formula of version 3, which is the same in 3.0 and 3.1.
    fn base_score(&self) -> Option<Score> {
        if !matches!(self.version, CvssVersion::V3_0 | CvssVersion::V3_1) {
            return None;
        }
        let weight = |name: &str, weights: &[(&str, f64)]| {
            let value = self.metric(name)?;
            let same = |(letter, _): &&(&str, f64)| letter.eq_ignore_ascii_case(value);
            weights.iter().find(same).map(|(_, weight)| *weight)
        };
        let changed = match self.metric("S")? {
            "C" | "c" => true,
            "U" | "u" => false,
            _ => return None,
        };
        let vector = weight("AV", &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)])?;
        let complexity = weight("AC", &[("L", 0.77), ("H", 0.44)])?;
        let privileges = if changed {
            weight("PR", &[("N", 0.85), ("L", 0.68), ("H", 0.5)])?
        } else {
            weight("PR", &[("N", 0.85), ("L", 0.62), ("H", 0.27)])?
        };
        let interaction = weight("UI", &[("N", 0.85), ("R", 0.62)])?;
        let harm = |name| weight(name, &[("H", 0.56), ("L", 0.22), ("N", 0.0)]);
        let untouched = (1.0 - harm("C")?) * (1.0 - harm("I")?) * (1.0 - harm("A")?);
        let sub_score = 1.0 - untouched;
        let impact = if changed {
            7.52 * (sub_score - 0.029) - 3.25 * (sub_score - 0.02).powi(15)
        } else {
            6.42 * sub_score
        };
        if impact <= 0.0 {
            return None;
        }
        let exploitability = 8.22 * vector * complexity * privileges * interaction;
        let sum = (impact + exploitability) * if changed { 1.08 } else { 1.0 };
        Score::at_least(sum.min(10.0))
    }
}

impl CvssVersion {
    fn of(vector: &str) -> Self {
        let vector = vector.to_ascii_uppercase();
        if vector.starts_with("CVSS:3.0/") {
            Self::V3_0
        } else if vector.starts_with("CVSS:3.1/") {
            Self::V3_1
        } else if vector.starts_with("CVSS:4.0/") {
            Self::V4_0
        } else {
            Self::Unknown
        }
    }
}

impl Score {
    /// In tenths: 75 is 7.5.
    pub const fn tenths(self) -> u8 {
        self.0
    }

    /// The grade by the standard's table. The grade "none" belongs to 0.0, which is no score here.
    pub const fn grade(self) -> Severity {
        match self.0 {
            0..=39 => Severity::Low,
            40..=69 => Severity::Medium,
            70..=89 => Severity::High,
            _ => Severity::Critical,
        }
    }

    /// Reads `7.5`, `10`, `7.49`; `None` for anything that is not above 0 and at most 10.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return None;
        }
        let mut part = part.chars().filter_map(|c| c.to_digit(10));
        let tenth = part.next()?;
        // Publishers give one digit; a second one comes from somebody's arithmetic, and is rounded.
        let up = u32::from(part.next().is_some_and(|digit| digit >= 5));
        let tenths = whole.parse::<u32>().ok()?.checked_mul(10)?;
        let tenths = tenths.checked_add(tenth)?.checked_add(up)?;
        u8::try_from(tenths).ok()?.try_into().ok()
    }

    /// The smallest score that is not below a number; the tolerance is the standard's own.
    fn at_least(number: f64) -> Option<Self> {
        (1..=100)
            .find(|tenths| f64::from(*tenths) >= number * 10.0 - 0.000_05)
            .map(Self)
    }
}

impl TryFrom<u8> for Score {
    type Error = NotAScore;

    fn try_from(tenths: u8) -> Result<Self, NotAScore> {
        if (1..=100).contains(&tenths) {
            Ok(Self(tenths))
        } else {
            Err(NotAScore(tenths))
        }
    }
}

impl From<Score> for u8 {
    fn from(score: Score) -> Self {
        score.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl fmt::Display for CvssVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3_0 => "CVSS 3.0",
            Self::V3_1 => "CVSS 3.1",
            Self::V4_0 => "CVSS 4.0",
            Self::Unknown => "CVSS",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(vector: &str, score: &str) -> CvssParts {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        CvssParts {
            vector: some(vector),
            score: some(score),
        }
    }

    fn cvss(vector: &str, score: &str) -> Cvss {
        Cvss::new(&parts(vector, score)).unwrap()
    }

    #[test]
    fn the_score_of_a_vector_of_version_3_is_that_of_the_standards_examples() {
        for (vector, wanted) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "9.8"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "10.0"),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", "9.9"),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", "6.1"),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:L/A:L", "4.8"),
            ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", "6.4"),
            ("CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", "3.1"),
            ("CVSS:3.0/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", "7.8"),
            ("CVSS:3.0/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "6.8"),
            ("CVSS:3.1/A:N/I:N/C:H/S:U/UI:N/PR:N/AC:L/AV:N", "7.5"),
            ("cvss:3.1/av:n/ac:l/pr:n/ui:n/s:u/c:n/i:n/a:h", "7.5"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H/XX:Y", "7.5"),
        ] {
            let cvss = cvss(vector, "");
            assert_eq!(cvss.score.unwrap().to_string(), wanted, "{vector}");
            assert!(cvss.computed);
        }
        for vector in [
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N",
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H",
            "CVSS:3.1/AV:Q/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
            "AV:N/AC:L/Au:N/C:P/I:P/A:P",
        ] {
            assert_eq!(cvss(vector, "").score, None, "{vector}");
        }
    }

    #[test]
    fn a_given_score_is_taken_and_zero_is_none() {
        let given = cvss("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", "10");
        assert_eq!((given.score, given.computed), (Some(Score(100)), false));
        for (text, tenths) in [
            ("7.5", Some(75)),
            ("7.50", Some(75)),
            ("7.49", Some(75)),
            ("7.44", Some(74)),
            ("10.0", Some(100)),
            ("0.1", Some(1)),
            ("0.0", None),
            ("0", None),
            ("10.1", None),
            ("75", None),
            ("-3.0", None),
            ("NaN", None),
            ("1e1", None),
            ("7.", None),
            ("", None),
        ] {
            assert_eq!(Score::read(text).map(Score::tenths), tenths, "{text}");
        }
        assert_eq!(Cvss::new(&parts("", "0.0")), None);
        for (tenths, grade) in [
            (1, Severity::Low),
            (39, Severity::Low),
            (40, Severity::Medium),
            (69, Severity::Medium),
            (70, Severity::High),
            (89, Severity::High),
            (90, Severity::Critical),
            (100, Severity::Critical),
        ] {
            assert_eq!(Score(tenths).grade(), grade);
        }
    }

    #[test]
    fn one_vector_given_twice_counts_once_with_its_score() {
        let vector = "CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H";
        let four = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N/E:A";
        let all = Cvss::all(&[
            parts(vector, ""),
            parts(vector, "10.0"),
            parts(four, "9.3"),
            parts(vector, "0.0"),
        ]);
        let shown: Vec<_> = all
            .iter()
            .map(|one| format!("{} {}", one.version, one.score.unwrap()))
            .collect();
        assert_eq!(shown, ["CVSS 3.1 10.0", "CVSS 4.0 9.3"]);
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Cvss>>(&json).unwrap(), all);
    }

    #[test]
    fn the_vector_tells_of_attacks() {
        for (vector, wanted) in [
            ("CVSS:4.0/AV:N/E:A", Exploitation::Reported),
            ("CVSS:4.0/E:P/AV:N", Exploitation::ProofOfConcept),
            ("CVSS:4.0/AV:N/E:U", Exploitation::NotKnown),
            ("CVSS:4.0/AV:N/E:X", Exploitation::NotKnown),
            ("CVSS:3.1/AV:N/E:H/RL:O", Exploitation::Reported),
            ("CVSS:3.0/AV:N/E:F", Exploitation::ProofOfConcept),
            ("CVSS:3.0/AV:N/E:P", Exploitation::ProofOfConcept),
            ("CVSS:3.0/AV:N/E:U", Exploitation::NotKnown),
            ("AV:N/E:A", Exploitation::NotKnown),
        ] {
            assert_eq!(cvss(vector, "").exploitation(), wanted, "{vector}");
        }
    }
}
