//! The way of a batch from a producer into a log, whatever the listener.
//!
//! [`Broker::stage`] checks the batch, runs the plugins of the ingest hook, and hands the outcome
//! to the log's writer; it returns as soon as the batch has its place in the queue, so that a
//! session can go on with the next one. Where a plugin sends records elsewhere, the batch's
//! sequence is judged first: one that is refused leaves nothing anywhere. [`PendingAck::wait`] ends
//! when the acknowledgement may be given. Batches staged one after the other are appended in that
//! order.
//!
//! Bytes on their way are bounded by the backlog: staging waits until there is room.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_log::{AppendMode, AppendRequest, Appended, When};
use tidegate_record::{Batch, BatchHeader};
use tidegate_types::{Acks, LeaderEpoch, Offset, PartitionId};
use tidegate_wire::{ErrorBody, ErrorCode};
use tokio::sync::oneshot;

use crate::Broker;
use crate::error;
use crate::ingest::{self, Part};
use crate::topic::{Partition, Topic};

/// The epoch in which a single node leads all its partitions.
pub(crate) const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// Offset of its first record, where it went into the partition it was sent to.
    pub(crate) base_offset: Option<Offset>,
    /// Whether it had been stored before.
    pub(crate) duplicate: bool,
}

/// A batch that has its place in the log's queue.
pub(crate) struct PendingAck {
    parts: Vec<oneshot::Receiver<Result<Appended, ErrorBody>>>,
    /// Whether the only part is the batch itself, in the partition that it was sent to.
    direct: bool,
    /// Whether the batch itself was found to be new when its sequence was judged.
    fresh: bool,
}

impl PendingAck {
    /// Whether [`wait`](PendingAck::wait) would end at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.parts.iter().all(|part| !part.is_empty() || part.is_terminated())
    }

    /// Waits until every part is as safe as was asked.
    ///
    /// # Errors
    /// The first failure; other parts may have been written.
    pub(crate) async fn wait(self) -> Result<Outcome, ErrorBody> {
        let (count, mut repeated) = (self.parts.len(), 0);
        let mut base_offset = None;
        let mut failure: Option<ErrorBody> = None;
        for part in self.parts {
            match part.await {
                Ok(Ok(appended)) => {
                    repeated += usize::from(appended.duplicate);
                    base_offset = self.direct.then_some(appended.base_offset);
                }
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => failure = failure.or_else(|| Some(error::shutting_down())),
            }
        }
        match failure {
            Some(mut error) => {
                error.written |= count > 1;
                Err(error)
            }
            None => Ok(Outcome {
                base_offset,
                duplicate: count > 0 && repeated == count && !self.fresh,
            }),
        }
    }
}

impl Broker {
    /// Checks a batch, runs the plugins, and queues what comes of it.
    ///
    /// # Errors
    /// Says why the batch was refused; nothing of it was written.
    pub(crate) async fn stage(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        partition: PartitionId,
        batch: Bytes,
        acks: Acks,
    ) -> Result<PendingAck, ErrorBody> {
        if topic.is_gone() {
            return Err(error::unknown_topic(&topic.name));
        }
        if let Some(site) = &topic.mirror_of {
            let message = format!("{} mirrors site {site}: only its link writes to it", topic.name);
            return Err(ErrorBody::new(ErrorCode::ReadOnly, message));
        }
        let Some(target) = topic.partition(partition) else {
            return Err(error::unknown_partition(
                &topic.name,
                partition,
                topic.config().partitions,
            ));
        };
        let records = check(&batch)?;
        self.counters.taken(records);
        let Some(chain) = topic.chain.load_full() else {
            let part = self.append(target, batch, records, acks).await?;
            return Ok(PendingAck { parts: vec![part], direct: true, fresh: false });
        };
        let placed = ingest::run(self, topic, target, &chain, batch).await?;
        let direct = placed.elsewhere.is_empty();
        let mut parts = Vec::with_capacity(placed.elsewhere.len() + 1);
        let mut fresh = false;
        if let Some(part) = &placed.in_place
            && !direct
        {
            fresh = self.judge(part).await?;
        }
        for part in placed.in_place.into_iter().chain(placed.elsewhere) {
            parts.push(self.append(&part.to, part.batch, part.records, acks).await?);
        }
        Ok(PendingAck { parts, direct, fresh })
    }

