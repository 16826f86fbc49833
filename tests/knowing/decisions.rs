//! One decision after another.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use mastopatch::config::parse_policy;
use mastopatch::domain::advisory::{Advisory, AdvisoryParts, Severity};
use mastopatch::domain::decide::{
    About, Approval, Attempt, Decision, Facts, Hold, NotATarget, Pin, Quarantined, Standing, When,
    decide, target_of,
};
use mastopatch::domain::event::Outcome;
use mastopatch::domain::installed::{Installed, Origin};
use mastopatch::domain::policy::Class;
use mastopatch::domain::published::Published;
use mastopatch::domain::release::{Release, ReleaseParts};
use mastopatch::domain::version::UpdateKind;

use crate::known::{
    SUNDAY_NIGHT, WEDNESDAY, advisories, at, decided, facts, facts_on, fixture, publish, releases,
    said, version,
};

#[test]
fn every_release_and_advisory_is_read() {
    let releases = releases();
    assert_eq!(releases.len(), 158);
    assert!(releases.iter().all(|release| release.described));
    // 80 change logs have a Security section; nothing without one names an advisory.
    assert_eq!(
        releases
            .iter()
            .filter(|release| release.security.heading)
            .count(),
        80
    );
    assert_eq!(
        releases
            .iter()
            .filter(|release| release.is_security())
            .count(),
        80
    );
    assert_eq!(
        releases
            .iter()
            .filter(|release| release.pre_release)
            .count(),
        23
    );
    let advisories = advisories();
    assert_eq!(advisories.len(), 41);
    assert_eq!(
        advisories
            .iter()
            .filter(|advisory| advisory.severity_missing)
            .count(),
        9
    );
}

#[test]
fn tags_are_rebuilt_from_versions_except_for_old_spellings() {
    for release in releases() {
        let old = release.tag.contains("rc") || release.tag.contains("beta");
        assert!(
            release.version.tag() == release.tag || (old && release.version.line().minor <= 2),
            "{}",
            release.tag
        );
    }
}

#[test]
fn a_patch_that_closes_holes_is_a_security_update_with_their_ids() {
    let decision = decided(&facts("4.5.7"), SUNDAY_NIGHT);
    let target = decision.target.as_ref().unwrap();
    assert_eq!(
        (target.version.to_string().as_str(), target.tag.as_str()),
        ("4.5.8", "v4.5.8")
    );
    assert_eq!(
        (target.kind, target.class, target.severity),
        (UpdateKind::Patch, Class::Security, Some(Severity::Medium))
    );
    assert_eq!(
        target.advisories,
        ["GHSA-q4g8-82c5-9h33", "GHSA-xqw8-4j56-5hj6"]
    );
    assert_eq!(target.rule.as_deref(), Some("security"));
    let until = Some(at("2026-04-19T03:00:00Z"));
    assert_eq!(
        decision.when,
        When::Now {
            window: Some("sunday-night".to_owned()),
            until
        }
    );
    assert_eq!(decision.exposure.standing, Standing::ListedAsAffected);
    assert_eq!(decision.exposure.listed.len(), 2);
    assert!(
        decision
            .exposure
            .listed
            .iter()
            .all(|item| item.repaired_in == Some(version("4.5.8")))
    );
    let exposure = said(&decision, About::Exposure);
    assert!(exposure.contains("4.5.7 is listed as affected by GHSA-q4g8-82c5-9h33 (medium): its range `>= 4.5.0, < 4.5.8` covers 4.5.7."), "{exposure}");
    assert!(
        exposure.contains(
            "4.5.8, published Tue 2026-03-24 16:15 CET, is a security release of line 4.5"
        ),
        "{exposure}"
    );
}

