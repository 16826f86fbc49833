//! The way from what runs to what is wanted: through every line, and past every obstacle on it.

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::domain::release::Release;
use crate::domain::version::{ReleaseLine, ReleaseVersion, UpdateKind};

/// One version at which the way stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The version.
    pub version: ReleaseVersion,
    /// How far it is from the stop before.
    pub kind: UpdateKind,
    /// What stands in the way of it.
    pub obstacles: Vec<Obstacle>,
}

/// Something that stands in the way of a version on this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// A step in the release's notes is for a person.
    ManualStep,
    /// The database's schema is older than the version can start from.
    SchemaFloor,
    /// The line gets no more repairs, or soon will not.
    EndOfSupport,
    /// The migrations may take unusually long, or cannot be taken back step by step.
    Migrations,
    /// Something could not be looked at.
    NotLookedAt,
}

/// What a host has, as far as an update depends on it. Absent values were not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// `PostgreSQL`'s `server_version_num`.
    pub postgresql: Option<u32>,
    /// Redis' version, `7.2.4`.
    pub redis: Option<String>,
    /// Keys that web's environment sets to something.
    pub keys: std::collections::BTreeSet<String>,
    /// Whether a pgbouncer seems to stand before the database, and why.
    pub pgbouncer: Option<String>,
    /// Services that run streaming from the main image.
    pub streaming_from_main: Vec<String>,
    /// Health checks of Mastodon's services: service and command.
    pub health_checks: Vec<(String, String)>,
    /// What is mounted at or below `public/`, but for `public/system`: service and place.
    pub public_mounts: Vec<(String, String)>,
    /// What could not be looked at, as sentences.
    pub not_seen: Vec<String>,
}

/// STUB
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Stops.
    pub stops: Vec<Stop>,
    /// End.
    pub dead_end: Option<String>,
}

/// STUB
pub fn path(
    _installed: &ReleaseVersion,
    _releases: &[&Release],
    _upto: Option<ReleaseLine>,
) -> Path {
    Path {
        stops: Vec::new(),
        dead_end: None,
    }
}

/// STUB
pub fn obstacles(
    _host: &Host,
    _from: &ReleaseVersion,
    _to: &ReleaseVersion,
    _now: Timestamp,
    _ends: &BTreeMap<ReleaseLine, Date>,
) -> Vec<Obstacle> {
    Vec::new()
}

/// STUB
pub fn end_of_support(line: ReleaseLine, ends: &BTreeMap<ReleaseLine, Date>) -> Option<Date> {
    ends.get(&line).copied()
}
