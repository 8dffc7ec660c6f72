//! Waiting until a moment, not until the runtime's next tick.

use std::thread;
use std::time::{Duration, Instant};

/// The runtime's timers end up to a millisecond late, and a little more.
const TICK: Duration = Duration::from_millis(2);

/// What it takes to be woken by another thread, at worst nearly always.
const WAKE: Duration = Duration::from_micros(100);

/// Waits until `at`, some microseconds late at most where the machine is not busy: the last two
/// milliseconds in a thread's own sleep, the last moment by looking at the clock.
pub(super) async fn until(at: Instant) {
    let left = at.saturating_duration_since(Instant::now());
    if left > TICK {
        tokio::time::sleep(left - TICK).await;
    }
    let left = at.saturating_duration_since(Instant::now());
    if left > WAKE {
        // Fails only while the runtime ends, and so does this.
        _ = tokio::task::spawn_blocking(move || thread::sleep(left - WAKE)).await;
    }
    while Instant::now() < at {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_ends_early() {
        for n in 0..40 {
            let at = Instant::now() + Duration::from_micros(200 * n);
            until(at).await;
            assert!(Instant::now() >= at, "{n}");
        }
    }
}
