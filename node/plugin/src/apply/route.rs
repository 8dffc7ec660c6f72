//! Where records go that do not stay, and under which producer id.

use ring::digest::{Context, SHA256};
use tidegate_types::{PartitionId, ProducerId, TopicId};

/// The partition, of `partitions`, that Kafka's clients choose for a key.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: u32) -> PartitionId {
    PartitionId((murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}

/// Kafka's variant of MurmurHash2, with its seed.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        h = (h ^ tail).wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

/// The id under which outputs are stored that plugins made of a producer's batches.
///
/// It follows from what the producer sent and where it sent it, so that a retry gets the same one;
/// `purpose` keeps apart what different chains make of one batch.
#[must_use]
pub fn derived_producer(
    producer: ProducerId,
    topic: TopicId,
    partition: PartitionId,
    purpose: &str,
) -> ProducerId {
    let mut context = Context::new(&SHA256);
    context.update(&producer.get().to_be_bytes());
    context.update(topic.0.as_bytes());
    context.update(&partition.get().to_be_bytes());
    context.update(purpose.as_bytes());
    let mut low = [0; 8];
    low.copy_from_slice(&context.finish().as_ref()[..8]);
    let low = i64::from_be_bytes(low) & (ProducerId::FIRST_DERIVED - 1);
    ProducerId(ProducerId::FIRST_DERIVED | low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::TopicId;

    #[test]
    fn keys_hash_as_kafka_hashes_them() {
        // From Kafka's own test of its hash.
        for (key, hash) in [
            (&b"21"[..], -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key), hash as u32, "{key:?}");
        }
        assert_eq!(partition_for_key(b"abc", 10), PartitionId(7));
        assert_eq!(partition_for_key(b"abc", 0), PartitionId(0));
    }

    #[test]
    fn derived_ids_are_derived_and_differ_in_whatever_differs() {
        let topic = TopicId::random();
        let base = derived_producer(ProducerId(7), topic, PartitionId(1), "ingest");
        assert!(base.is_derived() && base.get() > 0);
        assert_eq!(derived_producer(ProducerId(7), topic, PartitionId(1), "ingest"), base);
        for other in [
            derived_producer(ProducerId(8), topic, PartitionId(1), "ingest"),
            derived_producer(ProducerId(7), TopicId::random(), PartitionId(1), "ingest"),
            derived_producer(ProducerId(7), topic, PartitionId(2), "ingest"),
            derived_producer(ProducerId(7), topic, PartitionId(1), "derive"),
        ] {
            assert_ne!(other, base);
        }
    }
}
