//! What earlier runs on this host say about starting another one by itself.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::timing::Gate;
use super::{About, Facts, Reason, Target};
use crate::domain::event::Outcome;
use crate::domain::policy::Policy;
use crate::domain::version::ReleaseVersion;

/// Pause after a run that ended before the site was closed: what it met (a missing image, a full disk)
/// may be mended soon, and trying costs nobody anything.
const OPEN_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// Pause after a run that closed the site for nothing, without fault of the target.
const CLOSED_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// Longest pause: once a day is worth a try.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(24);

/// An earlier run that did not commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The version it was for.
    pub version: ReleaseVersion,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it closed the site.
    pub closed: bool,
    /// When it ended.
    pub at: Timestamp,
}

/// Whether the last run is held, so that nothing may start; says so.
pub(super) fn is_held(facts: &Facts, policy: &Policy, reasons: &mut Vec<Reason>) -> bool {
    let last = facts.attempts.first();
    let Some(held) = last.filter(|last| last.outcome == Outcome::Held) else {
        return false;
    };
    let text = format!(
        "The run to {} of {} is held, so nothing starts by itself until a person decides: `mastopatch resume`, `rollback` or `release`.",
        held.version,
        policy.show(held.at)
    );
    reasons.push(Reason::new(About::Attempts, text));
    true
}

/// The pause after runs that did not succeed. Runs since the last commit count, newest first.
pub(super) fn pace(
    facts: &Facts,
    policy: &Policy,
    target: &Target,
    now: Timestamp,
    reasons: &mut Vec<Reason>,
) -> Option<Gate> {
    let same: Vec<&Attempt> = facts
        .attempts
        .iter()
        .filter(|attempt| attempt.version == target.version)
        .collect();
    let last = same.first()?;
    let first = if last.closed {
        CLOSED_PAUSE
    } else {
        OPEN_PAUSE
    };
    let doublings = u32::try_from(same.len().saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(7);
    let pause = first
        .saturating_mul(2_i32.saturating_pow(doublings))
        .min(LONGEST_PAUSE);
    // One that failed while the clock was ahead does not keep the next one for as long as that.
    let until = last
        .at
        .min(now)
        .checked_add(pause)
        .unwrap_or(Timestamp::MAX);
    if until <= now {
        return None;
    }
    let because = format!(
        "The run to {} of {} did not succeed ({} so far), so the next one by itself waits until {}",
        target.version,
        policy.show(last.at),
        same.len(),
        policy.show(until)
    );
    reasons.push(Reason::new(About::Attempts, format!("{because}.")));
    Some(Gate { until, because })
}
