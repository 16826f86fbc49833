//! When what is alarming.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "tests may fail loudly"
)]

use super::*;
use crate::domain::feed::{Back, Failure};

fn hour(hour: i64) -> Timestamp {
    Timestamp::from_second(1_774_000_000 + hour * 3_600).unwrap()
}

fn version(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn good() -> States {
    [Feed::Releases, Feed::Advisories]
        .into_iter()
        .map(|feed| {
            let mut state = FeedState::default();
            state.succeed(hour(0), hour(1));
            (feed, state)
        })
        .collect()
}

fn look(states: &States, now: i64) -> Vec<Alarm> {
    let outlook = Outlook {
        states,
        listed: &[],
        offered: &BTreeMap::new(),
        newest: None,
    };
    alarms(&outlook, hour(now))
}

fn kinds(found: &[Alarm]) -> Vec<AlarmKind> {
    found.iter().map(|alarm| alarm.kind).collect()
}

#[test]
fn a_feed_is_stale_after_six_hours_without_an_answer() {
    let mut states = good();
    assert_eq!(look(&states, 5), []);
    let failure = Failure {
        sentence: "no route to host".to_owned(),
        needs_person: false,
        again: None,
    };
    let releases = states.get_mut(&Feed::Releases).unwrap();
    releases.fail(hour(5), &failure, hour(7));
    states
        .get_mut(&Feed::Advisories)
        .unwrap()
        .succeed(hour(5), hour(6));
    let found = look(&states, 5);
    assert_eq!(kinds(&found), [AlarmKind::Failing]);
    assert!(!found[0].kind.hides_news());
    let found = look(&states, 6);
    assert_eq!(kinds(&found), [AlarmKind::Stale, AlarmKind::Failing]);
    assert!(found[0].kind.hides_news());
    assert_eq!(found[0].since, hour(0));
    assert_eq!(
        found[0].sentence,
        "The list of releases was last answered at 2026-03-20T09:46:40Z; the last error: no route to host."
    );
}

#[test]
fn a_feed_that_was_never_answered_is_stale_at_once() {
    let states = States::from([(Feed::Releases, FeedState::default())]);
    let found = look(&states, 0);
    assert_eq!(kinds(&found), [AlarmKind::Stale]);
    assert_eq!(
        found[0].sentence,
        "The list of releases was never answered."
    );
}

#[test]
fn a_mistake_that_only_a_person_can_end_is_told_at_once() {
    let mut states = good();
    let failure = Failure {
        sentence: "asks for a valid token".to_owned(),
        needs_person: true,
        again: None,
    };
    let releases = states.get_mut(&Feed::Releases).unwrap();
    releases.fail(hour(1), &failure, hour(2));
    let found = look(&states, 1);
    assert_eq!(kinds(&found), [AlarmKind::NeedsPerson]);
    assert!(
        found[0]
            .sentence
            .contains("a person must put it right: asks for a valid token")
    );
}

#[test]
fn a_list_that_went_back_and_what_cannot_be_read_are_told() {
    let mut states = good();
    let releases = states.get_mut(&Feed::Releases).unwrap();
    releases.back = Some(Back {
        since: hour(0),
        what: "it is empty, and 7 entries were known".to_owned(),
        newest: None,
    });
    releases.problems = vec!["release `edge` has no readable version".to_owned()];
    releases.problems_since = Some(hour(0));
    let found = look(&states, 1);
    assert_eq!(kinds(&found), [AlarmKind::WentBack, AlarmKind::Unreadable]);
    assert_eq!(
        found[0].sentence,
        "The list of releases went back: it is empty, and 7 entries were known. What was known still counts."
    );
}

#[test]
fn a_version_that_only_the_second_source_knows_is_alarming_after_two_hours() {
    let states = good();
    let offered = BTreeMap::from([(version("4.5.9"), hour(0))]);
    let seen = |listed: &[ReleaseVersion], minutes: i64| {
        let outlook = Outlook {
            states: &states,
            listed,
            offered: &offered,
            newest: None,
        };
        let now = Timestamp::from_second(hour(0).as_second() + minutes * 60).unwrap();
        kinds(&alarms(&outlook, now))
    };
    assert_eq!(seen(&[version("4.5.8")], 119), []);
    assert_eq!(
        seen(&[version("4.5.8")], 120),
        [AlarmKind::SecondSourceAhead]
    );
    assert_eq!(seen(&[version("4.5.9")], 300), []);
}

#[test]
fn a_clock_behind_what_is_known_is_told() {
    let states = good();
    let empty = BTreeMap::new();
    let with = |newest, now| {
        let outlook = Outlook {
            states: &states,
            listed: &[],
            offered: &empty,
            newest: Some(newest),
        };
        kinds(&alarms(&outlook, now))
    };
    assert_eq!(with(hour(20), hour(0)), []);
    assert_eq!(with(hour(26), hour(1)), [AlarmKind::ClockBehind]);
    // The time of the last answer is known to have been, too.
    assert_eq!(with(hour(-99), hour(-30)), [AlarmKind::ClockBehind]);
}
