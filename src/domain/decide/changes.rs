//! When a decision may become another one by itself.

use jiff::Timestamp;

use super::{Decision, Facts, When};
use crate::domain::policy::Policy;

impl Decision {
    /// The first instant after `now` at which time alone may change it: a start, the end of an order or of an approval, or
    /// an age that a rule asks for. None where only something new can.
    pub fn changes_at(&self, facts: &Facts, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let start = match &self.when {
            When::Wait { not_before, .. } => Some(*not_before),
            When::Nothing
            | When::Now { .. }
            | When::NeedsApproval
            | When::NotifyOnly
            | When::Blocked => None,
        };
        let hold = facts.hold.as_ref().and_then(|hold| hold.until);
        let pin = facts.pin.as_ref().and_then(|pin| pin.until);
        let approvals = facts.approvals.iter().filter_map(|one| one.expires_at);
        let known = self.target.iter().chain(&self.notice);
        let ages = known.flat_map(|target| {
            let ages = policy
                .rules()
                .iter()
                .filter_map(|rule| rule.matches.older_than);
            ages.filter_map(|age| target.public_since.checked_add(age).ok())
        });
        [start, hold, pin]
            .into_iter()
            .flatten()
            .chain(approvals)
            .chain(ages)
            .filter(|at| *at > now)
            .min()
    }
}
