//! Bad input and a bad world: a clear sentence, a documented exit code, and the site untouched. The suite
//! ends with the patch that all these obstacles had kept away.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::runner::{Scenario, Site, Skip, Stage, Verdict, scenarios};
use crate::support::check;
use crate::support::github::Fault;
use crate::support::lab::{Instance, InstanceOptions};
use crate::support::proxy::EngineProxy;
use crate::support::shell;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        an_unknown_key_is_refused_with_file_and_line,
        no_engine_is_said_clearly,
        a_socket_that_is_no_engine_is_said_clearly,
        every_way_in_which_github_fails_is_said_clearly,
        an_unchanged_list_of_releases_costs_no_request,
        a_release_that_the_registry_does_not_have_is_not_started,
        a_disk_that_is_too_small_is_noticed_before_the_fence,
        an_engine_that_restarts_in_the_middle_of_a_pull_changes_nothing,
        a_patch_goes_in_with_its_tag_in_dotenv,
    ]
}

/// A pull begins after planning and preflight, on a busy machine.
const UNTIL_DEAD: Duration = Duration::from_secs(90);

fn at_4_5_7(stage: &mut Stage) -> &mut Site {
    let site = stage.site(&InstanceOptions::at("v4.5.7").with_dotenv());
    site.github.fail_with(None);
    site.github.show(&["v4.5.7", "v4.5.8"]);
    site
}

fn an_unknown_key_is_refused_with_file_and_line(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let wrong = site.product.variant("unknown-key", |settings| {
        settings.extra = "# first line\nstate_dri = \"/tmp\"\n".to_owned()
    });
    for command in [
        ["config", "check"].as_slice(),
        &["check"],
        &["apply", "--yes"],
        &["daemon"],
    ] {
        let finished = wrong.run(command).expect_code(78);
        world::assert_clear(&finished, &["mastopatch.toml:2", "state_dri"]);
    }
    site.product.run(&["config", "check"]).expect_code(0);
    Ok(())
}

fn no_engine_is_said_clearly(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let before = World::of(&site.instance);
    let path = "/nonexistent/docker.sock";
    let nowhere = site
        .product
        .variant("no-engine", |settings| settings.socket = path.into());
    for command in [["check"].as_slice(), &["apply", "--yes"]] {
        let finished = nowhere.run(command).expect_code(69);
        world::assert_clear(&finished, &[path]);
    }
    world::assert_untouched(&site.instance, &site.product, &before, "v4.5.7");
    Ok(())
}

fn a_socket_that_is_no_engine_is_said_clearly(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let before = World::of(&site.instance);
    let folder = site.product.state_dir().with_file_name("sockets");
    std::fs::create_dir_all(&folder).expect("folder");
    let file = folder.join("file.sock");
    std::fs::write(&file, "").expect("file");
    let stranger = folder.join("stranger.sock");
    drop(std::fs::remove_file(&stranger));
    let listener = UnixListener::bind(&stranger).expect("socket");
    // Takes every connection and ends it: something listens, but no engine.
    let accepting = std::thread::spawn(move || listener.incoming().take(50).for_each(drop));
    for path in [file, stranger] {
        let wrong = site
            .product
            .variant("wrong-socket", |settings| settings.socket.clone_from(&path));
        let finished = wrong.run(&["apply", "--yes"]).expect_code(69);
        world::assert_clear(&finished, &[&path.display().to_string()]);
    }
    drop(accepting);
    world::assert_untouched(&site.instance, &site.product, &before, "v4.5.7");
    Ok(())
}

fn every_way_in_which_github_fails_is_said_clearly(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let before = World::of(&site.instance);
    for (fault, word) in [
        (Fault::Unauthorized, "token"),
        (Fault::RateLimited, "rate limit"),
        (Fault::NotFound, "does not exist"),
        (Fault::ServerError, "500"),
        (Fault::GarbageJson, "github"),
        (Fault::CutBody, "github"),
        (Fault::Silence, "github"),
    ] {
        site.github.fail_with(Some(fault));
        let finished = site.product.run(&["check"]);
        assert_eq!(finished.code, Some(69), "{fault:?}\n{finished}");
        world::assert_clear(&finished, &[word]);
        assert!(
            finished.elapsed < Duration::from_secs(90),
            "{fault:?} took {:?}",
            finished.elapsed
        );
    }
    site.github.fail_with(Some(Fault::ServerError));
    site.product.run(&["apply", "--yes"]).expect_code(69);
    site.github.fail_with(None);
    world::assert_untouched(&site.instance, &site.product, &before, "v4.5.7");
    site.product.run(&["check"]).expect_code(10);
    Ok(())
}

fn an_unchanged_list_of_releases_costs_no_request(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    site.product.run(&["check"]).expect_code(10);
    site.github.clear_log();
    site.product.run(&["check"]).expect_code(10);
    let log = site.github.log();
    let lists = log.iter().filter(|seen| {
        seen.path.ends_with("/releases") || seen.path.ends_with("/security-advisories")
    });
    let statuses: Vec<u16> = lists.map(|seen| seen.status).collect();
    assert!(
        statuses.len() >= 2 && statuses.iter().all(|status| *status == 304),
        "{log:#?}"
    );
    Ok(())
}

