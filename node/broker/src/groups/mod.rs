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
//! | `keeper` | a shortcut for the start: the latest record of each key in a database |
//! | `topics` | topics as the coordinator sees them |
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
mod topics;

use std::sync::Arc;

use tidegate_types::ByteSize;
use tidegate_wire::ErrorBody;

pub(crate) use ask::Inbox;
pub use ask::{AskError, Groups};
pub(crate) use driver::Driver;
pub(crate) use people::{delete, describe, list, seek};

use crate::Broker;
use crate::internal::InternalTopic;
use crate::topic::Partition;

/// The internal topic that holds the groups' records.
pub const GROUPS_TOPIC: &str = "__groups";

const INTERNAL: InternalTopic = InternalTopic {
    name: GROUPS_TOPIC,
    view: "groups.redb",
    segment: ByteSize::mib(16),
    max_batch: tidegate_group::limits::MAX_BATCH,
};

/// The partition that holds the records; `None` if the topic was not made yet.
fn partition(broker: &Broker) -> Option<Arc<Partition>> {
    INTERNAL.partition(broker)
}

/// The partition that holds the records; the topic is made if it is missing.
async fn partition_or_new(broker: &Arc<Broker>) -> Result<Arc<Partition>, ErrorBody> {
    INTERNAL.partition_or_new(broker).await
}
