//! Proof: the copy is whole and can be restored, before anything is changed.

use std::path::Path;
use std::time::Duration;

use super::role;
use super::snapshot::{count, same_rows};
use crate::domain::event::{Finding, RestoreProof};
use crate::domain::plan::{DatabaseRef, Method, Proof};
use crate::domain::run::RunState;
use crate::engine::{Ctx, Ports, StepError, chain};
use crate::ports::Retry;
use crate::ports::clock::Clock;
use crate::ports::database::{DataError, Database, Haste, Redis, SCRATCH_ROLE, Soundness};
use crate::ports::files::Manifest;
use crate::ports::runtime::{ContainerRuntime, ROLE_LABEL, RUN_LABEL};

/// How long PostgreSQL's own check of a restored copy may keep the site closed: it reads 1 GB in some seconds, and what it
/// looks for is rare where everything was just written anew.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// What the proof of the database found.
#[derive(Default)]
pub(in crate::engine) struct Proved {
    pub(in crate::engine) tables: u64,
    pub(in crate::engine) rows: u64,
    pub(in crate::engine) bytes: u64,
    pub(in crate::engine) restored: Option<RestoreProof>,
    pub(in crate::engine) only_read: Option<String>,
}

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn prove(&self, state: &RunState) -> Result<Finding, StepError> {
        let plan = self.plan;
        let Some((dir, manifest)) = self.own_snapshot()? else {
            return Err(StepError::Host("the snapshot is gone".to_owned()));
        };
        // Both at once, and both are waited for: the site is closed.
        let (proved, redis_keys) = tokio::join!(
            async {
                match (plan.method, &plan.proof) {
                    (Method::Logical, Proof::Restore) => {
                        self.prove_by_restore(&dir, &manifest).await
                    }
                    (Method::Logical, Proof::Read { .. }) => {
                        self.prove_by_reading(&dir, &manifest).await
                    }
                    (Method::Clone, _) if plan.brings_data().is_some() => {
                        self.prove_copy(&manifest).await
                    }
                    (Method::Clone, _) => self.prove_clone(&manifest).await,
                    (Method::Physical, _) => self.prove_cluster(&manifest).await,
                }
            },
            self.prove_redis(&dir, &manifest),
        );
        let (proved, redis_keys) = (proved?, redis_keys?);
        // What somebody wrote meanwhile is not in the copy.
        self.fence_stands(state).await?;
        Ok(Finding::Proved {
            tables: proved.tables,
            rows: proved.rows,
            bytes: proved.bytes,
            redis_keys,
            restored: proved.restored,
            only_read: proved.only_read,
        })
    }

    /// Reads the whole dump back and counts its rows.
    async fn prove_by_reading(&self, dir: &Path, manifest: &Manifest) -> Result<Proved, StepError> {
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let rows = self
            .ports
            .database()
            .count_dump(&self.plan.database, &on_behalf, dir, limit)
            .await?;
        same_rows(&manifest.rows, &rows)?;
        Ok(Proved {
            tables: count(rows.len()),
            rows: rows.values().sum(),
            ..Proved::default()
        })
    }

    /// Restores the dump into a throw-away server, and compares what came of it with what was counted behind the fence.
    ///
    /// Where no such server can be had in the image of the live one, the dump is read back in its place: that speaks not
    /// against the copy, and the site is closed. A dump that cannot be restored is no copy.
    async fn prove_by_restore(&self, dir: &Path, manifest: &Manifest) -> Result<Proved, StepError> {
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let start = self.ports.clock().monotonic();
        let scratch = match self.scratch().await {
            Ok(scratch) => scratch,
            Err(err) if is_permanent(&err) => {
                let why = chain(&err);
                self.note(format!(
                    "the copy is read back and not restored, because there is no throw-away server: {why}"
                ));
                self.remove_scratch().await?;
                let proved = self.prove_by_reading(dir, manifest).await?;
                return Ok(Proved {
                    only_read: Some(why),
                    ..proved
                });
            }
            Err(err) => return Err(err),
        };
        database
            .restore_scratch(&scratch, &password, &on_behalf, dir, limit)
            .await?;
        let elapsed_ms = self.since(start);
        let rows = database.row_counts(&scratch, &password, limit).await?;
        same_rows(&manifest.rows, &rows)?;
        if database.schema_versions(&scratch, &password).await? != manifest.schema {
            return Err(DataError::Incomplete {
                difference: "the restored schema is not the one of the database".to_owned(),
            }
            .into());
        }
        let check_limit = CHECK_LIMIT.min(limit);
        let soundness = database
            .check_scratch(&scratch, &password, check_limit)
            .await?;
        self.remove_scratch().await?;
        Ok(Proved {
            tables: count(rows.len()),
            rows: rows.values().sum(),
            bytes: 0,
            restored: Some(RestoreProof {
                elapsed_ms,
                unchecked: match soundness {
                    Soundness::Sound => None,
                    Soundness::Unknown { because } => Some(because),
                },
            }),
            only_read: None,
        })
    }

    /// Makes sure that the network is there in which throw-away servers are alone; gives its name.
    pub(in crate::engine) async fn isolated(&self) -> Result<String, StepError> {
        let network = self.plan.isolated_network();
        let labels = self.labels(role::ISOLATED);
        self.ports
            .runtime()
            .ensure_isolated_network(&network, &labels)
            .await?;
        Ok(network)
    }

    /// A fresh throw-away server in a network of its own.
    async fn scratch(&self) -> Result<DatabaseRef, StepError> {
        let network = self.isolated().await?;
        let (live, password) = (&self.plan.database, self.material.database_password());
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let database = self.ports.database();
        let scratch = database
            .fresh_scratch(live, &password, &on_behalf, &network, Haste::Hurried, limit)
            .await?;
        Ok(scratch)
    }

    /// The throw-away server is needed no more: its data go with it, and its memory is free for the migrations. Other helpers
    /// stay: one of them may be reading the copy of Redis.
    pub(in crate::engine) async fn remove_scratch(&self) -> Result<(), StepError> {
        let (runtime, run) = (self.ports.runtime(), &self.plan.run);
        for container in runtime.labelled(RUN_LABEL, run).await? {
            let role = container.labels.get(ROLE_LABEL);
            if role.is_some_and(|role| role.starts_with(SCRATCH_ROLE)) {
                runtime.ensure_removed(&container.id).await?;
            }
        }
        self.remove_networks().await
    }

    /// Whether the clone is the same as its original, which nobody has written to since.
    async fn prove_clone(&self, manifest: &Manifest) -> Result<Proved, StepError> {
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (live, clone) = (&self.plan.database, self.plan.cloned_database());
        let copy = DatabaseRef {
            name: clone.clone(),
            ..live.clone()
        };
        let (seen, schema) = tokio::join!(
            database.compare_clone(live, &password, &clone),
            database.schema_versions(&copy, &password),
        );
        let (seen, schema) = (seen?, schema?);
        if schema != manifest.schema {
            return Err(DataError::Incomplete {
                difference: "the clone's schema is not the original's".to_owned(),
            }
            .into());
        }
        Ok(Proved {
            tables: seen.relations,
            bytes: seen.bytes,
            ..Proved::default()
        })
    }

    /// Reads the copy of Redis; gives the keys in it.
    async fn prove_redis(&self, dir: &Path, manifest: &Manifest) -> Result<u64, StepError> {
        let plan = self.plan;
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let redis = self.ports.redis();
        let (alive, all) = redis
            .count_dump(&plan.redis, &on_behalf, dir, limit)
            .await?;
        let password = self.material.redis_password();
        let now = redis.keys(&plan.redis, &password).await?;
        // Nobody writes behind the fence, but keys still expire: the copy holds no more living keys than
        // there were before it, and all that are there after it.
        if alive > manifest.redis_keys || all < now {
            return Err(DataError::Incomplete {
                difference: format!(
                    "Redis had {} keys before and {now} after the copy, which holds {alive} living of {all}",
                    manifest.redis_keys
                ),
            }
            .into());
        }
        Ok(all)
    }
}

/// Whether the engine or a tool said no, and would say so again.
fn is_permanent(err: &StepError) -> bool {
    match err {
        StepError::Runtime(err) => err.retry() == Retry::Permanent,
        StepError::Data(err) => err.retry() == Retry::Permanent,
        StepError::Target(_)
        | StepError::Host(_)
        | StepError::NotBegun(_)
        | StepError::NeedsPerson(_)
        | StepError::Compose(_)
        | StepError::Files(_) => false,
    }
}
