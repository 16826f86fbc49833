//! Which version runs, and who says so.
//!
//! No single witness can be trusted: a tag can be moved, a Compose file edited and not applied, a page cached. So all are
//! asked, the one nearest to the running code is believed, and whoever contradicts it is named:
//!
//! 1. `/api/v2/instance` of the running web: the process itself speaks.
//! 2. `tootctl --version` in the running web container: the files it was started from.
//! 3. The tags of the images: what somebody meant to run.
//!
//! The image's environment and the database's schema name no version; they fit the others or they do not. `NodeInfo` is
//! not asked: Mastodon keeps it in Redis across updates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::version::ReleaseVersion;

mod origin;
mod weigh;

pub use origin::{Builder, ImageName};
pub use weigh::{BuildSeen, Evidence, ImageSeen, NoVersion, SchemaSeen, read_version};

/// The version that runs, with everything that was said about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Installed {
    /// The version, as the witness says that is nearest to the running code.
    pub version: ReleaseVersion,
    /// Whose build it is.
    pub origin: Origin,
    /// Every witness that was asked, with its answer.
    pub testimonies: Vec<Testimony>,
    /// Where they disagree, as sentences that say what to do. While there are any, nothing starts unattended.
    pub disagreements: Vec<String>,
    /// The commit that the main image was built from, as the image says; to be compared with the tag's.
    #[serde(default)]
    pub commit: Option<String>,
}

/// Whose build runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// Mastodon's own images.
    Upstream,
    /// A fork: upstream's images must never replace it, so it is only notified about.
    Fork {
        /// What it is called: the mark in its version (`glitch`), or the image's repository.
        name: String,
    },
    /// One container with everything in it, which migrates by itself at each start (`LinuxServer` and the like).
    AllInOne {
        /// The image's repository.
        name: String,
    },
    /// A tag that names no release: it points to another build from day to day, or to one that nobody published.
    Moving {
        /// The tag.
        tag: String,
    },
}

/// One witness and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Testimony {
    /// Who was asked.
    pub witness: Witness,
    /// The answer.
    pub said: Said,
}

/// Who can be asked for the version.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// `/api/v2/instance` of the running web.
    Api,
    /// `tootctl --version` in the running web container.
    Tootctl,
    /// What the image's environment says of its build.
    ImageEnvironment,
    /// The tags of the images.
    ImageTag,
    /// `schema_migrations` against the migrations in the running image.
    Schema,
}

/// What a witness said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Said {
    /// This version.
    Version {
        /// The version.
        version: ReleaseVersion,
    },
    /// No version, but nothing against the others either.
    Fits {
        /// What was found, in a sentence.
        what: String,
    },
    /// No version, and something that does not fit.
    Conflict {
        /// What was found, in a sentence.
        what: String,
    },
    /// Nothing.
    Silent {
        /// Why, in a sentence.
        why: String,
    },
}

impl Origin {
    /// Whether the images are Mastodon's own, with a tag that names one release.
    pub const fn is_upstream(&self) -> bool {
        matches!(self, Self::Upstream)
    }
}

impl Installed {
    /// A version of Mastodon's own about which nobody was asked: for tests and what-if questions.
    pub const fn taken_for_granted(version: ReleaseVersion) -> Self {
        Self {
            version,
            origin: Origin::Upstream,
            testimonies: Vec::new(),
            disagreements: Vec::new(),
            commit: None,
        }
    }

    /// Weighs what was found. The same evidence gives the same answer.
    ///
    /// The version is the first that a witness names, in the order of precedence above; every other witness that names
    /// another version, and every sign that does not fit, is a disagreement. What a fork adds to upstream's number counts
    /// as the same number only where the image is the fork's own.
    pub fn weigh(evidence: &Evidence) -> Result<Self, NoVersion> {
        weigh::weigh(evidence)
    }

    /// Why nothing of this origin is updated unattended, as a sentence; none for Mastodon's own images.
    pub fn origin_refusal(&self) -> Option<String> {
        self.origin.refusal(&self.version)
    }
}

impl Origin {
    /// Why nothing of this origin is updated unattended, as a sentence; none for Mastodon's own images.
    pub fn refusal(&self, version: &ReleaseVersion) -> Option<String> {
        match self {
            Self::Upstream => None,
            Self::Fork { name } => Some(format!(
                "What runs is a build of its own, `{name}`: upstream's images must not replace it, so mastopatch only \
                 tells about releases. If these are Mastodon's own images from a registry of yours, name them with \
                 main_image and streaming_image."
            )),
            Self::AllInOne { name } => Some(format!(
                "`{name}` is one container with everything in it, which migrates the database by itself at each start: \
                 there is no moment at which mastopatch could take it back, so it only tells about releases. Update it \
                 as its publisher says, or move to Mastodon's own images."
            )),
            Self::Moving { tag } => Some(format!(
                "Tag `{tag}` names no release and may point to another build tomorrow; set the tag of the release you \
                 run ({}) in the Compose file.",
                version.tag()
            )),
        }
    }
}

impl Witness {
    /// The witness, as a subject.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "the running web",
            Self::Tootctl => "tootctl in web's container",
            Self::ImageEnvironment => "the image's environment",
            Self::ImageTag => "the image's tag",
            Self::Schema => "the database's schema",
        }
    }
}

#[cfg(test)]
mod tests;
