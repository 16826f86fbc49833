//! Signs that a release closes security holes.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::advisory_ids;
use super::markdown::{Block, Kind, Part};
use super::words::{Phrase, listed};
use crate::domain::advisory::Exploitation;
use crate::domain::advisory::exploited::told;

/// Signs of a security release. Any one of them is enough: advisories follow days later, or never.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent signs")]
pub struct SecuritySignals {
    /// The change log has a heading "Security".
    pub heading: bool,
    /// The text names an advisory.
    pub advisory: bool,
    /// A warning box speaks of security.
    pub warning: bool,
    /// A sentence calls it a security release, names a vulnerability, or urges to update at once.
    pub sentence: bool,
    /// All it does is to change what the container image carries, or it switches a file format off: the shape of a repair
    /// for which there is no advisory of Mastodon's.
    pub container: bool,
    /// Whether everything about security in it is about the container image. No reason to wait: the image is what runs.
    pub container_only: bool,
    /// Whether it says that attackers use one of the holes.
    #[serde(default)]
    pub exploited: bool,
}

impl SecuritySignals {
    /// The signs that were found, as short phrases.
    pub fn why(&self) -> Vec<&'static str> {
        [
            (self.heading, "its change log has a Security section"),
            (self.advisory, "it names security advisories"),
            (self.warning, "a warning box speaks of security"),
            (self.sentence, "it calls itself a security release"),
            (
                self.container,
                "it replaces parts of the container image, or switches a file format off",
            ),
        ]
        .into_iter()
        .filter_map(|(found, why)| found.then_some(why))
        .collect()
    }

    pub(super) fn read(title: &str, blocks: &[Block], ids: &BTreeSet<String>) -> Self {
        let mut found = Self {
            heading: blocks.iter().any(is_security_heading),
            advisory: !ids.is_empty(),
            warning: blocks.iter().any(warns_of_security),
            sentence: speaks_of_security(title)
                || blocks
                    .iter()
                    .any(|block| speaks_of_security(&block.text) || urges(block))
                || speaks_of_security(&paragraphs(blocks)),
            container: only_changes_the_container(blocks),
            container_only: false,
            exploited: blocks
                .iter()
                .any(|block| told(&block.text).0 == Exploitation::Reported),
        };
        let any = !found.why().is_empty();
        let of_mastodon = ids.iter().any(|id| id.starts_with("GHSA-"));
        let container_alone = found.why().len() == 1 && found.container;
        found.container_only =
            any && !of_mastodon && (container_alone || is_about_the_container(blocks));
        found
    }
}

/// What may stand behind "security" in a sentence that means a repair.
const BEHIND_SECURITY: &str = "advisories advisory critical bug bugs bypass concern concerns fix fixed fixes flaw flaws hardening hole holes \
    hotfix hotfixes impact implications improvement improvements incident issue issues patch patches problem problems reason reasons \
    related release releases relevant sensitive risk risks update updates upgrade upgrades vulnerabilities vulnerability weakness weaknesses";

/// Words that may stand between "no" and what it denies.
const BETWEEN: &str = "a additional an any bring brings brought be been being considered contain contained containing contains critical \
    direct fix fixes further have has important include included includes including is known major new of other related \
    specific the";

/// Words that deny what follows.
const NO: [&str; 13] = [
    "no",
    "not",
    "non",
    "without",
    "nor",
    "never",
    "zero",
    "isn't",
    "doesn't",
    "don't",
    "aren't",
    "isn\u{2019}t",
    "doesn\u{2019}t",
];

/// Rows of words that name a hole.
const HOLES: [&str; 16] = [
    "denial of service",
    "remote code execution",
    "privilege escalation",
    "code injection",
    "sql injection",
    "cross site scripting",
    "path traversal",
    "directory traversal",
    "information disclosure",
    "information leak",
    "authentication bypass",
    "authorization bypass",
    "critical flaw",
    "critical flaws",
    "major flaw",
    "major flaws",
];

/// A heading, or a label before a list's entry: `- **Security**: …`.
fn is_security_heading(block: &Block) -> bool {
    let words = words(&block.text);
    match block.kind {
        Kind::Heading { .. } => means_security(&words),
        Kind::Item | Kind::Paragraph | Kind::Callout(_) => {
            let label = block.text.split_once(':').map_or("", |(label, _)| label);
            let label = self::words(label);
            (label.len() <= 3 && means_security(&label))
                || (words.len() <= 2 && words.first().is_some_and(|word| word == "security"))
        }
    }
}

