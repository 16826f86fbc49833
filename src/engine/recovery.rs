//! What a starting process finds of an earlier one's run, and how it is taken up again.
//!
//! Read are the journal, Docker's objects of the run, the database's own `schema_migrations`, the snapshot's manifest, and
//! the marks beside the plan. Looking changes nothing of the run; PostgreSQL and Redis are started if somebody stopped them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::drive::{self, DriveError, Ended};
use super::steps::check::CONFIG_HASH;
use super::steps::role;
use super::{Ctx, Ports, ProgressSink, StepError, StopFlag};
use crate::domain::event::{MigrationClass, Outcome, Step, class_of};
use crate::domain::plan::{ImageKind, Plan, PlannedImage, PlannedService, Role};
use crate::domain::recovery::{Evidence, SnapshotSeen};
use crate::domain::run::RunState;
use crate::ports::clock::Clock;
use crate::ports::compose::{ComposeProject, FileState};
use crate::ports::database::Database;
use crate::ports::files::{FilesError, Mark, RunFiles};
use crate::ports::runtime::{Container, ContainerRuntime, ROLE_LABEL, RUN_LABEL};
use crate::ports::store::{Journal, StoreError};

/// Times a journal is read before it counts as unreadable.
const READS: u32 = 5;
/// Between them: another process may be writing, and SQLite itself waits some seconds for that.
const BETWEEN_READS: Duration = Duration::from_secs(1);

