//! Advisories as a whole: what they list, clear and leave open, and how bad they are.

use super::*;

fn version(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn advisory(vulnerable: &[(&str, &str)]) -> Advisory {
    let vulnerable = vulnerable
        .iter()
        .map(|(range, patched)| (Some((*range).to_owned()), Some((*patched).to_owned())))
        .map(VulnerableParts::from);
    Advisory::new(AdvisoryParts {
        id: "GHSA-aaaa-bbbb-cccc".to_owned(),
        vulnerable: vulnerable.collect(),
        ..Default::default()
    })
    .unwrap()
}

fn sign(affected: &Affected) -> char {
    match affected {
        Affected::Listed(_) => '+',
        Affected::NotListed => '-',
        Affected::CannotDecide(_) => '?',
    }
}

#[test]
fn ranges_without_lower_bound_do_not_condemn_a_version_that_is_named_as_repaired() {
    let ccpr = advisory(&[
        ("< 4.3.19", "4.3.19"),
        ("< 4.4.13", "4.4.13"),
        ("< 4.5.6", "4.5.6"),
    ]);
    for (installed, wanted) in [
        ("4.3.18", '+'),
        ("4.3.19", '?'),
        ("4.4.12", '+'),
        ("4.4.13", '?'),
        ("4.5.6", '-'),
        ("4.2.29", '+'),
    ] {
        assert_eq!(
            sign(&ccpr.affects(&version(installed))),
            wanted,
            "{installed}"
        );
    }
}

#[test]
fn a_range_that_makes_no_sense_is_outweighed_only_by_a_repaired_version_of_the_same_line() {
    let gwhw = advisory(&[
        ("< 4.2.28", "4.2.28"),
        (">= 4.4.0-beta.1, < 4.4.10", "4.4.10"),
        (">= 4.5.0-beta.1, < 4.2.28", "4.5.3"),
    ]);
    for (installed, wanted) in [
        ("4.2.27", '+'),
        ("4.4.12", '-'),
        ("4.5.2", '?'),
        ("4.5.3", '-'),
        ("4.3.20", '?'),
        ("4.6.0", '?'),
    ] {
        assert_eq!(
            sign(&gwhw.affects(&version(installed))),
            wanted,
            "{installed}"
        );
    }
}

#[test]
fn an_advisory_without_ranges_or_grade_is_taken_seriously() {
    let bare = advisory(&[]);
    assert_eq!(
        (bare.severity, bare.severity_missing),
        (Severity::High, true)
    );
    assert_eq!(sign(&bare.affects(&version("4.5.8"))), '?');
    let withdrawn = Advisory {
        withdrawn: true,
        ..bare
    };
    assert_eq!(withdrawn.affects(&version("4.5.8")), Affected::NotListed);
    for (text, severity, missing) in [
        ("moderate", Severity::Medium, false),
        ("weird", Severity::High, true),
    ] {
        let parts = AdvisoryParts {
            id: "ghsa-AAAA-bbbb-cccc".to_owned(),
            severity: Some(text.to_owned()),
            ..Default::default()
        };
        let advisory = Advisory::new(parts).unwrap();
        assert_eq!(
            (advisory.severity, advisory.severity_missing),
            (severity, missing)
        );
        assert_eq!(advisory.id, "GHSA-aaaa-bbbb-cccc");
    }
    let parts = AdvisoryParts {
        id: "x GHSA-aaaa-bbbb-cccc".to_owned(),
        ..Default::default()
    };
    assert!(Advisory::new(parts).is_err());
}

#[test]
fn a_later_repair_of_the_line_forbids_an_all_clear_unless_the_range_begins_later() {
    let early_end = advisory(&[(">= 4.5.0, < 4.5.6", "4.5.8"), ("< 4.2.28", "4.3.4")]);
    for (installed, wanted) in [
        ("4.5.5", '+'),
        ("4.5.6", '?'),
        ("4.5.7", '?'),
        ("4.5.8", '-'),
        ("4.3.3", '?'),
        ("4.3.4", '-'),
        ("4.4.0", '-'),
    ] {
        assert_eq!(
            sign(&early_end.affects(&version(installed))),
            wanted,
            "{installed}"
        );
    }
    let late_begin = advisory(&[(">= 4.5.3, < 4.5.8", "4.5.8")]);
    for (installed, wanted) in [("4.5.2", '-'), ("4.5.3", '+'), ("4.5.8", '-')] {
        assert_eq!(
            sign(&late_begin.affects(&version(installed))),
            wanted,
            "{installed}"
        );
    }
    let in_two_parts = advisory(&[("nonsense", "4.5.3, 4.5.5")]);
    for (installed, wanted) in [("4.5.3", '?'), ("4.5.4", '?'), ("4.5.5", '-')] {
        assert_eq!(
            sign(&in_two_parts.affects(&version(installed))),
            wanted,
            "{installed}"
        );
    }
}

#[test]
fn a_line_that_is_not_named_is_told_from_one_that_is_named_and_outside() {
    let q4g8 = advisory(&[
        (">= 4.5.0, < 4.5.8", "4.5.8"),
        (">= 4.4.0, < 4.4.15", "4.4.15"),
    ]);
    assert_eq!(q4g8.affects(&version("4.3.20")), Affected::NotListed);
    for (line, named) in [
        ("4.3.0", false),
        ("4.4.0", true),
        ("4.5.0", true),
        ("4.6.0", false),
    ] {
        assert_eq!(q4g8.names_line(version(line).line()), named, "{line}");
    }
    let unread = advisory(&[("nonsense", "4.3.21 once search is off")]);
    assert!(unread.names_line(version("4.3.0").line()));
}

#[test]
fn word_and_score_are_weighed_and_the_worse_counts() {
    let graded = |word: Option<&str>, scores: &[(&str, &str)]| {
        let some = |text: &str| Some(text.to_owned());
        Advisory::new(AdvisoryParts {
            id: "GHSA-aaaa-bbbb-cccc".to_owned(),
            severity: word.map(ToOwned::to_owned),
            cvss: scores
                .iter()
                .map(|(vector, score)| CvssParts {
                    vector: some(vector),
                    score: some(score),
                })
                .collect(),
            ..Default::default()
        })
        .unwrap()
    };
    let v3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H";
    for (advisory, severity, missing, why) in [
        (
            graded(Some("low"), &[]),
            Severity::Low,
            false,
            "the publisher says low",
        ),
        (
            graded(Some("high"), &[(v3, "7.5")]),
            Severity::High,
            false,
            "the publisher says high, and CVSS 3.1 gives 7.5",
        ),
        (
            graded(Some("low"), &[(v3, "")]),
            Severity::High,
            false,
            "the publisher says low, but CVSS 3.1 vector gives 7.5, which is high; the worse counts",
        ),
        (
            graded(Some("critical"), &[(v3, "7.5")]),
            Severity::Critical,
            false,
            "the publisher says critical, but CVSS 3.1 gives 7.5, which is high; the worse counts",
        ),
        (
            graded(None, &[(v3, "5.3"), ("CVSS:4.0/AV:N/E:U", "6.9")]),
            Severity::Medium,
            false,
            "the publisher gives no grade; CVSS 4.0 gives 6.9, which is medium",
        ),
        (
            graded(None, &[("", "0.0")]),
            Severity::High,
            true,
            "the publisher gives no grade, so it is taken as high",
        ),
        (
            graded(Some("weird"), &[]),
            Severity::High,
            true,
            "the publisher's grade `weird` is not known, so it is taken as high",
        ),
    ] {
        assert_eq!(
            (advisory.severity, advisory.severity_missing),
            (severity, missing)
        );
        assert_eq!(advisory.why_severity(), why);
    }
}

#[test]
fn every_id_is_its_name_and_attacks_are_told_with_their_source() {
    let advisory = Advisory::new(AdvisoryParts {
        id: "GHSA-aaaa-bbbb-cccc".to_owned(),
        aliases: ["cve-2026-2000", "GHSA-AAAA-bbbb-cccc", "CVE-2026-1000", "?"]
            .map(ToOwned::to_owned)
            .to_vec(),
        description: Some(
            "### Summary\n\nSpam gets through. More.\n\nThis is actively exploited.".to_owned(),
        ),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(advisory.cve.as_deref(), Some("CVE-2026-1000"));
    assert_eq!(advisory.aliases.len(), 2);
    for id in ["CVE-2026-2000", "cve-2026-1000", "ghsa-aaaa-BBBB-cccc"] {
        assert!(advisory.is_called(id), "{id}");
    }
    assert!(!advisory.is_called("CVE-2026-3000") && !advisory.is_called(""));
    assert_eq!(advisory.about.as_deref(), Some("Spam gets through."));
    assert_eq!(advisory.exploited, Exploitation::Reported);
    assert_eq!(
        advisory.exploited_because.as_deref(),
        Some("This is actively exploited.")
    );
}

#[test]
fn an_advisory_about_other_products_only_leaves_mastodon_open() {
    let library = VulnerableParts {
        ecosystem: Some("rubygems".to_owned()),
        package: Some("nokogiri".to_owned()),
        range: Some("< 1.16.2".to_owned()),
        patched: None,
    };
    let mut parts = AdvisoryParts {
        id: "GHSA-aaaa-bbbb-cccc".to_owned(),
        vulnerable: vec![library],
        ..Default::default()
    };
    let only = Advisory::new(parts.clone()).unwrap();
    assert_eq!(only.other_products, ["rubygems nokogiri < 1.16.2"]);
    assert_eq!(sign(&only.affects(&version("4.5.8"))), '?');
    parts
        .vulnerable
        .push((Some("< 4.5.8".to_owned()), None).into());
    let both = Advisory::new(parts).unwrap();
    assert_eq!(sign(&both.affects(&version("4.5.7"))), '+');
    assert_eq!(sign(&both.affects(&version("4.5.8"))), '-');
}

#[test]
fn an_advisory_survives_being_stored() {
    let advisory = advisory(&[("= 4.5.0-beta1", "4.5.0-beta.2, weird"), ("nonsense", "")]);
    let json = serde_json::to_string(&advisory).unwrap();
    assert_eq!(serde_json::from_str::<Advisory>(&json).unwrap(), advisory);
    // As the first version of this program stored it.
    let old = r#"{"id":"GHSA-aaaa-bbbb-cccc","cve":"CVE-2026-1000","severity":"high","severity_missing":false,
        "summary":"","url":null,"published_at":null,"updated_at":null,"withdrawn":false,
        "vulnerable":[{"range":"< 4.5.8","patched":["4.5.8"]}]}"#;
    let old: Advisory = serde_json::from_str(old).unwrap();
    assert_eq!(sign(&old.affects(&version("4.5.7"))), '+');
    assert!(old.is_called("cve-2026-1000"));
    assert_eq!(old.why_severity(), "the publisher says high");
}
