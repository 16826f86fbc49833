//! What an instance is made of: its containers and their roles, its data, its files, its version.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use secrecy::SecretString;

use super::{host, split_reference};
use crate::domain::method::CopyFacts;
use crate::domain::plan::{DatabaseRef, ImageKind, PlannedService, RedisRef, Role, Site};
use crate::domain::version::ReleaseVersion;
use crate::engine::probes::{self, Target};
use crate::engine::{Ports, StepError, chain};
use crate::ports::compose::{ComposeProject, ProjectFiles};
use crate::ports::database::{Database, ServerFacts};
use crate::ports::probe::{Probe, Request};
use crate::ports::runtime::{Container, ContainerRuntime, Image};

/// Label of the Compose project.
const PROJECT: &str = "com.docker.compose.project";
/// Label of the Compose service.
pub(super) const SERVICE: &str = "com.docker.compose.service";
/// Label of one-off containers of Compose (`run`).
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// An instance as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRef {
    /// Name.
    pub name: String,
    /// Compose project.
    pub project: String,
    /// Repository of the main image.
    pub main_image: String,
    /// Repository of the streaming image.
    pub streaming_image: String,
}

/// What an instance is made of now.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The version that serves: image tag and `/api/v2/instance` agree on it.
    pub installed: ReleaseVersion,
    /// The containers that an update replaces.
    pub services: Vec<PlannedService>,
    /// Those containers as they are, by id.
    pub containers: BTreeMap<String, Container>,
    /// The images they run.
    pub images: BTreeMap<ImageKind, Image>,
    /// The references they were created from.
    pub references: BTreeMap<ImageKind, String>,
    /// Where the site is probed.
    pub site: Site,
    /// The database.
    pub database: DatabaseRef,
    /// What the way in which it is copied depends on.
    pub copying: CopyFacts,
    /// Redis.
    pub redis: RedisRef,
    /// The project's files.
    pub project: ProjectFiles,
    /// The project's other containers, by id.
    pub bystanders: BTreeSet<String>,
}

/// Where the data of an instance are, and how to ask for them.
#[derive(Debug, Clone)]
pub struct Stores {
    /// The database.
    pub database: DatabaseRef,
    /// Redis.
    pub redis: RedisRef,
    /// Password of the database role.
    pub database_password: SecretString,
    /// Password of Redis.
    pub redis_password: SecretString,
}

/// Looks where the data of an instance are. Read-only; the site need not answer.
pub async fn stores<P: Ports>(ports: &P, instance: &InstanceRef) -> Result<Stores, StepError> {
    let all = members(ports.runtime(), instance).await?;
    let members: Vec<&Container> = all.iter().collect();
    let parts = sort_out(instance, &members)?;
    let found = parts.iter().find(|(_, role)| *role == Role::Web);
    let (web, role) =
        found.ok_or_else(|| host(format!("no web service in project `{}`", instance.project)))?;
    let service = describe(ports, web, *role).await?;
    let (database, _, redis) = data_stores(ports, web, &members, &[service]).await?;
    Ok(Stores {
        database,
        redis,
        database_password: database_password(web),
        redis_password: web
            .env
            .get("REDIS_PASSWORD")
            .cloned()
            .unwrap_or_default()
            .into(),
    })
}

/// Looks at an instance. Read-only.
pub async fn survey<P: Ports>(ports: &P, instance: &InstanceRef) -> Result<Survey, StepError> {
    let all = members(ports.runtime(), instance).await?;
    let members: Vec<&Container> = all.iter().collect();
    let parts = sort_out(instance, &members)?;
    let mut services = Vec::new();
    for (container, role) in &parts {
        services.push(describe(ports, container, *role).await?);
    }
    services.sort_by(|a, b| (a.role, &a.service).cmp(&(b.role, &b.service)));
    let web = parts
        .iter()
        .find(|(_, role)| *role == Role::Web)
        .map(|(container, _)| *container)
        .ok_or_else(|| host(format!("no web service in project `{}`", instance.project)))?;
    let (database, facts, redis) = data_stores(ports, web, &members, &services).await?;
    let copying = copying(ports, web, &database, facts).await;
    let project = ports.compose().files(&web.name, &web.labels)?;
    let (images, references) = images(ports, &parts).await?;
    let site = Site {
        domain: required(web, "LOCAL_DOMAIN")?.to_owned(),
    };
    let installed = installed_version(ports, &references, &services, web, &site).await?;
    let containers: BTreeMap<String, Container> = parts
        .iter()
        .map(|(container, _)| (container.id.clone(), (*container).clone()))
        .collect();
    let bystanders = members
        .iter()
        .filter(|container| !containers.contains_key(&container.id))
        .map(|container| container.id.clone())
        .collect();
    Ok(Survey {
        installed,
        services,
        containers,
        images,
        references,
        site,
        database,
        copying,
        redis,
        project,
        bystanders,
    })
}

