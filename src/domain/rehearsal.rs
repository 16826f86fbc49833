//! A rehearsal: the new version's migrations, and its web, tried on a copy of the running site's data before the window.
//!
//! What it measured is bound to what it tried: the instance, both versions, and both images of each kind.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{ImageKind, Plan, sha256_hex};
use super::version::ReleaseVersion;

/// Format of the rehearsals this program writes.
pub const REHEARSAL_FORMAT: u32 = 1;
/// What a measured length is multiplied with, in percent, where a run must be over in time: the live database is the same
/// size, but a host is not equally busy at all hours.
const MARGIN: u64 = 125;

/// One rehearsal, as it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsal {
    /// [`REHEARSAL_FORMAT`] of the program that wrote it.
    pub format: u32,
    /// Its id; see [`prefix`].
    pub id: String,
    /// Name of the instance.
    pub instance: String,
    /// The version that served.
    pub from: ReleaseVersion,
    /// The version that was tried.
    pub to: ReleaseVersion,
    /// The images, main first.
    pub images: Vec<RehearsedImage>,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was over.
    pub ended_at: Timestamp,
    /// How long it took, by a monotonic clock.
    pub elapsed_ms: u64,
    /// What came of it.
    pub result: Tried,
}

/// An image that was rehearsed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RehearsedImage {
    /// Which, as in the plan: `main` or `streaming`.
    pub kind: String,
    /// Id of the image that served.
    pub from_id: String,
    /// Digest of the one that was tried.
    pub to_digest: String,
}

/// What came of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Tried {
    /// The new version migrated the copy, booted on it and answered every probe.
    Passed(Measures),
    /// The new version is at fault: trying it again unchanged fails again.
    Failed {
        /// How that showed.
        because: String,
    },
    /// It was not carried to its end, and that says nothing about the new version.
    NotDone {
        /// What was in the way.
        because: String,
    },
}

/// What a rehearsal measured, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Measures {
    /// The dump of the running site's database.
    pub dump_ms: u64,
    /// Its restore into the throw-away server.
    pub restore_ms: u64,
    /// A clone made in the throw-away server, where the run is to make one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_ms: Option<u64>,
    /// The copy of Redis.
    #[serde(default)]
    pub redis_ms: u64,
    /// Redis' copy read back.
    #[serde(default)]
    pub redis_proof_ms: u64,
    /// The migrations; 0 where none was pending.
    pub migrate_ms: u64,
    /// From web's start until it answered every probe.
    pub boot_ms: u64,
    /// Migrations applied.
    pub applied: u64,
    /// Tables that nobody else could have read or written meanwhile, the longest first.
    pub locked: Vec<LockedTable>,
    /// How long the site is expected to be closed.
    pub downtime_ms: u64,
    /// Folder of the dump, which stays as a copy on this host's disk.
    pub snapshot: String,
    /// Bytes in it.
    pub snapshot_bytes: u64,
}

/// A table that was locked exclusively while it was migrated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockedTable {
    /// Its name.
    pub table: String,
    /// For how long, as far as it was seen.
    pub ms: u64,
}

/// What the steps of a closed site took in the last committed runs of an instance, in milliseconds; none where there were
/// none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usual {
    /// To stop the old version.
    pub fence: Option<u64>,
    /// To put the new containers in place.
    pub switch: Option<u64>,
    /// To probe them.
    pub verify: Option<u64>,
    /// To let people in.
    pub open: Option<u64>,
}

/// What a rehearsal says of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rehearsed {
    /// The same was rehearsed, and went well.
    Passed {
        /// The rehearsal's id.
        id: String,
        /// When it was over.
        at: Timestamp,
        /// How long the site is expected to be closed.
        downtime_ms: u64,
    },
    /// It was not, and why.
    Not {
        /// A part of a sentence.
        because: String,
    },
}

/// What is done about rehearsals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rehearse {
    /// Nothing starts by itself that was not rehearsed.
    Required,
    /// What waits is rehearsed where that can be; what was not goes on all the same, and says so.
    #[default]
    WhenPossible,
    /// Nothing is rehearsed by itself.
    Off,
}

/// What the ids of an instance's rehearsals begin with: they are neither those of runs nor of another instance. An
/// instance's name may hold what no path may.
pub fn prefix(instance: &str) -> String {
    let name: String = sha256_hex(instance.as_bytes()).chars().take(8).collect();
    format!("rehearsal-{name}-")
}

impl Rehearsal {
    /// Whether it tried this step, with whatever images.
    pub fn is_step(&self, from: &ReleaseVersion, to: &ReleaseVersion) -> bool {
        self.from == *from && self.to == *to
    }

    /// Whether it tried what the plan would do: the same versions and images.
    pub fn is_of(&self, plan: &Plan) -> bool {
        self.instance == plan.instance
            && self.is_step(&plan.from, &plan.to)
            && self.images == images_of(plan)
    }

    /// What was measured, if it passed.
    pub fn measures(&self) -> Option<&Measures> {
        match &self.result {
            Tried::Passed(measures) => Some(measures),
            Tried::Failed { .. } | Tried::NotDone { .. } => None,
        }
    }

    /// What its migrations may take in a run, if it passed.
    pub fn migrations(&self) -> Option<SignedDuration> {
        let measured = self.measures()?.migrate_ms;
        let ms = measured.saturating_mul(MARGIN).div_ceil(100);
        Some(SignedDuration::from_millis(
            i64::try_from(ms).unwrap_or(i64::MAX),
        ))
    }
}

