//! What `explain` tells, as a whole text that people can judge: checked in, and written anew with
//! `UPDATE_TABLE=1 cargo test --test knowing`.

use std::fmt::Write as _;
use std::path::Path;

use jiff::SignedDuration;
use mastopatch::cli::render::explanation;
use mastopatch::domain::decide::{Facts, Hold, decide};
use mastopatch::domain::installed::{Installed, Origin};

use crate::known::{WEDNESDAY, at, facts, facts_on, shipped, version};

/// A title, what is known, the policy, and the instant.
type Case = (&'static str, Facts, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let mut held = facts("4.5.7");
    held.hold = Some(Hold {
        reason: "election week".to_owned(),
        by: "eva".to_owned(),
        at: at("2026-04-14T08:00:00Z"),
        until: Some(at("2026-04-20T06:00:00Z")),
    });
    let mut fork = facts("4.5.7");
    fork.installed = Installed {
        origin: Origin::Fork {
            name: "glitch".to_owned(),
        },
        ..Installed::taken_for_granted(version("4.5.7+glitch"))
    };
    let mut unsure = facts("4.5.7");
    unsure.installed.disagreements = vec![
        "The image's tag says 4.5.7, the running web says 4.5.8; apply the Compose file with `up -d`, or correct its tag."
            .to_owned(),
    ];
    let mut bare = facts("4.2.29");
    for service in &mut bare.host.services {
        service.keys.clear();
    }
    vec![
        (
            "A hole that waits for the night",
            facts("4.5.7"),
            "security-first",
            WEDNESDAY,
        ),
        (
            "The day after a release, before its advisories",
            facts_on("4.5.7", "2026-03-25T12:00:00Z"),
            "security-first",
            "2026-03-25T12:00:00Z",
        ),
        ("Nothing to do", facts("4.5.8"), "security-first", WEDNESDAY),
        (
            "A line without support, and keys that the next one needs",
            bare,
            "security-first",
            WEDNESDAY,
        ),
        ("Held", held, "security-first", WEDNESDAY),
        ("A fork", fork, "security-first", WEDNESDAY),
        (
            "Witnesses that disagree",
            unsure,
            "security-first",
            WEDNESDAY,
        ),
        (
            "A policy that only tells",
            facts("4.4.14"),
            "notify-only",
            WEDNESDAY,
        ),
    ]
}

#[test]
fn what_is_told_is_as_reviewed() {
    let mut made = String::new();
    for (title, facts, policy, now) in cases() {
        let policy = shipped(policy);
        let decision = decide(&facts, &policy, at(now), SignedDuration::from_mins(45));
        let text = explanation(&decision, &policy);
        write!(made, "=== {title} ({now})\n\n{text}\n\n").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knowing/told.txt");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        made, reviewed,
        "UPDATE_TABLE=1 cargo test --test knowing writes it anew"
    );
}
