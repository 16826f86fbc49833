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

/// What runs, what is known (`!` is taken back), how far, the stops, and why the way ends.
const WAYS: &str = "
4.2.0  | ALL             | -   | 4.2.29 patch, 4.3.21 minor, 4.4.15 minor, 4.5.8 minor | -
4.2.29 | ALL             | 4.4 | 4.3.21 minor, 4.4.15 minor | -
4.5.7  | ALL             | -   | 4.5.8 patch | -
4.5.8  | ALL             | -   |             | -
# A pre-release belongs to the line that it leads to.
4.5.0-rc.1 | ALL         | -   | 4.5.8 minor | -
# The newest line is not entered by its first release; an older one must be passed all the same.
4.5.8  | v4.5.8 v4.6.0   | -   |             | Line 4.6 has only its first release
4.5.8  | v4.6.0 v4.7.1   | -   | 4.6.0 minor, 4.7.1 minor | -
4.5.8  | v4.6.0          | 4.5 |             | -
# A line of which nothing is known, or nothing usable.
4.3.21 | v4.3.21 v4.5.8  | -   |             | no usable release of line 4.4
4.3.20 | v4.3.21 v4.4.15! v4.5.8 | - | 4.3.21 patch | no usable release of line 4.4
4.5.7  | v4.5.8! v4.5.7  | -   |             | -
# Across majors from the last line of the one to the first of the other.
3.5.3  | v3.5.19 v4.0.15 v4.1.25 | - | 3.5.19 patch, 4.0.15 major, 4.1.25 minor | -
4.5.8  | v4.5.8 v5.0.1   | -   |             | no usable release of line 4.6
4.9.1  | v4.9.2 v5.0.1 v5.1.1 | - | 4.9.2 patch, 5.0.1 major, 5.1.1 minor | -
4.9.1  | v5.1.1          | -   |             | line 5.0
4.9.1  | v6.0.1          | -   |             | version 5,
# A build of its own has no way.
4.5.7+glitch | v4.5.8 v4.6.1 | - |           | marked `glitch`
";

#[test]
fn every_line_is_passed_through_by_its_last_patch() {
    let all = "v4.5.8 v4.4.15 v4.3.21 v4.5.0 v4.4.14 v4.3.20 v4.2.29 v4.4.0 v4.3.0 v4.5.0-rc.1 v4.6.0-beta.1";
    for row in WAYS.lines().filter(|row| row.contains('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [from, tags, upto, stops, end] = cells.as_slice() else {
            panic!("{row}");
        };
        let upto = Some(*upto).filter(|upto| *upto != "-");
        let (found, why) = way(from, &tags.replace("ALL", all), upto);
        assert_eq!(found.join(", "), *stops, "{row}");
        match why {
            None => assert_eq!(*end, "-", "{row}"),
            Some(why) => assert!(why.contains(end), "{row}: {why}"),
        }
    }
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
