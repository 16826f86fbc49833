//! A clone of a database in the same server, made of its files: how it is made, dressed, compared, and ended half-way.

use std::time::Duration;

use secrecy::SecretString;

use super::ask::OPTIONS;
use super::{Postgres, aside_of, ends_connections, identifier, literal, parse_counts, unexpected};
use crate::adapters::toolbox::QUESTION;
use crate::domain::method::CLONES_SHARE;
use crate::domain::plan::DatabaseRef;
use crate::ports::database::{CloneSeen, DataError, DataResult, Database as _};
use crate::ports::runtime::ContainerRuntime;

/// Every relation with a file of its own, by name, with its bytes.
pub(super) const RELATIONS: &str = "\
SELECT c.oid::regclass || ' ' || pg_relation_size(c.oid) FROM pg_class c \
WHERE c.relkind IN ('r', 'i', 'S', 't', 'm') AND c.relpersistence <> 't' AND NOT c.relisshared ORDER BY 1";

/// What of database `:original` lies in the server's catalogue and not in its files: owner, limit, grants, remark, settings.
const DRESS: &str = "\
SELECT pg_get_userbyid(datdba), datconnlimit, \
(SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a), \
shobj_description(d.oid, 'pg_database'), \
(SELECT string_agg(setrole::regrole || ' ' || setconfig::text, ' ' ORDER BY setrole) \
FROM pg_db_role_setting WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = :original";

/// Gives database `:clone` what [`DRESS`] tells of `:original`; the owner it has. A list among the settings is kept as it is
/// quoted.
const TAKE_DRESS: &str = "\
DO $mastopatch$ DECLARE one text; BEGIN FOR one IN \
SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', :clone, datconnlimit) \
FROM pg_database WHERE datname = :original AND datconnlimit <> -1 \
UNION ALL SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :clone) \
FROM pg_database WHERE datname = :original AND datacl IS NOT NULL \
UNION ALL SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, :clone, \
CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = :original AND a.grantee <> d.datdba \
UNION ALL SELECT format('ALTER %s SET %s TO %s', CASE s.setrole WHEN 0 THEN format('DATABASE %I', :clone) \
ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), :clone) END, \
split_part(o, '=', 1), CASE WHEN split_part(o, '=', 1) IN ('search_path', 'temp_tablespaces', \
'session_preload_libraries', 'local_preload_libraries') THEN substr(o, strpos(o, '=') + 1) \
ELSE quote_literal(substr(o, strpos(o, '=') + 1)) END) \
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) o WHERE d.datname = :original \
UNION ALL SELECT format('COMMENT ON DATABASE %I IS %L', :clone, shobj_description(d.oid, 'pg_database')) \
FROM pg_database d WHERE d.datname = :original AND shobj_description(d.oid, 'pg_database') IS NOT NULL \
LOOP :executes END LOOP; END $mastopatch$";

/// What is done about what the role may not give a database: an administrator's settings and grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// Nothing is made then.
    Fails,
    /// It is left out: the data come back without it.
    LeftOut,
}

/// Gives database `to` what the server's catalogue knows of `from`: limit, grants, settings and remark. Nothing is done where
/// there is no `from`.
pub(super) fn take_dress(from: &str, to: &str, forbidden: Forbidden) -> String {
    let executes = match forbidden {
        Forbidden::Fails => "EXECUTE one;",
        Forbidden::LeftOut => {
            "BEGIN EXECUTE one; EXCEPTION WHEN insufficient_privilege THEN NULL; END;"
        }
    };
    TAKE_DRESS
        .replace(":executes", executes)
        .replace(":original", &literal(from))
        .replace(":clone", &literal(to))
}

