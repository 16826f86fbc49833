//! What an instance looks like from outside, and the sentences every scenario ends with.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::dump::Dump;
use super::lab::{APP_SERVICES, Container, Instance, SERVICES};
use super::product::{Finished, Product};
use super::{check, eventually, shell};

/// Everything of an instance that an update may change and a rollback must bring back.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) networks: Vec<String>,
    pub(crate) databases: Vec<String>,
    pub(crate) compose: String,
    pub(crate) dotenv: String,
    pub(crate) dump: Dump,
}

impl World {
    /// Looks at everything, as soon as Sidekiq has nothing to do.
    pub(crate) fn of(instance: &Instance) -> Self {
        instance.wait_for_quiet_sidekiq();
        Self {
            containers: instance
                .containers()
                .into_iter()
                .map(|container| (container.name.clone(), container))
                .collect(),
            networks: networks(&format!(
                "label=com.docker.compose.project={}",
                instance.project
            )),
            databases: instance.databases(),
            compose: instance.compose_text(),
            dotenv: instance.dotenv_text(),
            dump: instance.dump(),
        }
    }

    /// Panics unless everything is as it was: same containers, files, databases, and every row.
    #[track_caller]
    pub(crate) fn assert_same_as(&self, before: &Self) {
        self.assert_same_machine_as(before);
        let difference = before.dump.difference(&self.dump);
        assert!(
            difference.is_empty(),
            "the database is not what it was:\n{difference}"
        );
        assert_eq!(
            before.dump.text(),
            self.dump.text(),
            "same lines in another order"
        );
    }

    /// As [`Self::assert_same_as`], but statuses written meanwhile may have come on top.
    #[track_caller]
    pub(crate) fn assert_same_but_for_new_statuses(&self, before: &Self) {
        self.assert_same_machine_as(before);
        let difference = before.dump.difference(&self.dump).without_new_statuses();
        assert!(
            difference.is_empty(),
            "the database is not what it was:\n{difference}"
        );
    }

    #[track_caller]
    fn assert_same_machine_as(&self, before: &Self) {
        let still = |world: &Self| -> BTreeMap<String, Container> {
            let plain = |container: &Container| Container {
                health: String::new(),
                ..container.clone()
            };
            world
                .containers
                .iter()
                .map(|(name, container)| (name.clone(), plain(container)))
                .collect()
        };
        assert_eq!(
            still(before),
            still(self),
            "containers before (left) and after (right)"
        );
        assert_eq!(before.networks, self.networks, "networks before and after");
        assert_eq!(
            before.databases, self.databases,
            "databases before and after"
        );
        assert_eq!(
            before.compose, self.compose,
            "compose file before and after"
        );
        assert_eq!(before.dotenv, self.dotenv, ".env before and after");
    }
}

/// The end of a good update: the plan's version in all three services, the journal and one mail say so,
/// nothing is left over, and `compose up -d` has nothing to do.
#[track_caller]
pub(crate) fn assert_committed(
    instance: &Instance,
    product: &Product,
    mails_before: usize,
    from: &str,
    to: &str,
) -> Value {
    instance.wait_healthy(to);
    let run = assert_journal(product, from, to, "committed");
    assert_one_version(instance, to);
    assert_files_name(instance, to);
    assert_no_leftovers(instance, product);
    assert_up_changes_nothing(instance);
    assert_one_mail(product, mails_before, to);
    run
}

/// The end of an update that failed before its commit: all of it is undone, the version is quarantined with
/// a reason and not offered again, the journal and one mail say so.
#[track_caller]
pub(crate) fn assert_rolled_back(
    instance: &Instance,
    product: &Product,
    mails_before: usize,
    from: &str,
    to: &str,
) -> Value {
    instance.wait_healthy(from);
    let run = assert_journal(product, from, to, "rolled_back");
    assert_one_version(instance, from);
    assert_no_leftovers(instance, product);
    assert_one_mail(product, mails_before, to);
    assert_quarantined(product, to);
    run
}

/// The end of a run that stopped before it changed anything.
#[track_caller]
pub(crate) fn assert_untouched(instance: &Instance, product: &Product, before: &World, tag: &str) {
    instance.wait_healthy(tag);
    World::of(instance).assert_same_as(before);
    assert_one_version(instance, tag);
    assert_no_leftovers(instance, product);
}

