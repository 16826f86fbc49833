//! What the engine needs of the world, as traits; the adapters answer them.
//!
//! A port speaks in our own words only: no type of an outside library crosses it. Every error of a
//! port answers "may I try again?" with a [`Retry`] class.

pub mod clock;
pub mod compose;
pub mod database;
pub mod files;
pub mod mailer;
pub mod probe;
pub mod release_source;
pub mod reporter;
pub mod runtime;
pub mod store;

/// Whether an operation that failed may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing happened, and the cause may go away by itself.
    Transient,
    /// Nothing happened, and trying again changes nothing.
    Permanent,
    /// The effect may have happened: look at the world before anything else is done.
    Indeterminate,
}
