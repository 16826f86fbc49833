//! Each rule of the re-creation, on small made-up inspect answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const SHORT: &str = "0123456789ab";
const VOLUME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OLD_API: (u32, u32) = (1, 41);
const NEW_API: (u32, u32) = (1, 48);

/// A container with this configuration in network `n`, made from an image with that one.
struct Case {
    old: Value,
    image: Value,
    wanted: Replacement,
    api: (u32, u32),
}

fn case(config: Value, image_config: Value) -> Case {
    let mut old = json!({
        "Id": ID,
        "HostConfig": {"NetworkMode": "n"},
        "NetworkSettings": {"Networks": {"n": {}}},
        "Mounts": [],
    });
    old["Config"] = config;
    let mut image = json!({"Os": "linux", "Architecture": "amd64"});
    image["Config"] = image_config;
    Case {
        old,
        image,
        wanted: Replacement {
            image: "new:2".to_owned(),
            ..Replacement::default()
        },
        api: OLD_API,
    }
}

impl Case {
    fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.old.pointer_mut(parent).unwrap()[key] = value;
        self
    }

    fn one_off(mut self, one_off: OneOff) -> Self {
        self.wanted.one_off = Some(one_off);
        self
    }

    fn label(mut self, key: &str, value: &str) -> Self {
        self.wanted.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    fn api(mut self, api: (u32, u32)) -> Self {
        self.api = api;
        self
    }

    fn run(&self) -> Result<ContainerSpec, Unfaithful> {
        recreate(&self.old, &self.image, &self.image, &self.wanted, self.api)
    }

    fn spec(&self) -> ContainerSpec {
        self.run().unwrap()
    }

    fn body(&self) -> Value {
        self.spec().body
    }

    fn endpoint(&self) -> Value {
        self.body()["NetworkingConfig"]["EndpointsConfig"]["n"].clone()
    }
}

/// Runs (field, the container's value, its image's, the one in the body) for each row.
fn fields(rows: &[(&str, Value, Value, Value)]) {
    for (field, own, image, expected) in rows {
        let body = case(json!({*field: own}), json!({*field: image})).body();
        let found = body.get(*field).filter(|found| *found != &json!({}));
        assert_eq!(found.unwrap_or(&Value::Null), expected, "{field}");
    }
}

#[test]
fn a_value_that_equals_the_old_images_is_left_to_the_new_one() {
    let none = || Value::Null;
    fields(&[
        ("WorkingDir", json!("/opt"), json!("/opt"), none()),
        ("WorkingDir", json!("/srv"), json!("/opt"), json!("/srv")),
        ("User", json!("mastodon"), json!("mastodon"), none()),
        ("User", json!("991"), json!("mastodon"), json!("991")),
        ("StopSignal", json!("SIGTERM"), json!("SIGTERM"), none()),
        ("StopSignal", json!("SIGINT"), none(), json!("SIGINT")),
        ("Shell", json!(["sh"]), json!(["sh"]), none()),
        ("OnBuild", none(), none(), none()),
        ("StopTimeout", json!(90), none(), json!(90)),
        ("NotYetKnown", json!({"a": 1}), none(), json!({"a": 1})),
    ]);
}

#[test]
fn lists_and_maps_are_compared_entry_by_entry() {
    let own = json!(["PATH=/bin", "A=1", "V=own", "affinity:container==0f"]);
    let (default, own_check) = (
        json!({"Test": ["a"], "Interval": 9}),
        json!({"Test": ["a"], "Interval": 5}),
    );
    let map = |entries: &[(&str, &str)]| json!(entries.iter().copied().collect::<BTreeMap<_, _>>());
    let (ports, data) = (
        json!({"1/tcp": {}, "2/tcp": {}}),
        json!({"/a": {}, "/b": {}}),
    );
    fields(&[
        (
            "Env",
            own,
            json!(["PATH=/bin", "V=4.5.7"]),
            json!(["A=1", "V=own"]),
        ),
        (
            "Env",
            json!(["PATH=/bin"]),
            json!(["PATH=/bin"]),
            Value::Null,
        ),
        (
            "Labels",
            map(&[("v", "1"), ("mine", "x")]),
            map(&[("v", "1")]),
            map(&[("mine", "x")]),
        ),
        (
            "Labels",
            map(&[("v", "1")]),
            map(&[("v", "1")]),
            Value::Null,
        ),
        ("Volumes", data, json!({"/a": {}}), json!({"/b": {}})),
        (
            "ExposedPorts",
            ports,
            json!({"1/tcp": {}}),
            json!({"2/tcp": {}}),
        ),
        (
            "Healthcheck",
            own_check,
            default.clone(),
            json!({"Interval": 5}),
        ),
        (
            "Healthcheck",
            json!({"Test": ["NONE"]}),
            default,
            json!({"Test": ["NONE"]}),
        ),
    ]);
}

