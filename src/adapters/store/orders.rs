//! What people order: consents, holds, pins and one-off windows.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Fault, Store, parse_stamp, stamp};
use crate::domain::window::OneOff;
use crate::ports::store::{ApprovalRow, HoldRow, PinRow, StoreError};

impl Store {
    /// Keeps a person's consent to a version. Consent to another plan, or until another time, replaces an
    /// earlier one; the same consent given twice stays the first person's.
    pub fn approve(&self, instance: &str, approval: &ApprovalRow) -> Result<(), StoreError> {
        let ApprovalRow {
            version,
            plan_hash,
            by,
            at,
            expires_at,
        } = approval;
        self.write(|tx| {
            tx.execute(
                "INSERT INTO approvals (instance, version, approved_by, at, plan_hash, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (instance, version) DO UPDATE SET
                   approved_by = excluded.approved_by, at = excluded.at,
                   plan_hash = excluded.plan_hash, expires_at = excluded.expires_at
                 WHERE excluded.plan_hash <> plan_hash OR excluded.expires_at IS NOT expires_at",
                params![
                    instance,
                    version,
                    by,
                    stamp(*at),
                    plan_hash,
                    expires_at.map(stamp)
                ],
            )?;
            Ok(())
        })
    }

    /// Takes a consent back. Whether there was one comes back.
    pub fn withdraw_approval(&self, instance: &str, version: &str) -> Result<bool, StoreError> {
        self.write(|tx| {
            let rows = tx.execute(
                "DELETE FROM approvals WHERE instance = ?1 AND version = ?2",
                params![instance, version],
            )?;
            Ok(rows > 0)
        })
    }

    /// Versions that people consented to, in the order in which they did; also those that have ended.
    pub fn approvals(&self, instance: &str) -> Result<Vec<ApprovalRow>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare(
                "SELECT version, approved_by, at, plan_hash, expires_at FROM approvals
                 WHERE instance = ?1 ORDER BY at, version",
            )?;
            let mut rows = statement.query([instance])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let at: String = row.get(2)?;
                found.push(ApprovalRow {
                    version: row.get(0)?,
                    by: row.get(1)?,
                    at: parse_stamp(&at, "an approval")?,
                    plan_hash: row.get(3)?,
                    expires_at: optional_stamp(row.get(4)?, "an approval's end")?,
                });
            }
            Ok(found)
        })
    }

    /// Holds an instance; replaces an earlier hold.
    pub fn put_hold(&self, instance: &str, hold: &HoldRow) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute(
                "INSERT INTO holds (instance, reason, set_by, at, until) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (instance) DO UPDATE SET
                   reason = excluded.reason, set_by = excluded.set_by, at = excluded.at,
                   until = excluded.until",
                params![
                    instance,
                    hold.reason,
                    hold.by,
                    stamp(hold.at),
                    hold.until.map(stamp)
                ],
            )?;
            Ok(())
        })
    }

    /// Ends a hold. Whether there was one comes back.
    pub fn remove_hold(&self, instance: &str) -> Result<bool, StoreError> {
        self.write(|tx| Ok(tx.execute("DELETE FROM holds WHERE instance = ?1", [instance])? > 0))
    }

    /// The hold on an instance, also one that has ended.
    pub fn hold(&self, instance: &str) -> Result<Option<HoldRow>, StoreError> {
        type Row = (String, String, String, Option<String>);
        self.read(|tx| {
            let row: Option<Row> = tx
                .query_row(
                    "SELECT reason, set_by, at, until FROM holds WHERE instance = ?1",
                    [instance],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
                )
                .optional()?;
            row.map(|(reason, by, at, until)| {
                Ok(HoldRow {
                    reason,
                    by,
                    at: parse_stamp(&at, "a hold")?,
                    until: optional_stamp(until, "a hold's end")?,
                })
            })
            .transpose()
        })
    }

    /// Pins an instance to a line or version; replaces an earlier pin.
    pub fn put_pin(&self, instance: &str, pin: &PinRow) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute(
                "INSERT INTO pins (instance, pinned_to, reason, set_by, at, until)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (instance) DO UPDATE SET
                   pinned_to = excluded.pinned_to, reason = excluded.reason,
                   set_by = excluded.set_by, at = excluded.at, until = excluded.until",
                params![
                    instance,
                    pin.to,
                    pin.reason,
                    pin.by,
                    stamp(pin.at),
                    pin.until.map(stamp)
                ],
            )?;
            Ok(())
        })
    }

    /// Ends a pin. Whether there was one comes back.
    pub fn remove_pin(&self, instance: &str) -> Result<bool, StoreError> {
        self.write(|tx| Ok(tx.execute("DELETE FROM pins WHERE instance = ?1", [instance])? > 0))
    }

    /// The pin of an instance, also one that has ended.
    pub fn pin(&self, instance: &str) -> Result<Option<PinRow>, StoreError> {
        type Row = (String, String, String, String, Option<String>);
        self.read(|tx| {
            let row: Option<Row> = tx
                .query_row(
                    "SELECT pinned_to, reason, set_by, at, until FROM pins WHERE instance = ?1",
                    [instance],
                    |row| {
                        Ok((
                            row.get(0)?,
                            row.get(1)?,
                            row.get(2)?,
                            row.get(3)?,
                            row.get(4)?,
                        ))
                    },
                )
                .optional()?;
            row.map(|(to, reason, by, at, until)| {
                Ok(PinRow {
                    to,
                    reason,
                    by,
                    at: parse_stamp(&at, "a pin")?,
                    until: optional_stamp(until, "a pin's end")?,
                })
            })
            .transpose()
        })
    }
}

