//! Faults of the product that are known and not yet mended: each with what it shows by. Empty is what is wanted.

use crate::sim::world::World;

type Shows = fn(&str, &World) -> bool;

/// What it shows by, and what it comes of.
const KNOWN: [(Shows, &str); 0] = [];

/// The known fault behind something that is wrong, if there is one.
pub(crate) fn fault_of(why: &str, world: &World) -> Option<&'static str> {
    let mut all = KNOWN.iter();
    all.find(|(shows, _)| shows(why, world))
        .map(|(_, what)| *what)
}
