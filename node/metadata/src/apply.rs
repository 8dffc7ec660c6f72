//! Carrying commands out, and the rules that they must keep.

use std::sync::Arc;

use tidegate_types::limits::{MAX_PARTITIONS_PER_TOPIC, MAX_PLUGIN_CONFIG};
use tidegate_types::{
    Attachment, ByteSize, DeriveSpec, Flush, Hook, Incarnation, LinkName, LinkSpec, PluginHash,
    PluginName, PluginVersion, ProducerId, TopicConfig, TopicName,
};

use crate::limits::*;
use crate::{Command, Image, Outcome, Rejection, Topic};

impl Image {
    /// Carries out the command at `index` of the log. Equal images stay equal.
    ///
    /// Indices only rise, and may leave gaps: a replicated log has entries of its own. A rejected
    /// command changes nothing but [`Image::applied`], so that every copy agrees on it.
    ///
    /// # Errors
    /// If the command breaks a rule, or `index` was applied before.
    pub fn apply(&mut self, index: u64, command: &Command) -> Result<Outcome, Rejection> {
        if index <= self.applied {
            return Err(Rejection::Stale { index, applied: self.applied });
        }
        self.applied = index;
        match command {
            Command::CreateTopic { name, id, config, mirror_of, incarnations } => self
                .create_topic(Topic {
                    name: name.clone(),
                    id: *id,
                    config: config.clone(),
                    mirror_of: mirror_of.clone(),
                    incarnations: incarnations.clone(),
                }),
            Command::DeleteTopic { name } => self.delete_topic(name),
            Command::InstallPlugin(version) => self.install_plugin(version),
            Command::RemovePlugin { name, hash } => self.remove_plugin(name, *hash),
            Command::AttachV1(old) => self.attach(&Attachment::from(old.clone())),
            Command::Attach(attachment) => self.attach(attachment),
            Command::Detach { topic, hook, plugin } => self.detach(topic, *hook, plugin),
            Command::AddLink(spec) => self.add_link(spec),
            Command::RemoveLink { name } => match self.links.remove(name) {
                Some(_) => Ok(Outcome::Done),
                None => Err(Rejection::UnknownLink { name: name.clone() }),
            },
            Command::SetLinkTopics { name, topics } => self.set_link_topics(name, topics),
            Command::AllocateProducerIds { count } => self.allocate_producer_ids(*count),
            Command::ConfigureTopic { name, config } => self.configure_topic(name, config),
            Command::AddPartitions { name, partitions, incarnations } => {
                self.add_partitions(name, *partitions, incarnations)
            }
        }
    }

