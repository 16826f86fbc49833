//! PostgreSQL through its own tools: `psql` inside the server's container for questions, and a helper
//! container of the same image for dump and restore.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::toolbox::{self, INSIDE, Kind, Place, QUESTION};
use crate::domain::plan::DatabaseRef;
use crate::domain::room::DataPlace;
use crate::ports::database::{
    CloneSeen, Cluster, ClusterStands, DataError, DataResult, Database, Haste, OnBehalf, RowCounts,
    ServerFacts, Soundness,
};
use crate::ports::runtime::{ContainerRuntime, Exec};

use ask::OPTIONS;
use clone::Forbidden;
use dump::{COUNT_SCRIPT, SCHEMA_SCRIPT};

mod ask;
mod clone;
mod cluster;
mod dump;
mod facts;
mod places;
mod scratch;
mod text;

use text::{aside_of, identifier, literal, parse_counts, unexpected};

/// Parallel jobs of dump and restore: two are near the best on the small hosts this is for, and leave
/// a core for everything else.
const JOBS: &str = "--jobs=2";
/// Folder of the dump inside the snapshot.
const FOLDER: &str = "database";

/// Every ordinary table that `pg_dump` dumps, with its rows.
const COUNT: &str = "\
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' ' || \
(xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM ONLY %I.%I', n.nspname, \
c.relname), false, true, '')))[1]::text \
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' \
AND n.nspname <> 'information_schema' \
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1";

/// PostgreSQL in containers of a runtime.
#[derive(Debug)]
pub struct Postgres<R> {
    runtime: R,
    hot_rate: Option<u64>,
}

impl<R: ContainerRuntime> Postgres<R> {
    /// Uses this runtime. A dump on behalf of somebody who gives way to others writes `hot_rate` bytes a second at the most, where
    /// that is set.
    pub fn new(runtime: R, hot_rate: Option<u64>) -> Self {
        Self { runtime, hot_rate }
    }

    async fn toolbox(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        writes: bool,
    ) -> DataResult<String> {
        let kind = Kind {
            role: "toolbox",
            what: "PostgreSQL's tools",
            command: &["sleep", "infinity"],
            place: Place::Folder { dir, writes },
        };
        let (server, network) = (&database.container, &database.network);
        toolbox::ensure(&self.runtime, server, network, on_behalf, &kind).await
    }

    /// Runs a tool in a helper, connected as web is.
    async fn tool(
        &self,
        toolbox: &str,
        tool: &'static str,
        command: &[&str],
        connection: Option<(&DatabaseRef, &SecretString)>,
        limit: Duration,
    ) -> DataResult<String> {
        let port = connection
            .map(|(database, _)| database.port.to_string())
            .unwrap_or_default();
        let mut env = Vec::new();
        if let Some((database, password)) = connection {
            env.extend([
                ("PGHOST", database.host.as_str()),
                ("PGPORT", port.as_str()),
                ("PGUSER", database.user.as_str()),
                ("PGPASSWORD", password.expose_secret()),
            ]);
        }
        toolbox::run(
            &self.runtime,
            toolbox,
            tool,
            Exec {
                command,
                env: &env,
                limit,
            },
        )
        .await
    }

