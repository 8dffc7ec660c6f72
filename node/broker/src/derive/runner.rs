//! The task that takes one partition of a pipeline forward.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_log::LogReader;
use tidegate_types::{Acks, Attachment, Hook, PartitionId};
use tidegate_wire::ErrorBody;
use tokio::sync::watch;

use super::progress::{Progress, decode_chain, encode_chain};
use super::registry::{Pipeline, Position};
use super::step::{NoStep, Step, Work, first};
use super::store::Store;
use super::table;
use crate::Broker;
use crate::hook::Chain;
use crate::ingest::{Part, dead_letter_partition, destination, part};
use crate::plugins::chain_of;
use crate::topic::{Partition, Topic};
use crate::view::Row;

/// How soon what failed is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How long a step waits for the view to be written.
const ROOM: Duration = Duration::from_millis(100);

/// Why a task does not go on.
enum Stop {
    /// The pipeline, the topic or the node ends.
    Ended,
    /// The store was closed: another one comes.
    Reload,
    /// It is tried again by and by.
    Later(String),
    /// Somebody has to do something about it.
    Halted(String),
}

impl From<NoStep> for Stop {
    fn from(none: NoStep) -> Stop {
        match none {
            NoStep::Ended => Stop::Ended,
            NoStep::Later(reason) => Stop::Later(reason),
            NoStep::Halted(reason) => Stop::Halted(reason),
        }
    }
}

impl From<ErrorBody> for Stop {
    fn from(error: ErrorBody) -> Stop {
        if error.retriable || error.written {
            Stop::Later(error.message)
        } else {
            Stop::Halted(error.message)
        }
    }
}

