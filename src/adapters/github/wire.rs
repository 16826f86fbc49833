//! What GitHub sends, as far as it is needed. Every field may be missing or null.

use std::error::Error;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::domain::advisory::{Advisory, AdvisoryParts, CvssParts, VulnerableParts};
use crate::domain::release::{Release, ReleaseParts};

#[derive(Debug, Deserialize)]
struct WireRelease {
    tag_name: Option<String>,
    name: Option<String>,
    html_url: Option<String>,
    body: Option<String>,
    draft: Option<bool>,
    prerelease: Option<bool>,
    published_at: Option<String>,
    updated_at: Option<String>,
}

/// What is only looked at for its text is taken as it comes, so that an odd score does not cost the whole advisory.
#[derive(Debug, Deserialize)]
struct WireAdvisory {
    ghsa_id: Option<String>,
    cve_id: Option<String>,
    #[serde(default)]
    identifiers: Value,
    #[serde(default)]
    severity: Value,
    #[serde(default)]
    cvss: Value,
    #[serde(default)]
    cvss_severities: Value,
    #[serde(default)]
    summary: Value,
    #[serde(default)]
    description: Value,
    #[serde(default)]
    html_url: Value,
    #[serde(default)]
    state: Value,
    published_at: Option<String>,
    updated_at: Option<String>,
    withdrawn_at: Option<String>,
    vulnerabilities: Option<Vec<Option<WireVulnerability>>>,
}

#[derive(Debug, Deserialize)]
struct WireVulnerability {
    #[serde(default)]
    package: Value,
    #[serde(default)]
    vulnerable_version_range: Value,
    #[serde(default)]
    patched_versions: Value,
}

#[derive(Debug, Deserialize)]
struct WireCommit {
    sha: String,
}

/// What an entry of a list is called, and what of it says something. The rest (counts of downloads and reactions) changes
/// from hour to hour.
pub(super) struct Kind {
    name: &'static str,
    fields: &'static [&'static str],
}

pub(super) const RELEASE: Kind = Kind {
    name: "tag_name",
    fields: &[
        "tag_name",
        "name",
        "body",
        "draft",
        "prerelease",
        "published_at",
    ],
};
pub(super) const ADVISORY: Kind = Kind {
    name: "ghsa_id",
    fields: &[
        "ghsa_id",
        "cve_id",
        "severity",
        "cvss",
        "cvss_severities",
        "cwe_ids",
        "summary",
        "description",
        "state",
        "published_at",
        "withdrawn_at",
        "vulnerabilities",
    ],
};

impl Kind {
    /// SHA-256, in hex, of everything in an entry that says something.
    pub(super) fn digest(&self, item: &Value) -> String {
        let mut hash = Sha256::new();
        for field in self.fields {
            let text = item.get(field).map(Value::to_string).unwrap_or_default();
            hash.update(format!("{field}={text}\n"));
        }
        let mut hex = String::new();
        for byte in hash.finalize() {
            for half in [byte >> 4, byte & 15] {
                hex.extend(char::from_digit(u32::from(half), 16));
            }
        }
        hex
    }

    pub(super) fn digests(&self, items: &[Value]) -> Vec<String> {
        items.iter().map(|item| self.digest(item)).collect()
    }

    /// What the publisher calls an entry.
    pub(super) fn name(&self, item: &Value) -> Option<String> {
        item.get(self.name)?.as_str().map(ToOwned::to_owned)
    }
}

/// The items of one page, each of which may still be anything.
pub(super) fn items(body: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::from_str(body)
}

/// The id in an answer about one commit.
pub(super) fn commit(body: &[u8]) -> Result<String, serde_json::Error> {
    serde_json::from_slice::<WireCommit>(body).map(|commit| commit.sha)
}

/// One release; `None` for a draft, or when the reason was added to the problems.
pub(super) fn release(item: &Value, problems: &mut Vec<String>) -> Option<Release> {
    let called = name_of(item, "tag_name", "release");
    let wire = reported(WireRelease::deserialize(item), &called, problems)?;
    if wire.draft == Some(true) {
        return None;
    }
    let parts = ReleaseParts {
        tag: wire.tag_name.unwrap_or_default(),
        title: wire.name,
        url: wire.html_url,
        published_at: date(wire.published_at, &called, problems),
        updated_at: date(wire.updated_at, &called, problems),
        pre_release: wire.prerelease.unwrap_or(false),
        body: wire.body.unwrap_or_default(),
    };
    reported(Release::new(parts), &called, problems)
}

