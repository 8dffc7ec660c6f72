//! A batch through a chain of plugins.

use std::collections::HashMap;
use std::time::Instant;

use tidegate_record::{Batch, BatchHeader, Compression};
use tidegate_types::limits::{MAX_BATCH, MAX_BATCH_UNCOMPRESSED};
use tidegate_types::{PartitionId, Timestamp, TopicId, TopicName};

use super::items::{Field, HeaderField, Item, Made, Span, Target, gather, gather_source, read};
use super::{Applied, ApplyError, Change, Counts, Failed, Origin, Stage};
use crate::columns::Columns;
use crate::instance::{RunContext, RunError};
use crate::outcome::{Emitted, Failure, Outcome, Part, Tag, Tags, Verdict};

/// How many records of one batch a plugin may time out over when it is asked one by one. What is
/// left then fails untried.
const TIMEOUTS: u32 = 4;
/// How many times its time for one batch a plugin may take for all of them, one by one.
const ONE_BY_ONE: u32 = 16;

/// Takes batches through chains, one after another, and keeps its memory.
#[derive(Default, Debug)]
pub struct Applier {
    columns: Columns,
    scratch: Vec<u8>,
}

impl Applier {
    /// One with no memory yet.
    #[must_use]
    pub fn new() -> Applier {
        Applier::default()
    }

    /// Takes a batch through `stages`, in order.
    ///
    /// Where a plugin fails over the whole batch, it is asked again record by record, so that only
    /// the records that it cannot handle fail.
    ///
    /// # Errors
    /// If a plugin refuses the batch, or what comes out cannot be stored. Nothing is to be
    /// appended then.
    pub fn run<S: Stage>(
        &mut self,
        batch: &Batch<'_>,
        stages: &mut [S],
        origin: &Origin<'_>,
    ) -> Result<Applied, ApplyError> {
        let header = batch.header();
        if stages.is_empty() || header.record_count == 0 || header.attributes.is_control() {
            let kept = header.record_count;
            let counts = Counts { records: kept, kept, ..Counts::default() };
            return Ok(Applied { change: Change::Unchanged, failed: Vec::new(), counts });
        }
        let records = batch.body(&mut self.scratch)?;
        let Origin { topic, topic_id, partition, .. } = *origin;
        let partitions = origin.derive.map_or(origin.partitions, |derive| derive.partitions);
        let context = run_context(header, topic, topic_id, partition, partitions);
        let mut work = Work::new(&mut self.columns, batch, context);
        let mut stages = stages.iter_mut().enumerate();
        // While nothing is changed, no item is made: most batches of most filters end here.
        let mut items = loop {
            let Some((number, stage)) = stages.next() else {
                if origin.derive.is_some() {
                    break read(header, records)?;
                }
                let kept = header.record_count;
                let counts = Counts { records: kept, kept, ..Counts::default() };
                return Ok(Applied { change: Change::Unchanged, failed: Vec::new(), counts });
            };
            gather_source(work.columns, stage.needs(), header, records.clone())?;
            let answer = stage.run(work.columns, &work.context);
            if !answer.as_ref().is_ok_and(|outcome| work.leaves_source(outcome)) {
                let items = read(header, records)?;
                break work.take_answer(number, stage, items, answer)?;
            }
        };
        for (number, stage) in stages {
            items = work.run_stage(number, stage, items)?;
        }
        let routes = work.routes;
        super::build::build(batch, origin, items, routes)
    }
}

/// What plugins are told of a batch. `partitions` is how many there are to choose from.
#[must_use]
pub fn run_context(
    header: &BatchHeader,
    topic: &TopicName,
    id: TopicId,
    partition: PartitionId,
    partitions: u32,
) -> RunContext {
    // The CRC covers all that the producer wrote, so a retry has the same seed.
    let id = id.0.as_u64_pair();
    let seed = u64::from(header.crc) ^ id.0 ^ id.1.rotate_left(32);
    RunContext {
        topic: topic.as_str().into(),
        partition: partition.get(),
        partitions,
        seed: seed ^ (u64::from(partition.get()) << 32),
    }
}

