//! PostgreSQL and Redis.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mastopatch::domain::plan::{DatabaseRef, RedisRef};
use mastopatch::domain::room::{DataPlace, Room};
use mastopatch::ports::database::{
    CloneSeen, DataError, DataResult, Database, Haste, OnBehalf, Redis, RedisUse, RowCounts,
    SCRATCH_ROLE, ServerFacts, Soundness,
};
use mastopatch::ports::runtime::{ContainerSpec, INSTANCE_LABEL, ROLE_LABEL, RUN_LABEL};
use secrecy::SecretString;
use serde_json::json;

use super::engine::Program;
use super::fault::When;
use super::invariants;
use super::runtime::error;
use super::world::{Call, Copied, Db, LIVE, Port, SimPorts, World};

/// The files of a dump: the table of contents is written last.
pub(crate) const DUMP: [&str; 2] = ["database/1.dat", "database/toc.dat"];
/// The files of a copy of Redis.
pub(crate) const REDIS: [&str; 2] = ["redis.rdb", "redis.done"];
/// From the start of a server until it answers.
const RECOVERY_MS: u64 = 2_000;

impl Db {
    /// Rows of every table.
    pub(crate) fn rows(&self) -> RowCounts {
        let count = |n: usize| u64::try_from(n).unwrap();
        [
            ("public.accounts".to_owned(), 3),
            ("public.statuses".to_owned(), count(self.posts.len())),
            ("public.users".to_owned(), 3),
            (
                "public.schema_migrations".to_owned(),
                count(self.schema.len()),
            ),
        ]
        .into()
    }

    /// What a copy holds that was cut off in the middle.
    fn half(&self) -> Self {
        let posts = self.posts.iter().take(self.posts.len() / 2).copied();
        Self {
            posts: posts.collect(),
            whole: false,
            ..self.clone()
        }
    }
}

impl World {
    fn server_is_full(&self) -> bool {
        let from = self.server_full_from;
        from.is_some_and(|step| self.state.furthest() >= Some(step))
    }

    fn server_answers(&self, program: Program) -> bool {
        self.containers
            .iter()
            .any(|c| c.program == program && c.running && self.now_ms >= c.started_ms + RECOVERY_MS)
    }

    pub(crate) fn postgres_answers(&self) -> bool {
        self.server_answers(Program::Postgres)
    }

    pub(crate) fn redis_answers(&self) -> bool {
        self.server_answers(Program::Redis)
    }

    /// The data are back from the snapshot: what a person agreed to lose is lost from here on, once.
    fn agreed_loss(&mut self) {
        let restored = &self.databases[LIVE].posts;
        if self.state.accepts_loss()
            && !self.state.is_restored()
            && self.acknowledged.starts_with(restored)
        {
            self.acknowledged.clone_from(restored);
        }
    }

    /// Makes the helper container that a tool works in.
    fn helper(&mut self, server: Program, role: &str, on_behalf: &OnBehalf) -> Result<(), String> {
        let found = self.containers.iter().find(|c| c.program == server);
        let image = found
            .map(|c| c.image_id.clone())
            .ok_or("the server is gone")?;
        let name = format!("mastopatch_{role}_{}", on_behalf.short_run);
        self.remove(&name);
        let labels = json!({
            RUN_LABEL: on_behalf.run, ROLE_LABEL: role, INSTANCE_LABEL: on_behalf.instance,
        });
        let spec = ContainerSpec {
            body: json!({"Image": &*image, "Entrypoint": ["sleep"], "Cmd": ["infinity"], "Labels": labels,
                "NetworkingConfig": {"EndpointsConfig": {"mastodon_internal": {}}}}),
            more_networks: Vec::new(),
        };
        let id = self.create(&name, &spec, true)?;
        self.start(&id)
    }
}

