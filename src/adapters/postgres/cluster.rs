//! The server's whole data folder: how it is copied while the server runs, tried, and put back while it does not.
//!
//! The copy is made between `pg_backup_start` and `pg_backup_stop`, with the blocks shared where the file system can do that: it
//! is asked by trying. Then a throw-away server works on the copy itself, which brings it to a consistent state, and ends
//! cleanly: what stays needs no log of the live one any more.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::scratch::{owner_of, problem};
use super::{Postgres, unexpected};
use crate::adapters::toolbox::{self, INSIDE, Kind, QUESTION};
use crate::domain::plan::DatabaseRef;
use crate::ports::database::{Blocks, ClusterCopy, DataError, DataResult, OnBehalf, SCRATCH_ROLE};
use crate::ports::runtime::{ContainerRuntime, ContainerSpec, Exec, RuntimeError};

/// Folder of the copy inside the snapshot.
const FOLDER: &str = "cluster";
/// Long enough for a throw-away server to write what it has in memory.
const STOP_GRACE: Duration = Duration::from_secs(120);

/// What keeps the whole data folder from being copied, or from being put back without harm to others, a sentence a line.
pub(super) const NO_CLUSTER: &str = "\
SELECT 'role ' || current_user || ' is no superuser' FROM pg_roles WHERE rolname = current_user AND NOT rolsuper \
UNION ALL SELECT 'the server also keeps database ' || quote_ident(datname) || ', which would be taken back, too' \
FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' AND datname <> current_database() \
AND NOT starts_with(datname, current_database() || '_before_') \
UNION ALL SELECT 'tablespace ' || quote_ident(spcname) || ' lies outside the data folder' FROM pg_tablespace \
WHERE spcname NOT IN ('pg_default', 'pg_global') \
UNION ALL SELECT 'replication slot ' || slot_name || ' belongs to it' FROM pg_replication_slots \
UNION ALL SELECT 'a standby follows it' FROM pg_stat_replication \
UNION ALL SELECT 'its logs are archived, and a way back would fork them' FROM pg_settings \
WHERE name = 'archive_mode' AND setting <> 'off' \
UNION ALL SELECT 'wal_level is minimal' FROM pg_settings WHERE name = 'wal_level' AND setting = 'minimal'";

/// Copies everything but what the server makes anew at its start and the logs, sharing blocks where one file could be shared.
/// `$DATA` is copied to `$INTO`. Tells `shared` or `copied`, and leaves `$INTO.ok`.
const COPY: &str = r#"
set -eu
how=
told=copied
if cp --reflink=always "$DATA/global/pg_control" "$INTO/probe" 2>/dev/null; then
  how=--reflink=always
  told=shared
fi
rm -f "$INTO/probe"
for entry in "$DATA"/*; do
  name=${entry##*/}
  case $name in
    pg_wal | pg_replslot | pg_dynshmem | pg_notify | pg_serial | pg_snapshots | pg_stat_tmp | pg_subtrans)
      mkdir -m 700 "$INTO/$name"
      chown "$OWNER" "$INTO/$name" ;;
    postmaster.pid | postmaster.opts | current_logfiles) ;;
    *) cp -a $how "$entry" "$INTO/" ;;
  esac
done
echo "$told" >"$INTO.how"
: >"$INTO.ok"
"#;

/// Copies the logs from `$FIRST` on, once the backup is over.
const COPY_LOGS: &str = r#"
set -eu
rm -f "$INTO.ok"
for entry in "$DATA/pg_wal"/*; do
  name=${entry##*/}
  [ ! -d "$entry" ] || continue
  case $name in
    *.history) cp -a "$entry" "$INTO/pg_wal/" ;;
    *) [ "$(printf '%s\n%s\n' "$FIRST" "$name" | LC_ALL=C sort | head -n 1)" != "$FIRST" ] || cp -a "$entry" "$INTO/pg_wal/" ;;
  esac
done
mkdir -m 700 "$INTO/pg_wal/archive_status"
chown "$OWNER" "$INTO/pg_wal/archive_status" "$INTO/backup_label"
chmod 600 "$INTO/backup_label"
: >"$INTO.ok"
"#;

/// Makes the copy. `$1` is the statement that begins, `$2` the one that ends a backup, `$3` the database. The session stays open
/// between them, and a slot that goes with it keeps the logs.
const BACKUP: &str = r#"
set -eu
[ -s "$DATA/PG_VERSION" ] || { echo "$DATA is in no volume of the container" >&2; exit 1; }
[ ! -L "$DATA/pg_wal" ] || { echo "$DATA/pg_wal is a link" >&2; exit 1; }
export OWNER=$(stat -c %u:%g "$DATA")
rm -rf "$INTO" "$INTO.how" "$INTO.ok"
mkdir -m 700 "$INTO"
chown "$OWNER" "$INTO"
psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$3" <<SQL
SELECT 1 FROM pg_create_physical_replication_slot('mastopatch', true, true) \g /dev/null
SELECT pg_walfile_name($1) AS first \gset
\setenv FIRST :first
\! sh -c "\$COPY"
SELECT labelfile FROM $2 \g $INTO/backup_label
\! sh -c "\$COPY_LOGS"
SQL
[ -e "$INTO.ok" ] || { echo 'the copy was not finished' >&2; exit 1; }
cat "$INTO.how"
rm -f "$INTO.ok" "$INTO.how"
sync
"#;

