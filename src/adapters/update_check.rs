//! Mastodon's own update check as an [`UpdateCheckSource`]: the second source beside GitHub.

use std::time::Duration;

use jiff::civil::Date;
use serde_json::Value;

use crate::adapters::github::client::{Answer, Client};
use crate::domain::feed::{Offered, UpdateCheck};
use crate::domain::version::ReleaseVersion;
use crate::ports::release_source::{ReleaseSourceError, UpdateCheckSource};

/// The address that every Mastodon server asks, or one that answers alike.
#[derive(Debug, Clone)]
pub struct UpdateChecker {
    client: Client,
    url: String,
}

impl UpdateChecker {
    /// Sets up a client; asks nothing yet. Must be called inside a Tokio runtime.
    ///
    /// `timeout` is for one complete answer. Plain http is refused except for this host.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, ReleaseSourceError> {
        Ok(Self {
            client: Client::new(url, timeout, None)?,
            url: url.to_owned(),
        })
    }
}

impl UpdateCheckSource for UpdateChecker {
    async fn updates_for(
        &self,
        version: &ReleaseVersion,
    ) -> Result<UpdateCheck, ReleaseSourceError> {
        let plain = version.tag();
        let url = format!("{}?version={}", self.url, plain.trim_start_matches('v'));
        let garbage = |source: Box<dyn std::error::Error + Send + Sync>| {
            let url = url.clone();
            ReleaseSourceError::Garbage { url, source }
        };
        let Answer::Full { body, .. } = self.client.get(&url, None).await? else {
            return Err(ReleaseSourceError::NothingKnown { url });
        };
        let answer: Value = serde_json::from_slice(&body).map_err(|err| garbage(err.into()))?;
        if !answer.is_object() {
            return Err(garbage("the answer is no object".into()));
        }
        Ok(read(version, &answer))
    }

    fn asked(&self) -> u64 {
        self.client.asked()
    }
}

/// Reads what can be read. Every field may be missing or null, and unknown ones are ignored.
fn read(asked_for: &ReleaseVersion, answer: &Value) -> UpdateCheck {
    let mut problems = Vec::new();
    let current = answer.get("currentVersion").filter(|it| !it.is_null());
    let listed = answer.get("updatesAvailable").filter(|it| !it.is_null());
    if current.is_none() && listed.is_none() {
        problems.push(problem(asked_for, "it says nothing about updates"));
    }
    let current_end_of_support = current.and_then(|it| date(asked_for, it, &mut problems));
    let mut available = Vec::new();
    match listed {
        None => {}
        Some(Value::Array(items)) => {
            for item in items {
                available.extend(offered(asked_for, item, &mut problems));
            }
        }
        Some(_) => problems.push(problem(asked_for, "its updates are no list")),
    }
    UpdateCheck {
        asked_for: asked_for.clone(),
        current_end_of_support,
        available,
        problems,
    }
}

fn offered(
    asked_for: &ReleaseVersion,
    item: &Value,
    problems: &mut Vec<String>,
) -> Option<Offered> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    let version = match text("version").map(|version| version.parse::<ReleaseVersion>()) {
        Some(Ok(version)) => version,
        Some(Err(err)) => {
            problems.push(problem(asked_for, &format!("an update in it: {err}")));
            return None;
        }
        None => {
            problems.push(problem(asked_for, "an update in it has no version"));
            return None;
        }
    };
    let urgent = match item.get("urgent") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(urgent)) => *urgent,
        Some(odd) => {
            let odd = format!("`{odd}` does not say whether {version} is urgent");
            problems.push(problem(asked_for, &odd));
            false
        }
    };
    Some(Offered {
        version,
        urgent,
        kind: text("type"),
        release_notes: text("releaseNotes"),
        end_of_support: date(asked_for, item, problems),
    })
}

/// A day, also where a time of day is added to it.
fn date(asked_for: &ReleaseVersion, item: &Value, problems: &mut Vec<String>) -> Option<Date> {
    let value = item.get("endOfSupport").filter(|it| !it.is_null())?;
    let day = value.as_str().and_then(|text| text.get(..10));
    let date = day.and_then(|day| day.parse().ok());
    if date.is_none() {
        let odd = format!("`{value}` is not a day on which support ends");
        problems.push(problem(asked_for, &odd));
    }
    date
}

fn problem(asked_for: &ReleaseVersion, what: &str) -> String {
    format!("Mastodon's update check for {asked_for}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ReleaseVersion {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn an_answer_is_read_as_it_is_documented() {
        let answer = serde_json::json!({
            "currentVersion": { "endOfSupport": "2027-02-20" },
            "updatesAvailable": [
                { "version": "4.5.20", "urgent": true, "type": "patch", "releaseNotes": "https://x/1", "endOfSupport": null },
                { "version": "4.6.9", "urgent": false, "type": "minor", "endOfSupport": "2027-08-01T00:00:00Z", "more": 1 }
            ]
        });
        let check = read(&version("4.5.8"), &answer);
        assert_eq!(check.problems, Vec::<String>::new());
        assert_eq!(check.current_end_of_support, Some(day("2027-02-20")));
        let first = Offered {
            version: version("4.5.20"),
            urgent: true,
            kind: Some("patch".to_owned()),
            release_notes: Some("https://x/1".to_owned()),
            end_of_support: None,
        };
        let second = Offered {
            version: version("4.6.9"),
            urgent: false,
            kind: Some("minor".to_owned()),
            release_notes: None,
            end_of_support: Some(day("2027-08-01")),
        };
        assert_eq!(check.available, [first, second]);
    }

    #[test]
    fn what_is_missing_or_odd_takes_nothing_else_with_it() {
        let answer = serde_json::json!({
            "currentVersion": { "endOfSupport": 7 },
            "updatesAvailable": [ 1, {}, { "version": "soon" }, { "version": "4.5.9", "urgent": "yes", "type": null },
                { "version": "4.5.10", "endOfSupport": "one day" } ]
        });
        let check = read(&version("4.5.8"), &answer);
        let offered: Vec<String> = check
            .available
            .iter()
            .map(|it| format!("{} {}", it.version, it.urgent))
            .collect();
        assert_eq!(offered, ["4.5.9 false", "4.5.10 false"]);
        assert_eq!(check.problems.len(), 6, "{:?}", check.problems);
        for (answer, problems) in [
            (serde_json::json!({}), 1),
            (serde_json::json!({ "message": "x" }), 1),
            (serde_json::json!({ "updatesAvailable": {} }), 1),
            (
                serde_json::json!({ "updatesAvailable": null, "currentVersion": {} }),
                0,
            ),
            (serde_json::json!({ "updatesAvailable": [] }), 0),
        ] {
            let check = read(&version("4.5.8"), &answer);
            assert_eq!(check.problems.len(), problems, "{answer}");
            assert_eq!(check.available, []);
        }
    }
}
