//! Links to other sites: carries out what each link's [`Source`] asks.
//!
//! One task a link owns its state machine; dialling, reading, sending and listening are tasks of
//! their own that report to it. A session's frames are sent in order by one task; how much waits
//! there is bounded by the machine's windows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_link::{
    ReadFailure, Report, Session, Source, SourceConfig, SourceEffect, SourceStatus,
};
use tidegate_transport::{ClientTls, CloseCode, ConnectOptions, Connection, Connector, Identity};
use tidegate_types::{
    LinkName, LinkSpec, Offset, SiteName, Timestamp, TopicConfig, TopicName, TopicPartition,
};
use tidegate_wire::{
    ErrorBody, ErrorCode, LinkPartitionStatus, LinkStatus, MirrorBatches, MirrorPartition,
    MirrorReply, MirrorTopic, Open,
};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::leaving::Leaving;
use crate::topic::Partition;
use crate::{Broker, SOFTWARE, error, subscribe};

/// Reports that wait for the link's task.
const EVENTS: usize = 256;

/// The links of this node.
#[derive(Default)]
pub(crate) struct Links {
    running: Mutex<BTreeMap<LinkName, Running>>,
}

/// A link at work.
struct Running {
    spec: LinkSpec,
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What the link's task lets others see.
#[derive(Default)]
struct Seen {
    status: Option<SourceStatus>,
    site: Option<SiteName>,
    /// The wall clock at the start of the machine's time.
    started: Option<Timestamp>,
}

impl Links {
    /// Begins to copy.
    pub(crate) fn start(&self, broker: &Arc<Broker>, spec: LinkSpec) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (stop, stopped) = watch::channel(false);
        let driver = Driver::new(broker.clone(), spec.clone(), seen.clone());
        let task = tokio::spawn(driver.run(stopped));
        let running = Running { spec, seen, stop, task };
        self.lock().insert(running.spec.name.clone(), running);
    }

    /// Begins anew every link that copies this topic: it has partitions that they do not know.
    pub(crate) async fn restart(&self, broker: &Arc<Broker>, topic: &TopicName) {
        let with_topic = |running: &Running| running.spec.topics.contains(topic);
        let specs: Vec<LinkSpec> =
            self.lock().values().filter(|r| with_topic(r)).map(|r| r.spec.clone()).collect();
        for spec in specs {
            self.stop(&spec.name).await;
            self.start(broker, spec);
        }
    }

    /// Ends a link.
    pub(crate) async fn stop(&self, name: &LinkName) {
        let running = self.lock().remove(name);
        if let Some(running) = running {
            running.end().await;
        }
    }

    /// Ends all links.
    pub(crate) async fn stop_all(&self) {
        let all = std::mem::take(&mut *self.lock());
        for running in all.into_values() {
            running.end().await;
        }
    }

    pub(crate) fn status(&self, name: &LinkName) -> Option<LinkStatus> {
        self.lock().get(name).map(Running::status)
    }

    pub(crate) fn statuses(&self) -> Vec<LinkStatus> {
        self.lock().values().map(Running::status).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LinkName, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    async fn end(self) {
        self.stop.send_replace(true);
        if let Err(failed) = self.task.await {
            tracing::error!(link = %self.spec.name, error = %failed, "a link's task failed");
        }
    }

    fn status(&self) -> LinkStatus {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, address) = (self.spec.name.clone(), self.spec.address.clone());
        let topics = self.spec.topics.clone();
        let site = seen.site.clone();
        let started = seen.started.unwrap_or(Timestamp::NONE);
        let Some(status) = &seen.status else {
            let state = tidegate_wire::LinkState::Connecting;
            return LinkStatus {
                name,
                address,
                site,
                state,
                since: started,
                last_error: None,
                connects: 0,
                bytes_sent: 0,
                topics,
                partitions: Vec::new(),
            };
        };
        let since = i64::try_from(status.since.as_millis()).unwrap_or(i64::MAX);
        LinkStatus {
            name,
            address,
            site,
            state: status.state,
            since: Timestamp(started.millis().saturating_add(since)),
            last_error: status.last_error.clone(),
            connects: status.connects,
            bytes_sent: status.bytes_sent,
            topics,
            partitions: status
                .partitions
                .iter()
                .map(|p| LinkPartitionStatus {
                    topic: p.topic.clone(),
                    partition: p.partition,
                    source_end: p.source_end,
                    copied: p.copied,
                    problem: p.problem.clone(),
                })
                .collect(),
        }
    }
}

/// Whether the link's certificates can be used.
///
/// # Errors
/// Says what is wrong with them.
pub(crate) fn check(spec: &LinkSpec) -> Result<(), ErrorBody> {
    tls(spec).map(drop).map_err(|refusal| {
        let message = format!("the invitation of link {} is of no use: {refusal}", spec.name);
        ErrorBody::new(ErrorCode::InvalidRequest, message)
    })
}

