//! Versions of Mastodon: how they are spelled, ordered, and how far one is from another.

mod tag;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use semver::{BuildMetadata, Version};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::tag::{ImageTag, Nightly};

/// One version of Mastodon or of a fork of it.
///
/// The order is semantic-version precedence first; versions of equal precedence are ordered by their build mark, so that
/// the order agrees with equality. Whether something is *newer* must be asked with [`ReleaseVersion::precedes`] or
/// [`ReleaseVersion::step_to`], which ignore the mark: `4.5.8+glitch` is not newer than `4.5.8`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(from = "String", into = "String")]
pub struct ReleaseVersion {
    /// Always without build metadata, so that its order is precedence.
    number: Version,
    build: Option<String>,
}

/// A minor line, such as 4.5: all versions that share the first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseLine {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
}

/// How far apart two versions are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateKind {
    /// Within one line: images only.
    Patch,
    /// Into another line with the same first number: migrations.
    Minor,
    /// Another first number.
    Major,
}

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAVersion {
    /// Nothing was given.
    #[error("an empty text is not a version")]
    Empty,
    /// A name that points to another build from day to day.
    #[error("`{0}` is a moving tag, not a version")]
    Moving(String),
    /// Fewer than three numbers.
    #[error("`{0}` names a line, not one version; three numbers are needed")]
    Incomplete(String),
    /// A suffix that is neither alpha, beta nor rc.
    #[error("`{0}` carries a suffix that no Mastodon release uses")]
    UnknownSuffix(String),
    /// Anything else.
    #[error("`{0}` is not a version")]
    Malformed(String),
}

impl ReleaseVersion {
    /// The line this version belongs to; a pre-release belongs to the line it leads to.
    pub const fn line(&self) -> ReleaseLine {
        ReleaseLine {
            major: self.number.major,
            minor: self.number.minor,
        }
    }

    /// The third number.
    pub const fn patch(&self) -> u64 {
        self.number.patch
    }

    /// The git and image tag of this version: `v4.5.8`. Build metadata is not part of a tag and is left out.
    pub fn tag(&self) -> String {
        format!("v{}", self.number)
    }

    /// Whether this is an alpha, a beta or a release candidate.
    pub fn is_pre_release(&self) -> bool {
        !self.number.pre.is_empty()
    }

    /// Whether this is somebody else's build: anything with build metadata that is not just the mark of upstream's own
    /// nightly builds. `4.5.8+glitch` and `4.0.6+hometown-1.1.1` are.
    pub fn is_fork(&self) -> bool {
        self.fork_name().is_some()
    }

    /// What the fork calls itself: `glitch` for `4.5.8+glitch`, `hometown` for `4.0.6+hometown-1.1.1`. `None` for a build
    /// of upstream's own. A mark that does not begin with a name is given whole.
    pub fn fork_name(&self) -> Option<&str> {
        let build = self.build.as_deref().filter(|_| self.nightly().is_none())?;
        let name = build
            .find(|c: char| !c.is_ascii_alphabetic())
            .and_then(|end| build.get(..end))
            .unwrap_or(build);
        Some(if name.is_empty() { build } else { name })
    }

    /// The nightly build of upstream's that the mark names, as in `4.3.0-alpha.5+nightly.2024-07-05`. Such a build is no
    /// fork, but no release either.
    pub fn nightly(&self) -> Option<Nightly> {
        self.build.as_deref().and_then(Nightly::read)
    }

    /// Whether a release of this number can exist. Alphas are states of the main branch, and a build mark makes a build.
    pub fn can_be_released(&self) -> bool {
        self.build.is_none() && !self.number.pre.starts_with("alpha")
    }

    /// The build mark, `glitch` in `4.5.8+glitch`.
    pub fn build(&self) -> Option<&str> {
        self.build.as_deref()
    }

