//! A journal as rows, and how long the site was closed.

use jiff::Timestamp;
use serde::Serialize;

use super::words::{clean, cut, human_bytes, human_count, human_ms};
use crate::domain::event::{Entry, Event, Finding, Order, Step, UndoStep};

/// Longest detail of a row; the journal has all of it.
const LONGEST_DETAIL: usize = 1_000;

/// One step, as taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub step: String,
    /// How long it took. `None` while it runs.
    pub elapsed_ms: Option<u64>,
    /// How it went.
    pub result: RowResult,
    /// What it found, or why it failed.
    pub detail: String,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowResult {
    /// Announced, no answer yet.
    Running,
    /// Its effect was seen.
    Done,
    /// It failed, or was interrupted.
    Failed,
    /// It was not needed.
    Skipped,
}

impl RowResult {
    /// The word people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Whether the public reaches the site, as far as the journal knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteState {
    /// Yes: it was never closed, or was seen open again.
    Open,
    /// No.
    Closed,
    /// The old version was started and has not answered its probes.
    Unknown,
}

/// The fold of a journal.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) rows: Vec<Row>,
    pub(super) downtime_ms: Option<u64>,
    pub(super) estimated: bool,
    pub(super) site: SiteState,
    pub(super) interruptions: u32,
    fence_announced: bool,
}

impl Timeline {
    pub(super) fn of(journal: &[Entry]) -> Self {
        let mut timeline = Self {
            rows: Vec::new(),
            downtime_ms: None,
            estimated: false,
            site: SiteState::Open,
            interruptions: 0,
            fence_announced: false,
        };
        let mut before = None;
        for entry in journal {
            timeline.take(entry, before);
            before = Some(entry.at);
        }
        timeline
    }

    fn take(&mut self, entry: &Entry, before: Option<Timestamp>) {
        match &entry.event {
            Event::Intent { step } => {
                self.fence_announced = *step == Step::Fence;
                self.announce(step.name(), String::new());
            }
            Event::UndoIntent { step, attempt } => {
                if *step == UndoStep::RemoveNew && self.site == SiteState::Unknown {
                    self.site = SiteState::Closed;
                }
                let again = if *attempt > 1 {
                    format!("attempt {attempt}")
                } else {
                    String::new()
                };
                self.announce(step.name(), again);
            }
            Event::Done {
                step,
                elapsed_ms,
                finding,
            } => {
                self.answer(*elapsed_ms, result_of(finding), &describe(finding));
                self.step_done(*step, *elapsed_ms, finding);
            }
            Event::Failed {
                step,
                elapsed_ms,
                error,
                not_begun,
                ..
            } => {
                self.answer(*elapsed_ms, RowResult::Failed, error);
                if *not_begun {
                    self.closed_for(*elapsed_ms);
                } else {
                    self.step_failed(*step, *elapsed_ms);
                }
            }
            Event::UndoDone {
                step,
                elapsed_ms,
                finding,
            } => {
                self.answer(*elapsed_ms, result_of(finding), &describe(finding));
                self.undo_done(*step, *elapsed_ms);
            }
            Event::UndoFailed {
                elapsed_ms, error, ..
            } => {
                self.answer(*elapsed_ms, RowResult::Failed, error);
                self.closed_for(*elapsed_ms);
            }
            Event::Resumed { because } => self.resumed(because, span(before, entry.at)),
            Event::Rebuilt(rebuilt) => {
                if rebuilt.reached >= Step::Fence {
                    self.close();
                    self.estimated = true;
                }
            }
            Event::Ordered { order, .. } => {
                if *order == Order::Rollback && self.site == SiteState::Open {
                    // The way back closes it first.
                    self.site = SiteState::Unknown;
                }
            }
            Event::Planned { .. }
            | Event::Committed
            | Event::RollbackBegun { .. }
            | Event::Finished { .. } => {}
        }
    }

    fn announce(&mut self, step: &str, detail: String) {
        self.rows.push(Row {
            step: step.to_owned(),
            elapsed_ms: None,
            result: RowResult::Running,
            detail,
        });
    }

    fn answer(&mut self, elapsed_ms: u64, result: RowResult, detail: &str) {
        let Some(row) = self.rows.last_mut() else {
            return;
        };
        row.elapsed_ms = Some(elapsed_ms);
        row.result = result;
        let detail = cut(&clean(detail), LONGEST_DETAIL);
        row.detail = match (row.detail.is_empty(), detail.is_empty()) {
            (true, _) => detail,
            (false, true) => std::mem::take(&mut row.detail),
            (false, false) => format!("{}: {detail}", row.detail),
        };
    }

    fn step_done(&mut self, step: Step, elapsed_ms: u64, finding: &Finding) {
        match (step, finding) {
            (Step::Fence, Finding::Skipped { .. }) => {}
            (
                Step::Fence,
                Finding::Fenced {
                    closed_after_ms, ..
                },
            ) => {
                self.close();
                self.closed_for(elapsed_ms.saturating_sub(*closed_after_ms));
            }
            (Step::Fence, _) => {
                self.close();
                self.closed_for(elapsed_ms);
            }
            (Step::Open, Finding::Opened { open_after_ms, .. }) => {
                self.closed_for(*open_after_ms);
                self.site = SiteState::Open;
            }
            (Step::Open, _) => {
                self.closed_for(elapsed_ms);
                self.site = SiteState::Open;
            }
            (_, _) => self.closed_for(elapsed_ms),
        }
    }

    /// A fence that failed may have closed the site at its start.
    fn step_failed(&mut self, step: Step, elapsed_ms: u64) {
        if step == Step::Fence {
            self.close();
            self.estimated = true;
        }
        self.closed_for(elapsed_ms);
    }

