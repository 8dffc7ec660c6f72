//! The produce session as a state machine: no IO, no clock, no tasks.
//!
//! It takes batches, what the node says, and the time; it gives [`Effect`]s. Call
//! [`Core::poll_effect`] after every call of a `handle_*` or [`Core::push`], until it gives
//! `None`, and [`Core::handle_timeout`] when [`Core::next_timeout`] has come.
//!
//! What it holds true for an idempotent producer:
//! - Batches of one partition are sent in the order in which they were pushed, and those in flight
//!   are always the oldest ones. A batch keeps its sequence for every attempt until it is settled.
//! - From the oldest batch of a partition that is not settled, at most
//!   [`limits::PRODUCER_BATCHES_REMEMBERED`] are sent, itself and settled ones among them: the node
//!   remembers no more, and must recognise that oldest one as a duplicate.
//! - A batch that fails for good leaves a gap in its partition's sequences. From then on nothing
//!   new is sent until the fate of all that was sent is known: acknowledged, failed, or refused
//!   for the gap and so surely not stored. Then the producer takes its next epoch, and what is
//!   left is numbered anew from 0. So a batch is never numbered anew while it may be stored.
//! - Every batch pushed comes back in exactly one [`Effect::Done`].
//!
//! What it does not do: build batches or stamp them. It only says with which stamp.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use tidegate_types::{Offset, PartitionId, ProducerStamp, Sequence, limits};
use tidegate_wire::{BatchAck, ErrorBody, ErrorCode, ProducerIdentity};

use crate::backoff::Backoff;

/// How often overdue batches are looked for.
const SWEEP: Duration = Duration::from_millis(250);

/// How the session behaves.
#[derive(Clone, Debug)]
pub(crate) struct CoreConfig {
    /// Whether batches carry an identity and sequences.
    pub(crate) idempotent: bool,
    /// Batches in flight, of all partitions.
    pub(crate) max_in_flight: usize,
    /// Time for a batch from push to acknowledgement.
    pub(crate) delivery_timeout: Duration,
    /// Decides on the random part of waits.
    pub(crate) seed: u64,
}

/// What the driver is to do.
#[derive(Debug)]
pub(crate) enum Effect<B> {
    /// Ask for an identity; answer with [`Core::handle_identity`] or [`Core::handle_no_session`].
    InitProducer {
        /// The one held so far.
        previous: Option<ProducerIdentity>,
    },
    /// Open a session; answer with [`Core::handle_opened`] or [`Core::handle_no_session`].
    Open {
        /// The identity to open it with.
        producer: Option<ProducerIdentity>,
    },
    /// End the open session: batches will carry another identity. Nothing is to be answered.
    Close,
    /// Send the batch that [`Core::batch_mut`] gives for this number, with this stamp.
    Send {
        /// Its number in the session.
        number: u64,
        /// Its partition.
        partition: PartitionId,
        /// What it must carry.
        stamp: Option<ProducerStamp>,
    },
    /// This batch is settled.
    Done {
        /// The batch.
        batch: B,
        /// What became of it.
        outcome: Result<Stored, Failed>,
    },
}

/// A batch that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stored {
    /// Offset of its first record, where it has one.
    pub(crate) base_offset: Option<Offset>,
}

/// A batch that was not taken, as far as is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// The node refused it.
    Refused(ErrorBody),
    /// Its time ran out.
    TimedOut {
        /// Whether it was sent at least once, so that it may be stored all the same.
        sent: bool,
    },
}

#[derive(Debug)]
struct Entry<B> {
    batch: B,
    records: i32,
    deadline: Instant,
    /// Given when first sent.
    sequence: Option<Sequence>,
    /// Counts the partition's batches that were given a sequence.
    ordinal: usize,
    /// Its number in the open session while it is in flight.
    number: Option<u64>,
    /// Sent at least once.
    sent: bool,
    /// Known not to be stored under its sequence: refused for a gap since it was last sent.
    unwritten: bool,
}

impl<B> Entry<B> {
    /// Whether it may be stored under its sequence without anyone here knowing.
    fn is_open(&self) -> bool {
        self.sequence.is_some() && !self.unwritten
    }
}

#[derive(Debug)]
struct Partition<B> {
    queue: VecDeque<Entry<B>>,
    in_flight: usize,
    next_ordinal: usize,
    /// Not before this time is anything sent again.
    retry_at: Option<Instant>,
    backoff: Backoff,
    /// Whether it stands in `Core::sendable`.
    listed: bool,
}

