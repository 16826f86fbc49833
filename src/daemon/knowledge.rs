//! What is known: GitHub's answers, kept in the store, and what follows for an instance.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::adapters::store::{CachedAnswer, Store};
use crate::config::{Instance, Settings};
use crate::domain::advisory::Advisory;
use crate::domain::decide::{Approval, Attempt, Facts, Hold, Pin, Quarantined};
use crate::domain::event::{Event, Outcome, Step};
use crate::domain::installed::Installed;
use crate::domain::path::Host;
use crate::domain::published::Published;
use crate::domain::release::Release;
use crate::domain::version::ReleaseVersion;
use crate::engine::planner::InstanceRef;
use crate::ports::release_source::{CachedPages, ReleaseSource, ReleaseSourceError};
use crate::ports::store::{Journal, StoreError};

/// Time that a run and its way back need together as long as nothing was measured on this host. A small
/// host reported 10 minutes of backup and 6 of downtime for a minor step; the way back takes as long.
const UNMEASURED: SignedDuration = SignedDuration::from_mins(45);
/// Nothing starts with less left in a window, however fast the last runs were.
const FLOOR: SignedDuration = SignedDuration::from_mins(15);

/// What GitHub says.
#[derive(Debug, Clone)]
pub struct Known {
    /// Releases.
    pub releases: Vec<Release>,
    /// Advisories.
    pub advisories: Vec<Advisory>,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// GitHub.
    #[error("failed to ask GitHub for {what}")]
    Source {
        /// `releases`, `advisories`, ….
        what: &'static str,
        /// What it said.
        #[source]
        source: ReleaseSourceError,
    },
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks GitHub, and keeps its answers. A failed question forgets nothing that was known.
pub async fn refresh<S: ReleaseSource>(
    store: &Store,
    source: &S,
    repository: &str,
    now: Timestamp,
) -> Result<Known, KnowledgeError> {
    let key = format!("releases of {repository}");
    let known = pages(store, &key)?;
    let releases = source
        .releases(&known)
        .await
        .map_err(|source| KnowledgeError::Source {
            what: "releases",
            source,
        })?;
    keep(store, &key, &releases.pages, now)?;
    let key = format!("advisories of {repository}");
    let known = pages(store, &key)?;
    let advisories = source
        .advisories(&known)
        .await
        .map_err(|source| KnowledgeError::Source {
            what: "advisories",
            source,
        })?;
    keep(store, &key, &advisories.pages, now)?;
    for release in &releases.items {
        store.first_seen("release", &release.tag, now)?;
    }
    let mut problems = releases.problems;
    problems.extend(advisories.problems);
    Ok(Known {
        releases: releases.items,
        advisories: advisories.items,
        problems,
    })
}

fn pages(store: &Store, key: &str) -> Result<CachedPages, StoreError> {
    let cached = store.cached(key)?;
    // Pages that cannot be read any more are as good as none.
    Ok(cached
        .and_then(|answer| serde_json::from_slice(&answer.body).ok())
        .unwrap_or_default())
}

fn keep(store: &Store, key: &str, pages: &CachedPages, now: Timestamp) -> Result<(), StoreError> {
    let body = serde_json::to_vec(pages).unwrap_or_default();
    store.put_cached(
        key,
        &CachedAnswer {
            etag: None,
            body,
            fetched_at: now,
        },
    )
}

impl Known {
    /// The same, ready to be decided upon.
    pub fn published(&self) -> Published {
        Published::new(self.releases.clone(), self.advisories.clone())
            .with_problems(self.problems.clone())
    }
}

/// The facts about a version that runs nowhere.
pub fn what_if(version: ReleaseVersion, known: &Known) -> Facts {
    Facts {
        instance: "nobody".to_owned(),
        installed: Installed::taken_for_granted(version),
        host: Host::default(),
        published: Arc::new(known.published()),
        quarantined: Vec::new(),
        approvals: Vec::new(),
        hold: None,
        pin: None,
        attempts: Vec::new(),
        planned: None,
        problems: Vec::new(),
    }
}

/// Everything `decide` needs about one instance.
pub fn facts(
    store: &Store,
    instance: &Instance,
    installed: ReleaseVersion,
    known: &Known,
) -> Result<Facts, StoreError> {
    let mut problems = Vec::new();
    let mut quarantined = Vec::new();
    for row in store.quarantined(&instance.name)? {
        match row.version.parse() {
            Ok(version) => quarantined.push(Quarantined {
                version,
                reason: row.reason,
            }),
            Err(err) => problems.push(format!("A quarantined version is unreadable: {err}.")),
        }
    }
    let mut approvals = Vec::new();
    for row in store.approvals(&instance.name)? {
        if let Ok(version) = row.version.parse() {
            approvals.push(Approval {
                version,
                plan: row.plan_hash,
                expires_at: row.expires_at,
                by: row.by,
                at: row.at,
            });
        }
    }
    Ok(Facts {
        instance: instance.name.clone(),
        installed: Installed::taken_for_granted(installed),
        host: Host::default(),
        published: Arc::new(known.published()),
        hold: store.hold(&instance.name)?.map(|row| Hold {
            reason: row.reason,
            by: row.by,
            at: row.at,
            until: row.until,
        }),
        pin: pin(store, instance, &mut problems)?,
        planned: None,
        quarantined,
        approvals,
        attempts: attempts(store, &instance.name)?,
        problems,
    })
}

fn pin(
    store: &Store,
    instance: &Instance,
    problems: &mut Vec<String>,
) -> Result<Option<Pin>, StoreError> {
    let Some(row) = store.pin(&instance.name)? else {
        return Ok(None);
    };
    let to = row.to.parse();
    if to.is_err() {
        problems.push(format!("A pin is unreadable: {}.", row.to));
    }
    Ok(to.ok().map(|to| Pin {
        to,
        reason: row.reason,
        by: row.by,
        at: row.at,
        until: row.until,
    }))
}

/// Runs since the last one that committed, newest first.
fn attempts(store: &Store, instance: &str) -> Result<Vec<Attempt>, StoreError> {
    /// More than enough for the pauses between tries to have reached their longest.
    const LOOKED_AT: u32 = 20;
    let mut attempts = Vec::new();
    for run in store.runs(instance, LOOKED_AT)? {
        let Some(last) = run.journal.last() else {
            continue;
        };
        let Event::Finished { outcome, .. } = last.event else {
            continue;
        };
        if outcome == Outcome::Committed {
            break;
        }
        let closed = run
            .journal
            .iter()
            .any(|entry| matches!(entry.event, Event::Intent { step } if step == Step::Fence));
        attempts.push(Attempt {
            version: run.plan.to,
            outcome,
            closed,
            at: last.at,
        });
    }
    Ok(attempts)
}

/// How long a run and its way back may take on this host: twice the slowest measured run, or a careful
/// default before anything was measured.
pub fn time_needed(store: &Store, instance: &Instance) -> Result<SignedDuration, StoreError> {
    let mut slowest_ms = 0_u64;
    for step in Step::ALL {
        let longest = store
            .durations(&instance.name, step)?
            .into_iter()
            .max()
            .unwrap_or(0);
        slowest_ms = slowest_ms.saturating_add(longest);
    }
    if slowest_ms == 0 {
        return Ok(UNMEASURED);
    }
    let both = i64::try_from(slowest_ms.saturating_mul(2)).unwrap_or(i64::MAX);
    Ok(SignedDuration::from_millis(both).max(FLOOR))
}

/// The instance, as the planner wants it.
pub fn instance_ref(instance: &Instance) -> InstanceRef {
    InstanceRef {
        name: instance.name.clone(),
        project: instance.project.clone(),
        main_image: instance.main_image.clone(),
        streaming_image: instance.streaming_image.clone(),
    }
}

/// The instance of this name; the only one when no name is given.
pub fn choose<'a>(settings: &'a Settings, name: Option<&str>) -> Result<&'a Instance, String> {
    let names = || {
        settings
            .instances
            .iter()
            .map(|i| i.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (name, settings.instances.as_slice()) {
        (Some(name), all) => all
            .iter()
            .find(|instance| instance.name == name)
            .ok_or_else(|| {
                format!(
                    "there is no instance `{name}`; the configuration has: {}",
                    names()
                )
            }),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("say which instance with --instance: {}", names())),
    }
}
