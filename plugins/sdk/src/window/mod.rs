//! Windows over the stream's own time, per key, at the hook `derive`.
//!
//! A transform hands each record to [`Windows::add`] and puts out what was closed by it. Nothing
//! but records moves a window: there is no clock, and a stream that pauses closes nothing.
//!
//! # Time
//! The time of these windows is the highest timestamp added so far, this record's included. It
//! follows the records one by one and is kept in the state, so that the answer does not hang on
//! how the stream was cut into batches. A window is closed by the first record at or past its end
//! and its `grace`. Ends are exclusive.
//!
//! # Late records
//! A record whose window is closed is [`Added::Late`] and changes nothing; one whose window has
//! ended but not yet closed is counted. A `grace` of zero thus drops every late record.
//!
//! # Order
//! What one record closes comes in order of end, then start, then key.
//!
//! # Failing
//! Closed windows leave the state as they are handed over. Check the record before it is added, and
//! let nothing fail behind it: outputs of a failed record are taken back, the state is not.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_plugin_sdk::{testing::Store, window::{Added, Kind, Windows}};
//!
//! let minutes = Windows::new(Kind::tumbling(Duration::from_secs(60)).unwrap());
//! let mut sums = vec![];
//! Store::default().run(|| {
//!     for (at, number) in [(0, 1.0), (59_999, 2.0), (60_000, 5.0)] {
//!         let mut close = |_: &_, sum: f64| sums.push(sum);
//!         let added = minutes.add(b"key", at, |sum: &mut f64| *sum += number, &mut close);
//!         assert_eq!(added, Ok(Added::Counted));
//!     }
//! });
//! assert_eq!(sums, [3.0]);
//! ```

mod fixed;
mod kind;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use kind::{Kind, KindError};

use crate::Failure;
use crate::state::{self, ordered, time};

/// What every key of a set of windows begins with, where nothing else is said.
const NAME: &[u8] = b"window";
/// Windows that are closed at once are read so many at a time.
const CLOSE_PAGE: u32 = 16;

/// A window of one key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Window {
    // In the order in which windows are closed.
    /// Its end, exclusive, in milliseconds since 1970. A session ends a gap after its last record.
    pub end: i64,
    /// Its start, in milliseconds since 1970.
    pub start: i64,
    /// Its key.
    pub key: Vec<u8>,
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// It is in at least one window.
    Counted,
    /// All its windows are closed; it changed nothing.
    Late,
}

/// Something gathered over a window, such as a sum: what a state holds for it.
///
/// Of two sessions that a record joins, one is merged into the other.
pub trait Merge: Serialize + DeserializeOwned + Default {
    /// Takes in what another window gathered, which began later.
    fn merge(&mut self, later: Self);
}

impl Merge for f64 {
    fn merge(&mut self, later: f64) {
        *self += later;
    }
}

impl Merge for u64 {
    fn merge(&mut self, later: u64) {
        *self = self.saturating_add(later);
    }
}

impl<T: Serialize + DeserializeOwned> Merge for Vec<T> {
    fn merge(&mut self, later: Vec<T>) {
        self.extend(later);
    }
}

/// A set of windows, which lives in the plugin's state.
#[derive(Clone, Debug)]
pub struct Windows {
    name: Vec<u8>,
    kind: Kind,
    grace: i64,
}

/// How far the stream is.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
struct Clock {
    now: i64,
    /// No window ends before.
    first_end: i64,
}

impl Windows {
    /// Windows of this kind that close at their end.
    pub fn new(kind: Kind) -> Windows {
        Windows { name: NAME.to_vec(), kind, grace: 0 }
    }

    /// Under this name in the state: for a plugin with several sets.
    #[must_use]
    pub fn named(mut self, name: &str) -> Windows {
        self.name = name.as_bytes().to_vec();
        self
    }

    /// That stay open for late records so long beyond their end.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Windows {
        self.grace = kind::millis(grace);
        self
    }

    /// Counts a record of `key` at `at`: `update` takes it into each window that it lies in, and
    /// `close` is handed the windows that its time closes.
    ///
    /// # Errors
    /// If the state holds something else than these windows.
    pub fn add<A: Merge>(
        &self,
        key: &[u8],
        at: i64,
        update: impl FnMut(&mut A),
        close: &mut impl FnMut(&Window, A),
    ) -> Result<Added, Failure> {
        let clock_key = self.key(b'c', &[]);
        let before: Option<Clock> = state::get_as(&clock_key)?;
        let mut clock = before.unwrap_or(Clock { now: at, first_end: i64::MAX });
        clock.now = clock.now.max(at);
        if self.is_closed(clock.first_end, clock.now) {
            clock.first_end = self.close(clock.now, close)?;
        }
        let earliest = match self.kind {
            Kind::Fixed { size, every } => {
                let windows = fixed::Containing { at, size, every };
                fixed::add(self, clock.now, windows, key, update)?
            }
            Kind::Session { gap } => session::add(self, clock.now, gap, key, at, update)?,
        };
        clock.first_end = clock.first_end.min(earliest.unwrap_or(i64::MAX));
        if before != Some(clock) {
            state::put_as(&clock_key, &clock)?;
        }
        Ok(if earliest.is_some() { Added::Counted } else { Added::Late })
    }

    fn is_closed(&self, end: i64, now: i64) -> bool {
        end.saturating_add(self.grace) <= now
    }

    /// Hands over what is closed, and says when the first of the rest ends.
    fn close<A: Merge>(
        &self,
        now: i64,
        close: &mut impl FnMut(&Window, A),
    ) -> Result<i64, Failure> {
        let mut first_end = i64::MAX;
        'walk: loop {
            for (entry, value) in state::scan(&self.key(b'e', &[])).paged(CLOSE_PAGE) {
                let window = self.window(&entry)?;
                if !self.is_closed(window.end, now) {
                    return Ok(first_end.min(window.end));
                }
                state::delete(&entry);
                let Kind::Session { gap } = self.kind else {
                    close(&window, state::decode(&value)?);
                    continue;
                };
                match session::take(self, gap, window)? {
                    session::Taken::Closed(window, gathered) => close(&window, gathered),
                    // Its turn may come between entries that were read already: walk anew.
                    session::Taken::Moved { end } if self.is_closed(end, now) => continue 'walk,
                    session::Taken::Moved { end } => first_end = first_end.min(end),
                    session::Taken::Gone => {}
                }
            }
            return Ok(first_end);
        }
    }

    /// A key of the state: the name, what kind of entry it is, and its rest.
    fn key(&self, tag: u8, rest: &[&[u8]]) -> Vec<u8> {
        let mut key =
            Vec::with_capacity(self.name.len() + 2 + rest.iter().map(|r| r.len()).sum::<usize>());
        key.extend_from_slice(&self.name);
        key.extend_from_slice(&[0, tag]);
        rest.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// The key by which windows are closed in their order.
    fn end_key(&self, end: i64, start: i64, key: &[u8]) -> Vec<u8> {
        self.key(b'e', &[&ordered(end), &ordered(start), key])
    }

    /// The window that an [`end_key`](Windows::end_key) names.
    fn window(&self, end_key: &[u8]) -> Result<Window, Failure> {
        let parts = end_key.get(self.name.len() + 2..).and_then(|rest| {
            let (end, rest) = rest.split_first_chunk()?;
            let (start, key) = rest.split_first_chunk()?;
            Some(Window { end: time(*end), start: time(*start), key: key.to_vec() })
        });
        parts.ok_or_else(|| Failure::record("state is of another form: a window's key is short"))
    }
}
