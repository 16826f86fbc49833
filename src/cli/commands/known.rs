//! `advisories` and `releases`: what is known of the world.

use super::Call;
use super::check::{Asked, ask_github, judge, version};
use crate::cli::answers::{AdvisoriesAnswer, ReleasesAnswer};
use crate::cli::failure::Failure;
use crate::cli::output::problem;
use crate::cli::render::{self, AdvisoryAnswer};
use crate::daemon::knowledge::what_if;
use crate::daemon::world::{World, open_store};
use crate::domain::decide::{Exposure, Facts};
use crate::domain::release::Release;
use crate::domain::version::ReleaseVersion;
use crate::engine::planner::Depth;
use crate::exit::Exit;
use crate::ports::clock::Clock;

pub(super) async fn advisories(
    call: &Call<'_>,
    asked: Option<&str>,
    all: bool,
) -> Result<Exit, Failure> {
    let asked = asked.map(version).transpose()?;
    let (Asked { known, failure, .. }, facts) = facts(call, asked).await?;
    let failure = failure.map(Failure::from);
    let exposure = Exposure::of(&facts, call.clock.now());
    let counted = exposure.listed.iter().chain(&exposure.undecided);
    let counted: Vec<_> = counted.collect();
    let published = &facts.published;
    let answers: Vec<AdvisoryAnswer<'_>> = published
        .advisories()
        .iter()
        .map(|advisory| {
            let item = counted.iter().find(|item| item.id == advisory.id);
            AdvisoryAnswer {
                advisory,
                affected: advisory.affects(facts.version()),
                counts: item.is_some(),
                repaired_in: item.and_then(|item| item.repaired_in.clone()),
            }
        })
        .filter(|answer| all || answer.counts)
        .collect();
    if call.out.is_json() {
        call.out.json(&AdvisoriesAnswer {
            version: facts.version(),
            standing: exposure.standing,
            n_known: published.advisories().len(),
            advisories: &answers,
            problems: &known.problems,
            alarms: &known.alarms,
            error: failure.as_ref().map(problem),
        });
    } else {
        let n_known = published.advisories().len();
        call.out
            .text(&render::advisories(facts.version(), n_known, &answers));
        call.tell_alarms(&known.alarms);
    }
    if let Some(failure) = failure {
        return Ok(call.tell_memory(&failure));
    }
    Ok(Exit::Done)
}

pub(super) async fn releases(
    call: &Call<'_>,
    line: Option<&str>,
    all: bool,
) -> Result<Exit, Failure> {
    let asked = ask_github(call, &open_store(call.settings)?).await?;
    let (known, failure) = (asked.known, asked.failure.map(Failure::from));
    let (published, listed) = (known.published(), &known.releases);
    let newest: Vec<ReleaseVersion> = published
        .lines()
        .filter_map(|line| published.line(line).next_back())
        .map(|release| release.version.clone())
        .collect();
    let mut wanted: Vec<&Release> = listed
        .iter()
        .filter(|release| match line {
            Some(line) => release.version.line().to_string() == line.trim_start_matches('v'),
            None => all || newest.contains(&release.version),
        })
        .collect();
    wanted.sort_by(|a, b| b.version.cmp(&a.version));
    if call.out.is_json() {
        call.out.json(&ReleasesAnswer {
            releases: wanted,
            problems: &known.problems,
            alarms: &known.alarms,
            error: failure.as_ref().map(problem),
        });
    } else {
        let rows: Vec<(&Release, Vec<String>)> = wanted
            .iter()
            .map(|release| (*release, marks(release, &newest)))
            .collect();
        call.out.text(&render::releases(&rows));
        call.tell_alarms(&known.alarms);
    }
    if let Some(failure) = failure {
        return Ok(call.tell_memory(&failure));
    }
    Ok(Exit::Done)
}

fn marks(release: &Release, newest: &[ReleaseVersion]) -> Vec<String> {
    let mut marks = Vec::new();
    if newest.contains(&release.version) {
        marks.push(format!("newest of {}", release.version.line()));
    }
    if release.pre_release {
        marks.push("pre-release".to_owned());
    }
    if release.gone_since.is_some() {
        marks.push("TAKEN BACK by its publisher".to_owned());
    }
    if release.is_security() {
        let ids: Vec<&str> = release.ids.iter().map(String::as_str).collect();
        marks.push(format!("security {}", ids.join(" ")).trim_end().to_owned());
    }
    if !release.described {
        marks.push("no release notes".to_owned());
    }
    marks
}

/// What is known, and the facts about the version asked for, or else about the instance.
async fn facts(call: &Call<'_>, asked: Option<ReleaseVersion>) -> Result<(Asked, Facts), Failure> {
    if let Some(version) = asked {
        let answer = ask_github(call, &open_store(call.settings)?).await?;
        let facts = what_if(version, &answer.known.published());
        return Ok((answer, facts));
    }
    let world = World::open(call.settings, call.clock).await?;
    let answer = ask_github(call, world.store()).await?;
    let published = answer.known.published();
    let judged = judge(call, &world, call.chosen()?, &published, Depth::Quick).await?;
    Ok((answer, judged.facts))
}
