//! Containers of Mastodon that rehearse: like web, but alone with the throw-away servers, and unable to change a file of the
//! host.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Scratch, Stage};
use crate::domain::plan::{Plan, PlannedService};
use crate::domain::version::ReleaseVersion;
use crate::engine::address;
use crate::engine::probes::tail;
use crate::engine::{Ports, StepError};
use crate::ports::files::RunFiles;
use crate::ports::runtime::{ContainerRuntime, OneOff, Replacement, RuntimeError, RuntimeResult};

/// Lines of a one-off's output that are kept for the error.
const LOG_LINES: usize = 60;
/// Room without which a database may have failed for lack of it: 64 MiB, four segments of its log.
const ROOM_LEFT: u64 = 64 << 20;

impl Scratch {
    /// What web's environment has to say where the throw-away servers have other host names than the live ones.
    fn instead_of(&self, live: &Plan, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let (database, redis) = (&self.database.host, &self.redis.host);
        if *database == live.database.host && *redis == live.redis.host {
            return BTreeMap::new();
        }
        address::elsewhere(env, database, redis)
    }
}

impl<P: Ports> Stage<'_, P> {
    /// Makes a container like web's, of one of the two versions, in the isolated network only.
    pub(super) async fn one_off(
        &self,
        servers: &Scratch,
        web: &PlannedService,
        role: &str,
        command: Vec<String>,
        version: &ReleaseVersion,
    ) -> Result<String, StepError> {
        let ctx = &self.ctx;
        let (old, old_image) = ctx.recorded(web)?;
        let image = if *version == ctx.plan.from {
            old_image.clone()
        } else {
            ctx.new_image(web.role.image()).await?
        };
        let wanted = Replacement {
            image: image.id.clone(),
            labels: ctx.labels(role),
            one_off: Some(OneOff {
                command,
                networks: vec![ctx.plan.isolated_network()],
                env: servers.instead_of(ctx.plan, &old.env),
            }),
        };
        let runtime = ctx.ports.runtime();
        let mut spec = runtime.replacement(old, old_image, &image, &wanted)?;
        let host = spec.body.pointer_mut("/HostConfig");
        if let Some(host) = host.filter(|host| host.is_object()) {
            read_only(host);
            gently(host);
        }
        let name = format!("mastopatch_{role}_{}", ctx.plan.short_run());
        // One of an earlier attempt has another version.
        runtime.ensure_removed(&name).await?;
        Ok(runtime.ensure_created(&name, &spec).await?)
    }

    /// What web runs, as its container was told to; the image's own where it was told nothing.
    pub(super) fn web_command(&self, web: &PlannedService) -> Result<Vec<String>, StepError> {
        let (old, image) = self.ctx.recorded(web)?;
        let told = [&old.raw, &image.raw].into_iter().find_map(|raw| {
            let words = raw.pointer("/Config/Cmd")?.as_array()?;
            let words = words.iter().filter_map(Value::as_str);
            let words: Vec<String> = words.map(str::to_owned).collect();
            (!words.is_empty()).then_some(words)
        });
        told.ok_or_else(|| StepError::Host(format!("container `{}` has no command", web.container)))
    }

    /// Whether migrations ended well; an error says whose fault it is that they did not.
    pub(super) async fn migrated_well(
        &self,
        id: &str,
        exit: RuntimeResult<i64>,
    ) -> Result<(), StepError> {
        let ctx = &self.ctx;
        let runtime = ctx.ports.runtime();
        // Who waited too long does not know: the container itself does.
        let found = runtime.container(id).await?;
        let ended = found.as_ref().filter(|found| !found.state.running);
        let failed = match (exit, ended.map(|ended| ended.state.exit_code)) {
            (Ok(0), _) | (Err(RuntimeError::TimedOut { .. }), Some(0)) => return Ok(()),
            (Ok(exit), _) | (Err(RuntimeError::TimedOut { .. }), Some(exit)) => {
                format!("failed (exit {exit})")
            }
            // Cut short by the window: that is no word against them.
            (Err(RuntimeError::TimedOut { limit, .. }), None)
                if limit.as_secs() >= ctx.plan.limits.migrate_s =>
            {
                format!("did not end within {} s", limit.as_secs())
            }
            (Err(err), _) => return Err(err.into()),
        };
        let logs = runtime.logs(id, LOG_LINES).await.unwrap_or_default();
        // Where a database has no room every version fails.
        let root = runtime.info().await?.data_root;
        let room = ctx.ports.files().room(&root)?;
        let was_killed = found.is_none()
            || ended.is_some_and(|ended| [137, 143].contains(&ended.state.exit_code));
        let said = format!(
            "the migrations of {} {failed}: {}",
            ctx.plan.to,
            tail(&logs)
        );
        if room.bytes < ROOM_LEFT || logs.contains("No space left on device") || was_killed {
            return Err(StepError::Host(said));
        }
        Err(StepError::Target(said))
    }
}

/// Lets a container read whatever is mounted into it, and write none of it.
fn read_only(host: &mut Value) {
    for bind in host
        .get_mut("Binds")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(text) = bind.as_str() {
            *bind = json!(without_writing(text));
        }
    }
    for mount in host
        .get_mut("Mounts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let is_memory = mount.get("Type").and_then(Value::as_str) == Some("tmpfs");
        if let Some(mount) = mount.as_object_mut().filter(|_| !is_memory) {
            mount.insert("ReadOnly".to_owned(), json!(true));
        }
    }
}

/// `SOURCE:DESTINATION[:OPTIONS]`, with `ro` in place of `rw`.
fn without_writing(bind: &str) -> String {
    let mut parts = bind.splitn(3, ':');
    let (source, destination) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let options = parts.next().unwrap_or_default().split(',');
    let kept: Vec<&str> = options
        .filter(|option| !["", "rw", "ro"].contains(option))
        .chain(["ro"])
        .collect();
    format!("{source}:{destination}:{}", kept.join(","))
}

/// Gives way to the site that is open meanwhile: a quarter of the usual share of the processors, a fifth of the disks'.
fn gently(host: &mut Value) {
    if let Some(host) = host.as_object_mut() {
        host.insert("CpuShares".to_owned(), json!(256));
        host.insert("BlkioWeight".to_owned(), json!(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_host_can_be_written() {
        for (bind, wanted) in [
            ("./a:/b", "./a:/b:ro"),
            ("vol:/b:rw,z", "vol:/b:z,ro"),
            ("/a:/b:ro", "/a:/b:ro"),
        ] {
            assert_eq!(without_writing(bind), wanted);
        }
        let mut host = json!({
            "Binds": ["/a:/b:rw"],
            "Mounts": [{"Type": "volume", "Target": "/c"}, {"Type": "tmpfs", "Target": "/d"}],
        });
        read_only(&mut host);
        let wanted = json!({
            "Binds": ["/a:/b:ro"],
            "Mounts": [{"Type": "volume", "Target": "/c", "ReadOnly": true}, {"Type": "tmpfs", "Target": "/d"}],
        });
        assert_eq!(host, wanted);
    }
}
