//! Processes that hang, die, or meet each other.

use std::time::Duration;

use crate::runner::{Scenario, Stage, Verdict, scenarios};
use crate::support::lab::{InstanceOptions, containers};
use crate::support::product::Product;
use crate::support::shell;
use crate::support::world::{self, World};
use crate::support::writer::Writer;
use crate::support::{check, eventually};

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_daemon_killed_in_the_middle_of_a_migration_recovers_to_the_old_version,
        a_database_that_dies_in_the_middle_of_a_migration_is_waited_for,
        a_journal_that_cannot_be_written_does_not_make_the_next_start_restore_again,
        a_hanging_migration_is_ended_and_rolled_back_while_a_second_run_is_refused,
        a_port_that_somebody_holds_at_the_opening_is_waited_for,
    ]
}

/// Pull, fence and snapshot come before the migration.
pub(crate) const UNTIL_MIGRATION: Duration = Duration::from_secs(150);
pub(crate) const UNTIL_ROLLED_BACK: Duration = Duration::from_secs(180);

/// A mail that failed is tried again after a minute.
const UNTIL_MAILED: Duration = Duration::from_secs(150);

/// Whether the target's migrations run in their one-off container.
pub(crate) fn migration(product: &Product) -> Result<(), String> {
    let ours = containers(&format!("label=org.mastopatch.instance={}", product.name));
    let migrates = ours
        .iter()
        .any(|container| container.running && container.command.contains("db:migrate"));
    check(migrates, "no container runs db:migrate")
}

