//! Record batches for tests: built with any of their fields wrong, and read back as trees.

use serde_json::{Value, json};

use crate::conn::hex;

/// Bytes before the records: of the batch, and of what `batchLength` counts from.
const HEADER: usize = 61;
const BEFORE_LENGTH: usize = 12;
const BEFORE_CRC: usize = 21;

/// One record.
#[derive(Clone, Default, Debug)]
pub struct RecordSpec {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Its timestamp, counted from the batch's.
    pub timestamp_delta: i64,
}

/// A batch; what is not said follows from the records.
#[derive(Clone, Debug)]
pub struct BatchSpec {
    /// The records.
    pub records: Vec<RecordSpec>,
    /// The first offset.
    pub base_offset: i64,
    /// The leader epoch, which lies outside the checksum.
    pub leader_epoch: i32,
    /// The format.
    pub magic: i8,
    /// Codec, timestamp type, transactional, control.
    pub attributes: i16,
    /// The timestamp that the records count from.
    pub timestamp: i64,
    /// The largest timestamp, where it shall not follow from the records.
    pub max_timestamp: Option<i64>,
    /// Producer id, epoch, first sequence.
    pub producer: (i64, i16, i32),
    /// The last offset delta, where it shall lie.
    pub last_offset_delta: Option<i32>,
    /// The count of records, where it shall lie.
    pub count: Option<i32>,
    /// The batch length, where it shall lie.
    pub length: Option<i32>,
    /// Turns bits of the checksum.
    pub crc_mask: u32,
    /// The bytes of the records, where they shall be others.
    pub body: Option<Vec<u8>>,
}

/// Short for a batch in a request: hexadecimal text.
pub type Batch = String;

impl BatchSpec {
    /// A batch of keyed records with create time and no producer id.
    #[must_use]
    pub fn of(records: &[(&str, &str)], timestamp: i64) -> BatchSpec {
        let record = |(key, value): &(&str, &str)| RecordSpec {
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.as_bytes().to_vec()),
            ..RecordSpec::default()
        };
        BatchSpec {
            records: records.iter().map(record).collect(),
            base_offset: 0,
            leader_epoch: -1,
            magic: 2,
            attributes: 0,
            timestamp,
            max_timestamp: None,
            producer: (-1, -1, -1),
            last_offset_delta: None,
            count: None,
            length: None,
            crc_mask: 0,
            body: None,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let count = self.records.len() as i32;
        let last = self.records.iter().map(|record| record.timestamp_delta).max().unwrap_or(0);
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        out.extend_from_slice(&self.magic.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.attributes.to_be_bytes());
        out.extend_from_slice(&self.last_offset_delta.unwrap_or(count - 1).to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        let max = self.max_timestamp.unwrap_or(self.timestamp + last);
        out.extend_from_slice(&max.to_be_bytes());
        out.extend_from_slice(&self.producer.0.to_be_bytes());
        out.extend_from_slice(&self.producer.1.to_be_bytes());
        out.extend_from_slice(&self.producer.2.to_be_bytes());
        out.extend_from_slice(&self.count.unwrap_or(count).to_be_bytes());
        match &self.body {
            Some(body) => out.extend_from_slice(body),
            None => {
                for (index, record) in self.records.iter().enumerate() {
                    out.extend_from_slice(&record.bytes(index));
                }
            }
        }
        let length = self.length.unwrap_or((out.len() - BEFORE_LENGTH) as i32);
        out[8..BEFORE_LENGTH].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c(&out[BEFORE_CRC..]) ^ self.crc_mask;
        out[BEFORE_CRC - 4..BEFORE_CRC].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Its bytes as they stand in a request's tree.
    #[must_use]
    pub fn hex(&self) -> Batch {
        hex(&self.bytes())
    }
}

impl RecordSpec {
    fn bytes(&self, offset_delta: usize) -> Vec<u8> {
        let mut out = vec![0];
        put(&mut out, self.timestamp_delta);
        put(&mut out, offset_delta as i64);
        put_bytes(&mut out, self.key.as_deref());
        put_bytes(&mut out, self.value.as_deref());
        put(&mut out, self.headers.len() as i64);
        for (name, value) in &self.headers {
            put_bytes(&mut out, Some(name));
            put_bytes(&mut out, value.as_deref());
        }
        let mut framed = Vec::with_capacity(out.len() + 2);
        put(&mut framed, out.len() as i64);
        framed.extend_from_slice(&out);
        framed
    }
}

/// Whole batches as a list of trees. What follows the last whole one is left out: a fetch may cut
/// it anywhere and clients drop it. Bytes that are no batch are told as such.
#[must_use]
pub fn batches(mut bytes: &[u8]) -> Value {
    let mut list = Vec::new();
    while bytes.len() >= HEADER {
        let length = i32_at(bytes, 8);
        let Some(end) = usize::try_from(length).ok().and_then(|n| n.checked_add(BEFORE_LENGTH))
        else {
            list.push(json!({ "NoBatch": hex(bytes) }));
            break;
        };
        if end < HEADER {
            list.push(json!({ "NoBatch": hex(bytes) }));
            break;
        }
        if end > bytes.len() {
            break;
        }
        list.push(batch(&bytes[..end]));
        bytes = &bytes[end..];
    }
    Value::Array(list)
}

fn batch(bytes: &[u8]) -> Value {
    let crc = u32::from_be_bytes(bytes[17..BEFORE_CRC].try_into().expect("four bytes"));
    json!({
        "FirstOffset": i64_at(bytes, 0),
        "LeaderEpoch": i32_at(bytes, 12),
        "Magic": bytes[16],
        "CrcMatches": crc == crc32c(&bytes[BEFORE_CRC..]),
        "Attributes": i16_at(bytes, 21),
        "LastOffsetDelta": i32_at(bytes, 23),
        "FirstTimestamp": i64_at(bytes, 27),
        "MaxTimestamp": i64_at(bytes, 35),
        "ProducerId": i64_at(bytes, 43),
        "ProducerEpoch": i16_at(bytes, 51),
        "FirstSequence": i32_at(bytes, 53),
        "Count": i32_at(bytes, 57),
        "Body": hex(&bytes[HEADER..]),
    })
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn put(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_said() {
        let mut spec = BatchSpec::of(&[("k", "v"), ("l", "w")], 1_700_000_000_000);
        spec.producer = (7, 1, 40);
        spec.records[1].timestamp_delta = 5;
        let tree = batches(&spec.bytes());
        assert_eq!(tree[0]["Count"], 2);
        assert_eq!(tree[0]["LastOffsetDelta"], 1);
        assert_eq!(tree[0]["MaxTimestamp"], 1_700_000_000_005_i64);
        assert_eq!(tree[0]["FirstSequence"], 40);
        assert_eq!(tree[0]["CrcMatches"], true);
    }

    #[test]
    fn a_wrong_checksum_and_a_cut_batch_are_seen() {
        let mut spec = BatchSpec::of(&[("k", "v")], 0);
        let whole = spec.bytes();
        spec.crc_mask = 1;
        assert_eq!(batches(&spec.bytes())[0]["CrcMatches"], false);
        assert_eq!(batches(&whole[..whole.len() - 1]), json!([]));
        let mut two = whole.clone();
        two.extend_from_slice(&whole[..65]);
        assert_eq!(batches(&two).as_array().map(Vec::len), Some(1));
        spec.length = Some(-5);
        assert!(batches(&spec.bytes())[0]["NoBatch"].is_string());
    }
}
