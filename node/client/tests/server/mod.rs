//! A small node for the client's tests: the real protocol over the real transport, with one topic
//! whose log is in memory. It deduplicates as Kafka does, and can be told to misbehave.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tidegate_client::ClientConfig;
use tidegate_client::types::{
    Incarnation, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence,
    SiteName, StartPosition, TopicConfig, TopicId, TopicName, limits,
};
use tidegate_client::wire::{
    BatchAck, ErrorBody, ErrorCode, Open, OpenProduce, OpenSubscribe, PartitionDescription,
    PartitionStart, ProduceBatch, ProduceReply, ProducerIdentity, Request, Response,
    SubscribeReply, TopicDescription,
};
use tidegate_record::{Batch, set_base_offset, validate_produced};
use tidegate_transport::{
    Authority, CloseCode, Connection, FrameReceiver, FrameSender, Identity, Issued, Listener,
    LocalNode, OpenedStream, Role, ServerTls,
};
use tokio::sync::watch;

/// The one topic.
pub const TOPIC: &str = "sensors";

/// A producer's epoch, next sequence, and last batches.
type Remembered = (ProducerEpoch, Sequence, VecDeque<(Sequence, Offset)>);

#[derive(Default)]
struct Partition {
    batches: Vec<(Offset, Offset, Bytes)>,
    end: i64,
    producers: HashMap<ProducerId, Remembered>,
}

/// What the node is told to do wrong.
#[derive(Default)]
pub struct Faults {
    /// Cut every connection after so many more batches were appended, their acks unsent.
    pub cut_after: Option<u32>,
    /// Refuse batches with these errors, one each.
    pub refuse: VecDeque<ErrorBody>,
    /// Take so long for each request.
    pub slow: std::time::Duration,
}

pub struct State {
    partitions: Vec<Partition>,
    next_producer: i64,
    pub faults: Faults,
    connections: Vec<Connection>,
    pub duplicates: u64,
    pub subscriptions: u64,
}

/// A node that runs until it is dropped.
pub struct Server {
    pub authority: Authority,
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
    listener: Arc<Listener>,
}

type Shared = (Arc<Mutex<State>>, watch::Sender<()>);

impl Server {
    pub fn start(partitions: usize) -> Server {
        let site = SiteName::new("hq").unwrap();
        let authority = Authority::create(&site).unwrap();
        let own = authority.issue(&Role::Node { site: site.clone(), id: NodeId(1) }).unwrap();
        let tls = ServerTls::new(&identity(&authority, own)).unwrap();
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let listener = Arc::new(Listener::bind(any, &tls).unwrap());
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            next_producer: 0,
            faults: Faults::default(),
            connections: Vec::new(),
            duplicates: 0,
            subscriptions: 0,
        }));
        let shared = (state.clone(), watch::Sender::new(()));
        let accepting = listener.clone();
        tokio::spawn(async move {
            let local = LocalNode { node: NodeId(1), site, software: "test/1".into() };
            while let Some(incoming) = accepting.accept().await {
                let (shared, local) = (shared.clone(), local.clone());
                tokio::spawn(async move {
                    let Ok((connection, _)) = incoming.establish(&local).await else { return };
                    lock(&shared.0).connections.push(connection.clone());
                    while let Ok(request) = connection.accept_stream().await {
                        let shared = shared.clone();
                        tokio::spawn(async move {
                            if let Ok(stream) = request.accept().await {
                                serve(shared, stream).await;
                            }
                        });
                    }
                });
            }
        });
        Server { authority, address, state, listener }
    }

    pub fn client_config(&self) -> ClientConfig {
        let role = Role::Client { site: self.authority.site().clone(), name: "test".into() };
        let issued = self.authority.issue(&role).unwrap();
        ClientConfig::new(self.address.to_string(), identity(&self.authority, issued))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        cut(&mut self.state());
    }

    /// The values in a partition, in order, with their offsets.
    pub fn values(&self, partition: usize) -> Vec<(i64, String)> {
        let state = self.state();
        let mut values = Vec::new();
        for (_, _, bytes) in &state.partitions[partition].batches {
            let (batch, _) = Batch::parse(bytes).unwrap();
            let mut scratch = Vec::new();
            for record in batch.body(&mut scratch).unwrap() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap_or(b"-").to_vec()).unwrap();
                values.push((batch.header().offset_of(&record).get(), value));
            }
        }
        values
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listener.close(CloseCode::ShuttingDown, "the test is over");
    }
}

