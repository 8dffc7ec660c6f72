//! Targets of `tidegate-record`.

use tidegate_record::{
    Batch, BatchBuilder, Batches, BuildOptions, Compression, HEADER_LEN, peek_len, set_append_time,
    set_base_offset, set_leader_epoch, validate_produced,
};
use tidegate_types::limits::{MAX_BATCH, MAX_BATCH_UNCOMPRESSED};
use tidegate_types::{LeaderEpoch, Offset, Timestamp};

/// Reads arbitrary bytes as a run of batches, their CRCs not looked at, and everything in them.
pub fn record_batch(data: &[u8]) {
    let _ = peek_len(data);
    let mut scratch = Vec::new();
    for batch in Batches::trusted(data).map_while(Result::ok) {
        read(&batch, &mut scratch);
    }
    for batch in Batches::new(data).map_while(Result::ok) {
        // What is patched outside the CRC leaves a batch valid.
        let mut bytes = batch.bytes().to_vec();
        set_base_offset(&mut bytes, Offset::ZERO);
        set_leader_epoch(&mut bytes, LeaderEpoch(1));
        Batch::parse(&bytes).expect("a patched batch is a batch");
    }
}

/// Puts length, magic and CRC right first, so that inputs get past the header.
pub fn record_sealed(data: &[u8]) {
    if data.len() < HEADER_LEN || data.len() > MAX_BATCH.as_usize() {
        return;
    }
    let mut bytes = data.to_vec();
    let len = (bytes.len() - 12) as u32;
    bytes[..8].fill(0);
    bytes[8..12].copy_from_slice(&len.to_be_bytes());
    bytes[16] = 2;
    // Sets the CRC too; the bits and the time that it sets do not matter to the body.
    set_append_time(&mut bytes, Timestamp(1));
    if let Ok((batch, rest)) = Batch::parse(&bytes) {
        assert!(rest.is_empty());
        read(&batch, &mut Vec::new());
    }
}

/// Reads every record; a batch that reads to its end must survive being built anew.
fn read(batch: &Batch<'_>, scratch: &mut Vec<u8>) {
    let _ = validate_produced(batch);
    let header = *batch.header();
    let options = BuildOptions {
        base_offset: header.base_offset,
        stamp: header.stamp(),
        ..BuildOptions::default()
    };
    let mut builder = BatchBuilder::new(options);
    let Ok(records) = batch.body(scratch) else { return };
    let mut count = 0;
    for record in records {
        let Ok(r) = record else { return };
        assert_eq!(r.headers.iter().count(), r.headers.len());
        assert!(header.offset_of(&r) < header.next_offset());
        let timestamp = header.timestamp_of(&r);
        if let Err(error) =
            builder.push_record(r.offset_delta, timestamp, r.key, r.value, r.headers)
        {
            assert!(error.is_full() || header.compression != Compression::None, "{error}");
            return;
        }
        count += 1;
    }
    assert_eq!(count, header.record_count);
    assert!(scratch.len() <= MAX_BATCH_UNCOMPRESSED.as_usize());
    builder.set_last_offset_delta(header.last_offset_delta);
    let Ok(again) = builder.build() else { return };
    let (again, _) = Batch::parse(&again).expect("a built batch is a batch");
    assert_eq!(again.header().next_offset(), header.next_offset());
    assert_eq!(again.header().record_count, header.record_count);

    let (mut unpacked, mut also) = (Vec::new(), Vec::new());
    let before = batch.body(&mut unpacked).expect("it was read before");
    let after = again.body(&mut also).expect("it was just built");
    for (before, after) in before.zip(after) {
        let (before, after) = (before.expect("read before"), after.expect("just built"));
        assert_eq!((before.key, before.value), (after.key, after.value));
        assert_eq!(
            (before.offset_delta, before.headers.len()),
            (after.offset_delta, after.headers.len())
        );
        assert!(before.headers.iter().eq(after.headers.iter()));
        assert_eq!(header.timestamp_of(&before), again.header().timestamp_of(&after));
    }
}

/// Takes the input for instructions: builds a batch from it with each codec and reads it back.
pub fn record_round_trip(data: &[u8]) {
    for compression in Compression::ALL {
        let mut builder =
            BatchBuilder::new(BuildOptions { compression, ..BuildOptions::default() });
        let mut wanted = Vec::new();
        let mut delta = -1;
        let mut rest = data;
        // A record: gap, timestamp, and how long key, value and header are.
        while let Some(([gap, time, key, value, header], tail)) = rest.split_first_chunk() {
            let mut tail = tail;
            let mut part = |len: u8| {
                let (head, after) = tail.split_at(usize::from(len).min(tail.len()));
                tail = after;
                // An odd length stands for null where nothing is left.
                (!head.is_empty() || len % 2 == 0).then_some(head)
            };
            let (key, value, name) = (part(*key), part(*value), part(*header).unwrap_or_default());
            let headers = (0..header % 3).map(move |i| (name, (i == 0).then_some(name)));
            delta += 1 + i32::from(*gap);
            let time = Timestamp(i64::from(*time as i8) << (gap % 60));
            if builder.push_at(delta, time, key, value, headers.clone()).is_err() {
                break;
            }
            wanted.push((delta, time, key, value, headers.collect::<Vec<_>>()));
            rest = tail;
        }
        let size = builder.size();
        let Ok(bytes) = builder.build() else { continue };
        assert!(compression != Compression::None || bytes.len() == size);
        let (batch, after) = Batch::parse(&bytes).expect("a built batch is a batch");
        assert!(after.is_empty());
        let mut scratch = Vec::new();
        let records = batch.body(&mut scratch).expect("a built body unpacks");
        let found: Vec<_> = records
            .map(|record| {
                let r = record.expect("a built record is one");
                let time = batch.header().timestamp_of(&r);
                (r.offset_delta, time, r.key, r.value, r.headers.iter().collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(found, wanted, "{compression}");
    }
}
