//! What is in the golden folder, log by log.

use tidegate_record::Compression::{self, Gzip, Lz4, None as Plain, Snappy, Zstd};

/// The time of the record at offset 0; each is a second later than the one before it.
pub const FIRST_TIME: i64 = 1_690_000_000_000;

/// A batch as it was appended. Offsets follow from those before it.
pub struct Put {
    pub epoch: i32,
    pub codec: Compression,
    /// Producer, its epoch, first sequence.
    pub stamp: Option<(i64, i16, i32)>,
    /// Keys and values; an empty key is none, an empty value a tombstone.
    pub records: &'static [(&'static str, &'static str)],
}

const fn put(
    epoch: i32,
    codec: Compression,
    stamp: Option<(i64, i16, i32)>,
    records: &'static [(&'static str, &'static str)],
) -> Put {
    Put { epoch, codec, stamp, records }
}

/// One log, as it is found with the index unless another is said.
pub struct Golden {
    pub partition: u32,
    pub segment_bytes: u64,
    pub compacted: bool,
    pub puts: &'static [Put],
    /// Offsets that compaction took out.
    pub superseded: &'static [i64],
    /// Everything before it was compacted.
    pub compacted_to: i64,
    /// First and end of the offsets that are recorded as lost.
    pub lost: Option<(i64, i64)>,
    pub start: i64,
    /// Where it starts once the index is gone: at its first file.
    pub first_file: i64,
    pub end: i64,
    /// Epochs with where they end.
    pub epochs: &'static [(i32, i64)],
    /// Producer, epoch, first sequence, last offset delta, and whether that batch is known.
    pub producers: &'static [(i64, i16, i32, i32, bool)],
    /// Where bytes begin that a crash left behind the last batch, and how many.
    pub torn: Option<(u64, u64)>,
    /// CRC-32C of all batches' bytes from `first_file` on, end to end.
    pub crc: u32,
}

/// Several small segments, every codec, a producer that is still known, and two epochs.
const PLAIN: Golden = Golden {
    partition: 0,
    segment_bytes: 250,
    compacted: false,
    puts: &[
        put(1, Plain, None, &[("", "zero"), ("k", "one")]),
        put(1, Gzip, Some((4_000, 0, 0)), &[("k", "two"), ("k", "three"), ("l", "four")]),
        put(1, Snappy, Some((4_000, 0, 3)), &[("k", "five")]),
        put(1, Plain, Some((4_001, 2, 0)), &[("", "six"), ("", "seven")]),
        put(1, Lz4, Some((4_000, 0, 4)), &[("m", "eight"), ("m", "nine")]),
        put(3, Zstd, Some((4_000, 0, 6)), &[("m", "ten"), ("", "eleven")]),
        put(3, Plain, None, &[("n", "")]),
        put(3, Plain, Some((4_000, 0, 8)), &[("", "thirteen")]),
        put(3, Zstd, None, &[("", "fourteen"), ("", "fifteen"), ("", "sixteen")]),
        put(3, Gzip, Some((4_000, 1, 0)), &[("", "seventeen")]),
    ],
    superseded: &[],
    compacted_to: 0,
    lost: None,
    start: 0,
    first_file: 0,
    end: 18,
    epochs: &[(0, 0), (1, 10), (2, 10), (3, 18), (9, 18)],
    producers: &[
        (4_000, 1, 0, 0, true),
        (4_000, 1, 1, 0, false),
        (4_001, 2, 0, 1, true),
        (4_001, 2, 2, 0, false),
        (4_002, 0, 0, 0, false),
    ],
    torn: None,
    crc: 0x9c7d_5120,
};

/// Compacted up to the middle, where batches without records, holes and a tombstone are left; behind
/// that a batch was damaged and taken out by a repair.
const COMPACTED: Golden = Golden {
    partition: 1,
    segment_bytes: 300,
    compacted: true,
    puts: &[
        put(2, Plain, Some((5_000, 0, 0)), &[("a", "a0"), ("b", "b1"), ("c", "c2")]),
        put(2, Lz4, Some((5_000, 0, 3)), &[("a", "a3"), ("b", "b4")]),
        put(2, Plain, None, &[("a", "a5"), ("d", "d6")]),
        put(2, Plain, None, &[("d", "")]),
        put(2, Gzip, None, &[("b", "b8"), ("e", "e9")]),
        put(2, Plain, None, &[("a", "a10")]),
        // What follows was not compacted.
        put(2, Plain, None, &[("f", "f11")]),
        put(2, Plain, None, &[("a", "a12")]),
        put(4, Plain, None, &[("c", "c13")]),
        put(4, Plain, Some((5_001, 0, 0)), &[("g", "g14"), ("h", "h15")]),
        put(4, Plain, None, &[("a", "a16")]),
        put(4, Plain, None, &[("a", "a17")]),
        put(4, Plain, None, &[("a", "a18")]),
        put(4, Plain, None, &[("a", "a19")]),
        put(4, Plain, None, &[("a", "a20")]),
    ],
    superseded: &[0, 1, 3, 4, 5, 6],
    compacted_to: 11,
    lost: Some((14, 16)),
    start: 0,
    first_file: 0,
    end: 21,
    epochs: &[(1, 0), (2, 13), (4, 21)],
    producers: &[(5_000, 0, 3, 1, true), (5_000, 0, 5, 0, false)],
    torn: None,
    crc: 0x4eda_ed00,
};