#[test]
fn outside_of_the_window_it_waits_for_the_next_one() {
    let decision = decided(&facts("4.5.7"), WEDNESDAY);
    let because = "The next window that fits is `sunday-night`, from Sun 2026-04-19 02:00 CEST to Sun 2026-04-19 05:00 CEST.";
    assert_eq!(
        decision.when,
        When::Wait {
            not_before: at("2026-04-19T00:00:00Z"),
            because: because.to_owned()
        }
    );
    assert_eq!(said(&decision, About::Window), because);
}

#[test]
fn nothing_starts_that_cannot_be_finished_before_the_window_closes() {
    let needed = SignedDuration::from_mins(30);
    let policy = fixture("sunday");
    let on = |now: &str, needed| decide(&facts("4.5.7"), &policy, at(now), needed).when;
    assert!(matches!(
        on("2026-04-19T02:30:00Z", needed),
        When::Now { .. }
    ));
    assert!(
        matches!(on("2026-04-19T02:30:01Z", needed), When::Wait { not_before, .. } if not_before == at("2026-04-26T00:00:00Z"))
    );
    assert!(matches!(
        on("2026-04-19T03:00:00Z", SignedDuration::ZERO),
        When::Wait { .. }
    ));
    let decision = decide(
        &facts("4.5.7"),
        &policy,
        at(WEDNESDAY),
        SignedDuration::from_hours(4),
    );
    assert_eq!(decision.when, When::Blocked);
    assert!(said(&decision, About::Window).contains(
        "need 4h, and no maintenance window that allows a security update is open for that long within 400 days"
    ));
}

#[test]
fn when_the_line_has_nothing_newer_the_next_line_is_offered_and_needs_a_person() {
    let mut facts = facts("4.4.15");
    let decision = decided(&facts, SUNDAY_NIGHT);
    let target = decision.target.as_ref().unwrap();
    assert_eq!(
        (
            target.version.to_string().as_str(),
            target.kind,
            target.class
        ),
        ("4.5.8", UpdateKind::Minor, Class::Minor)
    );
    assert_eq!(
        (target.severity, target.advisories.as_slice()),
        (None, [].as_slice())
    );
    assert_eq!(decision.when, When::NeedsApproval);
    assert_eq!(decision.exposure.standing, Standing::NotListed);
    facts.approvals.push(Approval {
        version: version("4.5.7"),
        plan: "p".to_owned(),
        by: "eva".to_owned(),
        at: at(WEDNESDAY),
        expires_at: None,
    });
    assert_eq!(decided(&facts, SUNDAY_NIGHT).when, When::NeedsApproval);
    facts.approvals.push(Approval {
        version: version("4.5.8"),
        plan: "p".to_owned(),
        by: "eva".to_owned(),
        at: at(WEDNESDAY),
        expires_at: None,
    });
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert!(matches!(decision.when, When::Now { .. }));
    assert_eq!(
        said(&decision, About::Approval),
        "eva agreed to 4.5.8 on Wed 2026-04-15 14:00 CEST."
    );
}

#[test]
fn a_security_patch_of_the_own_line_comes_before_the_next_line() {
    let decision = decided(&facts("4.4.14"), SUNDAY_NIGHT);
    let target = decision.target.unwrap();
    assert_eq!(
        (target.version.to_string().as_str(), target.class),
        ("4.4.15", Class::Security)
    );
}

#[test]
fn no_line_is_skipped_and_none_is_entered_with_its_first_release() {
    for (installed, wanted) in [
        ("4.1.25", "4.2.29"),
        ("4.2.29", "4.3.21"),
        ("4.3.21", "4.4.15"),
        ("3.5.19", "4.0.15"),
    ] {
        let target = decided(&facts(installed), WEDNESDAY).target.unwrap();
        assert_eq!(target.version, version(wanted), "{installed}");
        assert_eq!(
            target.kind,
            if installed == "3.5.19" {
                UpdateKind::Major
            } else {
                UpdateKind::Minor
            }
        );
    }
    // On the day 4.5.0 came out nobody is sent there.
    let decision = decided(
        &facts_on("4.4.8", "2025-11-07T00:00:00Z"),
        "2025-11-07T00:00:00Z",
    );
    assert_eq!(
        (decision.target.as_ref(), &decision.when),
        (None, &When::Nothing)
    );
    assert!(said(&decision, About::Choice).contains("Line 4.5 has only its first release so far"));
    // A hole in what is known is not jumped over.
    let mut gap = facts("4.3.21");
    gap.published =
        publish(|releases, _| releases.retain(|release| release.version.line().minor != 4));
    let decision = decided(&gap, WEDNESDAY);
    assert_eq!(
        (decision.target.as_ref(), &decision.when),
        (None, &When::Blocked)
    );
    assert!(said(&decision, About::Choice).contains("The next known line after 4.3 is 4.5"));
}

