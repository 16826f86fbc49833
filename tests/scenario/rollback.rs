//! Releases that are broken: whatever is wrong with them, the site ends as it began.

use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::lab::InstanceOptions;
use crate::support::world::{self, World};

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_migration_that_fails_half_way_leaves_the_database_as_it_was,
        a_release_without_its_streaming_image_is_not_started,
        an_image_built_from_another_commit_is_not_started,
        a_release_whose_web_never_answers_is_rolled_back,
        a_release_that_shows_another_version_is_rolled_back,
        a_release_whose_sidekiq_never_starts_is_rolled_back,
        a_release_that_crashes_after_some_seconds_is_rolled_back,
        a_release_whose_streaming_never_answers_is_rolled_back,
    ]
}

/// Long enough for a good boot beside two other stacks, short enough for eight bad ones.
const BAD_BOOT: &str = "35s";

fn at_4_5_8(stage: &mut Stage) -> &mut Site {
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    site.product
        .change(|settings| settings.boot_timeout = BAD_BOOT.to_owned());
    site
}

pub(crate) fn is_rolled_back(stage: &mut Stage, tag: &str) -> Verdict {
    let site = at_4_5_8(stage);
    site.github.show(&["v4.5.8", tag]);
    let mails = site.product.mailbox.all().len();
    let before = World::of(&site.instance);
    // A patch may start at once; the next line asks for a look, because the first of it is not shown here.
    let patch = tag.starts_with("v4.5.");
    let checked = site
        .product
        .run(&["check"])
        .expect_code(if patch { 10 } else { 11 });
    let offered = format!("-> {}", world::plain(tag));
    assert!(checked.stdout.contains(&offered), "{checked}");
    let finished = site
        .product
        .run(&["apply", "--to", tag, "--yes"])
        .expect_code(20);
    world::assert_clear(&finished, &[]);
    world::assert_rolled_back(&site.instance, &site.product, mails, "v4.5.8", tag);
    World::of(&site.instance).assert_same_as(&before);
    Ok(())
}

fn a_migration_that_fails_half_way_leaves_the_database_as_it_was(stage: &mut Stage) -> Verdict {
    // Its twin in `clone` has the other method.
    let by = |stage: &mut Stage, method: &str| {
        let product = &mut at_4_5_8(stage).product;
        product.change(|settings| method.clone_into(&mut settings.snapshot));
    };
    by(stage, "logical");
    is_rolled_back(stage, "v4.6.1")?;
    by(stage, "auto");
    Ok(())
}

fn a_release_whose_web_never_answers_is_rolled_back(stage: &mut Stage) -> Verdict {
    is_rolled_back(stage, "v4.5.92")
}

fn a_release_that_shows_another_version_is_rolled_back(stage: &mut Stage) -> Verdict {
    is_rolled_back(stage, "v4.5.93")
}

fn a_release_whose_sidekiq_never_starts_is_rolled_back(stage: &mut Stage) -> Verdict {
    is_rolled_back(stage, "v4.5.94")
}

fn a_release_that_crashes_after_some_seconds_is_rolled_back(stage: &mut Stage) -> Verdict {
    is_rolled_back(stage, "v4.5.97")
}

fn a_release_whose_streaming_never_answers_is_rolled_back(stage: &mut Stage) -> Verdict {
    is_rolled_back(stage, "v4.5.98")
}

/// Found out while pulling: the site serves all the time, and the journal and a mail tell why.
fn is_not_started(stage: &mut Stage, tag: &str, words: &[&str]) -> Verdict {
    let site = at_4_5_8(stage);
    site.github.show(&["v4.5.8", tag]);
    let mails = site.product.mailbox.all().len();
    let before = World::of(&site.instance);
    let finished = site
        .product
        .run(&["apply", "--to", tag, "--yes"])
        .expect_code(22);
    world::assert_clear(&finished, words);
    world::assert_not_started(&site.instance, &site.product, &before, mails, "v4.5.8", tag);
    Ok(())
}

fn a_release_without_its_streaming_image_is_not_started(stage: &mut Stage) -> Verdict {
    is_not_started(stage, "v4.5.95", &["mastodon-streaming:v4.5.95"])
}

fn an_image_built_from_another_commit_is_not_started(stage: &mut Stage) -> Verdict {
    is_not_started(stage, "v4.5.96", &["commit"])?;
    world::assert_quarantined(&at_4_5_8(stage).product, "v4.5.96");
    Ok(())
}
