//! What Mastodon's environment says of where its data are, read as Mastodon's own code reads it.
//!
//! `DATABASE_URL` and `REDIS_URL` win over the single keys. Of Rails: what `DATABASE_URL` leaves out is taken from the single
//! keys; but streaming takes defaults of its own then, so an address that leaves out more than the password is refused.
//! `REDIS_URL` is taken alone. What is not understood is refused with its key; no error shows a value that may be secret.

use std::collections::BTreeMap;

use secrecy::SecretString;

use url::Url;

mod url;

/// The port of pgbouncer: migrations and dumps need a direct connection.
pub(crate) const PGBOUNCER_PORT: u16 = 6432;
/// Parameters of `DATABASE_URL` that change nothing about where the data are.
const HARMLESS: [&str; 8] = [
    "sslmode",
    "connect_timeout",
    "timeout",
    "pool",
    "encoding",
    "application_name",
    "prepared_statements",
    "checkout_timeout",
];
/// Others that are well known, and may be named in an error.
const NAMED: [&str; 8] = [
    "host",
    "port",
    "user",
    "username",
    "password",
    "dbname",
    "options",
    "sslrootcert",
];
/// Keys that give Sidekiq or the cache a Redis of its own.
const OTHER_REDIS: [&str; 6] = [
    "SIDEKIQ_REDIS_URL",
    "SIDEKIQ_REDIS_HOST",
    "SIDEKIQ_REDIS_SENTINELS",
    "CACHE_REDIS_URL",
    "CACHE_REDIS_HOST",
    "CACHE_REDIS_SENTINELS",
];

/// An environment. It holds secrets.
pub(crate) type Environment = BTreeMap<String, String>;

/// Where web connects to.
#[derive(Debug)]
pub(crate) struct Address {
    /// The key that names the host.
    pub(crate) key: &'static str,
    /// Host name, or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Password; empty where there is none.
    pub(crate) password: SecretString,
}

/// Where web's database is.
#[derive(Debug)]
pub(crate) struct DatabaseAddress {
    /// The server.
    pub(crate) server: Address,
    /// Role.
    pub(crate) user: String,
    /// Database.
    pub(crate) name: String,
}

/// Where web's Redis is.
#[derive(Debug)]
pub(crate) struct RedisAddress {
    /// The server.
    pub(crate) server: Address,
    /// Number of the database in it.
    pub(crate) number: u32,
}

/// The database, or why that is not followed: a sentence without a full stop.
pub(crate) fn database(env: &Environment) -> Result<DatabaseAddress, String> {
    none_of(env, &["PRIMARY_DATABASE_URL"])?;
    let Some(text) = value(env, "DATABASE_URL") else {
        return Ok(DatabaseAddress {
            server: Address {
                key: "DB_HOST",
                host: host(env, "DB_HOST")?,
                port: port(env, "DB_PORT", 5432)?,
                password: secret(env, "DB_PASS"),
            },
            user: value(env, "DB_USER").unwrap_or("mastodon").to_owned(),
            name: value(env, "DB_NAME")
                .unwrap_or("mastodon_production")
                .to_owned(),
        });
    };
    let key = "DATABASE_URL";
    let wrong = |what: &str| format!("{key} {what}");
    let url = Url::read(text).map_err(|what| wrong(&what))?;
    if !["postgres", "postgresql"].contains(&url.scheme.as_str()) {
        return Err(wrong(
            "begins with neither `postgres://` nor `postgresql://`, and mastopatch follows no other",
        ));
    }
    let odd = url.parameters.iter().map(|(name, _)| name.as_str());
    if let Some(odd) = odd.into_iter().find(|name| !HARMLESS.contains(name)) {
        let known = NAMED.iter().find(|name| **name == odd);
        let told = known.map_or_else(
            || "a parameter that mastopatch does not know".to_owned(),
            |name| format!("parameter `{name}`, which mastopatch does not follow"),
        );
        return Err(wrong(&format!("has {told}")));
    }
    let (user, password) = url.user.unwrap_or_default();
    for (part, is_missing) in [("role", user.is_empty()), ("database", url.path.is_empty())] {
        if is_missing {
            return Err(wrong(&format!(
                "names no {part}, so web and streaming would take different ones"
            )));
        }
    }
    let default = port(env, "DB_PORT", 5432)?;
    if url.port.is_none() && default != 5432 {
        return Err(wrong(
            "names no port while DB_PORT does, so web and streaming would take different ones",
        ));
    }
    let password = password.filter(|password| !password.is_empty());
    Ok(DatabaseAddress {
        server: Address {
            key,
            host: url.host,
            port: url.port.unwrap_or(default),
            password: password.map_or_else(|| secret(env, "DB_PASS"), SecretString::from),
        },
        user,
        name: url.path,
    })
}

