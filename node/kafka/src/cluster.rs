//! The node as a cluster of one: who is in it, what lies on its disk, who leads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tidegate_broker::{Partition, Topic};
use tidegate_kafka_proto::messages::describe_cluster_response::DescribeClusterBroker;
use tidegate_kafka_proto::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use tidegate_kafka_proto::messages::elect_leaders_response::{
    PartitionResult, ReplicaElectionResult,
};
use tidegate_kafka_proto::messages::{
    self, BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsResponse,
};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_types::PartitionId;

use crate::errors::text;
use crate::metadata::{CLUSTER_OPERATIONS, NOT_ASKED};
use crate::{Shared, metadata, offsets};

/// What a client may take this listener for.
mod endpoint {
    pub(super) const BROKER: i8 = 1;
    pub(super) const CONTROLLER: i8 = 2;
}

/// How leaders are elected.
mod election {
    pub(super) const PREFERRED: i8 = 0;
    pub(super) const UNCLEAN: i8 = 1;
}

/// First version of ElectLeaders that says how, and whose answers have a code of their own.
const ELECTION_TYPES_FROM: i16 = 1;

/// Answers DescribeCluster.
pub(crate) async fn describe(
    shared: &Shared,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let node = metadata::broker_id(&shared.broker);
    let broker = DescribeClusterBroker::default()
        .with_broker_id(node)
        .with_host(text(&*shared.host))
        .with_port(shared.port.into());
    described(&request, broker, text(&*shared.cluster_id))
}

fn described(
    request: &DescribeClusterRequest,
    broker: DescribeClusterBroker,
    cluster_id: StrBytes,
) -> DescribeClusterResponse {
    let (code, message) = match request.endpoint_type {
        endpoint::BROKER => {
            let operations = if request.include_cluster_authorized_operations {
                CLUSTER_OPERATIONS
            } else {
                NOT_ASKED
            };
            return DescribeClusterResponse::default()
                .with_cluster_id(cluster_id)
                .with_controller_id(broker.broker_id)
                .with_brokers(vec![broker])
                .with_cluster_authorized_operations(operations);
        }
        endpoint::CONTROLLER => (
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
             CONTROLLER",
        ),
        _ => (ErrorCode::UnsupportedEndpointType, "There is no such type of endpoint."),
    };
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
        .with_controller_id(BrokerId(-1))
        .with_cluster_authorized_operations(NOT_ASKED)
}

/// A folder as it is told to clients.
pub(crate) fn absolute(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.display().to_string()
}

/// Answers DescribeLogDirs: the one folder, and what of it each partition takes.
pub(crate) async fn log_dirs(
    shared: &Shared,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let topics: Vec<_> = match request.topics {
        None => shared.broker.topics().all().iter().map(|topic| sizes(topic, None)).collect(),
        Some(asked) => {
            let mut wanted: BTreeMap<messages::TopicName, BTreeSet<i32>> = BTreeMap::new();
            for topic in asked {
                wanted.entry(topic.topic).or_default().extend(topic.partitions);
            }
            // What is not there is not told of.
            let found = wanted.iter().filter_map(|(name, partitions)| {
                Some(sizes(&*offsets::topic(shared, name)?, Some(partitions)))
            });
            found.filter(|topic| !topic.partitions.is_empty()).collect()
        }
    };
    let space = shared.broker.disk_space();
    let size = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
    let folder = DescribeLogDirsResult::default()
        .with_log_dir(text(absolute(&shared.broker.config().data)))
        .with_topics(topics)
        .with_total_bytes(space.map_or(-1, |(_, total)| size(total)))
        .with_usable_bytes(space.map_or(-1, |(free, _)| size(free)));
    DescribeLogDirsResponse::default().with_results(vec![folder])
}

fn sizes(topic: &Topic, wanted: Option<&BTreeSet<i32>>) -> DescribeLogDirsTopic {
    let all = topic.partitions();
    let partitions = all.iter().filter_map(|partition| {
        let index = index(partition);
        let size = i64::try_from(partition.log().bytes().get()).unwrap_or(i64::MAX);
        wanted.is_none_or(|wanted| wanted.contains(&index)).then(|| {
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(size)
        })
    });
    DescribeLogDirsTopic::default()
        .with_name(messages::TopicName(text(topic.name().as_str())))
        .with_partitions(partitions.collect())
}

fn index(partition: &Partition) -> i32 {
    i32::try_from(partition.at().partition.get()).unwrap_or(i32::MAX)
}

/// Answers ElectLeaders: no partition needs an election, and one whose log is sealed has nobody to
/// elect.
pub(crate) async fn elect_leaders(
    shared: &Shared,
    version: i16,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let unclean = match request.election_type {
        election::PREFERRED => false,
        election::UNCLEAN => true,
        // Older versions only know preferred leaders.
        _ if version < ELECTION_TYPES_FROM => false,
        _ => {
            let code = ErrorCode::InvalidRequest.code();
            return ElectLeadersResponse::default().with_error_code(code);
        }
    };
    let results = match request.topic_partitions {
        // Who names none is only told of partitions that got another leader.
        None => {
            let topics = shared.broker.topics().all();
            let none = topics.iter().map(|topic| {
                ReplicaElectionResult::default()
                    .with_topic(messages::TopicName(text(topic.name().as_str())))
            });
            none.collect()
        }
        Some(asked) => {
            let results = asked.into_iter().map(|asked| {
                let topic = offsets::topic(shared, &asked.topic);
                let partitions = asked.partitions.into_iter();
                let partitions =
                    partitions.map(|index| elected(topic.as_deref(), index, unclean)).collect();
                ReplicaElectionResult::default()
                    .with_topic(asked.topic)
                    .with_partition_result(partitions)
            });
            results.collect()
        }
    };
    ElectLeadersResponse::default().with_replica_election_results(results)
}

