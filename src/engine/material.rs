//! What a run must know of secrets and of the owner's definitions, kept beside the plan.
//!
//! It holds container environments and the text of environment files: it lies in one file of mode 0600,
//! is bound to the plan by its SHA-256, and is never logged, mailed or put into the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::address;
use crate::domain::plan::{ImageKind, Plan, PlannedService, sha256_hex};
use crate::ports::compose::{FileEdit, Generation, ProjectFiles};
use crate::ports::runtime::{Container, Image};

/// Format of the material this program writes.
pub const MATERIAL_FORMAT: u32 = 1;

/// The material of one run.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// [`MATERIAL_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// Every container that will be replaced, as it was when the plan was made, by its id.
    pub containers: BTreeMap<String, Container>,
    /// The images they run.
    pub images: BTreeMap<ImageKind, Image>,
    /// The project's files.
    pub project: ProjectFiles,
    /// The edits that make the files name the new version.
    pub edits: Vec<FileEdit>,
    /// The project's other containers, by id: whatever is not among them later was made during the run. Clocks do not
    /// tell, for somebody may set them.
    #[serde(default)]
    pub bystanders: BTreeSet<String>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material")
            .field("project", &self.project.project)
            .finish_non_exhaustive()
    }
}

/// The material is not the one the plan was made with.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// Its checksum differs.
    #[error("the material of run `{run}` was altered after its plan was made")]
    Altered {
        /// The run.
        run: String,
    },
    /// It cannot be read.
    #[error("the material of run `{run}` cannot be read: {reason}")]
    Unreadable {
        /// The run.
        run: String,
        /// Where; never what.
        reason: String,
    },
}

impl Material {
    /// For a run that nothing more is done about.
    pub(super) fn none() -> Self {
        Self {
            format: MATERIAL_FORMAT,
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            project: ProjectFiles {
                project: String::new(),
                working_dir: PathBuf::new(),
                config_files: Vec::new(),
                env_file: None,
                generation: Generation::V2,
            },
            edits: Vec::new(),
            bystanders: BTreeSet::new(),
        }
    }

    /// As text, for the file.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads the text that belongs to `plan`.
    pub fn parse(text: &str, plan: &Plan) -> Result<Self, MaterialError> {
        if sha256_hex(text.as_bytes()) != plan.material_sha256 {
            return Err(MaterialError::Altered {
                run: plan.run.clone(),
            });
        }
        serde_json::from_str(text).map_err(|err| MaterialError::Unreadable {
            run: plan.run.clone(),
            reason: format!("line {}, column {}", err.line(), err.column()),
        })
    }

    /// The recorded container of a planned service.
    pub fn container(&self, service: &PlannedService) -> Option<&Container> {
        self.containers.get(&service.id)
    }

    /// Password of the database role, empty when there is none.
    pub fn database_password(&self) -> SecretString {
        let address = self.web().and_then(|web| address::database(&web.env).ok());
        address.map(|it| it.server.password).unwrap_or_default()
    }

    /// Password of Redis, empty when there is none.
    pub fn redis_password(&self) -> SecretString {
        let address = self.web().and_then(|web| address::redis(&web.env).ok());
        address.map(|it| it.server.password).unwrap_or_default()
    }

    /// The database of Redis that Mastodon uses, by its number.
    pub(super) fn redis_number(&self) -> u32 {
        let address = self.web().and_then(|web| address::redis(&web.env).ok());
        address.map_or(0, |it| it.number)
    }

    /// A text without the values of secrets: what a container wrote last goes into journal and mail.
    pub fn masked(&self, text: String) -> String {
        /// Shorter values stand in texts by chance.
        const SHORTEST: usize = 8;
        let environments = self.containers.values().map(|container| &container.env);
        let named = ["SECRET", "PASS", "KEY", "TOKEN"];
        let is_named = |key: &str| named.iter().any(|word| key.contains(word));
        let mut secrets: Vec<String> = environments
            .flat_map(|env| {
                let entries = env.iter().filter(|(key, _)| is_named(key));
                let values = entries.map(|(_, value)| value.clone());
                values.chain(address::passwords(env))
            })
            .filter(|value| value.len() >= SHORTEST)
            .collect();
        // One may be a part of another.
        secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
        secrets
            .iter()
            .fold(text, |text, value| text.replace(value.as_str(), "[secret]"))
    }

    /// Web's container as it was when the plan was made: the others may have another environment.
    fn web(&self) -> Option<&Container> {
        let runs_web = |container: &&Container| {
            let command = container.command.join(" ");
            ["puma", "rails s"].iter().any(|it| command.contains(it))
        };
        self.containers.values().find(runs_web)
    }
}
