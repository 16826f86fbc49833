//! Rehearsals, and files of format 4.

use super::*;
use crate::domain::rehearsal::{REHEARSAL_FORMAT, Rehearsal, Tried, images_of};

fn tried(id: &str, second: i64, result: Tried) -> Rehearsal {
    let plan = plan();
    Rehearsal {
        format: REHEARSAL_FORMAT,
        id: id.to_owned(),
        images: images_of(&plan),
        instance: plan.instance,
        from: plan.from,
        to: plan.to,
        began_at: at(second),
        ended_at: at(second),
        elapsed_ms: 1,
        result,
    }
}

fn not_done(id: &str, second: i64) -> Rehearsal {
    let because = "no room".to_owned();
    tried(id, second, Tried::NotDone { because })
}

#[test]
fn the_newest_rehearsals_are_kept_newest_first() {
    let (_folder, path, store) = new();
    for second in 0..25 {
        let one = not_done(&format!("r{second:02}"), second);
        store.put_rehearsal(&one, &plan()).unwrap();
    }
    drop(store);
    let store = Store::open(&path).unwrap();
    let kept = store.rehearsals(INSTANCE).unwrap();
    assert_eq!(kept.len(), 20);
    assert_eq!(kept[0], not_done("r24", 24));
    assert_eq!(kept[19], not_done("r05", 5));
    assert_eq!(store.rehearsals("other.example").unwrap(), []);
    assert!(store.quarantined(INSTANCE).unwrap().is_empty());
}

#[test]
fn a_target_that_fails_its_rehearsal_is_quarantined_though_it_had_no_run() {
    let (_folder, _path, store) = new();
    let because = "the migrations failed".to_owned();
    let failed = tried("rehearsal-1", 3, Tried::Failed { because });
    let mut plan = plan();
    plan.run = "rehearsal-1".to_owned();
    store.put_rehearsal(&failed, &plan).unwrap();
    let rows = store.quarantined(INSTANCE).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].version, "4.5.4");
    assert_eq!(rows[0].reason, "the migrations failed");
    assert_eq!(rows[0].run, "rehearsal-1");
    assert_eq!(rows[0].at, at(3));
    assert_eq!(store.rehearsals(INSTANCE).unwrap(), [failed]);
}

#[test]
fn what_another_version_wrote_is_left_out() {
    let (_folder, _path, store) = new();
    store.put_rehearsal(&not_done("r1", 1), &plan()).unwrap();
    store
        .lock()
        .execute_batch(
            "INSERT INTO rehearsals VALUES ('social.example', 'r2', '2030-01-01', '{\"format\":2}')",
        )
        .unwrap();
    assert_eq!(store.rehearsals(INSTANCE).unwrap(), [not_done("r1", 1)]);
}

#[test]
fn a_file_of_format_4_keeps_its_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let old = raw(&path);
    for format in [
        include_str!("../format_1.sql"),
        include_str!("../format_2.sql"),
        include_str!("../format_3.sql"),
        include_str!("../format_4.sql"),
    ] {
        old.execute_batch(format).unwrap();
    }
    old.execute_batch(
        "INSERT INTO runs (id, instance, plan, created_at) VALUES ('r', 'social.example', '{}', '2026-11-20T14:00:00Z');
         INSERT INTO quarantine VALUES ('social.example', '4.5.3', 'it broke', 'r', '2026-11-20T14:00:00Z');
         PRAGMA application_id = 1836082024; PRAGMA user_version = 4;",
    )
    .unwrap();
    drop(old);
    let store = Store::open(&path).unwrap();
    let rows = store.quarantined(INSTANCE).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&*rows[0].version, &*rows[0].reason), ("4.5.3", "it broke"));
    store.put_rehearsal(&not_done("r1", 1), &plan()).unwrap();
    assert_eq!(store.rehearsals(INSTANCE).unwrap().len(), 1);
}
