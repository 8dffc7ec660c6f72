//! Changing topics that are at work: their settings, and where they begin.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tidegate_metadata::{Command, MAX_SEGMENT, MIN_SEGMENT};
use tidegate_types::{ByteSize, Offset, PartitionId, StartPosition, TopicConfig, TopicName};
use tidegate_wire::{ErrorBody, ErrorCode};

use crate::internal::refuse_internal;
use crate::topic::{Partition, Topic};
use crate::{Broker, admin, subscribe};

/// Makes all of the settings or none; durable on return. `partitions` among them makes more.
pub(crate) async fn configure(
    broker: &Arc<Broker>,
    name: TopicName,
    settings: &[(String, String)],
) -> Result<Arc<Topic>, ErrorBody> {
    let invalid = |why: String| ErrorBody::new(ErrorCode::InvalidSetting, why);
    let (partitions, settings): (Vec<_>, Vec<_>) =
        settings.iter().partition(|(setting, _)| setting == "partitions");
    let grown = partitions.last().map(|(_, total)| {
        total.parse().map_err(|_| invalid(format!("partitions cannot be {total:?}: use a number")))
    });
    let grown = grown.transpose()?;
    let before = admin::find(broker, &name)?;
    if let Some(total) = grown.filter(|total| *total != before.config().partitions) {
        admin::missing_partitions(&before, total)?;
    }
    let topic = broker
        .configure_topic(&name, |config| {
            let set = |(setting, value): &&(String, String)| config.set(setting, value);
            settings.iter().try_for_each(set).map_err(|e| invalid(e.to_string()))
        })
        .await?;
    match grown {
        Some(total) if total != topic.config().partitions => broker.grow_topic(&name, total).await,
        _ => Ok(topic),
    }
}

impl Broker {
    /// Segment sizes that a topic can have.
    pub const SEGMENT_SIZES: RangeInclusive<ByteSize> = MIN_SEGMENT..=MAX_SEGMENT;

    /// Changes a topic's settings; durable on return.
    ///
    /// # Errors
    /// What `change` says, if there is no such topic, or if the settings are not possible; nothing
    /// changed then.
    pub async fn configure_topic(
        self: &Arc<Self>,
        name: &TopicName,
        change: impl FnOnce(&mut TopicConfig) -> Result<(), ErrorBody>,
    ) -> Result<Arc<Topic>, ErrorBody> {
        refuse_internal(name, "changed")?;
        let guard = self.changing.clone().lock_owned().await;
        let topic = admin::find(self, name)?;
        let mut config = TopicConfig::clone(&topic.config());
        change(&mut config)?;
        let (broker, name) = (self.clone(), name.clone());
        admin::whole(async move {
            let _guard = guard;
            let command = Command::ConfigureTopic { name, config: config.clone() };
            broker.submit_command(command).await?;
            topic.configure(config);
            Ok(topic)
        })
        .await
    }

    /// Removes the records of one partition that lie before `to`; gives where the log starts then.
    /// Durable on return. An offset before the start removes nothing.
    ///
    /// # Errors
    /// If the offset lies beyond what consumers may see, or the disk failed.
    pub async fn trim_partition(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        to: Offset,
    ) -> Result<Offset, ErrorBody> {
        let to = place(partition, StartPosition::Offset(to)).await?;
        let trimmed = partition.clone();
        admin::with_logs(self, "trimming the log", move |_| trimmed.log.trim(to).map(drop)).await?;
        Ok(partition.log.offsets().start)
    }
}

/// Removes what lies before `to`, in one partition or in all; durable on return.
pub(crate) async fn trim(
    broker: &Arc<Broker>,
    name: &TopicName,
    partition: Option<PartitionId>,
    to: StartPosition,
) -> Result<Arc<Topic>, ErrorBody> {
    refuse_internal(name, "trimmed")?;
    let topic = admin::find(broker, name)?;
    let chosen = topic.chosen(partition)?;
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
    if let StartPosition::Offset(offset) = to {
        if offset < start {
            return Ok(start);
        }
        partition.synced_to(offset).await;
    }
    subscribe::find(partition.clone(), to).await
}
