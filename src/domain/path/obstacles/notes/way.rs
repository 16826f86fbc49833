//! Which releases are on the way, and which ought to be.

use std::collections::BTreeSet;

use crate::domain::release::{Release, UpgradeNotes};
use crate::domain::version::{ReleaseLine, ReleaseVersion};

/// The releases on the way, oldest first, with what the running one said.
pub(super) struct Way<'a> {
    pub(super) releases: Vec<&'a Release>,
    pub(super) running: Option<&'a UpgradeNotes>,
}

/// The releases after the second version and up to the third. What was taken back is among them: the next release is built
/// upon it. Pre-releases are on the way only to another pre-release.
pub(super) fn way<'a>([from, since, to]: [&ReleaseVersion; 3], known: &'a [Release]) -> Way<'a> {
    let is_on_it = |release: &&Release| {
        let version = &release.version;
        let final_or_asked_for = !(release.pre_release || version.is_pre_release())
            || (to.is_pre_release() && version.line() == to.line())
            || version == to;
        version.build().is_none()
            && final_or_asked_for
            && since.precedes(version)
            && !to.precedes(version)
    };
    let mut releases: Vec<&Release> = known.iter().filter(is_on_it).collect();
    releases.sort_by(|a, b| (&a.version, &a.tag).cmp(&(&b.version, &b.tag)));
    let running = known
        .iter()
        .filter(|release| release.version == *from)
        .min_by(|a, b| a.tag.cmp(&b.tag));
    Way {
        releases,
        running: running.map(|release| &release.notes),
    }
}

/// Versions on a way, given with its releases oldest first, that must have been released and are not known: the target,
/// the first of every line entered, and those that the steps of another one start from.
pub(super) fn missing(
    since: &ReleaseVersion,
    to: &ReleaseVersion,
    releases: &[&Release],
) -> BTreeSet<ReleaseVersion> {
    let mut missing: BTreeSet<ReleaseVersion> = BTreeSet::new();
    if !since.precedes(to) {
        return missing;
    }
    let is_known = |version: &ReleaseVersion| {
        releases
            .binary_search_by(|release| release.version.cmp_precedence(version))
            .is_ok()
    };
    let lines: BTreeSet<ReleaseLine> = releases
        .iter()
        .map(|release| release.version.line())
        .chain([to.line()])
        .filter(|line| *line > since.line())
        .collect();
    let firsts = lines
        .iter()
        .filter_map(|line| format!("{line}.0").parse().ok());
    let starts = releases
        .iter()
        .filter_map(|release| release.notes.starts_from.clone());
    let on_the_way = |version: &ReleaseVersion| since.precedes(version) && !to.precedes(version);
    missing.extend(
        firsts
            .chain(starts)
            .chain([to.clone()])
            .filter(|version| on_the_way(version) && !is_known(version)),
    );
    missing
}
