//! The baseline: what cannot be left out by a broker, and nothing else.
//!
//! One thread. In a round it reads what has arrived on all connections, checks each batch's CRC,
//! writes all of a partition's batches with one call to its one file, syncs each such file once
//! (unless its topic leaves that to the system), and answers. A fetch is a `sendfile`. There are no segments,
//! no recovery, no retention, no time index, no groups, no producer ids, and topics are forgotten
//! with the process. It speaks just enough of Kafka's protocol for the load generator and for
//! librdkafka.

mod connection;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use tidegate_bench_common::Failure;
use tidegate_kafka_proto::fetch_response::{
    self, FetchAnswer, FetchPart, PartitionAnswer, TopicAnswer, TopicKey,
};
use tidegate_kafka_proto::messages::create_topics_response::CreatableTopicResult;
use tidegate_kafka_proto::messages::delete_topics_response::DeletableTopicResult;
use tidegate_kafka_proto::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use tidegate_kafka_proto::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use tidegate_kafka_proto::messages::produce_response::{
    PartitionProduceResponse, TopicProduceResponse,
};
use tidegate_kafka_proto::messages::{
    ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, FetchRequest, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse, TopicName,
};
use tidegate_kafka_proto::{Api, ErrorCode, Request, StrBytes, request, response};

use self::connection::Connection;
use self::log::{Log, Range};
use crate::sides::FLUSH_BY_SYSTEM;

/// Asks for the first offset.
const EARLIEST: i64 = -2;

/// What it speaks; from 13 on, produce and fetch name topics by ids.
const SPOKEN: [(Api, i16); 7] = [
    (Api::ApiVersions, 4),
    (Api::Metadata, 9),
    (Api::Produce, 12),
    (Api::Fetch, 12),
    (Api::ListOffsets, 7),
    (Api::CreateTopics, 5),
    (Api::DeleteTopics, 5),
];

/// A topic.
#[derive(Debug)]
struct Topic {
    durable: bool,
    logs: Vec<Log>,
}

/// A batch's place: topic and partition.
type At = (String, usize);

/// The toy.
#[derive(Debug)]
struct Toy {
    dir: PathBuf,
    address: SocketAddr,
    topics: BTreeMap<String, Topic>,
    made: u64,
}

/// Serves for ever, with its files in `dir`. Tells `ready ADDRESS` on stdout once it does.
///
/// # Errors
/// If it cannot listen, or the disk fails.
pub fn serve(dir: &Path) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {}", listener.local_addr()?)?;
    out.flush()?;
    serve_on(&listener, dir)
}

fn serve_on(listener: &TcpListener, dir: &Path) -> Result<(), Failure> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let topics = BTreeMap::new();
    let mut toy = Toy { dir: dir.to_owned(), address, topics, made: 0 };
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
        let sockets = connections.iter().map(|connection| connection.stream().as_fd());
        fds.extend(sockets.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let gone = toy.round(&mut connections, &ready[1..])?;
        connections.iter_mut().for_each(Connection::end_round);
        let mut number = 0;
        connections.retain(|_| {
            number += 1;
            !gone.contains(&(number - 1))
        });
        while let Ok((stream, _)) = listener.accept() {
            connections.push(Connection::new(stream)?);
        }
    }
}

impl Toy {
    /// One round; gives which clients are gone.
    fn round(
        &mut self,
        connections: &mut [Connection],
        ready: &[bool],
    ) -> Result<BTreeSet<usize>, Failure> {
        let mut gone = BTreeSet::new();
        let mut asked = Vec::new();
        for (number, connection) in connections.iter_mut().enumerate() {
            if !ready[number] {
                continue;
            }
            // A client that goes away, or that sends nonsense, is no failure of the toy's.
            let read = connection.read().and_then(|open| Ok((open, connection.requests()?)));
            match read {
                Ok((open, requests)) => {
                    asked.push((number, requests));
                    if !open {
                        gone.insert(number);
                    }
                }
                Err(_) => _ = gone.insert(number),
            }
        }
        let mut dirty = BTreeSet::new();
        let mut answers: Vec<(usize, Vec<Bytes>)> = Vec::new();
        let mut fetches = Vec::new();
        for (number, requests) in asked {
            let mut mine = Vec::new();
            for frame in requests {
                match self.take(frame, &mut dirty) {
                    Ok(Answer::Bytes(bytes)) => mine.push(bytes),
                    Ok(Answer::Fetch(fetch)) => fetches.push((number, fetch)),
                    Ok(Answer::None) => {}
                    Err(_) => _ = gone.insert(number),
                }
            }
            answers.push((number, mine));
        }
        for (topic, partition) in &dirty {
            if let Some(topic) = self.topics.get_mut(topic) {
                topic.logs[*partition].write()?;
            }
        }
        for (topic, partition) in &dirty {
            if let Some(topic) = self.topics.get(topic).filter(|topic| topic.durable) {
                topic.logs[*partition].sync()?;
            }
        }
        for (number, answers) in answers {
            if connections[number].send(&answers).is_err() {
                gone.insert(number);
            }
        }
        for (number, (version, id, fetch)) in fetches {
            if self.fetch(&connections[number], version, id, &fetch).is_err() {
                gone.insert(number);
            }
        }
        Ok(gone)
    }

