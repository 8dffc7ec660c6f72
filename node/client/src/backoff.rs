//! How long to wait before trying again: twice as long each time, less a random part, so that
//! clients cut off together do not come back together.

use std::time::Duration;

/// First wait, at most.
const FIRST: Duration = Duration::from_millis(50);

/// Longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that grow until they are reset.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    random: u64,
}

impl Backoff {
    /// Starts with short waits. `seed` only decides on the random part.
    pub(crate) fn new(seed: u64) -> Backoff {
        Backoff { next: FIRST, random: seed | 1 }
    }

    /// A seed that differs from one process and call to the next.
    pub(crate) fn random_seed() -> u64 {
        use std::hash::{BuildHasher, Hasher, RandomState};
        RandomState::new().build_hasher().finish()
    }

    /// The next wait: between half of the current length and all of it.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        // xorshift64: any spread will do.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = full / 2;
        half + half.mul_f64((self.random >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Back to short waits: it worked.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..12).map(|_| backoff.next_wait()).collect();
        let mut full = FIRST;
        for wait in &waits {
            assert!((full / 2..=full).contains(wait), "{wait:?} of {full:?}");
            full = (full * 2).min(LONGEST);
        }
        assert_eq!(full, LONGEST);
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
        let mut other = Backoff::new(8);
        assert!(waits.iter().any(|wait| other.next_wait() != *wait));
    }
}
