//! An instance that is used for many cases, and its cheap way back to where it began.

use std::collections::BTreeSet;
use std::time::Duration;

use mastopatch::ports::store::Journal as _;

use crate::support::github::GitHub;
use crate::support::lab::{APP_SERVICES, Instance, InstanceOptions, Lab, containers};
use crate::support::product::Product;
use crate::support::world::keep_tags;
use crate::support::{eventually, shell};

/// Which update is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    /// 4.3.21 to 4.4.15: nine migrations, four of which cannot be undone.
    Good,
    /// 4.5.8 to 4.6.1: the first of three migrations changes data, the second breaks half-way.
    Broken,
}

impl Update {
    pub(crate) fn from(self) -> &'static str {
        match self {
            Self::Good => "v4.3.21",
            Self::Broken => "v4.5.8",
        }
    }

    pub(crate) fn to(self) -> &'static str {
        match self {
            Self::Good => "v4.4.15",
            Self::Broken => "v4.6.1",
        }
    }

    /// What the local GitHub has to show.
    pub(crate) fn releases(self) -> &'static [&'static str] {
        match self {
            Self::Good => &["v4.3.21", "v4.4.0", "v4.4.14", "v4.4.15"],
            Self::Broken => &["v4.5.8", "v4.6.0", "v4.6.1"],
        }
    }
}

/// Where the data of the beginning lie in the database's container.
const BASE: &str = "/var/lib/postgresql/data/lab-base.sql";

/// An instance with a copy of its first data.
pub(crate) struct Place {
    pub(crate) instance: Instance,
    pub(crate) github: GitHub,
    pub(crate) update: Update,
    product: Product,
    compose: String,
    used: Vec<Product>,
}

impl Place {
    pub(crate) fn new(lab: &Lab, update: Update) -> Self {
        let instance = Instance::start(lab, &InstanceOptions::at(update.from()));
        let github = GitHub::with_releases(&[update.from()]);
        let product = Product::configure(&instance, &github.base_url());
        let place = Self {
            compose: instance.compose_text(),
            instance,
            github,
            update,
            product,
            used: Vec::new(),
        };
        place.in_database(&format!(
            "pg_dump -U mastodon -f {BASE} mastodon_production"
        ));
        place
    }

    /// A product without a history, for one case.
    pub(crate) fn product(&mut self) -> Product {
        let product = self
            .product
            .newcomer(&format!("case-{}", self.used.len() + 1));
        self.used.push(product.clone());
        product
    }

    /// Takes down what a held or failed case left, keep-tags too.
    pub(crate) fn abandon(self) {
        let last = self.used.last().into_iter();
        let runs =
            last.flat_map(|product| product.store().runs(&product.name, 10).unwrap_or_default());
        let ends: Vec<String> = runs.map(|run| run.plan.short_run().to_owned()).collect();
        for tag in keep_tags() {
            if ends.iter().any(|end| tag.contains(end.as_str())) {
                drop(shell::attempt("docker", ["rmi", &tag]));
            }
        }
    }

    /// Back to the old version with the data of the beginning, in seconds.
    pub(crate) fn go_back(&self) {
        self.instance.edit_compose(&self.compose);
        let app = |service: &String| APP_SERVICES.contains(&service.as_str());
        let ours = self
            .instance
            .containers()
            .into_iter()
            .chain(containers(&format!(
                "label=org.mastopatch.instance={}",
                self.instance.domain
            )));
        let ids: BTreeSet<String> = ours
            .filter(|container| app(&container.service))
            .map(|container| container.id)
            .collect();
        if !ids.is_empty() {
            shell::run(
                "docker",
                ["rm", "-fv"]
                    .into_iter()
                    .chain(ids.iter().map(String::as_str)),
            );
        }
        self.instance.compose(&["up", "-d", "db", "redis"]);
        self.in_database(
            "dropdb -U mastodon --maintenance-db postgres --force mastodon_production",
        );
        self.in_database(
            "psql -U mastodon -d postgres -Atc \"SELECT datname FROM pg_database WHERE datname LIKE 'mastodon_production%'\" \
             | xargs -r -n 1 dropdb -U mastodon --maintenance-db postgres --force",
        );
        self.in_database("createdb -U mastodon --maintenance-db postgres mastodon_production");
        self.in_database(&format!(
            "psql -q -v ON_ERROR_STOP=1 -U mastodon -d mastodon_production -f {BASE} >/dev/null"
        ));
        let redis = self.instance.container("redis").expect("redis").id;
        eventually("Redis is empty", Duration::from_secs(30), || {
            shell::attempt("docker", ["exec", &redis, "redis-cli", "flushall"])
        });
        self.instance.compose(&["up", "-d"]);
        self.instance.wait_healthy(self.update.from());
    }

    fn in_database(&self, command: &str) {
        let id = self.instance.container("db").expect("a database").id;
        eventually(command, Duration::from_secs(30), || {
            shell::attempt("docker", ["exec", &id, "sh", "-c", command])
        });
    }
}