fn identity(authority: &Authority, issued: Issued) -> Identity {
    Identity {
        authority: authority.certificate_pem().to_owned(),
        certificate: issued.certificate,
        key: issued.key,
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

fn cut(state: &mut State) {
    for connection in state.connections.drain(..) {
        connection.close(CloseCode::Internal, "cut");
    }
}

async fn serve(shared: Shared, stream: OpenedStream) {
    let OpenedStream { open, payload, sender, receiver } = stream;
    match open {
        Open::Request(request) => answer(shared, request, &payload, sender).await,
        Open::Produce(open) => produce(shared, open, sender, receiver).await,
        Open::Subscribe(open) => subscribe(shared, open, sender).await,
        Open::Hello(_) | Open::Mirror(_) => {}
    }
}

fn unknown_topic(name: &TopicName) -> ErrorBody {
    ErrorBody::new(ErrorCode::UnknownTopic, format!("topic {name} does not exist"))
}

async fn answer(shared: Shared, request: Request, payload: &[u8], mut sender: FrameSender) {
    let slow = lock(&shared.0).faults.slow;
    tokio::time::sleep(slow).await;
    let response = match request {
        Request::InitProducer(init) => {
            let mut state = lock(&shared.0);
            Response::Producer(match init.previous {
                Some(p) => ProducerIdentity { epoch: ProducerEpoch(p.epoch.get() + 1), ..p },
                None => {
                    state.next_producer += 1;
                    let id = ProducerId(state.next_producer);
                    ProducerIdentity { id, epoch: ProducerEpoch(0) }
                }
            })
        }
        Request::DescribeTopic(name) if name.as_str() == TOPIC => {
            Response::Topic(describe(&lock(&shared.0), name))
        }
        Request::DescribeTopic(name) | Request::DeleteTopic(name) => {
            Response::Failed(unknown_topic(&name))
        }
        Request::InstallPlugin(name) => Response::Failed(ErrorBody::new(
            ErrorCode::InvalidPlugin,
            format!("{name} of {} bytes is no component", payload.len()),
        )),
        Request::ListTopics => Response::Done,
        _ => Response::Failed(ErrorBody::new(ErrorCode::InvalidRequest, "not in this test")),
    };
    let _ = sender.send(&response, &[]).await;
    sender.finish();
}

fn describe(state: &State, name: TopicName) -> TopicDescription {
    let partition = |(i, at): (usize, &Partition)| PartitionDescription {
        partition: PartitionId(i as u32),
        incarnation: Incarnation(1),
        log_start: Offset::ZERO,
        high_watermark: Offset(at.end),
        durable: Offset(at.end),
        log_end: Offset(at.end),
        leader_epoch: LeaderEpoch(0),
        bytes: 0,
        segments: 1,
        sealed: None,
        damage: Vec::new(),
    };
    TopicDescription {
        name,
        id: TopicId::random(),
        config: TopicConfig::default(),
        mirror_of: None,
        attachments: Vec::new(),
        partitions: state.partitions.iter().enumerate().map(partition).collect(),
    }
}

async fn produce(
    shared: Shared,
    open: OpenProduce,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    if open.topic.as_str() != TOPIC {
        let _ = sender.send(&ProduceReply::Failed(unknown_topic(&open.topic)), &[]).await;
        return sender.finish();
    }
    let partitions = lock(&shared.0).partitions.len() as u32;
    let ready = ProduceReply::Ready { topic: TopicId::random(), partitions };
    let _ = sender.send(&ready, &[]).await;
    let mut due = 0;
    while let Ok(Some((batch, payload))) = receiver.recv::<ProduceBatch>().await {
        assert_eq!(batch.number, due, "batches are numbered without gaps");
        due += 1;
        let reply = {
            let mut state = lock(&shared.0);
            if let Some(error) = state.faults.refuse.pop_front() {
                ProduceReply::Refused { number: batch.number, error }
            } else {
                match append(&mut state, &batch, &payload) {
                    Ok(ack) => ProduceReply::Acked(vec![ack]),
                    Err(error) => ProduceReply::Refused { number: batch.number, error },
                }
            }
        };
        shared.1.send_replace(());
        {
            let mut state = lock(&shared.0);
            if let Some(left) = &mut state.faults.cut_after {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    state.faults.cut_after = None;
                    return cut(&mut state);
                }
            }
        }
        if open.acks != tidegate_client::types::Acks::None {
            let _ = sender.send(&reply, &[]).await;
        }
    }
    sender.finish();
}

fn append(state: &mut State, to: &ProduceBatch, payload: &[u8]) -> Result<BatchAck, ErrorBody> {
    let invalid = |e: String| ErrorBody::new(ErrorCode::InvalidRecord, e);
    let (batch, rest) = Batch::parse(payload).map_err(|e| invalid(e.to_string()))?;
    validate_produced(&batch).map_err(|e| invalid(e.to_string()))?;
    assert!(rest.is_empty());
    let at = &mut state.partitions[to.partition.get() as usize];
    let base = Offset(at.end);
    let mut ack = BatchAck { number: to.number, base_offset: Some(base), duplicate: false };
    if let Some(stamp) = batch.header().stamp() {
        let fresh = || (stamp.epoch, Sequence(0), VecDeque::new());
        let (epoch, next, remembered) = at.producers.entry(stamp.id).or_insert_with(fresh);
        if stamp.epoch < *epoch {
            return Err(ErrorBody::new(ErrorCode::ProducerFenced, "an old epoch"));
        }
        if stamp.epoch > *epoch {
            (*epoch, *next, *remembered) = fresh();
        }
        if let Some((_, stored)) = remembered.iter().find(|(s, _)| *s == stamp.base_sequence) {
            state.duplicates += 1;
            return Ok(BatchAck { base_offset: Some(*stored), duplicate: true, ..ack });
        }
        if stamp.base_sequence != *next {
            let told = format!("sequence {} is not {next}", stamp.base_sequence);
            return Err(ErrorBody::new(ErrorCode::OutOfOrderSequence, told));
        }
        *next = stamp.base_sequence.advance(batch.header().record_count as i32);
        remembered.push_back((stamp.base_sequence, base));
        if remembered.len() > limits::PRODUCER_BATCHES_REMEMBERED {
            remembered.pop_front();
        }
    }
    at.end += i64::from(batch.header().last_offset_delta) + 1;
    let mut bytes = payload.to_vec();
    set_base_offset(&mut bytes, base);
    at.batches.push((base, Offset(at.end), Bytes::from(bytes)));
    ack.base_offset = Some(base);
    Ok(ack)
}

async fn subscribe(shared: Shared, open: OpenSubscribe, mut sender: FrameSender) {
    if open.topic.as_str() != TOPIC {
        let _ = sender.send(&SubscribeReply::Failed(unknown_topic(&open.topic)), &[]).await;
        return sender.finish();
    }
    let mut changed = shared.1.subscribe();
    let mut at: Vec<PartitionStart> = {
        let mut state = lock(&shared.0);
        state.subscriptions += 1;
        let wanted: Vec<(PartitionId, StartPosition)> = if open.partitions.is_empty() {
            (0..state.partitions.len() as u32).map(|p| (PartitionId(p), open.from)).collect()
        } else {
            open.partitions.clone()
        };
        wanted
            .into_iter()
            .map(|(partition, from)| {
                let high_watermark = Offset(state.partitions[partition.get() as usize].end);
                let next = match from {
                    StartPosition::Start | StartPosition::Time(_) => Offset::ZERO,
                    StartPosition::End => high_watermark,
                    StartPosition::Offset(offset) => offset,
                    StartPosition::AfterStart(n) => Offset(n as i64),
                    StartPosition::BeforeEnd(n) => high_watermark.advance(-(n as i64)),
                };
                PartitionStart { partition, next, high_watermark }
            })
            .collect()
    };
    let ready = SubscribeReply::Ready { topic: TopicId::random(), partitions: at.clone() };
    if sender.send(&ready, &[]).await.is_err() {
        return;
    }
    loop {
        for start in &mut at {
            let end = if open.until_end { start.high_watermark } else { Offset(i64::MAX) };
            let (run, next, high_watermark) = {
                let state = lock(&shared.0);
                let log = &state.partitions[start.partition.get() as usize];
                let mut run = Vec::new();
                let mut next = start.next;
                // Whole batches: the first may begin before the offset asked for.
                for (base, after, bytes) in &log.batches {
                    if *after > start.next && *base < end {
                        run.push(bytes.clone());
                        next = *after;
                    }
                }
                (run, next, Offset(log.end))
            };
            if !run.is_empty() {
                let partition = start.partition;
                let reply = SubscribeReply::Records { partition, next, high_watermark };
                start.next = next;
                if sender.send(&reply, &run).await.is_err() {
                    return;
                }
                let reply = SubscribeReply::CaughtUp { partition, high_watermark };
                if sender.send(&reply, &[]).await.is_err() {
                    return;
                }
            }
        }
        if open.until_end {
            let _ = sender.send(&SubscribeReply::End, &[]).await;
            return sender.finish();
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}
