//! Asking the witnesses of the version. Each gives an answer, or says why it is silent.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::host::Stores;
use super::look::{Depth, Eyes, Part};
use crate::domain::installed::{BuildSeen, ImageSeen, SchemaSeen, read_version};
use crate::engine::chain;
use crate::engine::probes::ANSWER_LIMIT;
use crate::engine::steps::pull::{APP, versions};
use crate::ports::database::{Database, Redis};
use crate::ports::probe::{Probe, Request};
use crate::ports::runtime::{Container, ContainerRuntime, Exec, Image};

/// Longest time for `tootctl --version`: a boot of Ruby takes some ten seconds on a small host.
const TOOTCTL_LIMIT: Duration = Duration::from_secs(60);
/// Addresses at which web is tried: each may take a whole [`ANSWER_LIMIT`].
const MOST_ADDRESSES: usize = 3;
/// Characters of an answer that are shown. A version has some twenty.
const SHOWN: usize = 200;

impl<R: ContainerRuntime, D: Database, K: Redis, H: Probe> Eyes<'_, R, D, K, H> {
    /// The version that the running web shows to everybody.
    pub(super) async fn version_shown(&self, web: &Part) -> Result<String, String> {
        let container = &web.container;
        if !container.state.running {
            return Err(format!("container `{}` does not run", container.name));
        }
        let domain = container
            .env
            .get("LOCAL_DOMAIN")
            .filter(|domain| !domain.is_empty())
            .ok_or("LOCAL_DOMAIN is not in its environment, and it answers to no other name")?;
        let mut silence = "it has no address that this host can reach".to_owned();
        for address in addresses(container, web.all_in_one) {
            match self.version_at(address, domain).await {
                Ok(version) => return Ok(version),
                Err(why) => silence = why,
            }
        }
        Err(silence)
    }

    async fn version_at(&self, address: SocketAddr, domain: &str) -> Result<String, String> {
        let mut silence = String::new();
        // The second for Mastodon before 4.0.
        for path in ["/api/v2/instance", "/api/v1/instance"] {
            let request = Request {
                address,
                path,
                host: domain,
                limit: ANSWER_LIMIT,
            };
            let answer = self.probe.get(request).await.map_err(|err| chain(&err))?;
            if answer.status == 200 {
                let json = serde_json::from_str::<serde_json::Value>(&answer.body).ok();
                let version = json.and_then(|json| Some(json.get("version")?.as_str()?.to_owned()));
                return version
                    .map(|version| shown(&version))
                    .ok_or_else(|| format!("{path} shows no version"));
            }
            silence = format!("{path} answers {}", answer.status);
            if answer.status != 404 {
                break;
            }
        }
        Err(silence)
    }

    /// What the files in web's container call themselves.
    pub(super) async fn tootctl(&self, web: &Part, depth: Depth) -> Result<String, String> {
        let container = &web.container;
        if depth == Depth::Quick {
            return Err("not asked this time, because it costs a boot of Ruby".to_owned());
        }
        if web.all_in_one {
            return Err("not asked in a container with everything in it".to_owned());
        }
        if web.streaming_image || !container.state.running {
            return Err(format!("container `{}` does not run web", container.name));
        }
        let exec = Exec {
            command: &["bin/tootctl", "--version"],
            env: &[],
            limit: TOOTCTL_LIMIT,
        };
        let done = self
            .runtime
            .exec(&container.id, exec)
            .await
            .map_err(|err| chain(&err))?;
        if done.exit != 0 {
            let said = if done.stderr.trim().is_empty() {
                &done.stdout
            } else {
                &done.stderr
            };
            return Err(format!("it ended with {}: {}", done.exit, shown(said)));
        }
        // Libraries may write a warning first.
        let mut lines = done.stdout.lines().rev().map(str::trim);
        let version = lines.clone().find(|line| read_version(line).is_ok());
        version
            .or_else(|| lines.find(|line| !line.is_empty()))
            .map(shown)
            .ok_or_else(|| "it wrote nothing".to_owned())
    }

    /// What the database lacks of the migrations in the running container, and what it has beyond them.
    pub(super) async fn schema(&self, web: &Part, stores: &Stores) -> Result<SchemaSeen, String> {
        if web.all_in_one {
            return Err("it migrates by itself at each start".to_owned());
        }
        let (database, password) = stores.database.as_ref().map_err(Clone::clone)?;
        let mut files = BTreeSet::new();
        for folder in ["db/migrate", "db/post_migrate"] {
            let path = format!("{APP}/{folder}");
            let names = self.runtime.files_in_container(&web.container.id, &path);
            files.extend(versions(&names.await.map_err(|err| chain(&err))?));
        }
        let Some(newest) = files.last() else {
            return Err(format!("no migrations at {APP}/db in its container"));
        };
        let applied = self
            .database
            .schema_versions(database, password)
            .await
            .map_err(|err| chain(&err))?;
        if applied.is_empty() {
            return Err("schema_migrations is empty".to_owned());
        }
        let is_newer = |version: &&String| version.len() == newest.len() && *version > newest;
        Ok(SchemaSeen {
            pending: files.difference(&applied).cloned().collect(),
            newer: applied.iter().filter(is_newer).cloned().collect(),
        })
    }
}

