//! What the outside says and what people order: both decide what starts, and when.
//!
//! Each scenario has a state of its own: what another one saw of GitHub must not be remembered here.

use std::time::Duration;

use serde_json::Value;

use crate::runner::{Scenario, Stage, Verdict, scenarios};
use crate::support::check;
use crate::support::github::{Fault, GitHub};
use crate::support::lab::InstanceOptions;
use crate::support::product::{Product, Running};
use crate::support::world::{self, World};

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_release_that_was_taken_back_is_no_target_any_more,
        a_hold_keeps_even_a_security_update_back_until_it_is_taken_back,
        the_daemon_lives_through_the_faults_of_github_and_then_updates,
        a_pin_keeps_the_instance_on_its_line,
        an_approval_is_for_one_plan_and_ends_when_a_file_is_edited,
    ]
}

/// A whole run, beside two other stacks on two cores.
pub(crate) const UNTIL_UPDATED: Duration = Duration::from_secs(240);
/// A round of the daemon, with its looks at the host.
pub(crate) const UNTIL_LOOKED: Duration = Duration::from_secs(60);

/// What `explain` says about the only instance.
pub(crate) fn decision(product: &Product) -> Value {
    product.json(&["explain"])["instances"][0].clone()
}

/// The sentences of a decision about one thing.
pub(crate) fn reasons(decision: &Value, about: &str) -> Vec<String> {
    let all = decision["reasons"].as_array().cloned().unwrap_or_default();
    let ours = all.into_iter().filter(|reason| reason["about"] == about);
    ours.filter_map(|reason| reason["text"].as_str().map(str::to_owned))
        .collect()
}

/// A whole round of a daemon that has not asked GitHub before; it must come to no run.
pub(crate) fn the_daemon_starts_nothing(product: &Product, github: &GitHub) {
    github.clear_log();
    let mut daemon = product.spawn(&["daemon"]);
    daemon.until("the daemon asks GitHub", UNTIL_LOOKED, || {
        answered(github, "/releases")
    });
    // The round that asked goes on to its end, which is where an update would begin.
    daemon.terminate().expect_code(0);
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
}

fn answered(github: &GitHub, path: &str) -> Result<(), String> {
    let log = github.log();
    check(
        log.iter().any(|seen| seen.path.ends_with(path)),
        format!("asked were {log:?}"),
    )
}

/// Waits until the daemon has carried a run to its end.
pub(crate) fn until_updated(daemon: &mut Running, product: &Product) {
    daemon.until("the daemon updates", UNTIL_UPDATED, || {
        let run = product.runs().into_iter().next().unwrap_or_default();
        check(
            run["outcome"].is_string(),
            format!("the journal says {run}"),
        )
    });
}

fn a_release_that_was_taken_back_is_no_target_any_more(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    let product = site.product.newcomer("taken-back");
    site.github.show(&["v4.5.6", "v4.5.7", "v4.5.8"]);
    let offered = product.run(&["check"]).expect_code(10);
    assert!(offered.stdout.contains("-> 4.5.8"), "{offered}");

    site.github.show(&["v4.5.6"]);
    let before = World::of(&site.instance);
    let checked = product.run(&["check"]);
    assert!(matches!(checked.code, Some(0 | 11)), "{checked}");
    assert!(!checked.stdout.contains("-> 4.5.8"), "{checked}");
    assert!(checked.stdout.contains("4.5.8"), "it is told\n{checked}");
    let decision = decision(&product);
    assert_eq!(decision["target"], Value::Null, "{decision:#}");
    // What it repaired is still public.
    assert_ne!(
        decision["exposure"]["standing"], "not-listed",
        "{decision:#}"
    );
    let explained = product.run(&["explain"]);
    assert!(
        !explained.stdout.contains("As far as is known"),
        "{explained}"
    );
    let releases = product.run(&["releases", "--line", "4.5"]).expect_code(0);
    let row = releases
        .stdout
        .lines()
        .find(|line| line.trim_start().starts_with("4.5.8"));
    assert!(
        row.is_some_and(|row| row.contains("TAKEN BACK")),
        "{releases}"
    );
    let refused = product
        .run(&["apply", "--to", "v4.5.8", "--yes"])
        .expect_code(22);
    world::assert_clear(&refused, &["4.5.8", "taken back"]);
    world::assert_untouched(&site.instance, &product, &before, "v4.5.6");
    Ok(())
}

fn a_hold_keeps_even_a_security_update_back_until_it_is_taken_back(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6"));
    let product = site.product.newcomer("hold");
    let mails = product.mailbox.all().len();
    site.github.show(&["v4.5.6", "v4.5.7"]);
    product
        .run(&["hold", "--reason", "election night"])
        .expect_code(0);
    let before = World::of(&site.instance);
    the_daemon_starts_nothing(&product, &site.github);
    world::assert_untouched(&site.instance, &product, &before, "v4.5.6");

    product.run(&["check"]).expect_code(11);
    let held = decision(&product);
    assert_eq!(
        (&held["target"]["version"], &held["target"]["class"]),
        (&Value::from("4.5.7"), &Value::from("security")),
        "{held:#}"
    );
    assert_ne!(held["when"]["state"], "now", "{held:#}");
    assert!(
        reasons(&held, "hold")
            .iter()
            .any(|text| text.contains("election night")),
        "{held:#}"
    );

    product.run(&["unhold"]).expect_code(0);
    let mut daemon = product.spawn(&["daemon"]);
    until_updated(&mut daemon, &product);
    daemon.terminate().expect_code(0);
    world::assert_committed(&site.instance, &product, mails, "v4.5.6", "v4.5.7");
    Ok(())
}

