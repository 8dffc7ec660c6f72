//! What whole batches hold, by their headers alone.

use tidegate_record::{BatchError, BatchHeader};
use tidegate_types::Offset;

use crate::quota::Amount;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Scanned {
    /// Records and bytes of whole batches.
    pub amount: Amount,
    /// The offset after the last whole batch.
    pub next: Option<Offset>,
}

/// Goes over whole batches; one that is cut at the end is left out. Neither checksums nor records
/// are looked at: the reader is not to be what is measured.
///
/// # Errors
/// If a header is none.
pub(crate) fn scan(mut batches: &[u8]) -> Result<Scanned, BatchError> {
    let mut scanned = Scanned::default();
    loop {
        let header = match BatchHeader::parse(batches) {
            Ok(header) => header,
            Err(BatchError::Truncated { .. }) => return Ok(scanned),
            Err(error) => return Err(error),
        };
        let Some(rest) = batches.get(header.batch_len..) else {
            return Ok(scanned);
        };
        scanned.amount.records += u64::from(header.record_count);
        scanned.amount.bytes += header.batch_len as u64;
        scanned.next = Some(header.next_offset());
        batches = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::{BatchSize, Records};
    use tidegate_record::set_base_offset;

    fn two() -> Vec<u8> {
        let records = Records { batch_size: BatchSize::Records(10), ..Records::default() };
        let mut batches = Vec::new();
        for n in 0..2 {
            let mut batch = records.build().unwrap().bytes.to_vec();
            set_base_offset(&mut batch, Offset(100 + 10 * n));
            batches.extend(batch);
        }
        batches
    }

    #[test]
    fn whole_batches_are_counted() {
        let batches = two();
        let scanned = scan(&batches).unwrap();
        assert_eq!(scanned.amount, Amount { records: 20, bytes: batches.len() as u64 });
        assert_eq!(scanned.next, Some(Offset(120)));
    }

    #[test]
    fn a_batch_that_is_cut_is_left_out() {
        let batches = two();
        for cut in [1, 30, 61, 500] {
            let scanned = scan(&batches[..batches.len() - cut]).unwrap();
            assert_eq!((scanned.amount.records, scanned.next), (10, Some(Offset(110))), "{cut}");
        }
        assert_eq!(scan(&batches[..20]).unwrap(), Scanned::default());
        assert_eq!(scan(&[]).unwrap(), Scanned::default());
    }

    #[test]
    fn what_is_no_batch_is_an_error() {
        assert!(scan(&[0xff; 100]).is_err());
    }
}
