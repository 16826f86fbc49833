//! Journals of released formats: they have to load and be carried to an end for ever.
//!
//! They lie in `tests/data/journals`, one folder a format, and are only read. `WRITE_JOURNALS=1 cargo test --test simulated
//! journals` wrote them; it makes files that are missing and leaves the others alone.

use std::fs;
use std::path::{Path, PathBuf};

use mastopatch::domain::event::{Entry, MigrationClass};
use mastopatch::domain::plan::{Method, Plan};
use mastopatch::domain::run::RunState;
use mastopatch::engine::material::Material;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::sim::fault::{Fault, When};
use crate::sim::fixture::fixture;
use crate::sim::outcome::{Verdict, judge};
use crate::sim::process::carry_through;
use crate::sim::world::{Made, Target, World};

/// Of the store's file when these journals were written.
const FORMAT: u32 = 4;

/// One journal, with all that its run needs.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// M0, M1 or M2.
    class: MigrationClass,
    /// Whether the target was bad.
    bad: bool,
    plan: Plan,
    material: String,
    entries: Vec<Entry>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journals")
}

fn case(class: MigrationClass, bad: bool) -> Case {
    Case::update(class, if bad { Target::Unhealthy } else { Target::Good })
}

/// The calls of a run that write its journal, but for the first, in order.
fn writes(class: MigrationClass, bad: bool) -> impl Iterator<Item = Made> {
    let writes = |made: &Made| {
        made.call.mutating
            && made.call.name.starts_with("journal")
            && made.call.name != "journal: begin"
    };
    case(class, bad).calls().into_iter().filter(writes)
}

/// The world of a run whose process is killed as soon as its journal has so many entries.
fn world_at(class: MigrationClass, bad: bool, n_entries: usize) -> World {
    let next = writes(class, bad)
        .nth(n_entries - 1)
        .expect("a longer journal");
    let mut case = case(class, bad);
    case.schedule.insert(next.number, Fault::Kill(When::Before));
    case.run_until_killed()
}

fn write() {
    let folder = folder().join(FORMAT.to_string());
    fs::create_dir_all(&folder).unwrap();
    for (class, bad) in [
        (MigrationClass::M0, false),
        (MigrationClass::M1, false),
        (MigrationClass::M2, false),
        (MigrationClass::M0, true),
        (MigrationClass::M2, true),
    ] {
        for n_entries in (1..=writes(class, bad).count()).step_by(3) {
            let world = world_at(class, bad, n_entries);
            let kept = Kept {
                class,
                bad,
                plan: fixture(class, Method::Logical).plan.clone(),
                material: world.material_text().unwrap(),
                entries: world.log,
            };
            let way = if bad { "back" } else { "forward" };
            let path = folder
                .join(format!("{class:?}-{way}-{:02}.json", kept.entries.len()).to_lowercase());
            if !path.exists() {
                fs::write(path, serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
            }
        }
    }
}

#[test]
fn journals_of_every_format_load_and_are_carried_to_an_end() {
    if std::env::var("WRITE_JOURNALS").is_ok() {
        write();
    }
    let mut n_read = 0;
    for format in fs::read_dir(folder()).unwrap() {
        for file in fs::read_dir(format.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let kept: Kept = serde_json::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            carries_on(&path, kept);
            n_read += 1;
        }
    }
    assert!(n_read > 20, "only {n_read} journals were found");
}

fn carries_on(path: &Path, kept: Kept) {
    let name = path.display();
    let state = RunState::fold(&kept.entries).unwrap_or_else(|err| panic!("{name}: {err}"));
    Material::parse(&kept.material, &kept.plan).unwrap_or_else(|err| panic!("{name}: {err}"));
    // The world of the moment, with what was kept in place of what this program would have written.
    let mut world = world_at(kept.class, kept.bad, kept.entries.len());
    assert_eq!(
        world.log.len(),
        kept.entries.len(),
        "{name}: the simulated run is another by now"
    );
    world.log = kept.entries;
    world.state = state;
    world.begun = Some(kept.plan.clone().into());
    world.keep_material(&kept.material);
    world.schedule = std::sync::Arc::default();
    let original = &fixture(kept.class, Method::Logical).world;
    let committed = world.state.is_committed();
    let mut carried = carry_through(world, None);
    let verdict = judge(&mut carried.world, original, &kept.plan)
        .unwrap_or_else(|why| panic!("{name}: {why}"));
    assert_eq!(verdict == Verdict::Committed, committed, "{name}");
}
