//! Where each leader epoch began in a log, for the link handshake and for followers.

use tidegate_types::{LeaderEpoch, Offset};

/// Epoch starts, both columns rising.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epochs {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl Epochs {
    pub(crate) fn from_starts(starts: Vec<(LeaderEpoch, Offset)>) -> Option<Epochs> {
        let rising = starts.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        rising.then_some(Epochs { starts })
    }

    pub(crate) fn starts(&self) -> &[(LeaderEpoch, Offset)] {
        &self.starts
    }

    /// Notes a batch's epoch; one that is not above the last tells nothing new. A batch from before
    /// the log's start, as recovery meets them in a file that was trimmed in part, counts as if it
    /// lay there.
    pub(crate) fn observe(&mut self, epoch: LeaderEpoch, base: Offset) {
        if epoch > self.last() {
            let base = self.starts.last().map_or(base, |(_, last)| base.max(*last));
            self.starts.push((epoch, base));
        }
    }

    /// Forgets what lies before `start`; the epoch that holds it begins there now.
    pub(crate) fn cut_head(&mut self, start: Offset) {
        let begun = self.starts.partition_point(|(_, at)| *at <= start);
        self.starts.drain(..begun.saturating_sub(1));
        if let Some((_, first)) = self.starts.first_mut() {
            *first = start.max(*first);
        }
    }

    pub(crate) fn last(&self) -> LeaderEpoch {
        self.starts.last().map_or(LeaderEpoch::NONE, |(epoch, _)| *epoch)
    }

    /// The largest epoch up to `epoch`, and where it ends in a log with these bounds.
    pub(crate) fn end_of(
        &self,
        epoch: LeaderEpoch,
        start: Offset,
        end: Offset,
    ) -> (LeaderEpoch, Offset) {
        let after = self.starts.partition_point(|(known, _)| *known <= epoch);
        let known = after.checked_sub(1).map_or(epoch, |at| self.starts[at].0);
        let ends = match self.starts.get(after) {
            Some((_, next_start)) => (*next_start).max(start),
            None if self.starts.is_empty() => start,
            None => end,
        };
        (known, ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let mut epochs = Epochs::default();
        let (start, end) = (Offset(0), Offset(90));
        assert_eq!(epochs.end_of(LeaderEpoch(3), start, start), (LeaderEpoch(3), start));
        for (epoch, base) in [(2, 0), (2, 10), (5, 30), (4, 35), (9, 60)] {
            epochs.observe(LeaderEpoch(epoch), Offset(base));
        }
        assert_eq!(epochs.last(), LeaderEpoch(9));
        for (asked, known, ends) in
            [(1, 1, 0), (2, 2, 30), (4, 2, 30), (5, 5, 60), (9, 9, 90), (12, 9, 90)]
        {
            let expected = (LeaderEpoch(known), Offset(ends));
            assert_eq!(epochs.end_of(LeaderEpoch(asked), start, end), expected, "epoch {asked}");
        }
    }

    #[test]
    fn a_cut_keeps_the_epoch_that_holds_the_new_start() {
        let all = [(2, 0), (5, 30), (9, 60)].map(|(e, at)| (LeaderEpoch(e), Offset(at)));
        for (start, kept) in [
            (0, &[(2, 0), (5, 30), (9, 60)][..]),
            (29, &[(2, 29), (5, 30), (9, 60)]),
            (30, &[(5, 30), (9, 60)]),
            (90, &[(9, 90)]),
        ] {
            let mut epochs = Epochs::from_starts(all.to_vec()).unwrap();
            epochs.cut_head(Offset(start));
            let found: Vec<_> = epochs.starts().iter().map(|(e, at)| (e.0, at.0)).collect();
            assert_eq!(found, kept, "start {start}");
        }
    }

    #[test]
    fn what_lies_before_the_cut_leaves_the_starts_rising() {
        let mut epochs = Epochs::from_starts(vec![(LeaderEpoch(1), Offset(0))]).unwrap();
        epochs.cut_head(Offset(10));
        epochs.observe(LeaderEpoch(2), Offset(5));
        epochs.observe(LeaderEpoch(3), Offset(12));
        let mut again = Epochs::from_starts(epochs.starts().to_vec()).unwrap();
        again.cut_head(Offset(10));
        assert_eq!(again.starts(), [(LeaderEpoch(2), Offset(10)), (LeaderEpoch(3), Offset(12))]);
    }

    #[test]
    fn starts_that_do_not_rise_are_refused() {
        let at = |epoch, offset| (LeaderEpoch(epoch), Offset(offset));
        assert!(Epochs::from_starts(vec![at(1, 0), at(2, 0)]).is_some());
        assert!(Epochs::from_starts(vec![at(2, 0), at(1, 5)]).is_none());
        assert!(Epochs::from_starts(vec![at(1, 5), at(2, 4)]).is_none());
    }
}
