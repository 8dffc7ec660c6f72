//! Records that are there through a version of a plugin, and through what is attached, without
//! writing anything: where the two make something else of a record, it is told.
//!
//! The plugin is run alone, whatever else is attached, over what is stored: at the hook ingest that
//! is what came out of the plugins. At the hook derive both versions begin with an empty state.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Map;
use tidegate_metadata::Image;
use tidegate_plugin::apply::run_context;
use tidegate_plugin::{
    Columns, Fate, FateKind, Instance, Limits, MemoryState, RunContext, put_bytes, run_for_fates,
};
use tidegate_record::{Batch, Batches, Record};
use tidegate_types::{
    Attachment, ByteSize, DeriveSpec, Hook, Offset, PartitionId, PluginHash, PluginLimits,
    Timestamp,
};
use tidegate_wire::{
    DryRunReport, DryRunRequest, DryRunSample, DryRunSide, ErrorBody, ErrorCode, FateCounts,
};

use crate::internal::refuse_internal;
use crate::plugins::version_of;
use crate::topic::{Partition, Topic};
use crate::{Broker, admin, error, subscribe};

/// Most records of one run.
const MAX_RECORDS: u64 = 10_000_000;
/// Most samples.
const MAX_SAMPLES: u32 = 100;
/// How long one run may take: whoever asked waits for it.
const TIME: Duration = Duration::from_secs(60);
/// Bytes of the log read at a time.
const CHUNK: ByteSize = ByteSize::mib(1);
/// Bytes of each text of a sample.
const MAX_TEXT: usize = 1 << 10;

/// Tries a version of a plugin.
pub(crate) async fn dry_run(
    broker: &Arc<Broker>,
    request: DryRunRequest,
) -> Result<DryRunReport, ErrorBody> {
    refuse_internal(&request.topic, "given plugins")?;
    for (what, is, most) in [
        ("records", request.records, MAX_RECORDS),
        ("samples", u64::from(request.samples), u64::from(MAX_SAMPLES)),
    ] {
        if is > most {
            let message = format!("a dry run has at most {most} {what}, not {is}");
            return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
        }
    }
    let Ok(permit) = broker.dry_runs.clone().try_acquire_owned() else {
        let message = "another dry run is under way: try again later";
        return Err(ErrorBody::retriable(ErrorCode::Overloaded, message));
    };
    let topic = admin::find(broker, &request.topic)?;
    let sides = Plan::new(&broker.metadata.image(), &request)?;
    let mut stretches = Vec::new();
    for partition in topic.chosen(request.partition)? {
        let from = subscribe::find(partition.clone(), request.from).await?;
        stretches.push((partition, from));
    }
    let broker = broker.clone();
    let running = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut run = DryRun::new(broker, topic, sides, &request)?;
        for (partition, from) in stretches {
            if run.is_over() {
                break;
            }
            run.partition(&partition, from)?;
        }
        Ok(run.report())
    });
    running.await.map_err(|stopped| error::internal("a dry run", &stopped))?
}

/// Which versions are run, and how.
struct Plan {
    before: Option<(PluginHash, String)>,
    after: (PluginHash, String),
    limits: PluginLimits,
    derive: Option<DeriveSpec>,
}

impl Plan {
    fn new(image: &Image, request: &DryRunRequest) -> Result<Plan, ErrorBody> {
        let after = version_of(image, &request.plugin, request.hash)?;
        let mut attached = image.attachments(&request.topic, request.hook);
        let attached = attached.find(|known| known.plugin == request.plugin);
        let config = request.config.as_deref().or(attached.map(|known| known.config.as_str()));
        let config = config.filter(|config| !config.trim().is_empty()).unwrap_or("{}");
        Ok(Plan {
            before: attached.map(|Attachment { hash, config, .. }| (*hash, config.clone())),
            after: (after, config.to_owned()),
            limits: attached.map(|known| known.limits).unwrap_or_default(),
            derive: attached.and_then(|known| known.derive.clone()),
        })
    }
}

/// One of the two versions at work.
struct Side {
    hash: PluginHash,
    instance: Instance,
    /// At the hook derive, for the partition that is run.
    state: Option<MemoryState>,
    fates: FateCounts,
    busy: Duration,
}

impl Side {
    fn new(broker: &Broker, at: (PluginHash, String), limits: Limits) -> Result<Side, ErrorBody> {
        let (hash, config) = at;
        let plugin =
            broker.plugins.load(&hash).map_err(|e| error::internal("loading the plugin", &e))?;
        let instance = plugin.instantiate(&config, limits).map_err(|refusal| {
            let message = format!("version {}: {refusal}", hash.short());
            ErrorBody::new(ErrorCode::InvalidPluginConfig, message)
        })?;
        Ok(Side { hash, instance, state: None, fates: FateCounts::default(), busy: Duration::ZERO })
    }

