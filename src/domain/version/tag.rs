//! What the tag of an image says: often a version, sometimes only a direction, sometimes nothing that can be read.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{ReleaseLine, ReleaseVersion};

/// Tags that point to another build from day to day, whoever publishes them.
const MOVING: [&str; 20] = [
    "latest",
    "edge",
    "nightly",
    "main",
    "master",
    "develop",
    "development",
    "dev",
    "devel",
    "stable",
    "glitch",
    "next",
    "testing",
    "unstable",
    "canary",
    "snapshot",
    "beta",
    "rc",
    "release",
    "production",
];

/// What an image's tag names.
///
/// Reading never fails: a text that says nothing is kept as [`ImageTag::Foreign`]. A tag is not proof of what runs; every
/// tag can be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "tag", rename_all = "kebab-case")]
pub enum ImageTag {
    /// One version, `v4.5.8`. Whether upstream or a fork publishes it is told by the repository, not by the tag.
    Release(ReleaseVersion),
    /// The newest patch of a line, `v4.5`; moves.
    Line(ReleaseLine),
    /// The newest release of a first number, `v4`; moves.
    Major(u64),
    /// A nightly build of upstream's.
    Nightly(Nightly),
    /// A name such as `edge` or `latest`; moves.
    Moving(String),
    /// Anything else: other publishers' tags such as `4.7.1-ls211` or `glitch-v4.4.27-ls359`, and what cannot be read.
    Foreign {
        /// The tag as it stands.
        text: String,
        /// The version of Mastodon that can be seen in it.
        version: Option<ReleaseVersion>,
    },
}

/// A build of upstream's main branch. The one with a security repair carries the next day's date, and is newer than the
/// usual one of that date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nightly {
    /// The date in its name.
    pub date: Date,
    /// Whether it was made out of turn, for a security repair.
    pub security: bool,
}

impl ImageTag {
    /// Whether this names one release for good, as far as a tag can.
    pub fn names_one_release(&self) -> bool {
        match self {
            Self::Release(version) => version.can_be_released(),
            Self::Line(_)
            | Self::Major(_)
            | Self::Nightly(_)
            | Self::Moving(_)
            | Self::Foreign { .. } => false,
        }
    }

    /// Whether this points to another build from day to day.
    pub const fn moves(&self) -> bool {
        matches!(self, Self::Line(_) | Self::Major(_) | Self::Moving(_))
    }

    /// The version that can be seen in the tag, whoever made the build.
    pub const fn version(&self) -> Option<&ReleaseVersion> {
        match self {
            Self::Release(version)
            | Self::Foreign {
                version: Some(version),
                ..
            } => Some(version),
            Self::Line(_)
            | Self::Major(_)
            | Self::Nightly(_)
            | Self::Moving(_)
            | Self::Foreign { version: None, .. } => None,
        }
    }

    /// Whether the tag ends the way `LinuxServer` numbers its builds: `-ls211`.
    pub fn is_linuxserver(&self) -> bool {
        let Self::Foreign { text, .. } = self else {
            return false;
        };
        text.rsplit_once("-ls")
            .is_some_and(|(_, number)| is_number(number))
    }

    /// Reads a tag; blanks around it and a digest behind it are no part of it.
    fn read(text: &str) -> Self {
        let tag = text.trim();
        let tag = tag.split_once('@').map_or(tag, |(tag, _digest)| tag);
        let number = tag.strip_prefix('v').unwrap_or(tag);
        // Upstream's tags begin with a small v or with a digit. A tag with a large one is another tag to a registry.
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            if let Ok(version) = number.parse::<ReleaseVersion>() {
                return version
                    .nightly()
                    .map_or(Self::Release(version), Self::Nightly);
            }
            if let Some(line) = line(number) {
                return line;
            }
        }
        let named = number.find("nightly").and_then(|at| number.get(at..));
        if let Some(nightly) = named.and_then(Nightly::read)
            && before_nightly_is_upstreams(number)
        {
            return Self::Nightly(nightly);
        }
        let version = version_inside(tag);
        let first = tag.split(|c: char| !c.is_ascii_alphanumeric()).next();
        let moving =
            first.is_some_and(|first| MOVING.iter().any(|name| first.eq_ignore_ascii_case(name)));
        if version.is_none() && moving {
            return Self::Moving(tag.to_owned());
        }
        Self::Foreign {
            text: tag.to_owned(),
            version,
        }
    }
}