    fn take(&mut self, frame: Bytes, dirty: &mut BTreeSet<At>) -> Result<Answer, Failure> {
        let parsed = match request::parse(frame) {
            Ok(parsed) => parsed,
            Err(error) => {
                return match error.unsupported_api_versions() {
                    Some(id) => Ok(Answer::Bytes(response::unsupported_api_versions(id)?)),
                    None => Err(error.into()),
                };
            }
        };
        let (version, id) = (parsed.header.version, parsed.header.correlation_id);
        let bytes = match parsed.request {
            Request::ApiVersions(_) => response::encode(version, id, &spoken())?,
            Request::Metadata(body) => response::encode(version, id, &self.metadata(&body))?,
            Request::CreateTopics(body) => response::encode(version, id, &self.create(&body)?)?,
            Request::DeleteTopics(body) => response::encode(version, id, &self.delete(&body)?)?,
            Request::ListOffsets(body) => response::encode(version, id, &self.list(&body))?,
            Request::Fetch(body) => return Ok(Answer::Fetch((version, id, body))),
            Request::Produce(body) => {
                let answer = self.produce(&body, dirty);
                if body.acks == 0 {
                    return Ok(Answer::None);
                }
                response::encode(version, id, &answer)?
            }
            other => return Err(format!("a toy does not know {}", other.api().name()).into()),
        };
        Ok(Answer::Bytes(bytes))
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let told = |name: &str| {
            let wire = TopicName(StrBytes::from_string(name.to_owned()));
            let told = MetadataResponseTopic::default().with_name(Some(wire));
            let Some(topic) = self.topics.get(name) else {
                return told.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
            };
            let one = vec![BrokerId(1)];
            let partition = |partition| {
                MetadataResponsePartition::default()
                    .with_partition_index(partition)
                    .with_leader_id(BrokerId(1))
                    .with_replica_nodes(one.clone())
                    .with_isr_nodes(one.clone())
            };
            told.with_partitions((0..topic.logs.len() as i32).map(partition).collect())
        };
        let topics = match &request.topics {
            None => self.topics.keys().map(|name| told(name)).collect(),
            Some(topics) => {
                let names = topics.iter().filter_map(|topic| topic.name.as_ref());
                names.map(|name| told(name.0.as_str())).collect()
            }
        };
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(StrBytes::from_string(self.address.ip().to_string()))
            .with_port(self.address.port().into());
        let brokers = vec![broker];
        let answer = MetadataResponse::default().with_brokers(brokers).with_topics(topics);
        answer.with_controller_id(BrokerId(1))
    }

    fn create(&mut self, request: &CreateTopicsRequest) -> Result<CreateTopicsResponse, Failure> {
        let mut told = Vec::new();
        for topic in &request.topics {
            let name = topic.name.0.to_string();
            let by_system = topic.configs.iter().any(|config| {
                (&*config.name, config.value.as_deref().unwrap_or("")) == FLUSH_BY_SYSTEM
            });
            let mut logs = Vec::new();
            for _ in 0..topic.num_partitions.clamp(1, 1_000) {
                self.made += 1;
                logs.push(Log::new(&self.dir.join(self.made.to_string()))?);
            }
            self.topics.insert(name, Topic { durable: !by_system, logs });
            told.push(CreatableTopicResult::default().with_name(topic.name.clone()));
        }
        Ok(CreateTopicsResponse::default().with_topics(told))
    }

    fn delete(&mut self, request: &DeleteTopicsRequest) -> Result<DeleteTopicsResponse, Failure> {
        let mut told = Vec::new();
        for name in &request.topic_names {
            let topic = self.topics.remove(name.0.as_str());
            for log in topic.into_iter().flat_map(|topic| topic.logs) {
                log.delete()?;
            }
            told.push(DeletableTopicResult::default().with_name(Some(name.clone())));
        }
        Ok(DeleteTopicsResponse::default().with_responses(told))
    }

    fn log(&self, topic: &str, partition: i32) -> Option<&Log> {
        self.topics.get(topic)?.logs.get(usize::try_from(partition).ok()?)
    }

