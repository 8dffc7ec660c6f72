//! Topics as they run: their partitions' logs and the plugins on their way.
//!
//! A [`Topic`] is made from the metadata image and lives until the topic is deleted. Sessions hold
//! it by reference count; one that outlives its topic finds it [`gone`](Topic::is_gone).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tidegate_log::{LogConfig, LogHandle};
use tidegate_types::{
    Offset, PartitionId, PluginName, RecordPolicy, SiteName, TopicConfig, TopicId, TopicName,
    TopicPartition,
};
use tidegate_wire::ErrorBody;
use tokio::sync::watch;

use crate::alias::ReadAlias;
use crate::error;
use crate::hook::Chain;

/// How long a sync that is under way is waited for.
const SYNC: Duration = Duration::from_secs(10);

/// One topic.
pub struct Topic {
    pub(crate) name: TopicName,
    pub(crate) id: TopicId,
    config: Arc<ArcSwap<TopicConfig>>,
    pub(crate) mirror_of: Option<SiteName>,
    /// Only ever more.
    partitions: ArcSwap<Vec<Arc<Partition>>>,
    /// The plugins of the ingest hook; a batch runs through the chain that it found here.
    pub(crate) chain: ArcSwapOption<Chain>,
    /// The plugins of the hooks link and read.
    pub(crate) leaving: ArcSwap<LeavingChains>,
    /// Moves whenever one of the partitions has something new.
    advanced: Arc<watch::Sender<u64>>,
    gone: AtomicBool,
    /// Held by the mirror stream that writes here.
    pub(crate) mirror_writer: Arc<tokio::sync::Mutex<()>>,
    /// Moves whenever another stream wants to.
    mirror_wanted: watch::Sender<u64>,
}

impl Topic {
    pub(crate) fn new(
        name: TopicName,
        id: TopicId,
        config: TopicConfig,
        mirror_of: Option<SiteName>,
        logs: Vec<LogHandle>,
    ) -> Topic {
        let advanced = Arc::new(watch::Sender::new(0));
        let config = Arc::new(ArcSwap::from_pointee(config));
        let topic = Topic {
            name,
            id,
            config,
            mirror_of,
            partitions: ArcSwap::default(),
            chain: ArcSwapOption::empty(),
            leaving: ArcSwap::default(),
            advanced,
            gone: AtomicBool::new(false),
            mirror_writer: Arc::default(),
            mirror_wanted: watch::Sender::new(0),
        };
        topic.grow(logs);
        topic
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// The site that it is a copy from; only that site's link writes to it.
    #[must_use]
    pub fn mirror_of(&self) -> Option<&SiteName> {
        self.mirror_of.as_ref()
    }

    /// Its settings as they are now.
    #[must_use]
    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.load_full()
    }

    /// Adds partitions behind those that are there.
    pub(crate) fn grow(&self, logs: Vec<LogHandle>) {
        let mut partitions = Vec::clone(&self.partitions.load());
        for log in logs {
            partitions.push(Arc::new(Partition {
                at: log.id(),
                log,
                config: self.config.clone(),
                advanced: self.advanced.clone(),
            }));
        }
        self.partitions.store(Arc::new(partitions));
        // Who waits for something new may wait for a new partition.
        self.advanced.send_modify(|n| *n += 1);
    }

    /// Its partitions as they are now, from 0.
    #[must_use]
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        Vec::clone(&self.partitions.load())
    }

    /// Gives the topic and its logs other settings; the metadata found them possible.
    pub(crate) fn configure(&self, config: TopicConfig) {
        for partition in self.partitions() {
            if let Err(error) = partition.log.set_config(log_config(&config)) {
                tracing::error!(topic = %self.name, %error, "a log does not take its settings");
            }
        }
        self.config.store(Arc::new(config));
    }

    /// One of its partitions.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.partitions.load().get(id.get() as usize).cloned()
    }

    /// The partition that is named, or all of them.
    pub(crate) fn chosen(
        &self,
        named: Option<PartitionId>,
    ) -> Result<Vec<Arc<Partition>>, ErrorBody> {
        let Some(id) = named else { return Ok(self.partitions()) };
        let unknown = || error::unknown_partition(&self.name, id, self.config().partitions);
        Ok(vec![self.partition(id).ok_or_else(unknown)?])
    }

    /// Wakes whenever a partition of this topic has something new, or the topic is gone.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.advanced.subscribe()
    }

    /// Asks the mirror stream that writes here to leave.
    pub(crate) fn take_over(&self) {
        self.mirror_wanted.send_modify(|n| *n += 1);
    }

    /// Ends when another stream has asked for this topic, or it is gone.
    pub(crate) async fn taken_over(&self, since: u64) {
        // The sender lives as long as the topic.
        _ = self.mirror_wanted.subscribe().wait_for(|n| *n != since).await;
    }

    /// Counts the streams that asked for this topic.
    pub(crate) fn wanted(&self) -> u64 {
        *self.mirror_wanted.borrow()
    }

    /// Whether it was deleted.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn retire(&self) {
        self.gone.store(true, Ordering::Release);
        self.take_over();
        self.advanced.send_modify(|n| *n += 1);
    }
}