fn warns_of_security(block: &Block) -> bool {
    let warns = match &block.kind {
        Kind::Callout(kind) => ["warning", "important", "caution"].contains(&kind.as_str()),
        Kind::Item | Kind::Paragraph => block.text.starts_with('\u{26a0}'),
        Kind::Heading { .. } => false,
    };
    warns && means_security(&words(&block.text))
}

/// Whether a row of words has one about security in it that is not denied.
fn means_security(words: &[String]) -> bool {
    words
        .iter()
        .enumerate()
        .any(|(at, word)| (word == "security" || is_hole(word)) && !is_denied(words, at))
}

fn speaks_of_security(text: &str) -> bool {
    let words = words(text);
    let single = words.iter().enumerate().any(|(at, word)| {
        let next = words.get(at.saturating_add(1)).map_or("", String::as_str);
        let repair = word == "security" && listed(BEHIND_SECURITY, next);
        (repair || is_hole(word)) && !is_denied(&words, at)
    });
    single
        || HOLES.iter().any(|hole| {
            let hole: Vec<&str> = hole.split(' ').collect();
            words
                .windows(hole.len())
                .enumerate()
                .any(|(at, row)| row.iter().eq(hole.iter()) && !is_denied(&words, at))
        })
}

fn is_hole(word: &str) -> bool {
    word.starts_with("vulnerab")
        || word.starts_with("exploit")
        || ["xss", "ssrf", "rce", "cve", "cves", "ghsa"].contains(&word)
}

/// Whether "no" or its like stands before the word, with nothing in between but words that carry it on.
fn is_denied(words: &[String], at: usize) -> bool {
    let before = words.get(..at).unwrap_or(&[]);
    let denier = before.iter().rposition(|word| !listed(BETWEEN, word));
    let Some(denier) = denier else {
        return false;
    };
    let only = before
        .get(denier.saturating_add(1))
        .is_some_and(|word| ["only", "just", "merely"].contains(&word.as_str()));
    before
        .get(denier)
        .is_some_and(|word| NO.contains(&word.as_str()))
        && !only
}

/// "We strongly recommend upgrading as soon as possible", anywhere but in the list of changes.
fn urges(block: &Block) -> bool {
    if matches!(block.part, Part::Changelog | Part::Security) {
        return false;
    }
    let phrase = Phrase::of(&block.text);
    let has = |rows: &str| phrase.has(rows);
    // What was shipped before is not in this release.
    let looks_back = has("were shipped|was shipped|were released|was released|were published")
        && has("before|earlier|previously");
    has("upgrade|upgrading|update|updating|upgraded|updated|patch|install")
        && has(
            "as soon as possible|immediately|at once|asap|without delay|right away|urgently|promptly|as soon as you can|as quickly as possible",
        )
        && has(
            "recommend|recommended|recommends|advise|advised|urge|urged|encourage|encouraged|should|must|please|everyone|everybody|all servers|all administrators|all admins",
        )
        && !looks_back
}

/// Whether the list of changes (or, where there is none, the text) holds nothing but changes to the image.
fn only_changes_the_container(blocks: &[Block]) -> bool {
    let changes: Vec<&Block> = changes(blocks);
    if changes
        .iter()
        .any(|block| switches_a_format_off(&block.text))
    {
        return true;
    }
    if !changes.is_empty() {
        return changes
            .iter()
            .all(|block| carries_container_words(&words(&block.text)));
    }
    // Without a list of changes under a heading: the list there is, or else any sentence.
    let of = |kind: &Kind| -> Vec<&Block> {
        blocks
            .iter()
            .filter(|block| block.part == Part::Other && block.kind == *kind)
            .collect()
    };
    let container =
        |block: &&Block| changes_the_container(&block.text) || switches_a_format_off(&block.text);
    let items = of(&Kind::Item);
    if items.is_empty() {
        of(&Kind::Paragraph).iter().any(container)
    } else {
        items.iter().all(container)
    }
}

