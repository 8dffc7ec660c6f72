//! Every limit of the coordinator, with its reason.

use std::time::Duration;

use tidegate_types::ByteSize;
use tidegate_types::limits;

/// Most members of one group unless the configuration says otherwise. Kafka has no limit; a step of
/// a group costs time in its members, and ten thousand cost some milliseconds.
pub const DEFAULT_MAX_MEMBERS: usize = 10_000;

/// Most groups. Each costs some hundred bytes, and everyone who may read a topic can make them.
pub const MAX_GROUPS: usize = 50_000;

/// Largest batch of the groups' topic. What a group is made of fits it twice over, and appends are
/// held in memory.
pub const MAX_BATCH: ByteSize = ByteSize::mib(2);

/// Most bytes of one append: it becomes one record batch, whose own header takes the rest.
pub const MAX_APPEND: ByteSize = ByteSize::bytes(MAX_BATCH.get() - 16 * 1024);

/// What a record costs in a batch beside its key and value: lengths, deltas, attributes.
pub const RECORD_OVERHEAD: usize = 32;

/// Most bytes of all members of one classic group: ids, protocols and assignments are stored as one
/// record, which must fit an append. Kafka's own limit is a batch of 1 MiB.
pub const MAX_CLASSIC_GROUP: ByteSize = ByteSize::bytes(MAX_APPEND.get() - 16 * 1024);

/// Most bytes of the protocols of one member, metadata included. Kafka Streams sends the largest,
/// some tens of kilobytes.
pub const MAX_MEMBER_PROTOCOLS: ByteSize = ByteSize::kib(512);

/// Most protocols that a member may offer. Clients have at most four.
pub const MAX_PROTOCOLS: usize = 64;

/// Longest group id, in bytes. Kafka allows 32 KiB; it stands in every key that is stored.
pub const MAX_GROUP_ID: usize = 1_024;

/// Longest member id, instance id, protocol name, client id and host kept, in bytes.
pub const MAX_ID: usize = 1_024;

/// Longest topic name that is taken, a mirror's site included.
pub const MAX_TOPIC: usize = limits::MAX_TOPIC_NAME + 1 + limits::MAX_NAME;

/// Most topics that one member of a consumer group may name.
pub const MAX_SUBSCRIBED_TOPICS: usize = 5_000;

/// Most bytes of what a member subscribes to: it is stored as one record.
pub const MAX_SUBSCRIPTION: ByteSize = ByteSize::kib(512);

/// Longest regular expression of a subscription.
pub const MAX_REGEX: usize = 1_024;

/// Most memory of a compiled regular expression.
pub const MAX_REGEX_COMPILED: ByteSize = ByteSize::kib(256);

/// Most different regular expressions of one group: each is matched against every topic when
/// topics change.
pub const MAX_REGEXES_PER_GROUP: usize = 16;

/// Most partitions that one group may be assigned; beyond it partitions go without an owner. Their
/// owners are stored a member at a time, so that a member may hold all of them.
pub const MAX_ASSIGNED_PARTITIONS: usize = 60_000;

/// Longest metadata of a committed offset. Kafka's default.
pub const DEFAULT_MAX_OFFSET_METADATA: usize = 4_096;

/// Most offsets that one group keeps.
pub const MAX_OFFSETS_PER_GROUP: usize = 200_000;

/// What all groups together may hold in memory unless the configuration says otherwise, by
/// estimate. Beyond it nothing new is taken, and what is there goes on.
pub const DEFAULT_MAX_MEMORY: ByteSize = ByteSize::mib(256);

/// Most appends that are not durable yet; beyond it requests are told to try again. A log that
/// stands still must not gather requests without end.
pub const MAX_APPENDS_IN_FLIGHT: usize = 10_000;

/// Groups up to this size get a new target at once; larger ones at most once per
/// `assignment_interval`. A target of a small group costs microseconds.
pub const SMALL_GROUP: usize = 64;

/// How often a group may be looked at for offsets that expired. Kafka's default.
pub const DEFAULT_CLEANUP_INTERVAL: Duration = Duration::from_secs(600);

/// How long offsets of an empty group are kept. Kafka's default.
pub const DEFAULT_OFFSETS_RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// A member that joins for the first time and whose answer takes longer is given up. Kafka's figure.
pub const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

const _: () = assert!(MAX_BATCH.get() <= limits::MAX_BATCH.get());
const _: () = assert!(MAX_CLASSIC_GROUP.get() < MAX_APPEND.get());
const _: () = assert!(MAX_MEMBER_PROTOCOLS.get() < MAX_CLASSIC_GROUP.get());
const _: () = assert!(MAX_SUBSCRIPTION.get() < MAX_APPEND.get());
// A topic id of its own, a count, a partition and an epoch for each.
const _: () = assert!((MAX_ASSIGNED_PARTITIONS as u64) * 28 < MAX_APPEND.get());
