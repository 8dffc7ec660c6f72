//! The latest record of every key of `__derive`: a view in a database, and what it lacks.
//!
//! What is durable in the log is noted here, in the log's order, and written to the view now and
//! then, in one transaction. Readers see both as one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tidegate_log::ReadError;
use tidegate_record::Batches;
use tidegate_types::{ByteSize, Offset};

use crate::error;
use crate::topic::Partition;
use crate::view::{Row, View, ViewError, ViewReader};

/// Bytes read from the log at once.
const CHUNK: ByteSize = ByteSize::mib(1);

/// Bytes that the view may lack before it is written.
const ENOUGH: usize = 8 << 20;

/// Bytes that it may lack at all; whoever adds to them waits.
const MOST: usize = 64 << 20;

type Rows = BTreeMap<Bytes, Option<Bytes>>;

/// The records of one life of the log.
pub(super) struct Store {
    view: Mutex<View>,
    reader: ViewReader,
    behind: Mutex<Behind>,
}

struct Behind {
    rows: Rows,
    /// Being written to the view; older than `rows`.
    writing: Arc<Rows>,
    bytes: usize,
    applied: Offset,
}

/// A page of rows, and whether there may be more behind it.
pub(super) struct Page {
    pub(super) rows: Vec<(Bytes, Bytes)>,
    pub(super) more: bool,
}

impl Store {
    /// Opens the view and reads what the log has behind it. Blocks.
    ///
    /// # Errors
    /// If log or view cannot be read now.
    pub(super) fn load(partition: &Partition, mut view: View) -> Result<Store, String> {
        let (start, end) = (partition.log.offsets().start, partition.high_watermark());
        let from = match view.applied_within(start, end) {
            Ok(from) => from,
            Err(unusable) => {
                let reason = error::chain(&unusable);
                tracing::warn!(reason, "the view of derivations is made anew from the log");
                view.remove().map_err(|e| error::chain(&e))?;
                None
            }
        };
        let reader = view.reader().map_err(|e| error::chain(&e))?;
        let behind = Behind {
            rows: Rows::new(),
            writing: Arc::default(),
            bytes: 0,
            applied: from.unwrap_or(start),
        };
        let store = Store { view: Mutex::new(view), reader, behind: Mutex::new(behind) };
        store.replay(partition, from.unwrap_or(start))?;
        tracing::info!(from_view = from.is_some(), "derivations loaded");
        Ok(store)
    }

    fn replay(&self, partition: &Partition, mut next: Offset) -> Result<(), String> {
        let mut reader = partition.log.reader();
        loop {
            let end = partition.high_watermark();
            if next >= end {
                break;
            }
            match reader.read(next, end, CHUNK) {
                Ok(chunk) if chunk.next_offset <= next => break,
                Ok(chunk) => {
                    next = chunk.next_offset;
                    self.note(rows_of(&chunk.batches)?, next);
                }
                Err(ReadError::Damaged { range }) if range.end > next => {
                    return Err(format!(
                        "steps from {} to {} are damaged: see 'tidegate log check'",
                        range.from, range.end
                    ));
                }
                // Compaction went on in between.
                Err(ReadError::OutOfRange { start, .. }) if start > next => next = start,
                Err(failure) => return Err(error::chain(&failure)),
            }
            if self.is_far_behind() {
                self.write().map_err(|e| error::chain(&e))?;
            }
        }
        self.write().map_err(|e| error::chain(&e))
    }

    /// Notes records that are durable, and lie before `next`. Called in the log's order.
    pub(super) fn note(&self, rows: Vec<Row>, next: Offset) {
        let mut behind = self.behind();
        behind.bytes += rows.iter().map(size).sum::<usize>();
        behind.rows.extend(rows);
        behind.applied = next;
    }

    /// Whether the view had better be written now.
    pub(super) fn is_far_behind(&self) -> bool {
        self.behind().bytes > ENOUGH
    }

    /// Whether there is no more room in memory for what the view lacks.
    pub(super) fn is_too_far_behind(&self) -> bool {
        self.behind().bytes > MOST
    }

    /// Writes what the view lacks. Blocks.
    ///
    /// # Errors
    /// If the view cannot be written; nothing is lost.
    pub(super) fn write(&self) -> Result<(), ViewError> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, applied, bytes) = {
            let mut behind = self.behind();
            if behind.rows.is_empty() {
                return Ok(());
            }
            behind.writing = Arc::new(std::mem::take(&mut behind.rows));
            let bytes = std::mem::take(&mut behind.bytes);
            (behind.writing.clone(), behind.applied, bytes)
        };
        let written = view.write(rows.iter(), applied);
        let mut behind = self.behind();
        behind.writing = Arc::default();
        if written.is_err() {
            behind.bytes += bytes;
            let newer = std::mem::take(&mut behind.rows);
            behind.rows = Arc::unwrap_or_clone(rows);
            behind.rows.extend(newer);
        }
        written
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, String> {
        {
            let behind = self.behind();
            if let Some(row) = behind.rows.get(key).or_else(|| behind.writing.get(key)) {
                return Ok(row.clone());
            }
        }
        self.reader.get(key).map_err(|e| error::chain(&e))
    }

    /// Some rows from the key `from` on whose keys begin with `prefix`, in order. A page may be empty
    /// and have more behind it: `next` is where to go on.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn page(&self, prefix: &[u8], from: &mut Vec<u8>) -> Result<Page, String> {
        const PAGE: usize = 256;
        // What is moved to the view meanwhile is in one of the two, or in both.
        let behind: Rows = {
            let behind = self.behind();
            let newer = within(&behind.rows, prefix, from);
            let mut rows: Rows = within(&behind.writing, prefix, from).collect();
            rows.extend(newer);
            rows
        };
        let found = self.reader.from(from, PAGE).map_err(|e| error::chain(&e))?;
        let full = found.len() == PAGE;
        let found: Vec<_> =
            found.into_iter().take_while(|(key, _)| key.starts_with(prefix)).collect();
        let more = full && found.len() == PAGE;
        let last = found.last().map(|(key, _)| key.clone());
        let mut rows: Rows = found.into_iter().map(|(key, value)| (key, Some(value))).collect();
        // Beyond the page's end nothing is known of the view.
        let known = |key: &Bytes| !more || last.as_ref().is_some_and(|last| key <= last);
        rows.extend(behind.into_iter().filter(|(key, _)| known(key)));
        if let Some(last) = last.filter(|_| more) {
            *from = last.to_vec();
            from.push(0);
        }
        let rows = rows.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        Ok(Page { rows, more })
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn within<'r>(
    rows: &'r Rows,
    prefix: &'r [u8],
    from: &[u8],
) -> impl Iterator<Item = (Bytes, Option<Bytes>)> + use<'r> {
    let from = (Bound::Included(from), Bound::Unbounded);
    rows.range::<[u8], _>(from)
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()))
}

fn size((key, value): &Row) -> usize {
    key.len() + value.as_ref().map_or(0, Bytes::len) + 64
}

fn rows_of(batches: &[u8]) -> Result<Vec<Row>, String> {
    let (mut rows, mut scratch) = (Vec::new(), Vec::new());
    for batch in Batches::new(batches) {
        let batch = batch.map_err(|e| e.to_string())?;
        for record in batch.body(&mut scratch).map_err(|e| e.to_string())? {
            let record = record.map_err(|e| e.to_string())?;
            let Some(key) = record.key.map(Bytes::copy_from_slice) else { continue };
            rows.push((key, record.value.map(Bytes::copy_from_slice)));
        }
    }
    Ok(rows)
}
