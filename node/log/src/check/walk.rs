//! Reads one segment's file from end to end and tells all that is wrong in it.

use std::io;

use tidegate_env::DiskFile;
use tidegate_types::{Offset, Timestamp};

use crate::DamageRange;
use crate::index::SegmentMeta;
use crate::scan::Scan;
use crate::sparse::SparseIndex;

/// Bytes that are no batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bad {
    pub(super) position: u64,
    pub(super) bytes: u64,
    pub(super) range: DamageRange,
    pub(super) what: String,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Walked {
    /// Up to the end of the last batch.
    pub(super) len: u64,
    pub(super) next: Offset,
    pub(super) max_timestamp: Timestamp,
    pub(super) batches: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) damaged: Vec<Bad>,
    /// Bytes after the last batch, other than zeros, that were not durable: position and number.
    pub(super) torn: Option<(u64, u64)>,
    /// Batches whose records cannot be read: position, base offset, why.
    pub(super) unreadable: Vec<(u64, Offset, String)>,
    /// How the index's rows differ from the file.
    pub(super) disagrees: Option<String>,
}

/// What is known of the file before it is read.
pub(super) struct Expected<'i> {
    pub(super) base: Offset,
    /// The offset up to which its content was durable; all of it if `None`.
    pub(super) durable: Option<Offset>,
    /// Where the log goes on after it, if it does.
    pub(super) successor: Option<Offset>,
    pub(super) row: Option<(SegmentMeta, Option<&'i SparseIndex>)>,
    pub(super) deep: bool,
}

/// Reads the file; `read` is told the number of bytes after each batch or bad place.
pub(super) fn walk(
    file: &dyn DiskFile,
    expected: &Expected<'_>,
    read: &mut dyn FnMut(u64),
) -> io::Result<Walked> {
    let mut scan = Scan::new(file)?;
    let base = expected.base;
    let mut found = Walked {
        len: 0,
        next: base,
        max_timestamp: Timestamp::NONE,
        batches: 0,
        records: 0,
        bytes: 0,
        damaged: Vec::new(),
        torn: None,
        unreadable: Vec::new(),
        disagrees: None,
    };
    let mut rows = RowCheck::new(expected);
    let mut scratch = Vec::new();
    loop {
        let at = found.len;
        let what = match scan.verify(at, found.next)? {
            Ok(batch) => {
                let header = *batch.header();
                if expected.deep
                    && let Err(why) = decode(&batch, &mut scratch)
                {
                    found.unreadable.push((at, header.base_offset, why));
                }
                rows.batch(at, header.base_offset, found.next);
                found.batches += 1;
                found.records += u64::from(header.record_count);
                found.bytes += header.batch_len as u64;
                found.len += header.batch_len as u64;
                found.next = header.next_offset();
                found.max_timestamp = found.max_timestamp.max(header.max_timestamp);
                read(header.batch_len as u64);
                continue;
            }
            Err(what) => what,
        };
        // Where offsets that were durable end, if they are not all in the file.
        let from = found.next;
        let lost_end = expected.successor.or(expected.durable.filter(|durable| *durable > from));
        let zeros = scan.is_zero_from(at)?;
        let covered = expected.durable.is_none_or(|durable| from < durable);
        let resume = if covered && !zeros {
            scan.resume_after(at, from.advance(1), expected.durable)?
        } else {
            None
        };
        let header = match resume {
            Some(position) => scan.header(position)?.map(|header| (position, header)),
            None => None,
        };
        // As recovery judges it: what goes on beyond what was durable is a torn tail's remains.
        let goes_on = header.filter(|(_, header)| {
            let limit = expected.successor.or(expected.durable);
            limit.is_none_or(|limit| header.base_offset <= limit)
        });
        let Some((position, header)) = goes_on else {
            let bytes = scan.len() - at;
            match lost_end {
                // A file with a successor is cut to its length.
                Some(end) if bytes > 0 => {
                    let range = DamageRange { from, end };
                    rows.skip(at + bytes);
                    found.damaged.push(Bad { position: at, bytes, range, what });
                }
                None if bytes > 0 && !zeros => found.torn = Some((at, bytes)),
                _ => {}
            }
            read(bytes);
            break;
        };
        let range = DamageRange { from, end: header.base_offset };
        rows.skip(position);
        found.damaged.push(Bad { position: at, bytes: position - at, range, what });
        read(position - at);
        (found.len, found.next) = (position, header.base_offset);
    }
    found.disagrees = rows.finish(&found);
    Ok(found)
}