impl Nightly {
    /// Reads `nightly.2026-03-10`, `nightly.2026-03-10-security`, and the older `nightly-2023-07-06`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("nightly")?.strip_prefix(['.', '-'])?;
        let (date, security) = match rest.strip_suffix("-security") {
            Some(date) => (date, true),
            None => (rest, false),
        };
        let plain = date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = plain.then(|| date.parse().ok()).flatten()?;
        Some(Self { date, security })
    }
}

impl FromStr for ImageTag {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::read(text))
    }
}

impl fmt::Display for ImageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(version) => write!(f, "v{version}"),
            Self::Line(line) => write!(f, "v{line}"),
            Self::Major(major) => write!(f, "v{major}"),
            Self::Nightly(nightly) => nightly.fmt(f),
            Self::Moving(text) | Self::Foreign { text, .. } => f.write_str(text),
        }
    }
}

impl fmt::Display for Nightly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.security { "-security" } else { "" };
        write!(f, "nightly.{}{suffix}", self.date)
    }
}

fn line(number: &str) -> Option<ImageTag> {
    let parts: Vec<u64> = number
        .split('.')
        .map(|part| is_number(part).then(|| part.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    match parts.as_slice() {
        [major] => Some(ImageTag::Major(*major)),
        [major, minor] => Some(ImageTag::Line(ReleaseLine {
            major: *major,
            minor: *minor,
        })),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    // More digits than any version has are a date, a build number or a piece of a hash.
    (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Nothing, or the version that the build leads to, stands before `nightly` in upstream's own names.
fn before_nightly_is_upstreams(number: &str) -> bool {
    let before = number.split("nightly").next().unwrap_or_default();
    let version = before.trim_end_matches(['-', '.', '+']);
    version.is_empty()
        || version
            .parse::<ReleaseVersion>()
            .is_ok_and(|version| version.build().is_none())
}

/// The first complete version in a longer text, with the pre-release suffix that belongs to it.
fn version_inside(text: &str) -> Option<ReleaseVersion> {
    let mut before = '-';
    for (at, c) in text.char_indices() {
        let starts = c.is_ascii_digit() && !before.is_ascii_digit() && before != '.';
        before = c;
        if !starts {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let ends = rest
            .char_indices()
            .filter(|(_, c)| !c.is_ascii_alphanumeric() && *c != '.')
            .map(|(end, _)| end)
            .chain([rest.len()]);
        // With one more word, `4.7.0-rc.1-ls3` gives its suffix; without, `4.7.1-ls211` gives its numbers.
        let found: Vec<ReleaseVersion> = ends
            .take(2)
            .filter_map(|end| rest.get(..end)?.parse().ok())
            .collect();
        if let Some(version) = found.into_iter().next_back() {
            return Some(version);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> ImageTag {
        text.parse().unwrap()
    }

    fn version(text: &str) -> ReleaseVersion {
        text.parse().unwrap()
    }

    #[test]
    fn a_release_is_told_from_what_moves() {
        for (text, expected, fixed) in [
            ("v4.5.8", ImageTag::Release(version("4.5.8")), true),
            (" v4.5.8\n", ImageTag::Release(version("4.5.8")), true),
            ("4.5.8", ImageTag::Release(version("4.5.8")), true),
            (
                "v4.5.8@sha256:aa11",
                ImageTag::Release(version("4.5.8")),
                true,
            ),
            (
                "v4.2.0-beta1",
                ImageTag::Release(version("4.2.0-beta.1")),
                true,
            ),
            ("v4.0.0rc1", ImageTag::Release(version("4.0.0-rc.1")), true),
            (
                "v4.3.0-alpha.5",
                ImageTag::Release(version("4.3.0-alpha.5")),
                false,
            ),
            (
                "v4.5.8+glitch",
                ImageTag::Release(version("4.5.8+glitch")),
                false,
            ),
            (
                "v4.5",
                ImageTag::Line(ReleaseLine { major: 4, minor: 5 }),
                false,
            ),
            (
                "4.10",
                ImageTag::Line(ReleaseLine {
                    major: 4,
                    minor: 10,
                }),
                false,
            ),
            ("4", ImageTag::Major(4), false),
            ("v5", ImageTag::Major(5), false),
        ] {
            assert_eq!(tag(text), expected, "{text}");
            assert_eq!(tag(text).names_one_release(), fixed, "{text}");
        }
        for text in [
            "edge",
            "nightly",
            "latest",
            "LATEST",
            "develop",
            "main",
            "glitch",
            "latest-glitch",
            "stable-4.5",
            "edge-amd64",
        ] {
            assert_eq!(tag(text), ImageTag::Moving(text.to_owned()));
            assert!(tag(text).moves() && !tag(text).names_one_release());
        }
    }

    #[test]
    fn nightly_builds_are_ordered_and_the_one_for_security_is_newer() {
        let order = [
            "nightly-2023-07-06-security",
            "nightly.2026-03-09",
            "v4.6.0-alpha.3+nightly.2026-03-10",
            "nightly.2026-03-10-security",
            "nightly.2026-03-11",
        ];
        let nightlies: Vec<Nightly> = order
            .iter()
            .map(|text| {
                let ImageTag::Nightly(nightly) = tag(text) else {
                    panic!("{text}")
                };
                nightly
            })
            .collect();
        assert!(nightlies.is_sorted_by(|a, b| a < b), "{nightlies:?}");
        assert_eq!(
            tag("4.3.0-nightly.2024-07-05-security").to_string(),
            "nightly.2024-07-05-security"
        );
        assert!(!tag("nightly.2026-03-10").names_one_release());
        // A date that does not exist, and somebody else's nightly build.
        assert_eq!(
            tag("nightly.2026-02-30"),
            ImageTag::Moving("nightly.2026-02-30".to_owned())
        );
        assert_eq!(
            tag("glitch-nightly.2026-02-03"),
            ImageTag::Moving("glitch-nightly.2026-02-03".to_owned())
        );
    }

    #[test]
    fn other_publishers_tags_are_kept_with_the_version_in_them() {
        for (text, inside, linuxserver) in [
            ("4.7.1-ls211", Some("4.7.1"), true),
            ("v4.7.1-ls211", Some("4.7.1"), true),
            ("glitch-v4.4.27-ls359", Some("4.4.27"), true),
            ("develop-v4.8.0-alpha.1-ls12", Some("4.8.0-alpha.1"), true),
            ("develop-v4.2.0rc1-ls12", Some("4.2.0-rc.1"), true),
            ("amd64-version-v4.7.1", Some("4.7.1"), false),
            ("4.5.8-debian-12-r3", Some("4.5.8"), false),
            ("v4.5.8-glitch", Some("4.5.8"), false),
            ("v4.0.6-hometown-1.1.1", Some("4.0.6"), false),
            ("V4.5.8", Some("4.5.8"), false),
            ("kb14.2-lts", None, false),
            ("sha256-2f6b", None, false),
            ("sha-9e03a7f", None, false),
            ("20260310", None, false),
            ("4.5.8.1", None, false),
            ("-ls", None, false),
            ("", None, false),
            ("\u{1f418} 4.x", None, false),
            ("@sha256:aa", None, false),
        ] {
            let found = tag(text);
            assert!(
                matches!(found, ImageTag::Foreign { .. }),
                "{text}: {found:?}"
            );
            assert_eq!(found.version().cloned(), inside.map(version), "{text}");
            assert_eq!(found.is_linuxserver(), linuxserver, "{text}");
            assert!(!found.names_one_release() && !found.moves(), "{text}");
        }
    }

    #[test]
    fn a_tag_travels_and_comes_back() {
        for text in [
            "v4.5.8",
            "v4.5",
            "v4",
            "nightly.2026-03-10-security",
            "edge",
            "4.7.1-ls211",
        ] {
            let json = serde_json::to_string(&tag(text)).unwrap();
            assert_eq!(
                serde_json::from_str::<ImageTag>(&json).unwrap(),
                tag(text),
                "{json}"
            );
            assert_eq!(tag(text).to_string(), text);
        }
    }
}
