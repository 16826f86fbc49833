//! What went well and is taken back all the same, and the data of a snapshot that come back.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mastopatch::domain::plan::short;
use serde_json::Value;

use crate::crash::{UNTIL_MIGRATION, migration};
use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::lab::InstanceOptions;
use crate::support::product::Product;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        an_update_is_taken_back_once_a_person_agrees_to_the_loss_and_that_is_taken_back_too,
        a_dump_comes_back_and_what_is_damaged_or_was_taken_hot_is_refused,
        a_rollback_that_is_killed_leaves_all_of_now_or_all_of_before,
        an_update_without_migrations_is_taken_back_without_a_loss,
        the_data_of_a_snapshot_come_back_where_the_version_stays,
    ]
}

/// A copy of the database is made and compared, and the version started.
const UNTIL_THERE: Duration = Duration::from_secs(300);

/// A product whose state nobody else looks at, and that copies the database in this way.
pub(crate) fn apart(site: &Site, name: &str, method: &str) -> Product {
    let own = site.product.state_dir().with_file_name(name);
    site.product.variant(name, |settings| {
        settings.state_dir = Some(own);
        method.clone_into(&mut settings.snapshot);
    })
}

/// At 4.4.15, whose migrations the old code does not run on; with what it was before, and the run.
fn updated<'a>(
    stage: &'a mut Stage,
    name: &str,
    method: &str,
) -> (&'a mut Site, Product, World, String) {
    let site = stage.site(&InstanceOptions::at("v4.3.21").seeded(400, 6000));
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let product = apart(site, name, method);
    let before = World::of(&site.instance);
    product
        .run(&["apply", "--to", "v4.4.15", "--yes"])
        .expect_code(0);
    let run = product.stored_run().plan.run;
    (site, product, before, run)
}

pub(crate) fn post(site: &Site) {
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    let report = writer.stop();
    assert_eq!(report.missing(&site.instance), Vec::<String>::new());
}

/// The database that a run put aside is there, is listed as its snapshot, and nothing half-made is left.
fn assert_kept_aside(site: &Site, product: &Product, run: &str) {
    let names = site.instance.databases();
    for half_made in ["_clone_", "_restored_", "_damaged_"] {
        let mut all = names.iter();
        assert!(!all.any(|name| name.contains(half_made)), "{names:?}");
    }
    let kept = format!("_before_{}", short(run));
    assert!(names.iter().any(|name| name.ends_with(&kept)), "{names:?}");
    let list = product.json(&["snapshot", "list"]);
    let mut all = list["snapshots"].as_array().expect("a list").iter();
    let it = all.find(|one| one["run"] == run).expect("its snapshot");
    let original = it["database"].as_str().unwrap_or_else(|| panic!("{it}"));
    assert!(original.ends_with(&kept), "{it}");
}

pub(crate) fn assert_same_data(now: &Site, wanted: &World) {
    let difference = wanted.dump.difference(&World::of(&now.instance).dump);
    assert!(difference.is_empty(), "{difference}");
}

pub(crate) fn assert_version(site: &Site, tag: &str) {
    site.instance.wait_healthy(tag);
    world::assert_one_version(&site.instance, tag);
    world::assert_files_name(&site.instance, tag);
    world::assert_up_changes_nothing(&site.instance);
}

fn an_update_is_taken_back_once_a_person_agrees_to_the_loss_and_that_is_taken_back_too(
    stage: &mut Stage,
) -> Verdict {
    let (site, product, before, run) = updated(stage, "back", "clone");
    post(site);
    let later = World::of(&site.instance);
    let refused = product.run(&["rollback", &run, "--yes"]).expect_code(22);
    world::assert_clear(&refused, &["--accept-loss", "Nothing was changed"]);
    for words in ["LOST", " statuses\n", "4.4.15 -> 4.3.21"] {
        assert!(refused.stdout.contains(words), "`{words}` in {refused}");
    }
    world::assert_one_version(&site.instance, "v4.4.15");
    let mails = product.mailbox.all().len();
    let back = product
        .run(&["rollback", &run, "--accept-loss", "--yes"])
        .expect_code(0);
    assert!(
        back.stdout.contains("taken back 4.4.15 -> 4.3.21"),
        "{back}"
    );
    assert_version(site, "v4.3.21");
    world::assert_quarantined(&product, "v4.4.15");
    let told = product.mailbox.wait_beyond(mails);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].subject.contains("4.4.15 -> 4.3.21"), "{told:#?}");
    assert_same_data(site, &before);
    let taken_back = product.stored_run().plan.run;
    assert_kept_aside(site, &product, &taken_back);
    // Only the newest can be taken back, and this one is not it any more.
    let refused = product.run(&["rollback", &run, "--yes"]).expect_code(22);
    world::assert_clear(&refused, &["only the newest"]);

    // The broken one was not broken after all.
    product
        .run(&["snapshot", "restore", &taken_back, "--accept-loss", "--yes"])
        .expect_code(0);
    assert_version(site, "v4.4.15");
    assert_same_data(site, &later);
    assert_kept_aside(site, &product, &product.stored_run().plan.run);
    // What the one before needed goes when a person says so.
    product.run(&["snapshot", "prune", "--yes"]).expect_code(0);
    let names = site.instance.databases();
    let kept = names.iter().filter(|name| name.contains("_before_"));
    assert_eq!(kept.count(), 1, "{names:?}");
    Ok(())
}

