//! From the records that came out of a chain to batches.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidegate_record::{
    Batch, BatchBuilder, BatchHeader, BuildError, BuildOptions, PushError, TimestampType,
    set_append_time,
};
use tidegate_types::limits::MAX_BATCH;
use tidegate_types::{PartitionId, ProducerStamp, TopicName};

use super::chain::Routes;
use super::items::{HeaderField, Item, Made, Target, packed};
use super::route::derived_producer;
use super::{Applied, ApplyError, Change, Counts, Origin, OutputBatch};

/// Where an item goes in the end: a topic's number, or none for that of the batch.
type Place = (Option<u32>, u32);

pub(super) fn build(
    batch: &Batch<'_>,
    origin: &Origin<'_>,
    items: Vec<Item<'_>>,
    mut routes: Routes,
) -> Result<Applied, ApplyError> {
    let header = batch.header();
    let places = resolve(origin, &items, &mut routes);
    let routes = &mut routes;
    let (staying, away) = divide(origin, items, places, routes);
    let failed = routes.take_failed();
    let moved = away.values().map(|items| items.len() as u32).sum();
    let changed = staying.iter().filter(|item| item.changed).count() as u32;
    let counts = Counts {
        records: header.record_count,
        dropped: header.record_count - failed.len() as u32 - origins(&staying, &away),
        failed: failed.len() as u32,
        kept: staying.len() as u32 - changed,
        rewritten: changed,
        moved,
    };
    let nothing_changed = away.is_empty()
        && counts.kept == header.record_count
        && staying.iter().zip(0..).all(|(item, i)| item.origin == i);
    let change = if nothing_changed {
        Change::Unchanged
    } else {
        Builder { header, origin, made: &routes.made, topics: &routes.topics }
            .change(staying, away)?
    };
    Ok(Applied { change, failed, counts })
}

/// Finds each item's place. Items for which there is none fail their records.
fn resolve(origin: &Origin<'_>, items: &[Item<'_>], routes: &mut Routes) -> Vec<Place> {
    let mut sizes: Vec<Option<Option<u32>>> = vec![None; routes.topics.len()];
    let here = origin.partition.get();
    let derived = origin.derive.map(|derive| (routes.number(derive.to), derive.partitions));
    let mut places = Vec::with_capacity(items.len());
    for item in items {
        places.push(match (item.target, derived) {
            (Target::Stay, None) => (None, here),
            (Target::Stay, Some((topic, size))) => (Some(topic), here % size),
            (Target::Partition(partition), None) => (None, partition),
            (Target::Partition(partition), Some((topic, _))) => (Some(topic), partition),
            (Target::Topic { topic, partition, stage }, _) => {
                let name = &routes.topics[topic as usize];
                let size = sizes[topic as usize]
                    .get_or_insert_with(|| (origin.partitions_of)(name).filter(|n| *n > 0));
                let place = match (*size, partition) {
                    (None, _) => Err(format!("there is no topic {name}")),
                    (Some(size), Some(partition)) if partition >= size => {
                        Err(format!("there is no partition {partition} in {name}"))
                    }
                    (Some(_), Some(partition)) => Ok(partition),
                    // By what a retry has as well: the key, or where the batch was sent.
                    (Some(size), None) => Ok(match item.key.get(&routes.made) {
                        Some(key) => tidegate_types::key_partition(key, size).get(),
                        None => here % size,
                    }),
                };
                match place {
                    Ok(partition) => (Some(topic), partition),
                    Err(reason) => {
                        routes.fail(item.origin, stage, reason);
                        (None, here)
                    }
                }
            }
        });
    }
    places
}

type Away<'a> = BTreeMap<Place, Vec<Item<'a>>>;

/// Parts what stays from what goes, and leaves out what failed.
fn divide<'a>(
    origin: &Origin<'_>,
    items: Vec<Item<'a>>,
    places: Vec<Place>,
    routes: &Routes,
) -> (Vec<Item<'a>>, Away<'a>) {
    let here = (None, origin.partition.get());
    let mut away = Away::new();
    let mut staying = Vec::with_capacity(items.len());
    for (item, place) in items.into_iter().zip(places) {
        if routes.has_failed(item.origin) {
            continue;
        }
        if place == here {
            staying.push(item);
        } else {
            away.entry(place).or_default().push(item);
        }
    }
    (staying, away)
}

/// How many records have outputs.
fn origins(staying: &[Item<'_>], away: &Away<'_>) -> u32 {
    if away.is_empty() {
        // In order, so that those of one record lie side by side.
        let splits = staying.windows(2).filter(|pair| pair[0].origin == pair[1].origin).count();
        return (staying.len() - splits) as u32;
    }
    let mut origins: Vec<u32> =
        staying.iter().chain(away.values().flatten()).map(|item| item.origin).collect();
    origins.sort_unstable();
    origins.dedup();
    origins.len() as u32
}

struct Builder<'w> {
    header: &'w BatchHeader,
    origin: &'w Origin<'w>,
    made: &'w Made,
    topics: &'w [TopicName],
}

