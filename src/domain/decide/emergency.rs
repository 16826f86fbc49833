//! Why a run did not wait for a maintenance window.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{About, Decision, When};
use crate::domain::policy::Policy;

impl Decision {
    /// The justification of an update that starts at `now` outside of maintenance windows or in a blackout, made of facts
    /// only: what of the policy allowed it, what it closes, and since when that has been public. None where a window
    /// allows the start, where nothing starts, and where the policy has no windows that it could have waited for.
    pub fn emergency(&self, policy: &Policy, now: Timestamp) -> Option<String> {
        let When::Now { window, .. } = &self.when else {
            return None;
        };
        let schedule = policy.schedule();
        let outside = window.is_none() && !schedule.windows().is_empty();
        if !outside && schedule.blackouts_at(now, &BTreeSet::new()).is_empty() {
            return None;
        }
        let target = self.target.as_ref()?;
        let rule = target.rule.as_ref()?;
        let spoken: Vec<&str> = self
            .reasons
            .iter()
            .filter(|reason| reason.about == About::Window)
            .map(|reason| reason.text.as_str())
            .collect();
        // A window that is not in the policy was opened by a person, which the reasons say.
        let ordered = window
            .as_ref()
            .is_some_and(|id| !schedule.windows().iter().any(|one| one.id() == id));
        let mut sentences = Vec::new();
        if !ordered
            && !spoken
                .iter()
                .any(|text| text.contains(&format!("`{rule}`")))
        {
            sentences.push(format!(
                "Rule `{rule}` of the policy lets it start outside of maintenance windows."
            ));
        }
        sentences.extend(spoken.into_iter().map(str::to_owned));
        sentences.push(self.closed_by(policy)?);
        Some(sentences.join(" "))
    }

    /// What the target closes, as a sentence.
    fn closed_by(&self, policy: &Policy) -> Option<String> {
        let target = self.target.as_ref()?;
        let Some(severity) = target.severity else {
            return Some(format!(
                "Mastodon {} is a {} update, and closes no security hole that is known.",
                target.version, target.class
            ));
        };
        let holes = match target.advisories.as_slice() {
            [] => "security holes without an advisory".to_owned(),
            ids => ids.join(", "),
        };
        let exploited = if target.exploited {
            ", known to be exploited"
        } else {
            ""
        };
        Some(format!(
            "Mastodon {} is a {} update: it closes {holes} (severity {severity}), public since {}{exploited}.",
            target.version,
            target.class,
            policy.show(target.public_since)
        ))
    }
}
