//! Redis through its own tools and its own replication.
//!
//! The copy is taken by `redis-cli --rdb`, which asks the server for a full synchronisation: a point in
//! time, whatever persistence the server uses. The way back is the same in reverse: a helper loads the copy
//! and the server synchronises from it, whole or not at all.

mod scratch;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::toolbox::{self, INSIDE, Kind, QUESTION, shortened};
use crate::domain::plan::RedisRef;
use crate::ports::clock::Clock;
use crate::ports::database::{DataError, DataResult, OnBehalf, Redis, RedisUse};
use crate::ports::runtime::{ContainerRuntime, Exec};

/// File of the copy inside the snapshot.
const FILE: &str = "redis.rdb";
/// Port of the helper that serves a copy.
const SOURCE_PORT: &str = "6379";
/// How long a server waits for further replicas before it starts a copy.
const DELAY: &str = "repl-diskless-sync-delay";
/// Between two looks at a synchronisation.
const LOOK: Duration = Duration::from_millis(200);

/// Redis in containers of a runtime.
#[derive(Debug)]
pub struct RedisTools<R, C> {
    runtime: R,
    clock: C,
}

impl<R: ContainerRuntime, C: Clock> RedisTools<R, C> {
    /// Uses this runtime and clock.
    pub fn new(runtime: R, clock: C) -> Self {
        Self { runtime, clock }
    }

    /// Runs `redis-cli` inside a server's container.
    async fn cli(
        &self,
        container: &str,
        port: &str,
        password: &SecretString,
        words: &[&str],
    ) -> DataResult<String> {
        let mut command = vec!["redis-cli", "-p", port];
        command.extend(words);
        let env = auth(password);
        let exec = Exec {
            command: &command,
            env: &env,
            limit: QUESTION,
        };
        let answer = toolbox::run(&self.runtime, container, "redis-cli", exec).await?;
        // An error of the server is no exit code of the client.
        if [
            "ERR",
            "NOAUTH",
            "WRONGPASS",
            "NOPERM",
            "MASTERDOWN",
            "LOADING",
        ]
        .iter()
        .any(|error| answer.starts_with(error))
        {
            return Err(DataError::Answer {
                tool: "redis-cli",
                answer: shortened(&answer),
            });
        }
        Ok(answer)
    }

    async fn on(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        words: &[&str],
    ) -> DataResult<String> {
        self.cli(&redis.container, &redis.port.to_string(), password, words)
            .await
    }

    /// Asks the server not to wait for further replicas before it starts a copy: behind the fence those
    /// five seconds (its default) are downtime. Gives the value to set again; nothing if the server does not
    /// let itself be asked.
    async fn without_delay(&self, redis: &RedisRef, password: &SecretString) -> Option<String> {
        let answer = self
            .on(redis, password, &["CONFIG", "GET", DELAY])
            .await
            .ok()?;
        let delay = answer.lines().nth(1)?.trim().to_owned();
        let set = self
            .on(redis, password, &["CONFIG", "SET", DELAY, "0"])
            .await;
        set.is_ok().then_some(delay)
    }

    async fn toolbox(
        &self,
        redis: &RedisRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        writes: bool,
    ) -> DataResult<String> {
        let kind = Kind {
            role: "redis-toolbox",
            what: "Redis's tools",
            command: &["sleep", "infinity"],
            writes,
        };
        let (server, network) = (&redis.container, &redis.network);
        toolbox::ensure(&self.runtime, server, network, on_behalf, dir, &kind).await
    }

    /// Waits until `done` says yes to what `words` answer.
    async fn until(
        &self,
        container: &str,
        port: &str,
        password: &SecretString,
        words: &[&str],
        limit: Duration,
        done: impl Fn(&str) -> bool + Send + Sync,
    ) -> DataResult<()> {
        let start = self.clock.monotonic();
        loop {
            let answer = self.cli(container, port, password, words).await;
            match answer {
                Ok(answer) if done(&answer) => return Ok(()),
                answer if self.clock.monotonic().saturating_sub(start) >= limit => {
                    return answer.and_then(|answer| {
                        Err(DataError::Answer {
                            tool: "redis-cli",
                            answer: shortened(&answer),
                        })
                    });
                }
                _ => self.clock.pause(LOOK).await,
            }
        }
    }