fn the_daemon_lives_through_the_faults_of_github_and_then_updates(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.7"));
    let github = &site.github;
    let mut product = site.product.newcomer("faults");
    product.change(|settings| settings.github_timeout = "2s".to_owned());
    let mails = product.mailbox.all().len();
    github.show(&["v4.5.7"]);
    github.clear_log();
    let mut daemon = product.spawn(&["daemon"]);
    daemon.until("the daemon knows GitHub", UNTIL_LOOKED, || {
        answered(github, "/security-advisories")
    });

    // Another name of the same server: it is asked at once, and what the first one said stays known.
    let elsewhere = github.base_url().replace("127.0.0.1", "localhost");
    product.change(|settings| settings.github = elsewhere);
    for (fault, words) in [
        (Fault::ServerError, "failed with status 500"),
        (Fault::Silence, "did not answer within 2s"),
        (Fault::Html, "is not what was expected"),
    ] {
        github.fail_with(Some(fault));
        daemon.reload();
        daemon.until_said(words, UNTIL_LOOKED);
        let checked = product.run(&["check"]).expect_code(69);
        assert!(
            checked.stdout.contains("4.5.7"),
            "{fault:?}: what it knew\n{checked}"
        );
        let known = product.json(&["releases", "--line", "4.5"]);
        assert_eq!(known["releases"][0]["version"], "4.5.7", "{known:#}");
    }

    github.show(&["v4.5.7", "v4.5.8"]);
    github.fail_with(None);
    daemon.reload();
    until_updated(&mut daemon, &product);
    let ended = daemon.terminate().expect_code(0);
    assert!(
        ended.stderr.contains("all sources answer again"),
        "the end of the failure is told\n{ended}"
    );
    world::assert_committed(&site.instance, &product, mails, "v4.5.7", "v4.5.8");
    Ok(())
}

fn a_pin_keeps_the_instance_on_its_line(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    let product = site.product.newcomer("pin");
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    product
        .run(&["pin", "4.5", "--reason", "the theme is not ready"])
        .expect_code(0);
    let before = World::of(&site.instance);
    the_daemon_starts_nothing(&product, &site.github);
    let pinned = decision(&product);
    assert_eq!(pinned["target"], Value::Null, "{pinned:#}");
    let told = pinned["reasons"].to_string();
    assert!(told.contains("the theme is not ready"), "{pinned:#}");
    let applied = product.run(&["apply", "--yes"]);
    assert!(matches!(applied.code, Some(0 | 11)), "{applied}");
    world::assert_untouched(&site.instance, &product, &before, "v4.5.8");
    product.run(&["unpin"]).expect_code(0);
    let free = decision(&product);
    assert_eq!(free["target"]["version"], "4.6.9", "{free:#}");
    Ok(())
}

fn an_approval_is_for_one_plan_and_ends_when_a_file_is_edited(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    let mut product = site.product.newcomer("approval");
    product.change(|settings| settings.minor_approval = "one".to_owned());
    let mails = product.mailbox.all().len();
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    product.run(&["approve", "4.6.9"]).expect_code(2);
    product.run(&["approve", "4.6.9", "--yes"]).expect_code(0);
    product.run(&["check"]).expect_code(10);

    // Nothing else would mind a remark: no service changes by it.
    let edited = format!("{}# ops: mind the disk\n", site.instance.compose_text());
    site.instance.edit_compose(&edited);
    let before = World::of(&site.instance);
    let mut daemon = product.spawn(&["daemon"]);
    daemon.until_said("now that it is planned, it does not start", UNTIL_LOOKED);
    daemon.terminate().expect_code(0);
    world::assert_untouched(&site.instance, &product, &before, "v4.5.8");
    assert_eq!(product.runs(), Vec::<Value>::new(), "runs");
    let explained = product.run(&["explain"]).expect_code(11);
    assert!(
        explained
            .stdout
            .contains("what would be done has changed since"),
        "{explained}"
    );

    product.run(&["approve", "4.6.9", "--yes"]).expect_code(0);
    product.run(&["check"]).expect_code(10);
    let mut daemon = product.spawn(&["daemon"]);
    until_updated(&mut daemon, &product);
    daemon.terminate().expect_code(0);
    world::assert_committed(&site.instance, &product, mails, "v4.5.8", "v4.6.9");
    assert_eq!(
        site.instance.compose_text(),
        edited.replace("v4.5.8", "v4.6.9"),
        "only the tags change"
    );
    Ok(())
}