#[test]
fn entry_point_and_command_are_compared_as_a_pair() {
    let image = json!({"Entrypoint": ["tini", "--"], "Cmd": ["puma"]});
    let nothing = Value::Null;
    for (entrypoint, cmd, expected) in [
        (
            json!(["tini", "--"]),
            json!(["puma"]),
            (nothing.clone(), nothing.clone()),
        ),
        (
            json!(["tini", "--"]),
            json!(["rails"]),
            (nothing.clone(), json!(["rails"])),
        ),
        (
            json!(["sh"]),
            json!(["puma"]),
            (json!(["sh"]), json!(["puma"])),
        ),
        (json!([]), json!(["puma"]), (json!([]), json!(["puma"]))),
        (
            json!(["sh"]),
            nothing.clone(),
            (json!(["sh"]), nothing.clone()),
        ),
    ] {
        let body = case(json!({"Entrypoint": entrypoint, "Cmd": cmd}), image.clone()).body();
        let found = |key: &str| body.get(key).cloned().unwrap_or(Value::Null);
        assert_eq!((found("Entrypoint"), found("Cmd")), expected);
    }
}

#[test]
fn the_image_is_the_wanted_one() {
    assert_eq!(
        case(json!({"Image": "old:1"}), json!({})).body()["Image"],
        "new:2"
    );
}