    /// Address of a helper that serves the copy.
    async fn source(
        &self,
        redis: &RedisRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<(String, IpAddr)> {
        let kind = Kind {
            role: "redis-source",
            what: "the Redis that serves the copy",
            command: &[
                "redis-server",
                "--dir",
                INSIDE,
                "--dbfilename",
                FILE,
                "--port",
                SOURCE_PORT,
                "--save",
                "",
                "--appendonly",
                "no",
                "--protected-mode",
                "no",
                "--repl-diskless-sync",
                "yes",
                "--repl-diskless-sync-delay",
                "0",
            ],
            writes: false,
        };
        let (server, network) = (&redis.container, &redis.network);
        let id = toolbox::ensure(&self.runtime, server, network, on_behalf, dir, &kind).await?;
        let none = SecretString::default();
        self.until(&id, SOURCE_PORT, &none, &["PING"], limit, |answer| {
            answer.trim() == "PONG"
        })
        .await?;
        let problem = |source| DataError::Container {
            what: kind.what.to_owned(),
            source,
        };
        let container = self.runtime.container(&id).await.map_err(problem)?;
        let ip = container.and_then(|found| found.networks.get(network)?.ip);
        let ip = ip.ok_or_else(|| DataError::Answer {
            tool: "redis-server",
            answer: format!("no address in network {network}"),
        })?;
        Ok((id, ip))
    }
}

impl<R: ContainerRuntime, C: Clock> Redis for RedisTools<R, C> {
    async fn version(&self, redis: &RedisRef, password: &SecretString) -> DataResult<String> {
        let answer = self.on(redis, password, &["INFO", "server"]).await?;
        field(&answer, "redis_version")
            .map(ToOwned::to_owned)
            .ok_or_else(|| DataError::Answer {
                tool: "redis-cli",
                answer: shortened(&answer),
            })
    }

    async fn keys(&self, redis: &RedisRef, password: &SecretString) -> DataResult<u64> {
        Ok(keys_in(
            &self.on(redis, password, &["INFO", "keyspace"]).await?,
        ))
    }

    async fn used(&self, redis: &RedisRef, password: &SecretString) -> DataResult<RedisUse> {
        let clients = self.on(redis, password, &["CLIENT", "LIST"]).await?;
        let keyspace = self.on(redis, password, &["INFO", "keyspace"]).await?;
        Ok(RedisUse {
            clients: clients_in(&clients),
            databases: databases_in(&keyspace),
        })
    }

    async fn fresh_scratch(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        network: &str,
        limit: Duration,
    ) -> DataResult<RedisRef> {
        self.make_scratch(redis, password, on_behalf, network, limit)
            .await
    }

    async fn dump(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        let toolbox = self.toolbox(redis, on_behalf, dir, true).await?;
        let (port, file) = (redis.port.to_string(), format!("{INSIDE}/{FILE}"));
        let command = ["redis-cli", "-h", &redis.host, "-p", &port, "--rdb", &file];
        let env = auth(password);
        let exec = Exec {
            command: &command,
            env: &env,
            limit,
        };
        let delay = self.without_delay(redis, password).await;
        let done = toolbox::run(&self.runtime, &toolbox, "redis-cli", exec).await;
        if let Some(delay) = delay {
            // A server that keeps the 0 after all only answers a future replica sooner, until it restarts.
            drop(
                self.on(redis, password, &["CONFIG", "SET", DELAY, &delay])
                    .await,
            );
        }
        done.map(drop)
    }

