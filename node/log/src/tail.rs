//! What was appended last, in memory, for those who read at the end of a log.
//!
//! A log's rounds are kept while somebody reads at its end: for one or two ticks of the writer, and
//! for as long as all logs' rounds fit their store's bound together; the oldest go first. So readers
//! at the end share one copy and need no system call, an idle log holds nothing, and one that nobody
//! reads costs its writer nothing.
//!
//! What is kept is what was written, byte for byte, where it was written. Large rounds are not kept:
//! copying those costs more than reading them from the page cache saves.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tidegate_env::DiskFile;
use tidegate_types::{ByteSize, Offset};

use crate::log::lock;
use crate::read::{FileRange, Whole};
use crate::staged::Staged;

/// Largest round that is kept.
const MAX_ROUND: usize = 64 << 10;

/// What a round takes besides its bytes.
const OVERHEAD: usize = 256;

/// Ticks after which a log nobody read at its end is given up.
const PATIENCE: u64 = 2;

/// What the writer has just written to a log's active segment.
pub(crate) struct Written<'w> {
    /// Where the log ended before.
    pub(crate) start: Offset,
    /// Where it ends now.
    pub(crate) next: Offset,
    pub(crate) file: &'w Arc<dyn DiskFile>,
    pub(crate) position: u64,
    pub(crate) staged: &'w Staged,
}

#[derive(Debug)]
struct Round {
    start: Offset,
    next: Offset,
    file: Arc<dyn DiskFile>,
    position: u64,
    bytes: Bytes,
}

/// One log's rounds, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    rounds: RwLock<VecDeque<Round>>,
    /// The tick in which somebody read at the end; 0 if never.
    read: AtomicU64,
}

/// A round in the order in which the store lets go of them.
#[derive(Debug)]
struct Kept {
    tail: Arc<Tail>,
    bytes: usize,
    tick: u64,
}

#[derive(Debug, Default)]
struct Queue {
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Queue {
    fn let_go(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.bytes;
            oldest.tail.rounds.write().unwrap_or_else(PoisonError::into_inner).pop_front();
        }
    }
}

/// The rounds of all logs of a store.
#[derive(Debug)]
pub(crate) struct Tails {
    cap: usize,
    tick: AtomicU64,
    /// How many rounds are kept.
    count: AtomicUsize,
    queue: Mutex<Queue>,
}

impl Tails {
    pub(crate) fn new(cap: ByteSize) -> Tails {
        Tails {
            cap: cap.as_usize(),
            tick: AtomicU64::new(1),
            count: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }

    /// Whether anything is kept, so that [`tick`](Tails::tick) has something to do.
    pub(crate) fn are_warm(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Lets go of what was kept before the last tick.
    pub(crate) fn tick(&self) {
        let now = self.tick.fetch_add(1, Ordering::AcqRel);
        let mut queue = lock(&self.queue);
        while queue.kept.front().is_some_and(|oldest| oldest.tick < now) {
            queue.let_go();
        }
        self.count.store(queue.kept.len(), Ordering::Release);
    }

    /// Lets go of all that is kept of a log: another file has taken the place of what was written.
    pub(crate) fn forget(&self, tail: &Arc<Tail>) {
        let mut queue = lock(&self.queue);
        tail.rounds.write().unwrap_or_else(PoisonError::into_inner).clear();
        queue.kept.retain(|kept| !Arc::ptr_eq(&kept.tail, tail));
        queue.bytes = queue.kept.iter().map(|kept| kept.bytes).sum();
        self.count.store(queue.kept.len(), Ordering::Release);
    }

    /// Somebody reads at the log's end.
    pub(crate) fn note_reader(&self, tail: &Tail) {
        let now = self.tick.load(Ordering::Acquire);
        if tail.read.load(Ordering::Relaxed) != now {
            tail.read.store(now, Ordering::Relaxed);
        }
    }

    /// Keeps a round, if somebody is likely to read it.
    pub(crate) fn push(&self, tail: &Arc<Tail>, round: Written<'_>) {
        let now = self.tick.load(Ordering::Acquire);
        let read = tail.read.load(Ordering::Relaxed);
        let Written { start, next, file, position, staged } = round;
        if read == 0 || now - read.min(now) > PATIENCE || staged.len() > MAX_ROUND.min(self.cap) {
            return;
        }
        let bytes = staged.len() + OVERHEAD;
        let file = Arc::clone(file);
        let round = Round { start, next, file, position, bytes: staged.gather() };
        let mut queue = lock(&self.queue);
        tail.rounds.write().unwrap_or_else(PoisonError::into_inner).push_back(round);
        queue.kept.push_back(Kept { tail: Arc::clone(tail), bytes, tick: now });
        queue.bytes += bytes;
        while queue.bytes > self.cap {
            queue.let_go();
        }
        self.count.store(queue.kept.len(), Ordering::Release);
    }

    /// Whole batches from the one that holds `from`, or follows it, up to `stop` and about `max`
    /// bytes; `None` if they are not all here, or there are none.
    pub(crate) fn find(
        &self,
        tail: &Tail,
        from: Offset,
        stop: Offset,
        max: usize,
    ) -> Option<FileRange> {
        if from >= stop {
            self.note_reader(tail);
            return None;
        }
        let rounds = tail.rounds.read().unwrap_or_else(PoisonError::into_inner);
        let first = rounds.partition_point(|round| round.next <= from);
        let round = rounds.get(first).filter(|round| round.start <= from)?;
        let begin = begin(&round.bytes, from)?;
        let piece = round.bytes.slice(begin..);
        let (piece, base_offset, mut next) = cut(piece, stop, max)?;
        let mut range = FileRange {
            file: Arc::clone(&round.file),
            position: round.position + begin as u64,
            len: piece.len(),
            base_offset,
            next_offset: next,
            memory: vec![piece],
        };
        for more in rounds.range(first + 1..) {
            let follows = more.start == next
                && Arc::ptr_eq(&more.file, &range.file)
                && more.position == range.position + range.len as u64;
            let left = max.saturating_sub(range.len);
            if !follows || left == 0 {
                break;
            }
            let Some((piece, _, end)) = cut(more.bytes.clone(), stop, left) else { break };
            if piece.len() > left {
                break;
            }
            next = end;
            range.len += piece.len();
            range.memory.push(piece);
        }
        drop(rounds);
        range.next_offset = next;
        self.note_reader(tail);
        Some(range)
    }
}

/// Where the first batch begins that ends after `from`.
fn begin(bytes: &[u8], from: Offset) -> Option<usize> {
    let mut at = 0;
    loop {
        let header = Whole::header(bytes.get(at..)?)?;
        if header.next_offset() > from {
            return Some(at);
        }
        at += header.batch_len;
    }
}

/// The first whole batches, at least one, with the first one's offset and where to read on.
fn cut(bytes: Bytes, stop: Offset, max: usize) -> Option<(Bytes, Offset, Offset)> {
    let first = Whole::header(&bytes)?;
    let some = &bytes[..bytes.len().min(max.max(first.batch_len))];
    match Whole::of(some, stop) {
        Whole::Batches { len, base_offset, next_offset } => {
            Some((bytes.slice(..len), base_offset, next_offset))
        }
        Whole::Beyond | Whole::Nothing => None,
    }
}
