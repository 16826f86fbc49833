//! Orders of people, and files of format 1.

use super::*;
use crate::domain::policy::Class;
use crate::domain::window::{OneOff, Opening};
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
    assert_eq!(format, 5);
    assert_eq!(
        store.approvals(INSTANCE).unwrap(),
        [consent("alice", 5, "", None)]
    );
    assert_eq!(store.first_seen("release", "v4.5.4", at(9)).unwrap(), at(5));
    assert_eq!(store.hold(INSTANCE).unwrap(), None);
    assert_eq!(store.one_offs(INSTANCE).unwrap(), []);
}

fn one_off(id: &str, start: i64, end: i64) -> OneOff {
    OneOff {
        id: id.to_owned(),
        opening: Opening {
            start: at(start),
            end: at(end),
        },
        allow: [Class::Security].into(),
        breaks_soft: false,
        reason: "announced".to_owned(),
        by: "alice".to_owned(),
        at: at(0),
    }
}

#[test]
fn one_off_windows_are_kept_by_id_and_forgotten_when_they_are_over() {
    let (_folder, path, store) = new();
    assert!(
        store
            .put_one_off(INSTANCE, &one_off("b", 10, 20), at(1))
            .unwrap()
    );
    assert!(
        store
            .put_one_off(INSTANCE, &one_off("a", 30, 40), at(1))
            .unwrap()
    );
    let longer = one_off("b", 10, 25);
    assert!(store.put_one_off(INSTANCE, &longer, at(2)).unwrap());
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(
        store.one_offs(INSTANCE).unwrap(),
        [one_off("a", 30, 40), longer]
    );
    assert_eq!(store.one_offs("other.example").unwrap(), []);
    // Looking forgets nothing; another order does.
    assert!(
        store
            .put_one_off(INSTANCE, &one_off("c", 50, 60), at(25))
            .unwrap()
    );
    let ids: Vec<String> = store
        .one_offs(INSTANCE)
        .unwrap()
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(ids, ["a", "c"]);
    assert!(store.remove_one_off(INSTANCE, "a").unwrap());
    assert!(!store.remove_one_off(INSTANCE, "a").unwrap());
    assert!(!store.remove_one_off("other.example", "c").unwrap());
}

#[test]
fn no_more_than_twenty_one_off_windows_are_kept() {
    let (_folder, _path, store) = new();
    for number in 0..20 {
        assert!(
            store
                .put_one_off(INSTANCE, &one_off(&format!("w{number}"), 10, 20), at(1))
                .unwrap()
        );
    }
    assert!(
        !store
            .put_one_off(INSTANCE, &one_off("one more", 10, 20), at(1))
            .unwrap()
    );
    assert!(
        store
            .put_one_off(INSTANCE, &one_off("w3", 10, 30), at(1))
            .unwrap()
    );
    assert_eq!(store.one_offs(INSTANCE).unwrap().len(), 20);
}
