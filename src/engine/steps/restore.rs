//! A run that brings something back: what a person ordered from behind a commit, or out of a snapshot.
//!
//! The snapshot's data are brought into a second database, compared with their manifest, and take the live name as a migrated
//! clone does: the database that was in use stands aside, untouched, and the way back is that of every clone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::domain::event::{Finding, MigrationClass};
use crate::domain::plan::{DatabaseRef, Restore};
use crate::domain::room::DataPlace;
use crate::engine::steps::prove::Proved;
use crate::engine::steps::snapshot::{count, same_rows};
use crate::engine::{Ctx, Ports, StepError};
use crate::ports::database::{DataError, Database, Redis};
use crate::ports::files::{Manifest, RunFiles};

/// How many times as big as its dump a database is: the dump is compressed, and has no indexes.
const UNPACKED: u64 = 5;

impl<P: Ports> Ctx<'_, P> {
    /// What is brought back is there, whole, and of this instance; looked at before the site is closed.
    pub(super) async fn can_be_restored(&self, restore: &Restore) -> Result<(), StepError> {
        let (dir, manifest) = self.source(restore)?;
        // Here, while the site is open: later the checksums tell whether it is still the same.
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let redis = self.ports.redis();
        redis
            .count_dump(&self.plan.redis, &on_behalf, &dir, limit)
            .await?;
        if let Some(original) = self.original_of(restore) {
            let (database, password) = (self.ports.database(), self.material.database_password());
            if !database
                .exists(&self.plan.database, &password, &original.name)
                .await?
            {
                return Err(StepError::Host(format!(
                    "database `{}`, which is the snapshot of run {}, is gone",
                    original.name, restore.run
                )));
            }
            let schema = database.schema_versions(&original, &password).await?;
            same_schema(&manifest.schema, &schema, &original.name)?;
        }
        Ok(())
    }

    /// The snapshot that is brought back. Reads all its files.
    fn source(&self, restore: &Restore) -> Result<(PathBuf, Manifest), StepError> {
        let Some((dir, manifest)) = self.ports.files().open_snapshot(&restore.run)? else {
            return Err(StepError::Host(format!(
                "the snapshot of run {} is gone",
                restore.run
            )));
        };
        if manifest.instance != self.plan.instance {
            return Err(StepError::Host(format!(
                "the snapshot of run {} is of instance {}",
                restore.run, manifest.instance
            )));
        }
        if manifest.original != restore.database {
            return Err(StepError::Host(format!(
                "the snapshot of run {} is not the one that was planned with",
                restore.run
            )));
        }
        Ok((dir, manifest))
    }

    /// Where a snapshot that is a clone lies in the server.
    fn original_of(&self, restore: &Restore) -> Option<DatabaseRef> {
        let name = restore.database.clone()?;
        Some(DatabaseRef {
            name,
            ..self.plan.database.clone()
        })
    }

    /// Where the server would keep the snapshot's data, and how many bytes they take.
    pub(super) async fn places_of_copy(
        &self,
        restore: &Restore,
    ) -> Result<Vec<DataPlace>, StepError> {
        let (database, password) = (self.ports.database(), self.material.database_password());
        if let Some(original) = self.original_of(restore) {
            return Ok(database.places(&original, &password).await?);
        }
        let mut places = database.places(&self.plan.database, &password).await?;
        let source = self.listed(restore)?;
        let dumped: u64 = source
            .iter()
            .flat_map(|it| it.files.values())
            .map(|it| it.bytes)
            .sum();
        let here: u64 = places.iter().map(|it| it.bytes).sum();
        // What is there now may be less than what comes back: that may be why it comes back.
        let lacking = dumped.saturating_mul(UNPACKED).saturating_sub(here);
        if let Some(first) = places.first_mut() {
            first.bytes = first.bytes.saturating_add(lacking);
        }
        Ok(places)
    }

    /// Migrations that the version to come has and its data lack; there must be none, for none is run.
    pub(super) async fn pending_of(
        &self,
        restore: &Restore,
        main: &str,
        applied: &BTreeSet<String>,
    ) -> Result<(Vec<String>, Vec<String>), StepError> {
        let schema = if restore.data {
            self.source(restore)?.1.schema
        } else {
            applied.clone()
        };
        let (pending, post) = self.pending_in(main, &schema).await?;
        match pending.iter().chain(&post).next() {
            None => Ok((pending, post)),
            Some(version) => Err(StepError::Host(format!(
                "Mastodon {} has migration {version}, and the data that it would get have not",
                self.plan.to
            ))),
        }
    }

    /// Whether a snapshot is a copy of the server's data folder.
    pub(super) fn is_cluster(&self, restore: &Restore) -> Result<bool, StepError> {
        let source = self.listed(restore)?;
        Ok(source.is_some_and(|it| it.cluster.is_some()))
    }

    /// The manifest of the snapshot that is brought back, without a look into its files.
    fn listed(&self, restore: &Restore) -> Result<Option<Manifest>, StepError> {
        let manifests = self.ports.files().snapshots(&self.plan.instance)?;
        Ok(manifests.into_iter().find(|it| it.run == restore.run))
    }

    /// Brings the snapshot's database into the one that is to take the live name; the live one is not touched. Out of a copy of the
    /// data folder it comes by way of a dump into `own`, this run's own snapshot, since two clusters share no database.
    pub(super) async fn bring_copy(&self, restore: &Restore, own: &Path) -> Result<(), StepError> {
        let (dir, manifest) = self.source(restore)?;
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (into, limit) = (self.plan.cloned_database(), self.snapshot_limit());
        if let Some(original) = self.original_of(restore) {
            database
                .clone_to(&original, &password, &into, limit)
                .await?;
            return Ok(());
        }
        let live = &self.plan.database;
        let on_behalf = self.on_behalf();
        if let Some(cluster) = &manifest.cluster {
            let network = self.isolated().await?;
            let opened = database
                .open_cluster(live, &password, &on_behalf, cluster, &network, limit)
                .await?;
            let rows = database.row_counts(&opened, &password, limit).await?;
            database
                .dump(&opened, &password, &on_behalf, own, limit)
                .await?;
            database.close_cluster(&opened).await?;
            let restored = database
                .restore(live, &password, &on_behalf, own, &into, limit)
                .await?;
            return Ok(same_rows(&rows, &restored)?);
        }
        let rows = database
            .restore(live, &password, &on_behalf, &dir, &into, limit)
            .await?;
        Ok(same_rows(&manifest.rows, &rows)?)
    }

    /// Compares what was brought with the snapshot's manifest.
    pub(super) async fn prove_copy(&self, own: &Manifest) -> Result<Proved, StepError> {
        let Some(restore) = self.plan.brings_data() else {
            // Only the version changes: the data stay what they are.
            return Ok(Proved::default());
        };
        let (_, manifest) = self.source(restore)?;
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (into, limit) = (self.plan.cloned_database(), self.snapshot_limit());
        let copy = DatabaseRef {
            name: into.clone(),
            ..self.plan.database.clone()
        };
        let schema = database.schema_versions(&copy, &password).await?;
        same_schema(&manifest.schema, &schema, &into)?;
        // Nothing of this run has touched the database in use.
        let live = database
            .schema_versions(&self.plan.database, &password)
            .await?;
        same_schema(&own.schema, &live, &self.plan.database.name)?;
        if let Some(original) = self.original_of(restore) {
            let seen = database.compare_clone(&original, &password, &into).await?;
            return Ok(Proved {
                tables: seen.relations,
                bytes: seen.bytes,
                ..Proved::default()
            });
        }
        let rows = database.row_counts(&copy, &password, limit).await?;
        if manifest.cluster.is_none() {
            same_rows(&manifest.rows, &rows)?;
        }
        Ok(Proved {
            tables: count(rows.len()),
            rows: rows.values().sum(),
            ..Proved::default()
        })
    }

    /// Says in the server's catalogue that a database came out of a snapshot: its schema may be the same as that of the one
    /// which it takes the place of. The remark goes live with it, in one renaming.
    pub(super) async fn remark_what_is_put_in(&self) -> Result<(), StepError> {
        let (database, password) = (self.ports.database(), self.material.database_password());
        let (into, remark) = (self.plan.cloned_database(), self.put_in_remark());
        let live = &self.plan.database;
        Ok(database.remark(live, &password, &into, &remark).await?)
    }

    /// Whether the live database is the one that was in use before the run, where it has the schema of that: another one may
    /// have it, too, which only its remark tells.
    pub(crate) async fn is_untouched(&self, manifest: &Manifest) -> Result<bool, StepError> {
        let (database, password) = (self.ports.database(), self.material.database_password());
        let live = &self.plan.database;
        if database.schema_versions(live, &password).await? != manifest.schema {
            return Ok(false);
        }
        if self.plan.brings_data().is_none() {
            return Ok(true);
        }
        let remark = database.remark_on(live, &password, &live.name).await?;
        Ok(remark != self.put_in_remark())
    }

    fn put_in_remark(&self) -> String {
        format!("put in by mastopatch, run {}", self.plan.run)
    }

    /// Puts the snapshot's Redis in, once its database has the live name.
    pub(super) async fn put_data_in(&self, restore: &Restore) -> Result<Finding, StepError> {
        let (dir, manifest) = self.source(restore)?;
        let (on_behalf, limit) = (self.on_behalf(), self.snapshot_limit());
        let redis_password = self.material.redis_password();
        self.ports
            .redis()
            .restore(&self.plan.redis, &redis_password, &on_behalf, &dir, limit)
            .await?;
        let password = self.material.database_password();
        let live = &self.plan.database;
        let schema = self
            .ports
            .database()
            .schema_versions(live, &password)
            .await?;
        same_schema(&manifest.schema, &schema, &live.name)?;
        Ok(Finding::PutIn {
            tables: count(manifest.rows.len()),
            rows: manifest.rows.values().sum(),
        })
    }

    /// Whether the data of a snapshot took the live name, and of which class the run is. A restore brings no migration that
    /// could tell: what tells is the database that stands aside.
    pub(crate) async fn restore_seen(&self) -> Option<(bool, MigrationClass)> {
        if self.plan.brings_data().is_none() {
            return Some((false, MigrationClass::M0));
        }
        let (database, password) = (self.ports.database(), self.material.database_password());
        let original = self.plan.original_database();
        let is_aside = database
            .exists(&self.plan.database, &password, &original)
            .await;
        Some((is_aside.ok()?, MigrationClass::M2))
    }
}

fn same_schema(
    wanted: &BTreeSet<String>,
    found: &BTreeSet<String>,
    name: &str,
) -> Result<(), StepError> {
    let Some(version) = wanted.symmetric_difference(found).next() else {
        return Ok(());
    };
    let has = if found.contains(version) {
        "has"
    } else {
        "lacks"
    };
    let difference = format!("database `{name}` {has} migration {version}");
    Err(DataError::Incomplete { difference }.into())
}
