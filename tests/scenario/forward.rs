//! Updates that go well.

use std::time::Duration;

use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::check;
use crate::support::lab::InstanceOptions;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

/// How far the product's figure may be from the writer's: the writer asks every 150 ms, and the product
/// counts from the moment it stops the first service.
const TOLERANCE_MS: u64 = 3000;
/// A whole run with migrations, beside two other stacks on two cores.
const UNTIL_UPDATED: Duration = Duration::from_secs(240);

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        doctor_names_a_key_that_the_next_line_refuses_before_it_matters,
        a_minor_that_rewrites_data_goes_in_and_no_acknowledged_write_is_lost,
        a_minor_with_pre_deployment_migrations_goes_in,
        a_minor_waits_for_its_approval_and_the_daemon_puts_it_in_after_it,
    ]
}

fn doctor_names_a_key_that_the_next_line_refuses_before_it_matters(stage: &mut Stage) -> Verdict {
    let site = at_4_3_21(stage);
    let path = site.instance.environment_path();
    let environment = std::fs::read_to_string(&path).expect("environment file");
    let with_key = format!("{environment}REDIS_NAMESPACE=mastodon\n");
    std::fs::write(&path, with_key).expect("environment file");
    site.instance.compose(&["up", "-d"]);
    site.instance.wait_healthy("v4.3.21");
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let product = site.product.newcomer("namespace");
    let before = World::of(&site.instance);
    let doctor = product.run(&["doctor"]).expect_code(22);
    for words in ["BLOCKS", "4.4.15", "does not start with REDIS_NAMESPACE"] {
        assert!(doctor.stdout.contains(words), "`{words}`\n{doctor}");
    }
    product.run(&["check"]).expect_code(11);
    let refused = product
        .run(&["apply", "--to", "v4.4.15", "--yes"])
        .expect_code(22);
    world::assert_clear(&refused, &["REDIS_NAMESPACE"]);
    world::assert_untouched(&site.instance, &product, &before, "v4.3.21");

    std::fs::write(&path, environment).expect("environment file");
    site.instance.compose(&["up", "-d"]);
    site.instance.wait_healthy("v4.3.21");
    let doctor = product.run(&["doctor"]).expect_code(11);
    assert!(!doctor.stdout.contains("REDIS_NAMESPACE"), "{doctor}");
    Ok(())
}

fn at_4_3_21(stage: &mut Stage) -> &mut Site {
    stage.site(&InstanceOptions::at("v4.3.21").seeded(400, 6000))
}

fn a_minor_that_rewrites_data_goes_in_and_no_acknowledged_write_is_lost(
    stage: &mut Stage,
) -> Verdict {
    let site = at_4_3_21(stage);
    // Its twin in `clone` has the other method.
    site.product
        .change(|settings| settings.snapshot = "logical".to_owned());
    let mails = site.product.mailbox.all().len();
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let old_files = site.instance.compose_text();
    let untouched = "SELECT count(*), md5(string_agg(id || text, ',' ORDER BY id)) FROM statuses WHERE text NOT LIKE 'writer%'";
    let texts = site.instance.sql(untouched);
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(10);
    // The health check of the compose file looks for an old Sidekiq: a person must look at it.
    site.product.run(&["check"]).expect_code(11);
    let plan = site.product.run(&["plan"]).expect_code(0);
    assert!(
        plan.stdout.contains("4.4.15"),
        "the plan names its target\n{plan}"
    );
    site.product
        .run(&["apply", "--to", "v4.4.15", "--yes"])
        .expect_code(0);
    site.product
        .change(|settings| settings.snapshot = "auto".to_owned());
    writer.wait_for_more(10);
    let report = writer.stop();

    assert_eq!(
        report.missing(&site.instance),
        Vec::<String>::new(),
        "acknowledged writes that are missing"
    );
    let run = world::assert_committed(&site.instance, &site.product, mails, "v4.3.21", "v4.4.15");
    assert_eq!(run["class"], "M2", "{run:#}");
    let seen = u64::try_from(report.downtime.as_millis()).expect("short");
    let said = run["downtime_ms"].as_u64().unwrap_or_default();
    assert!(
        said.abs_diff(seen) <= TOLERANCE_MS,
        "downtime: the product says {said} ms, the writer saw {seen} ms"
    );
    assert_eq!(
        site.instance.compose_text(),
        old_files.replace("v4.3.21", "v4.4.15"),
        "only the tags change"
    );
    assert_eq!(
        site.instance.sql(untouched),
        texts,
        "texts of the old statuses"
    );
    let columns = "SELECT count(*) FROM information_schema.columns WHERE (table_name, column_name) IN (('users', 'settings'), ('accounts', 'silenced'))";
    assert_eq!(site.instance.sql(columns), "0", "columns that 4.4 drops");
    assert_eq!(
        site.instance
            .sql("SELECT count(*) FROM statuses WHERE language IS NULL"),
        "0",
        "languages are filled in"
    );
    Ok(())
}

fn a_minor_with_pre_deployment_migrations_goes_in(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.4.15"));
    site.github
        .show(&["v4.4.15", "v4.5.0", "v4.5.6", "v4.5.7", "v4.5.8"]);
    let mails = site.product.mailbox.all().len();
    site.product.run(&["check"]).expect_code(11);
    site.product
        .run(&["apply", "--to", "v4.5.8", "--yes"])
        .expect_code(0);
    let run = world::assert_committed(&site.instance, &site.product, mails, "v4.4.15", "v4.5.8");
    assert_eq!(run["class"], "M1", "{run:#}");
    // Nothing is left to do. That all is well cannot be said: this world shows only a few releases.
    site.product.run(&["check"]).expect_code(11);
    let answer = &site.product.json(&["check"])["instances"][0];
    assert_eq!(answer["when"]["state"], "nothing", "{answer:#}");
    assert_eq!(answer["exposure"]["standing"], "cannot-tell", "{answer:#}");
    Ok(())
}

fn a_minor_waits_for_its_approval_and_the_daemon_puts_it_in_after_it(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    let mails = site.product.mailbox.all().len();
    site.product.change(|settings| {
        settings.minor_approval = "one".to_owned();
    });
    site.product.run(&["check"]).expect_code(11);
    site.product
        .run(&["approve", "4.6.9", "--yes"])
        .expect_code(0);
    site.product.run(&["check"]).expect_code(10);
    let runs = site.product.runs().len();
    let product = site.product.clone();
    let mut daemon = site.product.spawn(&["daemon"]);
    daemon.until("the daemon updates", UNTIL_UPDATED, || {
        let all = product.runs();
        let newest = all.first().filter(|_| all.len() > runs);
        check(
            newest.is_some_and(|run| run["outcome"].is_string()),
            format!("the newest run is {newest:?}"),
        )
    });
    daemon.terminate().expect_code(0);
    world::assert_committed(&site.instance, &site.product, mails, "v4.5.8", "v4.6.9");
    Ok(())
}