    /// What becomes of a batch's records; `None` if there is no more time.
    fn run(
        &mut self,
        columns: &mut Columns,
        records: &[Stored<'_>],
        context: &RunContext,
        until: Instant,
    ) -> Result<Option<Vec<Fate>>, ErrorBody> {
        let latest = records.iter().map(|record| record.timestamp.millis()).max();
        if let (Some(state), Some(latest)) = (&self.state, latest) {
            state.advance(latest);
        }
        let started = Instant::now();
        let fates = run_for_fates(records.len(), |range: Range<usize>| {
            if Instant::now() >= until {
                return Err(None);
            }
            columns.clear(self.instance.needs());
            for Stored { timestamp, record, .. } in &records[range] {
                columns
                    .push(*timestamp, record.key, record.value, record.headers)
                    .map_err(|full| Some(error::internal("gathering records", &full)))?;
            }
            let outcome = match &self.state {
                Some(state) => state.run(&mut self.instance, columns, context),
                None => self.instance.run(columns, context),
            };
            // What it logs belongs to records that are only tried.
            self.instance.take_journal();
            Ok(outcome.map_err(|error| error.to_string()))
        });
        self.busy += started.elapsed();
        match fates {
            Ok(fates) => Ok(Some(fates)),
            Err(None) => Ok(None),
            Err(Some(failed)) => Err(failed),
        }
    }

    fn report(self) -> DryRunSide {
        let busy_ns = u64::try_from(self.busy.as_nanos()).unwrap_or(u64::MAX);
        DryRunSide { hash: self.hash, fates: self.fates, busy_ns }
    }
}

/// A record of the batch that is run.
struct Stored<'a> {
    offset: Offset,
    timestamp: Timestamp,
    record: Record<'a>,
}

struct DryRun {
    broker: Arc<Broker>,
    topic: Arc<Topic>,
    hook: Hook,
    derive: Option<DeriveSpec>,
    limits: PluginLimits,
    before: Option<Side>,
    after: Side,
    until: Instant,
    columns: Columns,
    most_records: u64,
    most_samples: usize,
    ranges: Vec<(PartitionId, Offset, Offset)>,
    records: u64,
    different: u64,
    samples: Vec<DryRunSample>,
    cut_short: bool,
}

impl DryRun {
    fn new(
        broker: Arc<Broker>,
        topic: Arc<Topic>,
        plan: Plan,
        request: &DryRunRequest,
    ) -> Result<DryRun, ErrorBody> {
        let limits = Limits::from(&plan.limits);
        let before = plan.before.map(|at| Side::new(&broker, at, limits)).transpose()?;
        let after = Side::new(&broker, plan.after, limits)?;
        Ok(DryRun {
            broker,
            topic,
            hook: request.hook,
            derive: plan.derive,
            limits: plan.limits,
            before,
            after,
            until: Instant::now() + TIME,
            columns: Columns::new(),
            most_records: request.records,
            most_samples: request.samples as usize,
            ranges: Vec::new(),
            records: 0,
            different: 0,
            samples: Vec::new(),
            cut_short: false,
        })
    }

    fn is_over(&self) -> bool {
        self.left() == 0 || self.cut_short
    }

    /// How many more records may be run.
    fn left(&self) -> u64 {
        self.most_records - self.records
    }

