//! What was seen before, within a time, at the hook `derive`.
//!
//! [`Dedup::is_new`] takes a record's identity (its key, a field, the hash of its value) and its
//! time. It answers by the times of the records alone, so that how the stream was cut into batches
//! changes nothing.
//!
//! What was seen lies in the state in slots of time, `within` long each. Slots that no record can
//! fall back on are cleared a little with each new identity: the state holds about three slots. A
//! record that comes further than `within` behind the stream may be taken for new.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Failure, state};

/// What its keys in the state begin with, where nothing else is said.
const NAME: &[u8] = b"dedup";
/// Entries cleared for each one that is added: more than one, so that a backlog shrinks.
const CLEARED: u32 = 2;

/// Remembers identities for a time.
#[derive(Clone, Debug)]
pub struct Dedup {
    name: Vec<u8>,
    within: i64,
}

/// How far the stream is.
#[derive(Serialize, Deserialize)]
struct Clock(i64);

impl Dedup {
    /// Two records closer than `within` are the same if their identity is. `None` where that is
    /// below a millisecond.
    pub fn within(within: Duration) -> Option<Dedup> {
        let millis = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        (millis > 0).then(|| Dedup { name: NAME.to_vec(), within: millis })
    }

    /// Under this name in the state: for a plugin with several.
    #[must_use]
    pub fn named(mut self, name: &str) -> Dedup {
        self.name = name.as_bytes().to_vec();
        self
    }

    /// Whether no record of this identity was new within the time around `at`. If so, this one is
    /// remembered. One that is not new does not count: a steady stream of repeats passes one record
    /// each `within`.
    ///
    /// # Errors
    /// If the state holds something else.
    pub fn is_new(&self, identity: &[u8], at: i64) -> Result<bool, Failure> {
        let slot = at.div_euclid(self.within);
        for near in [slot, slot.saturating_sub(1), slot.saturating_add(1)] {
            let seen: Option<i64> = state::get_as(&self.key(near, identity))?;
            if seen.is_some_and(|seen| seen.abs_diff(at) < self.within.cast_unsigned()) {
                return Ok(false);
            }
        }
        state::put_as(&self.key(slot, identity), &at)?;
        self.clear(at)?;
        Ok(true)
    }

    /// Moves the clock on and removes what is oldest, if it is out of reach.
    fn clear(&self, at: i64) -> Result<(), Failure> {
        let clock_key = [&self.name[..], b"\0c"].concat();
        let before = state::get_as::<Clock>(&clock_key)?.map(|clock| clock.0);
        let now = before.map_or(at, |now| now.max(at));
        if before != Some(now) {
            state::put_as(&clock_key, &Clock(now))?;
        }
        // A record may come one slot late, and was seen up to one slot before that.
        let oldest = self.key(now.div_euclid(self.within).saturating_sub(2), &[]);
        let entries = state::scan(&self.prefix()).paged(CLEARED);
        for (entry, _) in entries.take(CLEARED as usize) {
            if entry >= oldest {
                break;
            }
            state::delete(&entry);
        }
        Ok(())
    }

    fn prefix(&self) -> Vec<u8> {
        [&self.name[..], b"\0s"].concat()
    }

    /// Entries are ordered by their slot.
    fn key(&self, slot: i64, identity: &[u8]) -> Vec<u8> {
        [&self.prefix()[..], &state::ordered(slot), identity].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Store;

    fn dedup(within: u64) -> Dedup {
        Dedup::within(Duration::from_millis(within)).unwrap()
    }

    #[test]
    fn repeats_within_the_time_are_not_new() {
        Store::default().run(|| {
            let dedup = dedup(10);
            let new = |at| dedup.is_new(b"k", at).unwrap();
            assert_eq!([0, 9, 10, 19, 20].map(new), [true, false, true, false, true]);
            assert_eq!([11, 10, 9].map(new), [false, false, false]);
            assert_eq!([1_000, 990, 989].map(new), [true, true, false]);
            assert!(dedup.is_new(b"other", 5).unwrap());
            assert!(dedup.clone().named("b").is_new(b"k", 20).unwrap());
        });
        assert!(Dedup::within(Duration::from_micros(999)).is_none());
    }

    #[test]
    fn what_is_out_of_reach_is_cleared() {
        let mut store = Store::default();
        let dedup = dedup(100);
        let most = (0..5_000_u32).map(|i| {
            store.run(|| dedup.is_new(&i.to_be_bytes(), i64::from(i)).unwrap());
            store.entries().count()
        });
        let most = most.max().unwrap();
        assert!((300..=410).contains(&most), "{most} entries are held");
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_while_records_are_in_reach(
            within in 1..30_u64,
            steps in prop::collection::vec((0..3_u8, -1.0..1.5_f64, any::<bool>()), 0..80),
        ) {
            let (mut store, dedup) = (Store::default(), dedup(within));
            let mut passed: Vec<(u8, i64)> = vec![];
            let mut now = 0_i64;
            for (identity, step, leap) in steps {
                // At most `within` behind the latest: that is what is promised to be remembered.
                let step = (step * within as f64) as i64 * if leap && step > 0.0 { 5 } else { 1 };
                let at = now + step;
                now = now.max(at);
                let seen = passed.iter().any(|(other, then)| {
                    *other == identity && then.abs_diff(at) < within
                });
                let new = store.run(|| dedup.is_new(&[identity], at)).unwrap();
                prop_assert_eq!(new, !seen, "{} at {}", identity, at);
                if new {
                    passed.push((identity, at));
                }
            }
        }

        #[test]
        fn no_time_is_too_far(ats in prop::collection::vec(any::<i64>(), 1..6), within in 1..u64::MAX) {
            Store::default().run(|| {
                for at in ats {
                    dedup(within).is_new(b"k", at).unwrap();
                }
            });
        }
    }
}
