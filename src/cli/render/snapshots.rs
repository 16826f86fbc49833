//! Snapshots: a list, and what became of a look through them.

use std::fmt::Write as _;

use crate::cli::answers::SnapshotAnswer;
use crate::domain::plan::short;
use crate::domain::report::words::{clean, human_bytes, human_count};
use crate::domain::retention::KeptFor;
use crate::engine::snapshots::{Defect, Verified};

use super::{lines_of, table};

/// Snapshots as a list. The instance stands there only where it tells something.
pub fn snapshots(all: &[SnapshotAnswer]) -> String {
    let Some(first) = all.first() else {
        return "There is no snapshot.".to_owned();
    };
    let several = all.iter().any(|one| one.instance != first.instance);
    let mut header = vec![
        "RUN",
        "TAKEN (UTC)",
        "VERSION",
        "METHOD",
        "SIZE",
        "KEPT FOR",
    ];
    if several {
        header.insert(1, "INSTANCE");
    }
    let mut list = table(&header);
    for one in all {
        let unknown = || "?".to_owned();
        let taken_at = one
            .taken_at
            .map(|at| at.strftime("%Y-%m-%d %H:%M").to_string());
        let mut row = vec![
            short(&one.run).to_owned(),
            taken_at.unwrap_or_else(unknown),
            one.version.as_deref().map_or_else(unknown, clean),
            one.method
                .map_or_else(unknown, |method| method.name().to_owned()),
            one.bytes.map_or_else(unknown, human_bytes),
            kept_for(one),
        ];
        if several {
            row.insert(1, one.instance.as_deref().map_or_else(unknown, clean));
        }
        list.add_row(row);
    }
    let mut text = lines_of(list, &[]);
    let folder = std::path::Path::new(&first.path).parent();
    if let Some(folder) = folder {
        let _infallible = write!(
            text,
            "\n\nThey lie in {}, a folder for each run.",
            folder.display()
        );
    }
    if all.iter().any(|one| one.database.is_some()) {
        text.push_str(
            "\nOf a clone, the copy of the database is a database of the server, beside the one that serves.",
        );
    }
    text
}

fn kept_for(one: &SnapshotAnswer) -> String {
    if let Some(flaw) = &one.flaw {
        return format!("does not count: {}", clean(&flaw.because));
    }
    let Some(kept_for) = &one.kept_for else {
        return "cannot be said".to_owned();
    };
    if kept_for.is_empty() {
        return "goes with the next update".to_owned();
    }
    let words: Vec<&str> = kept_for.iter().map(|why| words(*why)).collect();
    words.join(", ")
}

fn words(why: KeptFor) -> &'static str {
    match why {
        KeptFor::Run => "its run is not over",
        KeptFor::NewestCommitted => "the newest update",
        KeptFor::Newest => "one of the newest",
        KeptFor::Young => "young",
    }
}

/// What would be removed, as a person reads it before agreeing.
pub fn doomed(instance: &str, goes: &[SnapshotAnswer]) -> String {
    if goes.is_empty() {
        return format!(
            "Every snapshot of {} is kept for something.",
            clean(instance)
        );
    }
    let mut text = format!(
        "{}: kept for nothing, and to be removed:\n",
        clean(instance)
    );
    for one in goes {
        let bytes = one.bytes.map_or_else(String::new, human_bytes);
        let version = one.version.as_deref().unwrap_or_default();
        let _infallible = write!(text, "  {} of {}, {bytes}", one.path, clean(version));
        if let Some(database) = &one.database {
            let _infallible = write!(text, ", and database {}", clean(database));
        }
        text.push('\n');
    }
    text
}

/// A snapshot that was taken.
pub fn taken(one: &SnapshotAnswer) -> String {
    format!(
        "Taken and read back: {} in {}.",
        one.bytes.map_or_else(String::new, human_bytes),
        one.path
    )
}

/// What a look through a snapshot came to.
pub fn verified(run: &str, result: &Result<Verified, Defect>) -> String {
    let run = short(run);
    match result {
        Ok(whole) => {
            let counted = if whole.tables == 0 {
                "the original database is there".to_owned()
            } else {
                format!(
                    "{} tables with {} rows",
                    human_count(whole.tables),
                    human_count(whole.rows)
                )
            };
            format!(
                "{run}  whole: {} files ({}), {counted}, {} migrations, {} Redis keys",
                human_count(whole.files),
                human_bytes(whole.bytes),
                human_count(whole.migrations),
                human_count(whole.redis_keys)
            )
        }
        Err(defect) => format!("{run}  NOT what it says: {}", clean(&defect.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::answers::SnapshotMethod;

    fn one(run: &str, kept_for: Option<&[KeptFor]>) -> SnapshotAnswer {
        SnapshotAnswer {
            run: format!("019aa000-0000-7000-8000-{run}"),
            instance: Some("social.example".to_owned()),
            version: Some("4.5.7".to_owned()),
            taken_at: Some("2026-11-23T02:10:00Z".parse().unwrap()),
            method: Some(SnapshotMethod::Logical),
            bytes: Some(3 << 20),
            path: format!("/var/lib/mastopatch/snapshots/{run}"),
            database: None,
            kept_for: kept_for.map(|why| why.iter().copied().collect()),
            goes: kept_for.is_some_and(<[KeptFor]>::is_empty),
            flaw: None,
        }
    }

    #[test]
    fn the_list_says_what_each_is_kept_for() {
        let mut damaged = one("000000000003", None);
        damaged.flaw = Some((&Defect::from(crate::ports::files::Flaw::Unfinished)).into());
        let all = [
            one("000000000001", Some(&[])),
            one(
                "000000000002",
                Some(&[KeptFor::NewestCommitted, KeptFor::Newest]),
            ),
            damaged,
            one("000000000004", None),
        ];
        let text = snapshots(&all);
        for words in [
            "000000000001  2026-11-23 02:10  4.5.7    logical  3.0 MiB  goes with the next",
            "the newest update,\n",
            "does not count: it\n",
            "cannot be said",
            "They lie in /var/lib/mastopatch/snapshots,",
        ] {
            assert!(text.contains(words), "`{words}` in\n{text}");
        }
        assert!(!text.contains("INSTANCE"), "{text}");
        assert_eq!(snapshots(&[]), "There is no snapshot.");
    }

    #[test]
    fn a_clone_that_goes_names_the_database_that_goes_with_it() {
        let mut clone = one("000000000001", Some(&[]));
        clone.database = Some("mastodon_before_1".to_owned());
        let text = doomed("social.example", &[clone]);
        assert!(text.contains(", and database mastodon_before_1"), "{text}");
        assert!(doomed("a", &[]).contains("kept for something"));
    }

    #[test]
    fn a_flaw_is_said_with_its_reason() {
        let name = "mastodon_before_1".to_owned();
        let text = verified("019aa000-000000000001", &Err(Defect::OriginalGone { name }));
        assert!(
            text.starts_with("000000000001  NOT what it says: database"),
            "{text}"
        );
    }
}
