//! Scenarios on a real engine with a real PostgreSQL, Redis, registry and SMTP server. Each ends with: the
//! world equals before, or equals what was planned; the journal says so; exactly one mail.
//!
//! They need the lab: run them with `make test`, or `tests/lab/lab.sh run cargo test --test scenario NAME`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unnecessary_wraps,
    clippy::assigning_clones,
    reason = "test code may fail loudly, prints, runs programs, reads the clock; all scenarios have one type"
)]

mod clone;
mod copies;
mod crash;
mod doubt;
mod forward;
mod held;
mod knowing;
mod outside;
mod parts;
mod refusal;
mod rehearsal;
mod restore;
mod rollback;
mod runner;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod windows;

use std::process::ExitCode;

use support::world;

fn main() -> ExitCode {
    runner::main(
        vec![
            parts::suite(),
            forward::suite(),
            clone::suite(),
            rehearsal::suite(),
            copies::suite(),
            snapshots::suite(),
            knowing::suite(),
            outside::suite(),
            outside::addressed_suite(),
            windows::closed_suite(),
            windows::opening_suite(),
            refusal::suite(),
            crash::suite(),
            held::suite(),
            doubt::suite(),
            rollback::suite(),
            restore::suite(),
        ],
        nothing_of_ours_is_left,
    )
}

fn nothing_of_ours_is_left() -> Result<(), String> {
    let containers = support::lab::containers("label=org.mastopatch.run");
    let mut left: Vec<String> = containers
        .into_iter()
        .map(|container| container.name)
        .collect();
    left.extend(world::networks("label=org.mastopatch.run"));
    left.extend(world::keep_tags());
    support::check(left.is_empty(), format!("left on the machine: {left:?}"))
}
