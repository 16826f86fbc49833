//! What runs is looked at from several sides; where they do not agree, or it is somebody else's build, nothing starts.

use serde_json::Value;

use crate::knowing::{decision, reasons, the_daemon_starts_nothing};
use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::lab::{Instance, InstanceOptions};
use crate::support::shell;
use crate::support::world::{self, World};

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        doctor_asks_every_witness_and_names_what_the_next_line_needs,
        a_fork_is_only_told_about,
        witnesses_that_disagree_keep_everything_from_starting,
    ]
}

const IMAGES: [&str; 2] = ["mastodon", "mastodon-streaming"];

fn at_4_5_8(stage: &mut Stage) -> &mut Site {
    stage.site(&InstanceOptions::at("v4.5.8"))
}

fn doctor_asks_every_witness_and_names_what_the_next_line_needs(stage: &mut Stage) -> Verdict {
    let site = at_4_5_8(stage);
    let before = World::of(&site.instance);
    site.github.show(&["v4.5.8"]);
    let product = site.product.newcomer("doctor");
    let healthy = product.run(&["doctor"]).expect_code(0);
    assert!(
        healthy.stdout.contains("Nothing stands in the way"),
        "{healthy}"
    );
    let found = product.json(&["doctor"])["instances"][0].clone();
    let said: Vec<(String, String)> = found["installed"]["testimonies"]
        .as_array()
        .expect("testimonies")
        .iter()
        .map(|it| {
            let said = &it["said"];
            let word = said["version"].as_str().or(said["answer"].as_str());
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&it["witness"]), word.unwrap_or_default().to_owned())
        })
        .collect();
    let wanted = [
        ("api", "4.5.8"),
        ("tootctl", "4.5.8"),
        ("image-environment", "fits"),
        ("image-tag", "4.5.8"),
        ("schema", "fits"),
    ];
    let wanted = wanted.map(|(witness, word)| (witness.to_owned(), word.to_owned()));
    assert_eq!(said, wanted, "{found:#}");
    assert_eq!(
        found["installed"]["disagreements"],
        Value::Array(Vec::new())
    );

    // The health check of the compose file looks for Sidekiq 6, as that of an old installation does.
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    let ahead = product.run(&["doctor"]).expect_code(11);
    for words in ["4.6.9", "PERSON", "The health check of `sidekiq`"] {
        assert!(ahead.stdout.contains(words), "`{words}`\n{ahead}");
    }
    world::assert_untouched(&site.instance, &product, &before, "v4.5.8");
    Ok(())
}

fn a_fork_is_only_told_about(stage: &mut Stage) -> Verdict {
    let site = at_4_5_8(stage);
    let upstream = site.instance.compose_text();
    build_fork(&site.instance, "v4.5.8", "glitch");
    let registry = &site.instance.registry;
    let forked = upstream.replace(
        &format!("{registry}/mastodon/"),
        &format!("{registry}/glitch-soc/"),
    );
    site.instance.edit_compose(&forked);
    site.instance.compose(&["up", "-d"]);
    site.instance.wait_healthy("v4.5.8+glitch");
    site.github.show(&["v4.5.8", "v4.6.0", "v4.6.9"]);
    let product = site.product.newcomer("fork");
    let before = World::of(&site.instance);

    the_daemon_starts_nothing(&product, &site.github);
    let checked = product.run(&["check"]).expect_code(11);
    assert!(checked.stdout.contains("glitch"), "{checked}");
    let told = decision(&product);
    assert_eq!(
        (&told["target"], &told["notice"]["version"]),
        (&Value::Null, &Value::from("4.6.9")),
        "{told:#}"
    );
    let explained = product.run(&["explain"]).expect_code(11);
    assert!(
        explained.stdout.contains("Upstream has 4.6.9"),
        "{explained}"
    );
    product.run(&["apply", "--yes"]).expect_code(11);
    let refused = product
        .run(&["apply", "--to", "v4.6.9", "--yes"])
        .expect_code(22);
    world::assert_clear(&refused, &["glitch", "only tells"]);
    World::of(&site.instance).assert_same_as(&before);
    world::assert_no_leftovers(&site.instance, &product);

    site.instance.edit_compose(&upstream);
    site.instance.compose(&["up", "-d"]);
    site.instance.wait_healthy("v4.5.8");
    Ok(())
}

/// Images of a fork as its makers build them: their own repository, and their mark in the image's environment.
fn build_fork(instance: &Instance, tag: &str, mark: &str) {
    for name in IMAGES {
        let of = |publisher: &str| format!("{}/{publisher}/{name}:{tag}", instance.registry);
        let label = "org.mastopatch.lab=1";
        let container = shell::run("docker", ["create", "--label", label, &of("mastodon")]);
        let change = format!("ENV MASTODON_VERSION_METADATA={mark}");
        shell::run(
            "docker",
            [
                "commit",
                "--change",
                &change,
                container.trim(),
                &of("glitch-soc"),
            ],
        );
        shell::run("docker", ["rm", container.trim()]);
    }
}

fn witnesses_that_disagree_keep_everything_from_starting(stage: &mut Stage) -> Verdict {
    let site = at_4_5_8(stage);
    // The tag says one release, and the software in it is another.
    for name in IMAGES {
        let of = |tag: &str| format!("{}/mastodon/{name}:{tag}", site.instance.registry);
        shell::run("docker", ["tag", &of("v4.5.8"), &of("v4.5.5")]);
    }
    let text = site.instance.compose_text();
    site.instance
        .edit_compose(&text.replace("v4.5.8", "v4.5.5"));
    site.instance.compose(&["up", "-d"]);
    site.instance.wait_healthy("v4.5.8");
    site.github.show(&["v4.5.5", "v4.5.8", "v4.5.90"]);
    let product = site.product.newcomer("disagreement");
    let before = World::of(&site.instance);

    the_daemon_starts_nothing(&product, &site.github);
    product.run(&["check"]).expect_code(11);
    let decided = decision(&product);
    assert_eq!(decided["when"]["state"], "blocked", "{decided:#}");
    let named = reasons(&decided, "installed");
    assert!(
        named
            .iter()
            .any(|text| text.contains("4.5.5") && text.contains("4.5.8")),
        "{decided:#}"
    );
    for to in [
        ["apply", "--yes"].as_slice(),
        &["apply", "--to", "v4.5.90", "--yes"],
    ] {
        let refused = product.run(to).expect_code(22);
        world::assert_clear(&refused, &["not certain", "4.5.5"]);
    }
    let doctor = product.run(&["doctor"]);
    assert!(matches!(doctor.code, Some(11 | 22)), "{doctor}");
    assert!(doctor.stdout.contains("They disagree"), "{doctor}");
    World::of(&site.instance).assert_same_as(&before);
    world::assert_no_leftovers(&site.instance, &product);
    Ok(())
}
