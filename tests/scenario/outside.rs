//! PostgreSQL and Redis in containers of another Compose project.

use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::lab::{InstanceOptions, containers, servers_of};
use crate::support::shell;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        servers_of_another_project_are_named_before_anything_is_done,
        a_name_to_which_two_containers_answer_is_refused_with_both,
        a_failed_migration_goes_back_with_servers_of_another_project,
        a_patch_goes_in_with_servers_of_another_project,
    ]
}

fn at_4_5_7(stage: &mut Stage) -> &mut Site {
    let site = stage.site(&InstanceOptions::at("v4.5.7").with_shared_servers());
    site.github.show(&["v4.5.7", "v4.5.8"]);
    site
}

/// Name, id and last start of the servers' containers.
fn servers(site: &Site) -> Vec<[String; 3]> {
    let project = servers_of(&site.instance.project);
    let filter = format!("label=com.docker.compose.project={project}");
    let all = containers(&filter);
    assert_eq!(all.len(), 2, "{all:?}");
    let started = |id: &str| shell::run("docker", ["inspect", "-f", "{{.State.StartedAt}}", id]);
    all.into_iter()
        .map(|it| [started(&it.id), it.name, it.id])
        .collect()
}

fn servers_of_another_project_are_named_before_anything_is_done(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let (before, project) = (servers(site), servers_of(&site.instance.project));
    let doctor = site.product.run(&["doctor"]).expect_code(0);
    for server in ["db", "redis"] {
        let name = site.instance.container(server).expect("server").name;
        let told = format!("container `{name}` of project `{project}`");
        assert!(doctor.stdout.contains(&told), "{doctor}");
        let planned = site.product.run(&["plan"]).expect_code(0);
        assert!(planned.stdout.contains(&told), "{planned}");
    }
    let explained = site.product.run(&["explain"]);
    let told = format!("of project `{project}`");
    assert!(explained.stdout.contains(&told), "{explained}");
    assert_eq!(servers(site), before);
    Ok(())
}

fn a_name_to_which_two_containers_answer_is_refused_with_both(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let before = World::of(&site.instance);
    let network = format!("{}_internal_network", servers_of(&site.instance.project));
    let second = format!("{}-second-db", site.instance.project);
    let image = format!("{}/lab/redis:7", site.instance.registry);
    let label = format!(
        "com.docker.compose.project={}",
        servers_of(&site.instance.project)
    );
    let made = [
        "run",
        "-d",
        "--name",
        &second,
        "--label",
        &label,
        "--network",
        &network,
        "--network-alias",
        "db",
        &image,
    ];
    shell::run("docker", made);
    let finished = site.product.run(&["apply", "--yes"]).expect_code(22);
    shell::run("docker", ["rm", "-fv", &second]);
    let first = site.instance.container("db").expect("server").name;
    world::assert_clear(&finished, &["DB_HOST is `db`", &first, &second]);
    world::assert_untouched(&site.instance, &site.product, &before, "v4.5.7");
    Ok(())
}

fn a_failed_migration_goes_back_with_servers_of_another_project(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    site.github.show(&["v4.5.7", "v4.6.1"]);
    for method in ["logical", "auto"] {
        let product = &mut site.product;
        product.change(|settings| method.clone_into(&mut settings.snapshot));
        let mails = site.product.mailbox.all().len();
        let (before, held) = (World::of(&site.instance), servers(site));
        let apply = ["apply", "--to", "v4.6.1", "--force", "--yes"];
        site.product.run(&apply).expect_code(20);
        world::assert_rolled_back(&site.instance, &site.product, mails, "v4.5.7", "v4.6.1");
        World::of(&site.instance).assert_same_as(&before);
        assert_eq!(servers(site), held, "their containers are as they were");
    }
    Ok(())
}

fn a_patch_goes_in_with_servers_of_another_project(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let mails = site.product.mailbox.all().len();
    let held = servers(site);
    let writer = Writer::start(&site.instance);
    writer.wait_for_more(5);
    site.product.run(&["apply", "--yes"]).expect_code(0);
    writer.wait_for_more(5);
    let report = writer.stop();
    let missing = report.missing(&site.instance);
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "acknowledged writes that are missing"
    );
    world::assert_committed(&site.instance, &site.product, mails, "v4.5.7", "v4.5.8");
    assert_eq!(servers(site), held, "their containers are as they were");
    Ok(())
}
