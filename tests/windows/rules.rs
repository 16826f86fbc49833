//! The numbered rules of windows, one test each.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::policy::Class;
use mastopatch::domain::window::{
    Blackout, Measured, Needed, OneOff, Opening, Schedule, Strength, Window,
};

use crate::generated::{at, window, zone};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const NANO: SignedDuration = SignedDuration::from_nanos(1);
const NOTHING: BTreeSet<Strength> = BTreeSet::new();

fn allowing(id: &str, opens: &str, hours: i64, allow: &[Class]) -> Window {
    Window::new(
        id.to_owned(),
        vec![opens.parse().unwrap()],
        HOUR * i32::try_from(hours).unwrap(),
        zone("Europe/Berlin"),
        allow.iter().copied().collect(),
    )
    .unwrap()
}

fn blackout(every: &str, strength: Strength) -> Blackout {
    let berlin = zone("Europe/Berlin");
    let days = every.parse().unwrap();
    Blackout::new("b".to_owned(), days, strength, "why".to_owned(), berlin).unwrap()
}

fn starts(window: &Window, from: &str, to: &str) -> Vec<String> {
    let openings = window.openings(at(from), at(to)).into_iter();
    openings.map(|one| one.start.to_string()).collect()
}

#[test]
fn w1_a_window_holds_its_start_and_every_instant_up_to_its_end_but_not_the_end() {
    let window = window(&["Sat,Sun 23:30"], 2 * HOUR, zone("Europe/Berlin"));
    for (start, end) in [
        ("2026-01-10T22:30:00Z", "2026-01-11T00:30:00Z"),
        // Absolute time: two hours are two hours in the nights the clocks change, too.
        ("2026-03-28T22:30:00Z", "2026-03-29T00:30:00Z"),
        ("2026-10-24T21:30:00Z", "2026-10-24T23:30:00Z"),
    ] {
        let opening = Opening {
            start: at(start),
            end: at(end),
        };
        assert_eq!(window.current(opening.start), Some(opening));
        assert_eq!(window.current(opening.end - NANO), Some(opening));
        assert!(!window.contains(opening.start - NANO) && !window.contains(opening.end));
        assert_eq!(opening.left(opening.end - NANO), NANO);
        assert_eq!(opening.left(opening.end), SignedDuration::ZERO);
        // A stretch that ends where the window opens, or begins where it closes, has no instant of it.
        assert_eq!(window.openings(opening.start - HOUR, opening.start), vec![]);
        assert_eq!(window.openings(opening.end, opening.end + HOUR), vec![]);
        // And one that is empty, or runs backwards, has no instant at all.
        let (middle, before) = (opening.start + HOUR, opening.start - HOUR);
        assert_eq!(window.openings(middle, middle), vec![]);
        assert_eq!(window.openings(opening.end, before), vec![]);
        assert_eq!(
            window.openings(opening.end - NANO, opening.end),
            vec![opening]
        );
    }
}

