//! The one place that reads the clock.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Once;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rtime_clock::adjtime::{Timex, adjtimex};
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::domain::clock::ClockState;
use crate::ports::clock::{Clock, Woke};

/// Longest nap where the kernel gives no timer that follows the wall clock: whoever sets the clock waits this long
/// until it is noticed. A minute is short against every window, and sixty looks at a clock in an hour cost nothing.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// This host's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts counting.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Sleeps in short naps, by a clock that stands still while the host sleeps.
    async fn nap_until(&self, at: Timestamp) -> Woke {
        let before = self.reading();
        loop {
            let left = at.duration_since(self.now());
            let Some(left) = Duration::try_from(left).ok().filter(|left| !left.is_zero()) else {
                return Woke::Time;
            };
            self.pause(left.min(LONGEST_NAP)).await;
            if before.jump(self.reading()).is_some() {
                return Woke::ClockSet;
            }
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn since_boot(&self) -> Duration {
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }

    fn synchronised(&self) -> ClockState {
        // All zeros: it asks and changes nothing, so it needs no privilege.
        let mut timex = Timex::new();
        let answer = adjtimex(&mut timex).map(|_state| timex.0.maxerror);
        ClockState::from_max_error(answer.map_err(|err| err.to_string()))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that waits"
    )]
    async fn pause(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }

    async fn sleep_until(&self, at: Timestamp) -> Woke {
        // A timer at the first second of all or before would never ring.
        if at <= self.now() {
            return Woke::Time;
        }
        let rang = match timer(at) {
            Ok(timer) => rung(&timer).await,
            Err(err) => Err(err),
        };
        match woke(rang) {
            Ok(woke) => woke,
            Err(err) => {
                static TOLD: Once = Once::new();
                TOLD.call_once(|| {
                    tracing::warn!(
                        "the kernel gives no timer that follows the wall clock, which is looked at every minute \
                         instead: {err}"
                    );
                });
                self.nap_until(at).await
            }
        }
    }
}

/// A timer that rings when the wall clock shows `at`, or when somebody sets it.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that close their descriptor or name another; an OwnedFd does neither"
)]
fn timer(at: Timestamp) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
    let zero = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let when = Itimerspec {
        it_interval: zero,
        it_value: Timespec {
            tv_sec: at.as_second(),
            tv_nsec: at.subsec_nanosecond().into(),
        },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer.as_fd(), flags, &when)?;
    AsyncFd::with_interest(timer, Interest::READABLE)
}

async fn rung(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let read = timer.async_io(Interest::READABLE, |timer| {
        Ok(rustix::io::read(timer, &mut [0_u8; 8])?)
    });
    read.await.map(drop)
}

/// What a timer's answer means; any error but the one that says "the clock was set" is one.
fn woke(rang: io::Result<()>) -> io::Result<Woke> {
    match rang {
        Ok(()) => Ok(Woke::Time),
        Err(err) if Errno::from_io_error(&err) == Some(Errno::CANCELED) => Ok(Woke::ClockSet),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn soon(clock: SystemClock) -> Timestamp {
        clock.now() + SignedDuration::from_millis(20)
    }

    #[test]
    fn the_kernel_says_whether_its_clock_is_kept_right() {
        let state = SystemClock::start().synchronised();
        assert!(!matches!(state, ClockState::Unknown(_)), "{state:?}");
    }

    #[test]
    fn the_time_since_boot_is_that_of_the_host_and_goes_on() {
        let clock = SystemClock::start();
        let first = clock.since_boot();
        assert!(first > clock.monotonic(), "{first:?}");
        assert!(clock.since_boot() >= first);
    }

    #[tokio::test]
    async fn a_sleep_ends_at_its_instant_and_not_before() {
        let clock = SystemClock::start();
        let at = soon(clock);
        assert_eq!(clock.sleep_until(at).await, Woke::Time);
        assert!(clock.now() >= at);
    }

    #[tokio::test]
    async fn without_a_timer_a_sleep_ends_at_its_instant_too() {
        let clock = SystemClock::start();
        let at = soon(clock);
        assert_eq!(clock.nap_until(at).await, Woke::Time);
        assert!(clock.now() >= at);
    }

    #[tokio::test]
    async fn an_instant_that_is_past_is_not_slept_for() {
        let clock = SystemClock::start();
        for at in [Timestamp::MIN, Timestamp::UNIX_EPOCH, clock.now()] {
            assert_eq!(clock.sleep_until(at).await, Woke::Time, "{at}");
        }
    }

    #[tokio::test]
    async fn the_last_instant_of_all_can_be_slept_for() {
        let timer = timer(Timestamp::MAX).unwrap();
        let limit = Duration::from_millis(20);
        let slept = tokio::time::timeout(limit, rung(&timer)).await;
        assert!(slept.is_err(), "{slept:?}");
    }

    #[test]
    fn a_timer_that_was_cancelled_says_that_the_clock_was_set() {
        assert_eq!(woke(Ok(())).unwrap(), Woke::Time);
        let cancelled = Err(io::Error::from(Errno::CANCELED));
        assert_eq!(woke(cancelled).unwrap(), Woke::ClockSet);
        let full = Err(io::Error::from(Errno::MFILE));
        assert_eq!(
            woke(full).unwrap_err().kind(),
            io::Error::from(Errno::MFILE).kind()
        );
    }
}
