//! What the server says of itself and of web's role: what a copy and a restore depend on.

use secrecy::SecretString;

use super::{Postgres, clone, cluster, unexpected};
use crate::domain::plan::DatabaseRef;
use crate::ports::database::{DataResult, ServerFacts};
use crate::ports::runtime::ContainerRuntime;

impl<R: ContainerRuntime> Postgres<R> {
    pub(super) async fn look_at_server(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<ServerFacts> {
        let sql = "SELECT current_setting('server_version_num'), pg_database_size(current_database()), \
                   (SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user)";
        let answer = self.ask(database, password, &database.name, sql).await?;
        let mut columns = answer.trim().split('|');
        let facts = (|| {
            Some(ServerFacts {
                version: columns.next()?.parse().ok()?,
                bytes: columns.next()?.parse().ok()?,
                may_create_databases: columns.next()? == "t",
                foreign_extensions: Vec::new(),
                no_clone: None,
                no_cluster: None,
            })
        })();
        let mut facts = facts.ok_or_else(|| unexpected(&answer))?;
        // Before 13 only superusers create extensions; since then anybody creates the trusted ones.
        let trusted = if facts.version >= 130_000 {
            "v.trusted"
        } else {
            "false"
        };
        let sql = format!(
            "SELECT e.extname FROM pg_extension e LEFT JOIN pg_available_extension_versions v \
             ON v.name = e.extname AND v.version = e.extversion \
             WHERE e.extname <> 'plpgsql' AND NOT COALESCE({trusted}, false) \
             AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        );
        let answer = self.ask(database, password, &database.name, &sql).await?;
        facts.foreign_extensions = answer.lines().map(ToOwned::to_owned).collect();
        let sql = clone::no_clone(facts.version);
        let answer = self.ask(database, password, &database.name, &sql).await?;
        facts.no_clone = answer.lines().next().map(ToOwned::to_owned);
        let answer = self
            .ask(database, password, &database.name, cluster::NO_CLUSTER)
            .await?;
        facts.no_cluster = answer.lines().next().map(ToOwned::to_owned);
        Ok(facts)
    }
}
