//! Plans and journals for tests: a patch without migrations, a minor step with, and what can go wrong.
#![allow(clippy::arithmetic_side_effects, reason = "tests may fail loudly")]

use jiff::{SignedDuration, Timestamp};

use crate::domain::advisory::Severity;
use crate::domain::event::{Blame, Entry, Event, Finding, Outcome, Step, UndoStep};
use crate::domain::plan::{
    Asked, DatabaseRef, ImageKind, Limits, Method, OnDeadline, Owner, PLAN_FORMAT, Plan,
    PlannedFile, PlannedImage, PlannedService, Proof, RedisRef, Role, Site, Why,
};
use crate::domain::version::UpdateKind;

/// When every sample run begins.
pub(crate) const START: &str = "2026-11-21T02:00:00Z";

/// A security patch of `social.example`, 4.5.2 to 4.5.4.
#[expect(clippy::too_many_lines, reason = "it is one value")]
pub(crate) fn plan() -> Plan {
    Plan {
        format: PLAN_FORMAT,
        run: "019aa3f0-0000-7000-8000-00000000abcd".to_owned(),
        instance: "social.example".to_owned(),
        project: "mastodon".to_owned(),
        from: "4.5.2".parse().unwrap(),
        to: "4.5.4".parse().unwrap(),
        kind: UpdateKind::Patch,
        why: Why {
            asked_by: Asked::Rule("security".to_owned()),
            reasons: vec!["4.5.4 closes an advisory of severity high".to_owned()],
            emergency: None,
            advisories: vec!["GHSA-aaaa-bbbb-cccc".to_owned()],
            severity: Some(Severity::High),
            published_at: "2026-11-20T14:00:00Z".parse().unwrap(),
            url: "https://github.com/mastodon/mastodon/releases/tag/v4.5.4".to_owned(),
        },
        expected_commit: None,
        images: vec![PlannedImage {
            kind: ImageKind::Main,
            repository: "ghcr.io/mastodon/mastodon".to_owned(),
            from_reference: "ghcr.io/mastodon/mastodon:v4.5.2".to_owned(),
            from_id: format!("sha256:{}", "1".repeat(64)),
            to_reference: "ghcr.io/mastodon/mastodon:v4.5.4".to_owned(),
            to_digest: format!("sha256:{}", "2".repeat(64)),
        }],
        services: vec![PlannedService {
            service: "web".to_owned(),
            role: Role::Web,
            container: "mastodon-web-1".to_owned(),
            id: "c".repeat(64),
            private_networks: vec!["internal".to_owned()],
            public_networks: Vec::new(),
            port: Some(3000),
            published: Some("127.0.0.1:3000".to_owned()),
        }],
        site: Site {
            domain: "social.example".to_owned(),
        },
        database: DatabaseRef {
            container: "mastodon-db-1".to_owned(),
            owner: Owner::Instance,
            network: "internal".to_owned(),
            host: "db".to_owned(),
            port: 5432,
            user: "mastodon".to_owned(),
            name: "mastodon".to_owned(),
            server_version: 150_004,
            bytes: 1 << 30,
        },
        redis: RedisRef {
            container: "mastodon-redis-1".to_owned(),
            owner: Owner::Instance,
            network: "internal".to_owned(),
            host: "redis".to_owned(),
            port: 6379,
        },
        files: vec![PlannedFile {
            path: "/srv/mastodon/docker-compose.yml".to_owned(),
            before_sha256: "a".repeat(64),
            after_sha256: "b".repeat(64),
        }],
        material_sha256: "d".repeat(64),
        limits: Limits {
            pull_s: 1800,
            stop_grace_s: 60,
            snapshot_s: 3600,
            migrate_s: 3600,
            boot_s: 300,
            settle_s: 10,
            keep_snapshots: 3,
            keep_snapshots_for_s: None,
        },
        created_at: START.parse().unwrap(),
        hard_deadline: None,
        close_by: None,
        on_deadline: OnDeadline::Rollback,
        method: Method::Logical,
        method_because: String::new(),
        proof: Proof::default(),
        rehearsed: None,
        way_back_s: 0,
        restore: None,
    }
}

