//! What a release demands of the software around it: "`PostgreSQL` 12+ but not 14.0-14.3".

mod bounds;
mod clause;
mod token;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) use self::clause::read;

/// A program that Mastodon works with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(from = "String", into = "String")]
pub enum Software {
    /// The database.
    Postgresql,
    /// The store of queues and caches.
    Redis,
    /// In the image.
    Ruby,
    /// In the image.
    Node,
    /// Full-text search; an instance can do without.
    Elasticsearch,
    /// In the image.
    ImageMagick,
    /// In the image.
    Libvips,
    /// In the image.
    Ffmpeg,
    /// Translations; an instance can do without.
    LibreTranslate,
    /// Anything else, by the name it was given.
    Other(String),
}

/// A version of some software: numbers and nothing else. `7` and `7.0` are equal.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(from = "String", into = "String")]
pub struct Numbers(Vec<u32>);

/// Why a text is not a row of numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not begin with a number")]
pub struct NotNumbers(String);

/// What a release demands of one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Minimum {
    /// Which program.
    pub software: Software,
    /// The oldest version that will do.
    pub at_least: Numbers,
    /// The first version that is too new.
    #[serde(default)]
    pub below: Option<Numbers>,
    /// Versions in between that will not do, both ends included.
    #[serde(default)]
    pub except: Vec<(Numbers, Numbers)>,
    /// Whether an instance can do without the program: it is called optional, or another one will do instead.
    #[serde(default)]
    pub optional: bool,
    /// The words this was read from.
    pub text: String,
}

impl Minimum {
    /// Whether a version will do.
    pub fn holds(&self, version: &Numbers) -> bool {
        let excepted = |(low, high): &(Numbers, Numbers)| {
            version >= low && (version <= high || version.begins_with(high))
        };
        *version >= self.at_least
            && self.below.as_ref().is_none_or(|below| version < below)
            && !self.except.iter().any(excepted)
    }
}

impl Software {
    /// In image and operator's hands alike: the program that a name in small letters stands for.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "postgresql" | "postgres" | "postgre" | "psql" => Self::Postgresql,
            "redis" => Self::Redis,
            "ruby" => Self::Ruby,
            "node" | "node.js" | "nodejs" => Self::Node,
            "elasticsearch" | "elastic" => Self::Elasticsearch,
            "imagemagick" => Self::ImageMagick,
            "libvips" | "vips" => Self::Libvips,
            "ffmpeg" => Self::Ffmpeg,
            "libretranslate" => Self::LibreTranslate,
            "opensearch" => Self::Other("OpenSearch".to_owned()),
            "valkey" => Self::Other("Valkey".to_owned()),
            _ => return None,
        })
    }

    /// Whether the program comes with Mastodon's images, so that its version is not the operator's business.
    pub const fn is_in_the_image(&self) -> bool {
        matches!(
            self,
            Self::Ruby | Self::Node | Self::ImageMagick | Self::Libvips | Self::Ffmpeg
        )
    }
}

impl Numbers {
    /// Takes the numbers as they are.
    pub fn new(numbers: impl IntoIterator<Item = u32>) -> Self {
        Self(numbers.into_iter().collect())
    }

    /// What `PostgreSQL` means by its `server_version_num`: 140003 is 14.3, 90624 is 9.6.24.
    pub fn of_postgresql(server_version_num: u32) -> Self {
        let major = server_version_num / 10_000;
        let rest = server_version_num % 10_000;
        if major >= 10 {
            Self(vec![major, rest])
        } else {
            Self(vec![major, rest / 100, rest % 100])
        }
    }

    /// The first version that is not one of this: 3.3 for 3.2, 8 for 7.
    #[must_use]
    pub(super) fn next(&self) -> Self {
        let mut numbers = self.0.clone();
        if let Some(last) = numbers.last_mut() {
            *last = last.saturating_add(1);
        }
        Self(numbers)
    }

