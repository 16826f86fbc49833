//! The way from what runs to what is wanted: through every line, and past every obstacle on it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::plan::Role;
use crate::domain::release::Release;
use crate::domain::version::{ReleaseLine, ReleaseVersion, UpdateKind};

pub mod lines;
mod obstacles;

pub use obstacles::obstacles;

/// The way, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Path {
    /// Where it stops, in order.
    pub stops: Vec<Stop>,
    /// Why it goes no further although something newer is known, as a sentence.
    pub dead_end: Option<String>,
    /// Why the newest line is not entered yet, as a sentence.
    pub not_yet: Option<String>,
}

/// One version at which the way stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stop {
    /// The version.
    pub version: ReleaseVersion,
    /// How far it is from the stop before.
    pub kind: UpdateKind,
    /// What stands in the way of it, and did not in the way of an earlier stop.
    pub obstacles: Vec<Obstacle>,
}

/// Something that stands in the way of a version on this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Obstacle {
    /// How much it matters.
    pub weight: Weight,
    /// What it is about.
    pub about: ObstacleKind,
    /// What was found, in a sentence.
    pub what: String,
    /// What the operator must do, in a sentence.
    pub todo: String,
}

/// How much an obstacle matters, worst first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// The version cannot work here as things are: nobody can start it.
    Blocks,
    /// A person must have looked: it does not start unattended, and an approval settles it.
    NeedsPerson,
    /// Good to know.
    Notice,
}

/// What an obstacle is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ObstacleKind {
    /// `PostgreSQL` is too old, or of a version that is excluded.
    Postgresql,
    /// Redis is too old.
    Redis,
    /// An environment key that the version demands is not set.
    MissingKey,
    /// An environment key that the version refuses is set.
    ForbiddenKey,
    /// Streaming still runs from the main image.
    StreamingImage,
    /// A service is started with a command that the version does not have.
    Command,
    /// A health check in the Compose file will call a working container unhealthy.
    HealthCheck,
    /// Migrations would go through pgbouncer.
    Pgbouncer,
    /// Something is mounted over `public/`, so old assets would be served.
    PublicMount,
    /// Rows that the migrations would merge or delete.
    Duplicates,
    /// A step in the release's notes is for a person.
    ManualStep,
    /// The database's schema is older than the version can start from.
    SchemaFloor,
    /// The line gets no more repairs, or soon will not.
    EndOfSupport,
    /// The migrations may take unusually long, or cannot be taken back step by step.
    Migrations,
    /// This mastopatch is older than the line and knows nothing of it.
    UnknownLine,
    /// A damaged database could not be restored by the role that Mastodon uses.
    NoWayBack,
    /// The Compose file was edited and not applied.
    UnappliedEdit,
    /// PostgreSQL or Redis belongs to somebody else.
    OutsideServer,
    /// Something could not be looked at.
    NotLookedAt,
}

/// What a host has, as far as an update depends on it. Absent values were not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// `PostgreSQL`'s `server_version_num`.
    pub postgresql: Option<u32>,
    /// Redis' version, `7.2.4`.
    pub redis: Option<String>,
    /// Whether a pgbouncer seems to stand before the database, and why.
    pub pgbouncer: Option<String>,
    /// Why web's database role could not restore a damaged database, as sentences with the cure.
    #[serde(default)]
    pub no_way_back: Vec<String>,
    /// Services that do not run as the Compose file says now.
    #[serde(default)]
    pub unapplied: Vec<String>,
    /// Addresses of accounts that stand in the database more than once.
    pub duplicate_accounts: Option<u64>,
    /// Mastodon's services, by name. None seen means that nothing of the kind was looked at.
    pub services: Vec<HostService>,
    /// Where PostgreSQL and Redis are, as sentences, if they are not of the instance's own project.
    #[serde(default)]
    pub outside: Vec<String>,
    /// What could not be looked at, as sentences.
    pub not_seen: Vec<String>,
}

/// One of Mastodon's services, as far as an update depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostService {
    /// Its name in the Compose file.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Whether it runs streaming's own image.
    pub streaming_image: bool,
    /// Whether its command is `rails s`, which was the official one until 4.2.
    pub rails_server: bool,
    /// Keys of its environment, with whether their value is more than an empty text. Never the values.
    pub keys: BTreeMap<String, bool>,
    /// Whether its environment switches Elasticsearch on.
    pub search: bool,
    /// The health check that the Compose file gives it.
    pub health_check: Option<String>,
    /// What is mounted at or below `public/`, but for `public/system`: places inside the container.
    pub public_mounts: Vec<String>,
}

