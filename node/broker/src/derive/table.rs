//! Takes up the records of a topic that plugins look up: the latest value of each key.
//!
//! This happens in steps of its own, between those of the input, so that a step that is run again
//! finds the table as it was.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_log::ReadError;
use tidegate_record::Batches;
use tidegate_types::{ByteSize, PartitionId};

use super::progress::Progress;
use crate::error;
use crate::topic::Topic;
use crate::view::Row;

/// Bytes read for one step.
const CHUNK: ByteSize = ByteSize::kib(256);

/// Longest key of a table; a record with a longer one is left out, and told.
const MAX_KEY: usize = 1 << 10;

/// Bytes of rows in one step, which has to fit one batch.
const MAX_ROWS: usize = 1 << 20;

/// The next records of the table, if there are any: with them, the progress behind them. Blocks.
///
/// # Errors
/// If they cannot be read.
pub(super) fn next(
    topic: &Arc<Topic>,
    prefix: &[u8],
    progress: &Progress,
) -> Result<Option<(Progress, Vec<Row>)>, String> {
    for partition in topic.partitions() {
        let id: PartitionId = partition.at.partition;
        let start = partition.log.offsets().start;
        let from = progress.table_next(id).unwrap_or(start).max(start);
        let end = partition.high_watermark();
        if from >= end {
            continue;
        }
        let mut progress = progress.clone();
        let chunk = match partition.log.reader().read(from, end, CHUNK) {
            Ok(chunk) => chunk,
            Err(ReadError::OutOfRange { start, .. }) if start > from => {
                progress.set_table_next(id, start);
                return Ok(Some((progress, Vec::new())));
            }
            Err(failure) => {
                return Err(format!("table {}: {}", topic.name, error::chain(&failure)));
            }
        };
        let (mut rows, mut bytes, mut scratch) = (Vec::new(), 0, Vec::new());
        for batch in Batches::new(&chunk.batches) {
            let batch = batch.map_err(|e| format!("table {}: {e}", topic.name))?;
            let header = batch.header();
            // Control batches have keys that mean something else.
            if !header.attributes.is_control() {
                let records = batch.body(&mut scratch).map_err(|e| e.to_string())?;
                for record in records {
                    let record = record.map_err(|e| e.to_string())?;
                    let Some(key) = record.key else { continue };
                    if key.len() > MAX_KEY {
                        tracing::warn!(table = %topic.name, "a key is too long to be looked up");
                        continue;
                    }
                    let row = Bytes::from([prefix, key].concat());
                    bytes += row.len() + record.value.map_or(0, <[u8]>::len) + 64;
                    rows.push((row, record.value.map(Bytes::copy_from_slice)));
                }
            }
            progress.set_table_next(id, header.next_offset());
            if bytes > MAX_ROWS / 2 {
                break;
            }
        }
        if bytes > MAX_ROWS {
            return Err(format!("table {}: one batch has more than {MAX_ROWS} bytes", topic.name));
        }
        // The latest of each key is enough.
        let mut latest = std::collections::BTreeMap::new();
        latest.extend(rows);
        return Ok(Some((progress, latest.into_iter().collect())));
    }
    Ok(None)
}
