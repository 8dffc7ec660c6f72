//! Dead letters: records that a plugin could not handle, with what is known of it.
//!
//! The original key, value, headers and timestamp are kept, and headers are added that say which
//! plugin failed where, and why. A retry builds the same dead letters under the same ids.

use bytes::Bytes;
use tidegate_record::{Batch, BatchBuilder, BuildOptions, Record};
use tidegate_types::limits::MAX_RECORD_HEADERS;
use tidegate_types::{ByteSize, Offset, PluginName, ProducerStamp, Timestamp};

use super::route::derived_producer;
use super::{ApplyError, Failed, Origin};
use tidegate_types::PluginHash;

/// How many headers are added, at most.
const ADDED: u32 = 8;
/// No dead letter takes more.
const MAX: usize = ByteSize::mib(2).as_usize();
/// A batch of dead letters is closed at this size, so that it can take whatever comes last.
const ENOUGH: usize = MAX / 2;
/// What is kept of a record that would not fit with what is added.
const CUT_KEY: usize = ENOUGH / 8;
/// See [`CUT_KEY`].
const CUT_VALUE: usize = ENOUGH / 2;

/// One step of a chain, as dead letters name it.
#[derive(Clone, Copy, Debug)]
pub struct DeadPlugin<'a> {
    /// The plugin's name.
    pub name: &'a PluginName,
    /// Its hash.
    pub hash: PluginHash,
}

/// What dead letters say of where they come from.
#[derive(Clone, Copy)]
pub struct DeadLetters<'a> {
    /// Where the batch came from.
    pub origin: &'a Origin<'a>,
    /// The steps of the chain, in order.
    pub plugins: &'a [DeadPlugin<'a>],
    /// The hook, as in `ingest`.
    pub stage: &'a str,
    /// The batch's first offset, where it is known: before the append it is not.
    pub base_offset: Option<Offset>,
}

/// Wraps up the records of `batch` that are named in `failed`: their originals, with headers that
/// tell why, in batches to be appended to a dead-letter topic in this order.
///
/// Added after the original headers are `tidegate.dead.reason`, `.plugin`, `.plugin.hash`,
/// `.topic`, `.partition`, `.stage`, and `.offset` where it is known. A record that no batch could
/// hold with these has its value cut and its headers left out, and `tidegate.dead.cut` says how
/// long it was.
///
/// Records that failed at different steps come in different batches. `failed` is in rising order
/// of records, as [`Applied::failed`](super::Applied::failed) is.
///
/// # Errors
/// If the batch cannot be read.
pub fn dead_letter_batches(
    batch: &Batch<'_>,
    failed: &[Failed],
    about: &DeadLetters<'_>,
) -> Result<Vec<Bytes>, ApplyError> {
    let mut scratch = Vec::new();
    let mut letters = Vec::new();
    let header = batch.header();
    let mut left = failed.iter().peekable();
    for (record, index) in batch.body(&mut scratch)?.zip(0u32..) {
        let record = record?;
        while let Some(failed) = left.next_if(|failed| failed.record <= index) {
            if failed.record == index {
                letters.push((failed, record, header.timestamp_of(&record)));
            }
        }
    }
    // Stable: within a step, the order of the records stays.
    letters.sort_by_key(|(failed, ..)| failed.stage);
    letters
        .chunk_by(|(a, ..), (b, ..)| a.stage == b.stage)
        .map(|letters| of_one_stage(batch, letters, about))
        .try_fold(Vec::new(), |mut all, batches| {
            all.append(&mut batches?);
            Ok(all)
        })
}

type Letter<'a> = (&'a Failed, Record<'a>, Timestamp);

fn of_one_stage(
    batch: &Batch<'_>,
    letters: &[Letter<'_>],
    about: &DeadLetters<'_>,
) -> Result<Vec<Bytes>, ApplyError> {
    let header = batch.header();
    let stage = letters.first().map_or(0, |(failed, ..)| failed.stage);
    let origin = about.origin;
    let purpose = format!("{}/dead/{stage}", origin.purpose);
    let stamp = origin.stamp(header).map(|stamp| ProducerStamp {
        id: derived_producer(stamp.id, origin.topic_id, origin.partition, &purpose),
        ..stamp
    });
    let compression = header.compression;
    let options = BuildOptions { compression, stamp, ..BuildOptions::default() };
    let mut builder = BatchBuilder::new(options);
    let mut batches: Vec<Bytes> = Vec::new();
    let finish = |builder: &mut BatchBuilder, batches: &mut Vec<Bytes>| {
        batches.push(builder.build().map_err(ApplyError::Build)?.into());
        // Each batch has a record, so that these stay below the next input's sequence.
        let next = stamp.map(|stamp| ProducerStamp {
            base_sequence: stamp.base_sequence.advance(batches.len() as i32),
            ..stamp
        });
        builder.set_options(BuildOptions { stamp: next, ..options });
        Ok::<_, ApplyError>(())
    };
    for (failed, record, timestamp) in letters {
        let added = Added::new(failed, record, about);
        if !builder.is_empty() && builder.size() + added.size(record) > ENOUGH {
            finish(&mut builder, &mut batches)?;
        }
        added.push(&mut builder, record, *timestamp).map_err(ApplyError::Record)?;
        if builder.size() > ENOUGH {
            finish(&mut builder, &mut batches)?;
        }
    }
    if !builder.is_empty() {
        finish(&mut builder, &mut batches)?;
    }
    Ok(batches)
}

/// The headers that are added to one record.
struct Added {
    headers: Vec<(&'static str, String)>,
    size: usize,
}

impl Added {
    fn new(failed: &Failed, record: &Record<'_>, about: &DeadLetters<'_>) -> Added {
        let origin = about.origin;
        let mut headers = vec![
            ("tidegate.dead.reason", failed.reason.clone()),
            ("tidegate.dead.topic", origin.topic.to_string()),
            ("tidegate.dead.partition", origin.partition.to_string()),
            ("tidegate.dead.stage", about.stage.to_owned()),
        ];
        if let Some(plugin) = about.plugins.get(failed.stage) {
            headers.push(("tidegate.dead.plugin", plugin.name.to_string()));
            headers.push(("tidegate.dead.plugin.hash", plugin.hash.to_string()));
        }
        if let Some(base) = about.base_offset {
            let offset = base.advance(i64::from(record.offset_delta));
            headers.push(("tidegate.dead.offset", offset.to_string()));
        }
        let size = headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        Added { headers, size }
    }

    fn size(&self, record: &Record<'_>) -> usize {
        let bytes = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        self.size + bytes(record.key) + bytes(record.value) + record.headers.raw().len()
    }

    fn push(
        &self,
        builder: &mut BatchBuilder,
        record: &Record<'_>,
        timestamp: Timestamp,
    ) -> Result<(), tidegate_record::PushError> {
        let added =
            self.headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        // Room for what a record and a batch need besides.
        let fits = self.size(record) + 1_024 <= MAX;
        if fits && record.headers.len() as u32 + ADDED <= MAX_RECORD_HEADERS {
            let headers = record.headers.iter().chain(added);
            return builder.push(timestamp, record.key, record.value, headers);
        }
        let len = self.size(record).saturating_sub(self.size).to_string();
        let cut = (&b"tidegate.dead.cut"[..], Some(len.as_bytes()));
        let key = record.key.filter(|key| key.len() <= CUT_KEY);
        let value = record.value.map(|value| &value[..value.len().min(CUT_VALUE)]);
        builder.push(timestamp, key, value, added.chain([cut]))
    }
}
