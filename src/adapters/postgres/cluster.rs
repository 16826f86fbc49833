//! The server's whole data folder: how it is copied while the server runs, tried, and put back while it does not.
//!
//! The copy lies within the data folder, in one of its own, so that it is on the same file system and is put back by renaming. It
//! is made between `pg_backup_start` and `pg_backup_stop`, with shared blocks where the file system can do that: it is asked by
//! trying. Then a throw-away server works on the copy itself, which brings it to a consistent state, and ends cleanly.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::clone::{RELATIONS, same_relations};
use super::scratch::{WHAT, owner_of, problem, reached_as, reached_inside, scratch_of, serves};
use super::{Postgres, unexpected};
use crate::adapters::toolbox::{self, Kind, QUESTION};
use crate::domain::plan::DatabaseRef;
use crate::ports::database::{
    CloneSeen, Cluster, ClusterStands, DataError, DataResult, OnBehalf, SCRATCH_ROLE,
};
use crate::ports::runtime::{ContainerRuntime, Exec};

/// Long enough for a throw-away server to write what it has in memory.
const STOP_GRACE: Duration = Duration::from_secs(120);
/// Lines of a server's log that are looked through for why it did not end well.
const LOG_LINES: usize = 20;

/// What keeps the whole data folder from being copied, or from being put back without harm to others, a sentence a line. What an
/// earlier run put aside goes back with the rest.
pub(super) const NO_CLUSTER: &str = "\
SELECT 'role ' || current_user || ' is no superuser' FROM pg_roles WHERE rolname = current_user AND NOT rolsuper \
UNION ALL SELECT 'the server also keeps database ' || quote_ident(datname) || ', which would be taken back, too' \
FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' AND datname <> current_database() \
AND NOT starts_with(datname, left(current_database(), 40) || '_before_') \
UNION ALL SELECT 'tablespace ' || quote_ident(spcname) || ' lies outside the data folder' FROM pg_tablespace \
WHERE spcname NOT IN ('pg_default', 'pg_global') \
UNION ALL SELECT 'replication slot ' || slot_name || ' belongs to it' FROM pg_replication_slots WHERE NOT temporary \
UNION ALL SELECT 'a standby follows it' FROM pg_stat_replication \
UNION ALL SELECT 'it is a standby itself' WHERE pg_is_in_recovery() \
UNION ALL SELECT 'its logs are archived, and a way back would fork them' FROM pg_settings \
WHERE name = 'archive_mode' AND setting <> 'off' \
UNION ALL SELECT 'wal_level is minimal' FROM pg_settings WHERE name = 'wal_level' AND setting = 'minimal' \
UNION ALL SELECT 'unlogged table ' || oid::regclass || ' would come back empty' FROM pg_class \
WHERE relpersistence = 'u' AND relkind = 'r'";

/// Tries whether two files can share blocks in folder `$1`; file systems that cannot are not written to. A log that lies elsewhere
/// would not be copied with the rest.
const TRY: &str = r#"
if [ -L "$1/pg_wal" ]; then echo 'elsewhere'; exit 0; fi
case $(stat -f -c %T "$1") in ext2/ext3 | tmpfs | overlayfs | nfs*) echo no; exit 0 ;; esac
if cp --reflink=always "$1/global/pg_control" "$1/.mastopatch-probe" 2>/dev/null; then echo yes; else echo no; fi
rm -f "$1/.mastopatch-probe"
"#;

/// Makes the copy. `$1` is the statement that begins, `$2` the one that ends a backup, `$3` the database. The session stays open
/// between them, and a slot that goes with it keeps the logs. The last word is a file's name, which says how the copy stands.
const BACKUP: &str = r#"
set -eu
[ -s "$DATA/PG_VERSION" ] || { echo "$DATA is in no volume of the container" >&2; exit 1; }
[ ! -L "$DATA/pg_wal" ] || { echo "$DATA/pg_wal is a link" >&2; exit 1; }
[ ! -e "$STAGE/going" ] && [ ! -e "$STAGE/emptied" ] || { echo "$STAGE is being put back" >&2; exit 1; }
export OWNER=$(stat -c %u:%g "$DATA")
rm -rf "$STAGE"
mkdir -m 700 "$STAGE" "$STAGE/copy" "$STAGE/aside"
chown "$OWNER" "$STAGE" "$STAGE/copy" "$STAGE/aside"
psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$3" <<SQL
SELECT 1 FROM pg_create_physical_replication_slot('mastopatch', true, true) \g /dev/null
SELECT pg_walfile_name($1) AS first \gset
\setenv FIRST :first
\! sh -c "\$COPY"
SELECT labelfile FROM $2 \g $STAGE/copy/backup_label
\! sh -c "\$COPY_LOGS"
SQL
[ -e "$STAGE/logs" ] || { echo 'the copy was not finished' >&2; exit 1; }
rm -f "$STAGE/files" "$STAGE/logs"
sync
: >"$STAGE/copied"
sync
"#;

