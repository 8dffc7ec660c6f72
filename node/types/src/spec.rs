//! What users ask for: topics, plugins, attachments and links as plain specifications.
//!
//! The same values travel in admin requests and lie in the metadata image.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keyword::keyword;
use crate::{ByteSize, LinkName, PluginHash, PluginName, SiteName, TopicName};

keyword! {
    /// When a topic's appends are on the disk for sure.
    Flush("flush setting") {
        /// Synced before they are acknowledged to `acks=all`. The default.
        Always = "always",
        /// When the operating system sees fit: a power cut may lose acknowledged records.
        Os = "os",
    }
}

keyword! {
    /// The point in a record's way where a plugin runs.
    Hook("hook") {
        /// Before the append, whatever the listener.
        Ingest = "ingest",
    }
}

keyword! {
    /// Which of the contract's worlds a plugin implements.
    PluginKind("plugin kind") {
        /// Keeps or drops each record.
        Filter = "filter",
        /// Chooses each record's partition.
        Partition = "partition",
        /// Rewrites, drops, splits or routes each record.
        Transform = "transform",
    }
}

keyword! {
    /// What becomes of a record on which a plugin fails.
    PoisonPolicy("poison policy") {
        /// The record is dropped and counted.
        Skip = "skip",
        /// The original goes to `<topic>.dead` with the reason in its headers.
        DeadLetter = "dead-letter",
        /// The whole batch is refused; the producer is told the reason.
        Halt = "halt",
    }
}

/// What one plugin may use on one attachment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PluginLimits {
    /// Longest run on one batch; the clock has a tick of 10 ms.
    pub batch_time: Duration,
    /// Most memory of the guest.
    pub memory: ByteSize,
    /// Most bytes that it may return for one batch.
    pub output: ByteSize,
}

impl Default for PluginLimits {
    fn default() -> Self {
        PluginLimits {
            batch_time: Duration::from_millis(500),
            memory: ByteSize::mib(64),
            output: ByteSize::mib(16),
        }
    }
}

/// A plugin on a topic's way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// The topic whose records it sees.
    pub topic: TopicName,
    /// Where it runs.
    pub hook: Hook,
    /// Which plugin.
    pub plugin: PluginName,
    /// Which version of it.
    pub hash: PluginHash,
    /// Its configuration, JSON text; empty means `{}`.
    pub config: String,
    /// What becomes of records on which it fails.
    pub policy: PoisonPolicy,
    /// What it may use.
    pub limits: PluginLimits,
}

/// An installed version of a plugin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PluginVersion {
    /// Name under which it was installed.
    pub name: PluginName,
    /// Identity of the component.
    pub hash: PluginHash,
    /// The world it implements.
    pub kind: PluginKind,
    /// Contract it was built against, as `tidegate:plugin@0.1.0`.
    pub contract: String,
    /// Size of the component.
    pub size: ByteSize,
}

/// A link to another site: this node dials, and mirrors its topics there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkSpec {
    /// Name of the link on this site.
    pub name: LinkName,
    /// `host:port` of the other site's native listener.
    pub address: String,
    /// The name under which the other site knows this one, fixed by the invitation.
    pub local_site: SiteName,
    /// PEM of the authority that signed the other site's certificate.
    pub authority: String,
    /// PEM of the certificate that the other site issued for this link.
    pub certificate: String,
    /// PEM of that certificate's private key. Never printed or logged.
    pub key: Secret,
    /// Topics to mirror, in order of priority.
    pub topics: Vec<TopicName>,
}

/// Text that must not show in logs or on screens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_round_trip_and_tell_what_is_known() {
        for policy in PoisonPolicy::ALL {
            assert_eq!(policy.as_str().parse::<PoisonPolicy>().unwrap(), *policy);
        }
        let error = "ignore".parse::<PoisonPolicy>().unwrap_err().to_string();
        assert_eq!(error, "\"ignore\" is no poison policy: use one of skip, dead-letter, halt");
    }

    #[test]
    fn a_secret_stays_out_of_debug_output() {
        assert_eq!(format!("{:?}", Secret("k".into())), "[secret]");
    }
}
