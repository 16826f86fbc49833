//! How long it takes to decide about ten thousand instances with every release and advisory that is known.
//!
//! One thread. What is measured is `decide` alone: the answers of GitHub are parsed once for a whole host, as the daemon
//! does it. Run it with `make bench`, or by itself with `cargo run --release --example decide`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and prints what it measured"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use mastopatch::config::{SHIPPED_POLICIES, parse_policy};
use mastopatch::domain::decide::{Facts, decide};
use mastopatch::domain::installed::Installed;
use mastopatch::domain::published::Published;
use mastopatch::domain::version::ReleaseVersion;

/// Instances to decide about, as the promise has it.
const INSTANCES: usize = 10_000;
/// The fastest of this many rounds counts: what is slower was disturbed by others.
const ROUNDS: usize = 5;

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the tests, which use more of it"
)]
#[path = "../knowing/known.rs"]
mod known;

use known::KNOWN;

fn main() {
    let begun = Instant::now();
    let (releases, advisories) = KNOWN.clone();
    let published = Arc::new(Published::new(releases, advisories));
    let parsed = begun.elapsed();
    let versions: Vec<ReleaseVersion> = published
        .releases()
        .iter()
        .filter(|release| !release.pre_release && release.version.line().major >= 4)
        .map(|release| release.version.clone())
        .collect();
    let all: Vec<Facts> = (0..INSTANCES)
        .map(|number| {
            let runs = versions[number % versions.len()].clone();
            Facts::about(
                format!("social-{number}.example"),
                Installed::taken_for_granted(runs),
                known::seen(),
                Arc::clone(&published),
            )
        })
        .collect();
    let (name, text) = SHIPPED_POLICIES[0];
    let policy = parse_policy(Path::new(name), text).unwrap();
    let now: Timestamp = "2026-04-15T12:00:00Z".parse().unwrap();
    let needed = SignedDuration::from_mins(45);
    let mut fastest = None;
    let mut n_targets = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        n_targets = all
            .iter()
            .filter(|facts| decide(facts, &policy, now, needed).target.is_some())
            .count();
        let took = begun.elapsed();
        fastest = Some(fastest.map_or(took, |best: std::time::Duration| best.min(took)));
    }
    let fastest = fastest.unwrap();
    println!(
        "decide: {INSTANCES} instances of {} versions, {} releases, {} advisories: {:.3} s, {:.1} us each ({n_targets} have \
         something to do); parsing GitHub's answers once: {:.1} ms",
        versions.len(),
        published.releases().len(),
        published.advisories().len(),
        fastest.as_secs_f64(),
        fastest.as_secs_f64() * 1e6 / 10_000.0,
        parsed.as_secs_f64() * 1e3,
    );
}
