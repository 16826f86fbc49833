//! Notices for tests.

use jiff::Timestamp;

use super::{Cause, DeadlineAtRisk, Notice, Start};
use crate::domain::advisory::Severity;

/// When the sample deadline is.
pub(crate) const FORCED_BY: &str = "2026-11-27T14:00:00Z";

/// What runs on a deadline of `social.example`, for the update from 4.5.2 to 4.5.4.
pub(crate) fn risk(start: Start) -> DeadlineAtRisk {
    DeadlineAtRisk {
        instance: "social.example".to_owned(),
        from: "4.5.2".to_owned(),
        to: "4.5.4".to_owned(),
        rule: Some("security".to_owned()),
        advisories: vec!["GHSA-aaaa-bbbb-cccc".to_owned()],
        severity: Some(Severity::High),
        exploited: false,
        forced_by: FORCED_BY.parse().unwrap(),
        wanted_by: "Fri 2026-11-27 15:00 CET".to_owned(),
        is_over: false,
        start,
        causes: [Cause::Window].into(),
        reasons: vec![
            "The next window that fits is `sunday-night`, from Sun 2026-11-29 02:00 CET to Sun 2026-11-29 05:00 CET.".to_owned(),
        ],
        url: Some("https://github.com/mastodon/mastodon/releases/tag/v4.5.4".to_owned()),
    }
}

/// The sample deadline as a notice.
pub(crate) fn at_risk(start: Start) -> Notice {
    Notice::DeadlineAtRisk(Box::new(risk(start)))
}

/// Starts on the Sunday after the sample deadline.
pub(crate) fn on_sunday() -> Start {
    Start::At("Sun 2026-11-29 02:00 CET".to_owned())
}

/// A configuration with these mistakes.
pub(crate) fn refused(mistakes: &[&str]) -> Notice {
    let mistakes: Vec<String> = mistakes.iter().map(|&text| text.to_owned()).collect();
    let since: Timestamp = "2026-11-20T08:00:00Z".parse().unwrap();
    Notice::config_refused(&["social.example"], &mistakes, since)
}