/// Whether all that bears on security is about the image: the entries under Security, or else those that speak of it.
fn is_about_the_container(blocks: &[Block]) -> bool {
    let container =
        |block: &&Block| changes_the_container(&block.text) || switches_a_format_off(&block.text);
    let bears = |block: &&Block| {
        speaks_of_security(&block.text)
            || !advisory_ids(&block.text).is_empty()
            || is_security_heading(block)
            || switches_a_format_off(&block.text)
    };
    let all = changes(blocks);
    let of_security: Vec<&Block> = all
        .iter()
        .copied()
        .filter(|block| block.part == Part::Security)
        .collect();
    let rows = [
        of_security,
        all.iter().copied().filter(bears).collect(),
        all,
        blocks
            .iter()
            .filter(|block| !matches!(block.kind, Kind::Heading { .. }))
            .filter(bears)
            .collect(),
        blocks
            .iter()
            .filter(|block| block.part == Part::Other && container(block))
            .collect(),
    ];
    rows.iter()
        .find(|row| !row.is_empty())
        .is_some_and(|row| row.iter().all(container))
}

fn changes(blocks: &[Block]) -> Vec<&Block> {
    blocks
        .iter()
        .filter(|block| matches!(block.part, Part::Changelog | Part::Security))
        .filter(|block| matches!(block.kind, Kind::Item | Kind::Paragraph))
        .collect()
}

/// "Update `FFmpeg` in the Docker images", "base image rebuilt".
fn changes_the_container(text: &str) -> bool {
    const CHANGES: [&str; 17] = [
        "updat", "upgrad", "bump", "rebuil", "switch", "swap", "replac", "disabl", "remov",
        "patch", "downgrad", "pin", "refresh", "drop", "hotfix", "reject", "block",
    ];
    let words = words(text);
    words
        .iter()
        .any(|word| CHANGES.iter().any(|change| word.starts_with(change)))
        && carries_container_words(&words)
}

/// Formats of media that decoders have had holes in, or may have.
const FORMATS: &str = "av1 avi avif bmp flac gif h264 h265 heic heif hevc jpegxl jxl mkv mov mp3 mp4 ogg opus pdf psd svg tiff wav \
    webm webp";

/// "Disable processing of AVIF files".
fn switches_a_format_off(text: &str) -> bool {
    const OFF: [&str; 7] = [
        "disabl", "reject", "refus", "block", "forbid", "stop", "remov",
    ];
    const HANDLING: [&str; 12] = [
        "processing",
        "decoding",
        "transcoding",
        "decoder",
        "decoders",
        "demuxer",
        "demuxers",
        "coder",
        "coders",
        "codec",
        "codecs",
        "loaders",
    ];
    let words = words(text);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let off = words
        .iter()
        .any(|word| OFF.iter().any(|off| word.starts_with(off)));
    let of_media = has(&[
        "file",
        "files",
        "format",
        "formats",
        "image",
        "images",
        "video",
        "videos",
        "audio",
        "media",
        "attachments",
        "uploads",
    ]) || carries_container_words(&words);
    let phrase = Phrase::of(text);
    let off = off || phrase.has("switch off|switched off|switches off|turn off|turned off");
    let support = phrase.has("support|handling") && words.iter().any(|word| listed(FORMATS, word));
    off && (support || (has(&HANDLING) && of_media))
}

fn carries_container_words(words: &[String]) -> bool {
    const PARTS: [&str; 18] = [
        "docker",
        "dockerfile",
        "container",
        "containers",
        "ffmpeg",
        "libvips",
        "vips",
        "imagemagick",
        "libheif",
        "libde265",
        "libjxl",
        "libwebp",
        "libavif",
        "libpng",
        "openssl",
        "debian",
        "alpine",
        "glibc",
    ];
    words.iter().any(|word| PARTS.contains(&word.as_str()))
        || words
            .windows(2)
            .any(|pair| pair == ["base", "image"] || pair == ["base", "images"])
}

