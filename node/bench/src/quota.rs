//! How much is still to be done, shared by all connections of a load.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::End;

/// What a request moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Amount {
    pub records: u64,
    /// Of batches, as they are on the wire.
    pub bytes: u64,
}

/// How much is still to be done.
#[derive(Debug)]
pub(crate) enum Quota {
    /// Only time ends it.
    Endless,
    Records(AtomicU64),
    Bytes(AtomicU64),
}

impl Quota {
    pub fn new(end: End) -> Quota {
        match end {
            End::Records(records) => Quota::Records(AtomicU64::new(records)),
            End::Bytes(bytes) => Quota::Bytes(AtomicU64::new(bytes.get())),
            End::Time(_) => Quota::Endless,
        }
    }

    /// Takes so much of it; false if nothing was left. The last one may take more than there is:
    /// requests are not cut to size.
    pub fn take(&self, amount: Amount) -> bool {
        let (left, take) = match self {
            Quota::Endless => return true,
            Quota::Records(left) => (left, amount.records),
            Quota::Bytes(left) => (left, amount.bytes),
        };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left > 0).then(|| left.saturating_sub(take))
        });
        taken.is_ok()
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        match self {
            Quota::Endless => false,
            Quota::Records(left) | Quota::Bytes(left) => left.load(Ordering::Relaxed) == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::ByteSize;

    const TEN: Amount = Amount { records: 10, bytes: 2_000 };

    #[test]
    fn as_many_requests_as_the_records_need() {
        let quota = Quota::new(End::Records(25));
        let taken = (0..10).filter(|_| quota.take(TEN)).count();
        assert_eq!(taken, 3, "the last one is not cut");
        assert!(quota.is_spent());
    }

    #[test]
    fn as_many_requests_as_the_bytes_need() {
        let quota = Quota::new(End::Bytes(ByteSize::bytes(4_000)));
        assert_eq!((0..10).filter(|_| quota.take(TEN)).count(), 2);
    }

    #[test]
    fn time_alone_spends_nothing() {
        let quota = Quota::new(End::Time(std::time::Duration::from_secs(1)));
        assert!((0..1_000).all(|_| quota.take(TEN)));
        assert!(!quota.is_spent());
    }
}
