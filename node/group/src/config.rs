//! How a coordinator works.

use std::time::Duration;

use tidegate_types::ByteSize;

use crate::limits;

/// How a coordinator works. The defaults are Kafka's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Shortest session timeout that a classic member may ask for. 6 s.
    pub min_session_timeout: Duration,
    /// The longest. 30 min.
    pub max_session_timeout: Duration,
    /// How long an empty classic group waits for more members before its first generation. 3 s;
    /// without it a group that starts with many members rebalances once for each.
    pub initial_rebalance_delay: Duration,
    /// Most members of one group.
    pub max_members: usize,
    /// How long a member of a consumer group may be silent. 45 s.
    pub consumer_session_timeout: Duration,
    /// How often members of consumer groups are told to speak. 5 s.
    pub consumer_heartbeat_interval: Duration,
    /// Shortest time between two targets of a large consumer group. 1 s.
    pub assignment_interval: Duration,
    /// How long offsets are kept once their group is empty. 7 days.
    pub offsets_retention: Duration,
    /// How often expired offsets are looked for. 10 min.
    pub cleanup_interval: Duration,
    /// Longest metadata of a committed offset, in bytes. 4096.
    pub max_offset_metadata: usize,
    /// What all groups together may hold in memory, by estimate. 256 MiB.
    pub max_memory: ByteSize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1_800),
            initial_rebalance_delay: Duration::from_secs(3),
            max_members: limits::DEFAULT_MAX_MEMBERS,
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            assignment_interval: Duration::from_secs(1),
            offsets_retention: limits::DEFAULT_OFFSETS_RETENTION,
            cleanup_interval: limits::DEFAULT_CLEANUP_INTERVAL,
            max_offset_metadata: limits::DEFAULT_MAX_OFFSET_METADATA,
            max_memory: limits::DEFAULT_MAX_MEMORY,
        }
    }
}
