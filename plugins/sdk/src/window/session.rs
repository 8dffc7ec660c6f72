//! Sessions: their bounds grow with their records.
//!
//! A session is an entry under its key and start. Beside it lies an empty entry under an end, by
//! which it is closed. That end is one that the session had: growing does not rewrite it, closing
//! looks where the session now ends and moves the entry there.

use super::{Merge, Window, Windows};
use crate::Failure;
use crate::state::{self, ordered, time};

/// One session as stored: the time of its last record, and what it gathered.
type Stored<A> = (i64, A);

pub(super) enum Taken<A> {
    /// It is closed and taken out.
    Closed(Window, A),
    /// It has grown since; the entry lies at its end now.
    Moved {
        /// That end.
        end: i64,
    },
    /// It was merged into another.
    Gone,
}

/// Takes a record into the session it lies in, a new one where there is none, and joins those that
/// it touches. Says when the session ends, or nothing where it is closed.
pub(super) fn add<A: Merge>(
    windows: &Windows,
    now: i64,
    gap: i64,
    key: &[u8],
    at: i64,
    mut update: impl FnMut(&mut A),
) -> Result<Option<i64>, Failure> {
    let own = key_of(windows, key);
    let mut touched: Vec<(Vec<u8>, i64, Stored<A>)> = vec![];
    for (entry, value) in state::scan(&own) {
        let start = start_of(&entry)?;
        let stored: Stored<A> = state::decode(&value)?;
        if start < at.saturating_add(gap) && at < stored.0.saturating_add(gap) {
            touched.push((entry, start, stored));
        }
    }
    let mut first = at;
    let mut last = at;
    let mut gathered = A::default();
    if touched.is_empty() && windows.is_closed(at.saturating_add(gap), now) {
        return Ok(None);
    }
    let mut parts = touched.iter_mut();
    if let Some((_, start, stored)) = parts.next() {
        (first, last) = (first.min(*start), last.max(stored.0));
        gathered = std::mem::take(&mut stored.1);
    }
    // A record before the session's first is gathered behind it: order is that of arrival.
    for (_, _, stored) in parts {
        last = last.max(stored.0);
        gathered.merge(std::mem::take(&mut stored.1));
    }
    update(&mut gathered);

    let end = last.saturating_add(gap);
    let entry = [&own[..], &ordered(first)].concat();
    let stays = touched.first().is_some_and(|(there, _, _)| *there == entry);
    for (there, _, _) in touched.iter().filter(|(there, _, _)| *there != entry) {
        state::delete(there);
    }
    state::put_as(&entry, &(last, gathered))?;
    if !stays {
        state::put(&windows.end_key(end, first, key), &[]);
    }
    Ok(Some(end))
}

/// What has become of the session that was to end here.
pub(super) fn take<A: Merge>(
    windows: &Windows,
    gap: i64,
    window: Window,
) -> Result<Taken<A>, Failure> {
    let entry = [&key_of(windows, &window.key)[..], &ordered(window.start)].concat();
    let Some((last, gathered)) = state::get_as::<Stored<A>>(&entry)? else {
        return Ok(Taken::Gone);
    };
    let end = last.saturating_add(gap);
    if end != window.end {
        state::put(&windows.end_key(end, window.start, &window.key), &[]);
        return Ok(Taken::Moved { end });
    }
    state::delete(&entry);
    Ok(Taken::Closed(window, gathered))
}

/// What the sessions of a key begin with; its length keeps `a` apart from `ab`.
fn key_of(windows: &Windows, key: &[u8]) -> Vec<u8> {
    windows.key(b's', &[&(key.len() as u32).to_be_bytes(), key])
}

fn start_of(entry: &[u8]) -> Result<i64, Failure> {
    let start = entry.last_chunk().map(|bytes| time(*bytes));
    start.ok_or_else(|| Failure::record("state is of another form: a session's key is short"))
}
