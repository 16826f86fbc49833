//! Environments as they are met, and those that are refused: with the key, and without a secret.

use secrecy::ExposeSecret as _;

use super::*;

const SECRET: &str = "hunter2";

fn env(pairs: &[(&str, &str)]) -> Environment {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Host, port, role, database and password.
fn seen(env: &Environment) -> (String, u16, String, String, String) {
    let found = database(env).unwrap();
    let password = found.server.password.expose_secret().to_owned();
    (
        found.server.host,
        found.server.port,
        found.user,
        found.name,
        password,
    )
}

fn wanted(of: (&str, u16, &str, &str, &str)) -> (String, u16, String, String, String) {
    let (host, port, user, name, password) = of;
    (
        host.to_owned(),
        port,
        user.to_owned(),
        name.to_owned(),
        password.to_owned(),
    )
}

#[test]
fn single_keys_have_mastodons_defaults() {
    let least = env(&[("DB_HOST", "db"), ("DATABASE_URL", ""), ("DB_USER", "")]);
    let defaults = ("db", 5432, "mastodon", "mastodon_production", "");
    assert_eq!(seen(&least), wanted(defaults));
    let all = env(&[
        ("DB_HOST", "db"),
        ("DB_PORT", "5433"),
        ("DB_USER", "ada"),
        ("DB_NAME", "social"),
        ("DB_PASS", SECRET),
    ]);
    assert_eq!(seen(&all), wanted(("db", 5433, "ada", "social", SECRET)));
    let redis_of = |pairs: &[(&str, &str)]| {
        let found = redis(&env(pairs)).unwrap();
        let password = found.server.password.expose_secret().to_owned();
        (found.server.host, found.server.port, password, found.number)
    };
    let least = redis_of(&[("REDIS_HOST", "redis")]);
    assert_eq!(least, ("redis".to_owned(), 6379, String::new(), 0));
    let all = redis_of(&[
        ("REDIS_HOST", "redis"),
        ("REDIS_PORT", "6380"),
        ("REDIS_PASSWORD", SECRET),
        ("REDIS_DB", "2"),
    ]);
    assert_eq!(all, ("redis".to_owned(), 6380, SECRET.to_owned(), 2));
}

#[test]
fn an_address_wins_over_the_single_keys_but_for_a_password_that_it_leaves_out() {
    let with = |url: &str| {
        env(&[
            ("DATABASE_URL", url),
            ("DB_HOST", "other"),
            ("DB_USER", "other"),
            ("DB_NAME", "other"),
            ("DB_PASS", "other"),
        ])
    };
    for (url, of) in [
        (
            "postgres://ada:hunter2@pg:5433/social",
            ("pg", 5433, "ada", "social", "hunter2"),
        ),
        (
            "postgresql://ada:p%40ss%2Fw%3A+%25d@pg.shared/so%20cial?sslmode=disable&pool=5",
            ("pg.shared", 5432, "ada", "so cial", "p@ss/w:+%d"),
        ),
        (
            "postgres://a%C3%A4:a:b@172.20.0.9:/social",
            ("172.20.0.9", 5432, "aä", "social", "a:b"),
        ),
        (
            "postgres://ada@[fd00::9]:5433/social",
            ("fd00::9", 5433, "ada", "social", "other"),
        ),
        (
            "postgres://ada:@pg/social",
            ("pg", 5432, "ada", "social", "other"),
        ),
    ] {
        assert_eq!(seen(&with(url)), wanted(of), "{url}");
        assert_eq!(database(&with(url)).unwrap().server.key, "DATABASE_URL");
    }
}

#[test]
fn what_is_not_understood_of_a_database_is_refused_with_its_key_and_without_a_secret() {
    for (url, words) in [
        ("ada:hunter2@pg/social", "is no address of the form"),
        (
            "mysql2://ada:hunter2@pg/social",
            "neither `postgres://` nor",
        ),
        (
            "postgres://ada:hunter2@/social",
            "names no host, which means a socket",
        ),
        (
            "postgres:///social?host=/run&password=hunter2",
            "names no host",
        ),
        (
            "postgres://ada:hunter2@%2Frun%2Fpg/social",
            "names a socket",
        ),
        ("postgres://ada:hunter2@a,b/social", "several hosts"),
        ("postgres://ada:hunter2@a:1,b:2/social", "several hosts"),
        ("postgres://ada:hunter2@pg:x/social", "a port that is none"),
        ("postgres://ada:hunter2@pg:0/social", "a port that is none"),
        (
            "postgres://ada:hunter2@pg:65536/social",
            "a port that is none",
        ),
        ("postgres://ada:hun@ter2@pg/social", "more than one `@`"),
        ("postgres://ada:hunter2#@pg/social", "has a `#`"),
        ("postgres://ada:hunter2 @pg/social", "percent-encoded"),
        ("postgres://ada:hunter2%@pg/social", "percent-encoded"),
        ("postgres://ada:hunter2%f@pg/social", "percent-encoded"),
        ("postgres://ada:hunter2%ff@pg/social", "percent-encoded"),
        ("postgres://ada:hunter2\"@pg/social", "percent-encoded"),
        (
            "postgres://ada:hunter2@p!g/social",
            "a host that is no name",
        ),
        ("postgres://:hunter2@pg/social", "names no role"),
        ("postgres://pg/social", "names no role"),
        ("postgres://ada:hunter2@pg", "names no database"),
        ("postgres://ada:hunter2@pg/", "names no database"),
        ("postgres://ada:hunter2@pg/a/b", "more than a name"),
        (
            "postgres://ada@pg/social?password=hunter2",
            "parameter `password`",
        ),
        ("postgres://ada@pg/social?host=other", "parameter `host`"),
        (
            "postgres://ada@pg/social?hunter2=1",
            "a parameter that mastopatch does not know",
        ),
    ] {
        let err = database(&env(&[("DATABASE_URL", url)])).unwrap_err();
        assert!(
            err.starts_with("DATABASE_URL ") && err.contains(words),
            "{err}"
        );
        assert!(!err.contains(SECRET), "{err}");
    }
}

#[test]
fn keys_that_contradict_each_other_or_lead_nowhere_are_refused() {
    for (pairs, words) in [
        (
            [
                ("DATABASE_URL", "postgres://ada@pg/social"),
                ("DB_PORT", "5433"),
            ],
            "DATABASE_URL names no port while DB_PORT does",
        ),
        (
            [
                ("DATABASE_URL", "postgres://ada@pg/social"),
                ("PRIMARY_DATABASE_URL", "postgres://x"),
            ],
            "PRIMARY_DATABASE_URL is set",
        ),
        (
            [("DB_HOST", ""), ("DB_USER", "ada")],
            "DB_HOST is not in web's environment",
        ),
        (
            [("DB_HOST", "/run/postgresql"), ("DB_USER", "ada")],
            "a folder with a socket",
        ),
        ([("DB_HOST", "a,b"), ("DB_USER", "ada")], "several hosts"),
        ([("DB_HOST", "db"), ("DB_PORT", "x")], "DB_PORT is `x`"),
    ] {
        let err = database(&env(&pairs)).unwrap_err();
        assert!(err.contains(words), "{err}");
    }
}

#[test]
fn redis_is_where_its_address_says_alone() {
    for (url, host, port, password) in [
        ("redis://:hunter2@cache:6380/0", "cache", 6380, "hunter2"),
        (
            "redis://default:h%40u%20%2Bn@cache/",
            "cache",
            6379,
            "h@u +n",
        ),
        ("redis://cache", "cache", 6379, ""),
        ("redis://[fd00::9]:6380", "fd00::9", 6380, ""),
    ] {
        let env = env(&[
            ("REDIS_URL", url),
            ("REDIS_HOST", "other"),
            ("REDIS_PASSWORD", "other"),
            ("REDIS_DB", "7"),
            ("REDIS_SENTINELS", "other"),
        ]);
        let found = redis(&env).unwrap();
        assert_eq!(
            (found.server.host.as_str(), found.server.port),
            (host, port)
        );
        assert_eq!(found.server.password.expose_secret(), password);
        assert_eq!((found.server.key, found.number), ("REDIS_URL", 0));
    }
}

#[test]
fn what_is_not_understood_of_redis_is_refused_with_its_key_and_without_a_secret() {
    for (url, words) in [
        ("rediss://:hunter2@cache", "does not begin with `redis://`"),
        ("unix:///run/hunter2.sock", "names no host"),
        ("redis://:hunter2@cache/1", "another database than 0"),
        ("redis://hunter2@cache", "no colon before its `@`"),
        ("redis://ada:hunter2@cache", "names a user"),
        ("redis://:hunter+2@cache", "a plus or a blank"),
        ("redis://:hunter2@cache?db=1", "has parameters"),
        ("redis://:hunter2@a,b", "several hosts"),
        ("redis://:hunter2@", "names no host"),
    ] {
        let err = redis(&env(&[("REDIS_URL", url)])).unwrap_err();
        assert!(
            err.starts_with("REDIS_URL ") && err.contains(words),
            "{err}"
        );
        assert!(!err.contains("hunter"), "{err}");
    }
    let sentinels = env(&[("REDIS_HOST", "r"), ("REDIS_SENTINELS", "a:1,b:2")]);
    let err = redis(&sentinels).unwrap_err();
    assert!(err.contains("REDIS_SENTINELS is set"), "{err}");
    for key in OTHER_REDIS {
        assert!(one_redis(&env(&[(key, "")])).is_ok());
        let err = one_redis(&env(&[(key, "redis://:hunter2@x")])).unwrap_err();
        assert!(err.contains(key) && !err.contains("hunter2"), "{err}");
    }
}

#[test]
fn an_environment_is_turned_to_other_hosts_and_to_nothing_else() {
    let single = env(&[("DB_HOST", "172.20.0.9"), ("REDIS_HOST", "redis")]);
    let turned = env(&[("DB_HOST", "a"), ("REDIS_HOST", "b")]);
    assert_eq!(elsewhere(&single, "a", "b"), turned);
    let addresses = env(&[
        (
            "DATABASE_URL",
            "postgres://172.20.0.9:p%40@172.20.0.9:5433/172.20.0.9?sslmode=disable",
        ),
        ("REDIS_URL", "redis://:x@[fd00::9]:6380/0"),
        ("DB_HOST", "ignored"),
    ]);
    let turned = env(&[
        (
            "DATABASE_URL",
            "postgres://172.20.0.9:p%40@a:5433/172.20.0.9?sslmode=disable",
        ),
        ("REDIS_URL", "redis://:x@b:6380/0"),
    ]);
    assert_eq!(elsewhere(&addresses, "a", "b"), turned);
}

#[test]
fn passwords_of_addresses_are_known_as_they_stand_and_as_they_are() {
    let env = env(&[
        ("DATABASE_URL", "postgres://ada:p%40ss@pg/social"),
        ("ES_URL", "https://elastic:other@es"),
        ("REDIS_URL", "redis://cache"),
        ("DATABASE", "postgres://ada:no@pg"),
    ]);
    assert_eq!(passwords(&env), ["p%40ss", "p@ss", "other"]);
}
