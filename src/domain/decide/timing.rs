//! When a chosen update may start under its rule.

use jiff::{SignedDuration, Timestamp};

use super::case::Case;
use crate::domain::decide::{About, Reason, Target, When};
use crate::domain::policy::{OutsideWindows, Policy, Rule};
use crate::domain::window::{Opening, Window};

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
    let outside = match rule.outside_windows {
        OutsideWindows::Never => None,
        OutsideWindows::AtOnce => Some(from),
        OutsideWindows::After(wait) => {
            let free = target.public_since.checked_add(wait);
            Some(free.unwrap_or(Timestamp::MAX).max(from))
        }
    };
    let window = next_window(case, target, from, outside, reasons);
    let before = |because: &str| match gate {
        Some(gate) => format!("{}. {because}", gate.because).trim_end().to_owned(),
        None => because.to_owned(),
    };
    match (window, outside) {
        (Some((start, opening, id)), free) if free.is_none_or(|free| start <= free) => {
            in_window(case, (start, opening, id), before, reasons)
        }
        (_, Some(free)) => {
            let text = match rule.outside_windows {
                OutsideWindows::After(wait) => format!(
                    "Rule `{}` lets it start {} after publication, inside or outside of windows: from {}.",
                    rule.name,
                    in_words(wait),
                    policy.show(free)
                ),
                OutsideWindows::AtOnce | OutsideWindows::Never => format!(
                    "Rule `{}` lets it start at once, inside or outside of windows.",
                    rule.name
                ),
            };
            reasons.push(Reason::new(About::Window, text.as_str()));
            Timing::from(free, now, None, None, before(&text))
        }
        (_, None) => Timing::never(),
    }
}

fn in_window(
    case: &Case<'_>,
    (start, opening, id): (Timestamp, Opening, &str),
    before: impl Fn(&str) -> String,
    reasons: &mut Vec<Reason>,
) -> Timing {
    let (policy, needed) = (case.policy, case.needed);
    let text = if start <= case.now {
        format!(
            "Window `{id}` is open until {} and leaves the {needed:#} that are needed.",
            policy.show(opening.end)
        )
    } else {
        format!(
            "The next window that fits is `{id}`, from {} to {}.",
            policy.show(start),
            policy.show(opening.end)
        )
    };
    reasons.push(Reason::new(About::Window, text.as_str()));
    Timing::from(
        start,
        case.now,
        Some(id.to_owned()),
        Some(opening.end),
        before(&text),
    )
}

/// The first start that a window allows; says why none does, unless it may start outside of windows anyway.
fn next_window<'a>(
    case: &Case<'a>,
    target: &Target,
    from: Timestamp,
    outside: Option<Timestamp>,
    reasons: &mut Vec<Reason>,
) -> Option<(Timestamp, Opening, &'a str)> {
    let (policy, now) = (case.policy, case.now);
    let needed = case.needed.max(SignedDuration::ZERO);
    let mut say = |text: String| {
        if outside.is_none() {
            reasons.push(Reason::new(About::Window, text));
        }
    };
    let allowing: Vec<&Window> = policy
        .windows()
        .iter()
        .filter(|window| window.allows(target.class))
        .collect();
    if allowing.is_empty() {
        say(format!(
            "No maintenance window allows a {} update.",
            target.class
        ));
        return None;
    }
    let starts = allowing
        .iter()
        .filter_map(|window| first_start(window, from, needed));
    let first = starts.min_by_key(|(start, opening, _)| (*start, std::cmp::Reverse(opening.end)));
    if first.is_none() {
        say(format!(
            "A run and its rollback need {needed:#}, and no maintenance window that allows a {} update lasts that long.",
            target.class
        ));
    }
    let open = allowing
        .iter()
        .find_map(|window| window.current(now).map(|opening| (window.id(), opening)));
    let waits = first.is_some_and(|(start, _, _)| start > now);
    if let Some((open, opening)) =
        open.filter(|(_, opening)| waits && from == now && opening.left(now) < needed)
    {
        say(format!(
            "Window `{open}` is open until {}, but a run and its rollback need {needed:#}, which no longer fits.",
            policy.show(opening.end)
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

/// The first instant from `from` on at which `needed` still fits into an opening of the window.
fn first_start(
    window: &Window,
    from: Timestamp,
    needed: SignedDuration,
) -> Option<(Timestamp, Opening, &str)> {
    let now = window
        .current(from)
        .filter(|opening| opening.left(from) >= needed)
        .map(|opening| (from, opening, window.id()));
    let later = || {
        let opening = window
            .next_opening(from)
            .filter(|_| window.lasts() >= needed)?;
        Some((opening.start, opening, window.id()))
    };
    now.or_else(later)
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