fn tls(spec: &LinkSpec) -> Result<ClientTls, tidegate_transport::TlsError> {
    ClientTls::new(&Identity {
        authority: spec.authority.clone(),
        certificate: spec.certificate.clone(),
        key: spec.key.clone(),
    })
}

/// What the tasks around a link tell it.
enum Event {
    Connected { session: Session, connection: Connection, site: SiteName },
    Disconnected { session: Session, reason: String },
    Reply { session: Session, reply: MirrorReply },
    Read { session: Session, at: TopicPartition, from: Offset, batches: Result<Bytes, ReadFailure> },
}

/// What a session's sending task is told.
enum Out {
    Open(Box<Open>),
    Batches(MirrorBatches, Bytes),
}

/// The connection of the session at hand, and the way to its sending task.
struct Wire {
    session: Session,
    connection: Connection,
    out: mpsc::UnboundedSender<Out>,
}

/// A link's task.
struct Driver {
    broker: Arc<Broker>,
    spec: LinkSpec,
    seen: Arc<Mutex<Seen>>,
    started: Instant,
    partitions: BTreeMap<TopicPartition, Arc<Partition>>,
    wire: Option<Wire>,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    /// Dials, reads, sends and listens; all end with the link.
    tasks: JoinSet<()>,
}

impl Driver {
    fn new(broker: Arc<Broker>, spec: LinkSpec, seen: Arc<Mutex<Seen>>) -> Driver {
        let (events, inbox) = mpsc::channel(EVENTS);
        Driver {
            broker,
            spec,
            seen,
            started: Instant::now(),
            partitions: BTreeMap::new(),
            wire: None,
            events,
            inbox,
            tasks: JoinSet::new(),
        }
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let connector = match tls(&self.spec) {
            Ok(tls) => Arc::new(Connector::new(tls)),
            Err(unusable) => {
                // Checked when the link was added; the file was changed since.
                tracing::error!(link = %self.spec.name, error = %unusable, "a link cannot start");
                return;
            }
        };
        self.look().started = Some(self.broker.clock.wall());
        let seed = self.broker.clock.wall().millis().unsigned_abs();
        let config = SourceConfig::new(self.spec.name.clone(), self.spec.local_site.clone(), seed);
        let topics = self.topics();
        let mut source = Source::new(config, topics, self.now());
        let mut advanced = self.broker.topics.watch_all();
        loop {
            while let Some(effect) = source.poll_effect(self.now()) {
                self.perform(effect, &connector);
            }
            self.look().status = Some(source.status());
            let wait = source.poll_timeout().map(|at| at.saturating_sub(self.now()));
            tokio::select! {
                Some(event) = self.inbox.recv() => self.handle(&mut source, event),
                _ = advanced.changed() => self.tell_offsets(&mut source),
                () = sleep(wait) => {}
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        source.stop(self.now());
        while let Some(effect) = source.poll_effect(self.now()) {
            self.perform(effect, &connector);
        }
        self.tasks.shutdown().await;
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn look(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link's topics as they are now; remembers their partitions.
    fn topics(&mut self) -> Vec<MirrorTopic> {
        let topics: Vec<_> =
            self.spec.topics.iter().filter_map(|name| self.broker.topics.get(name)).collect();
        let described = topics.iter().map(|topic| MirrorTopic {
            name: topic.name.clone(),
            id: topic.id,
            config: TopicConfig::clone(&topic.config()),
            partitions: topic.partitions().iter().map(|p| describe(p)).collect(),
        });
        let described = described.collect();
        let partitions = topics.iter().flat_map(|topic| topic.partitions());
        self.partitions = partitions.map(|p| (p.at, p)).collect();
        described
    }

    fn tell_offsets(&self, source: &mut Source) {
        for (at, partition) in &self.partitions {
            let offsets = partition.log.offsets();
            source.handle_offsets(*at, offsets.start, offsets.durable, offsets.last_epoch);
        }
    }

    fn handle(&mut self, source: &mut Source, event: Event) {
        match event {
            Event::Connected { session, connection, site } => {
                if source.session() != Some(session) {
                    return connection.close(CloseCode::Done, "");
                }
                self.look().site = Some(site);
                let (out, outbox) = mpsc::unbounded_channel();
                self.tasks.spawn(send(session, connection.clone(), outbox, self.events.clone()));
                self.wire = Some(Wire { session, connection, out });
                // Offsets moved while nobody was told.
                self.tell_offsets(source);
                source.handle_connected(session, self.now());
            }
            Event::Disconnected { session, reason } => {
                self.hang_up(session, &reason);
                source.handle_disconnected(session, &reason, self.now());
            }
            Event::Reply { session, reply } => source.handle_reply(session, reply, self.now()),
            Event::Read { session, at, from, batches } => {
                source.handle_read(session, at, from, batches, self.now());
            }
        }
    }

    fn perform(&mut self, effect: SourceEffect, connector: &Arc<Connector>) {
        match effect {
            SourceEffect::Dial { session } => {
                let (connector, events) = (connector.clone(), self.events.clone());
                let address = self.spec.address.clone();
                self.tasks.spawn(dial(session, address, connector, events));
            }
            SourceEffect::Open { session, open } => {
                self.put(session, Out::Open(Box::new(Open::Mirror(open))));
            }
            SourceEffect::Send { session, header, batches } => {
                self.put(session, Out::Batches(header, batches));
            }
            SourceEffect::Read { session, at, from, end, max } => {
                let Some(partition) = self.partitions.get(&at).cloned() else { return };
                let events = self.events.clone();
                let topic = self.broker.topics.by_id(at.topic);
                let leaving = topic.and_then(|topic| Leaving::by_link(&self.broker, &topic));
                self.tasks.spawn(async move {
                    let read = async {
                        let (batches, _) =
                            subscribe::read(partition.clone(), from, end, max).await?;
                        match leaving {
                            Some(leaving) => Arc::new(leaving).pass(&partition, batches).await,
                            None => Ok(batches),
                        }
                    };
                    let batches = read.await.map_err(|failure| ReadFailure {
                        reason: failure.message,
                        retriable: failure.retriable,
                    });
                    _ = events.send(Event::Read { session, at, from, batches }).await;
                });
            }
            SourceEffect::Close { session, reason } => self.hang_up(session, &reason),
            SourceEffect::Report(report) => self.report(report),
        }
    }

    /// Hands something to the session's sending task.
    fn put(&self, session: Session, out: Out) {
        if let Some(wire) = self.wire.as_ref().filter(|wire| wire.session == session) {
            // A task that is gone has reported why.
            _ = wire.out.send(out);
        }
    }

    fn hang_up(&mut self, session: Session, reason: &str) {
        if let Some(wire) = self.wire.take_if(|wire| wire.session == session) {
            wire.connection.close(CloseCode::Done, reason);
        }
    }

    fn report(&self, report: Report) {
        let link = &self.spec.name;
        match report {
            Report::Connected => tracing::info!(%link, "link connected"),
            Report::Disconnected { reason, wait } => {
                tracing::warn!(%link, %reason, ?wait, "link lost, dialling again");
            }
            Report::Problem { topic, partition, problem, retriable } => {
                tracing::error!(%link, %topic, %partition, %problem, retriable, "not mirrored");
            }
        }
    }
}

fn describe(partition: &Partition) -> MirrorPartition {
    let offsets = partition.log.offsets();
    MirrorPartition {
        partition: partition.at.partition,
        incarnation: partition.log.incarnation(),
        start: offsets.start,
        end: offsets.durable,
        last_epoch: offsets.last_epoch,
    }
}

/// Waits for so long, or for ever.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn dial(
    session: Session,
    address: String,
    connector: Arc<Connector>,
    events: mpsc::Sender<Event>,
) {
    let options = ConnectOptions { software: SOFTWARE.to_owned(), ..ConnectOptions::default() };
    let event = match connector.connect(&address, &options).await {
        Ok((connection, welcome)) => Event::Connected { session, connection, site: welcome.site },
        Err(failure) => Event::Disconnected { session, reason: error::chain(&failure) },
    };
    _ = events.send(event).await;
}

/// Opens the session's stream and sends what it is given, in order; a second task listens.
async fn send(
    session: Session,
    connection: Connection,
    mut outbox: mpsc::UnboundedReceiver<Out>,
    events: mpsc::Sender<Event>,
) {
    let mut sender = None;
    let mut listening = JoinSet::new();
    let lost = loop {
        let out = tokio::select! {
            out = outbox.recv() => out,
            lost = connection.closed() => break lost.to_string(),
        };
        match (out, &mut sender) {
            (None, _) => return,
            (Some(Out::Open(open)), _) => match connection.open(&open, &[]).await {
                Ok((opened, receiver)) => {
                    sender = Some(opened);
                    listening.spawn(listen(session, receiver, events.clone()));
                }
                Err(failure) => break error::chain(&failure),
            },
            (Some(Out::Batches(header, batches)), Some(sender)) => {
                if let Err(failure) = sender.send(&header, &[batches]).await {
                    break error::chain(&failure);
                }
            }
            (Some(Out::Batches(..)), None) => break "batches before the stream".to_owned(),
        }
    };
    // What the other end said last may be the reason; it is heard first.
    _ = tokio::time::timeout(Duration::from_secs(1), listening.join_next()).await;
    _ = events.send(Event::Disconnected { session, reason: lost }).await;
}

async fn listen(
    session: Session,
    mut receiver: tidegate_transport::FrameReceiver,
    events: mpsc::Sender<Event>,
) {
    let reason = loop {
        match receiver.recv::<MirrorReply>().await {
            Ok(Some((reply, _))) => {
                if events.send(Event::Reply { session, reply }).await.is_err() {
                    return;
                }
            }
            Ok(None) => break "the other site ended the stream".to_owned(),
            Err(failure) => break error::chain(&failure),
        }
    };
    _ = events.send(Event::Disconnected { session, reason }).await;
}
