//! What can be done to an image.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_types::{
    Attachment, Hook, Incarnation, LinkName, LinkSpec, PluginHash, PluginName, PluginVersion,
    ProducerId, SiteName, TopicConfig, TopicId, TopicName,
};

use crate::Topic;
use crate::format::AttachmentV1;

/// One change of the image.
///
/// Commands lie in the log by the position of their variant: new ones go last, none is ever moved
/// or removed, and no field changes its type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Make a topic.
    CreateTopic {
        /// Its name; `<site>/<topic>` for a mirror, without a slash otherwise.
        name: TopicName,
        /// Its id, new and random; for a mirror, the source's.
        id: TopicId,
        /// Its settings.
        config: TopicConfig,
        /// The site that it is a copy from.
        mirror_of: Option<SiteName>,
        /// Which life of its log each partition begins; for a mirror, the source's.
        incarnations: Vec<Incarnation>,
    },
    /// Delete a topic. Its plugins are detached.
    DeleteTopic {
        /// Its name.
        name: TopicName,
    },
    /// Record a plugin version as installed, and as the newest of its name.
    InstallPlugin(PluginVersion),
    /// Forget a plugin that is not attached anywhere.
    RemovePlugin {
        /// Its name.
        name: PluginName,
        /// The version; all of them where `None`.
        hash: Option<PluginHash>,
    },
    /// [`Command::Attach`] as it was written at first. It is read, and not written any more.
    #[doc(hidden)]
    AttachV1(AttachmentV1),
    /// Detach a plugin.
    Detach {
        /// The topic.
        topic: TopicName,
        /// The hook.
        hook: Hook,
        /// The plugin.
        plugin: PluginName,
    },
    /// Begin a link.
    AddLink(LinkSpec),
    /// End a link.
    RemoveLink {
        /// Its name.
        name: LinkName,
    },
    /// Mirror these topics instead of those before.
    SetLinkTopics {
        /// The link.
        name: LinkName,
        /// The topics, in order of priority.
        topics: Vec<TopicName>,
    },
    /// Set producer ids aside, never to be handed out again.
    AllocateProducerIds {
        /// How many.
        count: u32,
    },
    /// Give a topic other settings. The number of partitions stays.
    ConfigureTopic {
        /// Its name.
        name: TopicName,
        /// All of its settings.
        config: TopicConfig,
    },
    /// Give a topic more partitions, behind those that it has.
    AddPartitions {
        /// Its name.
        name: TopicName,
        /// How many it has: the command is meant for no other state.
        partitions: u32,
        /// Which life of its log each new partition begins; for a mirror, the source's.
        incarnations: Vec<Incarnation>,
    },
    /// Attach a plugin after those already there. One that is attached at the same topic and hook
    /// is replaced, and keeps its place.
    Attach(Attachment),
}

/// What a command that was not rejected did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// What it says.
    Done,
    /// Nothing: it was so already.
    Unchanged,
    /// It put an attachment in another's place.
    Replaced(Box<Attachment>),
    /// It deleted this topic.
    Deleted(Arc<Topic>),
    /// It set producer ids aside.
    ProducerIds {
        /// The first of them.
        first: ProducerId,
        /// How many there are.
        count: u32,
    },
}
