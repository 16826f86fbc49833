//! PostgreSQL and Redis in containers of another Compose project.

use crate::runner::{Scenario, Site, Stage, Verdict, scenarios};
use crate::support::lab::{InstanceOptions, PASSWORD, containers, servers_of};
use crate::support::product::Finished;
use crate::support::shell;
use crate::support::world::{self, World};
use crate::support::writer::Writer;

pub(crate) fn suite() -> Vec<Scenario> {
    scenarios![
        servers_of_another_project_are_named_before_anything_is_done,
        a_name_to_which_two_containers_answer_is_refused_with_both,
        a_server_named_by_its_address_is_rehearsed_under_another_name,
        a_redis_that_another_program_uses_too_keeps_migrations_away_with_the_site_open,
        a_failed_migration_goes_back_with_servers_of_another_project,
        a_patch_goes_in_with_servers_of_another_project,
    ]
}

/// In a suite of their own, with an instance of its own.
pub(crate) fn addressed_suite() -> Vec<Scenario> {
    scenarios![
        an_update_by_addresses_is_rehearsed_goes_back_and_goes_in_without_showing_the_password,
        an_address_that_is_not_understood_is_refused_without_showing_it,
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
    world::assert_clear(&finished, &["DB_HOST names `db`", &first, &second]);
    world::assert_untouched(&site.instance, &site.product, &before, "v4.5.7");
    Ok(())
}

fn a_server_named_by_its_address_is_rehearsed_under_another_name(stage: &mut Stage) -> Verdict {
    let site = at_4_5_7(stage);
    let path = site.instance.environment_path();
    let text = std::fs::read_to_string(&path).expect("environment file");
    let network = format!("{}_internal_network", servers_of(&site.instance.project));
    let address = |service: &str| {
        let id = site.instance.container(service).expect("server").id;
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        let address = shell::run("docker", ["inspect", "-f", &format, &id]);
        address.trim().to_owned()
    };
    let by_address = text
        .replace("DB_HOST=db\n", &format!("DB_HOST={}\n", address("db")))
        .replace(
            "REDIS_HOST=redis\n",
            &format!("REDIS_HOST={}\n", address("redis")),
        );
    assert_ne!(by_address, text);
    let apply_file = |text: &str| {
        std::fs::write(&path, text).expect("environment file");
        site.instance.compose(&["up", "-d"]);
        site.instance.wait_healthy("v4.5.7");
    };
    apply_file(&by_address);
    let before = World::of(&site.instance);
    let rehearse = ["rehearse", "--to", "v4.5.8"];
    site.product.run(&rehearse).expect_code(0);
    world::assert_untouched(&site.instance, &site.product, &before, "v4.5.7");
    apply_file(&text);
    Ok(())
}

fn a_redis_that_another_program_uses_too_keeps_migrations_away_with_the_site_open(
    stage: &mut Stage,
) -> Verdict {
    let site = at_4_5_7(stage);
    site.github.show(&["v4.5.7", "v4.6.0", "v4.6.9"]);
    let (before, mails) = (World::of(&site.instance), site.product.mailbox.all().len());
    let network = format!("{}_internal_network", servers_of(&site.instance.project));
    let other = format!("{}-other-program", site.instance.project);
    let image = format!("{}/lab/redis:7", site.instance.registry);
    let listens = ["redis-cli", "-h", "redis", "subscribe", "news"];
    let project = format!(
        "com.docker.compose.project={}",
        servers_of(&site.instance.project)
    );
    let run = [
        "run",
        "-d",
        "--name",
        &other,
        "--label",
        &project,
        "--network",
        &network,
        &image,
    ];
    shell::run("docker", run.into_iter().chain(listens));
    let finished = site
        .product
        .run(&["apply", "--to", "v4.6.9", "--yes"])
        .expect_code(22);
    shell::run("docker", ["rm", "-fv", &other]);
    let redis = site.instance.container("redis").expect("server").name;
    world::assert_clear(
        &finished,
        &[&redis, "is connected to it", "used by others too"],
    );
    assert!(!finished.to_string().contains("closing"), "{finished}");
    world::assert_not_started(
        &site.instance,
        &site.product,
        &before,
        mails,
        "v4.5.7",
        "v4.6.9",
    );
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

fn by_addresses(stage: &mut Stage) -> &mut Site {
    let site = stage.site(&InstanceOptions::at("v4.5.7").with_addresses());
    site.github.show(&["v4.5.7", "v4.5.8"]);
    site
}

/// Nothing that was said, kept beside the material, or mailed holds the password, as it is or as it stands in an address.
fn assert_hidden(site: &Site, said: &[Finished]) {
    let mut texts: Vec<String> = said.iter().map(ToString::to_string).collect();
    texts.extend(
        site.product
            .mailbox
            .all()
            .iter()
            .map(|mail| format!("{mail:?}")),
    );
    for run in site.product.runs() {
        texts.push(run.to_string());
    }
    for args in [
        ["doctor", "--json"],
        ["plan", "--json"],
        ["history", "--json"],
    ] {
        texts.push(site.product.run(&args).to_string());
    }
    let secrets = [PASSWORD, "p%40ss"];
    for text in texts {
        assert!(
            !secrets.iter().any(|secret| text.contains(secret)),
            "{text}"
        );
    }
}

fn an_update_by_addresses_is_rehearsed_goes_back_and_goes_in_without_showing_the_password(
    stage: &mut Stage,
) -> Verdict {
    let site = by_addresses(stage);
    let held = servers(site);
    site.github.show(&["v4.5.7", "v4.6.0", "v4.6.1", "v4.6.9"]);
    let mails = site.product.mailbox.all().len();
    let before = World::of(&site.instance);
    site.product
        .change(|settings| "logical".clone_into(&mut settings.snapshot));
    let back = site
        .product
        .run(&["apply", "--to", "v4.6.1", "--yes"])
        .expect_code(20);
    world::assert_rolled_back(&site.instance, &site.product, mails, "v4.5.7", "v4.6.1");
    World::of(&site.instance).assert_same_as(&before);
    site.product
        .change(|settings| "auto".clone_into(&mut settings.snapshot));
    let rehearsed = site
        .product
        .run(&["rehearse", "--to", "v4.6.9"])
        .expect_code(0);
    let mails = site.product.mailbox.all().len();
    let done = site
        .product
        .run(&["apply", "--to", "v4.6.9", "--yes"])
        .expect_code(0);
    world::assert_committed(&site.instance, &site.product, mails, "v4.5.7", "v4.6.9");
    assert_eq!(servers(site), held, "their containers are as they were");
    assert_hidden(site, &[back, rehearsed, done]);
    Ok(())
}

fn an_address_that_is_not_understood_is_refused_without_showing_it(stage: &mut Stage) -> Verdict {
    let tag = "v4.6.9";
    let site = stage.site(&InstanceOptions::at(tag).with_addresses());
    site.github.show(&[tag]);
    let path = site.instance.environment_path();
    let text = std::fs::read_to_string(&path).expect("environment file");
    let odd = text.replace("@redis:6379/0", "@redis:6379/3");
    std::fs::write(&path, odd).expect("environment file");
    site.instance.compose(&["up", "-d"]);
    site.instance.wait_healthy(tag);
    let doctor = site.product.run(&["doctor"]).expect_code(22);
    assert!(
        doctor
            .stdout
            .contains("REDIS_URL names another database than 0"),
        "{doctor}"
    );
    assert_hidden(site, &[doctor]);
    Ok(())
}
