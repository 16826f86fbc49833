//! What the fuzzers feed, and what must hold for any input. `tests/fuzz_corpus.rs` replays the kept inputs with it.

use std::io;
use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mastopatch::adapters::github::{parse_advisories, parse_releases};
use mastopatch::config;
use mastopatch::domain::advisory::{Advisory, AdvisoryParts, Affected, Severity, VersionRange};
use mastopatch::domain::policy::Class;
use mastopatch::domain::release::{Release, ReleaseParts, advisory_ids};
use mastopatch::domain::version::ReleaseVersion;
use mastopatch::domain::window::{Blackout, Calendar, Days, Schedule, Strength, Window};

/// A policy for configurations that name one.
const POLICY: &str = include_str!("../../../policies/security-first.toml");

/// Versions at which ranges are asked: ends and beginnings of lines, a candidate, a fork, and one that is to come.
const INSTALLED: [&str; 8] = [
    "3.5.19",
    "4.2.0-rc.1",
    "4.2.29",
    "4.3.20",
    "4.5.0",
    "4.5.8+glitch",
    "4.7.4",
    "99.0.0",
];

/// Berlin, Lord Howe's half hour, and Nuuk's hour before midnight; by rule, so that no database changes what is found.
const ZONES: [&str; 3] = [
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
];

/// A release with the input as its text: every id in it makes it a security release.
pub(crate) fn release_body(data: &[u8]) {
    let Ok(body) = str::from_utf8(data) else {
        return;
    };
    let release = Release::new(ReleaseParts {
        tag: "v4.5.8".to_owned(),
        published_at: Some("2026-03-24T14:00:00Z".parse().unwrap()),
        body: body.to_owned(),
        ..Default::default()
    })
    .unwrap();
    let ids = advisory_ids(body);
    assert_eq!(release.ids, ids);
    assert!(ids.is_empty() || release.is_security());
    assert_eq!(release.described, !body.trim().is_empty());
    for id in &ids {
        assert_eq!(advisory_ids(id).iter().next(), Some(id));
    }
    stored(&release);
}

/// A range with the input as its text, alone and in an advisory.
pub(crate) fn range(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let range = VersionRange::new(text);
    assert_eq!(range.text(), text);
    let listed_with = |range: &str, patched: &str| {
        Advisory::new(AdvisoryParts {
            id: "GHSA-aaaa-bbbb-cccc".to_owned(),
            vulnerable: vec![(Some(range.to_owned()), Some(patched.to_owned())).into()],
            ..Default::default()
        })
        .unwrap()
    };
    let advisory = listed_with(text, "");
    let repaired = listed_with("", text);
    // One more unreadable alternative never clears anything.
    let with_more = VersionRange::new(&format!("{text} || nobody knows"));
    for installed in INSTALLED {
        let installed: ReleaseVersion = installed.parse().unwrap();
        let answer = range.contains(&installed);
        // Without a repaired version, an advisory of one range says what the range says.
        assert_eq!(advisory.affects(&installed), answer);
        if matches!(answer, Affected::Listed(_)) && !installed.is_pre_release() {
            assert!(text.trim() != "", "nothing lists nothing");
        }
        // What is read as repaired in a line never clears a version before it.
        let fixes: Vec<_> = repaired.patched().collect();
        let cleared = repaired.affects(&installed) == Affected::NotListed;
        assert!(
            !cleared
                || fixes
                    .iter()
                    .any(|fix| fix.line() == installed.line() && !installed.precedes(fix))
        );
        assert_ne!(with_more.contains(&installed), Affected::NotListed);
    }
    if let Ok(version) = text.parse::<ReleaseVersion>() {
        let exactly = format!("= {text}");
        assert_eq!(
            VersionRange::new(&exactly).contains(&version),
            Affected::Listed(exactly)
        );
        assert!(range.names_line(version.line()) || version.is_fork());
    }
    stored(&range);
}

/// A version: what is written is read back as the same, and the order makes sense.
pub(crate) fn version(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let partial = ReleaseVersion::parse_partial(text);
    let Ok(version) = text.parse::<ReleaseVersion>() else {
        if let Ok((version, partial)) = partial {
            assert!(partial && version.patch() == 0);
        }
        return;
    };
    assert_eq!(partial, Ok((version.clone(), false)));
    assert_eq!(version.to_string().parse(), Ok(version.clone()));
    assert_eq!(
        version
            .tag()
            .parse::<ReleaseVersion>()
            .unwrap()
            .cmp_precedence(&version),
        std::cmp::Ordering::Equal
    );
    assert_eq!(version.step_to(&version), None);
    assert!(!version.without_pre_release().precedes(&version));
    for other in INSTALLED {
        let other: ReleaseVersion = other.parse().unwrap();
        assert_eq!(version.precedes(&other), version.step_to(&other).is_some());
        assert!(!(version.precedes(&other) && other.precedes(&version)));
        assert_eq!(version.cmp(&other), other.cmp(&version).reverse());
    }
    stored(&version);
}

