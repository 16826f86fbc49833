//! From the engine's raw answers to our own words. What we do not know stays in `raw`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::ports::runtime::{Container, ContainerState, Endpoint, Image, Network, PublishedPort};

/// A container from its inspect answer; `None` when it has not even an id.
pub(super) fn container(raw: Value) -> Option<Container> {
    let id = text(&raw, "/Id");
    if id.is_empty() {
        return None;
    }
    Some(Container {
        name: text(&raw, "/Name").trim_start_matches('/').to_owned(),
        image: text(&raw, "/Config/Image"),
        image_id: text(&raw, "/Image"),
        labels: text_map(&raw, "/Config/Labels"),
        env: env(&raw, "/Config/Env"),
        command: [list(&raw, "/Config/Entrypoint"), list(&raw, "/Config/Cmd")].concat(),
        state: ContainerState {
            running: raw
                .pointer("/State/Running")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            exit_code: number(&raw, "/State/ExitCode"),
            started_at: text(&raw, "/State/StartedAt"),
            restarts: number(&raw, "/RestartCount"),
        },
        networks: raw
            .pointer("/NetworkSettings/Networks")
            .and_then(Value::as_object)
            .map(|networks| {
                networks
                    .iter()
                    .map(|(name, endpoint)| (name.clone(), self::endpoint(endpoint)))
                    .collect()
            })
            .unwrap_or_default(),
        ports: ports(&raw),
        restart_policy: match text(&raw, "/HostConfig/RestartPolicy/Name") {
            unset if unset.is_empty() => "no".to_owned(),
            name => name,
        },
        health_check: health_check(&raw),
        mounts: raw
            .pointer("/Mounts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|mount| text(mount, "/Destination"))
            .filter(|place| !place.is_empty())
            .collect(),
        id,
        raw,
    })
}

/// The command of a health check: `["CMD-SHELL", "…"]` or `["CMD", "…", …]`; `["NONE"]` and an empty list are none.
fn health_check(raw: &Value) -> Option<String> {
    match list(raw, "/Config/Healthcheck/Test").split_first() {
        Some((kind, words)) if kind.starts_with("CMD") && !words.is_empty() => {
            Some(words.join(" "))
        }
        Some(_) | None => None,
    }
}

/// An image from its inspect answer; `None` when it has not even an id.
pub(super) fn image(raw: Value) -> Option<Image> {
    let id = text(&raw, "/Id");
    if id.is_empty() {
        return None;
    }
    Some(Image {
        id,
        repo_digests: list(&raw, "/RepoDigests"),
        repo_tags: list(&raw, "/RepoTags"),
        env: env(&raw, "/Config/Env"),
        size: raw
            .pointer("/Size")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        platform: platform(
            &text(&raw, "/Os"),
            &text(&raw, "/Architecture"),
            &text(&raw, "/Variant"),
        ),
        raw,
    })
}

/// A network from its inspect answer.
pub(super) fn network(raw: &Value) -> Option<Network> {
    let id = text(raw, "/Id");
    (!id.is_empty()).then(|| Network {
        id,
        name: text(raw, "/Name"),
        internal: raw
            .pointer("/Internal")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        labels: raw
            .get("Labels")
            .and_then(|labels| serde_json::from_value(labels.clone()).ok())
            .unwrap_or_default(),
    })
}

/// `linux/amd64`, with the variant where there is one.
pub(super) fn platform(os: &str, architecture: &str, variant: &str) -> String {
    match variant {
        "" => format!("{os}/{architecture}"),
        variant => format!("{os}/{architecture}/{variant}"),
    }
}

/// The name the engine itself uses: without Docker Hub's own prefixes.
pub(super) fn familiar(repository: &str) -> &str {
    let short = repository
        .strip_prefix("docker.io/")
        .or_else(|| repository.strip_prefix("index.docker.io/"))
        .unwrap_or(repository);
    short.strip_prefix("library/").unwrap_or(short)
}

/// Repository and tag; a port of the registry is no tag.
pub(super) fn split_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        Some(_) | None => (reference, "latest"),
    }
}

