//! What a host has, as far as an update depends on it. Nothing here fails: what cannot be seen is said.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use super::look::{Depth, Eyes, Part};
use super::neighbours::{self, Neighbour, Neighbours};
use super::survey::Survey;
use crate::domain::path::{Host, HostService};
use crate::domain::plan::{DatabaseRef, PlannedService, RedisRef, Role};
use crate::domain::version::{ReleaseLine, ReleaseVersion};
use crate::engine::address::{self, DatabaseAddress, PGBOUNCER_PORT};
use crate::engine::chain;
use crate::engine::steps::check::CONFIG_HASH;
use crate::ports::compose::{ComposeError, ComposeProject};
use crate::ports::database::{Database, Redis, ServerFacts};
use crate::ports::probe::Probe;
use crate::ports::runtime::{Container, ContainerRuntime};

/// Where the application's public files are: the folder, and a link to it.
const PUBLIC: [&str; 2] = ["/opt/mastodon/public", "/mastodon/public"];
/// Longest time for a count over the accounts: a million takes some seconds.
const COUNT_LIMIT: Duration = Duration::from_secs(60);
/// The line whose migrations need accounts to be unique.
const UNIQUE_SINCE: ReleaseLine = ReleaseLine { major: 4, minor: 7 };

/// The servers that web means by its environment, or why they cannot be asked.
pub(super) struct Stores {
    pub(super) database: Result<(DatabaseRef, SecretString), String>,
    pub(super) redis: Result<(RedisRef, SecretString), String>,
}

impl Stores {
    /// Finds them among the running containers that are in a network of web.
    pub(super) fn find(web: &Container, neighbours: &Neighbours, project: &str) -> Self {
        Self {
            database: database(web, neighbours, project),
            redis: redis(web, neighbours, project),
        }
    }

    /// Those that are not of the instance's project, as sentences.
    pub(super) fn outside(&self) -> Vec<String> {
        let database = self.database.as_ref().ok();
        let redis = self.redis.as_ref().ok();
        let all = [
            database.map(|(it, _)| ("PostgreSQL", &it.owner, &it.container)),
            redis.map(|(it, _)| ("Redis", &it.owner, &it.container)),
        ];
        all.into_iter()
            .flatten()
            .filter(|(_, owner, _)| !owner.is_instance())
            .map(|(what, owner, name)| format!("{what} is {}.", owner.container(name)))
            .collect()
    }
}

impl<R: ContainerRuntime, D: Database, K: Redis, H: Probe> Eyes<'_, R, D, K, H> {
    /// Asks the database and Redis for themselves.
    pub(super) async fn ask_stores(
        &self,
        stores: &Stores,
        installed: &ReleaseVersion,
        depth: Depth,
        host: &mut Host,
    ) {
        let unseen = |what: &str, why: &str| format!("{what} could not be asked: {why}.");
        match &stores.database {
            Err(why) => host.not_seen.push(unseen("PostgreSQL", why)),
            Ok((database, password)) => {
                match self.database.facts(database, password).await {
                    Ok(facts) => {
                        host.postgresql = Some(facts.version);
                        host.no_way_back = no_way_back(database, &facts);
                    }
                    Err(err) => host.not_seen.push(unseen("PostgreSQL", &chain(&err))),
                }
                if depth == Depth::Thorough && installed.line() < UNIQUE_SINCE {
                    let count = self
                        .database
                        .duplicate_accounts(database, password, COUNT_LIMIT);
                    match count.await {
                        Ok(count) => host.duplicate_accounts = Some(count),
                        Err(err) => host
                            .not_seen
                            .push(unseen("The table of accounts", &chain(&err))),
                    }
                }
            }
        }
        match &stores.redis {
            Err(why) => host.not_seen.push(unseen("Redis", why)),
            Ok((redis, password)) => match self.redis.version(redis, password).await {
                Ok(version) => host.redis = Some(version),
                Err(err) => host.not_seen.push(unseen("Redis", &chain(&err))),
            },
        }
    }
}

/// What the preflight of a run would refuse about the role.
fn no_way_back(database: &DatabaseRef, facts: &ServerFacts) -> Vec<String> {
    let DatabaseRef { user, name, .. } = database;
    let mut found = Vec::new();
    if !facts.may_create_databases {
        found.push(format!(
            "Role `{user}` may not create databases, so a damaged one could not be restored; \
             `ALTER ROLE \"{user}\" CREATEDB` allows it."
        ));
    }
    if !facts.foreign_extensions.is_empty() {
        found.push(format!(
            "Role `{user}` could not restore the extensions {} of database `{name}`, which an administrator made; make the \
             role a superuser, or drop them.",
            facts.foreign_extensions.join(", ")
        ));
    }
    found
}

