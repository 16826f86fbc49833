//! Containers of the project that somebody made while a run was on, by `docker compose up` for instance.
//!
//! They hold the names that the run needs, and may have let people write. They are stopped and put aside, and removed once
//! the site serves: Compose would do the same with them.

use serde_json::json;

use super::steps::role;
use super::{Ctx, Ports, StepError};
use crate::domain::plan::PlannedService;
use crate::ports::runtime::{Container, ContainerRuntime, ROLE_LABEL, RUN_LABEL};

/// Labels by which Compose knows its own.
pub(super) const PROJECT: &str = "com.docker.compose.project";
pub(super) const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// Whether a run made it in place of an old container that was gone.
pub(super) fn is_old(container: &Container) -> bool {
    container
        .labels
        .get(ROLE_LABEL)
        .is_some_and(|found| found == role::OLD)
}

impl<P: Ports> Ctx<'_, P> {
    /// Containers for the planned services that were made since the plan was, and not by this run. What somebody runs once
    /// (`compose run`) is not one: it holds no name that the run needs.
    pub(super) async fn strangers(&self) -> Result<Vec<Container>, StepError> {
        let all = self
            .ports
            .runtime()
            .labelled(PROJECT, &self.plan.project)
            .await?;
        Ok(all
            .into_iter()
            .filter(|found| {
                let is_planned =
                    |service: &PlannedService| found.labels.get(SERVICE) == Some(&service.service);
                found.labels.get(RUN_LABEL) != Some(&self.plan.run)
                    && found
                        .labels
                        .get(ONE_OFF)
                        .is_none_or(|it| !it.eq_ignore_ascii_case("true"))
                    && !self.material.bystanders.contains(&found.id)
                    && self.plan.services.iter().any(is_planned)
                    && self
                        .plan
                        .services
                        .iter()
                        .all(|service| service.id != found.id)
            })
            .collect())
    }

    /// Stops every stranger, keeps the engine from starting it again, and takes its name away from it.
    pub(super) async fn put_strangers_aside(&self) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        for stranger in self.strangers().await? {
            let policy = json!({ "Name": "no" });
            runtime.ensure_restart_policy(&stranger.id, &policy).await?;
            runtime
                .ensure_stopped(&stranger.id, self.stop_grace())
                .await?;
            let aside = self.plan.aside_name(&stranger.id);
            if stranger.name != aside {
                self.note(format!(
                    "`{}` was made by somebody during the run; it is stopped and put aside as `{aside}`",
                    stranger.name
                ));
                runtime.ensure_name(&stranger.id, &aside).await?;
            }
        }
        Ok(())
    }

    /// Removes the strangers that were put aside.
    pub(super) async fn remove_strangers(&self) -> Result<(), StepError> {
        for stranger in self.strangers().await? {
            if stranger.name == self.plan.aside_name(&stranger.id) {
                self.ports.runtime().ensure_removed(&stranger.id).await?;
            }
        }
        Ok(())
    }
}
