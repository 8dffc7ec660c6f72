//! The bytes of a fetch answer, but for its records.
//!
//! The only place where the layout of this response stands; it is held byte for byte against the
//! body codec for every version.

use bytes::{BufMut, Bytes, BytesMut};

use super::{FetchAnswer, NodeEndpoint, PartitionAnswer, RecordsLen, TOPIC_IDS_SINCE, TopicKey};
use crate::api::Api;
use crate::limits::MAX_STRING;
use crate::response::EncodeError;

/// First version with compact lengths and tagged fields.
const FLEXIBLE_SINCE: i16 = 12;

/// What an answer without partitions takes, and one partition at the most without its lists.
const ROOM: usize = 64;
const PARTITION_ROOM: usize = 96;

/// A fetch answer in bytes: take its [`parts`](Self::parts) in order.
#[derive(Debug)]
pub struct EncodedFetch<'a, R> {
    bytes: Bytes,
    /// Where records go: behind so many of the bytes.
    cuts: Vec<(usize, &'a R)>,
    len: usize,
}

/// A piece of a fetch answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchPart<'a, R> {
    /// Bytes as they are.
    Bytes(Bytes),
    /// All of these records, at least one byte.
    Records(&'a R),
}

impl<'a, R> EncodedFetch<'a, R> {
    /// Bytes of the whole frame, its length and all records included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Never: a frame has at least its length.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The frame piece by piece: bytes first, then records and bytes in turn, bytes last unless
    /// nothing follows the last records.
    pub fn parts(&self) -> impl Iterator<Item = FetchPart<'a, R>> {
        let ends = self.cuts.iter().map(|(end, records)| (*end, Some(*records)));
        let mut start = 0;
        ends.chain([(self.bytes.len(), None)]).flat_map(move |(end, records)| {
            let bytes = self.bytes.slice(start..end);
            start = end;
            let bytes = (!bytes.is_empty()).then_some(FetchPart::Bytes(bytes));
            bytes.into_iter().chain(records.map(FetchPart::Records))
        })
    }
}

/// The frame that answers the fetch with this correlation id.
///
/// Hints that the version has no place for are left out: divergence, the current leader and where
/// it listens, and before version 7 the error of the fetch as a whole.
///
/// # Errors
/// If the version is not served; if a topic is named as the version does not name it; if a session
/// or a preferred replica is set that the version does not have; if a string or the frame is too
/// long.
pub fn encode<R: RecordsLen>(
    version: i16,
    correlation_id: i32,
    answer: &FetchAnswer<R>,
) -> Result<EncodedFetch<'_, R>, EncodeError> {
    if !Api::Fetch.serves(version) {
        return Err(inexpressible(version, "this version is not served"));
    }
    let partitions: usize = answer.topics.iter().map(|topic| topic.partitions.len()).sum();
    let room = ROOM * (1 + answer.topics.len()) + PARTITION_ROOM * partitions;
    let mut encoder = Encoder {
        out: BytesMut::with_capacity(room),
        version,
        flexible: version >= FLEXIBLE_SINCE,
        cuts: Vec::with_capacity(partitions),
        records: 0,
    };
    encoder.out.put_i32(0);
    encoder.out.put_i32(correlation_id);
    encoder.no_tags();
    encoder.answer(answer)?;
    let Encoder { mut out, cuts, records, .. } = encoder;
    let len = out.len().saturating_add(records);
    match i32::try_from(len - 4) {
        Ok(prefix) => out[..4].copy_from_slice(&prefix.to_be_bytes()),
        Err(_) => return Err(EncodeError::TooLong { api: Api::Fetch, version, len: len - 4 }),
    }
    Ok(EncodedFetch { bytes: out.freeze(), cuts, len })
}

fn inexpressible(version: i16, reason: &str) -> EncodeError {
    EncodeError::Inexpressible { api: Api::Fetch, version, reason: reason.to_owned() }
}

struct Encoder<'a, R> {
    out: BytesMut,
    version: i16,
    flexible: bool,
    cuts: Vec<(usize, &'a R)>,
    /// Bytes of records so far.
    records: usize,
}

impl<'a, R: RecordsLen> Encoder<'a, R> {
    fn answer(&mut self, answer: &'a FetchAnswer<R>) -> Result<(), EncodeError> {
        self.out.put_i32(answer.throttle_time_ms);
        if self.version >= 7 {
            self.out.put_i16(answer.error.code());
            self.out.put_i32(answer.session_id);
        } else if answer.session_id != 0 {
            return Err(inexpressible(self.version, "there are no sessions"));
        }
        self.count(answer.topics.len())?;
        for topic in &answer.topics {
            self.topic(&topic.topic)?;
            self.count(topic.partitions.len())?;
            for partition in &topic.partitions {
                self.partition(partition)?;
            }
            self.no_tags();
        }
        if self.version >= 16 && !answer.node_endpoints.is_empty() {
            self.node_endpoints(&answer.node_endpoints)
        } else {
            self.no_tags();
            Ok(())
        }
    }

