//! What mastopatch knows and how it decides: values and pure functions.
//!
//! Nothing below this module does I/O, reads a clock, draws a random number or depends on hash order. The same facts,
//! policy and instant give the same decision for ever, which is what makes `explain` and the journal trustworthy.

#![deny(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

pub mod advisory;
pub mod clock;
pub mod decide;
pub mod event;
pub mod feed;
pub mod installed;
pub mod method;
pub mod notice;
pub mod outlook;
pub mod path;
pub mod plan;
pub mod policy;
pub mod published;
pub mod recovery;
pub mod rehearsal;
pub mod release;
pub mod report;
pub mod retention;
pub mod room;
pub mod run;
pub mod version;
pub mod window;