    async fn names(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<BTreeSet<String>> {
        let answer = self
            .ask_server(database, password, "SELECT datname FROM pg_database")
            .await?;
        Ok(answer.lines().map(ToOwned::to_owned).collect())
    }

    /// Ends every session in the database `name`. The server's own workers, which belong to no role, give way by themselves, and
    /// only a superuser may end them.
    async fn end_connections(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> DataResult<()> {
        let ends = ends_connections(name);
        self.ask_server(database, password, &ends).await.map(drop)
    }
}

impl<R: ContainerRuntime> Database for Postgres<R> {
    async fn facts(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<ServerFacts> {
        self.look_at_server(database, password).await
    }

    async fn places(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<Vec<DataPlace>> {
        self.look_at_places(database, password).await
    }

    async fn schema_versions(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<BTreeSet<String>> {
        let sql = "SELECT version FROM schema_migrations";
        let answer = self.ask(database, password, &database.name, sql).await?;
        Ok(answer.lines().map(ToOwned::to_owned).collect())
    }

    async fn duplicate_accounts(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> DataResult<u64> {
        // Accounts of this server have an empty address, or none.
        let sql = "SELECT count(*) FROM (SELECT uri FROM accounts WHERE uri <> '' GROUP BY uri HAVING count(*) > 1) twice";
        let answer = self
            .ask_within(database, password, &database.name, sql, limit)
            .await?;
        answer.trim().parse().map_err(|_err| unexpected(&answer))
    }

    async fn row_counts(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> DataResult<RowCounts> {
        let answer = self
            .ask_within(database, password, &database.name, COUNT, limit)
            .await?;
        parse_counts(&answer)
    }

    async fn dump(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        self.take_dump(database, password, on_behalf, dir, limit)
            .await
    }

    async fn count_dump(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<RowCounts> {
        let toolbox = self.toolbox(database, on_behalf, dir, false).await?;
        let folder = format!("{INSIDE}/{FOLDER}");
        let list = ["pg_restore", "--list", &folder];
        self.tool(&toolbox, "pg_restore", &list, None, limit)
            .await?;
        let command = ["sh", "-c", COUNT_SCRIPT, "sh", &folder];
        parse_counts(
            &self
                .tool(&toolbox, "pg_restore", &command, None, limit)
                .await?,
        )
    }

    async fn dump_schema(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<BTreeSet<String>> {
        let toolbox = self.toolbox(database, on_behalf, dir, false).await?;
        let folder = format!("{INSIDE}/{FOLDER}");
        let command = ["sh", "-c", SCHEMA_SCRIPT, "sh", &folder];
        let answer = self
            .tool(&toolbox, "pg_restore", &command, None, limit)
            .await?;
        Ok(answer.lines().map(ToOwned::to_owned).collect())
    }

    async fn restore(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        into: &str,
        limit: Duration,
    ) -> DataResult<RowCounts> {
        self.ensure_dropped(database, password, into).await?;
        // The second time, the damaged one may stand aside already.
        let (live, aside) = (&database.name, aside_of(into));
        let create = self.create_like(database, password, into).await?;
        self.ask_server(database, password, create.trim()).await?;
        for original in [live, &aside] {
            let dress = clone::take_dress(original, into, Forbidden::LeftOut);
            self.ask_server(database, password, &dress).await?;
        }
        let toolbox = self.toolbox(database, on_behalf, dir, false).await?;
        let (target, folder) = (format!("--dbname={into}"), format!("{INSIDE}/{FOLDER}"));
        let command = ["pg_restore", JOBS, "--exit-on-error", &target, &folder];
        self.tool(
            &toolbox,
            "pg_restore",
            &command,
            Some((database, password)),
            limit,
        )
        .await?;
        // Without statistics the first queries after the restore would take sequential scans.
        let analyze = ["psql", "-X", "-q", "-d", into, "-c", "ANALYZE"];
        self.tool(
            &toolbox,
            "psql",
            &analyze,
            Some((database, password)),
            limit,
        )
        .await?;
        let answer = self
            .ask_within(database, password, into, COUNT, limit)
            .await?;
        parse_counts(&answer)
    }

    async fn fresh_scratch(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        haste: Haste,
        limit: Duration,
    ) -> DataResult<DatabaseRef> {
        self.make_scratch(database, password, on_behalf, network, haste, limit)
            .await
    }

    async fn restore_scratch(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        self.fill_scratch(scratch, password, on_behalf, dir, limit)
            .await
    }

    async fn check_scratch(
        &self,
        scratch: &DatabaseRef,
        password: &SecretString,
        limit: Duration,
    ) -> DataResult<Soundness> {
        self.amcheck(scratch, password, limit).await
    }

    async fn locked_tables(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<Vec<String>> {
        let answer = self
            .ask(database, password, &database.name, scratch::LOCKED)
            .await?;
        Ok(answer.lines().map(ToOwned::to_owned).collect())
    }

    async fn clone_to(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        into: &str,
        limit: Duration,
    ) -> DataResult<()> {
        self.make_clone(database, password, into, limit).await
    }

    async fn compare_clone(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        clone: &str,
    ) -> DataResult<CloneSeen> {
        self.compare(database, password, clone).await
    }

    async fn shares_blocks(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<bool> {
        self.try_to_share(database, password).await
    }

    async fn copy_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        folder: &str,
        sharing: bool,
        limit: Duration,
    ) -> DataResult<Cluster> {
        self.take_cluster(database, password, on_behalf, folder, sharing, limit)
            .await
    }

    async fn open_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        cluster: &Cluster,
        network: &str,
        limit: Duration,
    ) -> DataResult<DatabaseRef> {
        self.serve_cluster(database, password, on_behalf, cluster, network, limit)
            .await
    }

    async fn compare_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        opened: &DatabaseRef,
    ) -> DataResult<CloneSeen> {
        self.compare_opened(database, password, opened).await
    }

    async fn close_cluster(&self, opened: &DatabaseRef) -> DataResult<()> {
        self.end_cluster(opened).await
    }

    async fn cluster_stands(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        cluster: &Cluster,
    ) -> DataResult<ClusterStands> {
        self.how_cluster_stands(database, on_behalf, cluster).await
    }

    async fn put_cluster_back(
        &self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        cluster: &Cluster,
        limit: Duration,
    ) -> DataResult<()> {
        self.return_cluster(database, on_behalf, cluster, limit)
            .await
    }

    async fn ensure_no_cluster(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        folder: &str,
    ) -> DataResult<()> {
        self.drop_cluster(database, password, on_behalf, folder)
            .await
    }

    async fn exists(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> DataResult<bool> {
        Ok(self.names(database, password).await?.contains(name))
    }

    async fn remark(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
        text: &str,
    ) -> DataResult<()> {
        let sql = format!(
            "COMMENT ON DATABASE {} IS {}",
            identifier(name),
            literal(text)
        );
        // In the database itself: since PostgreSQL has the catalogue in common, any would do, but not every
        // version lets the remark be written from elsewhere.
        self.ask(database, password, name, &sql).await.map(drop)
    }

    async fn remark_on(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> DataResult<String> {
        let sql = format!(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}",
            literal(name)
        );
        let answer = self.ask_server(database, password, &sql).await?;
        Ok(answer.trim().to_owned())
    }

    async fn swap(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        restored: &str,
        aside: &str,
    ) -> DataResult<()> {
        let names = self.names(database, password).await?;
        let live = database.name.as_str();
        let mut statements = match (
            names.contains(live),
            names.contains(restored),
            names.contains(aside),
        ) {
            // Already switched.
            (true, false, true) => Vec::new(),
            (true, true, false) => [puts_aside(live, aside), renames(restored, live)].concat(),
            // Interrupted between the two renames, or between those of another switch.
            (false, true, true | false) => renames(restored, live),
            _ => {
                return Err(DataError::Names {
                    name: live.to_owned(),
                    other: restored.to_owned(),
                });
            }
        };
        statements.push(lets_in(live));
        if names.contains(live) || names.contains(aside) {
            statements.push(lets_in(aside));
        }
        // In one go: the site is closed.
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.say(
            database,
            password,
            "template1",
            &statements,
            QUESTION,
            OPTIONS,
        )
        .await
        .map(drop)
    }

    async fn ensure_open(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> DataResult<()> {
        if !self.names(database, password).await?.contains(name) {
            return Ok(());
        }
        self.ask_server(database, password, &lets_in(name))
            .await
            .map(drop)
    }

    async fn ensure_dropped(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> DataResult<()> {
        if name == database.name {
            return Err(DataError::Names {
                name: name.to_owned(),
                other: name.to_owned(),
            });
        }
        self.end_making(database, password, name).await?;
        self.end_connections(database, password, name).await?;
        let drops = format!("DROP DATABASE IF EXISTS {}", identifier(name));
        self.ask_server(database, password, &drops).await.map(drop)
    }
}

/// Ends every session in the database `name`.
fn ends_connections(name: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND usesysid IS NOT NULL",
        literal(name)
    )
}

/// Renames a database that is in use, in steps.
fn puts_aside(live: &str, aside: &str) -> Vec<String> {
    let mut statements = vec![
        // A session that may not be ended is told while nothing has changed.
        ends_connections(live),
        // Nobody may come back between the end of the connections and the renaming.
        format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS false",
            identifier(live)
        ),
    ];
    statements.extend(renames(live, aside));
    statements
}

fn renames(from: &str, to: &str) -> Vec<String> {
    let renames = format!(
        "ALTER DATABASE {} RENAME TO {}",
        identifier(from),
        identifier(to)
    );
    vec![ends_connections(from), renames]
}

fn lets_in(name: &str) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", identifier(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_in_use_is_shut_before_it_is_renamed_and_nobody_is_left_in_it() {
        let said = puts_aside("a", "b");
        let ends = ends_connections("a");
        let wanted = [
            ends.as_str(),
            "ALTER DATABASE \"a\" ALLOW_CONNECTIONS false",
            ends.as_str(),
            "ALTER DATABASE \"a\" RENAME TO \"b\"",
        ];
        assert_eq!(said, wanted);
    }
}
