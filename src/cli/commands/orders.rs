//! What people order: `approve`, `hold`, `pin`, and taking it back. Every order carries who gave it and why.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::check::{nothing_to_do, prepare, version};
use super::{Call, ask, person};
use crate::cli::answers::{
    ApproveAnswer, Approved, Held, HoldAnswer, PinAnswer, Pinned, TakenBack, TakenBackAnswer,
};
use crate::cli::failure::Failure;
use crate::cli::render;
use crate::config::{Instance, span};
use crate::daemon::knowledge;
use crate::daemon::world::{World, open_store};
use crate::domain::decide::{PinTo, When};
use crate::domain::policy::Policy;
use crate::exit::Exit;
use crate::ports::clock::Clock;
use crate::ports::store::{ApprovalRow, HoldRow, Journal as _, PinRow};

/// An approval without a rule of its own, where something on the host wants a person to look: a week.
const USUAL_APPROVAL: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);
/// A reason is a sentence or two; it is shown in one line.
const LONGEST_REASON: usize = 300;

pub(super) async fn approve(
    call: &Call<'_>,
    wanted: Option<&str>,
    withdraw: bool,
    yes: bool,
) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let wanted = wanted.map(version).transpose()?;
    if withdraw {
        let Some(version) = wanted else {
            return Err(Failure::new(
                Exit::Usage,
                "say which approval to take back: `mastopatch approve --withdraw VERSION`",
            ));
        };
        let was =
            open_store(call.settings)?.withdraw_approval(&instance.name, &version.to_string())?;
        return Ok(taken_back(call, instance, "approval", was));
    }
    ask::somebody_is_there(yes)?;
    let world = World::open(call.settings, call.clock).await?;
    let (decision, planned) = prepare(call, &world, instance, None, false).await?;
    let (Some((plan, _)), Some(target)) = (planned, &decision.target) else {
        return Ok(nothing_to_do(call, &decision));
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != target.version) {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "the policy would go to {} now, not to {wanted}, so that approval would mean nothing; `mastopatch explain` \
                 says why, `mastopatch apply --to {wanted}` goes there now",
                target.version
            ),
        ));
    }
    if decision.when == When::Blocked {
        call.out.note(&render::decision(&decision));
        return Err(Failure::new(
            Exit::Refused,
            "it could not start even with an approval; the reasons above say what is in the way",
        ));
    }
    if !call.out.is_json() {
        call.out.note(&render::plan(&plan));
        call.out.note(&render::obstacles(&decision.obstacles));
    }
    if !yes && !ask::agreed("Approve this plan?")? {
        return Err(Failure::new(
            Exit::Refused,
            "not agreed to; nothing was changed",
        ));
    }
    let now = call.clock.now();
    let rule = target.rule.as_deref();
    let rule = instance
        .policy
        .rules()
        .iter()
        .find(|one| Some(one.name.as_str()) == rule);
    let holds = rule.map_or(USUAL_APPROVAL, |rule| rule.approval_expires);
    let row = ApprovalRow {
        version: target.version.to_string(),
        plan_hash: plan
            .approval_hash(&decision.obstacles)
            .map_err(|err| Failure::bug(err.into()))?,
        by: person(),
        at: now,
        expires_at: now.checked_add(holds).ok(),
    };
    let store = world.store();
    knowledge::note_plan(store, &instance.name, &target.version, &row.plan_hash)?;
    store.approve(&instance.name, &row)?;
    call.wake_daemon();
    tell_approval(call, instance, &row, &decision.when);
    Ok(Exit::Done)
}

fn tell_approval(call: &Call<'_>, instance: &Instance, row: &ApprovalRow, when: &When) {
    if call.out.is_json() {
        let approved = Approved {
            instance: &instance.name,
            version: &row.version,
            plan: &row.plan_hash,
            by: &row.by,
            at: row.at,
            expires_at: row.expires_at,
        };
        call.out.json(&ApproveAnswer::Approved { approved });
    } else {
        let end = row.expires_at.map(|end| instance.policy.show(end));
        let asked = match when {
            When::NeedsApproval => "The daemon starts it when its rule and a window allow",
            When::Now { .. }
            | When::Wait { .. }
            | When::NotifyOnly
            | When::Nothing
            | When::Blocked => "The policy did not ask for it",
        };
        call.out.text(&format!(
            "{} is approved for {}, until {}. {asked}; `mastopatch explain` says when, `mastopatch apply` does it now.",
            row.version,
            instance.name,
            end.unwrap_or_default(),
        ));
    }
}

pub(super) fn hold(call: &Call<'_>, reason: &str, until: Option<&str>) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let (at, until) = times(call, instance, until)?;
    let row = HoldRow {
        reason: reason_of(reason)?,
        by: person(),
        at,
        until,
    };
    let store = open_store(call.settings)?;
    store.put_hold(&instance.name, &row)?;
    if store.unfinished(&instance.name)?.is_some() {
        call.out.note(
            "a run is under way and goes on to its end; the hold counts from the next one on",
        );
    }
    call.wake_daemon();
    if call.out.is_json() {
        let hold = Held {
            instance: &instance.name,
            reason: &row.reason,
            by: &row.by,
            at: row.at,
            until: row.until,
        };
        call.out.json(&HoldAnswer::Held { hold });
    } else {
        call.out.text(&format!(
            "Nothing starts by itself on {} {}, security updates included. `mastopatch unhold` takes it back.",
            instance.name,
            end(until, &instance.policy)
        ));
    }
    Ok(Exit::Done)
}

