//! Preflight: is everything as the plan says, and will there be room? Changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::event::{Finding, MigrationClass};
use crate::domain::path::lines;
use crate::domain::plan::{ImageKind, Method, Proof};
use crate::domain::room::{Need, SPARE, copies, in_server, shortage, usually_migrates};
use crate::domain::run::RunState;
use crate::domain::version::ReleaseVersion;
use crate::engine::{Ctx, Ports, StepError};
use crate::ports::compose::{ComposeProject, FileState};
use crate::ports::database::{Database, Redis};
use crate::ports::files::RunFiles;
use crate::ports::runtime::ContainerRuntime;

/// Labels in which Compose keeps the hash of a service's definition.
pub(crate) const CONFIG_HASH: &str = "com.docker.compose.config-hash";

/// Room that stays free beside a snapshot, for what the program itself writes, journals and mails: 64 MiB.
const SPARE_BESIDE_SNAPSHOT: u64 = 64 << 20;
/// Files that a dump or an image may make: a dump has two per table, and a Mastodon has about 150 tables.
const INODES: u64 = 2_000;

/// Files of a fresh server and of a dump in it: PostgreSQL has some 1,000 of its own for each of four databases, and up to
/// four for each table and index of Mastodon, which has about 700 of both.
const SCRATCH_INODES: u64 = 8_000;

