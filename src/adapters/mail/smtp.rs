//! The way to the mail server.

use std::net::IpAddr;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::response::Code;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;

use crate::domain::report::words::{clean, cut};
use crate::ports::mailer::{DeliveryError, MailTransport, Security, SmtpSettings};
use crate::ports::store::OutboxItem;

/// Longest wait for an answer of the server. Servers that check for spam while one waits take seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Longest conversation about one mail, for a server that answers a little every 29 seconds.
const CONVERSATION: Duration = Duration::from_secs(120);
/// Longest part of a server's reply that is kept.
const LONGEST_REPLY: usize = 500;
/// Replies that complain of the log-in, not of the mail: a person can mend the configuration.
const LOG_IN_REPLIES: [u16; 4] = [530, 534, 535, 538];

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Mails would travel in the clear.
    #[error(
        "`smtp://` is for a mail server on this host only, and `{host}` is none; use `smtps://` or `smtp+starttls://`"
    )]
    PlainOutside {
        /// The host.
        host: String,
    },
    /// Only one half of the log-in is there.
    #[error("the mail server's log-in has {given} but no {missing}")]
    HalfLogIn {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// The sender is no address.
    #[error("the sender `{from}` is not a mail address")]
    Sender {
        /// What was given.
        from: String,
        /// What is wrong with it.
        #[source]
        source: lettre::address::AddressError,
    },
    /// TLS cannot be set up.
    #[error("failed to set up TLS for the mail server `{host}`")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: lettre::transport::smtp::Error,
    },
}

/// A mail server. Every mail gets a connection of its own: mails are few, and a kept connection is one
/// more thing that can be dead when it is needed.
pub struct Smtp {
    server: String,
    sender: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Smtp {
    /// Takes the settings; connects to nothing.
    pub fn new(settings: &SmtpSettings) -> Result<Self, SetupError> {
        let host = settings.host.as_str();
        let sender = settings.from.parse().map_err(|source| SetupError::Sender {
            from: settings.from.clone(),
            source,
        })?;
        let parameters = || {
            TlsParameters::new(host.to_owned()).map_err(|source| SetupError::Tls {
                host: host.to_owned(),
                source,
            })
        };
        let tls = match settings.security {
            Security::PlainLoopback if is_loopback(host) => Tls::None,
            Security::PlainLoopback => {
                return Err(SetupError::PlainOutside {
                    host: host.to_owned(),
                });
            }
            Security::StartTls => Tls::Required(parameters()?),
            Security::Tls => Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(ANSWER_WAIT));
        if let Some(credentials) = credentials(settings)? {
            builder = builder.credentials(credentials);
        }
        Ok(Self {
            server: format!("{host}:{}", settings.port),
            sender,
            transport: builder.build(),
        })
    }

    fn classify(&self, err: &lettre::transport::smtp::Error) -> DeliveryError {
        let server = self.server.clone();
        let text = cut(&clean(&err.to_string()), LONGEST_REPLY);
        if err.is_transient() || err.status().is_some_and(complains_of_log_in) {
            return DeliveryError::Deferred {
                server,
                reply: text,
            };
        }
        if err.is_permanent() {
            return DeliveryError::Refused {
                server,
                reply: text,
            };
        }
        // "Client" is what lettre found out by itself before the mail went over: no STARTTLS, no log-in.
        if err.is_client() {
            return DeliveryError::Deferred {
                server,
                reply: text,
            };
        }
        if err.is_tls() || text.starts_with("Connection error") {
            return DeliveryError::Unreachable {
                server,
                reason: text,
            };
        }
        DeliveryError::BrokenOff {
            server,
            reason: text,
        }
    }
}

impl MailTransport for Smtp {
    async fn deliver(&self, item: &OutboxItem) -> Result<(), DeliveryError> {
        let unsendable = |reason: String| DeliveryError::Unsendable { reason };
        let to: Mailbox = item
            .recipient
            .parse()
            .map_err(|err| unsendable(format!("the recipient is not a mail address: {err}")))?;
        let envelope = Envelope::new(Some(self.sender.email.clone()), vec![to.email])
            .map_err(|err| unsendable(err.to_string()))?;
        let conversation = self.transport.send_raw(&envelope, &item.message);
        match tokio::time::timeout(CONVERSATION, conversation).await {
            Ok(Ok(_response)) => Ok(()),
            Ok(Err(err)) => Err(self.classify(&err)),
            Err(_elapsed) => Err(DeliveryError::BrokenOff {
                server: self.server.clone(),
                reason: format!("no end after {} s", CONVERSATION.as_secs()),
            }),
        }
    }
}

fn complains_of_log_in(code: Code) -> bool {
    LOG_IN_REPLIES.contains(&u16::from(code))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn credentials(settings: &SmtpSettings) -> Result<Option<Credentials>, SetupError> {
    match (&settings.username, &settings.password) {
        (None, None) => Ok(None),
        (Some(name), Some(password)) => Ok(Some(Credentials::new(
            name.clone(),
            password.expose_secret().to_owned(),
        ))),
        (Some(_), None) => Err(SetupError::HalfLogIn {
            given: "a user name",
            missing: "password",
        }),
        (None, Some(_)) => Err(SetupError::HalfLogIn {
            given: "a password",
            missing: "user name",
        }),
    }
}