impl Builder<'_> {
    fn change<'a>(
        &self,
        mut staying: Vec<Item<'a>>,
        mut away: Away<'a>,
    ) -> Result<Change, ApplyError> {
        let stamp = self.origin.stamp(self.header);
        let split = staying.windows(2).any(|pair| pair[0].origin == pair[1].origin);
        if self.origin.keep_offsets && (split || !away.is_empty()) {
            return Err(ApplyError::CannotMove);
        }
        let here = (None, self.origin.partition.get());
        let mut outputs = Vec::new();
        let in_place = if self.origin.derive.is_some() {
            None
        } else if stamp.is_some() || self.origin.keep_offsets {
            let fitting = if split { None } else { self.with_holes(&staying)? };
            Some(match fitting {
                Some(batch) => batch,
                None if self.origin.keep_offsets => {
                    let what = format!("rewritten, the batch is larger than {MAX_BATCH}");
                    return Err(ApplyError::TooMuch { what });
                }
                None => {
                    // More than the batch's own place can take: beside it, under a derived id.
                    away.insert(here, std::mem::take(&mut staying));
                    self.empty()?
                }
            })
        } else {
            let mut batches = self.dense(&staying, None)?.into_iter();
            let first = batches.next();
            outputs.extend(batches.map(|batch| self.output(here, batch)));
            first
        };
        if self.origin.derive.is_none()
            && self.header.attributes.is_transactional()
            && !(away.is_empty() && outputs.is_empty())
        {
            return Err(ApplyError::Transactional);
        }
        let derived = stamp.map(|stamp| ProducerStamp {
            id: derived_producer(
                stamp.id,
                self.origin.topic_id,
                self.origin.partition,
                self.origin.purpose,
            ),
            ..stamp
        });
        for (place, items) in &away {
            let batches = self.dense(items, derived)?;
            outputs.extend(batches.into_iter().map(|batch| self.output(*place, batch)));
        }
        Ok(if outputs.is_empty() {
            Change::InPlace { batch: in_place }
        } else {
            Change::Scattered { in_place, outputs }
        })
    }

    fn output(&self, (topic, partition): Place, batch: Bytes) -> OutputBatch {
        OutputBatch {
            topic: topic.and_then(|topic| self.topics.get(topic as usize)).cloned(),
            partition: PartitionId(partition),
            batch,
        }
    }

    fn in_place_options(&self) -> BuildOptions {
        BuildOptions {
            compression: self.header.compression,
            leader_epoch: self.header.leader_epoch,
            stamp: self.header.stamp(),
            base_offset: self.header.base_offset,
            transactional: self.header.attributes.is_transactional(),
            control: false,
        }
    }

    /// One batch in which every record has its offset; `None` if it would be too large.
    fn with_holes(&self, items: &[Item<'_>]) -> Result<Option<Bytes>, ApplyError> {
        let mut builder = BatchBuilder::new(self.in_place_options());
        for item in items {
            match self.push(&mut builder, item, item.offset_delta) {
                Ok(()) => {}
                Err(error @ PushError::TooManyHeaders { .. }) => {
                    return Err(ApplyError::Record(error));
                }
                Err(_) => return Ok(None),
            }
        }
        builder.set_last_offset_delta(self.header.last_offset_delta);
        let mut batch = match builder.build() {
            Ok(batch) => batch,
            Err(BuildError::TooLarge { .. }) => return Ok(None),
            Err(error) => return Err(ApplyError::Build(error)),
        };
        if self.header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            set_append_time(&mut batch, self.header.max_timestamp);
        }
        Ok(Some(batch.into()))
    }

    /// What marks the batch's place when nothing of it stays.
    fn empty(&self) -> Result<Bytes, ApplyError> {
        let mut builder = BatchBuilder::new(self.in_place_options());
        builder.set_last_offset_delta(self.header.last_offset_delta);
        builder.build().map(Bytes::from).map_err(ApplyError::Build)
    }

    /// As many batches as it takes, without holes. With a stamp, the `n`th has the `n`th sequence.
    fn dense(
        &self,
        items: &[Item<'_>],
        stamp: Option<ProducerStamp>,
    ) -> Result<Vec<Bytes>, ApplyError> {
        let mut batches = Vec::new();
        // How well records pack is known only when they are packed: what is too large is halved.
        let mut waiting = vec![items];
        while let Some(items) = waiting.pop() {
            if stamp.is_some() && batches.len() as u32 >= self.header.record_count {
                let what = "more batches for one partition than there were records".to_owned();
                return Err(ApplyError::TooMuch { what });
            }
            let next = batches.len() as i32;
            let stamp = stamp.map(|stamp| ProducerStamp {
                base_sequence: stamp.base_sequence.advance(next),
                ..stamp
            });
            match self.pack(items, stamp) {
                Ok(batch) => batches.extend(batch),
                Err(_) if items.len() > 1 => {
                    let (left, right) = items.split_at(items.len() / 2);
                    waiting.extend([right, left]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(batches)
    }

    /// One batch without holes; none of no records.
    fn pack(
        &self,
        items: &[Item<'_>],
        stamp: Option<ProducerStamp>,
    ) -> Result<Option<Bytes>, ApplyError> {
        if items.is_empty() {
            return Ok(None);
        }
        let compression = self.header.compression;
        let options = BuildOptions { compression, stamp, ..BuildOptions::default() };
        let mut builder = BatchBuilder::new(options);
        for item in items {
            let delta = builder.len() as i32;
            self.push(&mut builder, item, delta).map_err(ApplyError::Record)?;
        }
        builder.build().map(|batch| Some(batch.into())).map_err(ApplyError::Build)
    }

    fn push(
        &self,
        builder: &mut BatchBuilder,
        item: &Item<'_>,
        offset_delta: i32,
    ) -> Result<(), PushError> {
        let (key, value) = (item.key.get(self.made), item.value.get(self.made));
        match item.headers {
            HeaderField::Source(headers) => {
                builder.push_record(offset_delta, item.timestamp, key, value, headers)
            }
            HeaderField::Made(span) => {
                let headers = packed(span, self.made);
                builder.push_at(offset_delta, item.timestamp, key, value, headers)
            }
        }
    }
}
