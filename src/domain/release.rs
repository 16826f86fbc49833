//! Releases as their publisher describes them: version, dates, and what the text says about security and upgrading.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::version::{NotAVersion, ReleaseVersion};

/// One published release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The version that the tag names.
    pub version: ReleaseVersion,
    /// The tag as the publisher wrote it; old ones differ from [`ReleaseVersion::tag`].
    pub tag: String,
    /// The title, or the tag where there is none.
    pub title: String,
    /// Where a person can read about it.
    pub url: Option<String>,
    /// When it was published.
    pub published_at: Timestamp,
    /// When its text was last changed.
    pub updated_at: Option<Timestamp>,
    /// Whether the publisher or the version itself says that this is not a final release.
    pub pre_release: bool,
    /// Whether there is a text at all. Without one, nothing is known about what the release repairs.
    pub described: bool,
    /// What in the text says that this release closes security holes.
    pub security: SecuritySignals,
    /// Every `GHSA-…` and `CVE-…` id in the text, in the usual spelling.
    pub ids: BTreeSet<String>,
    /// What the text says about upgrading.
    pub notes: UpgradeNotes,
    /// When this host saw it first, kept for ever; none where nothing is remembered.
    #[serde(default)]
    pub first_seen: Option<Timestamp>,
    /// Since when the publisher no longer lists it. It is remembered, and never installed.
    #[serde(default)]
    pub gone_since: Option<Timestamp>,
}

/// The plain parts of a release, before anything is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseParts {
    /// The git tag.
    pub tag: String,
    /// The title.
    pub title: Option<String>,
    /// The page of the release.
    pub url: Option<String>,
    /// The publication date.
    pub published_at: Option<Timestamp>,
    /// The date of the last change.
    pub updated_at: Option<Timestamp>,
    /// The publisher's own mark.
    pub pre_release: bool,
    /// The text, in Markdown.
    pub body: String,
}

/// Signs of a security release. Any one of them is enough: advisories follow days later, or never.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "four independent signs")]
pub struct SecuritySignals {
    /// The change log has a heading "Security".
    pub heading: bool,
    /// The text names an advisory.
    pub advisory: bool,
    /// A warning box speaks of security.
    pub warning: bool,
    /// A sentence calls it a security release.
    pub sentence: bool,
}

/// What a release's text says about upgrading to it from the version just before.
///
/// The absence of a mark is not a promise; whoever acts must look at the world as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks of a closed set"
)]
pub struct UpgradeNotes {
    /// Database migrations are due.
    pub migrations: bool,
    /// They may take unusually long.
    pub long_migrations: bool,
    /// They come in two steps, before and after the switch.
    pub two_step: bool,
    /// The streaming server must be restarted.
    pub streaming_restart: bool,
    /// Assets must be compiled; without meaning for ready-made images.
    pub assets: bool,
    /// "Requires …" and :warning: lines that none of the marks above covers, as they stand.
    pub other: Vec<String>,
    /// Boxes such as `> [!WARNING]`.
    pub callouts: Vec<Callout>,
}

/// A box in the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callout {
    /// `warning`, `note`, `tip`, `important` or `caution`.
    pub kind: String,
    /// The text inside, on one line.
    pub text: String,
}

/// Why the parts do not make a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The tag names no version.
    #[error("the release tagged `{tag}` has no readable version")]
    Version {
        /// The tag.
        tag: String,
        /// Why it could not be read.
        #[source]
        source: NotAVersion,
    },
    /// There is no publication date.
    #[error("release `{tag}` has no publication date")]
    NotPublished {
        /// The tag.
        tag: String,
    },
}

impl Release {
    /// Makes a release from its parts.
    pub fn new(parts: ReleaseParts) -> Result<Self, ReleaseError> {
        let ReleaseParts {
            tag,
            title,
            url,
            published_at,
            updated_at,
            pre_release,
            body,
        } = parts;
        let version = version_of_tag(&tag).map_err(|source| ReleaseError::Version {
            tag: tag.clone(),
            source,
        })?;
        let Some(published_at) = published_at else {
            return Err(ReleaseError::NotPublished { tag });
        };
        let ids = advisory_ids(&body);
        let notes = UpgradeNotes::read(&body);
        Ok(Self {
            security: SecuritySignals::read(&body, &ids, &notes),
            pre_release: pre_release || version.is_pre_release(),
            title: title
                .filter(|title| !title.trim().is_empty())
                .unwrap_or_else(|| tag.clone()),
            version,
            tag,
            url,
            published_at,
            updated_at,
            described: !body.trim().is_empty(),
            ids,
            notes,
            first_seen: None,
            gone_since: None,
        })
    }

    /// Since when it has been public, as far as is known here. A publication date that was moved to a later day after
    /// this host had seen the release does not count.
    pub fn known_since(&self) -> Timestamp {
        self.first_seen
            .map_or(self.published_at, |seen| seen.min(self.published_at))
    }

