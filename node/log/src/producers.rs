//! What each producer last wrote to a log, so that its retries are recognised.
//!
//! Kafka's rules: an unknown producer may begin anywhere, a new epoch begins at 0, otherwise each
//! batch follows the one before. The last five batches are remembered with their offsets; of older
//! ones in the same unbroken run only that they are in the log. Derived ids (see
//! [`ProducerId::is_derived`]) need only rise.
//!
//! Holds plain data: checking and noting are separate, so that nothing changes before all batches
//! of a request passed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use tidegate_record::BatchHeader;
use tidegate_types::limits::{MAX_PRODUCERS_PER_PARTITION, PRODUCER_BATCHES_REMEMBERED};
use tidegate_types::{Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence};

use crate::AppendError;

/// A sequence further back than this in its run cannot be told from one ahead.
const MAX_RUN: i64 = 0x4000_0000 - 1;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Written {
    first: Sequence,
    last: Sequence,
    base_offset: Offset,
    next_offset: Offset,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Producer {
    epoch: ProducerEpoch,
    /// The last few batches, oldest first; never empty.
    recent: VecDeque<Written>,
    /// Sequences up to the last one that are in the log without a gap.
    run: i64,
}

impl Producer {
    fn last(&self) -> Option<&Written> {
        self.recent.back()
    }
}

/// A producer, as its last batch shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its generation.
    pub epoch: ProducerEpoch,
    /// The sequence of the last record.
    pub last_sequence: Sequence,
    /// The offset after that.
    pub next_offset: Offset,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is new.
    Append,
    /// It is in the log, at these offsets if they are still known.
    Duplicate(Option<(Offset, Offset)>),
}

/// Takes one noted batch out again.
#[derive(Debug)]
pub(crate) struct Undo {
    id: ProducerId,
    before: Before,
    /// The producer that made room.
    evicted: Option<(ProducerId, Producer)>,
}

/// What a producer was before a batch.
#[derive(Debug)]
enum Before {
    /// The same, one batch shorter.
    Shorter { run: i64, forgotten: Option<Written> },
    /// Of another epoch, or not known.
    Other(Option<Producer>),
}

/// Every producer that wrote to a log lately.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Producers {
    known: HashMap<ProducerId, Producer>,
    /// Who is silent for longest comes first. Last offsets differ between producers.
    by_last_offset: BTreeMap<Offset, ProducerId>,
}

/// The stamp of a batch whose sequence counts: not of markers, which have none.
fn counted(header: &BatchHeader) -> Option<ProducerStamp> {
    header.stamp().filter(|stamp| stamp.base_sequence.0 >= 0 && !header.attributes.is_control())
}

