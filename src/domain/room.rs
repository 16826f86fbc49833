//! Room on file systems: what is free, what a run needs, and where that falls short.

use super::plan::Method;
use super::version::UpdateKind;

/// Room that has to stay free where the server keeps its data, for logs and write-ahead logs: 512 MiB.
pub const SPARE: u64 = 512 << 20;

/// Two answers of one file system differ by what is written between them: on a busy host far less than this many
/// bytes.
const WRITTEN_BETWEEN: u64 = 256 << 20;
/// `PostgreSQL` begins another file with every gigabyte of a table.
const SEGMENT: u64 = 1 << 30;
/// Files of a table or an index: itself, its map of free space, its map of visible rows.
const FORKS: u64 = 3;

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes free for us.
    pub bytes: u64,
    /// Bytes of the whole file system; 0 where that is not known.
    pub total: u64,
    /// Files that can still be made; `None` where the file system has no such limit.
    pub inodes: Option<u64>,
}

impl Room {
    /// Whether two answers are of one file system, as far as that can be told when one was given outside of a container and
    /// the other inside of it. In doubt they are: then all that is needed has to fit into one.
    fn is_same(self, other: Self) -> bool {
        self.total == other.total && self.bytes.abs_diff(other.bytes) <= WRITTEN_BETWEEN
    }
}

/// A folder in which the server keeps a part of the database, as it is seen inside the server's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPlace {
    /// The folder.
    pub path: String,
    /// Bytes of the database in it.
    pub bytes: u64,
    /// Tables, indexes and the like of the database in it.
    pub relations: u64,
    /// Room there.
    pub room: Room,
}

/// Something for which room is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What, as it is said in a sentence: `the snapshot`.
    pub what: &'static str,
    /// Where, as a person finds it.
    pub place: String,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Files that it makes.
    pub inodes: u64,
    /// Bytes that have to be free when it is done.
    pub spare: u64,
    /// What is free there.
    pub room: Room,
}

/// How often the database will stand in the server beside itself, at the most.
///
/// A clone is one copy, and so is a copy of the server's whole folder, but for one that shares its blocks. What migrates rewrites every table at the most, and what takes that back restores another copy
/// beside it; of a clone, the copy is there already, and the way back needs none.
pub const fn copies(method: Method, shares_blocks: bool, migrates: bool) -> u64 {
    match (method, shares_blocks, migrates) {
        (Method::Logical, _, false) | (Method::Physical, true, false) => 0,
        // A way back to a copy that shares its blocks takes what is there, and needs no room.
        (Method::Clone | Method::Physical, _, false) | (Method::Physical, true, true) => 1,
        (Method::Logical | Method::Clone | Method::Physical, _, true) => 2,
    }
}

/// Whether a step of this size usually brings migrations: patches do not, but are asked once their images are here.
pub const fn usually_migrates(kind: UpdateKind) -> bool {
    match kind {
        UpdateKind::Patch => false,
        UpdateKind::Minor | UpdateKind::Major => true,
    }
}

/// What so many copies of the database need in the server; nothing for none.
pub fn in_server(places: &[DataPlace], n_copies: u64) -> Vec<Need> {
    let places = places.iter().filter(|_| n_copies > 0);
    let need = |place: &DataPlace| {
        let files = place.relations.saturating_mul(FORKS);
        let files = files.saturating_add(place.bytes.div_euclid(SEGMENT));
        Need {
            what: match n_copies {
                1 => "a copy of the database",
                _ => "the migrations and a copy of the database",
            },
            place: place.path.clone(),
            bytes: place.bytes.saturating_mul(n_copies),
            inodes: files.saturating_mul(n_copies),
            spare: SPARE,
            room: place.room,
        }
    };
    places.map(need).collect()
}

/// The first file system on which there is less room than everything on it needs together, as a sentence.
///
/// What is said does not depend on the order of needs on the same file system.
pub fn shortage(needs: &[Need]) -> Option<String> {
    needs.iter().find_map(|need| {
        let here: Vec<&Need> = needs
            .iter()
            .filter(|other| other.room.is_same(need.room))
            .collect();
        let sum = |of: fn(&Need) -> u64| here.iter().map(|it| of(it)).fold(0, u64::saturating_add);
        let spare = here.iter().map(|it| it.spare).max().unwrap_or_default();
        let (bytes, inodes) = (
            sum(|it| it.bytes).saturating_add(spare),
            sum(|it| it.inodes),
        );
        let free = here
            .iter()
            .map(|it| it.room.bytes)
            .min()
            .unwrap_or_default();
        let left = here.iter().filter_map(|it| it.room.inodes).min();
        let whats = joined(here.iter().map(|it| it.what).collect());
        let places = joined(here.iter().map(|it| it.place.as_str()).collect());
        if free < bytes {
            return Some(format!(
                "not enough room for {whats}: {places} needs {} MiB free, {} MiB are",
                mebibytes(bytes),
                free >> 20
            ));
        }
        left.filter(|left| *left < inodes).map(|left| {
            format!("not enough free inodes for {whats}: {places} needs {inodes}, {left} are free")
        })
    })
}

