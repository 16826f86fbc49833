//! What is decided: pure values and functions. No I/O, no clock, no async, no chance, no hash order.
#![deny(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

pub mod advisory;
pub mod event;
pub mod plan;
pub mod report;
pub mod run;
pub mod version;
