//! The state file's format: how it is made, recognised and brought up to date.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::Fault;

/// Format this program writes.
pub(super) const FORMAT: i64 = 5;
/// SQLite's `application_id` of our files: "mpch".
const APPLICATION: i64 = 0x6d70_6368;

/// Brings a file from the format of its place in the list (0: empty) to the next one.
type Migration = fn(&Transaction<'_>) -> rusqlite::Result<()>;
const MIGRATIONS: [Migration; 5] = [
    make_format_1,
    make_format_2,
    make_format_3,
    make_format_4,
    make_format_5,
];

/// Refuses, without having written anything, files that are not ours or of a newer format.
pub(super) fn refuse_foreign(connection: &Connection) -> Result<(), Fault> {
    let found = format_of(connection)?;
    if found > FORMAT {
        return Err(Fault::Newer(found));
    }
    let application: i64 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let fresh = found == 0 && application == 0 && objects == 0;
    if fresh || (found > 0 && application == APPLICATION) {
        Ok(())
    } else {
        Err(Fault::Damaged(
            "header: it is an SQLite file of another program".to_owned(),
        ))
    }
}

/// Brings the file to [`FORMAT`], all in one transaction.
pub(super) fn ensure_current(connection: &mut Connection) -> Result<(), Fault> {
    if format_of(connection)? == FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it while this one waited for the lock.
    let found = format_of(&transaction)?;
    let done = usize::try_from(found)
        .map_err(|_negative| Fault::Damaged(format!("format number ({found})")))?;
    for migration in MIGRATIONS.iter().skip(done) {
        migration(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Times are text of fixed width in UTC; JSON is text as the program wrote it, byte for byte.
fn make_format_1(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(include_str!("format_1.sql"))
}

/// Orders of people, the memory of what was published, and how each question to the outside went.
fn make_format_2(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(include_str!("format_2.sql"))
}

/// Orders on held runs.
fn make_format_4(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(include_str!("format_4.sql"))
}

/// Rehearsals, and quarantine by them.
fn make_format_5(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(include_str!("format_5.sql"))
}

/// Windows that people open.
fn make_format_3(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(include_str!("format_3.sql"))
}
