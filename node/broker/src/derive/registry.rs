//! Pipelines come, change and go with the metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tidegate_plugin::Lookup;
use tidegate_types::{Attachment, DeriveSpec, Hook, Offset, PartitionId, TopicName};
use tidegate_wire::{DerivePosition, ErrorBody};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::key::{KINDS, PipelineId};
use super::runner;
use super::store::Store;
use crate::Broker;
use crate::hook::Chain;
use crate::plugins::chain_of;
use crate::topic::Topic;
use crate::view::Row;

/// Steps that wait for the driver.
const COMMITS: usize = 64;

/// Rows that are forgotten in one step.
const FORGET: usize = 1_000;

/// Records that belong together, and whoever waits for them to be durable.
pub(super) struct Commit {
    pub(super) rows: Vec<Row>,
    pub(super) done: oneshot::Sender<Result<(), ErrorBody>>,
}

/// All pipelines of the node.
pub(crate) struct Derive {
    pipelines: Mutex<HashMap<PipelineId, Arc<Pipeline>>>,
    store: watch::Sender<Option<Arc<Store>>>,
    commits: mpsc::Sender<Commit>,
    needed: Arc<Notify>,
}

/// What the driver takes from.
pub(crate) struct Inbox {
    pub(super) commits: mpsc::Receiver<Commit>,
    needed: Arc<Notify>,
}

impl Inbox {
    /// Ends when there is a pipeline.
    pub(super) async fn needed(&self) {
        self.needed.notified().await;
    }
}

impl Derive {
    /// None yet.
    pub(crate) fn new() -> (Derive, Inbox) {
        let (commits, inbox) = mpsc::channel(COMMITS);
        let needed = Arc::new(Notify::new());
        let derive = Derive {
            pipelines: Mutex::default(),
            store: watch::Sender::new(None),
            commits,
            needed: needed.clone(),
        };
        (derive, Inbox { commits: inbox, needed })
    }

    fn pipelines(&self) -> MutexGuard<'_, HashMap<PipelineId, Arc<Pipeline>>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the pipelines of a topic in line with the metadata, and partitions that it has now.
    pub(crate) fn refresh(&self, broker: &Arc<Broker>, topic: &Arc<Topic>) {
        let image = broker.metadata.image();
        let mut wanted: BTreeMap<(&TopicName, u64), Vec<&Attachment>> = BTreeMap::new();
        if !topic.is_gone() {
            for attachment in image.attachments(&topic.name, Hook::Derive) {
                if let Some(spec) = &attachment.derive {
                    wanted.entry((&spec.to, spec.life)).or_default().push(attachment);
                }
            }
        }
        let mut pipelines = self.pipelines();
        let ids: Vec<_> =
            wanted.keys().map(|(to, life)| PipelineId::new(topic.id, to, *life)).collect();
        let gone = |id: &PipelineId, pipeline: &Pipeline| {
            pipeline.topic.id == topic.id && !ids.contains(id)
        };
        for (_, pipeline) in pipelines.extract_if(|id, pipeline| gone(id, pipeline)) {
            // At once: what is produced from now on is not derived any more.
            pipeline.end();
            tokio::spawn(forget(broker.clone(), pipeline));
        }
        for ((to, life), attachments) in wanted {
            let id = PipelineId::new(topic.id, to, life);
            let attached: Vec<Attachment> = attachments.into_iter().cloned().collect();
            let pipeline = match pipelines.get(&id) {
                Some(known) => {
                    known.change(broker, attached);
                    known.clone()
                }
                None => {
                    let Some(pipeline) = Pipeline::new(broker, id, topic, to, attached) else {
                        continue;
                    };
                    let pipeline = Arc::new(pipeline);
                    pipelines.insert(id, pipeline.clone());
                    pipeline
                }
            };
            pipeline.start(broker);
            self.needed.notify_one();
        }
    }

