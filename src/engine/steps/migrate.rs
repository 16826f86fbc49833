//! Migrate: the new version's migrations, from the new image, in a container of their own.

use std::time::Duration;

use crate::domain::event::{Finding, MigrationClass};
use crate::domain::plan::{ImageKind, Method, PlannedService, Role};
use crate::domain::run::RunState;
use crate::engine::probes::tail;
use crate::engine::steps::role;
use crate::engine::steps::snapshot::count;
use crate::engine::{Ctx, Ports, StepError, chain};
use crate::ports::database::Database;
use crate::ports::files::{Mark, RunFiles};
use crate::ports::runtime::{
    Container, ContainerRuntime, INSTANCE_LABEL, Image, OneOff, ROLE_LABEL, RUN_LABEL, Replacement,
    RuntimeError,
};

/// Lines of a one-off's output that are kept for the error.
const LOG_LINES: usize = 60;

impl<P: Ports> Ctx<'_, P> {
    /// Everything in one `db:migrate`: behind the fence there is no difference between migrations before
    /// and after the deployment, and one boot less.
    pub(super) async fn migrate(&self, state: &RunState) -> Result<Finding, StepError> {
        if state.class() == Some(MigrationClass::M0) {
            return Ok(Finding::Skipped {
                because: "no migration is pending".to_owned(),
            });
        }
        self.fence_stands(state)
            .await
            .map_err(|err| StepError::NotBegun(chain(&err)))?;
        let web = self.first(Role::Web)?;
        let main = self.new_image(ImageKind::Main).await?;
        let password = self.material.database_password();
        let database = self.ports.database();
        let before = database
            .schema_versions(&self.plan.database, &password)
            .await?;
        let one_off = OneOff {
            command: ["bundle", "exec", "rails", "db:migrate"]
                .map(str::to_owned)
                .into(),
            networks: web.private_networks.clone(),
            ..OneOff::default()
        };
        self.ports
            .files()
            .set_mark(&self.plan.run, Mark::Migrating)?;
        if self.plan.method == Method::Clone {
            self.put_original_aside().await?;
        }
        if let Some(restore) = self.plan.brings_data() {
            return self.put_data_in(restore).await;
        }
        let id = self.ensure_one_off(web, role::MIGRATE, one_off).await?;
        let runtime = self.ports.runtime();
        runtime.ensure_running(&id).await?;
        let limit = Duration::from_secs(self.plan.limits.migrate_s);
        let exit = match runtime.wait(&id, limit).await {
            Ok(exit) => exit,
            Err(RuntimeError::TimedOut { .. }) => {
                let logs = runtime.logs(&id, LOG_LINES).await.unwrap_or_default();
                runtime.ensure_removed(&id).await?;
                return Err(StepError::Target(format!(
                    "the migrations of {} did not end within {} s; they wrote last: {}",
                    self.plan.to,
                    limit.as_secs(),
                    tail(&logs)
                )));
            }
            Err(err) => return Err(err.into()),
        };
        let logs = runtime.logs(&id, LOG_LINES).await.unwrap_or_default();
        runtime.ensure_removed(&id).await?;
        if exit != 0 {
            // Without a database every version fails.
            database
                .schema_versions(&self.plan.database, &password)
                .await?;
            return Err(StepError::Target(format!(
                "the migrations of {} failed (exit {exit}): {}",
                self.plan.to,
                tail(&logs)
            )));
        }
        // The exit code is a claim; the schema is the fact.
        let after = database
            .schema_versions(&self.plan.database, &password)
            .await?;
        let (pending, post) = self.pending_in(&main.id, &after).await?;
        if let Some(version) = pending.iter().chain(&post).next() {
            return Err(StepError::Target(format!(
                "the migrations of {} ended well, yet {version} is not applied",
                self.plan.to
            )));
        }
        Ok(Finding::Migrated {
            applied: count(after.difference(&before).count()),
        })
    }

    /// From here on the new version has the copy, and the original is the snapshot.
    async fn put_original_aside(&self) -> Result<(), StepError> {
        let (clone, original) = (self.plan.cloned_database(), self.plan.original_database());
        let (database, password) = (self.ports.database(), self.material.database_password());
        if self.plan.brings_data().is_some() {
            self.remark_what_is_put_in().await?;
        }
        database
            .swap(&self.plan.database, &password, &clone, &original)
            .await?;
        Ok(())
    }

    /// The first service of a role.
    pub(crate) fn first(&self, role: Role) -> Result<&PlannedService, StepError> {
        self.plan
            .services_of(role)
            .next()
            .ok_or_else(|| StepError::Host(format!("the plan has no {role:?} service")))
    }

    /// The new image of a kind, as it is on this host now.
    pub(crate) async fn new_image(&self, kind: ImageKind) -> Result<Image, StepError> {
        let planned = self
            .plan
            .images
            .iter()
            .find(|image| image.kind == kind)
            .ok_or_else(|| StepError::Host("the plan lacks an image".to_owned()))?;
        let keep = self.plan.keep_reference(planned, true);
        let runtime = self.ports.runtime();
        if let Some(image) = runtime.image(&keep).await? {
            return Ok(image);
        }
        // `finalise` may have been done without the journal knowing: then the release's own tag still names the image.
        let digest = format!("@{}", planned.to_digest);
        let tagged = runtime.image(&planned.to_reference).await?;
        tagged
            .filter(|image| image.repo_digests.iter().any(|it| it.ends_with(&digest)))
            .ok_or_else(|| StepError::Host(format!("image `{keep}` is gone from this host")))
    }

    /// The recorded container and image of a service.
    pub(crate) fn recorded(
        &self,
        service: &PlannedService,
    ) -> Result<(&Container, &Image), StepError> {
        let container = self.material.container(service);
        let image = self.material.images.get(&service.role.image());
        container.zip(image).ok_or_else(|| {
            StepError::Host(format!("the material lacks service `{}`", service.service))
        })
    }

    /// Makes sure a one-off of the new version exists, like `service` but for its command.
    pub(crate) async fn ensure_one_off(
        &self,
        service: &PlannedService,
        role: &str,
        one_off: OneOff,
    ) -> Result<String, StepError> {
        let (old, old_image) = self.recorded(service)?;
        let image = self.new_image(service.role.image()).await?;
        let wanted = Replacement {
            image: image.id.clone(),
            labels: self.labels(role),
            one_off: Some(one_off),
        };
        let runtime = self.ports.runtime();
        let spec = runtime.replacement(old, old_image, &image, &wanted)?;
        let name = format!("{}_{role}_{}", service.container, self.plan.short_run());
        Ok(runtime.ensure_created(&name, &spec).await?)
    }

    /// Labels of an object of this run.
    pub(crate) fn labels(&self, role: &str) -> std::collections::BTreeMap<String, String> {
        [
            (RUN_LABEL.to_owned(), self.plan.run.clone()),
            (ROLE_LABEL.to_owned(), role.to_owned()),
            (INSTANCE_LABEL.to_owned(), self.plan.instance.clone()),
        ]
        .into()
    }
}
