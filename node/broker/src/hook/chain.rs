//! The stages that a batch runs through, and what becomes of records that fail.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tidegate_plugin::apply::{
    Applied, Applier, ApplyError, Change, DeadLetters, DeadPlugin, Failed, Origin,
    dead_letter_batches,
};
use tidegate_record::Batch;
use tidegate_types::{Hook, Offset, PartitionId, PoisonPolicy};
use tidegate_wire::{ErrorBody, ErrorCode};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use super::Stage;
use crate::error;
use crate::topic::Topic;

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
    turns: Arc<Semaphore>,
}

impl Chain {
    pub(crate) fn new(slots: Vec<Slot>) -> Chain {
        Chain { slots, idle: Mutex::default(), turns: Arc::new(Semaphore::new(1)) }
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

    /// Does what runs the chain over records of a partition, off the async threads: at once, or,
    /// where one of its plugins is in trouble, when nothing else of that kind runs. So a plugin that
    /// loops takes one processor, however many producers send to it.
    ///
    /// # Errors
    /// If it panicked, or the node stops.
    pub(crate) async fn run_blocking<T: Send + 'static>(
        &self,
        partition: PartitionId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let now = Instant::now();
        let in_trouble = self.slots.iter().any(|slot| slot.running(partition).is_in_trouble(now));
        // It is never closed.
        let turn = if in_trouble { self.turns.clone().acquire_owned().await.ok() } else { None };
        let running = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        running.await
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

/// The stages for one partition.
pub(crate) struct Running {
    hook: Hook,
    pub(crate) stages: Vec<Arc<Stage>>,
}

impl Running {
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