impl World {
    /// Makes a throw-away server of a live one's image.
    pub(crate) fn throw_away(
        &mut self,
        server: Program,
        name: &str,
        on_behalf: &OnBehalf,
        network: &str,
    ) -> Result<(), String> {
        let found = self.containers.iter().find(|c| c.program == server);
        let image = found
            .map(|c| c.image_id.clone())
            .ok_or("the server is gone")?;
        self.remove(name);
        let labels = json!({
            RUN_LABEL: on_behalf.run, ROLE_LABEL: SCRATCH_ROLE, INSTANCE_LABEL: on_behalf.instance,
        });
        let spec = ContainerSpec {
            body: json!({"Image": &*image, "Entrypoint": ["sh"], "Cmd": ["throw-away"], "Labels": labels,
                "NetworkingConfig": {"EndpointsConfig": {network: {}}}}),
            more_networks: Vec::new(),
        };
        let id = self.create(name, &spec, true)?;
        self.start(&id)
    }
}

const fn asks(name: &'static str) -> Call {
    Call {
        name,
        port: Port::Data,
        mutating: false,
        limit_ms: 120_000,
    }
}

const fn changes(name: &'static str) -> Call {
    Call {
        mutating: true,
        ..asks(name)
    }
}

fn within(call: Call, limit: Duration) -> Call {
    Call {
        limit_ms: u64::try_from(limit.as_millis()).unwrap(),
        ..call
    }
}

fn tool(stderr: impl Into<String>) -> DataError {
    DataError::Tool {
        tool: "psql",
        exit: 1,
        stderr: stderr.into(),
    }
}

impl SimPorts {
    /// A call that a server answers, if it does.
    fn data<T>(
        &self,
        call: Call,
        server: Program,
        effect: impl FnOnce(&mut World, When) -> DataResult<T>,
    ) -> DataResult<T> {
        let answer = self.call(call, |world, when| {
            if world.server_answers(server) {
                effect(world, when)
            } else {
                Err(tool("the server does not answer"))
            }
        });
        answer.unwrap_or_else(|upset| {
            Err(DataError::Container {
                what: "simulated server".to_owned(),
                source: error(upset, call),
            })
        })
    }

    fn pg<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World, When) -> DataResult<T>,
    ) -> DataResult<T> {
        self.data(call, Program::Postgres, effect)
    }

    /// A question to the server that is meant: to a throw-away one whatever the live one does.
    fn of<T>(
        &self,
        database: &DatabaseRef,
        call: Call,
        effect: impl FnOnce(&mut World, When) -> DataResult<T>,
    ) -> DataResult<T> {
        if !database.container.contains(SCRATCH_ROLE) {
            return self.pg(call, effect);
        }
        let answer = self.call(call, effect);
        answer.unwrap_or_else(|upset| {
            Err(DataError::Container {
                what: "simulated throw-away server".to_owned(),
                source: error(upset, call),
            })
        })
    }

    fn redis_does<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World, When) -> DataResult<T>,
    ) -> DataResult<T> {
        self.data(call, Program::Redis, effect)
    }
}

/// A database of the server that is meant: the live one, or a throw-away one.
fn open_in<'a>(world: &'a World, database: &DatabaseRef) -> DataResult<&'a Db> {
    if !database.container.contains(SCRATCH_ROLE) {
        return open(world, &database.name);
    }
    let answers = world.find(&database.container).is_some_and(|c| c.running);
    let found = world.scratch.get(&database.container);
    found
        .filter(|_| answers)
        .ok_or_else(|| tool("the throw-away server does not answer"))
}

fn open<'a>(world: &'a World, name: &str) -> DataResult<&'a Db> {
    if name == LIVE && world.cloning.is_some() {
        return Err(tool("it waits for the end of the clone"));
    }
    let found = world.databases.get(name).filter(|db| !db.shut);
    found.ok_or_else(|| tool(format!("cannot connect to {name}")))
}

/// The whole dump in a snapshot's folder, as a tool reads it.
fn dump_in(world: &World, dir: &Path) -> DataResult<Db> {
    match world.copy_in(dir, DUMP, &|path| world.disk.read(path).ok()) {
        Some(Copied::Db(db)) => Ok(db.clone()),
        _ => Err(tool("the dump is cut off")),
    }
}