#[test]
fn an_up_to_date_server_is_not_listed_and_never_called_safe() {
    let decision = decided(&facts("4.5.8"), WEDNESDAY);
    assert_eq!(
        (decision.target.as_ref(), &decision.when),
        (None, &When::Nothing)
    );
    assert_eq!(
        decision.exposure.standing,
        Standing::NotListed,
        "{:#?}",
        decision.exposure
    );
    let exposure = said(&decision, About::Exposure);
    assert!(
        exposure
            .contains("4.5.8 is not listed as affected by any other of the 41 known advisories"),
        "{exposure}"
    );
    // Nine advisories carry no range and one an empty range; their repairs are older than line 4.5.
    assert_eq!(decision.exposure.set_aside.len(), 10);
    assert!(!exposure.contains("safe"));
}

#[test]
fn whatever_stands_in_the_way_of_an_answer_is_said() {
    let standing = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts("4.5.8");
        change(&mut facts);
        decided(&facts, WEDNESDAY).exposure.standing
    };
    assert_eq!(standing(&|_| {}), Standing::NotListed);
    assert_eq!(
        standing(&|facts| facts
            .problems
            .push("release `x` has no readable version".to_owned())),
        Standing::CannotTell
    );
    let without = |change: &dyn Fn(&mut Vec<Release>, &mut Vec<Advisory>)| {
        standing(&|facts| {
            facts.published = publish(|releases, advisories| change(releases, advisories))
        })
    };
    assert_eq!(
        without(&|_, advisories| advisories.clear()),
        Standing::CannotTell
    );
    assert_eq!(
        without(&|releases, _| releases.clear()),
        Standing::CannotTell
    );
    let unknown: &dyn Fn(&mut Vec<Release>, &mut Vec<Advisory>) =
        &|releases, _| releases.retain(|release| release.version != version("4.5.8"));
    assert_eq!(without(unknown), Standing::CannotTell);
    assert_eq!(
        standing(&|facts| facts.installed = fork("4.5.8+glitch")),
        Standing::CannotTell
    );
    assert_eq!(
        standing(&|facts| facts
            .installed
            .disagreements
            .push("tag and page disagree".to_owned())),
        Standing::CannotTell
    );
    let bare = AdvisoryParts {
        id: "GHSA-aaaa-bbbb-cccc".to_owned(),
        ..Default::default()
    };
    let bare = Advisory::new(bare).unwrap();
    assert_eq!(
        without(&|_, advisories| advisories.push(bare.clone())),
        Standing::CannotTell
    );
}

#[test]
fn a_hole_that_only_the_release_notes_name_is_not_missed() {
    // The change log of 4.3.21 names GHSA-q4g8-82c5-9h33, but the advisory lists no 4.3 version.
    let decision = decided(&facts("4.3.20"), WEDNESDAY);
    let named = decision
        .exposure
        .undecided
        .iter()
        .find(|item| item.id == "GHSA-q4g8-82c5-9h33")
        .unwrap();
    assert_eq!(named.repaired_in, Some(version("4.3.21")));
    assert!(
        decision
            .target
            .unwrap()
            .advisories
            .contains(&"GHSA-q4g8-82c5-9h33".to_owned())
    );
    // Three days before the records of March 2026 appeared, 4.5.8 was known to repair two holes without a grade.
    let early = facts_on("4.5.7", "2026-03-25T00:00:00Z");
    let decision = decided(&early, "2026-03-25T00:00:00Z");
    assert_eq!(decision.exposure.standing, Standing::SecurityUpdateMissing);
    assert_eq!(decision.exposure.newer_security, [version("4.5.8")]);
    let target = decision.target.unwrap();
    assert_eq!(
        (target.class, target.severity),
        (Class::Security, Some(Severity::High))
    );
}