/// Redis, or why that is not followed: a sentence without a full stop.
pub(crate) fn redis(env: &Environment) -> Result<RedisAddress, String> {
    let Some(text) = value(env, "REDIS_URL") else {
        none_of(env, &["REDIS_SENTINELS"])?;
        let number = value(env, "REDIS_DB").map(str::parse).transpose();
        return Ok(RedisAddress {
            server: Address {
                key: "REDIS_HOST",
                host: host(env, "REDIS_HOST")?,
                port: port(env, "REDIS_PORT", 6379)?,
                password: secret(env, "REDIS_PASSWORD"),
            },
            number: number
                .map_err(|_err| "REDIS_DB is no number".to_owned())?
                .unwrap_or(0),
        });
    };
    let key = "REDIS_URL";
    let wrong = |what: &str| Err(format!("{key} {what}"));
    let url = match Url::read(text) {
        Ok(url) => url,
        Err(what) => return wrong(&what),
    };
    if url.scheme != "redis" {
        return wrong(
            "does not begin with `redis://`; encrypted connections, sockets and sentinels are not followed by mastopatch",
        );
    }
    if !url.parameters.is_empty() {
        return wrong("has parameters, which mastopatch does not follow");
    }
    if !["", "0"].contains(&url.path.as_str()) {
        return wrong("names another database than 0, which mastopatch does not follow");
    }
    let before_host = text.get(..url.host_at.start).unwrap_or_default();
    if before_host.contains('+') {
        return wrong("may have a plus or a blank in its password; write it as `%2B` or `%20`");
    }
    let password = match url.user {
        None => String::new(),
        Some((_, None)) => {
            return wrong("has no colon before its `@`, so that it may be a role or a password");
        }
        Some((user, Some(_))) if !["", "default"].contains(&user.as_str()) => {
            return wrong("names a user, and mastopatch speaks to Redis as the default one only");
        }
        Some((_, Some(password))) => password,
    };
    Ok(RedisAddress {
        server: Address {
            key,
            host: url.host,
            port: url.port.unwrap_or(6379),
            password: password.into(),
        },
        number: 0,
    })
}

/// Refuses an environment in which a part of Mastodon has a Redis of its own.
pub(crate) fn one_redis(env: &Environment) -> Result<(), String> {
    none_of(env, &OTHER_REDIS)
}

/// What an environment has to say so that the database and Redis are found under these hosts instead.
pub(crate) fn elsewhere(env: &Environment, database: &str, redis: &str) -> Environment {
    let hosts = [
        ("DATABASE_URL", "DB_HOST", database),
        ("REDIS_URL", "REDIS_HOST", redis),
    ];
    let entries = hosts.map(|(address, single, host)| {
        let read = value(env, address).and_then(|text| Some((text, Url::read(text).ok()?)));
        match read {
            None => (single.to_owned(), host.to_owned()),
            Some((text, url)) => {
                let mut text = text.to_owned();
                text.replace_range(url.host_at, host);
                (address.to_owned(), text)
            }
        }
    });
    entries.into()
}

/// The passwords in the addresses of an environment.
pub(crate) fn passwords(env: &Environment) -> Vec<String> {
    let addresses = env.iter().filter(|(key, _)| key.ends_with("_URL"));
    addresses
        .flat_map(|(_, text)| url::passwords(text))
        .collect()
}

fn none_of(env: &Environment, keys: &[&str]) -> Result<(), String> {
    match keys.iter().find(|key| value(env, key).is_some()) {
        Some(key) => Err(format!("{key} is set, and mastopatch does not follow it")),
        None => Ok(()),
    }
}

/// One host of the single keys.
fn host(env: &Environment, key: &str) -> Result<String, String> {
    let host = value(env, key).ok_or_else(|| format!("{key} is not in web's environment"))?;
    if host.starts_with('/') {
        return Err(format!(
            "{key} is `{host}`, a folder with a socket, and mastopatch follows hosts only"
        ));
    }
    if host.contains(',') {
        return Err(format!(
            "{key} is `{host}`, which are several hosts, and mastopatch follows one"
        ));
    }
    Ok(host.to_owned())
}

fn port(env: &Environment, key: &str, default: u16) -> Result<u16, String> {
    match value(env, key) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_err| format!("{key} is `{text}`, which is no port")),
    }
}

/// A value of the environment; an empty one is none.
fn value<'a>(env: &'a Environment, key: &str) -> Option<&'a str> {
    let value = env.get(key)?;
    (!value.is_empty()).then_some(value.as_str())
}

fn secret(env: &Environment, key: &str) -> SecretString {
    value(env, key).unwrap_or_default().to_owned().into()
}

#[cfg(test)]
mod tests;
