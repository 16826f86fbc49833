//! Containers and the networks they are in.

use std::time::Duration;

use serde_json::{Value, json};

use super::convert::{self, number, text};
use super::exec::short;
use super::wire::{WireError, escaped};
use super::{CALL_LIMIT, Engine};
use crate::ports::runtime::{
    Container, ContainerSpec, Network, ROLE_LABEL, RUN_LABEL, RuntimeError, RuntimeResult,
};

/// What the engine may take beyond the grace for a stop: killing, unmounting, noting it down.
const STOP_SLACK: Duration = Duration::from_secs(30);

impl Engine {
    pub(super) async fn containers_labelled(
        &self,
        key: &str,
        value: &str,
    ) -> RuntimeResult<Vec<Container>> {
        let filters = json!({"label": [format!("{key}={value}")]}).to_string();
        let path = format!("/containers/json?all=1&filters={}", escaped(&filters));
        let list = self
            .wire
            .get(&path, CALL_LIMIT)
            .await
            .map_err(|err| self.asking("list containers", err))?;
        let mut containers = Vec::new();
        for entry in list.as_array().into_iter().flatten() {
            // One that has gone since the list was made is no longer there.
            containers.extend(self.find_container(&text(entry, "/Id")).await?);
        }
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    pub(super) async fn find_container(&self, name: &str) -> RuntimeResult<Option<Container>> {
        let path = format!("/containers/{}/json", escaped(name));
        match self.wire.get(&path, CALL_LIMIT).await {
            Ok(raw) => Ok(convert::container(raw)),
            Err(err) if err.status() == Some(404) => Ok(None),
            Err(err) => Err(self.asking(format!("describe container `{name}`"), err)),
        }
    }

    pub(super) async fn find_network(&self, name: &str) -> RuntimeResult<Option<Network>> {
        match self
            .wire
            .get(&format!("/networks/{}", escaped(name)), CALL_LIMIT)
            .await
        {
            Ok(raw) => Ok(convert::network(&raw)),
            Err(err) if err.status() == Some(404) => Ok(None),
            Err(err) => Err(self.asking(format!("describe network `{name}`"), err)),
        }
    }

    pub(super) async fn create(&self, name: &str, spec: &ContainerSpec) -> RuntimeResult<String> {
        let action = format!("create container `{name}`");
        let container = match self.created_before(name, spec, &action).await? {
            Some(container) => container,
            None => self.create_new(name, spec, &action).await?,
        };
        // One that has run has had its networks; taking some away since then was somebody's will.
        if text(&container.raw, "/State/Status") == "created" {
            for (network, endpoint) in &spec.more_networks {
                self.connect_to(&container.id, network, endpoint).await?;
            }
        }
        Ok(container.id)
    }

    async fn create_new(
        &self,
        name: &str,
        spec: &ContainerSpec,
        action: &str,
    ) -> RuntimeResult<Container> {
        let path = format!("/containers/create?name={}", escaped(name));
        let failed = match self.wire.post(&path, Some(&spec.body), CALL_LIMIT).await {
            Ok(made) => {
                let id = text(&made, "/Id");
                return self.existing(&id).await;
            }
            Err(err) if err.status() == Some(404) => {
                return Err(RuntimeError::NotFound {
                    what: "image",
                    name: text(&spec.body, "/Image"),
                });
            }
            Err(err) => err,
        };
        // It may be there all the same: the answer was lost, or an earlier lost request won the name.
        if (failed.is_open() || failed.status() == Some(409))
            && let Some(container) = self.created_before(name, spec, action).await?
        {
            return Ok(container);
        }
        Err(self.changing(action, failed))
    }

    /// The container of this name if it is one of this run and for this role; an error if it is not.
    async fn created_before(
        &self,
        name: &str,
        spec: &ContainerSpec,
        action: &str,
    ) -> RuntimeResult<Option<Container>> {
        let Some(container) = self.find_container(name).await? else {
            return Ok(None);
        };
        let is_ours = [RUN_LABEL, ROLE_LABEL].iter().all(|label| {
            let wanted = spec.body.get("Labels").and_then(|labels| labels.get(label));
            let wanted = wanted.and_then(Value::as_str);
            wanted.is_some() && wanted == container.labels.get(*label).map(String::as_str)
        });
        // An id that merely begins with the name is another container.
        if container.name != name {
            return Ok(None);
        }
        if is_ours {
            return Ok(Some(container));
        }
        Err(RuntimeError::Engine {
            action: action.to_owned(),
            source: Box::new(WireError::Nonsense(
                "the name is taken by a container that does not belong to this run".to_owned(),
            )),
        })
    }

    pub(super) async fn start(&self, id: &str) -> RuntimeResult<()> {
        let path = format!("/containers/{}/start", escaped(id));
        match self.wire.post(&path, None, CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.is_open() && self.existing(id).await?.state.running => Ok(()),
            Err(err) => Err(self.container_error("start", id, err)),
        }
    }

    pub(super) async fn stop(&self, id: &str, grace: Duration) -> RuntimeResult<()> {
        if !is_alive(&self.existing(id).await?) {
            return Ok(());
        }
        // Whole seconds, rounded up: nobody gets less time than was promised.
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let path = format!("/containers/{}/stop?t={seconds}", escaped(id));
        match self.wire.post(&path, None, grace + STOP_SLACK).await {
            Ok(_) => Ok(()),
            Err(err) if err.is_open() && !is_alive(&self.existing(id).await?) => Ok(()),
            Err(err) => Err(self.container_error("stop", id, err)),
        }
    }

    pub(super) async fn kill(&self, id: &str, signal: &str) -> RuntimeResult<()> {
        let path = format!(
            "/containers/{}/kill?signal={}",
            escaped(id),
            escaped(signal)
        );
        match self.wire.post(&path, None, CALL_LIMIT).await {
            Ok(_) => Ok(()),
            // It does not run.
            Err(err) if err.status() == Some(409) => Ok(()),
            Err(err) => Err(self.container_error("signal", id, err)),
        }
    }

    pub(super) async fn rename(&self, id: &str, name: &str) -> RuntimeResult<()> {
        if self.existing(id).await?.name == name {
            return Ok(());
        }
        let path = format!("/containers/{}/rename?name={}", escaped(id), escaped(name));
        match self.wire.post(&path, None, CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.is_open() && self.existing(id).await?.name == name => Ok(()),
            Err(err) => Err(self.container_error("rename", id, err)),
        }
    }

    pub(super) async fn set_restart_policy(&self, id: &str, wanted: &Value) -> RuntimeResult<()> {
        if has_policy(&self.existing(id).await?, wanted) {
            return Ok(());
        }
        let path = format!("/containers/{}/update", escaped(id));
        let body = json!({"RestartPolicy": wanted});
        match self.wire.post(&path, Some(&body), CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.is_open() && has_policy(&self.existing(id).await?, wanted) => Ok(()),
            Err(err) => Err(self.container_error("change the restart policy of", id, err)),
        }
    }

    pub(super) async fn remove(&self, id: &str) -> RuntimeResult<()> {
        let path = format!("/containers/{}?force=1&v=0", escaped(id));
        match self.wire.delete(&path, CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.status() == Some(404) => Ok(()),
            // Somebody else is removing it: its end is what is wanted.
            Err(err) if err.status() == Some(409) || err.is_open() => {
                let gone = format!("/containers/{}/wait?condition=removed", escaped(id));
                match self.wire.post(&gone, None, STOP_SLACK).await {
                    Err(look) if look.status() == Some(404) => Ok(()),
                    _ if self.find_container(id).await?.is_none() => Ok(()),
                    _ => Err(self.container_error("remove", id, err)),
                }
            }
            Err(err) => Err(self.container_error("remove", id, err)),
        }
    }

    pub(super) async fn connect_to(
        &self,
        id: &str,
        network: &str,
        endpoint: &Value,
    ) -> RuntimeResult<()> {
        let container = self.existing(id).await?;
        if is_in(&container, network) {
            return Ok(());
        }
        let path = format!("/networks/{}/connect", escaped(network));
        let body = json!({"Container": container.id, "EndpointConfig": endpoint});
        match self.wire.post(&path, Some(&body), CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.is_open() && is_in(&self.existing(id).await?, network) => Ok(()),
            Err(err) => {
                // A connection that failed, for instance because the published port is taken, leaves its
                // half behind, which would look like a whole one the next time. Engine 20.10 knows nothing of the half
                // and does not take it away: there only a container made anew is whole.
                let path = format!("/networks/{}/disconnect", escaped(network));
                let body = json!({"Container": container.id, "Force": true});
                let undone = self.wire.post(&path, Some(&body), CALL_LIMIT).await;
                drop(undone);
                Err(self.network_error("connect", &container, network, err))
            }
        }
    }

    pub(super) async fn disconnect_from(&self, id: &str, network: &str) -> RuntimeResult<()> {
        let container = self.existing(id).await?;
        if !is_in(&container, network) {
            return Ok(());
        }
        let path = format!("/networks/{}/disconnect", escaped(network));
        let body = json!({"Container": container.id, "Force": false});
        match self.wire.post(&path, Some(&body), CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.is_open() && !is_in(&self.existing(id).await?, network) => Ok(()),
            Err(err) => Err(self.network_error("disconnect", &container, network, err)),
        }
    }

    pub(super) async fn wait_for_end(&self, id: &str, limit: Duration) -> RuntimeResult<i64> {
        let path = format!("/containers/{}/wait?condition=not-running", escaped(id));
        let broken = match self.wire.post(&path, None, limit).await {
            Ok(_) => None,
            Err(err) if err.is_open() => Some(err),
            Err(err) => return Err(self.container_error("wait for", id, err)),
        };
        // The answer of `wait` is 0 for a container that never ran, so the state decides.
        let container = self.existing(id).await?;
        if text(&container.raw, "/State/Status") == "created" {
            return Err(RuntimeError::Engine {
                action: format!("wait for container {}", short(id)),
                source: Box::new(WireError::Nonsense(
                    match text(&container.raw, "/State/Error") {
                        none if none.is_empty() => "it was never started".to_owned(),
                        why => why,
                    },
                )),
            });
        }
        if !is_alive(&container) {
            return Ok(number(&container.raw, "/State/ExitCode"));
        }
        match broken {
            Some(err @ WireError::Cut(_)) => {
                Err(self.asking(format!("wait for container {}", short(id)), err))
            }
            // Started again by its restart policy, or the limit is over.
            Some(_) | None => Err(RuntimeError::TimedOut {
                action: format!("container `{}`", container.name),
                limit,
            }),
        }
    }

    /// The container, which has to be there.
    async fn existing(&self, id: &str) -> RuntimeResult<Container> {
        self.find_container(id)
            .await?
            .ok_or_else(|| RuntimeError::NotFound {
                what: "container",
                name: id.to_owned(),
            })
    }

    /// The engine uses 404 also for a network or a program that a start does not find, so its words count.
    pub(super) fn container_error(&self, verb: &str, id: &str, err: WireError) -> RuntimeError {
        let names_it = format!("no such container: {}", id.to_ascii_lowercase());
        if err.missing().is_some_and(|what| what.contains(&names_it)) {
            return RuntimeError::NotFound {
                what: "container",
                name: id.to_owned(),
            };
        }
        self.changing(format!("{verb} container {}", short(id)), err)
    }

    fn network_error(
        &self,
        verb: &str,
        container: &Container,
        network: &str,
        err: WireError,
    ) -> RuntimeError {
        if err.missing().is_some_and(|what| what.contains("network")) {
            return RuntimeError::NotFound {
                what: "network",
                name: network.to_owned(),
            };
        }
        self.changing(
            format!(
                "{verb} container `{}` and network `{network}`",
                container.name
            ),
            err,
        )
    }
}

/// Between two restarts by its policy a container has no process, and will have one again.
fn is_alive(container: &Container) -> bool {
    let restarting = container.raw.pointer("/State/Restarting");
    container.state.running || restarting.and_then(Value::as_bool).unwrap_or(false)
}

/// By name or by id, as the caller has it.
fn is_in(container: &Container, network: &str) -> bool {
    container.networks.contains_key(network)
        || container
            .raw
            .pointer("/NetworkSettings/Networks")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .any(|(_name, endpoint)| text(endpoint, "/NetworkID") == network)
}

fn has_policy(container: &Container, wanted: &Value) -> bool {
    let name = text(wanted, "/Name");
    let name = if name.is_empty() { "no" } else { &name };
    container.restart_policy == name
        && number(
            &container.raw,
            "/HostConfig/RestartPolicy/MaximumRetryCount",
        ) == number(wanted, "/MaximumRetryCount")
}
