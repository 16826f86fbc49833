//! A rehearsal: the running site is copied, the copy is restored into throw-away servers in a network of their own, and the
//! new version migrates it and boots there. The site stays open and is not changed.
//!
//! Nothing of it outlives it but the copy, the new images, and what it measured. What a killed process left is found by its
//! labels and removed by [`sweep`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::material::{Material, MaterialError};
use super::snapshots::HOT_METHOD;
use super::steps::role;
use super::steps::snapshot::owners_files;
use super::{Ctx, Ports, Progress, ProgressSink, StepError, StopFlag, chain, millis};
use crate::domain::plan::{
    DatabaseRef, ImageKind, Limits, Method, Plan, PlannedService, RedisRef, Role,
};
use crate::domain::rehearsal::{
    LockedTable, Measures, REHEARSAL_FORMAT, Rehearsal, Tried, Usual, images_of, prefix,
};
use crate::domain::version::ReleaseVersion;
use crate::ports::clock::Clock;
use crate::ports::database::{Database, Haste, OnBehalf, Redis};
use crate::ports::files::{MANIFEST_FORMAT, Manifest, RunFiles};
use crate::ports::runtime::{ContainerRuntime, INSTANCE_LABEL, RUN_LABEL};

mod web;

/// Between two looks at what the migrations have locked: a lock that is shorter keeps nobody waiting for long.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Locks that are told: those that people would notice, the longest of them.
const LOCKED_FOR: Duration = Duration::from_secs(2);
const LOCKED_SHOWN: usize = 10;

/// What a rehearsal works with.
struct Stage<'a, P: Ports> {
    ctx: Ctx<'a, P>,
    /// When it has to be over.
    until: Option<Timestamp>,
    stop: &'a StopFlag,
}

/// Rehearses a plan whose run's id begins with [`prefix`] of its instance; `material` is the text that belongs to it, and
/// `until` the instant by which it has to be over. The caller holds the instance's lock.
///
/// Whatever comes of it, production is as before, and nothing is left of the throw-away servers if the engine answers.
pub async fn rehearse<P: Ports>(
    ports: &P,
    plan: &Plan,
    material: &str,
    usual: &Usual,
    until: Option<Timestamp>,
    progress: ProgressSink<'_>,
    stop: &StopFlag,
) -> Result<Rehearsal, MaterialError> {
    let material = Material::parse(material, plan)?;
    let clock = ports.clock();
    let (began_at, start) = (clock.now(), clock.monotonic());
    let stage = Stage {
        ctx: Ctx {
            ports,
            plan,
            material: &material,
            progress,
            began: clock.reading(),
        },
        until,
        stop,
    };
    let tried = stage.try_out(usual).await;
    let cleaned = stage.step("clean-up", stage.clean_up(tried.is_ok())).await;
    if let Err(err) = cleaned {
        stage.ctx.note(format!(
            "what is left of the rehearsal is removed by the next start: {}",
            chain(&err)
        ));
    }
    let result = match tried {
        Ok(measures) => Tried::Passed(measures),
        Err(StepError::Target(because)) => Tried::Failed { because },
        Err(err) => Tried::NotDone {
            because: chain(&err),
        },
    };
    Ok(Rehearsal {
        format: REHEARSAL_FORMAT,
        id: plan.run.clone(),
        instance: plan.instance.clone(),
        from: plan.from.clone(),
        to: plan.to.clone(),
        images: images_of(plan),
        began_at,
        ended_at: clock.now(),
        elapsed_ms: millis(clock.monotonic().saturating_sub(start)),
        result,
    })
}

/// Removes what rehearsals of an instance left that were killed. The caller holds the instance's lock, so none is under way.
pub async fn sweep<P: Ports>(ports: &P, instance: &str) -> Result<(), StepError> {
    let (runtime, prefix) = (ports.runtime(), prefix(instance));
    let is_ours = |labels: &BTreeMap<String, String>| {
        labels
            .get(RUN_LABEL)
            .is_some_and(|run| run.starts_with(&prefix))
    };
    for container in runtime.labelled(INSTANCE_LABEL, instance).await? {
        if is_ours(&container.labels) {
            runtime.ensure_removed(&container.id).await?;
        }
    }
    for network in runtime.networks_labelled(INSTANCE_LABEL, instance).await? {
        if is_ours(&network.labels) {
            runtime.ensure_no_network(&network.name).await?;
        }
    }
    Ok(ports.files().ensure_no_partials(&prefix)?)
}

