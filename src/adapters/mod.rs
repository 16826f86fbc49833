//! What the ports are made of: each adapter hides one outside library, whose types stay in its files.

pub mod mail;
pub mod store;