fn keys_in(world: &World, dir: &Path) -> DataResult<Vec<u32>> {
    match world.copy_in(dir, REDIS, &|path| world.disk.read(path).ok()) {
        Some(Copied::Redis(keys)) => Ok(keys.clone()),
        _ => Err(tool("the copy is cut off")),
    }
}

/// What a file of a copy says: only which one it is, so it cannot be taken for another or for a part.
fn text_of(name: &str, number: usize) -> Vec<u8> {
    let text = format!("{name} of copy {number}, to its end");
    // A table of contents is never small: what is, is a dump of nothing.
    let padding = if name == DUMP[1] { 5_000 } else { 0 };
    format!("{text}{}", " ".repeat(padding)).into_bytes()
}

impl World {
    /// A tool writes a copy into a snapshot's folder; nothing of it is synchronised.
    fn put_copy(&mut self, dir: &Path, copy: Copied, when: When) -> DataResult<()> {
        self.disk
            .exists(dir)
            .map_err(|_gone| tool("no such folder"))?;
        let files = match &copy {
            Copied::Db(_) => DUMP,
            Copied::Redis(_) => REDIS,
        };
        self.copied.push(Arc::new(copy));
        for name in files {
            let text = text_of(name, self.copied.len() - 1);
            if when == When::Middle {
                self.disk.put(&dir.join(name), &text[..text.len() / 2]);
                break;
            }
            self.disk.put(&dir.join(name), &text);
        }
        Ok(())
    }

    /// The copy that is whole in files, read by `read`.
    pub(crate) fn copy_in(
        &self,
        dir: &Path,
        files: [&str; 2],
        read: &dyn Fn(&Path) -> Option<Arc<[u8]>>,
    ) -> Option<&Copied> {
        let texts = files.map(|name| read(&dir.join(name)));
        let is_it = |number: usize| {
            let mut all = files.iter().zip(&texts);
            all.all(|(name, text)| text.as_deref() == Some(&*text_of(name, number)))
        };
        let number = (0..self.copied.len()).rev().find(|number| is_it(*number))?;
        Some(&self.copied[number])
    }
}

impl Database for SimPorts {
    async fn facts(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
    ) -> DataResult<ServerFacts> {
        self.pg(asks("facts"), |world, _| {
            open(world, &database.name)?;
            Ok(ServerFacts {
                version: 150_000,
                bytes: 50 << 20,
                may_create_databases: true,
                foreign_extensions: Vec::new(),
                no_clone: None,
            })
        })
    }

    async fn places(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
    ) -> DataResult<Vec<DataPlace>> {
        self.pg(asks("places"), |world, _| {
            let room = Room {
                bytes: if world.server_is_full() { 0 } else { 1 << 40 },
                total: 1 << 41,
                inodes: Some(1 << 20),
            };
            let place = DataPlace {
                path: "/var/lib/postgresql/data".to_owned(),
                bytes: 50 << 20,
                relations: 40,
                room,
            };
            Ok(vec![place])
        })
    }

    async fn schema_versions(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
    ) -> DataResult<BTreeSet<String>> {
        self.of(database, asks("schema versions"), |world, _| {
            Ok((*open_in(world, database)?.schema).clone())
        })
    }

    async fn duplicate_accounts(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
        _limit: Duration,
    ) -> DataResult<u64> {
        self.pg(asks("duplicate accounts"), |_, _| Ok(0))
    }

    async fn row_counts(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
        limit: Duration,
    ) -> DataResult<RowCounts> {
        self.of(database, within(asks("row counts"), limit), |world, _| {
            Ok(open_in(world, database)?.rows())
        })
    }

    async fn dump(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        self.pg(within(changes("dump"), limit), |world, when| {
            world
                .helper(Program::Postgres, "toolbox", on_behalf)
                .map_err(tool)?;
            let live = open(world, &database.name)?.clone();
            world.pass(if when == When::Middle { 1_000 } else { 3_000 });
            world.put_copy(dir, Copied::Db(live), when)
        })
    }

