//! Windows, one-off windows and blackouts together, held against a walk over every second.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::policy::Class;
use mastopatch::domain::window::{Blackout, Days, OneOff, Opening, Schedule, Strength, Window};

use crate::generated::{Chance, INTERESTING, at, window, zone};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Twelve for each zone.
const N_CASES: usize = 216;
/// What is walked around a change of the clocks.
const BEFORE: SignedDuration = SignedDuration::from_hours(4 * 24);
const AFTER: SignedDuration = SignedDuration::from_hours(9 * 24);

const OPEN: char = '+';
const CLOSED: char = '-';

/// The seconds of a stretch, each open or closed.
struct Seconds {
    first: Timestamp,
    /// As text, in which the library searches fast even where it is not optimised.
    open: Vec<u8>,
}

impl Seconds {
    fn closed(first: Timestamp, last: Timestamp) -> Self {
        let n = usize::try_from(last.duration_since(first).as_secs()).unwrap();
        Self {
            first,
            open: vec![b'-'; n],
        }
    }

    fn fill(&mut self, stretch: Opening, open: bool) {
        let place = |at: Timestamp| {
            let seconds = at.duration_since(self.first).as_secs().max(0);
            usize::try_from(seconds).unwrap().min(self.open.len())
        };
        let (start, end) = (place(stretch.start), place(stretch.end));
        if start < end {
            self.open[start..end].fill(if open { b'+' } else { b'-' });
        }
    }

    fn is(&self, at: Timestamp) -> bool {
        self.open[usize::try_from(at.duration_since(self.first).as_secs()).unwrap()] == b'+'
    }

    /// The longest stretches of open seconds.
    fn runs(&self) -> Vec<Opening> {
        let at = |place: usize| self.first + SECOND * i32::try_from(place).unwrap();
        let text = str::from_utf8(&self.open).unwrap();
        let mut runs: Vec<Opening> = Vec::new();
        let mut place = 0;
        while let Some(closed) = text[place..].find(OPEN) {
            let start = place + closed;
            place = text[start..]
                .find(CLOSED)
                .map_or(text.len(), |open| start + open);
            runs.push(Opening {
                start: at(start),
                end: at(place),
            });
        }
        runs
    }
}

/// Every minute around a time of the wall clock, with what the clock shows.
fn minutes_around(zone: &TimeZone, local: DateTime) -> Vec<(Timestamp, DateTime)> {
    let near = TimeZone::UTC.to_timestamp(local).unwrap();
    (-27 * 60..27 * 60)
        .map(|minute| {
            let instant = near + MINUTE * minute;
            (instant, zone.to_datetime(instant))
        })
        .collect()
}

fn walked(blackout: &Blackout, zone: &TimeZone, around: Timestamp) -> Vec<Opening> {
    let here = zone.to_datetime(around);
    let ends: Vec<(DateTime, DateTime)> = match blackout.days() {
        Days::Once { from, to } => vec![(from, to)],
        Days::Yearly { first, last } => (here.year() - 1..=here.year() + 1)
            .map(|year| {
                let last_year = if last < first { year + 1 } else { year };
                let begins = Date::new(year, first.0, first.1)
                    .unwrap_or_else(|_| Date::new(year, 3, 1).unwrap());
                let ends = Date::new(last_year, last.0, last.1)
                    .unwrap_or_else(|_| Date::new(last_year, 2, 28).unwrap());
                let ends = ends.tomorrow().unwrap();
                (begins.at(0, 0, 0, 0), ends.at(0, 0, 0, 0))
            })
            .collect(),
    };
    ends.into_iter()
        .map(|(from, to)| {
            let later = |minutes: &[(Timestamp, DateTime)], local: DateTime| {
                minutes.iter().find(|(_, shown)| *shown > local).unwrap().0
            };
            let minutes = minutes_around(zone, from);
            let start = minutes.iter().find(|(_, shown)| *shown == from);
            let start = start.map_or_else(|| later(&minutes, from), |(at, _)| *at);
            let minutes = minutes_around(zone, to);
            let end = minutes.iter().rev().find(|(_, shown)| *shown == to);
            let end = end.map_or_else(|| later(&minutes, to), |(at, _)| *at);
            Opening { start, end }
        })
        .collect()
}

/// A schedule made up around a change of the clocks, and what its parts are.
struct Case {
    name: &'static str,
    zone: TimeZone,
    change: Timestamp,
    schedule: Schedule,
}

fn some_class(chance: &mut Chance) -> BTreeSet<Class> {
    let n_classes = chance.number(1, 4);
    (0..n_classes).map(|_| chance.pick(&Class::ALL)).collect()
}

