//! mastopatch keeps a self-hosted Mastodon under Docker patched.

pub mod adapters;
pub mod config;
pub mod domain;
pub mod engine;
pub mod ports;