/// Takes up whatever run of an instance an earlier process left: one that the journal knows, or one whose journal is
/// lost and whose plan is still beside its material.
///
/// The caller holds the instance's lock. `None` if there is nothing to take up. A journal that cannot be read or written
/// does not keep the site closed: the run is then carried to its end from memory, and [`Ended::trouble`] says so.
pub async fn recover<P: Ports>(
    ports: &P,
    instance: &str,
    because: &str,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Option<Ended>, DriveError> {
    match ask(ports, || ports.journal().unfinished(instance)).await {
        Ok(Some(run)) => {
            let ended = drive::resume(ports, run, because, progress, stop).await?;
            Ok(Some(ended))
        }
        Ok(None) => lost(ports, instance, None, progress, stop).await,
        Err(err) => lost(ports, instance, Some(err), progress, stop).await,
    }
}

/// Asks a journal that cannot be read again: to do without it is the last resort.
async fn ask<P: Ports, T>(
    ports: &P,
    question: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut tries_left = READS;
    loop {
        tries_left = tries_left.saturating_sub(1);
        match question() {
            Err(StoreError::NoSuchRun { run }) => return Err(StoreError::NoSuchRun { run }),
            Err(_) if tries_left > 0 => ports.clock().pause(BETWEEN_READS).await,
            found => return found,
        }
    }
}

/// Looks for a run that left its plan, and that the journal does not know.
async fn lost<P: Ports>(
    ports: &P,
    instance: &str,
    mut unreadable: Option<StoreError>,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Option<Ended>, DriveError> {
    let plans = ports.files().open_plans();
    let plans = plans.map_err(|source| DriveError::Material {
        run: instance.to_owned(),
        source,
    })?;
    let mut first_error = None;
    for (run, text) in plans {
        if planned_for(&text).is_some_and(|other| other != instance) {
            continue;
        }
        if unreadable.is_none() {
            match ask(ports, || ports.journal().run(&run)).await {
                Ok(stored) => {
                    // Only a held run still needs its plan.
                    let state = RunState::fold(&stored.journal).unwrap_or_default();
                    if state
                        .outcome()
                        .is_some_and(|(outcome, _)| outcome != Outcome::Held)
                    {
                        forget(ports, &run);
                    }
                    continue;
                }
                Err(StoreError::NoSuchRun { .. }) => {}
                Err(err) => unreadable = Some(err),
            }
        }
        let plan = match serde_json::from_str::<Plan>(&text) {
            Ok(plan) => plan,
            // Another one may have closed the site.
            Err(err) => {
                let source = FilesError::json(&err);
                first_error.get_or_insert(DriveError::Material { run, source });
                continue;
            }
        };
        let is_readable = unreadable.is_none();
        // Held means that nothing moves, whether or not its journal can be read.
        let is_held = ports.files().has_mark(&run, Mark::Held).unwrap_or(true);
        if !is_readable && is_held {
            continue;
        }
        match drive::rebuild(ports, plan, &mut unreadable, progress, stop).await {
            Ok(Some(ended)) => return Ok(Some(ended)),
            Ok(None) => {}
            Err(err) => {
                first_error.get_or_insert(err);
                continue;
            }
        }
        if is_readable {
            let tidied = ports.files().ensure_no_partial(&run);
            tidied.map_err(|source| DriveError::Material {
                run: run.clone(),
                source,
            })?;
            forget(ports, &run);
        }
    }
    if let Some(err) = first_error {
        return Err(err);
    }
    match unreadable {
        None => Ok(None),
        Some(source) => Err(DriveError::Journal {
            run: instance.to_owned(),
            source,
        }),
    }
}

/// The instance that a plan file is for, as far as that can be read.
pub fn planned_for(plan: &str) -> Option<String> {
    let plan: serde_json::Value = serde_json::from_str(plan).ok()?;
    Some(plan.get("instance")?.as_str()?.to_owned())
}

/// A plan file that stays does no harm: it is looked at again.
fn forget<P: Ports>(ports: &P, run: &str) {
    drop(ports.files().close_plan(run));
}

impl<P: Ports> Ctx<'_, P> {
    /// What the world shows of this run. What takes long is looked at only where it can tell something beside `known`,
    /// the folded journal; `None` if that is lost.
    pub(super) async fn evidence(&self, known: Option<&RunState>) -> Result<Evidence, StepError> {
        // A run that was interrupted before its first step has gone as far as preflight.
        let furthest = known.map(|state| state.furthest().unwrap_or(Step::Preflight));
        let runtime = self.ports.runtime();
        let ours = runtime.labelled(RUN_LABEL, &self.plan.run).await?;
        let networks = runtime.networks_labelled(RUN_LABEL, &self.plan.run).await?;
        let (new, others): (Vec<_>, Vec<_>) = ours.iter().partition(|found| self.is_new(found));
        let mark = |mark| self.ports.files().has_mark(&self.plan.run, mark);
        let mut seen = Evidence {
            was_held: !known.is_some_and(RunState::was_ordered) && mark(Mark::Held)?,
            opened: self.was_let_in(&new)
                // The owner may have written the same: only behind the mark it is our doing.
                || (!new.is_empty() && mark(Mark::Committing)? && self.files_were_edited()?),
            // A journal that knows no step that comes so late is older than the mark; unless a person has decided since.
            may_be_committed: !known
                .is_some_and(|known| known.was_verified() || known.was_ordered())
                && mark(Mark::Committing)?,
            new_containers: !new.is_empty(),
            migrating: others.iter().any(|found| has_role(found, role::MIGRATE)),
            may_have_migrated: furthest < Some(Step::Migrate) && mark(Mark::Migrating)?,
            leftovers: !others.is_empty()
                || !networks.is_empty()
                || self.any_image_is_kept().await?,
            ..Evidence::default()
        };
        for container in &new {
            let service = container.labels.get("com.docker.compose.service");
            if let Some((service, hash)) = service.zip(container.labels.get(CONFIG_HASH)) {
                seen.config_hashes.insert(service.clone(), hash.clone());
            }
        }
        let is_news = furthest < Some(Step::Snapshot);
        let snapshot = is_news.then(|| self.ports.files().open_snapshot(&self.plan.run));
        let taken_at = match snapshot.unwrap_or(Ok(None)) {
            Ok(Some((_, manifest))) => {
                seen.snapshot = SnapshotSeen::Whole;
                Some(manifest.taken_at)
            }
            Ok(None) => None,
            Err(_) => {
                seen.snapshot = SnapshotSeen::Damaged;
                None
            }
        };
        // A way back that was cut off has given the policies back, and not started everything yet.
        let is_fencing = mark(Mark::Fencing)?;
        let was_fencing = seen.snapshot != SnapshotSeen::None || is_fencing;
        // Before the commit, whatever runs the new version without being of this run is somebody's update by hand.
        let knows_new = known.is_some_and(RunState::is_committed) || mark(Mark::Committing)?;
        for service in &self.plan.services {
            let Some(found) = runtime.container(&service.id).await? else {
                // Its owner may have made it anew since. Or it is we who did, and have not started it.
                let anew = runtime.container(&service.container).await?;
                let anew = anew.filter(|anew| anew.state.running);
                seen.fenced |= was_fencing && anew.is_none();
                if let Some(anew) = anew.filter(|anew| self.is_another(anew, knows_new)) {
                    seen.moved_on = Some(anew.name);
                }
                continue;
            };
            seen.old_aside |= found.name == self.plan.kept_name(service);
            // A policy that its owner wished to be none tells nothing.
            let is_told = self.has_policy(service)?;
            seen.fenced |= (was_fencing && !found.state.running)
                || (is_fencing && !is_told)
                || self.is_fenced(service, &found)?;
            let started = &found.state.started_at;
            let is_older = taken_at.is_none_or(|taken_at| is_before(started, taken_at));
            let known = if is_older { started.as_str() } else { "" };
            seen.started.insert(found.id, known.to_owned());
        }
        if known.is_some_and(RunState::only_committed) {
            seen.taken_back = self.is_taken_back(&seen).await?;
        }
        let is_moving = seen.fenced || seen.old_aside || seen.new_containers;
        let may_tell = furthest.is_none() || (is_moving && furthest < Some(Step::Migrate));
        if may_tell {
            let told = self.schema_seen().await;
            seen.schema_moved = told.map(|(moved, _)| moved);
            seen.class = told.map(|(_, class)| class);
        }
        Ok(seen)
    }

    /// Whether a way back was begun of a run of which the journal knows nothing after its commit.
    async fn is_taken_back(&self, seen: &Evidence) -> Result<bool, StepError> {
        // Nothing of this is begun before the intent to go back is durable.
        if self.is_putting_back().await? {
            return Ok(true);
        }
        self.data_answer().await?;
        let has_remark = self.was_restored().await;
        // The mark stands before the commit is written, and goes only where that was refused. Of a way back that was cut off
        // then, nothing else may show: a database that was renamed and has no remark yet, for one.
        let was_refused = !self
            .ports
            .files()
            .has_mark(&self.plan.run, Mark::Committing)?;
        let is_home = !seen.new_containers && !seen.old_aside;
        Ok(has_remark || (!seen.opened && (was_refused || is_home)))
    }

    /// Whether a new web or streaming container was started while it had a network that leads outside.
    fn was_let_in(&self, new: &[&Container]) -> bool {
        self.plan
            .services
            .iter()
            .filter(|service| service.role != Role::Sidekiq)
            .any(|service| {
                new.iter().any(|found| {
                    found.name == service.container
                        && found.state.started()
                        && service
                            .public_networks
                            .iter()
                            .any(|network| found.networks.contains_key(network))
                })
            })
    }

    /// The owner's files name the new version only after the site was opened on it.
    fn files_were_edited(&self) -> Result<bool, StepError> {
        for edit in &self.material.edits {
            if self.ports.compose().state(edit)? == FileState::After {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn any_image_is_kept(&self) -> Result<bool, StepError> {
        for image in &self.plan.images {
            for new in [false, true] {
                let reference = self.plan.keep_reference(image, new);
                if self.ports.runtime().image(&reference).await?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether a container is neither of this run nor runs what the plan knows.
    fn is_another(&self, found: &Container, knows_new: bool) -> bool {
        let is_known = |image: &PlannedImage| {
            found.image_id == image.from_id || (knows_new && found.image == image.to_reference)
        };
        found.labels.get(RUN_LABEL) != Some(&self.plan.run)
            && !self.plan.images.iter().any(is_known)
    }

    /// Whether the owner wished the engine to start the container by itself.
    fn has_policy(&self, service: &PlannedService) -> Result<bool, StepError> {
        let wanted = self.restart_policy(service)?;
        let wanted = wanted.get("Name").and_then(serde_json::Value::as_str);
        Ok(wanted.is_some_and(|wanted| !is_no_policy(wanted)))
    }

    /// Whether the engine would not start the old container as its owner wished. An owner who wishes nothing is
    /// answered by whether it runs.
    fn is_fenced(&self, service: &PlannedService, found: &Container) -> Result<bool, StepError> {
        Ok(if self.has_policy(service)? {
            is_no_policy(&found.restart_policy)
        } else {
            !found.state.running
        })
    }

    /// Whether a migration that only the new image brings is applied, and of which class what it brings is. `None` where
    /// the images or the database cannot be asked.
    async fn schema_seen(&self) -> Option<(bool, MigrationClass)> {
        if self.plan.restore.is_some() {
            return self.restore_seen().await;
        }
        let planned = self
            .plan
            .images
            .iter()
            .find(|image| image.kind == ImageKind::Main)?;
        let new = self.new_image(ImageKind::Main).await.ok()?;
        let nothing = BTreeSet::new();
        let (before, before_post) = self.pending_in(&planned.from_id, &nothing).await.ok()?;
        let known: BTreeSet<String> = before.into_iter().chain(before_post).collect();
        let (brought, brought_post) = self.pending_in(&new.id, &known).await.ok()?;
        let password = self.material.database_password();
        let database = self.ports.database();
        let applied = database
            .schema_versions(&self.plan.database, &password)
            .await
            .ok()?;
        let moved = brought
            .iter()
            .chain(&brought_post)
            .any(|version| applied.contains(version));
        Some((moved, class_of(&brought, &brought_post)))
    }
}

/// Whether the engine starts nothing by itself with a restart policy of this name.
pub(super) fn is_no_policy(name: &str) -> bool {
    matches!(name, "" | "no")
}

fn has_role(container: &Container, role: &str) -> bool {
    container
        .labels
        .get(ROLE_LABEL)
        .is_some_and(|found| found == role)
}

fn is_before(started_at: &str, taken_at: Timestamp) -> bool {
    started_at
        .parse::<Timestamp>()
        .is_ok_and(|started| started <= taken_at)
}
