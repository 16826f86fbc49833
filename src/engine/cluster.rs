//! Method `physical`: the server's whole data folder is copied, tried, and put back by the way back.

use std::path::Path;
use std::time::Duration;

use super::recovery::is_no_policy;
use super::steps::prove::Proved;
use super::{Ctx, Ports, StepError};
use crate::domain::event::{Finding, Step};
use crate::domain::plan::Method;
use crate::domain::run::RunState;
use crate::ports::database::{Cluster, ClusterStands, DataError, Database};
use crate::ports::files::{Manifest, Mark, RunFiles};
use crate::ports::runtime::ContainerRuntime;

/// How long PostgreSQL may take to write what it has in memory when it is stopped: nobody is connected, and a backup made it write
/// most of it a little before. One that is killed recovers at its start, and what it had is given up anyway.
const STOP_GRACE: Duration = Duration::from_secs(120);

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn copy_cluster(&self, limit: Duration) -> Result<Cluster, StepError> {
        let (plan, password) = (self.plan, self.material.database_password());
        let (live, on_behalf, folder) = (&plan.database, self.on_behalf(), plan.cluster_folder());
        let database = self.ports.database();
        let sharing = plan.shares_blocks;
        Ok(database
            .copy_cluster(live, &password, &on_behalf, &folder, sharing, limit)
            .await?)
    }

    /// Lets a server work on the copy, which makes it consistent, and compares the two databases.
    pub(super) async fn prove_cluster(&self, manifest: &Manifest) -> Result<Proved, StepError> {
        let cluster = self.cluster_of(manifest)?;
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (live, on_behalf, limit) =
            (&self.plan.database, self.on_behalf(), self.snapshot_limit());
        let network = self.isolated().await?;
        let opened = database
            .open_cluster(live, &password, &on_behalf, cluster, &network, limit)
            .await?;
        let seen = database.compare_cluster(live, &password, &opened).await?;
        if database.schema_versions(&opened, &password).await? != manifest.schema {
            return Err(DataError::Incomplete {
                difference: "the copied schema is not the one of the database".to_owned(),
            }
            .into());
        }
        database.close_cluster(&opened).await?;
        self.remove_scratch().await?;
        Ok(Proved {
            tables: seen.relations,
            bytes: seen.bytes,
            ..Proved::default()
        })
    }

    fn cluster_of<'m>(&self, manifest: &'m Manifest) -> Result<&'m Cluster, StepError> {
        manifest.cluster.as_ref().ok_or_else(|| {
            StepError::Host(format!(
                "the snapshot of run {} names no copy of the server's data folder",
                self.plan.run
            ))
        })
    }

    /// How the copy of this run and the data folder stand.
    pub(super) async fn cluster_stands(
        &self,
        manifest: &Manifest,
    ) -> Result<ClusterStands, StepError> {
        let (database, on_behalf) = (self.ports.database(), self.on_behalf());
        let cluster = self.cluster_of(manifest)?;
        Ok(database
            .cluster_stands(&self.plan.database, &on_behalf, cluster)
            .await?)
    }

    /// Puts Redis back, and then the data folder in the place of what the new version made of it; that is kept until the old version
    /// is seen to serve.
    pub(super) async fn put_cluster_back(
        &self,
        state: &RunState,
        dir: &Path,
        manifest: &Manifest,
    ) -> Result<Finding, StepError> {
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (live, finding) = (
            &self.plan.database,
            Finding::Restored { tables: 0, rows: 0 },
        );
        let stands = self.cluster_stands(manifest).await?;
        match stands {
            // What is begun is finished: till then no server starts there.
            ClusterStands::GoingBack | ClusterStands::Back => {}
            ClusterStands::Copied | ClusterStands::Gone => {
                self.data_answer().await?;
                // The journal may have lost that the data are back already, and people may have written since.
                if self.was_restored().await {
                    return Ok(finding);
                }
                self.nobody_opened_the_old_version(state).await?;
                if stands == ClusterStands::Gone {
                    return Err(StepError::NeedsPerson(
                        "the copy of the data folder from before the run is gone: bring the data back from a backup, or \
                         `mastopatch release`"
                            .to_owned(),
                    ));
                }
                self.put_redis_back(state, dir).await?;
            }
        }
        self.swap_cluster(manifest, stands).await?;
        self.data_answer().await?;
        if database.schema_versions(live, &password).await? != manifest.schema {
            return Err(DataError::Incomplete {
                difference: "the schema that was put back is not the one of the snapshot"
                    .to_owned(),
            }
            .into());
        }
        // The old version starts only after this.
        let remark = self.remark();
        database
            .remark(live, &password, &live.name, &remark)
            .await?;
        Ok(finding)
    }

    /// Stops the server, puts the copy in the place of its data if that is not done yet, and lets it be started as its owner wished.
    async fn swap_cluster(
        &self,
        manifest: &Manifest,
        stands: ClusterStands,
    ) -> Result<(), StepError> {
        let (runtime, database) = (self.ports.runtime(), self.ports.database());
        let (live, on_behalf) = (&self.plan.database, self.on_behalf());
        let cluster = self.cluster_of(manifest)?;
        // Else an engine that restarts would start it in the middle.
        let never = serde_json::json!({ "Name": "no" });
        if stands != ClusterStands::Back {
            runtime
                .ensure_restart_policy(&live.container, &never)
                .await?;
            runtime.ensure_stopped(&live.container, STOP_GRACE).await?;
            let limit = self.snapshot_limit();
            database
                .put_cluster_back(live, &on_behalf, cluster, limit)
                .await?;
        }
        runtime
            .ensure_restart_policy(&live.container, &cluster.restart_policy)
            .await?;
        Ok(runtime.ensure_running(&live.container).await?)
    }

    /// Finishes what was begun of putting the copy back, for whoever is about to start the server: it cannot start before.
    pub(super) async fn finish_putting_back(&self) -> Result<(), StepError> {
        if let Some((stands, manifest)) = self.stands_if_any().await?
            && stands == ClusterStands::GoingBack
        {
            self.swap_cluster(&manifest, stands).await?;
        }
        Ok(())
    }

    /// Whether putting the copy back was begun: its first effect takes the server's restart policy. The server may be stopped.
    pub(super) async fn is_putting_back(&self) -> Result<bool, StepError> {
        let Some((stands, manifest)) = self.stands_if_any().await? else {
            return Ok(false);
        };
        let live = &self.plan.database.container;
        let server = self.ports.runtime().container(live).await?;
        let wanted = &self.cluster_of(&manifest)?.restart_policy;
        let wanted = wanted.get("Name").and_then(serde_json::Value::as_str);
        let lacks_policy = wanted.is_some_and(|wanted| !is_no_policy(wanted))
            && server.is_some_and(|found| is_no_policy(&found.restart_policy));
        Ok(match stands {
            ClusterStands::GoingBack | ClusterStands::Back => true,
            ClusterStands::Copied | ClusterStands::Gone => lacks_policy,
        })
    }

    async fn stands_if_any(&self) -> Result<Option<(ClusterStands, Manifest)>, StepError> {
        if self.plan.method != Method::Physical {
            return Ok(None);
        }
        let Some((_, manifest)) = self.own_snapshot()? else {
            return Ok(None);
        };
        Ok(Some((self.cluster_stands(&manifest).await?, manifest)))
    }

    /// Makes sure that neither the copy nor what stands aside is left, once the old version is seen to serve. Where it serves on what
    /// the new version made of the data, the copy stays: it is still this run's snapshot.
    pub(super) async fn ensure_no_cluster(&self, state: &RunState) -> Result<(), StepError> {
        if self.plan.method != Method::Physical {
            return Ok(());
        }
        if state.furthest() >= Some(Step::Snapshot) || state.was_rebuilt() {
            self.data_answer().await?;
            return self.remove_cluster().await;
        }
        if state.was_resumed() {
            // The journal may lack the last step. Where it knows of none, a database that does not answer keeps nobody up.
            drop(self.remove_cluster().await);
        }
        Ok(())
    }

    async fn remove_cluster(&self) -> Result<(), StepError> {
        let (live, password) = (&self.plan.database, self.material.database_password());
        let (on_behalf, folder) = (self.on_behalf(), self.plan.cluster_folder());
        let database = self.ports.database();
        let is_needed = match self.own_snapshot() {
            Ok(None) => false,
            Ok(Some((_, manifest))) => {
                self.cluster_stands(&manifest).await? == ClusterStands::Copied
                    && database.schema_versions(live, &password).await? != manifest.schema
            }
            // A snapshot that was spoilt keeps no run from its end, where the data were not touched or are back: the mark tells, and
            // not the journal, which may be what was lost.
            Err(_) => {
                let files = self.ports.files();
                let may_have_migrated = files.has_mark(&self.plan.run, Mark::Migrating);
                let remark = database.remark_on(live, &password, &live.name).await?;
                may_have_migrated.unwrap_or(true) && remark != self.remark()
            }
        };
        if is_needed {
            return Ok(());
        }
        Ok(database
            .ensure_no_cluster(live, &password, &on_behalf, &folder)
            .await?)
    }
}
