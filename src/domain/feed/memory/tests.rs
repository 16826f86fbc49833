//! What must never be forgotten.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "tests may fail loudly"
)]

use super::*;
use crate::domain::advisory::AdvisoryParts;
use crate::domain::release::ReleaseParts;

const SECURITY: &str = "### Security\n- Fix ([GHSA-q4g8-82c5-9h33](..))";

fn day(day: i64) -> Timestamp {
    Timestamp::from_second(1_774_000_000 + day * 86_400).unwrap()
}

fn release(tag: &str, published: i64, body: &str) -> (Release, String) {
    let parts = ReleaseParts {
        tag: tag.to_owned(),
        published_at: Some(day(published)),
        body: body.to_owned(),
        ..ReleaseParts::default()
    };
    (
        Release::new(parts).unwrap(),
        format!("{tag} {published} {body}"),
    )
}

fn advisory(severity: Option<&str>, withdrawn: bool) -> (Advisory, String) {
    let parts = AdvisoryParts {
        id: "GHSA-q4g8-82c5-9h33".to_owned(),
        severity: severity.map(str::to_owned),
        withdrawn,
        ..AdvisoryParts::default()
    };
    (
        Advisory::new(parts).unwrap(),
        format!("{severity:?} {withdrawn}"),
    )
}

/// A memory that takes in one list after the other.
struct Memory<T> {
    entries: Vec<Remembered<T>>,
    newest: Option<Timestamp>,
    back: Option<Back>,
    before: Option<Timestamp>,
    changes: Vec<String>,
    problems: Vec<String>,
}

