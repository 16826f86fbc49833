//! What the daemon and the terminal share: the world put together from the settings, what is known, and
//! one update from lock to outcome. The daemon's own loop is in [`supervisor`].

pub mod act;
pub mod feeds;
pub mod knowledge;
pub mod lock;
mod notices;
pub mod rehearsals;
mod rest;
mod status;
pub mod supervisor;
mod unfinished;
pub mod world;
