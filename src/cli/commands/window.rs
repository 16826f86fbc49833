//! `window`: when windows open, and windows that a person opens once. Asks nothing outside this host, not even the engine.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::orders::{reason_of, taken_back};
use super::{Call, person};
use crate::adapters::store::Store;
use crate::cli::answers::{OneOffOpened, WindowNextAnswer, WindowOpenAnswer};
use crate::cli::failure::Failure;
use crate::cli::render::{self, Outlook};
use crate::config::{Instance, span, tz_version};
use crate::daemon::knowledge;
use crate::daemon::world::{STATE_FILE, open_store};
use crate::domain::policy::{Class, Policy};
use crate::domain::window::{self, HORIZON, LONGEST, Needed, OneOff, Opening, SHORTEST, Strength};
use crate::exit::Exit;
use crate::ports::clock::Clock;

/// What is asked of `window open`.
pub(in crate::cli) struct Wanted<'a> {
    pub(in crate::cli) at: &'a str,
    pub(in crate::cli) lasts: &'a str,
    pub(in crate::cli) allow: &'a [Class],
    pub(in crate::cli) reason: &'a str,
    pub(in crate::cli) in_soft_blackout: bool,
}

pub(super) fn next(call: &Call<'_>, count: u16) -> Result<Exit, Failure> {
    let now = call.clock.now();
    let store = store_if_any(call)?;
    let mut outlooks = Vec::new();
    for instance in &call.settings.instances {
        if call.instance.is_some_and(|name| name != instance.name) {
            continue;
        }
        let (one_offs, needed, hold) = match &store {
            Some(store) => (
                store.one_offs(&instance.name)?,
                knowledge::time_needed(store, instance)?,
                store.hold(&instance.name)?,
            ),
            None => (Vec::new(), Needed::UNMEASURED, None),
        };
        outlooks.push(Outlook {
            instance: &instance.name,
            policy_file: &instance.policy_file,
            policy: &instance.policy,
            schedule: instance.policy.schedule().with_one_offs(&one_offs),
            needed,
            now,
            clock_doubt: knowledge::clock_doubt(&call.clock),
            hold: hold.filter(|hold| hold.until.is_none_or(|until| until > now)),
            tz_version: tz_version(),
        });
    }
    if outlooks.is_empty() {
        call.chosen()?;
    }
    let count = usize::from(count);
    if call.out.is_json() {
        let instances = outlooks
            .iter()
            .map(|outlook| outlook.answer(count))
            .collect();
        call.out.json(&WindowNextAnswer { instances });
    } else {
        let texts: Vec<String> = outlooks
            .iter()
            .map(|outlook| render::outlook(outlook, count))
            .collect();
        call.out.text(&texts.join("\n\n"));
    }
    Ok(Exit::Done)
}

/// The state file, if there is one: looking makes none.
fn store_if_any(call: &Call<'_>) -> Result<Option<Store>, Failure> {
    let there = call
        .settings
        .state_dir
        .join(STATE_FILE)
        .try_exists()
        .unwrap_or(true);
    Ok(there.then(|| open_store(call.settings)).transpose()?)
}

pub(super) fn open(call: &Call<'_>, wanted: &Wanted<'_>) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let now = call.clock.now();
    let store = open_store(call.settings)?;
    let needed = knowledge::time_needed(&store, instance)?;
    let one = one_off(wanted, &instance.policy, &needed, now)?;
    if store
        .one_offs(&instance.name)?
        .iter()
        .any(|other| other.id == one.id)
    {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "`{0}` is there already; `mastopatch window close {0}` takes it back first",
                one.id
            ),
        ));
    }
    if !store.put_one_off(&instance.name, &one, now)? {
        return Err(Failure::new(
            Exit::Refused,
            "20 windows are open for later already; `mastopatch window close` takes one back",
        ));
    }
    call.wake_daemon();
    tell_opened(call, instance, &one, &needed);
    Ok(Exit::Done)
}

