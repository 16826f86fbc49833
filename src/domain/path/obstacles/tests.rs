//! Hosts in order and out of it.

use proptest::prelude::*;

use super::*;
use crate::domain::path::path;
use crate::domain::release::{Release, ReleaseParts};

fn version(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn line(text: &str) -> ReleaseLine {
    version(&format!("{text}.0")).line()
}

fn release(tag: &str) -> Release {
    Release::new(ReleaseParts {
        tag: tag.to_owned(),
        published_at: Some("2026-01-01T12:00:00Z".parse().unwrap()),
        body: "x".to_owned(),
        ..ReleaseParts::default()
    })
    .unwrap()
}

const ENCRYPTION: [&str; 3] = [
    "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY",
    "ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT",
    "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY",
];

fn service(name: &str, role: Role, check: Option<&str>) -> HostService {
    let keys = ["OTP_SECRET", "LOCAL_DOMAIN"].into_iter().chain(ENCRYPTION);
    HostService {
        name: name.to_owned(),
        role,
        streaming_image: role == Role::Streaming,
        rails_server: false,
        keys: keys.map(|key| (key.to_owned(), true)).collect(),
        search: false,
        health_check: check.map(ToOwned::to_owned),
        public_mounts: Vec::new(),
    }
}

/// A host of the official Compose file of 4.7, in perfect order.
pub(super) fn host() -> Host {
    Host {
        postgresql: Some(140_011),
        redis: Some("7.2.4".to_owned()),
        pgbouncer: None,
        no_way_back: Vec::new(),
        unapplied: Vec::new(),
        duplicate_accounts: Some(0),
        services: vec![
            service("web", Role::Web, Some("curl -s localhost:3000/health")),
            service("streaming", Role::Streaming, None),
            service(
                "sidekiq",
                Role::Sidekiq,
                Some("ps aux | grep '[s]idekiq [678]' || false"),
            ),
        ],
        outside: Vec::new(),
        not_seen: Vec::new(),
    }
}

/// The first release of every line, and one more, with notes that ask for nothing.
fn noted(version: &ReleaseVersion) -> Vec<Release> {
    let firsts = lines::LINES
        .iter()
        .map(|known| format!("v{}.0", known.line));
    let first = format!("v{}.0", version.line());
    let mut tags: Vec<String> = firsts.chain([first, version.tag()]).collect();
    tags.sort();
    tags.dedup();
    tags.iter().map(|tag| release(tag)).collect()
}

fn seen(host: &Host, from: &str, to: &str) -> Vec<Obstacle> {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let releases = noted(&version(to));
    obstacles(
        host,
        &version(from),
        &version(to),
        &releases,
        now,
        &BTreeMap::new(),
    )
}

/// Weight and kind of what is more than a notice.
fn grave(host: &Host, from: &str, to: &str) -> Vec<(Weight, ObstacleKind)> {
    seen(host, from, to)
        .into_iter()
        .filter(|it| it.weight != Weight::Notice)
        .map(|it| (it.weight, it.about))
        .collect()
}

#[test]
fn a_host_in_order_has_nothing_grave_in_its_way() {
    for (from, to) in [
        ("3.5.19", "4.0.15"),
        ("4.2.29", "4.3.23"),
        ("4.3.23", "4.4.27"),
        ("4.4.27", "4.5.20"),
        ("4.5.19", "4.5.20"),
        ("4.6.9", "4.7.4"),
    ] {
        assert_eq!(grave(&host(), from, to), [], "{from} -> {to}");
    }
    assert_eq!(
        seen(&host(), "4.6.8", "4.6.9"),
        [],
        "a patch has not even a notice"
    );
}

/// What is out of order, a step that it does not matter to, and one that it stands in the way of.
const OUT_OF_ORDER: &str = "
postgresql 90505      | 4.0.15 4.1.25 | 4.1.25 4.2.29 | blocks postgresql
postgresql 110002     | 4.1.25 4.2.29 | 4.2.29 4.3.23 | blocks postgresql
postgresql 120000     | 4.2.29 4.3.23 | 4.3.23 4.4.27 | blocks postgresql
postgresql 130009     | 4.3.23 4.4.27 | 4.4.27 4.5.20 | blocks postgresql
postgresql 140003     | 4.1.25 4.2.29 | 4.2.29 4.3.23 | blocks postgresql
redis 6.0.16          | 4.2.29 4.3.23 | 4.3.23 4.4.27 | blocks redis
redis 6.2             | 4.3.23 4.4.27 | 4.4.27 4.5.20 | blocks redis
without ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY | 4.1.25 4.2.29 | 4.2.29 4.3.23 | blocks missing-key
empty ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY   | 4.1.25 4.2.29 | 4.2.29 4.3.23 | blocks missing-key
without OTP_SECRET    | 4.3.23 4.4.27 | 4.2.29 4.3.23 | blocks missing-key
with REDIS_NAMESPACE  | 4.2.29 4.3.23 | 4.3.23 4.4.27 | blocks forbidden-key
empty REDIS_NAMESPACE | 4.2.29 4.3.23 | 4.3.23 4.4.27 | blocks forbidden-key
one image             | 4.1.25 4.2.29 | 4.2.29 4.3.23 | blocks streaming-image
pgbouncer 6432        | 4.2.28 4.2.29 | 4.2.29 4.3.23 | needs-person pgbouncer
check 6               | 4.2.29 4.3.23 | 4.3.23 4.4.27 | needs-person health-check
check 7               | 4.3.23 4.4.27 | 4.4.27 4.5.20 | needs-person health-check
duplicates 3          | 4.5.20 4.6.9  | 4.6.9 4.7.4   | needs-person duplicates
duplicates ?          | 4.5.20 4.6.9  | 4.6.9 4.7.4   | needs-person not-looked-at
postgresql ?          | 4.5.19 4.5.20 | 4.5.20 4.6.9  | needs-person not-looked-at
redis ?               | 4.5.19 4.5.20 | 4.5.20 4.6.9  | needs-person not-looked-at
redis unstable        | 4.5.19 4.5.20 | 4.5.20 4.6.9  | needs-person not-looked-at
";

/// A host in order but for one thing.
fn host_out_of_order(what: &str) -> Host {
    let mut host = host();
    let (subject, value) = what.split_once(' ').unwrap();
    match subject {
        "postgresql" => host.postgresql = value.parse().ok(),
        "redis" => host.redis = Some(value.to_owned()).filter(|value| value != "?"),
        "pgbouncer" => host.pgbouncer = Some(format!("DB_PORT is {value}")),
        "duplicates" => host.duplicate_accounts = value.parse().ok(),
        "check" => host.services[2].health_check = Some(format!("ps | grep '[s]idekiq {value}'")),
        "one" => host.services[1].streaming_image = false,
        _ => {
            for service in &mut host.services {
                match subject {
                    "without" => drop(service.keys.remove(value)),
                    _ => drop(service.keys.insert(value.to_owned(), subject == "with")),
                }
            }
        }
    }
    host
}

#[test]
fn each_fact_of_a_host_stands_in_the_way_from_its_line_on() {
    for row in OUT_OF_ORDER.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [what, before, since, expected] = cells.as_slice() else {
            panic!("{row}");
        };
        let host = host_out_of_order(what);
        let step = |step: &str| {
            let (from, to) = step.split_once(' ').unwrap();
            grave(&host, from, to)
        };
        assert_eq!(step(before), [], "{row}");
        let found: Vec<String> = step(since)
            .iter()
            .map(|(weight, about)| {
                let text = |value: serde_json::Value| value.as_str().unwrap().to_owned();
                let weight = text(serde_json::to_value(weight).unwrap());
                format!("{weight} {}", text(serde_json::to_value(about).unwrap()))
            })
            .collect();
        assert_eq!(found, [*expected], "{row}");
    }
}

