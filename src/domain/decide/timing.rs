//! When a chosen update may start under its rule.

use jiff::{SignedDuration, Timestamp};

use crate::domain::decide::{About, Reason, Target, When};
use crate::domain::policy::{Policy, Rule, StartRule};
use crate::domain::window::{Opening, Window};

pub(super) fn when(
    policy: &Policy,
    rule: &Rule,
    target: &Target,
    now: Timestamp,
    needed: SignedDuration,
    reasons: &mut Vec<Reason>,
) -> When {
    let old_enough = target
        .published_at
        .checked_add(rule.min_age)
        .unwrap_or(Timestamp::MAX);
    let young = old_enough > now;
    let age = format!(
        "{} was published {} and rule `{}` wants it {} old, which it is from {}",
        target.version,
        policy.show(target.published_at),
        rule.name,
        in_words(rule.min_age),
        policy.show(old_enough)
    );
    if young || !rule.min_age.is_zero() {
        reasons.push(Reason::new(About::Age, format!("{age}.")));
    }
    let from = now.max(old_enough);
    match rule.when {
        StartRule::AtOnce if young => When::Wait {
            not_before: old_enough,
            because: format!("{age}."),
        },
        StartRule::AtOnce => {
            let text = format!(
                "Rule `{}` lets it start at once, inside or outside of windows.",
                rule.name
            );
            reasons.push(Reason::new(About::Window, text));
            When::Now {
                window: None,
                until: None,
            }
        }
        StartRule::Window => {
            let when = in_window(
                policy,
                target,
                now,
                from,
                needed.max(SignedDuration::ZERO),
                reasons,
            );
            if let (
                true,
                When::Wait {
                    not_before,
                    because,
                },
            ) = (young, &when)
            {
                return When::Wait {
                    not_before: *not_before,
                    because: format!("{age}. {because}"),
                };
            }
            when
        }
    }
}

fn in_window(
    policy: &Policy,
    target: &Target,
    now: Timestamp,
    from: Timestamp,
    needed: SignedDuration,
    reasons: &mut Vec<Reason>,
) -> When {
    let mut say = |text: String| reasons.push(Reason::new(About::Window, text));
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
        return When::Blocked;
    }
    let starts = allowing
        .iter()
        .filter_map(|window| first_start(window, from, needed));
    let Some((start, opening, id)) =
        starts.min_by_key(|(start, opening, _)| (*start, std::cmp::Reverse(opening.end)))
    else {
        say(format!(
            "A run and its rollback need {needed:#}, and no maintenance window that allows a {} update lasts that long.",
            target.class
        ));
        return When::Blocked;
    };
    if start <= now {
        say(format!(
            "Window `{id}` is open until {} and leaves the {needed:#} that are needed.",
            policy.show(opening.end)
        ));
        return When::Now {
            window: Some(id.to_owned()),
            until: Some(opening.end),
        };
    }
    let open = allowing
        .iter()
        .find_map(|window| window.current(now).map(|opening| (window.id(), opening)));
    if let Some((open, opening)) =
        open.filter(|(_, opening)| from == now && opening.left(now) < needed)
    {
        say(format!(
            "Window `{open}` is open until {}, but a run and its rollback need {needed:#}, which no longer fits.",
            policy.show(opening.end)
        ));
    }
    let because = format!(
        "The next window that fits is `{id}`, from {} to {}.",
        policy.show(start),
        policy.show(opening.end)
    );
    say(because.clone());
    When::Wait {
        not_before: start,
        because,
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