    async fn count_dump(
        &self,
        redis: &RedisRef,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<(u64, u64)> {
        let toolbox = self.toolbox(redis, on_behalf, dir, false).await?;
        let file = format!("{INSIDE}/{FILE}");
        let exec = Exec {
            command: &["redis-check-rdb", &file],
            env: &[],
            limit,
        };
        let answer = toolbox::run(&self.runtime, &toolbox, "redis-check-rdb", exec).await?;
        let all = number_before(&answer, " keys read");
        let expired = number_before(&answer, " already expired");
        match (answer.contains("RDB looks OK"), all, expired) {
            (true, Some(all), Some(expired)) => Ok((all.saturating_sub(expired), all)),
            _ => Err(DataError::Answer {
                tool: "redis-check-rdb",
                answer: shortened(&answer),
            }),
        }
    }

    async fn restore(
        &self,
        redis: &RedisRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        let (source, ip) = self.source(redis, on_behalf, dir, limit).await?;
        let port = redis.port.to_string();
        self.on(
            redis,
            password,
            &["REPLICAOF", &ip.to_string(), SOURCE_PORT],
        )
        .await?;
        let words = ["INFO", "replication"];
        let synced = self
            .until(&redis.container, &port, password, &words, limit, |answer| {
                field(answer, "master_link_status") == Some("up")
                    && field(answer, "master_sync_in_progress") == Some("0")
            })
            .await;
        // Whatever came of it, the server has to take writes again.
        self.on(redis, password, &["REPLICAOF", "NO", "ONE"])
            .await?;
        let problem = |source| DataError::Container {
            what: "the copy's Redis".to_owned(),
            source,
        };
        self.runtime
            .ensure_removed(&source)
            .await
            .map_err(problem)?;
        synced
    }
}

fn auth(password: &SecretString) -> Vec<(&str, &str)> {
    let password = password.expose_secret();
    if password.is_empty() {
        Vec::new()
    } else {
        vec![("REDISCLI_AUTH", password)]
    }
}

/// A field of an `INFO` answer.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
}

/// Keys in an `INFO keyspace` answer: `db0:keys=12,expires=3,…` a database.
fn keys_in(answer: &str) -> u64 {
    answer
        .lines()
        .filter_map(|line| {
            line.split_once(":keys=")?
                .1
                .split(',')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum()
}

/// Addresses in a `CLIENT LIST` answer (`id=3 addr=172.20.0.5:43512 …`), but for those of the container itself.
fn clients_in(answer: &str) -> BTreeSet<IpAddr> {
    let words = answer.split_whitespace();
    let addresses = words.filter_map(|word| {
        let address: SocketAddr = word.strip_prefix("addr=")?.parse().ok()?;
        Some(address.ip().to_canonical())
    });
    addresses.filter(|address| !address.is_loopback()).collect()
}

/// Numbers of the databases in an `INFO keyspace` answer.
fn databases_in(answer: &str) -> BTreeSet<u32> {
    let lines = answer.lines();
    let numbers = lines.filter_map(|line| line.trim().strip_prefix("db")?.split_once(':'));
    numbers
        .filter_map(|(number, _)| number.parse().ok())
        .collect()
}

/// The number right before `words`.
fn number_before(answer: &str, words: &str) -> Option<u64> {
    let end = answer.find(words)?;
    answer
        .get(..end)?
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_of_redis_are_read() {
        assert_eq!(
            keys_in("# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=1\r\ndb3:keys=1,e=0\r\n"),
            13
        );
        assert_eq!(keys_in("# Keyspace\r\n"), 0);
        assert_eq!(
            field("a:1\r\nredis_version:7.0.15\r\n", "redis_version"),
            Some("7.0.15")
        );
        assert_eq!(
            databases_in("# Keyspace\r\ndb0:keys=12,expires=3\r\ndb3:keys=1,e=0\r\n"),
            BTreeSet::from([0, 3])
        );
        let clients = "id=3 addr=172.20.0.5:43512 laddr=172.20.0.2:6379 fd=8 name= db=0 cmd=info user=default\n\
                       id=4 addr=127.0.0.1:9 fd=9 name=addr=\nid=5 addr=[::ffff:172.20.0.6]:1 fd=9\n\
                       id=6 addr=/run/redis.sock:0 fd=9\n";
        let wanted = ["172.20.0.5", "172.20.0.6"].map(|it| it.parse().unwrap());
        assert_eq!(clients_in(clients), BTreeSet::from(wanted));
        let check = "[info] 42 keys read\n[info] 7 expires\n[info] 3 already expired\n";
        assert_eq!(number_before(check, " keys read"), Some(42));
        assert_eq!(number_before(check, " already expired"), Some(3));
    }
}
