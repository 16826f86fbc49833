//! What would have been said of every stable version on some days: a table to be read by people, checked in.
//!
//! `UPDATE_TABLE=1 cargo test --test knowing` writes it anew; what changed is then to be reviewed line by line.

use std::fmt::Write as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::decide::{Decision, Exposed, Facts, Standing, When, decide};
use serde_json::Value;

use crate::known::{ADVISORIES, KNOWN, RELEASES, at, facts, published_on, shipped, text, version};

/// The days: before and after every batch of repairs that mattered.
const DAYS: [&str; 14] = [
    "2023-03-01T12:00:00Z",
    "2023-07-07T12:00:00Z",
    "2023-10-01T12:00:00Z",
    "2024-02-02T12:00:00Z",
    "2024-02-20T12:00:00Z",
    "2024-07-06T12:00:00Z",
    "2024-11-01T12:00:00Z",
    "2025-04-01T12:00:00Z",
    "2025-08-06T12:00:00Z",
    "2025-11-10T12:00:00Z",
    "2025-12-10T12:00:00Z",
    "2026-01-22T12:00:00Z",
    "2026-03-25T12:00:00Z",
    "2026-04-15T12:00:00Z",
];

/// Every stable version from 4.0.0 on that was out on a day.
fn versions_on(day: &str) -> Vec<String> {
    let mut versions: Vec<_> = KNOWN
        .0
        .iter()
        .filter(|release| !release.pre_release && release.published_at <= at(day))
        .map(|release| release.version.clone())
        .filter(|found| !found.precedes(&version("4.0.0")))
        .collect();
    versions.sort();
    versions.iter().map(ToString::to_string).collect()
}

/// What is decided on a day about every version that was out.
fn decided_on(day: &str) -> Vec<(String, Decision)> {
    let policy = shipped("security-first");
    let published = published_on(day);
    let decided = |installed: String| {
        let facts = Facts {
            published: published.clone(),
            ..facts(&installed)
        };
        let decision = decide(&facts, &policy, at(day), SignedDuration::from_mins(45));
        (installed, decision)
    };
    versions_on(day).into_iter().map(decided).collect()
}

/// `GHSA-q4g8-82c5-9h33` as `q4g8`.
fn short(items: &[Exposed]) -> String {
    let ids: Vec<&str> = items
        .iter()
        .filter_map(|item| item.id.split('-').nth(1))
        .collect();
    ids.join(" ")
}

fn minute(at: Timestamp) -> String {
    at.strftime("%m-%d %H:%M").to_string()
}

fn line(decision: &Decision) -> String {
    let exposure = &decision.exposure;
    let standing = match exposure.standing {
        Standing::ListedAsAffected => "AFFECTED",
        Standing::SecurityUpdateMissing => "missing",
        Standing::CannotTell => "?",
        Standing::NotListed => "not listed",
    };
    let mut row = format!("{:<8} {standing:<10}", decision.installed.to_string());
    match &decision.target {
        None => row.push_str(" -"),
        Some(target) => {
            let grade = target
                .severity
                .map(|grade| grade.to_string())
                .unwrap_or_default();
            let dates = decision.dates.unwrap();
            let by = dates
                .forced_by
                .map(|by| by.strftime("%Y-%m-%d").to_string());
            let late = if dates.is_late() { "!" } else { "" };
            let when = match &decision.when {
                When::Now { window, .. } => window.clone().unwrap_or_else(|| "now".to_owned()),
                When::Wait { not_before, .. } => minute(*not_before),
                When::NeedsApproval => "asks".to_owned(),
                When::NotifyOnly => "tells".to_owned(),
                When::Blocked => "BLOCKED".to_owned(),
                When::Nothing => "-".to_owned(),
            };
            write!(
                row,
                " {:<7} {:<8} {grade:<8} {:<11} {when:<11}",
                target.version.to_string(),
                target.class.to_string(),
                by.unwrap_or_default() + late,
            )
            .unwrap();
        }
    }
    let stops: Vec<String> = decision
        .path
        .stops
        .iter()
        .map(|stop| stop.version.to_string())
        .collect();
    write!(row, " | {}", stops.join(" ")).unwrap();
    if !exposure.listed.is_empty() {
        write!(row, " | in: {}", short(&exposure.listed)).unwrap();
    }
    if !exposure.undecided.is_empty() {
        write!(row, " | ?: {}", short(&exposure.undecided)).unwrap();
    }
    if !exposure.other_lines.is_empty() {
        let n_more = exposure.other_lines.len().saturating_sub(3);
        let more = if n_more == 0 {
            String::new()
        } else {
            format!(" and {n_more} more")
        };
        let others: Vec<String> = exposure
            .other_lines
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect();
        write!(row, " | others got: {}{more}", others.join(" ")).unwrap();
    }
    if let Some(end) = exposure.support_ended {
        write!(row, " | no support since {end}").unwrap();
    }
    row.trim_end().to_owned()
}

