//! Runs and their journals: append-only, without gaps, each row bound to the one before by its hash.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Fault, Store, parse_stamp, stamp};
use crate::domain::event::{Entry, Event, Outcome, Step, UndoStep};
use crate::domain::plan::{Plan, sha256_hex};
use crate::ports::store::{Journal, NewMail, StoreError, StoredRun};

/// How many of the last times a step was done [`Store::durations`] gives. Expectations should follow a server that grows;
/// twenty updates are more than a year. Runs that skipped the step do not push a measured one out.
const LOOK_BACK: i64 = 20;
/// Least length of a run id's end that [`Store::resolve`] takes; shorter ones are typing mistakes.
const LEAST_ABBREVIATION: usize = 4;

impl Journal for Store {
    fn begin(&self, plan: &Plan, at: Timestamp) -> Result<Entry, StoreError> {
        self.write(|tx| {
            let text = plan.canonical().map_err(Fault::Json)?;
            let open: Option<String> = tx
                .query_row(
                    "SELECT id FROM runs WHERE instance = ?1 AND finished_at IS NULL",
                    [&plan.instance],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(open) = open {
                return Err(Fault::Refused(format!(
                    "instance `{}` has a run that is not over: {open}",
                    plan.instance
                )));
            }
            tx.execute(
                "INSERT INTO runs (id, instance, plan, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![plan.run, plan.instance, text, stamp(at)],
            )?;
            let event = Event::Planned {
                plan_hash: sha256_hex(text.as_bytes()),
            };
            push(tx, &plan.run, at, &event)
        })
    }

    fn append(&self, run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError> {
        if let Event::Finished { .. } = event {
            return Err(Fault::Refused(
                "the end of a run is written together with its mails".to_owned(),
            )
            .at(&self.path, "write to"));
        }
        self.write(|tx| push(tx, run, at, event))
    }

    fn reopen(&self, run: &str, at: Timestamp, event: &Event) -> Result<Entry, StoreError> {
        self.write(|tx| {
            if !matches!(event, Event::Ordered { .. }) {
                return Err(Fault::Refused("only an order opens a run again".to_owned()));
            }
            let held = "UPDATE runs SET finished_at = NULL, outcome = NULL WHERE id = ?1 AND outcome = 'held'";
            if tx.execute(held, [run])? != 1 {
                return Err(Fault::Refused(format!("run {run} is not held")));
            }
            push(tx, run, at, event)
        })
    }

    fn finish(
        &self,
        run: &str,
        at: Timestamp,
        event: &Event,
        mails: &[NewMail],
        quarantine: Option<&str>,
    ) -> Result<Entry, StoreError> {
        self.write(|tx| {
            let Event::Finished { outcome, .. } = event else {
                return Err(Fault::Refused("only an end ends a run".to_owned()));
            };
            let entry = push(tx, run, at, event)?;
            tx.execute(
                "UPDATE runs SET finished_at = ?2, outcome = ?3 WHERE id = ?1",
                params![run, stamp(at), outcome_word(*outcome)],
            )?;
            for mail in mails {
                super::outbox::put(tx, Some(run), mail, at)?;
            }
            if let Some(reason) = quarantine {
                let plan = load_plan(tx, run)?.0;
                super::facts::put_quarantine(tx, &plan, reason, at)?;
            }
            Ok(entry)
        })
    }

    fn run(&self, run: &str) -> Result<StoredRun, StoreError> {
        self.read(|tx| load(tx, run))
    }

    fn runs(&self, instance: &str, limit: u32) -> Result<Vec<StoredRun>, StoreError> {
        self.read(|tx| {
            let mut statement =
                tx.prepare("SELECT id FROM runs WHERE instance = ?1 ORDER BY id DESC LIMIT ?2")?;
            let ids = statement
                .query_map(params![instance, limit], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            ids.iter().map(|id| load(tx, id)).collect()
        })
    }

    fn unfinished(&self, instance: &str) -> Result<Option<StoredRun>, StoreError> {
        self.read(|tx| {
            let id: Option<String> = tx
                .query_row(
                    "SELECT id FROM runs WHERE instance = ?1 AND finished_at IS NULL",
                    [instance],
                    |row| row.get(0),
                )
                .optional()?;
            id.map(|id| load(tx, &id)).transpose()
        })
    }
}

impl Store {
    /// Checks that a run's plan and journal are what was written, in the order in which it was written.
    /// Gives the hash of the last entry: kept elsewhere, it proves the whole journal.
    pub fn verify_chain(&self, run: &str) -> Result<String, StoreError> {
        self.read(|tx| Ok(load_proved(tx, run)?.1))
    }

    /// The full id of a run of which a person typed the whole id or its end.
    pub fn resolve(&self, typed: &str) -> Result<String, StoreError> {
        let no_such = || Fault::NoSuchRun(typed.to_owned());
        self.read(|tx| {
            if typed.len() < LEAST_ABBREVIATION {
                return Err(no_such());
            }
            let mut statement =
                tx.prepare("SELECT id FROM runs WHERE substr(id, -length(?1)) = ?1 LIMIT 2")?;
            let mut ids = statement
                .query_map([typed], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            match (ids.pop(), ids.pop()) {
                (Some(id), None) => Ok(id),
                _ => Err(no_such()),
            }
        })
    }

    /// How long a step took in the last committed updates of an instance, in milliseconds, newest first. What brings something
    /// back is no update, and its steps are others.
    pub fn durations(&self, instance: &str, step: Step) -> Result<Vec<u64>, StoreError> {
        self.lengths(instance, Outcome::Committed, "done", step.name())
    }

    /// The same for a step of the last ways back.
    pub fn undo_durations(&self, instance: &str, step: UndoStep) -> Result<Vec<u64>, StoreError> {
        self.lengths(instance, Outcome::RolledBack, "undo-done", step.name())
    }

    fn lengths(
        &self,
        instance: &str,
        outcome: Outcome,
        event: &str,
        step: &str,
    ) -> Result<Vec<u64>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare(
                "SELECT json_extract(e.event, '$.elapsed_ms')
                 FROM runs AS r JOIN events AS e ON e.run = r.id
                 WHERE r.instance = ?1 AND r.outcome = ?4 AND json_extract(r.plan, '$.restore') IS NULL
                   AND json_extract(e.event, '$.event') = ?5
                   AND json_extract(e.event, '$.step') = ?2
                   AND json_extract(e.event, '$.finding.finding') <> 'skipped'
                 ORDER BY r.id DESC, e.seq DESC LIMIT ?3",
            )?;
            let lengths = statement
                .query_map(
                    params![instance, step, LOOK_BACK, outcome_word(outcome), event],
                    |row| row.get(0),
                )?
                .collect::<Result<Vec<i64>, _>>()?;
            Ok(lengths
                .into_iter()
                .filter_map(|length| u64::try_from(length).ok())
                .collect())
        })
    }
}

fn push(tx: &Transaction<'_>, run: &str, at: Timestamp, event: &Event) -> Result<Entry, Fault> {
    let last: Option<(i64, String)> = tx
        .query_row(
            "SELECT seq, hash FROM events WHERE run = ?1 ORDER BY seq DESC LIMIT 1",
            [run],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (seq, before) = match last {
        Some((seq, hash)) => (seq.saturating_add(1), hash),
        None => (1, genesis(run, &plan_text(tx, run)?)),
    };
    let written_at = stamp(at);
    let text = serde_json::to_string(event).map_err(Fault::Json)?;
    let hash = link(&before, seq, &written_at, &text);
    tx.execute(
        "INSERT INTO events (run, seq, at, event, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![run, seq, written_at, text, hash],
    )?;
    Ok(Entry {
        seq: place(seq, run)?,
        at,
        event: event.clone(),
    })
}

/// The hash before a run's first entry: binds the plan.
fn genesis(run: &str, plan: &str) -> String {
    sha256_hex(format!("mastopatch journal 1\n{run}\n{plan}").as_bytes())
}

/// The hash of one entry. JSON text holds no line feed, so no two entries give the same bytes.
fn link(before: &str, seq: i64, at: &str, event: &str) -> String {
    sha256_hex(format!("{before}\n{seq}\n{at}\n{event}").as_bytes())
}

fn load(tx: &Transaction<'_>, run: &str) -> Result<StoredRun, Fault> {
    Ok(load_proved(tx, run)?.0)
}

fn load_proved(tx: &Transaction<'_>, run: &str) -> Result<(StoredRun, String), Fault> {
    let (plan, text) = load_plan(tx, run)?;
    let mut statement =
        tx.prepare("SELECT seq, at, event, hash FROM events WHERE run = ?1 ORDER BY seq")?;
    let mut rows = statement.query([run])?;
    let mut journal = Vec::new();
    let mut head = genesis(run, &text);
    let mut due = 1_i64;
    while let Some(row) = rows.next()? {
        let (seq, at): (i64, String) = (row.get(0)?, row.get(1)?);
        let (event, hash): (String, String) = (row.get(2)?, row.get(3)?);
        let what = format!("entry {seq} of the journal of run {run}");
        let linked = link(&head, seq, &at, &event);
        if seq != due || hash != linked {
            return Err(Fault::Damaged(format!("{what}: its hash does not fit")));
        }
        journal.push(Entry {
            seq: place(seq, run)?,
            at: parse_stamp(&at, &what)?,
            event: serde_json::from_str(&event)
                .map_err(|err| Fault::Damaged(format!("{what} ({err})")))?,
        });
        head = hash;
        due = due.saturating_add(1);
    }
    check_ends(tx, run, &text, &journal)?;
    Ok((StoredRun { plan, journal }, head))
}

/// The chain cannot see that its last entries are missing; the run's own row can.
fn check_ends(tx: &Transaction<'_>, run: &str, plan: &str, journal: &[Entry]) -> Result<(), Fault> {
    let first = journal.first().map(|entry| &entry.event);
    if !matches!(first, Some(Event::Planned { plan_hash }) if *plan_hash == sha256_hex(plan.as_bytes()))
    {
        return Err(Fault::Damaged(format!(
            "plan of run {run}: its hash does not fit"
        )));
    }
    let outcome: Option<String> =
        tx.query_row("SELECT outcome FROM runs WHERE id = ?1", [run], |row| {
            row.get(0)
        })?;
    let written = match journal.last().map(|entry| &entry.event) {
        Some(Event::Finished { outcome, .. }) => Some(outcome_word(*outcome)),
        _ => None,
    };
    if outcome.as_deref() == written {
        Ok(())
    } else {
        Err(Fault::Damaged(format!("end of the journal of run {run}")))
    }
}

fn load_plan(tx: &Transaction<'_>, run: &str) -> Result<(Plan, String), Fault> {
    let text = plan_text(tx, run)?;
    let plan = serde_json::from_str(&text)
        .map_err(|err| Fault::Damaged(format!("plan of run {run} ({err})")))?;
    Ok((plan, text))
}

fn plan_text(tx: &Transaction<'_>, run: &str) -> Result<String, Fault> {
    tx.query_row("SELECT plan FROM runs WHERE id = ?1", [run], |row| {
        row.get(0)
    })
    .optional()?
    .ok_or_else(|| Fault::NoSuchRun(run.to_owned()))
}

fn place(seq: i64, run: &str) -> Result<u64, Fault> {
    u64::try_from(seq)
        .map_err(|_negative| Fault::Damaged(format!("place {seq} in the journal of run {run}")))
}

/// The word in the file, which never changes, whatever people read.
fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "committed",
        Outcome::RolledBack => "rolled_back",
        Outcome::Aborted => "aborted",
        Outcome::Held => "held",
        Outcome::Released => "released",
    }
}
