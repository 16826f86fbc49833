//! mastopatch keeps a self-hosted Mastodon under Docker patched.

pub mod adapters;
pub mod ports;