    /// How many numbers were given.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    fn begins_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    fn significant(&self) -> &[u32] {
        let end = self
            .0
            .iter()
            .rposition(|number| *number != 0)
            .map_or(0, |last| last.saturating_add(1));
        self.0.get(..end).unwrap_or(&[])
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.significant() == other.significant()
    }
}

impl Eq for Numbers {}

impl PartialOrd for Numbers {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numbers {
    fn cmp(&self, other: &Self) -> Ordering {
        self.significant().cmp(other.significant())
    }
}

impl FromStr for Numbers {
    type Err = NotNumbers;

    /// Reads the numbers at the beginning, up to the first thing that is none: `7.2.4`, `v16.3 (Debian 16.3-1)`,
    /// `6.9.7-7` (four numbers), `14-alpine`.
    fn from_str(text: &str) -> Result<Self, NotNumbers> {
        let bare = text.trim();
        let bare = bare.strip_prefix(['v', 'V']).unwrap_or(bare);
        lex(bare)
            .map(|(numbers, _rest)| numbers)
            .ok_or_else(|| NotNumbers(text.to_owned()))
    }
}

/// The numbers at the beginning of a text, and what follows them.
fn lex(text: &str) -> Option<(Numbers, &str)> {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.get(..rest.len().saturating_sub(after.len()))?;
        numbers.push(digits.parse().ok()?);
        rest = after;
        let dashes = numbers.len() == 3;
        let next = after
            .strip_prefix('.')
            .or_else(|| after.strip_prefix('-').filter(|_| dashes));
        match next {
            Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
            Some(_) | None => return Some((Numbers(numbers), rest)),
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        for (at, number) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(f, "{dot}{number}")?;
        }
        Ok(())
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgresql => "PostgreSQL",
            Self::Redis => "Redis",
            Self::Ruby => "Ruby",
            Self::Node => "Node",
            Self::Elasticsearch => "Elasticsearch",
            Self::ImageMagick => "ImageMagick",
            Self::Libvips => "libvips",
            Self::Ffmpeg => "FFmpeg",
            Self::LibreTranslate => "LibreTranslate",
            Self::Other(name) => name,
        })
    }
}

impl Serialize for Software {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Software {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::named(&name.to_lowercase()).unwrap_or(Self::Other(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Numbers {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_read_up_to_the_first_thing_that_is_none() {
        for (text, expected) in [
            ("7.2.4", "7.2.4"),
            ("v16.3 (Debian 16.3-1.pgdg120+1)", "16.3"),
            ("6.9.7-7", "6.9.7.7"),
            ("14-alpine", "14"),
            (" 7.0\n", "7.0"),
        ] {
            assert_eq!(numbers(text).to_string(), expected, "{text}");
        }
        for text in ["", "x", "-1", "99999999999", "valkey 8"] {
            assert!(text.parse::<Numbers>().is_err(), "{text}");
        }
        assert_eq!(Numbers::of_postgresql(140_003), numbers("14.3"));
        assert_eq!(Numbers::of_postgresql(90_624), numbers("9.6.24"));
        assert_eq!(numbers("7"), numbers("7.0"));
        assert!(numbers("9.6") < numbers("10") && numbers("6.2.14") > numbers("6.2"));
    }

    #[test]
    fn a_minimum_holds_between_its_bounds_and_outside_of_its_exceptions() {
        let minimum = Minimum {
            software: Software::Postgresql,
            at_least: numbers("12"),
            below: Some(numbers("17")),
            except: vec![(numbers("14.0"), numbers("14.3"))],
            optional: false,
            text: String::new(),
        };
        for (version, holds) in [
            ("11.22", false),
            ("12", true),
            ("13.99", true),
            ("14", false),
            ("14.0", false),
            ("14.3", false),
            ("14.3.1", false),
            ("14.4", true),
            ("16.9", true),
            ("17.0", false),
        ] {
            assert_eq!(minimum.holds(&numbers(version)), holds, "{version}");
        }
        let json = serde_json::to_string(&minimum).unwrap();
        assert!(
            json.contains("\"PostgreSQL\"") && json.contains("\"12\""),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Minimum>(&json).unwrap(), minimum);
    }
}
