//! Identifiers and counters, each a type of its own so that none is mistaken for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The bare number, for encoding.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A record's position in its partition, from 0.
    Offset(i64)
}
number! {
    /// Generation of a partition's leadership; -1 where none is known.
    LeaderEpoch(i32)
}
number! {
    /// One ordered shard of a topic, from 0.
    PartitionId(u32)
}
number! {
    /// One process in a site.
    NodeId(u32)
}
number! {
    /// Tells two lives of one partition's log apart: a log that is made anew gets another one.
    Incarnation(u64)
}
number! {
    /// The identity under which a producer's retries are recognised.
    ProducerId(i64)
}
number! {
    /// Generation of a producer id; a higher one fences the lower.
    ProducerEpoch(i16)
}
number! {
    /// A record's number within its producer session and partition, 0 to 2^31 - 1, then 0 again.
    Sequence(i32)
}

impl Offset {
    /// The first offset of every new log.
    pub const ZERO: Offset = Offset(0);

    /// The offset `n` records further on; saturates at the end of the offset space.
    #[must_use]
    pub const fn advance(self, n: i64) -> Offset {
        Offset(self.0.saturating_add(n))
    }

    /// Records from `earlier` (inclusive) to `self` (exclusive); negative if `self` lies before it.
    #[must_use]
    pub const fn since(self, earlier: Offset) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl LeaderEpoch {
    /// Kafka's "no epoch known".
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl Sequence {
    /// The number `n` further on, wrapping from 2^31 - 1 to 0 as Kafka's producers do.
    #[must_use]
    pub const fn advance(self, n: i32) -> Sequence {
        Sequence(((self.0 as i64 + n as i64) & 0x7fff_ffff) as i32)
    }

    /// Whether `self` comes after `earlier`, in the half of the ring that follows it.
    #[must_use]
    pub const fn is_after(self, earlier: Sequence) -> bool {
        let distance = (self.0 as i64 - earlier.0 as i64) & 0x7fff_ffff;
        distance != 0 && distance < 0x4000_0000
    }
}

/// What an idempotent producer writes into each batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProducerStamp {
    /// Who produced the batch.
    pub id: ProducerId,
    /// In which generation.
    pub epoch: ProducerEpoch,
    /// The sequence of the batch's first record.
    pub base_sequence: Sequence,
}

impl ProducerId {
    /// Ids at and above this are derived from another producer's; those below are handed out.
    pub const FIRST_DERIVED: i64 = 1 << 62;

    /// Whether the broker derived this id for the outputs of a plugin.
    ///
    /// Batches of such an id are deduplicated by rising base sequence, with gaps allowed.
    #[must_use]
    pub const fn is_derived(self) -> bool {
        self.0 >= Self::FIRST_DERIVED
    }
}

/// A topic for as long as it lives; a topic deleted and made again has another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// The id of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> TopicId {
        TopicId(Uuid::from_bytes(bytes))
    }

    /// A new, random id.
    #[must_use]
    pub fn random() -> TopicId {
        TopicId(Uuid::new_v4())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// One partition of one topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition in it.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_and_keep_their_order() {
        let last = Sequence(i32::MAX);
        assert_eq!(last.advance(1), Sequence(0));
        assert!(Sequence(0).is_after(last));
        assert!(!last.is_after(Sequence(0)));
        assert!(!Sequence(5).is_after(Sequence(5)));
        assert!(Sequence(9).is_after(Sequence(5)));
    }
}
