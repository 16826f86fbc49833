//! The way back. Each step restores a state known from the plan, whatever it finds.

use std::net::SocketAddr;

use crate::domain::event::{Finding, UndoStep};
use crate::domain::plan::Role;
use crate::domain::run::RunState;
use crate::ports::clock::Clock;
use crate::ports::compose::{ComposeProject, FileState};
use crate::ports::database::{DataError, Database, Redis};
use crate::ports::files::RunFiles;
use crate::ports::runtime::{ContainerRuntime, RUN_LABEL};

use super::probes::{BETWEEN_TRIES, Target, web};
use super::steps::snapshot::{count, same_rows};
use super::{Ctx, Ports, StepError};

impl<P: Ports> Ctx<'_, P> {
    /// Takes one step back.
    pub(crate) async fn undo(
        &self,
        step: UndoStep,
        state: &RunState,
    ) -> Result<Finding, StepError> {
        match step {
            UndoStep::RemoveNew => self.remove_new().await,
            UndoStep::RestoreData => self.restore_data().await,
            UndoStep::RestoreFiles => self.restore_files(),
            UndoStep::StartOld => self.start_old().await,
            UndoStep::VerifyOld => self.verify_old().await,
            UndoStep::CleanUp => self.clean_up(state).await,
        }
    }

    async fn remove_new(&self) -> Result<Finding, StepError> {
        let runtime = self.ports.runtime();
        for container in runtime.labelled(RUN_LABEL, &self.plan.run).await? {
            // The old containers carry the label of the run that made them, never of this one.
            if self
                .plan
                .services
                .iter()
                .all(|service| service.id != container.id)
            {
                runtime.ensure_removed(&container.id).await?;
            }
        }
        // Nobody may write while the data goes back, whatever somebody started meanwhile.
        for service in &self.plan.services {
            runtime
                .ensure_stopped(&service.id, self.stop_grace())
                .await?;
        }
        Ok(Finding::Nothing)
    }

    /// Restores the database beside the damaged one, compares it with the manifest, and only then switches
    /// by name; then Redis. The damaged database is kept until the old version is seen to serve.
    async fn restore_data(&self) -> Result<Finding, StepError> {
        let plan = self.plan;
        let Some((dir, manifest)) = self.ports.files().open_snapshot(&plan.run)? else {
            return Err(StepError::Host(
                "the snapshot of this run is gone".to_owned(),
            ));
        };
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let (restored, damaged) = (plan.restored_database(), plan.damaged_database());
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
        database
            .swap(&plan.database, &password, &restored, &damaged)
            .await?;
        let schema = database.schema_versions(&plan.database, &password).await?;
        if schema != manifest.schema {
            return Err(DataError::Incomplete {
                difference: "the restored schema is not the one of the snapshot".to_owned(),
            }
            .into());
        }
        let redis_password = self.material.redis_password();
        self.ports
            .redis()
            .restore(&plan.redis, &redis_password, &on_behalf, &dir, limit)
            .await?;
        Ok(Finding::Restored {
            tables: count(manifest.rows.len()),
            rows: manifest.rows.values().sum(),
        })
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
        for service in &self.plan.services {
            runtime.ensure_name(&service.id, &service.container).await?;
            runtime
                .ensure_restart_policy(&service.id, &self.restart_policy(service)?)
                .await?;
        }
        for role in [Role::Streaming, Role::Web, Role::Sidekiq] {
            for service in self.plan.services_of(role) {
                runtime.ensure_running(&service.id).await?;
            }
        }
        Ok(Finding::Nothing)
    }

    /// The old version has to answer as before, also on its published port.
    async fn verify_old(&self) -> Result<Finding, StepError> {
        let mut probes = Vec::new();
        for service in &self.plan.services {
            let lines = self
                .until_well(&service.id, service, &self.plan.from, false)
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
        if state.data_may_have_changed() {
            let password = self.material.database_password();
            for name in [self.plan.damaged_database(), self.plan.restored_database()] {
                self.ports
                    .database()
                    .ensure_dropped(&self.plan.database, &password, &name)
                    .await?;
            }
        }
        self.drop_keep_tags().await?;
        self.tidy_snapshots()?;
        Ok(Finding::Nothing)
    }
}
