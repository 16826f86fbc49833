//! A look through one snapshot: is it whole, and is it what its manifest says? Changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{beside_runs, remove_helpers, timed};
use crate::domain::plan::DatabaseRef;
use crate::engine::planner::Stores;
use crate::engine::steps::snapshot::{count, same_rows};
use crate::engine::{Ports, Progress, ProgressSink, StepError, chain};
use crate::ports::database::{ClusterStands, DataError, Database, Redis, RowCounts};
use crate::ports::files::{FilesError, Flaw, Found, Manifest, RunFiles};

/// Tables without which no Mastodon starts.
const ALWAYS: [&str; 4] = [
    "public.accounts",
    "public.schema_migrations",
    "public.statuses",
    "public.users",
];
/// Bytes that a dump has at the least: each table takes more than 200 in its table of contents alone, and a Mastodon has
/// more than a hundred. An empty database gives 1.5 KB.
const SMALLEST_DUMP: u64 = 4_096;
/// Where a dump lies in a snapshot.
const DUMP: &str = "database/";

/// What was found in a snapshot that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Files compared.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Tables counted; 0 of a clone.
    pub tables: u64,
    /// Rows in them.
    pub rows: u64,
    /// Migrations compared.
    pub migrations: u64,
    /// Keys in the copy of Redis.
    pub redis_keys: u64,
}

/// Why a snapshot is not to be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Its folder is not what was sealed.
    #[error(transparent)]
    Folder(#[from] Flaw),
    /// It is of another instance.
    #[error("it is of instance {found}, not of {wanted}")]
    OtherInstance {
        /// The one asked for.
        wanted: String,
        /// The manifest's.
        found: String,
    },
    /// The dump is too small to hold a Mastodon.
    #[error(
        "its dump has {bytes} bytes, and a Mastodon has more than {SMALLEST_DUMP}: it is a dump of nothing"
    )]
    Small {
        /// The bytes.
        bytes: u64,
    },
    /// The manifest knows nothing of a table that every Mastodon has.
    #[error("its manifest knows no table {table}: it is no copy of a Mastodon")]
    NoMastodon {
        /// The table.
        table: String,
    },
    /// The dump cannot be read to its end.
    #[error("its dump cannot be read back: {reason}")]
    Dump {
        /// What `pg_restore` said.
        reason: String,
    },
    /// Tables or rows differ.
    #[error("its dump is not what its manifest says: {difference}")]
    Rows {
        /// The first differences.
        difference: String,
    },
    /// The schema differs.
    #[error("{place} has not the schema that its manifest says: {difference}")]
    Schema {
        /// `its dump`, or the database.
        place: String,
        /// The first difference.
        difference: String,
    },
    /// The copy of Redis cannot be read, or holds what was not there.
    #[error("its copy of Redis is not what its manifest says: {reason}")]
    Redis {
        /// Why.
        reason: String,
    },
    /// The database that is the copy is gone.
    #[error(
        "database `{name}`, which is the copy, is gone: its run was rolled back, or a newer update was committed since"
    )]
    OriginalGone {
        /// Its name.
        name: String,
    },
    /// The folder that is the copy is gone.
    #[error(
        "folder `{folder}` in the server's data folder, which is the copy, is gone: its run was rolled back, or a newer update was \
         committed since"
    )]
    ClusterGone {
        /// Its name.
        folder: String,
    },
}

impl Defect {
    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(flaw) => match flaw {
                Flaw::Unfinished => "unfinished",
                Flaw::Manifest { .. } => "manifest",
                Flaw::Newer { .. } => "newer-format",
                Flaw::OtherRun { .. } => "other-run",
                Flaw::Missing { .. } => "missing-file",
                Flaw::Surplus { .. } => "surplus-file",
                Flaw::Length { .. } => "length",
                Flaw::Altered { .. } => "checksum",
            },
            Self::OtherInstance { .. } => "other-instance",
            Self::Small { .. } => "too-small",
            Self::NoMastodon { .. } => "no-mastodon",
            Self::Dump { .. } => "dump",
            Self::Rows { .. } => "rows",
            Self::Schema { .. } => "schema",
            Self::Redis { .. } => "redis",
            Self::OriginalGone { .. } | Self::ClusterGone { .. } => "original-gone",
        }
    }
}

