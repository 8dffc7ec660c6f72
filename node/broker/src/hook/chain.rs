//! The stages that a batch runs through, and what becomes of records that fail.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_plugin::Grant;
use tidegate_plugin::apply::{
    Applied, Applier, ApplyError, Change, DeadLetters, DeadPlugin, Failed, Origin,
    dead_letter_batches,
};
use tidegate_record::Batch;
use tidegate_types::{Hook, Offset, PartitionId, PoisonPolicy};
use tidegate_wire::{ErrorBody, ErrorCode};
use tokio::sync::Semaphore;

use super::back_row::{BackRow, Ended};
use super::pace::Pace;
use super::{Borrowed, Stage};
use crate::error;
use crate::topic::Topic;

/// A run that is expected to take no longer is no burden to those who wait for the same thread.
const A_MOMENT: Duration = Duration::from_micros(250);

/// What it gets there: one tick of the plugins' clock.
const HERE: Duration = Duration::from_millis(10);

/// What a run gets of a thread for blocking work, in times of what is expected, and at least.
const ASIDE: (u32, Duration) = (4, Duration::from_millis(20));

/// Appliers kept for the next batch, with their buffers.
const IDLE_APPLIERS: usize = 4;

/// One attachment: the version that it runs, and one on trial.
pub(crate) struct Slot {
    pub(crate) main: Arc<Stage>,
    /// With the partitions that it has.
    pub(crate) canary: Option<(Vec<PartitionId>, Arc<Stage>)>,
}

impl Slot {
    fn running(&self, partition: PartitionId) -> &Arc<Stage> {
        match &self.canary {
            Some((partitions, stage)) if partitions.contains(&partition) => stage,
            _ => &self.main,
        }
    }
}

/// The plugins on a topic's way, in order.
pub(crate) struct Chain {
    slots: Vec<Slot>,
    idle: Mutex<Vec<Applier>>,
    pace: Pace,
    /// Held while a batch is run of a size of which nothing is known, and by what is in trouble.
    turns: Arc<Semaphore>,
    back_row: BackRow,
}

impl Chain {
    pub(crate) fn new(slots: Vec<Slot>, back_row: BackRow) -> Chain {
        let (idle, pace, turns) = (Mutex::default(), Pace::default(), Arc::new(Semaphore::new(1)));
        Chain { slots, idle, pace, turns, back_row }
    }

    /// Every version of every attachment, with the partitions of those on trial.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (&Arc<Stage>, &[PartitionId])> {
        self.slots.iter().flat_map(|slot| {
            let main = std::iter::once((&slot.main, &[][..]));
            main.chain(slot.canary.iter().map(|(partitions, stage)| (stage, &partitions[..])))
        })
    }

    /// Whether all its plugins were found.
    pub(crate) fn is_loaded(&self) -> bool {
        self.stages().all(|(stage, _)| stage.is_loaded())
    }

    /// The stages that see the records of a partition.
    pub(crate) fn running(&self, hook: Hook, partition: PartitionId) -> Running {
        let stages = self.slots.iter().map(|slot| slot.running(partition).clone()).collect();
        Running { hook, stages }
    }

    /// Runs a batch of so many records through the chain, wherever that is best: on this thread if
    /// it should take a moment, else off the async threads. There it has the time that it should
    /// need, and whatever does not come to an end in it, or fails, is run again [last](BackRow). So
    /// plugins that loop take what others leave of one processor, however many producers send to
    /// them. Where others leave nothing, it has its time off the async threads after all.
    ///
    /// `run` is told what a run is granted, and gives `None` if it was put off.
    ///
    /// # Errors
    /// If a run panicked, or the node stops.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        partition: PartitionId,
        records: u32,
        run: impl Fn(Grant) -> Option<T> + Clone + Send + 'static,
    ) -> Result<T, Ended> {
        if self.is_quick(partition, records)
            && let Some(ran) = run(Grant::AtMost(HERE))
        {
            return Ok(ran);
        }
        let expected = self.pace.expected(records);
        // It is never closed. What is not known yet is tried once, not by all at the same time.
        let turn = if expected.is_none() { self.turns.acquire().await.ok() } else { None };
        if !self.is_in_trouble(partition) {
            let (times, least) = ASIDE;
            let most = expected.map_or(least, |expected| least.max(expected * times));
            if let Some(ran) = aside(&run, Grant::AtMost(most)).await? {
                return Ok(ran);
            }
        }
        drop(turn);
        let last = run.clone();
        if let Some(ran) = self.back_row.run(move || last(Grant::GivingWay)).await? {
            return Ok(ran);
        }
        aside(&run, Grant::Limits).await?.ok_or(Ended)
    }

    /// Notes what the run of a batch took.
    pub(crate) fn ran(&self, records: u32, took: Duration) {
        self.pace.ran(records, took);
    }

    fn is_quick(&self, partition: PartitionId, records: u32) -> bool {
        self.pace.expected(records).is_some_and(|expected| expected <= A_MOMENT)
            && !self.is_in_trouble(partition)
            && self.slots.iter().all(|slot| slot.running(partition).is_ready())
    }

    fn is_in_trouble(&self, partition: PartitionId) -> bool {
        let now = Instant::now();
        self.slots.iter().any(|slot| slot.running(partition).is_in_trouble(now))
    }

    /// Does what runs the chain over records of a partition, off the async threads: at once, or,
    /// where one of its plugins is in trouble, when nothing else of the chain runs that does not yet
    /// go well. It has all its time there: what follows from it cannot be put off.
    ///
    /// # Errors
    /// If it panicked, or the node stops.
    pub(crate) async fn run_blocking<T: Send + 'static>(
        &self,
        partition: PartitionId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let in_trouble = self.is_in_trouble(partition);
        let turn = if in_trouble { self.turns.clone().acquire_owned().await.ok() } else { None };
        let running = tokio::task::spawn_blocking(move || {
            // Held to the end, be it that nobody waits for it any more.
            let _turn = turn;
            work()
        });
        running.await.map_err(|_| Ended)
    }

    /// Lends an applier, with whatever buffers it has.
    pub(crate) fn applier(&self) -> Applier {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_default()
    }

    pub(crate) fn keep(&self, applier: Applier) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_APPLIERS {
            idle.push(applier);
        }
    }
}

