//! What was learned outside of runs: quarantine, answers, first sights.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Fault, Store, parse_stamp, stamp};
use crate::domain::plan::Plan;
use crate::ports::store::{QuarantineRow, StoreError};

/// An answer of GitHub, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedAnswer {
    /// Its entity tag, to ask "anything new?" with.
    pub etag: Option<String>,
    /// The answer.
    pub body: Vec<u8>,
    /// When it was fetched or confirmed.
    pub fetched_at: Timestamp,
}

impl Store {
    /// Versions that are not tried again by themselves, in the order in which they came.
    pub fn quarantined(&self, instance: &str) -> Result<Vec<QuarantineRow>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare(
                "SELECT version, reason, run, at FROM quarantine WHERE instance = ?1
                 ORDER BY at, version",
            )?;
            let mut rows = statement.query([instance])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let at: String = row.get(3)?;
                found.push(QuarantineRow {
                    version: row.get(0)?,
                    reason: row.get(1)?,
                    run: row.get(2)?,
                    at: parse_stamp(&at, "a quarantine")?,
                });
            }
            Ok(found)
        })
    }

    /// Lets a version be tried again. Whether it was in quarantine comes back.
    pub fn release_quarantine(&self, instance: &str, version: &str) -> Result<bool, StoreError> {
        self.write(|tx| {
            let rows = tx.execute(
                "DELETE FROM quarantine WHERE instance = ?1 AND version = ?2",
                params![instance, version],
            )?;
            Ok(rows > 0)
        })
    }

    /// The last answer kept for an address.
    pub fn cached(&self, url: &str) -> Result<Option<CachedAnswer>, StoreError> {
        self.read(|tx| {
            let row: Option<(Option<String>, Vec<u8>, String)> = tx
                .query_row(
                    "SELECT etag, body, fetched_at FROM cache WHERE url = ?1",
                    [url],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()?;
            row.map(|(etag, body, fetched_at)| {
                Ok(CachedAnswer {
                    etag,
                    body,
                    fetched_at: parse_stamp(&fetched_at, "a cached answer")?,
                })
            })
            .transpose()
        })
    }

    /// Keeps an answer: body and entity tag always belong together, also after a power cut.
    pub fn put_cached(&self, url: &str, answer: &CachedAnswer) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute(
                "INSERT INTO cache (url, etag, body, fetched_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (url) DO UPDATE SET
                   etag = excluded.etag, body = excluded.body, fetched_at = excluded.fetched_at",
                params![url, answer.etag, answer.body, stamp(answer.fetched_at)],
            )?;
            Ok(())
        })
    }

    /// When something was seen first: `now` for what was never seen before, which is kept for ever.
    pub fn first_seen(
        &self,
        kind: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        self.write(|tx| {
            tx.execute(
                "INSERT INTO first_seen (kind, id, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![kind, id, stamp(now)],
            )?;
            let at: String = tx.query_row(
                "SELECT at FROM first_seen WHERE kind = ?1 AND id = ?2",
                params![kind, id],
                |row| row.get(0),
            )?;
            parse_stamp(&at, "a first sight")
        })
    }
}

/// A version that fails again gets the newer reason.
pub(super) fn put_quarantine(
    tx: &Transaction<'_>,
    plan: &Plan,
    reason: &str,
    at: Timestamp,
) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO quarantine (instance, version, reason, run, at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (instance, version) DO UPDATE SET
           reason = excluded.reason, run = excluded.run, at = excluded.at",
        params![
            plan.instance,
            plan.judged().to_string(),
            reason,
            plan.run,
            stamp(at)
        ],
    )?;
    Ok(())
}