    /// Whether anything says that this release closes security holes.
    pub fn is_security(&self) -> bool {
        !self.security.why().is_empty()
    }
}

impl SecuritySignals {
    /// The signs that were found, as short phrases.
    pub fn why(&self) -> Vec<&'static str> {
        [
            (self.heading, "its change log has a Security section"),
            (self.advisory, "it names security advisories"),
            (self.warning, "a warning box speaks of security"),
            (self.sentence, "it calls itself a security release"),
        ]
        .into_iter()
        .filter_map(|(found, why)| found.then_some(why))
        .collect()
    }

    fn read(body: &str, ids: &BTreeSet<String>, notes: &UpgradeNotes) -> Self {
        let warning = notes.callouts.iter().any(|callout| {
            ["warning", "important", "caution"].contains(&callout.kind.as_str())
                && callout.text.to_ascii_lowercase().contains("security")
        });
        let lower = body.to_ascii_lowercase();
        Self {
            heading: body
                .lines()
                .filter_map(heading)
                .any(|heading| starts_with_word(heading, "security")),
            advisory: !ids.is_empty(),
            warning,
            sentence: ["security release", "security update"]
                .iter()
                .any(|phrase| lower.contains(phrase)),
        }
    }
}

impl UpgradeNotes {
    fn read(body: &str) -> Self {
        let mut notes = Self {
            callouts: callouts(body),
            ..Self::default()
        };
        for line in body.lines() {
            let line = line.trim().trim_end_matches('\\').trim_end();
            notes.read_line(line, &line.to_ascii_lowercase());
        }
        notes
    }

    fn read_line(&mut self, line: &str, lower: &str) {
        let mut known = false;
        let mut mark = |flag: &mut bool, phrases: &[&str]| {
            if phrases.iter().any(|phrase| lower.contains(phrase)) {
                *flag = true;
                known = true;
            }
        };
        mark(&mut self.assets, &["requires assets recompilation"]);
        mark(
            &mut self.streaming_restart,
            &[
                "requires streaming server restart",
                "requires streaming api restart",
            ],
        );
        mark(
            &mut self.migrations,
            &[
                "requires database migration",
                "requires unusually long database migration",
            ],
        );
        mark(
            &mut self.long_migrations,
            &[
                "unusually long database migration",
                "migrations may take a long time",
            ],
        );
        mark(
            &mut self.two_step,
            &["two-step database migration", "requires two-step"],
        );
        mark(
            &mut self.migrations,
            &[
                "two-step database migration",
                "migrations may take a long time",
            ],
        );
        let warns = lower.contains(":warning:") || line.contains('\u{26a0}');
        let marked = line.contains('\u{2139}') || lower.starts_with("requires ");
        if !known && (warns || marked) {
            self.other.push(line.to_owned());
        }
    }
}

/// Every advisory id in a text, in the usual spelling: `CVE-2026-33868`, `GHSA-xqw8-4j56-5hj6`.
pub fn advisory_ids(text: &str) -> BTreeSet<String> {
    let upper = text.to_ascii_uppercase();
    let mut ids = BTreeSet::new();
    for word in upper.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let mut rest = word;
        while let Some(at) = [rest.find("GHSA-"), rest.find("CVE-")]
            .into_iter()
            .flatten()
            .min()
        {
            let (before, candidate) = rest.split_at_checked(at).unwrap_or((rest, ""));
            if !before.ends_with(|c: char| c.is_ascii_alphanumeric()) {
                ids.extend(ghsa(candidate).or_else(|| cve(candidate)));
            }
            rest = candidate.get(1..).unwrap_or("");
        }
    }
    ids
}

/// Two-number tags exist on the oldest releases only; later ones would be a moving tag, and no release.
fn version_of_tag(tag: &str) -> Result<ReleaseVersion, NotAVersion> {
    match ReleaseVersion::parse_partial(tag) {
        Ok((version, true)) if version.line().major > 1 => {
            Err(NotAVersion::Incomplete(tag.to_owned()))
        }
        Ok((version, _)) => Ok(version),
        Err(err) => Err(err),
    }
}

fn ghsa(candidate: &str) -> Option<String> {
    let mut parts = candidate.strip_prefix("GHSA-")?.split('-');
    let mut id = String::from("GHSA");
    for _ in 0..3 {
        let part = parts.next().filter(|part| part.len() == 4)?;
        id.push('-');
        id.push_str(&part.to_ascii_lowercase());
    }
    Some(id)
}

fn cve(candidate: &str) -> Option<String> {
    let mut parts = candidate.strip_prefix("CVE-")?.split('-');
    let digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let year = parts.next().filter(digits).filter(|year| year.len() == 4)?;
    let number = parts
        .next()
        .filter(digits)
        .filter(|number| number.len() >= 4)?;
    Some(format!("CVE-{year}-{number}"))
}

