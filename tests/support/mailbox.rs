//! The mailbox that the lab's SMTP server delivers into.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mail_parser::{Message, MessageParser, PartType};

use super::lab::Lab;
use super::{check, eventually};

/// Mail is delivered within a second or two; more only when two cores boot several stacks.
const DELIVERY: Duration = Duration::from_secs(45);

/// A delivered mail, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) subject: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) message_id: String,
    /// The text part, if there is one of its own.
    pub(crate) text: Option<String>,
    /// The HTML part, if there is one of its own.
    pub(crate) html: Option<String>,
}

/// One recipient's mailbox.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    address: String,
    folder: PathBuf,
}

impl Mailbox {
    /// The mailbox of `name@lab.test`.
    pub(crate) fn of(lab: &Lab, name: &str) -> Self {
        Self {
            address: format!("{name}@lab.test"),
            folder: lab.maildir.join(name.to_lowercase()),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// All mails, in the order in which they were delivered.
    pub(crate) fn all(&self) -> Vec<Mail> {
        let files = ["new", "cur"]
            .into_iter()
            .filter_map(|part| fs::read_dir(self.folder.join(part)).ok());
        let files: BTreeSet<PathBuf> = files
            .flatten()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        let mut mails: Vec<(std::time::SystemTime, Mail)> = files
            .iter()
            .filter_map(|path| {
                let arrived = fs::metadata(path).and_then(|about| about.modified()).ok()?;
                let raw = fs::read(path).ok()?;
                let message = MessageParser::default().parse(&raw);
                Some((
                    arrived,
                    read(&message.unwrap_or_else(|| panic!("{} is no mail", path.display()))),
                ))
            })
            .collect();
        mails.sort_by_key(|(arrived, _)| *arrived);
        mails.into_iter().map(|(_, mail)| mail).collect()
    }

    /// Waits until more than `known` mails are there; returns the newer ones.
    pub(crate) fn wait_beyond(&self, known: usize) -> Vec<Mail> {
        eventually(&format!("a mail for {}", self.address), DELIVERY, || {
            let mails = self.all();
            check(
                mails.len() > known,
                format!("{} mails, {known} of them old", mails.len()),
            )?;
            Ok(mails.into_iter().skip(known).collect())
        })
    }
}

fn read(message: &Message<'_>) -> Mail {
    let address = |address: Option<&mail_parser::Address<'_>>| {
        let first = address
            .and_then(mail_parser::Address::first)
            .and_then(mail_parser::Addr::address);
        first.unwrap_or_default().to_owned()
    };
    // `body_text` would make text out of HTML where a part is missing: only parts of their own count here.
    let own = |html: bool| {
        let part = message.parts.iter().find(|part| {
            if html {
                matches!(part.body, PartType::Html(_))
            } else {
                matches!(part.body, PartType::Text(_))
            }
        });
        part.and_then(|part| part.text_contents())
            .map(str::to_owned)
    };
    Mail {
        subject: message.subject().unwrap_or_default().to_owned(),
        from: address(message.from()),
        to: address(message.to()),
        message_id: message.message_id().unwrap_or_default().to_owned(),
        text: own(false),
        html: own(true),
    }
}
