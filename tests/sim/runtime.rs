//! The simulated engine behind the runtime port. It keeps the contract that the real one keeps: `tests/contract`.

use std::collections::BTreeMap;
use std::time::Duration;

use mastopatch::adapters::recreate::recreate;
use mastopatch::ports::runtime::{
    Container, ContainerRuntime, ContainerSpec, EngineInfo, Exec, ExecDone, Image, Network,
    PullProgress, ROLE_LABEL, RUN_LABEL, RemoteImage, Replacement, RuntimeError, RuntimeResult,
};
use serde_json::{Value, json};

use super::engine::{KILLED, aliases};
use super::fault::When;
use super::script::Script;
use super::world::{Call, Port, SimImage, SimPorts, Upset, World};

/// API version of the simulated engine.
const API: (u32, u32) = (1, 47);
const CALL_LIMIT_MS: u64 = 60_000;
/// Exit code of a command that is not there.
const NO_PROGRAM: i64 = 127;

const fn reads(name: &'static str) -> Call {
    Call {
        name,
        port: Port::Engine,
        mutating: false,
        limit_ms: CALL_LIMIT_MS,
    }
}

const fn changes(name: &'static str) -> Call {
    Call {
        name,
        port: Port::Engine,
        mutating: true,
        limit_ms: CALL_LIMIT_MS,
    }
}

pub(crate) fn error(upset: Upset, call: Call) -> RuntimeError {
    let (action, source) = (call.name.to_owned(), "simulated".into());
    match upset {
        Upset::Failed => RuntimeError::Engine { action, source },
        Upset::Lost => RuntimeError::Unknown { action, source },
        Upset::Gone => RuntimeError::Unreachable {
            socket: "/simulated.sock".to_owned(),
            source,
        },
        Upset::TimedOut => RuntimeError::TimedOut {
            action,
            limit: Duration::from_millis(call.limit_ms),
        },
    }
}

fn refused(call: Call, why: String) -> RuntimeError {
    RuntimeError::Engine {
        action: call.name.to_owned(),
        source: why.into(),
    }
}

/// What the registry does not have.
fn unknown_image(reference: &str) -> RuntimeError {
    RuntimeError::NoSuchImage {
        image: reference.to_owned(),
        source: "simulated".into(),
    }
}

fn missing(what: &'static str, name: &str) -> RuntimeError {
    RuntimeError::NotFound {
        what,
        name: name.to_owned(),
    }
}

impl SimPorts {
    fn ask<T>(&self, call: Call, effect: impl FnOnce(&mut World, When) -> T) -> RuntimeResult<T> {
        self.call(call, effect).map_err(|upset| error(upset, call))
    }

    /// A change of a container that has to exist.
    fn change(
        &self,
        call: Call,
        id: &str,
        effect: impl FnOnce(&mut World, &str) -> Result<(), String>,
    ) -> RuntimeResult<()> {
        self.ask(call, |world, _| {
            match world.find(id).map(|c| c.id.clone()) {
                Some(id) => effect(world, &id).map_err(|why| refused(call, why)),
                None => Err(missing("container", id)),
            }
        })?
    }
}

impl ContainerRuntime for SimPorts {
    async fn info(&self) -> RuntimeResult<EngineInfo> {
        self.ask(reads("info"), |_, _| EngineInfo {
            version: "27.0.0".to_owned(),
            api: "1.47".to_owned(),
            data_root: "/var/lib/docker".into(),
            platform: "linux/amd64".to_owned(),
        })
    }

    async fn labelled(&self, key: &str, value: &str) -> RuntimeResult<Vec<Container>> {
        self.ask(reads("labelled"), |world, _| {
            let all = world.containers.iter();
            let found = all.filter(|c| c.labels.get(key).is_some_and(|found| found == value));
            let mut found: Vec<_> = found.map(|c| world.describe(c)).collect();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found
        })
    }

    async fn container(&self, name: &str) -> RuntimeResult<Option<Container>> {
        self.ask(reads("container"), |world, _| {
            world.find(name).map(|c| world.describe(c))
        })
    }

    async fn network(&self, name: &str) -> RuntimeResult<Option<Network>> {
        self.ask(reads("network"), |world, _| {
            world.networks.get(name).map(|internal| Network {
                id: name.to_owned(),
                name: name.to_owned(),
                internal: *internal,
                labels: world.network_labels.get(name).cloned().unwrap_or_default(),
            })
        })
    }

