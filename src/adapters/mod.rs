//! The outside world: one library or program each, behind a port.

pub mod compose;
pub mod docker;
pub mod recreate;