    /// Runs one partition from `from` to its end, or to that of the run.
    fn partition(&mut self, partition: &Arc<Partition>, from: Offset) -> Result<(), ErrorBody> {
        let id = partition.at.partition;
        for side in self.before.iter_mut().chain([&mut self.after]) {
            side.state = (self.hook == Hook::Derive).then(|| {
                let spec = self.derive.as_ref();
                let table =
                    spec.and_then(|spec| self.broker.derive.lookup(&self.topic, &spec.to, id));
                MemoryState::new(self.limits.state, table)
            });
        }
        let end = partition.high_watermark();
        let (mut reader, mut next) = (partition.log.reader(), from);
        'log: while next < end && !self.is_over() {
            let chunk = reader.read(next, end, CHUNK).map_err(|e| error::read(&e))?;
            for batch in Batches::trusted(&chunk.batches) {
                let batch = batch.map_err(|e| error::internal("reading stored batches", &e))?;
                match self.batch(&batch, partition, next)? {
                    Some(ran) => next = ran,
                    None => break 'log,
                }
                if self.is_over() {
                    break 'log;
                }
            }
            next = next.max(chunk.next_offset);
        }
        if next > from {
            self.ranges.push((id, from, next));
        }
        Ok(())
    }

    /// Runs the records of a batch from `from` on; gives the offset after the last that was run, or
    /// `None` where there was no time.
    fn batch(
        &mut self,
        batch: &Batch<'_>,
        partition: &Partition,
        from: Offset,
    ) -> Result<Option<Offset>, ErrorBody> {
        let header = batch.header();
        if header.record_count == 0 || header.attributes.is_control() {
            return Ok(Some(header.next_offset()));
        }
        let mut scratch = Vec::new();
        let unreadable = |e| error::internal("reading a stored batch", &e);
        let mut records = Vec::new();
        for record in batch.body(&mut scratch).map_err(unreadable)? {
            let record = record.map_err(unreadable)?;
            let (offset, timestamp) = (header.offset_of(&record), header.timestamp_of(&record));
            if offset >= from && (records.len() as u64) < self.left() {
                records.push(Stored { offset, timestamp, record });
            }
        }
        let Some(last) = records.last().map(|record| record.offset) else {
            return Ok(Some(header.next_offset()));
        };
        let context = self.context(batch, partition);
        let before = match &mut self.before {
            Some(side) => match side.run(&mut self.columns, &records, &context, self.until)? {
                Some(fates) => Some(fates),
                None => return Ok(self.out_of_time()),
            },
            None => None,
        };
        let after = self.after.run(&mut self.columns, &records, &context, self.until)?;
        let Some(after) = after else { return Ok(self.out_of_time()) };
        self.compare(partition, &records, before.as_deref(), &after);
        let whole = self.left() > 0;
        Ok(Some(if whole { header.next_offset() } else { last.advance(1) }))
    }

    fn out_of_time(&mut self) -> Option<Offset> {
        self.cut_short = true;
        None
    }

    /// What the plugin is told, as where it is attached.
    fn context(&self, batch: &Batch<'_>, partition: &Partition) -> RunContext {
        let partitions = match &self.derive {
            Some(spec) => self.broker.topics.get(&spec.to).map_or(1, |to| to.config().partitions),
            None => self.topic.config().partitions,
        };
        let (topic, id) = (&self.topic.name, self.topic.id);
        run_context(batch.header(), topic, id, partition.at.partition, partitions)
    }

    fn compare(
        &mut self,
        partition: &Partition,
        records: &[Stored<'_>],
        before: Option<&[Fate]>,
        after: &[Fate],
    ) {
        let unchanged = Fate::kept();
        for (index, (stored, now)) in records.iter().zip(after).enumerate() {
            let was = before.and_then(|before| before.get(index));
            if let (Some(side), Some(was)) = (&mut self.before, was) {
                count(&mut side.fates, was.kind);
            }
            count(&mut self.after.fates, now.kind);
            self.records += 1;
            if *now == *was.unwrap_or(&unchanged) {
                continue;
            }
            self.different += 1;
            if self.samples.len() < self.most_samples {
                self.samples.push(DryRunSample {
                    partition: partition.at.partition,
                    offset: stored.offset,
                    record: text(record(stored)),
                    before: was.map(|was| text(was.to_json())),
                    after: text(now.to_json()),
                });
            }
        }
    }

    fn report(self) -> DryRunReport {
        DryRunReport {
            before: self.before.map(Side::report),
            after: self.after.report(),
            ranges: self.ranges,
            records: self.records,
            different: self.different,
            samples: self.samples,
            cut_short: self.cut_short,
        }
    }
}

fn count(fates: &mut FateCounts, kind: FateKind) {
    *match kind {
        FateKind::Kept => &mut fates.kept,
        FateKind::Dropped => &mut fates.dropped,
        FateKind::Replaced => &mut fates.replaced,
        FateKind::Emitted => &mut fates.emitted,
        FateKind::Failed => &mut fates.failed,
        FateKind::Rejected => &mut fates.rejected,
    } += 1;
}

fn record(stored: &Stored<'_>) -> Map<String, serde_json::Value> {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), stored.timestamp.millis().into());
    put_bytes(&mut object, "key", stored.record.key);
    put_bytes(&mut object, "value", stored.record.value);
    object
}

fn text(object: Map<String, serde_json::Value>) -> String {
    let mut text = serde_json::Value::Object(object).to_string();
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push_str("...");
    }
    text
}
