//! Tumbling and hopping windows: their bounds follow from the timestamp alone.
//!
//! A window is one entry, under the key by which it is closed.

use super::{Merge, Windows};
use crate::{Failure, state};

/// The windows around a time.
pub(super) struct Containing {
    pub(super) at: i64,
    pub(super) size: i64,
    pub(super) every: i64,
}

impl Containing {
    /// Start and end of each, the earliest first.
    fn spans(&self) -> impl Iterator<Item = (i64, i64)> {
        let Containing { at, size, every } = *self;
        let last = at.saturating_sub(at.rem_euclid(every));
        // The earliest that still reaches beyond `at`.
        let before = (last.saturating_add(size) - 1 - at) / every;
        (0..=before).rev().map(move |back| {
            let start = last.saturating_sub(back * every);
            (start, start.saturating_add(size))
        })
    }
}

/// Takes a record into its windows that are open, and says when the first of them ends.
pub(super) fn add<A: Merge>(
    windows: &Windows,
    now: i64,
    containing: Containing,
    key: &[u8],
    mut update: impl FnMut(&mut A),
) -> Result<Option<i64>, Failure> {
    let mut earliest = None;
    for (start, end) in containing.spans().filter(|(_, end)| !windows.is_closed(*end, now)) {
        let entry = windows.end_key(end, start, key);
        let mut gathered: A = state::get_as(&entry)?.unwrap_or_default();
        update(&mut gathered);
        state::put_as(&entry, &gathered)?;
        earliest.get_or_insert(end);
    }
    Ok(earliest)
}