/// Copies everything but the logs and what a server makes anew at its start. `$HOW` says how. What vanishes meanwhile, as a
/// temporary file does, makes it begin anew.
const COPY: &str = r#"
set -eu
copies() {
  for entry in "$DATA"/*; do
    name=${entry##*/}
    case $name in
      pg_wal | pg_replslot | pg_dynshmem | pg_notify | pg_serial | pg_snapshots | pg_stat_tmp | pg_subtrans)
        mkdir -m 700 "$STAGE/copy/$name" && chown "$OWNER" "$STAGE/copy/$name" || return 1 ;;
      postmaster.pid | postmaster.opts | current_logfiles) ;;
      *) cp -a $HOW "$entry" "$STAGE/copy/" || return 1 ;;
    esac
  done
}
for try in 1 2 3; do
  if copies; then
    : >"$STAGE/files"
    exit 0
  fi
  rm -rf "$STAGE/copy"
  mkdir -m 700 "$STAGE/copy"
  chown "$OWNER" "$STAGE/copy"
done
exit 1
"#;

/// Copies the logs from `$FIRST` on, once the backup is over.
const COPY_LOGS: &str = r#"
set -eu
[ -e "$STAGE/files" ]
for entry in "$DATA/pg_wal"/*; do
  name=${entry##*/}
  [ ! -d "$entry" ] || continue
  case $name in
    *.history) cp -a "$entry" "$STAGE/copy/pg_wal/" ;;
    *) [ "$(printf '%s\n%s\n' "$FIRST" "$name" | LC_ALL=C sort | head -n 1)" != "$FIRST" ] || cp -a "$entry" "$STAGE/copy/pg_wal/" ;;
  esac
done
mkdir -m 700 "$STAGE/copy/pg_wal/archive_status"
chown "$OWNER" "$STAGE/copy/pg_wal/archive_status" "$STAGE/copy/backup_label"
chmod 600 "$STAGE/copy/backup_label"
: >"$STAGE/logs"
"#;

/// Becomes the server of a copy. It asks for passwords where web has one.
const SERVE: &str = r#"
set -eu
how=trust
[ -z "$PGPASSWORD" ] || how=md5
printf 'local all all trust\nhost all all all %s\n' "$how" >/tmp/mastopatch-hba
: >/tmp/mastopatch-ident
: >/tmp/mastopatch.conf
exec postgres -D "$PGDATA" --config-file=/tmp/mastopatch.conf "$@"
"#;

/// Settings of the server of a copy, as arguments, so that `postgresql.auto.conf` does not count. The socket lets everybody in, as
/// whoever is in its container has the files anyway; others reach it in the isolated network only.
const SETTINGS: [&str; 13] = [
    "hba_file=/tmp/mastopatch-hba",
    "ident_file=/tmp/mastopatch-ident",
    "listen_addresses=*",
    "unix_socket_directories=/tmp",
    "dynamic_shared_memory_type=mmap",
    "shared_buffers=64MB",
    "huge_pages=off",
    "shared_preload_libraries=",
    "archive_mode=off",
    "logging_collector=off",
    "log_destination=stderr",
    "ssl=off",
    "autovacuum=off",
];

/// Tells how copy and folder stand.
const STANDS: &str = r#"
for word in done emptied going copied; do
  if [ -e "$STAGE/$word" ]; then echo "$word"; exit 0; fi
done
echo gone
"#;

/// Puts the copy in the data folder's place and what was there aside, each step once, whatever was interrupted. `PG_VERSION`, without
/// which no server starts and no entry point believes that the folder is whole, goes first and comes last. How far it is, a file's name
/// says: renaming one needs no room on a full disk.
const PUT_BACK: &str = r#"
set -eu
[ ! -e "$STAGE/done" ] || exit 0
if [ -e "$STAGE/copied" ]; then
  [ -s "$DATA/PG_VERSION" ] && [ -s "$STAGE/copy/PG_VERSION" ] || { echo "$STAGE is not whole" >&2; exit 1; }
  mv "$STAGE/copied" "$STAGE/going"
  sync