/// What the steps of a chain leave behind them besides the records.
#[derive(Default)]
pub(super) struct Routes {
    pub made: Made,
    /// The topics that records go to, by number.
    pub topics: Vec<TopicName>,
    numbers: HashMap<TopicName, u32>,
    /// At each record of the batch, how it failed.
    failed: Vec<Option<(usize, String)>>,
}

impl Routes {
    pub(super) fn fail(&mut self, origin: u32, stage: usize, reason: String) {
        if let Some(failed) = self.failed.get_mut(origin as usize) {
            failed.get_or_insert((stage, reason));
        }
    }

    pub(super) fn has_failed(&self, origin: u32) -> bool {
        self.failed.get(origin as usize).is_some_and(Option::is_some)
    }

    pub(super) fn take_failed(&mut self) -> Vec<Failed> {
        let failed = std::mem::take(&mut self.failed).into_iter().zip(0..);
        failed
            .filter_map(|(failed, record)| failed.map(|(stage, reason)| (record, stage, reason)))
            .map(|(record, stage, reason)| Failed { record, stage, reason })
            .collect()
    }

    pub(super) fn number(&mut self, topic: &TopicName) -> u32 {
        if let Some(number) = self.numbers.get(topic) {
            return *number;
        }
        let number = self.topics.len() as u32;
        self.topics.push(topic.clone());
        self.numbers.insert(topic.clone(), number);
        number
    }
}

struct Work<'c> {
    columns: &'c mut Columns,
    context: RunContext,
    routes: Routes,
    /// What a record may take that a plugin made.
    largest: usize,
}

