//! The clock that ends a guest's time: one thread advances the engine's epoch every 10 ms.
//!
//! It ticks only while guests run, so an idle node is not woken a hundred times a second. It knows
//! nothing of deadlines: each store sets its own, counted in ticks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// The distance between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks without a call after which the thread sleeps until the next one.
const IDLE_TICKS: u32 = 100;

struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// Ticks until dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> io::Result<Ticker> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (engine, state) = (engine.clone(), Arc::clone(&shared));
        let handle = thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(move || tick(&engine, &state))?;
        Ok(Ticker { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Keeps the ticks coming until the guard is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        // Ordered against `asleep` in `tick`: either it sees this call, or this sees it asleep.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running { ticker: self }
    }

    /// How many ticks make up at least `time`. One more, as the first may come at once.
    pub(crate) fn ticks(time: Duration) -> u64 {
        let ticks = time.as_nanos().div_ceil(TICK.as_nanos());
        u64::try_from(ticks).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) + 1
    }
}

/// A guest is running.
pub(crate) struct Running<'a> {
    ticker: &'a Ticker,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.ticker.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // It cannot have panicked: it runs nothing that could.
            let _ = handle.join();
        }
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        // Not parked: a waking call must not shorten a tick.
        thread::sleep(TICK);
        engine.increment_epoch();
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle = 0;
            continue;
        }
        idle += 1;
        if idle < IDLE_TICKS {
            continue;
        }
        shared.asleep.store(true, Ordering::SeqCst);
        while shared.running.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        shared.asleep.store(false, Ordering::SeqCst);
        idle = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_never_cut_short() {
        assert_eq!(Ticker::ticks(Duration::from_millis(1)), 2);
        assert_eq!(Ticker::ticks(Duration::from_millis(10)), 2);
        assert_eq!(Ticker::ticks(Duration::from_millis(11)), 3);
        assert!(Ticker::ticks(Duration::MAX) > 1_000_000);
    }
}
