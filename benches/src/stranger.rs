//! Somebody who takes what nobody else wants of one processor.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Spins, where the system lets it, until it is dropped.
pub struct Stranger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    /// Starts one, at the priority that is below all others.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start() -> io::Result<Stranger> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("stranger".to_owned()).spawn(move || {
            let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
            if let Err(error) = set {
                eprintln!("the stranger has the priority of all others: {error:?}");
            }
            while !stopped.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })?;
        Ok(Stranger { stop, thread: Some(thread) })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing in it that could panic.
            _ = thread.join();
        }
    }
}
