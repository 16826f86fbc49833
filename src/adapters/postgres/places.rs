//! Where the server keeps a database, and what is free there: asked inside the server's own container, so that named
//! volumes, bind mounts, links, quotas and tablespaces are what the server sees of them.

use secrecy::SecretString;

use super::{Postgres, unexpected};
use crate::adapters::toolbox::{self, QUESTION};
use crate::domain::plan::DatabaseRef;
use crate::domain::room::{DataPlace, Room};
use crate::ports::database::{DataError, DataResult};
use crate::ports::runtime::{ContainerRuntime, Exec};

/// The data folder (empty where the role may not know it), the database's bytes, and its relations; then the same of each
/// tablespace that it uses beside the server's own. Without locks: the sizes of tables are asked only of those elsewhere.
const PLACES: &str = "\
SELECT COALESCE((SELECT setting FROM pg_settings WHERE name = 'data_directory'), ''), \
pg_database_size(current_database()), \
(SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'i', 'S', 't', 'm') AND relpersistence <> 't') \
UNION ALL SELECT pg_tablespace_location(d.dattablespace), 0, 0 FROM pg_database d \
WHERE d.datname = current_database() AND pg_tablespace_location(d.dattablespace) <> '' \
UNION ALL SELECT * FROM (SELECT pg_tablespace_location(c.reltablespace) AS place, sum(pg_relation_size(c.oid))::bigint, \
count(*) FROM pg_class c WHERE c.relkind IN ('r', 'i', 'S', 't', 'm') AND NOT c.relisshared AND c.reltablespace <> 0 \
GROUP BY 1) elsewhere WHERE place <> ''";

/// Free blocks, bytes of a block, blocks, inodes, free inodes: the same letters in coreutils and in busybox.
const STAT: [&str; 4] = ["stat", "-f", "-c", "%a %S %b %c %d"];
/// The file in which a running server tells its data folder (second line) and its port (fourth).
const PID_FILE: &str = "postmaster.pid";

/// A folder and what of the database is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    path: String,
    bytes: u64,
    relations: u64,
}

impl<R: ContainerRuntime> Postgres<R> {
    pub(super) async fn look_at_places(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<Vec<DataPlace>> {
        let answer = self.ask(database, password, &database.name, PLACES).await?;
        let mut parts = parse_parts(&answer)?;
        let Some(data) = parts.first().map(|part| part.path.clone()) else {
            return Err(unexpected(&answer));
        };
        let data = self.told_folder(database, &data).await?;
        settle(&mut parts, &data);
        // Its logs may be linked to another disk.
        parts.push(Part {
            path: format!("{data}/pg_wal"),
            bytes: 0,
            relations: 0,
        });
        let mut command = STAT.to_vec();
        command.extend(parts.iter().map(|part| part.path.as_str()));
        let answer = self.inside(database, "stat", &command).await?;
        let rooms = parse_rooms(&answer)?;
        if rooms.len() != parts.len() {
            return Err(unexpected(&answer));
        }
        Ok(joined(parts, &rooms))
    }

    /// The server's data folder, as its container sees it.
    pub(super) async fn data_folder(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
    ) -> DataResult<String> {
        let sql = "SELECT setting FROM pg_settings WHERE name = 'data_directory'";
        let answer = self.ask(database, password, &database.name, sql).await?;
        self.told_folder(database, answer.trim()).await
    }

    /// The data folder that the server told; it tells none to a role that may not know it.
    async fn told_folder(&self, database: &DatabaseRef, told: &str) -> DataResult<String> {
        match told {
            "" => self.folder_of_the_running_server(database).await,
            known => Ok(known.to_owned()),
        }
    }

    /// Where a role without rights on the server's settings finds its data folder: where the container's environment says,
    /// if a server with this port runs there.
    async fn folder_of_the_running_server(&self, database: &DatabaseRef) -> DataResult<String> {
        let unseen = |why: &str| DataError::Unseen {
            why: format!(
                "{why}; `GRANT pg_read_all_settings TO \"{}\"` lets the server itself say it",
                database.user
            ),
        };
        let what = format!("container `{}`", database.container);
        let found = self.runtime.container(&database.container).await;
        let found = found.map_err(|source| DataError::Container { what, source })?;
        let folder = found.and_then(|server| server.env.get("PGDATA").cloned());
        let folder = folder.filter(|folder| !folder.is_empty());
        let Some(folder) = folder else {
            return Err(unseen(
                "the role may not ask for `data_directory`, and the container has no PGDATA in its environment",
            ));
        };
        let path = format!("{}/{PID_FILE}", folder.trim_end_matches('/'));
        let text = self
            .inside(database, "head", &["head", "-n", "4", &path])
            .await
            .map_err(|err| {
                let is_answer = matches!(err, DataError::Tool { .. });
                let nobody = || unseen(&format!("no server runs in {folder} ({err})"));
                if is_answer { nobody() } else { err }
            })?;
        let mut lines = text.lines().map(str::trim).skip(1);
        let (data, port) = (lines.next(), lines.nth(1));
        match data {
            Some(data) if port == Some(database.port.to_string().as_str()) => Ok(data.to_owned()),
            Some(_) | None => Err(unseen(&format!("{path} tells of another server"))),
        }
    }

    pub(super) async fn inside(
        &self,
        database: &DatabaseRef,
        tool: &'static str,
        command: &[&str],
    ) -> DataResult<String> {
        let exec = Exec {
            command,
            env: &[("LC_ALL", "C")],
            limit: QUESTION,
        };
        toolbox::run(&self.runtime, &database.container, tool, exec).await
    }
}

fn parse_parts(answer: &str) -> DataResult<Vec<Part>> {
    let part = |line: &str| {
        let (rest, relations) = line.rsplit_once('|')?;
        let (path, bytes) = rest.rsplit_once('|')?;
        Some(Part {
            path: path.to_owned(),
            bytes: bytes.parse().ok()?,
            relations: relations.parse().ok()?,
        })
    };
    let lines = answer.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| part(line).ok_or_else(|| unexpected(line)))
        .collect()
}