impl<P: Ports> Ctx<'_, P> {
    pub(super) async fn preflight(&self) -> Result<Finding, StepError> {
        self.ports.runtime().info().await?;
        self.containers_as_planned().await?;
        self.no_unapplied_edits().await?;
        self.environment_fits()?;
        self.servers_fit().await?;
        if let Some(restore) = self.plan.brings_data() {
            self.can_be_restored(restore).await?;
        }
        self.room_for_run().await?;
        // A site that is not well is what people take an update back for.
        if self.plan.restore.is_none() {
            self.old_version_is_well().await?;
        }
        Ok(Finding::Nothing)
    }

    /// Containers, files and images are still the planned ones.
    pub(super) async fn still_as_planned(&self) -> Result<(), StepError> {
        self.containers_as_planned().await?;
        self.files_as_planned()?;
        for image in &self.plan.images {
            self.new_image(image.kind).await?;
        }
        Ok(())
    }

    async fn containers_as_planned(&self) -> Result<(), StepError> {
        for service in &self.plan.services {
            let container = self.ports.runtime().container(&service.container).await?;
            let Some(container) = container.filter(|found| found.id == service.id) else {
                return Err(StepError::Host(format!(
                    "container `{}` is not the one the plan was made with; plan again",
                    service.container
                )));
            };
            // A site that is down is what people take an update back for.
            if !container.state.running && self.plan.restore.is_none() {
                return Err(StepError::Host(format!(
                    "container `{}` is not running; an update starts only from a healthy site",
                    service.container
                )));
            }
        }
        Ok(())
    }

    /// What runs must be what the owner's files say now, or an update would bring in edits that nobody
    /// has tried.
    async fn no_unapplied_edits(&self) -> Result<(), StepError> {
        self.files_as_planned()?;
        let services = self.service_names();
        let hashes = self
            .ports
            .compose()
            .hashes(&self.material.project, &[], &services)
            .await?;
        for service in &self.plan.services {
            let running = self
                .material
                .container(service)
                .and_then(|container| container.labels.get(CONFIG_HASH));
            if hashes.get(&service.service) != running {
                return Err(StepError::Host(format!(
                    "service `{}` does not run as the Compose file says: somebody edited the file or \
                     its environment and has not applied it; run `up -d` for it, or take the edit back",
                    service.service
                )));
            }
        }
        Ok(())
    }

    fn files_as_planned(&self) -> Result<(), StepError> {
        for edit in &self.material.edits {
            if self.ports.compose().state(edit)? != FileState::Before {
                return Err(StepError::Host(format!(
                    "{} was changed after the plan was made; plan again",
                    edit.path.display()
                )));
            }
        }
        Ok(())
    }

    fn environment_fits(&self) -> Result<(), StepError> {
        for service in &self.plan.services {
            let Some(container) = self.material.container(service) else {
                continue;
            };
            if service.role.image() == ImageKind::Main
                && let Some(problem) = environment_problem(&container.env, &self.plan.to)
            {
                return Err(StepError::Host(format!(
                    "service `{}`: {problem}",
                    service.service
                )));
            }
        }
        Ok(())
    }

    async fn servers_fit(&self) -> Result<(), StepError> {
        let (to, database) = (&self.plan.to, &self.plan.database);
        let facts = self
            .ports
            .database()
            .facts(database, &self.material.database_password())
            .await?;
        if let Some(problem) = postgresql_problem(facts.version, to) {
            return Err(StepError::Host(problem));
        }
        if !facts.may_create_databases {
            return Err(StepError::Host(format!(
                "role `{}` may not create databases, so a damaged one could not be restored; \
                 `ALTER ROLE \"{}\" CREATEDB` allows it",
                database.user, database.user
            )));
        }
        let dump = self
            .plan
            .brings_data()
            .is_some_and(|it| it.database.is_none());
        if let Some(why) = facts
            .no_clone
            .filter(|_| self.plan.method == Method::Clone && !dump)
        {
            return Err(StepError::Host(format!(
                "database `{}` cannot be cloned: {why}; set `snapshot = \"auto\"` or `\"logical\"` in [run], or change that",
                database.name
            )));
        }
        if let Some(why) = facts
            .no_cluster
            .filter(|_| self.plan.method == Method::Physical)
        {
            return Err(StepError::Host(format!(
                "the data folder of the server of database `{}` cannot be copied: {why}; set `snapshot = \"auto\"` or \
                 `\"logical\"` in [run], or change that",
                database.name
            )));
        }
        let is_dumped = self.plan.method == Method::Logical || dump;
        if !facts.foreign_extensions.is_empty() && is_dumped {
            return Err(StepError::Host(format!(
                "role `{}` could not restore the extensions {} of database `{}`, which an administrator \
                 made; make the role a superuser, or drop them",
                database.user,
                facts.foreign_extensions.join(", "),
                database.name
            )));
        }
        let redis = self
            .ports
            .redis()
            .version(&self.plan.redis, &self.material.redis_password())
            .await?;
        redis_problem(&redis, to).map_or(Ok(()), |problem| Err(StepError::Host(problem)))
    }

    /// Room for everything that the run will make, as far as is known before its images are here.
    async fn room_for_run(&self) -> Result<(), StepError> {
        let info = self.ports.runtime().info().await?;
        let images = images_need(self.ports.files(), &info.data_root, self.images_bytes())?;
        let needs = vec![images];
        self.there_is_room(needs, usually_migrates(self.plan.kind))
            .await
    }

    /// Room for the copies, now that the images are here and it is known whether they bring migrations.
    pub(super) async fn room_for_copies(&self, state: &RunState) -> Result<(), StepError> {
        let migrates = state.class() != Some(MigrationClass::M0);
        self.there_is_room(Vec::new(), migrates).await
    }

    /// Whether there is room for the copies and whatever else is needed, each on the file system where it will be: what
    /// shares one is added up.
    async fn there_is_room(&self, mut needs: Vec<Need>, migrates: bool) -> Result<(), StepError> {
        let (method, files) = (self.plan.method, self.ports.files());
        let dump = match (method, self.plan.brings_data()) {
            (Method::Logical, _) => self.plan.database.bytes,
            (_, Some(restore)) if self.is_cluster(restore)? => self.plan.database.bytes,
            (Method::Clone | Method::Physical, _) => 0,
        };
        needs.push(snapshot_need(files, dump)?);
        let mut proving = needs.clone();
        let n_copies = copies(method, self.plan.shares_blocks, migrates);
        if let Some(restore) = self.plan.brings_data() {
            needs.extend(in_server(&self.places_of_copy(restore).await?, 1));
        } else if n_copies > 0 {
            let password = self.material.database_password();
            let database = self.ports.database();
            let places = database.places(&self.plan.database, &password).await?;
            needs.extend(in_server(&places, n_copies));
        }
        is_enough(&needs)?;
        if method == Method::Logical && self.plan.proof == Proof::Restore {
            // It is gone before the migrations begin: what they need is not added to it.
            let root = self.ports.runtime().info().await?.data_root;
            proving.push(scratch_need(files, &root, self.plan.database.bytes)?);
            if let Some(short) = shortage(&proving) {
                return Err(StepError::Host(format!(
                    "{short}; make room and try again, or set `proof = \"read\"` in [run]"
                )));
            }
        }
        Ok(())
    }

    /// Room for a rehearsal: the copy, the new images, and the throw-away server, whose database grows while it is migrated.
    pub(crate) async fn room_for_rehearsal(&self) -> Result<(), StepError> {
        let (files, bytes) = (self.ports.files(), self.plan.database.bytes);
        let root = self.ports.runtime().info().await?.data_root;
        // A migration may write a table anew beside the old one.
        let grown = bytes.saturating_mul(2);
        is_enough(&[
            Need {
                what: "the copy of the running site",
                ..snapshot_need(files, bytes)?
            },
            images_need(files, &root, self.images_bytes())?,
            scratch_need(files, &root, grown)?,
        ])
    }

    /// Bytes of the images that run.
    fn images_bytes(&self) -> u64 {
        self.material.images.values().map(|image| image.size).sum()
    }

    async fn old_version_is_well(&self) -> Result<(), StepError> {
        for service in &self.plan.services {
            if let Err(wrong) = self
                .probe_once(&service.id, service, &self.plan.from)
                .await?
            {
                return Err(StepError::Host(format!(
                    "{} is not well before the update: {wrong}; an update starts only from a healthy site",
                    service.service
                )));
            }
        }
        Ok(())
    }
}

