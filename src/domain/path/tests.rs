//! Ways through the lines, and what stands in them.

use proptest::prelude::*;

use super::*;
use crate::domain::release::ReleaseParts;

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

/// The stops of a way, and why it ends early.
fn way(from: &str, tags: &str, upto: Option<&str>) -> (Vec<String>, Option<String>) {
    let releases: Vec<Release> = tags
        .split_whitespace()
        .map(|tag| match tag.strip_suffix('!') {
            Some(tag) => Release {
                gone_since: Some("2026-02-01T12:00:00Z".parse().unwrap()),
                ..release(tag)
            },
            None => release(tag),
        })
        .collect();
    let releases: Vec<&Release> = releases.iter().collect();
    let found = path(&version(from), &releases, upto.map(line));
    let mut backwards = releases.clone();
    backwards.reverse();
    assert_eq!(found, path(&version(from), &backwards, upto.map(line)));
    let stops = found
        .stops
        .iter()
        .map(|stop| format!("{} {}", stop.version, stop.kind));
    (stops.collect(), found.dead_end.or(found.not_yet))
}

#[test]
fn every_line_is_passed_through_by_its_last_patch() {
    let all = "v4.5.8 v4.4.15 v4.3.21 v4.5.0 v4.4.14 v4.3.20 v4.2.29 v4.4.0 v4.3.0 v4.5.0-rc.1 v4.6.0-beta.1";
    let rows: [(&str, &str, Option<&str>, &[&str], Option<&str>); 14] = [
        (
            "4.2.0",
            all,
            None,
            &[
                "4.2.29 patch",
                "4.3.21 minor",
                "4.4.15 minor",
                "4.5.8 minor",
            ],
            None,
        ),
        (
            "4.2.29",
            all,
            Some("4.4"),
            &["4.3.21 minor", "4.4.15 minor"],
            None,
        ),
        ("4.5.7", all, None, &["4.5.8 patch"], None),
        ("4.5.8", all, None, &[], None),
        // A pre-release belongs to the line that it leads to.
        ("4.5.0-rc.1", all, None, &["4.5.8 patch"], None),
        // The newest line is not entered by its first release; an older one must be passed all the same.
        (
            "4.5.8",
            "v4.5.8 v4.6.0",
            None,
            &[],
            Some("Line 4.6 has only its first release"),
        ),
        (
            "4.5.8",
            "v4.5.8 v4.6.0 v4.7.1",
            None,
            &["4.6.0 minor", "4.7.1 minor"],
            None,
        ),
        ("4.5.8", "v4.6.0", Some("4.5"), &[], None),
        // A line of which nothing is known, or nothing usable.
        (
            "4.3.21",
            "v4.3.21 v4.5.8",
            None,
            &[],
            Some("no usable release of line 4.4"),
        ),
        (
            "4.3.20",
            "v4.3.21 v4.4.15! v4.5.8",
            None,
            &["4.3.21 patch"],
            Some("no usable release of line 4.4"),
        ),
        ("4.5.7", "v4.5.8! v4.5.7", None, &[], None),
        // Across majors from the last line of the one to the first of the other.
        (
            "3.5.3",
            "v3.5.19 v4.0.15 v4.1.25",
            None,
            &["3.5.19 patch", "4.0.15 major", "4.1.25 minor"],
            None,
        ),
        (
            "4.5.8",
            "v4.5.8 v5.0.1",
            None,
            &[],
            Some("no usable release of line 4.6"),
        ),
        (
            "4.9.1",
            "v4.9.2 v5.0.1 v5.1.1",
            None,
            &["4.9.2 patch", "5.0.1 major", "5.1.1 minor"],
            None,
        ),
    ];
    for (from, tags, upto, stops, end) in rows {
        let (found, why) = way(from, tags, upto);
        assert_eq!(found, stops, "{from} through {tags}");
        match (end, &why) {
            (Some(end), Some(why)) => assert!(why.contains(end), "{from}: {why}"),
            (None, None) => {}
            _ => panic!("{from} through {tags}: {why:?}"),
        }
    }
    assert!(
        way("4.9.1", "v4.9.1 v5.1.1", None)
            .1
            .unwrap()
            .contains("line 5.0")
    );
    assert!(
        way("4.9.1", "v4.9.1 v6.0.1", None)
            .1
            .unwrap()
            .contains("version 5,")
    );
}

