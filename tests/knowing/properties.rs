//! What holds for every input.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::advisory::{Affected, VersionRange};
use mastopatch::domain::decide::{Facts, When, decide};
use mastopatch::domain::policy::Policy;
use mastopatch::domain::release::advisory_ids;
use mastopatch::domain::version::ReleaseVersion;
use mastopatch::domain::window::Calendar;
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
        let _opens = text.parse::<Calendar>();
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
    fn what_may_start_now_fits_into_an_open_window(now in any_instant(), minutes in 0_i64..400) {
        let needed = SignedDuration::from_mins(minutes);
        let (facts, policy) = (&*OUTDATED, &*STANDARD);
        let decision = decide(facts, policy, now, needed);
        prop_assert_eq!(&decision, &decide(facts, policy, now, needed));
        match decision.when {
            When::Now { window, until } => {
                let until = until.unwrap();
                prop_assert!(until.duration_since(now) >= needed);
                let open = policy.schedule().open_at(now);
                let (_, opening, _) = open.iter().find(|(id, _, _)| Some(*id) == window.as_deref()).unwrap();
                prop_assert!(opening.end <= until);
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
