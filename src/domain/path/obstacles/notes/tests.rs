//! Notes of releases that nobody has written yet, and what they ask of a host in order.

use std::collections::BTreeMap;

use super::super::obstacles;
use super::super::tests::host;
use super::*;
use crate::domain::path::{Host, Obstacle};
use crate::domain::release::ReleaseParts;

fn version(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn release(tag: &str, body: &str) -> Release {
    Release::new(ReleaseParts {
        tag: tag.to_owned(),
        url: Some(format!("https://example.org/{tag}")),
        published_at: Some("2026-01-01T12:00:00Z".parse().unwrap()),
        body: body.to_owned(),
        ..ReleaseParts::default()
    })
    .unwrap()
}

fn found(host: &Host, from: &str, to: &str, releases: &[Release]) -> Vec<Obstacle> {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let mut found = obstacles(
        host,
        &version(from),
        &version(to),
        releases,
        now,
        &BTreeMap::new(),
    );
    found.retain(|it| {
        let of_the_table = [ObstacleKind::EndOfSupport, ObstacleKind::UnknownLine];
        !of_the_table.contains(&it.about)
    });
    found
}

fn short(found: &[Obstacle]) -> Vec<String> {
    let text = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    found
        .iter()
        .map(|it| {
            let weight = text(serde_json::to_value(it.weight).unwrap());
            format!("{weight} {}", text(serde_json::to_value(it.about).unwrap()))
        })
        .collect()
}

/// What stands under "Update steps", what it means to a patch (4.8.1 to 4.8.2), and to the step from 4.7.4 to 4.8.0.
const STEPS: &str = "
Restart all Mastodon processes.                 | -                         | -
Sacrifice a goat.                               | needs-person manual-step  | needs-person manual-step
You must set NEW_SECRET.                        | blocks missing-key        | blocks missing-key
You must set LOCAL_DOMAIN.                      | notice manual-step        | notice manual-step
If you use S3, you must set S3_KEY.             | needs-person manual-step  | needs-person manual-step
OLD_KEY is refused at start.                    | notice manual-step        | notice manual-step
LOCAL_DOMAIN is refused at start.               | blocks forbidden-key      | blocks forbidden-key
REDIS_NAMESPACE is refused at start.            | notice manual-step        | notice manual-step
Run tootctl search deploy when Elasticsearch is on. | notice manual-step    | notice manual-step
The compose health checks look for sidekiq 9.   | notice health-check       | needs-person manual-step
Update your docker-compose.yml.                 | needs-person manual-step  | needs-person manual-step
Ruby 3.3 and Node 22 are no longer supported.   | -                         | -
Support for ImageMagick has been removed.       | -                         | -
The OAuth password grant is removed.            | needs-person manual-step  | needs-person manual-step
PostgreSQL 13 is no longer supported.           | -                         | -
PostgreSQL 15 or newer is required.             | blocks postgresql         | blocks postgresql
Redis 8.0 or newer is required.                 | blocks redis              | blocks redis
Two-step migration refuses to start from a schema older than 4.8.0. | -     | notice schema-floor
OTP_SECRET is no longer needed.                 | -                         | -
Web's image is split: Sidekiq needs its own image. | needs-person manual-step | needs-person manual-step
Pull ghcr.io/mastodon/mastodon and ghcr.io/mastodon/mastodon-streaming. | notice manual-step | needs-person manual-step
";

#[test]
fn each_step_is_held_against_the_host() {
    let mut wrong = Vec::new();
    for row in STEPS.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [step, patch, line] = cells.as_slice() else {
            panic!("{row}");
        };
        let body = format!("## Upgrade notes\n\n### Update steps\n\n- {step}\n");
        let releases = [
            release("v4.8.0", &body),
            release("v4.8.1", "x"),
            release("v4.8.2", &body),
        ];
        for (from, to, expected) in [("4.8.1", "4.8.2", patch), ("4.7.4", "4.8.0", line)] {
            let found = short(&found(&host(), from, to, &releases)).join(", ");
            let expected = if *expected == "-" { "" } else { expected };
            if found != expected {
                wrong.push(format!("{step} {from} -> {to}: {found}, not {expected}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{wrong:#?}");
}

#[test]
fn the_notes_of_every_release_on_the_way_count_and_no_others() {
    let step =
        |what: &str| format!("## Upgrade notes\n\n### Update steps\n\n1. Sacrifice a {what}.\n");
    let mut releases = vec![
        release("v4.7.3", &step("cat")),
        release("v4.7.4", &step("dog")),
        release("v4.7.5", &step("hen")),
        release("v4.8.0-rc.1", &step("cow")),
        release("v4.8.0", &step("pig")),
        release("v4.8.1", &step("pig")),
        release("v4.8.2", &step("emu")),
    ];
    let animals = |from: &str, to: &str, releases: &[Release]| -> Vec<String> {
        let found = found(&host(), from, to, releases);
        found
            .iter()
            .filter_map(|it| it.what.split_once("Sacrifice a "))
            .map(|(_, animal)| animal[..3].to_owned())
            .collect()
    };
    assert_eq!(animals("4.7.3", "4.8.1", &releases), ["dog", "hen", "pig"]);
    assert_eq!(animals("4.7.3", "4.7.4", &releases), ["dog"]);
    assert_eq!(animals("4.7.5", "4.8.0-rc.1", &releases), ["cow"]);
    assert_eq!(animals("4.8.2", "4.8.2", &releases), Vec::<String>::new());
    // What was taken back is part of what came after it.
    releases[2].gone_since = Some(releases[2].published_at);
    assert_eq!(animals("4.7.4", "4.8.2", &releases), ["hen", "pig", "emu"]);
    let all = found(&host(), "4.7.4", "4.8.2", &releases);
    assert_eq!(
        all[0].todo,
        "Read https://example.org/v4.7.5 and do what it asks for, then agree to the update."
    );
    assert!(
        all[1].what.contains("notes of 4.8.0"),
        "the first that says so: {all:?}"
    );
}

#[test]
fn a_release_of_which_nobody_says_anything_needs_a_person() {
    let unknown = |from: &str, to: &str, releases: &[Release]| -> Vec<String> {
        let found = found(&host(), from, to, releases);
        let needs = found.iter().filter(|it| it.weight == Weight::NeedsPerson);
        needs.map(|it| it.what.clone()).collect()
    };
    let silent = [release("v4.8.1", "x"), release("v4.8.2", " ")];
    assert_eq!(
        unknown("4.8.1", "4.8.2", &silent),
        ["Release 4.8.2 has no text: nobody says what it asks for."]
    );
    let not_known = |version: &str| {
        format!(
            "The notes of {version}, which lies on the way, are not known: nobody says what it asks for."
        )
    };
    assert_eq!(
        unknown("4.8.1", "4.8.3", &silent[..1]),
        [not_known("4.8.3")]
    );
    assert_eq!(
        unknown("4.7.4", "4.8.1", &silent[..1]),
        [not_known("4.8.0")]
    );
    let start = "## Upgrade notes\n\n### Update steps\n\nThese steps start from 4.8.2.\n";
    let later = [release("v4.8.1", "x"), release("v4.8.3", start)];
    // A number that nobody lists was skipped; that is worth a word, and stops no security patch.
    let noticed = found(&host(), "4.8.1", "4.8.3", &later);
    let skipped = noticed.iter().find(|it| it.what == not_known("4.8.2"));
    assert_eq!(skipped.map(|it| it.weight), Some(Weight::Notice));
    assert_eq!(unknown("4.8.1", "4.8.3", &later), Vec::<String>::new());
    assert_eq!(
        unknown("4.7.4", "4.8.3", &later),
        [not_known("4.8.0"), not_known("4.8.2")]
    );
    assert_eq!(unknown("4.8.2", "4.8.3", &later), Vec::<String>::new());
}

/// Dependencies, `PostgreSQL` and Redis of the host, what that means to a step to 4.8.0.
const DEPENDENCIES: &str = "
PostgreSQL 14+; Redis 7.0+           | 140011 7.2.4 | -
PostgreSQL 15+; Redis 7.0+           | 140011 7.2.4 | blocks postgresql
PostgreSQL 14+; Redis 7.0+           | 130002 7.2.4 | blocks postgresql
PostgreSQL 15+                       | 130002 7.2.4 | blocks postgresql, blocks postgresql
PostgreSQL 14+ but not 15.0-15.3     | 150002 7.2.4 | blocks postgresql
PostgreSQL 14+ but not 14.0-14.3     | 140002 7.2.4 | blocks postgresql
PostgreSQL 14, 15, 16 or 17          | 180001 7.2.4 | needs-person postgresql
Redis 7.4+                           | 140011 7.2.4 | blocks redis
Ruby 3.5+; Node 26+; libvips 9+      | 140011 7.2.4 | -
Meilisearch: 1.2+                    | 140011 7.2.4 | needs-person manual-step
";

#[test]
fn what_the_notes_demand_of_servers_is_held_against_them() {
    for row in DEPENDENCIES.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [demand, servers, expected] = cells.as_slice() else {
            panic!("{row}");
        };
        let (postgresql, redis) = servers.split_once(' ').unwrap();
        let mut host = host();
        host.postgresql = postgresql.parse().ok();
        host.redis = Some(redis.to_owned());
        let body = format!("## Upgrade notes\n\n### Dependencies\n\n{demand}\n");
        let releases = [release("v4.8.0", &body)];
        let found = found(&host, "4.7.4", "4.8.0", &releases);
        let expected = if *expected == "-" { "" } else { expected };
        assert_eq!(short(&found).join(", "), expected, "{row}: {found:?}");
    }
}

#[test]
fn an_upper_end_that_a_later_patch_raised_is_no_end() {
    let body = |demand: &str| format!("## Upgrade notes\n\n### Dependencies\n\n{demand}\n");
    let narrow = release("v4.8.0", &body("PostgreSQL 14, 15, 16 or 17"));
    let wide = release("v4.8.1", &body("PostgreSQL 14, 15, 16, 17 or 18"));
    let mut host = host();
    host.postgresql = Some(180_001);
    assert_eq!(
        short(&found(&host, "4.7.4", "4.8.1", &[narrow, wide])),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_not_understood_matters_by_where_it_stands() {
    let overview = |text: &str| format!("## Upgrade overview\n\n{text}\n");
    for (text, patch, line) in [
        ("\u{2139}\u{fe0f} Requires assets recompilation", "", ""),
        (
            "\u{2139}\u{fe0f} Requires assets recompilation at full moon",
            "notice manual-step",
            "needs-person manual-step",
        ),
        (
            "\u{26a0}\u{fe0f} The moon must be full",
            "needs-person manual-step",
            "needs-person manual-step",
        ),
        (
            "\u{2139}\u{fe0f} Requires a full moon",
            "needs-person manual-step",
            "needs-person manual-step",
        ),
        (
            "Good luck",
            "notice manual-step",
            "needs-person manual-step",
        ),
        (
            "\u{2139}\u{fe0f} Requires unusually long database migrations",
            "notice migrations",
            "notice migrations",
        ),
    ] {
        let releases = [
            release("v4.8.0", &overview(text)),
            release("v4.8.1", "x"),
            release("v4.8.2", &overview(text)),
        ];
        assert_eq!(
            short(&found(&host(), "4.8.1", "4.8.2", &releases)).join(", "),
            patch,
            "{text}"
        );
        assert_eq!(
            short(&found(&host(), "4.7.4", "4.8.0", &releases)).join(", "),
            line,
            "{text}"
        );
    }
    // What the running release said already is no news.
    let again = [
        release("v4.8.1", &overview("Good luck")),
        release("v4.8.2", &overview("Good luck")),
    ];
    assert_eq!(found(&host(), "4.8.1", "4.8.2", &again), []);
    for (text, patch) in [
        (
            "> [!WARNING]\n> This release is an important security release.",
            "",
        ),
        (
            "> [!WARNING]\n> This security release must be prepared with care.",
            "notice manual-step",
        ),
        ("> [!NOTE]\n> Good luck.", ""),
        ("> [!CAUTION]\n> Here be dragons.", ""),
    ] {
        let releases = [release("v4.8.2", text)];
        assert_eq!(
            short(&found(&host(), "4.8.1", "4.8.2", &releases)).join(", "),
            patch,
            "{text}"
        );
    }
}

#[test]
fn what_was_not_looked_at_is_for_a_person() {
    let body = "## Upgrade notes\n\n### Update steps\n\n- You must set NEW_SECRET.\n- OLD_KEY is refused at start.\n";
    let found = found(
        &Host::default(),
        "4.8.1",
        "4.8.2",
        &[release("v4.8.2", body)],
    );
    let asked: Vec<Weight> = found
        .iter()
        .filter(|it| it.about == ObstacleKind::ManualStep)
        .map(|it| it.weight)
        .collect();
    assert_eq!(asked, [Weight::NeedsPerson; 2], "{found:?}");
}