    /// Compares by precedence only; build metadata has no say.
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }

    /// Whether `other` is newer, by precedence.
    pub fn precedes(&self, other: &Self) -> bool {
        self.cmp_precedence(other) == Ordering::Less
    }

    /// What kind of step leads from this version to `other`; `None` when `other` is not newer by precedence.
    pub fn step_to(&self, other: &Self) -> Option<UpdateKind> {
        if !self.precedes(other) {
            return None;
        }
        Some(if self.number.major != other.number.major {
            UpdateKind::Major
        } else if self.number.minor != other.number.minor || self.is_pre_release() {
            // The line of a pre-release is still being entered: its migrations are not all there yet.
            UpdateKind::Minor
        } else {
            UpdateKind::Patch
        })
    }

    /// The version that a pre-release leads to; a final version gives itself.
    #[must_use]
    pub fn without_pre_release(&self) -> Self {
        let number = Version::new(self.number.major, self.number.minor, self.number.patch);
        Self {
            number,
            build: self.build.clone(),
        }
    }

    /// Reads a version that may have only two numbers (`1.3`, read as `1.3.0`); says whether it had.
    ///
    /// For texts written by people, such as the bounds of an advisory's range. A version that shall be *installed* must be
    /// complete: use [`FromStr`].
    pub fn parse_partial(text: &str) -> Result<(Self, bool), NotAVersion> {
        match text.parse() {
            Ok(version) => Ok((version, false)),
            Err(NotAVersion::Incomplete(_)) => {
                let bare = text.trim().trim_start_matches(['v', 'V']);
                let cut = bare
                    .find(|c: char| !c.is_ascii_digit() && c != '.')
                    .unwrap_or(bare.len());
                match bare.split_at_checked(cut) {
                    Some((numbers, suffix)) if numbers.contains('.') => {
                        format!("{numbers}.0{suffix}")
                            .parse()
                            .map(|version| (version, true))
                    }
                    Some(_) | None => Err(NotAVersion::Incomplete(text.to_owned())),
                }
            }
            Err(err) => Err(err),
        }
    }
}

impl FromStr for ReleaseVersion {
    type Err = NotAVersion;

    /// Accepts `4.5.8`, `v4.5.8`, `4.5.0-rc.1`, the old spellings `4.0.0rc1` and `4.2.0-beta1`, and build metadata.
    ///
    /// Blanks around it do not matter, nor does the case of anything but the build mark: people and their files write
    /// `V4.5.8` and `4.2.0-RC1`, and mean nothing else by it.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let text = text.trim();
        let malformed = || NotAVersion::Malformed(text.to_owned());
        if text.is_empty() {
            return Err(NotAVersion::Empty);
        }
        // A build's mark may speak of its day: `4.3.0-alpha.5+nightly.2024-07-05`.
        let before_mark = text.split_once('+').map_or(text, |(before, _)| before);
        if before_mark.split(['.', '-']).any(|word| {
            ["edge", "nightly", "latest"]
                .iter()
                .any(|moving| word.eq_ignore_ascii_case(moving))
        }) {
            return Err(NotAVersion::Moving(text.to_owned()));
        }
        let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (rest, build) = match bare.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (bare, None),
        };
        let cut = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (core, suffix) = rest.split_at_checked(cut).ok_or_else(malformed)?;
        let numbers = core.split('.').count();
        if core.is_empty() || numbers > 3 || core.split('.').any(str::is_empty) {
            return Err(malformed());
        }
        if numbers < 3 {
            return Err(NotAVersion::Incomplete(text.to_owned()));
        }
        let mut number = Version::parse(core).map_err(|_err| malformed())?;
        if !suffix.is_empty() {
            let pre = modern_suffix(&suffix.to_ascii_lowercase())
                .ok_or_else(|| NotAVersion::UnknownSuffix(text.to_owned()))?;
            number.pre = semver::Prerelease::new(&pre).map_err(|_err| malformed())?;
        }
        let build = match build {
            Some(build) if !build.is_empty() => Some(
                BuildMetadata::new(build)
                    .map_err(|_err| malformed())?
                    .as_str()
                    .to_owned(),
            ),
            Some(_) => return Err(malformed()),
            None => None,
        };
        Ok(Self { number, build })
    }
}

