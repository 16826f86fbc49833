//! When a chosen update may start under its rule.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::case::Case;
use crate::domain::decide::{About, Reason, Target, When};
use crate::domain::policy::{OutsideWindows, Policy, Rule};
use crate::domain::window::Slot;

/// Something that keeps an update from starting before an instant.
pub(super) struct Gate {
    /// The instant; [`Timestamp::MAX`] where there is no end.
    pub(super) until: Timestamp,
    /// What it is, as a sentence without its full stop.
    pub(super) because: String,
}

/// When an update may start.
pub(super) struct Timing {
    /// The first instant at which it may; none if there is none.
    pub(super) effective: Option<Timestamp>,
    /// The same as an answer to "now?".
    pub(super) when: When,
}

/// The rule's minimum age. What closes holes of the running version does not wait for it.
pub(super) fn age(
    policy: &Policy,
    rule: &Rule,
    target: &Target,
    now: Timestamp,
    reasons: &mut Vec<Reason>,
) -> Gate {
    let bypassed = target.severity.is_some();
    let wanted = if bypassed {
        SignedDuration::ZERO
    } else {
        rule.min_age
    };
    let until = target
        .published_at
        .checked_add(wanted)
        .unwrap_or(Timestamp::MAX);
    let because = format!(
        "{} was published {} and rule `{}` wants it {} old, which it is from {}",
        target.version,
        policy.show(target.published_at),
        rule.name,
        in_words(wanted),
        policy.show(until)
    );
    if bypassed && !rule.min_age.is_zero() {
        let text = format!(
            "Rule `{}` wants it {} old, but what closes holes does not wait for that.",
            rule.name,
            in_words(rule.min_age)
        );
        reasons.push(Reason::new(About::Age, text));
    } else if until > now || !wanted.is_zero() {
        reasons.push(Reason::new(About::Age, format!("{because}.")));
    }
    Gate { until, because }
}

/// When an update whose gates are open from some instant on may start: in a window, or outside of them if its rule says
/// so. A hard blackout comes before everything, a soft one before all but the rules that may break it.
pub(super) fn when(
    case: &Case<'_>,
    rule: &Rule,
    target: &Target,
    gates: &[Gate],
    reasons: &mut Vec<Reason>,
) -> Timing {
    let (policy, now) = (case.policy, case.now);
    let last = gates.iter().max_by_key(|gate| gate.until);
    let gate = last.filter(|gate| gate.until > now);
    let from = gate.map_or(now, |gate| gate.until);
    if from == Timestamp::MAX {
        return Timing::never();
    }
    blackouts(case, rule, reasons);
    let outside = match rule.outside_windows {
        OutsideWindows::Never => None,
        OutsideWindows::AtOnce => Some(from),
        OutsideWindows::After(wait) => {
            let free = target.public_since.checked_add(wait);
            Some(free.unwrap_or(Timestamp::MAX).max(from))
        }
    };
    // Outside of windows only blackouts are in the way; an end without a start is one that never ends.
    let outside = outside.and_then(|wanted| {
        let (start, until) = case
            .schedule
            .first_free(&rule.may_break, wanted, case.needed)?;
        Some(Outside {
            wanted,
            start,
            until,
        })
    });
    let window = next_window(case, rule, target, from, outside.is_some(), reasons);
    let before = |because: &str| match gate {
        Some(gate) => format!("{}. {because}", gate.because).trim_end().to_owned(),
        None => because.to_owned(),
    };
    match (window, outside) {
        (Some((start, slot)), outside)
            if outside.as_ref().is_none_or(|free| start <= free.start) =>
        {
            // Where it may start outside as well, it need not be over when the window closes.
            let until = match &outside {
                Some(free) if free.start <= start => free.until,
                Some(_) | None => Some(slot.opening.end),
            };
            in_window(case, (start, slot, until), before, reasons)
        }
        (_, Some(free)) => {
            let mut text = match rule.outside_windows {
                OutsideWindows::After(wait) => format!(
                    "Rule `{}` lets it start {} after publication, inside or outside of windows: from {}.",
                    rule.name,
                    in_words(wait),
                    policy.show(free.wanted)
                ),
                OutsideWindows::AtOnce | OutsideWindows::Never => format!(
                    "Rule `{}` lets it start at once, inside or outside of windows.",
                    rule.name
                ),
            };
            if free.start > free.wanted {
                let because = case
                    .schedule
                    .blackouts_at(free.wanted, &rule.may_break)
                    .first()
                    .map(|(one, _)| format!("blackout `{}`", one.id()));
                let because = because
                    .unwrap_or_else(|| "a blackout that begins before it could be over".to_owned());
                text = format!(
                    "{text} Because of {because} that is {}.",
                    policy.show(free.start)
                );
            }
            reasons.push(Reason::new(About::Window, text.as_str()));
            Timing::from(free.start, now, None, free.until, before(&text))
        }
        (_, None) => Timing::never(),
    }
}