fi
if [ -e "$STAGE/going" ]; then
  [ ! -e "$DATA/PG_VERSION" ] || mv "$DATA/PG_VERSION" "$STAGE/aside/"
  sync
  for entry in "$DATA"/*; do
    [ ! -e "$entry" ] && [ ! -L "$entry" ] || mv "$entry" "$STAGE/aside/"
  done
  sync
  mv "$STAGE/going" "$STAGE/emptied"
  sync
fi
[ -e "$STAGE/emptied" ] || { echo "$STAGE is gone" >&2; exit 1; }
for entry in "$STAGE/copy"/*; do
  [ -e "$entry" ] || continue
  [ "${entry##*/}" = PG_VERSION ] || mv "$entry" "$DATA/"
done
sync
[ ! -e "$STAGE/copy/PG_VERSION" ] || mv "$STAGE/copy/PG_VERSION" "$DATA/"
sync
mv "$STAGE/emptied" "$STAGE/done"
sync
"#;

/// Removes the folder of a copy, the word that says that it is whole first.
const REMOVE: &str = r#"
set -eu
[ ! -e "$STAGE/going" ] && [ ! -e "$STAGE/emptied" ] || { echo "$STAGE is being put back" >&2; exit 1; }
rm -f "$STAGE/copied"
rm -rf "$STAGE"
"#;

impl<R: ContainerRuntime> Postgres<R> {
    pub(super) async fn try_to_share(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<bool> {
        let data = self.data_folder(database, password).await?;
        let command = ["sh", "-c", TRY, "sh", &data];
        match self.inside(database, "cp", &command).await?.trim() {
            "yes" => Ok(true),
            "no" => Ok(false),
            "elsewhere" => Err(DataError::Unseen {
                why: format!("{data}/pg_wal is a link, so the folder is not whole by itself"),
            }),
            other => Err(unexpected(other)),
        }
    }

    pub(super) async fn take_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        folder: &str,
        sharing: bool,
        limit: Duration,
    ) -> DataResult<Cluster> {
        let data = self.data_folder(database, password).await?;
        let server = toolbox::server_of(&self.runtime, &database.container, WHAT).await?;
        let restart_policy = server.raw.pointer("/HostConfig/RestartPolicy").cloned();
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
        let port = database.port.to_string();
        let env = [
            ("PGHOST", database.host.as_str()),
            ("PGPORT", port.as_str()),
            ("PGUSER", database.user.as_str()),
            ("PGPASSWORD", password.expose_secret()),
            ("COPY", COPY),
            ("COPY_LOGS", COPY_LOGS),
            ("HOW", if sharing { "--reflink=always" } else { "" }),
        ];
        let command = ["sh", "-c", BACKUP, "sh", start, stop, &database.name];
        let exec = Exec {
            command: &command,
            env: &env,
            limit,
        };
        self.in_cluster(database, on_behalf, &data, folder, exec)
            .await?;
        Ok(Cluster {
            data,
            folder: folder.to_owned(),
            restart_policy: restart_policy.unwrap_or_else(|| json!({ "Name": "no" })),
        })
    }

