//! Which way the database is copied: from what the server can do and what the configuration says.

use super::plan::Method;
use super::report::words::human_bytes;
use super::room::{DataPlace, copies, in_server, shortage, usually_migrates};
use super::version::UpdateKind;

/// What the configuration says of the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MethodChoice {
    /// A clone where it can be, else a copy of the server's folder where that shares blocks, else a dump; a big database is cloned
    /// only where nothing is faster.
    #[default]
    Auto,
    /// This one, or no update.
    Only(Method),
}

/// What a choice depends on, as it was seen on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFacts {
    /// Bytes of the database.
    pub bytes: u64,
    /// `server_version_num`.
    pub server_version: u32,
    /// Whether web's role may create databases.
    pub may_create_databases: bool,
    /// Why a clone would not be the same for everybody, if it would not.
    pub no_clone: Option<String>,
    /// Why the server's whole data folder cannot be copied, or not be put back without harm to others, if so.
    pub no_cluster: Option<String>,
    /// Whether the file system of that folder lets two files share their blocks; or why that could not be tried.
    pub shares_blocks: Result<bool, String>,
    /// Where the server keeps the database, with the room there; or why that could not be seen.
    pub places: Result<Vec<DataPlace>, String>,
}

/// A method, and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub method: Method,
    /// Why, in one sentence without a full stop.
    pub because: String,
    /// Whether the copy shares its blocks with what it is a copy of, and takes neither room nor time.
    pub shares_blocks: bool,
}

/// From this size on a clone, whose files are copied at some hundred megabytes a second, keeps the site closed for longer than a
/// server takes to start and stop: 4 GiB.
const BIG: u64 = 4 << 30;
/// Since which version a server's clones can share blocks, too (`file_copy_method`).
pub const CLONES_SHARE: u32 = 180_000;

/// The method of a step of this size. The same facts give the same answer; what the configuration says is taken, also where
/// it cannot be: the preflight then says what to do.
pub fn choose(choice: MethodChoice, kind: UpdateKind, facts: &CopyFacts) -> Chosen {
    let (method, because) = match choice {
        MethodChoice::Only(method) => (
            method,
            format!("the configuration says `snapshot = \"{}\"`", method.name()),
        ),
        MethodChoice::Auto => match (why_no_clone(kind, facts), why_no_physical(kind, facts)) {
            (Some(why), Some(_)) => (Method::Logical, why),
            (Some(why), None) => (
                Method::Physical,
                format!(
                    "{why}; its files can be copied without room or time, for the file system shares blocks"
                ),
            ),
            (None, None) if facts.bytes >= BIG && facts.server_version < CLONES_SHARE => (
                Method::Physical,
                format!(
                    "the file system shares blocks, and a clone would close the site for as long as {} take to copy",
                    human_bytes(facts.bytes)
                ),
            ),
            (None, _) => (
                Method::Clone,
                format!(
                    "the server has room for a second copy of {}, and a clone closes the site for less",
                    human_bytes(facts.bytes)
                ),
            ),
        },
    };
    Chosen {
        method,
        because,
        shares_blocks: method == Method::Physical && facts.shares_blocks == Ok(true),
    }
}

/// What is chosen for every size of step, as sentences: one where it is always the same.
pub fn told(choice: MethodChoice, facts: &CopyFacts) -> Vec<String> {
    let said = |kind| {
        let Chosen {
            method, because, ..
        } = choose(choice, kind, facts);
        format!("{}: {because}.", method.name())
    };
    let (patch, line) = (said(UpdateKind::Patch), said(UpdateKind::Minor));
    if patch == line {
        return vec![patch];
    }
    vec![
        format!("For a patch {patch}"),
        format!("For another line {line}"),
    ]
}

fn why_no_clone(kind: UpdateKind, facts: &CopyFacts) -> Option<String> {
    if !facts.may_create_databases {
        return Some("the role may not create databases, so it can make no clone".to_owned());
    }
    if let Some(why) = &facts.no_clone {
        return Some(format!("the database cannot be cloned: {why}"));
    }
    let n_copies = copies(Method::Clone, false, usually_migrates(kind));
    match &facts.places {
        Err(why) => Some(format!(
            "whether the server has room for a clone is not known: {why}"
        )),
        Ok(places) => shortage(&in_server(places, n_copies))
            .map(|short| format!("a clone does not fit into the server: {short}")),
    }
}