pub(super) fn unhold(call: &Call<'_>) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let was = open_store(call.settings)?.remove_hold(&instance.name)?;
    Ok(taken_back(call, instance, "hold", was))
}

pub(super) fn pin(
    call: &Call<'_>,
    to: &str,
    reason: &str,
    until: Option<&str>,
) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let to: PinTo = to.parse().map_err(|err| {
        let sentence =
            format!("`{to}` is neither a line such as 4.5 nor a version such as 4.5.8: {err}");
        Failure::new(Exit::Usage, sentence)
    })?;
    let (at, until) = times(call, instance, until)?;
    let row = PinRow {
        to: to.to_string(),
        reason: reason_of(reason)?,
        by: person(),
        at,
        until,
    };
    open_store(call.settings)?.put_pin(&instance.name, &row)?;
    call.wake_daemon();
    if call.out.is_json() {
        let pin = Pinned {
            instance: &instance.name,
            to: &row.to,
            reason: &row.reason,
            by: &row.by,
            at: row.at,
            until: row.until,
        };
        call.out.json(&PinAnswer::Pinned { pin });
    } else {
        call.out.text(&format!(
            "{} goes no further than {to} {}. `mastopatch unpin` takes it back.",
            instance.name,
            end(until, &instance.policy)
        ));
    }
    Ok(Exit::Done)
}

pub(super) fn unpin(call: &Call<'_>) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let was = open_store(call.settings)?.remove_pin(&instance.name)?;
    Ok(taken_back(call, instance, "pin", was))
}

pub(super) fn taken_back(call: &Call<'_>, instance: &Instance, what: &str, was: bool) -> Exit {
    call.wake_daemon();
    if call.out.is_json() {
        let taken_back = TakenBack {
            instance: &instance.name,
            what,
            was_there: was,
        };
        call.out.json(&TakenBackAnswer { taken_back });
    } else if was {
        call.out
            .text(&format!("The {what} of {} is taken back.", instance.name));
    } else {
        call.out.text(&format!(
            "{} had no such {what}; nothing was changed.",
            instance.name
        ));
    }
    Exit::Done
}

fn end(until: Option<Timestamp>, policy: &Policy) -> String {
    until.map_or_else(
        || "until it is taken back".to_owned(),
        |until| format!("until {}", policy.show(until)),
    )
}

pub(super) fn reason_of(text: &str) -> Result<String, Failure> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.chars().count() > LONGEST_REASON {
        let sentence = format!(
            "give a reason of 1 to {LONGEST_REASON} letters: others will have to understand it"
        );
        return Err(Failure::new(Exit::Usage, sentence));
    }
    Ok(text)
}

/// Now, and the end as typed.
fn times(
    call: &Call<'_>,
    instance: &Instance,
    until: Option<&str>,
) -> Result<(Timestamp, Option<Timestamp>), Failure> {
    let now = call.clock.now();
    let until = until
        .map(|text| when(text, now, &instance.policy))
        .transpose()?;
    Ok((now, until))
}

/// A time from now, a day, or a minute in the policy's zone; always in the future.
fn when(text: &str, now: Timestamp, policy: &Policy) -> Result<Timestamp, Failure> {
    let local = text
        .parse::<DateTime>()
        .ok()
        .or_else(|| text.parse::<Date>().ok().map(|day| day.at(0, 0, 0, 0)));
    let at = match (span(text), local) {
        (Some(span), _) => now.checked_add(span).ok(),
        (None, Some(local)) => policy
            .zone()
            .to_ambiguous_zoned(local)
            .compatible()
            .ok()
            .map(|zoned| zoned.timestamp()),
        (None, None) => text.parse().ok(),
    };
    let Some(at) = at else {
        let sentence = format!(
            "`{text}` is no end: write a time from now (36h, 7d), a day (2026-12-01) or a minute (2026-12-01T08:00)"
        );
        return Err(Failure::new(Exit::Usage, sentence));
    };
    if at <= now {
        let sentence = format!("{} is over already", policy.show(at));
        return Err(Failure::new(Exit::Usage, sentence));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse_policy;

    #[test]
    fn an_end_is_a_time_from_now_a_day_or_a_minute_of_the_policys_zone() {
        let text =
            "[time]\nzone = \"Europe/Berlin\"\n[[policy]]\nname = \"p\"\naction = \"notify\"\n";
        let policy = parse_policy(Path::new("p"), text).unwrap();
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let end = |text: &str| when(text, now, &policy).ok().map(|end| end.to_string());
        assert_eq!(end("36h").as_deref(), Some("2026-11-25T00:00:00Z"));
        assert_eq!(end("2026-12-01").as_deref(), Some("2026-11-30T23:00:00Z"));
        assert_eq!(
            end("2026-12-01T08:00").as_deref(),
            Some("2026-12-01T07:00:00Z")
        );
        assert_eq!(
            end("2026-12-01T08:00:00Z").as_deref(),
            Some("2026-12-01T08:00:00Z")
        );
        for bad in ["2026-11-23", "tomorrow", "", "-3d", "2026-13-01", "0s"] {
            assert_eq!(end(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reason_is_one_line_and_never_empty() {
        assert_eq!(
            reason_of(" election\n week ").ok().as_deref(),
            Some("election week")
        );
        assert!(reason_of(" \n").is_err() && reason_of(&"x".repeat(301)).is_err());
    }
}