/// The services that do not run as their files say now, or why that cannot be told.
pub(super) async fn unapplied<C: ComposeProject>(
    compose: &C,
    survey: &Survey,
) -> Result<Vec<String>, ComposeError> {
    let services: Vec<String> = survey
        .services
        .iter()
        .map(|service| service.service.clone())
        .collect();
    let hashes = compose.hashes(&survey.project, &[], &services).await?;
    let is_applied = |service: &PlannedService| {
        let container = survey.containers.get(&service.id);
        hashes.get(&service.service) == container.and_then(|it| it.labels.get(CONFIG_HASH))
    };
    let unapplied = survey.services.iter().filter(|it| !is_applied(it));
    Ok(unapplied.map(|it| it.service.clone()).collect())
}

/// What the containers of Mastodon are made of.
pub(super) fn of_services(parts: &[Part], web: &Container, neighbours: &Neighbours) -> Host {
    let mut host = Host {
        pgbouncer: pgbouncer(web, neighbours),
        ..Host::default()
    };
    for part in parts {
        match part.role {
            Some(role) => host.services.push(service(part, role)),
            None => host.not_seen.push(format!(
                "Container `{}` runs Mastodon's image with a command that is neither web, streaming nor Sidekiq.",
                part.container.name
            )),
        }
        if part.image.is_none() {
            host.not_seen.push(format!(
                "The image of container `{}` is gone from this host, so it could not be looked at.",
                part.container.name
            ));
        }
    }
    host
}

fn service(part: &Part, role: Role) -> HostService {
    let container = &part.container;
    let keys: BTreeMap<String, bool> = container
        .env
        .iter()
        .map(|(key, value)| (key.clone(), !value.is_empty()))
        .collect();
    HostService {
        name: part.service().to_owned(),
        role,
        streaming_image: part.streaming_image,
        rails_server: container.command.join(" ").contains("rails s"),
        keys,
        search: value(container, "ES_ENABLED") == Some("true"),
        health_check: container.health_check.clone(),
        public_mounts: container
            .mounts
            .iter()
            .filter(|place| is_public(place))
            .cloned()
            .collect(),
    }
}

/// Whether a place is `public/` or below it, but for `public/system`, where media belong.
fn is_public(place: &str) -> bool {
    let place = place.trim_end_matches('/');
    PUBLIC.iter().any(|public| {
        place.strip_prefix(public).is_some_and(|below| {
            (below.is_empty() || below.starts_with('/'))
                && below != "/system"
                && !below.starts_with("/system/")
        })
    })
}

/// Why a pgbouncer seems to stand before the database.
fn pgbouncer(web: &Container, neighbours: &Neighbours) -> Option<String> {
    let address = address::database(&web.env).ok();
    let server = address.as_ref().map(|address| &address.server);
    if let Some(server) = server.filter(|server| server.port == PGBOUNCER_PORT) {
        return Some(match server.key {
            "DB_HOST" => format!("DB_PORT is {PGBOUNCER_PORT}"),
            key => format!("{key} names port {PGBOUNCER_PORT}"),
        });
    }
    // The address holds a password and is not shown.
    let parameter = "prepared_statements=false";
    if value(web, "DATABASE_URL").is_some_and(|url| url.contains(parameter)) {
        return Some(format!("DATABASE_URL says {parameter}"));
    }
    if value(web, "PREPARED_STATEMENTS") == Some("false") {
        return Some("PREPARED_STATEMENTS is false".to_owned());
    }
    let server = server?;
    let found = neighbours.find(server.key, &server.host);
    let named = server.host.contains("pgbouncer")
        || found.is_ok_and(|found| found.container.image.contains("pgbouncer"));
    named.then(|| format!("{} leads to `{}`", server.key, server.host))
}

fn database(
    web: &Container,
    neighbours: &Neighbours,
    project: &str,
) -> Result<(DatabaseRef, SecretString), String> {
    let DatabaseAddress { server, user, name } = address::database(&web.env)?;
    let found = neighbours.find(server.key, &server.host)?;
    let database = DatabaseRef {
        container: found.container.name.clone(),
        owner: neighbours::owner(found.container, project),
        network: first(&found),
        host: server.host,
        port: server.port,
        user,
        name,
        server_version: 0,
        bytes: 0,
    };
    Ok((database, server.password))
}

fn redis(
    web: &Container,
    neighbours: &Neighbours,
    project: &str,
) -> Result<(RedisRef, SecretString), String> {
    let server = address::redis(&web.env)?.server;
    let found = neighbours.find(server.key, &server.host)?;
    let redis = RedisRef {
        container: found.container.name.clone(),
        owner: neighbours::owner(found.container, project),
        network: first(&found),
        host: server.host,
        port: server.port,
    };
    Ok((redis, server.password))
}

fn first(found: &Neighbour<'_>) -> String {
    let first = found.networks.first().copied();
    first.unwrap_or_default().to_owned()
}

/// A value of the environment; an empty one is none.
fn value<'a>(container: &'a Container, key: &str) -> Option<&'a str> {
    let value = container.env.get(key)?;
    (!value.is_empty()).then_some(value.as_str())
}
