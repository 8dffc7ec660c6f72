//! Records gathered into batches, one open batch per partition.
//!
//! A batch is sealed when it is full, when its first record has waited for the linger time, or
//! when all is flushed. What is sealed waits here for the driver. A budget of bytes bounds all
//! that is not delivered yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tidegate_record::{Batch, BatchBuilder, BuildError, BuildOptions, Compression, HEADER_LEN};
use tidegate_types::{Offset, PartitionId, ProducerStamp, Timestamp, limits};
use tokio::sync::{Notify, Semaphore};

use super::config::{ProducerConfig, ProducerRecord, SendError};
use super::delivery::{Delivery, DeliveryError, Outcome};
use super::partitioner::Partitioner;
use tidegate_types::key_partition;

/// What the producer's handles and its driver share.
pub(super) struct Accumulator {
    config: ProducerConfig,
    state: Mutex<State>,
    /// Wakes the driver.
    wake: Notify,
    budget: Semaphore,
}

struct State {
    partitions: u32,
    /// Where records go that may go anywhere.
    in_turn: u32,
    open: HashMap<PartitionId, Gathering>,
    /// Open batches by age; some of them may be sealed already.
    lingering: VecDeque<(Instant, PartitionId, u64)>,
    sealed: VecDeque<Sealed>,
    /// Batches not settled, oldest first.
    unsettled: BTreeMap<u64, Arc<Outcome>>,
    next_id: u64,
    /// Senders that wait for room.
    waiting: usize,
    closed: bool,
}

/// A sender that waits for room, for as long as it does.
struct Waiting<'a>(&'a Accumulator);

impl Waiting<'_> {
    fn begin(accumulator: &Accumulator) -> Waiting<'_> {
        let mut state = accumulator.lock();
        state.waiting += 1;
        if state.make_room() {
            accumulator.wake.notify_one();
        }
        drop(state);
        Waiting(accumulator)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

struct Gathering {
    id: u64,
    builder: BatchBuilder,
    cost: usize,
    outcome: Arc<Outcome>,
}

/// A batch that takes no more records.
pub(super) struct Sealed {
    pub(super) partition: PartitionId,
    pub(super) records: i32,
    id: u64,
    cost: usize,
    outcome: Arc<Outcome>,
    form: Form,
}

enum Form {
    /// Never sent.
    Gathered(BatchBuilder),
    /// Built with this stamp.
    Built(Option<ProducerStamp>, Bytes),
}

