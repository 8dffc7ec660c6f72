//! Targets of `tidegate-kafka-proto`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate_kafka_proto::api::ADVERTISED;
use tidegate_kafka_proto::fetch_response::{FetchAnswer, PartitionAnswer};
use tidegate_kafka_proto::fetch_session::{Fetch, FetchSessions, SessionLimits};
use tidegate_kafka_proto::frame::{FrameError, FrameReader, PREFIX_LEN};
use tidegate_kafka_proto::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use tidegate_kafka_proto::messages::{FetchRequest, TopicName};
use tidegate_kafka_proto::request::{RequestError, parse};
use tidegate_kafka_proto::{ErrorCode, Fault, StrBytes, client};

/// Reads arbitrary bytes as a connection's, in pieces: what comes out is the same however they were
/// cut, and is never more than came in.
pub fn kafka_frames(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = frames(stream, stream.len());
    assert_eq!(whole, frames(stream, usize::from(cut)));
    assert_eq!(whole, frames(stream, 1));
    let taken: usize = whole.0.iter().map(|payload| PREFIX_LEN + payload.len()).sum();
    assert!(taken <= stream.len());
    for payload in whole.0 {
        read(payload);
    }
}

/// The frames of a stream, and why it was given up.
fn frames(stream: &[u8], cut: usize) -> (Vec<Bytes>, Option<FrameError>) {
    const MAX: usize = 4_096;
    let (mut reader, mut buffer) = (FrameReader::new(MAX), BytesMut::new());
    let mut frames = Vec::new();
    for piece in stream.chunks(cut.max(1)) {
        assert!(reader.room(&buffer) <= 64 * 1024);
        buffer.extend_from_slice(piece);
        loop {
            match reader.next_frame(&mut buffer) {
                Ok(Some(payload)) => {
                    assert!(payload.len() <= MAX);
                    frames.push(payload);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Reads arbitrary bytes as the body of a request whose API and version the input names.
pub fn kafka_requests(data: &[u8]) {
    let [api, version, flexible, body @ ..] = data else { return };
    let range = ADVERTISED[usize::from(*api) % ADVERTISED.len()];
    let versions = (range.max - range.min + 1) as u8;
    let version = range.min + i16::from(version % versions);
    let mut payload = range.api.key().to_be_bytes().to_vec();
    payload.extend(version.to_be_bytes());
    payload.extend([0, 0, 0, 5, 0xff, 0xff]);
    // Where the header has tagged fields, the input begins with them, or there are none.
    if flexible % 2 == 0 {
        payload.push(0);
    }
    payload.extend_from_slice(body);
    read(Bytes::from(payload));
    read(Bytes::copy_from_slice(data));
}

/// A request that is read can be written again and is the same then.
fn read(payload: Bytes) {
    let parsed = match parse(payload) {
        Ok(parsed) => parsed,
        Err(RequestError::Malformed { source, .. }) => {
            // What the walk lets through, the codec can read.
            assert!(!matches!(source.fault, Fault::Codec { .. }), "{source}");
            return;
        }
        Err(_) => return,
    };
    let header = &parsed.header;
    let id = header.client_id.as_deref();
    let frame = client::encode(header.version, header.correlation_id, id, &parsed.request)
        .expect("what was read can be written");
    let again = parse(frame.slice(PREFIX_LEN..)).expect("what was written can be read");
    assert_eq!(again, parsed);
}

/// Takes the input for instructions: a world of partitions that change, and two clients that fetch
/// them in sessions as the Java client does, with answers that get lost, requests that come twice
/// and requests that make no sense. Every client always knows what it must.
pub fn kafka_fetch_session(data: &[u8]) {
    let mut world = World::new();
    let mut clients = [Client::new(1), Client::new(2)];
    for step in data.chunks_exact(2) {
        let (what, which) = (step[0], usize::from(step[1]));
        world.now += Duration::from_secs(u64::from(what >> 4));
        let partition = which % PARTITIONS;
        let client = &mut clients[usize::from(what >> 3) % 2];
        match what % 8 {
            0 => {
                world.partitions[partition].high_watermark += 1;
                world.partitions[partition].has_records = true;
            }
            1 => world.partitions[partition].log_start += 1,
            2 => world.partitions[partition].fails ^= true,
            3 => client.toggle(partition as i32),
            4 | 5 => client.fetch(&mut world, which % 16 == 0),
            6 => client.fetch_slowly(&mut world),
            _ => nonsense(&mut world, step),
        }
        world.check();
    }
}

const PARTITIONS: usize = 8;
const VERSION: i16 = 12;
/// Few enough that clients are in each other's way.
const LIMITS: SessionLimits =
    SessionLimits { sessions: 2, partitions: 10, evict_after: Duration::from_secs(60) };

struct World {
    now: Duration,
    sessions: FetchSessions,
    partitions: [Partition; PARTITIONS],
}

#[derive(Clone, Copy)]
struct Partition {
    high_watermark: i64,
    log_start: i64,
    has_records: bool,
    fails: bool,
}

impl World {
    fn new() -> World {
        let partition =
            Partition { high_watermark: 0, log_start: 0, has_records: false, fails: false };
        World {
            now: Duration::ZERO,
            sessions: FetchSessions::new(LIMITS),
            partitions: [partition; PARTITIONS],
        }
    }

    fn check(&self) {
        assert!(self.sessions.len() <= LIMITS.sessions);
        assert!(self.sessions.partitions() <= LIMITS.partitions);
        assert!(self.sessions.partitions() >= self.sessions.len(), "none is empty");
        assert_eq!(self.sessions.is_empty(), self.sessions.partitions() == 0);
    }

    /// Reads what a fetch wants: of the first two partitions with records, those records.
    fn read(&self, fetch: &Fetch) -> Vec<PartitionAnswer<usize>> {
        let mut room = 2;
        let targets = fetch.targets().iter();
        let answers = targets.map(|target| {
            let found = self.partitions[target.partition as usize % PARTITIONS];
            let mut answer = PartitionAnswer::new(target.partition, 0);
            if found.fails {
                answer.error = ErrorCode::KafkaStorageError;
                return answer;
            }
            answer.high_watermark = found.high_watermark;
            answer.log_start_offset = found.log_start;
            if found.has_records && room > 0 {
                room -= 1;
                answer.records = 100;
            }
            answer
        });
        answers.collect()
    }
}

struct Client {
    seed: u32,
    session: i32,
    epoch: i32,
    /// The partitions that it wants, and from where.
    wanted: BTreeMap<i32, i64>,
    /// The same as the session knows it.
    said: BTreeMap<i32, i64>,
    /// High watermark and log start of each, as it was last told.
    told: BTreeMap<i32, (i64, i64)>,
    /// For how many answers in a row a partition had records and was left out.
    waiting: BTreeMap<i32, usize>,
}

impl Client {
    fn new(seed: u32) -> Client {
        Client {
            seed,
            session: 0,
            epoch: 0,
            wanted: BTreeMap::new(),
            said: BTreeMap::new(),
            told: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    fn toggle(&mut self, partition: i32) {
        if self.wanted.remove(&partition).is_none() {
            self.wanted.insert(partition, 0);
        }
    }

    /// What it asks next: everything, or what has changed.
    fn request(&self) -> FetchRequest {
        let anew = self.epoch == 0;
        let changed = self
            .wanted
            .iter()
            .filter(|(partition, offset)| anew || self.said.get(partition) != Some(offset));
        let changed = changed.map(|(partition, offset)| (*partition, *offset)).collect::<Vec<_>>();
        let gone = self.said.keys().filter(|partition| !self.wanted.contains_key(partition));
        let gone = if anew { Vec::new() } else { gone.copied().collect::<Vec<_>>() };
        request(self.session, self.epoch, &changed, &gone)
    }

    /// Begins again from the start, as after a lost connection or a refusal. The session is named,
    /// so that it is given up.
    fn reset(&mut self) {
        self.epoch = 0;
        self.said.clear();
        self.told.clear();
        self.waiting.clear();
    }

    fn fetch(&mut self, world: &mut World, lost: bool) {
        let request = self.request();
        let fetch = world.sessions.handle_request(world.now, VERSION, &request);
        if self.epoch > 0 && fetch.refusal().is_none() {
            // The same request again is not taken for another, and does no harm.
            let twice = world.sessions.handle_request(world.now, VERSION, &request);
            assert!(twice.refusal().is_some() && twice.targets().is_empty());
        }
        self.answered(world, fetch, lost);
    }

    /// Fetches while the other sessions go on, and maybe push this one out.
    fn fetch_slowly(&mut self, world: &mut World) {
        let fetch = world.sessions.handle_request(world.now, VERSION, &self.request());
        for n in 0..3 {
            let more: Vec<_> = (0..5).map(|partition| (100 + n + partition, 0)).collect();
            let other = request(0, 0, &more, &[]);
            let other = world.sessions.handle_request(world.now, VERSION, &other);
            let results = world.read(&other);
            let random = 1_000 + n as u32;
            world.sessions.handle_results(world.now, random, other, results);
        }
        self.answered(world, fetch, false);
    }

    fn answered(&mut self, world: &mut World, fetch: Fetch, lost: bool) {
        let incremental = fetch.is_incremental();
        if fetch.refusal().is_none() {
            let targets = fetch.targets().iter();
            let targets: BTreeMap<_, _> =
                targets.map(|target| (target.partition, target.position.fetch_offset)).collect();
            assert_eq!(targets, self.wanted, "what is read is what is wanted");
        }
        let results = world.read(&fetch);
        let random = self.seed << 8;
        let answer = world.sessions.handle_results(world.now, random, fetch, results);
        if lost || answer.error.is_error() {
            assert!(lost || answer.topics.is_empty());
            self.reset();
            return;
        }
        self.take(world, &answer, incremental);
        if answer.session_id == 0 {
            self.session = 0;
            self.reset();
            return;
        }
        self.said = self.wanted.clone();
        self.session = answer.session_id;
        self.epoch = if incremental { self.epoch + 1 } else { 1 };
        self.read_on(world, &answer);
    }

    /// Takes note of what is told, and holds it against the world.
    fn take(&mut self, world: &World, answer: &FetchAnswer<usize>, incremental: bool) {
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let found: BTreeMap<_, _> = partitions.map(|found| (found.partition, found)).collect();
        let count: usize = answer.topics.iter().map(|topic| topic.partitions.len()).sum();
        assert_eq!(found.len(), count, "none is told of twice");
        self.told.retain(|partition, _| self.wanted.contains_key(partition));
        for (partition, found) in &found {
            assert!(self.wanted.contains_key(partition), "what was not asked for");
            self.told.insert(*partition, (found.high_watermark, found.log_start_offset));
        }
        for partition in self.wanted.keys() {
            let actual = world.partitions[*partition as usize];
            if actual.fails {
                assert!(found[partition].error.is_error(), "a failure is always told");
                continue;
            }
            let told = self.told[partition];
            assert_eq!(told, (actual.high_watermark, actual.log_start), "told of what is");
            let served = found.get(partition).is_some_and(|found| found.records > 0);
            let waiting = self.waiting.entry(*partition).or_default();
            *waiting = if served || !actual.has_records || !incremental { 0 } else { *waiting + 1 };
            // Each that is served in its place moves behind it.
            assert!(*waiting <= self.wanted.len(), "none starves");
        }
    }

    /// Reads on behind the records that came, which are then nobody's any more.
    fn read_on(&mut self, world: &mut World, answer: &FetchAnswer<usize>) {
        for found in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            if found.records > 0 {
                world.partitions[found.partition as usize].has_records = false;
                *self.wanted.entry(found.partition).or_default() += 1;
            }
        }
    }
}

/// A request with any session, epoch and version.
fn nonsense(world: &mut World, step: &[u8]) {
    let numbers = [0, 1, 256, 512, -1, i32::MAX, i32::MIN];
    let pick = |n: usize| numbers[n % numbers.len()];
    let (id, epoch) = (pick(step[1] as usize), pick(step[1] as usize / numbers.len()));
    // Without a partition, so that no client's session is changed where the guess is right; a guess
    // that gives a session up is what a client must live with.
    let request = request(id, epoch, &[], &[]);
    let version = if step[0] & 8 == 0 { VERSION } else { 13 };
    let fetch = world.sessions.handle_request(world.now, version, &request);
    let results = world.read(&fetch);
    world.sessions.handle_results(world.now, 7, fetch, results);
}

fn request(id: i32, epoch: i32, wanted: &[(i32, i64)], gone: &[i32]) -> FetchRequest {
    let name = || TopicName(StrBytes::from_static_str("t"));
    let partitions = wanted.iter().map(|(partition, offset)| {
        FetchPartition::default().with_partition(*partition).with_fetch_offset(*offset)
    });
    let topic =
        FetchTopic::default().with_topic(name()).with_partitions(partitions.collect::<Vec<_>>());
    let forgotten = ForgottenTopic::default().with_topic(name()).with_partitions(gone.to_vec());
    FetchRequest::default()
        .with_session_id(id)
        .with_session_epoch(epoch)
        .with_topics(vec![topic])
        .with_forgotten_topics_data(vec![forgotten])
}
