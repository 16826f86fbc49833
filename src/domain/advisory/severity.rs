//! How bad an advisory is: the publisher's word and the score, of which the worse counts.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Advisory, Cvss, Score};

/// How bad an advisory is, least first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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

impl Advisory {
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
}

impl Severity {
    pub(super) fn read(text: &str) -> Option<Self> {
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

pub(super) fn worst_score(cvss: &[Cvss]) -> Option<(Score, &Cvss)> {
    cvss.iter()
        .filter_map(|cvss| Some((cvss.score?, cvss)))
        .max_by_key(|(score, _)| *score)
}
