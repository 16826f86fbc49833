//! What we write to files, against errors, the end of the process and power cuts at every operation; and
//! the disk in memory held against the real one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "tests may fail loudly"
)]

#[path = "sim/disk.rs"]
mod disk;
#[path = "sim/platter.rs"]
mod platter;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use mastopatch::adapters::compose::Compose;
use mastopatch::adapters::disk::{Disk, HostDisk};
use mastopatch::adapters::files::StateDir;
use mastopatch::ports::compose::{ComposeProject as _, FileEdit, FileState};
use mastopatch::ports::files::{FilesResult, MANIFEST_FORMAT, Manifest, RunFiles as _};

use disk::{SimDisk, Trouble};

/// Power cuts tried at each point: enough that each of a handful of un-synced names is lost and kept.
const CUTS: u64 = 12;
const ROOT: &str = "/var/lib/mastopatch";
const SNAPSHOTS: &str = "/var/lib/mastopatch/snapshots";
const COMPOSE: &str = "/srv/mastodon/compose.yml";
const BEFORE: &str = "image: mastodon:v4.5.7\n";
const AFTER: &str = "image: mastodon:v4.5.8\n";

#[test]
fn the_disk_in_memory_and_the_real_one_answer_alike() {
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    contract(&HostDisk, root.path(), &mode);
    let sim = SimDisk::default();
    sim.write(Path::new("/tmp/x/other"), b"");
    contract(&sim, Path::new("/tmp/x"), &|path| sim.mode(path).unwrap());
}

