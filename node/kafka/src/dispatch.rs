//! Which request goes where, and how its answer is put into bytes.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_kafka_proto::request::{ParsedRequest, Request};
use tidegate_kafka_proto::response::{self, ResponseBody};

use crate::connection::{Client, Reply};
use crate::{
    Shared, cluster, configs, fetch, group_admin, groups, metadata, offsets, produce, topics,
    versions,
};

/// Gives a produce request's batches their places in the logs; what is given waits for the disk.
pub(crate) async fn produce(
    shared: Arc<Shared>,
    parsed: ParsedRequest,
) -> BoxFuture<'static, Reply> {
    let (version, id) = (parsed.header.version, parsed.header.correlation_id);
    let Request::Produce(request) = parsed.request else {
        return std::future::ready(Reply::Close("not a produce request".to_owned())).boxed();
    };
    let staged = produce::stage(&shared, version, request).await;
    async move {
        match staged.answer().await {
            Some(Ok(answer)) => frame(version, id, &answer),
            Some(Err(reason)) => Reply::Close(reason),
            None => Reply::Nothing,
        }
    }
    .boxed()
}

/// Does what any other request asks. Nothing happens before it is polled.
pub(crate) fn answer(
    shared: Arc<Shared>,
    client: Arc<Client>,
    parsed: ParsedRequest,
) -> BoxFuture<'static, Reply> {
    let ParsedRequest { header, request } = parsed;
    let (version, id) = (header.version, header.correlation_id);
    let client_id = header.client_id.as_deref().unwrap_or_default().to_owned();
    macro_rules! reply {
        ($answering:expr) => {
            async move {
                let answer = $answering.await;
                frame(version, id, &answer)
            }
            .boxed()
        };
    }
    match request {
        Request::Produce(_) => {
            std::future::ready(Reply::Close("a produce request out of its way".to_owned())).boxed()
        }
        Request::Fetch(request) => {
            async move { fetch::answer(&shared, version, id, request).await }.boxed()
        }
        Request::ApiVersions(request) => {
            std::future::ready(frame(version, id, &versions::answer(version, &request))).boxed()
        }
        Request::Metadata(request) => reply!(metadata::answer(&shared, version, request)),
        Request::DescribeTopicPartitions(request) => {
            reply!(metadata::describe_partitions(&shared, request))
        }
        Request::ListOffsets(request) => reply!(offsets::list(&shared, version, request)),
        Request::OffsetForLeaderEpoch(request) => reply!(offsets::leader_epochs(&shared, request)),
        Request::InitProducerId(request) => reply!(produce::init_producer(&shared, request)),
        Request::DescribeProducers(request) => reply!(offsets::producers(&shared, request)),
        Request::CreateTopics(request) => reply!(topics::create(&shared, version, request)),
        Request::DeleteTopics(request) => reply!(topics::delete(&shared, version, request)),
        Request::CreatePartitions(request) => reply!(topics::grow(&shared, request)),
        Request::DeleteRecords(request) => reply!(topics::delete_records(&shared, request)),
        Request::DescribeConfigs(request) => reply!(configs::describe(&shared, request)),
        Request::AlterConfigs(request) => reply!(configs::alter(&shared, request)),
        Request::IncrementalAlterConfigs(request) => {
            reply!(configs::alter_incrementally(&shared, request))
        }
        Request::ListConfigResources(request) => {
            reply!(configs::list_resources(&shared, version, request))
        }
        Request::DescribeCluster(request) => reply!(cluster::describe(&shared, request)),
        Request::DescribeLogDirs(request) => reply!(cluster::log_dirs(&shared, request)),
        Request::ElectLeaders(request) => reply!(cluster::elect_leaders(&shared, version, request)),
        Request::ListPartitionReassignments(_) => {
            std::future::ready(frame(version, id, &cluster::reassignments())).boxed()
        }
        Request::FindCoordinator(request) => {
            reply!(groups::find_coordinator(&shared, version, request))
        }
        Request::JoinGroup(request) => {
            reply!(groups::join(&shared, &client, &client_id, version, request))
        }
        Request::SyncGroup(request) => reply!(groups::sync(&shared, request)),
        Request::Heartbeat(request) => reply!(groups::heartbeat(&shared, request)),
        Request::LeaveGroup(request) => reply!(groups::leave(&shared, version, request)),
        Request::ConsumerGroupHeartbeat(request) => {
            reply!(groups::consumer_heartbeat(&shared, &client, &client_id, version, request))
        }
        Request::OffsetCommit(request) => reply!(groups::commit(&shared, version, request)),
        Request::OffsetFetch(request) => reply!(groups::fetch_offsets(&shared, version, request)),
        Request::ListGroups(request) => reply!(group_admin::list(&shared, request)),
        Request::DescribeGroups(request) => {
            reply!(group_admin::describe(&shared, version, request))
        }
        Request::ConsumerGroupDescribe(request) => {
            reply!(group_admin::describe_consumer(&shared, version, request))
        }
        Request::DeleteGroups(request) => reply!(group_admin::delete(&shared, request)),
        Request::OffsetDelete(request) => reply!(group_admin::delete_offsets(&shared, request)),
    }
}

/// An answer as a frame. One that its version cannot express is a fault of this program: the
/// client is not left waiting for it.
fn frame<B: ResponseBody>(version: i16, correlation_id: i32, answer: &B) -> Reply {
    match response::encode(version, correlation_id, answer) {
        Ok(frame) => Reply::Frame(frame),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be put into bytes");
            Reply::Close(error.to_string())
        }
    }
}
