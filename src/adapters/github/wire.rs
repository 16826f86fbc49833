//! What GitHub sends, as far as it is needed. Every field may be missing or null.

use std::error::Error;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::domain::advisory::{Advisory, AdvisoryParts};
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

#[derive(Debug, Deserialize)]
struct WireAdvisory {
    ghsa_id: Option<String>,
    cve_id: Option<String>,
    severity: Option<String>,
    summary: Option<String>,
    html_url: Option<String>,
    published_at: Option<String>,
    updated_at: Option<String>,
    withdrawn_at: Option<String>,
    vulnerabilities: Option<Vec<WireVulnerability>>,
}

#[derive(Debug, Deserialize)]
struct WireVulnerability {
    vulnerable_version_range: Option<String>,
    patched_versions: Option<String>,
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

/// One advisory; `None` when the reason was added to the problems.
pub(super) fn advisory(item: &Value, problems: &mut Vec<String>) -> Option<Advisory> {
    let called = name_of(item, "ghsa_id", "advisory");
    let wire = reported(WireAdvisory::deserialize(item), &called, problems)?;
    let vulnerable = wire.vulnerabilities.unwrap_or_default().into_iter();
    let parts = AdvisoryParts {
        id: wire.ghsa_id.unwrap_or_default(),
        cve: wire.cve_id,
        severity: wire.severity,
        summary: wire.summary,
        url: wire.html_url,
        published_at: date(wire.published_at, &called, problems),
        updated_at: date(wire.updated_at, &called, problems),
        withdrawn: wire.withdrawn_at.is_some(),
        vulnerable: vulnerable
            .map(|one| (one.vulnerable_version_range, one.patched_versions))
            .collect(),
    };
    reported(Advisory::new(parts), &called, problems)
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
