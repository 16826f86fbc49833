//! `check`, `plan` and `approve`: what mastopatch knows, what it would do, and a person's consent.

use serde_json::json;

use super::{Call, person};
use crate::cli::failure::Failure;
use crate::cli::render;
use crate::config::Instance;
use crate::daemon::act::{self, Order};
use crate::daemon::knowledge::{self, Known};
use crate::daemon::world::World;
use crate::domain::decide::{Decision, Facts, Target, When, decide, target_of};
use crate::domain::plan::{Asked, Plan};
use crate::domain::policy::Policy;
use crate::domain::version::ReleaseVersion;
use crate::engine::planner::{Survey, survey};
use crate::exit::Exit;
use crate::ports::clock::Clock;

/// Everything known about one instance, and what follows.
pub(super) struct Judged {
    survey: Survey,
    pub(super) facts: Facts,
    pub(super) decision: Decision,
}

/// Looks at the instance and decides.
pub(super) async fn judge(
    call: &Call<'_>,
    world: &World,
    instance: &Instance,
    known: &Known,
) -> Result<Judged, Failure> {
    let survey = survey(world, &knowledge::instance_ref(instance)).await?;
    let store = world.store();
    let facts = knowledge::facts(store, instance, survey.installed.clone(), known)?;
    let needed = knowledge::time_needed(store, instance)?;
    let decision = decide(&facts, &instance.policy, call.clock.now(), needed);
    Ok(Judged {
        survey,
        facts,
        decision,
    })
}

pub(super) async fn ask_github(call: &Call<'_>, world: &World) -> Result<Known, Failure> {
    let github = call.github()?;
    let repository = &call.settings.github.repository;
    Ok(knowledge::refresh(world.store(), &github, repository, call.clock.now()).await?)
}

pub(super) async fn check(call: &Call<'_>) -> Result<Exit, Failure> {
    answer(call, |decision, _| render::decision(decision)).await
}

pub(super) async fn explain(call: &Call<'_>) -> Result<Exit, Failure> {
    answer(call, render::explanation).await
}

/// Decides about the instances that are meant, and shows each decision.
async fn answer(
    call: &Call<'_>,
    show: impl Fn(&Decision, &Policy) -> String,
) -> Result<Exit, Failure> {
    let world = World::open(call.settings, call.clock).await?;
    let known = ask_github(call, &world).await?;
    let mut decisions = Vec::new();
    for instance in &call.settings.instances {
        if call.instance.is_none_or(|name| name == instance.name) {
            let judged = judge(call, &world, instance, &known).await?;
            decisions.push((judged.decision, instance));
        }
    }
    if decisions.is_empty() {
        call.chosen()?;
    }
    if call.out.is_json() {
        let all: Vec<&Decision> = decisions.iter().map(|(decision, _)| decision).collect();
        call.out.json(&json!({ "instances": all }));
    } else {
        let texts: Vec<String> = decisions
            .iter()
            .map(|(decision, instance)| show(decision, &instance.policy))
            .collect();
        call.out.text(&texts.join("\n\n"));
    }
    // The most urgent answer of all instances.
    let exits = decisions.iter().map(|(decision, _)| match decision.when {
        When::Nothing => Exit::Done,
        When::Now { .. } => Exit::Available,
        When::Wait { .. } | When::NeedsApproval | When::NotifyOnly | When::Blocked => Exit::Waiting,
    });
    let exits: Vec<Exit> = exits.collect();
    Ok([Exit::Available, Exit::Waiting]
        .into_iter()
        .find(|e| exits.contains(e))
        .unwrap_or(Exit::Done))
}

pub(super) async fn plan(call: &Call<'_>, to: Option<&str>, force: bool) -> Result<Exit, Failure> {
    let instance = call.chosen()?;
    let world = World::open(call.settings, call.clock).await?;
    let (decision, planned) = prepare(call, &world, instance, to, force).await?;
    let Some((plan, _)) = planned else {
        return Ok(nothing_to_do(call, &decision));
    };
    if call.out.is_json() {
        let hash = plan.hash().unwrap_or_default();
        call.out
            .json(&json!({ "plan": plan, "plan_hash": hash, "when": decision.when }));
    } else {
        call.out.text(&render::plan(&plan));
        call.out.text(&render::when(&decision));
    }
    Ok(Exit::Done)
}

/// Decides, and makes the plan of what a person at the terminal orders, with the text of its material;
/// without one there is nothing to do. Changes nothing.
pub(super) async fn prepare(
    call: &Call<'_>,
    world: &World,
    instance: &Instance,
    to: Option<&str>,
    force: bool,
) -> Result<(Decision, Option<(Plan, String)>), Failure> {
    let known = ask_github(call, world).await?;
    let judged = judge(call, world, instance, &known).await?;
    let Some(order) = order(&judged, to, force)? else {
        return Ok((judged.decision, None));
    };
    let github = call.github()?;
    let (settings, survey) = (call.settings, &judged.survey);
    let planned = act::plan(world, &github, settings, instance, survey, order).await?;
    Ok((judged.decision, Some(planned)))
}

/// Says that there is nothing to do, or what stands in the way.
pub(super) fn nothing_to_do(call: &Call<'_>, decision: &Decision) -> Exit {
    if call.out.is_json() {
        call.out
            .json(&json!({ "plan": null, "decision": decision }));
    } else {
        call.out.text(&render::decision(decision));
    }
    match decision.when {
        When::Nothing => Exit::Done,
        When::Now { .. }
        | When::Wait { .. }
        | When::NeedsApproval
        | When::NotifyOnly
        | When::Blocked => Exit::Waiting,
    }
}

/// What a person at the terminal orders: the version named, or the one the policy would choose.
fn order(judged: &Judged, to: Option<&str>, force: bool) -> Result<Option<Order>, Failure> {
    let target: Target = match to {
        Some(text) => {
            let version = version(text)?;
            let target = target_of(&judged.facts, &version, force);
            target.map_err(|err| Failure::new(Exit::Refused, err.to_string()))?
        }
        None => match &judged.decision.target {
            Some(target) => target.clone(),
            None => return Ok(None),
        },
    };
    let reasons = judged
        .decision
        .reasons
        .iter()
        .map(|reason| reason.text.clone())
        .collect();
    Ok(Some(Order {
        target,
        asked_by: Asked::Person(person()),
        reasons,
        hard_deadline: None,
        close_by: None,
    }))
}

pub(super) fn version(text: &str) -> Result<ReleaseVersion, Failure> {
    text.parse()
        .map_err(|err| Failure::new(Exit::Usage, format!("`{text}` is no version: {err}")))
}