/// One-off windows of an instance that are kept at the most: one for every day that was ever announced, and then some.
const MOST_ONE_OFFS: usize = 20;

impl Store {
    /// Keeps a window that a person opened; replaces one of the same id, and forgets those that are over at `now`. Whether
    /// there was room comes back: more than 20 are not kept.
    pub fn put_one_off(
        &self,
        instance: &str,
        one: &OneOff,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|tx| {
            for old in one_offs(tx, instance)?
                .iter()
                .filter(|old| old.opening.end <= now)
            {
                tx.execute(
                    "DELETE FROM one_offs WHERE instance = ?1 AND id = ?2",
                    params![instance, old.id],
                )?;
            }
            let kept = one_offs(tx, instance)?;
            let others = kept.iter().filter(|other| other.id != one.id).count();
            if others >= MOST_ONE_OFFS {
                return Ok(false);
            }
            let text = serde_json::to_string(one).map_err(Fault::Json)?;
            tx.execute(
                "INSERT INTO one_offs (instance, id, one_off) VALUES (?1, ?2, ?3)
                 ON CONFLICT (instance, id) DO UPDATE SET one_off = excluded.one_off",
                params![instance, one.id, text],
            )?;
            Ok(true)
        })
    }

    /// Takes a one-off window back. Whether there was one comes back.
    pub fn remove_one_off(&self, instance: &str, id: &str) -> Result<bool, StoreError> {
        self.write(|tx| {
            let rows = tx.execute(
                "DELETE FROM one_offs WHERE instance = ?1 AND id = ?2",
                params![instance, id],
            )?;
            Ok(rows > 0)
        })
    }

    /// The windows that people opened, by id; also those that are over.
    pub fn one_offs(&self, instance: &str) -> Result<Vec<OneOff>, StoreError> {
        self.read(|tx| one_offs(tx, instance))
    }
}

fn one_offs(tx: &Transaction<'_>, instance: &str) -> Result<Vec<OneOff>, Fault> {
    let mut statement =
        tx.prepare("SELECT one_off FROM one_offs WHERE instance = ?1 ORDER BY id")?;
    let texts = statement
        .query_map([instance], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    texts
        .iter()
        .map(|text| serde_json::from_str(text).map_err(Fault::Json))
        .collect()
}

/// A time that may be absent.
pub(super) fn optional_stamp(text: Option<String>, what: &str) -> Result<Option<Timestamp>, Fault> {
    text.map(|text| parse_stamp(&text, what)).transpose()
}