impl<P: Ports> Stage<'_, P> {
    /// Shows a step and how it ends. Begins none when it is time to stop.
    async fn step<T>(
        &self,
        step: &'static str,
        act: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        let progress = self.ctx.progress;
        progress(Progress::Began { step, back: false });
        let start = self.ctx.ports.clock().monotonic();
        let done = act.await;
        progress(Progress::Ended {
            step,
            elapsed: self.ctx.ports.clock().monotonic().saturating_sub(start),
            error: done.as_ref().err().map(|err| chain(err)),
        });
        done
    }

    /// Whether there is time for another step.
    fn may_go_on(&self) -> Result<(), StepError> {
        if self.stop.is_asked() {
            return Err(StepError::Host("it was asked to stop".to_owned()));
        }
        if self.left().is_zero() {
            return Err(StepError::Host(
                "it could not be over before the window opens".to_owned(),
            ));
        }
        Ok(())
    }

    /// What is left until it has to be over.
    fn left(&self) -> Duration {
        let Some(until) = self.until else {
            return Duration::MAX;
        };
        let left = until.duration_since(self.ctx.ports.clock().now());
        Duration::try_from(left).unwrap_or_default()
    }

    fn within(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).min(self.left())
    }

    async fn try_out(&self, usual: &Usual) -> Result<Measures, StepError> {
        let ctx = &self.ctx;
        let limits = ctx.plan.limits;
        self.may_go_on()?;
        self.step("look", ctx.room_for_rehearsal()).await?;
        self.may_go_on()?;
        let pending = self.step("pull", self.pull()).await?;
        self.may_go_on()?;
        let copied = self.step("copy", self.copy()).await?;
        self.may_go_on()?;
        let restore = self.restore(&copied.dir);
        let (scratch, restore_ms) = self.timed(self.step("restore", restore)).await?;
        let sealed = self.seal(&copied, &scratch.database).await?;
        let mut clone_ms = None;
        if ctx.plan.method == Method::Clone {
            self.may_go_on()?;
            let clone = self.step("clone", self.clone_once(&scratch.database));
            clone_ms = Some(clone.await?);
        }
        self.may_go_on()?;
        self.step("control", self.control(&scratch)).await?;
        self.may_go_on()?;
        let (mut migrated, mut migrate_ms) = (Migrated::default(), 0);
        if pending {
            let migrate = self.blaming(&scratch, self.migrate(&scratch));
            (migrated, migrate_ms) = self.timed(self.step("migrate", migrate)).await?;
            self.may_go_on()?;
        }
        let boot = self.blaming(&scratch, self.boot(&scratch, &ctx.plan.to, role::REHEARSED));
        let ((), boot_ms) = self.timed(self.step("boot", boot)).await?;
        let mut measures = Measures {
            dump_ms: copied.dump_ms,
            restore_ms,
            clone_ms,
            redis_ms: copied.redis_ms,
            redis_proof_ms: sealed.redis_proof_ms,
            migrate_ms,
            boot_ms,
            applied: migrated.applied,
            locked: migrated.locked,
            downtime_ms: 0,
            snapshot: sealed.dir.display().to_string(),
            snapshot_bytes: sealed.bytes,
        };
        let settle_ms = limits.settle_s.saturating_mul(1_000);
        measures.downtime_ms = usual.downtime_ms(&measures, settle_ms);
        Ok(measures)
    }

    async fn timed<T>(
        &self,
        act: impl Future<Output = Result<T, StepError>>,
    ) -> Result<(T, u64), StepError> {
        let start = self.ctx.ports.clock().monotonic();
        let done = act.await?;
        Ok((done, self.ctx.since(start)))
    }

    fn on_behalf(&self) -> OnBehalf {
        OnBehalf {
            gently: true,
            ..self.ctx.on_behalf()
        }
    }

    /// Brings the new images to this host; gives whether migrations are pending.
    async fn pull(&self) -> Result<bool, StepError> {
        let ctx = &self.ctx;
        for planned in &ctx.plan.images {
            ctx.pull_without_keeping(planned).await?;
        }
        let main = ctx.new_image(ImageKind::Main).await?;
        let password = ctx.material.database_password();
        let database = ctx.ports.database();
        let applied = database
            .schema_versions(&ctx.plan.database, &password)
            .await?;
        let (pending, post) = ctx.pending_in(&main.id, &applied).await?;
        Ok(!pending.is_empty() || !post.is_empty())
    }

    /// Copies the running site, which goes on meanwhile: each of the two is a point in time, and not the same one.
    async fn copy(&self) -> Result<Copied, StepError> {
        let (ctx, limit) = (&self.ctx, self.within(self.ctx.plan.limits.snapshot_s));
        let plan = ctx.plan;
        let dir = ctx.ports.files().begin_snapshot(&plan.run)?;
        let on_behalf = self.on_behalf();
        let password = ctx.material.database_password();
        let database = ctx.ports.database();
        let taken_at = ctx.ports.clock().now();
        let dump = async {
            let dump = database.dump(&plan.database, &password, &on_behalf, &dir, limit);
            Ok(dump.await?)
        };
        let ((), dump_ms) = self.timed(dump).await?;
        let password = ctx.material.redis_password();
        let dump = async {
            let redis = ctx.ports.redis();
            let dump = redis.dump(&plan.redis, &password, &on_behalf, &dir, limit);
            Ok(dump.await?)
        };
        let ((), redis_ms) = self.timed(dump).await?;
        ctx.ports
            .files()
            .copy_into(&dir, &owners_files(&ctx.material.project))?;
        Ok(Copied {
            dir,
            taken_at,
            dump_ms,
            redis_ms,
        })
    }

    /// Makes a clone in the throw-away server as the run will in the live one, and lets it go; gives how long it took.
    async fn clone_once(&self, scratch: &DatabaseRef) -> Result<u64, StepError> {
        let (ctx, limit) = (&self.ctx, self.within(self.ctx.plan.limits.snapshot_s));
        let (database, password) = (ctx.ports.database(), ctx.material.database_password());
        let name = ctx.plan.cloned_database();
        let clone = async { Ok(database.clone_to(scratch, &password, &name, limit).await?) };
        let ((), clone_ms) = self.timed(clone).await?;
        database.ensure_dropped(scratch, &password, &name).await?;
        Ok(clone_ms)
    }

    /// Restores the copy into a throw-away server, and makes an empty Redis beside it.
    async fn restore(&self, dir: &Path) -> Result<Scratch, StepError> {
        let (ctx, limit) = (&self.ctx, self.within(self.ctx.plan.limits.snapshot_s));
        let (plan, on_behalf) = (ctx.plan, self.on_behalf());
        let network = plan.isolated_network();
        let labels = ctx.labels(role::ISOLATED);
        ctx.ports
            .runtime()
            .ensure_isolated_network(&network, &labels)
            .await?;
        let (database, password) = (ctx.ports.database(), ctx.material.database_password());
        let live = &plan.database;
        let scratch = database
            .fresh_scratch(
                live,
                &password,
                &on_behalf,
                &network,
                Haste::Measured,
                limit,
            )
            .await?;
        database
            .restore_scratch(&scratch, &password, &on_behalf, dir, limit)
            .await?;
        let (redis, password) = (ctx.ports.redis(), ctx.material.redis_password());
        let redis = redis
            .fresh_scratch(&plan.redis, &password, &on_behalf, &network, limit)
            .await?;
        Ok(Scratch {
            database: scratch,
            redis,
        })
    }

    /// Lets the new version be blamed only while its surroundings stand: without them every version fails.
    async fn blaming<T>(
        &self,
        scratch: &Scratch,
        act: impl Future<Output = Result<T, StepError>>,
    ) -> Result<T, StepError> {
        let failed = match act.await {
            Err(StepError::Target(failed)) => failed,
            done => return done,
        };
        let ctx = &self.ctx;
        let password = ctx.material.database_password();
        ctx.ports
            .database()
            .schema_versions(&scratch.database, &password)
            .await?;
        for name in [&scratch.database.container, &scratch.redis.container] {
            let found = ctx.ports.runtime().container(name).await?;
            if !found.is_some_and(|found| found.state.running) {
                return Err(StepError::Host(format!(
                    "container `{name}` ended meanwhile; {failed}"
                )));
            }
        }
        Err(StepError::Target(failed))
    }

    /// Gives the copy its manifest, with the rows that came of restoring it: it is proved, and stays.
    async fn seal(&self, copied: &Copied, scratch: &DatabaseRef) -> Result<Sealed, StepError> {
        let dir = &copied.dir;
        let (ctx, limit) = (&self.ctx, self.within(self.ctx.plan.limits.snapshot_s));
        let (plan, database) = (ctx.plan, ctx.ports.database());
        let password = ctx.material.database_password();
        let rows = database.row_counts(scratch, &password, limit).await?;
        let schema = database.schema_versions(scratch, &password).await?;
        let live = database.schema_versions(&plan.database, &password).await?;
        if schema != live {
            return Err(StepError::Host(
                "the copy has another schema than the database: somebody migrated it meanwhile"
                    .to_owned(),
            ));
        }
        let on_behalf = self.on_behalf();
        let count = async {
            let redis = ctx.ports.redis();
            Ok(redis
                .count_dump(&plan.redis, &on_behalf, dir, limit)
                .await?)
        };
        let ((_, redis_keys), redis_proof_ms) = self.timed(count).await?;
        let images = plan.images.iter();
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            run: plan.run.clone(),
            instance: plan.instance.clone(),
            version: plan.from.to_string(),
            taken_at: copied.taken_at,
            images: images
                .map(|image| (image.from_reference.clone(), image.from_id.clone()))
                .collect(),
            method: HOT_METHOD.to_owned(),
            hot: true,
            original: None,
            postgres: plan.database.server_version,
            schema,
            rows,
            redis_keys,
            files: BTreeMap::new(),
        };
        let (dir, bytes) = ctx.ports.files().seal_snapshot(dir, manifest)?;
        Ok(Sealed {
            dir,
            bytes,
            redis_proof_ms,
        })
    }

    /// The old version has to boot in isolation: what it misses there the new one would miss, too, and that is not its
    /// fault.
    async fn control(&self, scratch: &Scratch) -> Result<(), StepError> {
        self.boot(scratch, &self.ctx.plan.from, role::CONTROL)
            .await
            .map(drop)
            .map_err(|err| match err {
                StepError::Target(why) => StepError::Host(format!(
                    "not even the version that runs starts without the rest of its surroundings: {why}"
                )),
                other @ (StepError::Host(_)
                | StepError::NotBegun(_)
                | StepError::NeedsPerson(_)
                | StepError::Runtime(_)
                | StepError::Data(_)
                | StepError::Compose(_)
                | StepError::Files(_)) => other,
            })
    }

    async fn migrate(&self, servers: &Scratch) -> Result<Migrated, StepError> {
        let ctx = &self.ctx;
        let web = ctx.first(Role::Web)?;
        let (database, scratch) = (ctx.ports.database(), &servers.database);
        let password = ctx.material.database_password();
        let before = database.schema_versions(scratch, &password).await?;
        let command = ["bundle", "exec", "rails", "db:migrate"].map(str::to_owned);
        let id = self
            .one_off(servers, web, role::MIGRATE, command.into(), &ctx.plan.to)
            .await?;
        let limit = self.within(ctx.plan.limits.migrate_s);
        ctx.ports.runtime().ensure_running(&id).await?;
        let is_over = AtomicBool::new(false);
        let waits = async {
            let exit = ctx.ports.runtime().wait(&id, limit).await;
            is_over.store(true, Ordering::SeqCst);
            exit
        };
        let (exit, locked) = tokio::join!(waits, self.watch_locks(scratch, &is_over));
        self.migrated_well(&id, exit).await?;
        ctx.ports.runtime().ensure_removed(&id).await?;
        let after = database.schema_versions(scratch, &password).await?;
        let main = ctx.new_image(ImageKind::Main).await?;
        let (pending, post) = ctx.pending_in(&main.id, &after).await?;
        if let Some(version) = pending.iter().chain(&post).next() {
            return Err(StepError::Target(format!(
                "the migrations of {} ended well, yet {version} is not applied",
                ctx.plan.to
            )));
        }
        Ok(Migrated {
            applied: super::steps::snapshot::count(after.difference(&before).count()),
            locked,
        })
    }

    /// Looks every second which tables nobody else could use. What cannot be asked is not told.
    async fn watch_locks(&self, scratch: &DatabaseRef, is_over: &AtomicBool) -> Vec<LockedTable> {
        let (clock, database) = (self.ctx.ports.clock(), self.ctx.ports.database());
        let password = self.ctx.material.database_password();
        let mut locked: BTreeMap<String, Duration> = BTreeMap::new();
        let mut last = clock.monotonic();
        while !is_over.load(Ordering::SeqCst) {
            clock.pause(BETWEEN_LOOKS).await;
            let now = clock.monotonic();
            let since = now.saturating_sub(last);
            last = now;
            let tables = database.locked_tables(scratch, &password).await;
            for table in tables.unwrap_or_default() {
                let length = locked.entry(table).or_default();
                *length = length.saturating_add(since);
            }
        }
        let mut long: Vec<LockedTable> = locked
            .into_iter()
            .filter(|(_, length)| *length >= LOCKED_FOR)
            .map(|(table, length)| LockedTable {
                table,
                ms: millis(length),
            })
            .collect();
        long.sort_by(|a, b| (b.ms, &a.table).cmp(&(a.ms, &b.table)));
        long.truncate(LOCKED_SHOWN);
        long
    }

    /// Boots a version's web on the throw-away servers and asks it every probe.
    async fn boot(
        &self,
        servers: &Scratch,
        version: &ReleaseVersion,
        role: &'static str,
    ) -> Result<(), StepError> {
        let web = self.ctx.first(Role::Web)?;
        let command = self.web_command(web)?;
        let id = self.one_off(servers, web, role, command, version).await?;
        self.ctx.ports.runtime().ensure_running(&id).await?;
        let boot_s = self.within(self.ctx.plan.limits.boot_s).as_secs();
        let limits = Limits {
            boot_s,
            ..self.ctx.plan.limits
        };
        let plan = Plan {
            limits,
            ..self.ctx.plan.clone()
        };
        let ctx = Ctx {
            ports: self.ctx.ports,
            plan: &plan,
            material: self.ctx.material,
            progress: self.ctx.progress,
            began: self.ctx.began,
        };
        let isolated = PlannedService {
            private_networks: vec![plan.isolated_network()],
            public_networks: Vec::new(),
            ..web.clone()
        };
        ctx.until_well(&id, &isolated, version, true).await?;
        ctx.ports.runtime().ensure_removed(&id).await?;
        Ok(())
    }

    /// Removes everything of this rehearsal but its copy, and the copies of earlier rehearsals. What a person took while the site
    /// was open stays. A copy that was not finished goes, too.
    async fn clean_up(&self, passed: bool) -> Result<(), StepError> {
        let ctx = &self.ctx;
        ctx.remove_helpers().await?;
        let files = ctx.ports.files();
        files.ensure_no_partial(&ctx.plan.run)?;
        if passed {
            let (plan, prefix) = (ctx.plan, prefix(&ctx.plan.instance));
            let mut earlier = files.snapshots(&plan.instance)?;
            earlier.retain(|found| {
                found.hot && found.run != plan.run && found.run.starts_with(&prefix)
            });
            let runs: Vec<String> = earlier.into_iter().map(|found| found.run).collect();
            files.remove_snapshots(&runs)?;
        }
        Ok(())
    }
}

/// What was copied of the running site, and how long that took.
struct Copied {
    dir: PathBuf,
    /// When the copy of the database begins, which is what it shows.
    taken_at: Timestamp,
    dump_ms: u64,
    redis_ms: u64,
}

/// The proved copy.
struct Sealed {
    dir: PathBuf,
    bytes: u64,
    redis_proof_ms: u64,
}

/// The throw-away servers.
struct Scratch {
    database: DatabaseRef,
    redis: RedisRef,
}

/// What migrating the copy showed.
#[derive(Debug, Default)]
struct Migrated {
    applied: u64,
    locked: Vec<LockedTable>,
}
