//! What becomes of a record: shared by all records of a batch, told to whoever asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidegate_types::{Offset, PartitionId};
use tidegate_wire::ErrorBody;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Where a record was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordMetadata {
    /// The partition that it was sent to.
    pub partition: PartitionId,
    /// Its offset; `None` where a plugin sent it elsewhere or dropped it with its whole batch, or
    /// where no acknowledgement was asked for.
    pub offset: Option<Offset>,
}

/// Why a record was not delivered, as far as is known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The node refused its batch.
    #[error("the batch was refused: {0}")]
    Refused(ErrorBody),
    /// It could not be delivered in time.
    #[error(
        "not acknowledged within {} ms{}{}",
        .after.as_millis(),
        if *.maybe_stored { "; it may be stored all the same" } else { "" },
        .last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default()
    )]
    TimedOut {
        /// The time it had.
        after: Duration,
        /// Whether it was sent, so that it may be stored all the same.
        maybe_stored: bool,
        /// What went wrong last, if anything did.
        last: Option<String>,
    },
    /// The producer ended before; its runtime was shut down.
    #[error("the producer ended before the record was acknowledged")]
    Ended,
}

/// What became of a whole batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    result: OnceLock<Result<Option<Offset>, DeliveryError>>,
    settled: Arc<Notify>,
}

impl Outcome {
    /// Tells all who wait. Only the first call counts.
    pub(super) fn settle(&self, result: Result<Option<Offset>, DeliveryError>) {
        if self.result.set(result).is_ok() {
            self.settled.notify_waiters();
        }
    }

    /// Waits until the batch is settled.
    pub(super) async fn wait(&self) -> Result<Option<Offset>, DeliveryError> {
        loop {
            let settled = self.settled.notified();
            if let Some(result) = self.result.get() {
                return result.clone();
            }
            settled.await;
        }
    }
}

/// A record on its way. Await it to learn where it was stored. Dropping it changes nothing:
/// [`Producer::flush`](crate::Producer::flush) tells of failures too.
#[derive(Debug)]
pub struct Delivery {
    outcome: Arc<Outcome>,
    partition: PartitionId,
    index: i64,
    /// Made when first waited for.
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl Delivery {
    pub(super) fn new(outcome: Arc<Outcome>, partition: PartitionId, index: i64) -> Delivery {
        Delivery { outcome, partition, index, waiting: None }
    }

    /// The partition that the record was put into.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            } else {
                // Made before the result is looked at, so that none is missed.
                let settled = self.outcome.settled.clone().notified_owned();
                self.waiting = Some(Box::pin(settled));
            }
            if let Some(result) = self.outcome.result.get() {
                let (partition, index) = (self.partition, self.index);
                return Poll::Ready(result.clone().map(|base| RecordMetadata {
                    partition,
                    offset: base.map(|base| base.advance(index)),
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_records_of_a_batch_learn_their_own_offset() {
        let outcome = Arc::new(Outcome::default());
        let early = Delivery::new(outcome.clone(), PartitionId(2), 0);
        let early = tokio::spawn(early);
        tokio::task::yield_now().await;
        outcome.settle(Ok(Some(Offset(40))));
        outcome.settle(Err(DeliveryError::Ended));
        assert_eq!(early.await.unwrap().unwrap().offset, Some(Offset(40)));
        let late = Delivery::new(outcome.clone(), PartitionId(2), 3).await.unwrap();
        assert_eq!(late, RecordMetadata { partition: PartitionId(2), offset: Some(Offset(43)) });
        assert_eq!(outcome.wait().await, Ok(Some(Offset(40))));
    }

    #[test]
    fn a_timeout_says_what_is_known() {
        let error = DeliveryError::TimedOut {
            after: Duration::from_secs(2),
            maybe_stored: true,
            last: Some("the peer no longer answers".into()),
        };
        assert_eq!(
            error.to_string(),
            "not acknowledged within 2000 ms; it may be stored all the same (the peer no longer answers)"
        );
    }
}
