//! Requests that are asked and answered once.

use serde::{Deserialize, Serialize};
use tidegate_types::{
    Attachment, DeriveSpec, Hook, Incarnation, LeaderEpoch, LinkName, LinkSpec, Offset,
    PartitionId, PluginHash, PluginLimits, PluginName, PluginVersion, PoisonPolicy, ProducerEpoch,
    ProducerId, Secret, SiteName, StartPosition, TopicConfig, TopicId, TopicName,
};

use super::{
    AttachmentStatus, DryRunReport, DryRunRequest, ErrorBody, GroupDescription, GroupList,
    LinkStatus, NodeStatus,
};

/// A question or a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// How is the node?
    Status,
    /// Hand out or renew a producer's identity.
    InitProducer(InitProducer),
    /// Make a topic.
    CreateTopic {
        /// Its name.
        name: TopicName,
        /// Its settings.
        config: TopicConfig,
        /// Answer with the existing topic, if there is one, instead of an error.
        if_not_exists: bool,
    },
    /// All topics.
    ListTopics,
    /// One topic.
    DescribeTopic(TopicName),
    /// Delete a topic and its records.
    DeleteTopic(TopicName),
    /// Install a plugin; the payload is the component.
    InstallPlugin(PluginName),
    /// All plugins.
    ListPlugins,
    /// One plugin.
    ShowPlugin(PluginName),
    /// Attach a plugin to a topic, or change how it is attached there.
    AttachPlugin(AttachRequest),
    /// Detach it.
    DetachPlugin {
        /// The topic.
        topic: TopicName,
        /// The hook.
        hook: Hook,
        /// The plugin.
        plugin: PluginName,
    },
    /// Let another site copy its topics here: issue a certificate for it.
    InviteSite(SiteName),
    /// Begin a link to another site; a topic in it that does not exist is refused.
    AddLink(LinkSpec),
    /// All links.
    ListLinks,
    /// One link.
    LinkStatus(LinkName),
    /// End a link. What was copied stays there.
    RemoveLink(LinkName),
    /// Change a topic's settings.
    ConfigureTopic {
        /// Its name.
        name: TopicName,
        /// Names and new values; see [`TopicConfig::set`].
        settings: Vec<(String, String)>,
    },
    /// Remove a topic's records from the start.
    TrimTopic {
        /// Its name.
        name: TopicName,
        /// The partition; all of them where `None`.
        partition: Option<PartitionId>,
        /// The first record that stays. Gone for good are those before it.
        to: StartPosition,
    },
    /// All consumer groups.
    ListGroups,
    /// One consumer group.
    DescribeGroup(String),
    /// Move a consumer group that has no members to another place in a topic.
    SeekGroup {
        /// The group.
        group: String,
        /// The topic.
        topic: TopicName,
        /// The partition; all of them where `None`.
        partition: Option<PartitionId>,
        /// The next record that the group reads.
        to: StartPosition,
    },
    /// Delete a consumer group that has no members, and its offsets.
    DeleteGroup(String),
    /// Go back to the version and configuration that an attachment had before; end a trial, if
    /// there is one.
    RollbackPlugin {
        /// The topic.
        topic: TopicName,
        /// The hook.
        hook: Hook,
        /// The plugin.
        plugin: PluginName,
    },
    /// Remove a plugin that is not attached anywhere.
    RemovePlugin {
        /// Its name.
        name: PluginName,
        /// The version; all of them where `None`.
        hash: Option<PluginHash>,
    },
    /// What would a version of a plugin make of records that are there?
    DryRun(DryRunRequest),
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Response {
    /// Done, with nothing to tell.
    Done,
    /// To [`Request::Status`].
    Status(NodeStatus),
    /// To [`Request::InitProducer`].
    Producer(ProducerIdentity),
    /// To [`Request::CreateTopic`], [`Request::DescribeTopic`], [`Request::ConfigureTopic`] and
    /// [`Request::TrimTopic`].
    Topic(TopicDescription),
    /// To [`Request::ListTopics`].
    Topics(Vec<TopicDescription>),
    /// To [`Request::InstallPlugin`].
    Installed(InstallReport),
    /// To [`Request::ShowPlugin`].
    Plugin(PluginDescription),
    /// To [`Request::ListPlugins`].
    Plugins(Vec<PluginDescription>),
    /// To [`Request::AttachPlugin`] and [`Request::RollbackPlugin`].
    Attached(Attachment),
    /// To [`Request::InviteSite`].
    Invitation(Invitation),
    /// To [`Request::LinkStatus`].
    Link(LinkStatus),
    /// To [`Request::ListLinks`].
    Links(Vec<LinkStatus>),
    /// It could not be done.
    Failed(ErrorBody),
    /// To [`Request::ListGroups`].
    Groups(GroupList),
    /// To [`Request::DescribeGroup`] and [`Request::SeekGroup`].
    Group(GroupDescription),
    /// To [`Request::DryRun`].
    DryRun(DryRunReport),
}

