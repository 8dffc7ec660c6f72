//! Since when a log's head has been clean, for its tombstones.
//!
//! A tombstone must be shown to slow readers for a while after it became the only record of its
//! key. A horizon is an offset, and the uptime since which nothing before it has a later record of
//! its key before it. Horizons are few and spaced apart; one that is lost, or not noted, only lets
//! tombstones live longer.

use std::time::Duration;

use tidegate_types::Offset;

use crate::clean::CleanRow;

/// Horizons lie at least this part of the retention apart.
const SPACING: u32 = 16;

/// Most horizons of a log: those of a retention that was shortened are thinned out.
const MAX: usize = 2 * SPACING as usize;

impl CleanRow {
    /// Tombstones before this were shown for longer than `retention`.
    pub(super) fn expired(&self, uptime: Duration, retention: Duration) -> Offset {
        let old = |at: Duration| uptime.saturating_sub(at) > retention;
        let last = self.horizons.iter().rev().find(|(_, at)| old(*at));
        last.map_or(Offset::ZERO, |(end, _)| *end)
    }

    /// Notes that the log is clean up to where it was compacted; false if that was known, or is to
    /// be noted later.
    pub(super) fn note_horizon(&mut self, uptime: Duration, retention: Duration) -> bool {
        if let Some((end, at)) = self.horizons.last()
            && (*end >= self.compacted || uptime.saturating_sub(*at) < retention / SPACING)
        {
            return false;
        }
        if self.compacted == Offset::ZERO {
            return false;
        }
        self.horizons.push((self.compacted, uptime));
        let expired = self.expired(uptime, retention);
        self.horizons.retain(|(end, _)| *end >= expired);
        if self.horizons.len() > MAX {
            self.horizons.remove(1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_horizon_expires_after_the_retention() {
        let mut row = CleanRow { compacted: Offset(10), ..CleanRow::default() };
        assert!(row.note_horizon(HOUR, 24 * HOUR));
        assert!(!row.note_horizon(2 * HOUR, 24 * HOUR), "nothing new is clean");
        row.compacted = Offset(20);
        assert!(!row.note_horizon(2 * HOUR, 24 * HOUR), "too soon");
        assert!(row.note_horizon(5 * HOUR, 24 * HOUR));
        for (hours, end) in [(0, 0), (25, 0), (26, 10), (29, 10), (30, 20)] {
            let expired = row.expired(hours * HOUR, 24 * HOUR);
            assert_eq!(expired, Offset(end), "after {hours} h");
        }
    }

    #[test]
    fn horizons_stay_few_and_still_expire() {
        let mut row = CleanRow::default();
        for minute in 1..100_000_u32 {
            row.compacted = Offset(i64::from(minute));
            let uptime = Duration::from_secs(60) * minute;
            row.note_horizon(uptime, 24 * HOUR);
            assert!(row.horizons.len() <= SPACING as usize + 2, "{}", row.horizons.len());
            // A day and a sixteenth of it, give or take.
            let late = i64::from(minute) - 1_440 - 92;
            assert!(row.expired(uptime, 24 * HOUR).0 >= late, "minute {minute}");
        }
        row.note_horizon(Duration::MAX, Duration::ZERO);
        assert!(row.horizons.len() <= MAX);
    }
}
