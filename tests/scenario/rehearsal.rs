//! Rehearsals: the update on a copy of the running site, alone with throw-away servers.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::knowing::until_updated;
use crate::runner::{Scenario, Stage, Verdict, scenarios};
use crate::support::lab::{Container, InstanceOptions, containers};
use crate::support::product::Product;
use crate::support::world::{self, World};
use crate::support::writer::Writer;
use crate::support::{check, shell};
use crate::windows::{AT_ONCE, another_day, in_utc, policy, rule};

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_rehearsal_that_goes_well_tells_the_downtime_and_reaches_nobody_outside,
        a_rehearsal_that_is_killed_leaves_the_site_up_and_the_next_start_removes_the_rest,
        a_migration_that_breaks_in_its_rehearsal_never_closes_the_site,
        the_daemon_rehearses_what_waits_for_its_window_and_tells_the_run,
        where_a_rehearsal_is_required_nothing_starts_without_one,
    ]
}

/// Images are pulled and two webs boot, beside two other stacks.
const LONG: Duration = Duration::from_secs(240);

/// The running container of a rehearsal with this role.
fn of_role(product: &Product, role: &str) -> Result<Container, String> {
    let ours = containers(&format!("label=org.mastopatch.instance={}", product.name));
    let name = format!("mastopatch_{role}_");
    let found = ours
        .into_iter()
        .find(|container| container.running && container.name.starts_with(&name));
    found.ok_or_else(|| format!("no container {name}... runs"))
}

/// Whether something inside a container can connect there.
fn connects(from: &Container, host: &str, port: u16) -> bool {
    let line = format!("exec 3<>/dev/tcp/{host}/{port}");
    shell::attempt(
        "docker",
        ["exec", &from.name, "timeout", "3", "bash", "-c", &line],
    )
    .is_ok()
}

/// The addresses of a container.
fn addresses(name: &str) -> Vec<String> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let text = shell::run("docker", ["inspect", "--format", format, name]);
    text.split_whitespace().map(str::to_owned).collect()
}

/// Each with its own eyes: the throw-away servers answer, and nothing else does.
fn assert_isolated(rehearsing: &Container, live: &Container) {
    assert!(connects(rehearsing, "db", 5432), "its own database");
    assert!(connects(rehearsing, "redis", 6379), "its own Redis");
    let outside = [
        (live.name.as_str(), 5432),
        ("mplab-registry", 5000),
        ("mplab-mail", 25),
    ];
    for (name, port) in outside {
        for address in addresses(name) {
            let reached = connects(rehearsing, &address, port);
            assert!(!reached, "{name} is reached at {address}:{port}");
        }
    }
    for address in ["127.0.0.1", "192.0.2.1"] {
        assert!(!connects(rehearsing, address, 25), "{address}:25");
    }
}

fn a_rehearsal_that_goes_well_tells_the_downtime_and_reaches_nobody_outside(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.4.15").seeded(300, 4000));
    site.github.show(&["v4.4.15", "v4.5.0", "v4.5.8"]);
    let product = &site.product;
    let mails = product.mailbox.all().len();
    let live = site.instance.container("db").expect("a database");
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    let before = World::of(&site.instance);

    let mut rehearsing = product.spawn(&["rehearse", "--to", "v4.5.8", "--json"]);
    for role in ["control", "rehearsed"] {
        let web = rehearsing.until(role, LONG, || {
            let web = of_role(product, role)?;
            // It boots for seconds; the servers are there before it.
            check(connects(&web, "db", 5432), "its database does not answer")?;
            Ok(web)
        });
        assert_isolated(&web, &live);
    }
    let done = rehearsing.finish(LONG).expect_code(0);
    let answer: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let result = &answer["rehearsal"]["result"];
    assert_eq!(result["result"], "passed", "{answer:#}");
    assert_eq!(result["applied"], 3, "{answer:#}");
    let expected = result["downtime_ms"].as_u64().expect("a downtime");
    writer.wait_for_more(5);
    let report = writer.stop();
    assert_eq!(report.missing(&site.instance), Vec::<String>::new());
    World::of(&site.instance).assert_same_but_for_new_statuses(&before);
    world::assert_no_leftovers(&site.instance, product);
    assert_eq!(product.mailbox.all().len(), mails, "nobody is written to");
    let folder = result["snapshot"].as_str().expect("a folder");
    let manifest = std::fs::read_to_string(format!("{folder}/manifest.json")).expect("a manifest");
    assert!(manifest.contains("\"hot\": true"), "{manifest}");

    let said = "rehearsed on ";
    for command in [&["plan", "--to", "v4.5.8"][..], &["status"], &["explain"]] {
        let shown = product.run(command);
        assert!(shown.stdout.contains(said), "{command:?}\n{shown}");
    }
    product
        .run(&["apply", "--to", "v4.5.8", "--yes"])
        .expect_code(0);
    let run = world::assert_committed(&site.instance, product, mails, "v4.4.15", "v4.5.8");
    assert!(
        run["rehearsed"]
            .as_str()
            .is_some_and(|it| it.contains(said)),
        "{run:#}"
    );
    let mail = product.mailbox.all().pop().and_then(|mail| mail.text);
    assert!(mail.is_some_and(|text| text.contains(said)), "the mail");
    let real = run["downtime_ms"].as_u64().expect("a downtime");
    println!("rehearsed: expected downtime {expected} ms, real {real} ms");
    assert!(
        real <= expected.saturating_mul(2) && expected <= real.saturating_mul(4),
        "expected {expected} ms, real {real} ms"
    );
    Ok(())
}