/// What the newest rehearsals say of a plan; `newest_first` are those of its instance.
pub fn rehearsed(newest_first: &[Rehearsal], plan: &Plan) -> Rehearsed {
    let of_plan = newest_first.iter().find(|it| it.is_of(plan));
    let of_version = newest_first
        .iter()
        .find(|it| it.is_step(&plan.from, &plan.to));
    let because = match (of_plan, of_version) {
        (Some(it), _) => match &it.result {
            Tried::Passed(measures) => {
                return Rehearsed::Passed {
                    id: it.id.clone(),
                    at: it.ended_at,
                    downtime_ms: measures.downtime_ms,
                };
            }
            Tried::Failed { because } | Tried::NotDone { because } => because.clone(),
        },
        (None, Some(_)) => "other images of this version were rehearsed".to_owned(),
        (None, None) => "nobody asked for it, and there was no time before the start".to_owned(),
    };
    Rehearsed::Not { because }
}

/// The images of a plan, as a rehearsal keeps them.
pub fn images_of(plan: &Plan) -> Vec<RehearsedImage> {
    let kind = |kind: ImageKind| match kind {
        ImageKind::Main => "main",
        ImageKind::Streaming => "streaming",
    };
    plan.images
        .iter()
        .map(|image| RehearsedImage {
            kind: kind(image.kind).to_owned(),
            from_id: image.from_id.clone(),
            to_digest: image.to_digest.clone(),
        })
        .collect()
}

impl Usual {
    /// How long a site is closed, if what a rehearsal tried is done: what it measured of the data and the migrations, the
    /// rest as the last runs took it, and where there were none, as the rehearsal lets it be reckoned. `settle_ms` is the
    /// time for which a new version has to stay well.
    pub fn downtime_ms(&self, measures: &Measures, settle_ms: u64) -> u64 {
        /// Until web, streaming and Sidekiq have ended by themselves.
        const FENCE_MS: u64 = 3_000;
        /// Three containers are renamed and three made.
        const SWITCH_MS: u64 = 1_500;
        /// The published port answers soon after its network is connected.
        const OPEN_MS: u64 = 500;
        // Of the database and of Redis: copied one after the other, proved at the same time.
        let copy = measures.clone_ms.unwrap_or(measures.dump_ms);
        let proof = match measures.clone_ms {
            Some(_) => measures.redis_proof_ms,
            None => measures.restore_ms.max(measures.redis_proof_ms),
        };
        // Once web and streaming are well, Sidekiq boots while both have to stay so.
        let verify = measures
            .boot_ms
            .saturating_add(settle_ms.max(measures.boot_ms));
        [
            self.fence.unwrap_or(FENCE_MS),
            copy.saturating_add(measures.redis_ms),
            proof,
            measures.migrate_ms,
            self.switch.unwrap_or(SWITCH_MS),
            self.verify.unwrap_or(verify),
            self.open.unwrap_or(OPEN_MS),
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::samples;

    fn measures() -> Measures {
        Measures {
            dump_ms: 4_000,
            restore_ms: 6_000,
            clone_ms: None,
            redis_ms: 500,
            redis_proof_ms: 400,
            migrate_ms: 20_000,
            boot_ms: 5_000,
            applied: 3,
            locked: Vec::new(),
            downtime_ms: 48_500,
            snapshot: "/var/lib/mastopatch/snapshots/x".to_owned(),
            snapshot_bytes: 1,
        }
    }

    fn of(plan: &Plan, result: Tried) -> Rehearsal {
        Rehearsal {
            format: REHEARSAL_FORMAT,
            id: format!("{}1", prefix(&plan.instance)),
            instance: plan.instance.clone(),
            from: plan.from.clone(),
            to: plan.to.clone(),
            images: images_of(plan),
            began_at: plan.created_at,
            ended_at: plan.created_at,
            elapsed_ms: 1,
            result,
        }
    }

    #[test]
    fn a_rehearsal_of_other_images_does_not_count() {
        let plan = samples::plan();
        let passed = of(&plan, Tried::Passed(measures()));
        let said = rehearsed(std::slice::from_ref(&passed), &plan);
        assert!(
            matches!(
                said,
                Rehearsed::Passed {
                    downtime_ms: 48_500,
                    ..
                }
            ),
            "{said:?}"
        );
        let mut moved = plan.clone();
        for image in &mut moved.images {
            image.to_digest = "sha256:moved".to_owned();
        }
        let said = rehearsed(std::slice::from_ref(&passed), &moved);
        let because = "other images of this version were rehearsed".to_owned();
        assert_eq!(said, Rehearsed::Not { because });
        // The newest of the same counts.
        let because = "no room".to_owned();
        let newest = of(
            &plan,
            Tried::NotDone {
                because: because.clone(),
            },
        );
        assert_eq!(
            rehearsed(&[newest, passed], &plan),
            Rehearsed::Not { because }
        );
    }

    #[test]
    fn the_expected_downtime_is_what_was_rehearsed_and_else_what_is_usual() {
        let unmeasured = Usual::default();
        // 3 + (4 + 0.5) + 6 + 20 + 1.5 + (5 + 15) + 0.5 s
        assert_eq!(unmeasured.downtime_ms(&measures(), 15_000), 55_500);
        let usual = Usual {
            fence: Some(1_000),
            switch: Some(500),
            verify: Some(9_000),
            open: Some(100),
        };
        assert_eq!(usual.downtime_ms(&measures(), 15_000), 41_100);
        // A clone takes what it took in the throw-away server, and needs no restore to be proved.
        let cloned = Measures {
            clone_ms: Some(700),
            ..measures()
        };
        assert_eq!(usual.downtime_ms(&cloned, 15_000), 32_200);
    }

    #[test]
    fn the_ids_of_two_instances_do_not_begin_alike() {
        assert_ne!(prefix("a"), prefix("a-b"));
        assert!(!prefix("social.example:443").contains(':'));
    }
}
