//! After the commit: open the site on the new version, then remove what only the run needed. Both are
//! done again after an interruption; neither ever goes back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::switch::endpoint;
use crate::domain::event::Finding;
use crate::domain::plan::{Method, PlannedService, Role};
use crate::domain::retention::Ties;
use crate::domain::run::RunState;
use crate::engine::planner::Stores;
use crate::engine::probes::{BETWEEN_TRIES, Target, streaming, web};
use crate::engine::snapshots::{kept, needed_by_plans, remove, ties};
use crate::engine::strangers::{SERVICE, is_old};
use crate::engine::{Ctx, Ports, StepError, chain};
use crate::ports::clock::Clock;
use crate::ports::compose::{ComposeProject, FileState};
use crate::ports::database::Database;
use crate::ports::files::{Manifest, RunFiles};
use crate::ports::runtime::{Container, ContainerRuntime, ContainerSpec, RUN_LABEL};

/// Between two looks at a published port: the first answer is due within 0.1 s.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn open(&self, state: &RunState) -> Result<Finding, StepError> {
        let start = self.ports.clock().monotonic();
        let runtime = self.ports.runtime();
        self.put_strangers_aside().await?;
        self.gather_new().await?;
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

    /// Gives new containers that somebody renamed their names back, and removes those that have been replaced since.
    async fn gather_new(&self) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        let new = runtime.labelled(RUN_LABEL, &self.plan.run).await?;
        for service in &self.plan.services {
            let serves = |found: &&Container| {
                self.is_new(found) && found.labels.get(SERVICE) == Some(&service.service)
            };
            let mut is_there = new
                .iter()
                .filter(serves)
                .any(|found| found.name == service.container);
            for found in new.iter().filter(serves) {
                if found.name == service.container {
                    continue;
                }
                if is_there {
                    runtime.ensure_removed(&found.id).await?;
                } else {
                    runtime.ensure_name(&found.id, &service.container).await?;
                    is_there = true;
                }
            }
        }
        Ok(())
    }

    /// Connects the networks that lead outside and makes sure the container runs. The published port is
    /// there as soon as the first outward network is. Where that does not come about, because something
    /// else holds the port, the container is made anew: a half-made connection cannot be mended.
    async fn let_in(&self, service: &PlannedService, state: &RunState) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        let spec = self.new_spec(service, state).await?;
        // An interruption while it was made anew may have left none.
        let id = runtime.ensure_created(&service.container, &spec).await?;
        if self.is_let_in(service).await? {
            // Making it anew would leave none for a moment, and the old containers may be gone already.
            return Ok(());
        }
        let mut connected = Ok(());
        for network in &service.public_networks {
            if connected.is_ok() {
                let endpoint = endpoint(&spec, network);
                connected = runtime.ensure_connected(&id, network, &endpoint).await;
            }
        }
        match connected {
            Ok(()) => match runtime.ensure_running(&id).await {
                Ok(()) if self.is_published(service).await? => return Ok(()),
                Ok(()) => self.note(format!("{} is not published yet", service.service)),
                Err(err) => self.note(format!(
                    "{} does not start: {}",
                    service.service,
                    chain(&err)
                )),
            },
            Err(err) => self.note(format!(
                "{} cannot be let in: {}",
                service.service,
                chain(&err)
            )),
        }
        self.make_anew(service, &spec, id).await
    }

    /// Makes the new container once more, connected to everything, and starts it; tries for as long as a
    /// boot may take, since whoever holds the port may let go of it.
    async fn make_anew(
        &self,
        service: &PlannedService,
        spec: &ContainerSpec,
        mut id: String,
    ) -> Result<(), StepError> {
        let (runtime, clock) = (self.ports.runtime(), self.ports.clock());
        let start = clock.monotonic();
        loop {
            runtime.ensure_removed(&id).await?;
            id = runtime.ensure_created(&service.container, spec).await?;
            let started = runtime.ensure_running(&id).await;
            if started.is_ok() && self.is_published(service).await? {
                return Ok(());
            }
            if clock.monotonic().saturating_sub(start) >= self.boot_limit() {
                started?;
                return Err(StepError::Host(format!(
                    "{} of the new version runs, but the engine does not publish its port",
                    service.service
                )));
            }
            clock.pause(BETWEEN_TRIES).await;
        }
    }

    /// Whether the new container of a service runs in every network that leads outside, and is published.
    async fn is_let_in(&self, service: &PlannedService) -> Result<bool, StepError> {
        let found = self.new_container(service).await?;
        let mut outward = service.public_networks.iter();
        Ok(found.state.running
            && outward.all(|network| found.networks.contains_key(network))
            && self.is_published(service).await?)
    }

    /// Whether the engine publishes the service's port now, where it is to be published.
    async fn is_published(&self, service: &PlannedService) -> Result<bool, StepError> {
        let (Some(published), Some(port)) = (&service.published, service.port) else {
            return Ok(true);
        };
        let container = self.new_container(service).await?;
        // As the engine does it, not as it is wanted.
        let bindings = container
            .raw
            .pointer("/NetworkSettings/Ports")
            .and_then(|ports| ports.get(format!("{port}/tcp")))
            .and_then(Value::as_array);
        let wanted = published
            .parse::<SocketAddr>()
            .map(|at| at.port().to_string());
        Ok(bindings.is_some_and(|bindings| {
            bindings.iter().any(|binding| {
                let host_port = binding.get("HostPort").and_then(Value::as_str);
                host_port.is_some() && host_port == wanted.as_deref().ok()
            })
        }))
    }

    /// Waits until the new version, and nothing else, answers on the published port, where there is one.
    async fn until_published(&self, service: &PlannedService) -> Result<(), StepError> {
        let Some(address) = service.published.as_ref().and_then(|at| at.parse().ok()) else {
            return Ok(());
        };
        let (probe, clock) = (self.ports.probe(), self.ports.clock());
        let start = clock.monotonic();
        loop {
            let target = Target {
                address,
                domain: &self.plan.site.domain,
            };
            let answer = match service.role {
                Role::Web => web(probe, target, &self.plan.to).await,
                Role::Streaming | Role::Sidekiq => streaming(probe, target).await,
            };
            let wrong = match answer {
                Ok(_) if self.is_published(service).await? => return Ok(()),
                Ok(_) => "something else answers there".to_owned(),
                Err(wrong) => wrong,
            };
            if clock.monotonic().saturating_sub(start) >= self.boot_limit() {
                return Err(StepError::Host(format!(
                    "the new version runs, but {address} does not serve it: {wrong}"
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

    pub(super) async fn finalise(&self, state: &RunState) -> Result<Finding, StepError> {
        let runtime = self.ports.runtime();
        self.put_strangers_aside().await?;
        self.gather_new().await?;
        for service in &self.plan.services {
            // Somebody removed it, or put another in its place, since the site was opened.
            if self.new_container(service).await.is_err() {
                self.let_in(service, state).await?;
                let id = self.new_container(service).await?.id;
                let policy = self.restart_policy(service)?;
                runtime.ensure_restart_policy(&id, &policy).await?;
            }
        }
        // The way back by container ends here, so the new version has to be well in public first.
        for service in &self.plan.services {
            let id = self.new_container(service).await?.id;
            // An engine that restarted while the site was opened left stopped what had no policy yet.
            runtime.ensure_running(&id).await?;
            self.until_well(&id, service, &self.plan.to, false).await?;
            self.until_published(service).await?;
        }
        for service in &self.plan.services {
            runtime.ensure_removed(&service.id).await?;
        }
        self.remove_helpers().await?;
        self.remove_strangers().await?;
        self.drop_keep_tags().await?;
        if self.plan.method == Method::Clone {
            // Where no migration needed it, it is nobody's.
            let (clone, password) = (
                self.plan.cloned_database(),
                self.material.database_password(),
            );
            let database = self.ports.database();
            database
                .ensure_dropped(&self.plan.database, &password, &clone)
                .await?;
        }
        self.tidy_snapshots(true).await?;
        Ok(Finding::Nothing)
    }

    /// Removes what is unfinished of this run's snapshot, and the snapshots that are kept for nothing: [`retention`] says
    /// which. `supersedes` says whether this run is now the newest committed one; else the journal is asked which is.
    ///
    /// [`retention`]: crate::domain::retention::retention
    pub(crate) async fn tidy_snapshots(&self, supersedes: bool) -> Result<(), StepError> {
        let (files, plan) = (self.ports.files(), self.plan);
        files.ensure_no_partial(&plan.run)?;
        let snapshots = files.snapshots(&plan.instance)?;
        let ties = if supersedes {
            Ties {
                needed: needed_by_plans(files)?,
                newest_committed: Some(plan.run.clone()),
            }
        } else {
            match ties(self.ports.journal(), files, &snapshots) {
                Ok(ties) => ties,
                Err(err) => {
                    // Room that is not free again is no reason to hold a run; the next one tries again.
                    self.note(format!("old snapshots stay for now: {}", chain(&err)));
                    return Ok(());
                }
            }
        };
        let (rules, now) = (plan.limits.retention(), self.ports.clock().now());
        let kept = kept(&snapshots, &ties, rules, now);
        let goes = |manifest: &Manifest| {
            let is_kept = kept.get(&manifest.run).is_none_or(|why| !why.is_empty());
            manifest.run != plan.run && !is_kept
        };
        let doomed: Vec<Manifest> = snapshots.into_iter().filter(goes).collect();
        let removed = remove(self.ports, &doomed, Ok(&self.stores())).await?;
        for (run, why) in removed.stay {
            // Somebody uses its database.
            self.note(format!(
                "the old snapshot of run {run} stays for now: {why}"
            ));
        }
        for folder in removed.folders {
            self.note(format!("removed the old snapshot {}", folder.display()));
        }
        Ok(())
    }

    fn stores(&self) -> Stores {
        Stores {
            database: self.plan.database.clone(),
            redis: self.plan.redis.clone(),
            database_password: self.material.database_password(),
            redis_password: self.material.redis_password(),
        }
    }

    /// Removes every container of this run that does not serve, and the networks it made.
    pub(crate) async fn remove_helpers(&self) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        for container in runtime.labelled(RUN_LABEL, &self.plan.run).await? {
            if !self.is_new(&container) && !is_old(&container) {
                runtime.ensure_removed(&container.id).await?;
            }
        }
        self.remove_networks().await
    }

    /// Removes the networks that this run made.
    pub(super) async fn remove_networks(&self) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        for network in runtime.networks_labelled(RUN_LABEL, &self.plan.run).await? {
            runtime.ensure_no_network(&network.name).await?;
        }
        Ok(())
    }

    /// Takes our keep-tags away; the images stay as long as their own tags or a container need them.
    pub(crate) async fn drop_keep_tags(&self) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        for image in &self.plan.images {
            for (new, own) in [(false, &image.from_reference), (true, &image.to_reference)] {
                let keep = self.plan.keep_reference(image, new);
                let Some(kept) = runtime.image(&keep).await? else {
                    continue;
                };
                // Where somebody pruned its own tag, ours is its last name, and the engine does not take that from an
                // image that runs.
                let has_own = runtime.image(own).await?.is_some();
                let can_be_tagged = !own.contains('@');
                if !has_own && can_be_tagged {
                    runtime.ensure_tag(&kept.id, own).await?;
                }
                match runtime.ensure_no_tag(&keep).await {
                    Err(err) if !has_own && !can_be_tagged => {
                        self.note(format!("`{keep}` stays: {}", chain(&err)));
                    }
                    done => done?,
                }
            }
        }
        Ok(())
    }
}
