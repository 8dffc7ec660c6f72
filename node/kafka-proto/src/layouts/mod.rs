//! The wire layout of every request that is advertised, by version.
//!
//! The only place where request layouts stand; the body codec has its own idea of them, and tests
//! hold the two against each other for every API and version.

mod admin;
mod data;
mod group;

use crate::api::Api;
use crate::shape::Layout;

/// The layout of an API's requests.
pub(crate) const fn of(api: Api) -> &'static Layout {
    match api {
        Api::Produce => &data::PRODUCE,
        Api::Fetch => &data::FETCH,
        Api::ListOffsets => &data::LIST_OFFSETS,
        Api::Metadata => &data::METADATA,
        Api::OffsetCommit => &group::OFFSET_COMMIT,
        Api::OffsetFetch => &group::OFFSET_FETCH,
        Api::FindCoordinator => &group::FIND_COORDINATOR,
        Api::JoinGroup => &group::JOIN_GROUP,
        Api::Heartbeat => &group::HEARTBEAT,
        Api::LeaveGroup => &group::LEAVE_GROUP,
        Api::SyncGroup => &group::SYNC_GROUP,
        Api::DescribeGroups => &group::DESCRIBE_GROUPS,
        Api::ListGroups => &group::LIST_GROUPS,
        Api::ApiVersions => &data::API_VERSIONS,
        Api::CreateTopics => &admin::CREATE_TOPICS,
        Api::DeleteTopics => &admin::DELETE_TOPICS,
        Api::DeleteRecords => &admin::DELETE_RECORDS,
        Api::InitProducerId => &data::INIT_PRODUCER_ID,
        Api::OffsetForLeaderEpoch => &data::OFFSET_FOR_LEADER_EPOCH,
        Api::DescribeConfigs => &admin::DESCRIBE_CONFIGS,
        Api::AlterConfigs => &admin::ALTER_CONFIGS,
        Api::DescribeLogDirs => &admin::DESCRIBE_LOG_DIRS,
        Api::CreatePartitions => &admin::CREATE_PARTITIONS,
        Api::DeleteGroups => &group::DELETE_GROUPS,
        Api::ElectLeaders => &admin::ELECT_LEADERS,
        Api::IncrementalAlterConfigs => &admin::INCREMENTAL_ALTER_CONFIGS,
        Api::ListPartitionReassignments => &admin::LIST_PARTITION_REASSIGNMENTS,
        Api::OffsetDelete => &group::OFFSET_DELETE,
        Api::DescribeCluster => &admin::DESCRIBE_CLUSTER,
        Api::DescribeProducers => &admin::DESCRIBE_PRODUCERS,
        Api::ConsumerGroupHeartbeat => &group::CONSUMER_GROUP_HEARTBEAT,
        Api::ConsumerGroupDescribe => &group::CONSUMER_GROUP_DESCRIBE,
        Api::ListConfigResources => &admin::LIST_CONFIG_RESOURCES,
        Api::DescribeTopicPartitions => &data::DESCRIBE_TOPIC_PARTITIONS,
    }
}
