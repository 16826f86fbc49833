//! What was ever published, and how each question to the outside went.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::orders::optional_stamp;
use super::{Fault, Store, parse_stamp, stamp};
use crate::domain::feed::{Back, Entry, Kept, Listing, Memorable, Remembered, Update, remember};
use crate::ports::store::{ChangeRow, StoreError};

/// Changes are kept as long as they are among the newest so many: a list that flips to and fro must not fill the disk.
const MOST_CHANGES: u32 = 1_000;

impl Store {
    /// Everything that is remembered of one kind.
    pub fn memory<T: Memorable>(&self, repository: &str) -> Result<Vec<Remembered<T>>, StoreError> {
        self.read(|tx| recall(tx, repository))
    }

    /// Takes a complete list into the memory, in one transaction; nothing is ever deleted from it.
    pub fn take_in<T: Memorable>(
        &self,
        repository: &str,
        listing: Listing<T>,
        newest: Option<Timestamp>,
        back: Option<Back>,
        now: Timestamp,
    ) -> Result<Update<T>, StoreError> {
        self.write(|tx| {
            let memory = recall(tx, repository)?;
            let update = remember(memory, listing, newest, back, now);
            for one in &update.memory {
                if update.touched.contains(&one.id) {
                    put(tx, repository, one)?;
                }
            }
            for change in &update.changes {
                tx.execute(
                    "INSERT INTO changes (repository, kind, id, at, what) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![repository, kind::<T>(), change.id, stamp(now), change.what],
                )?;
            }
            if !update.changes.is_empty() {
                tx.execute(
                    "DELETE FROM changes WHERE number <= (SELECT max(number) FROM changes) - ?1",
                    [MOST_CHANGES],
                )?;
            }
            Ok(update)
        })
    }

    /// What changed about releases and advisories, newest first, `limit` at the most.
    pub fn changes(&self, repository: &str, limit: u32) -> Result<Vec<ChangeRow>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare(
                "SELECT id, at, what FROM changes WHERE repository = ?1
                 ORDER BY number DESC LIMIT ?2",
            )?;
            let mut rows = statement.query(params![repository, limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let at: String = row.get(1)?;
                found.push(ChangeRow {
                    id: row.get(0)?,
                    at: parse_stamp(&at, "a change")?,
                    what: row.get(2)?,
                });
            }
            Ok(found)
        })
    }

    /// How a question to the outside went, or what else is kept under this name; none where nothing readable is.
    pub fn feed<S: DeserializeOwned>(&self, name: &str) -> Result<Option<S>, StoreError> {
        self.read(|tx| {
            let text: Option<String> = tx
                .query_row("SELECT state FROM feeds WHERE name = ?1", [name], |row| {
                    row.get(0)
                })
                .optional()?;
            // What another version of the program wrote is as good as nothing: it is asked again.
            Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
        })
    }

    /// Keeps how a question to the outside went.
    pub fn put_feed<S: Serialize>(&self, name: &str, state: &S) -> Result<(), StoreError> {
        self.write(|tx| {
            let text = serde_json::to_string(state).map_err(Fault::Json)?;
            tx.execute(
                "INSERT INTO feeds (name, state) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET state = excluded.state",
                params![name, text],
            )?;
            Ok(())
        })
    }

    /// Everything of one kind that was ever seen, and when first.
    pub fn seen(&self, kind: &str) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare("SELECT id, at FROM first_seen WHERE kind = ?1")?;
            let mut rows = statement.query([kind])?;
            let mut found = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let at: String = row.get(1)?;
                found.insert(row.get(0)?, parse_stamp(&at, "a first sight")?);
            }
            Ok(found)
        })
    }
}

fn recall<T: Memorable>(
    tx: &Transaction<'_>,
    repository: &str,
) -> Result<Vec<Remembered<T>>, Fault> {
    let mut statement = tx.prepare(
        "SELECT id, first_seen, last_seen, gone_since, digest, parsed, kept FROM memory
         WHERE repository = ?1 AND kind = ?2 ORDER BY id",
    )?;
    let mut rows = statement.query(params![repository, kind::<T>()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (first, last): (String, String) = (row.get(1)?, row.get(2)?);
        let (parsed, kept): (String, String) = (row.get(5)?, row.get(6)?);
        let kept: Kept =
            serde_json::from_str(&kept).map_err(|err| Fault::Damaged(format!("memory ({err})")))?;
        found.push(Remembered {
            id: row.get(0)?,
            entry: Entry {
                first_seen: parse_stamp(&first, "a first sight")?,
                last_seen: parse_stamp(&last, "a last sight")?,
                gone_since: optional_stamp(row.get(3)?, "a disappearance")?,
            },
            digest: row.get(4)?,
            // Another version of the program may have stored it otherwise; the next answer brings it again.
            parsed: serde_json::from_str(&parsed).ok(),
            kept,
        });
    }
    Ok(found)
}

fn put<T: Memorable>(
    tx: &Transaction<'_>,
    repository: &str,
    one: &Remembered<T>,
) -> Result<(), Fault> {
    // What cannot be read is left as it is: a newer program may be able to.
    let Some(parsed) = &one.parsed else {
        return Ok(());
    };
    let parsed = serde_json::to_string(parsed).map_err(Fault::Json)?;
    let kept = serde_json::to_string(&one.kept).map_err(Fault::Json)?;
    // Files of format 1 remember first sights only.
    tx.execute(
        "INSERT INTO memory (repository, kind, id, first_seen, last_seen, gone_since, digest, parsed, kept)
         VALUES (?1, ?2, ?3,
           min(?4, coalesce((SELECT at FROM first_seen WHERE kind = ?2 AND id = ?3), ?4)),
           ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (repository, kind, id) DO UPDATE SET
           last_seen = excluded.last_seen, gone_since = excluded.gone_since,
           digest = excluded.digest, parsed = excluded.parsed, kept = excluded.kept",
        params![
            repository,
            kind::<T>(),
            one.id,
            stamp(one.entry.first_seen),
            stamp(one.entry.last_seen),
            one.entry.gone_since.map(stamp),
            one.digest,
            parsed,
            kept
        ],
    )?;
    Ok(())
}

fn kind<T: Memorable>() -> String {
    T::WHAT.to_ascii_lowercase()
}
