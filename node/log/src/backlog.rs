//! Bounds the bytes that wait for the writer thread, and lets senders wait for room.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_types::ByteSize;

type OnRoom = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    used: usize,
    closed: bool,
    waiting: Vec<OnRoom>,
}

/// Counts bytes between being taken and being written.
pub(crate) struct Backlog {
    limit: usize,
    state: Mutex<State>,
    room: Condvar,
}

impl Backlog {
    pub(crate) fn new(limit: ByteSize) -> Backlog {
        Backlog { limit: limit.as_usize(), state: Mutex::default(), room: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn used(&self) -> ByteSize {
        ByteSize::bytes(self.state().used as u64)
    }

    pub(crate) fn limit(&self) -> ByteSize {
        ByteSize::bytes(self.limit as u64)
    }

    /// Takes room for `len` bytes; a request larger than the limit passes once nothing waits.
    pub(crate) fn take(&self, len: usize) -> Result<(), ByteSize> {
        let mut state = self.state();
        if state.used > 0 && state.used.saturating_add(len) > self.limit {
            return Err(ByteSize::bytes(state.used as u64));
        }
        state.used = state.used.saturating_add(len);
        Ok(())
    }

    /// There is room again at half the limit, so that senders do not start and stop at each round.
    fn has_room(&self, state: &State) -> bool {
        state.closed || state.used <= self.limit / 2
    }

    pub(crate) fn give_back(&self, len: usize) {
        let mut state = self.state();
        state.used = state.used.saturating_sub(len);
        if self.has_room(&state) {
            self.wake(state);
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.room.notify_all();
        for on_room in waiting {
            on_room();
        }
    }

    /// Lets everyone who waits go on, now and from now on.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.wake(state);
    }

    /// Waits until there is room; false if `timeout` passed before.
    pub(crate) fn wait_for_room(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state();
        while !self.has_room(&state) {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => timeout,
            };
            if left.is_zero() {
                return false;
            }
            let waited = self.room.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Calls `on_room` once there is room: at once, or later on the writer thread.
    pub(crate) fn when_room(&self, on_room: OnRoom) {
        let mut state = self.state();
        if self.has_room(&state) {
            drop(state);
            on_room();
        } else {
            state.waiting.push(on_room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn the_limit_holds_and_half_of_it_is_room() {
        let backlog = Backlog::new(ByteSize::bytes(100));
        backlog.take(70).unwrap();
        assert_eq!(backlog.take(31).unwrap_err(), ByteSize::bytes(70));
        backlog.take(30).unwrap();
        assert!(!backlog.wait_for_room(Duration::from_millis(1)));
        let called = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&called);
        backlog.when_room(Box::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        backlog.give_back(49);
        assert_eq!(called.load(Ordering::SeqCst), 0);
        backlog.give_back(1);
        assert_eq!(called.load(Ordering::SeqCst), 1);
        assert!(backlog.wait_for_room(Duration::ZERO));
    }

    #[test]
    fn a_request_above_the_limit_passes_alone() {
        let backlog = Backlog::new(ByteSize::bytes(10));
        backlog.take(50).unwrap();
        assert!(backlog.take(1).is_err());
        backlog.give_back(50);
        assert_eq!(backlog.used(), ByteSize::bytes(0));
    }

    #[test]
    fn closing_wakes_those_who_wait() {
        let backlog = Arc::new(Backlog::new(ByteSize::bytes(10)));
        backlog.take(10).unwrap();
        let waiting = Arc::clone(&backlog);
        let thread = std::thread::spawn(move || waiting.wait_for_room(Duration::from_secs(60)));
        backlog.close();
        assert!(thread.join().unwrap());
    }
}
