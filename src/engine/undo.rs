//! The way back. Each step restores a state known from the plan, whatever it finds.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::domain::event::{Finding, Step, UndoStep};
use crate::domain::plan::{DatabaseRef, Method, PlannedService, Role};
use crate::domain::run::RunState;
use crate::ports::clock::Clock;
use crate::ports::compose::{ComposeProject, FileState};
use crate::ports::database::{ClusterStands, DataError, Database, Redis};
use crate::ports::files::{Manifest, Mark, RunFiles};
use crate::ports::runtime::{Container, ContainerRuntime, RUN_LABEL, Replacement};

use super::probes::{BETWEEN_TRIES, Target, web};
use super::steps::role;
use super::steps::snapshot::{count, same_rows};
use super::strangers::{SERVICE, is_old};
use super::{Ctx, Ports, StepError};

/// How long a restore waits for PostgreSQL and Redis to answer: crash recovery of a big database takes minutes.
const DATA_PATIENCE: Duration = Duration::from_secs(15 * 60);

impl<P: Ports> Ctx<'_, P> {
    /// Takes one step back.
    pub(crate) async fn undo(
        &self,
        step: UndoStep,
        state: &RunState,
    ) -> Result<Finding, StepError> {
        let result = match step {
            UndoStep::RemoveNew => self.remove_new(state).await,
            UndoStep::RestoreData => self.restore_data(state).await,
            UndoStep::RestoreFiles => self.restore_files(),
            UndoStep::StartOld => self.start_old().await,
            UndoStep::VerifyOld => self.verify_old().await,
            UndoStep::CleanUp => self.clean_up(state).await,
        };
        if matches!(result, Err(StepError::NeedsPerson(_))) {
            // They would wait for a person, too; whoever needs them makes them again.
            drop(self.remove_helpers().await);
        }
        result
    }

    async fn remove_new(&self, state: &RunState) -> Result<Finding, StepError> {
        let runtime = self.ports.runtime();
        let restores =
            state.data_may_have_changed() && !state.is_restored() && !self.was_restored().await;
        // Before anything is stopped: a site that serves is not closed for a refusal.
        if restores {
            self.nobody_opened_the_old_version(state).await?;
        }
        if state.is_committed() {
            self.way_back_exists(restores).await?;
            // The old containers may be removed already: the new ones go only once there is something to go back to.
            for service in &self.plan.services {
                self.ensure_old(service).await?;
            }
        }
        for container in runtime.labelled(RUN_LABEL, &self.plan.run).await? {
            // An old container that was made anew carries this run's label; it is stopped below.
            if is_old(&container) {
                continue;
            }
            if state.is_committed() && container.state.running {
                // It serves people: let it end what it does.
                runtime
                    .ensure_stopped(&container.id, self.stop_grace())
                    .await?;
            }
            runtime.ensure_removed(&container.id).await?;
        }
        // Nobody may write while the data goes back, whatever somebody started meanwhile; and a Sidekiq that the fence told
        // to take no new job takes some again only after a start. A fence that failed before its mark did neither.
        let mark = self
            .ports
            .files()
            .has_mark(&self.plan.run, Mark::Fencing)
            .unwrap_or(true);
        if mark || restores || state.is_committed() || state.was_rebuilt() {
            // One that could be read may not be durable yet.
            drop(self.ports.files().set_mark(&self.plan.run, Mark::Fencing));
            for service in &self.plan.services {
                if let Some(old) = self.old_container(service).await? {
                    runtime.ensure_stopped(&old.id, self.stop_grace()).await?;
                }
            }
        }
        self.put_strangers_aside().await?;
        self.ensure_no_clone(state).await?;
        Ok(Finding::Nothing)
    }

    /// Whether everything of the old version that cannot be made anew is still there.
    async fn way_back_exists(&self, restores: bool) -> Result<(), StepError> {
        for image in &self.plan.images {
            if self.ports.runtime().image(&image.from_id).await?.is_none() {
                return Err(StepError::NeedsPerson(format!(
                    "the image of the old version is gone, so nothing was stopped: `docker pull {}`, then \
                     `mastopatch rollback` again",
                    image.from_reference
                )));
            }
        }
        if restores && self.own_snapshot()?.is_none() {
            return Err(StepError::NeedsPerson(
                "the snapshot of this run is gone, so nothing was stopped; `mastopatch resume` goes on with the new version"
                    .to_owned(),
            ));
        }
        if restores
            && self.plan.method == Method::Physical
            && let Some((_, manifest)) = self.own_snapshot()?
            && self.cluster_stands(&manifest).await? == ClusterStands::Gone
        {
            return Err(StepError::NeedsPerson(
                "the copy of the data folder from before the run is gone, so nothing was stopped; \
                 `mastopatch resume` goes on with the new version"
                    .to_owned(),
            ));
        }
        let original = self.plan.original_database();
        if restores && self.plan.method == Method::Clone && !self.has_original(&original).await? {
            return Err(StepError::NeedsPerson(format!(
                "database `{original}`, the original from before the run, is gone, so nothing was stopped; \
                 `mastopatch resume` goes on with the new version"
            )));
        }
        Ok(())
    }

    /// Restores the database beside the damaged one, compares it with the manifest, and only then switches
    /// by name; then Redis. The damaged database is kept until the old version is seen to serve.
    async fn restore_data(&self, state: &RunState) -> Result<Finding, StepError> {
        let plan = self.plan;
        let Some((dir, manifest)) = self.own_snapshot()? else {
            return Err(StepError::Host(
                "the snapshot of this run is gone".to_owned(),
            ));
        };
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let (restored, damaged) = (plan.restored_database(), plan.damaged_database());
        let finding = Finding::Restored {
            tables: count(manifest.rows.len()),
            rows: manifest.rows.values().sum(),
        };
        match plan.method {
            Method::Logical => {}
            Method::Clone => return self.put_original_back(state, &dir, &manifest).await,
            Method::Physical => return self.put_cluster_back(state, &dir, &manifest).await,
        }
        self.data_answer().await?;
        // The journal may have lost that the data are back already, and people may have written since.
        let remark = self.remark();
        if database
            .remark_on(&plan.database, &password, &plan.database.name)
            .await?
            == remark
        {
            return Ok(finding);
        }
        self.nobody_opened_the_old_version(state).await?;
        // The damaged database stands aside only after the switch by name has begun.
        if !database.exists(&plan.database, &password, &damaged).await? {
            let rows = database
                .restore(
                    &plan.database,
                    &password,
                    &on_behalf,
                    &dir,
                    &restored,
                    limit,
                )
                .await?;
            same_rows(&manifest.rows, &rows)?;
        }
        let copy = DatabaseRef {
            name: restored.clone(),
            ..plan.database.clone()
        };
        let schema = database.schema_versions(&copy, &password).await?;
        if schema != manifest.schema {
            return Err(DataError::Incomplete {
                difference: "the restored schema is not the one of the snapshot".to_owned(),
            }
            .into());
        }
        // A restore takes long, and what follows cannot be taken back.
        self.nobody_opened_the_old_version(state).await?;
        self.put_redis_back(state, &dir).await?;
        // The remark goes live with the database, in one renaming.
        database
            .remark(&plan.database, &password, &restored, &remark)
            .await?;
        database
            .swap(&plan.database, &password, &restored, &damaged)
            .await?;
        Ok(finding)
    }

    /// Makes Redis hold what the snapshot holds. It takes a while, and the data that follow cannot be taken back.
    pub(super) async fn put_redis_back(
        &self,
        state: &RunState,
        dir: &Path,
    ) -> Result<(), StepError> {
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let redis_password = self.material.redis_password();
        self.ports
            .redis()
            .restore(&self.plan.redis, &redis_password, &on_behalf, dir, limit)
            .await?;
        self.nobody_opened_the_old_version(state).await
    }

    /// Puts the untouched original back in the clone's place, by name. The clone is kept until the old version is seen to
    /// serve.
    async fn put_original_back(
        &self,
        state: &RunState,
        dir: &Path,
        manifest: &Manifest,
    ) -> Result<Finding, StepError> {
        let plan = self.plan;
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (original, damaged) = (plan.original_database(), plan.damaged_database());
        let finding = Finding::Restored { tables: 0, rows: 0 };
        self.data_answer().await?;
        // The journal may have lost that the data are back already, and people may have written since.
        if self.was_restored().await {
            return Ok(finding);
        }
        self.nobody_opened_the_old_version(state).await?;
        let live = &plan.database;
        let is_aside = database.exists(live, &password, &original).await?;
        // A switch that was interrupted leaves it shut.
        database.ensure_open(live, &password, &live.name).await?;
        // Else it was not yet put aside, or is back already.
        if !is_aside && !self.is_untouched(manifest).await? {
            return Err(StepError::NeedsPerson(format!(
                "database `{original}`, the original from before the run, is gone: bring it back from a backup \
                 under the name `{}`, or `mastopatch release`",
                live.name
            )));
        }
        // Before the original was put aside, nothing of the new version touched Redis either; once it is back, Redis is.
        if is_aside {
            self.put_redis_back(state, dir).await?;
            database.swap(live, &password, &original, &damaged).await?;
        }
        // The old version starts only after this.
        let remark = self.remark();
        database
            .remark(live, &password, &live.name, &remark)
            .await?;
        Ok(finding)
    }

    /// Whether the original of a clone stands aside, or is in its own place.
    async fn has_original(&self, original: &str) -> Result<bool, StepError> {
        let (database, password) = (self.ports.database(), self.material.database_password());
        let live = &self.plan.database;
        if database.exists(live, &password, original).await? {
            return Ok(true);
        }
        let Some((_, manifest)) = self.own_snapshot()? else {
            return Ok(false);
        };
        self.is_untouched(&manifest).await
    }

    /// Ends a clone that is still being made, and removes one that is not in use: nobody can connect to the original
    /// meanwhile.
    async fn ensure_no_clone(&self, state: &RunState) -> Result<(), StepError> {
        let plan = self.plan;
        let was_begun = state.furthest() >= Some(Step::Snapshot) || state.was_rebuilt();
        if plan.method != Method::Clone || !was_begun {
            return Ok(());
        }
        self.data_answer().await?;
        let (database, password) = (self.ports.database(), self.material.database_password());
        let original = plan.original_database();
        if !database
            .exists(&plan.database, &password, &original)
            .await?
        {
            let clone = plan.cloned_database();
            database
                .ensure_dropped(&plan.database, &password, &clone)
                .await?;
        }
        Ok(())
    }

    /// Whether the remark of this run's restore is on the live database; no, if the database cannot be asked.
    pub(super) async fn was_restored(&self) -> bool {
        let (database, password) = (self.ports.database(), self.material.database_password());
        let live = &self.plan.database;
        let remark = database.remark_on(live, &password, &live.name).await;
        remark.is_ok_and(|found| found == self.remark())
    }

    pub(super) fn remark(&self) -> String {
        format!("restored by mastopatch, run {}", self.plan.run)
    }

    /// Waits for PostgreSQL and Redis, and starts them if somebody stopped them: their absence must not use
    /// up the ways back.
    pub(super) async fn data_answer(&self) -> Result<(), StepError> {
        let (runtime, clock) = (self.ports.runtime(), self.ports.clock());
        let (database, password) = (self.ports.database(), self.material.database_password());
        let redis_password = self.material.redis_password();
        let start = clock.monotonic();
        loop {
            let postgres = database
                .exists(&self.plan.database, &password, &self.plan.database.name)
                .await
                .map(drop);
            let redis = self.ports.redis().keys(&self.plan.redis, &redis_password);
            let Err(err) = postgres.and(redis.await.map(drop)) else {
                return Ok(());
            };
            if clock.monotonic().saturating_sub(start) >= DATA_PATIENCE {
                return Err(err.into());
            }
            for name in [&self.plan.database.container, &self.plan.redis.container] {
                let container = runtime.container(name).await?;
                if container.is_some_and(|found| !found.state.running) {
                    self.note(format!("starting `{name}`, which is stopped"));
                    if name == &self.plan.database.container {
                        self.finish_putting_back().await?;
                    }
                    runtime.ensure_running(name).await?;
                }
            }
            clock.pause(BETWEEN_TRIES).await;
        }
    }

    /// Whoever started an old container behind the fence may have let people write after the snapshot; only
    /// a person can decide whether that may be lost.
    pub(super) async fn nobody_opened_the_old_version(
        &self,
        state: &RunState,
    ) -> Result<(), StepError> {
        if state.accepts_loss() {
            return Ok(());
        }
        let started = match self.old_container_started_since(state).await? {
            Some(name) => Some(name),
            None => {
                let strangers = self.strangers().await?;
                let served = strangers.into_iter().find(|found| found.state.started());
                served.map(|found| found.name)
            }
        };
        match started {
            None => Ok(()),
            Some(name) => Err(StepError::NeedsPerson(format!(
                "container `{name}` of the old version was started by somebody after the snapshot: what was \
                 written since would be lost by a restore, so a person has to decide: \
                 `mastopatch rollback --accept-loss`, or `mastopatch release`"
            ))),
        }
    }

    /// The first old container that was started after the site was closed, if any.
    pub(crate) async fn old_container_started_since(
        &self,
        state: &RunState,
    ) -> Result<Option<String>, StepError> {
        for service in &self.plan.services {
            let Some(before) = state.started_before_fence(&service.id) else {
                continue;
            };
            let now = self.old_container(service).await?;
            let now = now.filter(|found| found.state.started());
            if now.is_some_and(|found| found.state.started_at != before) {
                return Ok(Some(service.container.clone()));
            }
        }
        Ok(None)
    }

    fn restore_files(&self) -> Result<Finding, StepError> {
        for edit in &self.material.edits {
            match self.ports.compose().ensure_restored(edit)? {
                FileState::Before | FileState::After => {}
                FileState::Other | FileState::Missing => self.note(format!(
                    "{} was changed by somebody during the run and is left as it is",
                    edit.path.display()
                )),
            }
        }
        Ok(Finding::Nothing)
    }

    async fn start_old(&self) -> Result<Finding, StepError> {
        let runtime = self.ports.runtime();
        self.put_strangers_aside().await?;
        for service in &self.plan.services {
            let id = self.ensure_old(service).await?;
            runtime.ensure_name(&id, &service.container).await?;
            runtime
                .ensure_restart_policy(&id, &self.restart_policy(service)?)
                .await?;
        }
        for role in [Role::Streaming, Role::Web, Role::Sidekiq] {
            for service in self.plan.services_of(role) {
                runtime
                    .ensure_running(&self.ensure_old(service).await?)
                    .await?;
            }
        }
        Ok(Finding::Nothing)
    }

    /// The old container of a service, or the one that this run made in its place.
    async fn old_container(
        &self,
        service: &PlannedService,
    ) -> Result<Option<Container>, StepError> {
        let runtime = self.ports.runtime();
        if let Some(found) = runtime.container(&service.id).await? {
            return Ok(Some(found));
        }
        let ours = runtime.labelled(RUN_LABEL, &self.plan.run).await?;
        let is_it = |found: &Container| {
            is_old(found) && found.labels.get(SERVICE) == Some(&service.service)
        };
        Ok(ours.into_iter().find(is_it))
    }

    /// Makes sure the old container of a service is there. Where it was removed, it is made anew from what was recorded of
    /// it, aside where the new one has its name: what it kept outside of volumes is gone, and Mastodon keeps nothing
    /// there.
    async fn ensure_old(&self, service: &PlannedService) -> Result<String, StepError> {
        let runtime = self.ports.runtime();
        if let Some(found) = runtime.container(&service.id).await? {
            return Ok(found.id);
        }
        let name = if let Some(found) = self.old_container(service).await? {
            found.name
        } else {
            self.note(format!(
                "`{}` of the old version is gone and is made anew",
                service.container
            ));
            let is_taken = runtime.container(&service.container).await?.is_some();
            let aside = is_taken.then(|| self.plan.kept_name(service));
            aside.unwrap_or_else(|| service.container.clone())
        };
        let (old, image) = self.recorded(service)?;
        let wanted = Replacement {
            image: old.image.clone(),
            labels: self.labels(role::OLD),
            one_off: None,
        };
        // Also where one is there: it may have been interrupted before it was in all its networks.
        let spec = runtime.replacement(old, image, image, &wanted)?;
        Ok(runtime.ensure_created(&name, &spec).await?)
    }

    /// The old version has to answer as before, also on its published port.
    async fn verify_old(&self) -> Result<Finding, StepError> {
        let mut probes = Vec::new();
        for service in &self.plan.services {
            let id = self.ensure_old(service).await?;
            let lines = self
                .until_well(&id, service, &self.plan.from, false)
                .await?;
            probes.extend(lines);
        }
        for service in self.plan.services_of(Role::Web) {
            let Some(address) = service.published.as_ref().and_then(|at| at.parse().ok()) else {
                continue;
            };
            self.until_published_well(address).await?;
            probes.push(format!("{address} answers"));
        }
        // One that was made after the others were put aside may serve beside the old version; the next try puts it aside.
        let mut strangers = self.strangers().await?.into_iter();
        if let Some(stranger) = strangers.find(|found| found.state.running) {
            return Err(StepError::Host(format!(
                "container `{}` was made and started by somebody while the old version was started",
                stranger.name
            )));
        }
        Ok(Finding::Verified { probes })
    }

    async fn until_published_well(&self, address: SocketAddr) -> Result<(), StepError> {
        let clock = self.ports.clock();
        let start = clock.monotonic();
        loop {
            let target = Target {
                address,
                domain: &self.plan.site.domain,
            };
            let Err(wrong) = web(self.ports.probe(), target, &self.plan.from).await else {
                return Ok(());
            };
            if clock.monotonic().saturating_sub(start) >= self.boot_limit() {
                return Err(StepError::Host(format!(
                    "the old version runs, but {address} does not serve it: {wrong}"
                )));
            }
            clock.pause(BETWEEN_TRIES).await;
        }
    }

    async fn clean_up(&self, state: &RunState) -> Result<Finding, StepError> {
        self.remove_helpers().await?;
        self.remove_surplus_old().await?;
        self.remove_strangers().await?;
        let must_drop = state.data_may_have_changed() || state.was_rebuilt();
        if must_drop || state.was_resumed() {
            let password = self.material.database_password();
            for name in [
                self.plan.damaged_database(),
                self.plan.restored_database(),
                self.plan.cloned_database(),
            ] {
                let dropped = self
                    .ports
                    .database()
                    .ensure_dropped(&self.plan.database, &password, &name)
                    .await;
                // Where the journal knows of none, a database that does not answer keeps nobody up.
                if must_drop {
                    dropped?;
                }
            }
        }
        self.ensure_no_cluster(state).await?;
        self.drop_keep_tags().await?;
        self.tidy_snapshots(false).await?;
        // The old version serves, or was never stopped. Last: another way back stops it once more, and on a full disk the
        // mark could not be set again.
        drop(self.ports.files().take_mark(&self.plan.run, Mark::Fencing));
        Ok(Finding::Nothing)
    }

    /// One that was renamed by somebody while it was made anew was made a second time.
    async fn remove_surplus_old(&self) -> Result<(), StepError> {
        let runtime = self.ports.runtime();
        let ours = runtime.labelled(RUN_LABEL, &self.plan.run).await?;
        for service in &self.plan.services {
            let old = self.old_container(service).await?.map(|found| found.id);
            let is_surplus = |found: &&Container| {
                is_old(found)
                    && found.labels.get(SERVICE) == Some(&service.service)
                    && !found.state.running
                    && old.as_ref() != Some(&found.id)
            };
            for surplus in ours.iter().filter(is_surplus) {
                runtime.ensure_removed(&surplus.id).await?;
            }
        }
        Ok(())
    }
}
