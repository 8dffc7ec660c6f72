//! What users ask for: topics, plugins, attachments and links as plain specifications.
//!
//! The same values travel in admin requests and lie in the metadata image.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keyword::keyword;
use crate::{ByteSize, LinkName, PartitionId, PluginHash, PluginName, SiteName, TopicName};

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
        /// After the append, from one topic into another, each record exactly once.
        Derive = "derive",
        /// As a copy leaves over a link; its offsets stay.
        Link = "link",
        /// As records are served to a reader who names the plugin; their offsets stay.
        Read = "read",
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
    /// Longest run on one batch, in time of a processor; the clock has a tick of 10 ms. While the
    /// plugin waits for a processor it gets up to four times as long.
    pub batch_time: Duration,
    /// Most memory of the guest.
    pub memory: ByteSize,
    /// Most bytes that it may return for one batch.
    pub output: ByteSize,
    /// Most time for each record of a batch, on average; no limit of its own where `None`. A batch
    /// has `batch_time` or this times its records, whichever is less, and never less than 10 ms.
    pub record_time: Option<Duration>,
    /// Most records put out for one record of the input.
    pub fan_out: u32,
    /// Most log lines kept of one batch; others are counted.
    pub log_lines: u32,
    /// Most bytes of state for one partition, keys and values.
    pub state: ByteSize,
    /// After so many failed runs in a row the attachment is paused; never where 0. A run is over a
    /// batch, and over each of its records where that failed; it has failed where the plugin trapped,
    /// ran out of a limit or answered with an error for all of it.
    pub failures: u32,
}

impl PluginLimits {
    /// What a plugin may return for one batch if nobody says otherwise.
    pub const DEFAULT_OUTPUT: ByteSize = ByteSize::mib(16);
}

impl Default for PluginLimits {
    fn default() -> Self {
        PluginLimits {
            batch_time: Duration::from_millis(500),
            memory: ByteSize::mib(64),
            output: PluginLimits::DEFAULT_OUTPUT,
            record_time: None,
            fan_out: 1_000,
            log_lines: 256,
            state: ByteSize::mib(256),
            failures: 100,
        }
    }
}

/// What the hook `derive` needs to know beside the plugin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeriveSpec {
    /// The topic that outputs go to which name no other. Attachments of one topic with the same
    /// target run one after another, over one batch; those with different ones run apart.
    pub to: TopicName,
    /// A topic whose latest values by key the plugin may look up.
    pub table: Option<TopicName>,
    /// Whether records that were there before are left out.
    pub from_end: bool,
    /// Tells this derivation from earlier ones between the two topics. The node sets it.
    pub life: u64,
}

/// Another version on trial.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Canary {
    /// The version.
    pub hash: PluginHash,
    /// Its configuration.
    pub config: String,
    /// The partitions whose records it sees in the other's place.
    pub partitions: Vec<PartitionId>,
}

/// What ran before a change, to go back to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Previous {
    /// The version.
    pub hash: PluginHash,
    /// Its configuration.
    pub config: String,
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
    /// Where it derives to; at the hook derive only.
    pub derive: Option<DeriveSpec>,
    /// Another version that has some of the partitions.
    pub canary: Option<Canary>,
    /// The version before this one.
    pub previous: Option<Previous>,
}

impl Attachment {
    /// The version that sees the records of a partition, and its configuration.
    #[must_use]
    pub fn running(&self, partition: PartitionId) -> (PluginHash, &str) {
        match &self.canary {
            Some(canary) if canary.partitions.contains(&partition) => (canary.hash, &canary.config),
            _ => (self.hash, &self.config),
        }
    }

    /// Whether it uses that version anywhere, now or if it goes back.
    #[must_use]
    pub fn uses(&self, hash: PluginHash) -> bool {
        self.hash == hash
            || self.canary.as_ref().is_some_and(|canary| canary.hash == hash)
            || self.previous.as_ref().is_some_and(|previous| previous.hash == hash)
    }
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
