//! Plugins of this node: installed, attached, and how they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_metadata::{Command, Image, Outcome};
use tidegate_plugin::{InstallError, Limits, Plugin};
use tidegate_types::{
    Attachment, Canary, DeriveSpec, Hook, PartitionId, PluginHash, PluginName, PluginVersion,
    PoisonPolicy, Previous, TopicId, TopicName, limits,
};
use tidegate_wire::{
    AttachRequest, AttachmentStatus, ErrorBody, ErrorCode, InstallReport, PluginDescription,
};

use crate::hook::{Chain, Slot, Stage};
use crate::internal::refuse_internal;
use crate::topic::{LeavingChains, Topic};
use crate::{Broker, PluginConfig, admin, error};

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
    let signed_by = signed_by(&broker.config.plugins, &name, &component)?;
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
        let chains = chains(broker, &topic);
        let mut stages = chains.iter().flat_map(|chain| chain.stages());
        if stages.any(|(stage, _)| stage.attachment.hash == version.hash && !stage.is_loaded()) {
            refresh(broker, &topic);
        }
    }
    let compile_ms = u64::try_from(installed.compile.as_millis()).unwrap_or(u64::MAX);
    Ok(InstallReport { version, compile_ms, already: outcome == Outcome::Unchanged, signed_by })
}

/// Who signed a component: a publisher's name, or else the key; refused where that does not do.
fn signed_by(
    config: &PluginConfig,
    name: &PluginName,
    component: &[u8],
) -> Result<Option<String>, ErrorBody> {
    let refused = |why: String| {
        let message = format!("plugin {name} is not let in: {why}");
        ErrorBody::new(ErrorCode::NotAuthorized, message)
    };
    let signer = tidegate_plugin::signer(component).map_err(|wrong| refused(wrong.to_string()))?;
    let known = |key| config.publishers.iter().find(|publisher| publisher.key == key);
    match (signer, signer.and_then(known)) {
        (_, Some(publisher)) => Ok(Some(publisher.name.clone())),
        (Some(key), None) if config.require_signature => {
            Err(refused(format!("it is signed by {key}, who is none of plugins.publishers")))
        }
        (None, None) if config.require_signature => {
            let how = "sign it with 'tidegate plugin sign'";
            Err(refused(format!("it is not signed, and plugins.require_signature is set: {how}")))
        }
        (key, None) => Ok(key.map(|key| key.to_string())),
    }
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
    let hash = version_of(&image, &request.plugin, request.hash)?;
    for partition in &request.canary {
        topic.chosen(Some(*partition))?;
    }
    for name in request.derive.iter().flat_map(|spec| std::iter::once(&spec.to).chain(&spec.table))
    {
        refuse_internal(name, "derived to or looked up")?;
    }
    let before = image
        .attachments(&request.topic, request.hook)
        .find(|known| known.plugin == request.plugin)
        .cloned();
    let config = if request.config.trim().is_empty() { "{}".to_owned() } else { request.config };
    let attachment = Attachment {
        topic: request.topic,
        hook: request.hook,
        plugin: request.plugin,
        hash,
        config,
        policy: request.policy,
        limits: request.limits,
        derive: request.derive,
        canary: None,
        previous: None,
    };
    if matches!(attachment.hook, Hook::Link | Hook::Read) {
        check_leaving(&attachment)?;
    }
    try_configure(broker, attachment.clone()).await?;
    let mut attachment = change(attachment, before, request.canary)?;
    if let Some(spec) = &mut attachment.derive {
        // Those with the same target run as one.
        let others = image.attachments(&attachment.topic, Hook::Derive);
        let mut others = others.filter_map(|other| other.derive.as_ref());
        let same = others.find(|other| other.to == spec.to);
        spec.life = match same {
            Some(same) if spec.table.is_some() && same.table != spec.table => {
                let message = format!(
                    "what derives to {} from {} has another table, or none: detach it first",
                    spec.to, attachment.topic
                );
                return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
            }
            Some(same) => same.life,
            // Random bits, from where the node has them.
            None => TopicId::random().0.as_u64_pair().1,
        };
    }
    submit(broker, &topic, attachment).await
}

/// The version that is asked for, or the newest.
pub(crate) fn version_of(
    image: &Image,
    plugin: &PluginName,
    hash: Option<PluginHash>,
) -> Result<PluginHash, ErrorBody> {
    let versions = image.plugin(plugin);
    let newest = versions.first().ok_or_else(|| error::unknown_plugin(plugin))?;
    let Some(hash) = hash else { return Ok(newest.hash) };
    if versions.iter().any(|version| version.hash == hash) {
        return Ok(hash);
    }
    let message = format!("plugin {plugin} has no version {}", hash.short());
    Err(ErrorBody::new(ErrorCode::UnknownPlugin, message))
}

