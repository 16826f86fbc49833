//! Turns a finished run into the mails that tell of it.

use crate::domain::event::Entry;
use crate::domain::plan::Plan;

use super::store::NewMail;

/// Writes mails; sends nothing.
pub trait Reporter: Send + Sync {
    /// The mails for every recipient. Trouble in here yields fewer mails, never an error: it must not
    /// change a run's outcome.
    fn mails(&self, plan: &Plan, journal: &[Entry]) -> Vec<NewMail>;
}
