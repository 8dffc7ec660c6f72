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

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tidegate_log::{AppendMode, AppendRequest, Appended, When};
use tidegate_record::{Batch, BatchError, BatchHeader, ProducedError, TimestampType};
use tidegate_types::{
    Acks, LeaderEpoch, MessageTime, Offset, PartitionId, RecordPolicy, Timestamp,
};
use tidegate_wire::{ErrorBody, ErrorCode};
use tokio::sync::oneshot;

use crate::Broker;
use crate::error;
use crate::ingest::{self, Part};
use crate::internal::refuse_internal;
use crate::topic::{Partition, Topic};

/// The epoch in which a single node leads all its partitions.
pub const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Offset of its first record, where it went into the partition it was sent to;
    /// [`Appended::UNKNOWN`] of one that was stored too long ago.
    pub base_offset: Option<Offset>,
    /// Whether it had been stored before.
    pub duplicate: bool,
    /// The time that the node gave its records, where the topic wants that.
    pub append_time: Option<Timestamp>,
}

/// A batch that has its place in the log's queue.
pub struct PendingAck {
    parts: Vec<oneshot::Receiver<Result<Appended, ErrorBody>>>,
    /// Whether the only part is the batch itself, in the partition that it was sent to.
    direct: bool,
    /// Whether the batch itself was found to be new when its sequence was judged.
    fresh: bool,
    append_time: Option<Timestamp>,
}

impl PendingAck {
    /// Whether [`wait`](PendingAck::wait) would end at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.parts.iter().all(|part| !part.is_empty() || part.is_terminated())
    }

    /// Waits until every part is as safe as was asked.
    ///
    /// # Errors
    /// The first failure; other parts may have been written.
    pub async fn wait(self) -> Result<Outcome, ErrorBody> {
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
                append_time: self.append_time,
            }),
        }
    }
}

