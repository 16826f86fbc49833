//! What a decision is made of.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Attempt;
use crate::domain::installed::Installed;
use crate::domain::path::{self, Host, Path};
use crate::domain::published::Published;
use crate::domain::version::{NotAVersion, ReleaseLine, ReleaseVersion};
use crate::domain::window::OneOff;

/// Everything that is known about one instance and about the world's releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The name of the instance.
    pub instance: String,
    /// What it runs, and who says so.
    pub installed: Installed,
    /// What the host has, as far as an update depends on it.
    pub host: Host,
    /// What has been published.
    pub published: Arc<Published>,
    /// Versions that must not be installed.
    pub quarantined: Vec<Quarantined>,
    /// What people agreed to.
    pub approvals: Vec<Approval>,
    /// A person's order that nothing starts by itself.
    pub hold: Option<Hold>,
    /// A person's order not to go further than this.
    pub pin: Option<Pin>,
    /// Runs since the last one that committed, newest first.
    pub attempts: Vec<Attempt>,
    /// The plan that was made last, with its version, by [`crate::domain::plan::Plan::approval_hash`]; where one is given, only
    /// an approval of this very plan counts.
    pub planned: Option<(ReleaseVersion, String)>,
    /// Windows that people opened once.
    pub one_offs: Vec<OneOff>,
    /// Why this host's clock is not to be trusted, as a sentence with its full stop.
    pub clock_doubt: Option<String>,
    /// What could not be read about this instance, as sentences. While there are any, nothing is called "not listed".
    pub problems: Vec<String>,
}

/// A version that must not be installed, for instance because it was rolled back here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The version.
    pub version: ReleaseVersion,
    /// Why.
    pub reason: String,
}

/// A person's agreement to one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The version agreed to.
    pub version: ReleaseVersion,
    /// The plan agreed to, by [`crate::domain::plan::Plan::approval_hash`].
    pub plan: String,
    /// Who agreed.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
}

/// A person's order that nothing starts by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when; without an end, until somebody takes it back.
    pub until: Option<Timestamp>,
}

/// A person's order not to go further than a line or a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// How far.
    pub to: PinTo,
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when; without an end, until somebody takes it back.
    pub until: Option<Timestamp>,
}

/// How far a pin lets updates go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinTo {
    /// Patches of this line, nothing beyond.
    Line(ReleaseLine),
    /// This version, nothing beyond.
    Version(ReleaseVersion),
}

impl Facts {
    /// Facts about an instance of which nothing is ordered, tried or amiss.
    pub fn about(
        instance: String,
        installed: Installed,
        host: Host,
        published: Arc<Published>,
    ) -> Self {
        Self {
            instance,
            installed,
            host,
            published,
            quarantined: Vec::new(),
            approvals: Vec::new(),
            hold: None,
            pin: None,
            attempts: Vec::new(),
            planned: None,
            one_offs: Vec::new(),
            clock_doubt: None,
            problems: Vec::new(),
        }
    }

    /// The pin that holds at `now`.
    pub(super) fn pin_at(&self, now: Timestamp) -> Option<&Pin> {
        self.pin.as_ref().filter(|pin| pin.holds(now))
    }

    /// The way to the newest line, or as far as a pin lets it go. What stands in it is `doctor`'s to say; of a decision,
    /// only what stands before its target is a part.
    pub(super) fn path(&self, now: Timestamp) -> Path {
        let upto = self.pin_at(now).map(|pin| match &pin.to {
            PinTo::Line(line) => *line,
            PinTo::Version(version) => version.line(),
        });
        path::path(self.version(), &self.published.finals(), upto)
    }

    /// The version that runs.
    pub const fn version(&self) -> &ReleaseVersion {
        &self.installed.version
    }

    pub(super) fn quarantine(&self, version: &ReleaseVersion) -> Option<&Quarantined> {
        let mut all: Vec<&Quarantined> = self
            .quarantined
            .iter()
            .filter(|quarantined| quarantined.version.cmp_precedence(version).is_eq())
            .collect();
        all.sort_by(|a, b| a.reason.cmp(&b.reason));
        all.first().copied()
    }
}

impl Hold {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Pin {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// Whether it lets updates go to this version.
    pub fn allows(&self, version: &ReleaseVersion) -> bool {
        match &self.to {
            PinTo::Line(line) => version.line() <= *line,
            PinTo::Version(last) => !last.precedes(version),
        }
    }
}

impl FromStr for PinTo {
    type Err = NotAVersion;

    /// Accepts a line, `4.5`, or a version, `4.5.8`.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        match text.parse() {
            Ok(version) => Ok(Self::Version(version)),
            Err(NotAVersion::Incomplete(text)) => {
                let (version, _) = ReleaseVersion::parse_partial(&text)?;
                Ok(Self::Line(version.line()))
            }
            Err(err) => Err(err),
        }
    }
}

impl fmt::Display for PinTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => line.fmt(f),
            Self::Version(version) => version.fmt(f),
        }
    }
}
