//! Why a command is not carried out.

use tidegate_types::{
    ByteSize, Hook, LinkName, PluginHash, PluginName, SiteName, TopicId, TopicName,
};

/// Why a command was rejected. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// The command was applied before; only the owner of the log can cause this.
    #[error("command {index} comes after command {applied}, which is applied already")]
    Stale {
        /// The index given.
        index: u64,
        /// The last index applied.
        applied: u64,
    },
    /// A topic of that name exists.
    #[error("topic {name} exists already: choose another name, or delete it first")]
    TopicExists {
        /// The name.
        name: TopicName,
    },
    /// A topic with that id exists.
    #[error(
        "topic id {id} belongs to {name} already: a topic cannot be mirrored to its own site, \
         nor twice under different names"
    )]
    TopicIdExists {
        /// The id.
        id: TopicId,
        /// The topic that has it.
        name: TopicName,
    },
    /// A user's topic with a slash in its name.
    #[error("topic name {name} has a '/', which only mirrors have: use a '.' or '-' instead")]
    MirrorName {
        /// The name.
        name: TopicName,
    },
    /// A mirror without its site's name before it.
    #[error("a mirror from site {site} cannot be named {name}: it must begin with \"{site}/\"")]
    NotMirrorName {
        /// The name.
        name: TopicName,
        /// The site.
        site: SiteName,
    },
    /// No partitions, or too many.
    #[error("topic {name} cannot have {partitions} partitions: use 1 to {max}")]
    PartitionCount {
        /// The topic.
        name: TopicName,
        /// The number asked for.
        partitions: u32,
        /// The largest number.
        max: u32,
    },
    /// Not one incarnation per partition; only the node itself can cause this.
    #[error("topic {name} has {partitions} partitions but {given} incarnations")]
    IncarnationCount {
        /// The topic.
        name: TopicName,
        /// Its partitions.
        partitions: u32,
        /// Incarnations given.
        given: usize,
    },
    /// A segment size out of bounds.
    #[error("topic {name} cannot have segments of {segment}: use {min} to {max}")]
    SegmentSize {
        /// The topic.
        name: TopicName,
        /// The size asked for.
        segment: ByteSize,
        /// The smallest.
        min: ByteSize,
        /// The largest.
        max: ByteSize,
    },
    /// The number of partitions was to be changed, or is another than was thought.
    #[error("topic {name} has {partitions} partitions, which no setting changes")]
    PartitionsFixed {
        /// The topic.
        name: TopicName,
        /// Its partitions.
        partitions: u32,
    },
    /// A mirror that was not to sync.
    #[error(
        "topic {name} is a mirror, which syncs what it copies: its flush setting stays \"always\""
    )]
    MirrorFlush {
        /// The topic.
        name: TopicName,
    },
    /// No such topic.
    #[error("there is no topic {name}: create it first, or check the name with `topic list`")]
    UnknownTopic {
        /// The name.
        name: TopicName,
    },
    /// A link copies the topic.
    #[error("topic {name} is mirrored by link {link}: end that first with `link remove {link}`")]
    TopicMirrored {
        /// The topic.
        name: TopicName,
        /// The link.
        link: LinkName,
    },
    /// Only its link may write to a mirror.
    #[error(
        "topic {name} is a mirror, which only its link writes to: attach {plugin} at its source"
    )]
    ReadOnly {
        /// The topic.
        name: TopicName,
        /// The plugin that was to be attached.
        plugin: PluginName,
    },
    /// No such plugin.
    #[error("there is no plugin {name}: install it first, or check the name with `plugin list`")]
    UnknownPlugin {
        /// The name.
        name: PluginName,
    },
    /// No such version of a plugin.
    #[error("plugin {name} has no version {}: install it first", hash.short())]
    UnknownPluginVersion {
        /// The name.
        name: PluginName,
        /// The version.
        hash: PluginHash,
    },
    /// The plugin is attached.
    #[error(
        "plugin {name} version {} is attached to topic {topic}: detach it there first",
        hash.short()
    )]
    PluginInUse {
        /// The plugin.
        name: PluginName,
        /// The version attached.
        hash: PluginHash,
        /// Where.
        topic: TopicName,
    },
    /// The plugin is not attached there.
    #[error("plugin {plugin} is not attached to topic {topic} at the {hook} hook")]
    UnknownAttachment {
        /// The topic.
        topic: TopicName,
        /// The hook.
        hook: Hook,
        /// The plugin.
        plugin: PluginName,
    },
    /// A target is for the hook derive, and that needs one.
    #[error(
        "plugin {plugin}: the hook derive needs a target topic, other hooks take none ({hook})"
    )]
    DeriveTarget {
        /// The plugin.
        plugin: PluginName,
        /// The hook.
        hook: Hook,
    },
    /// What is derived would come back.
    #[error("topic {topic} cannot be derived to {to}: what goes there comes back to {topic}")]
    DeriveCircle {
        /// Where records come from.
        topic: TopicName,
        /// Where they would go.
        to: TopicName,
    },
    /// Others derive to the topic, or look it up.
    #[error("topic {topic} is derived to from {from} by plugin {plugin}: detach that first")]
    TopicDerived {
        /// The topic.
        topic: TopicName,
        /// The topic whose records go there.
        from: TopicName,
        /// The plugin.
        plugin: PluginName,
    },
    /// The plugin's configuration is too long.
    #[error("the configuration of plugin {plugin} is {len} long, at most {max} is allowed")]
    PluginConfigTooLong {
        /// The plugin.
        plugin: PluginName,
        /// Its length.
        len: ByteSize,
        /// The limit.
        max: ByteSize,
    },
    /// A link of that name exists.
    #[error("link {name} exists already: choose another name, or end it with `link remove {name}`")]
    LinkExists {
        /// The name.
        name: LinkName,
    },
    /// No such link.
    #[error("there is no link {name}: check the name with `link list`")]
    UnknownLink {
        /// The name.
        name: LinkName,
    },
    /// The address cannot be dialled.
    #[error("link {name} cannot dial {address:?}: write it as host:port")]
    LinkAddress {
        /// The link.
        name: LinkName,
        /// The address, cut to a printable length.
        address: String,
    },
    /// A certificate or key is too long to be one.
    #[error("the {what} of link {name} is {len} long, at most {max} is allowed")]
    LinkPemTooLong {
        /// The link.
        name: LinkName,
        /// Which of them.
        what: &'static str,
        /// Its length.
        len: ByteSize,
        /// The limit.
        max: ByteSize,
    },
    /// A mirror would be mirrored again.
    #[error("topic {topic} is itself a mirror: link {name} must begin at the site it comes from")]
    LinkOfMirror {
        /// The link.
        name: LinkName,
        /// The topic.
        topic: TopicName,
    },
    /// A topic is named twice.
    #[error("link {name} names topic {topic} twice: name each topic once")]
    LinkTopicTwice {
        /// The link.
        name: LinkName,
        /// The topic.
        topic: TopicName,
    },
    /// A limit of the image is reached.
    #[error("{what}: {max} is the limit, remove some first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A block of producer ids that is empty or too large.
    #[error("cannot set aside {count} producer ids at once: use 1 to {max}")]
    ProducerIdCount {
        /// The number asked for.
        count: u32,
        /// The largest.
        max: u32,
    },
    /// All producer ids were handed out.
    #[error("all producer ids are used up")]
    ProducerIdsExhausted,
}
