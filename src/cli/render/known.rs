//! Lists of advisories and releases.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::advisory::{Advisory, Affected};
use crate::domain::release::Release;
use crate::domain::report::words::clean;
use crate::domain::version::ReleaseVersion;

use super::{lines_of, table};

/// One advisory, and what it says about a version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AdvisoryAnswer<'a> {
    /// The advisory.
    pub advisory: &'a Advisory,
    /// What it says about the version.
    pub affected: Affected,
    /// Whether it counts for the version, and why not where it does not.
    pub counts: bool,
    /// The first release of the version's line that repairs it.
    pub repaired_in: Option<ReleaseVersion>,
}

/// Advisories as a table, with the reason under each that allows no answer.
pub fn advisories(
    version: &ReleaseVersion,
    n_known: usize,
    answers: &[AdvisoryAnswer<'_>],
) -> String {
    if answers.is_empty() {
        return format!("None of the {n_known} known advisories counts for {version}.");
    }
    let mut rows = table(&[
        "advisory",
        "grade",
        "published",
        "about this version",
        "repaired in",
    ]);
    for answer in answers {
        let advisory = answer.advisory;
        let published = advisory
            .published_at
            .map(|at| at.strftime("%Y-%m-%d").to_string());
        let says = match (&answer.affected, answer.counts) {
            (_, _) if advisory.withdrawn => "withdrawn".to_owned(),
            (Affected::Listed(range), _) => format!("listed: {}", clean(range)),
            (Affected::CannotDecide(_), true) => "cannot decide".to_owned(),
            (Affected::CannotDecide(_), false) => "its past".to_owned(),
            (Affected::NotListed, true) => "named by the notes only".to_owned(),
            (Affected::NotListed, false) => "not listed".to_owned(),
        };
        let exploited = if advisory.is_exploited() { "!" } else { "" };
        rows.add_row([
            advisory.id.clone(),
            format!("{}{exploited}", advisory.severity),
            published.unwrap_or_else(|| "?".to_owned()),
            says,
            answer
                .repaired_in
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ]);
    }
    let mut text = format!(
        "{} of the {n_known} known advisories, for {version}:\n\n{}",
        answers.len(),
        lines_of(rows, &[])
    );
    for answer in answers.iter().filter(|answer| answer.counts) {
        if let Affected::CannotDecide(why) = &answer.affected {
            text.push_str("\n\n");
            text.push_str(&answer.advisory.id);
            text.push_str(": ");
            text.push_str(&clean(why));
        }
    }
    text
}

/// Releases as a table.
pub fn releases(releases: &[(&Release, Vec<String>)]) -> String {
    if releases.is_empty() {
        return "No such release is known.".to_owned();
    }
    let mut rows = table(&["version", "published", "what is said of it"]);
    for (release, marks) in releases {
        let version = release.version.to_string();
        let published = release.published_at.strftime("%Y-%m-%d").to_string();
        rows.add_row([version, published, clean(&marks.join("; "))]);
    }
    lines_of(rows, &[])
}
