//! The thread for plugins in trouble.
//!
//! One thread for the whole node, which the system runs only where nobody else wants the processor
//! (`SCHED_IDLE`): what runs there holds up no one but those who sent it records. The lowest `nice`
//! value would not do: a thread that has it keeps its processor for some milliseconds after another
//! woke up. It is started when it is first needed, and ends with the last handle.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::{mpsc, oneshot};

/// Runs that wait for their turn; others wait to be let in.
const WAITING: usize = 64;

const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

type Work = Box<dyn FnOnce() + Send>;

/// Why a run has no result: it panicked, or the node stops.
#[derive(Debug, thiserror::Error)]
#[error("the thread that runs plugins has ended")]
pub(crate) struct Ended;

/// Handles to the thread; see the [module](self).
#[derive(Clone, Default)]
pub(crate) struct BackRow {
    row: Arc<Mutex<Option<mpsc::Sender<Work>>>>,
}

impl BackRow {
    /// Runs this there, after all that was handed in before.
    ///
    /// # Errors
    /// If it panicked, or there can be no such thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let row = self.row().map_err(|error| {
            tracing::error!(%error, "no thread for plugins in trouble");
            Ended
        })?;
        let (done, result) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Whoever waited for it may have gone.
            _ = done.send(work());
        });
        row.send(work).await.map_err(|_| Ended)?;
        result.await.map_err(|_| Ended)
    }

    fn row(&self) -> io::Result<mpsc::Sender<Work>> {
        let mut row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*row {
            return Ok(sender.clone());
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name("plugins-last".to_owned());
        thread.spawn(move || serve(receiver))?;
        Ok(row.insert(sender).clone())
    }
}

/// Leaves the processor to whoever wants it from now on, where the system can do that.
fn give_way() -> Result<(), thread_priority::Error> {
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE)
}

fn serve(mut works: mpsc::Receiver<Work>) {
    if let Err(error) = give_way() {
        tracing::warn!(?error, "plugins in trouble run at the same priority as all else");
    }
    while let Some(work) = works.blocking_recv() {
        // The one who waits is told by what it dropped; the panic itself was told by its hook.
        _ = catch_unwind(AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> ThreadSchedulePolicy {
        thread_priority::thread_schedule_policy().unwrap()
    }

    #[tokio::test]
    async fn works_run_one_after_another_and_give_way_to_all_else() {
        let row = BackRow::default();
        let before = policy();
        let first = row.run(|| (policy(), std::thread::current().id()));
        let second = row.run(|| std::thread::current().id());
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!(first, (IDLE, second));
        assert_ne!(before, IDLE);
        assert_eq!(policy(), before, "the caller keeps its own");
    }

    #[tokio::test]
    async fn one_that_panics_is_told_and_the_next_one_runs() {
        let row = BackRow::default();
        assert!(row.run(|| panic!("meant")).await.is_err());
        assert_eq!(row.run(|| 7).await.unwrap(), 7);
    }
}
