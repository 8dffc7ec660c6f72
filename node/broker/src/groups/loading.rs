//! Reading the groups' records at the start: the view, and what the log has behind it.
//!
//! It runs where it may block, and passes records on in pieces, so that requests are answered
//! meanwhile. A view that cannot be used is removed with a word in the node's log, and made anew
//! from the groups' log. Records that are damaged there are lost, and told; what the view has of
//! them is kept.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_log::ReadError;
use tidegate_record::Batches;
use tidegate_types::{ByteSize, Offset};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{INTERNAL, partition};
use crate::topic::Partition;
use crate::view::{Row, View, ViewError};
use crate::{Broker, error};

/// Bytes read from the log at once.
const CHUNK: ByteSize = ByteSize::mib(1);

/// Records passed on at once: the coordinator takes each in some microseconds.
const PIECE: usize = 256;

/// Pieces that wait for the coordinator.
const PIECES: usize = 16;

/// Records written to a new view in one transaction.
const TRANSACTION: usize = 20_000;

/// What comes of loading.
pub(super) enum Loaded {
    /// The next records.
    Records(Vec<Row>),
    /// All that came before was read from a view that is of no use.
    Void,
    /// That is all: there are no more records before the offset. Without a view where none can be
    /// kept.
    All { view: Option<View>, end: Offset },
    /// There is no log yet.
    Nothing,
    /// It is not possible now.
    Failed(String),
}

/// Reads all records, on a thread that may block. Ends early when nobody takes them.
pub(super) fn start(broker: Arc<Broker>) -> (mpsc::Receiver<Loaded>, JoinHandle<()>) {
    let (sender, loaded) = mpsc::channel(PIECES);
    let task = tokio::task::spawn_blocking(move || {
        let out = Out { sender, piece: Vec::new() };
        match partition(&broker) {
            Some(partition) => load(&broker, &partition, out),
            None => load_nothing(&broker, out),
        }
    });
    (loaded, task)
}

/// A view that belongs to this log.
pub(super) fn view_of(broker: &Broker, partition: &Partition) -> View {
    INTERNAL.view_of(broker, partition)
}

/// Nobody listens any more.
struct Left;

/// Why reading ended early.
enum Stop {
    Left,
    Failed(String),
}

impl From<Left> for Stop {
    fn from(_: Left) -> Stop {
        Stop::Left
    }
}

/// The way to the coordinator.
struct Out {
    sender: mpsc::Sender<Loaded>,
    piece: Vec<Row>,
}

impl Out {
    fn record(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), Left> {
        self.piece.push((key, value));
        if self.piece.len() < PIECE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Left> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.send(Loaded::Records(piece))
    }

    fn send(&self, loaded: Loaded) -> Result<(), Left> {
        self.sender.blocking_send(loaded).map_err(|_| Left)
    }
}

/// Without the topic there are no groups, and what a view says is of another life.
fn load_nothing(broker: &Broker, out: Out) {
    let path = INTERNAL.view_path(broker);
    let mut view = View::new(broker.disk.clone(), path, tidegate_types::Incarnation(0));
    match view.exists() {
        Ok(false) => {}
        _ => discard(&mut view, &"there is no log that it could be a view of"),
    }
    _ = out.send(Loaded::Nothing);
}

fn load(broker: &Broker, partition: &Partition, mut out: Out) {
    let mut view = view_of(broker, partition);
    let from = match read_view(&mut view, partition, &mut out) {
        Ok(from) => from,
        Err(Unused::Left) => return,
        Err(Unused::Because(reason)) => {
            discard(&mut view, &reason);
            out.piece.clear();
            if out.send(Loaded::Void).is_err() {
                return;
            }
            None
        }
    };
    let start = from.unwrap_or(partition.log.offsets().start);
    let mut replay = Replay { partition, view: Some(view), behind: Vec::new(), out: &mut out };
    let end = match replay.run(start) {
        Ok(end) => end,
        Err(Stop::Left) => return,
        Err(Stop::Failed(reason)) => {
            _ = out.send(Loaded::Failed(reason));
            return;
        }
    };
    let view = replay.view.take();
    tracing::info!(from_view = from.is_some(), replayed = end.get() - start.get(), "groups loaded");
    if out.flush().is_ok() {
        _ = out.send(Loaded::All { view, end });
    }
}