/// Trimmed to the middle of a file.
const TRIMMED: Golden = Golden {
    partition: 2,
    segment_bytes: 200,
    compacted: false,
    puts: &[
        put(1, Plain, None, &[("", "gone 0")]),
        put(1, Plain, None, &[("", "gone 1")]),
        put(2, Plain, Some((6_000, 0, 0)), &[("", "gone 2")]),
        put(2, Plain, None, &[("", "gone 3")]),
        put(2, Plain, None, &[("", "trimmed 4")]),
        put(5, Plain, None, &[("", "five"), ("", "six")]),
        put(5, Plain, None, &[("", "seven")]),
        put(5, Plain, Some((6_000, 0, 1)), &[("", "eight")]),
    ],
    superseded: &[],
    compacted_to: 0,
    lost: None,
    start: 5,
    first_file: 4,
    end: 9,
    epochs: &[(1, 5), (5, 9)],
    producers: &[(6_000, 0, 1, 0, true), (6_000, 0, 2, 0, false)],
    torn: None,
    crc: 0x338a_fcae,
};

/// Killed: its last segment, in which no codec has a say, has a checkpoint, batches behind it, half a
/// batch, and zeros.
const KILLED: Golden = Golden {
    partition: 3,
    segment_bytes: 1_000,
    compacted: false,
    puts: &[
        put(7, Plain, Some((7_000, 0, 0)), &[("", "closed 0"), ("", "closed 1")]),
        put(7, Zstd, Some((7_000, 0, 2)), &[("", "closed 2")]),
        put(7, Plain, None, &[("", LONG)]),
        put(7, Plain, None, &[("", "checkpointed 4")]),
        put(7, Plain, Some((7_000, 0, 3)), &[("", "checkpointed 5")]),
        // What follows was synced, and the index was not told.
        put(8, Plain, Some((7_000, 0, 4)), &[("", "scanned 6"), ("", "scanned 7")]),
        put(8, Plain, None, &[("", "scanned 8")]),
    ],
    superseded: &[],
    compacted_to: 0,
    lost: None,
    start: 0,
    first_file: 0,
    end: 9,
    epochs: &[(6, 0), (7, 6), (8, 9)],
    producers: &[
        (7_000, 0, 2, 0, true),
        (7_000, 0, 3, 0, true),
        (7_000, 0, 4, 1, true),
        (7_000, 0, 6, 0, false),
    ],
    torn: Some((335, 665)),
    crc: 0xa331_088f,
};

/// Puts at its start that the index is told of before the others of [`KILLED`] are appended.
pub const CHECKPOINTED: usize = 5;

/// Puts of [`COMPACTED`] that are there when its closed segments are compacted.
pub const BEFORE_COMPACTION: usize = 8;

const LONG: &str = match std::str::from_utf8(&[b'x'; 720]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Where a log was trimmed to.
pub const TRIMMED_TO: i64 = TRIMMED.start;

pub const LOGS: [Golden; 4] = [PLAIN, COMPACTED, TRIMMED, KILLED];

/// All files but the index, in the folder of the topic those that name none, with their lengths.
pub const FILES: &[(&str, u64)] = &[
    ("lock", 0),
    ("reserve", 65_536),
    ("0/00000000000000000000.log", 203),
    ("0/00000000000000000005.log", 179),
    ("0/00000000000000000008.log", 197),
    ("0/00000000000000000012.log", 145),
    ("0/00000000000000000014.log", 212),
    ("0/incarnation", 32),
    ("1/00000000000000000000.log", 193),
    ("1/00000000000000000007.log", 243),
    ("1/00000000000000000011.log", 216),
    ("1/00000000000000000011.log.damaged-216", 84),
    ("1/00000000000000000016.log", 288),
    ("1/00000000000000000020.log", 72),
    ("1/incarnation", 32),
    ("2/00000000000000000004.log", 160),
    ("2/00000000000000000007.log", 146),
    ("2/incarnation", 32),
    ("3/00000000000000000000.log", 967),
    ("3/00000000000000000004.log", 1_000),
    ("3/incarnation", 32),
    ("topics/00000000-0000-0000-0000-000000000008/doomed", 0),
];
