//! What is advertised: every API with its key and versions, in one place.
//!
//! The ranges are those that Kafka 4.3 gives on a broker's listener, where the body codec can
//! follow. It stops short in these:
//!
//! | API | Kafka 4.3 | here | what the newer version has |
//! | --- | --- | --- | --- |
//! | OffsetCommit, OffsetFetch | 10 | 9 | topic ids in place of names |
//! | DescribeLogDirs | 5 | 4 | whether a directory is cordoned |
//!
//! InitProducerId 6, two-phase commit, is marked unstable there and given by neither.
//!
//! ListOffsets 11 is version 10 with one more special timestamp: its layout is the same, so it is
//! read and written as version 10.
//!
//! The lower bounds matter as much: librdkafka up to 2.10 takes features for missing where exact
//! old versions are out of range (Fetch 4 and 10, Produce 3 and 7, ListOffsets 1, version 0 of
//! FindCoordinator, of the group APIs and of InitProducerId). Produce is advertised from 0, as
//! Kafka does: librdkafka 2.0 otherwise sends uncompressed. Served it is from
//! [`PRODUCE_SERVED_FROM`].
//!
//! Not advertised: transactions, authentication, access control, quotas, delegation tokens,
//! telemetry, share groups, replica and log directory moves, and what brokers say to each other.

use std::fmt;

/// First version of Produce that is served: older ones carry record formats of before 2017.
pub const PRODUCE_SERVED_FROM: i16 = 3;

/// Calls a macro with the table: name, key, first and last version, request, response.
macro_rules! for_each_api {
    ($callback:ident) => {
        $callback! {
            Produce 0 (0, 13) ProduceRequest ProduceResponse;
            Fetch 1 (4, 18) FetchRequest FetchResponse;
            ListOffsets 2 (1, 11) ListOffsetsRequest ListOffsetsResponse;
            Metadata 3 (0, 13) MetadataRequest MetadataResponse;
            OffsetCommit 8 (2, 9) OffsetCommitRequest OffsetCommitResponse;
            OffsetFetch 9 (1, 9) OffsetFetchRequest OffsetFetchResponse;
            FindCoordinator 10 (0, 6) FindCoordinatorRequest FindCoordinatorResponse;
            JoinGroup 11 (0, 9) JoinGroupRequest JoinGroupResponse;
            Heartbeat 12 (0, 4) HeartbeatRequest HeartbeatResponse;
            LeaveGroup 13 (0, 5) LeaveGroupRequest LeaveGroupResponse;
            SyncGroup 14 (0, 5) SyncGroupRequest SyncGroupResponse;
            DescribeGroups 15 (0, 6) DescribeGroupsRequest DescribeGroupsResponse;
            ListGroups 16 (0, 5) ListGroupsRequest ListGroupsResponse;
            ApiVersions 18 (0, 4) ApiVersionsRequest ApiVersionsResponse;
            CreateTopics 19 (2, 7) CreateTopicsRequest CreateTopicsResponse;
            DeleteTopics 20 (1, 6) DeleteTopicsRequest DeleteTopicsResponse;
            DeleteRecords 21 (0, 2) DeleteRecordsRequest DeleteRecordsResponse;
            InitProducerId 22 (0, 5) InitProducerIdRequest InitProducerIdResponse;
            OffsetForLeaderEpoch 23 (2, 4) OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
            DescribeConfigs 32 (1, 4) DescribeConfigsRequest DescribeConfigsResponse;
            AlterConfigs 33 (0, 2) AlterConfigsRequest AlterConfigsResponse;
            DescribeLogDirs 35 (1, 4) DescribeLogDirsRequest DescribeLogDirsResponse;
            CreatePartitions 37 (0, 3) CreatePartitionsRequest CreatePartitionsResponse;
            DeleteGroups 42 (0, 2) DeleteGroupsRequest DeleteGroupsResponse;
            ElectLeaders 43 (0, 2) ElectLeadersRequest ElectLeadersResponse;
            IncrementalAlterConfigs 44 (0, 1) IncrementalAlterConfigsRequest
                IncrementalAlterConfigsResponse;
            ListPartitionReassignments 46 (0, 0) ListPartitionReassignmentsRequest
                ListPartitionReassignmentsResponse;
            OffsetDelete 47 (0, 0) OffsetDeleteRequest OffsetDeleteResponse;
            DescribeCluster 60 (0, 2) DescribeClusterRequest DescribeClusterResponse;
            DescribeProducers 61 (0, 0) DescribeProducersRequest DescribeProducersResponse;
            ConsumerGroupHeartbeat 68 (0, 1) ConsumerGroupHeartbeatRequest
                ConsumerGroupHeartbeatResponse;
            ConsumerGroupDescribe 69 (0, 1) ConsumerGroupDescribeRequest
                ConsumerGroupDescribeResponse;
            ListConfigResources 74 (0, 1) ListConfigResourcesRequest ListConfigResourcesResponse;
            DescribeTopicPartitions 75 (0, 0) DescribeTopicPartitionsRequest
                DescribeTopicPartitionsResponse;
        }
    };
}
pub(crate) use for_each_api;

