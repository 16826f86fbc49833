//! Pull: the new images by digest, checked against the release.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::event::Finding;
use crate::domain::plan::{ImageKind, PlannedImage};
use crate::engine::{Ctx, Ports, Progress, StepError};
use crate::ports::compose::ComposeProject;
use crate::ports::database::Database;
use crate::ports::runtime::{
    ContainerRuntime, INSTANCE_LABEL, Image, PullProgress, ROLE_LABEL, RUN_LABEL,
};

/// Where the official images keep the application.
pub(crate) const APP: &str = "/opt/mastodon";

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn pull(&self) -> Result<Finding, StepError> {
        let mut image_ids = Vec::new();
        let mut main = None;
        for planned in &self.plan.images {
            let image = self.pull_one(planned).await?;
            image_ids.push(image.id.clone());
            if planned.kind == ImageKind::Main {
                main = Some(image.id);
            }
        }
        let main =
            main.ok_or_else(|| StepError::Host("the plan names no main image".to_owned()))?;
        let password = self.material.database_password();
        let applied = self
            .ports
            .database()
            .schema_versions(&self.plan.database, &password)
            .await?;
        let (pending, pending_post) = match &self.plan.restore {
            None => self.pending_in(&main, &applied).await?,
            Some(restore) => self.pending_of(restore, &main, &applied).await?,
        };
        // Asked before the site is closed: Compose's answer is needed for the new containers' labels, and
        // Compose v1 can give it only once the new images are here.
        let (project, edits) = (&self.material.project, &self.material.edits);
        let services = self.service_names();
        let config_hashes = self
            .ports
            .compose()
            .hashes(project, edits, &services)
            .await?;
        Ok(Finding::Pulled {
            image_ids,
            pending,
            pending_post,
            config_hashes,
            brings_data: self.plan.brings_data().is_some(),
        })
    }

    async fn pull_one(&self, planned: &PlannedImage) -> Result<Image, StepError> {
        let runtime = self.ports.runtime();
        // The old image gets its tag of ours first: no outside prune may take the way back.
        runtime
            .ensure_tag(&planned.from_id, &self.plan.keep_reference(planned, false))
            .await?;
        let image = self.pull_without_keeping(planned).await?;
        runtime
            .ensure_tag(&image.id, &self.plan.keep_reference(planned, true))
            .await?;
        Ok(image)
    }

    /// Brings a new image to this host under its own name, and checks it.
    pub(crate) async fn pull_without_keeping(
        &self,
        planned: &PlannedImage,
    ) -> Result<Image, StepError> {
        let runtime = self.ports.runtime();
        let reference = &planned.to_reference;
        let report = |progress: PullProgress| {
            (self.progress)(Progress::Pull {
                image: reference.clone(),
                done: progress.done,
                total: progress.total,
            });
        };
        let limit = Duration::from_secs(self.plan.limits.pull_s);
        let image = runtime
            .ensure_image(&planned.repository, &planned.to_digest, limit, &report)
            .await?;
        self.check_image(planned, &image).await?;
        runtime.ensure_tag(&image.id, reference).await?;
        Ok(image)
    }

    async fn check_image(&self, planned: &PlannedImage, image: &Image) -> Result<(), StepError> {
        let host = self.ports.runtime().info().await?.platform;
        if image.platform != host {
            return Err(StepError::Host(format!(
                "image {} is for {}, this host is {host}",
                planned.to_reference, image.platform
            )));
        }
        let restore = self.plan.restore.as_ref();
        let ran = restore.map_or(&[][..], |restore| restore.image_ids.as_slice());
        if !ran.is_empty() && !ran.contains(&image.id) {
            return Err(StepError::Host(format!(
                "image {} is not the one that ran here: its tag was moved since",
                planned.to_reference
            )));
        }
        let Some(wanted) = &self.plan.expected_commit else {
            return Ok(());
        };
        match image.env.get("SOURCE_COMMIT") {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(StepError::Target(format!(
                "image {} was built from commit {found}, but release {} is commit {wanted}; \
                 somebody moved the tag, or the image is not what it says",
                planned.to_reference, self.plan.to
            ))),
            // Only the main image carries it in every line.
            None if planned.kind == ImageKind::Streaming => Ok(()),
            None => Err(StepError::Target(format!(
                "image {} does not say which commit it was built from",
                planned.to_reference
            ))),
        }
    }

    /// Migrations in an image that `applied` lacks: those before and those after the deployment.
    pub(crate) async fn pending_in(
        &self,
        image_id: &str,
        applied: &BTreeSet<String>,
    ) -> Result<(Vec<String>, Vec<String>), StepError> {
        let labels: BTreeMap<String, String> = [
            (RUN_LABEL.to_owned(), self.plan.run.clone()),
            (ROLE_LABEL.to_owned(), "files".to_owned()),
            (INSTANCE_LABEL.to_owned(), self.plan.instance.clone()),
        ]
        .into();
        let mut pending = Vec::new();
        for folder in ["db/migrate", "db/post_migrate"] {
            let path = format!("{APP}/{folder}");
            let names = self
                .ports
                .runtime()
                .files_in_image(image_id, &path, &labels)
                .await?;
            let versions = versions(&names);
            if folder == "db/migrate" && versions.is_empty() {
                return Err(StepError::Host(format!(
                    "no migrations at {path} in the new image; is it an official Mastodon image?"
                )));
            }
            pending.push(versions.difference(applied).cloned().collect::<Vec<_>>());
        }
        let post = pending.pop().unwrap_or_default();
        Ok((pending.pop().unwrap_or_default(), post))
    }
}

/// The version numbers that migration files' names begin with.
pub(crate) fn versions(names: &[String]) -> BTreeSet<String> {
    names
        .iter()
        .filter_map(|name| name.strip_suffix(".rb")?.split('_').next())
        .filter(|version| version.len() == 14 && version.bytes().all(|b| b.is_ascii_digit()))
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migrations_version_is_the_number_its_file_begins_with() {
        let names = [
            "20240101000000_add_x.rb",
            "schema.rb",
            "20230101000000_y.rb",
            "2024_z.rb",
        ]
        .map(ToOwned::to_owned);
        let expected: BTreeSet<String> = ["20230101000000", "20240101000000"]
            .map(ToOwned::to_owned)
            .into();
        assert_eq!(versions(&names), expected);
    }
}
