//! The networks of a replacement: what was asked for, without what came of it.

use serde_json::{Map, Value, json};

use super::options::short_id;

/// `NetworkingConfig` of the create call, and the networks to connect afterwards.
pub(super) type Networks = (Option<Value>, Vec<(String, Value)>);

/// From this API on an explicit MAC address belongs to the endpoint, no longer to the container.
const MAC_IN_ENDPOINT: (u32, u32) = (1, 44);

/// From this API on an endpoint says which network is the way out.
const GATEWAY_PRIORITY: (u32, u32) = (1, 48);

/// The same networks as before, the first one first.
pub(super) fn as_before(
    body: &mut Map<String, Value>,
    host: &mut Map<String, Value>,
    old: &Value,
    api: (u32, u32),
) -> Networks {
    let first = mode(host);
    let networks = old
        .pointer("/NetworkSettings/Networks")
        .and_then(Value::as_object);
    let Some(networks) = networks.filter(|_| !is_special(&first)) else {
        return (None, Vec::new());
    };
    // Old Compose versions put the id of the network there, which dies with the network.
    let first = networks
        .iter()
        .find(|(name, endpoint)| {
            **name == first || endpoint.get("NetworkID").and_then(Value::as_str) == Some(&*first)
        })
        .map_or_else(|| first.clone(), |(name, _)| name.clone());
    if first != "bridge" {
        host.insert("NetworkMode".to_owned(), json!(first));
    }

    let mac = body
        .get("MacAddress")
        .and_then(Value::as_str)
        .filter(|mac| !mac.is_empty() && !is_generated(mac, networks.get(&first)))
        .map(str::to_owned);
    let in_endpoint = api >= MAC_IN_ENDPOINT;
    if mac.is_none() || in_endpoint {
        body.remove("MacAddress");
    }

    let mut at_create = None;
    let mut others = Vec::new();
    for (name, endpoint) in networks {
        let mut wanted = wanted(name, endpoint, old, api);
        if *name == first {
            if let (Some(mac), true) = (&mac, in_endpoint) {
                wanted.insert("MacAddress".to_owned(), json!(mac));
            }
            at_create = Some(json!({"EndpointsConfig": {name: wanted}}));
        } else {
            others.push((name.clone(), Value::Object(wanted)));
        }
    }
    (at_create, others)
}

/// These networks and no others, without a name of its own in any.
pub(super) fn only(host: &mut Map<String, Value>, names: &[String]) -> Networks {
    let first = names.first().map_or("none", String::as_str);
    host.insert("NetworkMode".to_owned(), json!(first));
    if is_special(first) {
        return (None, Vec::new());
    }
    let more = names
        .iter()
        .skip(1)
        .map(|name| (name.clone(), json!({})))
        .collect();
    (Some(json!({"EndpointsConfig": {first: {}}})), more)
}

/// The network mode, with the engine's word for its own default bridge.
fn mode(host: &Map<String, Value>) -> String {
    match host.get("NetworkMode").and_then(Value::as_str) {
        None | Some("" | "default" | "bridge") => "bridge".to_owned(),
        Some(mode) => mode.to_owned(),
    }
}

/// Modes that are no networks to be connected to.
fn is_special(mode: &str) -> bool {
    matches!(mode, "host" | "none")
}

/// The fields of an endpoint that say what is wanted; the others say what the engine made of it.
fn wanted(name: &str, endpoint: &Value, old: &Value, api: (u32, u32)) -> Map<String, Value> {
    let mut wanted = Map::new();
    for key in ["IPAMConfig", "Links", "DriverOpts", "GwPriority"] {
        let value = endpoint.get(key).unwrap_or(&Value::Null);
        let is_unset = match value {
            Value::Null => true,
            Value::Number(number) => number.as_i64() == Some(0) || api < GATEWAY_PRIORITY,
            Value::Object(entries) => entries.is_empty(),
            Value::Array(entries) => entries.is_empty(),
            Value::Bool(_) | Value::String(_) => false,
        };
        if !is_unset {
            wanted.insert(key.to_owned(), value.clone());
        }
    }
    // The default bridge knows no names; newer engines refuse them there.
    if name != "bridge" {
        let short = short_id(old);
        let aliases: Vec<Value> = endpoint
            .get("Aliases")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|alias| alias.as_str() != short)
            .cloned()
            .collect();
        if !aliases.is_empty() {
            wanted.insert("Aliases".to_owned(), Value::Array(aliases));
        }
    }
    wanted
}

/// Engines before 28 made addresses of 02:42 and the IPv4 address; fixing one of those on a replacement
/// would double it when the old address goes to somebody else.
fn is_generated(mac: &str, endpoint: Option<&Value>) -> bool {
    let ip = endpoint
        .and_then(|endpoint| endpoint.get("IPAddress"))
        .and_then(Value::as_str)
        .and_then(|ip| ip.parse::<std::net::Ipv4Addr>().ok());
    ip.is_some_and(|ip| {
        let [a, b, c, d] = ip.octets();
        mac.eq_ignore_ascii_case(&format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}"))
    })
}