/// What a container's image tells by its name and its environment.
pub(super) fn image_seen(part: &Part) -> ImageSeen {
    ImageSeen {
        service: part.service().to_owned(),
        reference: part.reference.clone(),
        streaming: part.streaming_image,
        all_in_one: part.all_in_one,
        build: part.image.as_ref().map(build_seen),
    }
}

fn build_seen(image: &Image) -> BuildSeen {
    let of_env = |key: &str| image.env.get(key).filter(|it| !it.is_empty()).cloned();
    let label = |key: &str| {
        let labels = image.raw.pointer("/Config/Labels")?;
        let text = labels.get(format!("org.opencontainers.image.{key}"))?;
        Some(text.as_str()?.to_owned())
    };
    // Labels of a base image or of a packager speak of something else.
    let are_mastodons = label("source").is_some_and(|source| {
        ["/mastodon/mastodon", "/tootsuite/mastodon"]
            .iter()
            .any(|own| source.ends_with(own))
    });
    let own_label = |key: &str| label(key).filter(|it| are_mastodons && !it.is_empty());
    BuildSeen {
        prerelease: of_env("MASTODON_VERSION_PRERELEASE"),
        metadata: of_env("MASTODON_VERSION_METADATA"),
        commit: of_env("SOURCE_COMMIT").or_else(|| own_label("revision")),
        label: own_label("version"),
    }
}

/// Where this host may reach web, its own networks first.
fn addresses(container: &Container, all_in_one: bool) -> Vec<SocketAddr> {
    let port = container
        .env
        .get("PORT")
        .and_then(|text| text.parse().ok())
        .unwrap_or(3000);
    let ports: &[u16] = if all_in_one { &[port, 80] } else { &[port] };
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut found = Vec::new();
    for (network, endpoint) in &container.networks {
        let ip = if network == "host" {
            Some(local)
        } else {
            endpoint.ip
        };
        let at = |port: &u16| Some(SocketAddr::new(ip?, *port));
        found.extend(ports.iter().filter_map(at));
    }
    for published in &container.ports {
        if published.host_port != 0 && ports.contains(&published.container_port) {
            let ip = published.host_ip.parse::<IpAddr>().ok();
            let ip = ip.filter(|ip| !ip.is_unspecified()).unwrap_or(local);
            found.push(SocketAddr::new(ip, published.host_port));
        }
    }
    found.truncate(MOST_ADDRESSES);
    found
}

/// The end of a text on one line.
fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let n_chars = line.chars().count();
    line.chars().skip(n_chars.saturating_sub(SHOWN)).collect()
}
