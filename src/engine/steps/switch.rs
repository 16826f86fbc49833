//! Switch and verify: the old containers aside, the new ones up where only this host reaches them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::check::CONFIG_HASH;
use super::role;
use crate::domain::event::Finding;
use crate::domain::plan::{PlannedService, Role};
use crate::domain::run::RunState;
use crate::engine::probes::{BETWEEN_TRIES, tail};
use crate::engine::{Ctx, Ports, StepError};
use crate::ports::clock::Clock;
use crate::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, Exec, OneOff, ROLE_LABEL, RUN_LABEL, Replacement,
};

/// Label in which Compose v2 keeps the image's id.
const COMPOSE_IMAGE: &str = "com.docker.compose.image";
/// Queue on which the proof that Sidekiq boots listens: nobody puts jobs there.
const UNUSED_QUEUE: &str = "mastopatch_probe";
/// File that Sidekiq makes under `tmp` once it works (4.3 and later).
const READY_FILE: &str = "mastopatch_sidekiq_ready";

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn switch(&self, state: &RunState) -> Result<Finding, StepError> {
        self.fence_stands(state).await?;
        let runtime = self.ports.runtime();
        for service in &self.plan.services {
            runtime
                .ensure_name(&service.id, &self.plan.kept_name(service))
                .await?;
            let spec = self.new_spec(service, state).await?;
            let id = runtime.ensure_created(&service.container, &spec).await?;
            // Until the commit a reboot must not start it, and nobody outside may reach it.
            runtime
                .ensure_restart_policy(&id, &json!({ "Name": "no" }))
                .await?;
            for network in &service.public_networks {
                runtime.ensure_disconnected(&id, network).await?;
            }
        }
        for role in [Role::Web, Role::Streaming] {
            for service in self.plan.services_of(role) {
                runtime
                    .ensure_running(&self.new_container(service).await?.id)
                    .await?;
            }
        }
        Ok(Finding::Nothing)
    }

    /// How the new container of a service is made: a pure function of plan, material and images.
    pub(super) async fn new_spec(
        &self,
        service: &PlannedService,
        state: &RunState,
    ) -> Result<ContainerSpec, StepError> {
        let (old, old_image) = self.recorded(service)?;
        let image = self.new_image(service.role.image()).await?;
        let reference = self
            .plan
            .image_of(service)
            .map(|planned| planned.to_reference.clone())
            .ok_or_else(|| StepError::Host("the plan lacks an image".to_owned()))?;
        let mut labels = self.labels(role::NEW);
        if let Some(hash) = state.config_hash(&service.service) {
            labels.insert(CONFIG_HASH.to_owned(), hash.to_owned());
        }
        if old.labels.contains_key(COMPOSE_IMAGE) {
            labels.insert(COMPOSE_IMAGE.to_owned(), image.id.clone());
        }
        let wanted = Replacement {
            image: reference,
            labels,
            one_off: None,
        };
        Ok(self
            .ports
            .runtime()
            .replacement(old, old_image, &image, &wanted)?)
    }

    /// The new container of a service; an error if something else has its name.
    pub(super) async fn new_container(
        &self,
        service: &PlannedService,
    ) -> Result<Container, StepError> {
        let container = self.ports.runtime().container(&service.container).await?;
        container.filter(|found| self.is_new(found)).ok_or_else(|| {
            StepError::Host(format!(
                "the new container `{}` is gone; somebody changed it during the run",
                service.container
            ))
        })
    }

    /// Whether this run made the container to serve.
    pub(crate) fn is_new(&self, container: &Container) -> bool {
        container.labels.get(RUN_LABEL) == Some(&self.plan.run)
            && container
                .labels
                .get(ROLE_LABEL)
                .is_some_and(|found| found == role::NEW)
    }

    pub(super) async fn verify(&self, state: &RunState) -> Result<Finding, StepError> {
        let mut probes = Vec::new();
        let mut started = BTreeMap::new();
        for role in [Role::Web, Role::Streaming] {
            for service in self.plan.services_of(role) {
                let container = self.new_container(service).await?;
                self.runs_the_planned_image(service, &container).await?;
                let lines = self
                    .until_well(&container.id, service, &self.plan.to, true)
                    .await?;
                probes.extend(lines);
                started.insert(container.id, container.state.started_at);
            }
        }
        let well_since = self.ports.clock().monotonic();
        for service in self.plan.services_of(Role::Sidekiq) {
            self.runs_the_planned_image(service, &self.new_container(service).await?)
                .await?;
        }
        probes.push(self.sidekiq_boots().await?);
        self.settle(&started, well_since).await?;
        self.fence_stands(state).await?;
        Ok(Finding::Verified { probes })
    }

    async fn runs_the_planned_image(
        &self,
        service: &PlannedService,
        container: &Container,
    ) -> Result<(), StepError> {
        let wanted = self.new_image(service.role.image()).await?;
        if container.image_id == wanted.id {
            return Ok(());
        }
        Err(StepError::Host(format!(
            "the new container `{}` runs image {}, not the planned {}; somebody moved a tag meanwhile",
            container.name, container.image_id, wanted.id
        )))
    }

    /// Proves that Sidekiq of the new version boots, on a queue that nobody uses: the real one would take
    /// real jobs, whose effects a way back could not undo.
    async fn sidekiq_boots(&self) -> Result<String, StepError> {
        let Some(service) = self.plan.services_of(Role::Sidekiq).next() else {
            return Ok("no Sidekiq in this project".to_owned());
        };
        let one_off = OneOff {
            command: ["bundle", "exec", "sidekiq", "-q", UNUSED_QUEUE]
                .map(str::to_owned)
                .into(),
            env: [(
                "MASTODON_SIDEKIQ_READY_FILENAME".to_owned(),
                READY_FILE.to_owned(),
            )]
            .into(),
            networks: service.private_networks.clone(),
        };
        let runtime = self.ports.runtime();
        let id = self
            .ensure_one_off(service, role::SIDEKIQ_PROBE, one_off)
            .await?;
        runtime.ensure_running(&id).await?;
        let ready = self.until_ready(&id).await;
        let logs = runtime.logs(&id, 20).await.unwrap_or_default();
        runtime.ensure_removed(&id).await?;
        if ready? {
            return Ok("Sidekiq boots and says that it is ready".to_owned());
        }
        Err(StepError::Target(format!(
            "Sidekiq of {} did not get ready within {} s; it wrote last: {}",
            self.plan.to,
            self.boot_limit().as_secs(),
            tail(&logs)
        )))
    }

    async fn until_ready(&self, id: &str) -> Result<bool, StepError> {
        let (runtime, clock) = (self.ports.runtime(), self.ports.clock());
        let start = clock.monotonic();
        let file = format!("tmp/{READY_FILE}");
        loop {
            let running = runtime
                .container(id)
                .await?
                .is_some_and(|found| found.state.running);
            if !running {
                return Ok(false);
            }
            let exec = Exec {
                command: &["test", "-e", &file],
                env: &[],
                limit: crate::engine::probes::ANSWER_LIMIT,
            };
            // The container may stop between the two questions; the next round sees it.
            if runtime
                .exec(id, exec)
                .await
                .is_ok_and(|done| done.exit == 0)
            {
                return Ok(true);
            }
            if clock.monotonic().saturating_sub(start) >= self.boot_limit() {
                return Ok(false);
            }
            clock.pause(BETWEEN_TRIES).await;
        }
    }

    /// The new version has to stay well for a while: one that answers and then dies must not be committed.
    async fn settle(
        &self,
        started: &BTreeMap<String, String>,
        well_since: Duration,
    ) -> Result<(), StepError> {
        let (runtime, clock) = (self.ports.runtime(), self.ports.clock());
        let length = Duration::from_secs(self.plan.limits.settle_s);
        loop {
            for (id, started_at) in started {
                let same = runtime.container(id).await?.is_some_and(|container| {
                    container.state.running && container.state.started_at == *started_at
                });
                if !same {
                    let logs = runtime.logs(id, 20).await.unwrap_or_default();
                    return Err(StepError::Target(format!(
                        "{} was well at first and then stopped; it wrote last: {}",
                        self.plan.to,
                        tail(&logs)
                    )));
                }
            }
            if clock.monotonic().saturating_sub(well_since) >= length {
                break;
            }
            clock.pause(BETWEEN_TRIES).await;
        }
        for role in [Role::Web, Role::Streaming] {
            for service in self.plan.services_of(role) {
                let id = self.new_container(service).await?.id;
                if let Err(wrong) = self.probe_once(&id, service, &self.plan.to).await? {
                    return Err(StepError::Target(format!(
                        "{} of {} was well at first and then not: {wrong}",
                        service.service, self.plan.to
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The endpoint configuration that a spec has for a network.
pub(super) fn endpoint(spec: &ContainerSpec, network: &str) -> Value {
    let first = spec
        .body
        .pointer("/NetworkingConfig/EndpointsConfig")
        .and_then(|all| all.get(network));
    let more = spec
        .more_networks
        .iter()
        .find(|(name, _)| name == network)
        .map(|(_, value)| value);
    first.or(more).cloned().unwrap_or_else(|| json!({}))
}