fn a_release_that_the_registry_does_not_have_is_not_started(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    site.github.show(&["v4.5.7", "v4.5.90"]);
    let mails = site.product.mailbox.all().len();
    let before = World::of(&site.instance);
    let finished = site
        .product
        .run(&["apply", "--to", "v4.5.90", "--yes"])
        .expect_code(22);
    world::assert_clear(&finished, &["v4.5.90"]);
    world::assert_not_started(
        &site.instance,
        &site.product,
        &before,
        mails,
        "v4.5.7",
        "v4.5.90",
    );
    Ok(())
}

fn a_disk_that_is_too_small_is_noticed_before_the_fence(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let before = World::of(&site.instance);
    let small = SmallDisk::mount(&site.product.state_dir().with_file_name("small-disk"))?;
    let product = site.product.variant("small-disk", |settings| {
        settings.state_dir = Some(small.path.join("state"))
    });
    let finished = product.run(&["apply", "--yes"]).expect_code(22);
    world::assert_clear(&finished, &["room", "small-disk"]);
    world::assert_untouched(&site.instance, &product, &before, "v4.5.7");
    Ok(())
}

fn an_engine_that_restarts_in_the_middle_of_a_pull_changes_nothing(stage: &mut Stage) -> Verdict {
    let lab = stage.lab.clone();
    let site = at_4_5_7(stage);
    // Images that this engine does not have: else there is nothing to pull.
    publish_anew(&site.instance, "v4.5.7", "v4.5.91");
    site.github.show(&["v4.5.7", "v4.5.91"]);
    let before = World::of(&site.instance);
    let mails = site.product.mailbox.all().len();
    let path = site.product.state_dir().with_file_name("engine.sock");
    let proxy = EngineProxy::start(path, lab.socket(), "/images/create");
    let product = site.product.variant("dying-engine", |settings| {
        settings.socket = proxy.path().to_owned();
    });
    let mut apply = product.spawn(&["apply", "--to", "v4.5.91", "--yes"]);
    apply.until("the engine dies", UNTIL_DEAD, || {
        check(proxy.is_cut(), "the pull has not begun")
    });
    apply.until_said("waiting for the engine", UNTIL_DEAD);
    site.instance.wait_healthy("v4.5.7");
    proxy.revive();
    let finished = apply.finish(UNTIL_DEAD).expect_code(22);
    world::assert_clear(&finished, &["engine"]);
    world::assert_not_started(
        &site.instance,
        &site.product,
        &before,
        mails,
        "v4.5.7",
        "v4.5.91",
    );
    Ok(())
}

/// Puts both images of `from` into the registry once more, under a new tag and with a new id, and leaves
/// no copy of them in the engine.
fn publish_anew(instance: &Instance, from: &str, tag: &str) {
    for name in ["mastodon", "mastodon-streaming"] {
        let repository = format!("{}/mastodon/{name}", instance.registry);
        let (old, new) = (
            format!("{repository}:{from}"),
            format!("{repository}:{tag}"),
        );
        let label = "org.mastopatch.lab=1";
        let container = shell::run("docker", ["create", "--label", label, &old]);
        let change = format!("LABEL org.mastopatch.published={tag}");
        shell::run(
            "docker",
            ["commit", "--change", &change, container.trim(), &new],
        );
        shell::run("docker", ["rm", container.trim()]);
        shell::run("docker", ["push", &new]);
        shell::run("docker", ["rmi", &new]);
    }
}

fn a_patch_goes_in_with_its_tag_in_dotenv(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let mails = site.product.mailbox.all().len();
    let (old_compose, old_dotenv) = (site.instance.compose_text(), site.instance.dotenv_text());
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    site.product.run(&["check"]).expect_code(10);
    site.product.run(&["apply", "--yes"]).expect_code(0);
    writer.wait_for_more(5);
    let report = writer.stop();
    assert_eq!(
        report.missing(&site.instance),
        Vec::<String>::new(),
        "acknowledged writes that are missing"
    );
    let run = world::assert_committed(&site.instance, &site.product, mails, "v4.5.7", "v4.5.8");
    assert_eq!(run["class"], "M0", "{run:#}");
    assert_eq!(
        site.instance.compose_text(),
        old_compose,
        "the compose file stays"
    );
    assert_eq!(
        site.instance.dotenv_text(),
        old_dotenv.replace("v4.5.7", "v4.5.8"),
        "only the tag changes"
    );
    Ok(())
}

/// A file system of three megabytes: less than an empty database takes.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Result<Self, Skip> {
        std::fs::create_dir_all(path).expect("mount point");
        let point = path.display().to_string();
        let mounted = shell::attempt("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", &point])
            .or_else(|_| {
                shell::attempt(
                    "sudo",
                    [
                        "-n",
                        "mount",
                        "-t",
                        "tmpfs",
                        "-o",
                        "size=3m,mode=0777",
                        "tmpfs",
                        &point,
                    ],
                )
            });
        mounted
            .map(|_| Self {
                path: path.to_owned(),
            })
            .map_err(|said| Skip(format!("no small disk can be mounted: {said}")))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let point = self.path.display().to_string();
        if shell::attempt("umount", [&point])
            .or_else(|_| shell::attempt("sudo", ["-n", "umount", &point]))
            .is_err()
        {
            eprintln!("{point} could not be unmounted");
        }
    }
}
