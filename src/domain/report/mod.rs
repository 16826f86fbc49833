//! The report of a run: what people read afterwards, made from its plan and its journal only.
//!
//! Everything a report shows came through [`words::clean`]: texts of other programs (errors, mostly)
//! cannot colour a terminal, forge a line of a mail or reverse the direction of what is read.

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod timeline;
pub mod words;

use jiff::Timestamp;
use serde::Serialize;

pub use self::timeline::{Row, RowResult, SiteState};
use self::words::clean;
use super::advisory::Severity;
use super::event::{Entry, Event, Finding, MigrationClass, Outcome};
use super::plan::{Asked, Plan, Restore};
use super::run::RunState;

/// Longest text taken over from an error; the journal has all of it.
const LONGEST_REASON: usize = 2_000;

/// What happened in one run. Its JSON is what `history --json` and `show --json` print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the run that is true or not"
)]
pub struct Report {
    /// The run's id.
    pub id: String,
    /// The instance.
    pub instance: String,
    /// The version before.
    pub from: String,
    /// The version gone to.
    pub to: String,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Why it ended like this, in one sentence.
    pub reason: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How long nobody could reach the site; `None` if it was never closed. See [`Self::site`].
    pub downtime_ms: Option<u64>,
    /// How much of the database the new version changes, if that was found out.
    pub class: Option<MigrationClass>,
    /// What was done, in order.
    pub steps: Vec<Row>,
    /// Whether the downtime holds a span that only the wall clock measured, because the process was
    /// interrupted or a step failed half-way.
    pub downtime_estimated: bool,
    /// Whether the public reaches the site.
    pub site: SiteState,
    /// When the new version became the one.
    pub committed_at: Option<Timestamp>,
    /// Times the process ended in the middle of the run.
    pub interruptions: u32,
    /// The copy from before.
    pub snapshot: Option<SnapshotNote>,
    /// How the database was to be copied: `logical` or `clone`.
    pub method: &'static str,
    /// Why so; empty for runs from before there was a choice.
    pub method_because: String,
    /// Rows counted in the copy and in the database.
    pub rows_proved: Option<u64>,
    /// What was rehearsed before it, in a sentence's part; none where nobody asked.
    pub rehearsed: Option<String>,
    /// Whether the copy was restored into a throw-away server to prove it.
    pub proved_by_restore: bool,
    /// Whether the data are those of the copy again; of a clone, its original.
    pub data_restored: bool,
    /// Rows that came back from the copy, where they were counted.
    pub rows_restored: Option<u64>,
    /// The person who agreed that what was written since the snapshot may be lost.
    pub loss_accepted_by: Option<String>,
    /// Advisories that the new version closes.
    pub advisories: Vec<String>,
    /// The worst of their severities.
    pub severity: Option<Severity>,
    /// Seconds from the release's publication to the commit.
    pub exposure_s: Option<u64>,
    /// Whether the target is not tried again by itself; where a version was taken back, that one.
    pub quarantined: bool,
    /// What was brought back, where the run is no update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreNote>,
    /// Who or what asked for the run.
    pub asked_by: String,
    /// Why it was made.
    pub reasons: Vec<String>,
    /// Why it did not wait for a maintenance window; none where it did, or where a person asked.
    pub emergency: Option<String>,
    /// The release's page.
    pub url: String,
    /// The images.
    pub images: Vec<ImageNote>,
    /// SHA-256 of the plan.
    pub plan_hash: Option<String>,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

/// The copy from before the update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotNote {
    /// Its folder.
    pub path: String,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// What a run brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreNote {
    /// The run whose snapshot it is, or whose update was taken back.
    pub run: String,
    /// Whether the data of its snapshot were put in.
    pub data: bool,
}

impl RestoreNote {
    fn of(restore: &Restore) -> Self {
        Self {
            run: clean(&restore.run),
            data: restore.data,
        }
    }
}

/// One image, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageNote {
    /// What ran before.
    pub from: String,
    /// What was to run.
    pub to: String,
    /// Its manifest digest.
    pub digest: String,
}