impl Broker {
    /// Checks a batch, runs the plugins, and queues what comes of it.
    ///
    /// # Errors
    /// Says why the batch was refused; nothing of it was written.
    pub async fn stage(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        partition: PartitionId,
        batch: Bytes,
        acks: Acks,
    ) -> Result<PendingAck, ErrorBody> {
        if topic.is_gone() {
            return Err(error::unknown_topic(&topic.name));
        }
        refuse_internal(&topic.name, "written to")?;
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
        let (policy, now) = (target.records(), self.clock.wall());
        let Checked { records, latest } = check(&batch, &policy, now)?;
        if acks == Acks::All && policy.min_insync > 1 {
            let message = format!(
                "topic {} wants {} replicas in sync, and this node is the only one",
                topic.name, policy.min_insync
            );
            return Err(ErrorBody::retriable(ErrorCode::NotEnoughReplicas, message));
        }
        self.counters.taken(records);
        let append_time = (policy.time == MessageTime::Append).then_some(now);
        let batch = match latest {
            Some(latest) => corrected(&batch, latest),
            None => batch,
        };
        let Some(chain) = topic.chain.load_full() else {
            let part = self.append(&target, batch, records, acks).await?;
            return Ok(PendingAck { parts: vec![part], direct: true, fresh: false, append_time });
        };
        let placed = ingest::run(self, topic, &target, &chain, batch, records).await?;
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
        Ok(PendingAck { parts, direct, fresh, append_time })
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
    pub(crate) async fn append(
        &self,
        partition: &Arc<Partition>,
        batch: Bytes,
        records: u32,
        acks: Acks,
    ) -> Result<oneshot::Receiver<Result<Appended, ErrorBody>>, ErrorBody> {
        if partition.needs_keys() {
            check_keys(&batch)?;
        }
        let batch = match partition.records().time {
            MessageTime::Create => batch,
            MessageTime::Append => stamped(&batch, self.clock.wall()),
        };
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

/// The batch with the node's time in place of its own; it is copied, being others' as well.
fn stamped(batch: &[u8], now: Timestamp) -> Bytes {
    let mut stamped = BytesMut::from(batch);
    tidegate_record::set_append_time(&mut stamped, now);
    stamped.freeze()
}

/// The batch with the latest time of its records where its producer put another: times are looked
/// up by it, and retention goes by it. It is copied, being others' as well.
fn corrected(batch: &[u8], latest: Timestamp) -> Bytes {
    let mut corrected = BytesMut::from(batch);
    tidegate_record::set_max_timestamp(&mut corrected, latest);
    corrected.freeze()
}

/// What is known of a batch that was checked.
struct Checked {
    /// Its records.
    records: u32,
    /// The latest time of any of them, where the header has another.
    latest: Option<Timestamp>,
}

/// What is checked of every produced batch.
fn check(batch: &Bytes, policy: &RecordPolicy, now: Timestamp) -> Result<Checked, ErrorBody> {
    let invalid = |e: &dyn std::fmt::Display| {
        ErrorBody::new(ErrorCode::InvalidRecord, format!("the batch is not valid: {e}"))
    };
    let too_large = |len: usize| {
        let message = format!("the batch has {len} B, the topic takes {}", policy.max_batch.get());
        ErrorBody::new(ErrorCode::TooLarge, message)
    };
    if batch.len() as u64 > policy.max_batch.get() {
        return Err(too_large(batch.len()));
    }
    let (parsed, rest) = Batch::parse(batch).map_err(|e| match e {
        BatchError::Crc { .. } => ErrorBody::new(ErrorCode::CorruptBatch, e.to_string()),
        e => invalid(&e),
    })?;
    if !rest.is_empty() {
        let message = format!("{} bytes follow the batch", rest.len());
        return Err(ErrorBody::new(ErrorCode::InvalidRecord, message));
    }
    tidegate_record::validate_produced(&parsed).map_err(|e| match e {
        ProducedError::AppendTime => ErrorBody::new(ErrorCode::InvalidTimestamp, e.to_string()),
        e => invalid(&e),
    })?;
    if parsed.header().attributes.is_transactional() {
        return Err(invalid(&"it belongs to a transaction, and this node has none"));
    }
    // A right checksum over records that nobody can read would fail every consumer.
    let latest = parsed.check_times(&mut Vec::new()).map_err(|e| invalid(&e))?;
    if policy.time == MessageTime::Create {
        check_times(&parsed, policy, now).map_err(|e| {
            let message = format!("{e}: see the topic's message.timestamp settings");
            ErrorBody::new(ErrorCode::InvalidTimestamp, message)
        })?;
    }
    let header = parsed.header();
    let latest = latest.filter(|latest| *latest != header.max_timestamp);
    Ok(Checked { records: header.record_count, latest })
}

/// How far from the node's clock a topic lets times be.
struct Span {
    before: Option<i64>,
    after: Option<i64>,
    now: Timestamp,
}

impl Span {
    /// `None` where there is no limit.
    fn of(policy: &RecordPolicy, now: Timestamp) -> Option<Span> {
        let millis = |span: Option<std::time::Duration>| {
            span.map(|span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
        };
        let span = Span { before: millis(policy.before), after: millis(policy.after), now };
        (span.before.is_some() || span.after.is_some()).then_some(span)
    }

    /// What is wrong with a time. A record may say that it has none.
    fn refuses(&self, time: Timestamp) -> Option<String> {
        if time == Timestamp::NONE {
            return None;
        }
        let ahead = time.millis().saturating_sub(self.now.millis());
        let behind = ahead.saturating_neg();
        if self.after.is_some_and(|after| ahead > after) {
            return Some(format!("is of {time}, {ahead} ms after now"));
        }
        let early = self.before.is_some_and(|before| behind > before);
        early.then(|| format!("is of {time}, {behind} ms before now"))
    }
}

/// Refuses times too far from the node's clock, where the topic sets a limit.
fn check_times(batch: &Batch<'_>, policy: &RecordPolicy, now: Timestamp) -> Result<(), String> {
    let Some(span) = Span::of(policy, now) else { return Ok(()) };
    let header = *batch.header();
    let mut scratch = Vec::new();
    // It was read to its end before.
    let records = batch.body(&mut scratch).map_err(|e| e.to_string())?;
    for (at, record) in records.enumerate() {
        let time = header.timestamp_of(&record.map_err(|e| e.to_string())?);
        if let Some(why) = span.refuses(time) {
            return Err(format!("record {at} {why}"));
        }
    }
    Ok(())
}

/// What a record lacks in a compacted topic.
const NO_KEY: &str = "has no key, which a compacted topic needs";

/// Refuses a record without a key, as Kafka does in a compacted topic.
fn check_keys(batch: &Bytes) -> Result<(), ErrorBody> {
    let invalid = |message: String| ErrorBody::new(ErrorCode::InvalidRecord, message);
    let unreadable = |e: &dyn std::fmt::Display| invalid(format!("the batch is not valid: {e}"));
    let (parsed, _) = Batch::parse_trusted(batch).map_err(|e| unreadable(&e))?;
    let mut scratch = Vec::new();
    for (at, record) in parsed.body(&mut scratch).map_err(|e| unreadable(&e))?.enumerate() {
        if record.map_err(|e| unreadable(&e))?.key.is_none() {
            return Err(invalid(format!("record {at} of the batch {NO_KEY}")));
        }
    }
    Ok(())
}

/// Most records of one batch that [`refused_records`] names.
pub const MAX_REFUSED_RECORDS: usize = 1_000;

/// The records for whose sake a batch was refused, by their place in it, each with what is wrong
/// with it: for listeners whose answers name them. None where the batch as a whole is at fault, and
/// at most [`MAX_REFUSED_RECORDS`].
#[must_use]
pub fn refused_records(
    partition: &Partition,
    batch: &[u8],
    now: Timestamp,
) -> Vec<(u32, Cow<'static, str>)> {
    let Ok((parsed, _)) = Batch::parse(batch) else { return Vec::new() };
    let mut scratch = Vec::new();
    let Ok(records) = parsed.body(&mut scratch) else { return Vec::new() };
    let (header, policy, keyed) = (parsed.header(), partition.records(), partition.needs_keys());
    let span = Span::of(&policy, now).filter(|_| policy.time == MessageTime::Create);
    let marked = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
    // A body that cannot be read is no single record's fault.
    let refused = (0..).zip(records.map_while(Result::ok)).filter_map(|(at, record)| {
        let why = match &span {
            _ if marked => Some("is marked as having the broker's time".into()),
            _ if keyed && record.key.is_none() => Some(NO_KEY.into()),
            Some(span) => span.refuses(header.timestamp_of(&record)).map(Cow::Owned),
            None => None,
        };
        Some((at, why?))
    });
    refused.take(MAX_REFUSED_RECORDS).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_record::{BatchBuilder, BuildOptions};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn batch(times: &[i64]) -> Bytes {
        let mut builder = BatchBuilder::new(BuildOptions::default());
        for time in times {
            builder.push(Timestamp(*time), None, None, []).unwrap();
        }
        builder.build().unwrap().into()
    }

    #[test]
    fn a_wrong_latest_time_is_put_right() {
        let right = batch(&[5, 90, 20]);
        let policy = RecordPolicy::default();
        let checked = check(&right, &policy, NOW).unwrap();
        assert_eq!((checked.records, checked.latest), (3, None));
        let mut wrong = right.to_vec();
        tidegate_record::set_max_timestamp(&mut wrong, Timestamp(1_000));
        let checked = check(&wrong.clone().into(), &policy, NOW).unwrap();
        assert_eq!(checked.latest, Some(Timestamp(90)));
        assert_eq!(corrected(&wrong, Timestamp(90)), right);
    }

    #[test]
    fn times_are_held_against_the_clock_and_no_time_is_not() {
        let limit = Some(Duration::from_millis(100));
        let policy = RecordPolicy { before: limit, after: limit, ..RecordPolicy::default() };
        for (time, taken) in [
            (NOW.0, true),
            (NOW.0 + 100, true),
            (NOW.0 + 101, false),
            (NOW.0 - 100, true),
            (NOW.0 - 101, false),
            (-1, true),
            (-2, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            let checked = check(&batch(&[NOW.0, time]), &policy, NOW);
            assert_eq!(checked.is_ok(), taken, "{time}");
            if let Err(error) = checked {
                assert_eq!(error.code, ErrorCode::InvalidTimestamp, "{error:?}");
                assert!(error.message.starts_with("record 1 "), "{error:?}");
            }
        }
    }

    #[test]
    fn times_that_only_a_broker_sets_are_refused_as_times() {
        let mut marked = BytesMut::from(&batch(&[5])[..]);
        tidegate_record::set_append_time(&mut marked, NOW);
        let refused = check(&marked.freeze(), &RecordPolicy::default(), NOW).err();
        assert_eq!(refused.map(|error| error.code), Some(ErrorCode::InvalidTimestamp));
    }
}