/// What the new images need, which are about as big as those that run.
fn images_need<F: RunFiles>(files: &F, data_root: &Path, bytes: u64) -> Result<Need, StepError> {
    need(files, "the new images", data_root, bytes, INODES)
}

/// What a throw-away server needs with a database of so many bytes. Its data lie in its container, where the engine keeps those.
fn scratch_need<F: RunFiles>(files: &F, data_root: &Path, bytes: u64) -> Result<Need, StepError> {
    need(
        files,
        "a throw-away server",
        data_root,
        bytes,
        SCRATCH_INODES,
    )
}

/// What is lacking, if anything is, for a throw-away server with a copy of a database of so many bytes, beside new images of so
/// many and the copy itself.
pub(crate) fn scratch_shortage<F: RunFiles>(
    files: &F,
    data_root: &Path,
    images: u64,
    database: u64,
) -> Result<Option<String>, StepError> {
    Ok(shortage(&[
        images_need(files, data_root, images)?,
        snapshot_need(files, database)?,
        scratch_need(files, data_root, database)?,
    ]))
}

/// What a snapshot needs that takes so many bytes.
fn snapshot_need<F: RunFiles>(files: &F, bytes: u64) -> Result<Need, StepError> {
    Ok(Need {
        spare: SPARE_BESIDE_SNAPSHOT,
        ..need(files, "the snapshot", files.snapshot_root(), bytes, INODES)?
    })
}

fn need<F: RunFiles>(
    files: &F,
    what: &'static str,
    place: &Path,
    bytes: u64,
    inodes: u64,
) -> Result<Need, StepError> {
    Ok(Need {
        what,
        place: place.display().to_string(),
        bytes,
        inodes,
        spare: SPARE,
        room: files.room(place)?,
    })
}

/// Refuses where a snapshot of so many bytes does not fit.
pub(crate) fn room_for_snapshot<F: RunFiles>(files: &F, bytes: u64) -> Result<(), StepError> {
    is_enough(&[snapshot_need(files, bytes)?])
}