#[test]
fn a_build_of_its_own_has_no_way() {
    let (stops, why) = way("4.5.7+glitch", "v4.5.8 v4.6.1", None);
    assert_eq!(stops, Vec::<String>::new());
    assert!(why.unwrap().contains("marked `glitch`"));
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
fn host() -> Host {
    Host {
        postgresql: Some(140_011),
        redis: Some("7.2.4".to_owned()),
        pgbouncer: None,
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
        not_seen: Vec::new(),
    }
}

fn seen(host: &Host, from: &str, to: &str) -> Vec<Obstacle> {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    obstacles(host, &version(from), &version(to), now, &BTreeMap::new())
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

#[test]
fn each_fact_of_a_host_stands_in_the_way_from_its_line_on() {
    use ObstacleKind as K;
    use Weight::{Blocks, NeedsPerson};
    type Change = fn(&mut Host);
    let each = |change: fn(&mut HostService)| {
        move |host: &mut Host| host.services.iter_mut().for_each(change)
    };
    // What is changed on a host in order; the step that it does not matter to; the first that it does.
    let rows: Vec<(&str, Box<dyn Fn(&mut Host)>, &str, &str, (Weight, K))> = vec![
        (
            "postgresql 9.5",
            Box::new((|h| h.postgresql = Some(90_505)) as Change),
            "4.0.15 4.1.25",
            "4.1.25 4.2.29",
            (Blocks, K::Postgresql),
        ),
        (
            "postgresql 11",
            Box::new((|h| h.postgresql = Some(110_002)) as Change),
            "4.1.25 4.2.29",
            "4.2.29 4.3.23",
            (Blocks, K::Postgresql),
        ),
        (
            "postgresql 12",
            Box::new((|h| h.postgresql = Some(120_000)) as Change),
            "4.2.29 4.3.23",
            "4.3.23 4.4.27",
            (Blocks, K::Postgresql),
        ),
        (
            "postgresql 13",
            Box::new((|h| h.postgresql = Some(130_009)) as Change),
            "4.3.23 4.4.27",
            "4.4.27 4.5.20",
            (Blocks, K::Postgresql),
        ),
        (
            "postgresql 14.3",
            Box::new((|h| h.postgresql = Some(140_003)) as Change),
            "4.1.25 4.2.29",
            "4.2.29 4.3.23",
            (Blocks, K::Postgresql),
        ),
        (
            "redis 6.0",
            Box::new((|h| h.redis = Some("6.0.16".into())) as Change),
            "4.2.29 4.3.23",
            "4.3.23 4.4.27",
            (Blocks, K::Redis),
        ),
        (
            "redis 6.2",
            Box::new((|h| h.redis = Some("6.2".into())) as Change),
            "4.3.23 4.4.27",
            "4.4.27 4.5.20",
            (Blocks, K::Redis),
        ),
        (
            "no encryption keys",
            Box::new(each(|s| s.keys.retain(|key, _| !key.starts_with("ACTIVE")))),
            "4.1.25 4.2.29",
            "4.2.29 4.3.23",
            (Blocks, K::MissingKey),
        ),
        (
            "empty encryption key",
            Box::new(each(|s| {
                s.keys.insert(ENCRYPTION[0].into(), false);
            })),
            "4.1.25 4.2.29",
            "4.2.29 4.3.23",
            (Blocks, K::MissingKey),
        ),
        (
            "no OTP_SECRET",
            Box::new(each(|s| {
                s.keys.remove("OTP_SECRET");
            })),
            "4.3.23 4.4.27",
            "4.2.29 4.3.23",
            (Blocks, K::MissingKey),
        ),
        (
            "REDIS_NAMESPACE",
            Box::new(each(|s| {
                s.keys.insert("REDIS_NAMESPACE".into(), true);
            })),
            "4.2.29 4.3.23",
            "4.3.23 4.4.27",
            (Blocks, K::ForbiddenKey),
        ),
        (
            "streaming from main",
            Box::new(each(|s| s.streaming_image = false)),
            "4.1.25 4.2.29",
            "4.2.29 4.3.23",
            (Blocks, K::StreamingImage),
        ),
        (
            "pgbouncer",
            Box::new((|h| h.pgbouncer = Some("DB_PORT is 6432".into())) as Change),
            "4.2.28 4.2.29",
            "4.2.29 4.3.23",
            (NeedsPerson, K::Pgbouncer),
        ),
        (
            "sidekiq 6",
            Box::new(
                (|h| h.services[2].health_check = Some("ps | grep '[s]idekiq 6'".into())) as Change,
            ),
            "4.2.29 4.3.23",
            "4.3.23 4.4.27",
            (NeedsPerson, K::HealthCheck),
        ),
        (
            "sidekiq 7",
            Box::new(
                (|h| h.services[2].health_check = Some("ps | grep '[s]idekiq 7'".into())) as Change,
            ),
            "4.3.23 4.4.27",
            "4.4.27 4.5.20",
            (NeedsPerson, K::HealthCheck),
        ),
        (
            "duplicates",
            Box::new((|h| h.duplicate_accounts = Some(3)) as Change),
            "4.5.20 4.6.9",
            "4.6.9 4.7.4",
            (NeedsPerson, K::Duplicates),
        ),
        (
            "duplicates not counted",
            Box::new((|h| h.duplicate_accounts = None) as Change),
            "4.5.20 4.6.9",
            "4.6.9 4.7.4",
            (NeedsPerson, K::NotLookedAt),
        ),
        (
            "postgresql not seen",
            Box::new((|h| h.postgresql = None) as Change),
            "4.5.19 4.5.20",
            "4.5.20 4.6.9",
            (NeedsPerson, K::NotLookedAt),
        ),
        (
            "redis not seen",
            Box::new((|h| h.redis = None) as Change),
            "4.5.19 4.5.20",
            "4.5.20 4.6.9",
            (NeedsPerson, K::NotLookedAt),
        ),
        (
            "redis unreadable",
            Box::new((|h| h.redis = Some("unstable".into())) as Change),
            "4.5.19 4.5.20",
            "4.5.20 4.6.9",
            (NeedsPerson, K::NotLookedAt),
        ),
    ];
    for (name, change, before, since, expected) in rows {
        let mut host = host();
        change(&mut host);
        let step = |step: &str| {
            let (from, to) = step.split_once(' ').unwrap();
            grave(&host, from, to)
        };
        assert_eq!(step(before), [], "{name}: {before}");
        let mut found = step(since);
        found.dedup();
        assert_eq!(found, [expected], "{name}: {since}");
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
    host.services[0]
        .keys
        .insert("SKIP_POST_DEPLOYMENT_MIGRATIONS".to_owned(), false);
    let mounts = grave(&host, "4.5.19", "4.5.20");
    assert_eq!(
        mounts,
        [
            (Weight::Blocks, ObstacleKind::ForbiddenKey),
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
        obstacles(&host(), &version(to), &version(to), now, &ends)
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
    let releases: Vec<&Release> = releases.iter().collect();
    let mut host = host();
    host.postgresql = Some(120_000);
    host.services[1].streaming_image = false;
    host.services[0].search = true;
    let installed = version("4.2.20");
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let way =
        path(&installed, &releases, None).with_obstacles(&host, &installed, now, &BTreeMap::new());
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

#[test]
fn the_table_of_lines_is_in_order_and_demands_never_sink() {
    for pair in lines::LINES.windows(2) {
        assert!(pair[0].line < pair[1].line);
        assert!(pair[0].postgresql <= pair[1].postgresql);
        assert!(pair[0].redis <= pair[1].redis);
        assert!(pair[0].sidekiq.last() <= pair[1].sidekiq.last());
    }
    assert_eq!(
        lines::holding(line("2.9")).map(|it| it.line),
        Some(line("3.5"))
    );
    assert_eq!(
        lines::holding(line("9.9")).map(|it| it.line),
        lines::newest()
    );
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
        let found = obstacles(&host, &of(from), &of(to), now, &ends);
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(&found, &obstacles(&host, &of(from), &of(to), now, &ends));
        prop_assert!(found.iter().all(|it| !it.what.is_empty() && !it.todo.is_empty()));
    }

    #[test]
    fn a_way_goes_up_line_by_line_and_never_to_what_is_no_release(
        from in (3_u64..6, 0_u64..8, 0_u64..4),
        known in proptest::collection::vec((3_u64..6, 0_u64..8, 0_u64..4, 0_u8..4), 0..40),
    ) {
        let releases: Vec<Release> = known
            .iter()
            .map(|(major, minor, patch, sort)| {
                let suffix = if *sort == 0 { "-rc.1" } else { "" };
                let mut release = release(&format!("v{major}.{minor}.{patch}{suffix}"));
                if *sort == 1 {
                    release.gone_since = Some(release.published_at);
                }
                release
            })
            .collect();
        let releases: Vec<&Release> = releases.iter().collect();
        let from = version(&format!("{}.{}.{}", from.0, from.1, from.2));
        let way = path(&from, &releases, None);
        let mut at = from;
        for stop in &way.stops {
            prop_assert_eq!(at.step_to(&stop.version), Some(stop.kind));
            prop_assert!(!stop.version.is_pre_release());
            let (line, next) = (at.line(), stop.version.line());
            prop_assert!(line == next || gap(line, next).is_none());
            let there = releases
                .iter()
                .any(|it| it.version == stop.version && it.gone_since.is_none());
            prop_assert!(there);
            at = stop.version.clone();
        }
    }
}
