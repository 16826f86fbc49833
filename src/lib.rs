//! mastopatch keeps a self-hosted Mastodon under Docker patched.

pub mod adapters;
pub mod domain;
pub mod ports;
