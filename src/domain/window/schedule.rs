//! Windows, one-off windows and blackouts together: in which stretches work may be under way.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blackout::{length, merged};
use super::{Blackout, Opening, Strength, Window};
use crate::domain::policy::Class;

/// How far ahead a calendar is looked at: a year and a month, so that what opens once a year is found.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The calendar of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    windows: Vec<Window>,
    blackouts: Vec<Blackout>,
    one_offs: Vec<OneOff>,
}

/// A window that a person opened once, for instance for a fix that was announced for a certain time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneOff {
    /// Its name.
    pub id: String,
    /// From when to when.
    pub opening: Opening,
    /// What may start in it.
    pub allow: BTreeSet<Class>,
    /// Whether it is open in soft blackouts, too.
    pub breaks_soft: bool,
    /// Why there is one.
    pub reason: String,
    /// Who opened it.
    pub by: String,
    /// When that was ordered.
    pub at: Timestamp,
}

/// A stretch in which work of one class may be under way: windows that touch, without what blackouts take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<'a> {
    /// From when to when.
    pub opening: Opening,
    /// The window that is open at its start; of several, the one that closes last.
    pub window: &'a str,
}

impl Schedule {
    /// Puts windows and blackouts together.
    pub fn new(windows: Vec<Window>, blackouts: Vec<Blackout>) -> Self {
        Self {
            windows,
            blackouts,
            one_offs: Vec::new(),
        }
    }

    /// The same calendar with windows that people opened.
    #[must_use]
    pub fn with_one_offs(&self, one_offs: &[OneOff]) -> Self {
        Self {
            one_offs: one_offs.to_vec(),
            ..self.clone()
        }
    }

    /// The same calendar with only these windows.
    #[must_use]
    pub fn with_only(mut self, ids: &[&str]) -> Self {
        self.windows.retain(|window| ids.contains(&window.id()));
        self
    }

    /// The same calendar as the unluckiest host has it on its unluckiest day: every window opens as late as it may.
    #[must_use]
    pub fn at_its_latest(&self) -> Self {
        let windows = self.windows.iter().map(Window::at_its_latest);
        Self {
            windows: windows.collect(),
            ..self.clone()
        }
    }

    /// The windows that are written.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The blackouts.
    pub fn blackouts(&self) -> &[Blackout] {
        &self.blackouts
    }

    /// The windows that people opened.
    pub fn one_offs(&self) -> &[OneOff] {
        &self.one_offs
    }

    /// Whether a written window lets work of this class start, ever.
    pub fn allows(&self, class: Class) -> bool {
        self.windows.iter().any(|window| window.allows(class))
    }

    /// The stretches in `[from, to)` and around it in which work of `class` may be under way; `breaks` are the blackouts
    /// that do not count for it. What lies beyond `to` may be missing.
    pub fn slots(
        &self,
        class: Class,
        breaks: &BTreeSet<Strength>,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<Slot<'_>> {
        let openings = self
            .windows
            .iter()
            .filter(|window| window.allows(class))
            .flat_map(|window| {
                window
                    .openings(from, to)
                    .into_iter()
                    .map(|opening| (opening, window.id()))
            });
        let closed = self.closed(breaks, from, to);
        let mut free: Vec<(Opening, &str)> = openings
            .flat_map(|(opening, id)| without(opening, &closed).map(move |part| (part, id)))
            .collect();
        for one in self
            .one_offs
            .iter()
            .filter(|one| one.allow.contains(&class))
        {
            let mut breaks = breaks.clone();
            breaks.extend(one.breaks_soft.then_some(Strength::Soft));
            // It may be longer than every written window, and is whole in what comes out.
            let (start, end) = (one.opening.start.min(from), one.opening.end.max(to));
            let closed = self.closed(&breaks, start, end);
            free.extend(without(one.opening, &closed).map(|part| (part, one.id.as_str())));
        }
        free.retain(|(part, _)| from < to && part.start < to && part.end > from);
        free.sort_unstable_by_key(|(part, id)| (part.start, std::cmp::Reverse(part.end), *id));
        let stretches = merged(free.iter().map(|(part, _)| *part));
        stretches
            .into_iter()
            .map(|opening| {
                // The last of those open at its start that close last; there is always one.
                let here = free.iter().filter(|(part, _)| part.start == opening.start);
                let window = here.map(|(_, id)| *id).next().unwrap_or_default();
                Slot { opening, window }
            })
            .collect()
    }

    /// The first instant from `from` on at which work of `class` that takes `needed` can still be over before its stretch
    /// ends, if there is one within [`HORIZON`].
    pub fn first_start(
        &self,
        class: Class,
        breaks: &BTreeSet<Strength>,
        from: Timestamp,
        needed: SignedDuration,
    ) -> Option<(Timestamp, Slot<'_>)> {
        horizons(from).find_map(|to| {
            self.slots(class, breaks, from, to)
                .into_iter()
                .map(|slot| (slot.opening.start.max(from), slot))
                .find(|(start, slot)| slot.opening.end.duration_since(*start) >= needed)
        })
    }