#[test]
fn ranges_that_cannot_be_trusted_neither_alarm_nor_reassure_on_their_own() {
    let standing = |installed: &str, id: &str| {
        let decision = decided(&facts(installed), WEDNESDAY);
        let exposure = decision.exposure;
        if exposure.listed.iter().any(|item| item.id == id) {
            'L'
        } else if exposure.undecided.iter().any(|item| item.id == id) {
            '?'
        } else if exposure.set_aside.iter().any(|item| item == id) {
            'P'
        } else {
            '-'
        }
    };
    for (installed, id, wanted) in [
        // ">= 4.2.6, < 4.2.6": what is meant is known from the notes of 4.2.6.
        ("4.2.5", "GHSA-7w3c-p9j8-mq3x", '?'),
        ("4.2.6", "GHSA-7w3c-p9j8-mq3x", '-'),
        ("4.2.29", "GHSA-7w3c-p9j8-mq3x", '-'),
        ("4.5.8", "GHSA-7w3c-p9j8-mq3x", 'P'),
        // ">= 4.5.0-beta.1, < 4.2.28"
        ("4.5.2", "GHSA-gwhw-gcjx-72v8", '?'),
        ("4.5.8", "GHSA-gwhw-gcjx-72v8", '-'),
        // "< 4.3.15", while the change log has the repair in 4.3.16.
        ("4.3.15", "GHSA-gwhw-gcjx-72v8", '?'),
        // "< 4.4.13" and "< 4.5.6" without lower bound: the notes of 4.3.19 name it.
        ("4.3.18", "GHSA-ccpr-m53r-mfwr", 'L'),
        ("4.3.19", "GHSA-ccpr-m53r-mfwr", 'P'),
        ("4.4.15", "GHSA-ccpr-m53r-mfwr", 'P'),
        ("4.5.8", "GHSA-ccpr-m53r-mfwr", '-'),
        // "< 4.3.18" covers line 4.2, which got no repair.
        ("4.2.29", "GHSA-gg8q-rcg7-p79g", 'L'),
        // ">= 2.6.0, < 4.1.18" covers 4.0, which got no repair.
        ("4.0.15", "GHSA-xjvf-fm67-4qc3", 'L'),
        ("4.2.0-beta1", "GHSA-hcqf-fw2r-52g4", 'L'),
        ("4.5.0-beta.1", "GHSA-8h43-rcqj-wpc6", 'L'),
        ("1.2.2", "GHSA-ccm4-vgcc-73hp", '-'),
        ("1.3.0", "GHSA-ccm4-vgcc-73hp", 'L'),
    ] {
        assert_eq!(standing(installed, id), wanted, "{installed} {id}");
    }
}

#[test]
fn a_line_that_is_left_behind_is_noticed() {
    // 4.2.29 is the last of its line; 4.3.18 and its siblings repaired more two weeks later.
    let decision = decided(&facts("4.2.29"), WEDNESDAY);
    assert_eq!(decision.exposure.standing, Standing::ListedAsAffected);
    assert!(decision.exposure.other_lines.contains(&version("4.3.18")));
    let target = decision.target.unwrap();
    assert_eq!(
        (
            target.version.to_string().as_str(),
            target.class,
            target.severity
        ),
        ("4.3.21", Class::Minor, Some(Severity::High))
    );
    assert!(
        target
            .advisories
            .contains(&"GHSA-gg8q-rcg7-p79g".to_owned()),
        "{:?}",
        target.advisories
    );
    assert_eq!(decision.when, When::NeedsApproval);
}

