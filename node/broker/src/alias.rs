//! Topics as their readers see them through one plugin: `topic@plugin`, for listeners whose readers
//! have no other way to name one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_log::FileRange;
use tidegate_plugin::hash_of;
use tidegate_types::{PluginName, TopicId};
use tidegate_wire::ErrorBody;

use crate::Broker;
use crate::leaving::Leaving;
use crate::topic::{Partition, Topic};

/// A topic with a plugin that is attached at its hook read.
#[derive(Clone)]
pub struct ReadAlias {
    topic: Arc<Topic>,
    plugin: PluginName,
}

impl ReadAlias {
    pub(crate) fn new(topic: Arc<Topic>, plugin: PluginName) -> ReadAlias {
        ReadAlias { topic, plugin }
    }

    /// The topic whose records are read.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// An id that only this alias has, and always has.
    #[must_use]
    pub fn id(&self) -> TopicId {
        let hash = hash_of(&[self.topic.id.0.as_bytes(), self.plugin.as_str().as_bytes()].concat());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.0[..16]);
        TopicId::from_bytes(id)
    }

    /// What the plugin leaves of a range of one of the topic's partitions, at the same offsets.
    ///
    /// # Errors
    /// If the plugin is not attached any more, fails where its policy is to halt, or the range
    /// cannot be read.
    pub async fn read(
        &self,
        broker: &Arc<Broker>,
        partition: &Arc<Partition>,
        range: FileRange,
    ) -> Result<Bytes, ErrorBody> {
        let leaving = Arc::new(Leaving::by_read(broker, &self.topic, &self.plugin)?);
        leaving.pass_range(partition, range).await
    }
}

/// Its name: what readers ask for.
impl fmt::Display for ReadAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.topic.name, self.plugin)
    }
}