/// Writes a journal: each event one second after the one before, plus the time its step took.
pub(crate) struct Scribe {
    at: Timestamp,
    entries: Vec<Entry>,
}

impl Scribe {
    /// Begins with `planned`.
    pub(crate) fn new() -> Self {
        let mut scribe = Self {
            at: START.parse().unwrap(),
            entries: Vec::new(),
        };
        scribe.push(Event::Planned {
            plan_hash: plan().hash().unwrap(),
        });
        scribe
    }

    pub(crate) fn push(&mut self, event: Event) -> &mut Self {
        self.after(1, event)
    }

    /// One event, `seconds` later.
    pub(crate) fn after(&mut self, seconds: i64, event: Event) -> &mut Self {
        let seq = u64::try_from(self.entries.len()).unwrap() + 1;
        self.at += SignedDuration::from_secs(seconds);
        self.entries.push(Entry {
            seq,
            at: self.at,
            event,
        });
        self
    }

    /// A step and its result, `ms` later.
    pub(crate) fn step(&mut self, step: Step, ms: u64, finding: Finding) -> &mut Self {
        self.push(Event::Intent { step });
        self.at += SignedDuration::from_millis(i64::try_from(ms).unwrap());
        self.push(Event::Done {
            step,
            elapsed_ms: ms,
            finding,
        })
    }

    pub(crate) fn fails(&mut self, step: Step, ms: u64, error: &str, blame: Blame) -> &mut Self {
        self.push(Event::Intent { step });
        self.at += SignedDuration::from_millis(i64::try_from(ms).unwrap());
        self.push(Event::Failed {
            step,
            elapsed_ms: ms,
            error: error.to_owned(),
            blame,
            not_begun: false,
        })
        .push(Event::RollbackBegun {
            because: error.to_owned(),
        })
    }

    pub(crate) fn back(&mut self, step: UndoStep, ms: u64, finding: Finding) -> &mut Self {
        self.push(Event::UndoIntent { step, attempt: 1 });
        self.at += SignedDuration::from_millis(i64::try_from(ms).unwrap());
        self.push(Event::UndoDone {
            step,
            elapsed_ms: ms,
            finding,
        })
    }

