//! Waiting for something to become so, with a deadline that says what did not.

use std::time::{Duration, Instant};

/// How long a test waits before it says that something does not happen. Far above what is
/// expected: machines under test are slow and noisy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `look` gives `Ok`; gives what it found.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let missing = match look().await {
            Ok(found) => return found,
            Err(missing) => missing,
        };
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}: {missing}");
        tokio::time::sleep(PAUSE).await;
    }
}