/// The end of an attempt that found out before the site was touched that the target cannot be had. Where that
/// was seen while planning there is no run at all; else the run is aborted, and one mail tells why.
#[track_caller]
pub(crate) fn assert_not_started(
    instance: &Instance,
    product: &Product,
    before: &World,
    mails_before: usize,
    from: &str,
    to: &str,
) {
    assert_untouched(instance, product, before, from);
    let newest = product.runs().into_iter().next();
    if newest.is_some_and(|run| {
        run["to"]
            .as_str()
            .is_some_and(|version| plain(version) == plain(to))
    }) {
        assert_journal(product, from, to, "aborted");
        assert_one_mail(product, mails_before, to);
    } else {
        assert_eq!(
            product.mailbox.all().len(),
            mails_before,
            "mails without a run"
        );
    }
}

/// The version is quarantined with a reason, and `check` does not offer it any more.
#[track_caller]
pub(crate) fn assert_quarantined(product: &Product, tag: &str) {
    let reason = product.quarantine_reason(plain(tag));
    assert!(
        reason
            .as_deref()
            .is_some_and(|reason| !reason.trim().is_empty()),
        "{tag} is quarantined for {reason:?}"
    );
    let check = product.run(&["check"]);
    assert!(
        matches!(check.code, Some(0 | 11)),
        "`check` still offers {tag}\n{check}"
    );
}

#[track_caller]
pub(crate) fn assert_journal(product: &Product, from: &str, to: &str, outcome: &str) -> Value {
    let run = product.last_run();
    let said = |key: &str| {
        run[key]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches('v')
            .to_owned()
    };
    assert_eq!(
        (said("from"), said("to"), said("outcome")),
        (
            plain(from).to_owned(),
            plain(to).to_owned(),
            outcome.to_owned()
        ),
        "the journal's last run: {run:#}"
    );
    let steps = run["steps"].as_array().map(Vec::len).unwrap_or_default();
    assert!(steps > 0, "the journal's last run has no steps: {run:#}");
    if outcome != "committed" {
        let reason = run["reason"].as_str().unwrap_or_default();
        assert!(
            !reason.is_empty(),
            "the journal's last run has no reason: {run:#}"
        );
    }
    run
}

/// Web, streaming and Sidekiq run images of this tag, and so does what they show.
#[track_caller]
pub(crate) fn assert_one_version(instance: &Instance, tag: &str) {
    let images = instance.running_images();
    let mut wanted = BTreeMap::new();
    for service in APP_SERVICES {
        let name = if service == "streaming" {
            "mastodon-streaming"
        } else {
            "mastodon"
        };
        wanted.insert(
            service.to_owned(),
            format!("{}/mastodon/{name}:{tag}", instance.registry),
        );
    }
    let running: BTreeMap<String, String> = images
        .into_iter()
        .filter(|(service, _)| APP_SERVICES.contains(&service.as_str()))
        .collect();
    assert_eq!(
        running, wanted,
        "running images (left) and wanted ones (right)"
    );
    for service in APP_SERVICES {
        let container = instance.container(service).expect("container");
        let reference = &wanted[service];
        let id = shell::run("docker", ["image", "inspect", "-f", "{{.Id}}", reference]);
        assert_eq!(
            container.image_id,
            id.trim(),
            "{service} runs another image than {reference}"
        );
    }
    assert_eq!(
        instance.shown_version().as_deref(),
        Ok(plain(tag)),
        "version shown"
    );
}

/// The compose file or `.env` names the tag where it named the old one.
#[track_caller]
pub(crate) fn assert_files_name(instance: &Instance, tag: &str) {
    if instance.dotenv {
        assert!(
            instance
                .dotenv_text()
                .contains(&format!("MASTODON_TAG={tag}\n")),
            ".env:\n{}",
            instance.dotenv_text()
        );
    } else {
        let text = instance.compose_text();
        let registry = &instance.registry;
        let main = text
            .matches(&format!("image: {registry}/mastodon/mastodon:{tag}\n"))
            .count();
        let streaming = text
            .matches(&format!(
                "image: {registry}/mastodon/mastodon-streaming:{tag} "
            ))
            .count();
        assert_eq!((main, streaming), (2, 1), "lines that name {tag}:\n{text}");
    }
}

