//! Everything that has been published, as one value that all instances of a host share.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::domain::advisory::Advisory;
use crate::domain::path::lines::known;
use crate::domain::release::Release;
use crate::domain::version::{ReleaseLine, ReleaseVersion};

/// Releases and advisories with what is needed to find them fast.
///
/// The order in which they are handed in makes no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// By precedence, then by tag.
    releases: Vec<Release>,
    /// By id.
    advisories: Vec<Advisory>,
    /// Versions that a second source calls urgent.
    urgent: BTreeSet<ReleaseVersion>,
    /// Last days of support, as a second source names them, or as they follow from the habit of [`ends_by_rule`].
    ends: BTreeMap<ReleaseLine, Date>,
    /// What could not be read or fetched, as sentences. While there are any, nothing is called "not listed".
    problems: Vec<String>,
    /// Why this host's clock is not to be trusted, as a sentence: nothing starts by itself then.
    clock_doubt: Option<String>,
    /// Every line of which a final release was ever seen, taken back or not.
    lines: BTreeSet<ReleaseLine>,
    /// Places of what may be installed, by line, oldest first, each version once.
    finals: BTreeMap<ReleaseLine, Vec<usize>>,
    /// Places of advisories, by every id they have.
    ids: BTreeMap<String, usize>,
    /// For each advisory, by its place: the lines of releases that it speaks of.
    speaks_of: Vec<BTreeSet<ReleaseLine>>,
    /// For each advisory, by its place: places of the releases that name it, oldest version first.
    naming: Vec<Vec<usize>>,
}

