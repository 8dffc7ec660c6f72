//! Consumer groups: the coordinator of `tidegate-group`, its records, and whoever asks it.
//!
//! One task owns the coordinator. Gateways put requests to it through [`Groups::ask`]. What changes
//! is appended to the topic `__groups`, and answered once that is durable; at the start the
//! coordinator is rebuilt from there.
//!
//! | module | what it does |
//! | --- | --- |
//! | `ask` | the way of a request to the task, and of its answer back |
//! | `driver` | the task: carries out what the coordinator asks |
//! | `appends` | records into the log, in order |
//! | `loading` | records out of view and log, at the start |
//! | `view`, `keeper` | a shortcut for the start: the latest record of each key in a database |
//! | `topics` | topics as the coordinator sees them |
//! | `protect` | keeps everyone else from writing to `__groups` |
//! | `people`, `assignment` | groups as people see them |
//!
//! What holds: an answer that says something changed is given after the change is durable; the view
//! never has what the log does not; no request waits without an end.

mod appends;
mod ask;
mod assignment;
mod driver;
mod keeper;
mod loading;
mod people;
mod protect;
mod topics;
mod view;

use std::sync::Arc;
use std::time::Duration;

use tidegate_types::{
    ByteSize, Cleanup, LogPolicy, PartitionId, RecordPolicy, TopicConfig, TopicName, limits,
};
use tidegate_wire::ErrorBody;

pub(crate) use ask::Inbox;
pub use ask::{AskError, Groups};
pub(crate) use driver::Driver;
pub(crate) use people::{delete, describe, list, seek};
pub(crate) use protect::{is_internal, refuse_internal};

use crate::Broker;
use crate::admin::{self, NewTopic};
use crate::error;
use crate::topic::Partition;

/// The internal topic that holds the groups' records.
pub const GROUPS_TOPIC: &str = "__groups";

/// The database in the data folder that makes starting short.
const VIEW_FILE: &str = "groups.redb";

/// Segments are small, so that compaction gets at the records soon.
const SEGMENT: ByteSize = ByteSize::mib(16);

/// How long a tombstone is kept for a view that is behind.
const KEEP_TOMBSTONES: Duration = limits::DEFAULT_DELETE_RETENTION;

fn topic_name() -> Result<TopicName, ErrorBody> {
    TopicName::new(GROUPS_TOPIC).map_err(|e| error::internal("naming the groups' topic", &e))
}

fn topic_config() -> TopicConfig {
    let policy = LogPolicy {
        cleanup: Cleanup::Compact,
        delete_retention: KEEP_TOMBSTONES,
        ..LogPolicy::default()
    };
    let records =
        RecordPolicy { max_batch: tidegate_group::limits::MAX_BATCH, ..RecordPolicy::default() };
    TopicConfig { partitions: 1, segment: SEGMENT, policy, records, ..TopicConfig::default() }
}

/// The partition that holds the records; `None` if the topic was not made yet.
fn partition(broker: &Broker) -> Option<Arc<Partition>> {
    let name = topic_name().ok()?;
    broker.topics.get(&name)?.partition(PartitionId(0))
}

/// The partition that holds the records; the topic is made if it is missing.
async fn partition_or_new(broker: &Arc<Broker>) -> Result<Arc<Partition>, ErrorBody> {
    if let Some(partition) = partition(broker) {
        return Ok(partition);
    }
    let (name, broker) = (topic_name()?, broker.clone());
    let unknown = error::unknown_partition(&name, PartitionId(0), 0);
    let topic = admin::whole(async move {
        let _guard = broker.changing.lock().await;
        match broker.topics.get(&name) {
            Some(topic) => Ok(topic),
            None => broker.create_topic(NewTopic::of_this_site(name, topic_config())).await,
        }
    });
    topic.await?.partition(PartitionId(0)).ok_or(unknown)
}
