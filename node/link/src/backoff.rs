//! How long to wait before dialling again.

use std::time::Duration;

/// Waits that double up to a limit, each shortened at random by up to half, so that many sites
/// that lost the same destination do not come back at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
    state: u64,
}

impl Backoff {
    /// Waits from `first` to `max`; `seed` chooses the jitter.
    #[must_use]
    pub const fn new(first: Duration, max: Duration, seed: u64) -> Backoff {
        Backoff { first, max, failures: 0, state: seed }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.max);
        self.failures = self.failures.saturating_add(1).min(31);
        let half = whole / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        whole - half + Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }

    /// It worked: the next wait is a short one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// A number below `bound` (splitmix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.state;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_over_after_a_success() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new(first, max, 7);
        for n in 0..100_u32 {
            let whole = first.saturating_mul(1 << n.min(20)).min(max);
            let wait = backoff.next_wait();
            assert!(wait >= whole / 2 && wait <= whole, "wait {n} was {wait:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= first);
    }

    #[test]
    fn different_seeds_wait_differently() {
        let wait = |seed| Backoff::new(Duration::from_secs(8), Duration::MAX, seed).next_wait();
        assert_eq!(wait(1), wait(1));
        assert_ne!(wait(1), wait(2));
    }
}