/// Sentences that run over several lines, in one.
fn paragraphs(blocks: &[Block]) -> String {
    let texts = blocks
        .iter()
        .filter(|block| block.kind == Kind::Paragraph)
        .map(|block| block.text.as_str());
    texts.collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| {
            (!c.is_alphanumeric() && !['\'', '\u{2019}'].contains(&c)) || c == '\u{2139}'
        })
        .map(|word| word.trim_matches(['\'', '\u{2019}']))
        .filter(|word| !word.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::markdown::blocks;
    use super::*;

    fn signals(body: &str) -> SecuritySignals {
        SecuritySignals::read("", &blocks(body), &advisory_ids(body))
    }

    #[test]
    fn any_single_sign_makes_a_security_release() {
        for body in [
            "## Changelog\n\n### Security\n\n- x",
            "#### security fixes:",
            "**Security**\n- x",
            "### :lock: Security",
            "### \u{1f512} SECURITY",
            "Security\n--------",
            "###### Fixed vulnerabilities",
            "- **Security**: x",
            "<h3>Security</h3>",
            "- Fix ([GHSA-q4g8-82c5-9h33](..))",
            "<!-- GHSA-q4g8-82c5-9h33 -->",
            "> [!WARNING]\n> A security problem in FFmpeg.",
            "> > [!caution]\n> > Security!",
            ":warning: This is about security",
            "This release is an important security release fixing a flaw",
            "This is an important\nsecurity\nrelease",
            "This release fixes a critical vulnerability.",
            "It is not only a security release",
            "We strongly recommend upgrading as soon as possible.",
            "Everyone should update at once",
            "- Fix denial of service in the parser",
            "There are no security fixes in Mastodon itself, but a vulnerability in FFmpeg is closed",
            "If you have not upgraded yet: important security release",
        ] {
            assert!(!signals(body).why().is_empty(), "{body}");
        }
        assert!(SecuritySignals::read("v4.5.9 (security release)", &[], &BTreeSet::new()).sentence);
    }

    #[test]
    fn a_sign_that_is_denied_is_none() {
        for body in [
            "Fixes and changes only; no security section in the change log.",
            "### Securities",
            "This is not a security release.",
            "This release contains no security fixes.",
            "This release does not contain any security fixes.",
            "It doesn't include known vulnerabilities",
            "A non-security release",
            "### No security fixes",
            "> [!WARNING]\n> This is not a security release",
            "- Fix counters not updating immediately",
            "- Add support for security keys",
            "Update your instance as soon as you like",
            "> [!WARNING]\n> Critical fixes were shipped shortly before; anyone on 4.1.2 or older should update at once.",
            "```\n# security fixes\n## Security\n```",
        ] {
            let found = signals(body);
            let in_code = body.starts_with("```");
            assert!(
                found.why().is_empty() || in_code,
                "{body}: {:?}",
                found.why()
            );
            assert!(!found.heading, "{body}");
        }
    }

    #[test]
    fn a_release_that_only_repairs_the_image_is_recognised() {
        for body in [
            "## Changelog\n### Security\n- Update FFmpeg in the Docker images to fix CVE-2026-1234",
            "## Changelog\n- Container images rebuilt to address vulnerabilities in libvips",
            "## Changelog\n### Changed\n- Disable processing of AVIF files because of a security issue in ffmpeg",
            "## Changelog\n### Changed\n- Update FFmpeg to 7.1.3 in the container images",
            "## Changelog\n- Update base image to Debian trixie\n- Bump libvips to 8.17.2",
            "## Changelog\n- Disable decoding of HEIC files",
            "## Changelog\n- Switch off AVIF support\n- Fix a typo",
            "## Changelog\n- Container image: FFmpeg 7.1.2",
            "This is a hotfix for the container image only: FFmpeg 7.1.2",
            "This release only updates FFmpeg in the Docker images.",
            "> [!IMPORTANT]\n> This is a security release.\n## Changelog\n### Security\n- Bump ffmpeg in Docker (CVE-2026-1234)",
        ] {
            let found = signals(body);
            assert!(!found.why().is_empty(), "{body}");
            assert!(found.container_only, "{body}: {found:?}");
        }
        for body in [
            "## Changelog\n### Security\n- Update FFmpeg in the Docker images\n- Fix a redirect",
            "## Changelog\n### Security\n- Bump ffmpeg in Docker (GHSA-q4g8-82c5-9h33)",
            "## Changelog\n### Security\n- Dependency updates",
            "## Changelog\n### Security\n- Fix requests to Docker containers being possible",
        ] {
            let found = signals(body);
            assert!(
                !found.why().is_empty() && !found.container_only,
                "{body}: {found:?}"
            );
        }
        // One such change among others is the everyday case.
        let usual = signals(
            "## Changelog\n### Changed\n- Update FFmpeg in the Docker images\n### Fixed\n- Fix a typo",
        );
        assert_eq!(usual.why(), Vec::<&str>::new());
        let usual = signals("- Update FFmpeg in the Docker images\n- Fix a typo");
        assert_eq!(usual.why(), Vec::<&str>::new());
    }
}
