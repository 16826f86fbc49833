//! A run's own deadline (W13): what runs is governed by it, not by the calendar, which may say something else by now.

use jiff::{SignedDuration, Timestamp};

use crate::domain::clock::Reading;
use crate::domain::plan::{OnDeadline, Plan};

/// Until when a run may go forward.
///
/// Time is counted from the run's beginning by the clock that nobody can set, so that a wall clock that is set
/// meanwhile neither stretches the run nor cuts it short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    end: Timestamp,
    way_back: SignedDuration,
    began: Reading,
}

impl Deadline {
    /// The deadline of a plan whose run, or whose taking over, began at `began`; none if none counts.
    pub(super) fn of(plan: &Plan, began: Reading) -> Option<Self> {
        let end = match plan.on_deadline {
            OnDeadline::Rollback => plan.hard_deadline?,
            OnDeadline::Finish => return None,
        };
        let way_back = i64::try_from(plan.way_back_s).unwrap_or(i64::MAX);
        Some(Self {
            end,
            way_back: SignedDuration::from_secs(way_back),
            began,
        })
    }

    /// Why the way back is to be taken now, if no more time is left than it needs.
    pub(super) fn is_due(&self, now: Reading) -> Option<String> {
        let left = self.end.duration_since(self.began.unset(now.since_boot));
        let (end, needed) = (self.end, self.way_back);
        if left > needed {
            None
        } else if left > SignedDuration::ZERO {
            Some(format!(
                "the maintenance window ends at {end}, and the way back needs {needed:#}; it is taken now"
            ))
        } else {
            Some(format!(
                "the maintenance window ended at {end}; the way back is taken now"
            ))
        }
    }
}
