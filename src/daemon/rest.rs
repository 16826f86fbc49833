//! Between two rounds: the daemon sleeps until an instant, and wakes for signals and for a clock that was set.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::status::notify;
use crate::adapters::bell::Listener;
use crate::domain::clock::{Jump, Reading};
use crate::engine::StopFlag;
use crate::ports::clock::{Clock, Woke};

/// A round that is due again at once would be a circle, and a clock that is set over and over would make one.
pub(super) const SHORTEST_SLEEP: SignedDuration = SignedDuration::from_secs(1);

/// What wakes the daemon beside time.
#[derive(Debug, Default)]
pub(super) struct Bell {
    stop: StopFlag,
    ring: Notify,
    reload: AtomicBool,
}

impl Bell {
    /// A bell that SIGTERM, SIGINT and SIGHUP ring.
    pub(super) fn listen() -> std::io::Result<Arc<Self>> {
        let bell = Arc::new(Self::default());
        for kind in [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ] {
            let mut signals = signal(kind)?;
            let bell = Arc::clone(&bell);
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if kind == SignalKind::hangup() {
                        bell.reload.store(true, Ordering::SeqCst);
                    } else {
                        bell.stop.ask();
                    }
                    bell.ring.notify_one();
                }
            });
        }
        Ok(bell)
    }

    /// Lets commands ring, too: what people order is looked at when they order it.
    pub(super) fn hear_commands(self: &Arc<Self>, state_dir: &Path) {
        let listener = match Listener::hang(state_dir) {
            Ok(listener) => listener,
            Err(err) => {
                tracing::warn!("orders of people are seen at the next look only: {err}");
                return;
            }
        };
        let bell = Arc::clone(self);
        tokio::spawn(async move {
            while listener.rung().await.is_ok() {
                bell.ring.notify_one();
            }
        });
    }

    /// The wish to stop.
    pub(super) fn stop(&self) -> &StopFlag {
        &self.stop
    }

    /// Whether the configuration is to be read again; asking uses the wish up.
    pub(super) fn wants_reload(&self) -> bool {
        self.reload.swap(false, Ordering::SeqCst)
    }
}

/// Sleeps until the wall clock shows `until`, or the bell rings, or somebody sets the clock.
///
/// Nothing wakes meanwhile but the watchdog, and only if systemd asks for it.
pub(super) async fn rest<C: Clock>(clock: &C, bell: &Bell, until: Timestamp) {
    let shortest = SHORTEST_SLEEP.unsigned_abs();
    let turn = sd_notify::watchdog_enabled().map(|limit| (limit / 2).max(shortest));
    rest_with(clock, bell, until, turn, || {
        notify(&[NotifyState::Watchdog])
    })
    .await;
}

async fn rest_with<C: Clock>(
    clock: &C,
    bell: &Bell,
    until: Timestamp,
    turn: Option<Duration>,
    mut ping: impl FnMut(),
) {
    if bell.stop.is_asked() {
        return;
    }
    let nap = async {
        tokio::select! {
            () = bell.ring.notified() => {}
            woke = clock.sleep_until(until) => match woke {
                Woke::Time => {}
                // Whoever sets a clock may do so in several steps; they are one reason to think again.
                Woke::ClockSet => clock.pause(SHORTEST_SLEEP.unsigned_abs()).await,
            },
        }
    };
    let Some(turn) = turn else {
        return nap.await;
    };
    tokio::pin!(nap);
    loop {
        ping();
        if tokio::time::timeout(turn, &mut nap).await.is_ok() {
            return;
        }
    }
}

/// Notices that the wall clock was set, once for each time.
#[derive(Debug)]
pub(super) struct Watch {
    last: Reading,
}

impl Watch {
    /// Watches from this reading on.
    pub(super) const fn from(reading: Reading) -> Self {
        Self { last: reading }
    }

    /// The jump since the reading before, if there was one.
    pub(super) fn look(&mut self, reading: Reading) -> Option<Jump> {
        std::mem::replace(&mut self.last, reading).jump(reading)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::clock::ClockState;

    /// A clock whose sleep ends as it is told to, or never.
    struct Sleeper {
        woke: Option<Woke>,
        slept_until: Mutex<Vec<Timestamp>>,
        paused: Mutex<Duration>,
    }

    impl Sleeper {
        fn that(woke: Option<Woke>) -> Self {
            Self {
                woke,
                slept_until: Mutex::default(),
                paused: Mutex::default(),
            }
        }
    }

    impl Clock for Sleeper {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn since_boot(&self) -> Duration {
            Duration::ZERO
        }

        fn synchronised(&self) -> ClockState {
            ClockState::Synchronised
        }

        async fn pause(&self, length: Duration) {
            *self.paused.lock().unwrap() += length;
        }

        async fn sleep_until(&self, at: Timestamp) -> Woke {
            self.slept_until.lock().unwrap().push(at);
            match self.woke {
                Some(woke) => woke,
                None => std::future::pending().await,
            }
        }
    }

    fn later() -> Timestamp {
        "2026-11-21T02:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn it_sleeps_once_and_until_the_very_instant() {
        let clock = Sleeper::that(Some(Woke::Time));
        rest_with(&clock, &Bell::default(), later(), None, || {}).await;
        assert_eq!(*clock.slept_until.lock().unwrap(), [later()]);
        assert_eq!(*clock.paused.lock().unwrap(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_clock_that_was_set_wakes_it_but_not_more_than_once_a_second() {
        let clock = Sleeper::that(Some(Woke::ClockSet));
        rest_with(&clock, &Bell::default(), later(), None, || {}).await;
        assert_eq!(*clock.paused.lock().unwrap(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn the_bell_wakes_it_with_and_without_a_watchdog() {
        for turn in [None, Some(Duration::from_secs(60))] {
            let clock = Sleeper::that(None);
            let bell = Bell::default();
            bell.ring.notify_one();
            rest_with(&clock, &bell, later(), turn, || {}).await;
        }
    }

    #[tokio::test]
    async fn a_daemon_that_is_to_stop_does_not_sleep() {
        let clock = Sleeper::that(None);
        let bell = Bell::default();
        bell.stop.ask();
        rest_with(&clock, &bell, later(), None, || {}).await;
        assert!(clock.slept_until.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_watchdog_is_told_again_and_again_in_one_sleep() {
        let clock = Sleeper::that(None);
        let bell = Bell::default();
        let mut n_pings = 0;
        let ping = || {
            n_pings += 1;
            if n_pings == 3 {
                bell.ring.notify_one();
            }
        };
        let turn = Some(Duration::from_millis(1));
        rest_with(&clock, &bell, later(), turn, ping).await;
        assert_eq!(n_pings, 3);
        assert_eq!(*clock.slept_until.lock().unwrap(), [later()]);
    }

    #[test]
    fn a_jump_is_told_once() {
        let first = Reading {
            wall: later(),
            since_boot: Duration::from_secs(100),
        };
        let mut watch = Watch::from(first);
        assert_eq!(watch.look(first), None);
        let after = Reading {
            wall: first.wall + SignedDuration::from_hours(3),
            ..first
        };
        let jump = watch.look(after).unwrap();
        assert_eq!(jump.to_string(), "the clock was set forward by 3h");
        assert_eq!(watch.look(after), None);
        assert!(watch.look(first).is_some());
    }
}
