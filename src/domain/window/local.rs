//! From what a wall clock shows to instants.
//!
//! A wall clock that is put forward leaves times out, and one that is put back shows times twice. Here a time that is left
//! out means the first instant after it, and one that comes twice means the first of the two, or the last where asked. A
//! day that a zone left out altogether (the dateline was moved) is a gap like every other.

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The first instant at which the zone's wall clock shows `local`, or where it never does, the first after the gap.
///
/// None outside of the years that can be told, -9999 to 9999.
pub(super) fn first(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            // Read with the old offset, `local` lies at or after the change; the last change up to there is the gap's end.
            let inside = before
                .to_timestamp(local)
                .ok()?
                .checked_add(SignedDuration::from_nanos(1))
                .ok()?;
            zone.preceding(inside)
                .next()
                .map(|change| change.timestamp())
        }
    }
}

/// The same, but the last of two instants at which the wall clock shows `local`.
pub(super) fn last(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Fold { after, .. } => after.to_timestamp(local).ok(),
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => first(zone, local),
    }
}
