//! What holds for any window.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::window::{
    Blackout, Calendar, Days, HORIZON, Opening, Schedule, Strength, Window,
};
use proptest::prelude::*;

use crate::generated::{Chance, INTERESTING, at, window, zone};

const NANO: SignedDuration = SignedDuration::from_nanos(1);
const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Zones that left out or repeated most of a day, or changed at midnight, and when.
const ODD_CHANGES: [(&str, &str); 8] = [
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Pacific/Fakaofo", "2011-12-30T11:00:00Z"),
    ("Pacific/Kwajalein", "1993-08-21T12:00:00Z"),
    ("Pacific/Kwajalein", "1969-09-30T13:00:00Z"),
    ("Pacific/Kiritimati", "1994-12-31T10:40:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("America/St_Johns", "2010-11-07T02:31:00Z"),
    ("America/Caracas", "2016-05-01T07:00:00Z"),
];

/// A zone and an instant, mostly near a change of its clock.
fn somewhere() -> impl Strategy<Value = (&'static str, Timestamp)> {
    let offset = -3 * 86_400_i64..3 * 86_400;
    let odd = (0..ODD_CHANGES.len(), offset.clone()).prop_map(|(index, offset)| {
        let (name, change) = ODD_CHANGES[index];
        (name, at(change) + SignedDuration::from_secs(offset))
    });
    let near = (0..INTERESTING.len(), 0_usize..60, offset).prop_map(|(index, nth, offset)| {
        let name = INTERESTING[index];
        let since = at("2015-01-01T00:00:00Z");
        let change = zone(name)
            .following(since)
            .nth(nth)
            .map_or(since, |change| change.timestamp());
        (name, change + SignedDuration::from_secs(offset))
    });
    let anywhere = (0..INTERESTING.len(), 0_i64..4_102_444_800)
        .prop_map(|(index, second)| (INTERESTING[index], Timestamp::from_second(second).unwrap()));
    prop_oneof![2 => odd, 4 => near, 1 => anywhere]
}

/// A window of one to three lines, mostly dense ones, so that there is something near every instant.
fn any_window() -> impl Strategy<Value = (Vec<String>, SignedDuration)> {
    any::<u64>().prop_map(|seed| {
        let mut chance = Chance::new(&seed.to_string());
        let n_lines = chance.number(1, 3);
        let line = |chance: &mut Chance| match chance.number(0, 3) {
            0 => chance.line(),
            1 => format!("{} {}", chance.weekdays(), chance.time()),
            _ => chance.time(),
        };
        let lines = (0..n_lines).map(|_| line(&mut chance)).collect();
        (lines, chance.span())
    })
}

fn made(parts: &(Vec<String>, SignedDuration), name: &str) -> Window {
    let lines: Vec<&str> = parts.0.iter().map(String::as_str).collect();
    window(&lines, parts.1, zone(name))
}

/// Every minute of three days on each side is looked at: the first that shows the time, else the first that shows later.
fn walked(zone: &TimeZone, window: &Window, around: Timestamp) -> Vec<Opening> {
    let first = Timestamp::from_second(around.as_second().div_euclid(60) * 60).unwrap() - 5 * DAY;
    let shown: Vec<_> = (0..10 * 24 * 60)
        .map(|minute| first + MINUTE * minute)
        .map(|instant| (instant, zone.to_datetime(instant)))
        .collect();
    let centre = zone.to_datetime(around).date();
    let mut openings = Vec::new();
    for date in (-3..=3).map(|days| centre + DAY * days) {
        for line in window.opens().iter().filter(|line| line.is_on(date)) {
            let text = line.to_string();
            let time: jiff::civil::Time = text.rsplit(' ').next().unwrap().parse().unwrap();
            let wanted = date.to_datetime(time);
            let exact = shown.iter().find(|(_, local)| *local == wanted);
            let (start, _) = exact
                .or_else(|| shown.iter().find(|(_, local)| *local > wanted))
                .unwrap();
            openings.push(Opening {
                start: *start,
                end: *start + window.lasts(),
            });
        }
    }
    openings.sort_unstable();
    openings
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn openings_are_those_of_a_walk_over_every_minute_even_where_days_are_left_out((name, near) in somewhere(), parts in any_window(), hours in 1_i64..40) {
        let (zone, window) = (zone(name), made(&parts, name));
        let (from, to) = (near, near + SignedDuration::from_hours(hours));
        let expected: Vec<Opening> = walked(&zone, &window, near)
            .into_iter()
            .filter(|one| one.start < to && one.end > from)
            .collect();
        prop_assert_eq!(window.openings(from, to), expected, "{} {:?} from {}", name, parts, from);
    }
}

proptest! {
    #[test]
    fn contains_current_and_next_opening_tell_the_same_story((name, near) in somewhere(), parts in any_window()) {
        let window = made(&parts, name);
        let current = window.current(near);
        prop_assert_eq!(window.contains(near), current.is_some());
        if let Some(opening) = current {
            prop_assert!(opening.holds(near));
            prop_assert_eq!(opening.left(near), opening.end.duration_since(near));
        }
        let Some(next) = window.next_opening(near) else { return Ok(()) };
        prop_assert!(next.start > near && next.start <= near + HORIZON);
        prop_assert!(window.contains(next.start) && window.current(next.start).unwrap().end >= next.end);
        // The least of what opens later, and nothing new opens until then.
        let mut later = window.openings(near, next.start + NANO);
        later.retain(|one| one.start > near);
        prop_assert_eq!(later.first(), Some(&next));
        let just_before = next.start - NANO;
        prop_assert_eq!(window.contains(just_before), window.openings(near - DAY, near + NANO).iter().any(|one| one.end > just_before));
        prop_assert_eq!(window.last_opening(next.start + NANO).unwrap().start, next.start);
    }

    #[test]
    fn an_opening_is_open_from_its_start_to_just_before_its_end_and_lasts_as_written((name, near) in somewhere(), parts in any_window()) {
        let window = made(&parts, name);
        let openings = window.openings(near - DAY, near + 3 * DAY);
        for one in &openings {
            // As long in the nights the clocks change as in all others.
            prop_assert_eq!(one.end.duration_since(one.start), window.lasts());
            prop_assert!(window.contains(one.start) && window.contains(one.end - NANO));
            let others = |at: Timestamp| openings.iter().any(|other| other.holds(at));
            if one.start > near - DAY {
                prop_assert_eq!(window.contains(one.start - NANO), others(one.start - NANO));
            }
            prop_assert!(one.end > near + 2 * DAY || window.contains(one.end) == others(one.end));
        }
        prop_assert!(openings.is_sorted());
    }

    #[test]
    fn an_overnight_window_opens_on_its_day_by_the_wall_clock((name, near) in somewhere(), parts in any_window()) {
        let (zone, window) = (zone(name), made(&parts, name));
        for (line, calendar) in window.opens().iter().enumerate() {
            for one in window.only_line(line).unwrap().openings(near, near + 2 * DAY) {
                let shown = zone.to_datetime(one.start);
                let time: jiff::civil::Time = parts.0[line].rsplit(' ').next().unwrap().parse().unwrap();
                // Where it opens at another time, that is the end of a gap.
                let in_gap = shown.time() != time;
                prop_assert!(in_gap || calendar.is_on(shown.date()), "{} {} {}", name, calendar, one.start);
                let before = zone.to_datetime(one.start - NANO);
                prop_assert!(!in_gap || shown.duration_since(before) > MINUTE, "{} {} {}", name, calendar, one.start);
            }
        }
    }

    #[test]
    fn a_window_is_the_union_of_its_lines_and_a_stretch_of_its_parts((name, near) in somewhere(), parts in any_window(), hours in 0_i64..72) {
        let window = made(&parts, name);
        let lines: Vec<Window> = (0..window.opens().len()).map(|line| window.only_line(line).unwrap()).collect();
        prop_assert_eq!(window.contains(near), lines.iter().any(|line| line.contains(near)));
        let (from, to) = (near, near + 4 * DAY);
        let mut together: Vec<Opening> = lines.iter().flat_map(|line| line.openings(from, to)).collect();
        together.sort_unstable();
        let whole = window.openings(from, to);
        prop_assert_eq!(&whole, &together);
        let between = near + SignedDuration::from_hours(hours);
        let mut halves = window.openings(from, between);
        halves.extend(window.openings(between, to).into_iter().filter(|one| one.start >= between || hours == 0));
        prop_assert_eq!(whole, halves);
    }

    #[test]
    fn what_is_read_and_written_is_read_as_the_same(seed in any::<u64>()) {
        let mut chance = Chance::new(&seed.to_string());
        let line: Calendar = chance.line().parse().unwrap();
        let written = line.to_string();
        prop_assert_eq!(written.parse::<Calendar>(), Ok(line.clone()));
        prop_assert_eq!(written.parse::<Calendar>().unwrap().to_string(), written);
    }

    #[test]
    fn days_from_the_months_end_count_backwards(days_before in 1_i8..=28, year in 1970_i16..2199, month in 1_i8..=12) {
        let line: Calendar = format!("{year}-{month}~{days_before} 02:00").parse().unwrap();
        let first = jiff::civil::date(year, month, 1);
        let on: Vec<i8> = (0..first.days_in_month()).map(|day| first + DAY * i32::from(day)).filter(|date| line.is_on(*date)).map(jiff::civil::Date::day).collect();
        prop_assert_eq!(on, vec![first.days_in_month() - days_before + 1]);
        prop_assert!(!line.is_on(first - DAY) && !line.is_on(first.last_of_month() + DAY));
    }

    #[test]
    fn jitter_only_makes_the_start_later_and_is_the_same_every_time((name, near) in somewhere(), parts in any_window(), share in 0_u32..=100, host in "[a-z]{1,8}") {
        let window = made(&parts, name);
        let most = SignedDuration::from_secs((window.lasts() - 15 * MINUTE).as_secs() * i64::from(share) / 100);
        let late = window.clone().with_jitter(most, &host).unwrap();
        let (from, to) = (near, near + 3 * DAY);
        let plain: Vec<Opening> = window.openings(from - DAY, to);
        let openings = late.openings(from, to);
        prop_assert_eq!(&openings, &window.clone().with_jitter(most, &host).unwrap().openings(from, to));
        for one in &openings {
            let matching = plain.iter().any(|other| other.end == one.end && other.start <= one.start && one.start <= other.start + most);
            prop_assert!(matching, "{:?} of {:?}", one, plain);
            prop_assert!(one.end.duration_since(one.start) >= 15 * MINUTE && one.start.subsec_nanosecond() == 0);
        }
        prop_assert!(window.clone().with_jitter(window.lasts() - 15 * MINUTE + SECOND, &host).is_err());
        prop_assert!(window.with_jitter(-SECOND, &host).is_err());
    }

    #[test]
    fn no_instant_and_no_text_makes_the_engine_panic(text in "[A-Za-z0-9*~,.:/ -]{0,24}|\\PC{0,24}", second in any::<i64>(), name in 0..INTERESTING.len()) {
        let (least, most) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let instant = Timestamp::from_second(second.rem_euclid(most - least) + least).unwrap();
        let line = text.parse::<Calendar>().unwrap_or_else(|err| {
            assert!(text.is_char_boundary(err.at), "{text:?} {err:?}");
            "02:30".parse().unwrap()
        });
        let window = window(&[&line.to_string()], DAY, zone(INTERESTING[name]));
        let soft = text.parse::<Days>().unwrap_or_else(|_| "12-20/01-02".parse().unwrap());
        let soft = Blackout::new("b".to_owned(), soft, Strength::Soft, "why".to_owned(), zone(INTERESTING[name])).unwrap();
        let _moment = Days::moment(&text);
        let schedule = Schedule::new(vec![window.clone()], vec![soft]);
        for at in [Timestamp::MIN, instant, Timestamp::MAX] {
            let _found = (window.current(at), window.next_opening(at), window.last_opening(at));
            let near = at.checked_add(DAY).unwrap_or(Timestamp::MAX);
            let _slots = schedule.slots(mastopatch::domain::policy::Class::Patch, &[].into(), at, near);
            let _free = schedule.first_free(&[].into(), at, HOUR);
            let _holding = schedule.blackouts_at(at, &[].into());
        }
    }
}

#[test]
fn jitter_differs_between_hosts_windows_and_days_and_is_spread_evenly() {
    const N_BUCKETS: i64 = 20;
    let plain = window(&["02:00"], 2 * HOUR, TimeZone::UTC);
    let days = plain.openings(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let most = SignedDuration::from_secs(59 * 60 + 59);
    let mut buckets: BTreeMap<i64, u32> = BTreeMap::new();
    let mut of_a_day = Vec::new();
    for host in 0..20 {
        let late = plain
            .clone()
            .with_jitter(most, &format!("host{host}"))
            .unwrap();
        let openings = late.openings(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let seconds = openings
            .iter()
            .zip(&days)
            .map(|(late, plain)| late.start.duration_since(plain.start).as_secs());
        let seconds: Vec<i64> = seconds.collect();
        for second in &seconds {
            *buckets.entry(second * N_BUCKETS / 3600).or_default() += 1;
        }
        of_a_day.push(seconds[100]);
        let differ = seconds.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(differ > 350, "host{host}: {differ}");
    }
    of_a_day.sort_unstable();
    of_a_day.dedup();
    assert!(of_a_day.len() >= 19, "{of_a_day:?}");
    // 7300 delays in 20 buckets; beyond 43.8 is less likely than 1 in 1000 with 19 degrees of freedom.
    let expected = 7300.0 / 20.0;
    let off = |n: u32| (f64::from(n) - expected).powi(2) / expected;
    let chi_square: f64 = buckets.values().copied().map(off).sum();
    assert!(
        buckets.len() == 20 && chi_square < 43.8,
        "{chi_square} {buckets:?}"
    );
}

#[test]
fn odd_offsets_open_at_the_minute() {
    for (name, line, opens) in [
        ("Asia/Kathmandu", "02:15", "2026-05-31T20:30:00Z"),
        ("Asia/Kolkata", "02:15", "2026-05-31T20:45:00Z"),
        ("Australia/Eucla", "02:15", "2026-05-31T17:30:00Z"),
        ("Pacific/Chatham", "02:15", "2026-05-31T13:30:00Z"),
        ("Pacific/Kiritimati", "02:15", "2026-05-31T12:15:00Z"),
        ("Pacific/Marquesas", "02:15", "2026-06-01T11:45:00Z"),
    ] {
        let window = window(&[&format!("Mon *-06-1 {line}")], HOUR, zone(name));
        assert_eq!(
            window
                .next_opening(at("2026-01-01T00:00:00Z"))
                .unwrap()
                .start,
            at(opens),
            "{name}"
        );
    }
}
