//! The steps of an update, as far as their words can be understood.

mod keys;
mod read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::keys::{Verdict, verdict};
pub(super) use self::read::{Reading, read};
use crate::domain::version::ReleaseVersion;

/// One step that a release's text asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateStep {
    /// What it is. A sentence that asks for several things makes several steps.
    #[serde(flatten)]
    pub kind: StepKind,
    /// Its words, on one line.
    pub text: String,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StepKind {
    /// Restart what belongs to Mastodon.
    RestartAll,
    /// Run the database's migrations.
    Migrate {
        /// Which of them.
        phase: Phase,
    },
    /// Fetch the new images.
    Pull,
    /// Compile assets, install libraries: has no meaning for ready-made images.
    Precompile,
    /// Environment keys that must be set from now on.
    NewKey {
        /// The keys.
        keys: Vec<String>,
    },
    /// Environment keys with which the new version does not start.
    RefusedKey {
        /// The keys.
        keys: Vec<String>,
    },
    /// Environment keys that mean nothing any more.
    UnusedKey {
        /// The keys.
        keys: Vec<String>,
    },
    /// Streaming gets an image of its own.
    ImageSplit,
    /// The search index must be made or refreshed, where there is one.
    SearchDeploy,
    /// Something in the Compose file must change.
    ComposeChange,
    /// Something is no longer supported, or a newer one is required.
    NoLongerSupported {
        /// Whether all of it was read as minimums, so that a host can be compared with it.
        compared: bool,
    },
    /// The migrations refuse a schema that is older than this version's.
    SchemaFloor {
        /// The version.
        at_least: ReleaseVersion,
    },
    /// The steps start from this version; from an older one the notes of every release in between count, too.
    ReadSkippedNotes {
        /// The version.
        from: ReleaseVersion,
    },
    /// Not understood.
    Other,
}

/// Which migrations, as seen from the switch to the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Those before it.
    Pre,
    /// Those after it.
    Post,
    /// Both, or the text does not say.
    Both,
}

impl UpdateStep {
    /// Whether a person must do it, or at least have read it.
    ///
    /// What an update does by itself (restart, migrate, pull), what has no meaning for images, and what is compared with
    /// the host anyway need nobody. Everything else does, above all what was not understood.
    pub const fn needs_person(&self) -> bool {
        match &self.kind {
            StepKind::RestartAll
            | StepKind::Migrate { .. }
            | StepKind::Pull
            | StepKind::Precompile
            | StepKind::UnusedKey { .. }
            | StepKind::NoLongerSupported { compared: true }
            | StepKind::SchemaFloor { .. }
            | StepKind::ReadSkippedNotes { .. } => false,
            StepKind::NewKey { .. }
            | StepKind::RefusedKey { .. }
            | StepKind::ImageSplit
            | StepKind::SearchDeploy
            | StepKind::ComposeChange
            | StepKind::NoLongerSupported { compared: false }
            | StepKind::Other => true,
        }
    }
}
