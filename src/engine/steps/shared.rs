//! A Redis that is not of the instance's own project: a way back sets all of it back, so nobody else may use it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::domain::event::MigrationClass;
use crate::domain::run::RunState;
use crate::engine::strangers::PROJECT;
use crate::engine::{Ctx, Ports, StepError};
use crate::ports::database::Redis;
use crate::ports::runtime::{ContainerRuntime, INSTANCE_LABEL};

impl<P: Ports> Ctx<'_, P> {
    /// Refuses a Redis of somebody else in which others keep something, or to which they are connected, if this run may set it
    /// back. One of the instance's own project is taken to be the instance's alone.
    pub(super) async fn redis_is_ours_alone(&self, state: &RunState) -> Result<(), StepError> {
        let redis = &self.plan.redis;
        let restores =
            state.class() != Some(MigrationClass::M0) || self.plan.brings_data().is_some();
        if redis.owner.is_instance() || !restores {
            return Ok(());
        }
        let password = self.material.redis_password();
        let used = self.ports.redis().used(redis, &password).await?;
        let own = self.own_addresses().await?;
        let mut others: Vec<String> = used
            .clients
            .difference(&own)
            .map(|address| format!("{address} is connected to it"))
            .collect();
        let number = self.material.redis_number();
        let databases = used.databases.iter().filter(|it| **it != number);
        others.extend(databases.map(|it| format!("its database {it} is in use, beside {number}")));
        if others.is_empty() {
            return Ok(());
        }
        Err(StepError::Host(format!(
            "Redis in {} is used by others too: {}; a way back would set back what they write, so give Mastodon a Redis of its \
             own, or stop the others for the time of the update",
            redis.owner.container(&redis.container),
            others.join(", ")
        )))
    }

    /// Where the containers of the instance's project and our own helpers have their addresses.
    async fn own_addresses(&self) -> Result<BTreeSet<IpAddr>, StepError> {
        let runtime = self.ports.runtime();
        let mut all = runtime.labelled(PROJECT, &self.plan.project).await?;
        all.extend(
            runtime
                .labelled(INSTANCE_LABEL, &self.plan.instance)
                .await?,
        );
        let endpoints = all.iter().flat_map(|found| found.networks.values());
        Ok(endpoints.filter_map(|endpoint| endpoint.ip).collect())
    }
}
