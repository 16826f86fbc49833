//! Looking at the site from outside: one HTTP request at a time.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of an answer's body that are kept: instance documents and login pages are far smaller.
pub const BODY_MAX: usize = 1 << 20;

/// One GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Where to connect.
    pub address: SocketAddr,
    /// Path and query.
    pub path: &'a str,
    /// `Host` header; Mastodon refuses every other name than its own.
    pub host: &'a str,
    /// Longest time for the whole exchange.
    pub limit: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body, cut at [`BODY_MAX`].
    pub body: String,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody listens, or the connection broke.
    #[error("no answer from {address}{path}")]
    NoAnswer {
        /// Where.
        address: SocketAddr,
        /// What was asked for.
        path: String,
        /// What broke.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The limit was reached.
    #[error("no answer from {address}{path} within {limit:?}")]
    TimedOut {
        /// Where.
        address: SocketAddr,
        /// What was asked for.
        path: String,
        /// The limit.
        limit: Duration,
    },
}

/// Asks web servers.
pub trait Probe: Send + Sync {
    /// Sends one GET with `X-Forwarded-Proto: https`, as the reverse proxy does. Follows no redirect.
    fn get(&self, request: Request<'_>) -> impl Future<Output = Result<Answer, ProbeError>> + Send;
}
