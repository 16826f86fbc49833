//! What the notes of real releases leave for a person, on a host on which everything is right.

use std::collections::BTreeMap;

use mastopatch::domain::path::{Host, Obstacle, ObstacleKind, Weight, obstacles};
use mastopatch::domain::release::Release;
use mastopatch::domain::version::{ReleaseLine, ReleaseVersion};

use crate::known::{KNOWN, WEDNESDAY, at, seen, version};

/// Every final version, by line, oldest first.
fn lines() -> BTreeMap<ReleaseLine, Vec<ReleaseVersion>> {
    let mut lines: BTreeMap<ReleaseLine, Vec<ReleaseVersion>> = BTreeMap::new();
    for release in KNOWN.0.iter().filter(|release| !release.pre_release) {
        let version = release.version.clone();
        lines.entry(version.line()).or_default().push(version);
    }
    for versions in lines.values_mut() {
        versions.sort();
    }
    lines
}

fn between(host: &Host, releases: &[Release], from: &str, to: &str) -> Vec<Obstacle> {
    let (from, to) = (version(from), version(to));
    obstacles(host, &from, &to, releases, at(WEDNESDAY), &BTreeMap::new())
}

/// Everything that is more than a notice, as `weight kind: sentence`.
fn grave(found: &[Obstacle]) -> Vec<String> {
    let grave = found.iter().filter(|it| it.weight != Weight::Notice);
    grave
        .map(|it| format!("{:?} {:?}: {}", it.weight, it.about, it.what))
        .collect()
}

#[test]
fn within_a_line_no_real_patch_has_anything_for_a_person() {
    let mut n_pairs = 0;
    for versions in lines().values() {
        let newest = versions.last().unwrap().to_string();
        for from in versions {
            let found = between(&seen(), &KNOWN.0, &from.to_string(), &newest);
            assert_eq!(grave(&found), Vec::<String>::new(), "{from} -> {newest}");
            let of_notes: Vec<&Obstacle> = found
                .iter()
                .filter(|it| it.about != ObstacleKind::EndOfSupport)
                .collect();
            assert_eq!(of_notes, Vec::<&Obstacle>::new(), "{from} -> {newest}");
            n_pairs += 1;
        }
    }
    assert_eq!(n_pairs, 135);
}

/// For the reviewer: what is asked of a person where a line is entered, and what is good to know.
#[test]
fn what_real_notes_leave_for_a_person_at_each_line_is_this_list() {
    let lines = lines();
    let lasts: Vec<&ReleaseVersion> = lines.values().filter_map(|it| it.last()).collect();
    let mut list = Vec::new();
    for pair in lasts.windows(2) {
        let (from, to) = (pair[0].to_string(), pair[1].to_string());
        list.push(format!("{from} -> {to}"));
        for it in between(&seen(), &KNOWN.0, &from, &to) {
            if it.about != ObstacleKind::EndOfSupport {
                list.push(format!("  {:?} {:?}: {}", it.weight, it.about, it.what));
            }
        }
    }
    assert_eq!(list, LEFT, "{list:#?}");
}

const LEFT: &[&str] = &[
    "3.5.19 -> 4.0.15",
    "  NeedsPerson ManualStep: The notes of 4.0.0 say: \"PostgreSQL 9.5+ (checked by the migration task)\"",
    "  NeedsPerson ManualStep: The notes of 4.0.0 say: \"other minimums: null (not established)\"",
    "  Notice Migrations: 4.0 brings 23 migrations and 10 afterwards; several drop columns and have no way back of their own.",
    "4.0.15 -> 4.1.25",
    "  NeedsPerson ManualStep: The notes of 4.1.0 say: \"one new post-deployment migration (admin log back-fill); no pre-deployment migration\"",
    "  Notice Migrations: The notes of 4.1.0 say of its migrations: they come in two steps.",
    "4.1.25 -> 4.2.29",
    "  NeedsPerson ManualStep: The notes of 4.2.0 say: \"built-in update check starts (UPDATE_CHECK_URL)\"",
    "  Notice Migrations: 4.2 brings 22 migrations and 5 afterwards; they move every user's settings and drop follow recommendations.",
    "4.2.29 -> 4.3.21",
    "  Notice HealthCheck: The notes of 4.3.0 say: \"compose health checks moved from wget to curl\"",
    "  Notice Migrations: 4.3 brings 40 migrations and 10 afterwards; three of these cannot be undone: they encrypt the secrets of two-factor logins anew and drop tables.",
    "4.3.21 -> 4.4.15",
    "  Notice ManualStep: 4.4 no longer lets apps log in with name and password (OAuth's password grant).",
    "  Notice ManualStep: Since 4.4 OTP_SECRET is not used any more.",
    "  Notice Migrations: 4.4 brings 62 migrations and 5 afterwards; some drop tables, columns and old settings and cannot be undone.",
    "4.4.15 -> 4.5.8",
    "  NeedsPerson ManualStep: The notes of 4.5.0 say: \"(only these markers are confirmed; the full list is null)\"",
];

#[test]
fn releases_in_any_order_leave_the_same() {
    let mut releases = KNOWN.0.clone();
    let straight = between(&seen(), &releases, "4.0.2", "4.5.8");
    releases.reverse();
    assert_eq!(between(&seen(), &releases, "4.0.2", "4.5.8"), straight);
    assert!(
        straight
            .iter()
            .any(|it| it.what.contains("UPDATE_CHECK_URL"))
    );
}