fn windows(chance: &mut Chance, zone: &TimeZone) -> Vec<Window> {
    let n_windows = chance.number(1, 4);
    (0..n_windows)
        .map(|number| {
            let lines: Vec<String> = match chance.number(0, 3) {
                0 => vec![chance.line(), chance.line()],
                1 => vec![format!("{} {}", chance.weekdays(), chance.time())],
                _ => vec![chance.time()],
            };
            let lines = lines.iter().map(|line| line.parse().unwrap()).collect();
            let (lasts, allow) = (chance.span(), some_class(chance));
            let window = Window::new(format!("w{number}"), lines, lasts, zone.clone(), allow);
            let most = chance.number(0, lasts.as_secs().unsigned_abs() - 15 * 60);
            let most = SignedDuration::from_secs(i64::try_from(most).unwrap());
            if chance.one_in(2) {
                window.unwrap().with_jitter(most, "host").unwrap()
            } else {
                window.unwrap()
            }
        })
        .collect()
}

fn blackout(chance: &mut Chance, zone: &TimeZone, change: Timestamp) -> Blackout {
    let here = zone.to_datetime(change).date();
    let mut near = || {
        let days = i64::try_from(chance.number(0, 8)).unwrap() - 3;
        let date = here + DAY * i32::try_from(days).unwrap();
        let time: jiff::civil::Time = chance.time().parse().unwrap();
        date.to_datetime(time)
    };
    let (one, other) = (near(), near());
    let days = if chance.one_in(2) && one != other {
        Days::once(one.min(other), one.max(other))
    } else if chance.one_in(4) {
        "02-29/02-29".parse().unwrap()
    } else {
        // In either order: some are a few days long, and others nearly a year.
        let text = format!("{}/{}", one.strftime("%m-%d"), other.strftime("%m-%d"));
        text.parse().unwrap()
    };
    let strength = chance.pick(&Strength::ALL);
    Blackout::new(
        "b".to_owned(),
        days,
        strength,
        "why".to_owned(),
        zone.clone(),
    )
    .unwrap()
}

fn case(number: usize) -> (Case, Chance) {
    let name = INTERESTING[number % INTERESTING.len()];
    let mut chance = Chance::new(&format!("schedule {number}"));
    let zone = zone(name);
    let changes: Vec<Timestamp> = zone
        .following(at("2009-01-01T00:00:00Z"))
        .take_while(|change| change.timestamp() < at("2036-01-01T00:00:00Z"))
        .map(|change| change.timestamp())
        .collect();
    let new_year = [at("2024-02-28T12:00:00Z"), at("2026-12-31T12:00:00Z")];
    let somewhere = changes.is_empty() || chance.one_in(6);
    let change = chance.pick(if somewhere { &new_year } else { &changes });
    let windows = windows(&mut chance, &zone);
    let blackouts = (0..chance.number(0, 3))
        .map(|_| blackout(&mut chance, &zone, change))
        .collect();
    let one_offs: Vec<OneOff> = (0..chance.number(0, 2))
        .map(|number| {
            let start = change + MINUTE * i32::try_from(chance.number(0, 8000)).unwrap() - 2 * DAY;
            let length = chance.pick(&[1, 4, 24, 100]);
            OneOff {
                id: format!("o{number}"),
                opening: Opening {
                    start,
                    end: start + HOUR * length,
                },
                allow: some_class(&mut chance),
                breaks_soft: chance.one_in(2),
                reason: "why".to_owned(),
                by: "me".to_owned(),
                at: change - 9 * DAY,
            }
        })
        .collect();
    let case = Case {
        name,
        zone,
        change,
        schedule: Schedule::new(windows, blackouts).with_one_offs(&one_offs),
    };
    (case, chance)
}

impl Case {
    fn range(&self) -> (Timestamp, Timestamp) {
        (self.change - BEFORE, self.change + AFTER)
    }

    /// Which seconds blackouts close for work that goes on in `breaks`; a closed second is "open" here.
    fn blacked_out(&self, breaks: &BTreeSet<Strength>) -> Seconds {
        let (first, last) = self.range();
        let mut seconds = Seconds::closed(first, last);
        for one in self.schedule.blackouts() {
            if !breaks.contains(&one.strength()) {
                for stretch in walked(one, &self.zone, self.change) {
                    seconds.fill(stretch, true);
                }
            }
        }
        seconds
    }

