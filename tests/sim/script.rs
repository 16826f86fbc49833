//! Programs that do what they are told: what a clause of the contract runs in a simulated container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The word that a scripted command begins with; its script follows.
const WORD: &str = "scripted";

/// What a program does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) says: Vec<Line>,
    /// From its start until it ends by itself; without, it runs until it is stopped.
    pub(crate) lasts_ms: Option<u64>,
    /// Its exit code when it ends by itself.
    pub(crate) ends: i64,
    /// Its exit code when it is asked to end; without, it does not listen.
    pub(crate) on_term: Option<i64>,
}

/// A line that a program writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Line {
    /// To its standard output.
    Out(String),
    /// To its standard error.
    Err(String),
    /// The value of a variable of its environment, to its standard output.
    Variable(String),
}

impl Script {
    /// The command that runs it.
    pub(crate) fn command(&self) -> Vec<String> {
        vec![WORD.to_owned(), serde_json::to_string(self).unwrap()]
    }

    /// The script of a command, if it is one.
    pub(crate) fn of<S: AsRef<str>>(command: &[S]) -> Option<Self> {
        match command {
            [word, script] if word.as_ref() == WORD => {
                Some(serde_json::from_str(script.as_ref()).unwrap())
            }
            _ => None,
        }
    }

    /// What it writes in this environment: each line, and whether it goes to the standard error.
    pub(crate) fn written<'a>(
        &'a self,
        env: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = (bool, &'a str)> {
        self.says.iter().map(|line| match line {
            Line::Out(text) => (false, text.as_str()),
            Line::Err(text) => (true, text.as_str()),
            Line::Variable(name) => (false, env.get(name).map_or("", String::as_str)),
        })
    }
}
