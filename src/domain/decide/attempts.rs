//! What earlier runs on this host say about starting another one by itself.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{About, Facts, Reason, Target, When};
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

/// What the attempts make of "now". Runs since the last commit count, newest first.
pub(super) fn pace(
    facts: &Facts,
    policy: &Policy,
    target: &Target,
    now: Timestamp,
    when: When,
    reasons: &mut Vec<Reason>,
) -> When {
    let mut say = |text: &str| reasons.push(Reason::new(About::Attempts, text));
    if let Some(held) = facts
        .attempts
        .first()
        .filter(|last| last.outcome == Outcome::Held)
    {
        say(&format!(
            "The run to {} of {} is held, so nothing starts by itself until a person has looked.",
            held.version,
            policy.show(held.at)
        ));
        return When::Blocked;
    }
    let same: Vec<&Attempt> = facts
        .attempts
        .iter()
        .filter(|attempt| attempt.version == target.version)
        .collect();
    let (Some(last), When::Now { .. }) = (same.first(), &when) else {
        return when;
    };
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
    let not_before = last.at.checked_add(pause).unwrap_or(Timestamp::MAX);
    if not_before <= now {
        return when;
    }
    let because = format!(
        "The run to {} of {} did not succeed ({} so far), so the next one by itself waits until {}.",
        target.version,
        policy.show(last.at),
        same.len(),
        policy.show(not_before)
    );
    say(&because);
    When::Wait {
        not_before,
        because,
    }
}
