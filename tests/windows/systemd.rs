//! systemd reads the same lines: it agrees where both define the same thing, and differs where it is said to.
//!
//! What is pinned as a difference was seen with systemd 252.

use std::process::Command;

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::window::Calendar;

use crate::generated::{Chance, INTERESTING, at, window, zone};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What `systemd-analyze calendar` says about some expressions.
struct Said {
    /// For each expression that it could read the next instants.
    read: Vec<Vec<Timestamp>>,
    /// Whether it could read all of them.
    all: bool,
    complaints: String,
}

fn systemd(base: Timestamp, n_next: usize, expressions: &[String]) -> Said {
    let output = Command::new("systemd-analyze")
        .args(["calendar", "--no-pager"])
        .arg(format!("--base-time=@{}", base.as_second()))
        .arg(format!("--iterations={n_next}"))
        .arg("--")
        .args(expressions)
        .envs([("TZ", "UTC"), ("LC_ALL", "C")])
        .output()
        .expect("systemd-analyze is needed for this test: run 'apt-get install systemd'");
    let mut read: Vec<Vec<Timestamp>> = Vec::new();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(": ") else {
            continue;
        };
        let key = key.trim();
        if key == "Normalized form" {
            read.push(Vec::new());
        } else if (key == "Next elapse" || key.starts_with("Iter")) && value != "never" {
            let shape = "%a %Y-%m-%d %H:%M:%S UTC";
            let shown: DateTime = strtime::parse(shape, value).unwrap().to_datetime().unwrap();
            let instant = TimeZone::UTC.to_timestamp(shown).unwrap();
            read.last_mut().unwrap().push(instant);
        }
    }
    Said {
        read,
        all: output.status.success(),
        complaints: String::from_utf8(output.stderr).unwrap(),
    }
}

fn next_after(base: &str, expression: &str) -> Vec<String> {
    let said = systemd(at(base), 3, &[expression.to_owned()]);
    assert!(said.all, "{expression}: {}", said.complaints);
    said.read[0].iter().map(ToString::to_string).collect()
}

fn ours_after(base: &str, line: &str, zone_name: &str) -> Vec<String> {
    let window = window(&[line], HOUR, zone(zone_name));
    let openings = std::iter::successors(window.next_opening(at(base)), |opening| {
        window.next_opening(opening.start)
    });
    openings
        .take(3)
        .map(|opening| opening.start.to_string())
        .collect()
}

/// Every opening later than `base` up to `last`, without those that systemd leaves out: whose time the clock never shows.
fn ours_without_gaps(
    line: &str,
    name: &str,
    base: Timestamp,
    last: Timestamp,
) -> (Vec<Timestamp>, usize) {
    let zone = zone(name);
    let time = line.rsplit(' ').next().unwrap();
    let window = window(&[line], HOUR, zone.clone());
    let later = window.openings(base, last + SignedDuration::from_secs(1));
    let later: Vec<Timestamp> = later
        .into_iter()
        .map(|opening| opening.start)
        .filter(|start| *start > base)
        .collect();
    let shown: Vec<Timestamp> = later
        .iter()
        .copied()
        .filter(|start| zone.to_datetime(*start).strftime("%H:%M").to_string() == time)
        .collect();
    let n_gaps = later.len() - shown.len();
    (shown, n_gaps)
}

#[test]
fn systemd_opens_at_the_same_instants_wherever_the_clock_shows_the_time() {
    const N_LINES: usize = 10;
    const N_NEXT: usize = 25;
    let (mut n_compared, mut n_gaps) = (0, 0);
    for name in INTERESTING {
        let mut chance = Chance::new(&format!("systemd {name}"));
        let changes: Vec<Timestamp> = zone(name)
            .following(at("2020-01-01T00:00:00Z"))
            .take_while(|change| change.timestamp() < at("2041-01-01T00:00:00Z"))
            .map(|change| change.timestamp())
            .collect();
        let somewhere = [at("2026-10-20T00:00:00Z")];
        let change = chance.pick(if changes.is_empty() {
            &somewhere
        } else {
            &changes
        });
        let base = change - 240 * HOUR;
        // Half an hour later than the clock shows when it changes: in the gap or the fold, where there is one.
        let odd = zone(name).to_datetime(change - SignedDuration::from_secs(1)) + HOUR / 2;
        let mut lines = vec![odd.strftime("%H:%M").to_string()];
        lines.extend((1..N_LINES).map(|_| chance.line()));
        let expressions: Vec<String> = lines.iter().map(|line| format!("{line} {name}")).collect();
        let said = systemd(base, N_NEXT, &expressions);
        assert!(!said.complaints.contains("parse"), "{}", said.complaints);
        assert_eq!(said.read.len(), lines.len());
        for (line, theirs) in lines.iter().zip(&said.read) {
            let full = theirs.len() == N_NEXT;
            let gave_up = said.complaints.contains(&format!("'{line} {name}'"));
            let last = match theirs.last() {
                Some(last) if full || gave_up => *last,
                None if gave_up => base,
                _ => at("2199-12-31T00:00:00Z"),
            };
            let (ours, gaps) = ours_without_gaps(line, name, base, last);
            assert_eq!(
                &ours, theirs,
                "{line} {name} after {base}\n{}",
                said.complaints
            );
            n_compared += theirs.len();
            n_gaps += gaps;
        }
    }
    assert!(n_compared > 2_000 && n_gaps >= 5, "{n_compared} {n_gaps}");
    eprintln!("systemd: {n_compared} openings equal, {n_gaps} in gaps that systemd leaves out");
}

