//! Every byte of every table's rows, as the crate's format page tells them. A row that is encoded
//! otherwise is read by no store that was written before.

use redb::TableHandle;
use tidegate_env::SimDisk;
use tidegate_record::{BatchBuilder, BatchHeader, BuildOptions};
use tidegate_types::{Incarnation, LeaderEpoch, PartitionId, ProducerEpoch, ProducerId};
use tidegate_types::{ProducerStamp, Sequence, Timestamp, TopicId};

use super::*;
use crate::clean::CleanRow;
use crate::producers::Producers;

const LOG: TopicPartition = TopicPartition {
    topic: TopicId(uuid::Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
    partition: PartitionId(258),
};

/// The 20 bytes of [`LOG`], and the base offset 1 000.
const OF_LOG: &str = "00112233445566778899aabbccddeeff00000102";
const OF_SEGMENT: &str = "00112233445566778899aabbccddeeff0000010200000000000003e8";

fn meta() -> LogMeta {
    LogMeta {
        incarnation: Incarnation(0x0123_4567_89ab_cdef),
        start: Offset(1_001),
        epochs: vec![(LeaderEpoch(1), Offset(1_001)), (LeaderEpoch(70), Offset(1_200))],
        damage: vec![DamageRange { from: Offset(1_100), end: Offset(1_163) }],
    }
}

fn segment() -> SegmentMeta {
    SegmentMeta { len: 131_072, next: Offset(1_300), max_timestamp: Timestamp(1_700_000_000_000) }
}

fn sparse() -> SparseIndex {
    let mut sparse = SparseIndex::default();
    sparse.observe(0, 0, Timestamp::NONE, false);
    sparse.observe(200, 70_000, Timestamp(1_699_999_999_999), false);
    sparse
}

fn producers() -> Producers {
    let mut producers = Producers::default();
    for (epoch, sequence, base_offset) in [(2, 0, 1_250), (2, 2, 1_290)] {
        let stamp = ProducerStamp {
            id: ProducerId(4_000),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
        };
        let base_offset = Offset(base_offset);
        let options = BuildOptions { stamp: Some(stamp), base_offset, ..BuildOptions::default() };
        let mut builder = BatchBuilder::new(options);
        for _ in 0..2 {
            builder.push(Timestamp(1), None, None, []).unwrap();
        }
        producers.note(&BatchHeader::parse(&builder.build().unwrap()).unwrap());
    }
    producers
}

fn cleaning() -> CleanRow {
    CleanRow {
        closed: vec![(Offset(1_000), Duration::from_millis(90_500))],
        filling: Some((Offset(1_300), Duration::from_secs(100))),
        compacted: Offset(1_300),
        tombstones: 3,
        swept: Offset(1_050),
        horizons: vec![(Offset(1_050), Duration::from_secs(60))],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_row_is_encoded_as_it_was() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    disk.create_dir_all(Path::new("/data")).unwrap();
    let index = Index::open(&disk, Path::new("/data"), ByteSize::mib(1)).unwrap();
    let changes = [
        Change::Log(LOG, meta()),
        Change::Segment(LOG, Offset(1_000), segment(), Arc::new(sparse())),
        Change::Producers(LOG, Offset(1_300), producers().snapshot()),
        Change::Durable(LOG, Offset(1_300)),
        Change::Cleaning(LOG, cleaning()),
        Change::Uptime(Duration::from_millis(3_600_001)),
    ];
    index.commit(&changes).unwrap();

    // Table, key, content, checksum.
    let expected: [(&str, &str, &str, &str); 7] = [
        ("cleaning", OF_LOG, "01d00f5a80cab5ee0101a8146400a81403b41001b4103c00", "0310b823"),
        ("durable", OF_LOG, "0000000000000514", "e99eda8c"),
        ("logs", OF_LOG, "ef9bafcdf8acd19101d20f0202d20f8c01e0120198119612", "a88ddff1"),
        ("producers", OF_LOG, "000000000000051401c03e04020002c413c81304069414981408", "1a8e7da3"),
        ("segments", OF_SEGMENT, "808008a81480a0abfef962", "94cc2ee2"),
        ("sparse", OF_SEGMENT, "02000001c801f0a20480a0abfef962", "a065737c"),
        ("uptime", "", "000000000036ee81", "46bd179f"),
    ];
    let mut found = Vec::new();
    let read = index.with(|open| {
        let transaction = open.db.begin_read()?;
        let mut names: Vec<String> =
            transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
        names.sort();
        for name in names {
            let definition = redb::TableDefinition::<&[u8], &[u8]>::new(&name);
            for row in transaction.open_table(definition)?.iter()? {
                let (key, value) = row?;
                let (content, checksum) = value.value().split_last_chunk::<4>().unwrap();
                found.push((name.clone(), hex(key.value()), hex(content), hex(checksum)));
            }
        }
        Ok(())
    });
    read.unwrap();
    let told = expected.map(|(a, b, c, d)| (a.into(), b.into(), c.into(), d.into()));
    assert_eq!(found, told);

    let known = index.known(LOG).unwrap();
    assert_eq!(known.meta, Some(meta()));
    assert_eq!(known.segments, [(Offset(1_000), segment())]);
    assert_eq!(known.durable, Some(Offset(1_300)));
    assert_eq!(known.cleaning, Some(cleaning()));
    let (at, snapshot) = known.producers.unwrap();
    assert_eq!((at, snapshot.restore()), (Offset(1_300), Some(producers())));
    assert_eq!(index.sparse(LOG, Offset(1_000)).unwrap(), Some(sparse()));
    assert_eq!(index.uptime(), Duration::from_millis(3_600_001));
}
