//! Fetch: where the records are that a client wants, waiting for them where it says so.
//!
//! No record is read here. What is found is a range of a log's file; the connection sends it from
//! there. As in Kafka the first partition that has something gives at least one batch, whatever the
//! limits say, so that no reader is stuck before a large one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tidegate_broker::{LEADER_EPOCH, Partition, ReadAlias, Topic};
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::fetch_response::{
    CurrentLeader, EncodedFetch, EpochEnd, FetchAnswer, FetchPart, PartitionAnswer, RecordsLen,
    TOPIC_IDS_SINCE, TopicKey, encode,
};
use tidegate_kafka_proto::fetch_session::{Fetch, FetchPosition, FetchSessions, FetchTarget};
use tidegate_kafka_proto::messages::{BrokerId, FetchRequest};
use tidegate_log::{FileRange, ReadError};
use tidegate_types::{ByteSize, LeaderEpoch, Offset, TopicName};
use tokio::time::Instant;

use crate::connection::{Part, Reply};
use crate::limits::MAX_FETCH_WAIT;
use crate::metadata::broker_id;
use crate::offsets::ISOLATION_LEVELS;
use crate::{Shared, offsets};

/// What a client reads that wants decided transactions only.
const READ_COMMITTED: i8 = 1;

/// First version whose answers can say that the reader's log parts from this one.
const DIVERGENCE_FROM: i16 = 12;

/// First version whose answers say who leads a partition that this node does not.
const LEADERS_FROM: i16 = 16;

/// The sessions of all clients.
pub(crate) type Sessions = Mutex<FetchSessions>;

/// A partition's records in an answer.
#[derive(Clone, Default)]
enum Found {
    #[default]
    Nothing,
    Range(FileRange),
    /// What a plugin left of a range.
    Left(Bytes),
}

impl RecordsLen for Found {
    fn records_len(&self) -> usize {
        match self {
            Found::Nothing => 0,
            Found::Range(range) => range.len,
            Found::Left(bytes) => bytes.len(),
        }
    }
}

/// Answers one.
pub(crate) async fn answer(
    shared: &Shared,
    version: i16,
    correlation_id: i32,
    request: FetchRequest,
) -> Reply {
    if !ISOLATION_LEVELS.contains(&request.isolation_level) {
        return reply(version, correlation_id, &refused(version, &request));
    }
    let now = shared.broker.clock().monotonic();
    let fetch = lock(&shared.sessions).handle_request(now, version, &request);
    let reading = Reading::new(shared, version, &request, &fetch);
    let aliases = reading.aliases.clone();
    let targets = reading.targets.clone();
    let mut results = reading.wait(&request).await;
    for ((result, target), alias) in results.iter_mut().zip(targets.iter()).zip(aliases) {
        if let (Some(alias), Ok(partition)) = (alias, &target.partition) {
            through(shared, &alias, partition, result).await;
        }
    }
    let random = rand_u32();
    let now = shared.broker.clock().monotonic();
    let answer = lock(&shared.sessions).handle_results(now, random, fetch, results);
    reply(version, correlation_id, &answer)
}

/// Takes what was found through the plugin that its reader named.
async fn through(
    shared: &Shared,
    alias: &ReadAlias,
    partition: &Arc<Partition>,
    result: &mut PartitionAnswer<Found>,
) {
    let Found::Range(range) = std::mem::take(&mut result.records) else { return };
    match alias.read(&shared.broker, partition, range).await {
        Ok(left) => result.records = Found::Left(left),
        Err(error) => {
            tracing::warn!(topic = %alias, %error, "a reader is refused");
            result.error = ErrorCode::UnknownServerError;
        }
    }
}

/// Refuses a fetch as a whole. Versions without an error of the whole have it in every partition.
fn refused(version: i16, request: &FetchRequest) -> FetchAnswer<Found> {
    let mut answer = FetchAnswer::new(ErrorCode::InvalidRequest, request.session_id);
    for topic in request.topics.iter().filter(|_| version < TOPIC_IDS_SINCE) {
        for partition in &topic.partitions {
            let mut failed = failed(partition.partition, ErrorCode::InvalidRequest);
            failed.aborted = Some(Vec::new());
            answer.push(TopicKey::of_topic(version, topic), failed);
        }
    }
    answer
}

