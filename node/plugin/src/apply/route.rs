//! Under which producer id records are stored that do not stay.

use ring::digest::{Context, SHA256};
use tidegate_types::{PartitionId, ProducerId, TopicId};

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