/// Answers ListPartitionReassignments: a partition stays where it is.
pub(crate) fn reassignments() -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_message(None)
}

fn elected(topic: Option<&Topic>, index: i32, unclean: bool) -> PartitionResult {
    let partition = topic.and_then(|topic| {
        u32::try_from(index).ok().and_then(|index| topic.partition(PartitionId(index)))
    });
    let (code, message) = match partition {
        None if topic.is_none() => (ErrorCode::UnknownTopicOrPartition, "No such topic."),
        None => (ErrorCode::UnknownTopicOrPartition, "No such partition."),
        Some(partition) if partition.log().sealed_reason().is_some() => {
            let code = match unclean {
                true => ErrorCode::EligibleLeadersNotAvailable,
                false => ErrorCode::PreferredLeaderNotAvailable,
            };
            (code, "The disk of its only replica failed.")
        }
        Some(_) => {
            (ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.")
        }
    };
    PartitionResult::default()
        .with_partition_id(index)
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
}

#[cfg(test)]
mod tests {
    use tidegate_kafka_proto::Api;
    use tidegate_kafka_proto::messages::describe_log_dirs_request::DescribableLogDirTopic;
    use tidegate_kafka_proto::messages::elect_leaders_request::TopicPartitions;
    use tidegate_types::{TopicConfig, TopicName};

    use super::*;
    use crate::metadata::testing::{TestNode, arrives, name, versions};

    async fn with_topic(topic: &str) -> TestNode {
        let node = TestNode::start().await;
        let config = TopicConfig { partitions: 2, ..TopicConfig::default() };
        node.shared.broker.make_topic(TopicName::new(topic).unwrap(), config, false).await.unwrap();
        node
    }

    #[tokio::test]
    async fn every_version_describes_the_cluster() {
        let node = TestNode::start().await;
        for version in versions(Api::DescribeCluster) {
            let request = DescribeClusterRequest::default()
                .with_include_cluster_authorized_operations(version > 0);
            let answer = arrives(version, &describe(&node.shared, request).await);
            assert_eq!((answer.error_code, answer.controller_id), (0, BrokerId(1)));
            assert_eq!(*answer.cluster_id, *node.shared.cluster_id);
            assert_eq!((answer.brokers.len(), answer.brokers[0].port), (1, 9_092));
            let operations = answer.cluster_authorized_operations;
            assert_eq!(operations, if version > 0 { 8_096 } else { NOT_ASKED });
        }
        for (endpoint, code) in [(2, 114), (0, 115), (9, 115)] {
            let request = DescribeClusterRequest::default().with_endpoint_type(endpoint);
            let answer = arrives(2, &describe(&node.shared, request).await);
            assert_eq!((answer.error_code, answer.brokers.len()), (code, 0));
            assert_eq!((&*answer.cluster_id, answer.controller_id), ("", BrokerId(-1)));
        }
    }

    #[tokio::test]
    async fn every_version_tells_of_the_one_folder() {
        let node = with_topic("t").await;
        let asked = |topic: &str, partitions: &[i32]| {
            let topic = DescribableLogDirTopic::default().with_topic(name(topic));
            topic.with_partitions(partitions.to_vec())
        };
        for version in versions(Api::DescribeLogDirs) {
            let all = DescribeLogDirsRequest::default().with_topics(None);
            let [folder] =
                arrives(version, &log_dirs(&node.shared, all).await).results.try_into().unwrap();
            assert!(Path::new(&*folder.log_dir).is_absolute());
            assert_eq!((folder.topics.len(), folder.topics[0].partitions.len()), (1, 2));
            assert_eq!(folder.total_bytes > 0, version >= 4);
            assert!(folder.usable_bytes <= folder.total_bytes);
            let some = vec![asked("t", &[1, 1, 7]), asked("nope", &[0]), asked("t", &[-1, 1])];
            let some = DescribeLogDirsRequest::default().with_topics(Some(some));
            let some = arrives(version, &log_dirs(&node.shared, some).await);
            let [topic] = some.results[0].topics.clone().try_into().unwrap();
            assert_eq!(topic.partitions.len(), 1);
            assert_eq!(topic.partitions[0].partition_index, 1);
        }
    }

    #[tokio::test]
    async fn no_version_elects_anyone() {
        let node = with_topic("t").await;
        for version in versions(Api::ElectLeaders) {
            let topics = ["t", "nope"].map(|topic| {
                TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![0, 9, -1])
            });
            let some = ElectLeadersRequest::default().with_topic_partitions(Some(topics.to_vec()));
            let some = arrives(version, &elect_leaders(&node.shared, version, some).await);
            let codes = some.replica_election_results.iter().map(|topic| {
                topic.partition_result.iter().map(|p| p.error_code).collect::<Vec<_>>()
            });
            assert_eq!(codes.collect::<Vec<_>>(), [vec![84, 3, 3], vec![3, 3, 3]]);
            let all = ElectLeadersRequest::default().with_topic_partitions(None);
            let all = arrives(version, &elect_leaders(&node.shared, version, all).await);
            assert_eq!(all.replica_election_results.len(), 1);
            assert!(all.replica_election_results[0].partition_result.is_empty());
        }
        let odd = ElectLeadersRequest::default().with_election_type(5);
        assert_eq!(elect_leaders(&node.shared, 2, odd).await.error_code, 42);
    }
}
