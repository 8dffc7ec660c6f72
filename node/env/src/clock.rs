//! Time, as a dependency that tests can hold still.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_types::Timestamp;

/// Tells the time, twice: the wall clock may jump either way, the monotonic one only goes forward.
///
/// Deadlines and ages within one process use [`monotonic`](Clock::monotonic); only what is shown to
/// users or stored in records uses [`wall`](Clock::wall).
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time of day. May jump.
    fn wall(&self) -> Timestamp;

    /// Time since some moment before the first call. Never goes back.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis)
            }
        };
        Timestamp(millis)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock that shows `wall`, with its monotonic time at zero.
    #[must_use]
    pub fn new(wall: Timestamp) -> ManualClock {
        ManualClock { now: Mutex::new((wall, Duration::ZERO)) }
    }

    fn now(&self) -> std::sync::MutexGuard<'_, (Timestamp, Duration)> {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets `by` pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now();
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        now.0 = Timestamp(now.0.millis().saturating_add(millis));
        now.1 = now.1.saturating_add(by);
    }

    /// Makes the wall clock jump; the monotonic one does not notice.
    pub fn set_wall(&self, wall: Timestamp) {
        self.now().0 = wall;
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.now().0
    }

    fn monotonic(&self) -> Duration {
        self.now().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_one_alone() {
        let clock = ManualClock::new(Timestamp(1_000));
        clock.advance(Duration::from_millis(250));
        assert_eq!(
            (clock.wall(), clock.monotonic()),
            (Timestamp(1_250), Duration::from_millis(250))
        );
        clock.set_wall(Timestamp(10));
        assert_eq!((clock.wall(), clock.monotonic()), (Timestamp(10), Duration::from_millis(250)));
    }

    #[test]
    fn the_system_clock_goes_forward() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.wall() > Timestamp(1_600_000_000_000));
    }
}
