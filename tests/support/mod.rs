//! What the scenarios and the demo share: a practice Mastodon, a local GitHub, a writer, a mailbox
//! and the product's own binary.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test code may fail loudly, runs programs, reads the clock, and not every user needs all of it"
)]

pub(crate) mod dump;
pub(crate) mod github;
pub(crate) mod lab;
pub(crate) mod mailbox;
pub(crate) mod panics;
pub(crate) mod product;
pub(crate) mod proxy;
pub(crate) mod shell;
pub(crate) mod statuses;
pub(crate) mod world;
pub(crate) mod writer;

use std::time::{Duration, Instant};

/// How often a condition is looked at: often enough to be prompt, seldom enough to leave the two cores alone.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until `look` finds something; panics with `what` and the last obstacle after `within`.
pub(crate) fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(obstacle) if start.elapsed() >= within => {
                panic!(
                    "{what}: not within {} s; last seen: {obstacle}",
                    within.as_secs()
                )
            }
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// `ok` as a condition for [`eventually`].
pub(crate) fn check(ok: bool, obstacle: impl Into<String>) -> Result<(), String> {
    if ok { Ok(()) } else { Err(obstacle.into()) }
}
