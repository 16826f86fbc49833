//! Mail: who gets it, through which server, and the outbox it waits in.
//!
//! Delivery never changes a run's outcome: mails are queued in the transaction that ends the run, and
//! delivered by whoever comes by, as often as it takes.

use std::future::Future;

use jiff::Timestamp;
use secrecy::SecretString;

use super::Retry;
use super::store::{OutboxItem, StoreError};

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all: `smtp://`, to a server on this host only.
    PlainLoopback,
    /// Plain first, then TLS or nothing: `smtp+starttls://`.
    StartTls,
    /// TLS from the first byte: `smtps://`.
    Tls,
}

/// The mail server that takes our mails.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Name to log in with; without one, nobody logs in.
    pub username: Option<String>,
    /// Password to log in with.
    pub password: Option<SecretString>,
    /// Sender of every mail, `name <address>` or only the address.
    pub from: String,
}

/// What a recipient wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecipientRole {
    /// Four plain answers.
    Manager,
    /// Everything.
    Administrator,
}

/// Somebody who gets mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The address, `name <address>` or only the address.
    pub address: String,
    /// What this person wants to know.
    pub role: RecipientRole,
}

/// A mail whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMail {
    /// The mail.
    pub item: OutboxItem,
    /// When it was put into the outbox.
    pub queued_at: Timestamp,
}

/// The mails that wait.
pub trait Outbox: Send + Sync {
    /// Mails whose next attempt is due, `limit` at the most, the longest due first.
    fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<DueMail>, StoreError>;

    /// Marks a mail as delivered.
    fn sent(&self, id: i64, at: Timestamp) -> Result<(), StoreError>;

    /// Counts a failed attempt. Without a next one the mail is given up, and kept.
    fn failed(&self, id: i64, error: &str, next_at: Option<Timestamp>) -> Result<(), StoreError>;
}

/// Why a mail was not delivered, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// No conversation came about.
    #[error("the mail server {server} cannot be reached: {reason}")]
    Unreachable {
        /// `host:port`.
        server: String,
        /// Why.
        reason: String,
    },
    /// The server did not take it now (4xx), or did not let us in.
    #[error("the mail server {server} did not take the mail for now: {reply}")]
    Deferred {
        /// `host:port`.
        server: String,
        /// Its reply, or what was wrong with it.
        reply: String,
    },
    /// The server will never take it (5xx).
    #[error("the mail server {server} refused the mail for good: {reply}")]
    Refused {
        /// `host:port`.
        server: String,
        /// Its reply.
        reply: String,
    },
    /// The conversation broke off: the mail may have been delivered.
    #[error("the mail server {server} broke off, the mail may arrive twice: {reason}")]
    BrokenOff {
        /// `host:port`.
        server: String,
        /// How.
        reason: String,
    },
    /// What lies in the outbox cannot be sent.
    #[error("the mail cannot be sent: {reason}")]
    Unsendable {
        /// What is wrong with it.
        reason: String,
    },
}

impl DeliveryError {
    /// Whether it may be tried again. A mail that comes twice carries the same Message-ID.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::Deferred { .. } => Retry::Transient,
            Self::BrokenOff { .. } => Retry::Indeterminate,
            Self::Refused { .. } | Self::Unsendable { .. } => Retry::Permanent,
        }
    }
}

/// What takes mails.
pub trait MailTransport: Send + Sync {
    /// Hands one mail to the server; when this returns `Ok`, the server has answered for it.
    fn deliver(&self, item: &OutboxItem) -> impl Future<Output = Result<(), DeliveryError>> + Send;
}