    /// The same for work that needs no window: only blackouts keep it. With the start of the next blackout, if one comes
    /// within [`HORIZON`].
    pub fn first_free(
        &self,
        breaks: &BTreeSet<Strength>,
        from: Timestamp,
        needed: SignedDuration,
    ) -> Option<(Timestamp, Option<Timestamp>)> {
        let horizon = from.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let mut start = from;
        for stretch in self.closed(breaks, from, horizon) {
            if stretch.start.duration_since(start) >= needed.max(SignedDuration::from_nanos(1)) {
                return Some((start, Some(stretch.start)));
            }
            start = start.max(stretch.end);
        }
        (start < horizon).then_some((start, None))
    }

    /// The blackouts that hold at `at` and count for work that goes on in `breaks`, the strongest first, each with its end.
    pub fn blackouts_at(
        &self,
        at: Timestamp,
        breaks: &BTreeSet<Strength>,
    ) -> Vec<(&Blackout, Timestamp)> {
        let just_after = at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at);
        let counting = self
            .blackouts
            .iter()
            .filter(|one| !breaks.contains(&one.strength()));
        let mut holding: Vec<(&Blackout, Timestamp)> = counting
            .filter_map(|one| {
                let stretches = one.stretches(at, just_after).into_iter();
                Some((one, stretches.map(|stretch| stretch.end).max()?))
            })
            .collect();
        holding.sort_by_key(|(one, end)| std::cmp::Reverse((one.strength(), *end)));
        holding
    }

    /// The windows that are open at `at`, written and one-off, whatever blackouts say, each with its end and what it allows.
    pub fn open_at(&self, at: Timestamp) -> Vec<(&str, Opening, &BTreeSet<Class>)> {
        let written = self
            .windows
            .iter()
            .filter_map(|window| Some((window.id(), window.current(at)?, window.allow())));
        let ordered = self
            .one_offs
            .iter()
            .filter(|one| one.opening.holds(at))
            .map(|one| (one.id.as_str(), one.opening, &one.allow));
        written.chain(ordered).collect()
    }

    /// What blackouts leave of an opening, but for those that do not count.
    pub fn left_of(&self, opening: Opening, breaks: &BTreeSet<Strength>) -> Vec<Opening> {
        let closed = self.closed(breaks, opening.start, opening.end);
        without(opening, &closed).collect()
    }

    /// For each written window, in order, the longest stretch that one of its openings is a part of from `from` on,
    /// within [`HORIZON`], for any class that it allows; zero if it never opens.
    pub fn longest(&self, from: Timestamp) -> Vec<SignedDuration> {
        let to = from.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let slots = Class::ALL.map(|class| (class, self.slots(class, &BTreeSet::new(), from, to)));
        let longest = |window: &Window| {
            let mine = window.openings(from, to);
            let touches = |slot: &Slot<'_>| {
                // Openings of one window end in the order in which they start.
                let ended = mine.partition_point(|one| one.end <= slot.opening.start);
                mine.get(ended)
                    .is_some_and(|one| one.start < slot.opening.end)
            };
            let allowed = slots.iter().filter(|(class, _)| window.allows(*class));
            allowed
                .flat_map(|(_, slots)| slots)
                .filter(|slot| touches(slot))
                .map(|slot| length(&slot.opening))
                .max()
                .unwrap_or_default()
        };
        self.windows.iter().map(longest).collect()
    }

    /// When blackouts close everything, merged, by start.
    fn closed(&self, breaks: &BTreeSet<Strength>, from: Timestamp, to: Timestamp) -> Vec<Opening> {
        // A stretch that began before `from`, or goes on after `to`, is whole all the same.
        let counting = self
            .blackouts
            .iter()
            .filter(|one| !breaks.contains(&one.strength()));
        let around = to.checked_add(super::LONGEST).unwrap_or(Timestamp::MAX);
        let before = from.checked_sub(super::LONGEST).unwrap_or(Timestamp::MIN);
        let mut all: Vec<Opening> = counting
            .flat_map(|one| one.stretches(before, around))
            .collect();
        all.sort_unstable();
        merged(all.into_iter())
    }
}

/// What is left of a stretch when these are taken away; they are sorted and do not touch.
fn without(whole: Opening, closed: &[Opening]) -> impl Iterator<Item = Opening> + use<> {
    let mut parts = Vec::new();
    let mut start = whole.start;
    for gap in closed
        .iter()
        .filter(|gap| gap.start < whole.end && gap.end > whole.start)
    {
        if gap.start > start {
            parts.push(Opening {
                start,
                end: gap.start,
            });
        }
        start = start.max(gap.end);
    }
    if start < whole.end {
        parts.push(Opening {
            start,
            end: whole.end,
        });
    }
    parts.into_iter()
}

/// How far to look, nearer ends first: most calendars are weekly, and a look at two weeks costs a twentieth.
pub(super) fn horizons(from: Timestamp) -> impl Iterator<Item = Timestamp> {
    const DAY: i64 = 24;
    [16 * DAY, 64 * DAY, HORIZON.as_hours()]
        .into_iter()
        .map(move |hours| {
            from.checked_add(SignedDuration::from_hours(hours))
                .unwrap_or(Timestamp::MAX)
        })
}
