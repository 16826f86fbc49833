//! The time that a run and its way back take together: nothing starts with less left.

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is assumed for the run, and for the way back, before anything was measured: a small host reported 10 minutes of
/// backup and 6 of downtime for a minor step, and the way back takes as long.
const UNMEASURED: SignedDuration = SignedDuration::from_secs(45 * 60 / 2);
/// The part of it before the site is closed: looking, and pulling two images of a few hundred megabytes.
const UNMEASURED_BEFORE: SignedDuration = SignedDuration::from_mins(5);
/// What is assumed for migrations as long as none was measured here: most releases have none, and the first that has must
/// not be taken for one that takes no time. Large ones took some minutes on small hosts.
const ASSUMED_MIGRATIONS: SignedDuration = SignedDuration::from_mins(10);
/// Ways back with data that must have been measured before they are believed: one of them may have been a lucky one.
const ENOUGH_RESTORES: usize = 3;
/// Nothing starts with less left, however fast the last runs were.
const FLOOR: SignedDuration = super::SHORTEST;
/// What a window must have more than is needed: between its opening and the start the host is looked at and the update
/// planned, and a window that fits to the second would be too short by then.
const LEEWAY: SignedDuration = SignedDuration::from_mins(5);

/// The time that a run and its way back take on a host; 95 of 100 are over by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Needed {
    /// For the part of the run before the site is closed.
    #[schemars(with = "String")]
    pub before_close: SignedDuration,
    /// For the whole run.
    #[schemars(with = "String")]
    pub run: SignedDuration,
    /// For the way back.
    #[schemars(with = "String")]
    pub way_back: SignedDuration,
    /// How many runs it was measured on; 0 where it is a careful guess.
    pub n_measured: u32,
}

/// What was measured on a host, in milliseconds: for each step its lengths in the last runs that had it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// The steps of committed runs before the site is closed.
    pub before_close: Vec<Vec<u64>>,
    /// Their other steps, without the migrations.
    pub closed: Vec<Vec<u64>>,
    /// Migrations that there were.
    pub migrations: Vec<u64>,
    /// The steps of ways back.
    pub way_back: Vec<Vec<u64>>,
    /// How many of those restored data.
    pub n_restores: usize,
}

impl Needed {
    /// As long as nothing was measured.
    pub const UNMEASURED: Self = Self {
        before_close: UNMEASURED_BEFORE,
        run: UNMEASURED,
        way_back: UNMEASURED,
        n_measured: 0,
    };

    /// From what was measured. Migrations that were never seen count ten minutes; a way back that was seen to restore data
    /// less than three times lasts at least as long as the site was closed.
    pub fn measured(measured: &Measured) -> Self {
        let runs = measured.before_close.iter().chain(&measured.closed);
        let n_measured = runs.map(Vec::len).max().unwrap_or_default();
        if n_measured == 0 {
            return Self::UNMEASURED;
        }
        let before_close = sum(&measured.before_close);
        let migrations = match measured.migrations.as_slice() {
            [] => ASSUMED_MIGRATIONS,
            seen => millis(p95(seen)),
        };
        let closed = sum(&measured.closed).saturating_add(migrations);
        let way_back = match sum(&measured.way_back) {
            seen if measured.n_restores >= ENOUGH_RESTORES => seen,
            seen => seen.max(closed),
        };
        Self {
            before_close,
            run: before_close.saturating_add(closed),
            way_back,
            n_measured: u32::try_from(n_measured).unwrap_or(u32::MAX),
        }
    }

    /// What must be left of a window when a run starts: both, and never less than 15 minutes.
    pub fn total(&self) -> SignedDuration {
        self.run.saturating_add(self.way_back).max(FLOOR)
    }

    /// What must be left when the site is closed.
    pub fn once_closed(&self) -> SignedDuration {
        self.run
            .saturating_sub(self.before_close)
            .saturating_add(self.way_back)
    }

