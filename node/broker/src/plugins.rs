//! Plugins of this node: installed, attached, and how they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_metadata::{Command, Outcome};
use tidegate_plugin::{InstallError, Limits, Plugin};
use tidegate_types::{
    Attachment, Hook, PluginHash, PluginLimits, PluginName, PluginVersion, limits,
};
use tidegate_wire::{
    AttachRequest, AttachmentStatus, ErrorBody, ErrorCode, InstallReport, PluginDescription,
};

use crate::groups::refuse_internal;
use crate::ingest::{Chain, Stage};
use crate::topic::Topic;
use crate::{Broker, admin, error};

/// Compiles a component and keeps it under `name`.
pub(crate) async fn install(
    broker: &Arc<Broker>,
    name: PluginName,
    component: Bytes,
) -> Result<InstallReport, ErrorBody> {
    if component.len() > limits::MAX_PLUGIN.as_usize() {
        let message = format!(
            "the component is {} bytes long, at most {} is allowed",
            component.len(),
            limits::MAX_PLUGIN
        );
        return Err(ErrorBody::new(ErrorCode::TooLarge, message));
    }
    let _guard = broker.changing.lock().await;
    let host = broker.clone();
    // Seconds for a large component: not on a thread that serves others.
    let compiling = tokio::task::spawn_blocking(move || host.plugins.install(&component));
    let installed = match compiling.await {
        Ok(Ok(installed)) => installed,
        Ok(Err(InstallError::Store(cause))) => {
            return Err(error::internal("storing the plugin", &cause));
        }
        Ok(Err(refusal)) => {
            let message = format!("plugin {name} cannot be installed: {refusal}");
            return Err(ErrorBody::new(ErrorCode::InvalidPlugin, message));
        }
        Err(stopped) => return Err(error::internal("compiling the plugin", &stopped)),
    };
    let version = PluginVersion {
        name,
        hash: installed.hash,
        kind: installed.kind,
        contract: format!("tidegate:plugin@{}", installed.version),
        size: installed.size,
    };
    let (_, outcome) = broker.submit_command(Command::InstallPlugin(version.clone())).await?;
    // Topics that were halted for want of it go on.
    for topic in broker.topics.all() {
        let chain = topic.chain.load_full();
        let mut stages = chain.iter().flat_map(|chain| &chain.stages);
        if stages.any(|stage| stage.attachment.hash == version.hash && !stage.is_loaded()) {
            refresh(broker, &topic);
        }
    }
    let compile_ms = u64::try_from(installed.compile.as_millis()).unwrap_or(u64::MAX);
    Ok(InstallReport { version, compile_ms, already: outcome == Outcome::Unchanged })
}

/// Attaches a plugin to a topic; batches staged from now on run through it.
pub(crate) async fn attach(
    broker: &Arc<Broker>,
    request: AttachRequest,
) -> Result<Attachment, ErrorBody> {
    refuse_internal(&request.topic, "given plugins")?;
    let _guard = broker.changing.lock().await;
    let topic = admin::find(broker, &request.topic)?;
    let image = broker.metadata.image();
    let versions = image.plugin(&request.plugin);
    let hash = match request.hash {
        Some(hash) => hash,
        None => versions.first().ok_or_else(|| error::unknown_plugin(&request.plugin))?.hash,
    };
    if !versions.iter().any(|version| version.hash == hash) {
        let message = format!("plugin {} has no version {}", request.plugin, hash.short());
        return Err(ErrorBody::new(ErrorCode::UnknownPlugin, message));
    }
    let attachment = Attachment {
        topic: request.topic,
        hook: request.hook,
        plugin: request.plugin,
        hash,
        config: if request.config.trim().is_empty() { "{}".to_owned() } else { request.config },
        policy: request.policy,
        limits: request.limits,
    };
    try_configure(broker, attachment.clone()).await?;
    broker.submit_command(Command::Attach(attachment.clone())).await?;
    refresh(broker, &topic);
    Ok(attachment)
}

/// Makes an instance once, so that a wrong configuration is refused here and not at a record.
async fn try_configure(broker: &Arc<Broker>, attachment: Attachment) -> Result<(), ErrorBody> {
    let broker = broker.clone();
    let trying = tokio::task::spawn_blocking(move || {
        let plugin = broker
            .plugins
            .load(&attachment.hash)
            .map_err(|e| error::internal("loading the plugin", &e))?;
        let limits = limits_of(&attachment.limits);
        plugin.instantiate(&attachment.config, limits).map(drop).map_err(|refusal| {
            let message = format!("plugin {}: {refusal}", attachment.plugin);
            ErrorBody::new(ErrorCode::InvalidPluginConfig, message)
        })
    });
    trying.await.map_err(|stopped| error::internal("trying the plugin", &stopped))?
}

pub(crate) fn limits_of(limits: &PluginLimits) -> Limits {
    Limits { batch_time: limits.batch_time, memory: limits.memory, output: limits.output }
}

/// Puts the topic's chain in line with the metadata. Attachments that did not change keep their
/// instances and counts; a plugin that could not be loaded is tried again.
pub(crate) fn refresh(broker: &Broker, topic: &Topic) {
    let image = broker.metadata.image();
    let before = topic.chain.load_full();
    let stages: Vec<Arc<Stage>> = image
        .attachments(&topic.name, Hook::Ingest)
        .map(|attachment| {
            let kept = before.iter().flat_map(|chain| &chain.stages);
            let same = |stage: &&Arc<Stage>| stage.attachment == *attachment && stage.is_loaded();
            match kept.into_iter().find(same) {
                Some(stage) => stage.clone(),
                None => Arc::new(Stage::new(attachment.clone(), load(broker, attachment.hash))),
            }
        })
        .collect();
    let chain = (!stages.is_empty()).then(|| Arc::new(Chain::new(stages)));
    topic.chain.store(chain);
}

/// A plugin that cannot be loaded halts its topic: its records must not pass unseen.
fn load(broker: &Broker, hash: PluginHash) -> Result<Arc<Plugin>, String> {
    broker.plugins.load(&hash).map_err(|failure| {
        tracing::error!(%failure, "an attached plugin cannot be loaded");
        failure.to_string()
    })
}

/// How all attachments of this node do.
pub(crate) fn statuses(broker: &Broker) -> Vec<AttachmentStatus> {
    let topics = broker.topics.all();
    topics
        .iter()
        .filter_map(|topic| topic.chain.load_full())
        .flat_map(|chain| chain.stages.iter().map(|stage| stage.status()).collect::<Vec<_>>())
        .collect()
}

/// All plugins with their versions.
pub(crate) fn list(broker: &Broker) -> Vec<PluginDescription> {
    let mut attached: BTreeMap<PluginName, Vec<AttachmentStatus>> = BTreeMap::new();
    for status in statuses(broker) {
        attached.entry(status.attachment.plugin.clone()).or_default().push(status);
    }
    broker
        .metadata
        .image()
        .plugins()
        .map(|(name, versions)| PluginDescription {
            name: name.clone(),
            versions: versions.to_vec(),
            attachments: attached.remove(name).unwrap_or_default(),
        })
        .collect()
}

/// One plugin.
pub(crate) fn show(broker: &Broker, name: &PluginName) -> Result<PluginDescription, ErrorBody> {
    let image = broker.metadata.image();
    let versions = image.plugin(name).to_vec();
    if versions.is_empty() {
        return Err(error::unknown_plugin(name));
    }
    let mut attachments = statuses(broker);
    attachments.retain(|status| status.attachment.plugin == *name);
    Ok(PluginDescription { name: name.clone(), versions, attachments })
}
