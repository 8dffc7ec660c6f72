//! Whether and from where a partition can be copied.

use tidegate_types::{Incarnation, LeaderEpoch, Offset};
use tidegate_wire::{MirrorPartition, MirrorVerdict};

/// A copy as it lies at this site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalCopy {
    /// The life of the source's log that it is a copy of.
    pub incarnation: Incarnation,
    /// End of what is fsynced.
    pub durable: Offset,
    /// End of what is written; 0 for a copy that never had a record.
    pub end: Offset,
    /// Epoch of its last record.
    pub last_epoch: LeaderEpoch,
}

/// Compares a copy, all of it durable, with what the source offers.
///
/// A copy that never had a record begins wherever the source does. Every other one must end
/// inside what the source still has, in an epoch that the source knows by then.
#[must_use]
pub fn verdict(source: &MirrorPartition, copy: &LocalCopy) -> MirrorVerdict {
    let copy_end = copy.end;
    if copy.incarnation != source.incarnation {
        MirrorVerdict::OtherIncarnation { copied: copy.incarnation }
    } else if copy_end == Offset::ZERO {
        MirrorVerdict::Resume { from: source.start }
    } else if copy_end > source.end || copy.last_epoch > source.last_epoch {
        MirrorVerdict::Diverged { copy_end, copy_epoch: copy.last_epoch }
    } else if copy_end < source.start {
        MirrorVerdict::Gap { copy_end, source_start: source.start }
    } else {
        MirrorVerdict::Resume { from: copy_end }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_types::PartitionId;

    use super::*;

    fn source() -> MirrorPartition {
        MirrorPartition {
            partition: PartitionId(0),
            incarnation: Incarnation(7),
            start: Offset(10),
            end: Offset(20),
            last_epoch: LeaderEpoch(3),
        }
    }

    fn copy(end: i64) -> LocalCopy {
        LocalCopy {
            incarnation: Incarnation(7),
            durable: Offset(end),
            end: Offset(end),
            last_epoch: LeaderEpoch(3),
        }
    }

    #[test]
    fn a_copy_inside_the_source_goes_on_where_it_ends() {
        for end in [10, 15, 20] {
            let from = Offset(end);
            assert_eq!(verdict(&source(), &copy(end)), MirrorVerdict::Resume { from });
        }
    }

    #[test]
    fn a_new_copy_begins_where_the_source_does() {
        let new = LocalCopy { last_epoch: LeaderEpoch::NONE, ..copy(0) };
        assert_eq!(verdict(&source(), &new), MirrorVerdict::Resume { from: Offset(10) });
    }

    #[test]
    fn a_copy_that_ends_before_the_source_begins_is_a_gap() {
        let gap = MirrorVerdict::Gap { copy_end: Offset(9), source_start: Offset(10) };
        assert_eq!(verdict(&source(), &copy(9)), gap);
    }

    #[test]
    fn a_copy_with_more_or_later_records_has_diverged() {
        for copy in [copy(21), LocalCopy { last_epoch: LeaderEpoch(4), ..copy(15) }] {
            assert_eq!(
                verdict(&source(), &copy),
                MirrorVerdict::Diverged { copy_end: copy.end, copy_epoch: copy.last_epoch }
            );
        }
    }

    #[test]
    fn another_life_of_the_log_is_told_before_anything_else() {
        for end in [0, 9, 15, 21] {
            let other = LocalCopy { incarnation: Incarnation(6), ..copy(end) };
            let told = MirrorVerdict::OtherIncarnation { copied: Incarnation(6) };
            assert_eq!(verdict(&source(), &other), told);
        }
    }
}
