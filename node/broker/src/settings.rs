//! Changing topics that are at work: their settings, and where they begin.

use std::sync::Arc;

use tidegate_metadata::Command;
use tidegate_types::{Offset, PartitionId, StartPosition, TopicConfig, TopicName};
use tidegate_wire::{ErrorBody, ErrorCode};

use crate::topic::{Partition, Topic};
use crate::{Broker, admin, error, subscribe};

/// Makes all of the settings or none; durable on return.
pub(crate) async fn configure(
    broker: &Arc<Broker>,
    name: TopicName,
    settings: &[(String, String)],
) -> Result<Arc<Topic>, ErrorBody> {
    let _guard = broker.changing.lock().await;
    let topic = admin::find(broker, &name)?;
    let mut config = TopicConfig::clone(&topic.config());
    for (setting, value) in settings {
        config
            .set(setting, value)
            .map_err(|e| ErrorBody::new(ErrorCode::InvalidRequest, e.to_string()))?;
    }
    let command = Command::ConfigureTopic { name, config: config.clone() };
    broker.submit_command(command).await?;
    topic.configure(config);
    Ok(topic)
}

/// Removes what lies before `to`, in one partition or in all; durable on return.
pub(crate) async fn trim(
    broker: &Arc<Broker>,
    name: &TopicName,
    partition: Option<PartitionId>,
    to: StartPosition,
) -> Result<Arc<Topic>, ErrorBody> {
    let topic = admin::find(broker, name)?;
    let chosen = match partition {
        None => topic.partitions.clone(),
        Some(id) => match topic.partition(id) {
            Some(partition) => vec![partition.clone()],
            None => {
                return Err(error::unknown_partition(name, id, topic.config().partitions));
            }
        },
    };
    let mut ends = Vec::with_capacity(chosen.len());
    for partition in &chosen {
        ends.push(place(partition, to).await?);
    }
    admin::with_logs(broker, "trimming the topic", move |_| {
        chosen.iter().zip(ends).try_for_each(|(partition, to)| partition.log.trim(to).map(drop))
    })
    .await?;
    Ok(topic)
}

/// The offset that a position means. One before the start trims nothing, which is no error.
async fn place(partition: &Arc<Partition>, to: StartPosition) -> Result<Offset, ErrorBody> {
    let start = partition.log.offsets().start;
    match to {
        StartPosition::Offset(offset) if offset < start => Ok(start),
        to => subscribe::find(partition.clone(), to).await,
    }
}
