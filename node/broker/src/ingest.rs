//! The ingest hook: plugins between a producer and the log, whatever the listener.
//!
//! A batch runs through the chain that it finds when it is staged; a chain is swapped between two
//! batches. What comes out is placed: the batch itself or what is left of it in its partition,
//! outputs elsewhere, and records that a plugin could not handle as the attachment's policy says.
//! Outputs do not run through the chain of the topic they go to, so that no loop can arise.
//!
//! A plugin that uses up its time holds up its own producers and nobody else: a run that may take
//! longer than a moment has a thread of another kind, and one that is on the wrong thread after all
//! is put off. While a plugin fails, it runs last.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tidegate_plugin::Grant;
use tidegate_plugin::apply::{Applied, ApplyError, Change, Origin, OutputBatch};
use tidegate_record::{Batch, BatchHeader};
use tidegate_types::{Hook, PartitionId, TopicConfig, TopicName};
use tidegate_wire::{ErrorBody, ErrorCode};

use crate::Broker;
use crate::error;
use crate::internal::refuse_internal;
use crate::topic::{Partition, Topic};

use crate::hook::{Borrowed, Chain};

/// Tells outputs of this hook from those of others, in the producer ids derived for them.
const PURPOSE: &str = "ingest";

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

/// Runs a batch through all stages; `None` if one of them was put off. See [`Running::borrow`](crate::hook::Running::borrow).
fn run_chain(
    chain: &Chain,
    broker: &Broker,
    topic: &Topic,
    partition: PartitionId,
    batch: &Bytes,
    grant: Grant,
) -> Result<Option<Ran>, ErrorBody> {
    let started = Instant::now();
    // Checked when it was staged.
    let (parsed, _) = Batch::parse_trusted(batch)
        .map_err(|e| ErrorBody::new(ErrorCode::InvalidRecord, e.to_string()))?;
    let running = chain.running(Hook::Ingest, partition);
    let mut stages = running.borrow(grant)?;
    let partitions_of = |name: &TopicName| broker.writable_partitions(name);
    let origin = Origin {
        topic: &topic.name,
        topic_id: topic.id,
        partition,
        partitions: topic.config().partitions,
        purpose: PURPOSE,
        keep_offsets: false,
        derive: None,
        partitions_of: &partitions_of,
    };
    let mut applier = chain.applier();
    let applied = applier.run(&parsed, &mut stages, &origin);
    chain.keep(applier);
    if matches!(applied, Err(ApplyError::PutOff)) {
        return Ok(None);
    }
    stages.iter_mut().for_each(Borrowed::settle);
    if !stages.iter().any(Borrowed::has_failed) {
        chain.ran(parsed.header().record_count, started.elapsed());
    }
    let applied = applied.map_err(|e| running.refusal(topic, &e))?;
    running.judge(topic, &applied.failed)?;
    let letters = running.letters(topic, &parsed, &origin, None, &applied.failed)?;
    running.count(&applied, batch.len());
    Ok(Some(Ran { applied, letters }))
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
    records: u32,
) -> Result<Placed, ErrorBody> {
    let partition = target.at.partition;
    let run = {
        let (broker, topic, chain, batch) =
            (broker.clone(), topic.clone(), chain.clone(), batch.clone());
        move |grant| run_chain(&chain, &broker, &topic, partition, &batch, grant).transpose()
    };
    let ran = chain.run(partition, records, run).await;
    let Ran { applied, letters } =
        ran.map_err(|ended| error::internal("running plugins", &ended))??;

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

pub(crate) fn part(to: Arc<Partition>, batch: Bytes) -> Result<Part, ErrorBody> {
    let header = BatchHeader::parse(&batch)
        .map_err(|e| error::internal("reading back what a plugin made", &e))?;
    Ok(Part { to, batch, records: header.record_count })
}

/// The partition that an output goes to. Topics are never made here: the chain routes only to
/// those that exist, and one that is gone by now refuses the batch.
pub(crate) fn destination(
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
pub(crate) async fn dead_letter_partition(
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