fn contract(disk: &impl Disk, root: &Path, mode: &dyn Fn(&Path) -> u32) {
    let kind = |result: Result<(), std::io::Error>| result.unwrap_err().kind();
    let (dir, other) = (root.join("dir"), root.join("other.d"));
    let (one, two) = (dir.join("one"), dir.join("two"));

    assert!(!disk.exists(&dir));
    disk.make_folder(&dir, 0o750).unwrap();
    assert!(disk.exists(&dir));
    assert_eq!(mode(&dir), 0o750);
    assert_eq!(
        kind(disk.make_folder(&dir, 0o700)),
        ErrorKind::AlreadyExists
    );
    let deep = root.join("none/deep");
    assert_eq!(kind(disk.make_folder(&deep, 0o700)), ErrorKind::NotFound);

    disk.write_new(&one, b"first", None).unwrap();
    assert_eq!(disk.read(&one).unwrap(), b"first");
    assert_eq!(mode(&one), 0o600);
    assert_eq!(
        kind(disk.write_new(&one, b"x", None)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(disk.write_new(&two, b"x", Some(&deep))),
        ErrorKind::NotFound
    );
    assert!(!disk.exists(&two));
    disk.write_new(&two, b"second", Some(&dir)).unwrap();
    assert_eq!(mode(&two), 0o750);

    let mut names = disk.list(&dir).unwrap();
    names.sort();
    assert_eq!(names, [("one".into(), false), ("two".into(), false)]);
    assert!(disk.list(root).unwrap().contains(&("dir".into(), true)));
    assert_eq!(
        disk.list(&one).unwrap_err().kind(),
        ErrorKind::NotADirectory
    );
    assert_eq!(disk.list(&deep).unwrap_err().kind(), ErrorKind::NotFound);

    disk.sync(&one).unwrap();
    disk.sync(&dir).unwrap();
    assert_eq!(kind(disk.sync(&deep)), ErrorKind::NotFound);
    assert_eq!(
        disk.canonicalize(&one).unwrap().file_name(),
        one.file_name()
    );
    assert_eq!(
        disk.canonicalize(&deep).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(disk.room(&dir).unwrap().bytes > 0);
    assert_eq!(disk.room(&deep).unwrap_err().kind(), ErrorKind::NotFound);

    disk.rename(&one, &two).unwrap();
    assert_eq!(disk.read(&two).unwrap(), b"first");
    assert_eq!(disk.read(&one).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(kind(disk.rename(&one, &two)), ErrorKind::NotFound);
    disk.make_folder(&other, 0o700).unwrap();
    assert_eq!(
        kind(disk.rename(&other, &dir)),
        ErrorKind::DirectoryNotEmpty
    );
    disk.rename(&dir, &other).unwrap();
    assert_eq!(disk.read(&other.join("two")).unwrap(), b"first");

    assert_eq!(kind(disk.remove_file(&one)), ErrorKind::NotFound);
    assert_eq!(kind(disk.remove_tree(&dir)), ErrorKind::NotFound);
    disk.remove_tree(&other).unwrap();
    assert!(!disk.exists(&other));
}

#[test]
fn material_is_the_old_or_the_new_one_and_stays_once_saved() {
    let save = |disk: &SimDisk| state(disk)?.save_material("r1", "the new material");
    let check = |disk: &SimDisk, is_saved: bool| {
        let path = Path::new("/var/lib/mastopatch/runs/r1.json");
        match disk.text(path) {
            Some(text) if text == b"the new material" => {
                assert_eq!(disk.mode(path), Some(0o600));
                let loaded = state(disk).unwrap().load_material("r1").unwrap();
                assert_eq!(loaded, "the new material");
            }
            other => {
                assert!(!is_saved, "lost: {other:?}");
                assert!(other.is_none_or(|text| text == b"an old one"), "torn");
            }
        }
        if is_saved {
            assert_eq!(
                disk.names(Path::new("/var/lib/mastopatch/runs")),
                ["r1.json"]
            );
        }
    };
    let n_fresh = every_interruption(&SimDisk::default(), &save, &check);
    let disk = SimDisk::default();
    let saved = state(&disk).and_then(|state| state.save_material("r1", "an old one"));
    saved.unwrap();
    let n_again = every_interruption(&disk, &save, &check);
    assert!(n_fresh > 500 && n_again > 250, "{n_fresh}, {n_again}");
}

#[test]
fn a_plan_file_is_whole_while_its_run_is_open_and_gone_for_good_afterwards() {
    let disk = SimDisk::default();
    let open = |disk: &SimDisk| state(disk)?.save_plan("r1", "a plan of some length");
    let close = |disk: &SimDisk| state(disk)?.close_plan("r1");
    let plan = ("r1".to_owned(), "a plan of some length".to_owned());
    let found = |disk: &SimDisk| state(disk).unwrap().open_plans().unwrap();
    every_interruption(&disk, &open, &|disk, is_done| {
        let plans = found(disk);
        assert!(
            plans == [plan.clone()] || !is_done && plans.is_empty(),
            "{plans:?}"
        );
    });
    open(&disk).unwrap();
    every_interruption(&disk, &close, &|disk, is_done| {
        let plans = found(disk);
        assert!(
            plans.is_empty() || !is_done && plans == [plan.clone()],
            "{plans:?}"
        );
    });
    state(&disk).unwrap().save_plan("r0", "another").unwrap();
    let runs: Vec<String> = found(&disk).into_iter().map(|(run, _)| run).collect();
    assert_eq!(runs, ["r0", "r1"]);
}

#[test]
fn a_snapshot_opens_whole_or_does_not_count() {
    let take = |disk: &SimDisk| take(disk, "r1");
    let check = |disk: &SimDisk, is_sealed: bool| {
        let Some((dir, manifest)) = state(disk).unwrap().open_snapshot("r1").unwrap() else {
            assert!(!is_sealed, "a sealed snapshot is lost");
            return;
        };
        assert_eq!(manifest.files.len(), 3);
        assert_eq!(
            disk.text(&dir.join("database/toc.dat")).unwrap(),
            b"what is in it"
        );
        assert_eq!(
            disk.text(&dir.join("files/0-compose.yml")).unwrap(),
            BEFORE.as_bytes()
        );
        if is_sealed {
            assert_eq!(disk.names(Path::new(SNAPSHOTS)), ["r1"]);
        }
    };
    let disk = owners_disk();
    every_interruption(&disk, &take, &check);
    take(&disk).unwrap();
    every_interruption(&disk, &take, &check);
}

#[test]
fn a_seal_that_failed_can_be_tried_again_in_the_same_folder() {
    let base = owners_disk();
    let state = state(&base).unwrap();
    let dir = state.begin_snapshot("r1").unwrap();
    base.write(&dir.join("database/1.dat"), b"all the rows");
    for n_more in 0..40 {
        let disk = base.fork();
        let state = StateDir::on(disk.clone(), Path::new(ROOT)).unwrap();
        disk.after(n_more, Trouble::Full);
        if state.seal_snapshot(&dir, manifest("r1")).is_err() {
            disk.restart();
            state.seal_snapshot(&dir, manifest("r1")).unwrap();
        }
        disk.restart();
        let (_, manifest) = state.open_snapshot("r1").unwrap().unwrap();
        assert_eq!(manifest.files.len(), 1);
    }
}

#[test]
fn a_removed_snapshot_is_whole_or_gone_and_the_others_stay() {
    let disk = owners_disk();
    for run in ["r1", "r2", "r3"] {
        take(&disk, run).unwrap();
    }
    let prune = |disk: &SimDisk| {
        let state = state(disk)?;
        let gone = ["r1", "r2"].map(str::to_owned);
        state.remove_snapshots(&gone)?;
        state.remove_snapshots(&gone).map(drop)
    };
    every_interruption(&disk, &prune, &|disk, is_pruned| {
        let state = state(disk).unwrap();
        assert!(state.open_snapshot("r3").unwrap().is_some());
        for run in ["r1", "r2"] {
            // Unwrapped: it is never found damaged.
            let opened = state.open_snapshot(run).unwrap();
            assert!(opened.is_none() || !is_pruned, "{run} came back");
        }
        if is_pruned {
            assert!(!disk.names(Path::new(SNAPSHOTS)).contains(&"r1".to_owned()));
        }
    });
}

#[test]
fn what_a_cut_off_removal_left_is_removed_by_the_next_one() {
    let base = owners_disk();
    for run in ["r1", "r2"] {
        take(&base, run).unwrap();
    }
    for n_more in 0..40 {
        let disk = base.fork();
        let state = StateDir::on(disk.clone(), Path::new(ROOT)).unwrap();
        disk.after(n_more, Trouble::Killed);
        drop(state.remove_snapshots(&["r1".to_owned()]));
        disk.restart();
        state.remove_snapshots(&["r1".to_owned()]).unwrap();
        assert_eq!(disk.names(Path::new(SNAPSHOTS)), ["r2"]);
    }
}

#[test]
fn an_unfinished_snapshot_is_not_counted_among_those_to_keep() {
    let disk = owners_disk();
    take(&disk, "r1").unwrap();
    let n_before = disk.n_done();
    take(&disk.fork(), "r2").unwrap();
    let whole = disk.fork();
    take(&whole, "r2").unwrap();
    let n_take = whole.n_done() - n_before;
    // Killed in its last but one operation, the rename: the manifest is there, its name is not.
    disk.after(n_take - 2, Trouble::Killed);
    take(&disk, "r2").unwrap_err();
    disk.restart();
    assert_eq!(disk.names(Path::new(SNAPSHOTS)), [".r2.partial", "r1"]);
    let partial = Path::new(SNAPSHOTS).join(".r2.partial/manifest.json");
    assert!(disk.text(&partial).is_some());
    take(&disk, "r3").unwrap();
    let state = state(&disk).unwrap();
    let counted = state.snapshots("social.example").unwrap();
    let counted: Vec<&str> = counted.iter().map(|found| found.run.as_str()).collect();
    assert_eq!(counted, ["r1", "r3"]);
    assert!(state.open_snapshot("r1").unwrap().is_some());
}

#[test]
fn an_unfinished_snapshot_that_was_removed_does_not_come_back() {
    let disk = owners_disk();
    let dir = state(&disk).unwrap().begin_snapshot("r1").unwrap();
    disk.write(&dir.join("database/1.dat"), b"all the rows");
    disk.sync_all();
    let remove = |disk: &SimDisk| state(disk)?.ensure_no_partial("r1");
    every_interruption(&disk, &remove, &|disk, is_removed| {
        assert!(!is_removed || disk.names(Path::new(SNAPSHOTS)).is_empty());
    });
}

#[test]
fn an_edited_file_is_the_old_or_the_new_one_and_nothing_is_left_beside_it() {
    let edit = FileEdit {
        path: COMPOSE.into(),
        before: BEFORE.to_owned(),
        after: AFTER.to_owned(),
    };
    let compose = |disk: &SimDisk| Compose::on(disk.clone(), Path::new("/none"));
    let forward = |disk: &SimDisk| compose(disk).ensure_edited(&edit).map(drop);
    let back = |disk: &SimDisk| compose(disk).ensure_restored(&edit).map(drop);
    let check = |wanted: FileState, disk: &SimDisk, is_done: bool| {
        let found = compose(disk).state(&edit).unwrap();
        assert!(
            [FileState::Before, FileState::After].contains(&found),
            "torn"
        );
        assert_eq!(disk.mode(Path::new(COMPOSE)), Some(0o640));
        if is_done {
            assert_eq!(found, wanted);
            assert_eq!(disk.names(Path::new("/srv/mastodon")), ["compose.yml"]);
        }
        // Whatever was left, the way back ends well, for good.
        let disk = disk.fork();
        compose(&disk).ensure_restored(&edit).unwrap();
        disk.power_cut(&mut chance(7));
        assert_eq!(disk.text(Path::new(COMPOSE)).unwrap(), BEFORE.as_bytes());
        assert_eq!(disk.names(Path::new("/srv/mastodon")), ["compose.yml"]);
    };
    let disk = owners_disk();
    every_interruption(&disk, &forward, &|disk, is_done| {
        check(FileState::After, disk, is_done)
    });
    forward(&disk).unwrap();
    every_interruption(&disk, &back, &|disk, is_done| {
        check(FileState::Before, disk, is_done)
    });
}

/// Does `act` on copies of `base`, with each trouble at each operation, alone and followed by power cuts; then
/// once more without trouble, followed by a power cut. `check` is told whether `act` said that all is well.
/// Gives the number of interruptions.
fn every_interruption<E: std::fmt::Debug>(
    base: &SimDisk,
    act: &dyn Fn(&SimDisk) -> Result<(), E>,
    check: &dyn Fn(&SimDisk, bool),
) -> u64 {
    let smooth = base.fork();
    act(&smooth).unwrap();
    let n_operations = smooth.n_done() - base.n_done();
    let mut n_tried = 0;
    for n_more in 0..=n_operations {
        for trouble in [Trouble::Full, Trouble::Broken, Trouble::Killed] {
            let disk = base.fork();
            disk.after(n_more, trouble);
            let is_done = act(&disk).is_ok();
            disk.restart();
            for seed in 0..=CUTS {
                let disk = disk.fork();
                if seed > 0 {
                    disk.power_cut(&mut chance(seed));
                }
                // On copies: looking may synchronise, and so help what it looks at.
                check(&disk.fork(), is_done);
                act(&disk).unwrap();
                check(&disk.fork(), true);
                disk.power_cut(&mut chance(seed + CUTS));
                check(&disk, true);
                n_tried += 1;
            }
        }
    }
    n_tried
}

/// Numbers that look like chance, the same for each seed (splitmix64).
fn chance(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    move |below| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % below as u64) as usize
    }
}

fn state(disk: &SimDisk) -> FilesResult<StateDir<SimDisk>> {
    StateDir::on(disk.clone(), Path::new(ROOT))
}

/// A disk with the owner's Compose file and our folders, all durable.
fn owners_disk() -> SimDisk {
    let disk = SimDisk::default();
    disk.write(Path::new(COMPOSE), BEFORE.as_bytes());
    disk.set_mode(Path::new(COMPOSE), 0o640);
    disk.sync_all();
    state(&disk).unwrap();
    disk
}

/// Takes a snapshot; what the database's tool writes, nobody synchronises.
fn take(disk: &SimDisk, run: &str) -> FilesResult<()> {
    let state = state(disk)?;
    let dir = state.begin_snapshot(run)?;
    disk.write(&dir.join("database/1.dat"), b"all the rows of a table");
    disk.write(&dir.join("database/toc.dat"), b"what is in it");
    state.copy_into(&dir, &[COMPOSE.into(), "/srv/mastodon/.env".into()])?;
    state.seal_snapshot(&dir, manifest(run)).map(drop)
}

fn manifest(run: &str) -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        run: run.to_owned(),
        instance: "social.example".to_owned(),
        version: "4.5.7".to_owned(),
        taken_at: "2026-11-23T10:00:00Z".parse().unwrap(),
        images: BTreeMap::new(),
        method: "test".to_owned(),
        hot: false,
        original: None,
        cluster: None,
        postgres: 150_000,
        schema: [].into(),
        rows: BTreeMap::new(),
        redis_keys: 0,
        files: BTreeMap::new(),
    }
}
