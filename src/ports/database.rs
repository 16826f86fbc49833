//! The data: PostgreSQL and Redis, their copies and the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::Retry;
use super::runtime::RuntimeError;
use crate::domain::plan::{DatabaseRef, RedisRef};
use crate::domain::room::DataPlace;

/// Role label of throw-away servers; that of the helpers that fill them begins with it.
pub const SCRATCH_ROLE: &str = "scratch";

/// The run and instance on whose behalf a helper container works; both become labels of it.
#[derive(Debug, Clone)]
pub struct OnBehalf {
    /// Run id.
    pub run: String,
    /// Its short form, part of names.
    pub short_run: String,
    /// Instance.
    pub instance: String,
    /// Whether the helper gives way to others, because people use the site meanwhile.
    pub gently: bool,
}

/// What the database server says of itself and of the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`.
    pub version: u32,
    /// Bytes of the database.
    pub bytes: u64,
    /// Whether web's role may create and rename databases.
    pub may_create_databases: bool,
    /// Extensions in the database that the role could not create again: a restore as this role would fail.
    pub foreign_extensions: Vec<String>,
    /// Why the database cannot be cloned so that the clone is the same for everybody, if it cannot.
    pub no_clone: Option<String>,
}

/// What was compared of a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloneSeen {
    /// Tables, indexes and the like.
    pub relations: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What PostgreSQL's own check of its files found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soundness {
    /// Every table and index is sound.
    Sound,
    /// It could not be looked at, or not to the end.
    Unknown {
        /// Why.
        because: String,
    },
}

/// What a throw-away server is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// To be over soon: nothing is synchronised, since the data go with the server.
    Hurried,
    /// To take as long as the live one would, beside people who use that: it synchronises, and gives way to others.
    Measured,
}

/// Rows of every table, by schema-qualified name.
pub type RowCounts = BTreeMap<String, u64>;

/// Why a question to or a copy of the data failed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The helper or server container could not be used.
    #[error("failed to reach {what}")]
    Container {
        /// `PostgreSQL` or `Redis`, and where.
        what: String,
        /// What the engine said.
        #[source]
        source: RuntimeError,
    },
    /// A tool said no.
    #[error("{tool} failed (exit {exit}): {stderr}")]
    Tool {
        /// `psql`, `pg_dump`, ….
        tool: &'static str,
        /// Its exit code.
        exit: i64,
        /// The last of what it wrote.
        stderr: String,
    },
    /// An answer could not be read.
    #[error("{tool} answered something unexpected: {answer}")]
    Answer {
        /// `psql`, `redis-cli`, ….
        tool: &'static str,
        /// What, cut.
        answer: String,
    },
    /// The copy is not what was copied.
    #[error("the copy is not complete: {difference}")]
    Incomplete {
        /// The first differences.
        difference: String,
    },
    /// Where the server keeps its data is not known.
    #[error("where the server keeps its data could not be seen: {why}")]
    Unseen {
        /// Why, and what would help.
        why: String,
    },
    /// Database names stand in a way that the program never makes.
    #[error("the databases `{name}`, `{other}` stand in an unexpected way; nothing was renamed")]
    Names {
        /// The database's name.
        name: String,
        /// The other one's name.
        other: String,
    },
}

impl DataError {
    /// Whether trying again makes sense.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Container { source, .. } => source.retry(),
            Self::Tool { .. }
            | Self::Answer { .. }
            | Self::Incomplete { .. }
            | Self::Unseen { .. }
            | Self::Names { .. } => Retry::Permanent,
        }
    }
}

/// Result of a call about the data.
pub type DataResult<T> = Result<T, DataError>;

