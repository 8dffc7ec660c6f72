//! A broker for tests: keeps batches in memory, answers in order, and misbehaves as it is told.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tidegate_bench::{Load, Target};
use tidegate_kafka_proto::frame::FrameReader;
use tidegate_kafka_proto::messages::create_topics_response::CreatableTopicResult;
use tidegate_kafka_proto::messages::delete_topics_response::DeletableTopicResult;
use tidegate_kafka_proto::messages::fetch_response::{FetchableTopicResponse, PartitionData};
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
    BrokerId, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse,
};
use tidegate_kafka_proto::{ErrorCode, Request, StrBytes, request, response};
use tidegate_record::{Batch, set_base_offset};
use tidegate_types::Offset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is wrong with the broker. It is told produce requests by their number on a connection,
/// from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// Answers each produce request so late.
    Slow(Duration),
    /// Answers nothing for so long, once, at this request.
    Stall(u64, Duration),
    /// Refuses every n-th with this error.
    Refuse(u64, ErrorCode),
    /// Closes the connection instead of answering this one.
    CloseAt(u64),
    /// Answers no produce or fetch request at all.
    Silent,
    /// Answers the first two with each other's correlation id.
    Swap,
    /// Sends something else instead of an answer.
    Garbage,
    /// Makes no topics.
    NoTopics,
}

/// What it has seen and stored.
#[derive(Debug, Default)]
pub struct State {
    /// Partitions by topic, each with its batches.
    pub topics: BTreeMap<String, Vec<Log>>,
    /// When each produce request arrived.
    pub arrived: Vec<Instant>,
    /// Settings that topics were made with.
    pub settings: Vec<(String, String)>,
    /// Topics that were made.
    pub made: Vec<String>,
    /// Topics that were deleted; their logs stay here, to be looked at.
    pub deleted: Vec<String>,
    /// Connections that produced or fetched.
    pub connections: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    pub records: i64,
    /// First offset of each batch, with it.
    pub batches: Vec<(i64, Vec<u8>)>,
}

/// A broker that lives as long as the test's runtime.
#[derive(Clone, Debug)]
pub struct Broker {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
}