    async fn count_dump(
        &self,
        _database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<RowCounts> {
        self.pg(within(changes("count dump"), limit), |world, _| {
            world
                .helper(Program::Postgres, "toolbox", on_behalf)
                .map_err(tool)?;
            Ok(dump_in(world, dir)?.rows())
        })
    }

    async fn dump_schema(
        &self,
        _database: &DatabaseRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<BTreeSet<String>> {
        self.pg(within(changes("dump schema"), limit), |world, _| {
            world
                .helper(Program::Postgres, "toolbox", on_behalf)
                .map_err(tool)?;
            Ok((*dump_in(world, dir)?.schema).clone())
        })
    }

    async fn restore(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        into: &str,
        limit: Duration,
    ) -> DataResult<RowCounts> {
        self.pg(within(changes("restore"), limit), |world, when| {
            invariants::i5_no_restore_after_the_commit(world, "restore");
            world.databases.remove(into);
            world
                .helper(Program::Postgres, "toolbox", on_behalf)
                .map_err(tool)?;
            let copy = dump_in(world, dir)?;
            let db = Db {
                remark: String::new(),
                shut: false,
                ..if when == When::Middle {
                    copy.half()
                } else {
                    copy
                }
            };
            let rows = db.rows();
            world.databases.insert(into.to_owned(), db);
            world.pass(4_000);
            Ok(rows)
        })
    }

    async fn fresh_scratch(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        _haste: Haste,
        limit: Duration,
    ) -> DataResult<DatabaseRef> {
        let container = format!("mastopatch_{SCRATCH_ROLE}_{}", on_behalf.short_run);
        self.pg(within(changes("make scratch"), limit), |world, when| {
            world
                .throw_away(Program::Postgres, &container, on_behalf, network)
                .map_err(tool)?;
            world.pass(3_000);
            if when == When::After {
                let empty = Db {
                    whole: true,
                    ..Db::default()
                };
                world.scratch.insert(container.clone(), empty);
            }
            Ok(DatabaseRef {
                container: container.clone(),
                network: network.to_owned(),
                ..database.clone()
            })
        })
    }

    async fn restore_scratch(
        &self,
        scratch: &DatabaseRef,
        _password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        let call = within(changes("restore scratch"), limit);
        self.of(scratch, call, |world, when| {
            open_in(world, scratch)?;
            if when == When::Middle {
                world
                    .helper(Program::Postgres, "scratch-tools", on_behalf)
                    .map_err(tool)?;
            }
            let copy = dump_in(world, dir)?;
            let copy = if when == When::Middle {
                copy.half()
            } else {
                copy
            };
            world.pass(4_000);
            world.scratch.insert(scratch.container.clone(), copy);
            Ok(())
        })
    }

    async fn check_scratch(
        &self,
        scratch: &DatabaseRef,
        _password: &SecretString,
        limit: Duration,
    ) -> DataResult<Soundness> {
        let call = within(asks("check scratch"), limit);
        self.of(scratch, call, |world, _| {
            open_in(world, scratch)?;
            world.pass(1_000);
            Ok(Soundness::Sound)
        })
    }

    async fn locked_tables(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
    ) -> DataResult<Vec<String>> {
        self.of(database, asks("locked tables"), |world, _| {
            open_in(world, database)?;
            Ok(vec!["public.statuses".to_owned()])
        })
    }

    async fn clone_to(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
        into: &str,
        limit: Duration,
    ) -> DataResult<()> {
        self.of(database, within(changes("clone"), limit), |world, when| {
            if database.container.contains(SCRATCH_ROLE) {
                // It goes with its server.
                open_in(world, database)?;
                world.pass(2_000);
                return Ok(());
            }
            world.databases.remove(into);
            let clone = Db {
                shut: false,
                ..open(world, &database.name)?.clone()
            };
            if when == When::Middle {
                // The server goes on without anybody who waits for it.
                let due = world.now_ms + 20_000;
                world.cloning = Some((into.to_owned(), clone, due));
            } else {
                world.databases.insert(into.to_owned(), clone);
                world.pass(2_000);
            }
            Ok(())
        })
    }

    async fn compare_clone(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
        clone: &str,
    ) -> DataResult<CloneSeen> {
        self.pg(asks("compare clone"), |world, _| {
            let (live, copy) = (open(world, &database.name)?, open(world, clone)?);
            if live == copy {
                let (relations, bytes) = (40, 50 << 20);
                return Ok(CloneSeen { relations, bytes });
            }
            let difference = "another size".to_owned();
            Err(DataError::Incomplete { difference })
        })
    }

    async fn ensure_open(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
        name: &str,
    ) -> DataResult<()> {
        self.pg(changes("let in"), |world, _| {
            if let Some(db) = world.databases.get_mut(name) {
                db.shut = false;
            }
            Ok(())
        })
    }

    async fn exists(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
        name: &str,
    ) -> DataResult<bool> {
        self.pg(asks("exists"), |world, _| {
            Ok(world.databases.contains_key(name))
        })
    }

    async fn remark(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
        name: &str,
        text: &str,
    ) -> DataResult<()> {
        self.pg(changes("remark"), |world, _| {
            open(world, name)?;
            if let Some(db) = world.databases.get_mut(name) {
                db.remark = text.to_owned();
            }
            Ok(())
        })
    }

    async fn remark_on(
        &self,
        _database: &DatabaseRef,
        _password: &SecretString,
        name: &str,
    ) -> DataResult<String> {
        self.pg(asks("remark on"), |world, _| {
            let found = world.databases.get(name);
            Ok(found.map(|db| db.remark.clone()).unwrap_or_default())
        })
    }

    async fn swap(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
        restored: &str,
        aside: &str,
    ) -> DataResult<()> {
        self.pg(changes("swap"), |world, when| {
            let live = database.name.as_str();
            // A clone takes the name of what it is the same as: that changes no data.
            let is_same = match (world.databases.get(restored), world.databases.get(live)) {
                (Some(clone), Some(original)) => clone == original,
                (Some(clone), None) => world.databases.get(aside).is_some_and(|original| {
                    clone.posts == original.posts && clone.schema == original.schema
                }),
                (None, _) => false,
            };
            // What a restore puts in is of before: what was written since is given up, if it comes to its end.
            let is_put_in = !is_same && restored.contains("_clone_");
            let takes_name = |world: &mut World| {
                if is_put_in {
                    let put_in = &world.databases[LIVE].posts;
                    let given_up = world.acknowledged.iter();
                    let given_up = given_up.filter(|post| !put_in.contains(post)).copied();
                    world.given_up = given_up.collect();
                }
                if !is_same {
                    world.agreed_loss();
                    invariants::i3_data_change_is_covered(world, "a restore");
                }
            };
            if !is_same {
                invariants::i5_no_restore_after_the_commit(world, "swap");
            }
            let has = |world: &World, name: &str| world.databases.contains_key(name);
            let found = (has(world, live), has(world, restored), has(world, aside));
            let rename = |world: &mut World, from: &str, to: &str| {
                if let Some(mut db) = world.databases.remove(from) {
                    db.shut = from == live;
                    world.databases.insert(to.to_owned(), db);
                }
            };
            match found {
                (true, false, true) => {}
                // Shut, and not yet renamed; which of the two the middle is, the clock says.
                (true, true, false) if when == When::Middle && world.now_ms / 5 % 2 == 0 => {
                    if let Some(db) = world.databases.get_mut(live) {
                        db.shut = true;
                    }
                }
                (true, true, false) => {
                    rename(world, live, aside);
                    if when == When::After {
                        rename(world, restored, live);
                        takes_name(world);
                    }
                }
                (false, true, true | false) => {
                    if when == When::After {
                        rename(world, restored, live);
                        takes_name(world);
                    }
                }
                _ => {
                    return Err(DataError::Names {
                        name: live.to_owned(),
                        other: restored.to_owned(),
                    });
                }
            }
            if when == When::After {
                for name in [live, aside] {
                    if let Some(db) = world.databases.get_mut(name) {
                        db.shut = false;
                    }
                }
            }
            Ok(())
        })
    }

    async fn ensure_dropped(
        &self,
        database: &DatabaseRef,
        _password: &SecretString,
        name: &str,
    ) -> DataResult<()> {
        self.of(database, changes("drop"), |world, _| {
            if database.container.contains(SCRATCH_ROLE) {
                open_in(world, database)?;
                return Ok(());
            }
            if name == database.name {
                world.wrong(|| format!("I2: database {LIVE} was to be dropped"));
            }
            world.databases.remove(name);
            if world
                .cloning
                .as_ref()
                .is_some_and(|(making, ..)| making == name)
            {
                world.cloning = None;
            }
            Ok(())
        })
    }
}

impl Redis for SimPorts {
    async fn version(&self, _redis: &RedisRef, _password: &SecretString) -> DataResult<String> {
        self.redis_does(asks("redis version"), |_, _| Ok("7.2.4".to_owned()))
    }

    async fn fresh_scratch(
        &self,
        redis: &RedisRef,
        _password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        limit: Duration,
    ) -> DataResult<RedisRef> {
        let container = format!("mastopatch_{SCRATCH_ROLE}-redis_{}", on_behalf.short_run);
        let call = within(changes("make scratch redis"), limit);
        let answer = self.call(call, |world, _| {
            world
                .throw_away(Program::Redis, &container, on_behalf, network)
                .map_err(tool)?;
            world.pass(1_000);
            Ok(RedisRef {
                container: container.clone(),
                network: network.to_owned(),
                ..redis.clone()
            })
        });
        answer.unwrap_or_else(|upset| {
            Err(DataError::Container {
                what: "simulated throw-away server".to_owned(),
                source: error(upset, call),
            })
        })
    }

    async fn used(&self, _redis: &RedisRef, _password: &SecretString) -> DataResult<RedisUse> {
        self.redis_does(asks("redis used"), |world, _| Ok(world.redis_use.clone()))
    }

    async fn keys(&self, _redis: &RedisRef, _password: &SecretString) -> DataResult<u64> {
        self.redis_does(asks("redis keys"), |world, _| Ok(count(&world.redis)))
    }

    async fn dump(
        &self,
        _redis: &RedisRef,
        _password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        self.redis_does(within(changes("redis dump"), limit), |world, when| {
            world
                .helper(Program::Redis, "redis-tools", on_behalf)
                .map_err(tool)?;
            let keys = world.redis.clone();
            world.put_copy(dir, Copied::Redis(keys), when)
        })
    }

    async fn count_dump(
        &self,
        _redis: &RedisRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<(u64, u64)> {
        self.redis_does(within(changes("redis count dump"), limit), |world, _| {
            world
                .helper(Program::Redis, "redis-tools", on_behalf)
                .map_err(tool)?;
            let keys = keys_in(world, dir)?;
            Ok((count(&keys), count(&keys)))
        })
    }

    async fn restore(
        &self,
        _redis: &RedisRef,
        _password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        self.redis_does(within(changes("redis restore"), limit), |world, when| {
            invariants::i5_no_restore_after_the_commit(world, "redis restore");
            world
                .helper(Program::Redis, "redis-tools", on_behalf)
                .map_err(tool)?;
            let keys = keys_in(world, dir)?;
            // Replication brings all of it or nothing.
            if when == When::After {
                world.redis = keys;
                invariants::i3_data_change_is_covered(world, "a restore of Redis");
            }
            Ok(())
        })
    }
}

fn count(keys: &[u32]) -> u64 {
    u64::try_from(keys.len()).unwrap()
}

/// The live database of a fresh world.
pub(crate) fn fresh(base: &Arc<BTreeSet<String>>) -> Db {
    Db {
        posts: Vec::new(),
        schema: base.clone(),
        remark: String::new(),
        whole: true,
        shut: false,
    }
}