#[test]
fn what_matters_to_any_step_is_found_in_a_patch_too() {
    let mut host = host();
    host.services[0].public_mounts = vec![
        "/opt/mastodon/public".to_owned(),
        "/mastodon/public/packs".to_owned(),
        "/mastodon/public/robots.txt".to_owned(),
    ];
    host.unapplied = vec!["web".to_owned()];
    host.no_way_back = vec!["The role may not.".to_owned()];
    host.services[0]
        .keys
        .insert("SKIP_POST_DEPLOYMENT_MIGRATIONS".to_owned(), false);
    let mounts = grave(&host, "4.5.19", "4.5.20");
    assert_eq!(
        mounts,
        [
            (Weight::Blocks, ObstacleKind::ForbiddenKey),
            (Weight::Blocks, ObstacleKind::NoWayBack),
            (Weight::Blocks, ObstacleKind::UnappliedEdit),
            (Weight::NeedsPerson, ObstacleKind::PublicMount),
            (Weight::NeedsPerson, ObstacleKind::PublicMount),
        ]
    );
    let all = seen(&host, "4.5.19", "4.5.20");
    assert!(
        all.iter().any(|it| it.what.contains("robots.txt")),
        "{all:?}"
    );
}

#[test]
fn keys_are_never_to_be_made_anew_where_mastodon_runs_with_them() {
    let mut host = host();
    for service in &mut host.services {
        service.keys.retain(|key, _| !key.starts_with("ACTIVE"));
    }
    let before = &seen(&host, "4.2.29", "4.3.23")[0];
    assert!(
        before.todo.contains("bin/rails db:encryption:init"),
        "{before:?}"
    );
    assert!(before.what.contains("web, sidekiq"), "{before:?}");
    let after = &seen(&host, "4.4.27", "4.5.20")[0];
    assert!(after.todo.contains("Never make a new one"), "{after:?}");
    assert!(!after.todo.contains("encryption:init"), "{after:?}");
}