/// Only a copy that shares blocks is better than a dump: it needs a superuser, and its way back stops the server.
fn why_no_physical(kind: UpdateKind, facts: &CopyFacts) -> Option<String> {
    if let Some(why) = &facts.no_cluster {
        return Some(why.clone());
    }
    match (&facts.shares_blocks, &facts.places) {
        (Err(why), _) | (Ok(_), Err(why)) => Some(why.clone()),
        (Ok(false), Ok(_)) => Some("the file system shares no blocks".to_owned()),
        (Ok(true), Ok(places)) => {
            let n_copies = copies(Method::Physical, true, usually_migrates(kind));
            shortage(&in_server(places, n_copies))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::room::Room;

    fn facts(free_gib: u64) -> CopyFacts {
        let room = Room {
            bytes: free_gib << 30,
            total: 100 << 30,
            inodes: None,
        };
        CopyFacts {
            bytes: 10 << 30,
            may_create_databases: true,
            server_version: 150_000,
            no_clone: None,
            no_cluster: None,
            shares_blocks: Ok(false),
            places: Ok(vec![DataPlace {
                path: "/var/lib/postgresql/data".to_owned(),
                bytes: 10 << 30,
                relations: 900,
                room,
            }]),
        }
    }

    #[test]
    fn a_clone_is_made_where_it_can_be_and_a_dump_where_it_cannot() {
        let refused = CopyFacts {
            no_clone: Some("replication slot `a` belongs to it".to_owned()),
            ..facts(50)
        };
        let powerless = CopyFacts {
            may_create_databases: false,
            ..facts(50)
        };
        let unseen = CopyFacts {
            places: Err("no tool".to_owned()),
            ..facts(50)
        };
        let (patch, minor) = (UpdateKind::Patch, UpdateKind::Minor);
        for (kind, facts, method, words) in [
            (
                patch,
                facts(50),
                Method::Clone,
                "room for a second copy of 10.0 GiB",
            ),
            (
                minor,
                facts(50),
                Method::Clone,
                "room for a second copy of 10.0 GiB",
            ),
            // A patch migrates nothing, so one copy is enough.
            (patch, facts(11), Method::Clone, "room for a second copy"),
            (
                minor,
                facts(11),
                Method::Logical,
                "/var/lib/postgresql/data needs 20992 MiB free",
            ),
            (
                UpdateKind::Major,
                facts(20),
                Method::Logical,
                "does not fit",
            ),
            (
                patch,
                facts(10),
                Method::Logical,
                "needs 10752 MiB free, 10240 MiB are",
            ),
            (
                patch,
                refused,
                Method::Logical,
                "cannot be cloned: replication slot `a`",
            ),
            (
                patch,
                powerless,
                Method::Logical,
                "may not create databases",
            ),
            (patch, unseen, Method::Logical, "is not known: no tool"),
        ] {
            let chosen = choose(MethodChoice::Auto, kind, &facts);
            assert_eq!(chosen.method, method, "{kind:?} {facts:?}");
            assert!(chosen.because.contains(words), "{}", chosen.because);
        }
    }

    #[test]
    fn a_folder_is_copied_where_that_shares_blocks_and_a_clone_would_take_long_or_cannot_be() {
        let shares = |free| CopyFacts {
            shares_blocks: Ok(true),
            ..facts(free)
        };
        let small = CopyFacts {
            bytes: 1 << 30,
            ..shares(50)
        };
        let new_server = CopyFacts {
            server_version: 180_001,
            ..shares(50)
        };
        let powerless = CopyFacts {
            may_create_databases: false,
            ..shares(50)
        };
        let not_alone = CopyFacts {
            no_cluster: Some("the server also keeps database forum".to_owned()),
            ..shares(50)
        };
        let untried = CopyFacts {
            shares_blocks: Err("no such tool".to_owned()),
            ..facts(11)
        };
        let (patch, minor) = (UpdateKind::Patch, UpdateKind::Minor);
        for (kind, facts, method, words) in [
            (
                patch,
                shares(50),
                Method::Physical,
                "as 10.0 GiB take to copy",
            ),
            (patch, small, Method::Clone, "room for a second copy"),
            (patch, new_server, Method::Clone, "room for a second copy"),
            (
                patch,
                powerless,
                Method::Physical,
                "may not create databases, so it can make no clone; its files",
            ),
            (patch, not_alone, Method::Clone, "room for a second copy"),
            // The migrations of another line may write every table anew.
            (
                minor,
                shares(11),
                Method::Physical,
                "a clone does not fit into the server",
            ),
            (
                minor,
                shares(9),
                Method::Logical,
                "a clone does not fit into the server",
            ),
            (minor, untried, Method::Logical, "does not fit"),
        ] {
            let chosen = choose(MethodChoice::Auto, kind, &facts);
            assert_eq!(chosen.method, method, "{kind:?} {facts:?}");
            assert!(chosen.because.contains(words), "{}", chosen.because);
            assert_eq!(chosen.shares_blocks, method == Method::Physical);
        }
        let plain = choose(MethodChoice::Only(Method::Physical), patch, &facts(50));
        assert!(!plain.shares_blocks, "{plain:?}");
    }

    #[test]
    fn what_is_always_the_same_is_told_once() {
        let told = |free| told(MethodChoice::Auto, &facts(free));
        assert_eq!(told(50).len(), 1);
        assert!(told(50)[0].starts_with("clone: the server has room"));
        let both = told(11);
        assert!(both[0].starts_with("For a patch clone: "), "{both:?}");
        assert!(
            both[1].starts_with("For another line logical: "),
            "{both:?}"
        );
    }

    #[test]
    fn what_the_configuration_says_is_taken_also_where_it_cannot_be() {
        for method in [Method::Logical, Method::Clone, Method::Physical] {
            let chosen = choose(MethodChoice::Only(method), UpdateKind::Minor, &facts(0));
            assert_eq!(chosen.method, method);
            assert!(chosen.because.contains(method.name()), "{}", chosen.because);
        }
    }
}
