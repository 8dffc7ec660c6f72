//! What can be told of a data folder while no node uses it.

use std::collections::BTreeMap;
use std::path::Path;

use tidegate_metadata::{MetadataStore, NodeRecord, OpenError};
use tidegate_types::{NodeId, SiteName, Timestamp, TopicId, TopicName};

/// The names of the topics in a data folder, whichever node it belongs to. Empty where the metadata
/// cannot be read: whoever asks shows ids then.
#[must_use]
pub fn topic_names(data: &Path) -> BTreeMap<TopicId, TopicName> {
    let path = data.join("metadata.redb");
    let Ok(site) = SiteName::new("unknown") else { return BTreeMap::new() };
    if !path.is_file() {
        return BTreeMap::new();
    }
    let asking = NodeRecord { site, node: NodeId(0), created: Timestamp::NONE };
    let opened = match MetadataStore::open(&path, &asking) {
        Err(OpenError::OtherNode { found, .. }) => MetadataStore::open(&path, &found),
        opened => opened,
    };
    let Ok(metadata) = opened else { return BTreeMap::new() };
    metadata.image().topics().map(|topic| (topic.id, topic.name.clone())).collect()
}