impl Path {
    /// The same way with what stands in it, as seen from the host today. `releases` are all that are known.
    ///
    /// An obstacle is named at the first stop that it stands in the way of. The end of a line's support is only worth a
    /// word where the way ends.
    #[must_use]
    pub fn with_obstacles(
        mut self,
        host: &Host,
        installed: &ReleaseVersion,
        releases: &[Release],
        now: Timestamp,
        ends: &BTreeMap<ReleaseLine, Date>,
    ) -> Self {
        let last = self.stops.len().saturating_sub(1);
        let mut named: BTreeSet<Obstacle> = BTreeSet::new();
        let mut seen = installed.clone();
        for (idx, stop) in self.stops.iter_mut().enumerate() {
            let versions = [installed, &seen, &stop.version];
            let found = obstacles::since(host, versions, releases, now, ends);
            seen = stop.version.clone();
            stop.obstacles = found
                .into_iter()
                .filter(|it| idx == last || it.about != ObstacleKind::EndOfSupport)
                .filter(|it| named.insert(it.clone()))
                .collect();
        }
        self
    }

    /// The weightiest obstacle on it.
    pub fn worst(&self) -> Option<Weight> {
        let all = self.stops.iter().flat_map(|stop| &stop.obstacles);
        all.map(|obstacle| obstacle.weight).min()
    }
}

/// The way from `installed`: the newest patch of its own line, then every line by its last patch, as far as `upto`.
///
/// Pre-releases, builds of others and releases that their publisher took back are never stops. A line that has only its
/// first release is passed through if a newer line is known, and not entered if it is the newest. A line of which no
/// usable release is known ends the way: every line must be passed through. A fork has no way: upstream's images must not
/// replace it. Does not depend on the order of `releases`; the stops have no obstacles yet.
pub fn path(installed: &ReleaseVersion, releases: &[&Release], upto: Option<ReleaseLine>) -> Path {
    let mut way = Path::default();
    if let Some(mark) = installed.build() {
        way.dead_end = Some(format!(
            "{installed} is a build of its own, marked `{mark}`; upstream's images must not replace it."
        ));
        return way;
    }
    let lines = usable(releases);
    let mut at = installed.clone();
    if let Some(newest) = lines.get(&at.line()).and_then(|line| line.last())
        && let Some(kind) = at.step_to(newest)
    {
        way.stops.push(Stop::at(newest, kind));
        at = (*newest).clone();
    }
    while let Some((next, versions)) = lines.range(after(at.line())..).next() {
        if upto.is_some_and(|upto| *next > upto) {
            break;
        }
        if let Some(gap) = gap(at.line(), *next) {
            way.dead_end = Some(gap);
            break;
        }
        let Some(last) = versions.last() else { break };
        let is_newest = lines.range(after(*next)..).next().is_none();
        if is_newest && last.patch() == 0 {
            way.not_yet = Some(format!(
                "Line {next} has only its first release so far; it is entered when its first patch is out."
            ));
            break;
        }
        let Some(kind) = at.step_to(last) else { break };
        way.stops.push(Stop::at(last, kind));
        at = (*last).clone();
    }
    way
}

impl Stop {
    fn at(version: &ReleaseVersion, kind: UpdateKind) -> Self {
        Self {
            version: version.clone(),
            kind,
            obstacles: Vec::new(),
        }
    }
}

/// Final releases that are still there, by line, oldest first.
fn usable<'a>(releases: &[&'a Release]) -> BTreeMap<ReleaseLine, Vec<&'a ReleaseVersion>> {
    let mut lines: BTreeMap<ReleaseLine, Vec<&ReleaseVersion>> = BTreeMap::new();
    for release in releases {
        let version = &release.version;
        let usable = !release.pre_release
            && !version.is_pre_release()
            && !version.is_fork()
            && release.gone_since.is_none();
        if usable {
            lines.entry(version.line()).or_default().push(version);
        }
    }
    for versions in lines.values_mut() {
        versions.sort();
    }
    lines
}

/// The first line that may come after `line`.
fn after(line: ReleaseLine) -> ReleaseLine {
    ReleaseLine {
        major: line.major,
        minor: line.minor.saturating_add(1),
    }
}

/// Why the step from one line to another would skip one, as a sentence.
fn gap(line: ReleaseLine, next: ReleaseLine) -> Option<String> {
    let missing = if line.major == next.major {
        (after(line) != next).then(|| format!("line {}", after(line)))
    } else if let Some(between) = lines::known_between(line, next) {
        Some(format!("line {between}"))
    } else if line.major.checked_add(1) != Some(next.major) {
        Some(format!("version {}", line.major.saturating_add(1)))
    } else if next.minor != 0 {
        Some(format!("line {}.0", next.major))
    } else {
        None
    }?;
    Some(format!(
        "The next usable line after {line} is {next}, but no usable release of {missing}, which lies between them, is \
         known; every line must be passed through."
    ))
}

#[cfg(test)]
mod tests;
