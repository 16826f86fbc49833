//! Contract of the state file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};

use tempfile::TempDir;

use super::*;
use crate::domain::event::{Event, Order, Outcome, Step, UndoStep};
use crate::domain::plan::{Plan, Restore};
use crate::domain::report::samples::{self, plan};
use crate::ports::mailer::Outbox as _;
use crate::ports::store::{Journal as _, NewMail};

mod notices;
mod orders;
mod rehearsals;

const INSTANCE: &str = "social.example";

fn new() -> (TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/mastopatch.db");
    let store = Store::open(&path).unwrap();
    (folder, path, store)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn numbered(number: u32) -> Plan {
    Plan {
        run: format!("019aa3f0-0000-7000-8000-{number:012}"),
        ..plan()
    }
}

fn mail_to(recipient: &str) -> NewMail {
    NewMail {
        recipient: recipient.to_owned(),
        message: b"Subject: x\r\n\r\nx".to_vec(),
    }
}

fn finished(outcome: Outcome) -> Event {
    Event::Finished {
        outcome,
        because: "so".to_owned(),
    }
}

/// Stores a whole sample journal.
fn play(store: &Store, plan: &Plan, journal: &[crate::domain::event::Entry]) {
    store.begin(plan, at(0)).unwrap();
    for entry in &journal[1..journal.len() - 1] {
        store.append(&plan.run, entry.at, &entry.event).unwrap();
    }
    let last = journal.last().unwrap();
    store
        .finish(&plan.run, last.at, &last.event, &[], None)
        .unwrap();
}

fn raw(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn source_of(err: &StoreError) -> String {
    std::error::Error::source(err).unwrap().to_string()
}

#[test]
fn file_and_folder_belong_to_their_owner_only() {
    let (_folder, path, store) = new();
    store.begin(&plan(), at(0)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(Store::open(&path).unwrap());
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn the_file_is_durable_and_checked() {
    let (_folder, _path, store) = new();
    let connection = store.lock();
    let pragma = |name: &str| -> i64 {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    };
    assert_eq!(pragma("synchronous"), 2, "2 is FULL");
    assert_eq!(pragma("foreign_keys"), 1);
    assert_eq!(pragma("user_version"), schema::FORMAT);
    assert_eq!(pragma("busy_timeout"), 10_000);
}

#[test]
fn a_journal_is_there_after_the_file_was_closed() {
    let (_folder, path, store) = new();
    let journal = samples::rolled_back();
    play(&store, &plan(), &journal);
    drop(store);
    let store = Store::open(&path).unwrap();
    let run = store.run(&plan().run).unwrap();
    assert_eq!(run.plan, plan());
    let events = |entries: &[crate::domain::event::Entry]| -> Vec<(u64, Event)> {
        entries.iter().map(|e| (e.seq, e.event.clone())).collect()
    };
    assert_eq!(events(&run.journal), events(&journal));
    assert_eq!(run.journal.last().unwrap().at, journal.last().unwrap().at);
    assert_eq!(store.verify_chain(&plan().run).unwrap().len(), 64);
    assert!(store.unfinished(INSTANCE).unwrap().is_none());
}

#[test]
fn entries_are_numbered_from_one_and_say_what_was_written() {
    let (_folder, _path, store) = new();
    let first = store.begin(&plan(), at(0)).unwrap();
    assert_eq!(first.seq, 1);
    assert_eq!(
        first.event,
        Event::Planned {
            plan_hash: plan().hash().unwrap()
        }
    );
    let event = Event::Intent {
        step: Step::Preflight,
    };
    let second = store.append(&plan().run, at(1), &event).unwrap();
    assert_eq!((second.seq, second.at, second.event), (2, at(1), event));
}

#[test]
fn an_instance_has_one_open_run() {
    let (_folder, path, store) = new();
    store.begin(&numbered(1), at(0)).unwrap();
    let other = Store::open(&path).unwrap();
    let err = other.begin(&numbered(2), at(1)).unwrap_err();
    assert!(source_of(&err).contains("has a run that is not over"));
    let open = other.unfinished(INSTANCE).unwrap().unwrap();
    assert_eq!(open.plan.run, numbered(1).run);
    let elsewhere = Plan {
        instance: "other.example".to_owned(),
        ..numbered(3)
    };
    other.begin(&elsewhere, at(2)).unwrap();
    store
        .finish(
            &numbered(1).run,
            at(3),
            &finished(Outcome::Aborted),
            &[],
            None,
        )
        .unwrap();
    other.begin(&numbered(2), at(4)).unwrap();
}

#[test]
fn the_end_of_a_run_is_one_transaction() {
    let (_folder, path, store) = new();
    store.begin(&plan(), at(0)).unwrap();
    raw(&path)
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON outbox WHEN NEW.recipient = 'second'
             BEGIN SELECT RAISE(ABORT, 'disk full'); END;",
        )
        .unwrap();
    let end = finished(Outcome::RolledBack);
    let mails = [mail_to("first"), mail_to("second")];
    store
        .finish(&plan().run, at(1), &end, &mails, Some("it broke"))
        .unwrap_err();
    assert_eq!(store.run(&plan().run).unwrap().journal.len(), 1);
    assert!(store.unfinished(INSTANCE).unwrap().is_some());
    assert_eq!(store.outbox_summary().unwrap().waiting, 0);
    assert!(store.quarantined(INSTANCE).unwrap().is_empty());

    raw(&path).execute_batch("DROP TRIGGER broken").unwrap();
    store
        .finish(&plan().run, at(2), &end, &mails, Some("it broke"))
        .unwrap();
    assert_eq!(store.outbox_summary().unwrap().waiting, 2);
    assert_eq!(store.mails_of(&plan().run).unwrap().len(), 2);
    let quarantined = store.quarantined(INSTANCE).unwrap();
    assert_eq!(quarantined[0].version, "4.5.4");
    assert_eq!(quarantined[0].reason, "it broke");
    assert_eq!(quarantined[0].run, plan().run);
    assert_eq!(quarantined[0].at, at(2));
    assert!(store.release_quarantine(INSTANCE, "4.5.4").unwrap());
    assert!(!store.release_quarantine(INSTANCE, "4.5.4").unwrap());
}

#[test]
fn a_run_ends_once_and_nothing_follows_its_end() {
    let (_folder, _path, store) = new();
    let run = plan().run;
    store.begin(&plan(), at(0)).unwrap();
    let end = finished(Outcome::Aborted);
    assert!(store.append(&run, at(1), &end).is_err());
    assert!(
        store
            .finish(&run, at(1), &Event::Committed, &[], None)
            .is_err()
    );
    store.finish(&run, at(1), &end, &[], None).unwrap();
    assert!(store.finish(&run, at(2), &end, &[], None).is_err());
    let err = store.append(&run, at(2), &Event::Committed).unwrap_err();
    assert!(source_of(&err).contains("the run is over"), "{err:?}");
    assert_eq!(store.run(&run).unwrap().journal.len(), 2);
}

#[test]
fn a_held_run_and_no_other_is_opened_again_by_an_order() {
    let (_folder, _path, store) = new();
    let order = Event::Ordered {
        order: Order::Resume,
        by: "alice".to_owned(),
        accept_loss: false,
    };
    for (number, outcome) in [
        Outcome::Committed,
        Outcome::RolledBack,
        Outcome::Aborted,
        Outcome::Released,
    ]
    .into_iter()
    .enumerate()
    {
        let plan = numbered(u32::try_from(number).unwrap());
        store.begin(&plan, at(0)).unwrap();
        let err = store.reopen(&plan.run, at(1), &order).unwrap_err();
        assert!(source_of(&err).contains("is not held"), "{err:?}");
        store
            .finish(&plan.run, at(1), &finished(outcome), &[], None)
            .unwrap();
        assert!(store.reopen(&plan.run, at(2), &order).is_err());
    }
    let plan = numbered(9);
    store.begin(&plan, at(0)).unwrap();
    let held = finished(Outcome::Held);
    store
        .finish(&plan.run, at(1), &held, &[mail_to("a@b.example")], None)
        .unwrap();
    assert!(store.unfinished(&plan.instance).unwrap().is_none());
    assert!(store.reopen(&plan.run, at(2), &Event::Committed).is_err());
    store.reopen(&plan.run, at(2), &order).unwrap();
    let open = store.unfinished(&plan.instance).unwrap().unwrap();
    assert_eq!(open.journal.last().unwrap().event, order);
    let end = finished(Outcome::Released);
    store.finish(&plan.run, at(3), &end, &[], None).unwrap();
    assert!(store.reopen(&plan.run, at(4), &order).is_err());
    store.verify_chain(&plan.run).unwrap();
}

#[test]
fn the_file_itself_refuses_to_forget() {
    let (_folder, path, store) = new();
    store.begin(&plan(), at(0)).unwrap();
    store.first_seen("release", "4.5.4", at(0)).unwrap();
    let raw = raw(&path);
    for statement in [
        "UPDATE events SET event = '{}'",
        "DELETE FROM events",
        "DELETE FROM runs",
        "UPDATE runs SET plan = '{}'",
        "UPDATE first_seen SET at = 'x'",
        "DELETE FROM first_seen",
        "INSERT INTO events SELECT run, 7, at, event, hash FROM events",
    ] {
        let err = raw.execute(statement, []).unwrap_err().to_string();
        assert!(
            ["append-only", "for ever", "do not change", "no gaps"]
                .iter()
                .any(|why| err.contains(why)),
            "{statement}: {err}"
        );
    }
}

#[test]
fn what_was_changed_behind_its_back_is_damaged() {
    for (statement, wanted) in [
        (
            "DROP TRIGGER events_do_not_change;
             UPDATE events SET event = replace(event, 'preflight', 'pull') WHERE seq = 2",
            "entry 2",
        ),
        (
            "DROP TRIGGER events_stay; DELETE FROM events WHERE seq = 3",
            "entry 4",
        ),
        (
            "DROP TRIGGER events_stay;
             DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
            "end of the journal",
        ),
        (
            "DROP TRIGGER plans_stay;
             UPDATE runs SET plan = replace(plan, '4.5.4', '4.5.5')",
            "entry 1",
        ),
        (
            "DROP TRIGGER plans_stay; UPDATE runs SET plan = '{'",
            "plan of run",
        ),
        (
            "DROP TRIGGER events_stay; DELETE FROM events",
            "plan of run",
        ),
    ] {
        let (_folder, path, store) = new();
        play(&store, &plan(), &samples::committed_m0());
        raw(&path).execute_batch(statement).unwrap();
        let err = store.run(&plan().run).unwrap_err();
        let StoreError::Damaged { what, .. } = &err else {
            panic!("{statement}: {err:?}");
        };
        assert!(what.contains(wanted), "{statement}: {what}");
        assert!(store.verify_chain(&plan().run).is_err());
    }
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    std::fs::write(
        &path,
        "not a database at all, but long enough to be one".repeat(100),
    )
    .unwrap();
    let err = Store::open(&path).unwrap_err();
    assert!(matches!(err, StoreError::Damaged { .. }), "{err:?}");
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    raw(&path).execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let err = Store::open(&path).unwrap_err();
    assert!(err.to_string().contains("another program"), "{err}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let (_folder, path, store) = new();
    drop(store);
    raw(&path).pragma_update(None, "user_version", 6).unwrap();
    let err = Store::open(&path).unwrap_err();
    assert!(
        matches!(
            err,
            StoreError::Newer {
                found: 6,
                known: 5,
                ..
            }
        ),
        "{err:?}"
    );
    let version: i64 = raw(&path)
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 6);
}

#[test]
fn a_transaction_that_was_not_committed_leaves_nothing() {
    let (_folder, path, store) = new();
    store.begin(&plan(), at(0)).unwrap();
    {
        let mut connection = store.lock();
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        tx.execute("UPDATE runs SET finished_at = 'x', outcome = 'held'", [])
            .unwrap();
        // A copy of the files now is what a power cut would leave.
        let cut = path.with_file_name("cut.db");
        std::fs::copy(&path, &cut).unwrap();
        std::fs::copy(path.with_extension("db-wal"), cut.with_extension("db-wal")).unwrap();
        let store = Store::open(&cut).unwrap();
        assert_eq!(store.run(&plan().run).unwrap().journal.len(), 1);
        assert!(store.unfinished(INSTANCE).unwrap().is_some());
    }
    assert!(store.unfinished(INSTANCE).unwrap().is_some());
}

#[test]
fn two_processes_can_make_and_use_the_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4_u32)
        .map(|number| {
            let (path, barrier) = (path.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                let store = Store::open(&path).unwrap();
                let plan = Plan {
                    instance: format!("{number}.example"),
                    ..numbered(number)
                };
                play(&store, &plan, &samples::committed_m0());
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let store = Store::open(&path).unwrap();
    for number in 0..4 {
        let journal = store.run(&numbered(number).run).unwrap().journal;
        assert_eq!(journal.len(), samples::committed_m0().len());
    }
}

#[test]
fn runs_come_newest_first_and_are_found_by_their_end() {
    let (_folder, _path, store) = new();
    for number in 1..=3 {
        play(&store, &numbered(number), &samples::aborted());
    }
    let ids: Vec<String> = store
        .runs(INSTANCE, 2)
        .unwrap()
        .into_iter()
        .map(|run| run.plan.run)
        .collect();
    assert_eq!(ids, [numbered(3).run, numbered(2).run]);
    assert_eq!(store.resolve("000000000002").unwrap(), numbered(2).run);
    assert_eq!(store.resolve(&numbered(1).run).unwrap(), numbered(1).run);
    for typed in ["", "2", "nowhere", "%0002", "____"] {
        let err = store.resolve(typed).unwrap_err();
        assert!(
            matches!(err, StoreError::NoSuchRun { .. }),
            "{typed}: {err:?}"
        );
    }
    let err = store.run("nowhere").unwrap_err();
    assert!(matches!(err, StoreError::NoSuchRun { .. }));
    let err = store
        .append("nowhere", at(0), &Event::Committed)
        .unwrap_err();
    assert!(matches!(err, StoreError::NoSuchRun { .. }));
}

#[test]
fn durations_come_from_committed_runs_and_those_of_ways_back_from_runs_that_took_one() {
    let (_folder, _path, store) = new();
    play(&store, &numbered(1), &samples::committed_m2());
    play(&store, &numbered(2), &samples::rolled_back());
    play(&store, &numbered(3), &samples::committed_m0());
    let lengths = |step| store.durations(INSTANCE, step).unwrap();
    assert_eq!(lengths(Step::Pull), [8_000, 8_000]);
    assert_eq!(
        lengths(Step::Migrate),
        [30_000],
        "a skipped step took no time"
    );
    let restore = Some(Restore {
        run: numbered(1).run,
        data: true,
        database: None,
        image_ids: Vec::new(),
    });
    let brings_back = Plan {
        restore,
        ..numbered(4)
    };
    play(&store, &brings_back, &samples::committed_m2());
    assert_eq!(
        lengths(Step::Pull).len(),
        2,
        "what brings back is no update"
    );
    let back = |step| store.undo_durations(INSTANCE, step).unwrap();
    assert_eq!(back(UndoStep::RestoreData), [10_000]);
    assert_eq!(back(UndoStep::RestoreFiles), [100]);
    assert!(
        store
            .durations("other.example", Step::Pull)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_first_sight_stays() {
    let (_folder, path, store) = new();
    assert_eq!(store.first_seen("release", "4.5.4", at(5)).unwrap(), at(5));
    assert_eq!(store.first_seen("advisory", "4.5.4", at(6)).unwrap(), at(6));
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.first_seen("release", "4.5.4", at(9)).unwrap(), at(5));
}

#[test]
fn an_answer_is_replaced_together_with_its_tag() {
    let (_folder, _path, store) = new();
    let url = "https://api.example/releases";
    assert_eq!(store.cached(url).unwrap(), None);
    let mut answer = CachedAnswer {
        etag: Some("\"1\"".to_owned()),
        body: b"[1]".to_vec(),
        fetched_at: at(0),
    };
    store.put_cached(url, &answer).unwrap();
    assert_eq!(store.cached(url).unwrap(), Some(answer.clone()));
    answer.etag = None;
    answer.body = b"[2]".to_vec();
    store.put_cached(url, &answer).unwrap();
    assert_eq!(store.cached(url).unwrap(), Some(answer));
}

#[test]
fn mails_wait_for_their_time() {
    let (_folder, _path, store) = new();
    store.enqueue(&[mail_to("a"), mail_to("b")], at(0)).unwrap();
    let due = |now| -> Vec<String> {
        let due = store.due(at(now), 10).unwrap();
        due.into_iter().map(|mail| mail.item.recipient).collect()
    };
    assert_eq!(due(-1), Vec::<String>::new());
    assert_eq!(due(0), ["a", "b"]);
    store.failed(1, "later", Some(at(60))).unwrap();
    assert_eq!(due(59), ["b"]);
    assert_eq!(due(60), ["b", "a"]);
    let first = store.due(at(60), 10).unwrap().pop().unwrap();
    assert_eq!(first.item.attempts, 1);
    assert_eq!(first.item.last_error.as_deref(), Some("later"));
    assert_eq!(first.queued_at, at(0));
    store.sent(2, at(61)).unwrap();
    store.failed(1, "never", None).unwrap();
    assert_eq!(due(1_000_000), Vec::<String>::new());
    let summary = store.outbox_summary().unwrap();
    assert_eq!((summary.waiting, summary.sent, summary.dead), (0, 1, 1));
    assert_eq!(summary.last_error.as_deref(), Some("never"));
    assert!(store.sent(99, at(0)).is_err());
    assert!(store.failed(2, "sent already", None).is_err());
}

#[test]
fn times_sort_as_text_whatever_their_fraction() {
    let whole = at(0);
    let later = Timestamp::from_millisecond(whole.as_millisecond() + 500).unwrap();
    assert!(stamp(whole) < stamp(later));
    assert_eq!(parse_stamp(&stamp(later), "x").unwrap(), later);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let (_folder, path, _store) = new();
    let err = Store::open(&path.join("below/state.db")).unwrap_err();
    assert!(
        err.to_string().contains("failed to open the state file"),
        "{err}"
    );
}

#[test]
fn every_event_survives_its_way_through_the_file() {
    let (_folder, _path, store) = new();
    for (number, journal) in [
        samples::committed_m2(),
        samples::rolled_back(),
        samples::held(),
        samples::interrupted(),
    ]
    .into_iter()
    .enumerate()
    {
        let plan = numbered(u32::try_from(number).unwrap());
        play(&store, &plan, &journal);
        let stored = store.run(&plan.run).unwrap().journal;
        let events = |entries: Vec<crate::domain::event::Entry>| -> Vec<Event> {
            entries
                .into_iter()
                .skip(1)
                .map(|entry| entry.event)
                .collect()
        };
        assert_eq!(events(stored), events(journal));
    }
}
