//! Questions and orders to the server, by `psql` inside its own container.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::Postgres;
use crate::adapters::toolbox::{self, QUESTION};
use crate::domain::plan::DatabaseRef;
use crate::ports::database::DataResult;
use crate::ports::runtime::{ContainerRuntime, Exec};

/// Options of a usual connection: who waits for a lock gives up after a while.
pub(super) const OPTIONS: &str = "-c lock_timeout=60s";

impl<R: ContainerRuntime> Postgres<R> {
    /// Asks one question in database `name`; a row a line, columns by `|`.
    pub(super) async fn ask(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
        sql: &str,
    ) -> DataResult<String> {
        self.ask_within(database, password, name, sql, QUESTION)
            .await
    }

    pub(super) async fn ask_within(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
        sql: &str,
        limit: Duration,
    ) -> DataResult<String> {
        self.say(database, password, name, &[sql], limit, OPTIONS)
            .await
    }

    /// Says statements one after the other on one connection with these options, each in a transaction of its own; the first
    /// that fails is the last.
    pub(super) async fn say(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
        statements: &[&str],
        limit: Duration,
        options: &str,
    ) -> DataResult<String> {
        let mut command = vec![
            "psql",
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            name,
        ];
        command.extend(statements.iter().flat_map(|sql| ["-c", *sql]));
        let env = [
            ("PGUSER", database.user.as_str()),
            ("PGPASSWORD", password.expose_secret()),
            ("PGOPTIONS", options),
        ];
        let exec = Exec {
            command: &command,
            env: &env,
            limit,
        };
        toolbox::run(&self.runtime, &database.container, "psql", exec).await
    }

    /// Asks in the database that always exists and is never renamed.
    pub(super) async fn ask_server(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        sql: &str,
    ) -> DataResult<String> {
        self.ask(database, password, "template1", sql).await
    }
}
