//! After the commit: open the site on the new version, then remove what only the run needed. Both are
//! done again after an interruption; neither ever goes back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::switch::endpoint;
use crate::domain::event::Finding;
use crate::domain::plan::{PlannedService, Role};
use crate::domain::run::RunState;
use crate::engine::probes::ANSWER_LIMIT;
use crate::engine::{Ctx, Ports, StepError};
use crate::ports::clock::Clock;
use crate::ports::compose::{ComposeProject, FileState};
use crate::ports::files::RunFiles;
use crate::ports::probe::{Probe, Request};
use crate::ports::runtime::{ContainerRuntime, RUN_LABEL};

/// Between two looks at a published port: the first answer is due within 0.1 s.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn open(&self, state: &RunState) -> Result<Finding, StepError> {
        let start = self.ports.clock().monotonic();
        let runtime = self.ports.runtime();
        for role in [Role::Web, Role::Streaming] {
            for service in self.plan.services_of(role) {
                self.let_in(service, state).await?;
            }
        }
        for service in self.plan.services_of(Role::Web) {
            self.until_published(service).await?;
        }
        let open_after_ms = self.since(start);
        for service in self.plan.services_of(Role::Sidekiq) {
            self.let_in(service, state).await?;
        }
        for service in &self.plan.services {
            let id = self.new_container(service).await?.id;
            runtime
                .ensure_restart_policy(&id, &self.restart_policy(service)?)
                .await?;
        }
        let notes = self.files_name_the_new_version()?;
        Ok(Finding::Opened {
            open_after_ms,
            notes,
        })
    }

    /// Connects the networks that lead outside and makes sure the container runs. The published port is
    /// there as soon as the first outward network is.
    async fn let_in(&self, service: &PlannedService, state: &RunState) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        let spec = self.new_spec(service, state).await?;
        let container = self.new_container(service).await?;
        for network in &service.public_networks {
            runtime
                .ensure_connected(&container.id, network, &endpoint(&spec, network))
                .await?;
        }
        Ok(runtime.ensure_running(&container.id).await?)
    }

    /// Waits until the published port answers, where there is one.
    async fn until_published(&self, service: &PlannedService) -> Result<(), StepError> {
        let Some(published) = &service.published else {
            return Ok(());
        };
        let Ok(address) = published.parse::<SocketAddr>() else {
            return Ok(());
        };
        let clock = self.ports.clock();
        let start = clock.monotonic();
        loop {
            let request = Request {
                address,
                path: "/health",
                host: &self.plan.site.domain,
                limit: ANSWER_LIMIT,
            };
            let answer = self.ports.probe().get(request).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if clock.monotonic().saturating_sub(start) >= self.boot_limit() {
                return Err(StepError::Host(format!(
                    "the new version runs, but {published} does not answer; does something else hold the port?"
                )));
            }
            clock.pause(BETWEEN_LOOKS).await;
        }
    }

    /// The owner's restart policy of a service.
    pub(crate) fn restart_policy(&self, service: &PlannedService) -> Result<Value, StepError> {
        let (old, _) = self.recorded(service)?;
        let policy = old.raw.pointer("/HostConfig/RestartPolicy").cloned();
        Ok(policy.unwrap_or_else(|| json!({ "Name": "no" })))
    }

    fn files_name_the_new_version(&self) -> Result<Vec<String>, StepError> {
        let mut notes = Vec::new();
        for edit in &self.material.edits {
            match self.ports.compose().ensure_edited(edit)? {
                FileState::After | FileState::Before => {}
                FileState::Other | FileState::Missing => notes.push(format!(
                    "{} was changed during the run and still names {}: set the images to {} by hand, or \
                     the next `up -d` goes back",
                    edit.path.display(),
                    self.plan.from,
                    self.plan.to
                )),
            }
        }
        Ok(notes)
    }

    pub(super) async fn finalise(&self) -> Result<Finding, StepError> {
        let runtime = self.ports.runtime();
        // The way back by container ends here, so the new version has to be well in public first.
        for service in &self.plan.services {
            let id = self.new_container(service).await?.id;
            self.until_well(&id, service, &self.plan.to, false).await?;
        }
        for service in &self.plan.services {
            runtime.ensure_removed(&service.id).await?;
        }
        self.remove_helpers().await?;
        self.drop_keep_tags().await?;
        self.tidy_snapshots()?;
        Ok(Finding::Nothing)
    }

    /// Removes what is unfinished of this run's snapshot, and the oldest snapshots beyond those to keep.
    pub(crate) fn tidy_snapshots(&self) -> Result<(), StepError> {
        let files = self.ports.files();
        files.ensure_no_partial(&self.plan.run)?;
        let keep = self.plan.limits.keep_snapshots;
        for removed in files.prune_snapshots(&self.plan.instance, keep, &self.plan.run)? {
            self.note(format!("removed the old snapshot {}", removed.display()));
        }
        Ok(())
    }

    /// Removes every container of this run that does not serve.
    pub(crate) async fn remove_helpers(&self) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        for container in runtime.labelled(RUN_LABEL, &self.plan.run).await? {
            if !self.is_new(&container) {
                runtime.ensure_removed(&container.id).await?;
            }
        }
        Ok(())
    }

    /// Takes our keep-tags away; the images stay as long as their own tags or a container need them.
    pub(crate) async fn drop_keep_tags(&self) -> Result<(), StepError> {
        for image in &self.plan.images {
            for new in [false, true] {
                let reference = self.plan.keep_reference(image, new);
                self.ports.runtime().ensure_no_tag(&reference).await?;
            }
        }
        Ok(())
    }
}