    /// Appends a batch whose records go elsewhere in part, and waits for the log's verdict on its
    /// sequence. Appended again it counts as a duplicate, whose acknowledgement waits for the disk.
    ///
    /// The outputs' own sequences may have gaps: one written too early would hide those of the
    /// batches that it overtook. Says whether the batch was new; one without a producer has no
    /// sequence to be judged, and is left alone.
    async fn judge(&self, part: &Part) -> Result<bool, ErrorBody> {
        if !BatchHeader::parse(&part.batch).is_ok_and(|header| header.stamp().is_some()) {
            return Ok(false);
        }
        let verdict = self.append(&part.to, part.batch.clone(), part.records, Acks::Leader).await?;
        let appended = verdict.await.map_err(|_| error::shutting_down())??;
        Ok(!appended.duplicate)
    }

    /// Queues one batch for one partition, once the backlog has room.
    async fn append(
        &self,
        partition: &Arc<Partition>,
        batch: Bytes,
        records: u32,
        acks: Acks,
    ) -> Result<oneshot::Receiver<Result<Appended, ErrorBody>>, ErrorBody> {
        if partition.needs_keys() {
            check_keys(&batch)?;
        }
        let when = match acks {
            Acks::All => When::Durable,
            Acks::Leader | Acks::None => When::Written,
        };
        self.submit(
            partition,
            batch,
            AppendMode::Assign { leader_epoch: LEADER_EPOCH },
            when,
            records,
        )
        .await
    }

    /// The one door to the log's writer: bounds what is on its way.
    pub(crate) async fn submit(
        &self,
        partition: &Arc<Partition>,
        batches: Bytes,
        mode: AppendMode,
        ack: When,
        records: u32,
    ) -> Result<oneshot::Receiver<Result<Appended, ErrorBody>>, ErrorBody> {
        let room = u32::try_from(batches.len()).unwrap_or(u32::MAX);
        let permit = self.backlog.clone().acquire_many_owned(room).await;
        let permit = permit.map_err(|_| error::shutting_down())?;
        let (done, appended) = oneshot::channel();
        let counters = self.counters.clone();
        let request = AppendRequest { batches, mode, ack };
        partition.log.append(
            request,
            Box::new(move |result| {
                drop(permit);
                if let Ok(appended) = &result
                    && !appended.duplicate
                {
                    counters.stored(records);
                }
                // A session that is gone no longer asks.
                _ = done.send(result.map_err(|e| error::append(&e)));
            }),
        );
        Ok(appended)
    }
}

/// What is checked of every produced batch; its number of records.
fn check(batch: &Bytes) -> Result<u32, ErrorBody> {
    let invalid = |e: &dyn std::fmt::Display| {
        ErrorBody::new(ErrorCode::InvalidRecord, format!("the batch is not valid: {e}"))
    };
    let (parsed, rest) = Batch::parse(batch).map_err(|e| invalid(&e))?;
    if !rest.is_empty() {
        let message = format!("{} bytes follow the batch", rest.len());
        return Err(ErrorBody::new(ErrorCode::InvalidRecord, message));
    }
    tidegate_record::validate_produced(&parsed).map_err(|e| invalid(&e))?;
    if parsed.header().attributes.is_transactional() {
        return Err(invalid(&"it belongs to a transaction, and this node has none"));
    }
    // A right checksum over records that nobody can read would fail every consumer.
    parsed.check_records(&mut Vec::new()).map_err(|e| invalid(&e))?;
    Ok(parsed.header().record_count)
}

/// Refuses a record without a key, as Kafka does in a compacted topic.
fn check_keys(batch: &Bytes) -> Result<(), ErrorBody> {
    let invalid = |message: String| ErrorBody::new(ErrorCode::InvalidRecord, message);
    let unreadable = |e: &dyn std::fmt::Display| invalid(format!("the batch is not valid: {e}"));
    let (parsed, _) = Batch::parse_trusted(batch).map_err(|e| unreadable(&e))?;
    let mut scratch = Vec::new();
    for (at, record) in parsed.body(&mut scratch).map_err(|e| unreadable(&e))?.enumerate() {
        if record.map_err(|e| unreadable(&e))?.key.is_none() {
            let message =
                format!("record {at} of the batch has no key, which a compacted topic needs");
            return Err(invalid(message));
        }
    }
    Ok(())
}
