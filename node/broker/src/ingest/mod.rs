//! The ingest hook: plugins between a producer and the log, whatever the listener.
//!
//! A batch runs through the chain that it finds when it is staged; a chain is swapped between two
//! batches. What comes out is placed: the batch itself or what is left of it in its partition,
//! outputs elsewhere, and records that a plugin could not handle as the attachment's policy says.
//! Outputs do not run through the chain of the topic they go to, so that no loop can arise.
//!
//! Plugins run on threads of their own kind: one that uses up its time holds up its own producers
//! and nobody else.

mod stage;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tidegate_plugin::apply::{
    Applied, Applier, ApplyError, Change, DeadLetters, DeadPlugin, Failed, Origin, OutputBatch,
    dead_letter_batches,
};
use tidegate_record::{Batch, BatchHeader};
use tidegate_types::{PartitionId, PoisonPolicy, TopicConfig, TopicName};
use tidegate_wire::{ErrorBody, ErrorCode};

use crate::Broker;
use crate::error;
use crate::groups::refuse_internal;
use crate::topic::{Partition, Topic};

use stage::Borrowed;
pub(crate) use stage::Stage;

/// Tells outputs of this hook from those of others, in the producer ids derived for them.
const PURPOSE: &str = "ingest";

/// Appliers kept for the next batch, with their buffers.
const IDLE_APPLIERS: usize = 4;

/// The plugins on a topic's way, in order.
pub(crate) struct Chain {
    pub(crate) stages: Vec<Arc<Stage>>,
    idle: Mutex<Vec<Applier>>,
}

/// Where one batch goes.
pub(crate) struct Part {
    pub(crate) to: Arc<Partition>,
    pub(crate) batch: Bytes,
    pub(crate) records: u32,
}

/// What is to be appended for one produced batch.
pub(crate) struct Placed {
    /// The batch, or what is left of it, in the partition that it was sent to.
    pub(crate) in_place: Option<Part>,
    /// What goes elsewhere. The input is acknowledged when all of it is durable.
    pub(crate) elsewhere: Vec<Part>,
}

/// What the plugins made of a batch, and what could not be handled.
struct Ran {
    applied: Applied,
    letters: Vec<Bytes>,
}

impl Chain {
    pub(crate) fn new(stages: Vec<Arc<Stage>>) -> Chain {
        Chain { stages, idle: Mutex::default() }
    }

    /// Runs a batch through all stages. Blocks for as long as the plugins take.
    fn run(
        &self,
        broker: &Broker,
        topic: &Topic,
        partition: PartitionId,
        batch: &Bytes,
    ) -> Result<Ran, ErrorBody> {
        // Checked when it was staged.
        let (parsed, _) = Batch::parse_trusted(batch)
            .map_err(|e| ErrorBody::new(ErrorCode::InvalidRecord, e.to_string()))?;
        let mut stages =
            self.stages.iter().map(Stage::borrow).collect::<Result<Vec<Borrowed>, _>>()?;
        let partitions_of = |name: &TopicName| {
            let other = broker.topics.get(name).filter(|other| other.mirror_of.is_none())?;
            Some(other.config().partitions)
        };
        let origin = Origin {
            topic: &topic.name,
            topic_id: topic.id,
            partition,
            partitions: topic.config().partitions,
            purpose: PURPOSE,
            keep_offsets: false,
            partitions_of: &partitions_of,
        };
        let mut applier = self.idle_applier().unwrap_or_default();
        let applied = applier.run(&parsed, &mut stages, &origin);
        self.keep(applier);
        let applied = applied.map_err(|e| self.refusal(topic, &e))?;
        for failed in &applied.failed {
            self.stages[failed.stage].failed(&failed.reason);
        }
        self.halt(topic, &applied.failed)?;
        let letters = self.letters(topic, &parsed, &origin, &applied.failed)?;
        self.count(&applied, batch.len());
        Ok(Ran { applied, letters })
    }

