//! Orders of people, and files of format 1.

use super::*;
use crate::ports::store::{ApprovalRow, HoldRow, PinRow};

fn consent(by: &str, second: i64, plan_hash: &str, expires: Option<i64>) -> ApprovalRow {
    ApprovalRow {
        version: "4.5.4".to_owned(),
        plan_hash: plan_hash.to_owned(),
        by: by.to_owned(),
        at: at(second),
        expires_at: expires.map(at),
    }
}

#[test]
fn the_same_consent_stays_the_first_persons_and_another_one_replaces_it() {
    let (_folder, path, store) = new();
    let alice = consent("alice", 7, "h1", None);
    store.approve(INSTANCE, &alice).unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    let given = |row: &ApprovalRow| {
        store.approve(INSTANCE, row).unwrap();
        store.approvals(INSTANCE).unwrap()
    };
    assert_eq!(given(&consent("bob", 9, "h1", None)), [alice]);
    for other in [
        consent("bob", 9, "h2", None),
        consent("carol", 10, "h2", Some(60)),
        consent("carol", 11, "h2", Some(90)),
    ] {
        assert_eq!(given(&other), [other]);
    }
    assert_eq!(store.approvals("other.example").unwrap(), []);
    assert!(!store.withdraw_approval("other.example", "4.5.4").unwrap());
    assert!(store.withdraw_approval(INSTANCE, "4.5.4").unwrap());
    assert!(!store.withdraw_approval(INSTANCE, "4.5.4").unwrap());
    assert_eq!(store.approvals(INSTANCE).unwrap(), []);
}

#[test]
fn a_hold_and_a_pin_are_replaced_and_removed() {
    let (_folder, _path, store) = new();
    let mut hold = HoldRow {
        reason: "elections".to_owned(),
        by: "alice".to_owned(),
        at: at(1),
        until: Some(at(100)),
    };
    let mut pin = PinRow {
        to: "4.5".to_owned(),
        reason: "theme".to_owned(),
        by: "bob".to_owned(),
        at: at(2),
        until: None,
    };
    assert_eq!(store.hold(INSTANCE).unwrap(), None);
    assert_eq!(store.pin(INSTANCE).unwrap(), None);
    for _ in 0..2 {
        store.put_hold(INSTANCE, &hold).unwrap();
        store.put_pin(INSTANCE, &pin).unwrap();
        assert_eq!(store.hold(INSTANCE).unwrap(), Some(hold.clone()));
        assert_eq!(store.pin(INSTANCE).unwrap(), Some(pin.clone()));
        assert_eq!(store.hold("other.example").unwrap(), None);
        hold.until = None;
        pin.to = "4.5.8".to_owned();
    }
    assert!(store.remove_hold(INSTANCE).unwrap() && store.remove_pin(INSTANCE).unwrap());
    assert!(!store.remove_hold(INSTANCE).unwrap() && !store.remove_pin(INSTANCE).unwrap());
    assert_eq!(store.hold(INSTANCE).unwrap(), None);
    assert_eq!(store.pin(INSTANCE).unwrap(), None);
}

#[test]
fn a_file_of_format_1_is_brought_to_the_present_one_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let old = raw(&path);
    old.execute_batch(include_str!("../format_1.sql")).unwrap();
    old.pragma_update(None, "application_id", 0x6d70_6368)
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let seen = stamp(at(5));
    old.execute(
        "INSERT INTO approvals (instance, version, approved_by, at) VALUES (?1, '4.5.4', 'alice', ?2)",
        [INSTANCE, &seen],
    )
    .unwrap();
    old.execute(
        "INSERT INTO first_seen (kind, id, at) VALUES ('release', 'v4.5.4', ?1)",
        [&seen],
    )
    .unwrap();
    drop(old);

    let store = Store::open(&path).unwrap();
    let format: i64 = raw(&path)
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(format, 2);
    assert_eq!(
        store.approvals(INSTANCE).unwrap(),
        [consent("alice", 5, "", None)]
    );
    assert_eq!(store.first_seen("release", "v4.5.4", at(9)).unwrap(), at(5));
    assert_eq!(store.hold(INSTANCE).unwrap(), None);
}
