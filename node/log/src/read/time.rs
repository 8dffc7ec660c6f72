//! Finding the first record of a time: the sparse index says where to begin, then batches are read
//! until one holds it.

use std::sync::Arc;

use tidegate_record::{Batch, TimestampType};
use tidegate_types::{Offset, Timestamp};

use super::walk::Walk;
use crate::ReadError;
use crate::log::Log;

impl Log {
    pub(crate) fn offset_for_time(
        &self,
        time: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        self.unless_removed(|| self.try_offset_for_time(time))
    }

    fn try_offset_for_time(
        &self,
        time: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        self.check_readable()?;
        let (offsets, segments) = (self.offsets(), self.segments());
        let mut scratch = Vec::new();
        for segment in segments.iter().filter(|segment| segment.max_timestamp() >= time) {
            let io = |source| ReadError::Io { path: segment.path.clone(), source };
            let (file, mut at) = segment
                .look(self.id, self.context(), |index| index.position_of_time(time))
                .map_err(io)?;
            let mut walk = Walk::new(Arc::clone(&file), segment.len());
            while at < walk.len {
                let Some(header) = walk.header(at).map_err(io)? else {
                    // Damage: go on at the next batch that is known to be one.
                    let next = |index: &crate::SparseIndex| index.next_after(at, segment.base);
                    let (_, next) = segment.look(self.id, self.context(), next).map_err(io)?;
                    let Some((_, position)) = next else { break };
                    at = position;
                    continue;
                };
                if header.next_offset() > offsets.end {
                    return Ok(None);
                }
                if header.max_timestamp >= time && header.next_offset() > offsets.start {
                    let mut bytes = vec![0; header.batch_len];
                    file.read_exact_at(at, &mut bytes).map_err(io)?;
                    match first_at(&bytes, time, offsets.start, &mut scratch) {
                        Ok(None) => {}
                        Ok(found) => return Ok(found),
                        Err(_) => return Err(self.damaged(segment, at, header.base_offset)),
                    }
                }
                at += header.batch_len as u64;
            }
        }
        Ok(None)
    }
}

/// The batch's first record at or after `time` whose offset is not before `start`.
fn first_at(
    bytes: &[u8],
    time: Timestamp,
    start: Offset,
    scratch: &mut Vec<u8>,
) -> Result<Option<(Offset, Timestamp)>, tidegate_record::BatchError> {
    let (batch, _) = Batch::parse(bytes)?;
    let header = *batch.header();
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Ok(Some((header.base_offset.max(start), header.max_timestamp)));
    }
    for record in batch.body(scratch)? {
        let record = record?;
        let (offset, timestamp) = (header.offset_of(&record), header.timestamp_of(&record));
        if timestamp >= time && offset >= start {
            return Ok(Some((offset, timestamp)));
        }
    }
    Ok(None)
}