/// A window as it was asked for, or what is wrong with it.
fn one_off(
    wanted: &Wanted<'_>,
    policy: &Policy,
    needed: &Needed,
    now: Timestamp,
) -> Result<OneOff, Failure> {
    let usage = |sentence: String| Failure::new(Exit::Usage, sentence);
    let lasts = span(wanted.lasts)
        .filter(|lasts| (SHORTEST..=LONGEST).contains(lasts))
        .ok_or_else(|| {
            usage(format!(
                "`{}` is no length of a window; write 15m to 24h, such as `2h`",
                wanted.lasts
            ))
        })?;
    let start = instant(wanted.at, policy).ok_or_else(|| {
        usage(format!(
            "`{}` is no time; write `2026-11-26T13:00Z`, or `2026-11-26T13:00` in the policy's zone",
            wanted.at
        ))
    })?;
    let end = start
        .checked_add(lasts)
        .map_err(|_err| usage("that is too far away".to_owned()))?;
    if end <= now {
        return Err(usage(format!("{} is over already", policy.show(end))));
    }
    if start.duration_since(now) > HORIZON {
        return Err(usage(format!(
            "{} is more than 400 days away",
            policy.show(start)
        )));
    }
    let one = OneOff {
        id: format!("once-{}", start.strftime("%Y%m%dT%H%MZ")),
        opening: Opening { start, end },
        allow: wanted.allow.iter().copied().collect(),
        breaks_soft: wanted.in_soft_blackout,
        reason: reason_of(wanted.reason)?,
        by: person(),
        at: now,
    };
    fits(&one, policy, needed, now)?;
    Ok(one)
}

/// Refuses a window in which nothing could start.
fn fits(one: &OneOff, policy: &Policy, needed: &Needed, now: Timestamp) -> Result<(), Failure> {
    let refuse = |sentence: String| Err(Failure::new(Exit::Refused, sentence));
    let breaks: BTreeSet<Strength> = one
        .breaks_soft
        .then_some(Strength::Soft)
        .into_iter()
        .collect();
    let longest = |breaks: &BTreeSet<Strength>| {
        let parts = policy.schedule().left_of(one.opening, breaks).into_iter();
        let lengths = parts.map(|part| part.end.duration_since(part.start.max(now)));
        lengths.max().unwrap_or(SignedDuration::ZERO)
    };
    // One that is open already can be used at once; until a later one is, some minutes may pass.
    let least = if one.opening.start <= now {
        needed.total()
    } else {
        needed.least_window()
    };
    if longest(&breaks) >= least {
        return Ok(());
    }
    let counting = policy.schedule().blackouts().iter();
    let holding = counting
        .filter(|blackout| !breaks.contains(&blackout.strength()))
        .find_map(|blackout| {
            let stretches = blackout.stretches(one.opening.start.max(now), one.opening.end);
            stretches.last().map(|stretch| (blackout, stretch.end))
        });
    match holding {
        Some((blackout, until)) => {
            let hint = match blackout.strength() {
                Strength::Soft => "; with --in-soft-blackout it opens all the same",
                Strength::Hard => ", and nothing starts in a hard one",
            };
            refuse(format!(
                "blackout `{}` ({}) holds until {}: {}{hint}",
                blackout.id(),
                blackout.strength(),
                policy.show(until),
                blackout.reason()
            ))
        }
        None => refuse(format!(
            "{needed}, and nothing could be over in the {:#} of this window; at least {least:#} are wanted: make it longer with --lasts",
            longest(&breaks).max(SignedDuration::ZERO)
        )),
    }
}

/// An instant with its offset, or what the wall clock shows in the policy's zone; left out or twice as for windows.
fn instant(text: &str, policy: &Policy) -> Option<Timestamp> {
    // The library would read past the name of a zone.
    if text.contains('[') {
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let local: DateTime = text.parse().ok()?;
    // A day alone says nothing of a time.
    text.contains(':')
        .then(|| window::instant(policy.zone(), local))?
}

/// The last start in it that blackouts and other windows leave.
fn latest_start(one: &OneOff, policy: &Policy, needed: &Needed) -> Option<Timestamp> {
    let schedule = policy.schedule().with_one_offs(std::slice::from_ref(one));
    let upcoming = schedule.upcoming(one.opening.start, needed.total(), usize::MAX);
    let mine = upcoming.iter().filter(|other| other.one_off);
    mine.filter_map(|other| other.latest_start).max()
}

fn tell_opened(call: &Call<'_>, instance: &Instance, one: &OneOff, needed: &Needed) {
    let zone = &instance.policy;
    let (start, end) = (one.opening.start, one.opening.end);
    let latest = latest_start(one, &instance.policy, needed).unwrap_or(start);
    if call.out.is_json() {
        call.out.json(&WindowOpenAnswer::Opened {
            window: OneOffOpened {
                instance: &instance.name,
                latest_start: latest,
                one_off: one,
            },
        });
        return;
    }
    let allow: Vec<String> = one.allow.iter().map(ToString::to_string).collect();
    call.out.text(&format!(
        "Window `{}` of {} is open from {} to {}, for {} updates; the latest start is {}.\n\
         Policies still decide what starts in it, and who must agree. `mastopatch window close {}` takes it back.",
        one.id,
        instance.name,
        zone.show(start),
        zone.show(end),
        allow.join(" and "),
        zone.show(latest),
        one.id
    ));
}

pub(super) fn close(call: &Call<'_>, id: &str) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let store = open_store(call.settings)?;
    let was = store.remove_one_off(&instance.name, id)?;
    if !was {
        let one_offs = store.one_offs(&instance.name)?;
        let ids: Vec<&str> = one_offs.iter().map(|one| one.id.as_str()).collect();
        let there = if ids.is_empty() {
            "there is none".to_owned()
        } else {
            ids.join(", ")
        };
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "no window of {} was opened as `{id}`: {there}; nothing was changed",
                instance.name
            ),
        ));
    }
    Ok(taken_back(call, instance, "one-off window", was))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse_policy;

    const POLICY: &str = r#"