fn table() -> String {
    let mut text = String::from(
        "What mastopatch would have said of every stable Mastodon from 4.0.0 on, by the policy security-first, to a host on\n\
         which nothing stands in the way. Columns: version, standing, then the version to go to, its class, the worst grade it\n\
         closes, until when it is wanted (! = missed), when it starts (UTC; `asks`: a person must agree); | the whole way |\n\
         advisories (second group of the GHSA id) that list it as affected, that allow no answer, and what else keeps it from\n\
         being called not listed.\n",
    );
    for day in DAYS {
        let published = published_on(day);
        write!(
            text,
            "\n== {day}: {} releases and {} advisories were known\n\n",
            published.releases().len(),
            published.advisories().len()
        )
        .unwrap();
        for (_, decision) in decided_on(day) {
            text.push_str(&line(&decision));
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_table_of_all_versions_is_as_reviewed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knowing/table.txt");
    let made = table();
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    let pairs = made.lines().zip(reviewed.lines());
    let first = pairs
        .enumerate()
        .find(|(_, (made, reviewed))| made != reviewed);
    assert!(
        made == reviewed,
        "tests/knowing/table.txt is not what is decided now; first difference: {first:#?}\n\
         UPDATE_TABLE=1 cargo test --test knowing writes it anew, to be reviewed"
    );
}

/// The three numbers of a version and whether it is final, by plain string work.
fn numbers(text: &str) -> Option<(Vec<u64>, bool)> {
    let text = text.trim().trim_start_matches('v');
    let core: String = text
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let is_final = core.len() == text.len();
    let mut parts: Vec<u64> = core
        .trim_end_matches('.')
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    if parts.len() < 2 {
        return None;
    }
    parts.resize(3, 0);
    Some((parts, is_final))
}

/// Whether a range holds a final version, in the plainest reading; what cannot be read holds nothing here.
fn plainly_holds(range: &str, installed: &str) -> bool {
    let (installed, _) = numbers(installed).unwrap();
    !range.trim().is_empty()
        && range.split(',').all(|part| {
            let part = part.trim();
            let sign: String = part.chars().take_while(|c| "<>=".contains(*c)).collect();
            let Some((bound, is_final)) = numbers(&part[sign.len()..]) else {
                return false;
            };
            match sign.as_str() {
                "<" => installed < bound,
                "<=" => installed < bound || (installed == bound && is_final),
                ">" => installed > bound || (installed == bound && !is_final),
                ">=" => installed >= bound,
                "=" => installed == bound && is_final,
                _ => false,
            }
        })
}

/// Whether an advisory contradicts itself about a version: it names an earlier one of the same line as repaired, and that
/// one's release notes agree.
fn repaired_before(advisory: &Value, installed: &[u64], releases: &[Value]) -> bool {
    let entries = advisory["vulnerabilities"].as_array().unwrap();
    entries.iter().any(|entry| {
        let patched = text(entry, "patched_versions").unwrap_or_default();
        let Some((fix, true)) = numbers(&patched) else {
            return false;
        };
        let notes = releases.iter().find(|release| {
            text(release, "tag_name") == Some(format!("v{}.{}.{}", fix[0], fix[1], fix[2]))
        });
        let agrees = notes
            .and_then(|notes| text(notes, "body"))
            .is_some_and(|body| body.contains(&text(advisory, "ghsa_id").unwrap()));
        fix[..2] == installed[..2] && fix.as_slice() <= installed && agrees
    })
}

/// Every source that names a version as affected on a day, as raw text: a range that holds it, or a newer release of its
/// line with a Security section or with an advisory's id. A range that its own advisory and the release notes contradict
/// is left out.
fn sources_naming(installed: &str, day: &str) -> Vec<String> {
    let (mine, _) = numbers(installed).unwrap();
    let mut sources = Vec::new();
    let known = |value: &Value| {
        let published = text(value, "published_at");
        published.is_none_or(|published| at(&published) <= at(day))
    };
    let advisories: Vec<Value> = serde_json::from_str(ADVISORIES).unwrap();
    let releases: Vec<Value> = serde_json::from_str(RELEASES).unwrap();
    for advisory in advisories.iter().filter(|advisory| known(advisory)) {
        if repaired_before(advisory, &mine, &releases) {
            continue;
        }
        for entry in advisory["vulnerabilities"].as_array().unwrap() {
            let range = text(entry, "vulnerable_version_range").unwrap_or_default();
            if plainly_holds(&range, installed) {
                sources.push(format!("{} {range}", text(advisory, "ghsa_id").unwrap()));
            }
        }
    }
    for release in releases.iter().filter(|release| known(release)) {
        let tag = text(release, "tag_name").unwrap();
        let Some((theirs, true)) = numbers(&tag) else {
            continue;
        };
        let body = text(release, "body").unwrap_or_default();
        let newer = theirs[..2] == mine[..2] && theirs > mine;
        if newer
            && (body.contains("### Security") || body.contains("GHSA-") || body.contains("CVE-"))
        {
            sources.push(tag);
        }
    }
    sources
}

#[test]
fn no_version_that_any_source_names_is_ever_called_not_listed() {
    let mut n_asked = 0;
    let mut n_named = 0;
    for day in DAYS {
        for (installed, decision) in decided_on(day) {
            let sources = sources_naming(&installed, day);
            n_asked += 1;
            if sources.is_empty() {
                continue;
            }
            n_named += 1;
            assert_ne!(
                decision.exposure.standing,
                Standing::NotListed,
                "{installed} on {day} is named by {sources:?}"
            );
            assert!(
                decision.target.is_some()
                    || decision.when != When::Nothing
                    || sources.iter().all(|source| source.starts_with("GHSA")),
                "{installed} on {day} is named by {sources:?}, and nothing is proposed"
            );
        }
    }
    // The table would be no test if hardly anything were asked or named.
    assert!(n_asked > 500 && n_named > 400, "{n_asked} {n_named}");
}