    fn topic(&mut self, topic: &TopicKey) -> Result<(), EncodeError> {
        match topic {
            TopicKey::Id(id) if self.version >= TOPIC_IDS_SINCE => {
                self.out.put_slice(id.0.as_bytes());
                Ok(())
            }
            TopicKey::Name(name) if self.version < TOPIC_IDS_SINCE => self.string(name),
            TopicKey::Id(_) => Err(inexpressible(self.version, "topics go by name")),
            TopicKey::Name(_) => Err(inexpressible(self.version, "topics go by id")),
        }
    }

    fn partition(&mut self, partition: &'a PartitionAnswer<R>) -> Result<(), EncodeError> {
        self.out.put_i32(partition.partition);
        self.out.put_i16(partition.error.code());
        self.out.put_i64(partition.high_watermark);
        self.out.put_i64(partition.last_stable_offset);
        if self.version >= 5 {
            self.out.put_i64(partition.log_start_offset);
        }
        match &partition.aborted {
            Some(aborted) => {
                self.count(aborted.len())?;
                for transaction in aborted {
                    self.out.put_i64(transaction.producer_id);
                    self.out.put_i64(transaction.first_offset);
                    self.no_tags();
                }
            }
            None if self.flexible => self.varint(0),
            None => self.out.put_i32(-1),
        }
        if self.version >= 11 {
            self.out.put_i32(partition.preferred_read_replica);
        } else if partition.preferred_read_replica != -1 {
            return Err(inexpressible(self.version, "there are no preferred replicas"));
        }
        let len = partition.records.records_len();
        self.count(len)?;
        if len > 0 {
            self.cuts.push((self.out.len(), &partition.records));
            self.records = self.records.saturating_add(len);
        }
        self.partition_tags(partition);
        Ok(())
    }

    fn partition_tags(&mut self, partition: &PartitionAnswer<R>) {
        if !self.flexible {
            return;
        }
        let PartitionAnswer { diverging_epoch, current_leader, .. } = partition;
        let count = usize::from(diverging_epoch.is_some()) + usize::from(current_leader.is_some());
        self.varint(count as u32);
        // Tag, size of the value, value; each value ends with a section of tagged fields.
        if let Some(diverging) = diverging_epoch {
            self.out.put_slice(&[0, 13]);
            self.out.put_i32(diverging.epoch);
            self.out.put_i64(diverging.end_offset);
            self.no_tags();
        }
        if let Some(leader) = current_leader {
            self.out.put_slice(&[1, 9]);
            self.out.put_i32(leader.leader_id);
            self.out.put_i32(leader.leader_epoch);
            self.no_tags();
        }
    }

    /// The one tagged field of the whole answer.
    fn node_endpoints(&mut self, endpoints: &[NodeEndpoint]) -> Result<(), EncodeError> {
        // Its size stands in front, and is only known afterwards.
        let outer = std::mem::take(&mut self.out);
        self.count(endpoints.len())?;
        for endpoint in endpoints {
            self.out.put_i32(endpoint.node_id);
            self.string(&endpoint.host)?;
            self.out.put_i32(endpoint.port);
            match &endpoint.rack {
                Some(rack) => self.string(rack)?,
                None => self.varint(0),
            }
            self.no_tags();
        }
        let value = std::mem::replace(&mut self.out, outer);
        self.out.put_slice(&[1, 0]);
        let size = self.fits(value.len())?;
        self.varint(size);
        self.out.put_slice(&value);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        if text.len() > MAX_STRING {
            return Err(inexpressible(self.version, "a string is too long"));
        }
        if self.flexible {
            self.varint(text.len() as u32 + 1);
        } else {
            self.out.put_i16(text.len() as i16);
        }
        self.out.put_slice(text.as_bytes());
        Ok(())
    }

    /// The length of an array or of bytes.
    fn count(&mut self, count: usize) -> Result<(), EncodeError> {
        let count = self.fits(count)?;
        if self.flexible {
            self.varint(count + 1);
        } else {
            self.out.put_u32(count);
        }
        Ok(())
    }

    /// A number that must fit a length: those are signed, whatever their encoding.
    fn fits(&self, len: usize) -> Result<u32, EncodeError> {
        match i32::try_from(len) {
            Ok(len) => Ok(len.unsigned_abs()),
            Err(_) => Err(EncodeError::TooLong { api: Api::Fetch, version: self.version, len }),
        }
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.out.put_u8(0);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }
}
