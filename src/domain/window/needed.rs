//! The time that a run and its way back take together: nothing starts with less left.

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is assumed for the run, and for the way back, before anything was measured: a small host reported 10 minutes of
/// backup and 6 of downtime for a minor step, and the way back takes as long.
const UNMEASURED: SignedDuration = SignedDuration::from_secs(45 * 60 / 2);
/// Nothing starts with less left, however fast the last runs were.
const FLOOR: SignedDuration = super::SHORTEST;

/// The time that a run and its way back take on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Needed {
    /// For the run; 95 of 100 are over by then.
    #[schemars(with = "String")]
    pub run: SignedDuration,
    /// For the way back, likewise.
    #[schemars(with = "String")]
    pub way_back: SignedDuration,
    /// How many runs it was measured on; 0 where it is a careful guess.
    pub n_measured: u32,
}

impl Needed {
    /// As long as nothing was measured.
    pub const UNMEASURED: Self = Self {
        run: UNMEASURED,
        way_back: UNMEASURED,
        n_measured: 0,
    };

    /// From what was measured, in milliseconds: each step of the runs that committed, and each step of the ways back. A way
    /// back that was never seen to restore data is taken to last as long as the run.
    pub fn measured(steps: &[Vec<u64>], undo_steps: &[Vec<u64>], restored: bool) -> Self {
        let n_measured = steps.iter().map(Vec::len).max().unwrap_or_default();
        if n_measured == 0 {
            return Self::UNMEASURED;
        }
        let sum = |steps: &[Vec<u64>]| {
            let total = steps
                .iter()
                .fold(0_u64, |sum, step| sum.saturating_add(p95(step)));
            SignedDuration::from_millis(i64::try_from(total).unwrap_or(i64::MAX))
        };
        let run = sum(steps);
        let way_back = if restored { sum(undo_steps) } else { run };
        Self {
            run,
            way_back,
            n_measured: u32::try_from(n_measured).unwrap_or(u32::MAX),
        }
    }

    /// Both, and never less than 15 minutes.
    pub fn total(&self) -> SignedDuration {
        self.run.saturating_add(self.way_back).max(FLOOR)
    }
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

    #[test]
    fn what_was_measured_counts_by_its_95th_percentile_and_never_below_a_quarter_of_an_hour() {
        assert_eq!(
            Needed::measured(&[vec![], vec![]], &[vec![90]], true),
            Needed::UNMEASURED
        );
        assert_eq!(Needed::UNMEASURED.total(), SignedDuration::from_mins(45));
        // Twenty runs, one of them an outlier: it is the one of twenty that does not count.
        let mut twenty = vec![60_000; 19];
        twenty.push(9_000_000);
        let needed = Needed::measured(&[twenty.clone(), vec![1_000; 20]], &[vec![5_000]], true);
        assert_eq!(needed.run, SignedDuration::from_secs(61));
        assert_eq!(needed.way_back, SignedDuration::from_secs(5));
        assert_eq!(needed.total(), SignedDuration::from_mins(15));
        // Of nineteen it does.
        twenty.remove(0);
        let needed = Needed::measured(&[twenty], &[vec![5_000]], false);
        assert_eq!(needed.run, SignedDuration::from_secs(9_000));
        assert_eq!(needed.way_back, needed.run);
        assert_eq!(needed.total(), SignedDuration::from_hours(5));
    }
}