    /// Waits for all tasks; the node is stopping, and so they are.
    pub(crate) async fn join(&self) {
        let pipelines: Vec<_> = self.pipelines().drain().map(|(_, pipeline)| pipeline).collect();
        for pipeline in pipelines {
            pipeline.join().await;
        }
    }

    /// Whether there is such a pipeline.
    fn knows(&self, id: PipelineId) -> bool {
        self.pipelines().contains_key(&id)
    }

    /// Every chain that derives.
    pub(crate) fn chains(&self) -> Vec<(Arc<Pipeline>, Arc<Chain>)> {
        let mut all: Vec<_> = self.pipelines().values().map(|p| (p.clone(), p.chain())).collect();
        all.sort_by(|(a, _), (b, _)| (&a.topic.name, &a.to).cmp(&(&b.topic.name, &b.to)));
        all
    }

    /// What finds keys in the table of a derivation, if it has one.
    pub(crate) fn lookup(
        &self,
        topic: &Topic,
        to: &TopicName,
        partition: PartitionId,
    ) -> Option<Lookup> {
        let pipelines = self.pipelines();
        let mut pipelines = pipelines.values();
        let pipeline = pipelines.find(|p| p.topic.id == topic.id && p.to == *to)?;
        pipeline.table.as_ref()?;
        let (prefix, store) = (pipeline.id.table(partition), self.store.borrow().clone());
        Some(Arc::new(move |key| {
            let store = store.as_ref().ok_or("the table is still being read: try again later")?;
            Ok(store.get(&[&prefix, key].concat())?.map(|value| value.to_vec()))
        }))
    }

    pub(super) fn set_store(&self, store: Arc<Store>) {
        self.store.send_replace(Some(store));
    }

    pub(super) fn take_store(&self) -> Option<Arc<Store>> {
        self.store.send_replace(None)
    }

    pub(super) fn watch_store(&self) -> watch::Receiver<Option<Arc<Store>>> {
        self.store.subscribe()
    }

    /// Makes records durable, all or none; `None` if the driver did not take them.
    pub(super) async fn commit(&self, rows: Vec<Row>) -> Option<Result<(), ErrorBody>> {
        let (done, outcome) = oneshot::channel();
        self.commits.send(Commit { rows, done }).await.ok()?;
        outcome.await.ok()
    }
}

/// How far one partition is, as operators see it.
#[derive(Clone)]
pub(crate) struct Position {
    pub(crate) next: Offset,
    pub(crate) end: Offset,
    /// Bytes of state.
    pub(crate) state: u64,
    /// Why it does not go on.
    pub(crate) waiting: Option<String>,
}

