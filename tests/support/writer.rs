//! Somebody who keeps posting through the published port and remembers every acknowledged status.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{Instance, agent};
use super::{check, eventually};

/// Pause between two posts: several writes per second, without eating the two cores.
const PAUSE: Duration = Duration::from_millis(150);
/// How long one post may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A status the server said it had stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) id: String,
    pub(crate) text: String,
    at: Instant,
}

/// What the writer saw.
#[derive(Debug, Clone)]
pub(crate) struct WriterReport {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Posts that nobody took: connection refused.
    pub(crate) refused: u64,
    /// Posts that failed in any other way: 5xx, reset, no answer in time.
    pub(crate) failed: u64,
    /// The longest time without an acknowledged post in which at least one post failed.
    pub(crate) downtime: Duration,
}

/// The running writer.
#[must_use = "the writer stops when this is dropped"]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    marker: String,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    refused: AtomicU64,
    failed: AtomicU64,
    acknowledged: Mutex<Vec<Acknowledged>>,
    gaps: Mutex<Vec<Duration>>,
}

impl Writer {
    /// Makes an account and posts until stopped; returns after the first acknowledged post.
    pub(crate) fn start(instance: &Instance) -> Self {
        let marker = format!("writer{}", uuid::Uuid::now_v7().simple());
        let username = format!("w{}", &marker[marker.len() - 12..]);
        let base = format!("http://127.0.0.1:{}", instance.web_port);
        let poster = Poster {
            base,
            domain: instance.domain.clone(),
            agent: agent(PATIENCE),
        };
        let account = eventually("the writer's account", Duration::from_secs(30), || {
            poster
                .post(
                    "/api/v1/accounts",
                    &json!({"username": username}),
                    &username,
                )
                .map_err(|err| err.to_string())
        });
        let account = account["id"]
            .as_str()
            .map_or_else(|| account["id"].to_string(), str::to_owned);
        let shared = Arc::new(Shared::default());
        let thread = {
            let (shared, marker) = (Arc::clone(&shared), marker.clone());
            std::thread::Builder::new()
                .name("writer".to_owned())
                .spawn(move || keep_posting(&shared, &poster, &account, &marker))
                .expect("writer thread")
        };
        let writer = Self {
            shared,
            thread: Some(thread),
            marker,
        };
        writer.wait_for_more(1);
        writer
    }

    /// Waits until this many more posts have been acknowledged.
    pub(crate) fn wait_for_more(&self, posts: usize) {
        let wanted = self.count() + posts;
        eventually(
            "the writer's posts are acknowledged",
            Duration::from_secs(60),
            || {
                check(
                    self.count() >= wanted,
                    format!("{} of {wanted}", self.count()),
                )
            },
        );
    }

    /// Acknowledged posts so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.acknowledged.lock().expect("writer").len()
    }

    /// Ends the writing and says what was seen.
    pub(crate) fn stop(mut self) -> WriterReport {
        self.halt();
        let acknowledged = self.shared.acknowledged.lock().expect("writer").clone();
        let gaps = self.shared.gaps.lock().expect("writer");
        WriterReport {
            acknowledged,
            refused: self.shared.refused.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
            downtime: gaps.iter().copied().max().unwrap_or_default(),
        }
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.halt();
    }
}

impl WriterReport {
    /// Ids of acknowledged statuses that are not in the database, or not once, or not with their text.
    pub(crate) fn missing(&self, instance: &Instance) -> Vec<String> {
        let Some(first) = self.acknowledged.first() else {
            return Vec::new();
        };
        let marker = first
            .text
            .split(' ')
            .next()
            .expect("the marker stands first");
        let rows = instance.sql(&format!(
            "SELECT coalesce(json_agg(json_build_array(id::text, text)), '[]') FROM statuses WHERE text LIKE '{marker} %'"
        ));
        let rows: Vec<(String, String)> = serde_json::from_str(&rows).expect("rows as JSON");
        let mut stored: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, text) in &rows {
            stored.entry(id).or_default().push(text);
        }
        let present = |wanted: &&Acknowledged| {
            stored
                .get(wanted.id.as_str())
                .is_some_and(|texts| *texts == [wanted.text.as_str()])
        };
        self.acknowledged
            .iter()
            .filter(|wanted| !present(wanted))
            .map(|wanted| wanted.id.clone())
            .collect()
    }
}

struct Poster {
    base: String,
    domain: String,
    agent: ureq::Agent,
}

impl Poster {
    fn post(&self, path: &str, body: &Value, key: &str) -> Result<Value, ureq::Error> {
        let mut response = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("Host", &self.domain)
            .header("X-Forwarded-Proto", "https")
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", key)
            .send(body.to_string())?;
        let text = response.body_mut().read_to_string()?;
        if response.status() != 200 {
            return Err(ureq::Error::StatusCode(response.status().as_u16()));
        }
        serde_json::from_str(&text).map_err(|err| ureq::Error::Io(std::io::Error::other(err)))
    }
}

fn keep_posting(shared: &Shared, poster: &Poster, account: &str, marker: &str) {
    let mut number = 0_u64;
    let mut last = Instant::now();
    let mut failed_since = false;
    while !shared.stop.load(Ordering::Relaxed) {
        number += 1;
        let text = format!(
            "{marker} {number} Übers Wasser: bicycle weather, coffee & a \"release\" morning \\ tab\there #topic{}",
            number % 40
        );
        let body = json!({"account": account, "account_id": account, "text": text});
        match poster.post("/api/v1/statuses", &body, &format!("{marker}-{number}")) {
            Ok(answer) => {
                let id = answer["id"]
                    .as_str()
                    .map_or_else(|| answer["id"].to_string(), str::to_owned);
                let now = Instant::now();
                if failed_since {
                    shared
                        .gaps
                        .lock()
                        .expect("writer")
                        .push(now.duration_since(last));
                }
                (last, failed_since) = (now, false);
                shared
                    .acknowledged
                    .lock()
                    .expect("writer")
                    .push(Acknowledged { id, text, at: now });
            }
            Err(err) => {
                failed_since = true;
                let refused = matches!(&err, ureq::Error::ConnectionFailed)
                    || matches!(&err, ureq::Error::Io(err) if err.kind() == std::io::ErrorKind::ConnectionRefused);
                let counter = if refused {
                    &shared.refused
                } else {
                    &shared.failed
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(PAUSE);
    }
}