fn reply(version: i16, correlation_id: i32, answer: &FetchAnswer<Found>) -> Reply {
    match encode(version, correlation_id, answer) {
        Ok(encoded) => Reply::Parts(parts(&encoded)),
        Err(error) => {
            tracing::error!(%error, "a fetch cannot be answered");
            Reply::Close(error.to_string())
        }
    }
}

fn parts(encoded: &EncodedFetch<'_, Found>) -> Vec<Part> {
    let part = |part: FetchPart<'_, Found>| match part {
        FetchPart::Bytes(bytes) => Some(Part::Bytes(bytes)),
        FetchPart::Records(Found::Nothing) => None,
        FetchPart::Records(Found::Range(range)) => Some(Part::Records(range.clone())),
        FetchPart::Records(Found::Left(bytes)) => Some(Part::Bytes(bytes.clone())),
    };
    encoded.parts().filter_map(part).collect()
}

fn lock(sessions: &Sessions) -> std::sync::MutexGuard<'_, FetchSessions> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chooses a session's id; nothing is kept secret by it.
fn rand_u32() -> u32 {
    uuid::Uuid::new_v4().as_u64_pair().0 as u32
}

/// One partition that is to be read.
struct Target {
    position: FetchPosition,
    /// Or why it cannot be.
    partition: Result<Arc<Partition>, ErrorCode>,
}

/// A fetch on its way.
struct Reading {
    targets: Arc<Vec<Target>>,
    topics: Vec<Arc<Topic>>,
    numbers: Vec<i32>,
    /// The plugins that the targets' readers named.
    aliases: Vec<Option<ReadAlias>>,
    max_bytes: usize,
    committed: bool,
    version: i16,
    node: BrokerId,
}

impl Reading {
    fn new(shared: &Shared, version: i16, request: &FetchRequest, fetch: &Fetch) -> Reading {
        let mut found: BTreeMap<&TopicKey, Result<Readers, ErrorCode>> = BTreeMap::new();
        let (mut targets, mut numbers, mut aliases) = (Vec::new(), Vec::new(), Vec::new());
        // Nobody replicates from here: whoever says so takes this node for another.
        let is_replica = request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0;
        for FetchTarget { topic, partition, position } in fetch.targets() {
            let of = found.entry(topic).or_insert_with(|| find(shared, topic));
            let of = of.as_ref().map_err(|code| *code);
            aliases.push(of.ok().and_then(|(_, alias)| alias.clone()));
            let known = of.and_then(|(topic, _)| offsets::partition(Some(topic), *partition));
            let known = match known {
                Ok(_) if is_replica => Err(ErrorCode::NotLeaderOrFollower),
                known => known,
            };
            let mut position = *position;
            if version < DIVERGENCE_FROM {
                position.last_fetched_epoch = offsets::UNKNOWN_EPOCH;
            }
            targets.push(Target { position, partition: known });
            numbers.push(*partition);
        }
        Reading {
            targets: Arc::new(targets),
            topics: found.into_values().filter_map(|of| Some(of.ok()?.0)).collect(),
            numbers,
            aliases,
            max_bytes: usize::try_from(request.max_bytes).unwrap_or(0),
            committed: request.isolation_level == READ_COMMITTED,
            version,
            node: broker_id(&shared.broker),
        }
    }

    /// Reads until there is enough, something is wrong, or the time is over.
    async fn wait(self, request: &FetchRequest) -> Vec<PartitionAnswer<Found>> {
        let enough = usize::try_from(request.min_bytes).unwrap_or(0);
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let deadline = Instant::now() + wait.min(MAX_FETCH_WAIT);
        let mut watching: Vec<_> = self.topics.iter().map(|topic| topic.watch()).collect();
        loop {
            for watched in &mut watching {
                watched.mark_unchanged();
            }
            let answers = self.read().await;
            let bytes: usize = answers.iter().map(|answer| answer.records.records_len()).sum();
            let failed = answers.iter().any(|answer| answer.error.is_error());
            let urgent = answers.iter().any(|answer| answer.diverging_epoch.is_some());
            if bytes >= enough || failed || urgent || wait.is_zero() || answers.is_empty() {
                return answers;
            }
            let mut changes: FuturesUnordered<_> =
                watching.iter_mut().map(|watched| watched.changed()).collect();
            match tokio::time::timeout_at(deadline, changes.next()).await {
                Ok(Some(Ok(()))) => {}
                // The time is over, or a topic is gone.
                _ => {
                    drop(changes);
                    return self.read().await;
                }
            }
        }
    }