impl Published {
    /// Sorts and indexes.
    pub fn new(mut releases: Vec<Release>, mut advisories: Vec<Advisory>) -> Self {
        // Two of the same name are an oddity; which comes first must still not depend on who found them.
        releases.sort_by(|a, b| {
            let names = (&a.version, &a.tag).cmp(&(&b.version, &b.tag));
            names.then_with(|| text_of(a).cmp(&text_of(b)))
        });
        advisories.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| text_of(a).cmp(&text_of(b))));
        let mut finals: BTreeMap<ReleaseLine, Vec<usize>> = BTreeMap::new();
        let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut last: Option<&ReleaseVersion> = None;
        for (place, release) in releases.iter().enumerate() {
            for id in &release.ids {
                named.entry(id).or_default().push(place);
            }
            let usable = !release.pre_release
                && release.version.build().is_none()
                && release.gone_since.is_none();
            if usable && last != Some(&release.version) {
                finals
                    .entry(release.version.line())
                    .or_default()
                    .push(place);
                last = Some(&release.version);
            }
        }
        // What was taken back was a line, too.
        let mut releases_of_lines: BTreeMap<ReleaseLine, Timestamp> = BTreeMap::new();
        for release in releases.iter().filter(|release| {
            !release.version.is_pre_release() && release.version.build().is_none()
        }) {
            let first = releases_of_lines
                .entry(release.version.line())
                .or_insert(release.published_at);
            *first = release.published_at.min(*first);
        }
        let every_line: BTreeSet<ReleaseLine> = releases
            .iter()
            .map(|release| release.version.line())
            .collect();
        let mut ids = BTreeMap::new();
        let mut speaks_of = Vec::new();
        let mut naming = Vec::new();
        for (place, advisory) in advisories.iter().enumerate() {
            let mut places: Vec<usize> = Vec::new();
            for id in advisory.names() {
                ids.entry(id.to_owned()).or_insert(place);
                places.extend(named.get(id).into_iter().flatten());
            }
            places.sort_unstable();
            places.dedup();
            naming.push(places);
            let spoken = every_line.iter().filter(|line| advisory.names_line(**line));
            speaks_of.push(spoken.copied().collect());
        }
        Self {
            releases,
            advisories,
            ends: ends_by_rule(&releases_of_lines),
            lines: releases_of_lines.into_keys().collect(),
            finals,
            ids,
            naming,
            speaks_of,
            ..Self::default()
        }
    }

    /// The same, with what a second source says.
    #[must_use]
    pub fn with_second_source(
        mut self,
        urgent: BTreeSet<ReleaseVersion>,
        ends: BTreeMap<ReleaseLine, Date>,
    ) -> Self {
        self.urgent = urgent;
        self.ends.extend(ends);
        self
    }

    /// The same, with what could not be read or fetched.
    #[must_use]
    pub fn with_problems(mut self, mut problems: Vec<String>) -> Self {
        problems.sort();
        problems.dedup();
        self.problems = problems;
        self
    }

    /// The same, with the reason why this host's clock is not to be trusted.
    #[must_use]
    pub fn with_clock_doubt(mut self, doubt: Option<String>) -> Self {
        self.clock_doubt = doubt;
        self
    }

    /// Why this host's clock is not to be trusted: what was published is dated after it.
    pub fn clock_doubt(&self) -> Option<&str> {
        self.clock_doubt.as_deref()
    }

    /// Every release, by precedence.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// Every advisory, by id.
    pub fn advisories(&self) -> &[Advisory] {
        &self.advisories
    }

    /// What could not be read or fetched.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Last days of support beside those that are known by heart: as a second source names them, or by habit.
    pub const fn ends(&self) -> &BTreeMap<ReleaseLine, Date> {
        &self.ends
    }

    /// The release of this version; where there are several, the first by tag that is still listed.
    pub fn release(&self, version: &ReleaseVersion) -> Option<&Release> {
        let all = self.all_of(version);
        let listed = all.iter().find(|release| release.gone_since.is_none());
        listed.or(all.first())
    }

    /// Every release of this version: one, but for oddities.
    pub fn all_of(&self, version: &ReleaseVersion) -> &[Release] {
        let start = self
            .releases
            .partition_point(|release| release.version < *version);
        let end = self
            .releases
            .partition_point(|release| release.version <= *version);
        self.releases.get(start..end).unwrap_or_default()
    }

    /// The advisory of this id, whichever of its ids it is.
    pub fn advisory(&self, id: &str) -> Option<&Advisory> {
        self.advisories.get(*self.ids.get(id)?)
    }

    /// What may be installed of a line: final releases that are still listed, oldest first.
    pub fn line(&self, line: ReleaseLine) -> impl DoubleEndedIterator<Item = &Release> + Clone {
        self.finals
            .get(&line)
            .into_iter()
            .flatten()
            .filter_map(|place| self.releases.get(*place))
    }

    /// Every line of which a final release was ever seen, taken back or not.
    pub const fn every_line(&self) -> &BTreeSet<ReleaseLine> {
        &self.lines
    }

    /// Everything that may be installed, by line and version.
    pub fn finals(&self) -> Vec<&Release> {
        self.lines().flat_map(|line| self.line(line)).collect()
    }

    /// The lines of which something may be installed, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = ReleaseLine> + '_ {
        self.finals.keys().copied()
    }

    /// Whether an advisory speaks of a line at all, or of any newer one: see [`Advisory::names_line`].
    pub fn speaks_of(&self, advisory: &Advisory, line: ReleaseLine) -> (bool, bool) {
        let Some(spoken) = self
            .place_of(advisory)
            .and_then(|place| self.speaks_of.get(place))
        else {
            return (false, false);
        };
        let newer = spoken.iter().next_back().is_some_and(|last| *last > line);
        (spoken.contains(&line), newer)
    }

    fn place_of(&self, advisory: &Advisory) -> Option<usize> {
        let found = self
            .advisories
            .binary_search_by(|known| known.id.cmp(&advisory.id));
        found.ok()
    }

    /// Every release that names the advisory, oldest version first.
    pub fn naming(&self, advisory: &Advisory) -> impl DoubleEndedIterator<Item = &Release> {
        self.place_of(advisory)
            .and_then(|place| self.naming.get(place))
            .into_iter()
            .flatten()
            .filter_map(|place| self.releases.get(*place))
    }

    /// Whether anything says that a release closes security holes.
    pub fn is_security(&self, release: &Release) -> bool {
        self.is_urgent(release) || release.is_security()
    }

    /// Newer versions of the same line that the second source calls urgent and that no list shows.
    pub fn unlisted_urgent<'a>(
        &'a self,
        installed: &'a ReleaseVersion,
    ) -> impl Iterator<Item = &'a ReleaseVersion> {
        self.urgent.iter().filter(|version| {
            version.line() == installed.line()
                && installed.precedes(version)
                && self.all_of(version).is_empty()
        })
    }

    /// Whether the second source calls it urgent.
    pub fn is_urgent(&self, release: &Release) -> bool {
        self.urgent.contains(&release.version)
    }
}

/// When the support of lines ends for which nobody has said it: six months after the first release of the line after the
/// next. That has been the habit since 4.3, and a habit is no promise: what is said elsewhere counts before it.
fn ends_by_rule(lines: &BTreeMap<ReleaseLine, Timestamp>) -> BTreeMap<ReleaseLine, Date> {
    let ends = lines.keys().zip(lines.values().skip(2));
    let unsaid = ends.filter(|(line, _)| known(**line).is_none_or(|known| known.ends.is_none()));
    let day = |first: &Timestamp| {
        let first = first.to_zoned(TimeZone::UTC).date();
        first.checked_add(Span::new().months(6)).ok()
    };
    unsaid
        .filter_map(|(line, first)| Some((*line, day(first)?)))
        .collect()
}

fn text_of<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
