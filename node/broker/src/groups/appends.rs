//! Records on their way into the log, one append after the other.
//!
//! Each append becomes one record batch. They are handed to the log in the order in which they
//! came, several at a time, and end in that order. How many wait is the coordinator's to bound.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tidegate_group::{AppendId, Record};
use tidegate_log::{AppendMode, Appended, When};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{Offset, Timestamp};
use tidegate_wire::ErrorBody;
use tokio::sync::oneshot;

use super::partition_or_new;
use crate::{Broker, LEADER_EPOCH, error};

type Verdict = oneshot::Receiver<Result<Appended, ErrorBody>>;

/// An append that has ended.
pub(super) struct Ended {
    pub(super) id: AppendId,
    pub(super) records: Vec<Record>,
    /// The offset behind it.
    pub(super) outcome: Result<Offset, ErrorBody>,
}

/// One that has not.
struct Pending {
    id: AppendId,
    records: Vec<Record>,
}

/// All that have not ended.
pub(super) struct Appends {
    broker: Arc<Broker>,
    waiting: VecDeque<Pending>,
    /// The one that the log is about to be given.
    handing_over: Option<(Pending, BoxFuture<'static, Result<Verdict, ErrorBody>>)>,
    /// Those that the log has.
    in_log: VecDeque<(Pending, Result<Verdict, ErrorBody>)>,
}

impl Appends {
    pub(super) fn new(broker: Arc<Broker>) -> Appends {
        let (waiting, in_log) = (VecDeque::new(), VecDeque::new());
        Appends { broker, waiting, handing_over: None, in_log }
    }

    pub(super) fn add(&mut self, id: AppendId, records: Vec<Record>) {
        self.waiting.push_back(Pending { id, records });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.handing_over.is_none() && self.in_log.is_empty()
    }

    /// Hands over what waits, and gives the first append that has ended. Waits forever if there is
    /// none. May be dropped while it waits, and nothing is lost.
    pub(super) async fn next(&mut self) -> Ended {
        loop {
            if self.handing_over.is_none()
                && let Some(pending) = self.waiting.pop_front()
            {
                let handing_over =
                    hand_over(self.broker.clone(), batch(&pending.records, &self.broker));
                self.handing_over = Some((pending, Box::pin(handing_over)));
            }
            tokio::select! {
                verdict = handed_over(&mut self.handing_over) => {
                    if let Some((pending, _)) = self.handing_over.take() {
                        self.in_log.push_back((pending, verdict));
                    }
                }
                outcome = ended(&mut self.in_log) => {
                    if let Some((Pending { id, records }, _)) = self.in_log.pop_front() {
                        return Ended { id, records, outcome };
                    }
                }
            }
        }
    }
}

async fn handed_over(
    handing_over: &mut Option<(Pending, BoxFuture<'static, Result<Verdict, ErrorBody>>)>,
) -> Result<Verdict, ErrorBody> {
    match handing_over {
        Some((_, handing_over)) => handing_over.await,
        None => std::future::pending().await,
    }
}

/// How the append ends that the log has had for longest.
async fn ended(
    in_log: &mut VecDeque<(Pending, Result<Verdict, ErrorBody>)>,
) -> Result<Offset, ErrorBody> {
    match in_log.front_mut() {
        Some((_, Ok(verdict))) => match verdict.await {
            Ok(appended) => appended.map(|appended| appended.next_offset),
            Err(_) => Err(error::shutting_down()),
        },
        Some((_, Err(refused))) => Err(refused.clone()),
        None => std::future::pending().await,
    }
}

/// Gives the log a batch; the topic is made if it is missing.
async fn hand_over(
    broker: Arc<Broker>,
    batch: Result<(Bytes, u32), ErrorBody>,
) -> Result<Verdict, ErrorBody> {
    let (batch, records) = batch?;
    let partition = partition_or_new(&broker).await?;
    let mode = AppendMode::Assign { leader_epoch: LEADER_EPOCH };
    broker.submit(&partition, batch, mode, When::Durable, records).await
}

fn batch(records: &[Record], broker: &Broker) -> Result<(Bytes, u32), ErrorBody> {
    build(records, broker.clock.wall())
        .map_err(|e| error::internal("putting group records into a batch", &*e))
}

fn build(
    records: &[Record],
    now: Timestamp,
) -> Result<(Bytes, u32), Box<dyn std::error::Error + Send + Sync>> {
    let mut builder = BatchBuilder::new(BuildOptions::default());
    for Record { key, value } in records {
        builder.push(now, Some(key), value.as_deref(), [])?;
    }
    let count = u32::try_from(builder.len())?;
    Ok((builder.build()?.into(), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_group::limits::{MAX_APPEND, RECORD_OVERHEAD};
    use tidegate_types::limits::MAX_BATCH_RECORDS;

    /// As many records of this size as the coordinator may ask for at once.
    fn most(key: usize, value: usize) -> Vec<Record> {
        let count = MAX_APPEND.as_usize() / (key + value + RECORD_OVERHEAD);
        let record = Record { key: vec![1; key].into(), value: Some(vec![2; value].into()) };
        vec![record; count]
    }

    #[test]
    fn whatever_the_coordinator_appends_at_once_fits_one_batch() {
        for (key, value) in [(1, 0), (4, 8), (100, 100), (1_000, MAX_APPEND.as_usize() / 2 - 2_000)]
        {
            let records = most(key, value);
            assert!(records.len() <= MAX_BATCH_RECORDS as usize);
            let (batch, count) = build(&records, Timestamp(1)).unwrap();
            assert_eq!(count as usize, records.len());
            let (parsed, rest) = tidegate_record::Batch::parse(&batch).unwrap();
            assert!(rest.is_empty());
            parsed.check_records(&mut Vec::new()).unwrap();
        }
    }
}