/// The plugins between one topic and another.
pub(crate) struct Pipeline {
    pub(super) id: PipelineId,
    pub(crate) topic: Arc<Topic>,
    pub(crate) to: TopicName,
    pub(super) life: u64,
    pub(super) table: Option<TopicName>,
    pub(super) from_end: bool,
    chain: ArcSwap<Chain>,
    changed: watch::Sender<u64>,
    ended: watch::Sender<bool>,
    told: Mutex<BTreeMap<PartitionId, Position>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Pipeline {
    fn new(
        broker: &Arc<Broker>,
        id: PipelineId,
        topic: &Arc<Topic>,
        to: &TopicName,
        attached: Vec<Attachment>,
    ) -> Option<Pipeline> {
        let mut specs = attached.iter().filter_map(|attachment| attachment.derive.as_ref());
        let DeriveSpec { from_end, life, .. } = *specs.clone().next()?;
        let table = specs.find_map(|spec| spec.table.clone());
        Some(Pipeline {
            id,
            topic: topic.clone(),
            to: to.clone(),
            life,
            table,
            from_end,
            chain: ArcSwap::from_pointee(chain_of(broker, attached, None)?),
            changed: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            told: Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    fn change(&self, broker: &Arc<Broker>, attached: Vec<Attachment>) {
        if let Some(chain) = chain_of(broker, attached, Some(&self.chain())) {
            self.chain.store(Arc::new(chain));
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// Starts the tasks of partitions that have none.
    fn start(self: &Arc<Self>, broker: &Arc<Broker>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in self.topic.partitions().into_iter().skip(tasks.len()) {
            tasks.push(tokio::spawn(runner::run(broker.clone(), self.clone(), partition)));
        }
    }

    fn end(&self) {
        self.ended.send_replace(true);
    }

    async fn join(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(failed) = task.await {
                tracing::error!(%failed, "a task that derived failed");
            }
        }
    }

    /// Whether it has ended.
    pub(super) fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Ends when the pipeline does.
    pub(super) async fn ended(&self) {
        // The sender lives as long as the pipeline.
        _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What runs from the next step on.
    pub(crate) fn chain(&self) -> Arc<Chain> {
        self.chain.load_full()
    }

    /// Changes what operators see of a partition.
    pub(super) fn told(&self, partition: PartitionId, change: impl FnOnce(&mut Position)) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let nowhere = Position { next: Offset::ZERO, end: Offset::ZERO, state: 0, waiting: None };
        change(told.entry(partition).or_insert(nowhere));
    }

    /// How far it is.
    pub(crate) fn positions(&self) -> Vec<DerivePosition> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let partitions = self.topic.partitions();
        let position = |(partition, position): (&PartitionId, &Position)| {
            let log = partitions.get(partition.get() as usize);
            DerivePosition {
                partition: *partition,
                next: position.next,
                end: log.map_or(position.end, |log| log.high_watermark()),
                state: position.state,
                waiting: position.waiting.clone(),
            }
        };
        told.iter().map(position).collect()
    }
}

/// Waits for the tasks of a pipeline that has ended, and removes what it kept.
async fn forget(broker: Arc<Broker>, pipeline: Arc<Pipeline>) {
    pipeline.join().await;
    let mut stores = broker.derive.watch_store();
    let store = tokio::select! {
        store = stores.wait_for(Option::is_some) => store.ok().and_then(|store| store.clone()),
        () = broker.stopping() => None,
    };
    // What stays for now is removed at the next start.
    if let Some(store) = store {
        remove(&broker, &store, pipeline.id).await;
    }
}

/// Removes what pipelines left that are gone.
pub(super) async fn remove_orphans(broker: Arc<Broker>, store: Arc<Store>) {
    for kind in KINDS {
        let mut from = vec![kind];
        loop {
            let (reading, mut at) = (store.clone(), from);
            let page = tokio::task::spawn_blocking(move || (reading.page(&[kind], &mut at), at));
            let Ok((Ok(page), next)) = page.await else { return };
            from = next;
            let mut ids: Vec<_> =
                page.rows.iter().filter_map(|(key, _)| PipelineId::of_key(key)).collect();
            ids.dedup();
            for id in ids {
                if !broker.derive.knows(id) {
                    remove(&broker, &store, id).await;
                }
            }
            if !page.more {
                break;
            }
        }
    }
}

async fn remove(broker: &Arc<Broker>, store: &Arc<Store>, id: PipelineId) {
    for kind in KINDS {
        if let Err(reason) = forget_kind(broker, store, &id.all(kind)).await {
            tracing::warn!(reason, "what a derivation left is not removed yet");
        }
    }
}

async fn forget_kind(
    broker: &Arc<Broker>,
    store: &Arc<Store>,
    prefix: &[u8],
) -> Result<(), String> {
    let mut from = prefix.to_vec();
    loop {
        let (reading, prefix) = (store.clone(), prefix.to_vec());
        let page = tokio::task::spawn_blocking(move || {
            let page = reading.page(&prefix, &mut from);
            (page, from)
        });
        let (page, next) = page.await.map_err(|e| e.to_string())?;
        let page = page?;
        from = next;
        for rows in page.rows.chunks(FORGET) {
            let rows = rows.iter().map(|(key, _)| (key.clone(), None)).collect();
            match broker.derive.commit(rows).await {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(error.message),
                None => return Err("the node is shutting down".to_owned()),
            }
        }
        if !page.more {
            return Ok(());
        }
    }
}