/// One advisory; `None` for one that was never published, or when the reason was added to the problems.
///
/// Drafts, reports under triage and reports that were closed unpublished are seen by those with rights in the repository
/// only, and no advisories. The date of publication decides: with one, it counts in whatever state it is.
pub(super) fn advisory(item: &Value, problems: &mut Vec<String>) -> Option<Advisory> {
    let called = name_of(item, "ghsa_id", "advisory");
    let wire = reported(WireAdvisory::deserialize(item), &called, problems)?;
    let state = text(&wire.state)
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let unpublished = ["draft", "triage", "closed"].contains(&state.as_str());
    if unpublished && wire.published_at.is_none() {
        return None;
    }
    let published_at = date(wire.published_at, &called, problems);
    // Only a date takes an advisory back, and only one that can be: no all-clear from a slip.
    let withdrawn_at = date(wire.withdrawn_at, &called, problems);
    let withdrawn =
        withdrawn_at.is_some_and(|at| published_at.is_none_or(|published| at >= published));
    let aliases = identifiers(&wire.identifiers);
    let own_id = || {
        let is_ghsa = |id: &&String| id.to_ascii_uppercase().starts_with("GHSA-");
        aliases.iter().find(is_ghsa).cloned()
    };
    let scores = [
        wire.cvss_severities.get("cvss_v4"),
        wire.cvss_severities.get("cvss_v3"),
        Some(&wire.cvss),
    ];
    let entries = wire.vulnerabilities.unwrap_or_default().into_iter();
    let parts = AdvisoryParts {
        id: wire.ghsa_id.or_else(own_id).unwrap_or_default(),
        cve: wire.cve_id,
        aliases,
        severity: text(&wire.severity),
        cvss: scores.into_iter().flatten().map(score).collect(),
        summary: text(&wire.summary),
        description: text(&wire.description),
        url: text(&wire.html_url),
        published_at,
        updated_at: date(wire.updated_at, &called, problems),
        withdrawn,
        closed: state == "closed",
        vulnerable: entries.map(|entry| vulnerable(entry.as_ref())).collect(),
    };
    reported(Advisory::new(parts), &called, problems)
}

/// An entry; a null one names nothing, which is not the same as no entry.
fn vulnerable(entry: Option<&WireVulnerability>) -> VulnerableParts {
    let Some(entry) = entry else {
        return VulnerableParts::default();
    };
    let of_package = |key| entry.package.get(key).and_then(text);
    VulnerableParts {
        ecosystem: of_package("ecosystem"),
        package: of_package("name"),
        range: text(&entry.vulnerable_version_range),
        patched: text(&entry.patched_versions),
    }
}

/// The ids in `[{"type": "CVE", "value": "CVE-2026-1"}]`.
fn identifiers(list: &Value) -> Vec<String> {
    let ids = list.as_array().into_iter().flatten();
    ids.filter_map(|id| id.get("value").and_then(text))
        .collect()
}

fn score(value: &Value) -> CvssParts {
    let of = |key| value.get(key).and_then(text);
    CvssParts {
        vector: of("vector_string"),
        score: of("score"),
    }
}

/// A text, a number as text, or what else it may be, as JSON; only null is nothing.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

fn name_of(item: &Value, key: &str, what: &str) -> String {
    item.get(key).and_then(Value::as_str).map_or_else(
        || format!("a {what} without a name"),
        |name| format!("{what} `{name}`"),
    )
}

fn date(text: Option<String>, called: &str, problems: &mut Vec<String>) -> Option<Timestamp> {
    let text = text?;
    let date = text.parse().ok();
    if date.is_none() {
        problems.push(format!("{called}: `{text}` is not a date"));
    }
    date
}

