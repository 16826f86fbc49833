//! Mails that report a run: composed here, kept in the outbox, delivered over SMTP.
//!
//! A mail is plain text first and the same in simple HTML. It is made of the report only, which holds no
//! secret and no control character; addresses go through lettre's types, so nothing in a report can add a
//! header. Composing the same report twice gives the same bytes.

mod delivery;
mod smtp;
#[cfg(test)]
mod tests;
mod view;

use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{self, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use minijinja::{Environment, UndefinedBehavior};

pub use self::delivery::{Delivery, deliver_due};
pub use self::smtp::{SetupError, Smtp};
use crate::domain::plan::sha256_hex;
use crate::domain::report::Report;
use crate::ports::mailer::{Recipient, RecipientRole};
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
    let sender = address(from)?;
    let (text_name, html_name) = match to.role {
        RecipientRole::Manager => ("manager.txt", "manager.html"),
        RecipientRole::Administrator => ("administrator.txt", "administrator.html"),
    };
    let templates = templates()?;
    let view = view::View::of(report);
    let text = fill(&templates, text_name, &view)?;
    let html = fill(&templates, html_name, &view)?;
    let identity = sha256_hex(format!("{}\n{}", report.id, to.address).as_bytes());
    let body = MultiPart::alternative()
        .boundary(format!("mastopatch-{identity}"))
        .singlepart(SinglePart::plain(text))
        .singlepart(SinglePart::html(html));
    let message = Message::builder()
        .message_id(Some(message_id(&report.id, &identity, &sender)))
        .date(now.into())
        .from(sender)
        .to(address(&to.address)?)
        .subject(report.subject())
        .header(AutoSubmitted)
        .header(header::MIME_VERSION_1_0)
        .multipart(body)
        .map_err(MailError::Message)?;
    Ok(NewMail {
        recipient: to.address.clone(),
        message: message.formatted(),
    })
}

/// Checks an address as [`render`] will: `name <address>` or only the address.
pub fn check_address(text: &str) -> Result<(), MailError> {
    address(text).map(drop)
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
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    for (template, source) in [
        ("manager.txt", include_str!("manager.txt")),
        ("manager.html", include_str!("manager.html")),
        ("administrator.txt", include_str!("administrator.txt")),
        ("administrator.html", include_str!("administrator.html")),
        ("layout.html", include_str!("layout.html")),
    ] {
        environment
            .add_template(template, source)
            .map_err(|source| MailError::Template { template, source })?;
    }
    Ok(environment)
}

fn fill(
    templates: &Environment<'_>,
    template: &'static str,
    view: &view::View,
) -> Result<String, MailError> {
    templates
        .get_template(template)
        .and_then(|found| found.render(view))
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
