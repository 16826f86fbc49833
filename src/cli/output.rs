//! The only place that prints: results on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value, json};

use super::failure::Failure;
use crate::engine::chain;

/// Format of the JSON that is printed.
const FORMAT: u32 = 1;

/// Where a command's words go.
#[derive(Debug, Clone)]
pub struct Out {
    json: bool,
}

impl Out {
    /// JSON for programs, or text for people.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON is wanted.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// A result for people.
    pub fn text(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        // A reader that went away wants no more words.
        drop(writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()));
    }

    /// A result for programs: the object, with the format's number in it.
    pub fn json(&self, value: &Value) {
        let mut object = json!({ "format": FORMAT });
        if let (Some(object), Some(value)) = (object.as_object_mut(), value.as_object()) {
            object.extend(value.clone());
        }
        self.text(&serde_json::to_string_pretty(&object).unwrap_or_default());
    }

    /// Progress and remarks.
    pub fn note(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        drop(writeln!(stderr, "{text}"));
    }

    /// Why a command ends without its result.
    pub fn failure(&self, failure: &Failure) {
        self.note(&format!("error: {}", chain_of(&failure.error)));
    }
}

/// The configuration's errors are lines of their own; everything else is one line.
fn chain_of(error: &anyhow::Error) -> String {
    match error.downcast_ref::<crate::config::ConfigErrors>() {
        Some(errors) => errors.to_string(),
        None => chain(error.as_ref()),
    }
}