/// Why a batch could not be stamped.
#[derive(Debug, thiserror::Error)]
pub(super) enum StampError {
    #[error("the batch cannot be built: {0}")]
    Build(#[from] BuildError),
    #[error("the batch that was built cannot be read: {0}")]
    Read(#[from] tidegate_record::BatchError),
    #[error("a record does not fit again: {0}")]
    Push(#[from] tidegate_record::PushError),
}

impl Sealed {
    /// The batch's bytes with this stamp; built once for all attempts under it.
    pub(super) fn stamped(&mut self, stamp: Option<ProducerStamp>) -> Result<Bytes, StampError> {
        let bytes = match &mut self.form {
            Form::Built(built, bytes) if *built == stamp => return Ok(bytes.clone()),
            Form::Built(_, bytes) => build(&mut reread(bytes)?, stamp)?,
            Form::Gathered(builder) => build(builder, stamp)?,
        };
        self.form = Form::Built(stamp, bytes.clone());
        Ok(bytes)
    }
}

fn build(builder: &mut BatchBuilder, stamp: Option<ProducerStamp>) -> Result<Bytes, BuildError> {
    builder.set_options(BuildOptions { stamp, ..*builder.options() });
    let built = match builder.build() {
        // What does not pack below the limit may still fit as it is.
        Err(BuildError::TooLarge { .. }) => {
            builder
                .set_options(BuildOptions { compression: Compression::None, ..*builder.options() });
            builder.build()
        }
        other => other,
    };
    built.map(Bytes::from)
}

/// The records of a batch that was built, to be built anew.
fn reread(bytes: &[u8]) -> Result<BatchBuilder, StampError> {
    let (batch, _) = Batch::parse_trusted(bytes)?;
    let header = batch.header();
    let mut builder = BatchBuilder::new(BuildOptions {
        compression: header.compression,
        ..BuildOptions::default()
    });
    let mut scratch = Vec::new();
    for record in batch.body(&mut scratch)? {
        let record = record?;
        let timestamp = header.timestamp_of(&record);
        let (delta, headers) = (record.offset_delta, record.headers);
        builder.push_record(delta, timestamp, record.key, record.value, headers)?;
    }
    Ok(builder)
}

impl Accumulator {
    pub(super) fn new(config: ProducerConfig, partitions: u32) -> Accumulator {
        let budget = Semaphore::new(config.buffer_bytes.as_usize());
        let state = State {
            partitions,
            in_turn: 0,
            open: HashMap::new(),
            lingering: VecDeque::new(),
            sealed: VecDeque::new(),
            unsettled: BTreeMap::new(),
            next_id: 0,
            waiting: 0,
            closed: false,
        };
        Accumulator { config, state: Mutex::new(state), wake: Notify::new(), budget }
    }

    pub(super) fn config(&self) -> &ProducerConfig {
        &self.config
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record once there is room for it.
    pub(super) async fn send(&self, record: ProducerRecord) -> Result<Delivery, SendError> {
        let size = record.size();
        if size + HEADER_LEN > limits::MAX_BATCH.as_usize() {
            return Err(SendError::TooLarge { size });
        }
        if record.headers.len() > limits::MAX_RECORD_HEADERS as usize {
            return Err(SendError::TooManyHeaders { count: record.headers.len() });
        }
        // A record larger than the buffer waits until it is alone.
        let cost = size.min(self.config.buffer_bytes.as_usize());
        // No more than `buffer_bytes`, which is a u32.
        let permits = u32::try_from(cost).unwrap_or(u32::MAX);
        let room = match self.budget.try_acquire_many(permits) {
            Ok(room) => room,
            Err(_) => {
                let _waiting = Waiting::begin(self);
                self.budget.acquire_many(permits).await.map_err(|_| SendError::Closed)?
            }
        };
        let delivery = self.append(&record, size, cost)?;
        room.forget();
        Ok(delivery)
    }

    fn append(
        &self,
        record: &ProducerRecord,
        size: usize,
        cost: usize,
    ) -> Result<Delivery, SendError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SendError::Closed);
        }
        let partition = state.partition_of(record, self.config.partitioner)?;
        let batch_bytes = self.config.batch_bytes.as_usize();
        if let Some(open) = state.open.get(&partition)
            && (open.builder.size() + size > batch_bytes
                || open.builder.len() >= limits::MAX_BATCH_RECORDS as usize)
        {
            state.seal(partition);
            self.wake.notify_one();
        }
        let State { open, lingering, unsettled, next_id, .. } = &mut *state;
        let mut fresh = false;
        let gathering = open.entry(partition).or_insert_with(|| {
            fresh = true;
            let id = *next_id;
            *next_id += 1;
            let outcome = Arc::new(Outcome::default());
            unsettled.insert(id, outcome.clone());
            lingering.push_back((Instant::now() + self.config.linger, partition, id));
            let options =
                BuildOptions { compression: self.config.compression, ..BuildOptions::default() };
            Gathering { id, builder: BatchBuilder::new(options), cost: 0, outcome }
        });
        let index = gathering.builder.len() as i64;
        let pushed = gathering.builder.push(
            record.timestamp.unwrap_or_else(now),
            record.key.as_deref(),
            record.value.as_deref(),
            record.headers.iter().map(|(name, value)| (&name[..], value.as_deref())),
        );
        if pushed.is_err() {
            // The checks above leave no other reason.
            if fresh {
                let id = gathering.id;
                open.remove(&partition);
                unsettled.remove(&id);
            }
            return Err(SendError::TooLarge { size });
        }
        gathering.cost += cost;
        let delivery = Delivery::new(gathering.outcome.clone(), partition, index);
        let full = gathering.builder.size() >= batch_bytes;
        if full {
            state.seal(partition);
        }
        if full || fresh {
            self.wake.notify_one();
        }
        Ok(delivery)
    }

    /// Seals all that is open. Gives what is not settled yet, oldest first.
    pub(super) fn flush(&self) -> Vec<Arc<Outcome>> {
        let mut state = self.lock();
        state.seal_all();
        self.wake.notify_one();
        state.unsettled.values().cloned().collect()
    }

    /// Takes no more records; what is here is still delivered.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.seal_all();
        self.budget.close();
        self.wake.notify_one();
    }

