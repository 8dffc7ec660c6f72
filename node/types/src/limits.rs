//! Every limit in one place, with its reason. Relations between them are asserted at compile time.

use std::time::Duration;

use crate::ByteSize;

/// Largest record batch that a topic may take, header included. Whoever sends large records to
/// Kafka mostly raises its limit to 10 MiB; a fifth more leaves room for a plugin that adds fields.
/// One batch is held in memory as a whole.
pub const MAX_BATCH: ByteSize = ByteSize::mib(12);

/// Largest record batch of a topic that does not say otherwise. Kafka's default.
pub const DEFAULT_MAX_BATCH: ByteSize = ByteSize::bytes(1_048_588);

/// Largest uncompressed body of one batch. Bounds what a compressed batch can cost to read.
pub const MAX_BATCH_UNCOMPRESSED: ByteSize = ByteSize::mib(16);

/// Most records in one batch; bounds the columns handed to a plugin.
pub const MAX_BATCH_RECORDS: u32 = 100_000;

/// Most headers on one record.
pub const MAX_RECORD_HEADERS: u32 = 1_000;

/// Largest frame on a native stream: one full produce request or fetch push.
pub const MAX_FRAME: ByteSize = ByteSize::mib(64);

/// Largest header part of a frame, the postcard bytes before the raw batches.
pub const MAX_FRAME_HEADER: ByteSize = ByteSize::mib(1);

/// Largest plugin component that can be installed: a JavaScript engine is 12 MB.
pub const MAX_PLUGIN: ByteSize = ByteSize::mib(32);

/// Largest configuration text of one attachment.
pub const MAX_PLUGIN_CONFIG: ByteSize = ByteSize::kib(256);

/// Bytes pushed to a subscriber in one frame.
pub const SUBSCRIBE_CHUNK: ByteSize = ByteSize::mib(1);

/// Bytes that wait for one disk's log thread before senders are held back.
pub const MAX_APPEND_BACKLOG: ByteSize = ByteSize::mib(64);

/// Unacknowledged batches of one produce session.
pub const MAX_IN_FLIGHT: usize = 256;

/// Streams that one connection may have open.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 1_024;

/// Connections one node accepts.
pub const MAX_CONNECTIONS: usize = 10_000;

/// A client that has not said hello by then is cut off.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Partitions of one topic.
pub const MAX_PARTITIONS_PER_TOPIC: u32 = 10_000;

/// Longest topic name, without the site that a mirror puts before it. Kafka's own limit.
pub const MAX_TOPIC_NAME: usize = 249;

/// Longest name of a site, link or plugin.
pub const MAX_NAME: usize = 64;

/// Producers remembered per partition; the one silent for longest is forgotten first.
pub const MAX_PRODUCERS_PER_PARTITION: usize = 10_000;

/// Batches remembered per producer and partition, as in Kafka.
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;

/// Segment size of a new topic.
pub const DEFAULT_SEGMENT: ByteSize = ByteSize::mib(64);

/// How long records are kept unless a topic says otherwise. Kafka's default.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// Age at which a segment is closed although it is not full. Kafka's default.
pub const DEFAULT_SEGMENT_AGE: Duration = Duration::from_secs(7 * 86_400);

/// How long a tombstone outlives the compaction that first met it. Kafka's default.
pub const DEFAULT_DELETE_RETENTION: Duration = Duration::from_secs(86_400);

/// Disk space kept from the logs, for metadata and deletes on a full disk.
pub const DEFAULT_RESERVE: ByteSize = ByteSize::mib(32);

/// Distance between two entries of the sparse offset index.
pub const INDEX_INTERVAL: ByteSize = ByteSize::kib(64);
