//! The containers that web can reach, whoever they belong to: where `DB_HOST` and `REDIS_HOST` lead.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::survey::PROJECT;
use crate::domain::plan::Owner;
use crate::ports::runtime::{Container, ContainerRuntime, RuntimeResult};

/// Networks of the engine's own in which containers have no names.
const WITHOUT_NAMES: [&str; 2] = ["bridge", "host"];

/// The running containers in each network of web.
#[derive(Debug)]
pub(super) struct Neighbours {
    by_network: BTreeMap<String, Vec<Container>>,
    /// The names that web's own `/etc/hosts` has addresses for.
    extra_hosts: Vec<String>,
}

/// A container that web reaches.
#[derive(Debug)]
pub(super) struct Neighbour<'a> {
    pub(super) container: &'a Container,
    /// The networks in which it does, sorted.
    pub(super) networks: Vec<&'a str>,
}

impl Neighbours {
    /// Asks who is in the networks of web now.
    pub(super) async fn of<R: ContainerRuntime>(
        runtime: &R,
        web: &Container,
    ) -> RuntimeResult<Self> {
        let mut by_network = BTreeMap::new();
        for network in web.networks.keys() {
            by_network.insert(network.clone(), runtime.attached(network).await?);
        }
        Ok(Self {
            by_network,
            extra_hosts: extra_hosts(web),
        })
    }

    /// The one container that `host`, the value of `key`, means to web: by its name, by a name that it has in a network, or by
    /// its address. Where two answer to it, which of them is asked depends on the network, and a new version is tried out in
    /// fewer networks than it serves in: so neither is taken.
    pub(super) fn find(&self, key: &str, host: &str) -> Result<Neighbour<'_>, String> {
        if self.extra_hosts.iter().any(|name| name == host) {
            return Err(format!(
                "{key} names `{host}`, and web's `extra_hosts` say where that is; give {key} the name of a container"
            ));
        }
        let mut found: Vec<Neighbour<'_>> = Vec::new();
        for (network, containers) in &self.by_network {
            for container in containers {
                if !answers(container, network, host) {
                    continue;
                }
                match found.iter_mut().find(|it| it.container.id == container.id) {
                    Some(known) => known.networks.push(network),
                    None => found.push(Neighbour {
                        container,
                        networks: vec![network],
                    }),
                }
            }
        }
        if found.len() > 1 {
            let told: Vec<String> = found
                .iter()
                .map(|it| format!("`{}` (in {})", it.container.name, it.networks.join(", ")))
                .collect();
            return Err(format!(
                "{key} names `{host}`, and more than one container answers to that in the networks of web: {}; give {key} the \
                 name of the one that is meant",
                told.join(", ")
            ));
        }
        found.pop().ok_or_else(|| {
            format!(
                "{key} names `{host}`, and no running container has that name or address in a network of web; a server that is no \
                 container of this host is not supported"
            )
        })
    }
}

/// Whether a container answers to this name or address in this network.
fn answers(container: &Container, network: &str, host: &str) -> bool {
    let Some(endpoint) = container.networks.get(network) else {
        return false;
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return endpoint.ip == Some(address);
    }
    let is_named = container.name == host || endpoint.aliases.iter().any(|alias| alias == host);
    is_named && !WITHOUT_NAMES.contains(&network)
}

/// Whose container it is, seen from the instance's project.
pub(super) fn owner(container: &Container, project: &str) -> Owner {
    match container.labels.get(PROJECT) {
        Some(found) if found == project => Owner::Instance,
        Some(found) => Owner::Project(found.clone()),
        None => Owner::Nobody,
    }
}

fn extra_hosts(web: &Container) -> Vec<String> {
    let entries = web.raw.pointer("/HostConfig/ExtraHosts");
    let entries = entries.and_then(Value::as_array).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.as_str()?.split([':', '=']).next());
    names.map(str::to_owned).collect()
}