/// A page of GitHub's, read as releases and as advisories.
pub(crate) fn feed_json(data: &[u8]) {
    let Ok(body) = str::from_utf8(data) else {
        return;
    };
    if let Ok((releases, _problems)) = parse_releases(body) {
        releases.iter().for_each(stored);
    }
    let Ok((advisories, _problems)) = parse_advisories(body) else {
        return;
    };
    for advisory in &advisories {
        assert!(advisory.is_called(&advisory.id.to_ascii_lowercase()));
        assert!(!advisory.severity_missing || advisory.severity == Severity::High);
        assert!(!advisory.why_severity().is_empty());
        for score in advisory.cvss.iter().filter_map(|cvss| cvss.score) {
            assert!(advisory.severity >= score.grade());
        }
        for installed in INSTALLED {
            let installed: ReleaseVersion = installed.parse().unwrap();
            let answer = advisory.affects(&installed);
            let says_nothing = advisory.vulnerable.is_empty() && !advisory.withdrawn;
            assert!(!says_nothing || matches!(answer, Affected::CannotDecide(_)));
        }
        stored(advisory);
    }
}

/// A configuration file; the policy it names is the standard one, its secrets are all the same.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let file = |path: &Path| match path.extension() {
        Some(end) if end == "toml" => Ok(POLICY.to_owned()),
        Some(_) | None => Err(io::ErrorKind::NotFound.into()),
    };
    match config::parse(Path::new("/etc/mastopatch/mastopatch.toml"), text, file) {
        Ok(settings) => {
            assert!(!settings.instances.is_empty());
            assert!(settings.state_dir.is_absolute());
        }
        Err(errors) => explained(&errors),
    }
}

/// A policy file.
pub(crate) fn policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match config::parse_policy(Path::new("policy.toml"), text) {
        Ok(policy) => {
            for window in policy.schedule().windows() {
                assert!(window.lasts().is_positive());
            }
        }
        Err(errors) => explained(&errors),
    }
}

/// Up to four lines: one of a calendar, the days of a yearly blackout, a moment, and an instant as seconds since 1970.
pub(crate) fn calendar(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (line, days, moment, second) = (part(), part(), part(), part());
    let line = match line.parse::<Calendar>() {
        Ok(read) => {
            let written = read.to_string();
            assert_eq!(written.parse(), Ok(read.clone()));
            assert_eq!(written.parse::<Calendar>().unwrap().to_string(), written);
            // Whatever is read is plain, and ends in a time of day.
            assert!(line.is_ascii() && line.ends_with(&written[written.len() - 5..]));
            Some(read)
        }
        Err(err) => {
            assert!(err.at <= line.len() && line.is_char_boundary(err.at));
            assert!(!err.to_string().is_empty());
            None
        }
    };
    let days = days.parse::<Days>().ok();
    let once = Days::moment(moment).ok().and_then(|from| {
        let to = from.checked_add(SignedDuration::from_hours(30)).ok()?;
        Some(Days::once(from, to))
    });
    let second = second.trim().parse().unwrap_or_default();
    let instant = Timestamp::from_second(second).unwrap_or_default();
    for zone in ZONES {
        let zone = TimeZone::posix(zone).unwrap();
        let lasts = SignedDuration::from_hours(23);
        let all = Class::ALL.into_iter().collect();
        let windows = line.clone().map(|line| {
            let window = Window::new("w".to_owned(), vec![line], lasts, zone.clone(), all);
            window
                .unwrap()
                .with_jitter(SignedDuration::from_hours(2), "host")
                .unwrap()
        });
        let blackouts = days.into_iter().chain(once).map(|days| {
            let (id, reason) = ("b".to_owned(), "why".to_owned());
            Blackout::new(id, days, Strength::Hard, reason, zone.clone()).unwrap()
        });
        let schedule = Schedule::new(windows.into_iter().collect(), blackouts.collect());
        for at in [Timestamp::MIN, instant, Timestamp::MAX] {
            scheduled(&schedule, at);
        }
    }
}

fn scheduled(schedule: &Schedule, at: Timestamp) {
    let days = SignedDuration::from_hours(40 * 24);
    let from = at.checked_sub(days).unwrap_or(Timestamp::MIN);
    let to = at.checked_add(days).unwrap_or(Timestamp::MAX);
    for window in schedule.windows() {
        let openings = window.openings(from, to);
        assert!(openings.is_sorted());
        for opening in openings {
            assert!(opening.start < to && opening.end > from && window.contains(opening.start));
            assert!(opening.end.duration_since(opening.start) <= window.lasts());
        }
        assert_eq!(window.current(at).is_some(), window.contains(at));
        assert!(window.next_opening(at).is_none_or(|next| next.start > at));
        assert!(window.last_opening(at).is_none_or(|last| last.start < at));
    }
    let none = std::collections::BTreeSet::new();
    let slots = schedule.slots(Class::Patch, &none, from, to);
    for pair in slots.windows(2) {
        assert!(pair[0].opening.end < pair[1].opening.start);
    }
    for slot in &slots {
        assert!(schedule.blackouts_at(slot.opening.start, &none).is_empty());
    }
    let needed = SignedDuration::from_mins(45);
    if let Some((start, slot)) = schedule.first_start(Class::Patch, &none, at, needed) {
        assert!(start >= at && slot.opening.holds(start));
        assert!(slot.opening.end.duration_since(start) >= needed);
    }
    if let Some((start, _)) = schedule.first_free(&none, at, needed) {
        assert!(start >= at && schedule.blackouts_at(start, &none).is_empty());
    }
}

fn explained(errors: &config::ConfigErrors) {
    assert!(!errors.all().is_empty());
    assert!(!errors.to_string().is_empty());
}

/// What was read survives being stored.
fn stored<T>(value: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
}