    /// How long a window must be for anything to start in it: between its opening and a start some minutes may pass.
    pub fn least_window(&self) -> SignedDuration {
        self.total().saturating_add(LEEWAY)
    }
}

fn sum(steps: &[Vec<u64>]) -> SignedDuration {
    let total = steps
        .iter()
        .fold(0_u64, |sum, step| sum.saturating_add(p95(step)));
    millis(total)
}

fn millis(length: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(length).unwrap_or(i64::MAX))
}

/// The length that 95 of 100 do not exceed (nearest rank: of fewer than twenty, the longest); zero where there is none.
fn p95(lengths: &[u64]) -> u64 {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let rank = sorted.len().saturating_mul(95).div_ceil(100);
    let place = rank.checked_sub(1);
    place
        .and_then(|place| sorted.get(place))
        .copied()
        .unwrap_or_default()
}

impl fmt::Display for Needed {
    /// A part of a sentence, with the numbers and where they come from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a run and its way back need {:#} ({:#} and {:#}, ",
            self.total(),
            rounded(self.run),
            rounded(self.way_back)
        )?;
        match self.n_measured {
            0 => f.write_str("assumed until a run was measured here)"),
            1 => f.write_str("as the last run measured; never less than 15m is counted)"),
            n => write!(
                f,
                "as the last {n} runs measured; never less than 15m is counted)"
            ),
        }
    }
}

/// To whole seconds.
fn rounded(length: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(length.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(before: &[u64], closed: &[u64], migrations: &[u64], back: &[u64]) -> Needed {
        Needed::measured(&Measured {
            before_close: vec![before.to_vec()],
            closed: vec![closed.to_vec()],
            migrations: migrations.to_vec(),
            way_back: vec![back.to_vec()],
            n_restores: back.len(),
        })
    }

    const MINUTE: u64 = 60_000;

    #[test]
    fn what_was_measured_counts_by_its_95th_percentile_and_never_below_a_quarter_of_an_hour() {
        assert_eq!(runs(&[], &[], &[], &[9]), Needed::UNMEASURED);
        assert_eq!(Needed::UNMEASURED.total(), SignedDuration::from_mins(45));
        // Of twenty runs the longest is the one of twenty that does not count.
        let mut twenty = vec![MINUTE; 19];
        twenty.push(150 * MINUTE);
        let needed = runs(&[1_000], &twenty, &[1_000], &[5_000; 3]);
        assert_eq!(needed.run, SignedDuration::from_secs(62));
        assert_eq!(needed.way_back, SignedDuration::from_secs(5));
        assert_eq!(needed.once_closed(), SignedDuration::from_secs(66));
        assert_eq!(needed.total(), SignedDuration::from_mins(15));
        assert_eq!(needed.least_window(), SignedDuration::from_mins(20));
        // Of nineteen it does.
        twenty.remove(0);
        let needed = runs(&[1_000], &twenty, &[0], &[5_000; 3]);
        assert_eq!(needed.run, SignedDuration::from_secs(9_001));
    }

    #[test]
    fn what_was_never_measured_does_not_count_as_nothing() {
        // Patches without migrations: the first one that has some must find time.
        let needed = runs(&[MINUTE; 20], &[MINUTE; 20], &[], &[]);
        assert_eq!(needed.run, SignedDuration::from_mins(12));
        assert_eq!(needed.way_back, SignedDuration::from_mins(11));
        // One quick way back proves little; three do.
        let needed = runs(&[MINUTE], &[MINUTE], &[40 * MINUTE], &[1_000]);
        assert_eq!(needed.way_back, SignedDuration::from_mins(41));
        let needed = runs(&[MINUTE], &[MINUTE], &[40 * MINUTE], &[50 * MINUTE]);
        assert_eq!(needed.way_back, SignedDuration::from_mins(50));
        let needed = runs(&[MINUTE], &[MINUTE], &[40 * MINUTE], &[20 * MINUTE; 3]);
        assert_eq!(needed.way_back, SignedDuration::from_mins(20));
    }
}