/// The containers of the instance's project, without those of `compose run`; at least one.
pub(super) async fn members<R: ContainerRuntime>(
    runtime: &R,
    instance: &InstanceRef,
) -> Result<Vec<Container>, StepError> {
    let mut all = runtime.labelled(PROJECT, &instance.project).await?;
    all.retain(|container| {
        container
            .labels
            .get(ONE_OFF)
            .is_none_or(|value| value != "True")
    });
    if all.is_empty() {
        return Err(host(format!(
            "there is no container of Compose project `{}`; check `project` of instance `{}`, and \
             `docker ps --format '{{{{.Label \"{PROJECT}\"}}}}'` for its name",
            instance.project, instance.name
        )));
    }
    Ok(all)
}

/// The containers of Mastodon among a project's, with their roles.
fn sort_out<'a>(
    instance: &InstanceRef,
    members: &[&'a Container],
) -> Result<Vec<(&'a Container, Role)>, StepError> {
    let mut parts = Vec::new();
    for container in members {
        let (repository, _) = split_reference(&container.image);
        let streaming_image = repository == instance.streaming_image;
        if !streaming_image && repository != instance.main_image {
            continue;
        }
        let command = container.command.join(" ");
        let role = if command.contains("sidekiq") {
            Role::Sidekiq
        } else if command.contains("streaming") || streaming_image {
            Role::Streaming
        } else if command.contains("puma") || command.contains("rails s") {
            Role::Web
        } else {
            return Err(host(format!(
                "container `{}` runs the Mastodon image with a command that is neither web, streaming nor \
                 Sidekiq (`{command}`); stop it before an update",
                container.name
            )));
        };
        if (role == Role::Streaming) != streaming_image {
            return Err(host(format!(
                "container `{}` runs `{command}` from {}; since 4.3 streaming has an image of its own \
                 ({}): change the Compose file as the notes of 4.3 say, then mastopatch can go on",
                container.name, container.image, instance.streaming_image
            )));
        }
        parts.push((*container, role));
    }
    for (role, name) in [
        (Role::Web, "web"),
        (Role::Streaming, "streaming"),
        (Role::Sidekiq, "Sidekiq"),
    ] {
        let n_found = parts.iter().filter(|(_, found)| *found == role).count();
        if n_found == 0 {
            return Err(host(format!(
                "project `{}` has no {name} container of {} or {}; found are: {}. If your images come \
                 from elsewhere, name them with main_image and streaming_image; a fork is not updated \
                 by mastopatch",
                instance.project,
                instance.main_image,
                instance.streaming_image,
                members
                    .iter()
                    .map(|c| c.image.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        if n_found > 1 && role != Role::Sidekiq {
            return Err(host(format!(
                "project `{}` has {n_found} {name} containers; mastopatch updates one of each for now",
                instance.project
            )));
        }
    }
    Ok(parts)
}

async fn describe<P: Ports>(
    ports: &P,
    container: &Container,
    role: Role,
) -> Result<PlannedService, StepError> {
    let service = container.labels.get(SERVICE).cloned().ok_or_else(|| {
        host(format!(
            "container `{}` has no label {SERVICE}; start it with Compose",
            container.name
        ))
    })?;
    let (mut private_networks, mut public_networks) = (Vec::new(), Vec::new());
    for name in container.networks.keys() {
        match ports.runtime().network(name).await? {
            Some(network) if network.internal => private_networks.push(name.clone()),
            _ => public_networks.push(name.clone()),
        }
    }
    if private_networks.is_empty() {
        return Err(host(format!(
            "container `{}` is in no internal network, so a new version could not be tried out of the \
             public's reach; give the Compose file an `internal: true` network as the official one has",
            container.name
        )));
    }
    let default_port = match role {
        Role::Web => Some(3000),
        Role::Streaming => Some(4000),
        Role::Sidekiq => None,
    };
    let port = default_port.map(|port| {
        container
            .env
            .get("PORT")
            .and_then(|text| text.parse().ok())
            .unwrap_or(port)
    });
    let published = container
        .ports
        .iter()
        .find(|published| Some(published.container_port) == port && published.host_port != 0)
        .map(|published| {
            let ip = match published.host_ip.parse::<IpAddr>() {
                Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                Ok(ip) if !ip.is_unspecified() => ip,
                _ => Ipv4Addr::LOCALHOST.into(),
            };
            SocketAddr::new(ip, published.host_port).to_string()
        });
    Ok(PlannedService {
        service,
        role,
        container: container.name.clone(),
        id: container.id.clone(),
        private_networks,
        public_networks,
        port,
        published,
    })
}

/// Finds the containers that web means by `DB_HOST` and `REDIS_HOST`.
async fn data_stores<P: Ports>(
    ports: &P,
    web: &Container,
    members: &[&Container],
    services: &[PlannedService],
) -> Result<(DatabaseRef, ServerFacts, RedisRef), StepError> {
    let elsewhere = [
        "DATABASE_URL",
        "REDIS_URL",
        "SIDEKIQ_REDIS_URL",
        "SIDEKIQ_REDIS_HOST",
        "CACHE_REDIS_URL",
        "CACHE_REDIS_HOST",
    ];
    for key in elsewhere {
        if web.env.get(key).is_some_and(|value| !value.is_empty()) {
            return Err(host(format!(
                "{key} is set; for now mastopatch copies and restores only what DB_HOST, DB_NAME, DB_USER and \
                 REDIS_HOST name"
            )));
        }
    }
    let private: Vec<&String> = services
        .iter()
        .filter(|service| service.role == Role::Web)
        .flat_map(|service| &service.private_networks)
        .collect();
    let (container, network) = neighbour(web, "DB_HOST", members, &private)?;
    let mut database = DatabaseRef {
        container: container.name.clone(),
        network: network.clone(),
        host: required(web, "DB_HOST")?.to_owned(),
        port: number(web, "DB_PORT", 5432)?,
        user: or_default(web, "DB_USER", "mastodon"),
        name: or_default(web, "DB_NAME", "mastodon_production"),
        server_version: 0,
        bytes: 0,
    };
    if database.port == 6432 {
        return Err(host(
            "DB_PORT is 6432, pgbouncer's: migrations and dumps need a direct connection"
                .to_owned(),
        ));
    }
    let password = database_password(web);
    let facts = ports.database().facts(&database, &password).await?;
    (database.server_version, database.bytes) = (facts.version, facts.bytes);
    let (container, network) = neighbour(web, "REDIS_HOST", members, &private)?;
    let redis = RedisRef {
        container: container.name.clone(),
        network: network.clone(),
        host: required(web, "REDIS_HOST")?.to_owned(),
        port: number(web, "REDIS_PORT", 6379)?,
    };
    Ok((database, facts, redis))
}

/// What the way in which the database is copied depends on.
async fn copying<P: Ports>(
    ports: &P,
    web: &Container,
    database: &DatabaseRef,
    facts: ServerFacts,
) -> CopyFacts {
    let password = database_password(web);
    let places = ports.database().places(database, &password).await;
    let shares_blocks = match &facts.no_cluster {
        Some(_) => Ok(false),
        None => ports.database().shares_blocks(database, &password).await,
    };
    CopyFacts {
        bytes: facts.bytes,
        server_version: facts.version,
        no_cluster: facts.no_cluster,
        shares_blocks: shares_blocks.map_err(|err| chain(&err)),
        may_create_databases: facts.may_create_databases,
        no_clone: facts.no_clone,
        places: places.map_err(|err| chain(&err)),
    }
}

fn database_password(web: &Container) -> SecretString {
    web.env.get("DB_PASS").cloned().unwrap_or_default().into()
}

/// The running container that web reaches by the name in `key`, and the private network it does so in.
fn neighbour<'a>(
    web: &Container,
    key: &str,
    members: &[&'a Container],
    private: &[&'a String],
) -> Result<(&'a Container, &'a String), StepError> {
    let name = required(web, key)?;
    for network in private {
        let found = members.iter().find(|container| {
            container.state.running
                && container.networks.get(*network).is_some_and(|endpoint| {
                    container.name == name || endpoint.aliases.iter().any(|alias| alias == name)
                })
        });
        if let Some(container) = found {
            return Ok((container, network));
        }
    }
    Err(host(format!(
        "{key} is `{name}`, but no running container of this project has that name in an internal network \
         of web; a server outside the project is not supported yet"
    )))
}

fn required<'a>(web: &'a Container, key: &str) -> Result<&'a str, StepError> {
    let value = web
        .env
        .get(key)
        .map(String::as_str)
        .filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        host(format!(
            "container `{}` has no {key} in its environment",
            web.name
        ))
    })
}

fn or_default(web: &Container, key: &str, default: &str) -> String {
    let value = web.env.get(key).filter(|value| !value.is_empty());
    value.cloned().unwrap_or_else(|| default.to_owned())
}

fn number(web: &Container, key: &str, default: u16) -> Result<u16, StepError> {
    match web.env.get(key).filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_not_a_port| host(format!("{key} is `{text}`, which is no port"))),
    }
}