fn is_enough(needs: &[Need]) -> Result<(), StepError> {
    shortage(needs).map_or(Ok(()), |short| {
        Err(StepError::Host(format!("{short}; make room and try again")))
    })
}

/// What stands in the way in an environment, as one sentence.
fn environment_problem(env: &BTreeMap<String, String>, to: &ReleaseVersion) -> Option<String> {
    let missing: Vec<&str> = [
        "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY",
        "ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT",
        "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY",
    ]
    .into_iter()
    .filter(|key| env.get(*key).is_none_or(String::is_empty))
    .collect();
    let line = to.line();
    if (line.major, line.minor) >= (4, 3) && !missing.is_empty() {
        return Some(format!(
            "Mastodon {to} does not start without {}; make them once with `bin/rails db:encryption:init`",
            missing.join(", ")
        ));
    }
    if (line.major, line.minor) >= (4, 4) && env.contains_key("REDIS_NAMESPACE") {
        return Some(format!(
            "Mastodon {to} does not start with REDIS_NAMESPACE; move the keys first"
        ));
    }
    env.contains_key("SKIP_POST_DEPLOYMENT_MIGRATIONS").then(|| {
        "SKIP_POST_DEPLOYMENT_MIGRATIONS is set, whatever its value, and would leave migrations undone; \
         remove it"
            .to_owned()
    })
}

/// What stands in the way in the database server's version, as one sentence.
fn postgresql_problem(here: u32, to: &ReleaseVersion) -> Option<String> {
    let shown = lines::postgresql_text(here);
    let needed = lines::holding(to.line())?.postgresql;
    if here < needed {
        let needed = lines::postgresql_text(needed);
        return Some(format!(
            "Mastodon {to} needs PostgreSQL {needed} or newer, here runs {shown}; move PostgreSQL first"
        ));
    }
    lines::excludes_postgresql(to.line(), here).then(|| {
        format!(
            "Mastodon {to} excludes PostgreSQL {shown}, because it damages indexes; update PostgreSQL within its major \
             version first, and rebuild the indexes (`REINDEX DATABASE`)"
        )
    })
}

/// What stands in the way in Redis' version, as one sentence. A version that cannot be read is too old.
fn redis_problem(here: &str, to: &ReleaseVersion) -> Option<String> {
    let needed = lines::holding(to.line())?.redis;
    let fits = lines::redis_pair(here).is_some_and(|here| here >= needed);
    let (major, minor) = needed;
    (!fits).then(|| {
        format!(
            "Mastodon {to} needs Redis {major}.{minor} or newer, here runs {here}; move Redis first"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_are_held_to_the_table_of_lines() {
        for (to, postgresql, redis, fits) in [
            ("4.2.29", 100_000, "4.0.14", (true, true)),
            ("4.2.29", 90_624, "3.2", (false, false)),
            ("4.2.29", 140_003, "7.2.4", (true, true)),
            ("4.3.23", 140_003, "unstable", (false, false)),
            ("4.4.27", 140_000, "6.0.16", (false, false)),
            ("4.4.27", 130_009, "6.2.14", (true, true)),
            ("4.5.20", 139_999, "6.2.14", (false, false)),
            ("4.9.1", 140_004, "7.0", (true, true)),
        ] {
            let to: ReleaseVersion = to.parse().unwrap();
            let found = (
                postgresql_problem(postgresql, &to).is_none(),
                redis_problem(redis, &to).is_none(),
            );
            assert_eq!(found, fits, "{to} on {postgresql} and {redis}");
        }
        let to: ReleaseVersion = "4.5.20".parse().unwrap();
        assert_eq!(
            postgresql_problem(130_009, &to).unwrap(),
            "Mastodon 4.5.20 needs PostgreSQL 14 or newer, here runs 13.9; move PostgreSQL first"
        );
    }
}
