//! The versions that Tidegate is to serve, each of which a scenario must have used.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use tidegate_kafka_tests::Schemas;

use crate::run::Step;

/// Requests and versions. Produce is advertised from 0 for old clients' sake and served from 3;
/// 6 of InitProducerId is not stable in this Kafka.
pub const SERVED: [(&str, RangeInclusive<i16>); 34] = [
    ("Produce", 3..=13),
    ("Fetch", 4..=18),
    ("ListOffsets", 1..=11),
    ("Metadata", 0..=13),
    ("OffsetCommit", 2..=10),
    ("OffsetFetch", 1..=10),
    ("FindCoordinator", 0..=6),
    ("JoinGroup", 0..=9),
    ("Heartbeat", 0..=4),
    ("LeaveGroup", 0..=5),
    ("SyncGroup", 0..=5),
    ("DescribeGroups", 0..=6),
    ("ListGroups", 0..=5),
    ("ApiVersions", 0..=4),
    ("CreateTopics", 2..=7),
    ("DeleteTopics", 1..=6),
    ("DeleteRecords", 0..=2),
    ("InitProducerId", 0..=5),
    ("OffsetForLeaderEpoch", 2..=4),
    ("DescribeConfigs", 1..=4),
    ("AlterConfigs", 0..=2),
    ("DescribeLogDirs", 1..=5),
    ("CreatePartitions", 0..=3),
    ("DeleteGroups", 0..=2),
    ("ElectLeaders", 0..=2),
    ("IncrementalAlterConfigs", 0..=1),
    ("ListPartitionReassignments", 0..=0),
    ("OffsetDelete", 0..=0),
    ("DescribeCluster", 0..=2),
    ("DescribeProducers", 0..=0),
    ("ConsumerGroupHeartbeat", 0..=1),
    ("ConsumerGroupDescribe", 0..=1),
    ("ListConfigResources", 0..=1),
    ("DescribeTopicPartitions", 0..=0),
];

/// The versions that no step used, as problems.
pub fn missing<'a>(schemas: &Schemas, steps: impl Iterator<Item = &'a Step>) -> Vec<String> {
    let used: HashSet<_> =
        steps.filter(|step| step.answered).map(|step| (step.api.as_str(), step.version)).collect();
    let mut missing = Vec::new();
    for (api, versions) in SERVED {
        if !versions.clone().all(|version| schemas.request(api).valid.contains(version)) {
            missing.push(format!("this Kafka does not know all of {api} {versions:?}"));
        }
        for version in versions.filter(|version| !used.contains(&(api, *version))) {
            missing.push(format!("no scenario uses {api} v{version}"));
        }
    }
    missing
}
