//! The ranges of real advisories, against a second and simpler reading of the same texts.

use mastopatch::adapters::github::parse_advisories;
use mastopatch::domain::advisory::{Advisory, Affected, Exploitation, Severity};
use mastopatch::domain::version::ReleaseVersion;
use serde_json::Value;

use crate::known::{ADVISORIES, RELEASES, text, version};

/// A version as four numbers; the fourth orders candidates before the final release.
type Numbers = (u64, u64, u64, u64);

const FINAL: u64 = u64::MAX;

fn read() -> Vec<Advisory> {
    let (advisories, problems) = parse_advisories(ADVISORIES).unwrap();
    assert_eq!(problems, Vec::<String>::new());
    advisories
}

fn called(id: &str) -> Advisory {
    let mut found = read().into_iter().filter(|advisory| advisory.is_called(id));
    found.next().unwrap_or_else(|| panic!("{id} is not there"))
}

fn sign(affected: &Affected) -> char {
    match affected {
        Affected::Listed(_) => '+',
        Affected::NotListed => '-',
        Affected::CannotDecide(_) => '?',
    }
}

// The second reading: plain work on the text, which knows nothing of the program's types.

fn numbers(written: &str) -> Option<Numbers> {
    let written = written.trim().trim_start_matches('v');
    let cut = written
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(written.len());
    let (core, candidate) = written.split_at(cut);
    let parts: Vec<u64> = core
        .trim_end_matches('-')
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let rank = if candidate.is_empty() {
        FINAL
    } else {
        let digits: String = candidate.chars().filter(char::is_ascii_digit).collect();
        let base = match candidate.get(..1)? {
            "a" => 0,
            "b" => 1_000,
            "r" => 2_000,
            _ => return None,
        };
        base + digits.parse::<u64>().ok()?
    };
    match parts.as_slice() {
        [major, minor] => Some((*major, *minor, 0, rank)),
        [major, minor, patch] => Some((*major, *minor, *patch, rank)),
        _ => None,
    }
}

/// Whether a part of a range names the version; `None` for a part that is no bound.
fn bound_names(part: &str, installed: Numbers) -> Option<bool> {
    let part = part.trim();
    let operator: String = part.chars().take_while(|c| "<>=".contains(*c)).collect();
    let bound = numbers(&part[operator.len()..])?;
    // A candidate of the version at which a range begins holds the same faulty code.
    let without_candidate = (installed.0, installed.1, installed.2, FINAL);
    Some(match operator.as_str() {
        "<" => installed < bound,
        "<=" => installed <= bound,
        ">" => without_candidate > bound,
        ">=" => without_candidate >= bound,
        "=" | "==" => installed == bound,
        _ => return None,
    })
}

fn bound_value(part: &str, signs: &str) -> Option<Numbers> {
    let part = part.trim();
    if !part.starts_with(|c| signs.contains(c)) {
        return None;
    }
    numbers(part.trim_start_matches(['<', '>', '=']))
}

/// The most pessimistic reading: a range with anything odd names all of the lines it mentions, and none names all.
fn text_names(range: Option<&str>, installed: Numbers) -> bool {
    let Some(range) = range.filter(|range| !range.trim().is_empty()) else {
        return true;
    };
    let answers: Vec<_> = range
        .split(',')
        .map(|part| bound_names(part, installed))
        .collect();
    let lower = range
        .split(',')
        .filter_map(|part| bound_value(part, ">"))
        .max();
    let upper = range
        .split(',')
        .filter_map(|part| bound_value(part, "<"))
        .min();
    let impossible = matches!((lower, upper), (Some(lower), Some(upper)) if lower >= upper);
    if impossible || answers.contains(&None) {
        return range.split(',').any(|part| {
            let bare = part.trim().trim_start_matches(['<', '>', '=']);
            numbers(bare).is_none_or(|bound| (bound.0, bound.1) == (installed.0, installed.1))
        });
    }
    answers.into_iter().all(|answer| answer == Some(true))
}

fn entries(advisory: &Value) -> impl Iterator<Item = (Option<String>, Option<String>)> + '_ {
    let list = advisory["vulnerabilities"].as_array().unwrap();
    list.iter().map(|entry| {
        (
            text(entry, "vulnerable_version_range"),
            text(entry, "patched_versions"),
        )
    })
}

fn patched_not_newer(advisory: &Value, installed: Numbers) -> bool {
    entries(advisory)
        .filter_map(|(_, patched)| patched)
        .flat_map(|patched| patched.split(',').map(numbers).collect::<Vec<_>>())
        .flatten()
        .any(|fix| (fix.0, fix.1) == (installed.0, installed.1) && fix <= installed)
}

