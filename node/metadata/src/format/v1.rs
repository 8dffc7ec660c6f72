//! Attachments as they were written before they had more than ingest to say.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_types::{
    Attachment, ByteSize, Hook, PluginHash, PluginLimits, PluginName, PoisonPolicy, TopicName,
};

/// An attachment of version 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttachmentV1 {
    topic: TopicName,
    hook: Hook,
    plugin: PluginName,
    hash: PluginHash,
    config: String,
    policy: PoisonPolicy,
    limits: LimitsV1,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct LimitsV1 {
    batch_time: Duration,
    memory: ByteSize,
    output: ByteSize,
}

impl From<AttachmentV1> for Attachment {
    fn from(old: AttachmentV1) -> Attachment {
        let AttachmentV1 { topic, hook, plugin, hash, config, policy, limits } = old;
        let LimitsV1 { batch_time, memory, output } = limits;
        let limits = PluginLimits { batch_time, memory, output, ..PluginLimits::default() };
        Attachment {
            topic,
            hook,
            plugin,
            hash,
            config,
            policy,
            limits,
            derive: None,
            canary: None,
            previous: None,
        }
    }
}