/// Makes the statement that makes an empty database `:into` that sorts as `:original` does, or as `:aside` where that is gone.
/// Which columns tell how a database sorts depends on the server's version.
const CREATE_LIKE: &str = "\
SELECT format('CREATE DATABASE %I WITH TEMPLATE template0 OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L', \
:into, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype) || \
CASE j ->> 'datlocprovider' WHEN 'c' THEN ' LOCALE_PROVIDER libc' \
WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', j ->> 'datlocale') \
WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', COALESCE(j ->> 'datlocale', j ->> 'daticulocale')) || \
CASE WHEN j ->> 'daticurules' IS NULL THEN '' ELSE format(' ICU_RULES %L', j ->> 'daticurules') END \
ELSE '' END \
FROM pg_database d, to_jsonb(d) j WHERE d.datname IN (:original, :aside) ORDER BY d.datname = :original DESC LIMIT 1";

/// What keeps a clone of the current database from being the same for everybody, a sentence a line.
const NO_CLONE: &str = "\
SELECT 'role ' || current_user || ' does not own it' FROM pg_database d, pg_roles r \
WHERE d.datname = current_database() AND r.rolname = current_user AND NOT r.rolsuper AND d.datdba <> r.oid \
UNION ALL SELECT 'replication slot ' || slot_name || ' belongs to it' FROM pg_replication_slots \
WHERE database = current_database() \
UNION ALL SELECT 'subscription ' || subname || ' belongs to it' FROM pg_subscription s \
JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() \
UNION ALL SELECT 'somebody else than its owner granted rights on it' FROM pg_database d, aclexplode(d.datacl) a \
WHERE d.datname = current_database() AND a.grantor <> d.datdba \
UNION ALL SELECT 'an administrator gave it the setting ' || o FROM pg_db_role_setting s \
JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) o \
WHERE d.datname = current_database() AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
AND (s.setrole <> 0 OR NOT EXISTS (SELECT FROM pg_settings p \
WHERE p.name = split_part(o, '=', 1) AND p.context = 'user')) \
UNION ALL SELECT 'role ' || current_user || ' may not end sessions of role ' || pg_get_userbyid(a.usesysid) \
FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid \
WHERE a.datname = current_database() AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
AND (r.rolsuper OR NOT (pg_has_role(a.usesysid, 'MEMBER') OR pg_has_role('pg_signal_backend', 'MEMBER')))";

/// The same, of servers from version 15 on: they refuse to copy what was sorted by another version of the library.
const OTHER_COLLATION: &str = "\
UNION ALL SELECT 'it was sorted by another version of the system''s library: REINDEX DATABASE, then \
ALTER DATABASE ... REFRESH COLLATION VERSION' FROM pg_database WHERE datname = current_database() \
AND datcollversion IS NOT NULL AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)";

/// Asks a server of version `server_version` why the current database cannot be cloned.
pub(super) fn no_clone(server_version: u32) -> String {
    if server_version >= 150_000 {
        format!("{NO_CLONE} {OTHER_COLLATION}")
    } else {
        NO_CLONE.to_owned()
    }
}

/// Seconds until a statement that was ended is gone.
const END_TRIES: u32 = 30;

/// Times a clone is tried while somebody keeps connecting; each ends their connections, and PostgreSQL itself waits five
/// seconds for them.
const CLONE_TRIES: u32 = 3;
/// Whether this build of the server can share blocks; whoever connects may ask for that.
const CAN_SHARE: &str = "\
SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'file_copy_method' AND context = 'user' AND 'clone' = ANY(enumvals))";
/// Options of a connection whose copies share blocks with what they are copies of (XFS, Btrfs, ZFS).
const SHARING: &str = "-c lock_timeout=60s -c file_copy_method=clone";
/// Options of every other connection.
const COPYING: &str = OPTIONS;

/// Stands between the answers to several questions; no table is called so.
const PART: &str = "!mastopatch-part";

/// Goes on in the database `name`: an order to `psql`.
fn enters(name: &str) -> String {
    format!("\\connect {}", identifier(name))
}

/// Sessions other than the asking one that make the database `name`, as a condition.
fn is_making(name: &str) -> String {
    format!(
        "starts_with(query, {}) AND state = 'active' AND pid <> pg_backend_pid()",
        literal(&format!("CREATE DATABASE {}", identifier(name)))
    )
}