#[test]
fn no_version_that_a_range_names_is_ever_called_not_listed() {
    let raw: Vec<Value> = serde_json::from_str(ADVISORIES).unwrap();
    let releases: Vec<Value> = serde_json::from_str(RELEASES).unwrap();
    let advisories = read();
    let (mut named, mut cleared, mut asked) = (0, 0, 0);
    for (raw, advisory) in raw.iter().zip(&advisories) {
        assert_eq!(text(raw, "ghsa_id").as_ref(), Some(&advisory.id));
        for release in &releases {
            let tag = text(release, "tag_name").unwrap();
            let plain = numbers(&tag).unwrap();
            let says = entries(raw).any(|(range, _)| text_names(range.as_deref(), plain));
            let answer = advisory.affects(&tag_version(&tag));
            asked += 1;
            if says && answer == Affected::NotListed {
                assert!(
                    patched_not_newer(raw, plain),
                    "{} names {tag}, and nothing of its line repairs it",
                    advisory.id
                );
                cleared += 1;
            }
            named += usize::from(says);
            // And the other way round: nothing is listed that the plain text does not name.
            if matches!(answer, Affected::Listed(_)) {
                assert!(says, "{} does not name {tag}", advisory.id);
            }
        }
    }
    // The comparison would prove nothing if hardly anything was named, or nearly all was cleared.
    assert!(asked > 6_000 && named > 1_500, "{asked} {named}");
    assert!(cleared * 4 < named, "{cleared} of {named}");
}

fn tag_version(tag: &str) -> ReleaseVersion {
    ReleaseVersion::parse_partial(tag).unwrap().0
}

/// Real advisories with something odd about them, and what is said of versions at the edges.
const ODD: &[(&str, &str, &str)] = &[
    (
        "GHSA-ccm4-vgcc-73hp",
        "a bound of two numbers",
        "1.2.2- 1.3.0+ 3.5.8+ 3.5.9- 4.0.4+ 4.0.5- 4.1.2+ 4.1.3- 4.2.0-",
    ),
    (
        "GHSA-9928-3cp5-93fm",
        "begins in 3.5",
        "3.4.10- 3.5.0-rc.1? 3.5.8+ 4.0.4+ 4.1.3-",
    ),
    (
        "GHSA-hcqf-fw2r-52g4",
        "candidates in the old spelling",
        "4.1.9- 4.2.0-beta.1+ 4.2.0-rc.1+ 4.2.0-rc.2- 4.2.0-",
    ),
    (
        "GHSA-v3xf-c9qf-j667",
        "candidates in the old spelling",
        "3.5.13+ 4.0.9+ 4.1.7+ 4.1.8- 4.2.0-beta.3+ 4.2.0-",
    ),
    (
        "GHSA-2693-xr3m-jhqr",
        "the prose names another version",
        "3.5.13- 4.0.9+ 4.1.7+ 4.1.8- 4.2.0-rc.1+ 4.2.7-",
    ),
    (
        "GHSA-vm39-j3vx-pch3",
        "newest first",
        "3.5.17+ 4.0.13+ 4.1.13+ 4.2.5+ 4.2.6-",
    ),
    (
        "GHSA-7w3c-p9j8-mq3x",
        "an empty range",
        "3.5.17+ 4.1.13+ 4.1.14- 4.2.0? 4.2.5? 4.2.6- 4.3.0?",
    ),
    (
        "GHSA-xjvf-fm67-4qc3",
        "covers a line without a repair",
        "2.5.2- 2.6.0+ 4.0.15+ 4.1.17+ 4.1.18- 4.2.9+ 4.2.10- 4.3.0-",
    ),
    (
        "GHSA-84ch-6436-c7mg",
        "the prose includes the repaired version",
        "3.1.4- 3.1.5+ 4.2.23+ 4.2.24- 4.3.10+ 4.3.11- 4.4.2+ 4.4.3-",
    ),
    (
        "GHSA-7gwh-mw97-qjgp",
        "the product is misspelt",
        "4.1.25+ 4.2.26+ 4.2.27- 4.3.13+ 4.4.5+ 4.4.6- 4.5.0-",
    ),
    (
        "GHSA-8h43-rcqj-wpc6",
        "a single version",
        "4.3.14- 4.4.7+ 4.4.8- 4.5.0-beta.1+ 4.5.0-beta.2- 4.5.0-",
    ),
    (
        "GHSA-gwhw-gcjx-72v8",
        "an inverted range",
        "4.2.27+ 4.2.28- 4.3.14+ 4.3.15- 4.4.9+ 4.4.10- 4.5.0? 4.5.2? 4.5.3- 4.6.0?",
    ),
    (
        "GHSA-ww85-x9cp-5v24",
        "no lower bound",
        "4.2.28+ 4.3.16+ 4.3.17- 4.4.10+ 4.5.3+ 4.5.4-",
    ),
    (
        "GHSA-5h2f-wg8j-xqwp",
        "hits a dead line",
        "4.2.29+ 4.3.17+ 4.3.18- 4.4.11+ 4.5.4+ 4.5.5- 4.6.0-",
    ),
    (
        "GHSA-gg8q-rcg7-p79g",
        "hits a dead line",
        "4.2.29+ 4.3.17+ 4.3.18- 4.4.11+ 4.5.4+ 4.5.5-",
    ),
    (
        "GHSA-6x3w-9g92-gvf3",
        "hits a dead line",
        "4.2.29+ 4.3.17+ 4.3.18- 4.4.11+ 4.5.4+ 4.5.5-",
    ),
    (
        "GHSA-f3q8-7vw3-69v4",
        "hits a dead line",
        "4.2.29+ 4.3.17+ 4.3.18- 4.4.11+ 4.5.4+ 4.5.5-",
    ),
    (
        "GHSA-ccpr-m53r-mfwr",
        "three ranges without lower bound",
        "4.2.29+ 4.3.18+ 4.3.19? 4.4.12+ 4.4.13? 4.5.5+ 4.5.6- 4.6.0-",
    ),
    (
        "GHSA-qgmm-vr4c-ggjg",
        "CVSS 4 only",
        "4.3.20- 4.4.13+ 4.4.14- 4.5.6+ 4.5.7-",
    ),
    (
        "GHSA-46w6-g98f-wxqm",
        "CVSS 4 only",
        "4.3.20- 4.4.13+ 4.4.14- 4.5.6+ 4.5.7-",
    ),
    (
        "GHSA-xqw8-4j56-5hj6",
        "newest first",
        "4.2.29+ 4.3.20+ 4.3.21- 4.4.14+ 4.5.7+ 4.5.8-",
    ),
    (
        "GHSA-q4g8-82c5-9h33",
        "a branch is forgotten",
        "4.3.20- 4.3.21- 4.4.14+ 4.4.15- 4.5.7+ 4.5.8-",
    ),
    (
        "GHSA-x2rc-v5wx-g3m5",
        "no range at all",
        "4.2.20? 4.3.7? 4.3.8- 4.3.9- 4.4.0?",
    ),
    (
        "GHSA-jpxp-r43f-rhvx",
        "no range at all",
        "4.1.20? 4.2.12? 4.2.13- 4.3.0- 4.4.0?",
    ),
    (
        "GHSA-c2r5-cfqr-c553",
        "no range at all, no word, a CVE id",
        "4.1.16? 4.1.17- 4.2.8? 4.2.9- 4.3.0?",
    ),
];