/// Zone, line, the stretch that is looked at, and where the one opening in it begins.
const CHANGES: [(&str, &str, &str, &str, &str); 13] = [
    (
        "Europe/Berlin",
        "02:30",
        "2026-03-29T00:00:00Z",
        "2026-03-30T00:00:00Z",
        "2026-03-29T01:00:00Z",
    ),
    (
        "Europe/Berlin",
        "02:30",
        "2026-10-24T12:00:00Z",
        "2026-10-25T12:00:00Z",
        "2026-10-25T00:30:00Z",
    ),
    // Half an hour.
    (
        "Australia/Lord_Howe",
        "02:15",
        "2026-10-03T12:00:00Z",
        "2026-10-04T12:00:00Z",
        "2026-10-03T15:30:00Z",
    ),
    (
        "Australia/Lord_Howe",
        "01:45",
        "2026-04-04T12:00:00Z",
        "2026-04-05T12:00:00Z",
        "2026-04-04T14:45:00Z",
    ),
    // Two hours.
    (
        "Antarctica/Troll",
        "01:30",
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
        "2026-03-29T01:00:00Z",
    ),
    (
        "Antarctica/Troll",
        "02:59",
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
        "2026-03-29T01:00:00Z",
    ),
    (
        "Antarctica/Troll",
        "02:59",
        "2026-10-24T12:00:00Z",
        "2026-10-25T12:00:00Z",
        "2026-10-25T00:59:00Z",
    ),
    // Midnight, and the hour before it.
    (
        "America/Sao_Paulo",
        "00:30",
        "2018-11-03T12:00:00Z",
        "2018-11-04T12:00:00Z",
        "2018-11-04T03:00:00Z",
    ),
    (
        "Africa/Cairo",
        "00:00",
        "2026-04-23T12:00:00Z",
        "2026-04-24T12:00:00Z",
        "2026-04-23T22:00:00Z",
    ),
    (
        "America/Nuuk",
        "23:30",
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
        "2026-03-29T01:00:00Z",
    ),
    (
        "Asia/Beirut",
        "00:30",
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
        "2026-03-28T22:00:00Z",
    ),
    // Ramadan: back an hour before it, forward after it.
    (
        "Africa/Casablanca",
        "02:30",
        "2026-02-14T12:00:00Z",
        "2026-02-15T12:00:00Z",
        "2026-02-15T01:30:00Z",
    ),
    (
        "Africa/Casablanca",
        "02:30",
        "2026-03-21T12:00:00Z",
        "2026-03-22T12:00:00Z",
        "2026-03-22T02:00:00Z",
    ),
];

#[test]
fn w2_a_time_that_is_left_out_opens_at_the_gaps_end_and_one_that_comes_twice_at_its_first() {
    for (name, line, from, to, expected) in CHANGES {
        let window = window(&[line], HOUR, zone(name));
        assert_eq!(starts(&window, from, to), [expected], "{line} {name}");
    }
}

#[test]
fn w2_a_day_that_a_zone_left_out_is_a_gap() {
    // Samoa had no 30 December 2011, Kwajalein no 21 August 1993.
    for (name, line, from, to, expected) in [
        (
            "Pacific/Apia",
            "2011-12-30 02:00",
            "2011-12-01T00:00:00Z",
            "2012-02-01T00:00:00Z",
            vec!["2011-12-30T10:00:00Z"],
        ),
        (
            "Pacific/Apia",
            "Fri 2011-12-30 23:59",
            "2011-12-01T00:00:00Z",
            "2012-02-01T00:00:00Z",
            vec!["2011-12-30T10:00:00Z"],
        ),
        (
            "Pacific/Apia",
            "2011-12-29..31 02:00",
            "2011-12-01T00:00:00Z",
            "2012-02-01T00:00:00Z",
            vec![
                "2011-12-29T12:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-30T12:00:00Z",
            ],
        ),
        (
            "Pacific/Kwajalein",
            "1993-08-21 12:00",
            "1993-08-01T00:00:00Z",
            "1993-09-01T00:00:00Z",
            vec!["1993-08-21T12:00:00Z"],
        ),
    ] {
        let window = window(&[line], HOUR, zone(name));
        assert_eq!(starts(&window, from, to), expected, "{line} {name}");
        // Asked from within, too: the opening lies a day after the date it belongs to.
        let first = at(expected[0]);
        assert!(window.contains(first) && window.contains(first + HOUR - NANO));
        assert!(!window.contains(first - NANO));
    }
}

#[test]
fn w3_a_window_belongs_to_the_day_it_opens() {
    // Saturday night is closed on Friday night, and reaches into Sunday; the last of the month reaches into the next.
    let window = window(
        &["Sat 23:30", "*-*~1 22:00"],
        3 * HOUR,
        zone("Europe/Berlin"),
    );
    for (instant, open) in [
        ("2026-01-10T00:00:00+01:00", false),
        ("2026-01-10T01:00:00+01:00", false),
        ("2026-01-10T23:30:00+01:00", true),
        ("2026-01-11T02:29:59+01:00", true),
        ("2026-01-11T02:30:00+01:00", false),
        ("2026-01-11T23:30:00+01:00", false),
        ("2026-02-28T22:00:00+01:00", true),
        ("2026-03-01T00:59:59+01:00", true),
        ("2026-03-01T22:00:00+01:00", false),
    ] {
        assert_eq!(window.contains(at(instant)), open, "{instant}");
    }
    // Both are of 28 February, a Saturday, on which they opened; in March only one of them is still open.
    let both = ["2026-02-28T21:00:00Z", "2026-02-28T22:30:00Z"];
    let noon = "2026-03-01T12:00:00Z";
    assert_eq!(starts(&window, "2026-02-28T23:59:59Z", noon), both);
    assert_eq!(starts(&window, "2026-03-01T00:00:00Z", noon), both[1..]);
}