/// The statement that copies a database's files. It begins as [`is_making`] looks for it.
///
/// Since version 15 a database is by default copied page by page through the write-ahead log, which takes twice as long;
/// before, files are copied anyway, and there is no word for it.
fn create_sql(into: &str, from: &str, owner: &str, server_version: u32) -> String {
    let strategy = if server_version >= 150_000 {
        " STRATEGY FILE_COPY"
    } else {
        ""
    };
    format!(
        "CREATE DATABASE {} WITH TEMPLATE {} OWNER {owner}{strategy}",
        identifier(into),
        identifier(from),
    )
}

impl<R: ContainerRuntime> Postgres<R> {
    pub(super) async fn make_clone(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        into: &str,
        limit: Duration,
    ) -> DataResult<()> {
        let owner = self.owner_for(database, password, into).await?;
        let mut options = self.copy_options(database, password).await?;
        let (name, version) = (database.name.as_str(), database.server_version);
        // `CREATE DATABASE` copies only files and owner; the remark wants to be given in the database itself.
        let dress = take_dress(name, into, Forbidden::Fails);
        let (ends, create, enter) = (
            ends_connections(name),
            create_sql(into, name, &owner, version),
            enters(into),
        );
        // In one go: the site is closed, and nobody is to come back before the copy begins.
        let statements = [ends.as_str(), &create, &enter, &dress];
        let mut tries_left = CLONE_TRIES;
        loop {
            tries_left = tries_left.saturating_sub(1);
            let made = self
                .say(database, password, "template1", &statements, limit, options)
                .await;
            match made {
                Ok(_) => return Ok(()),
                // Its file system, or its kernel, shares no blocks: then they are copied.
                Err(DataError::Tool { stderr, .. })
                    if options == SHARING && stderr.contains("could not clone file") =>
                {
                    options = COPYING;
                }
                Err(DataError::Tool { stderr, .. })
                    if tries_left > 0 && stderr.contains("being accessed by other users") => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// The statement that makes an empty database `into` that sorts as the live one does.
    pub(super) async fn create_like(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        into: &str,
    ) -> DataResult<String> {
        let sql = CREATE_LIKE
            .replace(":into", &literal(into))
            .replace(":original", &literal(&database.name))
            .replace(":aside", &literal(&aside_of(into)));
        self.ask_server(database, password, &sql).await
    }

    /// The live database's owner as SQL writes it, once nothing of the name `into` is there or being made.
    async fn owner_for(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        into: &str,
    ) -> DataResult<String> {
        // One question while the site is closed, in place of those that dropping takes.
        let question = format!(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = {}) OR EXISTS (SELECT FROM pg_stat_activity WHERE {}), \
             quote_ident(pg_get_userbyid(datdba)) FROM pg_database WHERE datname = {}",
            literal(into),
            is_making(into),
            literal(&database.name)
        );
        let answer = self.ask_server(database, password, &question).await?;
        let seen = answer.trim().split_once('|');
        let (is_there, owner) = seen.ok_or_else(|| unexpected(&answer))?;
        if is_there != "f" {
            self.ensure_dropped(database, password, into).await?;
        }
        Ok(owner.to_owned())
    }

    /// How the server is told to copy files: sharing their blocks where it can do that.
    async fn copy_options(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<&'static str> {
        if database.server_version < CLONES_SHARE {
            return Ok(COPYING);
        }
        let answer = self.ask_server(database, password, CAN_SHARE).await?;
        Ok(if answer.trim() == "t" {
            SHARING
        } else {
            COPYING
        })
    }

    pub(super) async fn compare(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        clone: &str,
    ) -> DataResult<CloneSeen> {
        let (live, dress) = (database.name.as_str(), |name| {
            DRESS.replace(":original", &literal(name))
        });
        let (ours, theirs, enter) = (dress(live), dress(clone), enters(clone));
        let mark = format!("SELECT '{PART}'");
        // In one go: the site is closed.
        let questions = [
            RELATIONS, &mark, &ours, &mark, &theirs, &mark, &enter, RELATIONS,
        ];
        let answer = self
            .say(database, password, live, &questions, QUESTION, OPTIONS)
            .await?;
        let parts: Vec<&str> = answer.split(&format!("{PART}\n")).collect();
        let [live, ours, theirs, copy] = parts.as_slice() else {
            return Err(unexpected(&answer));
        };
        let seen = same_relations(live, copy)?;
        if ours != theirs {
            return Err(DataError::Incomplete {
                difference: format!(
                    "the original has `{}`, the copy `{}`",
                    ours.trim(),
                    theirs.trim()
                ),
            });
        }
        Ok(seen)
    }

    /// Ends what still makes the database `name`, for somebody who does not wait for it any more.
    pub(super) async fn end_making(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        name: &str,
    ) -> DataResult<()> {
        let is_it = is_making(name);
        let ends = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {is_it}");
        let is_there = format!("SELECT count(*) FROM pg_stat_activity WHERE {is_it}");
        for _ in 0..END_TRIES {
            self.ask_server(database, password, &ends).await?;
            if self.ask_server(database, password, &is_there).await?.trim() == "0" {
                return Ok(());
            }
            self.ask_server(database, password, "SELECT pg_sleep(1)")
                .await?;
        }
        Err(DataError::Tool {
            tool: "psql",
            exit: 0,
            stderr: format!(
                "the making of database `{name}` goes on though its connection was ended"
            ),
        })
    }
}

/// Compares two answers to [`RELATIONS`].
pub(super) fn same_relations(original: &str, copy: &str) -> DataResult<CloneSeen> {
    same_lines(original, copy)?;
    let sizes = parse_counts(original)?;
    Ok(CloneSeen {
        relations: u64::try_from(sizes.len()).unwrap_or(u64::MAX),
        bytes: sizes.values().sum(),
    })
}

/// Compares two lists, line by line; names the first difference.
fn same_lines(original: &str, copy: &str) -> DataResult<()> {
    let mut pairs = original.lines().zip(copy.lines());
    let difference = pairs
        .find(|(a, b)| a != b)
        .map(|(a, b)| format!("the original has `{a}`, the copy `{b}`"));
    let (a, b) = (original.lines().count(), copy.lines().count());
    let difference = difference
        .or_else(|| (a != b).then(|| format!("the original has {a} relations, the copy {b}")));
    difference.map_or(Ok(()), |difference| {
        Err(DataError::Incomplete { difference })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_the_server_is_asked_in_words_that_it_knows() {
        for (version, strategy) in [
            (120_022, ""),
            (130_018, ""),
            (140_015, ""),
            (150_010, " STRATEGY FILE_COPY"),
            (160_006, " STRATEGY FILE_COPY"),
            (170_002, " STRATEGY FILE_COPY"),
            (180_000, " STRATEGY FILE_COPY"),
        ] {
            assert_eq!(
                create_sql("a\"clone", "mastodon", "\"Owner\"", version),
                format!(
                    "CREATE DATABASE \"a\"\"clone\" WITH TEMPLATE \"mastodon\" OWNER \"Owner\"{strategy}"
                )
            );
            // A column of `pg_database` that came with version 15.
            let knows = no_clone(version).contains("datcollversion");
            assert_eq!(knows, version >= 150_000, "{version}");
        }
    }

    #[test]
    fn the_first_difference_of_two_lists_is_named() {
        assert!(same_lines("a 1\nb 2\n", "a 1\nb 2\n").is_ok());
        for (copy, words) in [
            ("a 1\nb 3\n", "the original has `b 2`, the copy `b 3`"),
            ("a 1\n", "the original has 2 relations, the copy 1"),
        ] {
            let text = same_lines("a 1\nb 2\n", copy).unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
        }
    }
}