    /// The driver waits here for something to do.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// What is sealed, and what has lingered long enough; also when the next one will have.
    pub(super) fn take_sealed(&self, now: Instant) -> (VecDeque<Sealed>, Option<Instant>) {
        let mut state = self.lock();
        let mut next = None;
        while let Some(&(due, partition, id)) = state.lingering.front() {
            let is_open = state.open.get(&partition).is_some_and(|open| open.id == id);
            if is_open && due > now {
                next = Some(due);
                break;
            }
            state.lingering.pop_front();
            if is_open {
                state.seal(partition);
            }
        }
        (mem::take(&mut state.sealed), next)
    }

    /// Whether it is closed and all is settled.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.closed && state.unsettled.is_empty()
    }

    /// A batch has been settled.
    pub(super) fn settle(&self, batch: &Sealed, result: Result<Option<Offset>, DeliveryError>) {
        batch.outcome.settle(result);
        self.budget.add_permits(batch.cost);
        let mut state = self.lock();
        state.unsettled.remove(&batch.id);
        if state.make_room() {
            self.wake.notify_one();
        }
    }

    /// The topic has so many partitions now.
    pub(super) fn set_partitions(&self, partitions: u32) {
        self.lock().partitions = partitions.max(1);
    }

    /// Nobody will settle what is left.
    pub(super) fn abandon(&self) {
        self.close();
        let left = mem::take(&mut self.lock().unsettled);
        for outcome in left.into_values() {
            outcome.settle(Err(DeliveryError::Ended));
        }
    }
}

impl State {
    fn partition_of(
        &self,
        record: &ProducerRecord,
        partitioner: Partitioner,
    ) -> Result<PartitionId, SendError> {
        let partitions = self.partitions;
        Ok(match (record.partition, partitioner, &record.key) {
            (Some(partition), ..) if partition.get() < partitions => partition,
            (Some(partition), ..) => {
                return Err(SendError::UnknownPartition { partition, partitions });
            }
            (None, Partitioner::KeyHash, Some(key)) => key_partition(key, partitions),
            _ => PartitionId(self.in_turn % partitions.max(1)),
        })
    }

    fn seal(&mut self, partition: PartitionId) {
        let Some(Gathering { id, builder, cost, outcome }) = self.open.remove(&partition) else {
            return;
        };
        // At most MAX_BATCH_RECORDS.
        let records = builder.len() as i32;
        let form = Form::Gathered(builder);
        self.sealed.push_back(Sealed { partition, records, id, cost, outcome, form });
        if PartitionId(self.in_turn % self.partitions.max(1)) == partition {
            self.in_turn = self.in_turn.wrapping_add(1) % self.partitions.max(1);
        }
    }

    /// Seals all that is open if someone waits for room and nothing else is going to give any.
    /// While batches are on their way they will, and open ones rather fill.
    fn make_room(&mut self) -> bool {
        let stuck = self.waiting > 0 && self.unsettled.len() == self.open.len();
        if stuck {
            self.seal_all();
        }
        stuck
    }

    fn seal_all(&mut self) {
        let mut open: Vec<_> = self.open.iter().map(|(at, open)| (open.id, *at)).collect();
        open.sort_unstable();
        for (_, partition) in open {
            self.seal(partition);
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "accumulator_tests.rs"]
mod tests;
