//! Faults of the product that are known and not yet mended: each with what it shows by. Empty is what is wanted.

use crate::sim::stranger::Deed;
use crate::sim::world::World;

type Shows = fn(&str, &World) -> bool;

/// What it shows by, and what it comes of.
const KNOWN: [(Shows, &str); 4] = [
    (
        |why, world| {
            why == "held after a single fault"
                && world
                    .state
                    .outcome()
                    .is_some_and(|(_, because)| because.contains("mastopatch-keep/"))
        },
        "a journal that cannot be written after the commit: finalise takes the keep-tags away, and the next start cannot open again",
    ),
    (
        |why, world| {
            world.interfered.contains(&Deed::RenamesNew)
                && why.starts_with("all new: there are other containers")
        },
        "a new container that somebody renamed is replaced by another, and stays",
    ),
    (
        |why, world| {
            why == "held after a single fault"
                && world.ever_refused
                && world
                    .state
                    .outcome()
                    .is_some_and(|(_, because)| because.contains("interrupted in step `migrate`"))
        },
        "an intent of `migrate` that was written though the store said no: the next start wants to restore, and refuses",
    ),
    (
        |why, world| {
            world.interfered.contains(&Deed::StartsOld) && why.contains("acknowledged, is lost")
        },
        "an old container that somebody starts during a restore: what people wrote there is lost with the switch by name",
    ),
];

/// The known fault behind something that is wrong, if there is one.
pub(crate) fn fault_of(why: &str, world: &World) -> Option<&'static str> {
    let mut all = KNOWN.iter();
    all.find(|(shows, _)| shows(why, world))
        .map(|(_, what)| *what)
}
