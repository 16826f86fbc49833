//! A rehearsal that the daemon makes by itself.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Daemon, DaemonError, order};
use crate::config::Instance;
use crate::daemon::act;
use crate::daemon::world::{self, World};
use crate::daemon::{feeds, notices, rehearsals};
use crate::domain::plan::Plan;
use crate::domain::published::Published;
use crate::engine::planner::Depth;
use crate::ports::clock::Clock;

impl Daemon {
    /// Whether a plan may not start because it was not rehearsed; people are told.
    pub(super) fn must_be_rehearsed(&self, world: &World, plan: &Plan) -> bool {
        let because = rehearsals::refusal(&self.settings, plan);
        if let Some(because) = &because {
            let (store, now) = (world.store(), self.clock.now());
            notices::not_rehearsed(store, &self.settings, plan, because, false, now);
        }
        because.is_some()
    }

    /// Rehearses what the policy would choose, if a closer look still says so.
    pub(super) async fn rehearse(
        &self,
        world: &World,
        instance: &Instance,
        published: &Arc<Published>,
        until: Option<Timestamp>,
    ) -> Result<(), DaemonError> {
        let github = world::github(&self.settings)?;
        let poller = feeds::poller(world.store(), &github, None, &self.settings);
        if poller.may_plan(self.clock.now())?.is_err() {
            return Ok(());
        }
        let lock = act::lock(&self.settings, instance)?;
        if act::held(world, instance)?.is_some() {
            return Ok(());
        }
        let depth = Depth::Thorough;
        let (seen, decision) = self.judge(world, instance, published, depth).await?;
        let Some(target) = &decision.target else {
            return Ok(());
        };
        let survey = seen.survey?;
        let order = order(target, &decision, None, &seen.needed);
        tracing::info!(
            "{}: the update {} -> {} is rehearsed",
            instance.name,
            survey.installed,
            target.version
        );
        let (show, stop) = (|progress| self.show(progress), self.bell.stop());
        let (settings, survey) = (&self.settings, &survey);
        let done = rehearsals::rehearse(
            world, &github, settings, instance, survey, order, until, &lock, &show, stop,
        )
        .await;
        poller.planned(act::asked(&done), done.is_ok(), self.clock.now())?;
        rehearsals::log(&done?);
        Ok(())
    }
}