    pub(super) async fn serve_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        cluster: &Cluster,
        network: &str,
        limit: Duration,
    ) -> DataResult<DatabaseRef> {
        let scratch = scratch_of(database, on_behalf, network);
        let server = toolbox::server_of(&self.runtime, &database.container, WHAT).await?;
        let owner = owner_of(&self.runtime, &database.container).await?;
        let mut env = reached_inside(&scratch, password);
        env.push(format!("PGDATA={}/{}/copy", cluster.data, cluster.folder));
        let body = json!({
            "Image": server.image_id,
            "User": owner,
            "Entrypoint": ["sh"],
            "Cmd": serves(SERVE, &SETTINGS, scratch.port),
            "WorkingDir": "/tmp",
            // Fast: it ends connections, and writes what it has.
            "StopSignal": "SIGINT",
            "Env": env,
            "Healthcheck": { "Test": ["NONE"] },
            "Labels": toolbox::labels(on_behalf, SCRATCH_ROLE),
            "HostConfig": {
                "VolumesFrom": [format!("{}:rw", server.id)],
                "NetworkMode": network,
                "RestartPolicy": { "Name": "no" },
                "Init": true,
                "CapDrop": ["ALL"],
            },
            "NetworkingConfig": reached_as(&scratch),
        });
        toolbox::start_anew(&self.runtime, &scratch.container, body, WHAT).await?;
        self.until_up(&scratch, password, limit).await?;
        Ok(scratch)
    }

    pub(super) async fn compare_opened(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        opened: &DatabaseRef,
    ) -> DataResult<CloneSeen> {
        let name = database.name.as_str();
        let (live, copy) = tokio::join!(
            self.ask(database, password, name, RELATIONS),
            self.ask(opened, password, name, RELATIONS),
        );
        same_relations(&live?, &copy?)
    }

    pub(super) async fn end_cluster(&self, opened: &DatabaseRef) -> DataResult<()> {
        let (runtime, name) = (&self.runtime, opened.container.as_str());
        runtime
            .ensure_stopped(name, STOP_GRACE)
            .await
            .map_err(problem)?;
        let found = runtime.container(name).await.map_err(problem)?;
        let exit = found.map_or(-1, |found| found.state.exit_code);
        if exit != 0 {
            let said = runtime.logs(name, LOG_LINES).await.unwrap_or_default();
            return Err(DataError::Tool {
                tool: "postgres",
                exit,
                stderr: toolbox::shortened(&said),
            });
        }
        runtime.ensure_removed(name).await.map_err(problem)
    }

    pub(super) async fn how_cluster_stands(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        cluster: &Cluster,
    ) -> DataResult<ClusterStands> {
        let told = self
            .at_cluster(database, on_behalf, cluster, STANDS, QUESTION)
            .await?;
        match told.trim() {
            "gone" => Ok(ClusterStands::Gone),
            "copied" => Ok(ClusterStands::Copied),
            "going" | "emptied" => Ok(ClusterStands::GoingBack),
            "done" => Ok(ClusterStands::Back),
            other => Err(unexpected(other)),
        }
    }

    pub(super) async fn return_cluster(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        cluster: &Cluster,
        limit: Duration,
    ) -> DataResult<()> {
        let server = toolbox::server_of(&self.runtime, &database.container, WHAT).await?;
        if server.state.running {
            return Err(DataError::Tool {
                tool: "mv",
                exit: 1,
                stderr: format!("`{}` runs: its data folder stays as it is", server.name),
            });
        }
        self.at_cluster(database, on_behalf, cluster, PUT_BACK, limit)
            .await
            .map(drop)
    }

    pub(super) async fn drop_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        folder: &str,
    ) -> DataResult<()> {
        let data = self.data_folder(database, password).await?;
        let exec = Exec {
            command: &["sh", "-c", REMOVE],
            env: &[],
            limit: QUESTION,
        };
        self.in_cluster(database, on_behalf, &data, folder, exec)
            .await
            .map(drop)
    }

    /// Runs a script where a copy is.
    async fn at_cluster(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        cluster: &Cluster,
        script: &str,
        limit: Duration,
    ) -> DataResult<String> {
        let exec = Exec {
            command: &["sh", "-c", script],
            env: &[],
            limit,
        };
        self.in_cluster(database, on_behalf, &cluster.data, &cluster.folder, exec)
            .await
    }

    /// Runs a command in a helper that has the server's own volumes, told by `$DATA` and `$STAGE` where it works; gives what it wrote.
    async fn in_cluster(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        data: &str,
        folder: &str,
        exec: Exec<'_>,
    ) -> DataResult<String> {
        let kind = Kind {
            role: "cluster-tools",
            what: "PostgreSQL's tools",
            command: &["sleep", "infinity"],
            place: toolbox::Place::ServersVolumes,
        };
        let (server, network) = (&database.container, &database.network);
        let runtime = &self.runtime;
        let tools = toolbox::ensure(runtime, server, network, on_behalf, &kind).await?;
        let stage = format!("{data}/{folder}");
        let mut env: Vec<(&str, &str)> = vec![("DATA", data), ("STAGE", &stage)];
        env.extend(exec.env);
        let exec = Exec { env: &env, ..exec };
        let told = toolbox::run(runtime, &tools, "cp", exec).await?;
        runtime.ensure_removed(&tools).await.map_err(problem)?;
        Ok(told)
    }
}
