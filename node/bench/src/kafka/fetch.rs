//! Fetch requests, and how far each partition was read.

use bytes::Bytes;
use tidegate_kafka_proto::messages::fetch_request::{FetchPartition, FetchTopic};
use tidegate_kafka_proto::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use tidegate_kafka_proto::messages::{BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest};
use tidegate_kafka_proto::{Api, client};
use tidegate_types::{ByteSize, TopicName};

use super::admin::wire_name;
use super::channel::{CLIENT_ID, Channel, decode};
use super::drive::Exchange;
use crate::BenchError;
use crate::quota::Amount;
use crate::scan::scan;
use crate::session::correlation_id;

/// From 13 on topics go by their ids.
const FETCH: (i16, i16) = (4, 12);

const LIST_OFFSETS: (i16, i16) = (1, 7);

/// Asks for the first offset that can be read.
const EARLIEST: i64 = -2;

/// Asks for the offset after the last one.
const LATEST: i64 = -1;

/// Who is no broker.
const NO_BROKER: BrokerId = BrokerId(-1);

/// So long a broker may hold back an answer that would be empty.
const MAX_WAIT_MS: i32 = 500;

/// What a fetch answer has beside its records, with much to spare.
const ANSWER_OVERHEAD: usize = 1 << 20;

/// Where reading is in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    partition: i32,
    start: i64,
    next: i64,
    end: i64,
}

/// One connection's requests: one partition each, in turn, from its start to its end and again.
#[derive(Debug)]
pub(super) struct Fetching {
    version: i16,
    topic: TopicName,
    max_bytes: i32,
    cursors: Vec<Cursor>,
}

impl Fetching {
    /// Reads these partitions, which are not empty.
    ///
    /// # Errors
    /// If the broker does not speak a version that this does.
    pub fn new(
        channel: &mut Channel,
        topic: &TopicName,
        cursors: Vec<Cursor>,
        max_bytes: ByteSize,
    ) -> Result<Fetching, BenchError> {
        let version = channel.version(Api::Fetch, FETCH.0, FETCH.1)?;
        // A batch that is larger than what was asked for comes whole.
        let largest = max_bytes.as_usize().max(tidegate_types::limits::MAX_FRAME.as_usize());
        channel.inbox.set_longest(largest.saturating_add(ANSWER_OVERHEAD));
        let max_bytes = i32::try_from(max_bytes.get()).unwrap_or(i32::MAX);
        Ok(Fetching { version, topic: topic.clone(), max_bytes, cursors })
    }

    fn cursor(&mut self, number: u64) -> &mut Cursor {
        let at = (number % self.cursors.len() as u64) as usize;
        &mut self.cursors[at]
    }
}

/// Where these partitions begin and end, those that are empty left out.
///
/// # Errors
/// If the broker refuses.
pub(super) fn cursors(
    channel: &mut Channel,
    topic: &TopicName,
    partitions: &[i32],
) -> Result<Vec<Cursor>, BenchError> {
    let mut ends = [Vec::new(), Vec::new()];
    for (timestamp, offsets) in [EARLIEST, LATEST].into_iter().zip(&mut ends) {
        let partition = |partition: &i32| {
            ListOffsetsPartition::default()
                .with_partition_index(*partition)
                .with_timestamp(timestamp)
        };
        let asked = ListOffsetsTopic::default()
            .with_name(wire_name(topic))
            .with_partitions(partitions.iter().map(partition).collect());
        let request =
            ListOffsetsRequest::default().with_replica_id(NO_BROKER).with_topics(vec![asked]);
        let what = "where the partitions begin and end";
        let answer = channel.ask(LIST_OFFSETS, what, &request)?;
        for told in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            channel.accept(what, told.error_code, None)?;
            offsets.push((told.partition_index, told.offset));
        }
        offsets.sort_unstable();
    }
    let [starts, ends] = ends;
    let cursors = starts.iter().filter_map(|(partition, start)| {
        let found = ends.binary_search_by_key(partition, |(partition, _)| *partition).ok()?;
        let (partition, start, end) = (*partition, *start, ends[found].1);
        (start < end).then_some(Cursor { partition, start, next: start, end })
    });
    Ok(cursors.collect())
}

impl Exchange for Fetching {
    const WHAT: &'static str = "for records";

    fn request(&mut self, number: u64) -> Result<[Bytes; 3], String> {
        let max_bytes = self.max_bytes;
        let topic = wire_name(&self.topic);
        let cursor = self.cursor(number);
        if cursor.next >= cursor.end {
            cursor.next = cursor.start;
        }
        let partition = FetchPartition::default()
            .with_partition(cursor.partition)
            .with_fetch_offset(cursor.next)
            .with_partition_max_bytes(max_bytes);
        let topic = FetchTopic::default().with_topic(topic).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(NO_BROKER)
            .with_max_wait_ms(MAX_WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(max_bytes)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let correlation = correlation_id(number);
        let frame = client::encode_request(self.version, correlation, Some(CLIENT_ID), &request)
            .map_err(|error| error.to_string())?;
        Ok([frame, Bytes::new(), Bytes::new()])
    }

    fn answer(&mut self, payload: Bytes) -> Result<(i32, Result<Amount, String>), String> {
        let (correlation, answer) = decode::<FetchResponse>(self.version, payload)?;
        if answer.error_code != 0 {
            return Ok((correlation, Err(super::error_name(answer.error_code))));
        }
        let topic = answer.responses.first();
        let Some(told) = topic.and_then(|topic| topic.partitions.first()) else {
            return Err("an answer tells nothing of the partition".to_owned());
        };
        if told.error_code != 0 {
            return Ok((correlation, Err(super::error_name(told.error_code))));
        }
        let found = self.cursors.iter_mut().find(|cursor| cursor.partition == told.partition_index);
        let Some(cursor) = found else {
            return Err(format!("it answers with partition {}", told.partition_index));
        };
        let records = told.records.as_deref().unwrap_or_default();
        let scanned = scan(records).map_err(|error| error.to_string())?;
        match scanned.next {
            Some(next) if next.get() > cursor.next => cursor.next = next.get(),
            // Older brokers cut the last batch; if that is the first one too, nothing helps.
            _ if !records.is_empty() => {
                return Err(format!("{} bytes of records hold no new batch", records.len()));
            }
            _ => {}
        }
        Ok((correlation, Ok(scanned.amount)))
    }
}