/// The text of a heading line; `None` for any other line.
fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let text = rest.trim_start_matches('#');
    (text.len() < rest.len())
        .then(|| text.trim_matches(|c: char| c == '#' || c == '*' || c.is_whitespace()))
}

fn starts_with_word(text: &str, word: &str) -> bool {
    let first = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|part| !part.is_empty());
    first.is_some_and(|first| first.eq_ignore_ascii_case(word))
}

fn callouts(body: &str) -> Vec<Callout> {
    let mut found: Vec<Callout> = Vec::new();
    let mut open = false;
    for line in body.lines() {
        let Some(quoted) = line.trim_start().strip_prefix('>').map(str::trim) else {
            open = false;
            continue;
        };
        if let Some(kind) = quoted
            .strip_prefix("[!")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            found.push(Callout {
                kind: kind.to_ascii_lowercase(),
                text: String::new(),
            });
            open = true;
        } else if let (true, Some(callout)) = (open, found.last_mut()) {
            if !callout.text.is_empty() {
                callout.text.push(' ');
            }
            callout.text.push_str(quoted);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(tag: &str, body: &str) -> Release {
        let published_at = Some("2026-03-24T15:15:49Z".parse().unwrap());
        Release::new(ReleaseParts {
            tag: tag.to_owned(),
            published_at,
            body: body.to_owned(),
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn ids_are_found_by_their_pattern_in_any_surrounding() {
        let text = "([GHSA-q4g8-82c5-9h33](https://x/GHSA-Q4G8-82C5-9H33), cve-2026-33869) xGHSA-aaaa-bbbb-cccc GHSA-1-2-3 \
                    CVE-20-1234 CVE-2026-123 see:GHSA-xqw8-4j56-5hj6. CVE-2026-33868/CVE-2026-1234567";
        let ids: Vec<_> = advisory_ids(text).into_iter().collect();
        assert_eq!(
            ids,
            [
                "CVE-2026-1234567",
                "CVE-2026-33868",
                "CVE-2026-33869",
                "GHSA-q4g8-82c5-9h33",
                "GHSA-xqw8-4j56-5hj6"
            ]
        );
    }

    #[test]
    fn any_single_sign_makes_a_security_release() {
        for body in [
            "## Changelog\n\n### Security\n\n- x",
            "#### security fixes:",
            "- Fix ([GHSA-q4g8-82c5-9h33](..))",
            "> [!WARNING]\n> A security problem in FFmpeg.",
            "This release is an important security release fixing a flaw",
        ] {
            assert!(release("v4.5.8", body).is_security(), "{body}");
        }
        let quiet = release(
            "v4.5.0",
            "Fixes and changes only; no security section in the change log.\n### Securities",
        );
        assert_eq!(quiet.security.why(), Vec::<&str>::new());
    }

    #[test]
    fn upgrade_marks_are_read_in_both_generations_and_unknown_ones_are_kept() {
        let notes = release(
            "v4.5.0",
            "\u{2139}\u{fe0f} Requires streaming server restart\\\n\u{2139}\u{fe0f} Requires database migrations\n\
             \u{2139}\u{fe0f} Requires a full moon\n- :warning: The minimal PostgreSQL version is now 14\n> [!NOTE]\n> Back up\n> first\n",
        )
        .notes;
        assert!(
            notes.streaming_restart
                && notes.migrations
                && !notes.long_migrations
                && !notes.two_step
        );
        assert_eq!(notes.other.len(), 2, "{:?}", notes.other);
        assert_eq!(
            notes.callouts,
            [Callout {
                kind: "note".to_owned(),
                text: "Back up first".to_owned()
            }]
        );

        let notes = release(
            "v4.0.0",
            "Requires two-step database migration process for zero-downtime deployment\nRequires streaming API restart\n\
             Some migrations may take a long time to run",
        )
        .notes;
        assert!(
            notes.two_step && notes.migrations && notes.long_migrations && notes.streaming_restart
        );
        let notes = release("v4.7.0", "Requires unusually long database migrations").notes;
        assert!(notes.migrations && notes.long_migrations);
    }

    #[test]
    fn what_is_no_release_is_an_error_that_names_the_tag() {
        let parts = |tag: &str| ReleaseParts {
            tag: tag.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            Release::new(parts("v4.5.8")).unwrap_err(),
            ReleaseError::NotPublished {
                tag: "v4.5.8".to_owned()
            }
        );
        assert!(
            Release::new(parts("v4.6"))
                .unwrap_err()
                .to_string()
                .contains("`v4.6`")
        );
        assert_eq!(release("v1.3", "").version.to_string(), "1.3.0");
        assert!(release("v4.2.0-rc2", "").pre_release);
    }
}