[time]
zone = "Europe/Berlin"
[[window]]
id = "night"
opens = "02:00"
lasts = "2h"
allow = ["*"]
[[blackout]]
id = "holidays"
every = "12-20/01-02"
strength = "soft"
reason = "skeleton staff"
[[blackout]]
id = "election"
from = "2026-12-01T12:00"
to = "2026-12-02T12:00"
strength = "hard"
reason = "coverage"
[[policy]]
name = "p"
approval = "none"
"#;

    fn open_at(at: &str, lasts: &str, in_soft_blackout: bool) -> Result<OneOff, String> {
        let policy = parse_policy(Path::new("p"), POLICY).unwrap();
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let wanted = Wanted {
            at,
            lasts,
            allow: &[Class::Security],
            reason: "announced",
            in_soft_blackout,
        };
        one_off(&wanted, &policy, &Needed::UNMEASURED, now)
            .map_err(|failure| failure.error.to_string())
    }

    #[test]
    fn a_window_is_opened_at_an_instant_or_at_what_the_policys_wall_clock_shows() {
        for (at, start, id) in [
            (
                "2026-11-26T13:00Z",
                "2026-11-26T13:00:00Z",
                "once-20261126T1300Z",
            ),
            (
                "2026-11-26T13:00+01:00",
                "2026-11-26T12:00:00Z",
                "once-20261126T1200Z",
            ),
            (
                "2026-11-26T13:00",
                "2026-11-26T12:00:00Z",
                "once-20261126T1200Z",
            ),
            // In the gap of that night, and the first of the two in the other.
            (
                "2027-03-28T02:30",
                "2027-03-28T01:00:00Z",
                "once-20270328T0100Z",
            ),
            (
                "2027-10-31T02:30",
                "2027-10-31T00:30:00Z",
                "once-20271031T0030Z",
            ),
        ] {
            let one = open_at(at, "2h", false).unwrap();
            assert_eq!(
                (one.opening.start.to_string().as_str(), one.id.as_str()),
                (start, id)
            );
            assert_eq!(
                one.opening.end.duration_since(one.opening.start),
                SignedDuration::from_hours(2)
            );
        }
    }

    #[test]
    fn a_window_in_which_nothing_could_start_is_refused_with_the_reason() {
        for (at, lasts, soft, said) in [
            ("tomorrow", "2h", false, "`tomorrow` is no time"),
            ("2026-11-26", "2h", false, "is no time"),
            ("2026-11-22T13:00Z", "2h", false, "is over already"),
            ("2028-11-26T13:00Z", "2h", false, "more than 400 days away"),
            ("2026-11-26T13:00Z", "10m", false, "15m to 24h"),
            ("2026-11-26T13:00Z", "25h", false, "15m to 24h"),
            ("2026-11-26T13:00Z", "30m", false, "need 45m"),
            (
                "2026-12-24T13:00Z",
                "2h",
                false,
                "blackout `holidays` (soft) holds until Sun 2027-01-03",
            ),
            ("2026-12-24T13:00Z", "2h", false, "with --in-soft-blackout"),
            (
                "2026-12-01T13:00Z",
                "2h",
                true,
                "nothing starts in a hard one",
            ),
            ("2026-12-01T10:30Z", "2h", true, "blackout `election`"),
            // What is left of one that is open already counts.
            (
                "2026-11-23T11:00Z",
                "90m",
                false,
                "could be over in the 30m",
            ),
        ] {
            let err = open_at(at, lasts, soft).unwrap_err();
            assert!(err.contains(said), "{at}: {err}");
        }
        assert!(open_at("2026-12-24T13:00Z", "2h", true).is_ok());
        assert!(
            open_at("2026-12-01T10:00Z", "2h", false).is_ok(),
            "an hour is left before noon"
        );
    }
}