#[test]
fn odd_advisories_get_the_answer_they_allow() {
    let mut wrong = Vec::new();
    for (id, odd, cases) in ODD {
        let advisory = called(id);
        for case in cases.split(' ') {
            let (installed, wanted) = case.split_at(case.len() - 1);
            let answer = advisory.affects(&version(installed));
            if sign(&answer).to_string() != wanted {
                wrong.push(format!("{id} ({odd}): {installed}: {answer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn real_grades_scores_and_words_about_attacks_are_read() {
    for (id, severity, missing, why) in [
        (
            "GHSA-9928-3cp5-93fm",
            Severity::Critical,
            false,
            "the publisher says critical, and CVSS 3.1 gives 10.0",
        ),
        (
            "CVE-2026-33869",
            Severity::Medium,
            false,
            "the publisher says medium, and CVSS 3.1 gives 4.8",
        ),
        (
            "GHSA-x2rc-v5wx-g3m5",
            Severity::High,
            true,
            "the publisher gives no grade, so it is taken as high",
        ),
    ] {
        let advisory = called(id);
        assert_eq!(
            (advisory.severity, advisory.severity_missing),
            (severity, missing),
            "{id}"
        );
        assert_eq!(advisory.why_severity(), why);
    }
    for advisory in read() {
        assert_eq!(
            advisory.exploited,
            Exploitation::NotKnown,
            "{}",
            advisory.id
        );
        assert_eq!(advisory.other_products, Vec::<String>::new());
        assert!(advisory.about.is_some(), "{}", advisory.id);
    }
    let forgotten = called("GHSA-q4g8-82c5-9h33");
    assert!(!forgotten.names_line(version("4.3.0").line()));
    assert!(forgotten.names_line(version("4.4.0").line()));
}
