//! mastopatch keeps a self-hosted Mastodon under Docker patched.

pub mod adapters;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod engine;
pub mod exit;
pub mod ports;
