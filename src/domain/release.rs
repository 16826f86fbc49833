//! Releases as their publisher describes them: version, dates, and what the text says about security and upgrading.

mod ids;
mod markdown;
mod minimum;
mod notes;
mod security;
mod step;
mod words;

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::ids::advisory_ids;
pub use self::minimum::{Minimum, NotNumbers, Numbers, Software};
pub use self::notes::{Callout, UpgradeNotes};
pub use self::security::SecuritySignals;
pub use self::step::{Phase, StepKind, UpdateStep};
use crate::domain::version::{NotAVersion, ReleaseVersion};

/// One published release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        let title = title
            .filter(|title| !title.trim().is_empty())
            .unwrap_or_else(|| tag.clone());
        let blocks = markdown::blocks(&body);
        Ok(Self {
            security: SecuritySignals::read(&title, &blocks, &ids),
            pre_release: pre_release || version.is_pre_release(),
            title,
            version,
            tag,
            url,
            published_at,
            updated_at,
            described: !body.trim().is_empty(),
            ids,
            notes: UpgradeNotes::read(&blocks),
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
        assert_eq!(notes.other, ["\u{2139} Requires a full moon"]);
        assert_eq!(notes.unread, notes.other);
        assert_eq!(
            notes.at_least(&Software::Postgresql),
            Some(&Numbers::new([14]))
        );
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
