//! The only place that prints: results on standard output, everything else on standard error.
//!
//! A reader that goes away (`mastopatch history | head -1`) ends the printing, not the program. What else
//! goes wrong with a stream is not worth failing a run for, and there is nowhere left to tell it.

use std::io::{ErrorKind, IsTerminal as _, Write};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::answers::{ErrorAnswer, Problem};
use super::failure::Failure;
use crate::config::ConfigErrors;
use crate::engine::chain;
use crate::exit::Exit;

/// Version of every JSON object that is printed. Fields may be added; none is renamed or removed without
/// a higher number.
pub const JSON_FORMAT: u32 = 1;

/// Where a command says what it has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Out {
    json: bool,
    color: bool,
}

/// A printed JSON object. Fields may be added; none is renamed or removed without a higher format.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Envelope<'a, T> {
    /// The version of the object.
    #[schemars(extend("const" = JSON_FORMAT))]
    format: u32,
    #[serde(flatten)]
    body: &'a T,
}

impl Out {
    /// JSON or text; colours only where standard error is a terminal and `NO_COLOR` is not set.
    pub fn new(json: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = std::io::stderr().is_terminal() && !refused;
        Self { json, color }
    }

    /// Whether the result is for a program.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A result for people.
    pub fn text(&self, text: &str) {
        write_block(&mut std::io::stdout().lock(), text);
    }

    /// A result for programs: one object, with its format. `body` must be an object.
    pub fn json<T: Serialize>(&self, body: &T) {
        write_block(&mut std::io::stdout().lock(), &to_json(body));
    }

    /// Something on the way to the result.
    pub fn note(&self, text: &str) {
        write_block(&mut std::io::stderr().lock(), text);
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// Why the command did not do what was asked; as JSON too, if results are JSON.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            self.json(&ErrorAnswer {
                error: problem(failure),
            });
        }
        self.error_note(failure);
    }

    /// The same on standard error only, where there is a result all the same.
    pub fn error_note(&self, failure: &Failure) {
        self.note(&error_text(&message_of(&failure.error), self.color));
    }
}

/// A failure as a value to put into a result.
pub fn problem(failure: &Failure) -> Problem {
    Problem {
        message: message_of(&failure.error),
        exit_code: failure.exit.code(),
    }
}

/// The configuration's mistakes are a line each, with their causes in them; of everything else the whole
/// chain is one line.
fn message_of(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ConfigErrors>() {
        Some(errors) => errors.to_string(),
        None => chain(error.as_ref()),
    }
}

fn error_text(message: &str, color: bool) -> String {
    let label = if color {
        "\u{1b}[1;31merror:\u{1b}[0m"
    } else {
        "error:"
    };
    format!("{label} {message}")
}

/// An object as it is printed, with its format. `body` must be an object.
pub fn to_json<T: Serialize>(body: &T) -> String {
    let format = JSON_FORMAT;
    serde_json::to_string_pretty(&Envelope { format, body }).unwrap_or_else(|err| {
        // Only a body that is no object gets here: a mistake in the program, and still JSON.
        let message = format!("the answer cannot be written as JSON: {err}");
        let exit_code = Exit::Bug.code();
        json!({ "format": format, "error": { "message": message, "exit_code": exit_code } })
            .to_string()
    })
}

/// Writes a text and ends its last line. The reader may be gone.
fn write_block(stream: &mut impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = write!(stream, "{text}{end}").and_then(|()| stream.flush());
    if let Err(err) = written
        && err.kind() != ErrorKind::BrokenPipe
    {
        tracing::debug!(%err, "output was not written");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_ends_the_printing_only() {
        write_block(&mut Gone, "nobody reads this");
    }

    #[test]
    fn every_text_ends_with_one_line_feed() {
        for text in ["a", "a\n"] {
            let mut written = Vec::new();
            write_block(&mut written, text);
            assert_eq!(written, b"a\n");
        }
    }

    #[test]
    fn json_carries_its_format_first() {
        let text = to_json(&json!({ "a": 1, "runs": [] }));
        assert!(text.starts_with("{\n  \"format\": 1,"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({ "format": 1, "a": 1, "runs": [] }));
    }

    #[test]
    fn what_is_no_object_becomes_an_error_object() {
        let value: Value = serde_json::from_str(&to_json(&[1, 2])).unwrap();
        assert_eq!(value["format"], 1);
        assert!(value["error"]["message"].is_string());
    }

    #[test]
    fn an_error_is_one_line_and_coloured_only_for_people() {
        let error = anyhow::anyhow!("no route").context("failed to pull");
        let failure = Failure {
            exit: Exit::Unreachable,
            error,
        };
        let message = message_of(&failure.error);
        assert_eq!(
            error_text(&message, false),
            "error: failed to pull: no route"
        );
        assert!(error_text(&message, true).starts_with("\u{1b}[1;31merror:\u{1b}[0m failed"));
        assert_eq!(
            json!(problem(&failure)),
            json!({ "message": "failed to pull: no route", "exit_code": 69 })
        );
    }
}
