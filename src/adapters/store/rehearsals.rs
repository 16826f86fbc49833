//! Rehearsals, as they ended.

use rusqlite::params;

use super::{Fault, Store, facts, stamp};
use crate::domain::plan::Plan;
use crate::domain::rehearsal::{Rehearsal, Tried};
use crate::ports::store::StoreError;

/// Rehearsals that are kept of an instance: what is asked for are the newest, and each is some kilobytes.
const KEPT: u32 = 20;

impl Store {
    /// Keeps how the rehearsal of a plan ended, and puts the target into quarantine if it is to blame; in one transaction.
    pub fn put_rehearsal(&self, rehearsal: &Rehearsal, plan: &Plan) -> Result<(), StoreError> {
        self.write(|tx| {
            let text = serde_json::to_string(rehearsal).map_err(Fault::Json)?;
            let (instance, ended_at) = (&rehearsal.instance, stamp(rehearsal.ended_at));
            tx.execute(
                "INSERT INTO rehearsals (instance, id, ended_at, rehearsal) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (instance, id) DO UPDATE SET
                   ended_at = excluded.ended_at, rehearsal = excluded.rehearsal",
                params![instance, rehearsal.id, ended_at, text],
            )?;
            tx.execute(
                "DELETE FROM rehearsals WHERE instance = ?1 AND id NOT IN (
                   SELECT id FROM rehearsals WHERE instance = ?1
                   ORDER BY ended_at DESC, id DESC LIMIT ?2)",
                params![instance, KEPT],
            )?;
            if let Tried::Failed { because } = &rehearsal.result {
                facts::put_quarantine(tx, plan, because, rehearsal.ended_at)?;
            }
            Ok(())
        })
    }

    /// The rehearsals of an instance, the newest first. What another version of the program wrote, and this one cannot read,
    /// is left out: another rehearsal is no loss.
    pub fn rehearsals(&self, instance: &str) -> Result<Vec<Rehearsal>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare(
                "SELECT rehearsal FROM rehearsals WHERE instance = ?1
                 ORDER BY ended_at DESC, id DESC",
            )?;
            let texts = statement
                .query_map([instance], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            let read = texts.iter().map(|text| serde_json::from_str(text));
            Ok(read.filter_map(Result::ok).collect())
        })
    }
}
