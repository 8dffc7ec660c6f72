//! Opening the logs of topics: all of them at the node's start, those of one when it is made.

use std::io;
use std::sync::Arc;

use tidegate_log::{LogHandle, LogStore, OpenError};
use tidegate_metadata::Image;
use tidegate_types::{Incarnation, TopicId, TopicPartition};

use crate::topic::{Topic, log_config};
use crate::{Broker, StartError};

impl Broker {
    /// Opens the logs of a topic, making those that are missing. Blocks.
    pub(crate) fn open_topic(
        &self,
        topic: &tidegate_metadata::Topic,
    ) -> Result<Arc<Topic>, OpenError> {
        let logs = self.logs.open_logs(&wanted(topic, |_, incarnation| incarnation));
        assemble(topic, logs.into_iter())
    }

    /// Opens the logs of the partitions behind the first `skip`, making those that are missing.
    /// Blocks.
    pub(crate) fn open_new_logs(
        &self,
        topic: &tidegate_metadata::Topic,
        skip: usize,
    ) -> Result<Vec<LogHandle>, OpenError> {
        let wanted = wanted(topic, |_, incarnation| incarnation);
        self.logs.open_logs(&wanted[skip.min(wanted.len())..]).into_iter().collect()
    }
}

/// Opens the logs of all topics in one go. Blocks.
pub(crate) fn open_all(
    store: &LogStore,
    image: &Image,
    found: &[TopicPartition],
) -> Result<Vec<Arc<Topic>>, StartError> {
    let topics: Vec<_> = image.topics().collect();
    let mut all = Vec::new();
    for topic in &topics {
        // A log whose folder is gone begins another life, lest its copies take it for the old one.
        // A mirror's life is its source's: an empty copy of it begins anew.
        all.extend(wanted(topic, |at, incarnation| {
            if topic.mirror_of.is_some() || found.binary_search(&at).is_ok() {
                return incarnation;
            }
            tracing::warn!(topic = %topic.name, log = %at, "a log has no folder, being new or lost: it begins empty");
            Incarnation(TopicId::random().0.as_u64_pair().0)
        }));
    }
    let mut opened = store.open_logs(&all).into_iter();
    let assembled = topics.iter().map(|topic| {
        let logs = opened.by_ref().take(topic.incarnations.len());
        assemble(topic, logs)
            .map_err(|source| StartError::Topic { topic: topic.name.to_string(), source })
    });
    assembled.collect()
}

fn wanted(
    topic: &tidegate_metadata::Topic,
    incarnation_of: impl Fn(TopicPartition, Incarnation) -> Incarnation,
) -> Vec<(TopicPartition, Incarnation, tidegate_log::LogConfig)> {
    let config = log_config(&topic.config);
    let partitions = topic.partitions().zip(&topic.incarnations);
    let logs = partitions.map(|(partition, incarnation)| {
        let at = TopicPartition { topic: topic.id, partition };
        (at, incarnation_of(at, *incarnation), config)
    });
    logs.collect()
}

fn assemble(
    topic: &tidegate_metadata::Topic,
    logs: impl Iterator<Item = Result<LogHandle, OpenError>>,
) -> Result<Arc<Topic>, OpenError> {
    let logs = logs.collect::<Result<Vec<_>, _>>()?;
    let (name, config) = (topic.name.clone(), topic.config.clone());
    Ok(Arc::new(Topic::new(name, topic.id, config, topic.mirror_of.clone(), logs)))
}

/// Ends deletes that were cut short, before or after the topic left the metadata.
pub(crate) fn settle_deletes(
    logs: &LogStore,
    image: &Image,
    found: &[TopicPartition],
) -> io::Result<()> {
    let doomed = logs.doomed()?;
    for id in doomed.iter().copied() {
        if image.topic_by_id(id).is_some() {
            logs.spare(id)?;
        } else {
            tracing::info!(topic = %id, "deleting the logs of a topic whose delete was cut short");
            logs.delete_topic(id).map_err(io::Error::other)?;
        }
    }
    let lost = found.iter().filter(|at| image.topic_by_id(at.topic).is_none());
    for log in lost.filter(|at| !doomed.contains(&at.topic)) {
        tracing::warn!(%log, "a log on disk belongs to no topic; it is left alone");
    }
    Ok(())
}