/// One line of what is advertised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApiRange {
    /// The API.
    pub api: Api,
    /// First version advertised.
    pub min: i16,
    /// Last version advertised.
    pub max: i16,
}

macro_rules! define_api {
    ($($name:ident $key:literal ($min:literal, $max:literal) $request:ident $response:ident;)*) => {
        /// An API that is advertised.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        #[expect(missing_docs, reason = "the protocol's own names")]
        pub enum Api {
            $($name = $key,)*
        }

        /// Everything that is advertised, by rising key.
        pub const ADVERTISED: &[ApiRange] =
            &[$(ApiRange { api: Api::$name, min: $min, max: $max },)*];

        impl Api {
            /// The API with this key, if it is advertised.
            #[must_use]
            pub const fn from_key(key: i16) -> Option<Api> {
                match key {
                    $($key => Some(Api::$name),)*
                    _ => None,
                }
            }

            /// The protocol's name for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Api::$name => stringify!($name),)*
                }
            }

            /// The versions that are advertised.
            #[must_use]
            pub const fn range(self) -> ApiRange {
                let (min, max) = match self {
                    $(Api::$name => ($min, $max),)*
                };
                ApiRange { api: self, min, max }
            }
        }
    };
}
for_each_api!(define_api);

impl Api {
    /// Its key on the wire.
    #[must_use]
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// Whether a request of this version is answered.
    #[must_use]
    pub const fn serves(self, version: i16) -> bool {
        let ApiRange { min, max, .. } = self.range();
        let from = if matches!(self, Api::Produce) { PRODUCE_SERVED_FROM } else { min };
        from <= version && version <= max
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::*;
    use kafka_protocol::protocol::{Message, VersionRange};

    use super::*;

    #[test]
    fn keys_rise_and_lead_back_to_their_api() {
        assert!(ADVERTISED.is_sorted_by(|a, b| a.api.key() < b.api.key()));
        for range in ADVERTISED {
            assert_eq!(Api::from_key(range.api.key()), Some(range.api));
            assert_eq!(range.api.range(), *range);
        }
        assert_eq!(ADVERTISED.len(), 34);
    }

    /// The codec must know every version that is served: a request of one that it does not know
    /// could be neither read nor answered.
    #[test]
    fn the_codec_knows_every_version_but_one() {
        let mut beyond = Vec::new();
        macro_rules! check {
            ($($name:ident $key:literal ($min:literal, $max:literal) $request:ident $response:ident;)*) => {
                $(for known in [$request::VERSIONS, $response::VERSIONS] {
                    let VersionRange { min, max } = known;
                    for version in $min..=$max {
                        let served = Api::$name.serves(version);
                        if served && (version < min || version > max) {
                            beyond.push((Api::$name, version));
                        }
                    }
                    assert_eq!(<$request as kafka_protocol::protocol::Request>::KEY, $key);
                })*
            };
        }
        for_each_api!(check);
        beyond.dedup();
        assert_eq!(beyond, [(Api::ListOffsets, 11)]);
    }

    #[test]
    fn exact_versions_that_librdkafka_asks_for_are_in_range() {
        use Api::*;
        let wanted = [
            (Produce, 3),
            (Produce, 7),
            (Fetch, 4),
            (Fetch, 10),
            (ListOffsets, 1),
            (InitProducerId, 0),
            (FindCoordinator, 0),
            (JoinGroup, 0),
            (SyncGroup, 0),
            (Heartbeat, 0),
            (LeaveGroup, 0),
            (DescribeGroups, 0),
            (ListGroups, 0),
            (ApiVersions, 0),
            // KIP-848 there needs exactly these.
            (ConsumerGroupHeartbeat, 1),
            (OffsetCommit, 9),
            (OffsetFetch, 9),
        ];
        for (api, version) in wanted {
            assert!(api.serves(version), "{api} {version}");
        }
    }

    #[test]
    fn old_produce_is_advertised_and_not_served() {
        assert_eq!(Api::Produce.range().min, 0);
        for version in 0..PRODUCE_SERVED_FROM {
            assert!(!Api::Produce.serves(version));
        }
        assert!(!Api::Produce.serves(14));
        assert!(!Api::Fetch.serves(3));
    }

    #[test]
    fn what_is_not_served_is_not_advertised() {
        // Authentication, transactions, access control, telemetry, quotas, share groups.
        for key in [17, 24, 25, 26, 27, 28, 29, 30, 31, 36, 38, 48, 50, 65, 66, 71, 72, 76, 78] {
            assert_eq!(Api::from_key(key), None);
        }
    }
}