/// Makes paths whole, and gives what lies in no tablespace of its own to the folder in which it is: the database's own
/// tablespace if it has one (the part that names neither bytes nor relations), else the data folder.
fn settle(parts: &mut [Part], data: &str) {
    for part in parts.iter_mut() {
        if part.path.is_empty() {
            data.clone_into(&mut part.path);
        } else if !part.path.starts_with('/') {
            part.path = format!("{data}/{}", part.path);
        }
    }
    let Some((whole, others)) = parts.split_first_mut() else {
        return;
    };
    let (bytes, relations) = others.iter().fold((0_u64, 0_u64), |sum, part| {
        (
            sum.0.saturating_add(part.bytes),
            sum.1.saturating_add(part.relations),
        )
    });
    let rest = (
        whole.bytes.saturating_sub(bytes),
        whole.relations.saturating_sub(relations),
    );
    let own = others
        .iter_mut()
        .find(|part| part.bytes == 0 && part.relations == 0);
    match own {
        Some(own) => {
            (own.bytes, own.relations) = rest;
            (whole.bytes, whole.relations) = (0, 0);
        }
        None => (whole.bytes, whole.relations) = rest,
    }
}

fn parse_rooms(answer: &str) -> DataResult<Vec<Room>> {
    let room = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (free, block, blocks, inodes, free_inodes) =
            (next()?, next()?, next()?, next()?, next()?);
        Some(Room {
            bytes: free.saturating_mul(block),
            total: blocks.saturating_mul(block),
            inodes: (inodes > 0).then_some(free_inodes),
        })
    };
    answer
        .lines()
        .map(|line| room(line).ok_or_else(|| unexpected(line)))
        .collect()
}

/// Parts with their rooms; one that holds nothing and adds no room to the data folder's is left out.
fn joined(parts: Vec<Part>, rooms: &[Room]) -> Vec<DataPlace> {
    let first = rooms.first().copied();
    let mut places = Vec::new();
    for (part, room) in parts.into_iter().zip(rooms) {
        if part.bytes > 0 || places.is_empty() || Some(*room) != first {
            places.push(DataPlace {
                path: part.path,
                bytes: part.bytes,
                relations: part.relations,
                room: *room,
            });
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(answer: &str) -> Vec<(String, u64, u64)> {
        let mut parts = parse_parts(answer).unwrap();
        settle(&mut parts, "/data");
        let parts = parts.into_iter();
        parts
            .map(|part| (part.path, part.bytes, part.relations))
            .collect()
    }

    #[test]
    fn bytes_are_where_their_tablespaces_are() {
        let place = |path: &str, bytes, relations| (path.to_owned(), bytes, relations);
        assert_eq!(settled("|100|40\n"), [place("/data", 100, 40)]);
        assert_eq!(
            settled("/data|100|40\n/mnt/big|30|2\n"),
            [place("/data", 70, 38), place("/mnt/big", 30, 2)]
        );
        // The database has a tablespace of its own, and one table lies in another; one of the server's own is relative.
        assert_eq!(
            settled("|100|40\n/mnt/a|b|0|0\npg_tblspc/16400|30|2\n/empty|0|1\n"),
            [
                place("/data", 0, 0),
                place("/mnt/a|b", 70, 37),
                place("/data/pg_tblspc/16400", 30, 2),
                place("/empty", 0, 1)
            ]
        );
        assert!(parse_parts("/data|many|3").is_err());
    }

    #[test]
    fn a_file_system_without_inodes_has_no_limit_of_them() {
        let rooms = parse_rooms("5 4096 10 100 7\n5 4096 10 0 0\n").unwrap();
        assert_eq!((rooms[0].bytes, rooms[0].total), (20_480, 40_960));
        assert_eq!((rooms[0].inodes, rooms[1].inodes), (Some(7), None));
        assert!(parse_rooms("stat: no such file").is_err());
    }

    #[test]
    fn logs_on_the_same_disk_are_no_place_of_their_own() {
        let rooms = parse_rooms("5 1 10 0 0\n5 1 10 0 0\n9 1 10 0 0\n").unwrap();
        let part = |path: &str, bytes| Part {
            path: path.to_owned(),
            bytes,
            relations: 1,
        };
        let places = joined(
            vec![part("/data", 3), part("/data/pg_wal", 0), part("/logs", 0)],
            &rooms,
        );
        let paths: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
        assert_eq!(paths, ["/data", "/logs"]);
    }
}