/// Turns an error with all its causes into a problem.
fn reported<T, E: Error>(
    result: Result<T, E>,
    called: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(err) => {
            let mut sentence = format!("{called}: {err}");
            let mut cause = err.source();
            while let Some(err) = cause {
                sentence.push_str(": ");
                sentence.push_str(&err.to_string());
                cause = err.source();
            }
            problems.push(sentence);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::advisory::{Affected, Exploitation, Severity};

    fn read(item: &Value) -> (Option<Advisory>, Vec<String>) {
        let mut problems = Vec::new();
        (advisory(item, &mut problems), problems)
    }

    fn with(more: &Value) -> (Advisory, Vec<String>) {
        let mut item = json!({
            "ghsa_id": "GHSA-aaaa-bbbb-cccc",
            "published_at": "2026-03-24T14:00:00Z",
            "vulnerabilities": [{"vulnerable_version_range": "< 4.5.8"}],
        });
        let fields = item.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let (advisory, problems) = read(&item);
        (advisory.unwrap(), problems)
    }

    #[test]
    fn scores_ids_and_words_are_found_wherever_they_stand() {
        let (advisory, problems) = with(&json!({
            "cve_id": null,
            "severity": null,
            "identifiers": [
                {"type": "GHSA", "value": "GHSA-aaaa-bbbb-cccc"},
                {"type": "CVE", "value": "CVE-2026-1000"},
                null,
            ],
            "cvss": {"vector_string": null, "score": null},
            "cvss_severities": {
                "cvss_v3": null,
                "cvss_v4": {"vector_string": "CVSS:4.0/AV:N/E:A", "score": 8.7},
            },
            "description": "First. Second.",
        }));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(advisory.cve.as_deref(), Some("CVE-2026-1000"));
        assert_eq!(
            (advisory.severity, advisory.severity_missing),
            (Severity::High, false)
        );
        assert_eq!(advisory.exploited, Exploitation::Reported);
        assert_eq!(
            advisory.exploited_because.as_deref(),
            Some("CVSS:4.0/AV:N/E:A")
        );
        assert_eq!(advisory.about.as_deref(), Some("First."));
        let (unnamed, _) = read(&json!({
            "identifiers": [{"value": "CVE-2026-1000"}, {"value": "GHSA-aaaa-bbbb-cccc"}],
        }));
        assert_eq!(unnamed.unwrap().id, "GHSA-aaaa-bbbb-cccc");
    }

    #[test]
    fn nothing_odd_in_the_small_print_costs_the_advisory() {
        for odd in [
            json!({"cvss": "9.8", "cvss_severities": [1], "severity": 7}),
            json!({"identifiers": "none", "summary": {}, "state": 3, "html_url": []}),
            json!({"cvss_severities": {"cvss_v3": {"vector_string": 5, "score": {}}}}),
            json!({"vulnerabilities": [null, {"package": 1, "vulnerable_version_range": 4.5}]}),
            json!({"vulnerabilities": null}),
        ] {
            let (advisory, problems) = with(&odd);
            assert_eq!(problems, Vec::<String>::new(), "{odd}");
            assert_eq!(
                (advisory.severity, advisory.severity_missing),
                (Severity::High, true),
                "{odd}"
            );
            assert_ne!(
                advisory.affects(&"4.5.7".parse().unwrap()),
                Affected::NotListed,
                "{odd}"
            );
        }
    }

    #[test]
    fn only_a_possible_date_takes_an_advisory_back() {
        for (withdrawn_at, withdrawn, problems) in [
            (json!("2026-04-01T00:00:00Z"), true, 0),
            (json!(null), false, 0),
            (json!("soon"), false, 1),
            (json!(""), false, 1),
            (json!("2020-01-01T00:00:00Z"), false, 0),
        ] {
            let (advisory, told) = with(&json!({"withdrawn_at": withdrawn_at}));
            assert_eq!(
                (advisory.withdrawn, told.len()),
                (withdrawn, problems),
                "{withdrawn_at}"
            );
            let listed = advisory.affects(&"4.5.7".parse().unwrap());
            assert_eq!(listed == Affected::NotListed, withdrawn);
        }
    }

    #[test]
    fn what_was_never_published_is_no_advisory_and_closing_takes_nothing_back() {
        for state in ["draft", "triage", "closed"] {
            let unpublished = json!({"ghsa_id": "GHSA-aaaa-bbbb-cccc", "state": state});
            assert_eq!(read(&unpublished), (None, Vec::new()), "{state}");
            let (published, _) =
                with(&json!({"state": state, "closed_at": "2026-04-01T00:00:00Z"}));
            assert_eq!(published.closed, state == "closed");
            assert_ne!(
                published.affects(&"4.5.7".parse().unwrap()),
                Affected::NotListed
            );
        }
        let (undated, _) = read(&json!({"ghsa_id": "GHSA-aaaa-bbbb-cccc", "state": "published"}));
        assert_eq!(undated.unwrap().published_at, None);
    }
}
