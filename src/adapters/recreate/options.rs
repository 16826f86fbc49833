//! What of `Config` is the owner's, and which volumes only the old container knows.

use serde_json::{Map, Value, json};

use super::{COMPOSE_LABELS, Unfaithful};

/// What Compose 1.x adds to the environment of a container that takes another one's place.
const PREDECESSOR: &str = "affinity:container==";

/// `Config` without what equals the image's own.
pub(super) fn own_config(
    config: &Map<String, Value>,
    image: &Map<String, Value>,
    old: &Value,
    host: &Map<String, Value>,
) -> Map<String, Value> {
    let nothing = Value::Null;
    let mut own = Map::new();
    for (key, value) in config {
        let default = image.get(key).unwrap_or(&nothing);
        let kept = match key.as_str() {
            // The pair is looked at below; the image reference is the caller's.
            "Cmd" | "Entrypoint" | "Image" => None,
            "Env" => own_entries(value, default),
            "Labels" => own_keys(value, default, |key| key.starts_with(COMPOSE_LABELS)),
            "ExposedPorts" => own_keys(value, default, |port| is_bound(host, port)),
            "Volumes" => own_keys(value, default, |_| false),
            // A field that is left out is inherited one by one.
            "Healthcheck" => own_keys(value, default, |_| false),
            "Hostname" => own_hostname(value, old, host),
            _ => (value != default).then(|| value.clone()),
        };
        if let Some(kept) = kept {
            own.insert(key.clone(), kept);
        }
    }
    let part = |map: &Map<String, Value>, key: &str| {
        // `null` and an absent key mean the same; an empty list does not.
        map.get(key).cloned().unwrap_or(Value::Null)
    };
    let (entrypoint, cmd) = (part(config, "Entrypoint"), part(config, "Cmd"));
    if entrypoint != part(image, "Entrypoint") {
        // The engine drops the image's command when an entry point is given, so both go together.
        own.insert("Entrypoint".to_owned(), entrypoint);
        own.insert("Cmd".to_owned(), cmd);
    } else if cmd != part(image, "Cmd") {
        own.insert("Cmd".to_owned(), cmd);
    }
    own
}

/// Names the volumes that only the old container's mounts tell of, so that the replacement gets them
/// instead of new, empty ones.
pub(super) fn reattach_volumes(
    host: &mut Map<String, Value>,
    old: &Value,
) -> Result<(), Unfaithful> {
    let mounts = old.get("Mounts").and_then(Value::as_array);
    for mount in mounts.into_iter().flatten() {
        let text = |key| mount.get(key).and_then(Value::as_str).unwrap_or_default();
        let destination = text("Destination");
        if is_declared(host, destination) {
            continue;
        }
        if text("Type") != "volume" || text("Name").is_empty() {
            return Err(Unfaithful::StrayMount {
                destination: destination.to_owned(),
            });
        }
        let mode = match mount.get("RW").and_then(Value::as_bool) {
            Some(false) => "ro",
            Some(true) | None => "rw",
        };
        let bind = json!(format!("{}:{destination}:{mode}", text("Name")));
        match host.get_mut("Binds").and_then(Value::as_array_mut) {
            Some(binds) => binds.push(bind),
            None => {
                host.insert("Binds".to_owned(), Value::Array(vec![bind]));
            }
        }
    }
    Ok(())
}

/// Whether `HostConfig` itself says what is mounted there.
fn is_declared(host: &Map<String, Value>, destination: &str) -> bool {
    let same = |path: &str| path.trim_end_matches('/') == destination.trim_end_matches('/');
    let list = |key| {
        host.get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let in_binds = list("Binds").filter_map(Value::as_str).any(|bind| {
        // SOURCE:DESTINATION[:OPTIONS]
        bind.split(':').nth(1).is_some_and(same)
    });
    let in_mounts = list("Mounts").any(|mount| {
        mount
            .get("Target")
            .and_then(Value::as_str)
            .is_some_and(same)
    });
    let in_tmpfs = host
        .get("Tmpfs")
        .and_then(Value::as_object)
        .is_some_and(|tmpfs| tmpfs.keys().any(|path| same(path)));
    in_binds || in_mounts || in_tmpfs
}

/// Entries of a list that the image does not have.
fn own_entries(value: &Value, default: &Value) -> Option<Value> {
    let of_image = default.as_array();
    let own: Vec<Value> = value
        .as_array()?
        .iter()
        .filter(|entry| !of_image.is_some_and(|entries| entries.contains(entry)))
        // Compose 1.x names the container that it replaced there, for a scheduler long gone.
        .filter(|entry| {
            !entry
                .as_str()
                .is_some_and(|entry| entry.starts_with(PREDECESSOR))
        })
        .cloned()
        .collect();
    (!own.is_empty()).then_some(Value::Array(own))
}

/// Entries of a map that the image does not have with the same value, and those to keep in any case.
fn own_keys(value: &Value, default: &Value, keep: impl Fn(&str) -> bool) -> Option<Value> {
    let own: Map<String, Value> = value
        .as_object()?
        .iter()
        .filter(|(key, value)| keep(key) || default.get(key.as_str()) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!own.is_empty()).then_some(Value::Object(own))
}

fn is_bound(host: &Map<String, Value>, port: &str) -> bool {
    host.get("PortBindings")
        .and_then(Value::as_object)
        .is_some_and(|bindings| bindings.contains_key(port))
}

/// Without a hostname of its own a container is named after its id, which the replacement does not have.
/// In the host's UTS namespace a hostname may not be given.
fn own_hostname(value: &Value, old: &Value, host: &Map<String, Value>) -> Option<Value> {
    let is_generated = short_id(old).is_some_and(|id| value.as_str() == Some(id));
    let is_hosts = host.get("UTSMode").and_then(Value::as_str) == Some("host");
    (!is_generated && !is_hosts).then(|| value.clone())
}

/// The twelve characters of the id that the engine itself uses as a name.
pub(super) fn short_id(old: &Value) -> Option<&str> {
    old.get("Id")?.as_str()?.get(..12)
}