#[test]
fn whatever_is_accepted_as_opens_is_accepted_by_systemd_and_means_the_same_when_written_again() {
    let mut chance = Chance::new("accepted");
    let lines: Vec<String> = (0..600).map(|_| chance.line()).collect();
    let base = at("2026-01-01T00:00:00Z");
    for some in lines.chunks(200) {
        let said = systemd(base, 5, some);
        assert!(!said.complaints.contains("parse"), "{}", said.complaints);
        let written: Vec<String> = some
            .iter()
            .map(|line| line.parse::<Calendar>().unwrap().to_string())
            .collect();
        let said_again = systemd(base, 5, &written);
        assert_eq!(said.read.len(), some.len());
        for ((said, again), line) in said.read.iter().zip(&said_again.read).zip(some) {
            assert_eq!(again, said, "{line}");
        }
    }
}

#[test]
fn a_time_in_the_gap_is_left_out_by_systemd_and_opens_at_its_end_here() {
    for (name, line, base, theirs, gap_end) in [
        (
            "Europe/Berlin",
            "*-*-* 02:30",
            "2026-03-28T12:00:00Z",
            "2026-03-30T00:30:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "Europe/Berlin",
            "02:00",
            "2026-03-28T12:00:00Z",
            "2026-03-30T00:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "Europe/Berlin",
            "Sun 02:59",
            "2026-03-28T12:00:00Z",
            "2026-04-05T00:59:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "Australia/Lord_Howe",
            "02:15",
            "2026-10-03T00:00:00Z",
            "2026-10-04T15:15:00Z",
            "2026-10-03T15:30:00Z",
        ),
        (
            "America/Nuuk",
            "23:15",
            "2026-03-28T12:00:00Z",
            "2026-03-30T00:15:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "Antarctica/Troll",
            "02:15",
            "2026-03-28T12:00:00Z",
            "2026-03-30T00:15:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "Africa/Cairo",
            "Fri 00:10",
            "2026-04-20T12:00:00Z",
            "2026-04-30T21:10:00Z",
            "2026-04-23T22:00:00Z",
        ),
    ] {
        assert_eq!(
            next_after(base, &format!("{line} {name}"))[0],
            theirs,
            "{line} {name}"
        );
        assert_eq!(ours_after(base, line, name)[0], gap_end, "{line} {name}");
    }
}

#[test]
fn of_two_equal_times_systemd_takes_the_first_and_so_do_we() {
    for (name, line, base, first) in [
        (
            "Europe/Berlin",
            "02:30",
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:30:00Z",
        ),
        (
            "America/New_York",
            "01:30",
            "2026-10-31T12:00:00Z",
            "2026-11-01T05:30:00Z",
        ),
        (
            "Australia/Lord_Howe",
            "01:45",
            "2026-04-04T00:00:00Z",
            "2026-04-04T14:45:00Z",
        ),
        (
            "Antarctica/Troll",
            "02:15",
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:15:00Z",
        ),
        (
            "Africa/Casablanca",
            "02:15",
            "2026-02-14T12:00:00Z",
            "2026-02-15T01:15:00Z",
        ),
    ] {
        let ours = ours_after(base, line, name);
        assert_eq!(ours[0], first, "{line} {name}");
        assert_eq!(
            next_after(base, &format!("{line} {name}")),
            ours,
            "{line} {name}"
        );
        // Asked between the two, both wait for another day.
        assert_eq!(
            next_after(first, &format!("{line} {name}"))[0],
            ours[1],
            "{line} {name}"
        );
        assert_eq!(ours_after(first, line, name)[0], ours[1], "{line} {name}");
    }
}

#[test]
fn some_of_what_systemd_accepts_is_refused_here() {
    for (text, instead) in [
        ("02:00:30", "02:00"),
        ("Sun 02:00:00", "Sun 02:00"),
        ("*-*-1/2 02:00", "*-*-1,11,21 02:00"),
        ("*-*-* 0/2:00", "02:00"),
        ("Sunday 02:00", "Sun 02:00"),
        ("Monday..Friday 02:00", "Mon..Fri 02:00"),
        ("daily", "00:00"),
        ("weekly", "Mon 00:00"),
        ("Mon", "Mon 00:00"),
        ("2026-11-05", "2026-11-05 00:00"),
        ("26-11-05 02:00", "2026-11-05 02:00"),
        ("11-05 02:00", "*-11-05 02:00"),
        ("*-*~* 02:00", "*-*-* 02:00"),
        ("2026..2028-11-05 02:00", "2026-11-05 02:00"),
        ("02..04:00", "02:00"),
        ("02,04:00", "02:00"),
        ("2:00", "02:00"),
        ("002:0", "02:00"),
        ("02:00 UTC", "02:00"),
        ("Sun 02:00 Europe/Berlin", "Sun 02:00"),
        ("@1790000000", "2026-09-21 14:13"),
    ] {
        let both = [text.to_owned(), instead.to_owned()];
        let said = systemd(at("2020-01-01T00:00:00Z"), 1, &both);
        assert!(said.all, "{text}: {}", said.complaints);
        assert!(text.parse::<Calendar>().is_err(), "{text}");
        assert!(instead.parse::<Calendar>().is_ok(), "{instead}");
    }
}

#[test]
fn what_systemd_refuses_is_refused_here_too() {
    for text in [
        "",
        "24:00",
        "02:60",
        "Sat..Mon 02:00",
        "*-*~29 02:00",
        "Son 02:00",
        "*-13-01 02:00",
        "*-*-32 02:00",
        "02:00 Sun",
        "*-*-7..1 02:00",
    ] {
        let said = systemd(at("2020-01-01T00:00:00Z"), 1, &[text.to_owned()]);
        assert!(!said.all && said.read.is_empty(), "{text}");
        assert!(text.parse::<Calendar>().is_err(), "{text}");
    }
}
