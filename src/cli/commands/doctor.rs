//! `doctor`: what runs, and what would stop an update on this host, before it matters.

use super::Call;
use super::check::ask_github;
use crate::cli::failure::Failure;
use crate::cli::render::{self, Diagnosis, Findings, Verdict};
use crate::config::{ConfigErrors, Instance};
use crate::daemon::knowledge::{self, Known};
use crate::daemon::world::World;
use crate::domain::installed::Origin;
use crate::domain::method;
use crate::domain::path::{Path, lines, path};
use crate::engine::planner::{Depth, Survey, look};
use crate::engine::{StepError, chain};
use crate::exit::Exit;
use crate::ports::clock::Clock;
use crate::ports::runtime::RuntimeError;

pub(super) async fn doctor(call: &Call<'_>) -> Result<Exit, Failure> {
    if call.instance.is_some() {
        call.chosen()?;
    }
    let world = World::open(call.settings, call.clock).await?;
    // The host is worth a look without GitHub.
    let known = ask_github(call, world.store()).await;
    let known = known
        .map(|asked| asked.known)
        .map_err(|failure| chain(failure.error.as_ref()));
    let mut diagnoses = Vec::new();
    for instance in &call.settings.instances {
        if call.instance.is_none_or(|name| name == instance.name) {
            diagnoses.push(diagnose(call, &world, instance, &known).await?);
        }
    }
    if call.out.is_json() {
        call.out.json(&render::doctor_answer(&diagnoses));
    } else {
        call.out.text(&render::doctor(&diagnoses));
    }
    let worst = diagnoses.iter().map(Diagnosis::verdict).max();
    Ok(match worst {
        None | Some(Verdict::Clear) => Exit::Done,
        Some(Verdict::NeedsPerson) => Exit::Waiting,
        Some(Verdict::Blocked) => Exit::Refused,
    })
}

async fn diagnose(
    call: &Call<'_>,
    world: &World,
    instance: &Instance,
    known: &Result<Known, String>,
) -> Result<Diagnosis, Failure> {
    let seen = look(world, &knowledge::instance_ref(instance), Depth::Thorough).await;
    let seen = match seen {
        Err(err @ StepError::Runtime(RuntimeError::Unreachable { .. })) => return Err(err.into()),
        Err(err) => {
            return Ok(Diagnosis {
                instance: instance.name.clone(),
                findings: Err(chain(&err)),
            });
        }
        Ok(seen) => seen,
    };
    // What this program knows by itself is joined by the domain.
    let ends = known
        .as_ref()
        .map(|known| known.end_of_support.clone())
        .unwrap_or_default();
    let version = &seen.installed.version;
    // From somebody else's build no way of Mastodon's own releases leads on.
    let is_foreign = matches!(
        seen.installed.origin,
        Origin::Fork { .. } | Origin::AllInOne { .. }
    );
    let way = known.as_ref().map_err(Clone::clone).map(|known| {
        if is_foreign {
            return Path {
                dead_end: seen.installed.origin_refusal(),
                ..Path::default()
            };
        }
        let releases: Vec<_> = known.releases.iter().collect();
        path(version, &releases, None).with_obstacles(
            &seen.host,
            version,
            &known.releases,
            call.clock.now(),
            &ends,
        )
    });
    let survey = seen.survey.as_ref();
    let copies = survey.map(|survey| method::told(call.settings.run.snapshot, &survey.copying));
    let copies = copies.unwrap_or_default();
    let data_in = seen.survey.as_ref().map(data_in).unwrap_or_default();
    let support = lines::support(version.line(), call.clock.now(), &ends);
    Ok(Diagnosis {
        instance: instance.name.clone(),
        findings: Ok(Box::new(Findings {
            support,
            way,
            refusal: seen.survey.err().map(|err| chain(&err)),
            data_in,
            copies,
            only_by_hand: only_by_hand(call, instance),
            installed: seen.installed,
            host: seen.host,
        })),
    })
}

/// In which containers the data are.
fn data_in(survey: &Survey) -> Vec<String> {
    let Survey {
        database, redis, ..
    } = survey;
    vec![
        format!(
            "PostgreSQL: {}, database `{}`",
            database.owner.container(&database.container),
            database.name
        ),
        format!("Redis: {}", redis.owner.container(&redis.container)),
    ]
}

/// What keeps a daemon from starting anything here, or in some of the windows.
fn only_by_hand(call: &Call<'_>, instance: &Instance) -> Vec<String> {
    let doubt = knowledge::clock_doubt(&call.clock).filter(|_| instance.policy.requires_sync());
    let faults = knowledge::faults(call.settings, call.clock.now()).err();
    let faults = faults.iter().flat_map(ConfigErrors::all);
    doubt
        .into_iter()
        .chain(faults.map(|fault| format!("{fault}.")))
        .collect()
}
