//! Every zone from 2020 to the end of 2040: the engine opens when a brute force over Python's zoneinfo says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use mastopatch::config;
use mastopatch::domain::window::{Opening, Window};
use serde::{Deserialize, Serialize};

use crate::generated::{Chance, ZONEINFO, at, window, zone};

const FROM: &str = "2020-01-01T00:00:00Z";
const TO: &str = "2041-01-01T00:00:00Z";
/// As many as the machine this is measured on has.
const N_PROCESSES: usize = 2;

#[derive(Debug, Clone, Serialize)]
struct Question {
    zone: String,
    windows: Vec<Asked>,
}

#[derive(Debug, Clone, Serialize)]
struct Asked {
    opens: Vec<String>,
    minutes: i64,
}

#[derive(Debug, Deserialize)]
struct Answer {
    openings: Vec<Vec<i64>>,
    n_odd: usize,
}

/// How much was compared.
#[derive(Debug, Default)]
struct Sum {
    zones: usize,
    windows: usize,
    openings: usize,
    odd: usize,
    instants: usize,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.zones += other.zones;
        self.windows += other.windows;
        self.openings += other.openings;
        self.odd += other.odd;
        self.instants += other.instants;
    }
}

#[test]
fn python_opens_every_window_at_the_same_instants_in_every_zone_from_2020_to_2040() {
    let begun = Instant::now();
    let questions: Vec<(Question, Vec<String>)> = same_files()
        .into_iter()
        .map(|names| (question(&names[0]), names))
        .collect();
    let sums: Vec<Sum> = std::thread::scope(|scope| {
        let parts = (0..N_PROCESSES).map(|part| {
            let mine: Vec<_> = questions.iter().skip(part).step_by(N_PROCESSES).collect();
            scope.spawn(move || compare(&mine))
        });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let mut sum = Sum::default();
    sums.iter().for_each(|part| sum.add(part));
    assert_eq!(sum.zones, config::zone_names().len());
    // The clock changes make the difference: without them any engine would agree.
    assert!(sum.odd > 5_000, "{sum:?}");
    eprintln!(
        "oracle: {} zones ({} different), {} windows, {} openings ({} of them in gaps and folds), {} instants, {:.0} s",
        sum.zones,
        questions.len(),
        sum.windows,
        sum.openings,
        sum.odd,
        sum.instants,
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn python_knows_the_same_zones() {
    let mut child = python();
    writeln!(child.stdin.take().unwrap(), "{{}}").unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let theirs: BTreeSet<String> = serde_json::from_str(&said).unwrap();
    let ours: BTreeSet<String> = config::zone_names().into_iter().collect();
    assert!(ours.len() > 400, "{}", ours.len());
    let more: Vec<&String> = ours.difference(&theirs).collect();
    assert_eq!(more, Vec::<&String>::new());
    // What means something else on every host, and what says that nothing was set up.
    let fewer: BTreeSet<&str> = theirs.difference(&ours).map(String::as_str).collect();
    let unnamed = BTreeSet::from(["localtime", "Factory"]);
    assert!(fewer.is_subset(&unnamed), "{fewer:?}");
}

/// The names of zones, those whose files are equal together.
fn same_files() -> Vec<Vec<String>> {
    let mut by_file: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for name in config::zone_names() {
        let file = fs::read(Path::new(ZONEINFO).join(&name)).unwrap();
        by_file.entry(file).or_default().push(name);
    }
    by_file.into_values().collect()
}

fn question(zone: &str) -> Question {
    let mut chance = Chance::new(zone);
    let changes = changes(zone);
    let mut lines: Vec<Vec<String>> = vec![
        // Every night, and the nights at whose end nearly every zone changes its clock.
        vec![near_a_change(&mut chance, &changes)],
        vec![format!("Fri..Sun {}", near_a_change(&mut chance, &changes))],
        vec![format!("sat,Sun {}", near_a_change(&mut chance, &changes))],
        vec![format!("*-*~{} {}", chance.number(1, 9), chance.time())],
        vec![format!("*-02-28..29 {}", chance.time())],
    ];
    for n_lines in 1..=2 {
        lines.push((0..n_lines).map(|_| chance.line()).collect());
    }
    let windows = lines
        .into_iter()
        .map(|opens| Asked {
            opens,
            minutes: chance.span().as_mins(),
        })
        .collect();
    Question {
        zone: zone.to_owned(),
        windows,
    }
}

/// What the wall clock would have shown at each change in the time that is compared. Only where to look comes from here.
fn changes(name: &str) -> Vec<DateTime> {
    let zone = zone(name);
    zone.following(at(FROM))
        .take_while(|change| change.timestamp() < at(TO))
        .map(|change| {
            let just_before = change.timestamp() - SignedDuration::from_mins(1);
            zone.to_datetime(just_before) + SignedDuration::from_mins(1)
        })
        .collect()
}

/// A time of day up to a quarter before or 75 minutes after one, or any where the clock never changes.
fn near_a_change(chance: &mut Chance, changes: &[DateTime]) -> String {
    if changes.is_empty() {
        return chance.time();
    }
    let quarters = i64::try_from(chance.number(0, 6)).unwrap() - 1;
    let time = chance.pick(changes) + SignedDuration::from_mins(quarters * 15);
    time.strftime("%H:%M").to_string()
}

fn python() -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/windows/oracle.py");
    Command::new("python3")
        .args(["-I", "-S"])
        .arg(script)
        .arg(ZONEINFO)
        .args([at(FROM), at(TO)].map(|at| at.as_second().to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python 3.9 or newer is needed for this test: run 'apt-get install python3 tzdata'")
}

fn compare(questions: &[&(Question, Vec<String>)]) -> Sum {
    let mut child = python();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (question, _) in questions {
                writeln!(stdin, "{}", serde_json::to_string(question).unwrap()).unwrap();
            }
        });
        let mut lines = stdout.lines();
        for (question, names) in questions {
            let line = lines.next().expect("the oracle stopped early").unwrap();
            let answer: Answer = serde_json::from_str(&line).unwrap();
            for name in names {
                sum.zones += 1;
                sum.odd += answer.n_odd;
                for (asked, expected) in question.windows.iter().zip(&answer.openings) {
                    one(name, asked, expected, &mut sum);
                }
            }
        }
    });
    assert!(child.wait().unwrap().success());
    sum
}

fn one(name: &str, asked: &Asked, expected: &[i64], sum: &mut Sum) {
    let opens: Vec<&str> = asked.opens.iter().map(String::as_str).collect();
    let window = window(&opens, SignedDuration::from_mins(asked.minutes), zone(name));
    let expected: Vec<Opening> = expected
        .chunks(2)
        .map(|both| Opening {
            start: Timestamp::from_second(both[0]).unwrap(),
            end: Timestamp::from_second(both[1]).unwrap(),
        })
        .collect();
    let found = window.openings(at(FROM), at(TO));
    let differ = found
        .iter()
        .zip(&expected)
        .find(|(found, expected)| found != expected);
    assert!(
        differ.is_none() && found.len() == expected.len(),
        "{name} {asked:?}: {} openings, Python has {}; the first two that differ are {differ:?}",
        found.len(),
        expected.len()
    );
    sum.windows += 1;
    sum.openings += found.len();
    sum.instants += instants(name, asked, &window, &expected);
}

/// A few instants around both ends; whether the window is open there must follow from the oracle's openings alone.
fn instants(name: &str, asked: &Asked, window: &Window, expected: &[Opening]) -> usize {
    let second = SignedDuration::from_secs(1);
    // A day away from the ends of the stretch that was asked for, all openings are known.
    let inside = |at: Timestamp| {
        at > self::at(FROM) + SignedDuration::from_hours(24)
            && at < self::at(TO) - SignedDuration::from_hours(24)
    };
    let mut n_instants = 0;
    for opening in expected.iter().step_by(expected.len() / 7 + 1) {
        let ends = [
            opening.start - second,
            opening.start,
            opening.end - second,
            opening.end,
        ];
        for at in ends.into_iter().filter(|at| inside(*at)) {
            let open = expected.iter().any(|one| one.start <= at && at < one.end);
            assert_eq!(window.contains(at), open, "{name} {asked:?} at {at}");
            n_instants += 1;
        }
    }
    n_instants
}