    /// A second is open if some window that allows the class holds it and no blackout that counts does.
    fn walked(&self, class: Class, breaks: &BTreeSet<Strength>) -> Seconds {
        let (first, last) = self.range();
        let mut all = Seconds::closed(first, last);
        for window in self.schedule.windows().iter().filter(|w| w.allows(class)) {
            for opening in window.openings(first, last) {
                all.fill(opening, true);
            }
        }
        for run in self.blacked_out(breaks).runs() {
            all.fill(run, false);
        }
        for one in self.schedule.one_offs() {
            if one.allow.contains(&class) {
                let mut breaks = breaks.clone();
                breaks.extend(one.breaks_soft.then_some(Strength::Soft));
                let mut seconds = Seconds::closed(first, last);
                seconds.fill(one.opening, true);
                for run in self.blacked_out(&breaks).runs() {
                    seconds.fill(run, false);
                }
                seconds
                    .runs()
                    .into_iter()
                    .for_each(|run| all.fill(run, true));
            }
        }
        all
    }
}

fn clipped(
    stretches: impl Iterator<Item = Opening>,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Opening> {
    stretches
        .map(|one| Opening {
            start: one.start.max(from),
            end: one.end.min(to),
        })
        .filter(|one| one.start < one.end)
        .collect()
}

#[test]
fn slots_are_the_open_seconds_of_a_walk_over_all_of_them() {
    let (mut n_slots, mut n_blacked) = (0, 0);
    for number in 0..N_CASES {
        let (case, mut chance) = case(number);
        let class = chance.pick(&Class::ALL);
        let breaks: BTreeSet<Strength> = chance
            .one_in(3)
            .then_some(Strength::Soft)
            .into_iter()
            .collect();
        let runs = case.walked(class, &breaks).runs();
        let from = case.change - 2 * DAY + MINUTE * i32::try_from(chance.number(0, 2000)).unwrap();
        let to = from + MINUTE * i32::try_from(chance.number(1, 4000)).unwrap();
        let slots = case.schedule.slots(class, &breaks, from, to);
        let context = || format!("{number} {} {from} {to} {:#?}", case.name, case.schedule);
        let openings = slots.iter().map(|slot| slot.opening);
        assert_eq!(
            clipped(openings, from, to),
            clipped(runs.iter().copied(), from, to),
            "{}",
            context()
        );
        let (first, last) = case.range();
        for slot in &slots {
            // What reaches out of the stretch that was asked for is not open where the walk is closed.
            let inside = clipped(std::iter::once(slot.opening), first, last)[0];
            let within = runs
                .iter()
                .any(|run| run.start <= inside.start && inside.end <= run.end);
            assert!(within, "{slot:?} {}", context());
            let open = case.schedule.open_at(slot.opening.start);
            assert!(
                open.iter()
                    .any(|(id, _, allow)| *id == slot.window && allow.contains(&class)),
                "{slot:?} {}",
                context()
            );
        }
        n_slots += slots.len();
        n_blacked += usize::from(!case.blacked_out(&breaks).runs().is_empty());
    }
    assert!(n_slots > 120 && n_blacked > 120, "{n_slots} {n_blacked}");
}

#[test]
fn the_first_start_is_the_first_second_with_enough_open_seconds_behind_it() {
    let (mut n_found, mut n_none) = (0, 0);
    for number in 0..N_CASES {
        let (case, mut chance) = case(number);
        let class = chance.pick(&Class::ALL);
        let breaks: BTreeSet<Strength> = chance
            .one_in(3)
            .then_some(Strength::Soft)
            .into_iter()
            .collect();
        let runs = case.walked(class, &breaks).runs();
        let from =
            case.change - 2 * DAY + SECOND * i32::try_from(chance.number(0, 100_000)).unwrap();
        let needed = MINUTE * chance.pick(&[0, 15, 45, 90, 240, 1440]);
        let expected = runs
            .iter()
            .map(|run| (run.start.max(from), run))
            .find(|(start, run)| *start < run.end && run.end.duration_since(*start) >= needed);
        let found = case.schedule.first_start(class, &breaks, from, needed);
        let context = || {
            format!(
                "{number} {} {from} {needed} {:#?}",
                case.name, case.schedule
            )
        };
        // Past its last day the walk knows nothing.
        let (_, last) = case.range();
        match expected {
            Some((start, run)) if run.end < last => {
                let (at, slot) = found.unwrap_or_else(|| panic!("{}", context()));
                assert_eq!(at, start, "{}", context());
                assert!(slot.opening.holds(at));
                assert_eq!(slot.opening.end, run.end, "{}", context());
                n_found += 1;
            }
            _ => {
                let soonest = last - 2 * DAY;
                assert!(
                    found.is_none_or(|(at, _)| at > soonest || expected.is_some()),
                    "{}",
                    context()
                );
                n_none += 1;
            }
        }
    }
    assert!(n_found > 100 && n_none > 5, "{n_found} {n_none}");
}

#[test]
fn the_first_free_second_is_the_first_without_a_blackout_for_long_enough() {
    let mut n_found = 0;
    for number in 0..N_CASES {
        let (case, mut chance) = case(number);
        let breaks: BTreeSet<Strength> = chance
            .one_in(3)
            .then_some(Strength::Soft)
            .into_iter()
            .collect();
        let closed = case.blacked_out(&breaks);
        let (first, last) = case.range();
        let mut free = Seconds::closed(first, last);
        free.fill(
            Opening {
                start: first,
                end: last,
            },
            true,
        );
        closed
            .runs()
            .into_iter()
            .for_each(|run| free.fill(run, false));
        let from =
            case.change - 2 * DAY + SECOND * i32::try_from(chance.number(0, 200_000)).unwrap();
        let needed = MINUTE * chance.pick(&[0, 15, 45, 1440, 4320]);
        let expected = free
            .runs()
            .into_iter()
            .map(|run| (run.start.max(from), run))
            .find(|(start, run)| *start < run.end && run.end.duration_since(*start) >= needed);
        let found = case.schedule.first_free(&breaks, from, needed);
        let context = || {
            format!(
                "{number} {} {from} {needed} {:#?}",
                case.name, case.schedule
            )
        };
        let Some((start, run)) = expected else {
            continue;
        };
        if run.end < last {
            assert_eq!(found, Some((start, Some(run.end))), "{}", context());
        } else {
            let (at, _) = found.unwrap();
            assert_eq!(at, start, "{}", context());
        }
        // What holds right now is told, too.
        let holding = case.schedule.blackouts_at(from, &breaks);
        assert_eq!(!holding.is_empty(), closed.is(from), "{}", context());
        n_found += 1;
    }
    assert!(n_found > 100, "{n_found}");
}

#[test]
fn a_blackout_is_rather_too_long_than_too_short_where_clocks_change() {
    let berlin = zone("Europe/Berlin");
    for (from, to, start, end) in [
        // Both ends come twice: from the first of the two to the last.
        (
            "2026-10-25T02:30",
            "2026-10-26T08:00",
            "2026-10-25T00:30:00Z",
            "2026-10-26T07:00:00Z",
        ),
        (
            "2026-10-24T02:30",
            "2026-10-25T02:30",
            "2026-10-24T00:30:00Z",
            "2026-10-25T01:30:00Z",
        ),
        // An end that is left out is the end of the gap.
        (
            "2026-03-29T02:30",
            "2026-03-29T08:00",
            "2026-03-29T01:00:00Z",
            "2026-03-29T06:00:00Z",
        ),
        (
            "2026-03-28T18:00",
            "2026-03-29T02:30",
            "2026-03-28T17:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
    ] {
        let days = Days::once(Days::moment(from).unwrap(), Days::moment(to).unwrap());
        let one = Blackout::new(
            "b".to_owned(),
            days,
            Strength::Hard,
            "why".to_owned(),
            berlin.clone(),
        )
        .unwrap();
        let expected = vec![Opening {
            start: at(start),
            end: at(end),
        }];
        assert_eq!(
            one.stretches(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")),
            expected
        );
    }
}

#[test]
fn a_long_one_off_window_is_cut_by_blackouts_that_lie_beyond_what_is_asked_for() {
    let days = Days::once(
        Days::moment("2026-06-28T00:00").unwrap(),
        Days::moment("2026-06-29T00:00").unwrap(),
    );
    let hard = Blackout::new(
        "b".to_owned(),
        days,
        Strength::Hard,
        "why".to_owned(),
        TimeZone::UTC,
    )
    .unwrap();
    let weekly = window(&["Sun 02:00"], 2 * HOUR, TimeZone::UTC);
    let one_off = OneOff {
        id: "o".to_owned(),
        opening: Opening {
            start: at("2026-06-01T00:00:00Z"),
            end: at("2026-07-01T00:00:00Z"),
        },
        allow: BTreeSet::from([Class::Patch]),
        breaks_soft: true,
        reason: "why".to_owned(),
        by: "me".to_owned(),
        at: at("2026-05-01T00:00:00Z"),
    };
    let schedule = Schedule::new(vec![weekly], vec![hard]).with_one_offs(&[one_off]);
    let from = at("2026-06-02T00:00:00Z");
    let slots = schedule.slots(Class::Patch, &BTreeSet::new(), from, from + HOUR);
    assert_eq!(slots[0].opening.end, at("2026-06-28T00:00:00Z"));
}