/// A person's `compose up -d` changes no container.
#[track_caller]
pub(crate) fn assert_up_changes_nothing(instance: &Instance) {
    let ids = |containers: Vec<Container>| -> Vec<(String, String)> {
        containers
            .into_iter()
            .map(|container| (container.name, container.id))
            .collect()
    };
    let before = ids(instance.containers());
    instance.compose(&["up", "-d"]);
    assert_eq!(
        before,
        ids(instance.containers()),
        "containers before (left) and after (right) `compose up -d`"
    );
}

/// Exactly one mail came, with both parts, and it names the version.
#[track_caller]
pub(crate) fn assert_one_mail(product: &Product, mails_before: usize, to: &str) {
    let mails = product.mailbox.wait_beyond(mails_before);
    assert_eq!(mails.len(), 1, "mails: {mails:#?}");
    let mail = &mails[0];
    assert_eq!(
        (mail.from.as_str(), mail.to.as_str()),
        ("mastopatch@lab.test", product.mailbox.address())
    );
    assert!(
        mail.subject.contains(plain(to)),
        "the subject does not name {to}: {}",
        mail.subject
    );
    let text = mail.text.as_deref().unwrap_or_default();
    let html = mail.html.as_deref().unwrap_or_default();
    assert!(
        text.contains(plain(to)),
        "the text part does not name {to}: {text}"
    );
    assert!(
        html.contains("<html") && html.contains(plain(to)),
        "the HTML part does not name {to}: {html}"
    );
}

/// No container, network, database or keep-tag of a run of this product is there any more.
#[track_caller]
pub(crate) fn assert_no_leftovers(instance: &Instance, product: &Product) {
    let runs: Vec<String> = product
        .runs()
        .iter()
        .filter_map(|run| run["id"].as_str().map(str::to_owned))
        .collect();
    let serves = |container: &Container| {
        let name = |separator: &str| {
            SERVICES.map(|service| [&instance.project, service, "1"].join(separator))
        };
        name("_").contains(&container.name) || name("-").contains(&container.name)
    };
    let known = [
        "mastodon",
        "mastodon_production",
        "postgres",
        "template0",
        "template1",
    ];
    let labelled = format!("label=org.mastopatch.instance={}", product.name);
    // A one-off that has ended is removed by the engine a moment later.
    eventually("nothing is left over", Duration::from_secs(10), || {
        let containers = instance
            .containers()
            .into_iter()
            .chain(super::lab::containers(&labelled));
        let mut found: Vec<String> = containers
            .filter(|container| !serves(container))
            .map(|container| container.name)
            .collect();
        found.extend(networks(&labelled));
        // The tags carry the end of the run's id.
        let own = |tag: &String| {
            runs.iter()
                .any(|run| run.len() > 12 && tag.contains(&run[run.len() - 12..]))
        };
        found.extend(keep_tags().into_iter().filter(own));
        found.extend(
            instance
                .databases()
                .into_iter()
                // The original of a clone is a snapshot.
                .filter(|name| !known.contains(&name.as_str()) && !name.contains("_before_")),
        );
        check(found.is_empty(), format!("left over: {found:?}"))
    });
}

/// Networks by a filter.
pub(crate) fn networks(filter: &str) -> Vec<String> {
    let names = shell::run(
        "docker",
        ["network", "ls", "--filter", filter, "--format", "{{.Name}}"],
    );
    let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Image tags that a run puts up so that nobody prunes its images.
pub(crate) fn keep_tags() -> Vec<String> {
    let tags = shell::run("docker", ["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    tags.lines()
        .filter(|tag| tag.starts_with("mastopatch-keep"))
        .map(str::to_owned)
        .collect()
}

/// Both `apply` and its refusal speak in sentences: something is said, and no debug output or backtrace.
#[track_caller]
pub(crate) fn assert_clear(finished: &Finished, words: &[&str]) {
    let said = &finished.stderr;
    assert!(!said.trim().is_empty(), "nothing is said\n{finished}");
    for noise in [
        "panicked at",
        "RUST_BACKTRACE",
        "Error {",
        "Os {",
        "Custom {",
    ] {
        assert!(
            !said.contains(noise),
            "`{noise}` is no sentence\n{finished}"
        );
    }
    for word in words {
        assert!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "`{word}` is not named\n{finished}"
        );
    }
}

/// `v4.5.8` as `4.5.8`.
pub(crate) fn plain(tag: &str) -> &str {
    tag.trim_start_matches('v')
}
