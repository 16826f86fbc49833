//! What went well and is taken back all the same, and the data of a snapshot that come back.

use std::time::Duration;

use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::lab::InstanceOptions;
use crate::support::product::Product;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        an_update_that_went_well_is_taken_back_once_a_person_agrees_to_the_loss,
        a_rollback_that_is_killed_leaves_the_version_and_the_data_of_now,
        the_data_of_a_snapshot_come_back_and_those_of_now_are_kept,
    ]
}

/// A copy of the database is made and compared.
const UNTIL_COPIED: Duration = Duration::from_secs(240);

/// At 4.4.15, whose migrations the old code does not run on; with what it was before, and the run.
fn updated<'a>(stage: &'a mut Stage, name: &str) -> (&'a mut Site, Product, World, String) {
    let site = stage.site(&InstanceOptions::at("v4.3.21").seeded(400, 6000));
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let own = site.product.state_dir().with_file_name(name);
    let product = site
        .product
        .variant(name, |settings| settings.state_dir = Some(own));
    let before = World::of(&site.instance);
    product
        .run(&["apply", "--to", "v4.4.15", "--yes"])
        .expect_code(0);
    let run = product.stored_run().plan.run;
    (site, product, before, run)
}

fn post(site: &Site) {
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    let report = writer.stop();
    assert_eq!(report.missing(&site.instance), Vec::<String>::new());
}

fn kept_aside(site: &Site) -> usize {
    let names = site.instance.databases();
    assert!(!names.iter().any(|it| it.contains("_clone_")), "{names:?}");
    let kept = names.iter().filter(|name| name.contains("_before_"));
    kept.count()
}

fn an_update_that_went_well_is_taken_back_once_a_person_agrees_to_the_loss(
    stage: &mut Stage,
) -> Verdict {
    let (site, product, before, run) = updated(stage, "back");
    post(site);
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
    site.instance.wait_healthy("v4.3.21");
    world::assert_one_version(&site.instance, "v4.3.21");
    world::assert_files_name(&site.instance, "v4.3.21");
    world::assert_up_changes_nothing(&site.instance);
    world::assert_quarantined(&product, "v4.4.15");
    world::assert_one_mail(&product, mails, "v4.3.21");
    let now = World::of(&site.instance);
    let difference = before.dump.difference(&now.dump);
    assert!(difference.is_empty(), "{difference}");
    assert_eq!(kept_aside(site), 1);
    // Only the newest update can be taken back, and this one is not it any more.
    product.run(&["rollback", &run, "--yes"]).expect_code(22);
    Ok(())
}

fn a_rollback_that_is_killed_leaves_the_version_and_the_data_of_now(stage: &mut Stage) -> Verdict {
    let (site, product, _, run) = updated(stage, "killed");
    post(site);
    let now = World::of(&site.instance);
    let mut rollback = product.spawn(&["rollback", &run, "--accept-loss", "--yes"]);
    rollback.until_said("... switch", UNTIL_COPIED);
    rollback.kill_hard();
    product.run(&["apply", "--yes"]).expect_code(20);
    site.instance.wait_healthy("v4.4.15");
    World::of(&site.instance).assert_same_as(&now);
    assert_eq!(product.quarantine_reason("v4.4.15"), None);
    Ok(())
}

fn the_data_of_a_snapshot_come_back_and_those_of_now_are_kept(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8").seeded(400, 6000));
    let product = site.product.newcomer("data");
    let before = World::of(&site.instance);
    let taken = product.json(&["snapshot", "create"]);
    let run = taken["snapshot"]["run"].as_str().expect("an id").to_owned();
    post(site);
    let refused = product
        .run(&["snapshot", "restore", &run, "--yes"])
        .expect_code(22);
    world::assert_clear(&refused, &["--accept-loss"]);
    product
        .run(&["snapshot", "restore", &run, "--accept-loss", "--yes"])
        .expect_code(0);
    site.instance.wait_healthy("v4.5.8");
    world::assert_one_version(&site.instance, "v4.5.8");
    world::assert_up_changes_nothing(&site.instance);
    let difference = before.dump.difference(&World::of(&site.instance).dump);
    assert!(difference.is_empty(), "{difference}");
    assert_eq!(kept_aside(site), 1);
    Ok(())
}