#[test]
fn a_host_of_which_nothing_was_seen_is_no_host_in_order() {
    for (from, to, weight) in [
        ("4.5.20", "4.6.9", Weight::NeedsPerson),
        ("4.5.19", "4.5.20", Weight::Notice),
    ] {
        let found = seen(&Host::default(), from, to);
        let not_looked_at: Vec<_> = found
            .iter()
            .filter(|it| it.about == ObstacleKind::NotLookedAt)
            .map(|it| it.weight)
            .collect();
        assert_eq!(not_looked_at, [weight; 3], "{found:?}");
    }
}

#[test]
fn the_end_of_support_comes_from_the_update_check_before_the_table() {
    let about = |ends: &[(&str, &str)], to: &str| -> Vec<String> {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let ends = ends
            .iter()
            .map(|(at, end)| (line(at), end.parse().unwrap()))
            .collect();
        obstacles(&host(), &version(to), &version(to), &[], now, &ends)
            .into_iter()
            .filter(|it| it.about == ObstacleKind::EndOfSupport)
            .map(|it| it.what)
            .collect()
    };
    assert_eq!(
        about(&[], "4.3.23"),
        ["Support of line 4.3 ended on 2026-05-06; do not count on repairs."]
    );
    assert_eq!(
        about(&[], "4.4.27"),
        ["Support of line 4.4 ends on 2026-12-17."]
    );
    assert_eq!(
        about(&[], "4.5.20"),
        ["Support of line 4.5 ends on 2027-02-20."]
    );
    assert_eq!(
        about(&[("4.4", "2027-12-17")], "4.4.27"),
        Vec::<String>::new()
    );
    assert_eq!(about(&[("4.7", "2026-11-22")], "4.7.4").len(), 1);
    assert_eq!(about(&[], "4.7.4"), Vec::<String>::new());
    assert_eq!(
        about(&[], "3.4.10"),
        ["Support of line 3.4 ended long ago."]
    );
}

