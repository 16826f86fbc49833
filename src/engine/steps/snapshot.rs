//! Snapshot: database, Redis and the owner's files, copied behind the fence.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::event::Finding;
use crate::domain::plan::Method;
use crate::domain::run::RunState;
use crate::engine::{Ctx, Ports, StepError};
use crate::ports::clock::Clock;
use crate::ports::compose::ProjectFiles;
use crate::ports::database::{DataError, Database, Redis, RowCounts};
use crate::ports::files::{MANIFEST_FORMAT, Manifest, RunFiles};

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn snapshot(&self, state: &RunState) -> Result<Finding, StepError> {
        self.fence_stands(state).await?;
        let plan = self.plan;
        let password = self.material.database_password();
        let redis_password = self.material.redis_password();
        let (database, redis) = (self.ports.database(), self.ports.redis());
        // Somebody may have filled the disk since the site was closed. All at once: it is closed.
        let (room, schema, redis_keys) = tokio::join!(
            self.room_for_copies(state),
            database.schema_versions(&plan.database, &password),
            redis.keys(&plan.redis, &redis_password),
        );
        room?;
        let (schema, redis_keys) = (schema?, redis_keys?);
        let limit = self.snapshot_limit();
        let rows = match plan.method {
            Method::Logical => {
                database
                    .row_counts(&plan.database, &password, limit)
                    .await?
            }
            // What is copied as files is compared as files; to count it would keep the site closed for as long as to copy it.
            Method::Clone | Method::Physical => RowCounts::new(),
        };
        let dir = self.ports.files().begin_snapshot(&plan.run)?;
        let on_behalf = self.on_behalf();
        // Both at once: Redis waits some seconds before it starts a copy, and the site is closed. Both are
        // waited for, so that no tool is left running.
        let copied = async {
            if let Some(restore) = plan.brings_data() {
                self.bring_copy(restore, &dir).await?;
                return Ok(None);
            }
            let (live, on_behalf) = (&plan.database, &on_behalf);
            match plan.method {
                Method::Logical => {
                    let dump = database.dump(live, &password, on_behalf, &dir, limit);
                    dump.await?;
                }
                Method::Clone => {
                    let clone = plan.cloned_database();
                    database.clone_to(live, &password, &clone, limit).await?;
                }
                Method::Physical => return self.copy_cluster(limit).await.map(Some),
            }
            Ok::<_, StepError>(None)
        };
        let (copied, redis_dumped) = tokio::join!(
            copied,
            redis.dump(&plan.redis, &redis_password, &on_behalf, &dir, limit),
        );
        let cluster = copied?;
        redis_dumped?;
        let owners = owners_files(&self.material.project);
        self.ports.files().copy_into(&dir, &owners)?;
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            run: plan.run.clone(),
            instance: plan.instance.clone(),
            version: plan.from.to_string(),
            taken_at: self.ports.clock().now(),
            images: plan
                .images
                .iter()
                .map(|image| (image.from_reference.clone(), image.from_id.clone()))
                .collect(),
            method: format!("{}; redis-cli --rdb", how(plan.method)),
            hot: false,
            original: (plan.method == Method::Clone).then(|| plan.original_database()),
            cluster,
            postgres: plan.database.server_version,
            schema,
            rows,
            redis_keys,
            files: BTreeMap::new(),
        };
        let (path, bytes) = self.ports.files().seal_snapshot(&dir, manifest)?;
        Ok(Finding::Snapshotted {
            path: path.display().to_string(),
            bytes,
        })
    }

    /// This run's own snapshot, if it is finished: whole, and of the instance, the version and the method of the plan.
    pub(crate) fn own_snapshot(&self) -> Result<Option<(PathBuf, Manifest)>, StepError> {
        let plan = self.plan;
        let found = self.ports.files().open_snapshot(&plan.run)?;
        let Some((dir, manifest)) = found else {
            return Ok(None);
        };
        let from = plan.from.to_string();
        let original = (plan.method == Method::Clone).then(|| plan.original_database());
        let cluster = (plan.method == Method::Physical).then(|| plan.cluster_folder());
        let wrong = if manifest.instance != plan.instance {
            format!("of instance `{}`", manifest.instance)
        } else if manifest.version != from {
            format!("of version {}, and {from} served", manifest.version)
        } else if manifest.hot {
            "taken while the site was open".to_owned()
        } else if manifest.original != original
            || manifest.cluster.as_ref().map(|it| &it.folder) != cluster.as_ref()
        {
            "taken in another way than the plan says".to_owned()
        } else {
            return Ok(Some((dir, manifest)));
        };
        Err(StepError::Host(format!(
            "the snapshot in {} is not this run's: it is {wrong}",
            dir.display()
        )))
    }
}

/// How a manifest says that the database was copied.
const fn how(method: Method) -> &'static str {
    match method {
        Method::Logical => "pg_dump --format=directory",
        Method::Clone => "the untouched original of a clone",
        Method::Physical => "the server's data folder, between pg_backup_start and pg_backup_stop",
    }
}

/// Compose files and environment files: without the secrets in them a dump is worthless.
pub(crate) fn owners_files(project: &ProjectFiles) -> Vec<PathBuf> {
    let mut files = project.config_files.clone();
    files.extend(project.env_file.clone());
    for name in [".env", ".env.production"] {
        files.push(project.working_dir.join(name));
    }
    files.sort();
    files.dedup();
    files
}

/// Compares two counts table by table.
pub(crate) fn same_rows(wanted: &RowCounts, found: &RowCounts) -> Result<(), DataError> {
    /// Differences named in one error.
    const SHOWN: usize = 5;
    let mut differences: Vec<String> = wanted
        .iter()
        .filter(|(table, rows)| found.get(*table) != Some(*rows))
        .map(|(table, rows)| match found.get(table) {
            Some(other) => format!("{table} has {other} rows instead of {rows}"),
            None => format!("{table} is missing"),
        })
        .collect();
    differences.extend(
        found
            .keys()
            .filter(|table| !wanted.contains_key(*table))
            .map(|table| format!("{table} is in the copy only")),
    );
    if differences.is_empty() {
        return Ok(());
    }
    differences.truncate(SHOWN);
    Err(DataError::Incomplete {
        difference: differences.join(", "),
    })
}

/// A length as a number for the journal.
pub(crate) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> RowCounts {
        pairs
            .iter()
            .map(|(table, rows)| ((*table).to_owned(), *rows))
            .collect()
    }

    #[test]
    fn a_missing_table_and_a_missing_row_are_named() {
        let wanted = counts(&[("public.accounts", 3), ("public.statuses", 9)]);
        assert!(same_rows(&wanted, &wanted).is_ok());
        let text = same_rows(&wanted, &counts(&[("public.statuses", 8)]))
            .unwrap_err()
            .to_string();
        assert!(text.contains("public.accounts is missing"), "{text}");
        assert!(
            text.contains("public.statuses has 8 rows instead of 9"),
            "{text}"
        );
    }
}