/// Runs it on a thread that may block.
async fn aside<T: Send + 'static>(
    run: &(impl Fn(Grant) -> Option<T> + Clone + Send + 'static),
    grant: Grant,
) -> Result<Option<T>, Ended> {
    let run = run.clone();
    tokio::task::spawn_blocking(move || run(grant)).await.map_err(|_| Ended)
}

/// The stages for one partition.
pub(crate) struct Running {
    hook: Hook,
    pub(crate) stages: Vec<Arc<Stage>>,
}

impl Running {
    /// Instances of all stages; see [`Stage::borrow`].
    ///
    /// # Errors
    /// If a plugin cannot run: its records must not pass unseen.
    pub(crate) fn borrow(&self, grant: Grant) -> Result<Vec<Borrowed>, ErrorBody> {
        self.stages.iter().map(|stage| stage.borrow(grant)).collect()
    }

    /// What it means to a producer or an operator that nothing of a batch is appended.
    pub(crate) fn refusal(&self, topic: &Topic, error: &ApplyError) -> ErrorBody {
        match error {
            ApplyError::Batch(cause) => {
                ErrorBody::new(ErrorCode::InvalidRecord, format!("the batch is not valid: {cause}"))
            }
            ApplyError::Rejected { stage, reason } => {
                let plugin = &self.stages[*stage].attachment.plugin;
                let message =
                    format!("plugin {plugin} on topic {} refused it: {reason}", topic.name);
                ErrorBody::new(ErrorCode::RejectedByPlugin, message)
            }
            other => {
                let message = format!("plugins on topic {}: {}", topic.name, error::chain(other));
                ErrorBody::new(ErrorCode::HaltedByPlugin, message)
            }
        }
    }

    /// Notes why records failed, and refuses the batch if the policy for one of them is to halt.
    pub(crate) fn judge(&self, topic: &Topic, failed: &[Failed]) -> Result<(), ErrorBody> {
        for failed in failed {
            self.stages[failed.stage].failed(&failed.reason);
        }
        let halting = |failed: &&Failed| self.policy(failed) == PoisonPolicy::Halt;
        let Some(Failed { record, stage, reason }) = failed.iter().find(halting) else {
            return Ok(());
        };
        let plugin = &self.stages[*stage].attachment.plugin;
        let message = format!(
            "plugin {plugin} on topic {} failed on record {record} of the batch and its policy \
             is to halt: {reason}",
            topic.name
        );
        Err(ErrorBody::new(ErrorCode::HaltedByPlugin, message))
    }

    fn policy(&self, failed: &Failed) -> PoisonPolicy {
        self.stages[failed.stage].attachment.policy
    }

