//! libFuzzer calls the target of the same name.
#![no_main]
#![allow(dead_code, reason = "the file holds all targets")]

#[path = "../src/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::calendar(data));
