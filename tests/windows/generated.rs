//! Windows, blackouts and zones for tests, made up by a number: the same number makes the same ones.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::policy::Class;
use mastopatch::domain::window::{Calendar, Window};

pub(crate) const ZONEINFO: &str = "/usr/share/zoneinfo";

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// When clocks change, nearly everywhere.
const NIGHT: [u64; 6] = [23, 0, 1, 2, 3, 4];
const MINUTES: [u64; 8] = [0, 0, 1, 15, 30, 30, 45, 59];
const SPANS: [i64; 12] = [15, 30, 45, 60, 90, 120, 180, 300, 480, 720, 1380, 1440];

/// Zones with odd offsets or odd changes, and ordinary ones.
pub(crate) const INTERESTING: [&str; 18] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "America/Nuuk",
    "America/Scoresbysund",
    "America/Havana",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
];

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(|| {
    TimeZoneDatabase::from_dir(ZONEINFO).expect("the package tzdata is needed for this test")
});

pub(crate) fn zone(name: &str) -> TimeZone {
    DATABASE.get(name).unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn window(opens: &[&str], lasts: SignedDuration, zone: TimeZone) -> Window {
    let opens = opens
        .iter()
        .map(|line| line.parse::<Calendar>().unwrap())
        .collect();
    let all: BTreeSet<Class> = Class::ALL.into_iter().collect();
    Window::new("w".to_owned(), opens, lasts, zone, all).unwrap()
}

/// Chance that comes out the same every time (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: &str) -> Self {
        let mixed = seed.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub(crate) fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.number(1, n) == 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.number(0, u64::try_from(from.len()).unwrap() - 1)).unwrap()]
    }

    pub(crate) fn span(&mut self) -> SignedDuration {
        SignedDuration::from_mins(self.pick(&SPANS))
    }

    pub(crate) fn time(&mut self) -> String {
        let hour = if self.one_in(5) {
            self.number(0, 23)
        } else {
            self.pick(&NIGHT)
        };
        let minute = if self.one_in(8) {
            self.number(0, 59)
        } else {
            self.pick(&MINUTES)
        };
        format!("{hour:02}:{minute:02}")
    }

    pub(crate) fn weekdays(&mut self) -> String {
        self.list(|chance| {
            let first = chance.number(0, 6);
            let last = chance.number(first, 6);
            let name = |day: u64| {
                let name = WEEKDAYS[usize::try_from(day).unwrap()];
                match day % 3 {
                    0 => name.to_lowercase(),
                    _ => name.to_owned(),
                }
            };
            if chance.one_in(2) {
                name(first)
            } else {
                format!("{}..{}", name(first), name(last))
            }
        })
    }

    /// A date in every shape there is; not all of them fall on a day.
    pub(crate) fn date(&mut self) -> String {
        let year = match self.number(0, 5) {
            0 => self.number(1970, 2199).to_string(),
            1 | 2 => self.number(2019, 2041).to_string(),
            _ => "*".to_owned(),
        };
        let months = match self.number(0, 3) {
            0 | 1 => "*".to_owned(),
            2 => "02".to_owned(),
            _ => self.numbers(12),
        };
        match self.number(0, 5) {
            0 => format!("{year}-{months}-*"),
            1 | 2 => format!("{year}-{months}~{}", self.numbers(28)),
            3 => format!("{year}-{months}-29"),
            _ => format!("{year}-{months}-{}", self.numbers(31)),
        }
    }

    /// A line that can be read, out of every shape of the grammar.
    pub(crate) fn line(&mut self) -> String {
        loop {
            let weekdays = if self.one_in(2) {
                format!("{} ", self.weekdays())
            } else {
                String::new()
            };
            let blanks = if self.one_in(9) { "  " } else { " " };
            let date = if self.one_in(3) {
                String::new()
            } else {
                format!("{}{blanks}", self.date())
            };
            let line = format!("{weekdays}{date}{}", self.time());
            // Some fall on no day in any year, and are refused for it.
            if line.parse::<Calendar>().is_ok() {
                return line;
            }
        }
    }

    fn numbers(&mut self, most: u64) -> String {
        self.list(|chance| {
            let first = chance.number(1, most);
            let last = chance.number(first, most);
            match chance.number(0, 3) {
                0 => format!("{first}..{last}"),
                1 => format!("{first:02}"),
                _ => first.to_string(),
            }
        })
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> String) -> String {
        let n_items = self.pick(&[1, 1, 1, 2, 3]);
        let items: Vec<String> = (0..n_items).map(|_| item(self)).collect();
        items.join(",")
    }
}
