//! `[run]`: bounds and words.

use std::time::Duration;

use super::{Bounds, DAY, HOUR, MINUTE, span};
use crate::config::Run;
use crate::config::checks::word;
use crate::config::fragments;
use crate::config::reader::{File, Located};
use crate::domain::method::MethodChoice;
use crate::domain::plan::{Method, OnDeadline, Proof};
use crate::domain::rehearsal::Rehearse;

const PULL: Bounds = Bounds {
    least: MINUTE,
    most: Duration::from_secs(21_600),
    usual: Duration::from_secs(1_800),
};
const STOP: Bounds = Bounds {
    least: Duration::from_secs(10),
    most: Duration::from_secs(600),
    usual: MINUTE,
};
const SNAPSHOT: Bounds = Bounds {
    least: MINUTE,
    most: DAY,
    usual: Duration::from_secs(7_200),
};
const MIGRATE: Bounds = Bounds {
    least: MINUTE,
    most: DAY,
    usual: Duration::from_secs(7_200),
};
const BOOT: Bounds = Bounds {
    least: Duration::from_secs(30),
    most: HOUR,
    usual: Duration::from_secs(300),
};
const SETTLE: Bounds = Bounds {
    least: Duration::ZERO,
    most: Duration::from_secs(600),
    usual: Duration::from_secs(15),
};
/// Every snapshot is as large as the database; more than this many is a full disk.
const MOST_SNAPSHOTS: u32 = 100;
/// Snapshots hold what people deleted since: five years is longer than anybody may want that.
const KEEP_FOR: Bounds = Bounds {
    least: DAY,
    usual: DAY,
    most: Duration::from_secs(5 * 365 * 86_400),
};
/// MiB a second that a limit on hot copies can be: more than this is no limit on any disk.
const MOST_HOT_RATE: u32 = 10_000;
const ON_DEADLINE: [(&str, OnDeadline); 2] = [
    ("rollback", OnDeadline::Rollback),
    ("finish", OnDeadline::Finish),
];
const METHODS: [(&str, MethodChoice); 4] = [
    ("auto", MethodChoice::Auto),
    ("logical", MethodChoice::Only(Method::Logical)),
    ("clone", MethodChoice::Only(Method::Clone)),
    ("physical", MethodChoice::Only(Method::Physical)),
];
const REHEARSE: [(&str, Rehearse); 3] = [
    ("required", Rehearse::Required),
    ("when-possible", Rehearse::WhenPossible),
    ("off", Rehearse::Off),
];
/// Whether the copy is restored.
const PROOFS: [(&str, bool); 2] = [("restore", true), ("read", false)];

pub(super) fn check(file: File<'_>, run: &fragments::Run) -> Option<Run> {
    let pull_timeout = span(file, &run.pull_timeout, PULL);
    let stop_grace = span(file, &run.stop_grace, STOP);
    let snapshot_timeout = span(file, &run.snapshot_timeout, SNAPSHOT);
    let migrate_timeout = span(file, &run.migrate_timeout, MIGRATE);
    let boot_timeout = span(file, &run.boot_timeout, BOOT);
    let settle = span(file, &run.settle, SETTLE);
    let keep_snapshots = match &run.keep_snapshots {
        None => Some(3),
        Some(number) => up_to(file, number, MOST_SNAPSHOTS, ""),
    };
    let keep_snapshots_for = match &run.keep_snapshots_for {
        None => Some(None),
        some => span(file, some, KEEP_FOR).map(Some),
    };
    let hot_rate = match &run.hot_rate {
        None => Some(None),
        Some(number) => up_to(file, number, MOST_HOT_RATE, " (MiB a second)")
            .map(|mib| Some(u64::from(mib) << 20)),
    };
    let on_deadline = match &run.on_deadline {
        None => Some(OnDeadline::default()),
        Some(text) => word(file, text, &ON_DEADLINE),
    };
    let snapshot = match &run.snapshot {
        None => Some(MethodChoice::default()),
        Some(text) => word(file, text, &METHODS),
    };
    let proof = match &run.proof {
        None => Some(true),
        Some(text) => word(file, text, &PROOFS),
    };
    let rehearse = match &run.rehearse {
        None => Some(Rehearse::default()),
        Some(text) => word(file, text, &REHEARSE),
    };
    let proof = proof.map(|restores| {
        if restores {
            Proof::Restore
        } else {
            let because = Some("the configuration says `proof = \"read\"`".to_owned());
            Proof::Read { because }
        }
    });
    Some(Run {
        pull_timeout: pull_timeout?,
        stop_grace: stop_grace?,
        snapshot_timeout: snapshot_timeout?,
        migrate_timeout: migrate_timeout?,
        boot_timeout: boot_timeout?,
        settle: settle?,
        keep_snapshots: keep_snapshots?,
        keep_snapshots_for: keep_snapshots_for?,
        hot_rate: hot_rate?,
        on_deadline: on_deadline?,
        snapshot: snapshot?,
        proof: proof?,
        rehearse: rehearse?,
    })
}

/// A number from 1 on; `unit` is what is said behind the bounds.
fn up_to(file: File<'_>, number: &Located<i64>, most: u32, unit: &str) -> Option<u32> {
    let found = u32::try_from(number.value).ok();
    let good = found.filter(|found| (1..=most).contains(found));
    if good.is_none() {
        let found = number.value;
        file.refuse(
            &number.place,
            &format!("must be from 1 to {most}{unit}, not {found}"),
        );
    }
    good
}
