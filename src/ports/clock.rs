//! Time: what the wall says, how long things take, and waiting.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

/// The clock of this host.
pub trait Clock: Send + Sync {
    /// Wall-clock time. For dates and windows only, never for durations.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn pause(&self, length: Duration) -> impl Future<Output = ()> + Send;
}
