//! `make bench`: how long a site is away for one patch without migrations, seen from outside.
//!
//! Measured is the longest time without a 200 on `/health` at the published port, asked every 50 ms, for
//! `mastopatch apply` and for what a person would do by hand: change the tag, `pull`, `up -d`. By hand means
//! without a snapshot, a proof, and a trial of the new version before the public sees it; so the figures
//! stand beside each other to show what safety costs, not which is better. The database is small: a real
//! one's copy takes longer, and `mastopatch`'s downtime grows by that.
//!
//! Every repetition has a fresh site. `BENCH_RUNS` says how many; usually 3.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people to watch: it prints, reads the clock and may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use support::github::GitHub;
use support::lab::{Instance, InstanceOptions, Lab, agent, sweep};
use support::product::Product;

const FROM: &str = "v4.3.20";
const TO: &str = "v4.3.21";
/// Often enough for a tenth of a second, seldom enough to leave the two cores alone.
const ASK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long the site has to answer before and after, so that a span has two ends.
const MARGIN: Duration = Duration::from_secs(3);

fn main() {
    let lab = Lab::from_env();
    sweep(&lab);
    let runs: u32 =
        std::env::var("BENCH_RUNS").map_or(3, |text| text.parse().expect("BENCH_RUNS is a number"));
    println!(
        "bench: {FROM} -> {TO}, no migrations, {runs} runs each; longest time without a 200 on /health\n"
    );
    let by_hand: Vec<Measured> = (1..=runs)
        .map(|run| told("by hand", run, by_hand(&lab)))
        .collect();
    let ours: Vec<Measured> = (1..=runs)
        .map(|run| told("mastopatch", run, ours(&lab)))
        .collect();
    println!(
        "\n{:<34} {:>8} {:>8} {:>8}",
        "away, in seconds", "least", "median", "most"
    );
    row("change the tag; pull; up -d", &by_hand);
    row("mastopatch apply", &ours);
    println!("\nOf mastopatch's downtime, median seconds by its own journal:");
    for step in [
        "fence", "snapshot", "prove", "migrate", "switch", "verify", "open",
    ] {
        let seconds = ours.iter().map(|run| run.step(step)).collect();
        println!("  {step:<10} {:>6.1}", median(seconds));
    }
    println!("\nIn `verify` the new version must stay well for 15 s (`settle`) before it counts.");
    println!(
        "By hand there is no copy to go back to, and nothing looks whether the new version works."
    );
}

/// One update, seen from outside.
struct Measured {
    away: Duration,
    total: Duration,
    /// Steps and milliseconds, where there is a journal.
    steps: Vec<(String, u64)>,
}

impl Measured {
    fn step(&self, name: &str) -> f64 {
        let ms = self
            .steps
            .iter()
            .find(|(step, _)| step == name)
            .map_or(0, |(_, ms)| *ms);
        Duration::from_millis(ms).as_secs_f64()
    }
}

fn by_hand(lab: &Lab) -> Measured {
    let instance = site(lab);
    let watcher = Watcher::start(&instance);
    let started = Instant::now();
    let file = instance.dir.join("docker-compose.yml");
    let text = fs::read_to_string(&file).expect("compose file");
    fs::write(&file, text.replace(&format!(":{FROM}"), &format!(":{TO}"))).expect("compose file");
    instance.compose(&["pull", "--quiet"]);
    instance.compose(&["up", "-d"]);
    let total = started.elapsed();
    instance.wait_healthy(TO);
    Measured {
        away: watcher.stop(),
        total,
        steps: Vec::new(),
    }
}

fn ours(lab: &Lab) -> Measured {
    let instance = site(lab);
    let github = GitHub::with_releases(&[FROM, TO]);
    let mut product = Product::configure(&instance, &github.base_url());
    product.change(|settings| settings.settle = "15s".to_owned());
    let watcher = Watcher::start(&instance);
    let applied = product.run(&["apply", "--to", TO, "--yes"]).expect_code(0);
    instance.wait_healthy(TO);
    let away = watcher.stop();
    let steps = product.last_run()["steps"]
        .as_array()
        .map_or_else(Vec::new, |steps| {
            let step = |step: &serde_json::Value| {
                Some((
                    step["step"].as_str()?.to_owned(),
                    step["elapsed_ms"].as_u64()?,
                ))
            };
            steps.iter().filter_map(step).collect()
        });
    Measured {
        away,
        total: applied.elapsed,
        steps,
    }
}

/// A site that serves, on an engine that has not pulled the new version yet.
fn site(lab: &Lab) -> Instance {
    let instance = Instance::start(lab, &InstanceOptions::at(FROM).seeded(500, 5000));
    for name in ["mastodon", "mastodon-streaming"] {
        let image = format!("{}/mastodon/{name}:{TO}", lab.registry);
        // It is there from the second repetition on.
        drop(support::shell::attempt("docker", ["rmi", "-f", &image]));
    }
    instance
}

fn told(what: &str, run: u32, measured: Measured) -> Measured {
    println!(
        "{what:<12} run {run}: away {:>5.1} s, the commands took {:>5.1} s",
        measured.away.as_secs_f64(),
        measured.total.as_secs_f64()
    );
    measured
}

fn row(what: &str, runs: &[Measured]) {
    let seconds: Vec<f64> = runs.iter().map(|run| run.away.as_secs_f64()).collect();
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = seconds.iter().copied().fold(0.0, f64::max);
    println!(
        "{what:<34} {least:>8.1} {:>8.1} {most:>8.1}",
        median(seconds)
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Somebody who asks for `/health` all the time.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watcher {
    fn start(instance: &Instance) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let url = format!("http://127.0.0.1:{}/health", instance.web_port);
        let domain = instance.domain.clone();
        let thread = std::thread::spawn(move || watch(&url, &domain, &flag));
        std::thread::sleep(MARGIN);
        Self { stop, thread }
    }

    /// The longest time between two good answers.
    fn stop(self) -> Duration {
        std::thread::sleep(MARGIN);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("watcher")
    }
}

fn watch(url: &str, domain: &str, stop: &AtomicBool) -> Duration {
    let agent = agent(ANSWER_WITHIN);
    let mut last_good: Option<Instant> = None;
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let good = agent
            .get(url)
            .header("Host", domain)
            .call()
            .is_ok_and(|answer| answer.status() == 200);
        if good {
            let now = Instant::now();
            if let Some(last) = last_good {
                longest = longest.max(now.duration_since(last));
            }
            last_good = Some(now);
        }
        std::thread::sleep(ASK_EVERY);
    }
    longest
}