/// Works until the pipeline ends.
pub(super) async fn run(broker: Arc<Broker>, pipeline: Arc<Pipeline>, partition: Arc<Partition>) {
    let mut changed = pipeline.watch();
    let mut stores = broker.derive.watch_store();
    let mut retry = RETRY.0;
    loop {
        let store = stores.borrow_and_update().clone();
        let Some(store) = store else {
            tokio::select! {
                gone = stores.changed() => if gone.is_err() { return },
                () = pipeline.ended() => return,
                () = broker.stopping() => return,
            }
            continue;
        };
        changed.mark_unchanged();
        let mut runner = Runner {
            broker: broker.clone(),
            pipeline: pipeline.clone(),
            partition: partition.clone(),
            stores: stores.clone(),
            store,
            reader: Some(partition.log.reader()),
            swept: Vec::new(),
            moved: false,
        };
        let Err(stop) = runner.steps().await;
        let moved = runner.moved;
        drop(runner);
        retry = if moved { RETRY.0 } else { (retry * 2).min(RETRY.1) };
        let wait = match stop {
            Stop::Ended => return,
            Stop::Reload => continue,
            Stop::Later(reason) => {
                tracing::warn!(
                    topic = %pipeline.topic.name, partition = %partition.at.partition,
                    to = %pipeline.to, reason, "deriving waits"
                );
                pipeline.told(partition.at.partition, |told| told.waiting = Some(reason));
                Some(retry)
            }
            Stop::Halted(reason) => {
                tracing::error!(
                    topic = %pipeline.topic.name, partition = %partition.at.partition,
                    to = %pipeline.to, reason, "deriving is halted until the plugin is attached anew"
                );
                pipeline.told(partition.at.partition, |told| told.waiting = Some(reason));
                None
            }
        };
        tokio::select! {
            gone = changed.changed() => if gone.is_err() { return },
            () = sleep(wait) => {}
            () = pipeline.ended() => return,
            () = broker.stopping() => return,
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

struct Runner {
    broker: Arc<Broker>,
    pipeline: Arc<Pipeline>,
    partition: Arc<Partition>,
    stores: watch::Receiver<Option<Arc<Store>>>,
    store: Arc<Store>,
    /// Not here while a step runs.
    reader: Option<LogReader>,
    swept: Vec<u8>,
    /// Whether any step was taken.
    moved: bool,
}

impl Runner {
    fn id(&self) -> PartitionId {
        self.partition.at.partition
    }

    /// Takes steps for as long as that is possible.
    async fn steps(&mut self) -> Result<std::convert::Infallible, Stop> {
        let (mut progress, saved) = self.begin().await?;
        // A step may have been interrupted, which is to be run again as it was.
        let mut saved = self.finish_interrupted(&mut progress, saved).await?;
        let mut advanced = self.pipeline.topic.watch();
        loop {
            advanced.mark_unchanged();
            let table = self.table();
            let mut table_advanced = table.as_ref().map(|table| table.watch());
            while let Some(table) = &table
                && let Some((after, rows)) = self.read_table(table, &progress).await?
            {
                self.commit(&after, rows).await?;
                progress = after;
            }
            self.tell(&progress, None);
            if progress.next >= self.partition.high_watermark() {
                self.wait(&mut advanced, table_advanced.as_mut()).await?;
                continue;
            }
            let chain = self.pipeline.chain();
            let spec = self.spec(&chain);
            if saved != spec {
                self.save_chain(&spec).await?;
                saved = spec;
            }
            let before = progress.next;
            let halted = self.step(&mut progress, chain).await?;
            self.tell(&progress, None);
            if let Some(reason) = halted {
                return Err(Stop::Halted(reason));
            }
            if progress.next == before {
                // What is visible grows a moment before it can be read.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Where the partition stands, and the chain of its last step; a first step is prepared.
    async fn begin(&mut self) -> Result<(Progress, Option<Vec<Attachment>>), Stop> {
        let id = self.pipeline.id;
        let unreadable = |what: &str, e: String| Stop::Halted(format!("its {what}: {e}"));
        let known = self.store.get(&id.progress(self.id())).map_err(Stop::Later)?;
        let Some(known) = known else {
            let progress = Progress::new(first(&self.partition, self.pipeline.from_end));
            let chain = self.spec(&self.pipeline.chain());
            let row = self.chain_row(&chain)?;
            self.commit(&progress, vec![row]).await?;
            return Ok((progress, None));
        };
        let progress = Progress::decode(&known).map_err(|e| unreadable("progress", e))?;
        let chain = self.store.get(&id.chain(self.id())).map_err(Stop::Later)?;
        let chain = chain.map(|bytes| decode_chain(&bytes)).transpose();
        Ok((progress, chain.map_err(|e| unreadable("chain", e))?))
    }

    /// Runs one step with the versions of the last one, if others are attached by now: what it puts
    /// out may be in the logs in part.
    async fn finish_interrupted(
        &mut self,
        progress: &mut Progress,
        saved: Option<Vec<Attachment>>,
    ) -> Result<Vec<Attachment>, Stop> {
        let now = self.spec(&self.pipeline.chain());
        let Some(saved) = saved else { return Ok(now) };
        if saved == now || progress.next >= self.partition.high_watermark() {
            return Ok(saved);
        }
        let broker = self.broker.clone();
        let attachments = saved.clone();
        let loading = tokio::task::spawn_blocking(move || chain_of(&broker, attachments, None));
        let chain = loading.await.map_err(|_| Stop::Ended)?;
        if let Some(chain) = chain.filter(Chain::is_loaded) {
            // Halted or not, what was put out is recognised from here on.
            _ = self.step(progress, Arc::new(chain)).await?;
        } else {
            tracing::warn!(
                topic = %self.pipeline.topic.name, to = %self.pipeline.to,
                "the version that ran last is gone: what it did not finish runs with another"
            );
        }
        Ok(saved)
    }

    /// The versions that this partition's records run through.
    fn spec(&self, chain: &Chain) -> Vec<Attachment> {
        let running = chain.running(Hook::Derive, self.id());
        running.stages.iter().map(|stage| stage.attachment.clone()).collect()
    }

    fn chain_row(&self, spec: &[Attachment]) -> Result<Row, Stop> {
        let value = encode_chain(spec).map_err(|e| Stop::Halted(e.to_string()))?;
        Ok((Bytes::from(self.pipeline.id.chain(self.id())), Some(value.into())))
    }

    async fn save_chain(&mut self, spec: &[Attachment]) -> Result<(), Stop> {
        let row = self.chain_row(spec)?;
        self.put(vec![row]).await
    }

    /// Takes one step; says why it went no further, if that is for good.
    async fn step(
        &mut self,
        progress: &mut Progress,
        chain: Arc<Chain>,
    ) -> Result<Option<String>, Stop> {
        while self.store.is_too_far_behind() {
            self.or_stop(tokio::time::sleep(ROOM)).await?;
        }
        let mut reader = self.reader.take().unwrap_or_else(|| self.partition.log.reader());
        let mut work = Work {
            broker: self.broker.clone(),
            pipeline: self.pipeline.clone(),
            partition: self.partition.clone(),
            store: self.store.clone(),
            chain: chain.clone(),
            swept: std::mem::take(&mut self.swept),
        };
        let from = progress.clone();
        let running = chain.run_blocking(self.id(), move || {
            let step = work.run(&mut reader, from);
            (reader, work.swept, step)
        });
        let (reader, swept, step) =
            running.await.map_err(|e| Stop::Halted(format!("the step failed: {e}")))?;
        (self.reader, self.swept) = (Some(reader), swept);
        let Step { outputs, letters, progress: after, rows, halted } = step?;
        if after == *progress && rows.is_empty() {
            return Ok(halted);
        }
        self.append(outputs, letters).await?;
        self.commit(&after, rows).await?;
        self.moved = true;
        *progress = after;
        Ok(halted)
    }

    /// Appends what a step put out, and waits until it is durable.
    async fn append(
        &self,
        outputs: Vec<tidegate_plugin::apply::OutputBatch>,
        letters: Vec<Bytes>,
    ) -> Result<(), Stop> {
        let mut parts: Vec<Part> = Vec::new();
        for output in outputs {
            let to = destination(&self.broker, &self.pipeline.topic, &output)?;
            parts.push(part(to, output.batch)?);
        }
        if !letters.is_empty() {
            let dead = dead_letter_partition(&self.broker, &self.pipeline.topic).await?;
            for letter in letters {
                parts.push(part(dead.clone(), letter)?);
            }
        }
        let mut verdicts = Vec::with_capacity(parts.len());
        for Part { to, batch, records } in parts {
            verdicts.push(self.broker.append(&to, batch, records, Acks::All).await?);
        }
        for verdict in verdicts {
            verdict.await.map_err(|_| Stop::Ended)??;
        }
        Ok(())
    }

    /// Makes a step's end durable.
    async fn commit(&mut self, progress: &Progress, mut rows: Vec<Row>) -> Result<(), Stop> {
        let value = progress.encode().map_err(|e| Stop::Halted(e.to_string()))?;
        rows.push((Bytes::from(self.pipeline.id.progress(self.id())), Some(value.into())));
        self.put(rows).await
    }

    async fn put(&self, rows: Vec<Row>) -> Result<(), Stop> {
        match self.broker.derive.commit(rows).await {
            Some(outcome) => outcome.map_err(Stop::from),
            None if self.stores.borrow().as_ref().is_some_and(|s| Arc::ptr_eq(s, &self.store)) => {
                Err(Stop::Later("the step could not be handed over".to_owned()))
            }
            None => Err(Stop::Reload),
        }
    }

    fn table(&self) -> Option<Arc<Topic>> {
        self.broker.topics.get(self.pipeline.table.as_ref()?)
    }

    async fn read_table(
        &self,
        table: &Arc<Topic>,
        progress: &Progress,
    ) -> Result<Option<(Progress, Vec<Row>)>, Stop> {
        let (table, progress) = (table.clone(), progress.clone());
        let prefix = self.pipeline.id.table(self.id());
        let reading = tokio::task::spawn_blocking(move || table::next(&table, &prefix, &progress));
        reading.await.map_err(|_| Stop::Ended)?.map_err(Stop::Later)
    }

    /// Waits for something to do.
    async fn wait(
        &mut self,
        advanced: &mut watch::Receiver<u64>,
        table: Option<&mut watch::Receiver<u64>>,
    ) -> Result<(), Stop> {
        let table = async {
            match table {
                Some(table) => table.changed().await,
                None => std::future::pending().await,
            }
        };
        let something = async {
            tokio::select! {
                changed = advanced.changed() => changed,
                changed = table => changed,
            }
        };
        self.or_stop(something).await?.map_err(|_| Stop::Ended)
    }

    /// Waits for that, unless there is no more reason to.
    async fn or_stop<T>(&mut self, waiting: impl Future<Output = T>) -> Result<T, Stop> {
        if self.pipeline.topic.is_gone() {
            return Err(Stop::Ended);
        }
        tokio::select! {
            done = waiting => Ok(done),
            _ = self.stores.changed() => Err(Stop::Reload),
            () = self.pipeline.ended() => Err(Stop::Ended),
            () = self.broker.stopping() => Err(Stop::Ended),
        }
    }

    fn tell(&self, progress: &Progress, waiting: Option<String>) {
        let end = self.partition.high_watermark();
        let state = progress.state_bytes.iter().map(|(_, bytes)| bytes).sum();
        self.pipeline.told(self.id(), |told| {
            *told = Position { next: progress.next, end, state, waiting };
        });
    }
}