/// Rounded up: what is needed is not said smaller than it is.
fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Each once, in the order in which they come.
fn joined(words: Vec<&str>) -> String {
    let mut each: Vec<&str> = Vec::new();
    for word in words {
        if !each.contains(&word) {
            each.push(word);
        }
    }
    each.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(free_gib: u64, total_gib: u64) -> Room {
        Room {
            bytes: free_gib << 30,
            total: total_gib << 30,
            inodes: Some(1_000_000),
        }
    }

    fn place(path: &str, gib: u64, room: Room) -> DataPlace {
        DataPlace {
            path: path.to_owned(),
            bytes: gib << 30,
            relations: 1_000,
            room,
        }
    }

    fn need(what: &'static str, place: &str, gib: u64, room: Room) -> Need {
        Need {
            what,
            place: place.to_owned(),
            bytes: gib << 30,
            inodes: 2_000,
            spare: SPARE,
            room,
        }
    }

    #[test]
    fn a_clone_is_one_copy_more_and_migrations_and_their_way_back_are_two() {
        for (method, shares, migrates, n_copies) in [
            (Method::Logical, false, false, 0),
            (Method::Clone, false, false, 1),
            (Method::Physical, false, false, 1),
            (Method::Physical, true, false, 0),
            (Method::Logical, false, true, 2),
            (Method::Clone, false, true, 2),
            (Method::Physical, false, true, 2),
            (Method::Physical, true, true, 1),
        ] {
            let found = copies(method, shares, migrates);
            assert_eq!(found, n_copies, "{method:?} {shares} {migrates}");
        }
    }

    #[test]
    fn what_is_needed_on_one_file_system_is_added_up_and_the_spare_room_counts_once() {
        let one = room(10, 100);
        let needs = [
            need("the snapshot", "/var/lib/mastopatch", 4, one),
            need("a copy of the database", "/data", 5, one),
        ];
        assert_eq!(shortage(&needs), None);
        let needs = [
            need("the snapshot", "/var/lib/mastopatch", 5, one),
            need("a copy of the database", "/data", 5, one),
        ];
        assert_eq!(
            shortage(&needs).unwrap(),
            "not enough room for the snapshot and a copy of the database: /var/lib/mastopatch and /data needs \
             10752 MiB free, 10240 MiB are"
        );
        let elsewhere = need("a copy of the database", "/data", 5, room(10, 50));
        assert_eq!(shortage(&[needs[0].clone(), elsewhere]), None);
    }

    #[test]
    fn a_tablespace_on_a_disk_of_its_own_needs_room_there() {
        let places = [
            place("/var/lib/postgresql/data", 1, room(50, 100)),
            place("/mnt/big", 30, room(40, 80)),
        ];
        assert_eq!(shortage(&in_server(&places, 1)), None);
        let text = shortage(&in_server(&places, 2)).unwrap();
        assert!(text.contains("/mnt/big needs 61952 MiB"), "{text}");
        assert!(in_server(&places, 0).is_empty());
    }

    #[test]
    fn a_disk_without_inodes_is_full() {
        let few = Room {
            inodes: Some(2_999),
            ..room(50, 100)
        };
        let text = shortage(&in_server(&[place("/data", 0, few)], 1)).unwrap();
        assert_eq!(
            text,
            "not enough free inodes for a copy of the database: /data needs 3000, 2999 are free"
        );
        let enough = Room {
            inodes: Some(3_000),
            ..few
        };
        assert_eq!(shortage(&in_server(&[place("/data", 0, enough)], 1)), None);
        let no_limit = Room {
            inodes: None,
            ..few
        };
        assert_eq!(
            shortage(&in_server(&[place("/data", 0, no_limit)], 1)),
            None
        );
        // A table of three gigabytes has three more files.
        let text = shortage(&in_server(&[place("/data", 3, enough)], 1)).unwrap();
        assert!(text.contains("needs 3003"), "{text}");
    }
}
