//! `make bench`, fourth part: what a rehearsal expects, beside what the run then takes.
//!
//! Two updates of a practice Mastodon whose database is filled up to `BENCH_REHEARSED` (`200M`): one that only adds to the
//! schema (M1), one that rewrites data (M2); each on a clone and with a dump. Nothing ran there before, so that all the
//! rehearsal knows is what it measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people to watch: it prints, reads the clock and may fail loudly"
)]

mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use support::github::GitHub;
use support::lab::{Instance, InstanceOptions, Lab, sweep};
use support::product::Product;

/// From, to, and the class of the step.
const STEPS: [(&str, &str, &str); 2] = [("v4.4.15", "v4.5.8", "M1"), ("v4.3.21", "v4.4.15", "M2")];
const LIMIT: Duration = Duration::from_secs(3_600);

fn main() {
    let lab = Lab::from_env();
    sweep(&lab);
    let size = std::env::var("BENCH_REHEARSED").unwrap_or("200M".to_owned());
    println!("bench: rehearsed and real; seconds; databases filled to {size}\n");
    println!(
        "{:<4} {:<8} {:>10} {:>8} {:>6} {:>12} {:>8} {:>6}",
        "", "", "migrations", "real", "ratio", "downtime", "real", "ratio"
    );
    for (from, to, class) in STEPS {
        for method in ["clone", "logical"] {
            one(&lab, &size, (from, to, class), method);
        }
    }
    println!("\nreal / rehearsed; wanted: between 0.75 and 1.25");
}

fn one(lab: &Lab, size: &str, (from, to, class): (&str, &str, &str), method: &str) {
    let instance = Instance::start(lab, &InstanceOptions::at(from).seeded(1_000, 100_000));
    rows::fill(&instance, rows::bytes_of(size));
    let github = GitHub::with_releases(&[from, to]);
    let mut product = Product::configure(&instance, &github.base_url());
    product.change(|settings| {
        settings.snapshot = method.to_owned();
        settings.migrate_timeout = "20m".to_owned();
    });
    let rehearsing = product.spawn(&["rehearse", "--to", to, "--json"]);
    let done = rehearsing.finish(LIMIT).expect_code(0);
    let answer: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let measured = answer["rehearsal"]["result"].clone();
    assert_eq!(measured["result"], "passed", "{answer:#}");
    let applying = product.spawn(&["apply", "--to", to, "--yes"]);
    applying.finish(LIMIT).expect_code(0);
    let run = product.last_run();
    assert_eq!(run["class"], class, "{run:#}");
    let steps = run["steps"].as_array().expect("steps");
    let migrated = steps.iter().find(|step| step["step"] == "migrate");
    let seconds = |value: &serde_json::Value| value.as_f64().expect("a length") / 1_000.0;
    let (expected, real) = (
        [&measured["migrate_ms"], &measured["downtime_ms"]].map(seconds),
        [
            &migrated.expect("it migrated")["elapsed_ms"],
            &run["downtime_ms"],
        ]
        .map(seconds),
    );
    println!(
        "{class:<4} {method:<8} {:>10.1} {:>8.1} {:>6.2} {:>12.1} {:>8.1} {:>6.2}",
        expected[0],
        real[0],
        real[0] / expected[0],
        expected[1],
        real[1],
        real[1] / expected[1]
    );
    let lengths: Vec<String> = steps
        .iter()
        .map(|step| {
            format!(
                "{} {}",
                step["step"].as_str().unwrap_or_default(),
                step["elapsed_ms"]
            )
        })
        .collect();
    println!("     the run's steps, in ms: {}", lengths.join(", "));
    println!("     measured: {measured}");
}
