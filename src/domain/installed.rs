//! Which version runs, and who says so.
//!
//! No single witness can be trusted: a tag can be moved, a Compose file edited and not applied, a page cached.

use serde::{Deserialize, Serialize};

use crate::domain::version::ReleaseVersion;

/// The version that runs, with everything that was said about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The version, as the witness says that is nearest to the running code.
    pub version: ReleaseVersion,
    /// Whose build it is.
    pub origin: Origin,
    /// Every witness that was asked, with its answer.
    pub testimonies: Vec<Testimony>,
    /// Where they disagree, as sentences. While there are any, nothing starts unattended.
    pub disagreements: Vec<String>,
}

/// Whose build runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// Mastodon's own images.
    Upstream,
    /// A fork: upstream's images must never replace it, so it is only notified about.
    Fork {
        /// What it is called: `glitch`, or the image's repository.
        name: String,
    },
    /// One container with everything in it, which migrates by itself at each start (`LinuxServer` and the like).
    AllInOne {
        /// The image's repository.
        name: String,
    },
    /// A tag that points to another build from day to day.
    Moving {
        /// The tag.
        tag: String,
    },
}

/// One witness and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    /// Who was asked.
    pub witness: Witness,
    /// The answer.
    pub said: Said,
}

/// Who can be asked for the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        }
    }
}