fn fork(text: &str) -> Installed {
    let origin = Origin::Fork {
        name: "glitch".to_owned(),
    };
    Installed {
        origin,
        ..Installed::taken_for_granted(version(text))
    }
}

#[test]
fn a_fork_is_never_replaced_and_is_told_what_upstream_has() {
    let mut facts = facts("4.5.7");
    facts.installed = fork("4.5.7+glitch");
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(
        (decision.target.as_ref(), &decision.when),
        (None, &When::NotifyOnly)
    );
    let notice = decision.notice.as_ref().unwrap();
    assert_eq!(
        (notice.version.to_string().as_str(), notice.class),
        ("4.5.8", Class::Security)
    );
    let dates = decision.dates.unwrap();
    assert_eq!(
        (dates.forced_by, dates.effective),
        (Some(at("2026-03-31T15:15:49Z")), None)
    );
    assert!(said(&decision, About::Choice).contains("upstream's images must not replace it"));
    assert_eq!(decision.exposure.standing, Standing::ListedAsAffected);
    assert!(matches!(
        target_of(&facts, &version("4.5.8"), true, at(WEDNESDAY)),
        Err(NotATarget::Foreign(_))
    ));
}

#[test]
fn quarantined_versions_are_passed_over() {
    let mut facts = facts("4.5.6");
    let quarantine = |text: &str| Quarantined {
        version: version(text),
        reason: "it was rolled back here".to_owned(),
    };
    facts.quarantined.push(quarantine("4.5.8"));
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(decision.target.as_ref().unwrap().version, version("4.5.7"));
    assert!(
        said(&decision, About::Choice).contains(
            "4.5.8 is passed over, because it is in quarantine: it was rolled back here."
        )
    );
    facts.quarantined.push(quarantine("4.5.7"));
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(
        (decision.target.as_ref(), &decision.when),
        (None, &When::Blocked)
    );
}

#[test]
fn a_young_patch_waits_until_it_is_old_enough() {
    // 4.5.2 has no security section; published on a Thursday.
    let early = facts_on("4.5.1", "2025-11-21T00:00:00Z");
    let decision = decided(&early, "2025-11-20T14:00:00Z");
    assert_eq!(decision.target.as_ref().unwrap().class, Class::Patch);
    assert!(
        matches!(decision.when, When::Wait { not_before, .. } if not_before == at("2025-11-23T01:00:00Z"))
    );
    assert!(
        said(&decision, About::Age)
            .contains("wants it 24h old, which it is from Fri 2025-11-21 14:41 CET")
    );
}

#[test]
fn holes_without_a_grade_are_closed_at_once_where_the_policy_says_so() {
    let policy = fixture("at-once");
    let when = |facts: &Facts, now: &str| {
        decide(facts, &policy, at(now), SignedDuration::from_mins(30)).when
    };
    let now = "2026-03-25T12:00:00Z";
    assert_eq!(
        when(&facts_on("4.5.7", now), now),
        When::Now {
            window: None,
            until: None
        }
    );
    // Graded as medium, it waits for the night.
    assert!(
        matches!(when(&facts("4.5.7"), WEDNESDAY), When::Wait { not_before, .. } if not_before == at("2026-04-16T00:00:00Z"))
    );
}

#[test]
fn what_no_rule_speaks_about_does_not_start() {
    let text = "[time]\nzone = \"UTC\"\n[[policy]]\nname = \"p\"\nmatch = { class = \"major\" }\noutside_windows = \"at-once\"\napproval = \"none\"\n";
    let policy = parse_policy(Path::new("p.toml"), text).unwrap();
    let decision = decide(
        &facts("4.5.7"),
        &policy,
        at(WEDNESDAY),
        SignedDuration::ZERO,
    );
    assert_eq!(
        (
            decision.when.clone(),
            decision.target.as_ref().unwrap().rule.clone()
        ),
        (When::Blocked, None)
    );
    assert!(
        said(&decision, About::Rule)
            .contains("No rule of the policy speaks about a security update")
    );
}