/// Why a view is not used.
enum Unused {
    Left,
    Because(String),
}

impl From<ViewError> for Unused {
    fn from(error: ViewError) -> Unused {
        Unused::Because(error::chain(&error))
    }
}

/// Passes on what the view has; up to where that is, unless there is no view.
fn read_view(
    view: &mut View,
    partition: &Partition,
    out: &mut Out,
) -> Result<Option<Offset>, Unused> {
    let (start, end) = (partition.log.offsets().start, partition.high_watermark());
    let Some(applied) = view.applied_within(start, end)? else { return Ok(None) };
    let mut sent = Ok(());
    view.each(|key, value| {
        sent = out.record(Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
        sent.is_ok()
    })?;
    sent.map_err(|Left| Unused::Left)?;
    Ok(Some(applied))
}

fn discard(view: &mut View, reason: &dyn std::fmt::Display) {
    tracing::warn!(%reason, "the view of the groups is of no use, and is made anew from the log");
    if let Err(error) = view.remove() {
        tracing::error!(error = error::chain(&error), "the view of the groups cannot be removed");
    }
}

/// Reads the log, for the coordinator and for the view.
struct Replay<'a> {
    partition: &'a Partition,
    /// Gone once it cannot be written.
    view: Option<View>,
    /// What the view lacks.
    behind: Vec<Row>,
    out: &'a mut Out,
}

impl Replay<'_> {
    /// Reads from `next` to the end that is durable; where that is.
    fn run(&mut self, mut next: Offset) -> Result<Offset, Stop> {
        let mut reader = self.partition.log.reader();
        loop {
            let end = self.partition.high_watermark();
            if next >= end {
                break;
            }
            match reader.read(next, end, CHUNK) {
                Ok(chunk) if chunk.next_offset <= next => break,
                Ok(chunk) => {
                    self.take(&chunk.batches)?;
                    next = chunk.next_offset;
                }
                Err(ReadError::Damaged { range }) if range.end > next => {
                    tracing::error!(
                        from = %range.from, end = %range.end,
                        "records of the groups are damaged, what they said is lost"
                    );
                    next = range.end;
                }
                // Compaction went on in between.
                Err(ReadError::OutOfRange { start, .. }) if start > next => next = start,
                Err(failure) => return Err(Stop::Failed(error::chain(&failure))),
            }
            if self.behind.len() >= TRANSACTION {
                self.write_view(next);
            }
        }
        if !self.behind.is_empty() {
            self.write_view(next);
        }
        Ok(next)
    }

    fn take(&mut self, batches: &[u8]) -> Result<(), Left> {
        let mut scratch = Vec::new();
        for batch in Batches::new(batches) {
            let records = match batch.as_ref().map(|batch| batch.body(&mut scratch)) {
                Ok(Ok(records)) => records,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a batch of group records cannot be read");
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "batches of group records cannot be read");
                    continue;
                }
            };
            for record in records {
                match record {
                    Ok(record) => {
                        let Some(key) = record.key.map(Bytes::copy_from_slice) else { continue };
                        let value = record.value.map(Bytes::copy_from_slice);
                        if self.view.is_some() {
                            self.behind.push((key.clone(), value.clone()));
                        }
                        self.out.record(key, value)?;
                    }
                    Err(error) => tracing::error!(%error, "a group record cannot be read"),
                }
            }
        }
        Ok(())
    }

    fn write_view(&mut self, applied: Offset) {
        let behind = std::mem::take(&mut self.behind);
        let Some(view) = &mut self.view else { return };
        let rows = behind.iter().map(|(key, value)| (key, value));
        if let Err(failure) = view.write(rows, applied) {
            discard(view, &error::chain(&failure));
            self.view = None;
        }
    }
}