    /// Looks at every partition once, without blocking where all that is wanted is in memory or
    /// nothing is there.
    async fn read(&self) -> Vec<PartitionAnswer<Found>> {
        let (targets, max_bytes) = (self.targets.clone(), self.max_bytes);
        let found = match locate_all(&targets, max_bytes, locate_in_memory) {
            Ok(found) => found,
            Err(OnDisk) => {
                let locating = tokio::task::spawn_blocking(move || {
                    locate_all(&targets, max_bytes, |p, from, end, max| {
                        Ok(locate(p, from, end, max))
                    })
                });
                match locating.await {
                    Ok(Ok(found)) => found,
                    _ => {
                        let failed = |_: &Target| Err(ErrorCode::NotLeaderOrFollower);
                        self.targets.iter().map(failed).collect()
                    }
                }
            }
        };
        let each = self.targets.iter().zip(&self.numbers).zip(found);
        each.map(|((target, number), found)| self.tell(target, *number, found)).collect()
    }

    /// What is told of one partition.
    fn tell(
        &self,
        target: &Target,
        number: i32,
        found: Result<Placed, ErrorCode>,
    ) -> PartitionAnswer<Found> {
        let (partition, placed) = match (&target.partition, found) {
            (Ok(partition), Ok(placed)) => (partition, placed),
            (Err(code), _) => return self.fail(number, *code),
            (_, Err(code)) => return self.fail(number, code),
        };
        let high_watermark = partition.high_watermark().get();
        let mut answer = PartitionAnswer::new(number, Found::default());
        answer.high_watermark = high_watermark;
        // There are no transactions that could be undecided.
        answer.last_stable_offset = high_watermark;
        answer.log_start_offset = partition.log().offsets().start.get();
        answer.aborted = self.committed.then(Vec::new);
        match placed {
            Placed::Records(range) => answer.records = Found::Range(range),
            Placed::Nothing => {}
            Placed::Diverging(end) => answer.diverging_epoch = Some(end),
        }
        answer
    }

    fn fail(&self, number: i32, code: ErrorCode) -> PartitionAnswer<Found> {
        let mut answer = failed(number, code);
        match code {
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
                answer.aborted = Some(Vec::new());
            }
            ErrorCode::NotLeaderOrFollower if self.version >= LEADERS_FROM => {
                let (leader_id, leader_epoch) = (self.node.0, LEADER_EPOCH.get());
                answer.current_leader = Some(CurrentLeader { leader_id, leader_epoch });
            }
            _ => {}
        }
        answer
    }
}

fn failed(number: i32, error: ErrorCode) -> PartitionAnswer<Found> {
    PartitionAnswer { error, ..PartitionAnswer::new(number, Found::default()) }
}

/// A topic, and the plugin that its readers named.
type Readers = (Arc<Topic>, Option<ReadAlias>);

fn find(shared: &Shared, topic: &TopicKey) -> Result<Readers, ErrorCode> {
    let topics = shared.broker.topics();
    let through = |alias: ReadAlias| (alias.topic().clone(), Some(alias));
    match topic {
        TopicKey::Id(id) => match topics.by_id(*id) {
            Some(topic) => Ok((topic, None)),
            None => topics.alias_by_id(*id).map(through).ok_or(ErrorCode::UnknownTopicId),
        },
        TopicKey::Name(name) => {
            let topic = TopicName::new(&**name).ok().and_then(|name| topics.get(&name));
            match topic {
                Some(topic) => Ok((topic, None)),
                None => topics.alias(name).map(through).ok_or(ErrorCode::UnknownTopicOrPartition),
            }
        }
    }
}

