//! A throw-away server: the live server's image with a fresh cluster inside the container, in a network of its own.
//!
//! It is started by the image's own `initdb` and `postgres` rather than by its entry point: what an owner put there is meant
//! for the live server. Its port is reached in the isolated network only, with web's password; inside its container its
//! socket lets everybody in, as whoever is there has the data anyway.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{FOLDER, JOBS, Postgres, identifier, literal, unexpected};
use crate::adapters::toolbox::{self, INSIDE, Kind, Place, QUESTION};
use crate::domain::plan::DatabaseRef;
use crate::ports::database::{DataError, DataResult, Haste, OnBehalf, SCRATCH_ROLE, Soundness};
use crate::ports::runtime::{ContainerRuntime, Exec, RuntimeError};

/// What it is called in errors.
pub(super) const WHAT: &str = "the throw-away PostgreSQL";
/// Times a server is asked before it counts as not starting: `initdb` takes some seconds on a slow disk, the start one.
const START_TRIES: u32 = 60;

/// The user who owns the live server's data, as `uid:gid`: the one that may run a server in this image.
const OWNER: &str = r#"stat -c %u:%g "${PGDATA:-/var/lib/postgresql/data}""#;

/// Makes a cluster and becomes its server. `$@` are settings of the server.
const SERVE: &str = r#"
set -eu
umask 077
data=/tmp/mastopatch-data secret=/tmp/mastopatch-password
rm -rf "$data"
how=trust asks=
if [ -n "$PGPASSWORD" ]; then
  how=md5 asks=--pwfile=$secret
  printf '%s' "$PGPASSWORD" >"$secret"
fi
initdb --pgdata="$data" --username="$PGUSER" --encoding=UTF8 --locale=C --no-sync --auth-local=trust --auth-host=$how $asks >/dev/null
rm -f "$secret"
echo "host all all all $how" >>"$data/pg_hba.conf"
exec postgres -D "$data" "$@"
"#;

/// Settings of every throw-away server. Shared memory in files: parallel workers do not depend on the container's
/// `/dev/shm`.
const SETTINGS: [&str; 4] = [
    "listen_addresses=*",
    "unix_socket_directories=/tmp",
    "dynamic_shared_memory_type=mmap",
    "max_wal_size=512MB",
];

/// Where nothing has to survive: no write is waited for, and what a copy brings is not written twice.
const HURRIED: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "maintenance_work_mem=128MB",
];

/// Tables of the current database that somebody holds with the lock that shuts out readers.
pub(super) const LOCKED: &str = "\
SELECT DISTINCT n.nspname || '.' || c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_database d ON d.oid = l.database \
WHERE d.datname = current_database() AND l.granted AND l.mode = 'AccessExclusiveLock' \
AND c.relkind IN ('r', 'p', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND l.pid <> pg_backend_pid() ORDER BY 1";

/// Exit code of [`CHECK`] where the image has no such tool.
const NO_TOOL: i64 = 77;
/// Exit code of `pg_amcheck` where it found damage.
const DAMAGED: i64 = 2;
/// Checks every table and index of a database. The extension that does it is installed there.
const CHECK: &str = r#"
command -v pg_amcheck >/dev/null || exit 77
exec pg_amcheck --install-missing --jobs=2 "$1""#;

impl<R: ContainerRuntime> Postgres<R> {
    pub(super) async fn make_scratch(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        haste: Haste,
        limit: Duration,
    ) -> DataResult<DatabaseRef> {
        let scratch = scratch_of(database, on_behalf, network);
        let roles = self.roles(database, password).await?;
        let create = self.create_like(database, password, &database.name).await?;
        let body = self
            .scratch_body(&scratch, password, on_behalf, haste, database)
            .await?;
        toolbox::start_anew(&self.runtime, &scratch.container, body, WHAT).await?;
        self.until_up(&scratch, password, limit).await?;
        for role in roles {
            let sql = format!("CREATE ROLE {} NOLOGIN", identifier(&role));
            self.ask_server(&scratch, password, &sql).await?;
        }
        self.ask_server(&scratch, password, create.trim()).await?;
        Ok(scratch)
    }

