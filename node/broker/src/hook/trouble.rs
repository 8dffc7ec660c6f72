//! Whether a plugin wastes its time on runs that fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A plugin is in trouble for so many times as long as a run took that failed: one that fails now and
/// then hardly ever, one that spends more than a hundredth of its time on it always. So what it takes
/// where others wait, until it fails again, is less than what the 99th percentile tells.
const TIMES: u32 = 100;

/// Asked before each run, and so without a lock.
pub(crate) struct Trouble {
    since: Instant,
    /// When it ends, in microseconds after `since`.
    ends: AtomicU64,
}

impl Trouble {
    /// None, from now on.
    pub(crate) fn none(now: Instant) -> Trouble {
        Trouble { since: now, ends: AtomicU64::new(0) }
    }

    /// Notes that a run has failed that took so long.
    pub(crate) fn failed(&self, now: Instant, took: Duration) {
        let ends = self.at(now).saturating_add(micros(took.saturating_mul(TIMES)));
        self.ends.fetch_max(ends, Ordering::Relaxed);
    }

    /// Whether there is any.
    pub(crate) fn is_there(&self, now: Instant) -> bool {
        self.at(now) < self.ends.load(Ordering::Relaxed)
    }

    fn at(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.since))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_by_how_long_the_runs_took_that_failed() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let trouble = Trouble::none(start);
        assert!(!trouble.is_there(start));
        trouble.failed(after(100), Duration::from_millis(10));
        assert!(trouble.is_there(after(1_099)) && !trouble.is_there(after(1_100)));
        // A short failure does not end a long one's.
        trouble.failed(after(101), Duration::from_millis(1));
        assert!(trouble.is_there(after(1_099)) && !trouble.is_there(after(1_100)));
        trouble.failed(after(2_000), Duration::MAX);
        assert!(trouble.is_there(after(1_000_000_000)));
    }
}