/// Reads every record of a batch.
fn decode(batch: &tidegate_record::Batch<'_>, scratch: &mut Vec<u8>) -> Result<(), String> {
    for (n, record) in batch.body(scratch).map_err(|error| error.to_string())?.enumerate() {
        record.map_err(|error| format!("record {n}: {error}"))?;
    }
    Ok(())
}

/// Compares the index's rows of a file with what is found in it on the way.
struct RowCheck<'i> {
    base: Offset,
    closed: bool,
    row: Option<(SegmentMeta, Option<&'i SparseIndex>)>,
    /// Indexed batches not met yet, as offset and position.
    entries: std::iter::Peekable<Box<dyn Iterator<Item = (Offset, u64)> + 'i>>,
    wrong: Option<String>,
}

impl<'i> RowCheck<'i> {
    fn new(expected: &Expected<'i>) -> RowCheck<'i> {
        let (base, closed) = (expected.base, expected.successor.is_some());
        let row = expected.row;
        let entries: Box<dyn Iterator<Item = (Offset, u64)>> = match row {
            Some((_, Some(sparse))) => Box::new(sparse.batches().map(move |(delta, position)| {
                (base.advance(i64::from(delta)), u64::from(position))
            })),
            _ => Box::new(std::iter::empty()),
        };
        let wrong = match row {
            None if closed => Some("the index has no row for it".to_owned()),
            Some((_, None)) => Some("the index has no offsets for it".to_owned()),
            _ => None,
        };
        RowCheck { base, closed, row, entries: entries.peekable(), wrong }
    }

    /// Notes a batch at `at`; the one before it ended at `before`.
    fn batch(&mut self, at: u64, offset: Offset, before: Offset) {
        if let Some((entry_offset, position)) = self.entries.next_if(|(_, entry)| *entry <= at)
            && (entry_offset, position) != (offset, at)
        {
            self.differs(format!(
                "the index has a batch with offset {entry_offset} at byte {position}, where none is"
            ));
        }
        if let Some((row, _)) = self.row
            && !self.closed
            && row.len == at
            && row.next != before
        {
            let (next, len) = (row.next, row.len);
            self.differs(format!("by the index byte {len} is offset {next}, it is {before}"));
        }
    }

    /// Passes over indexed batches that lie in damaged bytes, which end at `end`.
    fn skip(&mut self, end: u64) {
        while self.entries.next_if(|(_, position)| *position < end).is_some() {}
    }

    fn differs(&mut self, how: String) {
        self.wrong.get_or_insert(how);
    }

    fn finish(mut self, found: &Walked) -> Option<String> {
        if let Some((offset, position)) = self.entries.next() {
            self.differs(format!(
                "the index has a batch with offset {offset} at byte {position}, after the last one"
            ));
        }
        let Some((row, _)) = self.row else { return self.wrong };
        let SegmentMeta { len, next, max_timestamp } = row;
        let base = self.base;
        // Damage at the end is part of the file; the row may be of before it or after.
        let bad_end = found.damaged.last().filter(|bad| bad.position >= found.len);
        let end = bad_end.map_or(found.len, |bad| bad.position + bad.bytes);
        let offset = bad_end.map_or(found.next, |bad| bad.range.end).min(next).max(found.next);
        if self.closed && (len, next) != (end, offset) {
            self.differs(format!(
                "by the index it ends at byte {len}, offset {next}; it does at {end}, {offset}"
            ));
        } else if self.closed && found.damaged.is_empty() && max_timestamp != found.max_timestamp {
            self.differs("the index has another latest timestamp".to_owned());
        } else if len > end || next > offset {
            self.differs(format!("by the index {len} bytes of it are synced, it has {end}"));
        } else if len == end && next != offset {
            self.differs(format!("by the index it ends at offset {next}, it does at {offset}"));
        } else if len == 0 && next != base {
            self.differs(format!("by the index it begins at offset {next}"));
        }
        self.wrong
    }
}
