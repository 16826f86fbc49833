//! Real releases and advisories: everything is read or reported, and the decisions that follow from them are right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may fail loudly, and need a time zone"
)]

mod decisions;
mod known;
mod laws;
mod notes;
mod notices;
mod properties;
mod ranges;
mod schemas;
mod steps;
mod table;
mod told;
mod windows;
