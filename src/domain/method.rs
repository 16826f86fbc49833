//! Which way the database is copied: from what the server can do and what the configuration says.

use super::plan::Method;
use super::report::words::human_bytes;
use super::room::{DataPlace, copies, in_server, shortage, usually_migrates};
use super::version::UpdateKind;

/// What the configuration says of the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MethodChoice {
    /// A clone where it can be, else a dump.
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
    /// Whether web's role may create databases.
    pub may_create_databases: bool,
    /// Why a clone would not be the same for everybody, if it would not.
    pub no_clone: Option<String>,
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
}

/// The method of a step of this size. The same facts give the same answer; what the configuration says is taken, also where
/// it cannot be: the preflight then says what to do.
pub fn choose(choice: MethodChoice, kind: UpdateKind, facts: &CopyFacts) -> Chosen {
    let (method, because) = match choice {
        MethodChoice::Only(method) => (
            method,
            format!("the configuration says `snapshot = \"{}\"`", method.name()),
        ),
        MethodChoice::Auto => match why_no_clone(kind, facts) {
            Some(why) => (Method::Logical, why),
            None => (
                Method::Clone,
                format!(
                    "the server has room for a second copy of {}, and a clone closes the site for less",
                    human_bytes(facts.bytes)
                ),
            ),
        },
    };
    Chosen { method, because }
}

/// What is chosen for every size of step, as sentences: one where it is always the same.
pub fn told(choice: MethodChoice, facts: &CopyFacts) -> Vec<String> {
    let said = |kind| {
        let Chosen { method, because } = choose(choice, kind, facts);
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
    let n_copies = copies(Method::Clone, usually_migrates(kind));
    match &facts.places {
        Err(why) => Some(format!(
            "whether the server has room for a clone is not known: {why}"
        )),
        Ok(places) => shortage(&in_server(places, n_copies))
            .map(|short| format!("a clone does not fit into the server: {short}")),
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
            no_clone: None,
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
        for method in [Method::Logical, Method::Clone] {
            let chosen = choose(MethodChoice::Only(method), UpdateKind::Minor, &facts(0));
            assert_eq!(chosen.method, method);
            assert!(chosen.because.contains(method.name()), "{}", chosen.because);
        }
    }
}
