//! Networks that the program makes for itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::convert::{self, text};
use super::wire::{WireError, escaped};
use super::{CALL_LIMIT, Engine};
use crate::ports::runtime::{
    Container, Network, ROLE_LABEL, RUN_LABEL, RuntimeError, RuntimeResult,
};

impl Engine {
    pub(super) async fn find_networks(
        &self,
        key: &str,
        value: &str,
    ) -> RuntimeResult<Vec<Network>> {
        let filters = json!({"label": [format!("{key}={value}")]}).to_string();
        let path = format!("/networks?filters={}", escaped(&filters));
        let list = self
            .wire
            .get(&path, CALL_LIMIT)
            .await
            .map_err(|err| self.asking("list networks", err))?;
        let entries = list.as_array().into_iter().flatten();
        let mut networks: Vec<Network> = entries.filter_map(convert::network).collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    pub(super) async fn containers_in(&self, name: &str) -> RuntimeResult<Vec<Container>> {
        let path = format!("/networks/{}", escaped(name));
        let raw = match self.wire.get(&path, CALL_LIMIT).await {
            Ok(raw) => raw,
            Err(err) if err.status() == Some(404) => return Ok(Vec::new()),
            Err(err) => return Err(self.asking(format!("describe network `{name}`"), err)),
        };
        let listed = raw.get("Containers").and_then(Value::as_object);
        let mut containers = Vec::new();
        for id in listed.into_iter().flat_map(serde_json::Map::keys) {
            // What has gone since the list was made is no longer there, and some entries are the engine's own.
            containers.extend(self.find_container(id).await?);
        }
        containers.retain(|found| found.state.running && found.networks.contains_key(name));
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    pub(super) async fn make_network(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> RuntimeResult<()> {
        let action = format!("create network `{name}`");
        if self.made_before(name, labels, &action).await? {
            return Ok(());
        }
        // Engines before 24 make a second network of a name unless they are asked not to.
        let body = json!({
            "Name": name, "Driver": "bridge", "Internal": true, "CheckDuplicate": true, "Labels": labels,
        });
        match self
            .wire
            .post("/networks/create", Some(&body), CALL_LIMIT)
            .await
        {
            Ok(_) => Ok(()),
            // It may be there all the same: the answer was lost, or an earlier lost request won the name.
            Err(err) if err.is_open() || err.status() == Some(409) => {
                if self.made_before(name, labels, &action).await? {
                    return Ok(());
                }
                Err(self.changing(action, err))
            }
            Err(err) => Err(self.changing(action, err)),
        }
    }

    /// Whether the network is there and ours; an error if it is somebody else's.
    async fn made_before(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        action: &str,
    ) -> RuntimeResult<bool> {
        let path = format!("/networks/{}", escaped(name));
        let raw = match self.wire.get(&path, CALL_LIMIT).await {
            Ok(raw) => raw,
            Err(err) if err.status() == Some(404) => return Ok(false),
            Err(err) => return Err(self.asking(format!("describe network `{name}`"), err)),
        };
        // An id that merely begins with the name is another network.
        if text(&raw, "/Name") != name {
            return Ok(false);
        }
        let found = raw.get("Labels");
        let is_ours = [RUN_LABEL, ROLE_LABEL].iter().all(|label| {
            let found = found.and_then(|all| all.get(label)).and_then(Value::as_str);
            found.is_some() && found == labels.get(*label).map(String::as_str)
        });
        let is_isolated = raw.get("Internal").and_then(Value::as_bool) == Some(true);
        if is_ours && is_isolated {
            return Ok(true);
        }
        Err(RuntimeError::Engine {
            action: action.to_owned(),
            source: Box::new(WireError::Nonsense(
                "the name is taken by a network that does not belong to this run".to_owned(),
            )),
        })
    }

    pub(super) async fn remove_network(&self, name: &str) -> RuntimeResult<()> {
        let path = format!("/networks/{}", escaped(name));
        match self.wire.delete(&path, CALL_LIMIT).await {
            Ok(_) => Ok(()),
            Err(err) if err.status() == Some(404) => Ok(()),
            Err(err) if err.is_open() && self.find_network(name).await?.is_none() => Ok(()),
            Err(err) => Err(self.changing(format!("remove network `{name}`"), err)),
        }
    }
}
