//! The decision: what is known, what follows from it, when it may happen, and why.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use crate::domain::advisory::Advisory;
use crate::domain::policy::Policy;
use crate::domain::version::{ReleaseVersion, UpdateKind};

mod attempts;
mod case;
mod changes;
mod choice;
mod decision;
mod emergency;
mod exposure;
mod facts;
mod timing;

pub use attempts::Attempt;
pub use choice::{NotATarget, target_of};
pub use decision::{About, Dates, Decision, Reason, Target, When};
pub use exposure::{Exposed, Exposure, Standing};
pub use facts::{Approval, Facts, Hold, Pin, PinTo, Quarantined};

use case::Case;
use choice::Choice;

/// Decides what to do about one instance at the instant `now`.
///
/// `needed` is the time that a run and its rollback take together: nothing starts in a window with less left.
/// The same arguments give the same decision, to the byte, in whatever order the facts were found. It never proposes what
/// is not newer, a pre-release unless the policy asks for one, a version past a line, or anything at all for a fork.
pub fn decide(facts: &Facts, policy: &Policy, now: Timestamp, needed: SignedDuration) -> Decision {
    let exposure = Exposure::of(facts, now);
    let mut reasons = exposure.reasons(facts, policy);
    reasons.extend(
        facts
            .installed
            .disagreements
            .iter()
            .map(|text| Reason::new(About::Installed, text.as_str())),
    );
    let mut decision = Decision {
        instance: facts.instance.clone(),
        installed: facts.version().clone(),
        target: None,
        notice: None,
        when: When::Nothing,
        dates: None,
        path: facts.path(now),
        obstacles: Vec::new(),
        exposure,
        reasons: Vec::new(),
    };
    match choice::choose(facts, policy, now, &mut reasons) {
        Choice::Nothing => {}
        Choice::Blocked => decision.when = When::Blocked,
        Choice::Go(release, kind) => {
            let listed: Vec<&Advisory> = decision
                .exposure
                .listed
                .iter()
                .filter_map(|item| facts.published.advisory(&item.id))
                .collect();
            let mut target = choice::target(
                facts,
                release,
                kind,
                &listed,
                &decision.exposure.other_lines,
            );
            reasons.push(Reason::new(
                About::Choice,
                describe(&target, facts.version(), policy),
            ));
            let (when, dates) = Case {
                facts,
                policy,
                now,
                needed,
                schedule: match facts.one_offs.as_slice() {
                    [] => Cow::Borrowed(policy.schedule()),
                    ordered => Cow::Owned(policy.schedule().with_one_offs(ordered)),
                },
            }
            .settle(&mut target, &mut decision.obstacles, &mut reasons);
            decision.when = when;
            decision.dates = Some(dates);
            if facts.installed.origin.is_upstream() {
                decision.target = Some(target);
            } else {
                decision.notice = Some(target);
            }
        }
    }
    decision.reasons = reasons;
    decision
}

fn describe(target: &Target, installed: &ReleaseVersion, policy: &Policy) -> String {
    let version = &target.version;
    let published = policy.show(target.published_at);
    let what = match target.kind {
        UpdateKind::Patch => format!(
            "{version} is the newest usable release of line {}",
            installed.line()
        ),
        UpdateKind::Minor | UpdateKind::Major => {
            format!(
                "{version} is the last usable release of the next line, {}",
                version.line()
            )
        }
    };
    let exploited = if target.exploited {
        ", which is being exploited"
    } else {
        ""
    };
    let closes = match (target.severity, target.advisories.as_slice()) {
        (None, []) => String::new(),
        (Some(severity), []) => {
            format!("; it closes security holes without a known grade, taken as {severity}")
        }
        (None, ids) => format!("; it closes {}", ids.join(", ")),
        (Some(severity), ids) => format!("; it closes {} ({severity})", ids.join(", ")),
    };
    format!("{what}, published {published}{closes}{exploited}.")
}