fn a_daemon_killed_in_the_middle_of_a_migration_recovers_to_the_old_version(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.2"]);
    let mails = site.product.mailbox.all().len();
    let own = site
        .product
        .state_dir()
        .with_file_name("state-of-the-killed");
    let product = site
        .product
        .variant("killed", |settings| settings.state_dir = Some(own));
    let before = World::of(&site.instance);
    // The health check of the compose file looks for an old Sidekiq: a person must agree.
    product.run(&["approve", "4.6.2", "--yes"]).expect_code(0);

    let mut daemon = product.spawn(&["daemon"]);
    daemon.until("the migration runs", UNTIL_MIGRATION, || {
        migration(&product)
    });
    let apply = ["apply", "--to", "v4.6.2", "--yes"];
    for (second, word) in [(&["daemon"][..], "daemon"), (&apply, "another mastopatch")] {
        let refused = product.run(second).expect_code(75);
        world::assert_clear(&refused, &["busy", word]);
    }
    let died = daemon.kill_hard();
    assert_eq!(died.code, None, "killed by a signal\n{died}");

    // The interruption was not the release's fault: a daemon that still saw it would try it again.
    site.github.show(&["v4.5.8"]);
    let mut daemon = product.spawn(&["daemon"]);
    daemon.until("the run is rolled back", UNTIL_ROLLED_BACK, || {
        let run = product.runs().into_iter().next().unwrap_or_default();
        check(
            run["outcome"] == "rolled_back",
            format!("the journal says {run}"),
        )
    });
    site.instance.wait_healthy("v4.5.8");
    world::assert_journal(&product, "v4.5.8", "v4.6.2", "rolled_back");
    world::assert_one_mail(&product, mails, "v4.6.2");
    daemon.terminate().expect_code(0);
    world::assert_one_version(&site.instance, "v4.5.8");
    world::assert_no_leftovers(&site.instance, &product);
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

fn a_hanging_migration_is_ended_and_rolled_back_while_a_second_run_is_refused(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.2"]);
    site.product
        .change(|settings| settings.migrate_timeout = "1m".to_owned());
    let mails = site.product.mailbox.all().len();
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    let before = World::of(&site.instance);

    let mut first = site.product.spawn(&["apply", "--to", "v4.6.2", "--yes"]);
    first.until("the migration runs", UNTIL_MIGRATION, || {
        migration(&site.product)
    });
    let second = site
        .product
        .run(&["apply", "--to", "v4.6.2", "--yes"])
        .expect_code(75);
    world::assert_clear(&second, &["busy"]);
    first.finish(UNTIL_ROLLED_BACK).expect_code(20);

    eventually("the writer writes again", Duration::from_secs(60), || {
        site.instance.shown_version()
    });
    writer.wait_for_more(5);
    let report = writer.stop();
    assert_eq!(
        report.missing(&site.instance),
        Vec::<String>::new(),
        "acknowledged writes that are missing"
    );
    world::assert_rolled_back(&site.instance, &site.product, mails, "v4.5.8", "v4.6.2");
    World::of(&site.instance).assert_same_but_for_new_statuses(&before);
    Ok(())
}

fn a_database_that_dies_in_the_middle_of_a_migration_is_waited_for(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.2"]);
    let own = site.product.state_dir().with_file_name("state-without-db");
    let product = site
        .product
        .variant("without-db", |settings| settings.state_dir = Some(own));
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);

    let mut apply = product.spawn(&["apply", "--to", "v4.6.2", "--yes"]);
    apply.until("the migration runs", UNTIL_MIGRATION, || {
        migration(&product)
    });
    let database = site.instance.container("db").expect("a database");
    shell::run("docker", ["kill", &database.name]);
    apply.finish(UNTIL_ROLLED_BACK).expect_code(20);

    site.instance.wait_healthy("v4.5.8");
    world::assert_journal(&product, "v4.5.8", "v4.6.2", "rolled_back");
    world::assert_one_mail(&product, mails, "v4.6.2");
    // It was not the release's fault.
    assert_eq!(product.quarantine_reason("v4.6.2"), None);
    world::assert_no_leftovers(&site.instance, &product);
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

fn a_journal_that_cannot_be_written_does_not_make_the_next_start_restore_again(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.1"]);
    let own = site.product.state_dir().with_file_name("state-unwritable");
    let product = site
        .product
        .variant("unwritable", |settings| settings.state_dir = Some(own));
    let mut apply = product.spawn(&["apply", "--to", "v4.6.1", "--yes"]);
    apply.until_said("... migrate", UNTIL_MIGRATION);
    // As a full disk would: from here on no entry can be written, not even the end.
    let state = product.state_dir().join("state.db");
    let lock = rusqlite::Connection::open(state).expect("the state file");
    lock.busy_timeout(Duration::from_secs(10))
        .expect("a time-out");
    lock.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    apply.finish(UNTIL_ROLLED_BACK).expect_code(20);
    drop(lock);

    // The site serves again, and people write.
    site.instance.wait_healthy("v4.5.8");
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    let report = writer.stop();
    // The run that the journal left open is carried to its end.
    product.run(&["apply", "--yes"]).expect_code(20);
    site.instance.wait_healthy("v4.5.8");
    assert_eq!(
        report.missing(&site.instance),
        Vec::<String>::new(),
        "writes after the first way back"
    );
    world::assert_journal(&product, "v4.5.8", "v4.6.1", "rolled_back");
    world::assert_no_leftovers(&site.instance, &product);
    Ok(())
}

fn a_port_that_somebody_holds_at_the_opening_is_waited_for(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    let own = site.product.state_dir().with_file_name("state-of-the-port");
    let mut product = site
        .product
        .variant("port", |settings| settings.state_dir = Some(own));
    let mails = product.mailbox.all().len();
    // Nobody answers there: the mail server is away for the whole run.
    let mut smtp = String::new();
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let nobody = nobody.local_addr().expect("its address");
    product.change(|settings| {
        smtp = std::mem::replace(&mut settings.smtp, format!("smtp://{nobody}"));
    });
    let mut apply = product.spawn(&["apply", "--to", "v4.6.9", "--yes"]);
    apply.until_said("... verify", UNTIL_ROLLED_BACK);
    let address = ("127.0.0.1", site.instance.web_port);
    let held = std::net::TcpListener::bind(address).expect("the port of the closed site");
    apply.until_said("cannot be let in", UNTIL_ROLLED_BACK);
    drop(held);
    apply.finish(UNTIL_ROLLED_BACK).expect_code(0);
    // The outcome is what it is; the mail waits, and goes once the server is back.
    assert_eq!(product.mailbox.all().len(), mails, "mails");
    let status = product.json(&["status"]);
    assert_eq!(status["mail"]["waiting"], 1, "{status}");
    product.change(|settings| settings.smtp.clone_from(&smtp));
    let mut daemon = product.spawn(&["daemon"]);
    daemon.until("the mail", UNTIL_MAILED, || {
        check(product.mailbox.all().len() > mails, "no mail yet")
    });
    daemon.terminate().expect_code(0);
    world::assert_committed(&site.instance, &product, mails, "v4.5.8", "v4.6.9");
    Ok(())
}
