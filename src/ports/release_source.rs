//! Where releases and advisories come from.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::advisory::Advisory;
use crate::domain::feed::UpdateCheck;
use crate::domain::release::Release;
use crate::domain::version::ReleaseVersion;
use crate::ports::Retry;

/// Tells what has been published.
///
/// A source keeps nothing by itself: the caller hands in the pages of the last answer and stores those of the new one.
/// An error leaves the caller's pages as they were, so a failed question never makes anybody forget what was known.
pub trait ReleaseSource {
    /// Every published release, newest first as the source orders them.
    fn releases(
        &self,
        known: &CachedPages,
        reach: Reach,
    ) -> impl Future<Output = Result<Fetched<Release>, ReleaseSourceError>> + Send;

    /// Every published advisory.
    fn advisories(
        &self,
        known: &CachedPages,
        reach: Reach,
    ) -> impl Future<Output = Result<Fetched<Advisory>, ReleaseSourceError>> + Send;

    /// The commit that a tag names at this moment.
    fn commit_of(
        &self,
        tag: &str,
    ) -> impl Future<Output = Result<CommitId, ReleaseSourceError>> + Send;

    /// How many questions this source has sent so far, whatever became of them.
    fn asked(&self) -> u64;
}

/// Mastodon's own answer to "is there something newer than this?", which every server asks for itself as well.
pub trait UpdateCheckSource {
    /// Asks for `version`, without its build mark.
    fn updates_for(
        &self,
        version: &ReleaseVersion,
    ) -> impl Future<Output = Result<UpdateCheck, ReleaseSourceError>> + Send;

    /// How many questions this source has sent so far, whatever became of them.
    fn asked(&self) -> u64;
}

/// How much of a list in pages is asked for again. A page that is not asked for is taken from what is known; as soon
/// as one differs in what is read of it, or is not known, all pages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The first page, where everything new appears.
    First,
    /// The first page and one more, counted from 0.
    FirstAnd(usize),
    /// All pages.
    All,
}

/// The pages of an earlier answer, with what is needed to ask whether they still hold.
///
/// They are text and small enough (some hundred kilobytes) to be stored as they are. Pages that cannot be used any more
/// are as good as none: the source is then asked for everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedPages {
    /// In the order in which they were read.
    pub pages: Vec<CachedPage>,
}

/// One page of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedPage {
    /// Where it was read.
    pub url: String,
    /// The source's mark for this state of the page.
    pub etag: Option<String>,
    /// Where the page after it is.
    pub next: Option<String>,
    /// The whole page.
    pub body: String,
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched<T> {
    /// Everything that could be read, in the source's order; something may be listed twice.
    pub items: Vec<Listed<T>>,
    /// The names (tags, ids) of what could not be read, as far as it has any: it is listed all the same.
    pub unread: Vec<String>,
    /// Everything that could not be read, as sentences; see [`crate::domain::decide::Facts::problems`].
    pub problems: Vec<String>,
    /// Whether any page differs from the ones handed in.
    pub changed: bool,
    /// Whether every page was asked for.
    pub all_asked: bool,
    /// To be stored, and handed in the next time.
    pub pages: CachedPages,
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// What was read of it.
    pub value: T,
    /// SHA-256 of the text that it was read from, in hex: another one means that the publisher edited it.
    pub digest: String,
}

/// The full id of a commit: 40 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// The text is not the full id of a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the full id of a commit")]
pub struct NotACommit(String);

/// When a source that has had enough may be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskAgain {
    /// At this instant.
    At(Timestamp),
    /// After this time, counted from the answer.
    After(Duration),
    /// It did not say.
    Unknown,
}

/// Why a source did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseSourceError {
    /// The source cannot be set up as configured.
    #[error("the address `{url}` cannot be used: {why}")]
    Address {
        /// The address.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// No connection, or it broke.
    #[error("failed to reach `{url}`")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No complete answer in time.
    #[error("`{url}` did not answer within {limit:?}")]
    TimedOut {
        /// What was asked.
        url: String,
        /// The time it had.
        limit: Duration,
    },
    /// Too many questions.
    #[error("`{url}` refuses more questions, the rate limit is reached{}", .again.suffix())]
    RateLimited {
        /// What was asked.
        url: String,
        /// When it may be asked again.
        again: AskAgain,
    },
    /// The token is wrong.
    #[error("`{url}` asks for a valid token: check `token_file`, or leave it out")]
    Unauthorized {
        /// What was asked.
        url: String,
    },
    /// Not allowed.
    #[error("`{url}` is forbidden to us")]
    Forbidden {
        /// What was asked.
        url: String,
    },
    /// Not there.
    #[error("`{url}` does not exist")]
    NotFound {
        /// What was asked.
        url: String,
    },
    /// The source is in trouble.
    #[error("`{url}` failed with status {status}")]
    Server {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// An answer that has no meaning here.
    #[error("`{url}` answered with the unexpected status {status}")]
    UnexpectedStatus {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// "Not changed" to a question without condition.
    #[error("`{url}` says that nothing changed, but nothing of it is known")]
    NothingKnown {
        /// What was asked.
        url: String,
    },
    /// More than anybody needs.
    #[error("the answer of `{url}` is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// The answer ended early.
    #[error("the answer of `{url}` broke off")]
    CutOff {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not the JSON it should be.
    #[error("the answer of `{url}` is not what was expected")]
    Garbage {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The next page would be somewhere else.
    #[error("`{url}` names a next page at another place, `{next}`")]
    ForeignPage {
        /// What was asked.
        url: String,
        /// The next page.
        next: String,
    },
    /// The page is somewhere else now, and we do not go there.
    #[error("`{url}` is redirected to `{to}`, which is not followed: configure the right address")]
    Redirected {
        /// What was asked.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// The pages lead back to one that was read.
    #[error("`{url}` names `{next}` as its next page, which was read already")]
    PagesInACircle {
        /// What was asked.
        url: String,
        /// The next page.
        next: String,
    },
    /// The pages do not end.
    #[error("`{url}` has more than {limit} pages")]
    TooManyPages {
        /// What was asked first.
        url: String,
        /// The limit.
        limit: usize,
    },
}

impl ReleaseSourceError {
    /// Whether the same question may be asked again. Questions change nothing, so it is never indeterminate.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::CutOff { .. }
            | Self::Garbage { .. }
            | Self::NothingKnown { .. } => Retry::Transient,
            Self::Address { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::UnexpectedStatus { .. }
            | Self::TooLarge { .. }
            | Self::ForeignPage { .. }
            | Self::Redirected { .. }
            | Self::PagesInACircle { .. }
            | Self::TooManyPages { .. } => Retry::Permanent,
        }
    }

    /// When the source said that it may be asked again, if it is that kind of error.
    pub const fn ask_again(&self) -> Option<AskAgain> {
        if let Self::RateLimited { again, .. } = self {
            Some(*again)
        } else {
            None
        }
    }
}

impl AskAgain {
    fn suffix(self) -> String {
        match self {
            Self::At(at) => format!("; ask again at {at}"),
            Self::After(time) => format!("; ask again in {time:?}"),
            Self::Unknown => String::new(),
        }
    }
}

impl CommitId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommitId {
    type Err = NotACommit;

    fn from_str(text: &str) -> Result<Self, NotACommit> {
        if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NotACommit(text.to_owned()))
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = NotACommit;

    fn try_from(text: String) -> Result<Self, NotACommit> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