/// What leaves can be read any number of times: there is no place for its dead letters.
fn check_leaving(attachment: &Attachment) -> Result<(), ErrorBody> {
    if attachment.policy == PoisonPolicy::DeadLetter {
        let message = format!(
            "at the hook {} a record that fails is left out or halts the reader: \
             choose --on-error skip or halt",
            attachment.hook
        );
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// What an attachment becomes that somebody asks for, beside one that is there.
fn change(
    mut wanted: Attachment,
    before: Option<Attachment>,
    canary: Vec<PartitionId>,
) -> Result<Attachment, ErrorBody> {
    let Some(before) = before else {
        if canary.is_empty() {
            return Ok(wanted);
        }
        let message = format!(
            "plugin {} is not attached to {} yet: a version goes on trial beside another",
            wanted.plugin, wanted.topic
        );
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
    };
    let moved = |a: &DeriveSpec, b: &DeriveSpec| a.to != b.to || a.table != b.table;
    if let (Some(spec), Some(now)) = (&before.derive, &wanted.derive)
        && moved(spec, now)
    {
        let message = format!(
            "plugin {} derives from {} to {} already: detach it first",
            wanted.plugin, wanted.topic, spec.to
        );
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
    }
    if !canary.is_empty() {
        let Attachment { hash, config, .. } = wanted;
        return Ok(Attachment {
            canary: Some(Canary { hash, config, partitions: canary }),
            ..before
        });
    }
    let same = before.hash == wanted.hash && before.config == wanted.config;
    wanted.previous = if same {
        before.previous
    } else {
        Some(Previous { hash: before.hash, config: before.config })
    };
    Ok(wanted)
}

/// Makes an attachment what runs, and lets it run again if it was paused.
async fn submit(
    broker: &Arc<Broker>,
    topic: &Arc<Topic>,
    attachment: Attachment,
) -> Result<Attachment, ErrorBody> {
    broker.submit_command(Command::Attach(attachment.clone())).await?;
    for chain in chains(broker, topic) {
        let mut stages = chain.stages().map(|(stage, _)| stage);
        if let Some(stage) = stages.find(|stage| stage.attachment.plugin == attachment.plugin) {
            stage.resume();
        }
    }
    refresh(broker, topic);
    Ok(attachment)
}

/// What runs on a topic's way, at every hook.
fn chains(broker: &Broker, topic: &Topic) -> Vec<Arc<Chain>> {
    let derives = broker.derive.chains().into_iter().filter(|(p, _)| p.topic.id == topic.id);
    let leaving = topic.leaving.load_full();
    let chains = topic.chain.load_full().into_iter().chain(derives.map(|(_, chain)| chain));
    chains.chain(leaving.chains().cloned()).collect()
}

/// Goes back to what an attachment was before, or ends a trial.
pub(crate) async fn rollback(
    broker: &Arc<Broker>,
    topic: &TopicName,
    hook: Hook,
    plugin: &PluginName,
) -> Result<Attachment, ErrorBody> {
    let _guard = broker.changing.lock().await;
    let running = admin::find(broker, topic)?;
    let image = broker.metadata.image();
    let Some(now) = image.attachments(topic, hook).find(|known| known.plugin == *plugin) else {
        let message =
            format!("plugin {plugin} is not attached to topic {topic} at the {hook} hook");
        return Err(ErrorBody::new(ErrorCode::UnknownAttachment, message));
    };
    let mut now = now.clone();
    if now.canary.take().is_none() {
        let Some(Previous { hash, config }) = now.previous.take() else {
            let message = format!("plugin {plugin} had no other version on topic {topic} before");
            return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
        };
        now.previous = Some(Previous { hash: now.hash, config: now.config });
        (now.hash, now.config) = (hash, config);
    }
    submit(broker, &running, now).await
}

/// Removes versions of a plugin that nothing uses.
pub(crate) async fn remove(
    broker: &Arc<Broker>,
    name: PluginName,
    hash: Option<PluginHash>,
) -> Result<(), ErrorBody> {
    let _guard = broker.changing.lock().await;
    let versions = broker.metadata.image().plugin(&name).to_vec();
    let (image, _) = broker.submit_command(Command::RemovePlugin { name, hash }).await?;
    let gone = versions.into_iter().map(|version| version.hash).filter(|gone| {
        // Another name may have the same component.
        hash.is_none_or(|hash| hash == *gone)
            && !image.plugins().any(|(_, versions)| versions.iter().any(|v| v.hash == *gone))
    });
    let gone: Vec<_> = gone.collect();
    let host = broker.clone();
    let removing = tokio::task::spawn_blocking(move || {
        gone.iter().try_for_each(|hash| host.plugins.remove(hash).map(drop))
    });
    match removing.await {
        Ok(Ok(())) => Ok(()),
        // It is forgotten all the same; its files only take room.
        Ok(Err(failed)) => Err(error::internal("removing the plugin's files", &failed)),
        Err(stopped) => Err(error::internal("removing the plugin's files", &stopped)),
    }
}

/// Makes an instance once, so that a wrong configuration is refused here and not at a record.
async fn try_configure(broker: &Arc<Broker>, attachment: Attachment) -> Result<(), ErrorBody> {
    let broker = broker.clone();
    let trying = tokio::task::spawn_blocking(move || {
        let plugin = broker
            .plugins
            .load(&attachment.hash)
            .map_err(|e| error::internal("loading the plugin", &e))?;
        let limits = Limits::from(&attachment.limits);
        plugin.instantiate(&attachment.config, limits).map(drop).map_err(|refusal| {
            let message = format!("plugin {}: {refusal}", attachment.plugin);
            ErrorBody::new(ErrorCode::InvalidPluginConfig, message)
        })
    });
    trying.await.map_err(|stopped| error::internal("trying the plugin", &stopped))?
}

/// Puts what runs on the topic in line with the metadata. Attachments that did not change keep
/// their instances and counts; a plugin that could not be loaded is tried again.
pub(crate) fn refresh(broker: &Arc<Broker>, topic: &Arc<Topic>) {
    let image = broker.metadata.image();
    let before = topic.chain.load_full();
    let attachments: Vec<_> = image.attachments(&topic.name, Hook::Ingest).cloned().collect();
    let chain = chain_of(broker, attachments, before.as_deref());
    topic.chain.store(chain.map(Arc::new));
    let before = topic.leaving.load_full();
    let linked = image.attachments(&topic.name, Hook::Link).cloned().collect();
    let link = chain_of(broker, linked, before.link.as_deref()).map(Arc::new);
    let read = image.attachments(&topic.name, Hook::Read).filter_map(|attachment| {
        let before = before.read.get(&attachment.plugin);
        let chain = chain_of(broker, vec![attachment.clone()], before.map(|chain| &**chain))?;
        Some((attachment.plugin.clone(), Arc::new(chain)))
    });
    let read: BTreeMap<_, _> = read.collect();
    let renamed = !read.keys().eq(before.read.keys());
    topic.leaving.store(Arc::new(LeavingChains { link, read }));
    if renamed {
        broker.topics.name_aliases(topic);
    }
    broker.derive.refresh(broker, topic);
}

/// The chain of these attachments, with the stages of the one before it where they are the same.
pub(crate) fn chain_of(
    broker: &Broker,
    attachments: Vec<Attachment>,
    before: Option<&Chain>,
) -> Option<Chain> {
    let stage = |attachment: Attachment| {
        let mut kept = before.iter().flat_map(|chain| chain.stages()).map(|(stage, _)| stage);
        match kept.find(|stage| stage.attachment == attachment && stage.is_loaded()) {
            Some(stage) => stage.clone(),
            None => {
                let plugin = load(broker, attachment.hash);
                Arc::new(Stage::new(attachment, plugin))
            }
        }
    };
    let slot = |mut attachment: Attachment| {
        attachment.previous = None;
        let canary = attachment.canary.take().map(|canary| {
            let Canary { hash, config, partitions } = canary;
            (partitions, stage(Attachment { hash, config, ..attachment.clone() }))
        });
        Slot { main: stage(attachment), canary }
    };
    let slots: Vec<_> = attachments.into_iter().map(slot).collect();
    (!slots.is_empty()).then(|| Chain::new(slots, broker.back_row.clone()))
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
    let statuses = |chain: &Chain| -> Vec<AttachmentStatus> {
        chain.stages().map(|(stage, partitions)| stage.status(partitions)).collect()
    };
    let topics = broker.topics.all();
    let mut all = Vec::new();
    for topic in topics {
        all.extend(topic.chain.load_full().iter().flat_map(|chain| statuses(chain)));
        all.extend(topic.leaving.load().chains().flat_map(|chain| statuses(chain)));
    }
    for (pipeline, chain) in broker.derive.chains() {
        all.extend(statuses(&chain).into_iter().map(|mut status| {
            status.derived = pipeline.positions();
            status
        }));
    }
    all
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