/// What records go through as they leave a topic.
#[derive(Default)]
pub(crate) struct LeavingChains {
    /// Over every link.
    pub(crate) link: Option<Arc<Chain>>,
    /// To readers, by the plugin that they name.
    pub(crate) read: BTreeMap<PluginName, Arc<Chain>>,
}

impl LeavingChains {
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Arc<Chain>> {
        self.link.iter().chain(self.read.values())
    }
}

/// One partition on this node, which leads it.
pub struct Partition {
    pub(crate) at: TopicPartition,
    pub(crate) log: LogHandle,
    /// Its topic's.
    config: Arc<ArcSwap<TopicConfig>>,
    advanced: Arc<watch::Sender<u64>>,
}

/// What a topic's settings mean for its logs.
pub(crate) fn log_config(config: &TopicConfig) -> LogConfig {
    let TopicConfig { segment: segment_bytes, flush, policy, .. } = *config;
    LogConfig { segment_bytes, flush, policy }
}

impl Partition {
    /// Which one it is.
    #[must_use]
    pub fn at(&self) -> TopicPartition {
        self.at
    }

    /// Its log, to read from. Appends go through [`Broker::stage`](crate::Broker::stage).
    #[must_use]
    pub fn log(&self) -> &LogHandle {
        &self.log
    }

    /// Its topic's settings for what producers send.
    pub(crate) fn records(&self) -> RecordPolicy {
        self.config.load().records
    }

    /// Whether its records need keys, without which compaction could not tell them apart.
    pub(crate) fn needs_keys(&self) -> bool {
        self.config.load().policy.cleanup.compacts()
    }

    /// Waits until records that are written are synced as well, if they are about to be: a producer
    /// that is content with the first asks for them at once.
    pub(crate) async fn synced_to(&self, offset: Offset) {
        if offset <= self.log.offsets().end {
            let mut advanced = self.advanced.subscribe();
            let synced = advanced.wait_for(|_| self.high_watermark() >= offset);
            // A log that does not sync any more is told of elsewhere.
            _ = tokio::time::timeout(SYNC, synced).await;
        }
    }

    /// End of what consumers may see: with one replica, what is durable. Where the topic leaves
    /// syncing to the operating system, the log counts as durable what that was handed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.log.offsets().durable
    }
}

/// All topics of this node, by name and by partition.
#[derive(Default)]
pub struct Topics {
    by_name: ArcSwap<HashMap<TopicName, Arc<Topic>>>,
    by_id: RwLock<HashMap<TopicId, TopicName>>,
    by_partition: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
    /// What readers see through plugins, by their own ids.
    aliases: RwLock<HashMap<TopicId, ReadAlias>>,
    /// Moves whenever a topic comes, grows or goes.
    changed: watch::Sender<u64>,
    /// Moves whenever any partition has something new.
    any: watch::Sender<u64>,
}

impl Topics {
    /// The topic of that name.
    #[must_use]
    pub fn get(&self, name: &TopicName) -> Option<Arc<Topic>> {
        self.by_name.load().get(name).cloned()
    }