#[derive(Debug)]
enum Phase {
    /// No session; one is begun once there is something to send and this time has come.
    Idle { retry_at: Option<Instant> },
    /// Waiting for an identity.
    AwaitIdentity,
    /// Waiting for a session.
    Opening,
    /// A session is open.
    Open,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Core<B> {
    config: CoreConfig,
    phase: Phase,
    identity: Option<ProducerIdentity>,
    /// The identity must not be used for anything new; see the module on gaps.
    stale: bool,
    /// The next identity must be unrelated to the last one, which was fenced.
    fenced: bool,
    partitions: BTreeMap<PartitionId, Partition<B>>,
    next_sequence: HashMap<PartitionId, Sequence>,
    /// Partitions that may have something to send, each once, in turn.
    sendable: VecDeque<PartitionId>,
    waiting: BTreeSet<(Instant, PartitionId)>,
    /// Batches of the open session that have not been answered.
    in_flight: HashMap<u64, PartitionId>,
    next_number: u64,
    /// Batches not settled.
    batches: usize,
    /// Of those, the ones that may be stored without anyone here knowing.
    open: usize,
    done: VecDeque<Effect<B>>,
    backoff: Backoff,
    next_sweep: Option<Instant>,
}

impl<B> Core<B> {
    pub(crate) fn new(config: CoreConfig) -> Core<B> {
        Core {
            phase: Phase::Idle { retry_at: None },
            identity: None,
            stale: false,
            fenced: false,
            partitions: BTreeMap::new(),
            next_sequence: HashMap::new(),
            sendable: VecDeque::new(),
            waiting: BTreeSet::new(),
            in_flight: HashMap::new(),
            next_number: 0,
            batches: 0,
            open: 0,
            done: VecDeque::new(),
            backoff: Backoff::new(config.seed),
            next_sweep: None,
            config,
        }
    }

    /// Begins with a session that is open already, under `identity` if there is one.
    pub(crate) fn with_session(config: CoreConfig, identity: Option<ProducerIdentity>) -> Core<B> {
        Core { identity, phase: Phase::Open, ..Core::new(config) }
    }

    /// Takes a batch of `records` records.
    pub(crate) fn push(&mut self, now: Instant, partition: PartitionId, batch: B, records: i32) {
        let seed = self.config.seed ^ u64::from(partition.get()) << 32;
        let at = self.partitions.entry(partition).or_insert_with(|| Partition {
            queue: VecDeque::new(),
            in_flight: 0,
            next_ordinal: 0,
            retry_at: None,
            backoff: Backoff::new(seed),
            listed: false,
        });
        at.queue.push_back(Entry {
            batch,
            records,
            deadline: now + self.config.delivery_timeout,
            sequence: None,
            ordinal: 0,
            number: None,
            sent: false,
            unwritten: false,
        });
        self.batches += 1;
        self.next_sweep.get_or_insert(now + SWEEP);
        self.list(partition);
    }

    /// The batch that an [`Effect::Send`] names.
    pub(crate) fn batch_mut(&mut self, number: u64) -> Option<&mut B> {
        let at = self.partitions.get_mut(self.in_flight.get(&number)?)?;
        at.queue.iter_mut().find(|e| e.number == Some(number)).map(|e| &mut e.batch)
    }

    /// An identity was handed out.
    pub(crate) fn handle_identity(&mut self, identity: ProducerIdentity) {
        if matches!(self.phase, Phase::AwaitIdentity) {
            self.identity = Some(identity);
            self.stale = false;
            self.fenced = false;
            self.phase = Phase::Idle { retry_at: None };
        }
    }

    /// A session is open.
    pub(crate) fn handle_opened(&mut self) {
        if matches!(self.phase, Phase::Opening) {
            self.phase = Phase::Open;
            self.next_number = 0;
            self.backoff.reset();
            self.list_all();
        }
    }

    /// No identity or session could be had, or the session is over. With a final error, all that
    /// is here fails with it; otherwise it is tried again.
    pub(crate) fn handle_no_session(&mut self, now: Instant, error: Option<&ErrorBody>) {
        self.forget_session();
        self.phase = Phase::Idle { retry_at: Some(now + self.backoff.next_wait()) };
        let Some(error) = error else { return };
        if error.code == ErrorCode::ProducerFenced {
            self.fenced = true;
            self.stale = true;
        }
        if !error.retriable {
            let all: Vec<_> = self.partitions.keys().copied().collect();
            for partition in all {
                while let Some(entry) = self.take(partition, 0) {
                    self.fail(entry, Failed::Refused(error.clone()));
                }
                self.partitions.remove(&partition);
            }
        }
    }