fn a_rehearsal_that_is_killed_leaves_the_site_up_and_the_next_start_removes_the_rest(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    let product = &site.product;
    let before = World::of(&site.instance);
    for role in ["scratch", "control", "migrate"] {
        let mut rehearsing = product.spawn(&["rehearse", "--to", "v4.6.9"]);
        rehearsing.until(role, LONG, || of_role(product, role));
        drop(rehearsing.kill_hard());
        of_role(product, "scratch").expect("it is left");
        site.instance.shown_version().expect("the site is up");
    }
    let done = product.run(&["rehearse", "--to", "v4.6.9"]).expect_code(0);
    assert!(done.stdout.contains("expected downtime"), "{done}");
    world::assert_no_leftovers(&site.instance, product);
    World::of(&site.instance).assert_same_as(&before);
    let snapshots = product.state_dir().join("snapshots");
    let names: Vec<String> = std::fs::read_dir(snapshots)
        .expect("snapshots")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.contains("rehearsal-"))
        .collect();
    assert_eq!(
        names.len(),
        1,
        "one copy of the open site is kept: {names:?}"
    );
    Ok(())
}

fn a_migration_that_breaks_in_its_rehearsal_never_closes_the_site(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.1"]);
    let product = &site.product;
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    let done = product.run(&["rehearse", "--to", "v4.6.1"]).expect_code(22);
    assert!(done.stdout.contains("failed its rehearsal"), "{done}");
    assert!(done.stdout.contains("never closed"), "{done}");
    // The same containers, started when they were: it was never closed.
    World::of(&site.instance).assert_same_as(&before);
    world::assert_no_leftovers(&site.instance, product);
    world::assert_quarantined(product, "v4.6.1");
    let new = product.mailbox.wait_beyond(mails);
    assert_eq!(new.len(), 1, "{new:#?}");
    assert!(new[0].subject.contains("FAILED ITS REHEARSAL"), "{new:#?}");
    assert!(product.runs().iter().all(|run| run["to"] != "4.6.1"));
    let refused = product
        .run(&["apply", "--to", "v4.6.1", "--yes"])
        .expect_code(22);
    world::assert_clear(&refused, &["4.6.1"]);
    Ok(())
}

fn the_daemon_rehearses_what_waits_for_its_window_and_tells_the_run(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    site.github.show(&["v4.5.6", "v4.5.8"]);
    let mut product = site.product.newcomer("rehearsing");
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    product.change(|settings| {
        settings.rehearse = "when-possible".to_owned();
        settings.policy = policy(false, &[&another_day(), &rule("in-windows", "")]);
    });
    let (mut daemon, _) = product.daemon();
    daemon.until("the daemon rehearses", LONG, || {
        let said = product.run(&["status"]).stdout;
        check(said.contains("rehearsed on "), said)
    });
    // The site was open all the time.
    World::of(&site.instance).assert_same_as(&before);
    world::assert_no_leftovers(&site.instance, &product);
    assert_eq!(
        product.runs(),
        Vec::<Value>::new(),
        "runs before the window"
    );
    let opens = in_utc(Timestamp::now(), "%Y-%m-%dT%H:%MZ");
    let opened = [
        "window",
        "open",
        &opens,
        "--lasts",
        "2h",
        "--reason",
        "announced",
    ];
    product.run(&opened).expect_code(0);
    until_updated(&mut daemon, &product);
    daemon.terminate().expect_code(0);
    let run = world::assert_committed(&site.instance, &product, mails, "v4.5.6", "v4.5.8");
    let told = run["rehearsed"].as_str();
    assert!(
        told.is_some_and(|it| it.contains("rehearsed on ")),
        "{run:#}"
    );
    Ok(())
}

fn where_a_rehearsal_is_required_nothing_starts_without_one(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.7"));
    site.github.show(&["v4.5.7", "v4.5.92"]);
    let mut product = site.product.newcomer("required");
    let mails = product.mailbox.all().len();
    let before = World::of(&site.instance);
    product.change(|settings| {
        settings.rehearse = "required".to_owned();
        // 4.5.92 uses all of it.
        settings.boot_timeout = "45s".to_owned();
        settings.policy = policy(false, &[&rule("at-once", AT_ONCE)]);
    });
    let refused = product.run(&["apply", "--to", "v4.5.92", "--yes"]);
    world::assert_clear(&refused, &["mastopatch rehearse --to 4.5.92"]);
    World::of(&site.instance).assert_same_as(&before);

    // Nothing waits: the daemon rehearses at once what it would start, and what fails there is not started.
    let (mut daemon, _) = product.daemon();
    daemon.until("4.5.92 is not tried again", LONG, || {
        let explained = product.run(&["explain"]).stdout;
        check(product.quarantine_reason("4.5.92").is_some(), explained)
    });
    daemon.terminate().expect_code(0);
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
    World::of(&site.instance).assert_same_as(&before);
    world::assert_no_leftovers(&site.instance, &product);
    let told = product.mailbox.wait_beyond(mails);
    assert!(
        told.iter()
            .any(|mail| mail.subject.contains("FAILED ITS REHEARSAL")),
        "{told:#?}"
    );
    Ok(())
}
