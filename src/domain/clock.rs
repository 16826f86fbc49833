//! What can be said of this host's clock from values alone: whether it is right, and whether it was set.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From this error on the kernel calls its clock unsynchronised; systemd's `NTPSynchronized` asks the same. The
/// kernel adds 500 microseconds a second to the error while nothing corrects it: it gets here about nine hours after
/// the last correction.
const MOST_ERROR_US: i64 = 16_000_000;

/// A wall clock that was set by more than this has jumped (W14). Smaller steps are what a daemon that keeps the time
/// makes when it starts, and a leap second; they are small against every window, of which none is under 15 minutes.
const STEADY: SignedDuration = SignedDuration::from_mins(2);

/// Whether the kernel holds the wall clock for right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClockState {
    /// Something keeps it right.
    Synchronised,
    /// Nothing does, or nothing has for hours.
    Unsynchronised,
    /// The kernel did not say; here is why.
    Unknown(String),
}

impl ClockState {
    /// From the kernel's largest possible error in microseconds, or from why it did not tell one.
    pub fn from_max_error(answer: Result<i64, String>) -> Self {
        match answer {
            Ok(us) if us < MOST_ERROR_US => Self::Synchronised,
            Ok(_) => Self::Unsynchronised,
            Err(why) => Self::Unknown(why),
        }
    }
}

/// Two clocks, read at one moment: the one that people set, and the one that nobody can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Wall-clock time.
    pub wall: Timestamp,
    /// Time since the host started, sleep included.
    pub since_boot: Duration,
}

impl Reading {
    /// What the wall clock would show at `since_boot` if nobody had set it since this reading.
    pub fn unset(self, since_boot: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(since_boot.saturating_sub(self.since_boot))
            .unwrap_or(SignedDuration::MAX);
        self.wall.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// By how much the wall clock was set between this reading and a later one of the same start of the host;
    /// forward is positive.
    ///
    /// Sleep is no setting, nor is the slow correction by a daemon that keeps the time: both clocks follow it.
    pub fn set_by(self, later: Self) -> SignedDuration {
        later.wall.duration_since(self.unset(later.since_boot))
    }

    /// The setting between this reading and a later one, if it is more than a correction: over two minutes.
    pub fn jump(self, later: Self) -> Option<Jump> {
        let by = self.set_by(later);
        (by.unsigned_abs() > STEADY.unsigned_abs()).then_some(Jump { by })
    }
}

/// The wall clock was set by so much that whatever was reckoned with it is to be reckoned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    by: SignedDuration,
}

impl fmt::Display for Jump {
    /// `the clock was set forward by 3h`, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.by.is_negative() {
            "back"
        } else {
            "forward"
        };
        let seconds = i64::try_from(self.by.unsigned_abs().as_secs()).unwrap_or(i64::MAX);
        let by = SignedDuration::from_secs(seconds);
        write!(f, "the clock was set {way} by {by:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: &str, since_boot: u64) -> Reading {
        Reading {
            wall: wall.parse().unwrap(),
            since_boot: Duration::from_secs(since_boot),
        }
    }

    #[test]
    fn the_kernels_largest_error_says_whether_the_clock_is_kept_right() {
        for us in [0, 1, 15_999_999] {
            let state = ClockState::from_max_error(Ok(us));
            assert_eq!(state, ClockState::Synchronised, "{us}");
        }
        for us in [16_000_000, i64::MAX] {
            let state = ClockState::from_max_error(Ok(us));
            assert_eq!(state, ClockState::Unsynchronised, "{us}");
        }
        let why = "Operation not permitted".to_owned();
        assert_eq!(
            ClockState::from_max_error(Err(why.clone())),
            ClockState::Unknown(why)
        );
    }

    #[test]
    fn the_states_are_written_in_plain_words() {
        let text = |state| serde_json::to_string(&state).unwrap();
        assert_eq!(text(ClockState::Synchronised), "\"synchronised\"");
        assert_eq!(text(ClockState::Unsynchronised), "\"unsynchronised\"");
        let unknown = text(ClockState::Unknown("forbidden".to_owned()));
        assert_eq!(unknown, "{\"unknown\":\"forbidden\"}");
    }

    #[test]
    fn a_clock_that_nobody_set_is_steady_over_any_length_of_sleep() {
        let before = reading("2026-11-21T02:00:00Z", 1_000);
        let after = reading("2026-12-21T02:00:00Z", 1_000 + 30 * 86_400);
        assert_eq!(before.set_by(after), SignedDuration::ZERO);
        assert_eq!(before.jump(after), None);
        assert_eq!(before.unset(after.since_boot), after.wall);
    }

    #[test]
    fn two_minutes_either_way_are_a_correction_and_a_second_more_is_a_jump() {
        let before = reading("2026-11-21T02:00:00Z", 1_000);
        let after = |seconds: i64| Reading {
            wall: before.wall + SignedDuration::from_secs(600 + seconds),
            since_boot: Duration::from_secs(1_600),
        };
        for seconds in [-120, -1, 0, 1, 120] {
            assert_eq!(before.jump(after(seconds)), None, "{seconds}");
        }
        let told = |seconds: i64| before.jump(after(seconds)).unwrap().to_string();
        assert_eq!(told(121), "the clock was set forward by 2m 1s");
        assert_eq!(told(-121), "the clock was set back by 2m 1s");
        assert_eq!(told(3 * 3_600), "the clock was set forward by 3h");
        assert_eq!(told(-86_400), "the clock was set back by 24h");
    }

    #[test]
    fn the_ends_of_time_are_reckoned_without_a_panic() {
        let first = Reading {
            wall: Timestamp::MIN,
            since_boot: Duration::ZERO,
        };
        let last = Reading {
            wall: Timestamp::MAX,
            since_boot: Duration::MAX,
        };
        assert_eq!(last.unset(Duration::MAX), Timestamp::MAX);
        assert_eq!(first.unset(Duration::MAX), Timestamp::MAX);
        assert_eq!(first.jump(last), None);
        // A time since the start that went back counts as none.
        let by = last.set_by(first);
        assert_eq!(by, Timestamp::MIN.duration_since(Timestamp::MAX));
        assert!(last.jump(first).is_some());
        let forward = first.set_by(Reading {
            since_boot: Duration::ZERO,
            ..last
        });
        assert_eq!(forward, Timestamp::MAX.duration_since(Timestamp::MIN));
    }
}