#[test]
fn a_person_may_choose_but_not_everything() {
    let mut facts = facts("4.4.15");
    facts.quarantined.push(Quarantined {
        version: version("4.5.7"),
        reason: "slow".to_owned(),
    });
    let chosen = target_of(&facts, &version("4.5.0"), false, at(WEDNESDAY)).unwrap();
    assert_eq!((chosen.kind, chosen.rule), (UpdateKind::Minor, None));
    let refused = |wanted: &str, force| {
        target_of(&facts, &version(wanted), force, at(WEDNESDAY)).unwrap_err()
    };
    assert!(matches!(
        refused("4.5.7", false),
        NotATarget::Quarantined { .. }
    ));
    assert!(target_of(&facts, &version("4.5.7"), true, at(WEDNESDAY)).is_ok());
    assert!(matches!(
        refused("4.5.0-rc.1", false),
        NotATarget::PreRelease(_)
    ));
    assert!(target_of(&facts, &version("4.5.0-rc.1"), true, at(WEDNESDAY)).is_ok());
    assert!(matches!(
        refused("4.4.14", true),
        NotATarget::NotNewer { .. }
    ));
    assert!(matches!(
        refused("4.4.15", true),
        NotATarget::NotNewer { .. }
    ));
    assert!(matches!(refused("4.5.9", true), NotATarget::Unknown(_)));
    assert!(matches!(
        target_of(
            &self::facts("4.3.21"),
            &version("4.5.8"),
            true,
            at(WEDNESDAY)
        ),
        Err(NotATarget::SkipsALine { .. })
    ));
}

#[test]
fn a_decision_survives_being_stored() {
    let facts = facts("4.2.5");
    let decision = decided(&facts, WEDNESDAY);
    let json = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
}

#[test]
fn after_a_run_that_failed_the_next_one_waits_and_after_a_held_one_nothing_starts() {
    let now = "2026-03-25T12:00:00Z";
    let mut facts = facts_on("4.5.7", now);
    let mut when = |outcome, closed, ended: &str| {
        facts.attempts = vec![Attempt {
            version: version("4.5.8"),
            outcome,
            closed,
            at: at(ended),
        }];
        let policy = fixture("at-once");
        decide(&facts, &policy, at(now), SignedDuration::from_mins(30)).when
    };
    let not_before = |when: When| match when {
        When::Wait { not_before, .. } => Some(not_before),
        When::Nothing
        | When::Now { .. }
        | When::NeedsApproval
        | When::NotifyOnly
        | When::Blocked => None,
    };
    let closed = when(Outcome::RolledBack, true, "2026-03-25T11:00:00Z");
    assert_eq!(not_before(closed), Some(at("2026-03-25T17:00:00Z")));
    let open = when(Outcome::Aborted, false, "2026-03-25T11:50:00Z");
    assert_eq!(not_before(open), Some(at("2026-03-25T12:05:00Z")));
    let long_ago = when(Outcome::RolledBack, true, "2026-03-25T05:00:00Z");
    assert!(matches!(long_ago, When::Now { .. }), "{long_ago:?}");
    assert_eq!(
        when(Outcome::Held, true, "2026-03-20T00:00:00Z"),
        When::Blocked
    );
}

/// A release that never was, published on a day of 2026.
fn invented(tag: &str, day: &str, body: &str) -> Release {
    Release::new(ReleaseParts {
        tag: tag.to_owned(),
        published_at: Some(at(&format!("{day}T12:00:00Z"))),
        body: body.to_owned(),
        ..ReleaseParts::default()
    })
    .unwrap()
}

