//! From a container's inspect answer to the body that creates its replacement. Pure.
//!
//! An inspect answer holds the image's defaults merged with what the owner set, and does not say which
//! is which. What equals the *old* image's own configuration is therefore left out, so that the new
//! image's default counts; everything else, and all of `HostConfig`, is passed on as it is, unknown
//! fields included. What cannot be passed on without loss is refused with the reason.

mod endpoint;
mod options;

use serde_json::{Map, Value, json};

use crate::ports::runtime::{ContainerSpec, OneOff, Replacement};

/// Labels that Compose finds its containers by.
const COMPOSE_LABELS: &str = "com.docker.compose.";

/// Why a container cannot be replaced without losing something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfaithful {
    /// The answer is not that of an inspect.
    #[error("its definition has no {0}")]
    Incomplete(&'static str),
    /// Stopping it would destroy the way back.
    #[error("it removes itself when it stops (`--rm`); start it without")]
    AutoRemove,
    /// It lives inside another container's namespace, by an id that is about to change.
    #[error("its {what} is that of another container ({value}); give it its own")]
    Shared {
        /// `network`, `IPC`, `PID` or `UTS` namespace.
        what: &'static str,
        /// As the engine has it.
        value: String,
    },
    /// It borrows volumes of another container.
    #[error("it takes volumes from another container (`volumes_from`); name the volumes")]
    VolumesFrom,
    /// It uses the engine's old links.
    #[error("it uses container links; put both containers into one network")]
    Links,
    /// Swarm makes its own containers.
    #[error("it is a task of a Swarm service; only Swarm can replace it")]
    Swarm,
    /// Something is mounted that the definition does not mention.
    #[error("{destination} is mounted, and the definition does not say from where")]
    StrayMount {
        /// Path inside the container.
        destination: String,
    },
    /// The images are for different machines.
    #[error("the new image is for {new}, the old one for {old}")]
    OtherPlatform {
        /// Platform of the old image.
        old: String,
        /// Platform of the new image.
        new: String,
    },
}

/// What to create so that it is `old` with the differences of `wanted`.
///
/// All three values are raw inspect answers: of the container, of the image it runs (by id, taken before
/// anything was pulled) and of the image it is to run. `api` is the version that the container's answer
/// came in and the body will go out in. Nothing is looked up and nothing is changed.
pub fn recreate(
    old: &Value,
    old_image: &Value,
    new_image: &Value,
    wanted: &Replacement,
    api: (u32, u32),
) -> Result<ContainerSpec, Unfaithful> {
    let config = object(old, "Config").ok_or(Unfaithful::Incomplete("Config"))?;
    let host = object(old, "HostConfig").ok_or(Unfaithful::Incomplete("HostConfig"))?;
    let empty = Map::new();
    let image_config = object(old_image, "Config").unwrap_or(&empty);

    refuse(config, host)?;
    same_platform(old_image, new_image)?;

    let mut host = host.clone();
    options::reattach_volumes(&mut host, old)?;
    let mut body = options::own_config(config, image_config, old, &host);
    body.insert("Image".to_owned(), json!(wanted.image));

    let (networking, more_networks) = match &wanted.one_off {
        Some(one_off) => {
            make_one_off(&mut body, &mut host, one_off);
            endpoint::only(&mut host, &one_off.networks)
        }
        None => endpoint::as_before(&mut body, &mut host, old, api),
    };
    let labels = body
        .entry("Labels")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(labels) = labels.as_object_mut() {
        if wanted.one_off.is_some() {
            labels.retain(|key, _| !key.starts_with(COMPOSE_LABELS));
        }
        for (key, value) in &wanted.labels {
            labels.insert(key.clone(), json!(value));
        }
    }
    body.insert("HostConfig".to_owned(), Value::Object(host));
    if let Some(networking) = networking {
        body.insert("NetworkingConfig".to_owned(), networking);
    }
    Ok(ContainerSpec {
        body: Value::Object(body),
        more_networks,
    })
}

fn refuse(config: &Map<String, Value>, host: &Map<String, Value>) -> Result<(), Unfaithful> {
    if host.get("AutoRemove").and_then(Value::as_bool) == Some(true) {
        return Err(Unfaithful::AutoRemove);
    }
    for (key, what) in [
        ("NetworkMode", "network"),
        ("IpcMode", "IPC namespace"),
        ("PidMode", "PID namespace"),
        ("UTSMode", "UTS namespace"),
    ] {
        let value = host.get(key).and_then(Value::as_str).unwrap_or_default();
        if value.starts_with("container:") {
            return Err(Unfaithful::Shared {
                what,
                value: value.to_owned(),
            });
        }
    }
    if has_entries(host, "VolumesFrom") {
        return Err(Unfaithful::VolumesFrom);
    }
    if has_entries(host, "Links") {
        return Err(Unfaithful::Links);
    }
    let is_task = config
        .get("Labels")
        .and_then(Value::as_object)
        .is_some_and(|labels| labels.contains_key("com.docker.swarm.task.id"));
    if is_task {
        return Err(Unfaithful::Swarm);
    }
    Ok(())
}

fn same_platform(old_image: &Value, new_image: &Value) -> Result<(), Unfaithful> {
    let platform = |image: &Value| {
        let part = |key| image.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("{}/{}", part("Os"), part("Architecture"))
    };
    let (old, new) = (platform(old_image), platform(new_image));
    if old == new {
        Ok(())
    } else {
        Err(Unfaithful::OtherPlatform { old, new })
    }
}

/// Takes away what only the service itself may have: its ports, its names, its health check.
fn make_one_off(body: &mut Map<String, Value>, host: &mut Map<String, Value>, one_off: &OneOff) {
    for key in ["ExposedPorts", "Hostname", "Domainname", "MacAddress"] {
        body.remove(key);
    }
    for key in ["Tty", "OpenStdin", "StdinOnce", "AttachStdin"] {
        body.insert(key.to_owned(), json!(false));
    }
    body.insert("Healthcheck".to_owned(), json!({"Test": ["NONE"]}));
    body.insert("Cmd".to_owned(), json!(one_off.command));
    let mut env: Vec<Value> = body
        .get("Env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|entry| {
            let entry = entry.as_str().unwrap_or_default();
            let key = entry.split_once('=').map_or(entry, |(key, _)| key);
            !one_off.env.contains_key(key)
        })
        .cloned()
        .collect();
    env.extend(
        one_off
            .env
            .iter()
            .map(|(key, value)| json!(format!("{key}={value}"))),
    );
    body.insert("Env".to_owned(), Value::Array(env));

    host.insert("PortBindings".to_owned(), json!({}));
    host.insert("PublishAllPorts".to_owned(), json!(false));
    host.insert("AutoRemove".to_owned(), json!(false));
    host.insert(
        "RestartPolicy".to_owned(),
        json!({"Name": "no", "MaximumRetryCount": 0}),
    );
}

fn object<'a>(value: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    value.get(key).and_then(Value::as_object)
}

/// Whether a list or a map is there and not empty.
fn has_entries(map: &Map<String, Value>, key: &str) -> bool {
    match map.get(key) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(entries)) => !entries.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => false,
    }
}

#[cfg(test)]
mod tests;
