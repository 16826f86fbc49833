//! What holds for every input.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::advisory::{Affected, VersionRange};
use mastopatch::domain::decide::{Facts, When, decide};
use mastopatch::domain::policy::{Class, Policy};
use mastopatch::domain::release::advisory_ids;
use mastopatch::domain::version::ReleaseVersion;
use mastopatch::domain::window::{OpensAt, Window};
use proptest::prelude::*;

use crate::known::{facts, fixture, version};

fn any_version() -> impl Strategy<Value = ReleaseVersion> {
    let pre = prop_oneof![
        4 => Just(String::new()),
        1 => ("(alpha|beta|rc)", 0_u64..12).prop_map(|(word, number)| format!("-{word}.{number}")),
        1 => ("(alpha|beta|rc)", 0_u64..12).prop_map(|(word, number)| format!("{word}{number}")),
    ];
    let build = prop_oneof![3 => Just(String::new()), 1 => "\\+[a-z]{1,6}(-[0-9]\\.[0-9])?"];
    (0_u64..6, 0_u64..12, 0_u64..30, pre, build).prop_map(|(major, minor, patch, pre, build)| {
        version(&format!("{major}.{minor}.{patch}{pre}{build}"))
    })
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    // 2024 to 2030, by the second; half of them within two days around a change of the clocks.
    let around = (0_usize..6, -172_800_i64..172_800).prop_map(|(index, offset)| {
        let changes = [
            1_711_846_800,
            1_729_990_800,
            1_774_746_000,
            1_792_890_000,
            1_806_195_600,
            1_824_944_400,
        ];
        Timestamp::from_second(changes[index] + offset).unwrap()
    });
    prop_oneof![
        (1_704_067_200_i64..1_893_456_000)
            .prop_map(|second| Timestamp::from_second(second).unwrap()),
        around
    ]
}

fn any_window() -> impl Strategy<Value = Window> {
    let days = prop_oneof![
        Just(String::new()),
        proptest::sample::subsequence(vec!["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], 1..7)
            .prop_map(|days| days.join(",") + " "),
    ];
    let opens = (days, 0_u8..24, 0_u8..60)
        .prop_map(|(days, hour, minute)| format!("{days}{hour:02}:{minute:02}").parse().unwrap());
    let zone = proptest::sample::select(vec![
        "Europe/Berlin",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "UTC",
        "Pacific/Apia",
    ]);
    (proptest::collection::vec(opens, 1..3), 15_i64..=1_440, zone).prop_map(
        |(opens, minutes, zone)| {
            let zone = TimeZone::get(zone).unwrap();
            Window::new(
                "w".to_owned(),
                opens,
                SignedDuration::from_mins(minutes),
                zone,
                BTreeSet::from([Class::Patch]),
            )
            .unwrap()
        },
    )
}

static OUTDATED: LazyLock<Facts> = LazyLock::new(|| facts("4.5.7"));
static STANDARD: LazyLock<Policy> = LazyLock::new(|| fixture("sunday"));

proptest! {
    #[test]
    fn versions_are_totally_ordered_and_survive_being_written(a in any_version(), b in any_version(), c in any_version()) {
        prop_assert_eq!(&version(&a.to_string()), &a);
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
        if a <= b && b <= c { prop_assert!(a <= c); }
        prop_assert!(!(a.precedes(&b) && b.precedes(&a)));
        prop_assert_eq!(a.step_to(&b).is_some(), a.precedes(&b));
        if a.precedes(&b) { prop_assert!(a < b); }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,24}") {
        let _version = text.parse::<ReleaseVersion>();
        let _range = VersionRange::new(&text);
        let _opens = text.parse::<OpensAt>();
        let _ids = advisory_ids(&text);
    }

    #[test]
    fn a_version_between_the_bounds_is_listed_and_none_outside(low in any_version(), high in any_version(), v in any_version()) {
        let range = VersionRange::new(&format!(">= {low}, < {high}"));
        let inside = !v.precedes(&low) && v.precedes(&high);
        match range.contains(&v) {
            Affected::Listed(_) => prop_assert!(inside),
            Affected::NotListed => prop_assert!(!inside),
            Affected::CannotDecide(_) => prop_assert!(!low.precedes(&high) || v.is_pre_release()),
        }
    }

    #[test]
    fn contains_current_and_next_opening_tell_the_same_story(window in any_window(), at in any_instant()) {
        prop_assert_eq!(window.contains(at), window.current(at).is_some());
        if let Some(opening) = window.current(at) {
            prop_assert!(opening.start <= at && at < opening.end);
            prop_assert_eq!(opening.end.duration_since(opening.start), window.lasts());
            prop_assert!(window.contains(opening.start));
        }
        let next = window.next_opening(at).unwrap();
        prop_assert!(next.start > at && window.contains(next.start));
        prop_assert_eq!(next.end.duration_since(next.start), window.lasts());
        prop_assert!(next.start.duration_since(at) <= SignedDuration::from_hours(8 * 24 + 1));
        let just_before = next.start - SignedDuration::from_nanos(1);
        prop_assert_eq!(window.next_opening(just_before).map(|opening| opening.start), Some(next.start));
        // Nothing opens in between: what is open just before was open at `at` already.
        if let Some(earlier) = window.current(just_before) { prop_assert!(earlier.start <= at || just_before < at); }
    }

    #[test]
    fn what_may_start_now_fits_into_an_open_window(now in any_instant(), minutes in 0_i64..400) {
        let needed = SignedDuration::from_mins(minutes);
        let (facts, policy) = (&*OUTDATED, &*STANDARD);
        let decision = decide(facts, policy, now, needed);
        prop_assert_eq!(&decision, &decide(facts, policy, now, needed));
        match decision.when {
            When::Now { window, until } => {
                let until = until.unwrap();
                prop_assert!(until.duration_since(now) >= needed);
                let open = policy.windows().iter().find(|open| Some(open.id()) == window.as_deref()).unwrap();
                prop_assert_eq!(open.current(now).map(|opening| opening.end), Some(until));
            }
            When::Wait { not_before, .. } => {
                prop_assert!(not_before > now);
                let then = decide(facts, policy, not_before, needed).when;
                let starts = matches!(then, When::Now { .. });
                prop_assert!(starts, "{:?}", then);
            }
            When::Blocked => prop_assert!(minutes > 180),
            When::Nothing | When::NeedsApproval | When::NotifyOnly => prop_assert!(false, "there is something to do"),
        }
    }
}
