//! Everything that has been published, as one value that all instances of a host share.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::domain::advisory::Advisory;
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
    /// Last days of support that a second source names.
    ends: BTreeMap<ReleaseLine, Date>,
    /// What could not be read or fetched, as sentences. While there are any, nothing is called "not listed".
    problems: Vec<String>,
    /// Places of what may be installed, by line, oldest first, each version once.
    finals: BTreeMap<ReleaseLine, Vec<usize>>,
    /// Places of advisories, by every id they have.
    ids: BTreeMap<String, usize>,
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
        let mut ids = BTreeMap::new();
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
        }
        Self {
            releases,
            advisories,
            finals,
            ids,
            naming,
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
        self.ends = ends;
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

    /// Last days of support that a second source names.
    pub const fn ends(&self) -> &BTreeMap<ReleaseLine, Date> {
        &self.ends
    }

    /// The release of this version; where there are several, the first by tag.
    pub fn release(&self, version: &ReleaseVersion) -> Option<&Release> {
        self.all_of(version).first()
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

    /// Everything that may be installed, by line and version.
    pub fn finals(&self) -> Vec<&Release> {
        self.lines().flat_map(|line| self.line(line)).collect()
    }

    /// The lines of which something may be installed, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = ReleaseLine> + '_ {
        self.finals.keys().copied()
    }

    /// Every release that names the advisory, oldest version first.
    pub fn naming(&self, advisory: &Advisory) -> impl Iterator<Item = &Release> {
        let place = self
            .advisories
            .binary_search_by(|known| known.id.cmp(&advisory.id));
        place
            .ok()
            .and_then(|place| self.naming.get(place))
            .into_iter()
            .flatten()
            .filter_map(|place| self.releases.get(*place))
    }

    /// Whether anything says that a release closes security holes.
    pub fn is_security(&self, release: &Release) -> bool {
        self.is_urgent(release) || release.is_security()
    }

    /// Whether the second source calls it urgent.
    pub fn is_urgent(&self, release: &Release) -> bool {
        self.urgent.contains(&release.version)
    }
}

fn text_of<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
