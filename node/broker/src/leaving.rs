//! The hooks link and read: records through plugins as they leave, with their offsets kept.
//!
//! What a plugin drops is a hole, as compaction leaves one; what it rewrites stays in its place.
//! Nothing is stored, and whoever reads again has the same plugins run again. Splitting and moving
//! records is refused.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tidegate_log::FileRange;
use tidegate_plugin::Grant;
use tidegate_plugin::apply::{ApplyError, Change, Origin};
use tidegate_record::Batches;
use tidegate_types::{Hook, PluginName, TopicName};
use tidegate_wire::{ErrorBody, ErrorCode};

use crate::Broker;
use crate::error;
use crate::hook::Chain;
use crate::topic::{Partition, Topic};

/// Which plugins a topic's records go through as they leave.
pub(crate) struct Leaving {
    broker: Arc<Broker>,
    topic: Arc<Topic>,
    hook: Hook,
    chain: Arc<Chain>,
}

impl Leaving {
    /// Over a link; `None` where no plugin is attached.
    pub(crate) fn by_link(broker: &Arc<Broker>, topic: &Arc<Topic>) -> Option<Leaving> {
        let chain = topic.leaving.load().link.clone()?;
        Some(Leaving { broker: broker.clone(), topic: topic.clone(), hook: Hook::Link, chain })
    }

    /// To a reader who names one of the plugins at the hook read.
    ///
    /// # Errors
    /// If it is not attached there.
    pub(crate) fn by_read(
        broker: &Arc<Broker>,
        topic: &Arc<Topic>,
        plugin: &PluginName,
    ) -> Result<Leaving, ErrorBody> {
        let Some(chain) = topic.leaving.load().read.get(plugin).cloned() else {
            let message = format!(
                "plugin {plugin} is not attached to topic {0} at the hook read: \
                 'tidegate plugin attach {0} {plugin} --hook read'",
                topic.name
            );
            return Err(ErrorBody::new(ErrorCode::UnknownAttachment, message));
        };
        Ok(Leaving { broker: broker.clone(), topic: topic.clone(), hook: Hook::Read, chain })
    }

    /// What is left of some batches, off the async threads.
    ///
    /// # Errors
    /// If a plugin fails where its policy is to halt, or does what it may not do here.
    pub(crate) async fn pass(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        batches: Bytes,
    ) -> Result<Bytes, ErrorBody> {
        self.pass_from(partition, || Ok(batches)).await
    }

    /// What is left of a range that was found, at the same offsets.
    ///
    /// # Errors
    /// As [`Leaving::pass`], and if the range cannot be read.
    pub(crate) async fn pass_range(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        range: FileRange,
    ) -> Result<Bytes, ErrorBody> {
        let unreadable = |e| error::internal("reading what a plugin is to see", &e);
        self.pass_from(partition, move || range.read().map_err(unreadable)).await
    }

    async fn pass_from(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        batches: impl FnOnce() -> Result<Bytes, ErrorBody> + Send + 'static,
    ) -> Result<Bytes, ErrorBody> {
        let (this, of) = (self.clone(), partition.clone());
        let running = move || this.run(&of, &batches()?);
        let ran = self.chain.run_blocking(partition.at.partition, running).await;
        ran.map_err(|stopped| error::internal("running plugins", &stopped))?
    }

    fn run(&self, partition: &Partition, batches: &Bytes) -> Result<Bytes, ErrorBody> {
        let running = self.chain.running(self.hook, partition.at.partition);
        let mut stages = running.borrow(Grant::Limits)?;
        let partitions_of = |name: &TopicName| self.broker.writable_partitions(name);
        let origin = Origin {
            topic: &self.topic.name,
            topic_id: self.topic.id,
            partition: partition.at.partition,
            partitions: self.topic.config().partitions,
            purpose: self.hook.as_str(),
            keep_offsets: true,
            derive: None,
            partitions_of: &partitions_of,
        };
        let mut applier = self.chain.applier();
        let mut left = BytesMut::with_capacity(batches.len());
        for batch in Batches::trusted(batches) {
            let batch = batch.map_err(|e| error::internal("reading stored batches", &e))?;
            let applied = match applier.run(&batch, &mut stages, &origin) {
                Ok(applied) => applied,
                // Nobody is there to be told but who reads.
                Err(refused @ ApplyError::Rejected { .. }) => {
                    let body = running.refusal(&self.topic, &refused);
                    return Err(ErrorBody { code: ErrorCode::HaltedByPlugin, ..body });
                }
                Err(other) => return Err(running.refusal(&self.topic, &other)),
            };
            running.judge(&self.topic, &applied.failed)?;
            running.count(&applied, batch.bytes().len());
            match &applied.change {
                Change::InPlace { batch: Some(rest) } => left.extend_from_slice(rest),
                Change::InPlace { batch: None } | Change::Scattered { .. } => {
                    return Err(running.refusal(&self.topic, &ApplyError::CannotMove));
                }
                Change::Unchanged => left.extend_from_slice(batch.bytes()),
            }
        }
        self.chain.keep(applier);
        Ok(left.freeze())
    }
}