/// Where the reader's log parts from this one, if it does: it has records of an epoch that ended
/// before them here.
fn divergence(partition: &Partition, position: &FetchPosition) -> Option<EpochEnd> {
    let last = LeaderEpoch(position.last_fetched_epoch);
    if last < LeaderEpoch(0) {
        return None;
    }
    let (epoch, end) = partition.log().epoch_end(last);
    let parts = epoch < last || end < Offset(position.fetch_offset);
    parts.then(|| EpochEnd { epoch: epoch.get(), end_offset: end.get() })
}

/// Not all that is wanted is in memory.
struct OnDisk;

/// What a partition has for a reader.
enum Placed {
    Records(FileRange),
    /// It has all, or the answer is full.
    Nothing,
    /// Its log parts from this one here.
    Diverging(EpochEnd),
}

type Located = Result<Option<FileRange>, ErrorCode>;

/// Finds the records of every partition, in turn, until the answer is full.
fn locate_all(
    targets: &[Target],
    max_bytes: usize,
    locate: impl Fn(&Partition, Offset, Offset, ByteSize) -> Result<Located, OnDisk>,
) -> Result<Vec<Result<Placed, ErrorCode>>, OnDisk> {
    let mut left = max_bytes;
    let mut none_yet = true;
    let mut all = Vec::with_capacity(targets.len());
    for target in targets {
        let located = match check(target) {
            Err(code) => Err(code),
            Ok(Readable::Diverging(end)) => Ok(Placed::Diverging(end)),
            Ok(Readable::Range { from, end, .. }) if from >= end || (left == 0 && !none_yet) => {
                Ok(Placed::Nothing)
            }
            Ok(Readable::Range { partition, from, end }) => {
                let wanted = usize::try_from(target.position.max_bytes).unwrap_or(0);
                let max = wanted.min(left);
                let found = locate(partition, from, end, ByteSize::bytes(max as u64))?;
                // A batch that is larger than the limit is given to the first partition alone.
                found.map(|range| match range {
                    Some(range) if none_yet || range.len <= max => Placed::Records(range),
                    _ => Placed::Nothing,
                })
            }
        };
        if let Ok(Placed::Records(range)) = &located {
            left = left.saturating_sub(range.len);
            none_yet = false;
        }
        all.push(located);
    }
    Ok(all)
}

/// What a reader may do at its place.
enum Readable<'a> {
    /// Read from there up to the end of what it may see.
    Range { partition: &'a Partition, from: Offset, end: Offset },
    /// Find out what it has that is not here.
    Diverging(EpochEnd),
}

/// Whether the reader may read where it wants to.
fn check(target: &Target) -> Result<Readable<'_>, ErrorCode> {
    let partition = target.partition.as_ref().map_err(|code| *code)?;
    // A fetch whose epoch is negative says nothing by it.
    offsets::check_epoch(target.position.current_leader_epoch.max(offsets::UNKNOWN_EPOCH))?;
    let from = Offset(target.position.fetch_offset);
    let offsets = partition.log().offsets();
    if from < offsets.start {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    // One whose log parts from this one may well have read beyond the end.
    if let Some(end) = divergence(partition, &target.position) {
        return Ok(Readable::Diverging(end));
    }
    if from > offsets.end {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(Readable::Range { partition, from, end: partition.high_watermark() })
}

fn locate_in_memory(
    partition: &Partition,
    from: Offset,
    end: Offset,
    max: ByteSize,
) -> Result<Located, OnDisk> {
    partition.log().at_tail(from, end, max).map(|range| Ok(Some(range))).ok_or(OnDisk)
}

fn locate(partition: &Partition, from: Offset, end: Offset, max: ByteSize) -> Located {
    partition.log().locate(from, end, max).map_err(|error| match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Damaged { .. } => ErrorCode::CorruptMessage,
        ReadError::Closed => ErrorCode::NotLeaderOrFollower,
        ReadError::Io { .. } => {
            tracing::error!(%error, log = %partition.at(), "a fetch cannot be served");
            ErrorCode::KafkaStorageError
        }
    })
}

const _: () = assert!(LEADER_EPOCH.get() == 0, "a reader's epoch is compared with 0");

#[cfg(test)]
mod tests;