impl Broker {
    pub async fn start(fault: Fault) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = Broker { port, state: Arc::default() };
        let this = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                // A client that goes away is no failure.
                tokio::spawn(async move { this.serve(stream, fault).await });
            }
        });
        broker
    }

    pub fn target(&self) -> Target {
        Target::Kafka { address: format!("127.0.0.1:{}", self.port) }
    }

    /// A load on it that is over soon, and whose timeout is far away.
    pub fn load(&self) -> Load {
        Load { timeout: Duration::from_secs(20), ..Load::new(self.target()) }
    }

    pub fn records(&self, topic: &str) -> Vec<i64> {
        self.state.lock().unwrap().topics[topic].iter().map(|log| log.records).collect()
    }

    async fn serve(&self, mut stream: TcpStream, fault: Fault) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        let mut reader = FrameReader::new(64 << 20);
        let mut produced = 0;
        loop {
            while let Some(frame) = reader.next_frame(&mut buffer).unwrap() {
                let parsed = request::parse(frame).unwrap();
                let (version, mut id) = (parsed.header.version, parsed.header.correlation_id);
                let loaded = matches!(parsed.request, Request::Produce(_) | Request::Fetch(_));
                let number = produced;
                if loaded {
                    produced += 1;
                    self.state.lock().unwrap().connections += usize::from(number == 0);
                }
                match fault {
                    Fault::Silent if loaded => continue,
                    Fault::CloseAt(at) if loaded && number == at => return Ok(()),
                    Fault::Slow(time) if loaded => tokio::time::sleep(time).await,
                    Fault::Stall(at, time) if loaded && number == at => {
                        tokio::time::sleep(time).await;
                    }
                    Fault::Garbage if loaded => {
                        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
                        continue;
                    }
                    Fault::Swap if loaded && number < 2 => id ^= 1,
                    _ => {}
                }
                let refuse = match fault {
                    Fault::Refuse(every, error) if number % every == every - 1 => Some(error),
                    _ => None,
                };
                let answer = match parsed.request {
                    Request::ApiVersions(_) => {
                        Some(response::encode(version, id, &response::api_versions()))
                    }
                    Request::Metadata(body) => {
                        Some(response::encode(version, id, &self.metadata(&body)))
                    }
                    Request::CreateTopics(body) => {
                        Some(response::encode(version, id, &self.create(&body, fault)))
                    }
                    Request::DeleteTopics(body) => {
                        Some(response::encode(version, id, &self.delete(&body)))
                    }
                    Request::ListOffsets(body) => {
                        Some(response::encode(version, id, &self.list_offsets(&body)))
                    }
                    Request::Fetch(body) => Some(response::encode(version, id, &self.fetch(&body))),
                    Request::Produce(body) => {
                        let answer = self.produce(&body, refuse);
                        (body.acks != 0).then(|| response::encode(version, id, &answer))
                    }
                    other => panic!("nobody asked for {other:?}"),
                };
                let Some(answer) = answer.map(Result::unwrap) else { continue };
                stream.write_all(&answer).await?;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let state = self.state.lock().unwrap();
        let Some(asked) = &request.topics else {
            // All of them; nobody looks.
            return MetadataResponse::default();
        };
        let topic = asked[0].name.clone().unwrap();
        let told = MetadataResponseTopic::default().with_name(Some(topic.clone()));
        let told = match state.topics.get(topic.0.as_str()) {
            None => told.with_error_code(ErrorCode::UnknownTopicOrPartition.code()),
            Some(logs) => told.with_partitions(
                (0..logs.len() as i32)
                    .map(|partition| {
                        MetadataResponsePartition::default()
                            .with_partition_index(partition)
                            .with_leader_id(BrokerId(1))
                    })
                    .collect(),
            ),
        };
        // An address that nobody can reach: with one broker, the given one is used.
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(StrBytes::from_static_str("nowhere.invalid"))
            .with_port(1);
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![told])
    }

    fn create(&self, request: &CreateTopicsRequest, fault: Fault) -> CreateTopicsResponse {
        let topic = &request.topics[0];
        let name = topic.name.0.to_string();
        let told = CreatableTopicResult::default().with_name(topic.name.clone());
        if fault == Fault::NoTopics {
            let told = told
                .with_error_code(ErrorCode::PolicyViolation.code())
                .with_error_message(Some(StrBytes::from_static_str("not here")));
            return CreateTopicsResponse::default().with_topics(vec![told]);
        }
        let mut state = self.state.lock().unwrap();
        let settings = topic.configs.iter();
        state
            .settings
            .extend(settings.map(|c| (c.name.to_string(), c.value.clone().unwrap().to_string())));
        state.topics.insert(name.clone(), vec![Log::default(); topic.num_partitions as usize]);
        state.made.push(name);
        CreateTopicsResponse::default().with_topics(vec![told])
    }

    fn delete(&self, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
        let name = &request.topic_names[0];
        let mut state = self.state.lock().unwrap();
        state.deleted.push(name.0.to_string());
        let told = DeletableTopicResult::default().with_name(Some(name.clone()));
        DeleteTopicsResponse::default().with_responses(vec![told])
    }

    fn produce(&self, request: &ProduceRequest, refuse: Option<ErrorCode>) -> ProduceResponse {
        let mut state = self.state.lock().unwrap();
        state.arrived.push(Instant::now());
        let topic = &request.topic_data[0];
        let data = &topic.partition_data[0];
        let told = PartitionProduceResponse::default().with_index(data.index);
        let told = match refuse {
            Some(error) => told.with_error_code(error.code()).with_base_offset(-1),
            None => {
                let bytes = data.records.as_ref().unwrap();
                // Checks the CRC too.
                let (batch, rest) = Batch::parse(bytes).unwrap();
                assert!(rest.is_empty(), "a request carries one batch");
                let records = i64::from(batch.header().record_count);
                let logs = state.topics.get_mut(topic.name.0.as_str()).unwrap();
                let log = &mut logs[data.index as usize];
                let (first, mut stored) = (log.records, bytes.to_vec());
                set_base_offset(&mut stored, Offset(first));
                log.batches.push((first, stored));
                log.records += records;
                told.with_base_offset(first)
            }
        };
        let told = TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_partition_responses(vec![told]);
        ProduceResponse::default().with_responses(vec![told])
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let state = self.state.lock().unwrap();
        let topic = &request.topics[0];
        let logs = &state.topics[topic.name.0.as_str()];
        let told =
            |asked: &tidegate_kafka_proto::messages::list_offsets_request::ListOffsetsPartition| {
                let end = logs[asked.partition_index as usize].records;
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_offset(if asked.timestamp == -2 { 0 } else { end })
            };
        let told = ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(told).collect());
        ListOffsetsResponse::default().with_topics(vec![told])
    }

    fn fetch(&self, request: &FetchRequest) -> FetchResponse {
        let state = self.state.lock().unwrap();
        let topic = &request.topics[0];
        let asked = &topic.partitions[0];
        let log = &state.topics[topic.topic.0.as_str()][asked.partition as usize];
        let mut records = Vec::new();
        let from = log.batches.iter().filter(|(first, _)| *first >= asked.fetch_offset);
        for (_, batch) in from {
            if !records.is_empty() && records.len() + batch.len() > request.max_bytes as usize {
                // As brokers do that send ranges of files: the last batch is cut.
                records.extend_from_slice(&batch[..batch.len() / 2]);
                break;
            }
            records.extend_from_slice(batch);
        }
        let told = PartitionData::default()
            .with_partition_index(asked.partition)
            .with_high_watermark(log.records)
            .with_records(Some(Bytes::from(records)));
        let told = FetchableTopicResponse::default()
            .with_topic(topic.topic.clone())
            .with_partitions(vec![told]);
        FetchResponse::default().with_responses(vec![told])
    }
}