/// A start outside of windows.
struct Outside {
    /// From when on the rule allows it.
    wanted: Timestamp,
    /// From when on blackouts do, too.
    start: Timestamp,
    /// When the next blackout begins.
    until: Option<Timestamp>,
}

/// Says which blackouts hold now, and what the rule makes of them.
fn blackouts(case: &Case<'_>, rule: &Rule, reasons: &mut Vec<Reason>) {
    for (blackout, end) in case.schedule.blackouts_at(case.now, &BTreeSet::new()) {
        let broken = if rule.may_break.contains(&blackout.strength()) {
            format!(", which rule `{}` may break", rule.name)
        } else {
            String::new()
        };
        let text = format!(
            "Blackout `{}` ({}) holds until {}{broken}: {}.",
            blackout.id(),
            blackout.strength(),
            case.policy.show(end),
            blackout.reason().trim_end_matches('.')
        );
        reasons.push(Reason::new(About::Window, text));
    }
}

fn in_window(
    case: &Case<'_>,
    (start, slot, until): (Timestamp, Slot<'_>, Option<Timestamp>),
    before: impl Fn(&str) -> String,
    reasons: &mut Vec<Reason>,
) -> Timing {
    let (policy, needed) = (case.policy, case.needed);
    let (id, end) = (slot.window, slot.opening.end);
    let text = if start <= case.now {
        let ordered = case.schedule.one_offs().iter().find(|one| one.id == id);
        let ordered = ordered.map_or_else(String::new, |one| {
            format!(", opened by {} ({}),", one.by, one.reason)
        });
        format!(
            "Window `{id}`{ordered} is open until {} and leaves the {needed:#} that are needed.",
            policy.show(end)
        )
    } else {
        format!(
            "The next window that fits is `{id}`, from {} to {}.",
            policy.show(start),
            policy.show(end)
        )
    };
    reasons.push(Reason::new(About::Window, text.as_str()));
    Timing::from(start, case.now, Some(id.to_owned()), until, before(&text))
}

/// The first start that a window allows; says why none does, unless it may start outside of windows anyway.
fn next_window<'a>(
    case: &'a Case<'_>,
    rule: &Rule,
    target: &Target,
    from: Timestamp,
    may_be_outside: bool,
    reasons: &mut Vec<Reason>,
) -> Option<(Timestamp, Slot<'a>)> {
    let (policy, now, schedule) = (case.policy, case.now, &case.schedule);
    let needed = case.needed.max(SignedDuration::ZERO);
    let mut say = |text: String| {
        if !may_be_outside {
            reasons.push(Reason::new(About::Window, text));
        }
    };
    let ordered = schedule
        .one_offs()
        .iter()
        .any(|one| one.allow.contains(&target.class));
    if !schedule.allows(target.class) && !ordered {
        say(format!(
            "No maintenance window allows a {} update.",
            target.class
        ));
        return None;
    }
    let first = schedule.first_start(target.class, &rule.may_break, from, needed);
    let Some((start, _)) = first else {
        say(format!(
            "A run and its rollback need {needed:#}, and no maintenance window that allows a {} update is open for that long within 400 days.",
            target.class
        ));
        return None;
    };
    let to = now
        .checked_add(SignedDuration::from_nanos(1))
        .unwrap_or(now);
    let open = schedule
        .slots(target.class, &rule.may_break, now, to)
        .into_iter()
        .find(|slot| slot.opening.holds(now));
    if let Some(slot) = open.filter(|_| start > now && from == now) {
        say(format!(
            "Window `{}` is open until {}, but a run and its rollback need {needed:#}, which no longer fits.",
            slot.window,
            policy.show(slot.opening.end)
        ));
    }
    first
}

impl Timing {
    /// It never starts by itself.
    pub(super) const fn never() -> Self {
        Self {
            effective: None,
            when: When::Blocked,
        }
    }

    fn from(
        start: Timestamp,
        now: Timestamp,
        window: Option<String>,
        until: Option<Timestamp>,
        because: String,
    ) -> Self {
        let when = if start <= now {
            When::Now { window, until }
        } else {
            When::Wait {
                not_before: start,
                because,
            }
        };
        Self {
            effective: Some(start.max(now)),
            when,
        }
    }
}

/// Whole days from two on as days, everything else as hours and minutes.
fn in_words(length: SignedDuration) -> String {
    const DAY: i64 = 86_400;
    match length.as_secs().checked_div(DAY) {
        Some(days)
            if days >= 2 && length == SignedDuration::from_secs(days.saturating_mul(DAY)) =>
        {
            format!("{days} days")
        }
        Some(_) | None => format!("{length:#}"),
    }
}