#[test]
fn host_config_goes_through_as_it_is() {
    let host = json!({
        "NetworkMode": "n", "Binds": ["data:/d:rw"], "Mounts": [{"Type": "volume", "Target": "/s",
        "VolumeOptions": {"Subpath": "a"}}], "NanoCpus": 5, "FromTheFuture": [1, {"x": null}],
        "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
        "PortBindings": {"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "3000"}]},
    });
    let case = case(json!({}), json!({})).with("/HostConfig", host.clone());
    assert_eq!(case.body()["HostConfig"], host);
}

#[test]
fn a_port_that_is_published_stays_exposed() {
    let case = case(
        json!({"ExposedPorts": {"3000/tcp": {}}}),
        json!({"ExposedPorts": {"3000/tcp": {}}}),
    )
    .with("/HostConfig/PortBindings", json!({"3000/tcp": []}));
    assert_eq!(case.body()["ExposedPorts"], json!({"3000/tcp": {}}));
}

#[test]
fn a_hostname_made_from_the_id_is_dropped_and_any_other_kept() {
    for (hostname, mode, expected) in [
        (SHORT, "", None),
        (&SHORT[..11], "", Some(&SHORT[..11])),
        ("web", "", Some("web")),
        ("web", "host", None),
    ] {
        let case =
            case(json!({"Hostname": hostname}), json!({})).with("/HostConfig/UTSMode", json!(mode));
        assert_eq!(
            case.body().get("Hostname").and_then(Value::as_str),
            expected
        );
    }
}

#[test]
fn compose_labels_stay_and_wanted_labels_win() {
    let labels = json!({
        "com.docker.compose.service": "web", "com.docker.compose.config-hash": "old", "mine": "x",
    });
    // An image built by Compose carries such labels too: they are the container's all the same.
    let image = json!({"Labels": {"com.docker.compose.service": "web"}});
    let body = case(json!({"Labels": labels}), image)
        .label("com.docker.compose.config-hash", "new")
        .label("org.mastopatch.run", "1")
        .body();
    assert_eq!(
        body["Labels"],
        json!({
            "com.docker.compose.service": "web", "com.docker.compose.config-hash": "new",
            "mine": "x", "org.mastopatch.run": "1",
        })
    );
}

#[test]
fn an_endpoint_keeps_what_was_wanted_and_nothing_else() {
    let case = case(json!({}), json!({})).with(
        "/NetworkSettings/Networks/n",
        json!({
            "IPAMConfig": {"IPv4Address": "172.20.0.9"}, "Links": ["a:b"], "DriverOpts": {"o": "1"},
            "Aliases": ["web", "0", SHORT, ID], "GwPriority": 7,
            "NetworkID": "x", "EndpointID": "x", "Gateway": "172.20.0.1", "IPAddress": "172.20.0.9",
            "MacAddress": "02:42:ac:14:00:09", "DNSNames": ["web"], "IPPrefixLen": 16,
        }),
    );
    let mut expected = json!({
        "IPAMConfig": {"IPv4Address": "172.20.0.9"}, "Links": ["a:b"], "DriverOpts": {"o": "1"},
        "Aliases": ["web", "0", ID],
    });
    assert_eq!(case.endpoint(), expected);
    expected["GwPriority"] = json!(7);
    assert_eq!(case.api(NEW_API).endpoint(), expected);
}

#[test]
fn an_endpoint_without_wishes_is_empty() {
    let case = case(json!({}), json!({})).with(
        "/NetworkSettings/Networks/n",
        json!({"IPAMConfig": null, "Links": null, "Aliases": [SHORT], "DriverOpts": {}, "GwPriority": 0}),
    );
    assert_eq!(case.endpoint(), json!({}));
}

#[test]
fn only_the_primary_network_is_in_the_create_call() {
    for api in [OLD_API, NEW_API] {
        let spec = case(json!({}), json!({}))
            .with("/HostConfig/NetworkMode", json!("n"))
            .with(
                "/NetworkSettings/Networks",
                json!({"a": {"Aliases": ["web"]}, "n": {}, "z": {}}),
            )
            .api(api)
            .spec();
        assert_eq!(
            spec.body["NetworkingConfig"],
            json!({"EndpointsConfig": {"n": {}}})
        );
        assert_eq!(
            spec.more_networks,
            [
                ("a".to_owned(), json!({"Aliases": ["web"]})),
                ("z".to_owned(), json!({}))
            ]
        );
    }
}

#[test]
fn a_network_mode_is_translated_to_a_network() {
    let networks =
        json!({"bridge": {"Aliases": ["x"], "NetworkID": "b1"}, "m_default": {"NetworkID": "id1"}});
    for (mode, mode_after, first) in [
        ("default", "default", Some("bridge")),
        ("m_default", "m_default", Some("m_default")),
        ("id1", "m_default", Some("m_default")),
        ("host", "host", None),
        ("none", "none", None),
    ] {
        let spec = case(json!({}), json!({}))
            .with("/HostConfig/NetworkMode", json!(mode))
            .with("/NetworkSettings/Networks", networks.clone())
            .spec();
        assert_eq!(spec.body["HostConfig"]["NetworkMode"], mode_after);
        let created: Vec<_> = spec.body["NetworkingConfig"]["EndpointsConfig"]
            .as_object()
            .map(|networks| networks.keys().map(String::as_str).collect())
            .unwrap_or_default();
        assert_eq!(created, first.into_iter().collect::<Vec<_>>(), "{mode}");
        assert_eq!(
            spec.more_networks.len(),
            usize::from(first.is_some()),
            "{mode}"
        );
        let has_alias = spec.body.to_string().contains("Aliases");
        assert!(!has_alias, "the default bridge takes no aliases");
    }
}

#[test]
fn only_a_mac_address_that_was_asked_for_is_kept() {
    for (mac, api, in_config, in_endpoint) in [
        ("02:00:00:00:00:01", OLD_API, true, false),
        ("02:00:00:00:00:01", NEW_API, false, true),
        ("02:42:AC:14:00:09", OLD_API, false, false),
        ("", OLD_API, false, false),
    ] {
        let case = case(json!({"MacAddress": mac}), json!({}))
            .with(
                "/NetworkSettings/Networks/n",
                json!({"IPAddress": "172.20.0.9", "MacAddress": mac}),
            )
            .api(api);
        assert_eq!(case.body().get("MacAddress").is_some(), in_config, "{mac}");
        assert_eq!(
            case.endpoint().get("MacAddress").is_some(),
            in_endpoint,
            "{mac}"
        );
    }
}

#[test]
fn volumes_that_only_the_mounts_tell_of_are_attached_again() {
    let mount = |name: &str, destination: &str, rw: bool| json!({"Type": "volume", "Name": name, "Destination": destination, "RW": rw});
    let body = case(json!({}), json!({}))
        .with("/HostConfig/Binds", json!(["named:/data/:rw"]))
        .with(
            "/HostConfig/Mounts",
            json!([{"Type": "volume", "Target": "/m"}]),
        )
        .with("/HostConfig/Tmpfs", json!({"/t": ""}))
        .with(
            "/Mounts",
            json!([
                mount("named", "/data", true),
                mount("m", "/m", true),
                {"Type": "tmpfs", "Destination": "/t"},
                mount(VOLUME, "/anon", true),
                mount(VOLUME, "/read", false),
            ]),
        )
        .body();
    assert_eq!(
        body["HostConfig"]["Binds"],
        json!([
            "named:/data/:rw",
            format!("{VOLUME}:/anon:rw"),
            format!("{VOLUME}:/read:ro")
        ])
    );
}

#[test]
fn what_would_be_lost_is_refused_with_the_reason() {
    let base = || case(json!({}), json!({}));
    for (case, word) in [
        (base().with("/HostConfig/AutoRemove", json!(true)), "--rm"),
        (
            base().with("/HostConfig/NetworkMode", json!("container:x")),
            "network",
        ),
        (
            base().with("/HostConfig/IpcMode", json!("container:x")),
            "IPC",
        ),
        (
            base().with("/HostConfig/PidMode", json!("container:x")),
            "PID",
        ),
        (
            base().with("/HostConfig/VolumesFrom", json!(["x"])),
            "volumes_from",
        ),
        (
            base().with("/HostConfig/Links", json!(["/a:/b/c"])),
            "links",
        ),
        (
            base().with("/Mounts", json!([{"Type": "bind", "Destination": "/x"}])),
            "/x",
        ),
        (
            base().with("/Config/Labels", json!({"com.docker.swarm.task.id": "1"})),
            "Swarm",
        ),
        (base().with("/Config", json!(null)), "Config"),
    ] {
        let reason = case.run().unwrap_err().to_string();
        assert!(reason.contains(word), "{word}: {reason}");
        // A one-off of it would be wrong in the same ways.
        let reason = case
            .one_off(OneOff::default())
            .run()
            .unwrap_err()
            .to_string();
        assert!(reason.contains(word), "{word}: {reason}");
    }
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let case = case(json!({}), json!({}));
    let new = json!({"Os": "linux", "Architecture": "arm64", "Config": {}});
    let err = recreate(&case.old, &case.image, &new, &case.wanted, case.api).unwrap_err();
    assert_eq!(
        err,
        Unfaithful::OtherPlatform {
            old: "linux/amd64".into(),
            new: "linux/arm64".into()
        }
    );
}

#[test]
fn a_one_off_is_nobody_in_the_world_and_has_the_services_data() {
    let case = case(
        json!({
            "Env": ["A=1", "B=2"], "Cmd": ["puma"], "Entrypoint": ["own"], "User": "991",
            "Hostname": "web", "Tty": true, "ExposedPorts": {"3000/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "x"]}, "MacAddress": "02:00:00:00:00:01",
            "Labels": {"com.docker.compose.service": "web", "mine": "x"},
        }),
        json!({}),
    )
    .with(
        "/HostConfig",
        json!({
            "NetworkMode": "n", "Binds": ["d:/d"], "Memory": 5, "ExtraHosts": ["h:1.2.3.4"], "Dns": ["1.1.1.1"],
            "PortBindings": {"3000/tcp": [{"HostPort": "3000"}]}, "PublishAllPorts": true,
            "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
        }),
    )
    .with("/NetworkSettings/Networks/n", json!({"Aliases": ["web"]}))
    .label("org.mastopatch.role", "migrate")
    .one_off(OneOff {
        command: vec!["rails".to_owned(), "db:migrate".to_owned()],
        env: BTreeMap::from([("B".to_owned(), "3".to_owned())]),
        networks: vec!["inner".to_owned(), "other".to_owned()],
    });
    let spec = case.spec();
    assert_eq!(
        spec.body,
        json!({
            "Image": "new:2", "Entrypoint": ["own"], "Cmd": ["rails", "db:migrate"], "User": "991",
            "Env": ["A=1", "B=3"], "Healthcheck": {"Test": ["NONE"]},
            "Tty": false, "OpenStdin": false, "StdinOnce": false, "AttachStdin": false,
            "Labels": {"mine": "x", "org.mastopatch.role": "migrate"},
            "HostConfig": {
                "NetworkMode": "inner", "Binds": ["d:/d"], "Memory": 5, "ExtraHosts": ["h:1.2.3.4"], "Dns": ["1.1.1.1"],
                "PortBindings": {}, "PublishAllPorts": false, "AutoRemove": false,
                "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            },
            "NetworkingConfig": {"EndpointsConfig": {"inner": {}}},
        })
    );
    assert_eq!(spec.more_networks, [("other".to_owned(), json!({}))]);
}

#[test]
fn a_one_off_of_a_service_on_the_host_stays_there() {
    let case = case(json!({}), json!({})).one_off(OneOff {
        networks: vec!["host".to_owned()],
        ..OneOff::default()
    });
    let spec = case.spec();
    assert_eq!(spec.body["HostConfig"]["NetworkMode"], "host");
    assert!(spec.body.get("NetworkingConfig").is_none());
}
