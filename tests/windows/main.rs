//! The window engine against what is slow and obviously right: Python's zoneinfo over every zone, systemd's reading of
//! the same lines, a walk over every minute, and the laws that hold for any window.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests may fail loudly, run programs, need time zones and say how much was compared"
)]

mod blackouts;
mod generated;
mod oracle;
mod properties;
mod rules;
mod systemd;
