//! The database copied as a second database in the same server.

use crate::rollback;
use crate::runner::{Scenario, Stage, Verdict, scenarios};
use crate::support::lab::{Instance, InstanceOptions};
use crate::support::world;
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_minor_goes_in_on_a_clone_and_its_original_stays_as_the_snapshot,
        a_migration_that_fails_on_a_clone_leaves_the_original_as_it_was,
    ]
}

/// The database has what `CREATE DATABASE` does not copy: a setting, a right of another role.
const DRESS: &str = "\
CREATE ROLE metrics LOGIN; GRANT CONNECT ON DATABASE mastodon_production TO metrics; \
ALTER DATABASE mastodon_production SET work_mem TO '8MB'";

fn dress(stage: &mut Stage, options: &InstanceOptions) -> String {
    let site = stage.site(options);
    site.product
        .change(|settings| settings.snapshot = "clone".to_owned());
    site.instance.sql(DRESS);
    dressed(&site.instance)
}

fn dressed(instance: &Instance) -> String {
    let sql = "SELECT (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), \
               (SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting WHERE setdatabase = d.oid), datallowconn \
               FROM pg_database d WHERE datname = 'mastodon_production'";
    instance.sql(sql)
}

fn a_minor_goes_in_on_a_clone_and_its_original_stays_as_the_snapshot(stage: &mut Stage) -> Verdict {
    let options = InstanceOptions::at("v4.3.21").seeded(400, 6000);
    let before = dress(stage, &options);
    let site = stage.site(&options);
    let mails = site.product.mailbox.all().len();
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(10);
    site.product.run(&["check"]).expect_code(11);
    site.product
        .run(&["apply", "--to", "v4.4.15", "--yes"])
        .expect_code(0);
    writer.wait_for_more(10);
    let report = writer.stop();
    assert_eq!(
        report.missing(&site.instance),
        Vec::<String>::new(),
        "acknowledged writes that are missing"
    );
    let run = world::assert_committed(&site.instance, &site.product, mails, "v4.3.21", "v4.4.15");
    assert_eq!(run["class"], "M2", "{run:#}");
    let names = site.instance.databases();
    let originals = names.iter().filter(|name| name.contains("_before_"));
    assert_eq!(originals.count(), 1, "{names:?}");
    assert!(
        !names.iter().any(|name| name.contains("_clone_")),
        "{names:?}"
    );
    assert_eq!(dressed(&site.instance), before);
    Ok(())
}

fn a_migration_that_fails_on_a_clone_leaves_the_original_as_it_was(stage: &mut Stage) -> Verdict {
    let options = InstanceOptions::at("v4.5.8");
    let before = dress(stage, &options);
    rollback::is_rolled_back(stage, "v4.6.1")?;
    assert_eq!(dressed(&stage.site(&options).instance), before);
    Ok(())
}