#[test]
fn w4_windows_add_up_for_the_classes_that_each_of_them_allows() {
    let schedule = Schedule::new(
        vec![
            allowing("patches", "Sun 01:00", 2, &[Class::Security, Class::Patch]),
            allowing("security", "Sun 03:00", 2, &[Class::Security]),
            allowing("minors", "Sun 02:00", 2, &[Class::Minor, Class::Patch]),
        ],
        vec![],
    );
    let (from, to) = (at("2026-06-06T00:00:00Z"), at("2026-06-08T00:00:00Z"));
    for (class, start, end, window) in [
        (
            Class::Security,
            "2026-06-06T23:00:00Z",
            "2026-06-07T03:00:00Z",
            "patches",
        ),
        (
            Class::Patch,
            "2026-06-06T23:00:00Z",
            "2026-06-07T02:00:00Z",
            "patches",
        ),
        (
            Class::Minor,
            "2026-06-07T00:00:00Z",
            "2026-06-07T02:00:00Z",
            "minors",
        ),
    ] {
        let slots = schedule.slots(class, &NOTHING, from, to);
        assert_eq!(slots.len(), 1, "{class}");
        assert_eq!(
            slots[0].opening,
            Opening {
                start: at(start),
                end: at(end)
            },
            "{class}"
        );
        assert_eq!(slots[0].window, window);
    }
    assert!(
        !schedule.allows(Class::Major)
            && schedule.slots(Class::Major, &NOTHING, from, to).is_empty()
    );
}

#[test]
fn w5_blackouts_take_away_from_every_window_and_only_soft_ones_give_way() {
    let (from, needed) = (at("2026-12-19T12:00:00Z"), HOUR);
    let window = allowing("nightly", "02:00", 2, &[Class::Security]);
    let first = |blackouts: Vec<Blackout>, breaks: &[Strength]| {
        let schedule = Schedule::new(vec![window.clone()], blackouts);
        let breaks = breaks.iter().copied().collect();
        let (start, _) = schedule
            .first_start(Class::Security, &breaks, from, needed)
            .unwrap();
        start.to_string()
    };
    let holidays = |strength| vec![blackout("12-20/01-02", strength)];
    assert_eq!(first(vec![], &[]), "2026-12-20T01:00:00Z");
    assert_eq!(first(holidays(Strength::Soft), &[]), "2027-01-03T01:00:00Z");
    assert_eq!(
        first(holidays(Strength::Soft), &[Strength::Soft]),
        "2026-12-20T01:00:00Z"
    );
    assert_eq!(
        first(holidays(Strength::Hard), &[Strength::Soft]),
        "2027-01-03T01:00:00Z"
    );
    // A window that a person opened may break a soft one, and never a hard one.
    let one_off = |breaks_soft| OneOff {
        id: "thursday".to_owned(),
        opening: Opening {
            start: at("2026-12-24T13:00:00Z"),
            end: at("2026-12-24T15:00:00Z"),
        },
        allow: BTreeSet::from([Class::Security]),
        breaks_soft,
        reason: "an announced fix".to_owned(),
        by: "me".to_owned(),
        at: from,
    };
    for (strength, breaks_soft, expected) in [
        (Strength::Soft, true, "2026-12-24T13:00:00Z"),
        (Strength::Soft, false, "2027-01-03T01:00:00Z"),
        (Strength::Hard, true, "2027-01-03T01:00:00Z"),
    ] {
        let schedule = Schedule::new(vec![window.clone()], holidays(strength))
            .with_one_offs(&[one_off(breaks_soft)]);
        let (start, _) = schedule
            .first_start(Class::Security, &NOTHING, from, needed)
            .unwrap();
        assert_eq!(start, at(expected), "{strength} {breaks_soft}");
    }
}

