//! When windows open and close around clock changes, and which get in the way of each other.

use super::*;

fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn window(opens: &str, hours: i64) -> Window {
    let opens = opens.split(';').map(|line| line.parse().unwrap()).collect();
    let allow = BTreeSet::from([Class::Security]);
    Window::new(
        "w".to_owned(),
        opens,
        SignedDuration::from_hours(hours),
        berlin(),
        allow,
    )
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn next(window: &Window, after: &str) -> (String, String) {
    let opening = window.next_opening(at(after)).unwrap();
    (opening.start.to_string(), opening.end.to_string())
}

#[test]
fn a_window_holds_its_start_and_not_its_end() {
    let window = window("Sat,Sun 23:30", 2);
    for (instant, open) in [
        ("2026-01-10T22:29:59Z", false),
        ("2026-01-10T22:30:00Z", true),
        ("2026-01-11T00:29:59Z", true),
        ("2026-01-11T00:30:00Z", false),
        // Sunday's opening runs into Monday, and Friday night is closed.
        ("2026-01-12T00:15:00Z", true),
        ("2026-01-10T00:15:00Z", false),
    ] {
        assert_eq!(window.contains(at(instant)), open, "{instant}");
    }
}

#[test]
fn in_the_night_the_clocks_go_forward_it_opens_after_the_gap_and_lasts_as_long() {
    let window = window("Sun 02:30", 2);
    assert_eq!(
        next(&window, "2026-03-28T12:00:00Z"),
        ("2026-03-29T01:00:00Z".into(), "2026-03-29T03:00:00Z".into())
    );
    let early = self::window("Sun 02:00", 2);
    assert_eq!(
        next(&early, "2026-03-28T12:00:00Z"),
        ("2026-03-29T01:00:00Z".into(), "2026-03-29T03:00:00Z".into())
    );
    let late = self::window("Sun 03:00", 2);
    assert_eq!(
        next(&late, "2026-03-28T12:00:00Z"),
        ("2026-03-29T01:00:00Z".into(), "2026-03-29T03:00:00Z".into())
    );
}

#[test]
fn in_the_night_the_clocks_go_back_it_opens_once_at_the_first_of_the_two() {
    let window = window("Sun 02:30", 2);
    assert_eq!(
        next(&window, "2026-10-24T12:00:00Z"),
        ("2026-10-25T00:30:00Z".into(), "2026-10-25T02:30:00Z".into())
    );
    assert_eq!(
        next(&window, "2026-10-25T00:30:00Z"),
        ("2026-11-01T01:30:00Z".into(), "2026-11-01T03:30:00Z".into())
    );
}

#[test]
fn a_day_long_window_every_day_is_always_open() {
    let window = window("00:00", 24);
    for instant in [
        "2026-03-29T12:00:00Z",
        "2026-10-25T22:30:00Z",
        "2026-10-25T23:00:00Z",
    ] {
        // On the 25-hour day the last hour is outside: 24 elapsed hours are over.
        assert_eq!(
            window.contains(at(instant)),
            instant != "2026-10-25T22:30:00Z",
            "{instant}"
        );
    }
    assert_eq!(
        window.current(at("2026-03-29T22:30:00Z")).unwrap().end,
        at("2026-03-30T22:00:00Z")
    );
}

#[test]
fn a_window_that_is_too_short_too_long_or_useless_is_refused() {
    let make = |minutes, classes: &[Class]| {
        let opens = vec!["02:00".parse().unwrap()];
        let allow = classes.iter().copied().collect();
        Window::new(
            "w".to_owned(),
            opens,
            SignedDuration::from_mins(minutes),
            berlin(),
            allow,
        )
    };
    assert!(make(15, &[Class::Patch]).is_ok() && make(24 * 60, &[Class::Patch]).is_ok());
    assert!(matches!(
        make(14, &[Class::Patch]),
        Err(WindowError::Length(_))
    ));
    assert!(matches!(
        make(24 * 60 + 1, &[Class::Patch]),
        Err(WindowError::Length(_))
    ));
    assert_eq!(make(60, &[]), Err(WindowError::AllowsNothing));
}

#[test]
fn lines_of_a_window_that_open_while_it_is_open_overlap() {
    for (opens, hours, overlap) in [
        ("02:00", 24, None),
        ("Sun 02:00;Sun 04:00", 2, None),
        (
            "Sun 02:00;Mon 01:00",
            24,
            Some((1, 0, "2020-01-06T01:00:00", 23)),
        ),
        (
            "Sun 02:00;*-*-5 02:00",
            1,
            Some((1, 0, "2020-01-05T02:00:00", 0)),
        ),
        // Once in the 28 years is enough.
        (
            "Sun *-02-29 02:00;*-03-1 01:00",
            24,
            Some((1, 0, "2032-03-01T01:00:00", 23)),
        ),
        (
            "*-02-28 23:00;*-03-1 00:00",
            2,
            Some((1, 0, "2021-03-01T00:00:00", 1)),
        ),
    ] {
        let found = window(opens, hours).overlap();
        let found = found.map(|one| (one.line, one.with, one.at.to_string(), one.apart));
        let overlap = overlap.map(|(line, with, at, hours)| {
            let apart = SignedDuration::from_hours(hours);
            (line, with, at.to_owned(), apart)
        });
        assert_eq!(found, overlap, "{opens}");
    }
}

#[test]
fn a_window_is_within_another_only_if_that_is_certain_to_be_open_all_the_time() {
    let wide = window("Sat,Sun 01:00", 4);
    let jittered = |window: &Window, minutes| {
        let most = SignedDuration::from_mins(minutes);
        window.clone().with_jitter(most, "host").unwrap()
    };
    for (narrow, hours, within, within_jittered) in [
        ("Sun 02:00", 2, true, true),
        ("Sun 01:30", 2, true, true),
        // The wide one may open half an hour later than written.
        ("Sun 01:00", 4, true, false),
        ("Sun 01:29", 2, true, false),
        ("Sun 03:01", 2, false, false),
        ("Sun 00:59", 2, false, false),
        ("Mon,Sat,Sun 02:00", 2, false, false),
        ("Sun *-02-29 02:00", 2, true, true),
        // Years that are not looked at.
        ("Sun 02:00;2050-01-01 02:00", 2, false, false),
        ("2050-01-01 02:00", 2, false, false),
        ("2024-01-07 02:00", 2, true, true),
    ] {
        let narrow = window(narrow, hours);
        let case = format!("{:?}", narrow.opens());
        assert_eq!(narrow.is_within(&wide), within, "{case}");
        assert_eq!(
            narrow.is_within(&jittered(&wide, 30)),
            within_jittered,
            "{case}"
        );
        // Its own jitter only makes it shorter.
        assert_eq!(jittered(&narrow, 30).is_within(&wide), within, "{case}");
    }
    assert!(!window("02:00", 2).is_within(&wide) && wide.is_within(&wide));
}
