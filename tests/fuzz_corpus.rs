//! Every input that the fuzzers keep, and every one that ever crashed a target, holds what the targets ask.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "fuzz/src/targets.rs"]
mod targets;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 7] = [
    ("release_body", targets::release_body),
    ("range", targets::range),
    ("version", targets::version),
    ("feed_json", targets::feed_json),
    ("config", targets::config),
    ("policy", targets::policy),
    ("calendar", targets::calendar),
];

/// More is slower to clone and to replay than it finds.
const MOST_FILES: usize = 60;
const MOST_BYTES: usize = 200 * 1024;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn every_kept_input_and_every_old_crash_holds() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        let kept = inputs(&fuzz().join("corpus").join(name));
        assert!(!kept.is_empty(), "{name} has no corpus");
        for (path, bytes) in kept
            .into_iter()
            .chain(inputs(&fuzz().join("crashes").join(name)))
        {
            if catch_unwind(|| target(&bytes)).is_err() {
                failed.push(path.display().to_string());
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_target_is_replayed_and_its_corpus_is_small() {
    for folder in ["corpus", "crashes"] {
        for entry in fs::read_dir(fuzz().join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name}");
        }
    }
    let listed = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(listed.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
        let kept = inputs(&fuzz().join("corpus").join(name));
        let bytes: usize = kept.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(
            kept.len() <= MOST_FILES && bytes <= MOST_BYTES,
            "{name}: {} files, {bytes} bytes",
            kept.len()
        );
    }
    assert_eq!(listed.matches("[[bin]]").count(), TARGETS.len());
}
