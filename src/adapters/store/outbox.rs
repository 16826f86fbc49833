//! Mails that wait, were delivered, or were given up: a row is never removed.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::{Fault, Store, parse_stamp, stamp};
use crate::ports::mailer::{DueMail, Outbox};
use crate::ports::store::{NewMail, OutboxItem, StoreError};

/// The outbox in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxSummary {
    /// Mails that wait for their first or next attempt.
    pub waiting: u64,
    /// Mails delivered.
    pub sent: u64,
    /// Mails given up; kept, see [`Store::revive_dead`].
    pub dead: u64,
    /// When the oldest one that waits was queued.
    pub oldest_waiting: Option<Timestamp>,
    /// What the mail server said last about one that is not delivered.
    pub last_error: Option<String>,
}

impl Outbox for Store {
    fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<DueMail>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare(
                "SELECT id, run, recipient, message, attempts, last_error, queued_at FROM outbox
                 WHERE next_at <= ?1 ORDER BY next_at, id LIMIT ?2",
            )?;
            let mut rows = statement.query(params![stamp(now), limit])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                due.push(due_mail(row)?);
            }
            Ok(due)
        })
    }

    fn sent(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| {
            let rows = tx.execute(
                "UPDATE outbox SET sent_at = ?2, next_at = NULL, attempts = attempts + 1
                 WHERE id = ?1",
                params![id, stamp(at)],
            )?;
            found(rows, id)
        })
    }

    fn failed(&self, id: i64, error: &str, next_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.write(|tx| {
            let rows = tx.execute(
                "UPDATE outbox SET last_error = ?2, next_at = ?3, attempts = attempts + 1
                 WHERE id = ?1 AND sent_at IS NULL",
                params![id, error, next_at.map(stamp)],
            )?;
            found(rows, id)
        })
    }
}

impl Store {
    /// Puts mails that report no run into the outbox, all or none.
    pub fn enqueue(&self, mails: &[NewMail], at: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| mails.iter().try_for_each(|mail| put(tx, None, mail, at)))
    }

    /// The outbox in numbers.
    pub fn outbox_summary(&self) -> Result<OutboxSummary, StoreError> {
        self.read(|tx| {
            let (waiting, sent, dead, oldest): (i64, i64, i64, Option<String>) = tx.query_row(
                "SELECT count(next_at), count(sent_at),
                        count(*) FILTER (WHERE next_at IS NULL AND sent_at IS NULL),
                        min(queued_at) FILTER (WHERE next_at IS NOT NULL)
                 FROM outbox",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )?;
            let last_error = tx
                .query_row(
                    "SELECT last_error FROM outbox
                     WHERE sent_at IS NULL AND last_error IS NOT NULL ORDER BY id DESC LIMIT 1",
                    [],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(OutboxSummary {
                waiting: u64::try_from(waiting).unwrap_or_default(),
                sent: u64::try_from(sent).unwrap_or_default(),
                dead: u64::try_from(dead).unwrap_or_default(),
                oldest_waiting: oldest
                    .map(|text| parse_stamp(&text, "the outbox"))
                    .transpose()?,
                last_error,
            })
        })
    }

    /// Lets every mail that was given up wait again, as if it had been queued now. Gives their number.
    pub fn revive_dead(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.write(|tx| {
            Ok(tx.execute(
                "UPDATE outbox SET queued_at = ?1, next_at = ?1, attempts = 0
                 WHERE next_at IS NULL AND sent_at IS NULL",
                [stamp(now)],
            )?)
        })
    }

    /// Every mail that reports a run, oldest first.
    pub fn mails_of(&self, run: &str) -> Result<Vec<OutboxItem>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare(
                "SELECT id, run, recipient, message, attempts, last_error, queued_at, sent_at
                 FROM outbox WHERE run = ?1 ORDER BY id",
            )?;
            let mut rows = statement.query([run])?;
            let mut mails = Vec::new();
            while let Some(row) = rows.next()? {
                let mut item = due_mail(row)?.item;
                let sent_at: Option<String> = row.get(7)?;
                item.sent_at = sent_at
                    .map(|text| parse_stamp(&text, "the outbox"))
                    .transpose()?;
                mails.push(item);
            }
            Ok(mails)
        })
    }
}

pub(super) fn put(
    tx: &Transaction<'_>,
    run: Option<&str>,
    mail: &NewMail,
    at: Timestamp,
) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO outbox (run, recipient, message, queued_at, next_at)
         VALUES (?1, ?2, ?3, ?4, ?4)",
        params![run, mail.recipient, mail.message, stamp(at)],
    )?;
    Ok(())
}

fn due_mail(row: &Row<'_>) -> Result<DueMail, Fault> {
    let queued_at: String = row.get(6)?;
    Ok(DueMail {
        item: OutboxItem {
            id: row.get(0)?,
            run: row.get(1)?,
            recipient: row.get(2)?,
            message: row.get(3)?,
            attempts: row.get(4)?,
            sent_at: None,
            last_error: row.get(5)?,
        },
        queued_at: parse_stamp(&queued_at, "the outbox")?,
    })
}

fn found(rows: usize, id: i64) -> Result<(), Fault> {
    if rows == 1 {
        Ok(())
    } else {
        Err(Fault::Refused(format!(
            "the outbox holds no mail {id} that waits"
        )))
    }
}
