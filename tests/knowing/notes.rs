//! What the notes of real releases ask for, and what of them is not understood.

use std::collections::{BTreeMap, BTreeSet};

use mastopatch::domain::release::{
    Numbers, Release, ReleaseParts, Software, StepKind, advisory_ids,
};
use proptest::prelude::*;

use crate::known::{KNOWN, version};

fn numbers(text: &str) -> Numbers {
    text.parse().unwrap()
}

fn release(body: &str) -> Release {
    Release::new(ReleaseParts {
        tag: "v4.5.8".to_owned(),
        published_at: Some("2026-03-24T15:15:49Z".parse().unwrap()),
        body: body.to_owned(),
        ..Default::default()
    })
    .unwrap()
}

fn named(tag: &str) -> &'static Release {
    KNOWN.0.iter().find(|release| release.tag == tag).unwrap()
}

#[test]
fn every_release_of_a_line_demands_what_the_line_demands() {
    let mut n_seen = 0;
    for release in &KNOWN.0 {
        let line = release.version.line().to_string();
        let (postgresql, redis) = match line.as_str() {
            "3.5" | "4.1" => ("9.5", Some("4")),
            "4.0" => ("9.5", None),
            "4.2" => ("10", Some("4")),
            "4.3" => ("12", Some("4")),
            "4.4" => ("13", Some("6.2")),
            "4.5" => ("14", Some("7.0")),
            other => panic!("{other}"),
        };
        let notes = &release.notes;
        let tag = &release.tag;
        let found = notes.at_least(&Software::Postgresql);
        assert_eq!(found, Some(&numbers(postgresql)), "{tag}");
        let found = notes.at_least(&Software::Redis).cloned();
        assert_eq!(found, redis.map(numbers), "{tag}");
        for (installed, at_fault) in [
            ("14.0", line == "4.3"),
            ("14.3", line == "4.3"),
            ("14.4", false),
        ] {
            let unmet = notes.unmet(&Software::Postgresql, &numbers(installed));
            assert_eq!(!unmet.is_empty(), at_fault, "{tag} on {installed}");
        }
        n_seen += 1;
    }
    assert_eq!(n_seen, 158);
}

/// For the reviewer: this is all that is not understood in 158 releases, with the number of releases it stands in.
#[test]
fn what_is_not_understood_in_real_releases_is_this_list() {
    let mut unread: BTreeMap<&str, usize> = BTreeMap::new();
    for release in &KNOWN.0 {
        for text in &release.notes.unread {
            *unread.entry(text).or_default() += 1;
        }
    }
    let list: Vec<String> = unread
        .into_iter()
        .map(|(text, n)| format!("{n:>3}  {text}"))
        .collect();
    assert_eq!(list, UNREAD, "{list:#?}");
}

const UNREAD: &[&str] = &[
    "  1  (only these markers are confirmed; the full list is null)",
    " 20  Node 14+ (package.json)",
    " 20  PostgreSQL 9.5+ (checked by the migration task)",
    " 23  See the notes of the final release of this line; own steps of this pre-release: null.",
    "  1  built-in update check starts (UPDATE_CHECK_URL)",
    "  1  one new post-deployment migration (admin log back-fill); no pre-deployment migration",
    " 20  other minimums: null (not established)",
];

#[test]
fn the_steps_of_real_releases_are_typed() {
    let patch = &named("v4.5.8").notes;
    assert_eq!(patch.starts_from, Some(version("4.5.7")));
    assert!(
        patch
            .steps
            .iter()
            .any(|step| step.kind == StepKind::RestartAll)
    );
    assert_eq!(patch.for_person().count(), 0);
    assert_eq!(patch.unread, Vec::<String>::new());

    let of = |tag: &str, wanted: fn(&StepKind) -> bool| {
        named(tag).notes.steps.iter().any(|step| wanted(&step.kind))
    };
    assert!(of(
        "v4.3.0",
        |kind| matches!(kind, StepKind::NewKey { keys } if keys.len() == 3)
    ));
    assert!(of("v4.3.0", |kind| *kind == StepKind::ImageSplit));
    assert!(of("v4.3.0", |kind| *kind == StepKind::ComposeChange));
    assert!(of(
        "v4.4.0",
        |kind| matches!(kind, StepKind::RefusedKey { keys } if keys == &["REDIS_NAMESPACE"])
    ));
    assert!(of(
        "v4.4.0",
        |kind| matches!(kind, StepKind::SchemaFloor { at_least } if *at_least == version("4.2.0"))
    ));
    assert!(of("v4.2.0", |kind| *kind == StepKind::SearchDeploy));
    let marks = |tag: &str| {
        let notes = &named(tag).notes;
        (
            notes.migrations,
            notes.two_step,
            notes.irreversible,
            notes.streaming_restart,
        )
    };
    assert_eq!(marks("v4.2.0"), (true, true, false, false));
    assert_eq!(marks("v4.3.0"), (true, true, true, false));
    assert_eq!(marks("v4.4.0"), (true, true, false, false));
    assert_eq!(marks("v4.5.0"), (true, false, false, true));
    assert_eq!(marks("v4.5.8"), (false, false, false, false));
}

