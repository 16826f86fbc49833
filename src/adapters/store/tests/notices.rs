//! Notices are told once, and neither lost nor doubled by a crash.

use super::*;
use crate::domain::notice::samples::{at_risk, on_sunday, refused};
use crate::domain::notice::{Notice, Start, Topic};

const HOUR: i64 = 3_600;

fn deadlines() -> Topic {
    Topic::deadlines("social.example")
}

/// Raises a notice for one recipient.
fn raise(store: &Store, notice: &Notice, second: i64) -> bool {
    let mails = || vec![mail_to("marge@example.org")];
    store.queue_notice(notice, at(second), mails).unwrap()
}

fn queued(store: &Store) -> u64 {
    store.outbox_summary().unwrap().waiting
}

#[test]
fn a_notice_is_queued_once_also_by_the_next_process() {
    let (_folder, path, store) = new();
    assert!(raise(&store, &at_risk(on_sunday()), 0));
    assert!(!raise(&store, &at_risk(on_sunday()), 60));
    assert!(!raise(&store, &at_risk(Start::At("Mon".to_owned())), 120));
    drop(store);
    let store = Store::open(&path).unwrap();
    assert!(!raise(&store, &at_risk(on_sunday()), 180));
    assert_eq!(queued(&store), 1);
    assert!(raise(&store, &at_risk(Start::Never), 240));
    assert_eq!(queued(&store), 2);
}

#[test]
fn a_relapse_is_queued_anew() {
    let (_folder, _path, store) = new();
    assert!(raise(&store, &at_risk(on_sunday()), 0));
    store.rest_notices(&deadlines(), at(60)).unwrap();
    assert!(!raise(&store, &at_risk(on_sunday()), 120));
    store.rest_notices(&deadlines(), at(180)).unwrap();
    store.rest_notices(&deadlines(), at(180 + HOUR)).unwrap();
    assert!(raise(&store, &at_risk(on_sunday()), 240 + HOUR));
    assert_eq!(queued(&store), 2);
}

#[test]
fn topics_are_remembered_apart_and_nothing_of_them_stays() {
    let (_folder, path, store) = new();
    assert!(raise(&store, &at_risk(on_sunday()), 0));
    assert!(raise(&store, &refused(&["a"]), 1));
    store.rest_notices(&Topic::Configuration, at(2)).unwrap();
    store
        .rest_notices(&Topic::deadlines("other.example"), at(2))
        .unwrap();
    assert!(!raise(&store, &at_risk(on_sunday()), 3));
    assert!(raise(&store, &refused(&["a"]), 4));
    store.rest_notices(&Topic::Configuration, at(5)).unwrap();
    store.rest_notices(&deadlines(), at(6)).unwrap();
    store.rest_notices(&deadlines(), at(6 + HOUR)).unwrap();
    let rows: i64 = raw(&path)
        .query_row("SELECT count(*) FROM feeds", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn the_mails_and_the_memory_of_them_are_one_transaction() {
    let (_folder, path, store) = new();
    // What the memory cannot take, the outbox does not keep.
    raw(&path)
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON feeds
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
        )
        .unwrap();
    let mails = || vec![mail_to("marge@example.org")];
    let err = store
        .queue_notice(&at_risk(on_sunday()), at(0), mails)
        .unwrap_err();
    assert!(source_of(&err).contains("the disk is full"), "{err}");
    assert_eq!(queued(&store), 0);
    // And the other way about.
    raw(&path)
        .execute_batch(
            "DROP TRIGGER broken;
             CREATE TRIGGER broken BEFORE INSERT ON outbox
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END;",
        )
        .unwrap();
    store
        .queue_notice(&at_risk(on_sunday()), at(1), mails)
        .unwrap_err();
    raw(&path).execute_batch("DROP TRIGGER broken").unwrap();
    assert!(raise(&store, &at_risk(on_sunday()), 2));
    assert_eq!(queued(&store), 1);
}

#[test]
fn without_recipients_it_is_news_once_and_is_mailed_when_there_are_some() {
    let (_folder, _path, store) = new();
    let notice = at_risk(on_sunday());
    assert!(store.queue_notice(&notice, at(0), Vec::new).unwrap());
    assert!(!store.queue_notice(&notice, at(1), Vec::new).unwrap());
    assert!(!raise(&store, &notice, 2));
    assert_eq!(queued(&store), 1);
    assert!(!raise(&store, &notice, 3));
    assert_eq!(queued(&store), 1);
}

#[test]
fn what_is_remembered_and_cannot_be_read_is_told_once_more() {
    let (_folder, path, store) = new();
    assert!(raise(&store, &at_risk(on_sunday()), 0));
    raw(&path)
        .execute("UPDATE feeds SET state = '{\"of\":\"tomorrow\"}'", [])
        .unwrap();
    assert!(raise(&store, &at_risk(on_sunday()), 1));
    assert!(!raise(&store, &at_risk(on_sunday()), 2));
}