    /// The topic with that id.
    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        let name = self.by_id.read().unwrap_or_else(|e| e.into_inner()).get(&id).cloned()?;
        self.get(&name)
    }

    /// All topics, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<_> = self.by_name.load().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// What `topic@plugin` names, if the plugin is attached at the topic's hook read.
    #[must_use]
    pub fn alias(&self, name: &str) -> Option<ReadAlias> {
        let (topic, plugin) = name.split_once('@')?;
        let topic = self.get(&TopicName::new(topic).ok()?)?;
        let plugin = PluginName::new(plugin).ok()?;
        topic.leaving.load().read.contains_key(&plugin).then(|| ReadAlias::new(topic, plugin))
    }

    /// The topic to read from by its name, which may be an alias.
    #[must_use]
    pub fn readable(&self, name: &str) -> Option<Arc<Topic>> {
        let topic = TopicName::new(name).ok().and_then(|name| self.get(&name));
        topic.or_else(|| Some(self.alias(name)?.topic().clone()))
    }

    /// The alias with that id.
    #[must_use]
    pub fn alias_by_id(&self, id: TopicId) -> Option<ReadAlias> {
        self.aliases.read().unwrap_or_else(|e| e.into_inner()).get(&id).cloned()
    }

    /// Every alias, in no order.
    pub(crate) fn aliases(&self) -> Vec<ReadAlias> {
        self.aliases.read().unwrap_or_else(|e| e.into_inner()).values().cloned().collect()
    }

    /// Takes note of the plugins at a topic's hook read.
    pub(crate) fn name_aliases(&self, topic: &Arc<Topic>) {
        self.forget_aliases(topic);
        let mut aliases = self.aliases.write().unwrap_or_else(|e| e.into_inner());
        for plugin in topic.leaving.load().read.keys() {
            let alias = ReadAlias::new(topic.clone(), plugin.clone());
            aliases.insert(alias.id(), alias);
        }
        drop(aliases);
        self.changed.send_modify(|n| *n += 1);
    }

    fn forget_aliases(&self, topic: &Topic) {
        let mut aliases = self.aliases.write().unwrap_or_else(|e| e.into_inner());
        aliases.retain(|_, alias| alias.topic().id != topic.id);
    }

    pub(crate) fn insert(&self, topic: Arc<Topic>) {
        let mut partitions = self.by_partition.write().unwrap_or_else(|e| e.into_inner());
        partitions.extend(topic.partitions().into_iter().map(|p| (p.at, p)));
        drop(partitions);
        let mut ids = self.by_id.write().unwrap_or_else(|e| e.into_inner());
        ids.insert(topic.id, topic.name.clone());
        drop(ids);
        self.by_name.rcu(|map| {
            let mut map = HashMap::clone(map);
            map.insert(topic.name.clone(), topic.clone());
            map
        });
        self.changed.send_modify(|n| *n += 1);
    }

    /// Adds partitions to a topic that is at work.
    pub(crate) fn grow(&self, topic: &Topic, logs: Vec<LogHandle>) {
        topic.grow(logs);
        let mut partitions = self.by_partition.write().unwrap_or_else(|e| e.into_inner());
        partitions.extend(topic.partitions().into_iter().map(|p| (p.at, p)));
        drop(partitions);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Wakes whenever a topic comes, grows or goes.
    #[must_use]
    pub fn watch_changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn remove(&self, name: &TopicName) -> Option<Arc<Topic>> {
        let topic = self.get(name)?;
        self.by_name.rcu(|map| {
            let mut map = HashMap::clone(map);
            map.remove(name);
            map
        });
        let mut partitions = self.by_partition.write().unwrap_or_else(|e| e.into_inner());
        for partition in topic.partitions() {
            partitions.remove(&partition.at);
        }
        drop(partitions);
        self.by_id.write().unwrap_or_else(|e| e.into_inner()).remove(&topic.id);
        topic.retire();
        self.forget_aliases(&topic);
        self.changed.send_modify(|n| *n += 1);
        Some(topic)
    }

    /// Tells whoever waits that a log has something new. Called by the log's writer thread.
    pub(crate) fn advanced(&self, at: TopicPartition) {
        let partitions = self.by_partition.read().unwrap_or_else(|e| e.into_inner());
        if let Some(partition) = partitions.get(&at) {
            partition.advanced.send_modify(|n| *n += 1);
        }
        self.any.send_modify(|n| *n += 1);
    }

    /// Wakes whenever any partition has something new.
    pub(crate) fn watch_all(&self) -> watch::Receiver<u64> {
        self.any.subscribe()
    }
}
