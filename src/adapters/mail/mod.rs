//! Mails that report a run or tell a notice: composed here, kept in the outbox, delivered over SMTP.
//!
//! A mail is plain text first and the same in simple HTML. It is made of the report or the notice only, which hold no
//! secret and no control character; addresses go through lettre's types, so nothing in them can add a header. Composing
//! the same twice gives the same bytes.

mod delivery;
mod notice;
mod smtp;
#[cfg(test)]
mod tests;
mod view;

use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{self, ContentTransferEncoding, Header, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

pub use self::delivery::{Delivery, deliver_due};
pub use self::smtp::{SetupError, Smtp};
use crate::domain::event::Entry;
use crate::domain::notice::Notice;
use crate::domain::plan::{Plan, sha256_hex};
use crate::domain::report::Report;
use crate::ports::mailer::{Recipient, RecipientRole};
use crate::ports::reporter::Reporter;
use crate::ports::store::NewMail;

/// Why a mail cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// An address is none.
    #[error("`{address}` is not a mail address")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        #[source]
        source: lettre::address::AddressError,
    },
    /// A template does not fit the report.
    #[error("failed to fill the mail template `{template}`")]
    Template {
        /// Which.
        template: &'static str,
        /// Where and why.
        #[source]
        source: minijinja::Error,
    },
    /// The message is not complete.
    #[error("failed to put the mail together")]
    Message(#[source] lettre::error::Error),
}

/// Makes the mail that reports a run to one person.
///
/// The same run and recipient give the same Message-ID, so a mail that is delivered twice is shown once.
pub fn render(
    report: &Report,
    to: &Recipient,
    from: &str,
    now: Timestamp,
) -> Result<NewMail, MailError> {
    let (text, html) = match to.role {
        RecipientRole::Manager => ("manager.txt", "manager.html"),
        RecipientRole::Administrator => ("administrator.txt", "administrator.html"),
    };
    let letter = Letter {
        id: report.id.clone(),
        subject: report.subject(),
        text,
        html,
        view: view::View::of(report, to.role),
    };
    letter.to(to, from, now)
}

/// Makes the mail that tells a notice to one person.
///
/// The same notice, instant and recipient give the same Message-ID. The instant counts, because a relapse is told with the
/// same words, and must not be taken for the mail that came before.
pub fn render_notice(
    notice: &Notice,
    to: &Recipient,
    from: &str,
    now: Timestamp,
) -> Result<NewMail, MailError> {
    let letter = Letter {
        id: notice::id(notice, now),
        subject: notice.subject(),
        text: "notice.txt",
        html: "notice.html",
        view: notice::View::of(notice, to.role),
    };
    letter.to(to, from, now)
}

/// One mail before it is addressed.
struct Letter<V> {
    /// What it tells, as the first part of its Message-ID.
    id: String,
    subject: String,
    text: &'static str,
    html: &'static str,
    view: V,
}

impl<V: Serialize> Letter<V> {
    fn to(&self, to: &Recipient, from: &str, now: Timestamp) -> Result<NewMail, MailError> {
        let sender = address(from)?;
        let templates = templates()?;
        let text = fill(&templates, self.text, &self.view)?;
        let html = fill(&templates, self.html, &self.view)?;
        let identity = sha256_hex(format!("{}\n{}", self.id, to.address).as_bytes());
        let body = MultiPart::alternative()
            .boundary(format!("mastopatch-{identity}"))
            .singlepart(SinglePart::plain(readable(text)))
            .singlepart(SinglePart::html(html));
        let message = Message::builder()
            .message_id(Some(message_id(&self.id, &identity, &sender)))
            .date(now.into())
            .from(sender)
            .to(address(&to.address)?)
            .subject(self.subject.as_str())
            .header(AutoSubmitted)
            .header(header::MIME_VERSION_1_0)
            .multipart(body)
            .map_err(MailError::Message)?;
        Ok(NewMail {
            recipient: to.address.clone(),
            message: message.formatted(),
        })
    }
}

/// Writes the mails of every recipient.
#[derive(Debug, Clone)]
pub struct MailReporter {
    from: String,
    recipients: Vec<Recipient>,
}

impl MailReporter {
    /// Nobody to write to is fine: then there are no mails.
    pub fn new(from: String, recipients: Vec<Recipient>) -> Self {
        Self { from, recipients }
    }

    /// The mails that tell a notice. One that cannot be made is logged and left out.
    pub fn notice(&self, notice: &Notice, now: Timestamp) -> Vec<NewMail> {
        self.to_everybody(|to| render_notice(notice, to, &self.from, now))
    }

    fn to_everybody(
        &self,
        make: impl Fn(&Recipient) -> Result<NewMail, MailError>,
    ) -> Vec<NewMail> {
        let made = self.recipients.iter().filter_map(|to| {
            make(to)
                .inspect_err(|err| {
                    let err: &dyn std::error::Error = err;
                    tracing::error!(recipient = to.address, err, "no mail made");
                })
                .ok()
        });
        made.collect()
    }
}

impl Reporter for MailReporter {
    /// The mails carry the time of the journal's last entry, so the same journal gives the same bytes. A
    /// mail that cannot be made is logged and left out.
    fn mails(&self, plan: &Plan, journal: &[Entry]) -> Vec<NewMail> {
        let report = Report::new(plan, journal);
        let now = journal.last().map_or(plan.created_at, |entry| entry.at);
        self.to_everybody(|to| render(&report, to, &self.from, now))
    }
}

/// Checks an address as [`render`] will: `name <address>` or only the address.
pub fn check_address(text: &str) -> Result<(), MailError> {
    address(text).map(drop)
}

/// The text as it is where the mail's rules allow it, so that it can be read in a raw mailbox too.
fn readable(text: String) -> Body {
    Body::new_with_encoding(text, ContentTransferEncoding::SevenBit)
        .unwrap_or_else(|text| Body::new(String::from_utf8_lossy(&text).into_owned()))
}

fn address(text: &str) -> Result<Mailbox, MailError> {
    text.parse().map_err(|source| MailError::Address {
        address: text.to_owned(),
        source,
    })
}

fn message_id(run: &str, identity: &str, sender: &Mailbox) -> String {
    let run: String = run
        .chars()
        .filter(|char| char.is_ascii_alphanumeric() || *char == '-')
        .collect();
    let short: String = identity.chars().take(16).collect();
    let domain = Some(sender.email.domain())
        .filter(|domain| domain.is_ascii())
        .unwrap_or("localhost");
    format!("<{run}.{short}@{domain}>")
}

fn templates() -> Result<Environment<'static>, MailError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|source| MailError::Template {
            template: "syntax",
            source,
        })?;
    environment.set_syntax(syntax);
    for (template, source) in [
        ("manager.txt", include_str!("manager.txt")),
        ("manager.html", include_str!("manager.html")),
        ("administrator.txt", include_str!("administrator.txt")),
        ("administrator.html", include_str!("administrator.html")),
        ("notice.txt", include_str!("notice.txt")),
        ("notice.html", include_str!("notice.html")),
        ("layout.html", include_str!("layout.html")),
    ] {
        environment
            .add_template(template, source)
            .map_err(|source| MailError::Template { template, source })?;
    }
    Ok(environment)
}

fn fill<V: Serialize>(
    templates: &Environment<'_>,
    template: &'static str,
    view: &V,
) -> Result<String, MailError> {
    templates
        .get_template(template)
        .and_then(|found| found.render(Serde(view)))
        .map_err(|source| MailError::Template { template, source })
}

/// Says that no person wrote the mail (RFC 3834), so that no absence notice comes back.
#[derive(Debug, Clone, Copy)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
