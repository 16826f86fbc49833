//! Runs whose journal is lost, and runs that are held until a person decides.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use crate::crash::{UNTIL_MIGRATION, UNTIL_ROLLED_BACK, migration};
use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::lab::InstanceOptions;
use crate::support::product::Product;
use crate::support::world::{self, World};

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_state_file_that_is_lost_in_a_migration_is_made_up_for,
        a_state_file_that_cannot_be_opened_keeps_no_site_closed,
        a_run_that_is_held_behind_its_commit_goes_on_or_back_as_a_person_says,
        a_way_back_that_loses_data_is_taken_only_if_a_person_agrees,
    ]
}

/// Three tries to open, each as long as a boot may take.
const UNTIL_HELD: Duration = Duration::from_secs(300);

/// A product whose state nobody else looks at.
fn apart(site: &Site, name: &str) -> Product {
    let own = site.product.state_dir().with_file_name(name);
    site.product.variant(name, |settings| {
        settings.state_dir = Some(own);
        settings.boot_timeout = "30s".to_owned();
    })
}

fn state_files(product: &Product) -> Vec<PathBuf> {
    ["state.db", "state.db-wal", "state.db-shm"]
        .map(|name| product.state_dir().join(name))
        .into_iter()
        .filter(|path| path.exists())
        .collect()
}

fn killed_in_its_migration(product: &Product) {
    let mut apply = product.spawn(&["apply", "--to", "v4.6.2", "--yes"]);
    apply.until("the migration runs", UNTIL_MIGRATION, || migration(product));
    apply.kill_hard();
}

fn a_state_file_that_is_lost_in_a_migration_is_made_up_for(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.2"]);
    let product = apart(site, "lost");
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    killed_in_its_migration(&product);
    for file in state_files(&product) {
        std::fs::remove_file(file).expect("a state file");
    }
    let finished = product.run(&["apply", "--yes"]).expect_code(20);
    assert!(
        finished.stdout.contains("the journal was lost"),
        "{finished}"
    );
    site.instance.wait_healthy("v4.5.8");
    world::assert_journal(&product, "v4.5.8", "v4.6.2", "rolled_back");
    world::assert_one_mail(&product, mails, "v4.6.2");
    assert_eq!(product.quarantine_reason("v4.6.2"), None);
    world::assert_no_leftovers(&site.instance, &product);
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

fn a_state_file_that_cannot_be_opened_keeps_no_site_closed(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.2"]);
    let product = apart(site, "unreadable");
    let before = World::of(&site.instance);
    killed_in_its_migration(&product);
    for file in state_files(&product) {
        std::fs::write(file, "not what it was").expect("a state file");
    }
    let daemon = product.spawn(&["daemon"]);
    let ended = daemon.finish(UNTIL_ROLLED_BACK);
    world::assert_clear(&ended, &["state.db", "rolled back"]);
    site.instance.wait_healthy("v4.5.8");
    World::of(&site.instance).assert_same_as(&before);
    // A new file is made once the damaged one is out of the way, and there is nothing left to do.
    for file in state_files(&product) {
        std::fs::remove_file(file).expect("a state file");
    }
    site.github.show(&["v4.5.8"]);
    product.run(&["apply", "--yes"]).expect_code(0);
    world::assert_no_leftovers(&site.instance, &product);
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

/// An update that is committed, and whose port somebody else holds at the opening. Its mail has arrived.
fn held_at_its_opening(site: &Site, product: &Product, to: &str) -> TcpListener {
    let mails = product.mailbox.all().len();
    let mut apply = product.spawn(&["apply", "--to", to, "--yes"]);
    apply.until_said("... verify", UNTIL_ROLLED_BACK);
    let port =
        TcpListener::bind(("127.0.0.1", site.instance.web_port)).expect("a closed site's port");
    let ended = apply.finish(UNTIL_HELD).expect_code(21);
    assert!(ended.stdout.contains("mastopatch resume"), "{ended}");
    let told = product.mailbox.wait_beyond(mails);
    assert!(told[0].subject.contains("ACTION NEEDED"), "{told:#?}");
    port
}

fn a_run_that_is_held_behind_its_commit_goes_on_or_back_as_a_person_says(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    site.github.show(&["v4.5.6", "v4.5.8"]);
    let product = apart(site, "held");
    let before = World::of(&site.instance);
    let port = held_at_its_opening(site, &product, "v4.5.8");
    let mails = product.mailbox.all().len();
    // Nothing moves until a person decides.
    let refused = product.run(&["apply", "--yes"]).expect_code(21);
    world::assert_clear(&refused, &["held", "rollback"]);
    let status = product.run(&["status"]);
    assert!(status.stdout.contains("HELD"), "{status}");
    // No migration, no data to take back.
    drop(port);
    let back = product.run(&["rollback", "--yes"]).expect_code(20);
    for words in ["start the old containers", "no data are taken back"] {
        assert!(back.stdout.contains(words), "`{words}`\n{back}");
    }
    site.instance.wait_healthy("v4.5.6");
    world::assert_one_version(&site.instance, "v4.5.6");
    world::assert_no_leftovers(&site.instance, &product);
    assert_eq!(World::of(&site.instance).compose, before.compose);
    world::assert_quarantined(&product, "v4.5.8");
    world::assert_one_mail(&product, mails, "v4.5.8");
    product.run(&["rollback", "--yes"]).expect_code(22);

    // Once more, and this time forward.
    let product = apart(site, "resumed");
    let port = held_at_its_opening(site, &product, "v4.5.8");
    drop(port);
    let mails = product.mailbox.all().len();
    product.run(&["resume", "--yes"]).expect_code(0);
    world::assert_committed(&site.instance, &product, mails, "v4.5.6", "v4.5.8");
    Ok(())
}

fn a_way_back_that_loses_data_is_taken_only_if_a_person_agrees(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.3.21"));
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let product = apart(site, "loses");
    let before = World::of(&site.instance);
    let port = held_at_its_opening(site, &product, "v4.4.15");
    drop(port);
    let refused = product.run(&["rollback", "--yes"]).expect_code(22);
    world::assert_clear(&refused, &["--accept-loss", "Nothing was changed"]);
    assert!(refused.stdout.contains("LOST"), "{refused}");
    let back = product
        .run(&["rollback", "--accept-loss", "--yes"])
        .expect_code(20);
    assert!(back.stdout.contains("agreed"), "{back}");
    site.instance.wait_healthy("v4.3.21");
    world::assert_one_version(&site.instance, "v4.3.21");
    world::assert_no_leftovers(&site.instance, &product);
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}