/// Why a snapshot was not found whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not.
    #[error(transparent)]
    Defect(#[from] Defect),
    /// It could not be looked at.
    #[error(transparent)]
    Trouble(#[from] StepError),
}

impl From<Flaw> for VerifyError {
    fn from(flaw: Flaw) -> Self {
        Self::Defect(Defect::Folder(flaw))
    }
}

impl From<FilesError> for VerifyError {
    fn from(err: FilesError) -> Self {
        Self::Trouble(StepError::Files(err))
    }
}

impl From<DataError> for VerifyError {
    fn from(err: DataError) -> Self {
        Self::Trouble(StepError::Data(err))
    }
}

/// Looks through a snapshot of `instance`: its manifest, SHA-256 of every file, the dump read back whole and compared with
/// the manifest's rows and schema, the copy of Redis; of a clone, that the database is there with
/// the manifest's schema; of a copy of the server's folder, that it is there.
///
/// The caller holds the instance's lock: what is looked at is not removed meanwhile. `limit` is for each reading.
pub async fn verify<P: Ports>(
    ports: &P,
    found: &Found,
    instance: &str,
    stores: &Stores,
    limit: Duration,
    progress: ProgressSink<'_>,
) -> Result<Verified, VerifyError> {
    let manifest = found.manifest.as_ref().map_err(Clone::clone)?;
    if manifest.instance != instance {
        let (wanted, found) = (instance.to_owned(), manifest.instance.clone());
        return Err(Defect::OtherInstance { wanted, found }.into());
    }
    let total = manifest.files.values().map(|file| file.bytes).sum();
    let looks = async {
        let seen = |done| progress(Progress::Read { done, total });
        ports.files().flaw(found, &seen)
    };
    if let Some(flaw) = timed(ports, progress, "checksums", looks).await? {
        return Err(flaw.into());
    }
    names_a_mastodon(manifest)?;
    remove_helpers(ports, instance).await?;
    let seen = data(ports, found, manifest, stores, limit, progress).await;
    let tidied = remove_helpers(ports, instance).await;
    let (tables, rows, redis_keys) = seen?;
    tidied?;
    Ok(Verified {
        files: count(manifest.files.len()),
        bytes: total,
        tables,
        rows,
        migrations: count(manifest.schema.len()),
        redis_keys,
    })
}

/// Reads the copies back and compares them. Gives tables, rows and keys.
async fn data<P: Ports>(
    ports: &P,
    found: &Found,
    manifest: &Manifest,
    stores: &Stores,
    limit: Duration,
    progress: ProgressSink<'_>,
) -> Result<(u64, u64, u64), VerifyError> {
    let (database, on_behalf) = (ports.database(), beside_runs(&manifest.instance));
    let live = &stores.database;
    let (tables, rows) = if let Some(cluster) = &manifest.cluster {
        let stands = database.cluster_stands(live, &on_behalf, cluster).await?;
        if stands != ClusterStands::Copied {
            let folder = cluster.folder.clone();
            return Err(Defect::ClusterGone { folder }.into());
        }
        (0, 0)
    } else if let Some(name) = &manifest.original {
        original(ports, name, manifest, stores).await?;
        (0, 0)
    } else {
        let reads = database.count_dump(live, &on_behalf, &found.path, limit);
        let rows = timed(ports, progress, "dump", reads).await;
        let rows = rows.map_err(of_dump)?;
        same_rows(&manifest.rows, &rows).map_err(|err| Defect::Rows {
            difference: chain(&err),
        })?;
        let schema = database.dump_schema(live, &on_behalf, &found.path, limit);
        let schema = schema.await.map_err(of_dump)?;
        same_schema("its dump", &manifest.schema, &schema)?;
        (count(rows.len()), rows.values().sum())
    };
    let reads = ports
        .redis()
        .count_dump(&stores.redis, &on_behalf, &found.path, limit);
    let counted = timed(ports, progress, "redis", reads).await;
    let (alive, all) = counted.map_err(|err| {
        if is_of_the_copy(&err) {
            let reason = chain(&err);
            Defect::Redis { reason }.into()
        } else {
            VerifyError::from(err)
        }
    })?;
    // Keys expire, so there may be fewer alive than there were, and never more.
    if alive > manifest.redis_keys {
        let reason = format!(
            "it has {alive} living keys, and there were {}",
            manifest.redis_keys
        );
        return Err(Defect::Redis { reason }.into());
    }
    Ok((tables, rows, all))
}

/// The database that is the copy is there, and has the schema that it had.
async fn original<P: Ports>(
    ports: &P,
    name: &str,
    manifest: &Manifest,
    stores: &Stores,
) -> Result<(), VerifyError> {
    let (database, password) = (ports.database(), &stores.database_password);
    if !database.exists(&stores.database, password, name).await? {
        let name = name.to_owned();
        return Err(Defect::OriginalGone { name }.into());
    }
    let original = DatabaseRef {
        name: name.to_owned(),
        ..stores.database.clone()
    };
    let schema = database.schema_versions(&original, password).await?;
    same_schema(&format!("database `{name}`"), &manifest.schema, &schema)
}

/// A tool that says no was given a bad copy; a container that cannot be used says nothing of it.
fn is_of_the_copy(err: &DataError) -> bool {
    match err {
        DataError::Tool { .. } | DataError::Answer { .. } | DataError::Incomplete { .. } => true,
        DataError::Container { .. } | DataError::Unseen { .. } | DataError::Names { .. } => false,
    }
}

fn of_dump(err: DataError) -> VerifyError {
    if is_of_the_copy(&err) {
        Defect::Dump {
            reason: chain(&err),
        }
        .into()
    } else {
        err.into()
    }
}

fn same_schema(
    place: &str,
    wanted: &BTreeSet<String>,
    found: &BTreeSet<String>,
) -> Result<(), VerifyError> {
    let lacks = wanted.difference(found).next();
    let lacks = lacks.map(|version| format!("{version} is missing"));
    let surplus = found.difference(wanted).next();
    let surplus = surplus.map(|version| format!("{version} is there, too"));
    let Some(difference) = lacks.or(surplus) else {
        return Ok(());
    };
    let place = place.to_owned();
    Err(Defect::Schema { place, difference }.into())
}

/// The manifest speaks of a Mastodon, and the dump is big enough for one.
fn names_a_mastodon(manifest: &Manifest) -> Result<(), Defect> {
    if manifest.schema.is_empty() {
        let table = "public.schema_migrations with a migration in it".to_owned();
        return Err(Defect::NoMastodon { table });
    }
    // A copy of files is proved by their sizes; nothing is counted.
    if manifest.is_in_server() {
        return Ok(());
    }
    let dump = manifest
        .files
        .iter()
        .filter(|(name, _)| name.starts_with(DUMP));
    let bytes = dump.map(|(_, file)| file.bytes).sum();
    if bytes < SMALLEST_DUMP {
        return Err(Defect::Small { bytes });
    }
    has_its_tables(&manifest.rows)
}

pub(super) fn has_its_tables(rows: &RowCounts) -> Result<(), Defect> {
    match ALWAYS.iter().find(|table| !rows.contains_key(**table)) {
        None => Ok(()),
        Some(table) => Err(Defect::NoMastodon {
            table: (*table).to_owned(),
        }),
    }
}
