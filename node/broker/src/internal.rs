//! Topics of the node's own: made when first needed, written by nobody else, with a view beside.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_types::{
    ByteSize, Cleanup, LogPolicy, PartitionId, RecordPolicy, TopicConfig, TopicName, limits,
};
use tidegate_wire::{ErrorBody, ErrorCode};

use crate::admin::{self, NewTopic};
use crate::derive::DERIVE_TOPIC;
use crate::groups::GROUPS_TOPIC;
use crate::topic::Partition;
use crate::view::View;
use crate::{Broker, error};

/// What there is to know of one. It has one partition.
pub(crate) struct InternalTopic {
    /// Its name.
    pub(crate) name: &'static str,
    /// The file of its view, in the data folder.
    pub(crate) view: &'static str,
    /// Segments are small, so that compaction gets at the records soon.
    pub(crate) segment: ByteSize,
    /// Largest batch.
    pub(crate) max_batch: ByteSize,
}

/// How long a tombstone is kept for a view that is behind.
pub(crate) const KEEP_TOMBSTONES: Duration = limits::DEFAULT_DELETE_RETENTION;

impl InternalTopic {
    fn topic_name(&self) -> Result<TopicName, ErrorBody> {
        TopicName::new(self.name).map_err(|e| error::internal("naming an internal topic", &e))
    }

    fn config(&self) -> TopicConfig {
        let policy = LogPolicy {
            cleanup: Cleanup::Compact,
            delete_retention: KEEP_TOMBSTONES,
            ..LogPolicy::default()
        };
        let records = RecordPolicy { max_batch: self.max_batch, ..RecordPolicy::default() };
        let segment = self.segment;
        TopicConfig { partitions: 1, segment, policy, records, ..TopicConfig::default() }
    }

    /// The partition that holds the records; `None` if the topic was not made yet.
    pub(crate) fn partition(&self, broker: &Broker) -> Option<Arc<Partition>> {
        let name = self.topic_name().ok()?;
        broker.topics.get(&name)?.partition(PartitionId(0))
    }

    /// The partition that holds the records; the topic is made if it is missing.
    pub(crate) async fn partition_or_new(
        &self,
        broker: &Arc<Broker>,
    ) -> Result<Arc<Partition>, ErrorBody> {
        if let Some(partition) = self.partition(broker) {
            return Ok(partition);
        }
        let (name, config, broker) = (self.topic_name()?, self.config(), broker.clone());
        let unknown = error::unknown_partition(&name, PartitionId(0), 0);
        let topic = admin::whole(async move {
            let _guard = broker.changing.lock().await;
            match broker.topics.get(&name) {
                Some(topic) => Ok(topic),
                None => broker.create_topic(NewTopic::of_this_site(name, config)).await,
            }
        });
        topic.await?.partition(PartitionId(0)).ok_or(unknown)
    }

    /// Where its view is.
    pub(crate) fn view_path(&self, broker: &Broker) -> PathBuf {
        broker.config.data.join(self.view)
    }

    /// A view that belongs to this log.
    pub(crate) fn view_of(&self, broker: &Broker, partition: &Partition) -> View {
        View::new(broker.disk.clone(), self.view_path(broker), partition.log.incarnation())
    }
}

/// Whether a topic is the node's own: it may be read, and nothing else.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    name == GROUPS_TOPIC || name == DERIVE_TOPIC
}

/// Refuses to do that to the node's own topics.
pub(crate) fn refuse_internal(name: &TopicName, what: &str) -> Result<(), ErrorBody> {
    let holds = match name.as_str() {
        GROUPS_TOPIC => "consumer groups",
        DERIVE_TOPIC => "derivations",
        _ => return Ok(()),
    };
    let message = format!("topic {name} holds the node's {holds}: it cannot be {what}");
    Err(ErrorBody::new(ErrorCode::InvalidRequest, message))
}
