//! `check`, `plan` and `approve`: what mastopatch knows, what it would do, and a person's consent.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{Call, person};
use crate::adapters::store::Store;
use crate::cli::answers::{CheckAnswer, NothingToDo};
use crate::cli::failure::Failure;
use crate::cli::output::problem;
use crate::cli::render;
use crate::config::Instance;
use crate::daemon::act::{self, Order};
use crate::daemon::feeds;
use crate::daemon::knowledge::{self, KnowledgeError, Known};
use crate::daemon::rehearsals;
use crate::daemon::world::{World, update_check};
use crate::domain::decide::{Decision, Facts, Standing, Target, When, target_of};
use crate::domain::feed::Feed;
use crate::domain::plan::{Asked as AskedBy, Plan};
use crate::domain::policy::Policy;
use crate::domain::published::Published;
use crate::domain::rehearsal::Rehearsal;
use crate::domain::version::ReleaseVersion;
use crate::engine::planner::{Depth, Survey, look};
use crate::engine::{StepError, chain};
use crate::exit::Exit;
use crate::ports::clock::Clock;

/// Everything known about one instance, and what follows.
pub(super) struct Judged {
    pub(super) survey: Result<Survey, StepError>,
    pub(super) facts: Facts,
    pub(super) decision: Decision,
}

/// Looks at the instance and decides.
pub(super) async fn judge(
    call: &Call<'_>,
    world: &World,
    instance: &Instance,
    published: &Arc<Published>,
    depth: Depth,
) -> Result<Judged, Failure> {
    let look = look(world, &knowledge::instance_ref(instance), depth).await?;
    let store = world.store();
    let facts = knowledge::facts(store, instance, &look, published, &call.clock)?;
    let (decision, _) = knowledge::decided(store, instance, &facts, call.clock.now())?;
    Ok(Judged {
        survey: look.survey,
        facts,
        decision,
    })
}

/// What is known after GitHub was asked now, and why it could not be asked, if it could not.
pub(super) struct Asked {
    pub(super) known: Known,
    pub(super) failure: Option<KnowledgeError>,
    releases_failed: bool,
}

/// Asks GitHub now. A failure is an error only if nothing is remembered that could be answered from.
pub(super) async fn ask_github(call: &Call<'_>, store: &Store) -> Result<Asked, Failure> {
    let github = call.github()?;
    let update_check = update_check(call.settings)?;
    let poller = feeds::poller(store, &github, update_check.as_ref(), call.settings);
    let round = poller.ask_now(call.clock.now()).await?;
    let releases_failed = round
        .failures
        .iter()
        .any(|(feed, _)| *feed == Feed::Releases);
    let failure = round.into_failure();
    let known = poller.known(call.clock.now())?;
    match failure {
        Some(failure) if known.releases.is_empty() => Err(failure.into()),
        failure => Ok(Asked {
            known,
            failure,
            releases_failed,
        }),
    }
}

pub(super) async fn check(call: &Call<'_>) -> Result<Exit, Failure> {
    answer(call, |decision, _, _| render::decision(decision)).await
}

pub(super) async fn explain(call: &Call<'_>) -> Result<Exit, Failure> {
    answer(call, |decision, policy, last| {
        let text = render::explanation(decision, policy);
        match last {
            Some(last) => format!("{text}\n\nRehearsal\n  - {}", render::rehearsed(last)),
            None => text,
        }
    })
    .await
}

/// Decides about the instances that are meant, and shows each decision.
async fn answer(
    call: &Call<'_>,
    show: impl Fn(&Decision, &Policy, Option<&Rehearsal>) -> String,
) -> Result<Exit, Failure> {
    let world = World::open(call.settings, call.clock).await?;
    let Asked { known, failure, .. } = ask_github(call, world.store()).await?;
    let published = known.published();
    let mut decisions = Vec::new();
    for instance in &call.settings.instances {
        if call.instance.is_none_or(|name| name == instance.name) {
            let judged = judge(call, &world, instance, &published, Depth::Quick).await?;
            let target = judged.decision.target.as_ref();
            let last = match target.map(|target| &target.version) {
                Some(to) => {
                    let from = &judged.decision.installed;
                    rehearsals::newest(world.store(), &instance.name, from, to)?
                }
                None => None,
            };
            decisions.push((judged.decision, instance, last));
        }
    }
    if decisions.is_empty() {
        call.chosen()?;
    }
    let failure = failure.map(Failure::from);
    if call.out.is_json() {
        call.out.json(&CheckAnswer {
            instances: decisions.iter().map(|(decision, ..)| decision).collect(),
            alarms: &known.alarms,
            error: failure.as_ref().map(problem),
        });
    } else {
        let texts: Vec<String> = decisions
            .iter()
            .map(|(decision, instance, last)| show(decision, &instance.policy, last.as_ref()))
            .collect();
        call.out.text(&texts.join("\n\n"));
        call.tell_alarms(&known.alarms);
    }
    if let Some(failure) = failure {
        return Ok(call.tell_memory(&failure));
    }
    // The most urgent answer of all instances.
    let exits = decisions.iter().map(|(decision, ..)| match decision.when {
        When::Nothing if decision.exposure.standing == Standing::NotListed => Exit::Done,
        When::Now { .. } => Exit::Available,
        When::Nothing
        | When::Wait { .. }
        | When::NeedsApproval
        | When::NotifyOnly
        | When::Blocked => Exit::Waiting,
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
    let asked = ask_github(call, world.store()).await?;
    match asked.failure {
        // Without the releases of this moment nothing is started, and without GitHub there is no commit to hold it to.
        Some(failure) if asked.releases_failed => return Err(failure.into()),
        Some(failure) => call.out.note(&format!(
            "going on with the advisories that are remembered: {}",
            chain(&failure)
        )),
        None => {}
    }
    let published = asked.known.published();
    let judged = judge(call, world, instance, &published, Depth::Thorough).await?;
    let Some(order) = order(&judged, to, force, call.clock.now())? else {
        return Ok((judged.decision, None));
    };
    let (github, survey) = (call.github()?, judged.survey?);
    let planned = act::plan(world, &github, call.settings, instance, &survey, order).await?;
    Ok((judged.decision, Some(planned)))
}

/// Says that there is nothing to do, or what stands in the way.
pub(super) fn nothing_to_do(call: &Call<'_>, decision: &Decision) -> Exit {
    if call.out.is_json() {
        call.out.json(&NothingToDo { plan: (), decision });
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
pub(super) fn order(
    judged: &Judged,
    to: Option<&str>,
    force: bool,
    now: Timestamp,
) -> Result<Option<Order>, Failure> {
    let target: Target = match to {
        Some(text) => {
            let version = version(text)?;
            let target = target_of(&judged.facts, &version, force, now);
            target.map_err(|err| Failure::new(Exit::Refused, err.to_string()))?
        }
        None => match &judged.decision.target {
            Some(target) => {
                let checked = target_of(&judged.facts, &target.version, true, now);
                checked.map_err(|err| Failure::new(Exit::Refused, err.to_string()))?;
                target.clone()
            }
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
        asked_by: AskedBy::Person(person()),
        reasons,
        hard_deadline: None,
        close_by: None,
        way_back: jiff::SignedDuration::ZERO,
    }))
}

pub(super) fn version(text: &str) -> Result<ReleaseVersion, Failure> {
    text.parse()
        .map_err(|err| Failure::new(Exit::Usage, format!("`{text}` is no version: {err}")))
}
