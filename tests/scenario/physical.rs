//! The database copied as the server's whole data folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::restore::{apart, assert_same_data, assert_version, post};
use crate::rollback;
use crate::runner::{Scenario, Skip, Stage, Verdict, scenarios};
use crate::support::lab::{Instance, InstanceOptions};
use crate::support::shell;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        on_btrfs_a_minor_goes_in_on_a_copy_that_shares_its_blocks_and_is_taken_back_out_of_it,
        a_migration_that_fails_is_taken_back_by_putting_the_data_folder_back_also_by_one_that_was_killed,
    ]
}

/// Until a migration failed and the way back has come to the data.
const UNTIL_GOING_BACK: Duration = Duration::from_secs(300);
/// The data folder, beside the Compose file.
const DATA: &str = "postgres14";

/// A disk of its own under a site's database, which can share blocks; the data move there, and home again when this is dropped.
struct OwnDisk<'a> {
    instance: &'a Instance,
    image: PathBuf,
}

impl<'a> OwnDisk<'a> {
    fn mount(instance: &'a Instance) -> Result<Self, Skip> {
        let (data, plain) = places(instance);
        let disk = Self {
            instance,
            image: instance.dir.join("disk.img"),
        };
        let image = disk.image.display().to_string();
        shell::run("truncate", ["-s", "1G", &image]);
        shell::attempt("mkfs.btrfs", ["-q", "-f", &image])
            .map_err(|said| Skip(format!("no btrfs can be made: {said}")))?;
        instance.compose(&["stop", "-t", "60", "db"]);
        fs::rename(&data, &plain).expect("the data stand aside");
        fs::create_dir(&data).expect("the mount point");
        let point = data.display().to_string();
        if let Err(said) = shell::attempt("mount", ["-o", "loop", &image, &point]) {
            fs::remove_dir(&data).expect("no mount point");
            fs::rename(&plain, &data).expect("the data are home");
            return Err(Skip(format!("no disk can be mounted: {said}")));
        }
        moved(&plain, &data);
        instance.compose(&["start", "db"]);
        Ok(disk)
    }
}

impl Drop for OwnDisk<'_> {
    fn drop(&mut self) {
        let (data, plain) = places(self.instance);
        self.instance.compose(&["stop", "-t", "60", "db"]);
        fs::create_dir(&plain).expect("a folder");
        moved(&data, &plain);
        shell::run("umount", [&data]);
        fs::remove_dir(&data).expect("no mount point");
        fs::rename(&plain, &data).expect("the data are home");
        fs::remove_file(&self.image).expect("no disk");
        self.instance.compose(&["start", "db"]);
    }
}

fn places(instance: &Instance) -> (PathBuf, PathBuf) {
    let aside = format!("{DATA}-aside");
    (instance.dir.join(DATA), instance.dir.join(aside))
}

/// Moves everything in a folder into another, with owners and modes, its own included.
fn moved(from: &Path, to: &Path) {
    let all = format!("{}/.", from.display());
    shell::run("cp", ["-a", &all, &to.display().to_string()]);
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            fs::remove_dir_all(path).expect("gone");
        } else {
            fs::remove_file(path).expect("gone");
        }
    }
    if !from.ends_with(DATA) {
        fs::remove_dir(from).expect("gone");
    }
}

/// What of ours is in the data folder.
fn of_ours(instance: &Instance) -> Vec<String> {
    let entries = fs::read_dir(instance.dir.join(DATA)).expect("the data folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.contains("mastopatch")).collect()
}

fn restart_policy(instance: &Instance) -> String {
    let id = instance.container("db").expect("the database").id;
    let asks = ["inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", &id];
    shell::run("docker", asks).trim().to_owned()
}

fn on_btrfs_a_minor_goes_in_on_a_copy_that_shares_its_blocks_and_is_taken_back_out_of_it(
    stage: &mut Stage,
) -> Verdict {
    let site = stage.site(&InstanceOptions::at("v4.3.21").seeded(400, 6000));
    site.github
        .show(&["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"]);
    let product = apart(site, "shared", "physical");
    let _disk = OwnDisk::mount(&site.instance)?;
    site.instance.wait_healthy("v4.3.21");
    let plan = product.json(&["plan", "--to", "v4.4.15"])["plan"].clone();
    assert_eq!(plan["method"], "physical", "{plan:#}");
    assert_eq!(plan["shares_blocks"], true, "{plan:#}");
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(10);
    let before = World::of(&site.instance);
    product
        .run(&["apply", "--to", "v4.4.15", "--yes"])
        .expect_code(0);
    writer.wait_for_more(10);
    let report = writer.stop();
    assert_eq!(report.missing(&site.instance), Vec::<String>::new());
    assert_version(site, "v4.4.15");
    let run = product.stored_run().plan.run;
    let list = product.json(&["snapshot", "list"]);
    assert_eq!(list["snapshots"][0]["method"], "physical", "{list:#}");
    assert_eq!(of_ours(&site.instance).len(), 1, "the copy stays");
    product.run(&["snapshot", "verify", &run]).expect_code(0);
    post(site);

    let refused = product.run(&["rollback", &run, "--yes"]).expect_code(22);
    world::assert_clear(&refused, &["--accept-loss", "Nothing was changed"]);
    product
        .run(&["rollback", &run, "--accept-loss", "--yes"])
        .expect_code(0);
    assert_version(site, "v4.3.21");
    // What was posted before the site was closed is in the copy, and was not there when the world was looked at.
    let now = World::of(&site.instance);
    let difference = before.dump.difference(&now.dump).without_new_statuses();
    assert!(difference.is_empty(), "{difference}");
    product.run(&["snapshot", "prune", "--yes"]).expect_code(0);
    assert_eq!(of_ours(&site.instance), Vec::<String>::new());
    Ok(())
}

fn a_migration_that_fails_is_taken_back_by_putting_the_data_folder_back_also_by_one_that_was_killed(
    stage: &mut Stage,
) -> Verdict {
    let by = |stage: &mut Stage, method: &str| {
        let site = stage.site(&InstanceOptions::at("v4.5.8"));
        site.product
            .change(|settings| method.clone_into(&mut settings.snapshot));
    };
    by(stage, "physical");
    rollback::is_rolled_back(stage, "v4.6.1")?;
    by(stage, "auto");
    let site = stage.site(&InstanceOptions::at("v4.5.8"));
    assert_eq!(of_ours(&site.instance), Vec::<String>::new());
    assert_eq!(restart_policy(&site.instance), "always");

    let product = apart(site, "killed-physical", "physical");
    let before = World::of(&site.instance);
    let mut apply = product.spawn(&["apply", "--to", "v4.6.1", "--yes"]);
    apply.until(
        "the server is stopped to get its folder back",
        UNTIL_GOING_BACK,
        || {
            let policy = restart_policy(&site.instance);
            if policy == "always" {
                return Err("it is still to be restarted".to_owned());
            }
            Ok(())
        },
    );
    apply.kill_hard();
    product.run(&["apply", "--yes"]).expect_code(20);
    assert_version(site, "v4.5.8");
    assert_same_data(site, &before);
    assert_eq!(of_ours(&site.instance), Vec::<String>::new());
    assert_eq!(restart_policy(&site.instance), "always");
    Ok(())
}
