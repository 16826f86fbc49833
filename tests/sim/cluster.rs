//! The server's whole data folder, copied and put back.

use std::collections::BTreeMap;

use mastopatch::domain::plan::DatabaseRef;
use mastopatch::ports::database::{ClusterStands, DataResult, OnBehalf, SCRATCH_ROLE};

use super::data::tool;
use super::engine::Program;
use super::fault::When;
use super::invariants;
use super::world::{Db, LIVE, World};

/// A copy within the data folder, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimCluster {
    /// The databases of the copy, until they are put back.
    pub(crate) copy: BTreeMap<String, Db>,
    /// What stands aside.
    pub(crate) aside: BTreeMap<String, Db>,
    pub(crate) stands: ClusterStands,
}

/// Name of the helper that works in the data folder.
fn tools(on_behalf: &OnBehalf) -> String {
    format!("mastopatch_cluster-tools_{}", on_behalf.short_run)
}

impl World {
    /// Whether the data folder is neither the one nor the other: no server starts there.
    pub(crate) fn is_headless(&self) -> bool {
        let mut all = self.clusters.values();
        all.any(|cluster| cluster.stands == ClusterStands::GoingBack)
    }

    pub(super) fn copy_cluster(
        &mut self,
        on_behalf: &OnBehalf,
        folder: &str,
        when: When,
    ) -> DataResult<()> {
        self.helper(Program::Postgres, "cluster-tools", on_behalf)
            .map_err(tool)?;
        let is_whole = when != When::Middle;
        let cluster = SimCluster {
            copy: self.databases.clone(),
            aside: BTreeMap::new(),
            stands: if is_whole {
                ClusterStands::Copied
            } else {
                ClusterStands::Gone
            },
        };
        self.clusters.insert(folder.to_owned(), cluster);
        self.pass(1_000);
        if is_whole {
            self.remove(&tools(on_behalf));
        }
        Ok(())
    }

    pub(super) fn open_cluster(
        &mut self,
        database: &DatabaseRef,
        on_behalf: &OnBehalf,
        folder: &str,
        network: &str,
        when: When,
    ) -> DataResult<DatabaseRef> {
        let container = format!("mastopatch_{SCRATCH_ROLE}_{}", on_behalf.short_run);
        self.throw_away(Program::Postgres, &container, on_behalf, network)
            .map_err(tool)?;
        self.pass(2_000);
        let found = self.clusters.get(folder).filter(|it| {
            it.stands == ClusterStands::Copied && it.copy.contains_key(&database.name)
        });
        let found = found.ok_or_else(|| tool("no such cluster"))?;
        let db = found.copy[&database.name].clone();
        if when == When::After {
            self.scratch.insert(container.clone(), db);
        }
        Ok(DatabaseRef {
            container,
            network: network.to_owned(),
            ..database.clone()
        })
    }

    pub(super) fn put_cluster_back(
        &mut self,
        on_behalf: &OnBehalf,
        folder: &str,
        when: When,
    ) -> DataResult<()> {
        let mut servers = self.containers.iter();
        if servers.any(|c| c.program == Program::Postgres && c.running) {
            return Err(tool("the server runs"));
        }
        let cluster = self.clusters.get(folder).map(|it| it.stands);
        match cluster {
            None | Some(ClusterStands::Gone) => return Err(tool("no such cluster")),
            Some(ClusterStands::Back) => return Ok(()),
            Some(ClusterStands::Copied | ClusterStands::GoingBack) => {}
        }
        invariants::i5_no_restore_after_the_commit(self, "putting a cluster back");
        self.helper(Program::Postgres, "cluster-tools", on_behalf)
            .map_err(tool)?;
        let here = std::mem::take(&mut self.databases);
        let cluster = self.clusters.get_mut(folder).expect("it was there");
        if cluster.stands == ClusterStands::Copied {
            cluster.aside = here;
            cluster.stands = ClusterStands::GoingBack;
        }
        if when == When::After {
            cluster.stands = ClusterStands::Back;
            self.databases = std::mem::take(&mut cluster.copy);
            self.agreed_loss();
            invariants::i3_data_change_is_covered(self, "a data folder that was put back");
            self.remove(&tools(on_behalf));
        }
        Ok(())
    }

    /// Every database on the server's disk, wherever it stands.
    pub(crate) fn on_disk(&self) -> impl Iterator<Item = (&str, &Db)> {
        let clusters = self.clusters.values();
        let beside = clusters.flat_map(|cluster| cluster.copy.iter().chain(&cluster.aside));
        let all = self.databases.iter().chain(beside);
        all.map(|(name, db)| (name.as_str(), db))
    }

    /// Whether the live database is as the old version knows it, or a copy holds it so.
    pub(crate) fn has_cluster(&self) -> bool {
        let is_it = |db: &Db| db.whole && db.schema == self.setting.from_schema;
        let copies = self.clusters.values();
        let whole = copies.filter(|it| it.stands != ClusterStands::Gone);
        let live = self.databases.get(LIVE).into_iter();
        live.chain(whole.filter_map(|it| it.copy.get(LIVE)))
            .any(is_it)
    }
}