#[test]
fn w6_the_latest_start_leaves_the_run_and_its_way_back_and_never_less_than_a_quarter() {
    let schedule = Schedule::new(
        vec![allowing("nightly", "02:00", 2, &[Class::Patch])],
        vec![],
    );
    let end = at("2026-06-10T02:00:00Z");
    let start_from = |from: Timestamp, needed| {
        schedule
            .first_start(Class::Patch, &NOTHING, from, needed)
            .unwrap()
            .0
    };
    let measured = |run, way_back| {
        Needed::measured(&Measured {
            closed: vec![vec![run]],
            migrations: vec![0],
            way_back: vec![vec![way_back; 3]],
            n_restores: 3,
            ..Measured::default()
        })
    };
    for (needed, minutes) in [
        (Needed::UNMEASURED, 45),
        (measured(60_000, 30_000), 15),
        (measured(2_400_000, 1_200_000), 60),
    ] {
        let needed = needed.total();
        assert_eq!(needed, SignedDuration::from_mins(minutes));
        let latest = end - needed;
        assert_eq!(start_from(latest, needed), latest);
        assert_eq!(
            start_from(latest + NANO, needed),
            at("2026-06-11T00:00:00Z")
        );
    }
    // It fits exactly, or never.
    assert_eq!(start_from(end, 2 * HOUR), at("2026-06-11T00:00:00Z"));
    assert_eq!(
        schedule.first_start(Class::Patch, &NOTHING, end, 2 * HOUR + NANO),
        None
    );
    assert_eq!(schedule.longest(end)[0], 2 * HOUR);
}

#[test]
fn w11_what_opens_within_400_days_is_found_and_nothing_later() {
    let window = window(&["2027-06-15 12:00"], HOUR, TimeZone::UTC);
    let opens = at("2027-06-15T12:00:00Z");
    let day = 24 * HOUR;
    assert_eq!(
        window.next_opening(opens - 400 * day + NANO).unwrap().start,
        opens
    );
    assert_eq!(window.next_opening(opens - 400 * day), None);
    assert_eq!(window.next_opening(opens), None);
    assert_eq!(window.last_opening(opens + NANO).unwrap().start, opens);
    assert_eq!(window.last_opening(opens), None);
    // A leap day is found from the day 400 days before it.
    let leap = crate::generated::window(&["*-02-29 12:00"], HOUR, TimeZone::UTC);
    let opens = at("2028-02-29T12:00:00Z");
    assert_eq!(leap.next_opening(opens - 399 * day).unwrap().start, opens);
    assert_eq!(leap.next_opening(opens), None);
}

#[test]
fn what_comes_next_and_why_it_is_closed_agree_with_when_something_may_start() {
    let window = |id: &str, opens: &str, hours| {
        let opens = vec![opens.parse().unwrap()];
        let allow = [Class::Security].into();
        let lasts = SignedDuration::from_hours(hours);
        Window::new(id.to_owned(), opens, lasts, TimeZone::UTC, allow).unwrap()
    };
    // Three that touch, and one that is open all the time.
    let chain = vec![
        window("a", "20:00", 2),
        window("b", "22:00", 2),
        window("c", "00:00", 1),
    ];
    for windows in [chain, vec![window("always", "00:00", 24)]] {
        let schedule = Schedule::new(windows, Vec::new());
        let from = at("2026-06-10T12:00:00Z");
        for needed in [HOUR, 3 * HOUR, 5 * HOUR] {
            for minute in 0..24 * 60 {
                let now = from + MINUTE * minute;
                let first = schedule.first_start(Class::Security, &NOTHING, now, needed);
                let starts = first.is_some_and(|(start, _)| start == now);
                let closed = schedule.why_closed(now, needed);
                assert_eq!(closed.is_empty(), starts, "{now} {needed:#} {closed:?}");
                let next = schedule.upcoming(now, needed, 1);
                let latest = next[0].latest_start;
                let told = next[0].opening.holds(now) && latest.is_some_and(|latest| now <= latest);
                assert_eq!(told, starts, "{now} {needed:#} {next:?}");
            }
        }
    }
}
