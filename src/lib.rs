//! mastopatch keeps a self-hosted Mastodon under Docker patched.

pub mod domain;
pub mod engine;
pub mod ports;