type Images = (BTreeMap<ImageKind, Image>, BTreeMap<ImageKind, String>);

/// The image of each kind; all containers of a kind have to run the same.
async fn images<P: Ports>(ports: &P, parts: &[(&Container, Role)]) -> Result<Images, StepError> {
    let (mut images, mut references): Images = (BTreeMap::new(), BTreeMap::new());
    for (container, role) in parts {
        let kind = role.image();
        let image = ports.runtime().image(&container.image_id).await?.ok_or_else(|| {
            host(format!(
                "the image of container `{}` is gone from this host, so there would be no way back; \
                 pull {} again",
                container.name, container.image
            ))
        })?;
        let earlier = images.insert(kind, image);
        if earlier.is_some_and(|earlier| earlier.id != container.image_id) {
            return Err(host(format!(
                "container `{}` runs another image than the others of its kind; bring them together with \
                 `up -d` first",
                container.name
            )));
        }
        references.insert(kind, container.image.clone());
    }
    Ok((images, references))
}

/// The version that serves: the tags of both images and what web shows have to agree.
async fn installed_version<P: Ports>(
    ports: &P,
    references: &BTreeMap<ImageKind, String>,
    services: &[PlannedService],
    web: &Container,
    site: &Site,
) -> Result<ReleaseVersion, StepError> {
    let mut tagged: Option<ReleaseVersion> = None;
    for reference in references.values() {
        let (_, tag) = split_reference(reference);
        let version: ReleaseVersion = tag.unwrap_or_default().parse().map_err(|err| {
            host(format!(
                "image {reference} has no tag of a release ({err}); mastopatch does not follow moving tags: \
                 set the tag of the release you run in the Compose file"
            ))
        })?;
        if tagged.as_ref().is_some_and(|other| *other != version) {
            return Err(host(
                "web and streaming have different versions in the Compose file; bring them together first"
                    .to_owned(),
            ));
        }
        tagged = Some(version);
    }
    let tagged = tagged.ok_or_else(|| host("no image has a tag".to_owned()))?;
    let shown = version_shown(ports, services, web, site).await?;
    match shown {
        // A site that is down, or hides it, says nothing; the preflight will not start on it.
        None => Ok(tagged),
        Some(shown) if shown == tagged => Ok(tagged),
        Some(shown) => Err(host(format!(
            "the image's tag says {tagged}, the running web says {shown}; apply the Compose file with \
             `up -d`, or correct its tag"
        ))),
    }
}

async fn version_shown<P: Ports>(
    ports: &P,
    services: &[PlannedService],
    web: &Container,
    site: &Site,
) -> Result<Option<ReleaseVersion>, StepError> {
    let Some(service) = services.iter().find(|service| service.role == Role::Web) else {
        return Ok(None);
    };
    let (Some(ip), Some(port)) = (probes::private_address(web, service), service.port) else {
        return Ok(None);
    };
    let target = Target {
        address: SocketAddr::new(ip, port),
        domain: &site.domain,
    };
    let request = Request {
        address: target.address,
        path: "/api/v2/instance",
        host: target.domain,
        limit: probes::ANSWER_LIMIT,
    };
    let Ok(answer) = ports.probe().get(request).await else {
        return Ok(None);
    };
    let shown = serde_json::from_str::<serde_json::Value>(&answer.body)
        .ok()
        .and_then(|json| json.get("version")?.as_str().map(str::to_owned));
    shown
        .map(|text| {
            text.parse()
                .map_err(|err| host(format!("web shows version `{text}`: {err}")))
        })
        .transpose()
}
