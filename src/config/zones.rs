//! Time zones by name, from the host's copy of the time zone database.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::config::values::nearest;

/// Where Linux keeps the time zone database (the package `tzdata`).
const ZONEINFO: &str = "/usr/share/zoneinfo";

/// Why a text names no zone that windows can be meant in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAZone {
    /// There is no database.
    #[error("there is no time zone database in `{ZONEINFO}`; install the package tzdata")]
    NoDatabase,
    /// Always the same offset.
    #[error(
        "`{0}` is a fixed offset, which is wrong for half of the year wherever clocks change; name a place, such as `Europe/Berlin`, or `UTC`"
    )]
    Fixed(String),
    /// Whatever the host is set to.
    #[error(
        "`{0}` is no zone by name: it means something else on another host; name a place, such as `Europe/Berlin`"
    )]
    Relative(String),
    /// Not in the database.
    #[error(
        "`{name}` is not a time zone{}",
        .near.as_ref().map_or_else(
            || "; name a place, such as `Europe/Berlin`, or `UTC`".to_owned(),
            |near| format!(", did you mean `{near}`?"),
        )
    )]
    Unknown {
        /// What was written.
        name: String,
        /// What may have been meant.
        near: Option<String>,
    },
}

/// The zone of this name.
pub(super) fn find(name: &str) -> Result<TimeZone, NotAZone> {
    let lower = name.to_ascii_lowercase();
    let unnamed = [
        "localtime",
        "local",
        "posixrules",
        "factory",
        "posix",
        "right",
    ];
    let first = lower.split('/').next().unwrap_or_default();
    if unnamed.contains(&first) {
        return Err(NotAZone::Relative(name.to_owned()));
    }
    let fixed = ["est", "mst", "hst", "gmt0"].contains(&lower.as_str())
        || (lower.starts_with(['+', '-']) || first_of(&lower, &["etc/gmt", "gmt", "utc", "z"]))
            && lower.contains(['+', '-', '0']);
    if fixed {
        return Err(NotAZone::Fixed(name.to_owned()));
    }
    let database = TimeZoneDatabase::from_dir(ZONEINFO).map_err(|_err| NotAZone::NoDatabase)?;
    let names: Vec<String> = names(&database);
    if !names.iter().any(|known| known == name) {
        let near = suggestion(name, &names);
        let name = name.to_owned();
        return Err(NotAZone::Unknown { name, near });
    }
    database.get(name).map_err(|_err| NotAZone::Unknown {
        name: name.to_owned(),
        near: None,
    })
}

/// The version of the time zone database, such as `2025b`; none if there is no database or it does not say.
pub fn tz_version() -> Option<String> {
    version_in(Path::new(ZONEINFO))
}

/// Every zone that can be named.
pub fn zone_names() -> Vec<String> {
    TimeZoneDatabase::from_dir(ZONEINFO).map_or_else(|_err| Vec::new(), |database| names(&database))
}

/// The first line of `tzdata.zi` says it: `# version 2025b`.
fn version_in(folder: &Path) -> Option<String> {
    let mut line = String::new();
    let file = fs::File::open(folder.join("tzdata.zi")).ok()?;
    BufReader::new(file).read_line(&mut line).ok()?;
    let version = line.strip_prefix("# version ")?.trim();
    (!version.is_empty()).then(|| version.to_owned())
}

fn names(database: &TimeZoneDatabase) -> Vec<String> {
    let names = database.available().map(|name| name.to_string());
    let mut names: Vec<String> = names
        .filter(|name| {
            !["posix/", "right/", "posixrules", "localtime", "Factory"]
                .iter()
                .any(|no| name.starts_with(no))
        })
        .collect();
    names.sort_unstable();
    names
}

fn first_of(text: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| text.starts_with(start))
}

/// The zone that is most like a text: other letters' case, only the city, or a typing mistake.
fn suggestion(name: &str, names: &[String]) -> Option<String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace([' ', '-'], "_");
    let (wanted, city) = (plain(name), |known: &str| {
        plain(known.rsplit('/').next().unwrap_or_default())
    });
    let mine = city(name);
    let same = names.iter().find(|known| plain(known) == wanted);
    let place = || names.iter().find(|known| city(known) == mine);
    let typed = || nearest(name, names.iter().map(String::as_str)).map(ToOwned::to_owned);
    same.or_else(place).cloned().or_else(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_named_exactly_and_by_its_place() {
        for good in [
            "Europe/Berlin",
            "UTC",
            "Etc/UTC",
            "America/Argentina/Buenos_Aires",
            "Australia/Lord_Howe",
        ] {
            assert!(find(good).is_ok(), "{good}");
        }
        for (bad, said) in [
            ("europe/berlin", "did you mean `Europe/Berlin`?"),
            ("Berlin", "did you mean `Europe/Berlin`?"),
            ("Europe/Brelin", "did you mean `Europe/Berlin`?"),
            ("New York", "did you mean `America/New_York`?"),
            (
                "Middle-earth/Shire",
                "name a place, such as `Europe/Berlin`",
            ),
            ("", "name a place"),
            ("+01:00", "a fixed offset"),
            ("-5", "a fixed offset"),
            ("UTC+1", "a fixed offset"),
            ("Etc/GMT-1", "a fixed offset"),
            ("EST", "a fixed offset"),
            ("localtime", "something else on another host"),
            ("right/Europe/Berlin", "something else"),
            ("../../etc/passwd", "is not a time zone"),
        ] {
            let said_here = find(bad).unwrap_err().to_string();
            assert!(said_here.contains(said), "{bad}: {said_here}");
        }
    }

    #[test]
    fn the_database_says_its_version() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(version_in(folder.path()), None);
        fs::write(folder.path().join("tzdata.zi"), "# version 2031c\n# This\n").unwrap();
        assert_eq!(version_in(folder.path()), Some("2031c".to_owned()));
        let here = tz_version().unwrap();
        assert!(here.starts_with("20"), "{here}");
    }
}
