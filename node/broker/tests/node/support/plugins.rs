//! Installing and attaching plugins.

use std::time::Duration;

use bytes::Bytes;
use tidegate_client::RequestError;
use tidegate_types::{Attachment, Hook, PluginHash, PluginLimits, PluginName, PoisonPolicy};
use tidegate_wire::{AttachRequest, AttachmentStatus};

use super::{TestNode, topic};

/// How a plugin is to be attached.
pub struct Attach<'a> {
    pub topic: &'a str,
    pub plugin: &'a str,
    pub hash: Option<PluginHash>,
    pub config: &'a str,
    pub policy: PoisonPolicy,
}

impl<'a> Attach<'a> {
    pub fn new(topic: &'a str, plugin: &'a str, config: &'a str) -> Attach<'a> {
        Attach { topic, plugin, hash: None, config, policy: PoisonPolicy::Skip }
    }

    pub fn policy(self, policy: PoisonPolicy) -> Attach<'a> {
        Attach { policy, ..self }
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
        // A busy machine must not make a plugin fail that does what it should.
        let limits =
            PluginLimits { batch_time: Duration::from_secs(60), ..PluginLimits::default() };
        let request = AttachRequest {
            topic: topic(attach.topic),
            hook: Hook::Ingest,
            plugin: plugin(attach.plugin),
            hash: attach.hash,
            config: attach.config.to_owned(),
            policy: attach.policy,
            limits,
        };
        self.client.attach_plugin(request).await
    }

    pub async fn detach(&self, name: &str, from: &str) {
        self.client.detach_plugin(topic(from), Hook::Ingest, plugin(name)).await.unwrap();
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