const SECURITY: &str = "### Security\n\n- Something ([GHSA-zzzz-zzzz-zzzz](x))";

#[test]
fn what_only_other_lines_got_keeps_every_version_of_the_line_from_an_all_clear() {
    // 4.5.9 repairs something of which nothing else is known; 4.4 got a plain patch before and after it.
    let world = |later: bool| {
        publish(move |releases, _| {
            releases.push(invented("v4.4.16", "2026-04-01", "### Fixed\n\n- a typo"));
            releases.push(invented("v4.5.9", "2026-04-10", SECURITY));
            if later {
                releases.push(invented("v4.4.17", "2026-04-12", "### Fixed\n\n- a typo"));
            }
        })
    };
    for (installed, later) in [
        ("4.4.16", false),
        ("4.4.15", false),
        ("4.4.17", true),
        ("4.4.16", true),
    ] {
        let mut facts = facts(installed);
        facts.published = world(later);
        let exposure = decided(&facts, WEDNESDAY).exposure;
        assert_eq!(
            exposure.standing,
            Standing::CannotTell,
            "{installed} {later}"
        );
        assert_eq!(exposure.other_lines, [version("4.5.9")]);
    }
}

#[test]
fn a_security_release_that_is_marked_as_not_final_afterwards_is_not_forgotten() {
    let mut facts = facts("4.5.8");
    facts.published = publish(|releases, _| {
        let mut marked = invented("v4.5.9", "2026-04-10", SECURITY);
        marked.pre_release = true;
        releases.push(marked);
    });
    let decision = decided(&facts, WEDNESDAY);
    assert_eq!(decision.exposure.standing, Standing::CannotTell);
    assert_eq!(decision.exposure.taken_back, [version("4.5.9")]);
    assert_eq!(decision.target, None);
}

#[test]
fn a_pre_release_that_runs_is_held_to_the_newer_pre_releases_and_enters_its_line_with_a_person() {
    let mut facts = facts("4.6.0-rc.1");
    facts.published = publish(|releases, _| {
        releases.push(invented("v4.6.0-rc.1", "2026-04-01", "x"));
        releases.push(invented("v4.6.0-rc.2", "2026-04-10", SECURITY));
    });
    let decision = decided(&facts, WEDNESDAY);
    assert_eq!(decision.exposure.standing, Standing::SecurityUpdateMissing);
    assert_eq!(decision.target, None);
    facts.published = publish(|releases, _| {
        releases.push(invented("v4.6.0-rc.1", "2026-04-01", "x"));
        releases.push(invented("v4.6.1", "2026-04-11", SECURITY));
    });
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(decision.target.unwrap().class, Class::Minor);
    assert_eq!(decision.when, When::NeedsApproval);
}

#[test]
fn what_the_second_source_calls_urgent_counts_before_the_first_one_shows_it() {
    let mut facts = facts("4.5.8");
    let published = Published::clone(&facts.published);
    let published = published.with_second_source([version("4.5.9")].into(), BTreeMap::default());
    facts.published = Arc::new(published);
    let decision = decided(&facts, WEDNESDAY);
    assert_eq!(decision.exposure.standing, Standing::SecurityUpdateMissing);
    assert!(
        said(&decision, About::Exposure)
            .contains("4.5.9 is called urgent by Mastodon's own update check")
    );
    assert_eq!((decision.target, decision.when), (None, When::Nothing));
}

#[test]
fn a_line_that_was_taken_back_is_still_a_line() {
    let mut facts = facts("4.5.8");
    facts.published = publish(|releases, _| {
        let mut gone = invented("v4.6.1", "2026-03-01", "x");
        gone.gone_since = Some(at(WEDNESDAY));
        releases.push(gone);
        releases.push(invented("v5.0.0", "2026-04-01", "x"));
        releases.push(invented("v5.0.1", "2026-04-02", "x"));
    });
    let decision = decided(&facts, WEDNESDAY);
    assert_eq!((decision.target, decision.when), (None, When::Blocked));
}