    fn undo_done(&mut self, step: UndoStep, elapsed_ms: u64) {
        self.closed_for(elapsed_ms);
        if self.site == SiteState::Open {
            return;
        }
        if step == UndoStep::StartOld {
            self.site = SiteState::Unknown;
        } else if step == UndoStep::VerifyOld {
            self.site = SiteState::Open;
        }
    }

    /// No monotonic clock spans an interruption; the wall clock does, more or less.
    fn resumed(&mut self, because: &str, gap_ms: u64) {
        self.interruptions = self.interruptions.saturating_add(1);
        let open = self
            .rows
            .last()
            .is_some_and(|row| row.result == RowResult::Running);
        if open {
            self.answer(
                gap_ms,
                RowResult::Failed,
                &format!("interrupted: {because}"),
            );
            if self.fence_announced {
                self.close();
            }
        }
        if self.site != SiteState::Open {
            self.estimated = true;
            self.closed_for(gap_ms);
        }
    }

    fn close(&mut self) {
        self.site = SiteState::Closed;
        self.downtime_ms.get_or_insert(0);
    }

    fn closed_for(&mut self, ms: u64) {
        if self.site != SiteState::Open {
            let sum = self.downtime_ms.unwrap_or_default();
            self.downtime_ms = Some(sum.saturating_add(ms));
        }
    }
}

fn span(before: Option<Timestamp>, now: Timestamp) -> u64 {
    before.map_or(0, |before| {
        u64::try_from(now.duration_since(before).as_millis()).unwrap_or_default()
    })
}

fn result_of(finding: &Finding) -> RowResult {
    if matches!(finding, Finding::Skipped { .. }) {
        RowResult::Skipped
    } else {
        RowResult::Done
    }
}

/// What a step found, as a sentence.
fn describe(finding: &Finding) -> String {
    match finding {
        Finding::Nothing => String::new(),
        Finding::Skipped { because } => because.clone(),
        Finding::Pulled {
            image_ids,
            brings_data: true,
            ..
        } => format!(
            "{}; the data come from the snapshot",
            counted(image_ids.len(), "image")
        ),
        Finding::Pulled {
            image_ids,
            pending,
            pending_post,
            ..
        } => format!(
            "{}; {}",
            counted(image_ids.len(), "image"),
            pending_sentence(pending.len(), pending_post.len())
        ),
        Finding::Fenced {
            closed_after_ms, ..
        } => {
            format!("closed after {}", human_ms(*closed_after_ms))
        }
        Finding::Snapshotted { path, bytes } => format!("{} in {path}", human_bytes(*bytes)),
        Finding::Proved { .. } => describe_proof(finding),
        Finding::Migrated { applied: 1 } => "1 migration applied".to_owned(),
        Finding::Migrated { applied } => format!("{} migrations applied", human_count(*applied)),
        Finding::Verified { probes } => probes.join("; "),
        Finding::Opened { open_after_ms, .. } => {
            format!("reachable after {}", human_ms(*open_after_ms))
        }
        Finding::Restored { tables: 0, .. } => "the original is back in its place".to_owned(),
        Finding::PutIn { tables: 0, .. } => "the snapshot's data are in place".to_owned(),
        Finding::PutIn { tables, rows } => format!(
            "{} tables, {} rows of the snapshot are in place",
            human_count(*tables),
            human_count(*rows)
        ),
        Finding::Restored { tables, rows } => format!(
            "{} tables, {} rows back from the snapshot",
            human_count(*tables),
            human_count(*rows)
        ),
    }
}

/// What the proof found, as a sentence.
fn describe_proof(finding: &Finding) -> String {
    match finding {
        Finding::Proved {
            tables,
            bytes,
            redis_keys,
            ..
        } if *bytes > 0 => format!(
            "{} relations of {} are the same in the clone, {} Redis keys read back",
            human_count(*tables),
            human_bytes(*bytes),
            human_count(*redis_keys)
        ),
        Finding::Proved {
            tables,
            rows,
            redis_keys,
            restored: Some(restored),
            ..
        } => format!(
            "{} tables, {} rows restored into a throw-away server in {}, {}; {} Redis keys read back",
            human_count(*tables),
            human_count(*rows),
            human_ms(restored.elapsed_ms),
            match &restored.unchecked {
                None => "all of it sound".to_owned(),
                Some(why) => format!("not checked further: {why}"),
            },
            human_count(*redis_keys)
        ),
        Finding::Proved {
            tables,
            rows,
            redis_keys,
            only_read,
            ..
        } => format!(
            "{} tables, {} rows and {} Redis keys read back{}",
            human_count(*tables),
            human_count(*rows),
            human_count(*redis_keys),
            only_read.as_ref().map_or_else(String::new, |why| format!(
                "; not restored into a throw-away server: {why}"
            ))
        ),
        Finding::Nothing
        | Finding::Skipped { .. }
        | Finding::Pulled { .. }
        | Finding::Fenced { .. }
        | Finding::Snapshotted { .. }
        | Finding::Migrated { .. }
        | Finding::Verified { .. }
        | Finding::Opened { .. }
        | Finding::PutIn { .. }
        | Finding::Restored { .. } => String::new(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

fn pending_sentence(pending: usize, pending_post: usize) -> String {
    match (pending, pending_post) {
        (0, 0) => "no migration pending".to_owned(),
        (before, 0) => format!("{} pending", counted(before, "migration")),
        (before, post) => format!(
            "{} pending, {post} of them post-deployment",
            counted(before.saturating_add(post), "migration")
        ),
    }
}