    pub(crate) fn ends(&mut self, outcome: Outcome, because: &str) -> Vec<Entry> {
        self.push(Event::Finished {
            outcome,
            because: because.to_owned(),
        });
        self.entries()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    /// Preflight, pull with these migrations, fence (closed after 0.2 s of 1 s), snapshot (4 s), proof
    /// (2 s).
    pub(crate) fn until_proved(pending: &[&str], pending_post: &[&str]) -> Self {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let mut scribe = Self::new();
        scribe
            .step(Step::Preflight, 300, Finding::Nothing)
            .step(
                Step::Pull,
                8_000,
                Finding::Pulled {
                    image_ids: vec!["sha256:22".to_owned(), "sha256:33".to_owned()],
                    pending: texts(pending),
                    pending_post: texts(pending_post),
                    config_hashes: std::collections::BTreeMap::new(),
                    brings_data: false,
                },
            )
            .step(
                Step::Fence,
                1_000,
                Finding::Fenced {
                    closed_after_ms: 200,
                    started: [].into(),
                },
            )
            .step(
                Step::Snapshot,
                4_000,
                Finding::Snapshotted {
                    path: "/var/lib/mastopatch/snapshots/0001".to_owned(),
                    bytes: 3 << 20,
                },
            )
            .step(
                Step::Prove,
                2_000,
                Finding::Proved {
                    tables: 4,
                    rows: 12_345,
                    bytes: 0,
                    redis_keys: 7,
                    restored: None,
                    only_read: None,
                },
            );
        scribe
    }
}

/// Committed without migrations. Closed for 0.8 + 4 + 2 + 6 + 3 + 0.25 s = 16.05 s.
pub(crate) fn committed_m0() -> Vec<Entry> {
    let mut scribe = Scribe::until_proved(&[], &[]);
    scribe.step(
        Step::Migrate,
        0,
        Finding::Skipped {
            because: "no migration is pending".to_owned(),
        },
    );
    to_the_end(&mut scribe)
}

/// Committed with migrations of both phases. Closed for 30 s more.
pub(crate) fn committed_m2() -> Vec<Entry> {
    let mut scribe = Scribe::until_proved(&["20261101000000"], &["20261102000000"]);
    scribe.step(Step::Migrate, 30_000, Finding::Migrated { applied: 2 });
    to_the_end(&mut scribe)
}

fn to_the_end(scribe: &mut Scribe) -> Vec<Entry> {
    scribe
        .step(Step::Switch, 6_000, Finding::Nothing)
        .step(
            Step::Verify,
            3_000,
            Finding::Verified {
                probes: vec!["web answers 200".to_owned(), "version is 4.5.4".to_owned()],
            },
        )
        .push(Event::Committed)
        .step(
            Step::Open,
            500,
            Finding::Opened {
                open_after_ms: 250,
                notes: Vec::new(),
            },
        )
        .step(Step::Finalise, 700, Finding::Nothing)
        .ends(
            Outcome::Committed,
            "the new version serves and answered every probe",
        )
}

/// Its migration broke; data was restored. Closed for 0.8 + 4 + 2 + 5 + 1 + 10 + 0.1 + 7 + 2 s.
pub(crate) fn rolled_back() -> Vec<Entry> {
    let error = "failed to migrate: migration 20261101000000 failed: column \"x\" does not exist";
    let mut scribe = Scribe::until_proved(&["20261101000000"], &[]);
    scribe
        .fails(Step::Migrate, 5_000, error, Blame::Target)
        .back(UndoStep::RemoveNew, 1_000, Finding::Nothing)
        .back(
            UndoStep::RestoreData,
            10_000,
            Finding::Restored {
                tables: 4,
                rows: 12_345,
            },
        )
        .back(UndoStep::RestoreFiles, 100, Finding::Nothing)
        .back(UndoStep::StartOld, 7_000, Finding::Nothing)
        .back(UndoStep::VerifyOld, 2_000, Finding::Nothing)
        .back(UndoStep::CleanUp, 400, Finding::Nothing)
        .ends(Outcome::RolledBack, error)
}

/// The registry did not answer; the site was never closed.
pub(crate) fn aborted() -> Vec<Entry> {
    let error = "failed to pull `ghcr.io/mastodon/mastodon:v4.5.4`: the registry did not answer";
    Scribe::new()
        .step(Step::Preflight, 300, Finding::Nothing)
        .fails(Step::Pull, 60_000, error, Blame::Host)
        .back(UndoStep::CleanUp, 10, Finding::Nothing)
        .ends(Outcome::Aborted, error)
}

/// The way back failed three times with the site closed.
pub(crate) fn held() -> Vec<Entry> {
    let mut scribe = Scribe::until_proved(&["20261101000000"], &[]);
    scribe.fails(Step::Migrate, 5_000, "failed to migrate", Blame::Target);
    for attempt in 1..=3 {
        let step = UndoStep::RemoveNew;
        scribe
            .push(Event::UndoIntent { step, attempt })
            .push(Event::UndoFailed {
                step,
                elapsed_ms: 2_000,
                error: "the engine does not answer".to_owned(),
                needs_person: false,
            });
    }
    scribe.ends(Outcome::Held, "the way back failed 3 times")
}

/// The power went in the middle of the migration and came back ten minutes later.
pub(crate) fn interrupted() -> Vec<Entry> {
    let because = "interrupted in step `migrate`: the process ended";
    let mut scribe = Scribe::until_proved(&["20261101000000"], &[]);
    scribe
        .push(Event::Intent {
            step: Step::Migrate,
        })
        .after(
            600,
            Event::Resumed {
                because: "the process ended".to_owned(),
            },
        )
        .push(Event::RollbackBegun {
            because: because.to_owned(),
        })
        .back(UndoStep::RemoveNew, 1_000, Finding::Nothing)
        .back(
            UndoStep::RestoreData,
            10_000,
            Finding::Restored {
                tables: 4,
                rows: 12_345,
            },
        )
        .back(UndoStep::RestoreFiles, 100, Finding::Nothing)
        .back(UndoStep::StartOld, 7_000, Finding::Nothing)
        .back(UndoStep::VerifyOld, 2_000, Finding::Nothing)
        .back(UndoStep::CleanUp, 400, Finding::Nothing)
        .ends(Outcome::RolledBack, because)
}
