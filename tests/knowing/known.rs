//! What the tests know: the recorded releases and advisories, and short ways to write values.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use mastopatch::config::parse_policy;
use mastopatch::domain::advisory::{Advisory, AdvisoryParts};
use mastopatch::domain::decide::{About, Decision, Facts, decide};
use mastopatch::domain::installed::Installed;
use mastopatch::domain::path::{Host, HostService};
use mastopatch::domain::plan::Role;
use mastopatch::domain::policy::Policy;
use mastopatch::domain::published::Published;
use mastopatch::domain::release::{Release, ReleaseParts};
use mastopatch::domain::version::ReleaseVersion;
use serde_json::Value;

pub(crate) const RELEASES: &str = include_str!("../data/github/releases.json");
pub(crate) const ADVISORIES: &str = include_str!("../data/github/advisories.json");

pub(crate) fn version(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn text(value: &Value, key: &str) -> Option<String> {
    value
        .get(key)
        .and_then(Value::as_str)
        .map(ToOwned::to_owned)
}

pub(crate) fn date(value: &Value, key: &str) -> Option<Timestamp> {
    text(value, key).map(|date| date.parse().unwrap())
}

pub(crate) fn releases() -> Vec<Release> {
    let values: Vec<Value> = serde_json::from_str(RELEASES).unwrap();
    let release = |value: &Value| {
        Release::new(ReleaseParts {
            tag: text(value, "tag_name").unwrap(),
            title: text(value, "name"),
            url: text(value, "html_url"),
            published_at: date(value, "published_at"),
            updated_at: date(value, "updated_at"),
            pre_release: value["prerelease"].as_bool().unwrap(),
            body: text(value, "body").unwrap_or_default(),
        })
        .unwrap()
    };
    values.iter().map(release).collect()
}

pub(crate) fn advisories() -> Vec<Advisory> {
    let values: Vec<Value> = serde_json::from_str(ADVISORIES).unwrap();
    let advisory = |value: &Value| {
        let vulnerable = value["vulnerabilities"].as_array().unwrap();
        Advisory::new(AdvisoryParts {
            id: text(value, "ghsa_id").unwrap(),
            cve: text(value, "cve_id"),
            severity: text(value, "severity"),
            summary: text(value, "summary"),
            url: text(value, "html_url"),
            published_at: date(value, "published_at"),
            updated_at: date(value, "updated_at"),
            withdrawn: false,
            vulnerable: vulnerable
                .iter()
                .map(|one| {
                    (
                        text(one, "vulnerable_version_range"),
                        text(one, "patched_versions"),
                    )
                        .into()
                })
                .collect(),
            ..Default::default()
        })
        .unwrap()
    };
    values.iter().map(advisory).collect()
}

pub(crate) static KNOWN: LazyLock<(Vec<Release>, Vec<Advisory>)> =
    LazyLock::new(|| (releases(), advisories()));

static PUBLISHED: LazyLock<Arc<Published>> = LazyLock::new(|| publish(|_, _| {}));

/// Everything that is known, with `installed` running.
pub(crate) fn facts(installed: &str) -> Facts {
    Facts::about(
        "social.example".to_owned(),
        Installed::taken_for_granted(version(installed)),
        seen(),
        PUBLISHED.clone(),
    )
}

/// The same, as it was known at an instant.
pub(crate) fn facts_on(installed: &str, day: &str) -> Facts {
    Facts {
        published: published_on(day),
        ..facts(installed)
    }
}

/// What was published at an instant. An advisory without a date is known from the day on which a release named it.
pub(crate) fn published_on(day: &str) -> Arc<Published> {
    publish(|releases, advisories| {
        releases.retain(|release| release.published_at <= at(day));
        advisories.retain(|advisory| match advisory.published_at {
            Some(published) => published <= at(day),
            None => releases
                .iter()
                .any(|release| release.ids.contains(&advisory.id)),
        });
    })
}

/// What was published, changed.
pub(crate) fn publish(
    change: impl FnOnce(&mut Vec<Release>, &mut Vec<Advisory>),
) -> Arc<Published> {
    let (mut releases, mut advisories) = KNOWN.clone();
    change(&mut releases, &mut advisories);
    Arc::new(Published::new(releases, advisories))
}

/// A host on which everything can be looked at and nothing stands in the way of any version.
pub(crate) fn seen() -> Host {
    let keys = [
        "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY",
        "ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT",
        "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY",
        "OTP_SECRET",
    ];
    let service = |name: &str, role| HostService {
        name: name.to_owned(),
        role,
        streaming_image: role == Role::Streaming,
        rails_server: false,
        keys: keys.iter().map(|key| ((*key).to_owned(), true)).collect(),
        search: false,
        health_check: None,
        public_mounts: Vec::new(),
    };
    Host {
        outside: Vec::new(),
        postgresql: Some(170_002),
        redis: Some("7.2.4".to_owned()),
        pgbouncer: None,
        duplicate_accounts: Some(0),
        services: vec![
            service("web", Role::Web),
            service("streaming", Role::Streaming),
            service("sidekiq", Role::Sidekiq),
        ],
        not_seen: Vec::new(),
        no_way_back: Vec::new(),
        unapplied: Vec::new(),
    }
}

/// A policy of the project.
pub(crate) fn shipped(name: &str) -> Policy {
    policy(&format!("policies/{name}.toml"))
}

/// A policy that only the tests have.
pub(crate) fn fixture(name: &str) -> Policy {
    policy(&format!("tests/data/policies/{name}.toml"))
}

fn policy(path: &str) -> Policy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    parse_policy(&path, &std::fs::read_to_string(&path).unwrap()).unwrap()
}

/// A Wednesday, after everything in the data.
pub(crate) const WEDNESDAY: &str = "2026-04-15T12:00:00Z";
/// In the Sunday window after it, which is 00:00 to 03:00 UTC.
pub(crate) const SUNDAY_NIGHT: &str = "2026-04-19T00:30:00Z";

pub(crate) fn decided(facts: &Facts, now: &str) -> Decision {
    decide(
        facts,
        &fixture("sunday"),
        at(now),
        SignedDuration::from_mins(30),
    )
}

pub(crate) fn said(decision: &Decision, about: About) -> String {
    let texts = decision
        .reasons
        .iter()
        .filter(|reason| reason.about == about)
        .map(ToString::to_string);
    texts.collect::<Vec<_>>().join("\n")
}