    /// Roles that something in a dump may belong to or be granted to, but for web's own.
    async fn roles(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<Vec<String>> {
        let sql = format!(
            "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> {} ORDER BY 1",
            literal(&database.user)
        );
        let answer = self.ask_server(database, password, &sql).await?;
        Ok(answer.lines().map(ToOwned::to_owned).collect())
    }

    async fn scratch_body(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        haste: Haste,
        live: &DatabaseRef,
    ) -> DataResult<Value> {
        let server = toolbox::server_of(&self.runtime, &live.container, WHAT).await?;
        let owner = owner_of(&self.runtime, &live.container).await?;
        let hurried: &[&str] = match haste {
            Haste::Hurried => &HURRIED,
            Haste::Measured => &[],
        };
        let settings: Vec<&str> = SETTINGS.iter().chain(hurried).copied().collect();
        let mut host = json!({
            "NetworkMode": scratch.network,
            "RestartPolicy": { "Name": "no" },
            "Init": true,
            "CapDrop": ["ALL"],
            "Tmpfs": toolbox::over_volumes(&self.runtime, &server.image_id).await?,
        });
        if haste == Haste::Measured {
            toolbox::gently(&mut host);
        }
        Ok(json!({
            "Image": server.image_id,
            "User": owner,
            "Entrypoint": ["sh"],
            "Cmd": serves(SERVE, &settings, scratch.port),
            "WorkingDir": "/tmp",
            "Env": reached_inside(scratch, password),
            "Healthcheck": { "Test": ["NONE"] },
            "Labels": toolbox::labels(on_behalf, SCRATCH_ROLE),
            "HostConfig": host,
            "NetworkingConfig": reached_as(scratch),
        }))
    }

    /// Waits until the server answers questions; given up as soon as it has ended.
    pub(super) async fn until_up(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> DataResult<()> {
        // One command waits inside: no clock is needed here, and no engine is asked again and again.
        let wait = format!(
            "i=0; while [ $i -lt {START_TRIES} ]; do \
             psql -X -q -A -t -d template1 -c 'SELECT 1' >/dev/null 2>&1 && exit 0; \
             i=$((i + 1)); sleep 1; done; exit 1"
        );
        // Until it exists, the first second of its start is waited for in shorter parts.
        let quick = "for i in 1 2 3 4 5 6 7 8 9 10; do \
                     psql -X -q -A -t -d template1 -c 'SELECT 1' >/dev/null 2>&1 && exit 0; sleep 0.2; done";
        let line = format!("{quick}; {wait}");
        let env = [("PGPASSWORD", password.expose_secret())];
        let exec = Exec {
            command: &["sh", "-c", &line],
            env: &env,
            limit,
        };
        let up = toolbox::run(&self.runtime, &scratch.container, "psql", exec).await;
        let Err(err) = up else {
            return Ok(());
        };
        let said = self
            .runtime
            .logs(&scratch.container, 20)
            .await
            .unwrap_or_default();
        let found = self
            .runtime
            .container(&scratch.container)
            .await
            .map_err(problem)?;
        match found.filter(|found| found.state.running) {
            Some(_) => Err(err),
            None => Err(DataError::Tool {
                tool: "postgres",
                exit: 1,
                stderr: toolbox::shortened(&said),
            }),
        }
    }

    pub(super) async fn fill_scratch(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        let kind = Kind {
            role: "scratch-tools",
            what: "PostgreSQL's tools",
            command: &["sleep", "infinity"],
            place: Place::Folder { dir, writes: false },
        };
        let (server, network) = (&scratch.container, &scratch.network);
        let tools = toolbox::ensure(&self.runtime, server, network, on_behalf, &kind).await?;
        let (target, folder) = (
            format!("--dbname={}", scratch.name),
            format!("{INSIDE}/{FOLDER}"),
        );
        // Where tables lie on the live server is nothing that the throw-away one has.
        let command = [
            "pg_restore",
            JOBS,
            "--exit-on-error",
            "--no-tablespaces",
            &target,
            &folder,
        ];
        let connection = Some((scratch, password));
        self.tool(&tools, "pg_restore", &command, connection, limit)
            .await?;
        self.runtime.ensure_removed(&tools).await.map_err(problem)
    }

    pub(super) async fn amcheck(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> DataResult<Soundness> {
        let env = [
            ("PGUSER", scratch.user.as_str()),
            ("PGPASSWORD", password.expose_secret()),
        ];
        let exec = Exec {
            command: &["sh", "-c", CHECK, "sh", &scratch.name],
            env: &env,
            limit,
        };
        let unknown = |because: String| Ok(Soundness::Unknown { because });
        match toolbox::run(&self.runtime, &scratch.container, "pg_amcheck", exec).await {
            Ok(_) => Ok(Soundness::Sound),
            Err(DataError::Tool { exit: NO_TOOL, .. }) => {
                unknown("the server's image has no pg_amcheck".to_owned())
            }
            // Any other end says nothing about the data: the extension is not in every image, for instance.
            Err(DataError::Tool { exit, stderr, .. }) if exit != DAMAGED => {
                unknown(format!("pg_amcheck could not be run: {stderr}"))
            }
            Err(DataError::Container {
                source: RuntimeError::TimedOut { limit, .. },
                ..
            }) => unknown(format!(
                "pg_amcheck was not over after {} s",
                limit.as_secs()
            )),
            Err(err) => Err(err),
        }
    }
}

/// Where the throw-away server of a live one is asked.
pub(super) fn scratch_of(
    database: &DatabaseRef,
    on_behalf: &OnBehalf,
    network: &str,
) -> DatabaseRef {
    DatabaseRef {
        container: format!("mastopatch_{SCRATCH_ROLE}_{}", on_behalf.short_run),
        network: network.to_owned(),
        ..database.clone()
    }
}

/// What `sh` is told: a script that becomes a server with these settings.
pub(super) fn serves(script: &str, settings: &[&str], port: u16) -> Vec<String> {
    let mut command = vec!["-c".to_owned(), script.to_owned(), "sh".to_owned()];
    for setting in settings {
        command.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    command.extend(["-p".to_owned(), port.to_string()]);
    command
}

/// The environment in which `psql` finds a throw-away server inside its container.
pub(super) fn reached_inside(scratch: &DatabaseRef, password: &SecretString) -> Vec<String> {
    vec![
        format!("PGUSER={}", scratch.user),
        format!("PGPASSWORD={}", password.expose_secret()),
        "PGHOST=/tmp".to_owned(),
        format!("PGPORT={}", scratch.port),
    ]
}

/// The network in which a throw-away server answers under the live one's name.
pub(super) fn reached_as(scratch: &DatabaseRef) -> Value {
    let network = &scratch.network;
    json!({ "EndpointsConfig": { network: { "Aliases": [scratch.host] } } })
}

pub(super) fn problem(source: RuntimeError) -> DataError {
    DataError::Container {
        what: WHAT.to_owned(),
        source,
    }
}

/// The user who owns the live server's data, as `uid:gid`.
pub(super) async fn owner_of<R: ContainerRuntime>(runtime: &R, live: &str) -> DataResult<String> {
    let exec = Exec {
        command: &["sh", "-c", OWNER],
        env: &[],
        limit: QUESTION,
    };
    let owner = toolbox::run(runtime, live, "stat", exec).await?;
    let owner = owner.trim();
    if owner.starts_with("0:") {
        return Err(unexpected(&format!(
            "the data of container {live} belong to root, as whom no server runs"
        )));
    }
    Ok(owner.to_owned())
}
