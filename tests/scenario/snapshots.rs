//! Snapshots in people's hands: listed, looked through, taken while the site is open, removed.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::runner::{Scenario, Stage, Verdict, scenarios};
use crate::support::lab::InstanceOptions;
use crate::support::product::Product;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        a_snapshot_is_listed_and_looked_through_and_each_harm_is_told,
        a_snapshot_of_an_open_site_is_whole_and_stops_nothing,
        what_is_kept_for_nothing_is_removed_when_a_person_says_so,
    ]
}

fn listed(product: &Product) -> Vec<Value> {
    let list = product.json(&["snapshot", "list"]);
    list["snapshots"].as_array().cloned().expect("a list")
}

/// The kind of flaw that a look through a snapshot tells.
fn flaw(product: &Product, run: &str) -> String {
    let finished = product
        .run(&["snapshot", "verify", run, "--json"])
        .expect_code(23);
    let answer: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let flaw = answer["snapshots"][0]["flaw"]["kind"].as_str();
    flaw.unwrap_or_else(|| panic!("no flaw: {finished}"))
        .to_owned()
}

/// The biggest file of rows in a snapshot.
fn biggest(dir: &str) -> PathBuf {
    let files = fs::read_dir(format!("{dir}/database")).expect("a dump");
    let files = files.map(|entry| entry.expect("a file"));
    let biggest = files.max_by_key(|file| file.metadata().expect("its size").len());
    biggest.expect("one").path()
}

fn a_snapshot_is_listed_and_looked_through_and_each_harm_is_told(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.6").seeded(400, 6000));
    site.github.show(&["v4.5.6", "v4.5.8"]);
    let product = &site.product.variant("dumped", |settings| {
        "logical".clone_into(&mut settings.snapshot);
    });
    product
        .run(&["apply", "--to", "v4.5.8", "--yes"])
        .expect_code(0);
    let one = listed(product).pop().expect("the run's snapshot");
    let run = one["run"].as_str().expect("its run");
    assert_eq!(one["version"], "4.5.6");
    assert_eq!(one["method"], "logical");
    assert_eq!(
        one["kept_for"],
        serde_json::json!(["newest-committed", "newest"])
    );
    let whole = product.run(&["snapshot", "verify"]).expect_code(0);
    assert!(whole.stdout.contains("whole: "), "{whole}");
    assert!(whole.stderr.contains("... dump"), "{whole}");

    let dir = one["path"].as_str().expect("its folder");
    let (data, manifest) = (biggest(dir), PathBuf::from(format!("{dir}/manifest.json")));
    let (was, text) = (
        fs::read(&data).expect("rows"),
        fs::read_to_string(&manifest).expect("a manifest"),
    );
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "no `{from}` in {text}");
        fs::write(&manifest, text.replacen(from, to, 1)).expect("a manifest");
    };
    fs::write(&data, &was[..was.len() / 2]).expect("half of it");
    assert_eq!(flaw(product, run), "length");
    let mut flipped = was.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&data, &flipped).expect("another bit");
    assert_eq!(flaw(product, run), "checksum");
    fs::remove_file(&data).expect("rows");
    assert_eq!(flaw(product, run), "missing-file");
    fs::write(&data, &was).expect("as it was");
    with(
        "\"public.accounts\"",
        "\"public.accounts_of_old\": 3,\n    \"public.accounts\"",
    );
    assert_eq!(flaw(product, run), "rows");
    let schema = serde_json::from_str::<Value>(&text).expect("JSON");
    let first = schema["schema"][0].as_str().expect("a migration");
    with(first, "19990101000000");
    assert_eq!(flaw(product, run), "schema");
    with(&product.name, "other.example");
    assert_eq!(flaw(product, run), "other-instance");
    fs::remove_file(&manifest).expect("the manifest");
    assert_eq!(flaw(product, run), "unfinished");
    fs::write(&manifest, &text).expect("as it was");
    product.run(&["snapshot", "verify", run]).expect_code(0);
    world::assert_no_leftovers(&site.instance, product);
    Ok(())
}

fn a_snapshot_of_an_open_site_is_whole_and_stops_nothing(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8").seeded(400, 6000));
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    let before = World::of(&site.instance);
    let taken = site.product.json(&["snapshot", "create"]);
    writer.wait_for_more(5);
    let report = writer.stop();
    assert_eq!(report.missing(&site.instance), Vec::<String>::new());
    let taken = &taken["snapshot"];
    assert_eq!(taken["method"], "hot");
    let run = taken["run"].as_str().expect("an id");
    let whole = site
        .product
        .run(&["snapshot", "verify", run])
        .expect_code(0);
    assert!(whole.stdout.contains("whole: "), "{whole}");
    assert!(listed(&site.product).iter().any(|one| one["run"] == run));
    World::of(&site.instance).assert_same_but_for_new_statuses(&before);
    world::assert_no_leftovers(&site.instance, &site.product);
    Ok(())
}

fn what_is_kept_for_nothing_is_removed_when_a_person_says_so(stage: &mut Stage) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.5.8").seeded(400, 6000));
    let product = &site.product;
    let n_before = listed(product).len();
    for _ in 0..4 {
        product.run(&["snapshot", "create"]).expect_code(0);
    }
    // Three of them are the newest; one more may be there from before.
    let goes: Vec<Value> = listed(product)
        .into_iter()
        .filter(|one| one["goes"] == true)
        .collect();
    assert!(!goes.is_empty());
    let shown = product
        .run(&["snapshot", "prune", "--dry-run"])
        .expect_code(0);
    assert!(shown.stdout.contains("kept for nothing"), "{shown}");
    assert_eq!(listed(product).len(), n_before + 4);
    product.run(&["snapshot", "prune", "--yes"]).expect_code(0);
    let left = listed(product);
    assert_eq!(left.len(), n_before + 4 - goes.len());
    assert!(left.iter().all(|one| one["goes"] == false), "{left:#?}");
    world::assert_no_leftovers(&site.instance, product);
    Ok(())
}