    /// Wraps up the records whose policy is a dead letter.
    pub(crate) fn letters(
        &self,
        topic: &Topic,
        batch: &Batch<'_>,
        origin: &Origin<'_>,
        base_offset: Option<Offset>,
        failed: &[Failed],
    ) -> Result<Vec<Bytes>, ErrorBody> {
        let dead: Vec<Failed> = failed
            .iter()
            .filter(|failed| self.policy(failed) == PoisonPolicy::DeadLetter)
            .cloned()
            .collect();
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        let attached = self.stages.iter().map(|stage| &stage.attachment);
        let plugins: Vec<DeadPlugin<'_>> =
            attached.map(|a| DeadPlugin { name: &a.plugin, hash: a.hash }).collect();
        let about =
            DeadLetters { origin, plugins: &plugins, stage: self.hook.as_str(), base_offset };
        dead_letter_batches(batch, &dead, &about).map_err(|e| self.refusal(topic, &e))
    }

    /// Counts for the stages. In a chain of several, what became of the batch is told of the last
    /// one, and failures of the one that failed.
    pub(crate) fn count(&self, applied: &Applied, bytes_in: usize) {
        let bytes_out = match &applied.change {
            Change::Unchanged => bytes_in,
            Change::InPlace { batch } => batch.as_ref().map_or(0, Bytes::len),
            Change::Scattered { in_place, outputs } => {
                let elsewhere: usize = outputs.iter().map(|output| output.batch.len()).sum();
                in_place.as_ref().map_or(0, Bytes::len) + elsewhere
            }
        };
        let last = self.stages.len().saturating_sub(1);
        for (index, stage) in self.stages.iter().enumerate() {
            let failed =
                applied.failed.iter().filter(|failed| failed.stage == index).count() as u64;
            let dead = stage.attachment.policy == PoisonPolicy::DeadLetter;
            stage.count_failures(failed, if dead { failed } else { 0 });
            if index == last {
                stage.count(&applied.counts, bytes_in, bytes_out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: PartitionId = PartitionId(0);

    const LAST: Option<&str> = Some("plugins-last");

    fn thread() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    /// The thread that a run was on, and what it was granted.
    type Place = (Option<String>, Grant);

    /// Runs a batch that is put off where it is granted what it will not do with.
    async fn place(chain: &Chain, records: u32, unwanted: fn(Grant) -> bool) -> Place {
        let run = move |grant| (!unwanted(grant)).then(|| (thread(), grant));
        chain.run(FIRST, records, run).await.unwrap()
    }

    fn chain() -> Chain {
        Chain::new(Vec::new(), BackRow::default())
    }

    fn none(_: Grant) -> bool {
        false
    }

    fn little(grant: Grant) -> bool {
        matches!(grant, Grant::AtMost(_))
    }

    #[tokio::test]
    async fn what_takes_a_moment_runs_on_the_thread_that_asks() {
        let chain = chain();
        let (at, grant) = place(&chain, 100, none).await;
        assert_ne!(at, thread(), "nothing is known yet");
        assert_eq!(grant, Grant::AtMost(ASIDE.1));
        chain.ran(100, A_MOMENT);
        assert_eq!(place(&chain, 100, none).await, (thread(), Grant::AtMost(HERE)));
        chain.ran(100, A_MOMENT * 2);
        let (at, grant) = place(&chain, 100, none).await;
        assert_ne!(at, thread());
        assert_eq!(grant, Grant::AtMost(ASIDE.1));
        chain.ran(100, ASIDE.1);
        assert_eq!(place(&chain, 100, none).await.1, Grant::AtMost(ASIDE.1 * ASIDE.0));
    }

    #[tokio::test]
    async fn what_is_put_off_runs_last_with_all_its_time() {
        let chain = chain();
        for known in [None, Some(A_MOMENT), Some(ASIDE.1)] {
            if let Some(took) = known {
                chain.ran(1, took);
            }
            let (at, grant) = place(&chain, 1, little).await;
            assert_eq!((at.as_deref(), grant), (LAST, Grant::GivingWay), "{known:?}");
        }
    }

    #[tokio::test]
    async fn what_is_starved_there_has_its_time_elsewhere() {
        let (at, grant) = place(&chain(), 1, |grant| grant != Grant::Limits).await;
        assert_ne!(at.as_deref(), LAST);
        assert_ne!(at, thread());
        assert_eq!(grant, Grant::Limits);
    }
}
