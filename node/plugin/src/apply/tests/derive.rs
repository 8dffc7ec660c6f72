//! What a chain makes for another topic.

use super::*;

#[test]
fn what_is_derived_leaves_the_topic_under_a_stamp_of_its_own() {
    let topic = TopicName::new("input").unwrap();
    let to = TopicName::new("wide").unwrap();
    let stamp = ProducerStamp {
        id: ProducerId(0),
        epoch: ProducerEpoch(0),
        base_sequence: Sequence(1_000),
    };
    let origin = Origin {
        topic: &topic,
        topic_id: TopicId(uuid()),
        partition: PartitionId(HERE),
        partitions: PARTITIONS,
        purpose: "derive/wide",
        keep_offsets: false,
        derive: Some(Derive { to: &to, partitions: 5, stamp }),
        partitions_of: &partitions_of,
    };
    // With a producer or without, changed or not: it is all the same.
    for producer in [Some(STAMP), None] {
        let input = build(&[rec(0, b"a"), rec(1, b"b")], producer, Compression::None);
        let (batch, _) = Batch::parse(&input).unwrap();
        let applied = Applier::new().run(&batch, &mut [Everything], &origin).unwrap();
        assert_eq!((applied.counts.records, applied.counts.moved), (2, 2));
        let Change::Scattered { in_place: None, outputs } = applied.change else {
            panic!("{:?}", applied.change);
        };
        let [output] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((output.topic.as_ref(), output.partition), (Some(&to), PartitionId(HERE % 5)));
        let header = BatchHeader::parse(&output.batch).unwrap();
        let written = header.stamp().unwrap();
        assert!(written.id.is_derived());
        assert_eq!(written.base_sequence, Sequence(1_000));
        assert_eq!(header.record_count, 2);
    }
}

/// Keeps every record.
struct Everything;

impl Stage for Everything {
    fn needs(&self) -> Needs {
        Needs::NONE
    }
    fn batch_time(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn run(&mut self, columns: &mut Columns, _: &RunContext) -> Result<Outcome, RunError> {
        let bitmap = vec![0xff; columns.len().div_ceil(8) as usize];
        let verdict = abi::FilterVerdict::Kept(abi::Kept { bitmap, failed: Vec::new() });
        Ok(Outcome::of_filter(verdict, columns.len()).unwrap())
    }
}
