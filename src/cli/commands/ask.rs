//! Asking the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::cli::failure::Failure;
use crate::exit::Exit;

/// Refuses where a question will come and nobody is there to be asked.
pub(super) fn somebody_is_there(yes: bool) -> Result<(), Failure> {
    if yes || std::io::stdin().is_terminal() {
        return Ok(());
    }
    let sentence = "nobody is at the terminal to be asked; say --yes to go on without a question";
    Err(Failure::new(Exit::Usage, sentence))
}

/// Asks, and takes everything but a clear yes for a no.
pub(super) fn agreed(question: &str) -> Result<bool, Failure> {
    let mut stderr = std::io::stderr();
    let mut line = String::new();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| std::io::stdin().lock().read_line(&mut line))
        .map_err(|err| Failure::bug(err.into()))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
