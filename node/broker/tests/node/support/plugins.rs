//! Installing and attaching plugins.

use std::time::Duration;

use bytes::Bytes;
use tidegate_client::RequestError;
use tidegate_types::{
    Attachment, DeriveSpec, Hook, PartitionId, PluginHash, PluginLimits, PluginName, PoisonPolicy,
};
use tidegate_wire::{AttachRequest, AttachmentStatus};

use super::{TestNode, topic};

/// How a plugin is to be attached.
pub struct Attach<'a> {
    pub topic: &'a str,
    pub plugin: &'a str,
    pub hash: Option<PluginHash>,
    pub config: &'a str,
    pub policy: PoisonPolicy,
    /// The topic to derive to; at the hook ingest where `None`.
    pub to: Option<&'a str>,
    pub table: Option<&'a str>,
    pub canary: Vec<PartitionId>,
    pub failures: u32,
    /// For a batch.
    pub time: Duration,
    /// Ingest, or derive with a target, where `None`.
    pub hook: Option<Hook>,
}

impl<'a> Attach<'a> {
    pub fn new(topic: &'a str, plugin: &'a str, config: &'a str) -> Attach<'a> {
        Attach {
            topic,
            plugin,
            hash: None,
            config,
            policy: PoisonPolicy::Skip,
            to: None,
            table: None,
            canary: Vec::new(),
            failures: 100,
            // A busy machine must not make a plugin fail that does what it should.
            time: Duration::from_secs(60),
            hook: None,
        }
    }

    pub fn policy(self, policy: PoisonPolicy) -> Attach<'a> {
        Attach { policy, ..self }
    }

    pub fn hook(self, hook: Hook) -> Attach<'a> {
        Attach { hook: Some(hook), ..self }
    }

    pub fn failures(self, failures: u32) -> Attach<'a> {
        Attach { failures, ..self }
    }

    pub fn time(self, time: Duration) -> Attach<'a> {
        Attach { time, ..self }
    }

    pub fn derive_to(self, to: &'a str) -> Attach<'a> {
        Attach { to: Some(to), ..self }
    }
}

/// The same component under another hash: it has one more section, which nobody reads.
pub fn variant(component: &[u8]) -> Bytes {
    const SECTION: &[u8] = b"\0\x06\x05other";
    [component, SECTION].concat().into()
}

impl TestNode {
    /// Installs a component, and gives its hash.
    pub async fn install(&self, name: &str, component: impl Into<Bytes>) -> PluginHash {
        let installed = self.client.install_plugin(plugin(name), component).await.unwrap();
        installed.version.hash
    }

    /// Installs a stock plugin under its own name.
    pub async fn install_stock(&self, name: &str) {
        self.install(name, tidegate_stock_plugins::find(name).unwrap().component()).await;
    }

    pub async fn attach(&self, attach: Attach<'_>) -> Attachment {
        self.try_attach(attach).await.unwrap()
    }

    pub async fn try_attach(&self, attach: Attach<'_>) -> Result<Attachment, RequestError> {
        let limits = PluginLimits {
            batch_time: attach.time,
            failures: attach.failures,
            ..PluginLimits::default()
        };
        let request = AttachRequest {
            topic: topic(attach.topic),
            hook: attach.hook.unwrap_or(match attach.to {
                Some(_) => Hook::Derive,
                None => Hook::Ingest,
            }),
            plugin: plugin(attach.plugin),
            hash: attach.hash,
            config: attach.config.to_owned(),
            policy: attach.policy,
            limits,
            derive: attach.to.map(|to| DeriveSpec {
                to: topic(to),
                table: attach.table.map(topic),
                from_end: false,
                life: 0,
            }),
            canary: attach.canary,
        };
        self.client.attach_plugin(request).await
    }

    pub async fn detach(&self, name: &str, from: &str) {
        self.detach_at(name, from, Hook::Ingest).await;
    }

    pub async fn detach_at(&self, name: &str, from: &str, hook: Hook) {
        self.client.detach_plugin(topic(from), hook, plugin(name)).await.unwrap();
    }

    /// How the only attachment of a plugin does.
    pub async fn attachment(&self, name: &str) -> AttachmentStatus {
        let mut shown = self.client.show_plugin(plugin(name)).await.unwrap();
        assert_eq!(shown.attachments.len(), 1, "{name} is attached once");
        shown.attachments.remove(0)
    }
}

fn plugin(name: &str) -> PluginName {
    name.parse().unwrap()
}