impl<'c> Work<'c> {
    fn new(columns: &'c mut Columns, batch: &Batch<'_>, context: RunContext) -> Work<'c> {
        // Room for the batch's header and the record's own lengths.
        const FRAME: usize = 256;
        let largest = match batch.header().compression {
            Compression::None => MAX_BATCH,
            _ => MAX_BATCH_UNCOMPRESSED,
        };
        let failed = vec![None; batch.header().record_count as usize];
        let routes = Routes { failed, ..Routes::default() };
        Work { columns, context, routes, largest: largest.as_usize() - FRAME }
    }

    fn run_stage<'a, S: Stage>(
        &mut self,
        number: usize,
        stage: &mut S,
        items: Vec<Item<'a>>,
    ) -> Result<Vec<Item<'a>>, ApplyError> {
        if items.is_empty() {
            return Ok(items);
        }
        let answer = self.ask(stage, &items)?;
        self.take_answer(number, stage, items, answer)
    }

    /// What a plugin's answer for all items makes of them.
    fn take_answer<'a, S: Stage>(
        &mut self,
        number: usize,
        stage: &mut S,
        mut items: Vec<Item<'a>>,
        answer: Result<Outcome, RunError>,
    ) -> Result<Vec<Item<'a>>, ApplyError> {
        match answer {
            Ok(outcome) if changes_nothing(&outcome) => {}
            Ok(outcome) => {
                let mut after = Vec::with_capacity(items.len());
                self.absorb(number, items, outcome, &mut after)?;
                items = after;
            }
            Err(RunError::PutOff) => return Err(ApplyError::PutOff),
            Err(error) => items = self.one_by_one(number, stage, items, error)?,
        }
        let routes = &self.routes;
        items.retain(|item| !routes.has_failed(item.origin));
        Ok(items)
    }

    fn ask<S: Stage>(
        &mut self,
        stage: &mut S,
        items: &[Item<'_>],
    ) -> Result<Result<Outcome, RunError>, ApplyError> {
        gather(self.columns, stage.needs(), items, &self.routes.made)
            .map_err(|error| ApplyError::TooMuch { what: error.to_string() })?;
        Ok(stage.run(self.columns, &self.context))
    }

    /// Finds the records that a plugin fails over. Those that it failed over alone fail with what
    /// it did then; the order of the others is kept.
    fn one_by_one<'a, S: Stage>(
        &mut self,
        number: usize,
        stage: &mut S,
        items: Vec<Item<'a>>,
        error: RunError,
    ) -> Result<Vec<Item<'a>>, ApplyError> {
        let mut after = Vec::with_capacity(items.len());
        if let [item] = items.as_slice() {
            self.routes.fail(item.origin, number, error.to_string());
            return Ok(after);
        }
        let started = Instant::now();
        let budget = stage.batch_time().saturating_mul(ONE_BY_ONE);
        let mut timeouts = 0;
        for item in items {
            if self.routes.has_failed(item.origin) {
                continue;
            }
            if timeouts == TIMEOUTS || started.elapsed() > budget {
                let reason = format!("not tried: the plugin {error}, and then for other records");
                self.routes.fail(item.origin, number, reason);
                continue;
            }
            match self.ask(stage, &[item])? {
                Ok(outcome) => self.absorb(number, vec![item], outcome, &mut after)?,
                Err(RunError::PutOff) => return Err(ApplyError::PutOff),
                Err(error) => {
                    timeouts += u32::from(matches!(error, RunError::TimedOut { .. }));
                    self.routes.fail(item.origin, number, error.to_string());
                }
            }
        }
        Ok(after)
    }

    /// Turns the records that a plugin saw into those that it left.
    fn absorb<'a>(
        &mut self,
        number: usize,
        items: Vec<Item<'a>>,
        outcome: Outcome,
        after: &mut Vec<Item<'a>>,
    ) -> Result<(), ApplyError> {
        for Failure { record, reason } in outcome.failed {
            if let Some(item) = items.get(record as usize) {
                self.routes.fail(item.origin, number, reason);
            }
        }
        match outcome.verdict {
            Verdict::Reject { reason } => {
                return Err(ApplyError::Rejected { stage: number, reason });
            }
            Verdict::Filter(kept) => after.extend(
                items.into_iter().zip(0..).filter(|(_, i)| kept.contains(*i)).map(|(item, _)| item),
            ),
            Verdict::Partition(partitions) => {
                let chosen = items.into_iter().zip(partitions).map(|(mut item, partition)| {
                    // A record that has left the topic has left its partitions too.
                    if !matches!(item.target, Target::Topic { .. }) {
                        item.target = self.in_topic(partition);
                    }
                    item
                });
                after.extend(chosen);
            }
            Verdict::Tags(tags) => self.absorb_tags(number, items, tags, after),
            Verdict::Emitted(emitted) => self.absorb_emitted(number, &items, *emitted, after),
        }
        Ok(())
    }

    /// Whether a plugin left all records of the batch as and where they were sent.
    fn leaves_source(&self, outcome: &Outcome) -> bool {
        let here = self.context.partition;
        match &outcome.verdict {
            Verdict::Partition(partitions) if outcome.failed.is_empty() => {
                partitions.iter().all(|partition| *partition == here)
            }
            _ => changes_nothing(outcome),
        }
    }

    fn in_topic(&self, partition: u32) -> Target {
        if partition == self.context.partition {
            Target::Stay
        } else {
            Target::Partition(partition)
        }
    }

    fn absorb_tags<'a>(
        &mut self,
        number: usize,
        items: Vec<Item<'a>>,
        tags: Tags,
        after: &mut Vec<Item<'a>>,
    ) {
        let Tags { tags, values } = tags;
        let mut next = 0;
        let before = after.len();
        let buffer = self.routes.made.next();
        for (mut item, tag) in items.into_iter().zip(tags) {
            match tag {
                Tag::Keep => {}
                Tag::Drop => continue,
                Tag::Null => {
                    item.changed |= !matches!(item.value, Field::Null);
                    item.value = Field::Null;
                }
                Tag::Replace => {
                    let range = values.range(next);
                    next += 1;
                    let new = Some(&values.bytes()[range.clone()]);
                    if item.value.get(&self.routes.made) != new {
                        item.changed = true;
                        item.value = Field::Made(Span::new(buffer, range));
                    }
                }
            }
            after.push(item);
        }
        self.routes.made.add(values.into_bytes());
        self.fail_too_large(number, &after[before..]);
    }

    /// Fails the records of which a plugin made more than any batch can take.
    fn fail_too_large(&mut self, number: usize, items: &[Item<'_>]) {
        for item in items.iter().filter(|item| item.changed) {
            let size = item.size(&self.routes.made);
            if size > self.largest {
                let reason =
                    format!("it made a record of {size} bytes, more than a batch may have");
                self.routes.fail(item.origin, number, reason);
            }
        }
    }

    fn absorb_emitted<'a>(
        &mut self,
        number: usize,
        items: &[Item<'a>],
        emitted: Emitted,
        after: &mut Vec<Item<'a>>,
    ) {
        let first = self.routes.made.next();
        let before = after.len();
        for (i, output) in emitted.iter().enumerate() {
            let Some(item) = items.get(output.input as usize) else { continue };
            let mut item = *item;
            let span = |column: u32| {
                let range = emitted.columns()[column as usize].range(i);
                Span::new(first + column, range)
            };
            let field = |part: &Part<&[u8]>, old: Field<'a>, column| match part {
                Part::Null => Field::Null,
                Part::Input => old,
                Part::Own(_) => Field::Made(span(column)),
            };
            item.changed |= differs(&output.key, item.key, &self.routes.made)
                || differs(&output.value, item.value, &self.routes.made)
                || matches!(output.headers, Part::Own(_));
            item.key = field(&output.key, item.key, 0);
            item.value = field(&output.value, item.value, 1);
            if let Part::Own(_) = output.headers {
                item.headers = HeaderField::Made(span(2));
            }
            if let Some(timestamp) = output.timestamp.map(Timestamp)
                && timestamp != item.timestamp
            {
                item.changed = true;
                item.timestamp = timestamp;
            }
            match (output.topic, output.partition) {
                (Some(topic), partition) if topic.as_str() != &*self.context.topic => {
                    let topic = self.routes.number(topic);
                    item.target = Target::Topic { topic, partition, stage: number };
                }
                (Some(_), None) => item.target = Target::Stay,
                (Some(topic), Some(partition)) if partition >= self.context.partitions => {
                    let reason = format!("there is no partition {partition} in {topic}");
                    self.routes.fail(item.origin, number, reason);
                    continue;
                }
                (Some(_), Some(partition)) => item.target = self.in_topic(partition),
                // A record that has left the topic has left its partitions too.
                (None, Some(partition)) if !matches!(item.target, Target::Topic { .. }) => {
                    item.target = self.in_topic(partition);
                }
                (None, _) => {}
            }
            after.push(item);
        }
        for bytes in emitted.into_columns() {
            self.routes.made.add(bytes);
        }
        self.fail_too_large(number, &after[before..]);
    }
}

/// Whether a new part is not what the old one was.
fn differs(part: &Part<&[u8]>, old: Field<'_>, made: &Made) -> bool {
    match part {
        Part::Null => old.get(made).is_some(),
        Part::Input => false,
        Part::Own(bytes) => old.get(made) != Some(bytes),
    }
}

/// Whether a plugin left all records as and where they were; a partitioner's choice is not looked
/// at here.
fn changes_nothing(outcome: &Outcome) -> bool {
    outcome.failed.is_empty()
        && match &outcome.verdict {
            Verdict::Filter(kept) => kept.all(),
            Verdict::Tags(tags) => tags.tags.iter().all(|tag| *tag == Tag::Keep),
            Verdict::Partition(_) | Verdict::Emitted(_) | Verdict::Reject { .. } => false,
        }
}