#[test]
fn of_a_line_that_is_not_known_yet_the_newest_known_is_taken_to_hold_and_that_is_said() {
    let mut old = host();
    old.postgresql = Some(130_000);
    let unknown = |found: &[Obstacle]| {
        let of = found
            .iter()
            .find(|it| it.about == ObstacleKind::UnknownLine);
        of.map(|it| it.weight)
    };
    let found = seen(&old, "4.7.4", "4.8.1");
    assert_eq!(unknown(&found), Some(Weight::Notice));
    assert!(found[0].what.contains("needs PostgreSQL 14"), "{found:?}");
    assert_eq!(
        unknown(&seen(&host(), "4.8.1", "5.0.1")),
        Some(Weight::NeedsPerson)
    );
    assert_eq!(unknown(&seen(&host(), "4.6.9", "4.7.4")), None);
}

#[test]
fn on_a_way_each_obstacle_is_named_at_its_first_stop_only() {
    let tags = [
        "v4.2.29", "v4.3.23", "v4.4.27", "v4.5.20", "v4.6.9", "v4.7.4",
    ];
    let releases: Vec<Release> = tags.iter().map(|tag| release(tag)).collect();
    let listed: Vec<&Release> = releases.iter().collect();
    let mut host = host();
    host.postgresql = Some(120_000);
    host.services[1].streaming_image = false;
    host.services[0].search = true;
    let installed = version("4.2.20");
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let way = path(&installed, &listed, None).with_obstacles(
        &host,
        &installed,
        &releases,
        now,
        &BTreeMap::new(),
    );
    assert_eq!(way.stops.len(), 6);
    assert_eq!(way.worst(), Some(Weight::Blocks));
    let kinds = |idx: usize, weight: Weight| -> Vec<ObstacleKind> {
        let all = way.stops[idx].obstacles.iter();
        all.filter(|it| it.weight == weight)
            .map(|it| it.about)
            .collect()
    };
    assert_eq!(
        way.stops[0].obstacles,
        [],
        "a patch, and its line's end is no news on the way"
    );
    assert_eq!(kinds(1, Weight::Blocks), [ObstacleKind::StreamingImage]);
    assert_eq!(kinds(2, Weight::Blocks), [ObstacleKind::Postgresql]);
    assert_eq!(
        kinds(3, Weight::Blocks),
        [ObstacleKind::Postgresql],
        "14, not 13"
    );
    let migrations: Vec<usize> = (0..6)
        .filter(|idx| kinds(*idx, Weight::Notice).contains(&ObstacleKind::Migrations))
        .collect();
    assert_eq!(migrations, [1, 2, 4, 5]);
}

proptest! {
    #[test]
    fn obstacles_are_sorted_single_and_the_same_again(
        postgresql in proptest::option::of(any::<u32>()),
        redis in proptest::option::of(".{0,8}"),
        check in proptest::option::of("(ps \\[?s?\\]?idekiq)?.{0,12}"),
        place in ".{0,20}",
        from in (0_u64..7, 0_u64..12, 0_u64..4),
        to in (0_u64..7, 0_u64..12, 0_u64..4),
        second in -377_705_023_201_i64..=253_402_207_200,
    ) {
        let mut host = host();
        host.postgresql = postgresql;
        host.redis = redis;
        host.services[2].health_check = check;
        host.services[0].public_mounts = vec![place];
        let of = |(major, minor, patch): (u64, u64, u64)| version(&format!("{major}.{minor}.{patch}"));
        let now = Timestamp::from_second(second).unwrap();
        let ends = BTreeMap::from([(of(to).line(), Date::MAX)]);
        let releases = noted(&of(to));
        let found = obstacles(&host, &of(from), &of(to), &releases, now, &ends);
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(&found, &obstacles(&host, &of(from), &of(to), &releases, now, &ends));
        prop_assert!(found.iter().all(|it| !it.what.is_empty() && !it.todo.is_empty()));
    }
}