impl Producers {
    /// How many producers are known.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// All of them, by id.
    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let active = self.known.iter().filter_map(|(id, producer)| {
            let Written { last, next_offset, .. } = *producer.last()?;
            let epoch = producer.epoch;
            Some(ActiveProducer { id: *id, epoch, last_sequence: last, next_offset })
        });
        let mut active: Vec<_> = active.collect();
        active.sort_unstable_by_key(|producer| producer.id);
        active
    }

    /// Judges a batch by its header.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Verdict, AppendError> {
        match counted(header) {
            Some(stamp) => self.check_stamp(stamp, header.last_offset_delta),
            None => Ok(Verdict::Append),
        }
    }

    pub(crate) fn check_stamp(
        &self,
        stamp: ProducerStamp,
        last_offset_delta: i32,
    ) -> Result<Verdict, AppendError> {
        let ProducerStamp { id, epoch, base_sequence: first } = stamp;
        let Some((known, newest)) =
            self.known.get(&id).and_then(|known| known.last().map(|newest| (known, newest)))
        else {
            return Ok(Verdict::Append);
        };
        let out_of_order =
            |expected| AppendError::OutOfOrderSequence { id, found: first, expected };
        if epoch < known.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                id,
                found: epoch,
                current: known.epoch,
            });
        }
        if epoch > known.epoch {
            return match first {
                Sequence(0) => Ok(Verdict::Append),
                _ if id.is_derived() => Ok(Verdict::Append),
                _ => Err(out_of_order(Sequence(0))),
            };
        }
        let last = first.advance(last_offset_delta);
        let remembered = known
            .recent
            .iter()
            .find(|written| written.first == first && (written.last == last || id.is_derived()));
        if let Some(written) = remembered {
            return Ok(Verdict::Duplicate(Some((written.base_offset, written.next_offset))));
        }
        if id.is_derived() {
            return Ok(if first.is_after(newest.first) {
                Verdict::Append
            } else {
                Verdict::Duplicate(None)
            });
        }
        if first == newest.last.advance(1) {
            return Ok(Verdict::Append);
        }
        // Older than what is remembered, yet wholly inside the unbroken run: it is in the log.
        let back = i64::from(newest.last.0.wrapping_sub(first.0) & i32::MAX);
        if back < known.run && i64::from(last_offset_delta) <= back {
            return Ok(Verdict::Duplicate(None));
        }
        Err(out_of_order(newest.last.advance(1)))
    }

    /// Whether the producer's latest batch begins at `base`.
    pub(crate) fn is_last(&self, id: ProducerId, base: Offset) -> bool {
        let newest = self.known.get(&id).and_then(Producer::last);
        newest.is_some_and(|written| written.base_offset == base)
    }

    /// Notes a batch that is in the log; gives what puts the producer back as it was.
    pub(crate) fn note(&mut self, header: &BatchHeader) -> Option<Undo> {
        let stamp = counted(header)?;
        let written = Written {
            first: stamp.base_sequence,
            last: stamp.base_sequence.advance(header.last_offset_delta),
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
        };
        let count = i64::from(header.last_offset_delta) + 1;
        let newest = self.known.get(&stamp.id).and_then(Producer::last);
        if let Some(newest) = newest {
            self.by_last_offset.remove(&newest.base_offset);
        }
        self.by_last_offset.insert(written.base_offset, stamp.id);
        let before = match self.known.get_mut(&stamp.id) {
            Some(known) if known.epoch == stamp.epoch => {
                let run = known.run;
                let follows =
                    known.last().is_some_and(|last| last.last.advance(1) == written.first);
                known.run = if follows { (run + count).min(MAX_RUN) } else { count };
                let full = known.recent.len() == PRODUCER_BATCHES_REMEMBERED;
                let forgotten = if full { known.recent.pop_front() } else { None };
                known.recent.push_back(written);
                Before::Shorter { run, forgotten }
            }
            _ => {
                let (epoch, recent) = (stamp.epoch, VecDeque::from([written]));
                Before::Other(self.known.insert(stamp.id, Producer { epoch, recent, run: count }))
            }
        };
        let mut evicted = None;
        if self.known.len() > MAX_PRODUCERS_PER_PARTITION
            && let Some((_, id)) = self.by_last_offset.pop_first()
        {
            evicted = self.known.remove(&id).map(|producer| (id, producer));
        }
        Some(Undo { id: stamp.id, before, evicted })
    }

    fn insert(&mut self, id: ProducerId, producer: Producer) {
        if let Some(newest) = producer.last() {
            self.by_last_offset.insert(newest.base_offset, id);
            self.known.insert(id, producer);
        }
    }

    /// Puts producers back, the last noted first.
    pub(crate) fn undo(&mut self, noted: impl DoubleEndedIterator<Item = Undo>) {
        for Undo { id, before, evicted } in noted.rev() {
            if let Some(newest) = self.known.get(&id).and_then(Producer::last) {
                self.by_last_offset.remove(&newest.base_offset);
            }
            let producer = match before {
                Before::Shorter { run, forgotten } => self.known.remove(&id).map(|mut producer| {
                    producer.recent.pop_back();
                    if let Some(oldest) = forgotten {
                        producer.recent.push_front(oldest);
                    }
                    Producer { run, ..producer }
                }),
                Before::Other(producer) => {
                    self.known.remove(&id);
                    producer
                }
            };
            for (id, producer) in producer.map(|producer| (id, producer)).into_iter().chain(evicted)
            {
                self.insert(id, producer);
            }
        }
    }

    /// All producers, for the snapshot in the index.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let producer = |id: &ProducerId| self.known.get(id).map(|known| (*id, known.clone()));
        Snapshot(self.by_last_offset.values().filter_map(producer).collect())
    }
}

/// [`Producers`] as they are stored, those silent for longest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot(Vec<(ProducerId, Producer)>);

impl Snapshot {
    /// The producers; `None` if no table can have been stored so.
    pub(crate) fn restore(self) -> Option<Producers> {
        let mut producers = Producers::default();
        if self.0.len() > MAX_PRODUCERS_PER_PARTITION {
            return None;
        }
        for (id, producer) in self.0 {
            let len = producer.recent.len();
            if len == 0 || len > PRODUCER_BATCHES_REMEMBERED || producer.run > MAX_RUN {
                return None;
            }
            producers.insert(id, producer);
        }
        (producers.known.len() == producers.by_last_offset.len()).then_some(producers)
    }
}

#[cfg(test)]
#[path = "producers_tests.rs"]
mod tests;
