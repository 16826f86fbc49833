//! Runs in a simulated world: interrupted everywhere, by everything, and looked at after every event.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::needless_for_each,
    clippy::struct_excessive_bools,
    clippy::match_same_arms,
    clippy::too_many_lines,
    clippy::format_push_string,
    reason = "tests may fail loudly and say how it went"
)]

#[path = "../contract/mod.rs"]
mod clauses;
#[path = "../sim/mod.rs"]
mod sim;

mod backup;
mod case;
mod contract;
mod journals;
mod kinds;
mod known;
mod left;
mod material;
mod outside;
mod patience;
mod plain;
mod proof;
mod random;
mod refused;
mod rehearsal;
mod restores;
mod room;
mod snapshots;
mod spoilt;
mod table;
