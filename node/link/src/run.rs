//! What a run of whole batches covers.

use tidegate_record::{BatchError, Batches};
use tidegate_types::{LeaderEpoch, Offset};

/// Whole batches, back to back, with rising offsets and epochs that never fall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Base offset of the first batch.
    pub first: Offset,
    /// The offset after the last batch.
    pub next: Offset,
    /// Epoch of the first batch.
    pub first_epoch: LeaderEpoch,
    /// Epoch of the last batch.
    pub last_epoch: LeaderEpoch,
}

/// Why bytes are no such run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No batch at all.
    #[error("the run has no batches")]
    Empty,
    /// A batch is damaged or cut off.
    #[error("the run has a bad batch after offset {after}")]
    Batch {
        /// The offset after the last good batch; -1 if there is none.
        after: Offset,
        /// What is wrong with it.
        source: BatchError,
    },
    /// A batch begins before the one before it ends.
    #[error("the batch at offset {base} comes after one that ends at {after}")]
    Overlap {
        /// The batch's base offset.
        base: Offset,
        /// Where the one before it ends.
        after: Offset,
    },
    /// A batch is of an earlier epoch than the one before it.
    #[error("the batch at offset {base} has epoch {epoch}, the one before it {before}")]
    Epoch {
        /// The batch's base offset.
        base: Offset,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// The epoch before it.
        before: LeaderEpoch,
    },
}

impl Run {
    /// Reads bytes that came over a wire: every batch's CRC is verified.
    ///
    /// # Errors
    /// Names the first fault.
    pub fn verify(bytes: &[u8]) -> Result<Run, RunError> {
        Run::read(Batches::new(bytes))
    }

    /// Reads bytes that were verified before: headers only.
    ///
    /// # Errors
    /// Names the first fault.
    pub fn of_trusted(bytes: &[u8]) -> Result<Run, RunError> {
        Run::read(Batches::trusted(bytes))
    }

    fn read(batches: Batches<'_>) -> Result<Run, RunError> {
        let mut run: Option<Run> = None;
        for batch in batches {
            let after = run.map_or(Offset(-1), |run| run.next);
            let batch = batch.map_err(|source| RunError::Batch { after, source })?;
            let header = batch.header();
            let (base, epoch) = (header.base_offset, header.leader_epoch);
            let run = run.get_or_insert(Run {
                first: base,
                next: base,
                first_epoch: epoch,
                last_epoch: epoch,
            });
            if base < run.next {
                return Err(RunError::Overlap { base, after: run.next });
            }
            if epoch < run.last_epoch {
                return Err(RunError::Epoch { base, epoch, before: run.last_epoch });
            }
            run.next = header.next_offset();
            run.last_epoch = epoch;
        }
        run.ok_or(RunError::Empty)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_record::{BatchBuilder, BuildOptions};
    use tidegate_types::Timestamp;

    use super::*;

    fn batch(base: i64, records: i64, epoch: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BuildOptions {
            base_offset: Offset(base),
            leader_epoch: LeaderEpoch(epoch),
            ..Default::default()
        });
        for n in 0..records {
            builder.push(Timestamp(n), None, Some(b"value"), []).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn a_run_covers_its_batches_and_the_holes_between_them() {
        let bytes = [batch(5, 2, 1), batch(7, 1, 1), batch(12, 3, 2)].concat();
        let run = Run::verify(&bytes).unwrap();
        assert_eq!((run.first, run.next), (Offset(5), Offset(15)));
        assert_eq!((run.first_epoch, run.last_epoch), (LeaderEpoch(1), LeaderEpoch(2)));
        assert_eq!(Run::of_trusted(&bytes).unwrap(), run);
    }

    #[test]
    fn overlaps_falling_epochs_and_damage_are_no_run() {
        assert!(matches!(Run::verify(&[]), Err(RunError::Empty)));
        let overlap = [batch(5, 3, 1), batch(7, 1, 1)].concat();
        assert!(matches!(
            Run::verify(&overlap),
            Err(RunError::Overlap { base: Offset(7), after: Offset(8) })
        ));
        let falling = [batch(5, 3, 2), batch(8, 1, 1)].concat();
        assert!(matches!(Run::verify(&falling), Err(RunError::Epoch { base: Offset(8), .. })));
        let mut damaged = [batch(5, 3, 1), batch(8, 1, 1)].concat();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert!(matches!(Run::verify(&damaged), Err(RunError::Batch { after: Offset(8), .. })));
        damaged.pop();
        assert!(matches!(Run::of_trusted(&damaged), Err(RunError::Batch { .. })));
    }
}