    fn create_topic(&mut self, topic: Topic) -> Result<Outcome, Rejection> {
        let name = topic.name.clone();
        match &topic.mirror_of {
            None if name.site().is_some() => return Err(Rejection::MirrorName { name }),
            Some(site) if name.site() != Some(site.as_str()) => {
                return Err(Rejection::NotMirrorName { name, site: site.clone() });
            }
            _ => {}
        }
        let partitions = topic.config.partitions;
        if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&partitions) {
            return Err(Rejection::PartitionCount {
                name,
                partitions,
                max: MAX_PARTITIONS_PER_TOPIC,
            });
        }
        check_segment(&name, topic.config.segment)?;
        let given = topic.incarnations.len();
        if usize::try_from(partitions) != Ok(given) {
            return Err(Rejection::IncarnationCount { name, partitions, given });
        }
        if self.topics.contains_key(&name) {
            return Err(Rejection::TopicExists { name });
        }
        if let Some(name) = self.names.get(&topic.id) {
            return Err(Rejection::TopicIdExists { id: topic.id, name: name.clone() });
        }
        room("too many topics", self.topics.len(), MAX_TOPICS)?;
        self.names.insert(topic.id, name.clone());
        self.topics.insert(name, Arc::new(topic));
        Ok(Outcome::Done)
    }

    fn configure_topic(
        &mut self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Outcome, Rejection> {
        let unknown = || Rejection::UnknownTopic { name: name.clone() };
        let topic = self.topics.get_mut(name).ok_or_else(unknown)?;
        if topic.config == *config {
            return Ok(Outcome::Unchanged);
        }
        check_segment(name, config.segment)?;
        if topic.config.partitions != config.partitions {
            return Err(Rejection::PartitionsFixed {
                name: name.clone(),
                partitions: topic.config.partitions,
            });
        }
        if topic.mirror_of.is_some() && config.flush != Flush::Always {
            return Err(Rejection::MirrorFlush { name: name.clone() });
        }
        Arc::make_mut(topic).config = config.clone();
        Ok(Outcome::Done)
    }

    fn add_partitions(
        &mut self,
        name: &TopicName,
        partitions: u32,
        new: &[Incarnation],
    ) -> Result<Outcome, Rejection> {
        let unknown = || Rejection::UnknownTopic { name: name.clone() };
        let topic = self.topics.get_mut(name).ok_or_else(unknown)?;
        let has = topic.config.partitions;
        if has != partitions {
            return Err(Rejection::PartitionsFixed { name: name.clone(), partitions: has });
        }
        let total = u32::try_from(new.len()).ok().and_then(|new| has.checked_add(new));
        let total = total.filter(|total| *total <= MAX_PARTITIONS_PER_TOPIC);
        let Some(total) = total else {
            let (name, max) = (name.clone(), MAX_PARTITIONS_PER_TOPIC);
            return Err(Rejection::PartitionCount { name, partitions: u32::MAX, max });
        };
        if new.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        let topic = Arc::make_mut(topic);
        topic.config.partitions = total;
        topic.incarnations.extend_from_slice(new);
        Ok(Outcome::Done)
    }

    fn delete_topic(&mut self, name: &TopicName) -> Result<Outcome, Rejection> {
        if let Some(link) = self.links.values().find(|link| link.topics.contains(name)) {
            return Err(Rejection::TopicMirrored { name: name.clone(), link: link.name.clone() });
        }
        let derived = |a: &&Attachment| {
            let names = |spec: &DeriveSpec| spec.to == *name || spec.table.as_ref() == Some(name);
            a.topic != *name && a.derive.as_ref().is_some_and(names)
        };
        if let Some(used) = self.all_attachments().find(derived) {
            return Err(Rejection::TopicDerived {
                topic: name.clone(),
                from: used.topic.clone(),
                plugin: used.plugin.clone(),
            });
        }
        let topic = self
            .topics
            .remove(name)
            .ok_or_else(|| Rejection::UnknownTopic { name: name.clone() })?;
        self.names.remove(&topic.id);
        self.attachments.remove(name);
        Ok(Outcome::Deleted(topic))
    }

    fn install_plugin(&mut self, version: &PluginVersion) -> Result<Outcome, Rejection> {
        if self.plugin_version(&version.name, version.hash).is_some() {
            return Ok(Outcome::Unchanged);
        }
        if !self.plugins.contains_key(&version.name) {
            room("too many plugins", self.plugins.len(), MAX_PLUGINS)?;
        }
        let kept = self.plugin(&version.name).len();
        room("too many versions of this plugin", kept, MAX_PLUGIN_VERSIONS)?;
        let versions = self.plugins.entry(version.name.clone()).or_default();
        Arc::make_mut(versions).insert(0, version.clone());
        Ok(Outcome::Done)
    }

    fn remove_plugin(
        &mut self,
        name: &PluginName,
        hash: Option<PluginHash>,
    ) -> Result<Outcome, Rejection> {
        let chosen = |other: PluginHash| hash.is_none_or(|hash| hash == other);
        let Some(versions) = self.plugins.get(name) else {
            return Err(Rejection::UnknownPlugin { name: name.clone() });
        };
        if let Some(hash) = hash
            && self.plugin_version(name, hash).is_none()
        {
            return Err(Rejection::UnknownPluginVersion { name: name.clone(), hash });
        }
        if let Some(used) = self.all_attachments().find(|a| {
            a.plugin == *name
                && match hash {
                    Some(hash) => a.uses(hash),
                    None => true,
                }
        }) {
            return Err(Rejection::PluginInUse {
                name: name.clone(),
                hash: hash.unwrap_or(used.hash),
                topic: used.topic.clone(),
            });
        }
        let left: Vec<_> = versions.iter().filter(|v| !chosen(v.hash)).cloned().collect();
        if left.is_empty() {
            self.plugins.remove(name);
        } else {
            self.plugins.insert(name.clone(), Arc::new(left));
        }
        Ok(Outcome::Done)
    }

    fn attach(&mut self, attachment: &Attachment) -> Result<Outcome, Rejection> {
        let Attachment { topic, hook, plugin, hash, config, .. } = attachment;
        let Some(at) = self.topics.get(topic) else {
            return Err(Rejection::UnknownTopic { name: topic.clone() });
        };
        self.check_derive(attachment)?;
        if at.mirror_of.is_some() && *hook == Hook::Ingest {
            return Err(Rejection::ReadOnly { name: topic.clone(), plugin: plugin.clone() });
        }
        if !self.plugins.contains_key(plugin) {
            return Err(Rejection::UnknownPlugin { name: plugin.clone() });
        }
        let canary = attachment.canary.iter().map(|canary| (canary.hash, &canary.config));
        for (hash, config) in std::iter::once((*hash, config)).chain(canary) {
            if self.plugin_version(plugin, hash).is_none() {
                return Err(Rejection::UnknownPluginVersion { name: plugin.clone(), hash });
            }
            let len = ByteSize::bytes(config.len() as u64);
            if len > MAX_PLUGIN_CONFIG {
                let (plugin, max) = (plugin.clone(), MAX_PLUGIN_CONFIG);
                return Err(Rejection::PluginConfigTooLong { plugin, len, max });
            }
        }
        let attached = self.attachments_of(topic);
        match attached.iter().position(|a| a.hook == *hook && a.plugin == *plugin) {
            Some(n) if attached[n] == *attachment => Ok(Outcome::Unchanged),
            Some(n) => {
                let attached = self.attachments.entry(topic.clone()).or_default();
                let place = &mut Arc::make_mut(attached)[n];
                Ok(Outcome::Replaced(Box::new(std::mem::replace(place, attachment.clone()))))
            }
            None => {
                let full = attached.len();
                room("too many plugins on this topic", full, MAX_ATTACHMENTS_PER_TOPIC)?;
                let attached = self.attachments.entry(topic.clone()).or_default();
                Arc::make_mut(attached).push(attachment.clone());
                Ok(Outcome::Done)
            }
        }
    }

    /// Whether an attachment derives if it says so, from where to where records do not run in
    /// circles.
    fn check_derive(&self, attachment: &Attachment) -> Result<(), Rejection> {
        let Attachment { topic, hook, plugin, derive, .. } = attachment;
        let spec = match (hook, derive) {
            (Hook::Derive, Some(spec)) => spec,
            (Hook::Derive, None) | (_, Some(_)) => {
                return Err(Rejection::DeriveTarget { plugin: plugin.clone(), hook: *hook });
            }
            _ => return Ok(()),
        };
        for name in std::iter::once(&spec.to).chain(&spec.table) {
            let Some(other) = self.topics.get(name) else {
                return Err(Rejection::UnknownTopic { name: name.clone() });
            };
            if other.mirror_of.is_some() && *name == spec.to {
                let (name, plugin) = (name.clone(), plugin.clone());
                return Err(Rejection::ReadOnly { name, plugin });
            }
        }
        // Whatever is reached from the target must not lead back.
        let mut reached = vec![&spec.to];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(name) = reached.pop() {
            if name == topic {
                let (topic, to) = (topic.clone(), spec.to.clone());
                return Err(Rejection::DeriveCircle { topic, to });
            }
            if seen.insert(name) {
                let derives = self.attachments_of(name).iter().filter_map(|a| a.derive.as_ref());
                reached.extend(derives.map(|derive| &derive.to));
            }
        }
        Ok(())
    }

    fn detach(
        &mut self,
        topic: &TopicName,
        hook: Hook,
        plugin: &PluginName,
    ) -> Result<Outcome, Rejection> {
        if !self.topics.contains_key(topic) {
            return Err(Rejection::UnknownTopic { name: topic.clone() });
        }
        let attached = self.attachments_of(topic);
        let Some(n) = attached.iter().position(|a| a.hook == hook && a.plugin == *plugin) else {
            return Err(Rejection::UnknownAttachment {
                topic: topic.clone(),
                hook,
                plugin: plugin.clone(),
            });
        };
        if attached.len() == 1 {
            self.attachments.remove(topic);
        } else if let Some(attached) = self.attachments.get_mut(topic) {
            Arc::make_mut(attached).remove(n);
        }
        Ok(Outcome::Done)
    }

    fn add_link(&mut self, spec: &LinkSpec) -> Result<Outcome, Rejection> {
        let name = &spec.name;
        if self.links.contains_key(name) {
            return Err(Rejection::LinkExists { name: name.clone() });
        }
        room("too many links", self.links.len(), MAX_LINKS)?;
        if !is_address(&spec.address) {
            let address = spec.address.chars().take(MAX_LINK_ADDRESS).collect();
            return Err(Rejection::LinkAddress { name: name.clone(), address });
        }
        for (what, pem) in [
            ("authority", &spec.authority),
            ("certificate", &spec.certificate),
            ("key", &spec.key.0),
        ] {
            let len = ByteSize::bytes(pem.len() as u64);
            if len > MAX_PEM {
                return Err(Rejection::LinkPemTooLong {
                    name: name.clone(),
                    what,
                    len,
                    max: MAX_PEM,
                });
            }
        }
        self.check_link_topics(name, &spec.topics)?;
        self.links.insert(name.clone(), Arc::new(spec.clone()));
        Ok(Outcome::Done)
    }

    fn set_link_topics(
        &mut self,
        name: &LinkName,
        topics: &[TopicName],
    ) -> Result<Outcome, Rejection> {
        let Some(link) = self.links.get(name) else {
            return Err(Rejection::UnknownLink { name: name.clone() });
        };
        if link.topics == topics {
            return Ok(Outcome::Unchanged);
        }
        self.check_link_topics(name, topics)?;
        let link = LinkSpec { topics: topics.to_vec(), ..LinkSpec::clone(link) };
        self.links.insert(name.clone(), Arc::new(link));
        Ok(Outcome::Done)
    }

    fn check_link_topics(&self, name: &LinkName, topics: &[TopicName]) -> Result<(), Rejection> {
        if topics.len() > MAX_LINK_TOPICS {
            let what = "too many topics on this link";
            return Err(Rejection::TooMany { what, max: MAX_LINK_TOPICS });
        }
        let mut seen = std::collections::BTreeSet::new();
        for topic in topics {
            match self.topics.get(topic) {
                None => return Err(Rejection::UnknownTopic { name: topic.clone() }),
                Some(found) if found.mirror_of.is_some() => {
                    return Err(Rejection::LinkOfMirror {
                        name: name.clone(),
                        topic: topic.clone(),
                    });
                }
                Some(_) if !seen.insert(topic) => {
                    return Err(Rejection::LinkTopicTwice {
                        name: name.clone(),
                        topic: topic.clone(),
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn allocate_producer_ids(&mut self, count: u32) -> Result<Outcome, Rejection> {
        if !(1..=MAX_PRODUCER_ID_BLOCK).contains(&count) {
            return Err(Rejection::ProducerIdCount { count, max: MAX_PRODUCER_ID_BLOCK });
        }
        let first = self.next_producer_id;
        // Above begin the ids that are derived from others.
        let next = first
            .checked_add(i64::from(count))
            .filter(|next| *next <= ProducerId::FIRST_DERIVED)
            .ok_or(Rejection::ProducerIdsExhausted)?;
        self.next_producer_id = next;
        Ok(Outcome::ProducerIds { first: ProducerId(first), count })
    }
}

/// Whether one more fits.
fn room(what: &'static str, have: usize, max: usize) -> Result<(), Rejection> {
    if have < max { Ok(()) } else { Err(Rejection::TooMany { what, max }) }
}

/// `host:port`, where a host may be an IPv6 address in brackets. Whether it resolves shows when
/// it is dialled.
fn is_address(address: &str) -> bool {
    address.len() <= MAX_LINK_ADDRESS
        && address.rsplit_once(':').is_some_and(|(host, port)| {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            !host.is_empty()
                && (bracketed || !host.contains(':'))
                && !host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/')
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        })
}

fn check_segment(name: &TopicName, segment: ByteSize) -> Result<(), Rejection> {
    if (MIN_SEGMENT..=MAX_SEGMENT).contains(&segment) {
        return Ok(());
    }
    let name = name.clone();
    Err(Rejection::SegmentSize { name, segment, min: MIN_SEGMENT, max: MAX_SEGMENT })
}

#[cfg(test)]
mod tests;