    async fn attached(&self, network: &str) -> RuntimeResult<Vec<Container>> {
        self.ask(reads("attached"), |world, _| {
            let all = world.containers.iter();
            let found = all.filter(|c| c.running && c.networks.contains_key(network));
            let mut found: Vec<_> = found.map(|c| world.describe(c)).collect();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found
        })
    }

    async fn networks_labelled(&self, key: &str, value: &str) -> RuntimeResult<Vec<Network>> {
        self.ask(reads("networks labelled"), |world, _| {
            let all = world.network_labels.iter();
            let found = all.filter(|(_, labels)| labels.get(key).is_some_and(|it| it == value));
            let describe = |name: &String| Network {
                id: name.clone(),
                name: name.clone(),
                internal: world.networks.get(name) == Some(&true),
                labels: world.network_labels.get(name).cloned().unwrap_or_default(),
            };
            found.map(|(name, _)| describe(name)).collect()
        })
    }

    async fn ensure_isolated_network(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> RuntimeResult<()> {
        let call = changes("make network");
        self.ask(call, |world, _| {
            let is_there = world.networks.contains_key(name);
            let same = |label: &str| {
                let found = world.network_labels.get(name).and_then(|it| it.get(label));
                found.is_some() && found == labels.get(label)
            };
            if is_there && !(same(RUN_LABEL) && same(ROLE_LABEL)) {
                let why = "the name is taken by a network that does not belong to this run";
                return Err(refused(call, why.to_owned()));
            }
            world.networks.insert(name.to_owned(), true);
            world.network_labels.insert(name.to_owned(), labels.clone());
            Ok(())
        })?
    }

    async fn ensure_no_network(&self, name: &str) -> RuntimeResult<()> {
        let call = changes("remove network");
        self.ask(call, |world, _| {
            let mut all = world.containers.iter();
            if all.any(|c| c.running && c.networks.contains_key(name)) {
                return Err(refused(call, "it has active endpoints".to_owned()));
            }
            world.networks.remove(name);
            world.network_labels.remove(name);
            Ok(())
        })?
    }

    async fn image(&self, reference: &str) -> RuntimeResult<Option<Image>> {
        self.ask(reads("image"), |world, _| {
            world.image_named(reference).map(SimImage::describe)
        })
    }

    async fn resolve(&self, reference: &str) -> RuntimeResult<RemoteImage> {
        let found = self.ask(reads("resolve"), |world, _| {
            world.setting.digests.get(reference).cloned()
        })?;
        found
            .map(|digest| RemoteImage {
                digest,
                platforms: vec!["linux/amd64".to_owned()],
            })
            .ok_or_else(|| unknown_image(reference))
    }

    async fn ensure_image(
        &self,
        repository: &str,
        digest: &str,
        limit: Duration,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> RuntimeResult<Image> {
        let call = Call {
            limit_ms: u64::try_from(limit.as_millis()).unwrap(),
            ..changes("pull")
        };
        let reference = format!("{repository}@{digest}");
        let found = self.ask(call, |world, when| {
            if when == When::Middle {
                return None;
            }
            if world.image_named(&reference).is_none() {
                world.fetch(&reference);
                world.pass(20_000);
            }
            world.image_named(&reference).map(SimImage::describe)
        })?;
        progress(PullProgress { done: 1, total: 1 });
        found.ok_or_else(|| unknown_image(&reference))
    }

    async fn ensure_tag(&self, id: &str, reference: &str) -> RuntimeResult<()> {
        self.ask(changes("tag"), |world, _| {
            if world.tag(id, reference) {
                Ok(())
            } else {
                Err(missing("image", id))
            }
        })?
    }

    async fn ensure_no_tag(&self, reference: &str) -> RuntimeResult<()> {
        let call = changes("untag");
        self.ask(call, |world, _| {
            world.untag(reference).map_err(|why| refused(call, why))
        })?
    }

    async fn files_in_image(
        &self,
        id: &str,
        path: &str,
        labels: &BTreeMap<String, String>,
    ) -> RuntimeResult<Vec<String>> {
        self.ask(reads("files in image"), |world, when| {
            let Some(image) = world.image_named(id).cloned() else {
                return Err(missing("image", id));
            };
            // They are read from a container that never runs, and is gone afterwards.
            if when == When::Middle {
                let body = json!({"Image": id, "Labels": labels});
                let spec = ContainerSpec {
                    body,
                    more_networks: Vec::new(),
                };
                let _made = world.create("somehow", &spec, true);
            }
            Ok(world.files_of(&image, path))
        })?
    }

    async fn files_in_container(&self, id: &str, path: &str) -> RuntimeResult<Vec<String>> {
        self.ask(reads("files in container"), |world, _| {
            let container = world.find(id).ok_or_else(|| missing("container", id))?;
            let mut images = world.images.iter();
            let image = images.find(|image| image.id == container.image_id);
            Ok(image.map_or_else(Vec::new, |image| world.files_of(image, path)))
        })?
    }

    fn replacement(
        &self,
        old: &Container,
        old_image: &Image,
        new_image: &Image,
        wanted: &Replacement,
    ) -> RuntimeResult<ContainerSpec> {
        recreate(&old.raw, &old_image.raw, &new_image.raw, wanted, API).map_err(|err| {
            RuntimeError::Unfaithful {
                container: old.name.clone(),
                reason: err.to_string(),
            }
        })
    }

    async fn ensure_created(&self, name: &str, spec: &ContainerSpec) -> RuntimeResult<String> {
        let call = changes("create");
        self.ask(call, |world, when| {
            if let Some(found) = world.find(name).filter(|c| &*c.name == name) {
                let is_ours = [RUN_LABEL, ROLE_LABEL].iter().all(|label| {
                    let wanted = spec
                        .body
                        .pointer("/Labels")
                        .and_then(|labels| labels.get(*label));
                    let wanted = wanted.and_then(Value::as_str);
                    wanted.is_some() && wanted == found.labels.get(*label).map(String::as_str)
                });
                if !is_ours {
                    return Err(refused(
                        call,
                        "the name is taken by a container that does not belong to this run"
                            .to_owned(),
                    ));
                }
                let id = found.id.clone();
                world.connect_rest(&id, spec);
                return Ok(id.to_string());
            }
            let image = spec.body.pointer("/Image").and_then(Value::as_str);
            let image = image.unwrap_or_default();
            if world.image_named(image).is_none() {
                return Err(missing("image", image));
            }
            let made = world.create(name, spec, false);
            let id = made.map_err(|why| refused(call, why))?;
            if when == When::After {
                world.connect_rest(&id, spec);
            }
            Ok(id.to_string())
        })?
    }

    async fn ensure_running(&self, id: &str) -> RuntimeResult<()> {
        self.change(changes("start"), id, World::start)
    }

    async fn ensure_stopped(&self, id: &str, grace: Duration) -> RuntimeResult<()> {
        let call = Call {
            limit_ms: u64::try_from(grace.as_millis()).unwrap() + 30_000,
            ..changes("stop")
        };
        self.change(call, id, |world, id| {
            // The engine says "stopped" of one that does not run without remembering that it was asked.
            let Some(container) = world.find(id).filter(|c| c.running) else {
                return Ok(());
            };
            if container.code_when_asked().is_none() {
                // Whole seconds, as the engine counts them.
                let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
                world.pass(seconds * 1_000);
            }
            world.stop(id);
            world.pass(500);
            Ok(())
        })
    }

    async fn signal(&self, id: &str, signal: &str) -> RuntimeResult<()> {
        self.change(changes("signal"), id, |world, id| {
            let Some(container) = world.find_mut(id).filter(|c| c.running) else {
                return Ok(());
            };
            // Whichever signal it is, the engine takes the process's end for somebody's will from now on.
            container.stopped_by_hand = true;
            match signal {
                "SIGKILL" => container.end(KILLED),
                "SIGTERM" => {
                    if let Some(code) = container.code_when_asked() {
                        container.end(code);
                    }
                }
                "SIGTSTP" => container.quiet = true,
                _ => {}
            }
            Ok(())
        })
    }

    async fn ensure_name(&self, id: &str, name: &str) -> RuntimeResult<()> {
        self.change(changes("rename"), id, |world, id| {
            if world.find(name).is_some_and(|other| &*other.id != id) {
                return Err("the name is taken".to_owned());
            }
            world.rename(id, name);
            Ok(())
        })
    }

    async fn ensure_restart_policy(&self, id: &str, wanted: &Value) -> RuntimeResult<()> {
        let name = wanted
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or("no")
            .to_owned();
        self.change(changes("restart policy"), id, |world, id| {
            if let Some(container) = world.find_mut(id) {
                container.policy = name.into();
            }
            Ok(())
        })
    }

    async fn ensure_removed(&self, id: &str) -> RuntimeResult<()> {
        self.ask(changes("remove"), |world, _| world.remove(id))
    }

    async fn ensure_connected(
        &self,
        id: &str,
        network: &str,
        endpoint: &Value,
    ) -> RuntimeResult<()> {
        let endpoint = aliases(endpoint);
        let call = changes("connect");
        self.ask(call, |world, _| {
            let Some(container) = world.find(id) else {
                return Err(missing("container", id));
            };
            let id = container.id.clone();
            if container.networks.contains_key(network) {
                return Ok(());
            }
            // Whether the network is there is looked at when there is something to connect.
            if container.running && !world.networks.contains_key(network) {
                return Err(missing("network", network));
            }
            let mut will = container.clone();
            will.networks.insert(network.to_owned(), endpoint.clone());
            let is_taken = world.is_public(&will) && world.is_held(&will);
            if let Some(container) = world.find_mut(&id) {
                container.networks.insert(network.to_owned(), endpoint);
                if is_taken {
                    // As Engine 20.10 leaves it.
                    container.half = Some(network.to_owned());
                    return Err(refused(call, "the port is allocated".to_owned()));
                }
            }
            Ok(())
        })?
    }

    async fn ensure_disconnected(&self, id: &str, network: &str) -> RuntimeResult<()> {
        self.change(changes("disconnect"), id, |world, id| {
            if let Some(container) = world.find_mut(id) {
                if container.half.as_deref() == Some(network) {
                    return Err("it is not connected".to_owned());
                }
                container.networks.remove(network);
            }
            Ok(())
        })
    }

    async fn wait(&self, id: &str, limit: Duration) -> RuntimeResult<i64> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap();
        let call = Call {
            limit_ms,
            ..reads("wait")
        };
        let ended = self.ask(call, |world, when| {
            let end = world.now_ms
                + if when == When::Middle {
                    3_000
                } else {
                    limit_ms
                };
            loop {
                let Some(container) = world.find(id) else {
                    return Err(missing("container", id));
                };
                if container.starts == 0 {
                    return Err(refused(call, "it was never started".to_owned()));
                }
                if !container.running {
                    return Ok(Some(container.exit_code));
                }
                if world.now_ms >= end {
                    return Ok(None);
                }
                world.pass(500.min(end - world.now_ms));
            }
        })??;
        ended.ok_or_else(|| error(Upset::TimedOut, call))
    }

    async fn logs(&self, id: &str, max_lines: usize) -> RuntimeResult<String> {
        self.ask(reads("logs"), |world, _| {
            let container = world.find(id).ok_or_else(|| missing("container", id))?;
            if container.script.is_none() && container.starts > 0 {
                return Ok("simulated output\n".to_owned());
            }
            let lines: Vec<&str> = container.said.iter().map(String::as_str).collect();
            let last = &lines[lines.len().saturating_sub(max_lines)..];
            let end = if last.is_empty() { "" } else { "\n" };
            Ok(last.join("\n") + end)
        })?
    }

    async fn exec(&self, id: &str, exec: Exec<'_>) -> RuntimeResult<ExecDone> {
        let call = Call {
            limit_ms: u64::try_from(exec.limit.as_millis()).unwrap(),
            ..reads("exec")
        };
        self.ask(call, |world, _| match world.find(id) {
            Some(container) if container.running => {
                if container.script.is_none() {
                    return Ok(Some(silent(i64::from(!world.answers(container)))));
                }
                let Some(script) = Script::of(exec.command) else {
                    return Ok(Some(silent(NO_PROGRAM)));
                };
                let env = (*container.env).clone();
                Ok(run_inside(world, &script, env, &exec))
            }
            Some(_) => Err(refused(call, "it does not run".to_owned())),
            None => Err(missing("container", id)),
        })??
        .ok_or_else(|| error(Upset::TimedOut, call))
    }
}

fn silent(exit: i64) -> ExecDone {
    ExecDone {
        exit,
        stdout: String::new(),
        stderr: String::new(),
    }
}

/// Runs a script as a command; `None` when it takes longer than it may.
fn run_inside(
    world: &mut World,
    script: &Script,
    mut env: BTreeMap<String, String>,
    exec: &Exec<'_>,
) -> Option<ExecDone> {
    let limit_ms = u64::try_from(exec.limit.as_millis()).unwrap();
    let lasts_ms = script.lasts_ms.unwrap_or(u64::MAX);
    world.pass(lasts_ms.min(limit_ms));
    if lasts_ms > limit_ms {
        return None;
    }
    for (name, value) in exec.env {
        env.insert((*name).to_owned(), (*value).to_owned());
    }
    let mut done = silent(script.ends);
    for (is_error, line) in script.written(&env) {
        let stream = if is_error {
            &mut done.stderr
        } else {
            &mut done.stdout
        };
        stream.push_str(line);
        stream.push('\n');
    }
    Some(done)
}
