//! A throw-away Redis: the live server's image, empty, with web's password, in a network of its own.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::RedisTools;
use crate::adapters::toolbox;
use crate::domain::plan::RedisRef;
use crate::ports::clock::Clock;
use crate::ports::database::{DataResult, OnBehalf, SCRATCH_ROLE};
use crate::ports::runtime::ContainerRuntime;

/// What it is called in errors.
const WHAT: &str = "the throw-away Redis";

/// Becomes a server that keeps everything in memory. The password comes through the environment and standard input, where no
/// list of processes shows it.
const SERVE: &str = r#"
set -eu
umask 077
{
  echo 'save ""'
  echo 'appendonly no'
  echo 'protected-mode no'
  echo 'dir /tmp'
  echo "port $1"
  [ -z "$REDISCLI_AUTH" ] || printf 'requirepass "%s"\n' "$(printf '%s' "$REDISCLI_AUTH" | sed 's/[\\"]/\\&/g')"
} >/tmp/mastopatch.conf
exec redis-server /tmp/mastopatch.conf
"#;

impl<R: ContainerRuntime, C: Clock> RedisTools<R, C> {
    pub(super) async fn make_scratch(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        limit: Duration,
    ) -> DataResult<RedisRef> {
        let runtime = &self.runtime;
        let server = toolbox::server_of(runtime, &redis.container, WHAT).await?;
        let port = redis.port.to_string();
        let name = format!("mastopatch_{SCRATCH_ROLE}-redis_{}", on_behalf.short_run);
        let alias = toolbox::host_of_scratch(&redis.host, &name);
        let mut host = json!({
            "NetworkMode": network,
            "RestartPolicy": { "Name": "no" },
            "Init": true,
            "CapDrop": ["ALL"],
            "Tmpfs": toolbox::over_volumes(runtime, &server.image_id).await?,
        });
        toolbox::gently(&mut host);
        let body = json!({
            "Image": server.image_id,
            // Anybody but root: it writes to `/tmp` only.
            "User": "65534:65534",
            "Entrypoint": ["sh"],
            "Cmd": ["-c", SERVE, "sh", port],
            "WorkingDir": "/tmp",
            "Env": [format!("REDISCLI_AUTH={}", password.expose_secret())],
            "Healthcheck": { "Test": ["NONE"] },
            "Labels": toolbox::labels(on_behalf, SCRATCH_ROLE),
            "HostConfig": host,
            "NetworkingConfig": { "EndpointsConfig": { network: { "Aliases": [alias] } } },
        });
        let id = toolbox::start_anew(runtime, &name, body, WHAT).await?;
        self.until(&id, &port, password, &["PING"], limit, |answer| {
            answer.trim() == "PONG"
        })
        .await?;
        Ok(RedisRef {
            container: name,
            host: alias,
            network: network.to_owned(),
            ..redis.clone()
        })
    }
}