    /// A batch was acknowledged, or sent where no acknowledgement was asked for.
    pub(crate) fn handle_acked(&mut self, ack: &BatchAck) {
        let Some((partition, index)) = self.answered(ack.number) else { return };
        if let Some(at) = self.partitions.get_mut(&partition) {
            at.backoff.reset();
        }
        if let Some(entry) = self.take(partition, index) {
            let outcome = Ok(Stored { base_offset: ack.base_offset });
            self.done.push_back(Effect::Done { batch: entry.batch, outcome });
        }
        self.tidy(partition);
    }

    /// A batch was refused.
    pub(crate) fn handle_refused(&mut self, now: Instant, number: u64, error: ErrorBody) {
        let Some((partition, index)) = self.answered(number) else { return };
        if self.config.idempotent && error.code == ErrorCode::OutOfOrderSequence {
            self.mark_unwritten(partition, index);
            // Behind another batch that is not stored yet it only has to wait for that one. At
            // the front, the node does not know what came before: the numbers are of no use.
            if index == 0 {
                self.stale = true;
            }
        } else if error.retriable {
            if let Some(at) = self.partitions.get_mut(&partition) {
                let retry_at = now + at.backoff.next_wait();
                if let Some(old) = at.retry_at.replace(retry_at) {
                    self.waiting.remove(&(old, partition));
                }
                self.waiting.insert((retry_at, partition));
            }
        } else {
            if error.code == ErrorCode::ProducerFenced {
                self.fenced = true;
            }
            if let Some(entry) = self.take(partition, index) {
                self.fail(entry, Failed::Refused(error));
            }
        }
        self.tidy(partition);
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, partition)) = self.waiting.first()
            && at <= now
        {
            self.waiting.pop_first();
            if let Some(found) = self.partitions.get_mut(&partition) {
                found.retry_at = None;
            }
            self.list(partition);
        }
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.sweep(now);
        }
    }

    /// When [`Core::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let idle = match self.phase {
            Phase::Idle { retry_at } if self.batches > 0 => retry_at,
            _ => None,
        };
        let waiting = self.waiting.first().map(|(at, _)| *at);
        [idle, waiting, self.next_sweep].into_iter().flatten().min()
    }

    /// What is to be done next.
    pub(crate) fn poll_effect(&mut self, now: Instant) -> Option<Effect<B>> {
        if let Some(done) = self.done.pop_front() {
            return Some(done);
        }
        if self.batches == 0 && !(self.stale && matches!(self.phase, Phase::Open)) {
            return None;
        }
        if self.stale && self.open == 0 {
            match self.phase {
                Phase::Open => {
                    self.forget_session();
                    self.phase = Phase::Idle { retry_at: None };
                    return Some(Effect::Close);
                }
                Phase::Idle { .. } if self.identity.is_some() => self.number_anew(),
                _ => {}
            }
        }
        match self.phase {
            Phase::Idle { retry_at } if retry_at.is_none_or(|at| at <= now) => {
                if self.config.idempotent
                    && (self.identity.is_none() || (self.stale && self.open == 0))
                {
                    self.phase = Phase::AwaitIdentity;
                    let previous = self.identity.filter(|_| !self.fenced);
                    return Some(Effect::InitProducer { previous });
                }
                self.phase = Phase::Opening;
                let producer = self.identity.filter(|_| self.config.idempotent);
                Some(Effect::Open { producer })
            }
            Phase::Open => self.poll_send(),
            _ => None,
        }
    }

    fn poll_send(&mut self) -> Option<Effect<B>> {
        while self.in_flight.len() < self.config.max_in_flight {
            let partition = self.sendable.pop_front()?;
            let Some(at) = self.partitions.get_mut(&partition) else { continue };
            at.listed = false;
            if let Some(effect) = self.send_next(partition) {
                self.list(partition);
                return Some(effect);
            }
        }
        None
    }

    /// Puts the oldest batch that is not in flight there, if it may be sent now.
    fn send_next(&mut self, partition: PartitionId) -> Option<Effect<B>> {
        let stale = self.stale;
        let at = self.partitions.get_mut(&partition)?;
        if at.retry_at.is_some() {
            return None;
        }
        let index = at.queue.iter().position(|e| e.number.is_none())?;
        if self.config.idempotent && index != at.in_flight {
            // A later one is still in flight: its answer comes first.
            return None;
        }
        let oldest = at.queue.front().filter(|e| e.sequence.is_some()).map(|e| e.ordinal);
        let entry = at.queue.get_mut(index)?;
        if stale && !entry.is_open() {
            return None;
        }
        if self.config.idempotent
            && entry.sequence.is_none()
            && oldest.is_some_and(|o| at.next_ordinal - o >= limits::PRODUCER_BATCHES_REMEMBERED)
        {
            return None;
        }
        let stamp = match (self.config.idempotent, self.identity) {
            (true, Some(identity)) => {
                let sequence = *entry.sequence.get_or_insert_with(|| {
                    let next = self.next_sequence.entry(partition).or_insert(Sequence(0));
                    let this = *next;
                    *next = next.advance(entry.records);
                    entry.ordinal = at.next_ordinal;
                    at.next_ordinal += 1;
                    self.open += 1;
                    this
                });
                if entry.unwritten {
                    entry.unwritten = false;
                    self.open += 1;
                }
                Some(ProducerStamp {
                    id: identity.id,
                    epoch: identity.epoch,
                    base_sequence: sequence,
                })
            }
            _ => None,
        };
        let number = self.next_number;
        self.next_number += 1;
        entry.number = Some(number);
        entry.sent = true;
        at.in_flight += 1;
        self.in_flight.insert(number, partition);
        Some(Effect::Send { number, partition, stamp })
    }

    /// Takes a batch out of flight; where it stands in its partition.
    fn answered(&mut self, number: u64) -> Option<(PartitionId, usize)> {
        let partition = self.in_flight.remove(&number)?;
        let at = self.partitions.get_mut(&partition)?;
        let index = at.queue.iter().position(|e| e.number == Some(number))?;
        at.queue[index].number = None;
        at.in_flight -= 1;
        Some((partition, index))
    }

    /// Takes a batch out of its queue for good.
    fn take(&mut self, partition: PartitionId, index: usize) -> Option<Entry<B>> {
        let at = self.partitions.get_mut(&partition)?;
        let entry = at.queue.remove(index)?;
        if let Some(number) = entry.number {
            self.in_flight.remove(&number);
            at.in_flight -= 1;
        }
        self.batches -= 1;
        if entry.is_open() {
            self.open -= 1;
        }
        Some(entry)
    }

    fn fail(&mut self, entry: Entry<B>, failed: Failed) {
        if entry.sequence.is_some() {
            self.stale = true;
        }
        self.done.push_back(Effect::Done { batch: entry.batch, outcome: Err(failed) });
    }

    fn mark_unwritten(&mut self, partition: PartitionId, index: usize) {
        let Some(at) = self.partitions.get_mut(&partition) else { return };
        if let Some(entry) = at.queue.get_mut(index)
            && entry.is_open()
        {
            entry.unwritten = true;
            self.open -= 1;
        }
    }

    /// Fails batches whose time is over. Deadlines rise along each queue.
    fn sweep(&mut self, now: Instant) {
        let all: Vec<_> = self.partitions.keys().copied().collect();
        for partition in all {
            while let Some(first) = self.partitions.get(&partition).and_then(|p| p.queue.front())
                && first.deadline <= now
            {
                let sent = first.sent;
                if let Some(entry) = self.take(partition, 0) {
                    self.fail(entry, Failed::TimedOut { sent });
                }
            }
            self.tidy(partition);
        }
        self.next_sweep = (self.batches > 0).then(|| now + SWEEP);
    }

    fn forget_session(&mut self) {
        self.in_flight.clear();
        for at in self.partitions.values_mut() {
            at.in_flight = 0;
            at.queue.iter_mut().for_each(|e| e.number = None);
        }
    }

    /// Nothing that is left is stored: it may get other numbers under the next identity.
    fn number_anew(&mut self) {
        for at in self.partitions.values_mut() {
            for entry in &mut at.queue {
                entry.sequence = None;
                entry.unwritten = false;
            }
        }
        self.next_sequence.clear();
    }

    /// Forgets a partition without batches, or lists it for sending.
    fn tidy(&mut self, partition: PartitionId) {
        let Some(at) = self.partitions.get(&partition) else { return };
        if at.queue.is_empty() {
            if let Some(retry_at) = at.retry_at {
                self.waiting.remove(&(retry_at, partition));
            }
            self.partitions.remove(&partition);
        } else {
            self.list(partition);
        }
    }

    fn list(&mut self, partition: PartitionId) {
        if let Some(at) = self.partitions.get_mut(&partition)
            && !at.listed
        {
            at.listed = true;
            self.sendable.push_back(partition);
        }
    }

    fn list_all(&mut self) {
        let all: Vec<_> = self.partitions.keys().copied().collect();
        for partition in all {
            self.list(partition);
        }
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