/// Becomes the server of a copy. What its owner configured is for the live server, and is left aside.
const SERVE: &str = r#"
set -eu
echo 'local all all trust' >/tmp/mastopatch-hba
: >/tmp/mastopatch-ident
: >/tmp/mastopatch.conf
exec postgres -D "$PGDATA" --config-file=/tmp/mastopatch.conf "$@"
"#;

/// Settings of the server of a copy, as arguments, so that `postgresql.auto.conf` does not count.
const SETTINGS: [&str; 11] = [
    "hba_file=/tmp/mastopatch-hba",
    "ident_file=/tmp/mastopatch-ident",
    "listen_addresses=",
    "unix_socket_directories=/tmp",
    "dynamic_shared_memory_type=mmap",
    "shared_buffers=64MB",
    "huge_pages=off",
    "shared_preload_libraries=",
    "archive_mode=off",
    "ssl=off",
    "autovacuum=off",
];

/// Puts the copy in the data folder's place and what was there aside, each step once, whatever was interrupted: `PG_VERSION`,
/// without which no server starts and no entry point believes that the folder is whole, goes first and comes last.
const PUT_BACK: &str = r#"
set -eu
stage=$DATA/.mastopatch-$ASIDE
[ ! -e "$stage/done" ] || exit 0
mkdir -p -m 700 "$stage"
if [ ! -e "$stage/ready" ]; then
  [ -s "$DATA/PG_VERSION" ] || { echo "$DATA is in no volume of the container" >&2; exit 1; }
  how=
  rm -rf "$stage/new"
  mkdir -m 700 "$stage/new"
  if cp --reflink=always "$COPY/PG_VERSION" "$stage/new/" 2>/dev/null; then how=--reflink=always; fi
  for entry in "$COPY"/*; do cp -a $how "$entry" "$stage/new/"; done
  sync
  : >"$stage/ready"
  sync
fi
if [ ! -e "$stage/empty" ]; then
  mkdir -p -m 700 "$stage/old"
  [ ! -e "$DATA/PG_VERSION" ] || mv "$DATA/PG_VERSION" "$stage/old/"
  sync
  for entry in "$DATA"/*; do
    [ ! -e "$entry" ] && [ ! -L "$entry" ] || mv "$entry" "$stage/old/"
  done
  sync
  : >"$stage/empty"
  sync
fi
for entry in "$stage/new"/*; do
  [ -e "$entry" ] || continue
  [ "${entry##*/}" = PG_VERSION ] || mv "$entry" "$DATA/"
done
sync
[ ! -e "$stage/new/PG_VERSION" ] || mv "$stage/new/PG_VERSION" "$DATA/"
sync
: >"$stage/done"
sync
"#;

impl<R: ContainerRuntime> Postgres<R> {
    pub(super) async fn take_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<ClusterCopy> {
        let data = self.data_folder(database, password).await?;
        let (start, stop) = if database.server_version >= 150_000 {
            (
                "pg_backup_start('mastopatch', true)",
                "pg_backup_stop(false)",
            )
        } else {
            (
                "pg_start_backup('mastopatch', true, false)",
                "pg_stop_backup(false, false)",
            )
        };
        let tools = self
            .cluster_tools(database, on_behalf, dir, true, "ro")
            .await?;
        let (port, into) = (database.port.to_string(), format!("{INSIDE}/{FOLDER}"));
        let env = [
            ("PGHOST", database.host.as_str()),
            ("PGPORT", port.as_str()),
            ("PGUSER", database.user.as_str()),
            ("PGPASSWORD", password.expose_secret()),
            ("DATA", data.as_str()),
            ("INTO", into.as_str()),
            ("COPY", COPY),
            ("COPY_LOGS", COPY_LOGS),
        ];
        let command = ["sh", "-c", BACKUP, "sh", start, stop, &database.name];
        let exec = Exec {
            command: &command,
            env: &env,
            limit,
        };
        let told = toolbox::run(&self.runtime, &tools, "cp", exec).await?;
        self.runtime.ensure_removed(&tools).await.map_err(problem)?;
        let blocks = match told.trim() {
            "shared" => Blocks::Shared,
            "copied" => Blocks::Copied,
            _ => return Err(unexpected(&told)),
        };
        Ok(ClusterCopy { data, blocks })
    }