/// PostgreSQL in a container of this host.
pub trait Database: Send + Sync {
    /// Asks the server. Read-only.
    fn facts(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> impl Future<Output = DataResult<ServerFacts>> + Send;

    /// Where the server keeps this database, its own data folder first, with the room there: as the server's container sees
    /// it, so that volumes, bind mounts, links and tablespaces are what they are. Read-only.
    fn places(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> impl Future<Output = DataResult<Vec<DataPlace>>> + Send;

    /// Versions in `schema_migrations`.
    fn schema_versions(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> impl Future<Output = DataResult<BTreeSet<String>>> + Send;

    /// Addresses (`uri`) that more than one account of another server has. Reads the whole table of accounts.
    fn duplicate_accounts(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> impl Future<Output = DataResult<u64>> + Send;

    /// Counts every row of every table that a dump holds.
    fn row_counts(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> impl Future<Output = DataResult<RowCounts>> + Send;

    /// Dumps the database into folder `database` of `dir`, in `pg_dump`'s directory format, which
    /// `pg_restore` reads in parallel. `dir` is on this host.
    fn dump(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> impl Future<Output = DataResult<()>> + Send;

    /// Reads the whole dump back and counts the rows of each table in it. A file that is cut or altered
    /// is an error.
    fn count_dump(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> impl Future<Output = DataResult<RowCounts>> + Send;

    /// Versions in the dump's `schema_migrations`; none where it has no such table.
    fn dump_schema(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> impl Future<Output = DataResult<BTreeSet<String>>> + Send;

    /// Restores the dump into the new database `into` (dropped first if it is there), stopping at the
    /// first error, and counts its rows. The live database is not touched.
    fn restore(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        into: &str,
        limit: Duration,
    ) -> impl Future<Output = DataResult<RowCounts>> + Send;

    /// Makes a throw-away server of the live server's image in `network`, which answers there under the host name and port
    /// that web uses, with the live one's roles, web's password and an empty database of the same name. Gives where it is, for
    /// the other questions. One of an earlier attempt is removed first. Its data lie inside its container and go with it; it
    /// carries `on_behalf`'s labels and the role [`SCRATCH_ROLE`]. The live server is asked, and not changed.
    fn fresh_scratch(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        haste: Haste,
        limit: Duration,
    ) -> impl Future<Output = DataResult<DatabaseRef>> + Send;

    /// Restores the dump into the empty database of a throw-away server, stopping at the first error. `scratch` is what
    /// [`Self::fresh_scratch`] gave.
    fn restore_scratch(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> impl Future<Output = DataResult<()>> + Send;

    /// Lets PostgreSQL check every table and index of a throw-away server (`pg_amcheck`), where its image can. Damage is an
    /// error; what takes longer than `limit` is [`Soundness::Unknown`].
    fn check_scratch(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> impl Future<Output = DataResult<Soundness>> + Send;

    /// Tables of the database that somebody has locked so that nobody else can even read them, by name.
    fn locked_tables(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> impl Future<Output = DataResult<Vec<String>>> + Send;

    /// Copies the live database's files into the new database `into`, in the same server (dropped first if it is there),
    /// with its owner, its grants, its settings and its remark. Ends every connection to the live one; fails where
    /// somebody keeps coming back. Until it is over, nobody can connect to the live one. The live one is not changed.
    fn clone_to(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        into: &str,
        limit: Duration,
    ) -> impl Future<Output = DataResult<()>> + Send;

    /// Compares the clone with the live database: every relation is there, with as many bytes, and the database has the
    /// same owner, grants and settings. Nobody may have written to either since.
    fn compare_clone(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        clone: &str,
    ) -> impl Future<Output = DataResult<CloneSeen>> + Send;

    /// Whether a database of this name exists.
    fn exists(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> impl Future<Output = DataResult<bool>> + Send;

    /// Lets people connect to this database, if there is one, also where a switch that was interrupted had shut it.
    fn ensure_open(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> impl Future<Output = DataResult<()>> + Send;

    /// Writes a remark on a database into the server's catalogue, in place of an earlier one.
    fn remark(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
        text: &str,
    ) -> impl Future<Output = DataResult<()>> + Send;

    /// The remark on a database; empty without one, or without the database.
    fn remark_on(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> impl Future<Output = DataResult<String>> + Send;

    /// Puts `restored` in the live database's place and the live one, if there is one, aside as `aside`. An interruption
    /// between the two renames is finished by the next call. Connections are ended; afterwards both let
    /// everybody in.
    fn swap(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        restored: &str,
        aside: &str,
    ) -> impl Future<Output = DataResult<()>> + Send;

    /// Makes sure no database of this name exists, nor one that is still being made. Refuses the live database's own name.
    fn ensure_dropped(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> impl Future<Output = DataResult<()>> + Send;
}

/// Who uses a Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisUse {
    /// Where its clients are, but for those in its own container.
    pub clients: BTreeSet<IpAddr>,
    /// Its databases that hold something, by number.
    pub databases: BTreeSet<u32>,
}

/// Redis in a container of this host.
pub trait Redis: Send + Sync {
    /// Its version, `7.0.15`.
    fn version(
        &self,
        redis: &RedisRef,
        password: &SecretString,
    ) -> impl Future<Output = DataResult<String>> + Send;

    /// Keys in all its databases.
    fn keys(
        &self,
        redis: &RedisRef,
        password: &SecretString,
    ) -> impl Future<Output = DataResult<u64>> + Send;

    /// Who is connected to it at this moment, and which of its databases hold something.
    fn used(
        &self,
        redis: &RedisRef,
        password: &SecretString,
    ) -> impl Future<Output = DataResult<RedisUse>> + Send;

    /// Makes an empty throw-away Redis of the live server's image in `network`, which answers there under the host name and
    /// port that web uses, with web's password; where that host is an address, under a name of its own. One of an earlier
    /// attempt is removed first. It writes nothing to any disk, and
    /// gives way to others. The live server is not asked. Gives where it is.
    fn fresh_scratch(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        limit: Duration,
    ) -> impl Future<Output = DataResult<RedisRef>> + Send;

    /// Writes a point-in-time copy to `redis.rdb` in `dir`.
    fn dump(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> impl Future<Output = DataResult<()>> + Send;

    /// Checks the copy and counts its keys: those that are alive, and all.
    fn count_dump(
        &self,
        redis: &RedisRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> impl Future<Output = DataResult<(u64, u64)>> + Send;

    /// Makes the running server hold exactly what the copy holds, through Redis's own replication: whole
    /// or not at all, whatever persistence it uses.
    fn restore(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> impl Future<Output = DataResult<()>> + Send;
}
