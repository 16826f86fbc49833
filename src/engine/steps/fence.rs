//! Fence: nothing outside can write from here until the site opens again.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::event::Finding;
use crate::domain::plan::{PlannedImage, Role};
use crate::domain::run::RunState;
use crate::engine::planner::split_reference;
use crate::engine::{Ctx, Ports, StepError, chain};
use crate::ports::clock::Clock;
use crate::ports::files::{Mark, RunFiles};
use crate::ports::runtime::{Container, ContainerRuntime, RUN_LABEL};

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn fence(&self, state: &RunState) -> Result<Finding, StepError> {
        let clock = self.ports.clock();
        if self
            .plan
            .close_by
            .is_some_and(|close_by| clock.now() > close_by)
        {
            return Err(StepError::NotBegun(
                "the window no longer leaves time for the run and a way back; the next one will"
                    .to_owned(),
            ));
        }
        let jump = self.began.jump(clock.reading());
        if let Some(jump) = jump.filter(|_| self.plan.hard_deadline.is_some()) {
            return Err(StepError::NotBegun(format!(
                "{jump} since the run began, so its maintenance window may be another one now; the site was not \
                 closed, and it is thought over again"
            )));
        }
        // What is executed is what was planned, also if somebody came in between (I9).
        self.still_as_planned()
            .await
            .map_err(|err| StepError::NotBegun(chain(&err)))?;
        self.room_for_copies(state)
            .await
            .map_err(|err| StepError::NotBegun(chain(&err)))?;
        self.redis_is_ours_alone(state)
            .await
            .map_err(|err| StepError::NotBegun(chain(&err)))?;
        let start = clock.monotonic();
        let runtime = self.ports.runtime();
        // A second witness beside the journal: who finds the containers stopped later knows by whom.
        self.ports.files().set_mark(&self.plan.run, Mark::Fencing)?;
        // A host that reboots from here on must not start the old version behind the run's back.
        for service in &self.plan.services {
            runtime
                .ensure_restart_policy(&service.id, &json!({ "Name": "no" }))
                .await?;
        }
        // Sidekiq first hears that it shall take no new job, so that web's stop finds it draining.
        for service in self.plan.services_of(Role::Sidekiq) {
            runtime.signal(&service.id, "SIGTSTP").await?;
        }
        let closed_after_ms = self.since(start);
        for role in [Role::Web, Role::Streaming, Role::Sidekiq] {
            for service in self.plan.services_of(role) {
                runtime
                    .ensure_stopped(&service.id, self.stop_grace())
                    .await?;
            }
        }
        self.nobody_else_runs_mastodon().await?;
        let mut started = BTreeMap::new();
        for service in &self.plan.services {
            if let Some(container) = runtime.container(&service.id).await? {
                started.insert(container.id, container.state.started_at);
            }
        }
        Ok(Finding::Fenced {
            closed_after_ms,
            started,
        })
    }

    /// The fence still stands: no old container was started, nobody made another one that was, whichever version it runs and
    /// whether it still does, and nothing else runs Mastodon.
    pub(super) async fn fence_stands(&self, state: &RunState) -> Result<(), StepError> {
        if let Some(name) = self.old_container_started_since(state).await? {
            return Err(StepError::Host(format!(
                "container `{name}` of the old version was started by somebody while the site was closed; \
                 nobody may run `up` during an update"
            )));
        }
        let mut strangers = self.strangers().await?.into_iter();
        if let Some(stranger) = strangers.find(|found| found.state.started()) {
            return Err(StepError::Host(format!(
                "container `{}` was made and started by somebody while the site was closed; nobody may run `up` during \
                 an update",
                stranger.name
            )));
        }
        self.nobody_else_runs_mastodon().await
    }

    /// A container with Mastodon's image, of whichever version, that is not of this run would write behind the fence.
    async fn nobody_else_runs_mastodon(&self) -> Result<(), StepError> {
        let label = "com.docker.compose.project";
        let containers = self
            .ports
            .runtime()
            .labelled(label, &self.plan.project)
            .await?;
        let is_mastodon = |container: &Container, image: &PlannedImage| {
            let repository = split_reference(&container.image).0;
            image.from_id == container.image_id || image.repository == repository
        };
        let other = containers.iter().find(|container| {
            let images = &self.plan.images;
            container.state.running
                && container.labels.get(RUN_LABEL) != Some(&self.plan.run)
                && images.iter().any(|image| is_mastodon(container, image))
        });
        match other {
            Some(container) => Err(StepError::Host(format!(
                "container `{}` runs Mastodon too, and the plan does not know it; stop it and plan again",
                container.name
            ))),
            None => Ok(()),
        }
    }
}
