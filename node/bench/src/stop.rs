//! Ending a load early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a load early, from anywhere: what was sent is still waited for, what was made is deleted,
/// and the report tells what there was. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    above: Option<Arc<Stop>>,
}

impl Stop {
    /// One that nobody has asked for.
    #[must_use]
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks the load to end.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
            || self.above.as_ref().is_some_and(|above| above.is_stopped())
    }

    /// One that is asked for with this one, or alone.
    pub(crate) fn below(&self) -> Stop {
        Stop { asked: Arc::default(), above: Some(Arc::new(self.clone())) }
    }
}

/// Asks for a stop when it is dropped: threads cannot be cancelled as tasks can, and are to end
/// with the task that waits for them.
#[derive(Debug)]
pub(crate) struct StopOnDrop(pub Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_reaches_those_below_and_not_the_one_above() {
        let above = Stop::new();
        let below = above.below();
        drop(StopOnDrop(below.clone()));
        assert!(below.is_stopped() && !above.is_stopped());
        let other = above.below();
        assert!(!other.is_stopped());
        above.clone().stop();
        assert!(other.is_stopped() && above.below().is_stopped());
    }
}
