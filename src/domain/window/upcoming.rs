//! What comes: the next openings, and why nothing may start now.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::schedule::horizons;
use super::{LONGEST, Opening, Schedule, Slot, Strength};
use crate::domain::policy::Class;

/// An opening that is or comes, as far as blackouts leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming<'a> {
    /// The window.
    pub window: &'a str,
    /// Whether a person opened it, once.
    pub one_off: bool,
    /// From when to when.
    pub opening: Opening,
    /// What may start in it.
    pub allow: &'a BTreeSet<Class>,
    /// The last instant at which something may start, so that it is over in time; none where it is too short for that.
    pub latest_start: Option<Timestamp>,
}

/// Why nothing may start at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed<'a> {
    /// A blackout holds.
    Blackout {
        /// Its id.
        id: &'a str,
        /// What it gives way to.
        strength: Strength,
        /// Why there is one.
        reason: &'a str,
        /// When it ends.
        until: Timestamp,
    },
    /// No window is open.
    NoWindow,
    /// A window is open, and leaves too little.
    TooLate {
        /// The window.
        window: &'a str,
        /// When it closes.
        until: Timestamp,
        /// When the last start was; none where it is too short for any.
        latest_start: Option<Timestamp>,
    },
}

impl Schedule {
    /// The openings that end later than `from`, by their start, as many as `count` within 400 days.
    pub fn upcoming(
        &self,
        from: Timestamp,
        needed: SignedDuration,
        count: usize,
    ) -> Vec<Upcoming<'_>> {
        let mut found = Vec::new();
        for to in horizons(from) {
            found = self.between(from, to, needed);
            if found.len() >= count {
                break;
            }
        }
        found.truncate(count);
        found
    }

    /// Why nothing may start at `at`; empty where something may.
    pub fn why_closed(&self, at: Timestamp, needed: SignedDuration) -> Vec<Closed<'_>> {
        let may_start = |class| {
            let first = self.first_start(class, &BTreeSet::new(), at, needed);
            first.is_some_and(|(start, _)| start == at)
        };
        if Class::ALL.into_iter().any(may_start) {
            return Vec::new();
        }
        let just_after = at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at);
        let here = self.between(at, just_after, needed);
        let open: Vec<&Upcoming<'_>> = here.iter().filter(|one| one.opening.holds(at)).collect();
        let blackouts = self.blackouts_at(at, &BTreeSet::new()).into_iter();
        let mut closed: Vec<Closed<'_>> = blackouts
            .map(|(one, until)| Closed::Blackout {
                id: one.id(),
                strength: one.strength(),
                reason: one.reason(),
                until,
            })
            .collect();
        let late = open.iter().max_by_key(|one| one.opening.end);
        match late {
            Some(one) => closed.push(Closed::TooLate {
                window: one.window,
                until: one.opening.end,
                latest_start: one.latest_start,
            }),
            None if self.open_at(at).is_empty() => closed.push(Closed::NoWindow),
            None => {}
        }
        closed
    }

    fn between(&self, from: Timestamp, to: Timestamp, needed: SignedDuration) -> Vec<Upcoming<'_>> {
        let written = self.windows().iter().flat_map(|window| {
            let openings = window.openings(from, to).into_iter();
            openings.map(move |opening| (window.id(), false, opening, window.allow(), false))
        });
        let ordered = self.one_offs().iter().map(|one| {
            (
                one.id.as_str(),
                true,
                one.opening,
                &one.allow,
                one.breaks_soft,
            )
        });
        // Wide enough for windows that touch: as wide as a decision looks.
        let around = from.checked_sub(LONGEST).unwrap_or(Timestamp::MIN);
        let beyond = horizons(to).next().unwrap_or(Timestamp::MAX);
        let slots =
            Class::ALL.map(|class| (class, self.slots(class, &BTreeSet::new(), around, beyond)));
        let slots = &slots;
        let mut found: Vec<Upcoming<'_>> = written
            .chain(ordered)
            .flat_map(|(window, one_off, opening, allow, breaks_soft)| {
                let breaks = breaks_soft.then_some(Strength::Soft).into_iter().collect();
                let parts = self.left_of(opening, &breaks).into_iter();
                parts.map(move |opening| Upcoming {
                    window,
                    one_off,
                    opening,
                    allow,
                    latest_start: latest_start(opening, allow, slots, needed),
                })
            })
            .filter(|one| one.opening.end > from && one.opening.start < to)
            .collect();
        found.sort_by_key(|one| (one.opening, one.window));
        found
    }
}

/// Windows that touch this opening may let work go on after it; for the class for which they do that least.
fn latest_start(
    opening: Opening,
    allow: &BTreeSet<Class>,
    slots: &[(Class, Vec<Slot<'_>>)],
    needed: SignedDuration,
) -> Option<Timestamp> {
    let allowed = slots.iter().filter(|(class, _)| allow.contains(class));
    let ends = allowed.map(|(_, slots)| {
        let after = slots.partition_point(|slot| slot.opening.start <= opening.start);
        let slot = after.checked_sub(1).and_then(|place| slots.get(place));
        slot.map_or(opening.end, |slot| slot.opening.end.max(opening.end))
    });
    let latest = ends.min()?.checked_sub(needed).ok()?;
    let last_inside = opening
        .end
        .checked_sub(SignedDuration::from_nanos(1))
        .ok()?;
    (latest >= opening.start).then(|| latest.min(last_inside))
}
