//! `status`, `history`, `show` and `config check`: looking, without asking anything outside this host.

use serde_json::json;

use super::Call;
use crate::cli::failure::Failure;
use crate::cli::render;
use crate::daemon::world::{open_store, update_check};
use crate::daemon::{feeds, knowledge};
use crate::domain::report::Report;
use crate::domain::report::words::clean;
use crate::exit::Exit;
use crate::ports::clock::Clock;
use crate::ports::store::Journal;

pub(super) fn status(call: &Call<'_>) -> Result<Exit, Failure> {
    let store = open_store(call.settings)?;
    let mut instances = Vec::new();
    for instance in &call.settings.instances {
        if call.instance.is_some_and(|name| name != instance.name) {
            continue;
        }
        let last = store.runs(&instance.name, 1)?.into_iter().next();
        let last = last.map(|run| Report::new(&run.plan, &run.journal));
        let rehearsal = store.rehearsals(&instance.name)?.into_iter().next();
        let ran_at = last.as_ref().map(|last| last.started_at);
        let rehearsal = rehearsal.filter(|it| ran_at.is_none_or(|at| at < it.ended_at));
        instances.push(render::InstanceStatus {
            rehearsal,
            name: instance.name.clone(),
            quarantined: store.quarantined(&instance.name)?,
            approvals: store.approvals(&instance.name)?,
            hold: store.hold(&instance.name)?,
            pin: store.pin(&instance.name)?,
            last,
        });
    }
    let outbox = store.outbox_summary()?;
    let github = call.github()?;
    let update_check = update_check(call.settings)?;
    let poller = feeds::poller(&store, &github, update_check.as_ref(), call.settings);
    let alarms = poller.known(call.clock.now())?.alarms;
    if call.out.is_json() {
        let mut answer = render::status_json(&instances, &outbox);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("alarms".to_owned(), json!(alarms));
        }
        call.out.json(&answer);
    } else {
        call.out.text(&render::status(&instances, &outbox));
        for alarm in &alarms {
            call.out.text(&format!("Alarm: {}", clean(&alarm.sentence)));
        }
    }
    Ok(Exit::Done)
}

pub(super) fn history(call: &Call<'_>, limit: u32) -> Result<Exit, Failure> {
    let store = open_store(call.settings)?;
    let mut reports = Vec::new();
    for instance in &call.settings.instances {
        if call.instance.is_none_or(|name| name == instance.name) {
            for run in store.runs(&instance.name, limit)? {
                reports.push(Report::new(&run.plan, &run.journal));
            }
        }
    }
    reports.sort_by_key(|report| std::cmp::Reverse(report.started_at));
    if call.out.is_json() {
        call.out.json(&json!({ "runs": reports }));
    } else {
        call.out.text(&render::history(&reports));
    }
    Ok(Exit::Done)
}

pub(super) fn show(call: &Call<'_>, run: Option<&str>) -> Result<Exit, Failure> {
    let store = open_store(call.settings)?;
    let stored = match run {
        Some(typed) => store.run(&store.resolve(typed)?)?,
        None => {
            let instance = call.chosen()?;
            let newest = store.runs(&instance.name, 1)?.into_iter().next();
            newest.ok_or_else(|| {
                Failure::new(
                    Exit::Refused,
                    format!("{} has had no run yet", instance.name),
                )
            })?
        }
    };
    let report = Report::new(&stored.plan, &stored.journal);
    if call.out.is_json() {
        call.out.json(&json!({ "run": report }));
    } else {
        call.out.text(&render::run(&report));
    }
    Ok(Exit::Done)
}

/// Also asks what was right once and is not any more: calendars that have run out, windows that have become too short.
pub(super) fn config_check(call: &Call<'_>) -> Result<Exit, Failure> {
    let settings = call.settings;
    knowledge::faults(settings, call.clock.now())?;
    if call.out.is_json() {
        let names: Vec<&str> = settings.instances.iter().map(|i| i.name.as_str()).collect();
        call.out.json(&json!({
            "file": settings.file,
            "policy_file": settings.policy_file,
            "instances": names,
        }));
    } else {
        call.out.text(&format!(
            "{} and {} are right.",
            settings.file.display(),
            settings.policy_file.display()
        ));
    }
    Ok(Exit::Done)
}