/// Brings `rc1`, `-beta1` and `-beta.1` into the one spelling `beta.1`; `None` for anything that is no such suffix.
fn modern_suffix(suffix: &str) -> Option<String> {
    let suffix = suffix.strip_prefix('-').unwrap_or(suffix);
    let word = ["alpha", "beta", "rc"]
        .into_iter()
        .find(|word| suffix.starts_with(word))?;
    let rest = suffix.strip_prefix(word)?;
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    if rest.is_empty() {
        return (suffix == word).then(|| word.to_owned());
    }
    // Whatever stands behind the number is no part of a Mastodon version: `4.2.0-rc1-ls12` is somebody's build of one.
    rest.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| format!("{word}.{rest}"))
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        self.build
            .as_ref()
            .map_or(Ok(()), |build| write!(f, "+{build}"))
    }
}

impl Serialize for ReleaseVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReleaseVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ReleaseLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for UpdateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ReleaseVersion {
        text.parse().unwrap()
    }

    #[test]
    fn every_spelling_in_use_is_read_and_written_in_the_modern_one() {
        for (text, modern) in [
            ("4.5.8", "4.5.8"),
            ("v4.5.8", "4.5.8"),
            ("4.0.0rc1", "4.0.0-rc.1"),
            ("v4.1.0rc3", "4.1.0-rc.3"),
            ("V4.5.8", "4.5.8"),
            (" v4.5.8\n", "4.5.8"),
            ("4.2.0-RC1", "4.2.0-rc.1"),
            ("4.5.8+Glitch", "4.5.8+Glitch"),
            ("4.2.0-beta1", "4.2.0-beta.1"),
            ("4.2.0-rc2", "4.2.0-rc.2"),
            ("4.3.0-beta.1", "4.3.0-beta.1"),
            ("4.3.0-alpha.5", "4.3.0-alpha.5"),
            ("4.7.0+glitch", "4.7.0+glitch"),
            ("4.0.6+hometown-1.1.1", "4.0.6+hometown-1.1.1"),
            (
                "4.3.0-alpha.5+nightly.2024-07-05",
                "4.3.0-alpha.5+nightly.2024-07-05",
            ),
        ] {
            assert_eq!(version(text).to_string(), modern, "{text}");
        }
    }

    #[test]
    fn what_is_no_release_is_refused_with_the_reason() {
        for text in [
            "edge",
            "nightly",
            "latest",
            "nightly.2026-03-10",
            "4.3.0-nightly.2024-07-05-security",
            "Latest",
        ] {
            assert_eq!(
                text.parse::<ReleaseVersion>(),
                Err(NotAVersion::Moving(text.to_owned()))
            );
        }
        assert_eq!(
            "v4.6".parse::<ReleaseVersion>(),
            Err(NotAVersion::Incomplete("v4.6".to_owned()))
        );
        assert_eq!(
            "4.7.1-ls211".parse::<ReleaseVersion>(),
            Err(NotAVersion::UnknownSuffix("4.7.1-ls211".to_owned()))
        );
        assert_eq!(
            "4.2.0-rc1-ls12".parse::<ReleaseVersion>(),
            Err(NotAVersion::UnknownSuffix("4.2.0-rc1-ls12".to_owned()))
        );
        assert_eq!("".parse::<ReleaseVersion>(), Err(NotAVersion::Empty));
        assert_eq!(" \t".parse::<ReleaseVersion>(), Err(NotAVersion::Empty));
        for text in [
            "vv4.5.8",
            "4..8",
            "4.5.8.1",
            "4.05.8",
            "4.5.8+",
            "4.5.8+a b",
            "4.5. 8",
            "v v4.5.8",
            "99999999999999999999.1.1",
        ] {
            assert_eq!(
                text.parse::<ReleaseVersion>(),
                Err(NotAVersion::Malformed(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn the_order_is_by_precedence_and_a_fork_is_not_newer_than_its_base() {
        let order = [
            "4.2.0-beta1",
            "4.2.0-rc2",
            "4.2.0-rc10",
            "4.2.0",
            "4.2.9",
            "4.2.29",
            "4.3.0-alpha.5",
            "4.10.0",
        ];
        for pair in order.windows(2) {
            let [before, after] = pair else {
                panic!("a pair")
            };
            assert!(version(before) < version(after), "{before} < {after}");
        }
        let (base, fork) = (version("4.5.8"), version("4.5.8+glitch"));
        assert!(base < fork && base != fork);
        assert!(!base.precedes(&fork) && !fork.precedes(&base));
        assert_eq!(base.step_to(&fork), None);
    }

    #[test]
    fn the_step_is_named_after_the_first_number_that_differs() {
        let from = version("4.5.7");
        assert_eq!(from.step_to(&version("4.5.8")), Some(UpdateKind::Patch));
        assert_eq!(from.step_to(&version("4.6.0")), Some(UpdateKind::Minor));
        assert_eq!(from.step_to(&version("5.0.0")), Some(UpdateKind::Major));
        assert_eq!(from.step_to(&version("4.5.7")), None);
        assert_eq!(from.step_to(&version("4.5.7-rc.1")), None);
        assert_eq!(
            version("4.5.0-rc.1").step_to(&version("4.5.0")),
            Some(UpdateKind::Minor)
        );
    }

    #[test]
    fn a_fork_keeps_its_name_and_a_nightly_build_of_upstream_is_none() {
        for (text, fork, can_be_released) in [
            ("4.5.8", None, true),
            ("4.5.0-rc.1", None, true),
            ("4.3.0-alpha.5", None, false),
            ("4.3.0-alpha.5+nightly.2024-07-05", None, false),
            ("4.3.0-alpha.5+nightly.2024-07-05-security", None, false),
            ("4.5.8+nightly", Some("nightly"), false),
            ("4.5.8+nightly.2024-07-05.glitch", Some("nightly"), false),
            ("4.5.8+glitch", Some("glitch"), false),
            ("4.5.8+glitch.0705", Some("glitch"), false),
            ("4.0.6+hometown-1.1.1", Some("hometown"), false),
            ("4.5.8+7.1", Some("7.1"), false),
        ] {
            let version = version(text);
            assert_eq!(version.fork_name(), fork, "{text}");
            assert_eq!(version.is_fork(), fork.is_some(), "{text}");
            assert_eq!(version.can_be_released(), can_be_released, "{text}");
        }
    }

    #[test]
    fn a_version_travels_as_a_text() {
        let json = serde_json::to_string(&version("4.2.0-beta1+x")).unwrap();
        assert_eq!(json, "\"4.2.0-beta.1+x\"");
        assert_eq!(
            serde_json::from_str::<ReleaseVersion>(&json).unwrap(),
            version("4.2.0-beta.1+x")
        );
        assert!(serde_json::from_str::<ReleaseVersion>("\"edge\"").is_err());
    }

    #[test]
    fn two_numbers_are_enough_only_where_that_is_asked_for() {
        assert_eq!(
            ReleaseVersion::parse_partial("1.3").unwrap(),
            (version("1.3.0"), true)
        );
        assert_eq!(
            ReleaseVersion::parse_partial("1.3.1").unwrap(),
            (version("1.3.1"), false)
        );
        assert_eq!(
            ReleaseVersion::parse_partial("v1.4rc2").unwrap(),
            (version("1.4.0-rc.2"), true)
        );
        assert!(ReleaseVersion::parse_partial("4").is_err());
    }
}