impl<T: Memorable> Memory<T> {
    fn new() -> Self {
        Self {
            entries: Vec::new(),
            newest: None,
            back: None,
            before: None,
            changes: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn sees(&mut self, at: i64, items: Vec<(T, String)>) -> &mut Self {
        self.sees_also(at, items, &[])
    }

    fn sees_also(&mut self, at: i64, items: Vec<(T, String)>, unread: &[&str]) -> &mut Self {
        let listing = Listing {
            items,
            unread: unread.iter().map(|&id| id.to_owned()).collect(),
            before: self.before,
        };
        let memory = std::mem::take(&mut self.entries);
        let update = remember(memory, listing, self.newest, self.back.take(), day(at));
        self.entries = update.memory;
        self.newest = update.newest;
        self.back = update.back;
        self.before = Some(day(at));
        self.changes = update.changes.into_iter().map(|it| it.what).collect();
        self.problems = update.problems;
        self
    }

    fn recalls(&self, id: &str) -> T {
        let one = self.entries.iter().find(|one| one.id == id).unwrap();
        one.recall().unwrap()
    }
}

fn seven() -> Vec<(Release, String)> {
    (0..7)
        .map(|patch| release(&format!("v4.5.{patch}"), patch, "x"))
        .collect()
}

#[test]
fn a_release_that_lost_its_security_signs_keeps_them() {
    let mut memory = Memory::new();
    memory.sees(3, vec![release("v4.5.8", 1, SECURITY)]);
    memory.sees(4, vec![release("v4.5.8", 1, "Fixes.")]);
    assert_eq!(
        memory.changes,
        ["Release v4.5.8 was edited: its security signals, the advisories it names."]
    );
    let recalled = memory.recalls("v4.5.8");
    assert!(recalled.is_security());
    assert!(recalled.ids.contains("GHSA-q4g8-82c5-9h33"));
    assert_eq!(recalled.first_seen, Some(day(3)));
    // What a later text adds counts as well, and a third one takes nothing away.
    memory.sees(5, vec![release("v4.5.8", 1, "CVE-2026-12345")]);
    memory.sees(6, vec![release("v4.5.8", 1, "")]);
    let ids = memory.recalls("v4.5.8").ids;
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[test]
fn a_publication_date_that_moves_does_not_move_the_known_one() {
    let mut memory = Memory::new();
    memory.sees(10, vec![release("v4.5.8", 1, "x")]);
    memory.sees(11, vec![release("v4.5.8", 9, "x")]);
    assert_eq!(memory.recalls("v4.5.8").known_since(), day(1));
    assert_eq!(
        memory.changes,
        ["Release v4.5.8 was edited: its publication date."]
    );
    memory.sees(12, vec![release("v4.5.8", -300, "x")]);
    assert_eq!(memory.recalls("v4.5.8").known_since(), day(1));
}

#[test]
fn a_deleted_release_is_gone_and_not_forgotten_and_comes_back() {
    let mut memory = Memory::new();
    memory.sees(10, seven());
    let mut fewer = seven();
    fewer.remove(2);
    memory.sees(11, fewer);
    assert_eq!(memory.recalls("v4.5.2").gone_since, Some(day(11)));
    assert_eq!(memory.recalls("v4.5.3").gone_since, None);
    assert_eq!(memory.changes, ["Release v4.5.2 is no longer listed."]);
    assert_eq!(memory.back, None);
    memory.sees(12, seven());
    let again = memory.recalls("v4.5.2");
    assert_eq!((again.gone_since, again.first_seen), (None, Some(day(10))));
    assert_eq!(memory.changes, ["Release v4.5.2 is listed again."]);
}

#[test]
fn a_release_that_can_no_longer_be_read_is_not_gone() {
    let mut memory = Memory::new();
    memory.sees(10, seven());
    let mut fewer = seven();
    fewer.remove(2);
    memory.sees_also(11, fewer, &["v4.5.2"]);
    assert_eq!(memory.recalls("v4.5.2").gone_since, None);
}

#[test]
fn when_the_newest_release_vanishes_the_list_went_back_until_it_moves_on() {
    let mut memory = Memory::new();
    memory.sees(10, seven());
    let mut fewer = seven();
    fewer.pop();
    memory.sees(11, fewer.clone());
    assert_eq!(memory.recalls("v4.5.6").gone_since, Some(day(11)));
    let back = memory.back.clone().unwrap();
    assert_eq!(back.since, day(11));
    assert!(back.what.starts_with("its newest entry is of "), "{back:?}");
    memory.sees(12, fewer.clone());
    assert_eq!(memory.back.as_ref().unwrap().since, day(11));
    fewer.push(release("v4.5.7", 12, "x"));
    memory.sees(13, fewer);
    assert_eq!(memory.back, None);
    assert_eq!(memory.recalls("v4.5.6").gone_since, Some(day(11)));
}

#[test]
fn an_empty_or_much_shorter_list_is_not_believed_until_it_moves_on() {
    for kept in [0, 3] {
        let mut memory = Memory::new();
        memory.sees(10, seven());
        let short: Vec<_> = seven().into_iter().rev().take(kept).collect();
        memory.sees(11, short.clone());
        let back = memory.back.clone().unwrap();
        let what = if kept == 0 {
            "it is empty, and 7 entries were known"
        } else {
            "4 of the entries that were known are missing"
        };
        assert_eq!((back.since, back.what.as_str()), (day(11), what));
        for patch in 0..7 {
            let recalled = memory.recalls(&format!("v4.5.{patch}"));
            assert_eq!(recalled.gone_since, None);
        }
        memory.sees(12, short.clone());
        assert_eq!(memory.back.as_ref().unwrap().since, day(11));
        // The list is whole again: all is as before.
        let mut healed = Memory {
            entries: memory.entries.clone(),
            newest: memory.newest,
            back: memory.back.clone(),
            before: memory.before,
            changes: Vec::new(),
            problems: Vec::new(),
        };
        healed.sees(13, seven());
        assert_eq!((&healed.back, healed.changes.len()), (&None, 0));
        // Or it goes on without them: then they were taken away.
        let mut moved = short;
        moved.push(release("v4.5.7", 12, "x"));
        memory.sees(13, moved);
        assert_eq!(memory.back, None);
        assert_eq!(memory.recalls("v4.5.0").gone_since, Some(day(13)));
    }
}

#[test]
fn a_short_list_is_not_believed_because_of_something_new_in_it() {
    let mut memory = Memory::new();
    memory.sees(10, seven());
    memory.sees(11, vec![release("v4.5.7", 11, "x")]);
    assert!(memory.back.is_some());
    assert_eq!(memory.recalls("v4.5.6").gone_since, None);
}

#[test]
fn dates_ahead_of_this_clock_are_no_measure() {
    let mut memory = Memory::new();
    let mut odd = seven();
    odd.push(release("v4.6.0", 9_999, "x"));
    memory.sees(10, odd);
    memory.sees(11, seven());
    assert_eq!(memory.back, None);
    assert_eq!(memory.recalls("v4.6.0").gone_since, Some(day(11)));
}

#[test]
fn the_worst_grade_of_an_advisory_is_kept() {
    let mut memory = Memory::new();
    let id = "GHSA-q4g8-82c5-9h33";
    memory.sees(1, vec![advisory(None, false)]);
    memory.sees(2, vec![advisory(Some("low"), false)]);
    assert_eq!(memory.recalls(id).graded_before, None);
    memory.sees(3, vec![advisory(Some("critical"), false)]);
    assert_eq!(memory.recalls(id).graded_before, None);
    memory.sees(4, vec![advisory(Some("medium"), false)]);
    assert_eq!(memory.recalls(id).graded_before, Some(Severity::Critical));
    memory.sees(5, vec![advisory(None, false)]);
    assert_eq!(memory.recalls(id).graded_before, Some(Severity::Critical));
    memory.sees(6, vec![advisory(Some("critical"), true)]);
    let withdrawn = memory.recalls(id);
    assert_eq!((withdrawn.withdrawn, withdrawn.graded_before), (true, None));
    memory.sees(7, Vec::new());
    let gone = memory.recalls(id);
    assert_eq!((gone.withdrawn, gone.gone_since), (true, Some(day(7))));
    assert_eq!(gone.first_seen, Some(day(1)));
}

#[test]
fn an_entry_that_is_listed_twice_counts_at_its_worst() {
    let mut memory = Memory::new();
    let twice = vec![release("v4.5.8", 1, "x"), release("v4.5.8", 1, SECURITY)];
    memory.sees(1, twice.clone());
    assert_eq!(
        memory.problems,
        ["Release v4.5.8 is listed twice, with different texts."]
    );
    assert!(memory.recalls("v4.5.8").is_security());
    memory.sees(2, twice);
    assert_eq!(memory.changes, Vec::<String>::new());
    let same = vec![release("v4.5.8", 1, "x"), release("v4.5.8", 1, "x")];
    memory.sees(3, same);
    assert_eq!(memory.problems, Vec::<String>::new());
}

#[test]
fn what_this_program_cannot_read_is_a_problem_until_it_is_listed_again() {
    let mut memory = Memory::new();
    memory.sees(1, seven());
    memory.entries[0].parsed = None;
    let mut fewer = seven();
    fewer.remove(0);
    memory.sees(2, fewer);
    assert_eq!(
        memory.problems,
        ["Release v4.5.0 is remembered, but cannot be read any more."]
    );
    memory.sees(3, seven());
    assert_eq!(memory.problems, Vec::<String>::new());
    assert_eq!(memory.recalls("v4.5.0").first_seen, Some(day(1)));
}

#[test]
fn a_newer_reader_of_the_same_text_replaces_what_an_older_one_read() {
    let mut memory = Memory::new();
    let (mut misread, digest) = release("v4.5.8", 1, "x");
    misread.security.heading = true;
    memory.sees(1, vec![(misread, digest)]);
    memory.sees(2, vec![release("v4.5.8", 1, "x")]);
    assert!(!memory.recalls("v4.5.8").is_security());
    assert_eq!(memory.changes, Vec::<String>::new());
}

#[test]
fn the_worst_of_two_values_keeps_every_sign() {
    let before = serde_json::json!({ "a": true, "b": false, "c": [1, 2], "d": "old", "e": null, "f": { "x": true }, "g": 1 });
    let now = serde_json::json!({ "a": false, "b": true, "c": [2, 3], "d": null, "e": "new", "f": { "x": false } });
    assert_eq!(
        worst_of(&before, &now),
        serde_json::json!({ "a": true, "b": true, "c": [2, 3, 1], "d": "old", "e": "new", "f": { "x": true }, "g": 1 })
    );
}
