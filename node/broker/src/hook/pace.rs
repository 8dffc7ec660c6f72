//! What a batch is expected to take in a chain, by what batches of its size took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sizes are told apart by the power of two that the number of records reaches.
const SIZES: usize = 16;

/// A run that was quicker than expected counts for one part in this many; one that was slower counts
/// whole.
const WEIGHT: u64 = 2;

/// Asked and told without a lock.
#[derive(Default)]
pub(crate) struct Pace {
    /// In nanoseconds; 0 where nothing is known.
    expected: [AtomicU64; SIZES],
}

impl Pace {
    /// What a batch of so many records should take; `None` before one of its size was run.
    pub(crate) fn expected(&self, records: u32) -> Option<Duration> {
        let expected = self.of(records).load(Ordering::Relaxed);
        (expected > 0).then(|| Duration::from_nanos(expected))
    }

    /// Notes what one took.
    pub(crate) fn ran(&self, records: u32, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        // Two at once may lose one of their figures.
        let expected = self.of(records);
        let before = expected.load(Ordering::Relaxed);
        let after = match before.checked_sub(took) {
            Some(quicker) if before > 0 => before - quicker.div_ceil(WEIGHT),
            _ => took,
        };
        expected.store(after, Ordering::Relaxed);
    }

    fn of(&self, records: u32) -> &AtomicU64 {
        let size = records.max(1).ilog2() as usize;
        &self.expected[size.min(SIZES - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn sizes_are_told_apart() {
        let pace = Pace::default();
        pace.ran(100, 50 * US);
        assert_eq!(pace.expected(127), Some(50 * US));
        assert_eq!(pace.expected(63), None);
        assert_eq!(pace.expected(128), None);
        pace.ran(u32::MAX, 9 * US);
        assert_eq!(pace.expected(1 << 20), Some(9 * US));
        assert_eq!(pace.expected(0), None);
    }

    #[test]
    fn slow_runs_count_at_once_and_quick_ones_by_and_by() {
        let pace = Pace::default();
        pace.ran(1, 100 * US);
        pace.ran(1, 10_000 * US);
        assert_eq!(pace.expected(1), Some(10_000 * US));
        pace.ran(1, 100 * US);
        assert_eq!(pace.expected(1), Some(5_050 * US));
        for _ in 0..100 {
            pace.ran(1, 100 * US);
        }
        assert_eq!(pace.expected(1), Some(100 * US));
    }
}
