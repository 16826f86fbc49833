//! A run's progress on standard error: one line a step, and a bar for pulls where a person looks on.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::domain::report::words::{human_bytes, human_ms};
use crate::engine::{Progress, millis};

use super::output::Out;

/// Between two turns of the spinner.
const TURN: Duration = Duration::from_millis(120);

/// Shows progress.
#[derive(Debug)]
pub(super) struct Show<'a> {
    out: &'a Out,
    bar: Option<ProgressBar>,
}

impl<'a> Show<'a> {
    /// A bar if standard error is a terminal, lines if not.
    pub(super) fn new(out: &'a Out) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar
        });
        Self { out, bar }
    }

    /// Takes one piece of progress.
    pub(super) fn on(&self, progress: Progress) {
        match progress {
            Progress::Began { step, back } => {
                let text = if back {
                    format!("back: {step}")
                } else {
                    step.to_owned()
                };
                match &self.bar {
                    Some(bar) => {
                        bar.reset_elapsed();
                        bar.set_message(text);
                        bar.enable_steady_tick(TURN);
                    }
                    None => self.line(&format!("  ... {text}")),
                }
            }
            Progress::Ended {
                step,
                elapsed,
                error,
            } => {
                let time = human_ms(millis(elapsed));
                self.line(&match error {
                    None => format!("  ok  {step:<14} {time}"),
                    Some(error) => format!("  --  {step:<14} {time}  {error}"),
                });
            }
            Progress::Pull { image, done, total } => {
                if let Some(bar) = &self.bar {
                    let (done, total) = (human_bytes(done), human_bytes(total));
                    bar.set_message(format!("pull {image}: {done} of {total}"));
                }
            }
            Progress::Read { done, total } => {
                if let Some(bar) = &self.bar {
                    let (done, total) = (human_bytes(done), human_bytes(total));
                    bar.set_message(format!("{done} of {total}"));
                }
            }
            Progress::Note(text) => self.line(&format!("      {text}")),
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.note(text)),
            None => self.out.note(text),
        }
    }
}

impl Drop for Show<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
