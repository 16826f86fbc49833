//! What every decision keeps to, whatever is known: it is total, proposes nothing that it must not, does not get milder
//! when things get worse, and says the same to the byte in whatever order the facts were found.

use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use mastopatch::domain::advisory::{Advisory, Severity};
use mastopatch::domain::decide::{
    Approval, Decision, Facts, Hold, Pin, PinTo, Quarantined, decide,
};
use mastopatch::domain::installed::{Installed, Origin};
use mastopatch::domain::notice::Notice;
use mastopatch::domain::policy::Policy;
use mastopatch::domain::published::Published;
use mastopatch::domain::release::{Release, ReleaseParts};
use mastopatch::domain::version::ReleaseVersion;
use proptest::prelude::*;

use crate::known::{KNOWN, at, seen, shipped};

/// A part of the real world with some oddities of our own, and an instance in it.
#[derive(Debug, Clone)]
struct World {
    releases: Vec<Release>,
    advisories: Vec<Advisory>,
    facts: Facts,
    policy: &'static str,
    now: Timestamp,
}

const POLICIES: [&str; 4] = ["security-first", "conservative", "notify-only", "canary"];
static SHIPPED: LazyLock<Vec<(&'static str, Policy)>> =
    LazyLock::new(|| POLICIES.map(|name| (name, shipped(name))).to_vec());

impl World {
    fn decide(&self) -> Decision {
        let (_, policy) = SHIPPED
            .iter()
            .find(|(name, _)| *name == self.policy)
            .unwrap();
        let published = Published::new(self.releases.clone(), self.advisories.clone());
        let facts = Facts {
            published: Arc::new(published),
            ..self.facts.clone()
        };
        decide(&facts, policy, self.now, SignedDuration::from_mins(45))
    }
}

/// A release that never was: any number, any sign in its text, perhaps taken back.
fn odd_release() -> impl Strategy<Value = Release> {
    let bodies = [
        "",
        "## Changelog\n\n### Security\n\n- something",
        "### Fixed\n\n- a typo",
        "> [!WARNING]\n> A security problem in FFmpeg.",
        "Fix ([GHSA-aaaa-bbbb-cccc](x))",
        "### Update steps\n\n- Sing a song before you begin.",
    ];
    let pre = prop_oneof![3 => Just(""), 1 => Just("-rc.1"), 1 => Just("+glitch")];
    let numbers = (3_u64..6, 0_u64..9, 0_u64..30);
    let days = 0_i64..1_400;
    (
        numbers,
        pre,
        proptest::sample::select(bodies.to_vec()),
        days,
        any::<bool>(),
        0_u8..6,
    )
        .prop_map(|((major, minor, patch), pre, body, day, flag, gone)| {
            let published_at = at("2022-11-14T00:00:00Z") + SignedDuration::from_hours(day * 24);
            let mut release = Release::new(ReleaseParts {
                tag: format!("v{major}.{minor}.{patch}{pre}"),
                published_at: Some(published_at),
                pre_release: flag && pre == "-rc.1",
                body: body.to_owned(),
                ..ReleaseParts::default()
            })
            .unwrap();
            release.gone_since = (gone == 0).then_some(published_at);
            release
        })
}

fn any_installed() -> impl Strategy<Value = Installed> {
    let real = proptest::sample::select(KNOWN.0.clone()).prop_map(|release| release.version);
    let odd = odd_release().prop_map(|release| release.version);
    let fork = prop_oneof![4 => Just(false), 1 => Just(true)];
    (prop_oneof![3 => real, 1 => odd], fork, 0_u8..8).prop_map(|(version, fork, disagree)| {
        let mut installed = Installed::taken_for_granted(version);
        if fork || installed.version.build().is_some() {
            installed.origin = Origin::Fork {
                name: "glitch".to_owned(),
            };
        }
        if disagree == 0 {
            installed
                .disagreements
                .push("tag and page disagree".to_owned());
        }
        installed
    })
}

fn any_world() -> impl Strategy<Value = World> {
    let releases = proptest::sample::subsequence(KNOWN.0.clone(), 20..KNOWN.0.len());
    let advisories = proptest::sample::subsequence(KNOWN.1.clone(), 0..KNOWN.1.len());
    let odd = proptest::collection::vec(odd_release(), 0..6);
    let quarantined = proptest::collection::vec(any::<proptest::sample::Index>(), 0..3);
    let pin = proptest::option::of((any::<proptest::sample::Index>(), any::<bool>()));
    let orders = (proptest::option::of(-100_i64..1_000), pin, any::<bool>());
    let policy = proptest::sample::select(POLICIES.to_vec());
    let now = 0_i64..1_300;
    (
        releases,
        advisories,
        odd,
        any_installed(),
        quarantined,
        orders,
        policy,
        now,
    )
        .prop_map(
            |(mut releases, advisories, odd, installed, quarantined, orders, policy, day)| {
                releases.extend(odd);
                let now = at("2023-01-01T03:00:00Z") + SignedDuration::from_hours(day * 24);
                let pick = |index: &proptest::sample::Index| index.get(&releases).version.clone();
                let quarantined = quarantined.iter().map(|index| Quarantined {
                    version: pick(index),
                    reason: "it failed here".to_owned(),
                });
                let quarantined = quarantined.collect();
                let (hold, pin, approved) = orders;
                let hold = hold.map(|hours| Hold {
                    reason: "r".to_owned(),
                    by: "eva".to_owned(),
                    at: at("2023-01-01T00:00:00Z"),
                    until: (hours < 900).then(|| now + SignedDuration::from_hours(hours)),
                });
                let pin = pin.map(|(index, line)| {
                    let version = pick(&index);
                    Pin {
                        to: if line {
                            PinTo::Line(version.line())
                        } else {
                            PinTo::Version(version)
                        },
                        reason: "r".to_owned(),
                        by: "eva".to_owned(),
                        at: at("2023-01-01T00:00:00Z"),
                        until: None,
                    }
                });
                let approvals = if approved {
                    releases
                        .iter()
                        .map(|release| approval(&release.version, now))
                        .collect()
                } else {
                    Vec::new()
                };
                World {
                    facts: Facts {
                        instance: "social.example".to_owned(),
                        installed,
                        host: seen(),
                        published: Arc::default(),
                        quarantined,
                        approvals,
                        hold,
                        pin,
                        attempts: Vec::new(),
                        planned: None,
                        one_offs: Vec::new(),
                        clock_doubt: None,
                        problems: Vec::new(),
                    },
                    releases,
                    advisories,
                    policy,
                    now,
                }
            },
        )
}

fn approval(version: &ReleaseVersion, at: Timestamp) -> Approval {
    Approval {
        version: version.clone(),
        plan: "p".to_owned(),
        by: "eva".to_owned(),
        at,
        expires_at: None,
    }
}

/// Never is later than any day.
fn or_never(at: Option<Timestamp>) -> Timestamp {
    at.unwrap_or(Timestamp::MAX)
}

fn not_milder(before: &Decision, after: &Decision) -> Result<(), TestCaseError> {
    // Worst first.
    prop_assert!(after.exposure.standing <= before.exposure.standing);
    if let (Some(before), Some(after)) = (before.dates, after.dates) {
        prop_assert!(or_never(after.forced_by) <= or_never(before.forced_by));
        prop_assert!(
            or_never(after.effective) <= or_never(before.effective),
            "{before:?} {after:?}"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_deadline_is_told_to_be_at_risk_exactly_when_the_start_is_after_it(world in any_world()) {
        let decision = world.decide();
        let (_, policy) = SHIPPED.iter().find(|(name, _)| *name == world.policy).unwrap();
        let notice = Notice::deadline(&decision, policy, world.now);
        let late = decision.dates.and_then(|dates| {
            let forced_by = dates.forced_by?;
            Some(dates.effective.is_none_or(|effective| effective > forced_by))
        });
        prop_assert_eq!(notice.is_some(), late == Some(true));
        if let Some(notice) = &notice {
            // Whoever reads it learns why, and what to do, unless it starts at once.
            let starts = matches!(decision.when, mastopatch::domain::decide::When::Now { .. });
            prop_assert_eq!(notice.why().is_empty(), starts, "{:?}", notice);
            prop_assert_eq!(notice.remedies().is_empty(), starts, "{:?}", notice);
            let later = Notice::deadline(&decision, policy, world.now + SignedDuration::from_hours(900));
            prop_assert_eq!(later.map(|later| (later.key(), later.grade())), Some((notice.key(), notice.grade())));
        }
        let free = matches!(decision.when, mastopatch::domain::decide::When::Now { window: None, .. });
        prop_assert_eq!(decision.emergency(policy, world.now).is_some(), free);
    }

    #[test]
    fn nothing_is_proposed_that_must_not_be(world in any_world()) {
        let decision = world.decide();
        let runs = &world.facts.installed.version;
        if !world.facts.installed.origin.is_upstream() {
            prop_assert_eq!(&decision.target, &None);
        }
        for target in decision.target.iter().chain(&decision.notice) {
            prop_assert!(runs.precedes(&target.version), "{} -> {}", runs, target.version);
            prop_assert!(!target.version.is_pre_release() && target.version.build().is_none());
            let offered = |release: &&Release| release.version == target.version && release.gone_since.is_none();
            prop_assert!(world.releases.iter().any(|release| offered(&release)), "nobody offers {}", target.version);
            prop_assert!(!world.facts.quarantined.iter().any(|it| it.version.cmp_precedence(&target.version).is_eq()));
            if let Some(pin) = &world.facts.pin {
                prop_assert!(pin.allows(&target.version));
            }
            let (from, to) = (runs.line(), target.version.line());
            let neighbour = from == to
                || (from.major == to.major && from.minor + 1 == to.minor)
                || (from.major + 1 == to.major && to.minor == 0);
            prop_assert!(neighbour, "{} -> {} skips a line", runs, target.version);
        }
        for pair in decision.path.stops.windows(2) {
            prop_assert!(pair[0].version.precedes(&pair[1].version));
        }
        if !world.facts.installed.disagreements.is_empty() {
            let starts = matches!(decision.when, mastopatch::domain::decide::When::Now { .. });
            prop_assert!(!starts, "it starts although nobody knows what runs");
        }
    }

    #[test]
    fn the_order_of_the_facts_makes_no_difference(world in any_world(), seed in any::<u64>()) {
        let bytes = |world: &World| serde_json::to_string(&world.decide()).unwrap();
        let first = bytes(&world);
        prop_assert_eq!(&bytes(&world), &first);
        let mut other = world;
        shuffle(&mut other.releases, seed);
        shuffle(&mut other.advisories, seed ^ 0x55);
        shuffle(&mut other.facts.quarantined, seed ^ 0xaa);
        shuffle(&mut other.facts.approvals, seed ^ 0xff);
        prop_assert_eq!(bytes(&other), first);
    }

    #[test]
    fn what_gets_graver_never_gets_milder_treatment(world in any_world(), which in any::<proptest::sample::Index>()) {
        prop_assume!(!world.advisories.is_empty());
        let place = which.index(world.advisories.len());
        let mut last: Option<Decision> = None;
        for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
            let mut graver = world.clone();
            graver.advisories[place].severity = severity;
            let decision = graver.decide();
            if let Some(last) = &last {
                not_milder(last, &decision)?;
            }
            last = Some(decision);
        }
        let mut exploited = world.clone();
        exploited.advisories[place].severity = Severity::Critical;
        exploited.advisories[place].exploited = mastopatch::domain::advisory::Exploitation::Reported;
        not_milder(&last.unwrap(), &exploited.decide())?;
    }

    #[test]
    fn one_more_advisory_never_makes_it_look_better(world in any_world(), which in any::<proptest::sample::Index>()) {
        prop_assume!(world.advisories.len() > 1);
        let mut fewer = world.clone();
        fewer.advisories.remove(which.index(world.advisories.len()));
        let (before, after) = (fewer.decide().exposure, world.decide().exposure);
        // What an advisory can do is to settle what other lines got, which stood in the way of an answer.
        if before.other_lines == after.other_lines {
            prop_assert!(after.standing <= before.standing);
        }
        prop_assert!(after.listed.len() >= before.listed.len());
    }
}

fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for place in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let other = usize::try_from(seed >> 33).unwrap() % (place + 1);
        items.swap(place, other);
    }
}
