//! A simulated world: a host, its engine, its data, its files, its clock, people who write and people who meddle.
//!
//! The engine of the product runs over it as it is: only the ports are replaced. Every call of a port goes through
//! [`world::SimPorts::call`], where time passes, faults strike by a schedule, the public writes, and the invariants are
//! looked at. A process that is killed there is dropped; [`process::carry_through`] starts the next one.

mod cluster;
pub(crate) mod data;
pub(crate) mod disk;
pub(crate) mod engine;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod fixture;
pub(crate) mod held;
pub(crate) mod images;
pub(crate) mod invariants;
pub(crate) mod journal;
pub(crate) mod outcome;
pub(crate) mod platter;
pub(crate) mod process;
pub(crate) mod runtime;
pub(crate) mod script;
pub(crate) mod stranger;
pub(crate) mod web;
pub(crate) mod world;