/// Asks for an identity under which retries are recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InitProducer {
    /// The identity held so far; the answer has its next epoch, or a new id where epochs ran out.
    pub previous: Option<ProducerIdentity>,
}

/// A producer id with its epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProducerIdentity {
    /// The id.
    pub id: ProducerId,
    /// Its generation.
    pub epoch: ProducerEpoch,
}

/// A topic and the state of its partitions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Its settings.
    pub config: TopicConfig,
    /// The site that it is a mirror of.
    pub mirror_of: Option<SiteName>,
    /// Plugins on its way.
    pub attachments: Vec<Attachment>,
    /// Its partitions.
    pub partitions: Vec<PartitionDescription>,
}

/// One partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartitionDescription {
    /// The partition.
    pub partition: PartitionId,
    /// Which life of the log this is; of the source's log for a mirror.
    pub incarnation: Incarnation,
    /// First readable offset.
    pub log_start: Offset,
    /// End of what consumers may see.
    pub high_watermark: Offset,
    /// End of what is fsynced.
    pub durable: Offset,
    /// Next offset to be written.
    pub log_end: Offset,
    /// Epoch of the last record.
    pub leader_epoch: LeaderEpoch,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Why the log is sealed, if it is.
    pub sealed: Option<String>,
    /// Damaged ranges: first offset, and the offset after the last one.
    pub damage: Vec<(Offset, Offset)>,
}

/// What an install did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstallReport {
    /// The version.
    pub version: PluginVersion,
    /// Time spent compiling, in milliseconds.
    pub compile_ms: u64,
    /// Whether this very version was installed already.
    pub already: bool,
    /// Who signed it: the publisher's name, or the key where the node knows no name for it.
    pub signed_by: Option<String>,
}

/// A plugin with its versions and where it runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PluginDescription {
    /// Its name.
    pub name: PluginName,
    /// Its versions, newest first.
    pub versions: Vec<PluginVersion>,
    /// Where it is attached, and how it does there.
    pub attachments: Vec<AttachmentStatus>,
}

/// Asks to attach a plugin to a topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttachRequest {
    /// The topic.
    pub topic: TopicName,
    /// The hook.
    pub hook: Hook,
    /// The plugin.
    pub plugin: PluginName,
    /// The version; the newest where `None`.
    pub hash: Option<PluginHash>,
    /// Its configuration, JSON text.
    pub config: String,
    /// What becomes of records on which it fails.
    pub policy: PoisonPolicy,
    /// What it may use.
    pub limits: PluginLimits,
    /// Where it derives to; at the hook derive, and nowhere else.
    pub derive: Option<DeriveSpec>,
    /// Only these partitions get the version and the configuration, and what is attached already
    /// keeps the others; all of them where it is empty.
    pub canary: Vec<PartitionId>,
}

impl AttachRequest {
    /// The newest version at the hook ingest with an empty configuration and the default limits;
    /// what it fails on becomes a dead letter.
    #[must_use]
    pub fn new(topic: TopicName, plugin: PluginName) -> AttachRequest {
        AttachRequest {
            topic,
            hook: Hook::Ingest,
            plugin,
            hash: None,
            config: "{}".to_owned(),
            policy: PoisonPolicy::DeadLetter,
            limits: PluginLimits::default(),
            derive: None,
            canary: Vec::new(),
        }
    }
}

/// What a site needs to copy its topics to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invitation {
    /// The invited site.
    pub site: SiteName,
    /// The inviting site.
    pub from: SiteName,
    /// PEM of the inviting site's authority.
    pub authority: String,
    /// PEM of the certificate for the link.
    pub certificate: String,
    /// PEM of its private key.
    pub key: Secret,
}