/// The biggest file of rows in a snapshot.
fn biggest(product: &Product, run: &str) -> PathBuf {
    let list = product.json(&["snapshot", "list"]);
    let mut all = list["snapshots"].as_array().expect("a list").iter();
    let it: &Value = all.find(|one| one["run"] == run).expect("its snapshot");
    let dir = format!("{}/database", it["path"].as_str().expect("its folder"));
    let files = fs::read_dir(dir).expect("a dump");
    let files = files.map(|entry| entry.expect("a file"));
    let biggest = files.max_by_key(|file| file.metadata().expect("its size").len());
    biggest.expect("one").path()
}

fn a_dump_comes_back_and_what_is_damaged_or_was_taken_hot_is_refused(stage: &mut Stage) -> Verdict {
    let (site, product, before, run) = updated(stage, "dumped", "logical");
    post(site);
    let now = World::of(&site.instance);
    let refusal = |args: &[&str], words: &[&str]| {
        let consent = ["--accept-loss", "--yes"];
        let args: Vec<&str> = args.iter().chain(&consent).copied().collect();
        world::assert_clear(&product.run(&args).expect_code(22), words);
    };
    refusal(&["rollback", "no-such-run"], &["no-such-run"]);
    refusal(&["snapshot", "restore", "no-such-run"], &["no-such-run"]);
    let taken = product.json(&["snapshot", "create"]);
    let hot = taken["snapshot"]["run"].as_str().expect("an id");
    refusal(&["snapshot", "restore", hot], &["while the site was open"]);
    let rows = biggest(&product, &run);
    let was = fs::read(&rows).expect("rows");
    let mut flipped = was.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&rows, &flipped).expect("another bit");
    refusal(&["rollback", &run], &["cannot be restored"]);
    refusal(&["snapshot", "restore", &run], &["cannot be restored"]);
    fs::write(&rows, &was).expect("as it was");
    assert_same_data(site, &now);
    product
        .run(&["rollback", &run, "--accept-loss", "--yes"])
        .expect_code(0);
    assert_version(site, "v4.3.21");
    assert_same_data(site, &before);
    assert_kept_aside(site, &product, &product.stored_run().plan.run);
    Ok(())
}

fn a_rollback_that_is_killed_leaves_all_of_now_or_all_of_before(stage: &mut Stage) -> Verdict {
    let (site, product, before, run) = updated(stage, "killed", "clone");
    post(site);
    let now = World::of(&site.instance);
    let mut rollback = product.spawn(&["rollback", &run, "--accept-loss", "--yes"]);
    // The data of before have the live name.
    rollback.until_said("... switch", UNTIL_THERE);
    rollback.kill_hard();
    let refused = product.run(&["rollback", &run, "--accept-loss", "--yes"]);
    world::assert_clear(&refused.expect_code(22), &["interrupted"]);
    product.run(&["apply", "--yes"]).expect_code(20);
    site.instance.wait_healthy("v4.4.15");
    World::of(&site.instance).assert_same_as(&now);
    assert_eq!(product.quarantine_reason("v4.4.15"), None);

    let mut rollback = product.spawn(&["rollback", &run, "--accept-loss", "--yes"]);
    rollback.until_said("... open", UNTIL_THERE);
    rollback.kill_hard();
    product.run(&["apply", "--yes"]).expect_code(0);
    assert_version(site, "v4.3.21");
    assert_same_data(site, &before);
    assert_kept_aside(site, &product, &product.stored_run().plan.run);
    world::assert_quarantined(&product, "v4.4.15");
    Ok(())
}

fn the_data_of_a_snapshot_come_back_where_the_version_stays(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8").seeded(400, 6000));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.2"]);
    let product = apart(site, "stays", "logical");
    let before = World::of(&site.instance);
    let mut apply = product.spawn(&["apply", "--to", "v4.6.2", "--yes"]);
    apply.until("the migration runs", UNTIL_MIGRATION, || {
        migration(&product)
    });
    apply.kill_hard();
    product.run(&["apply", "--yes"]).expect_code(20);
    site.instance.wait_healthy("v4.5.8");
    let run = product.stored_run().plan.run;
    post(site);
    let now = World::of(&site.instance);
    let lost = product
        .run(&["snapshot", "restore", &run, "--yes", "--json"])
        .expect_code(22);
    assert!(lost.stderr.contains(" statuses\n"), "{lost}");
    let error: Value = serde_json::from_str(&lost.stdout).expect("JSON");
    assert!(error.to_string().contains("--accept-loss"), "{error}");
    assert_same_data(site, &now);
    let done = product
        .run(&[
            "snapshot",
            "restore",
            &run,
            "--accept-loss",
            "--yes",
            "--json",
        ])
        .expect_code(0);
    let done: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(done["run"]["restore"]["run"], run.as_str(), "{done}");
    assert_eq!(done["run"]["outcome"], "committed", "{done}");
    assert_version(site, "v4.5.8");
    assert_same_data(site, &before);
    assert_kept_aside(site, &product, &product.stored_run().plan.run);
    assert_eq!(product.quarantine_reason("v4.5.8"), None);
    Ok(())
}

fn an_update_without_migrations_is_taken_back_without_a_loss(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    site.github.show(&["v4.5.6", "v4.5.8"]);
    let product = apart(site, "code", "auto");
    product
        .run(&["apply", "--to", "v4.5.8", "--yes"])
        .expect_code(0);
    let run = product.stored_run().plan.run;
    post(site);
    let now = World::of(&site.instance);
    // That it is down is what it is taken back for.
    site.instance.compose(&["stop", "web"]);
    let back = product
        .run(&["rollback", short(&run), "--yes"])
        .expect_code(0);
    assert!(back.stdout.contains("with the data of now"), "{back}");
    assert_version(site, "v4.5.6");
    assert_same_data(site, &now);
    world::assert_quarantined(&product, "v4.5.8");
    Ok(())
}