    pub(super) async fn serve_cluster(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        network: &str,
        limit: Duration,
    ) -> DataResult<DatabaseRef> {
        let scratch = DatabaseRef {
            container: format!("mastopatch_{SCRATCH_ROLE}_{}", on_behalf.short_run),
            network: network.to_owned(),
            ..database.clone()
        };
        let runtime = &self.runtime;
        let found = runtime
            .container(&database.container)
            .await
            .map_err(problem)?;
        let server = found.ok_or_else(|| {
            problem(RuntimeError::NotFound {
                what: "container",
                name: database.container.clone(),
            })
        })?;
        let owner = owner_of(runtime, &database.container).await?;
        let mut command = vec!["-c".to_owned(), SERVE.to_owned(), "sh".to_owned()];
        for setting in SETTINGS {
            command.extend(["-c".to_owned(), setting.to_owned()]);
        }
        command.extend(["-p".to_owned(), scratch.port.to_string()]);
        let cluster = dir.join(FOLDER);
        let body = json!({
            "Image": server.image_id,
            "User": owner,
            "Entrypoint": ["sh"],
            "Cmd": command,
            "WorkingDir": "/tmp",
            // Fast: it ends connections, and writes what it has.
            "StopSignal": "SIGINT",
            "Env": [
                format!("PGDATA={INSIDE}"),
                format!("PGUSER={}", scratch.user),
                "PGHOST=/tmp".to_owned(),
                format!("PGPORT={}", scratch.port),
            ],
            "Healthcheck": { "Test": ["NONE"] },
            "Labels": toolbox::labels(on_behalf, SCRATCH_ROLE),
            "HostConfig": {
                "Binds": [format!("{}:{INSIDE}:rw", cluster.display())],
                "NetworkMode": network,
                "RestartPolicy": { "Name": "no" },
                "Init": true,
                "CapDrop": ["ALL"],
                "Tmpfs": toolbox::over_volumes(runtime, &server.image_id).await?,
            },
            "NetworkingConfig": { "EndpointsConfig": { network: {} } },
        });
        let spec = ContainerSpec {
            body,
            more_networks: Vec::new(),
        };
        runtime
            .ensure_removed(&scratch.container)
            .await
            .map_err(problem)?;
        let id = runtime
            .ensure_created(&scratch.container, &spec)
            .await
            .map_err(problem)?;
        runtime.ensure_running(&id).await.map_err(problem)?;
        self.until_up(&scratch, &SecretString::from(""), limit)
            .await?;
        Ok(scratch)
    }

    pub(super) async fn end_cluster(&self, scratch: &DatabaseRef) -> DataResult<()> {
        let runtime = &self.runtime;
        runtime
            .ensure_stopped(&scratch.container, STOP_GRACE)
            .await
            .map_err(problem)?;
        let found = runtime
            .container(&scratch.container)
            .await
            .map_err(problem)?;
        let exit = found.map_or(-1, |found| found.state.exit_code);
        if exit != 0 {
            let said = runtime
                .logs(&scratch.container, 20)
                .await
                .unwrap_or_default();
            return Err(DataError::Tool {
                tool: "postgres",
                exit,
                stderr: toolbox::shortened(&said),
            });
        }
        runtime
            .ensure_removed(&scratch.container)
            .await
            .map_err(problem)
    }

    pub(super) async fn return_cluster(
        &self,
        database: &DatabaseRef,
        data: &str,
        on_behalf: &OnBehalf,
        dir: &Path,
        aside: &str,
        limit: Duration,
    ) -> DataResult<()> {
        let found = self
            .runtime
            .container(&database.container)
            .await
            .map_err(problem)?;
        if found.is_some_and(|found| found.state.running) {
            return Err(DataError::Tool {
                tool: "mv",
                exit: 1,
                stderr: format!(
                    "container `{}` runs: its data folder stays as it is",
                    database.container
                ),
            });
        }
        let tools = self
            .cluster_tools(database, on_behalf, dir, false, "rw")
            .await?;
        let copy = format!("{INSIDE}/{FOLDER}");
        let env = [("DATA", data), ("COPY", copy.as_str()), ("ASIDE", aside)];
        let exec = Exec {
            command: &["sh", "-c", PUT_BACK],
            env: &env,
            limit,
        };
        toolbox::run(&self.runtime, &tools, "mv", exec).await?;
        self.runtime.ensure_removed(&tools).await.map_err(problem)
    }

    pub(super) async fn drop_cluster(
        &self,
        database: &DatabaseRef,
        data: &str,
        on_behalf: &OnBehalf,
        dir: &Path,
        aside: &str,
    ) -> DataResult<()> {
        let tools = self
            .cluster_tools(database, on_behalf, dir, false, "rw")
            .await?;
        let path = format!("{data}/.mastopatch-{aside}");
        let exec = Exec {
            command: &["rm", "-rf", &path],
            env: &[],
            limit: QUESTION,
        };
        toolbox::run(&self.runtime, &tools, "rm", exec).await?;
        self.runtime.ensure_removed(&tools).await.map_err(problem)
    }

    async fn cluster_tools(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        writes: bool,
        mounts: &'static str,
    ) -> DataResult<String> {
        let kind = Kind {
            role: "cluster-tools",
            what: "PostgreSQL's tools",
            command: &["sleep", "infinity"],
            writes,
            mounts: Some(mounts),
        };
        let (server, network) = (&database.container, &database.network);
        toolbox::ensure(&self.runtime, server, network, on_behalf, dir, &kind).await
    }
}
