//! Which partition a record goes to: the same one as with Kafka's clients.

use tidegate_types::PartitionId;

/// How a record that names no partition gets one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Partitioner {
    /// With a key, by its hash ([`key_partition`]); without one, a batch at a time in turn.
    #[default]
    KeyHash,
    /// A batch at a time in turn, whatever the key.
    InTurn,
}

/// The partition of a key, of `partitions`: what Kafka's Java client chooses too.
#[must_use]
pub fn key_partition(key: &[u8], partitions: u32) -> PartitionId {
    PartitionId((murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}

/// MurmurHash2 with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafka() {
        // The values that Kafka's own UtilsTest holds.
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn partitions_lie_in_range() {
        for i in 0..1_000_u32 {
            assert!(key_partition(&i.to_be_bytes(), 7).get() < 7);
            assert_eq!(key_partition(&i.to_be_bytes(), 1), PartitionId(0));
        }
        assert_eq!(key_partition(b"x", 0), PartitionId(0));
    }
}
