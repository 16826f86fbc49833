//! Snapshots on a real disk: sealed, found, looked through, removed.

use std::fs;

use super::*;
use crate::ports::files::MANIFEST_FORMAT;

fn manifest(run: &str) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        run: run.to_owned(),
        instance: "social.example".to_owned(),
        version: "4.5.7".to_owned(),
        taken_at: "2026-11-23T10:00:00Z".parse().unwrap(),
        images: BTreeMap::new(),
        method: "test".to_owned(),
        original: None,
        cluster: None,
        postgres: 150_000,
        schema: [].into(),
        rows: BTreeMap::new(),
        redis_keys: 0,
        files: BTreeMap::new(),
        hot: false,
    }
}

fn snapshot(state: &StateDir, run: &str) -> PathBuf {
    let dir = state.begin_snapshot(run).unwrap();
    fs::create_dir(dir.join("database")).unwrap();
    fs::write(dir.join("database/1.dat"), b"rows").unwrap();
    state.seal_snapshot(&dir, manifest(run)).unwrap().0
}

#[test]
fn a_sealed_snapshot_opens_and_an_altered_or_cut_one_does_not() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path()).unwrap();
    let dir = snapshot(&state, "r1");
    assert_eq!(state.open_snapshot("r1").unwrap().unwrap().0, dir);
    fs::write(dir.join("database/1.dat"), b"rowz").unwrap();
    let text = state.open_snapshot("r1").unwrap_err().to_string();
    assert!(text.contains("database/1.dat"), "{text}");
    fs::remove_file(dir.join("database/1.dat")).unwrap();
    assert!(state.open_snapshot("r1").is_err());
    assert!(state.open_snapshot("r2").unwrap().is_none());
}

#[test]
fn a_snapshot_without_its_manifest_does_not_count() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path()).unwrap();
    fs::remove_file(snapshot(&state, "r1").join(MANIFEST)).unwrap();
    assert!(state.open_snapshot("r1").unwrap().is_none());
}

#[test]
fn each_flaw_has_its_own_reason() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path()).unwrap();
    let flaw_after = |harm: &dyn Fn(&Path)| {
        let dir = snapshot(&state, "r1");
        harm(&dir);
        let found = state.found_snapshots().unwrap();
        assert_eq!(found.len(), 1);
        state.flaw(&found[0], &|_| {}).unwrap()
    };
    let file = "database/1.dat".to_owned();
    let data = |dir: &Path| dir.join("database/1.dat");
    let rewrite = |dir: &Path, from: &str, to: &str| {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    };
    assert_eq!(flaw_after(&|_| {}), None);
    let cut = |dir: &Path| fs::write(data(dir), b"row").unwrap();
    let found = Flaw::Length {
        file: file.clone(),
        wanted: 4,
        found: 3,
    };
    assert_eq!(flaw_after(&cut), Some(found));
    let flipped = |dir: &Path| fs::write(data(dir), b"rowr").unwrap();
    assert_eq!(
        flaw_after(&flipped),
        Some(Flaw::Altered { file: file.clone() })
    );
    let removed = |dir: &Path| fs::remove_file(data(dir)).unwrap();
    assert_eq!(flaw_after(&removed), Some(Flaw::Missing { file }));
    let added = |dir: &Path| fs::write(dir.join("database/2.dat"), b"").unwrap();
    let file = "database/2.dat".to_owned();
    assert_eq!(flaw_after(&added), Some(Flaw::Surplus { file }));
    let of_another = |dir: &Path| rewrite(dir, "\"r1\"", "\"r0\"");
    let found = "r0".to_owned();
    assert_eq!(flaw_after(&of_another), Some(Flaw::OtherRun { found }));
    assert!(state.open_snapshot("r1").is_err());
    let newer = |dir: &Path| {
        rewrite(
            dir,
            "\"format\": 1",
            "\"format\": 2, \"not_known_here\": true",
        );
    };
    assert_eq!(flaw_after(&newer), Some(Flaw::Newer { found: 2 }));
    let garbled = |dir: &Path| fs::write(dir.join(MANIFEST), b"{\"format\": 1").unwrap();
    assert!(matches!(flaw_after(&garbled), Some(Flaw::Manifest { .. })));
    let unfinished = |dir: &Path| fs::remove_file(dir.join(MANIFEST)).unwrap();
    assert_eq!(flaw_after(&unfinished), Some(Flaw::Unfinished));
}

#[test]
fn a_snapshot_that_is_being_written_is_found_as_unfinished() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path()).unwrap();
    state.begin_snapshot("r2").unwrap();
    snapshot(&state, "r1");
    let found = state.found_snapshots().unwrap();
    let runs: Vec<_> = found
        .iter()
        .map(|found| (found.run.as_str(), found.manifest.is_ok()))
        .collect();
    assert_eq!(runs, [("r1", true), ("r2", false)]);
    assert_eq!(found[1].manifest, Err(Flaw::Unfinished));
}

#[test]
fn how_far_the_look_is_is_told_in_bytes() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path()).unwrap();
    snapshot(&state, "r1");
    let found = state.found_snapshots().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let look = |bytes| seen.lock().unwrap().push(bytes);
    assert_eq!(state.flaw(&found[0], &look).unwrap(), None);
    assert_eq!(*seen.lock().unwrap(), [4]);
}

#[test]
fn the_manifest_of_a_run_has_the_bytes_it_always_had_and_a_hot_one_says_so() {
    let text = serde_json::to_string(&manifest("r1")).unwrap();
    assert!(!text.contains("hot"), "{text}");
    let hot = Manifest {
        hot: true,
        ..manifest("r1")
    };
    let text = serde_json::to_string(&hot).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), hot);
}

#[test]
fn the_snapshots_that_are_named_go_and_no_others() {
    let root = tempfile::tempdir().unwrap();
    let state = StateDir::open(root.path()).unwrap();
    for run in ["r1", "r2", "r3"] {
        snapshot(&state, run);
    }
    let gone = ["r2", "r3"].map(str::to_owned);
    assert_eq!(state.remove_snapshots(&gone).unwrap().len(), 2);
    assert!(state.open_snapshot("r1").unwrap().is_some());
    assert!(state.open_snapshot("r2").unwrap().is_none());
    assert_eq!(state.found_snapshots().unwrap().len(), 1);
}
