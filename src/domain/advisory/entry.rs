//! One entry of an advisory: a product, a range, and the versions that repair it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::VersionRange;
use crate::domain::version::{ReleaseLine, ReleaseVersion};

/// One range of versions that an advisory lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vulnerable {
    /// The affected versions.
    pub range: VersionRange,
    /// The versions named as repaired, as far as they can be read.
    pub patched: Vec<ReleaseVersion>,
    /// What else stands where the repaired versions are named. It repairs nothing.
    #[serde(default)]
    pub patched_unread: Vec<String>,
}

/// The plain parts of an entry, before anything is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VulnerableParts {
    /// The registry of the package: `npm`, `other`, often empty.
    pub ecosystem: Option<String>,
    /// The name of the package.
    pub package: Option<String>,
    /// The affected range.
    pub range: Option<String>,
    /// The patched versions.
    pub patched: Option<String>,
}

/// Other products that share Mastodon's code or name its holes in their own numbers.
const OTHER_PRODUCTS: [&str; 14] = [
    "glitch",
    "glitch-soc",
    "hometown",
    "kmyblue",
    "fedibird",
    "chuckya",
    "ikatodon",
    "pleroma",
    "akkoma",
    "misskey",
    "pixelfed",
    "lemmy",
    "gotosocial",
    "friendica",
];
/// Registries of libraries. What is named there is a part of Mastodon, with numbers of its own.
const LIBRARIES: [&str; 14] = [
    "npm",
    "rubygems",
    "pip",
    "pypi",
    "go",
    "maven",
    "nuget",
    "composer",
    "rust",
    "crates.io",
    "erlang",
    "pub",
    "swift",
    "actions",
];

impl Vulnerable {
    /// Reads an entry. Nothing is an error; what makes no sense is kept as text.
    pub fn new(parts: &VulnerableParts) -> Self {
        let (patched, patched_unread) = repairs(parts.patched.as_deref().unwrap_or_default());
        Self {
            range: VersionRange::new(parts.range.as_deref().unwrap_or_default()),
            patched,
            patched_unread,
        }
    }

    /// Whether the entry says anything about a line.
    pub fn names_line(&self, line: ReleaseLine) -> bool {
        self.range.names_line(line)
            || self.patched.iter().any(|fix| fix.line() == line)
            || self
                .patched_unread
                .iter()
                .any(|text| super::range::lines_in(text).any(|named| named == line))
    }
}

impl VulnerableParts {
    /// Whether the entry is clearly about something else than Mastodon. In doubt (no name, a misspelt one, a part such
    /// as the streaming server) it is about Mastodon.
    pub fn is_elsewhere(&self) -> bool {
        let plain = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            text.trim().to_lowercase()
        };
        let (name, ecosystem) = (plain(&self.package), plain(&self.ecosystem));
        if name.is_empty() {
            return false;
        }
        if name
            .split('/')
            .any(|part| OTHER_PRODUCTS.contains(&part.trim()))
        {
            return true;
        }
        let like_mastodon = name.contains("odon")
            || name.contains("toot")
            || name
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word.starts_with("mast"));
        LIBRARIES.contains(&ecosystem.as_str()) && !like_mastodon
    }

    /// The entry in a few words, for people.
    pub fn show(&self) -> String {
        let words = [&self.ecosystem, &self.package, &self.range]
            .into_iter()
            .flatten()
            .map(|word| word.trim())
            .filter(|word| !word.is_empty());
        let text = words.collect::<Vec<_>>().join(" ");
        super::short(&text, super::LONGEST_SENTENCE)
    }
}

impl From<(Option<String>, Option<String>)> for VulnerableParts {
    /// An affected range and patched versions of Mastodon itself.
    fn from((range, patched): (Option<String>, Option<String>)) -> Self {
        Self {
            range,
            patched,
            ..Self::default()
        }
    }
}

/// The versions that a text names as repaired, and what of it is not understood.
///
/// "Repaired" can clear a version, so only plain lists are read: with any other word in it, a part is not believed, and
/// with a word that takes something back, nothing is.
fn repairs(text: &str) -> (Vec<ReleaseVersion>, Vec<String>) {
    const TAKEN_BACK: [&str; 12] = [
        "no",
        "not",
        "none",
        "never",
        "without",
        "except",
        "unless",
        "incomplete",
        "partial",
        "partially",
        "pending",
        "planned",
    ];
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    if words.any(|word| TAKEN_BACK.contains(&word)) {
        return (Vec::new(), vec![text.trim().to_owned()]);
    }
    let mut patched: Vec<ReleaseVersion> = Vec::new();
    let mut unread = Vec::new();
    for part in text.split([',', ';', '\n', '|']).map(str::trim) {
        match plain_list(part) {
            Some(versions) => {
                for version in versions {
                    if !patched.contains(&version) {
                        patched.push(version);
                    }
                }
            }
            None => unread.push(part.to_owned()),
        }
    }
    (patched, unread)
}

