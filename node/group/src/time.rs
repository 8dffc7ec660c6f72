//! Two clocks, and what is kept of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_types::Timestamp;

/// The time, by both clocks of the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Never jumps; since a start of the driver's choice. All timeouts go by it.
    pub monotonic: Duration,
    /// The time of day, which may jump. Told to people, and half of what expiry goes by.
    pub wall: Timestamp,
}

/// A moment by the time of day and by running time.
///
/// Running time is how long coordinators over these records have run, summed over restarts; the
/// time between is not in it. Something is older than an age only if both clocks say so: a clock
/// that jumps must not delete anything. A time of day that lies in the future says nothing, and
/// running time decides alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) wall: Timestamp,
    pub(crate) uptime: Duration,
}

impl Stamp {
    pub(crate) const ZERO: Stamp = Stamp { wall: Timestamp(0), uptime: Duration::ZERO };

    /// Whether it lies at least `age` before `now`.
    pub(crate) fn is_older_than(self, age: Duration, now: Stamp) -> bool {
        let ran = now.uptime.saturating_sub(self.uptime);
        let aged = match u64::try_from(now.wall.millis().saturating_sub(self.wall.millis())) {
            Ok(millis) => Duration::from_millis(millis) >= age,
            Err(_) => true,
        };
        ran >= age && aged
    }

    /// The later of two by running time.
    pub(crate) fn later(self, other: Stamp) -> Stamp {
        if other.uptime > self.uptime { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, uptime: u64) -> Stamp {
        Stamp { wall: Timestamp(wall * 1_000), uptime: Duration::from_secs(uptime) }
    }

    #[test]
    fn old_is_what_both_clocks_call_old() {
        let age = Duration::from_secs(10);
        assert!(at(100, 5).is_older_than(age, at(110, 15)));
        assert!(!at(100, 5).is_older_than(age, at(99_999, 14)), "a clock that jumped ahead");
        assert!(!at(100, 5).is_older_than(age, at(109, 99)), "time of day says no");
        assert!(at(500, 5).is_older_than(age, at(100, 15)), "a stamp of the future says nothing");
    }
}
