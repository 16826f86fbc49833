//! What the rules, people's orders and the host make of a target.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::timing::{self, Gate, Timing};
use super::{About, Approval, Dates, Facts, Reason, Target, When, attempts};
use crate::domain::installed::Origin;
use crate::domain::path::{self, Obstacle, Weight};
use crate::domain::policy::{Action, Approvals, Policy, Rule, Subject};
use crate::domain::window::Schedule;

/// One decision in the making.
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) needed: SignedDuration,
    /// The policy's calendar with the windows that people opened.
    pub(super) schedule: Cow<'a, Schedule>,
}

impl Case<'_> {
    /// What the rules, people's orders and the host make of a target.
    pub(super) fn settle(
        &self,
        target: &mut Target,
        obstacles: &mut Vec<Obstacle>,
        reasons: &mut Vec<Reason>,
    ) -> (When, Dates) {
        let Some(rule) = self.policy.rule_for(&self.subject(target)) else {
            let text = format!(
                "No rule of the policy speaks about a {} update, so it does not start by itself.",
                target.class
            );
            reasons.push(Reason::new(About::Rule, text));
            let dates = Dates {
                not_before: target.published_at,
                forced_by: None,
                effective: None,
            };
            return (When::Blocked, dates);
        };
        target.rule = Some(rule.name.clone());
        reasons.push(Reason::new(
            About::Rule,
            format!("Rule `{}` decides about {}.", rule.name, target.version),
        ));
        *obstacles = self.obstacles(target, reasons);
        let gates = self.gates(rule, target, reasons);
        let not_before = gates
            .iter()
            .map(|gate| gate.until)
            .max()
            .unwrap_or(target.published_at);
        // What people do themselves needs no window of ours.
        let told = rule.action == Action::Notify || !self.facts.installed.origin.is_upstream();
        let Timing { effective, when } = if told {
            Timing::never()
        } else {
            timing::when(self, rule, target, &gates, reasons)
        };
        let when = self.limit(rule, target, obstacles, when, reasons);
        // What people do themselves, or must first make possible, has no start of its own.
        let effective = effective.filter(|_| !matches!(when, When::Blocked | When::NotifyOnly));
        let forced_by = rule
            .deadline
            .and_then(|deadline| target.public_since.checked_add(deadline).ok());
        let dates = Dates {
            not_before,
            forced_by,
            effective,
        };
        if let Some(text) = self.deadline(rule, &dates) {
            reasons.push(Reason::new(About::Deadline, text));
        }
        (when, dates)
    }

    fn subject(&self, target: &Target) -> Subject {
        Subject {
            class: target.class,
            severity: target.severity,
            exploited: target.exploited,
            fork: matches!(self.facts.installed.origin, Origin::Fork { .. }),
            age: self.now.duration_since(target.public_since),
        }
    }

    fn obstacles(&self, target: &Target, reasons: &mut Vec<Reason>) -> Vec<Obstacle> {
        let facts = self.facts;
        if !facts.installed.origin.is_upstream() {
            return Vec::new();
        }
        let obstacles = path::obstacles(
            &facts.host,
            facts.version(),
            &target.version,
            facts.published.releases(),
            self.now,
            facts.published.ends(),
        );
        let told = obstacles
            .iter()
            .filter(|obstacle| obstacle.weight != Weight::Notice);
        reasons.extend(told.map(|obstacle| {
            Reason::new(
                About::Obstacle,
                format!("{} {}", obstacle.what, obstacle.todo),
            )
        }));
        obstacles
    }

    /// Everything that keeps the update from starting before some instant.
    fn gates(&self, rule: &Rule, target: &Target, reasons: &mut Vec<Reason>) -> Vec<Gate> {
        let (facts, policy) = (self.facts, self.policy);
        let mut gates = vec![timing::age(policy, rule, target, self.now, reasons)];
        if let Some(hold) = facts.hold.as_ref().filter(|hold| hold.holds(self.now)) {
            let gate = Gate {
                until: hold.until.unwrap_or(Timestamp::MAX),
                because: format!(
                    "{} put everything on hold on {}{}: {}",
                    hold.by,
                    policy.show(hold.at),
                    until(hold.until, policy),
                    hold.reason
                ),
            };
            reasons.push(Reason::new(About::Hold, format!("{}.", gate.because)));
            gates.push(gate);
        }
        gates.extend(attempts::pace(facts, policy, target, self.now, reasons));
        gates
    }

    /// What stands against starting by itself, whatever the time.
    fn limit(
        &self,
        rule: &Rule,
        target: &Target,
        obstacles: &[Obstacle],
        when: When,
        reasons: &mut Vec<Reason>,
    ) -> When {
        let facts = self.facts;
        let worst = obstacles.iter().map(|obstacle| obstacle.weight).min();
        if !facts.installed.origin.is_upstream() {
            return When::NotifyOnly;
        }
        if let Some(doubt) = facts.published.clock_doubt() {
            reasons.push(Reason::new(About::Window, doubt));
            return When::Blocked;
        }
        if let Some(doubt) = facts
            .clock_doubt
            .as_deref()
            .filter(|_| self.policy.requires_sync())
        {
            let text = format!(
                "{doubt} While that is so, every window is closed; `mastopatch apply` starts it all the same."
            );
            reasons.push(Reason::new(About::Window, text));
            return When::Blocked;
        }
        let stuck = attempts::is_held(facts, self.policy, reasons);
        if stuck || !facts.installed.disagreements.is_empty() || worst == Some(Weight::Blocks) {
            return When::Blocked;
        }
        if rule.action == Action::Notify {
            let text = format!(
                "Rule `{}` leaves it to people: `mastopatch apply` does it.",
                rule.name
            );
            reasons.push(Reason::new(About::Rule, text));
            return When::NotifyOnly;
        }
        if when == When::Blocked {
            return when;
        }
        let look = worst == Some(Weight::NeedsPerson);
        if rule.approval == Approvals::None && !look {
            return when;
        }
        if self.approved(target, reasons) {
            return when;
        }
        let text = if rule.approval == Approvals::None {
            format!(
                "Somebody must have looked at what stands in the way and agree to {}, and nobody has yet.",
                target.version
            )
        } else {
            format!(
                "Rule `{}` asks one person to agree to {}, and nobody has yet.",
                rule.name, target.version
            )
        };
        reasons.push(Reason::new(About::Approval, text));
        When::NeedsApproval
    }

    /// Whether a person agreed, and to what would be done now.
    fn approved(&self, target: &Target, reasons: &mut Vec<Reason>) -> bool {
        let (facts, policy) = (self.facts, self.policy);
        let mut given: Vec<&Approval> = facts
            .approvals
            .iter()
            .filter(|approval| approval.version == target.version && approval.at <= self.now)
            .collect();
        given.sort_by(|a, b| (&b.at, &b.plan, &b.by).cmp(&(&a.at, &a.plan, &a.by)));
        let Some(newest) = given.first() else {
            return false;
        };
        let who = format!(
            "{} agreed to {} on {}",
            newest.by,
            target.version,
            policy.show(newest.at)
        );
        let mut say = |text: String| reasons.push(Reason::new(About::Approval, text));
        if let Some(end) = newest.expires_at.filter(|end| *end <= self.now) {
            say(format!(
                "{who}, but that ended on {}; agree again.",
                policy.show(end)
            ));
            return false;
        }
        let changed = facts
            .planned
            .as_ref()
            .is_some_and(|(version, plan)| *version == target.version && *plan != newest.plan);
        if changed {
            say(format!(
                "{who}, but what would be done has changed since (images, files or containers); look at the plan and agree again."
            ));
            return false;
        }
        let ends = newest
            .expires_at
            .map(|end| format!(", which holds until {}", policy.show(end)))
            .unwrap_or_default();
        say(format!("{who}{ends}."));
        true
    }

    fn deadline(&self, rule: &Rule, dates: &Dates) -> Option<String> {
        let policy = self.policy;
        let forced_by = dates.forced_by?;
        let wanted = format!(
            "Rule `{}` wants it done by {}",
            rule.name,
            policy.show(forced_by)
        );
        if forced_by <= self.now {
            return Some(format!("{wanted}. That is over."));
        }
        if !dates.is_late() {
            return Some(format!("{wanted}."));
        }
        Some(match dates.effective {
            Some(effective) => format!(
                "{wanted}. That will be missed: as things are, it starts on {} at the earliest.",
                policy.show(effective)
            ),
            None => {
                format!(
                    "{wanted}. That will be missed unless a person acts: it does not start by itself."
                )
            }
        })
    }
}

pub(super) fn until(end: Option<Timestamp>, policy: &Policy) -> String {
    end.map_or_else(String::new, |end| format!(", until {}", policy.show(end)))
}