/// The versions of "4.5.3 and 4.4.10", ">= 4.5.3", "4.5.3 or later"; `None` with any other word.
fn plain_list(part: &str) -> Option<Vec<ReleaseVersion>> {
    const SILENT: [&str; 17] = [
        "and", "or", "&", "/", "later", "newer", "higher", "above", "version", "versions",
        "mastodon", "fixed", "patched", "in", "v", "release", "releases",
    ];
    let part = part
        .to_lowercase()
        .replace('≥', ">=")
        .replace(['`', '"'], "");
    let mut versions = Vec::new();
    for word in part.split_whitespace() {
        let bare = [">=", "=>", "==", "=", "~>", "~", "^"]
            .into_iter()
            .find_map(|sign| word.strip_prefix(sign))
            .unwrap_or(word);
        let bare = bare.trim_end_matches(['.', '+']);
        if bare.is_empty() || SILENT.contains(&bare) {
            continue;
        }
        for version in bare.split('/').filter(|version| !version.is_empty()) {
            versions.push(version.parse().ok()?);
        }
    }
    Some(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repaired_versions_are_read_from_plain_lists_only() {
        for (text, read, unread) in [
            ("4.5.8", "4.5.8", ""),
            ("4.5.3, 4.4.10", "4.5.3 4.4.10", ""),
            ("4.5.3 and 4.4.10", "4.5.3 4.4.10", ""),
            ("4.5.3 & v4.4.10", "4.5.3 4.4.10", ""),
            ("4.5.3/4.4.10", "4.5.3 4.4.10", ""),
            (">= 4.5.3", "4.5.3", ""),
            (">=4.5.3 || >=4.4.10", "4.5.3 4.4.10", ""),
            ("^4.5.3", "4.5.3", ""),
            ("4.5.3 and later.", "4.5.3", ""),
            ("4.5.3+", "4.5.3", ""),
            ("4.2.0-rc2", "4.2.0-rc.2", ""),
            ("fixed in 4.5.3", "4.5.3", ""),
            ("none", "", "none"),
            ("", "", ""),
            ("4.5.3, nightly.2026-03-10", "4.5.3", "nightly.2026-03-10"),
            ("4.5.3, weird", "4.5.3", "weird"),
            ("> 4.5.2", "", "> 4.5.2"),
            ("< 4.5.3", "", "< 4.5.3"),
            ("4.5", "", "4.5"),
            ("4.5.3 (incomplete), 4.5.4", "", "4.5.3 (incomplete), 4.5.4"),
            ("not in 4.5.3", "", "not in 4.5.3"),
            ("4.5.3 once search is off", "", "4.5.3 once search is off"),
        ] {
            let (patched, rest) = repairs(text);
            let shown: Vec<_> = patched.iter().map(ToString::to_string).collect();
            assert_eq!(
                (shown.join(" ").as_str(), rest.join("|").as_str()),
                (read, unread),
                "{text}"
            );
        }
    }

    #[test]
    fn only_what_is_clearly_another_product_is_left_out() {
        for (ecosystem, package, elsewhere) in [
            ("", "mastodon", false),
            ("", "", false),
            ("npm", "", false),
            ("other", "Mastadon", false),
            ("npm", "mastodon-streaming", false),
            ("npm", "@mastodon/streaming", false),
            ("npm", "Matsodon", false),
            ("", "ghcr.io/mastodon/mastodon-streaming", false),
            ("", "tootsuite/mastodon", false),
            ("rubygems", "tootsuite", false),
            ("", "web", false),
            ("other", "other", false),
            ("", "mastodon (and glitch-soc)", false),
            ("", "glitch-soc", true),
            ("", "Glitch-Soc/mastodon", true),
            ("npm", "other", true),
            ("RubyGems", "nokogiri", true),
        ] {
            let parts = VulnerableParts {
                ecosystem: Some(ecosystem.to_owned()),
                package: Some(package.to_owned()),
                ..Default::default()
            };
            assert_eq!(parts.is_elsewhere(), elsewhere, "{ecosystem}: {package}");
        }
        assert!(!VulnerableParts::default().is_elsewhere());
    }
}
