//! The state file: one SQLite database with plans, journals, the outbox and what was learned.
//!
//! Everything is durable when a call returns (`WAL`, `synchronous=FULL`). Several processes may have the
//! file open at once: every write takes the lock first and waits for it. The journal is append-only, by
//! triggers in the file itself, and each of its rows carries the hash of the one before.

mod facts;
mod journal;
mod memory;
mod notices;
mod orders;
mod outbox;
mod rehearsals;
mod schema;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

pub use self::facts::CachedAnswer;
pub use self::outbox::OutboxSummary;
use crate::ports::store::StoreError;

/// How long a call waits for another process's lock. A transaction here takes milliseconds; ten seconds
/// are reached only when a disk stands still.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The open state file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the state file, and makes it when there is none: mode 0600, in a folder of mode 0700.
    ///
    /// A file of an older format is brought to the present one, in one transaction. A file of a newer
    /// format is left as it is and refused with [`StoreError::Newer`]; one that is no state file of ours
    /// is refused with [`StoreError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let ours = |fault: Fault| fault.at(path, "open");
        ensure_file(path).map_err(|err| ours(Fault::Io(err)))?;
        let connection = connect(path).map_err(ours)?;
        Ok(Self {
            path: path.to_owned(),
            connection: Mutex::new(connection),
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `read` on one consistent state of the file.
    fn read<T>(
        &self,
        read: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.transaction(TransactionBehavior::Deferred, read)
            .map_err(|fault| fault.at(&self.path, "read"))
    }

    /// Runs `write` as one transaction: when it, or the commit, fails, nothing of it stays.
    fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.transaction(TransactionBehavior::Immediate, write)
            .map_err(|fault| fault.at(&self.path, "write to"))
    }

    fn transaction<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(behavior)?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    /// A thread that panicked inside a transaction rolled it back while it unwound, so the connection
    /// behind a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn ensure_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    // SQLite gives its side files the mode of the main one.
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    schema::refuse_foreign(&connection)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Refused(format!(
            "its journal mode stays `{mode}`; the file system must support shared memory"
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Without it, REPLACE would delete rows past the triggers that forbid it.
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    schema::ensure_current(&mut connection)?;
    Ok(connection)
}

/// Why a transaction was not done; becomes a [`StoreError`] where the file is known.
#[derive(Debug)]
enum Fault {
    Sql(rusqlite::Error),
    Io(std::io::Error),
    Json(serde_json::Error),
    Damaged(String),
    Refused(String),
    NoSuchRun(String),
    Newer(i64),
}

impl From<rusqlite::Error> for Fault {
    fn from(err: rusqlite::Error) -> Self {
        Self::Sql(err)
    }
}

impl Fault {
    fn at(self, path: &Path, action: &'static str) -> StoreError {
        let path = path.display().to_string();
        let source: Box<dyn std::error::Error + Send + Sync> = match self {
            Self::NoSuchRun(run) => return StoreError::NoSuchRun { run },
            Self::Damaged(what) => return StoreError::Damaged { path, what },
            Self::Newer(found) => {
                return StoreError::Newer {
                    path,
                    found,
                    known: schema::FORMAT,
                };
            }
            Self::Sql(err) => match damage(&err) {
                Some(what) => return StoreError::Damaged { path, what },
                None => err.into(),
            },
            Self::Io(err) => err.into(),
            Self::Json(err) => err.into(),
            Self::Refused(why) => why.into(),
        };
        StoreError::File {
            action,
            path,
            source,
        }
    }
}

/// What is damaged, when that is what SQLite's answer means.
fn damage(err: &rusqlite::Error) -> Option<String> {
    if let rusqlite::Error::FromSqlConversionFailure(..)
    | rusqlite::Error::IntegralValueOutOfRange(..)
    | rusqlite::Error::InvalidColumnType(..)
    | rusqlite::Error::Utf8Error(..) = err
    {
        return Some(format!("value ({err})"));
    }
    let code = err.sqlite_error_code()?;
    if code == ErrorCode::NotADatabase {
        Some("header: it is no SQLite file".to_owned())
    } else if code == ErrorCode::DatabaseCorrupt {
        Some(format!("page ({err})"))
    } else {
        None
    }
}

/// A time as it is written: of fixed width, so that text order is time order.
fn stamp(at: Timestamp) -> String {
    format!("{at:.9}")
}

fn parse_stamp(text: &str, what: &str) -> Result<Timestamp, Fault> {
    text.parse()
        .map_err(|err| Fault::Damaged(format!("time of {what} ({err})")))
}
