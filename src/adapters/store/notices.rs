//! Notices: told once, and remembered in the transaction that queues their mails.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Fault, Store, outbox};
use crate::domain::notice::{News, Notice, Told, Topic};
use crate::ports::store::{NewMail, StoreError};

impl Store {
    /// Puts the mails of a notice into the outbox, unless they are there or were sent already, and remembers that it is
    /// told; all in one transaction, so that a crash neither loses a mail nor doubles it. Whether it is news comes back.
    ///
    /// `mails` are asked for only where they are needed. Where there are none, there is nobody to write to: the notice
    /// is news once, and its mails are queued as soon as there are some.
    pub fn queue_notice(
        &self,
        notice: &Notice,
        at: Timestamp,
        mails: impl FnOnce() -> Vec<NewMail>,
    ) -> Result<bool, StoreError> {
        self.write(|tx| {
            let topic = notice.topic();
            let mut told = recall(tx, &topic)?;
            let news = told.raise(notice, at);
            if news != News::Old {
                let mails = mails();
                for mail in &mails {
                    outbox::put(tx, None, mail, at)?;
                }
                if !mails.is_empty() {
                    told.heard(notice);
                }
            }
            keep(tx, &topic, &told)?;
            Ok(news == News::New)
        })
    }

    /// Takes note that nothing of a topic is amiss, so that a relapse is told anew; see [`Told::rest`].
    pub fn rest_notices(&self, topic: &Topic, at: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| {
            let mut told = recall(tx, topic)?;
            if told.is_empty() {
                return Ok(());
            }
            told.rest(topic, at);
            keep(tx, topic, &told)
        })
    }
}

/// What another version of the program wrote is as good as nothing: a mail too many is better than none.
fn recall(tx: &Transaction<'_>, topic: &Topic) -> Result<Told, Fault> {
    let text: Option<String> = tx
        .query_row(
            "SELECT state FROM feeds WHERE name = ?1",
            [topic.name()],
            |row| row.get(0),
        )
        .optional()?;
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

fn keep(tx: &Transaction<'_>, topic: &Topic, told: &Told) -> Result<(), Fault> {
    if told.is_empty() {
        tx.execute("DELETE FROM feeds WHERE name = ?1", [topic.name()])?;
        return Ok(());
    }
    let text = serde_json::to_string(told).map_err(Fault::Json)?;
    // A look that changes nothing costs no write to the disk.
    tx.execute(
        "INSERT INTO feeds (name, state) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET state = excluded.state WHERE feeds.state <> excluded.state",
        params![topic.name(), text],
    )?;
    Ok(())
}