impl Report {
    /// The report of a run, finished or not. Of an entry that cannot follow the ones before it, it shows
    /// what it can: a report must come out of a damaged journal too.
    ///
    /// The mails that end a run are made before its last event is stored: pass the journal with that
    /// event appended.
    pub fn new(plan: &Plan, journal: &[Entry]) -> Self {
        let state = RunState::fold(journal).unwrap_or_default();
        let timeline = timeline::Timeline::of(journal);
        let mut report = Self {
            id: clean(&plan.run),
            instance: clean(&plan.instance),
            from: plan.from.to_string(),
            to: plan.to.to_string(),
            outcome: None,
            reason: None,
            started_at: journal.first().map_or(plan.created_at, |entry| entry.at),
            finished_at: None,
            downtime_ms: timeline.downtime_ms,
            class: None,
            steps: timeline.rows,
            downtime_estimated: timeline.estimated,
            site: timeline.site,
            committed_at: None,
            interruptions: timeline.interruptions,
            snapshot: None,
            method: plan.method.name(),
            method_because: clean(&plan.method_because),
            rows_proved: None,
            data_restored: false,
            rehearsed: plan.rehearsed.as_ref().map(words::rehearsed),
            proved_by_restore: false,
            rows_restored: None,
            loss_accepted_by: None,
            advisories: plan.why.advisories.iter().map(|id| clean(id)).collect(),
            severity: plan.why.severity,
            exposure_s: None,
            quarantined: plan.quarantine(&state).is_some(),
            restore: plan.restore.as_ref().map(RestoreNote::of),
            asked_by: match &plan.why.asked_by {
                Asked::Rule(rule) => format!("rule `{}`", clean(rule)),
                Asked::Person(name) => clean(name),
            },
            reasons: plan.why.reasons.iter().map(|why| clean(why)).collect(),
            emergency: plan.why.emergency.as_deref().map(clean),
            url: clean(&plan.why.url),
            images: images_of(plan),
            plan_hash: None,
            notes: Vec::new(),
        };
        for entry in journal {
            report.take(plan, entry);
        }
        report.note_interruptions();
        report
    }

    fn take(&mut self, plan: &Plan, entry: &Entry) {
        match &entry.event {
            Event::Planned { plan_hash } => self.plan_hash = Some(clean(plan_hash)),
            Event::Committed => {
                self.committed_at = Some(entry.at);
                let is_update = plan.restore.is_none();
                let exposure = || seconds_between(plan.why.published_at, entry.at);
                self.exposure_s = is_update.then(exposure).flatten();
            }
            Event::Finished { outcome, because } => {
                self.outcome = Some(*outcome);
                self.reason = Some(words::cut(&clean(because), LONGEST_REASON));
                self.finished_at = Some(entry.at);
            }
            Event::Rebuilt(rebuilt) => {
                self.committed_at = rebuilt
                    .committed
                    .then(|| self.committed_at.unwrap_or(entry.at));
                self.exposure_s = self.exposure_s.filter(|_| rebuilt.committed);
            }
            Event::Ordered {
                by, accept_loss, ..
            } => {
                if *accept_loss {
                    self.loss_accepted_by = Some(clean(by));
                }
            }
            Event::Done { finding, .. } | Event::UndoDone { finding, .. } => self.found(finding),
            Event::Resumed { .. }
            | Event::Intent { .. }
            | Event::Failed { .. }
            | Event::RollbackBegun { .. }
            | Event::UndoIntent { .. }
            | Event::UndoFailed { .. } => {}
        }
    }

    /// The version that a quarantine is about: the one that was tried, or the one that was taken back.
    pub fn judged(&self) -> &str {
        match self.restore {
            None => &self.to,
            Some(_) => &self.from,
        }
    }

    /// How the copy was proved, as the end of a sentence.
    pub fn proved_how(&self) -> &'static str {
        if self.proved_by_restore {
            "restored into a throw-away server"
        } else {
            "read back"
        }
    }

    fn found(&mut self, finding: &Finding) {
        match finding {
            Finding::Pulled {
                pending,
                pending_post,
                brings_data: false,
                ..
            } => self.class = Some(super::event::class_of(pending, pending_post)),
            Finding::Snapshotted { path, bytes } => {
                self.snapshot = Some(SnapshotNote {
                    path: clean(path),
                    bytes: *bytes,
                });
            }
            Finding::Proved {
                rows,
                bytes: 0,
                restored,
                ..
            } => {
                self.rows_proved = Some(*rows);
                self.proved_by_restore = restored.is_some();
            }
            Finding::Restored { tables, rows } => {
                self.data_restored = true;
                if *tables > 0 {
                    self.rows_restored = Some(*rows);
                }
            }
            Finding::Opened { notes, .. } => {
                self.notes.extend(notes.iter().map(|note| clean(note)));
            }
            // What was not counted: a clone.
            Finding::Proved { .. }
            | Finding::PutIn { .. }
            | Finding::Nothing
            // No migration tells of a class where other data are put in.
            | Finding::Pulled { .. }
            | Finding::Skipped { .. }
            | Finding::Fenced { .. }
            | Finding::Migrated { .. }
            | Finding::Verified { .. } => {}
        }
    }

    fn note_interruptions(&mut self) {
        if self.interruptions > 0 {
            let times = words::times(self.interruptions);
            self.notes.push(format!(
                "the run was interrupted {times} and taken up again"
            ));
        }
        if self.downtime_estimated && self.downtime_ms.is_some() {
            self.notes.push(
                "part of the downtime is the longest it can have been, not measured exactly"
                    .to_owned(),
            );
        }
    }
}

fn images_of(plan: &Plan) -> Vec<ImageNote> {
    plan.images
        .iter()
        .map(|image| ImageNote {
            from: clean(&image.from_reference),
            to: clean(&image.to_reference),
            digest: clean(&image.to_digest),
        })
        .collect()
}

fn seconds_between(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.duration_since(from).as_secs()).ok()
}