    fn idle_applier(&self) -> Option<Applier> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, applier: Applier) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_APPLIERS {
            idle.push(applier);
        }
    }

    fn refusal(&self, topic: &Topic, error: &ApplyError) -> ErrorBody {
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

    /// Refuses the batch if one of its records failed where the policy is to halt.
    fn halt(&self, topic: &Topic, failed: &[Failed]) -> Result<(), ErrorBody> {
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
    fn letters(
        &self,
        topic: &Topic,
        batch: &Batch<'_>,
        origin: &Origin<'_>,
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
        let about = DeadLetters { origin, plugins: &plugins, stage: PURPOSE, base_offset: None };
        dead_letter_batches(batch, &dead, &about).map_err(|e| self.refusal(topic, &e))
    }

    /// Counts for the stages. In a chain of several, what became of the batch is told of the last
    /// one, and failures of the one that failed.
    fn count(&self, applied: &Applied, bytes_in: usize) {
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

/// Runs a batch through a topic's chain and finds the logs that the outcome belongs in.
///
/// # Errors
/// If a plugin refuses the batch, or fails and its policy is to halt; nothing was appended.
pub(crate) async fn run(
    broker: &Arc<Broker>,
    topic: &Arc<Topic>,
    target: &Arc<Partition>,
    chain: &Arc<Chain>,
    batch: Bytes,
) -> Result<Placed, ErrorBody> {
    let running = {
        let (broker, topic, chain, batch) =
            (broker.clone(), topic.clone(), chain.clone(), batch.clone());
        let partition = target.at.partition;
        tokio::task::spawn_blocking(move || chain.run(&broker, &topic, partition, &batch))
    };
    let Ran { applied, letters } =
        running.await.map_err(|stopped| error::internal("running plugins", &stopped))??;

    let (in_place, outputs) = match applied.change {
        Change::Unchanged => (Some(batch), Vec::new()),
        Change::InPlace { batch } => (batch, Vec::new()),
        Change::Scattered { in_place, outputs } => (in_place, outputs),
    };
    let in_place = in_place.map(|batch| part(target.clone(), batch)).transpose()?;
    let mut elsewhere = Vec::with_capacity(outputs.len() + letters.len());
    for output in outputs {
        let to = destination(broker, topic, &output)?;
        elsewhere.push(part(to, output.batch)?);
    }
    if !letters.is_empty() {
        let dead = dead_letter_partition(broker, topic).await?;
        for batch in letters {
            elsewhere.push(part(dead.clone(), batch)?);
        }
    }
    Ok(Placed { in_place, elsewhere })
}

fn part(to: Arc<Partition>, batch: Bytes) -> Result<Part, ErrorBody> {
    let header = BatchHeader::parse(&batch)
        .map_err(|e| error::internal("reading back what a plugin made", &e))?;
    Ok(Part { to, batch, records: header.record_count })
}

/// The partition that an output goes to. Topics are never made here: the chain routes only to
/// those that exist, and one that is gone by now refuses the batch.
fn destination(
    broker: &Broker,
    input: &Arc<Topic>,
    output: &OutputBatch,
) -> Result<Arc<Partition>, ErrorBody> {
    let topic = match &output.topic {
        None => input.clone(),
        Some(name) => broker.topics.get(name).ok_or_else(|| error::unknown_topic(name))?,
    };
    refuse_internal(&topic.name, "written to")?;
    topic.partition(output.partition).ok_or_else(|| {
        error::unknown_partition(&topic.name, output.partition, topic.config().partitions)
    })
}

/// The only partition of `<topic>.dead`, which is made when it is first needed.
async fn dead_letter_partition(
    broker: &Arc<Broker>,
    input: &Topic,
) -> Result<Arc<Partition>, ErrorBody> {
    let halted = |why: &dyn std::fmt::Display| {
        let message = format!("there can be no dead-letter topic for {}: {why}", input.name);
        ErrorBody::new(ErrorCode::HaltedByPlugin, message)
    };
    let name = TopicName::new(format!("{}.dead", input.name)).map_err(|e| halted(&e))?;
    let topic = match broker.topics.get(&name) {
        Some(topic) => topic,
        None => {
            let config = TopicConfig { partitions: 1, ..TopicConfig::clone(&input.config()) };
            broker.make_topic(name, config, true).await?
        }
    };
    topic.partition(PartitionId(0)).ok_or_else(|| halted(&"it has no partition 0"))
}
