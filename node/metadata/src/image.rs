//! What a site knows of itself at one point of its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_types::{
    Attachment, Hook, Incarnation, LinkName, LinkSpec, PartitionId, PluginHash, PluginName,
    PluginVersion, ProducerId, SiteName, TopicConfig, TopicId, TopicName,
};

/// A topic as it was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its id; the source's for a mirror.
    pub id: TopicId,
    /// Its settings.
    pub config: TopicConfig,
    /// The site that it is a copy from. Only its link may write to it then.
    pub mirror_of: Option<SiteName>,
    /// Which life of its log each partition began with, in the order of the partitions.
    pub incarnations: Vec<Incarnation>,
}

impl Topic {
    /// Which life of its log a partition began with; `None` if there is no such partition.
    #[must_use]
    pub fn incarnation(&self, partition: PartitionId) -> Option<Incarnation> {
        self.incarnations.get(usize::try_from(partition.0).ok()?).copied()
    }

    /// Its partitions, from 0.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.config.partitions).map(PartitionId)
    }
}

/// What a site knows of itself after one command; see [`Image::apply`](crate::Image::apply).
///
/// Always true of it: the topics' names and ids are unique; every attachment's topic and plugin
/// version exist, and it is the only one of its plugin there; every link's topics exist and are no
/// mirrors. Large parts are shared between an image and the next one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image {
    pub(crate) applied: u64,
    pub(crate) topics: BTreeMap<TopicName, Arc<Topic>>,
    pub(crate) names: BTreeMap<TopicId, TopicName>,
    /// Newest first.
    pub(crate) plugins: BTreeMap<PluginName, Arc<Vec<PluginVersion>>>,
    /// In the order in which they run; never empty.
    pub(crate) attachments: BTreeMap<TopicName, Arc<Vec<Attachment>>>,
    pub(crate) links: BTreeMap<LinkName, Arc<LinkSpec>>,
    pub(crate) next_producer_id: i64,
}

/// A snapshot that no sequence of commands makes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the image contradicts itself: {what}")]
pub struct InconsistentImage {
    pub(crate) what: String,
}

impl Image {
    /// Index of the last command applied; 0 before the first.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The topic of that name.
    #[must_use]
    pub fn topic(&self, name: &TopicName) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic with that id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(&id)?)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The installed versions of a plugin, newest first; empty if there is none.
    #[must_use]
    pub fn plugin(&self, name: &PluginName) -> &[PluginVersion] {
        self.plugins.get(name).map_or(&[], |versions| versions.as_slice())
    }

    /// One installed version of a plugin.
    #[must_use]
    pub fn plugin_version(&self, name: &PluginName, hash: PluginHash) -> Option<&PluginVersion> {
        self.plugin(name).iter().find(|version| version.hash == hash)
    }

    /// All plugins by name, each with its versions, newest first.
    pub fn plugins(&self) -> impl ExactSizeIterator<Item = (&PluginName, &[PluginVersion])> {
        self.plugins.iter().map(|(name, versions)| (name, versions.as_slice()))
    }

    /// What runs at a topic's hook, in order.
    pub fn attachments(&self, topic: &TopicName, hook: Hook) -> impl Iterator<Item = &Attachment> {
        self.attachments_of(topic).iter().filter(move |attachment| attachment.hook == hook)
    }

    /// What runs on a topic's way; in order within each hook.
    #[must_use]
    pub fn attachments_of(&self, topic: &TopicName) -> &[Attachment] {
        self.attachments.get(topic).map_or(&[], |attachments| attachments.as_slice())
    }

    /// All attachments, by topic.
    pub fn all_attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.values().flat_map(|attachments| attachments.iter())
    }

    /// The link of that name.
    #[must_use]
    pub fn link(&self, name: &LinkName) -> Option<&Arc<LinkSpec>> {
        self.links.get(name)
    }

    /// All links, by name.
    pub fn links(&self) -> impl ExactSizeIterator<Item = &Arc<LinkSpec>> {
        self.links.values()
    }

    /// The first producer id that was never set aside.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        ProducerId(self.next_producer_id)
    }

    /// Checks what must always be true; a snapshot from a damaged file or a faulty program fails.
    pub(crate) fn check(&self) -> Result<(), InconsistentImage> {
        let fail = |what: String| Err(InconsistentImage { what });
        if self.names.len() != self.topics.len() {
            return fail("two topics share one id".to_owned());
        }
        for topic in self.topics.values() {
            if usize::try_from(topic.config.partitions) != Ok(topic.incarnations.len()) {
                return fail(format!("topic {} lacks incarnations", topic.name));
            }
        }
        for (at, attachments) in &self.attachments {
            if !self.topics.contains_key(at) {
                return fail(format!("a plugin is attached to topic {at}, which does not exist"));
            }
            for (n, attachment) in attachments.iter().enumerate() {
                let Attachment { hook, plugin, hash, .. } = attachment;
                if attachment.topic != *at || self.plugin_version(plugin, *hash).is_none() {
                    return fail(format!("plugin {plugin} is attached to {at} but not installed"));
                }
                if attachments[..n].iter().any(|a| a.hook == *hook && a.plugin == *plugin) {
                    return fail(format!("plugin {plugin} is attached to {at} twice"));
                }
            }
        }
        for link in self.links.values() {
            for name in &link.topics {
                if self.topics.get(name).is_none_or(|topic| topic.mirror_of.is_some()) {
                    return fail(format!("link {} cannot mirror topic {name}", link.name));
                }
            }
        }
        Ok(())
    }
}