    fn produce(&mut self, request: &ProduceRequest, dirty: &mut BTreeSet<At>) -> ProduceResponse {
        let mut topics = Vec::with_capacity(request.topic_data.len());
        for data in &request.topic_data {
            let name = data.name.0.as_str();
            let mut partitions = Vec::with_capacity(data.partition_data.len());
            for part in &data.partition_data {
                let told = PartitionProduceResponse::default().with_index(part.index);
                let number = usize::try_from(part.index).unwrap_or(usize::MAX);
                let log = self.topics.get_mut(name).and_then(|topic| topic.logs.get_mut(number));
                let taken = match (log, &part.records) {
                    (None, _) => Err(ErrorCode::UnknownTopicOrPartition),
                    (_, None) => Err(ErrorCode::InvalidRecord),
                    (Some(log), Some(batch)) => {
                        log.take(batch.clone()).map_err(|_| ErrorCode::CorruptMessage)
                    }
                };
                partitions.push(match taken {
                    Ok(first) => {
                        dirty.insert((name.to_owned(), number));
                        told.with_base_offset(first)
                    }
                    Err(error) => told.with_error_code(error.code()).with_base_offset(-1),
                });
            }
            topics.push(
                TopicProduceResponse::default()
                    .with_name(data.name.clone())
                    .with_partition_responses(partitions),
            );
        }
        ProduceResponse::default().with_responses(topics)
    }

    fn list(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let told = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index);
                match self.log(topic.name.0.as_str(), asked.partition_index) {
                    Some(_) if asked.timestamp == EARLIEST => told.with_offset(0),
                    Some(log) => told.with_offset(log.end()),
                    None => told.with_error_code(ErrorCode::UnknownTopicOrPartition.code()),
                }
            });
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    fn fetch(
        &self,
        connection: &Connection,
        version: i16,
        id: i32,
        request: &FetchRequest,
    ) -> Result<(), Failure> {
        let mut left = u64::try_from(request.max_bytes).unwrap_or(0);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = self.log(topic.topic.0.as_str(), asked.partition);
                let most = u64::try_from(asked.partition_max_bytes).unwrap_or(0).min(left);
                let records: Option<Range<'_>> = log.map(|log| log.range(asked.fetch_offset, most));
                left = left.saturating_sub(records.map_or(0, |range| range.len));
                let end = log.map_or(-1, Log::end);
                let error = match log {
                    Some(_) => ErrorCode::None,
                    None => ErrorCode::UnknownTopicOrPartition,
                };
                PartitionAnswer {
                    partition: asked.partition,
                    error,
                    high_watermark: end,
                    last_stable_offset: end,
                    log_start_offset: 0,
                    aborted: None,
                    preferred_read_replica: -1,
                    diverging_epoch: None,
                    current_leader: None,
                    records,
                }
            });
            let partitions = partitions.collect();
            TopicAnswer { topic: TopicKey::of_topic(version, topic), partitions }
        });
        let answer = FetchAnswer {
            throttle_time_ms: 0,
            error: ErrorCode::None,
            session_id: 0,
            topics: topics.collect(),
            node_endpoints: Vec::new(),
        };
        let encoded = fetch_response::encode(version, id, &answer)?;
        for part in encoded.parts() {
            match part {
                FetchPart::Bytes(bytes) => connection.send(&[bytes])?,
                FetchPart::Records(Some(range)) => connection.send_file(range)?,
                FetchPart::Records(None) => {}
            }
        }
        Ok(())
    }
}

/// What is to be sent.
enum Answer {
    Bytes(Bytes),
    /// Once everything was written: version, correlation id, and what was asked.
    Fetch((i16, i32, FetchRequest)),
    None,
}

/// The versions that it speaks.
fn spoken() -> ApiVersionsResponse {
    let mut answer = response::api_versions();
    answer.api_keys.retain_mut(|told| {
        let Some((_, most)) = SPOKEN.iter().find(|(api, _)| api.key() == told.api_key) else {
            return false;
        };
        told.max_version = told.max_version.min(*most);
        true
    });
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_bench::{ByteSize, End, Fetch, Load, Produce, Stop, Target, admin};

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_written_is_read_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let folder = dir.path().to_owned();
        // Lives as long as the test's process.
        std::thread::spawn(move || serve_on(&listener, &folder).unwrap());
        let target = Target::Kafka { address };
        for (name, setting) in [("durable", None), ("cached", Some(FLUSH_BY_SYSTEM))] {
            let mut produce = Produce::new(target.clone());
            let setting = setting.map(|(name, value)| (name.to_owned(), value.to_owned()));
            produce.load = Load {
                topic: Some(name.parse().unwrap()),
                topic_settings: setting.into_iter().collect(),
                partitions: 3,
                connections: 2,
                end: End::Records(20_000),
                ..produce.load
            };
            let written = produce.run(&Stop::new()).await.unwrap();
            assert!(written.records >= 20_000 && written.errors.is_empty());

            let mut fetch = Fetch::new(target.clone());
            fetch.max_bytes = ByteSize::kib(150);
            // The records are there once; whoever reads twice as many reads all of them.
            let end = End::Records(2 * written.records);
            fetch.load = Load { topic: produce.load.topic.clone(), end, ..fetch.load };
            let read = fetch.run(&Stop::new()).await.unwrap();
            assert!(read.records >= 2 * written.records && read.errors.is_empty());

            let topic = produce.load.topic.clone().unwrap();
            admin::delete_topic(&produce.load, &topic).await.unwrap();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