#[test]
fn no_release_but_those_of_a_line_asks_a_person_to_do_something() {
    let asking: BTreeSet<&str> = KNOWN
        .0
        .iter()
        .filter(|release| release.notes.for_person().count() > 0)
        .filter(|release| !release.pre_release)
        .map(|release| release.tag.as_str())
        .collect();
    let expected = ["v4.1.0", "v4.2.0", "v4.3.0", "v4.4.0"];
    assert_eq!(asking, expected.into());
}

#[test]
fn none_of_the_real_releases_is_about_the_container_alone() {
    let alone: Vec<&str> = KNOWN
        .0
        .iter()
        .filter(|release| release.security.container || release.security.container_only)
        .map(|release| release.tag.as_str())
        .collect();
    assert_eq!(alone, Vec::<&str>::new());
}

#[test]
fn a_release_travels_and_older_stored_ones_are_read() {
    for release in &KNOWN.0 {
        let json = serde_json::to_string(release).unwrap();
        assert_eq!(&serde_json::from_str::<Release>(&json).unwrap(), release);
    }
    let mut old = serde_json::to_value(named("v4.5.8")).unwrap();
    let notes = old["notes"].as_object_mut().unwrap();
    for key in [
        "minimums",
        "steps",
        "unread",
        "starts_from",
        "without_docker",
        "irreversible",
        "ruby",
    ] {
        assert!(notes.remove(key).is_some(), "{key}");
    }
    let security = old["security"].as_object_mut().unwrap();
    assert!(security.remove("container").is_some() && security.remove("container_only").is_some());
    let read: Release = serde_json::from_value(old).unwrap();
    assert_eq!(read.notes.minimums, []);
    assert!(read.is_security());
}

/// Pieces of which bodies are made, with everything that has a meaning to the readers.
fn any_body() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "## Upgrade overview",
        "### Dependencies",
        "### Update steps",
        "#### Non-Docker",
        "#### Docker",
        "## Changelog",
        "**Security**",
        "\n",
        "\n\n",
        " ",
        "- ",
        "1. ",
        "> ",
        "> [!WARNING]",
        ">> [!note]",
        "```",
        "~~~",
        "<!--",
        "-->",
        "<",
        ">",
        "[",
        "](",
        ")",
        "|",
        "---",
        "===",
        "\\",
        "\u{2139}\u{fe0f} Requires ",
        "\u{26a0}",
        ":warning:",
        "PostgreSQL ",
        "Redis",
        "Node",
        "14",
        "14.0-14.3",
        "6.9.7-7+",
        " to ",
        " but not ",
        " or newer",
        "<18",
        "7.x",
        "+",
        "99999999999",
        "no longer supported",
        "REDIS_NAMESPACE",
        "A_",
        "restart",
        "db:migrate",
        "post-deployment migrations",
        "no ",
        "security release",
        "FFmpeg",
        "CVE-2026-",
        "GHSA-",
        "start from ",
        "these steps ",
        "4.5.7",
        "v4.",
        "schema older than ",
        "\u{1f512}",
        "\u{df}",
        "\u{130}",
        "\t",
        "\r\n",
    ]);
    prop_oneof![
        3 => proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()),
        1 => "(?s).{0,200}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic_and_reading_is_repeatable(body in any_body()) {
        prop_assert_eq!(release(&body), release(&body));
    }

    #[test]
    fn a_text_that_names_an_advisory_is_a_security_release(before in any_body(), after in any_body(), capitals in any::<bool>()) {
        // Only a letter, a digit or a dash joined to the id would make it another word.
        let id = if capitals { "GHSA-Q4G8-82C5-9H33" } else { "ghsa-q4g8-82c5-9h33" };
        let body = format!("{before} {id}.{after}");
        prop_assert!(advisory_ids(&body).contains("GHSA-q4g8-82c5-9h33"));
        prop_assert!(release(&body).is_security());
    }

    #[test]
    fn the_numbers_after_a_plus_are_the_minimum(major in 1_u32..30, minor in 0_u32..30) {
        let body = format!("### Dependencies\n\n- PostgreSQL: {major}.{minor}+\n");
        let found = release(&body);
        prop_assert_eq!(found.notes.at_least(&Software::Postgresql), Some(&Numbers::new([major, minor])));
        prop_assert!(found.notes.unread.is_empty());
    }
}