/// The text at a pointer, empty when there is none.
pub(super) fn text(raw: &Value, pointer: &str) -> String {
    raw.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The number at a pointer, 0 when there is none.
pub(super) fn number(raw: &Value, pointer: &str) -> i64 {
    raw.pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

fn list(raw: &Value, pointer: &str) -> Vec<String> {
    raw.pointer(pointer)
        .and_then(Value::as_array)
        .map(|entries| {
            entries
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

fn text_map(raw: &Value, pointer: &str) -> BTreeMap<String, String> {
    raw.pointer(pointer)
        .and_then(Value::as_object)
        .map(|entries| {
            entries
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect()
        })
        .unwrap_or_default()
}

fn env(raw: &Value, pointer: &str) -> BTreeMap<String, String> {
    list(raw, pointer)
        .into_iter()
        .filter_map(|entry| {
            let (key, value) = entry.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn endpoint(raw: &Value) -> Endpoint {
    Endpoint {
        ip: ["/IPAddress", "/GlobalIPv6Address"]
            .iter()
            .find_map(|pointer| text(raw, pointer).parse::<IpAddr>().ok()),
        aliases: list(raw, "/Aliases"),
    }
}

/// Wanted TCP ports. A range or an empty host port means that the engine chooses: 0.
fn ports(raw: &Value) -> Vec<PublishedPort> {
    let Some(bindings) = raw
        .pointer("/HostConfig/PortBindings")
        .and_then(Value::as_object)
    else {
        return Vec::new();
    };
    let mut ports = Vec::new();
    for (port, hosts) in bindings {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let (Ok(container_port), "tcp") = (number.parse(), protocol) else {
            continue;
        };
        for host in hosts.as_array().into_iter().flatten() {
            ports.push(PublishedPort {
                container_port,
                host_ip: text(host, "/HostIp"),
                host_port: text(host, "/HostPort").parse().unwrap_or_default(),
            });
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_read_from_its_inspect_answer() {
        let container = container(json!({
            "Id": "abc", "Name": "/m_web_1", "Image": "sha256:1", "RestartCount": 2,
            "State": {"Status": "hibernating", "Running": true, "ExitCode": 0, "StartedAt": "t"},
            "Config": {
                "Image": "mastodon/mastodon:v4.5.7", "Env": ["A=b=c", "GONE"],
                "Labels": {"k": "v"}, "Entrypoint": ["tini", "--"], "Cmd": ["puma"],
                "Healthcheck": {"Test": ["CMD-SHELL", "curl -s localhost:3000/health"]},
            },
            "Mounts": [{"Type": "bind", "Source": "/srv", "Destination": "/mastodon/public/system"}],
            "HostConfig": {
                "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
                "PortBindings": {
                    "3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}],
                    "53/udp": [{"HostIp": "", "HostPort": "53"}],
                    "80/tcp": [{"HostIp": "", "HostPort": "8000-8010"}],
                },
            },
            "NetworkSettings": {"Networks": {"m_default": {
                "IPAddress": "172.20.0.5", "Aliases": ["web", "abc"],
            }, "other": {"IPAddress": "", "Aliases": null}}},
        }))
        .unwrap();
        assert_eq!(container.name, "m_web_1");
        assert_eq!(container.command, ["tini", "--", "puma"]);
        assert_eq!(container.env, BTreeMap::from([("A".into(), "b=c".into())]));
        assert_eq!(container.restart_policy, "no");
        assert_eq!(
            container.health_check.as_deref(),
            Some("curl -s localhost:3000/health")
        );
        assert_eq!(container.mounts, ["/mastodon/public/system"]);
        assert_eq!(container.state.restarts, 2);
        assert!(container.state.running, "an unknown status does no harm");
        assert_eq!(
            container.networks["m_default"].ip,
            Some("172.20.0.5".parse().unwrap())
        );
        assert_eq!(container.networks["other"].ip, None);
        let ports: Vec<_> = container
            .ports
            .iter()
            .map(|p| (p.container_port, p.host_ip.as_str(), p.host_port))
            .collect();
        assert_eq!(ports, [(3000, "127.0.0.1", 3000), (80, "", 0)]);
    }

    #[test]
    fn a_health_check_is_its_command() {
        for (test, command) in [
            (json!(["CMD", "pg_isready", "-U"]), Some("pg_isready -U")),
            (json!(["CMD-SHELL", "a || b"]), Some("a || b")),
            (json!(["NONE"]), None),
            (json!([]), None),
            (Value::Null, None),
        ] {
            let raw = json!({"Config": {"Healthcheck": {"Test": test}}});
            assert_eq!(health_check(&raw).as_deref(), command, "{raw}");
        }
    }

    #[test]
    fn names_of_images_are_compared_as_the_engine_writes_them() {
        assert_eq!(familiar("docker.io/library/redis"), "redis");
        assert_eq!(
            familiar("docker.io/tootsuite/mastodon"),
            "tootsuite/mastodon"
        );
        assert_eq!(
            familiar("ghcr.io/mastodon/mastodon"),
            "ghcr.io/mastodon/mastodon"
        );
        assert_eq!(
            split_tag("127.0.0.1:5057/a"),
            ("127.0.0.1:5057/a", "latest")
        );
        assert_eq!(split_tag("127.0.0.1:5057/a:v1"), ("127.0.0.1:5057/a", "v1"));
    }
}