#[test]
fn a_clock_that_is_not_to_be_trusted_starts_nothing() {
    let mut facts = facts("4.5.7");
    let published = Published::clone(&facts.published);
    facts.published = Arc::new(published.with_clock_doubt(Some("The clock is behind.".to_owned())));
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(decision.when, When::Blocked);
    assert!(said(&decision, About::Window).contains("The clock is behind."));
}

#[test]
fn a_pin_holds_at_the_terminal_too() {
    let mut facts = facts("4.4.15");
    facts.pin = Some(Pin {
        to: "4.4".parse().unwrap(),
        reason: "themes".to_owned(),
        by: "eva".to_owned(),
        at: at(WEDNESDAY),
        until: None,
    });
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(
        (decision.target.as_ref(), &decision.when),
        (None, &When::Blocked)
    );
    assert!(
        said(&decision, About::Choice)
            .contains("4.5.8 is passed over, because eva pinned this instance to 4.4: themes.")
    );
    let wanted = version("4.5.8");
    assert!(matches!(
        target_of(&facts, &wanted, false, at(WEDNESDAY)),
        Err(NotATarget::Pinned { .. })
    ));
    assert!(target_of(&facts, &wanted, true, at(WEDNESDAY)).is_ok());
}

#[test]
fn a_hold_waits_for_its_end_and_says_what_that_costs() {
    let mut facts = facts("4.5.7");
    let hold = |until| Hold {
        reason: "election".to_owned(),
        by: "eva".to_owned(),
        at: at("2026-03-25T00:00:00Z"),
        until,
    };
    facts.hold = Some(hold(Some(at("2026-04-30T00:00:00Z"))));
    let decision = decided(&facts, SUNDAY_NIGHT);
    // The first Sunday after the end of April.
    assert!(
        matches!(decision.when, When::Wait { not_before, .. } if not_before == at("2026-05-03T00:00:00Z"))
    );
    let dates = decision.dates.unwrap();
    assert_eq!(dates.forced_by, Some(at("2026-03-31T15:15:49Z")));
    assert!(dates.is_late());
    assert!(said(&decision, About::Hold).contains("eva put everything on hold"));
    assert!(said(&decision, About::Deadline).contains("That is over."));
    facts.hold = Some(hold(None));
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(
        (decision.when, decision.dates.unwrap().effective),
        (When::Blocked, None)
    );
    facts.hold = Some(hold(Some(at(WEDNESDAY))));
    assert!(matches!(
        decided(&facts, SUNDAY_NIGHT).when,
        When::Now { .. }
    ));
}

#[test]
fn an_approval_ends_and_is_for_one_plan() {
    let mut facts = facts("4.4.15");
    let approval = |plan: &str, expires: &str| Approval {
        version: version("4.5.8"),
        plan: plan.to_owned(),
        by: "eva".to_owned(),
        at: at(WEDNESDAY),
        expires_at: Some(at(expires)),
    };
    facts.approvals = vec![approval("p", "2026-04-22T12:00:00Z")];
    assert!(matches!(
        decided(&facts, SUNDAY_NIGHT).when,
        When::Now { .. }
    ));
    facts.planned = Some((version("4.5.8"), "p".to_owned()));
    assert!(matches!(
        decided(&facts, SUNDAY_NIGHT).when,
        When::Now { .. }
    ));
    facts.planned = Some((version("4.5.8"), "q".to_owned()));
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(decision.when, When::NeedsApproval);
    assert!(said(&decision, About::Approval).contains("what would be done has changed since"));
    facts.planned = None;
    facts.approvals = vec![approval("p", "2026-04-19T00:00:00Z")];
    let decision = decided(&facts, SUNDAY_NIGHT);
    assert_eq!(decision.when, When::NeedsApproval);
    assert!(said(&decision, About::Approval).contains("agree again"));
}
