//! Time: what the wall says, how long things take, and waiting.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::clock::{ClockState, Reading};

/// What ended a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a clock that was set makes what was reckoned before the sleep untrue"]
pub enum Woke {
    /// The instant has come.
    Time,
    /// The wall clock was set, or the host was asleep: the instant may be near, far or past.
    ClockSet,
}

/// The clock of this host.
pub trait Clock: Send + Sync {
    /// Wall-clock time. For dates and windows only, never for durations.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;

    /// Time since the host started, sleep included; never goes back, and nobody can set it.
    fn since_boot(&self) -> Duration;

    /// Whether the kernel holds the wall clock for right. Asks nobody but the kernel, and is quick.
    fn synchronised(&self) -> ClockState;

    /// Both clocks, as good as at one moment.
    fn reading(&self) -> Reading {
        Reading {
            wall: self.now(),
            since_boot: self.since_boot(),
        }
    }

    /// Waits.
    fn pause(&self, length: Duration) -> impl Future<Output = ()> + Send;

    /// Sleeps until the wall clock shows `at`, through sleep of the host, and not for long after the clock was set.
    /// Dropping it before its end loses nothing.
    fn sleep_until(&self, at: Timestamp) -> impl Future<Output = Woke> + Send;
}
