//! `produce`: lines in, records out.
//!
//! Three parts work at once, each with a bound on what waits before it: a thread reads lines, the
//! command sends them, and a task counts what was acknowledged. A record that the node refuses is
//! told and counted and the rest goes on; when the node cannot be reached any more, all stops.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tidegate_client::{
    Delivery, DeliveryError, Producer, ProducerConfig, ProducerRecord, SendError,
};
use tidegate_types::PartitionId;
use tokio::sync::mpsc;

use super::Context;
use crate::cli::Produce;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::lines::{KeyValue, LineOptions, LineReader, ReadLineError};
use crate::output::{Output, Progress, grouped, human_duration, note};

/// Lines handed over at once: enough to make the hand-over cheap.
const CHUNK_LINES: usize = 512;

/// Bytes handed over at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that wait to be sent.
const WAITING_CHUNKS: usize = 4;

/// Records sent whose fate is not counted yet.
const WAITING_DELIVERIES: usize = 64 * 1024;

#[derive(Serialize)]
struct ProducedView {
    topic: String,
    /// Records that were acknowledged.
    records: u64,
    /// Records that were not.
    failed: u64,
    /// Bytes of keys and values of those acknowledged.
    bytes: u64,
    seconds: f64,
}

type Chunk = Result<Vec<KeyValue>, ReadLineError>;

pub async fn run(context: &Context, args: &Produce) -> Result<(), Failure> {
    let input: Box<dyn Read + Send> = match &args.file {
        None => Box::new(io::stdin()),
        Some(path) => Box::new(File::open(path).map_err(|error| {
            Failure::of(Exit::Failed, &error).while_doing(format!("cannot read {}", path.display()))
        })?),
    };
    let client = context.connect().await?;
    let config = ProducerConfig {
        acks: args.acks,
        compression: args.compression,
        linger: args.linger,
        ..ProducerConfig::default()
    };
    let producer = client.producer(args.topic.clone(), config).await?;
    // Not before: until now there is nothing to finish, and an interrupt may simply end it all.
    let mut interrupt = Interrupt::listen()?;
    let started = Instant::now();

    let chunks = read_lines(input, options(args))?;
    let (sent, deliveries) = mpsc::channel(WAITING_DELIVERIES);
    let counting = tokio::spawn(count(deliveries));
    let sending = send_all(&producer, args, chunks, sent);
    let mut interrupted = false;
    let sent = tokio::select! {
        sent = sending => sent,
        () = interrupt.wait() => {
            interrupted = true;
            Ok(())
        }
    };
    // What was taken for sending is delivered, whatever ended the reading. Each record's fate is
    // counted on its own, so that the answer of the whole tells nothing new.
    let tally = tokio::select! {
        (_, tally) = async { tokio::join!(producer.close(), counting) } => tally,
        () = interrupt.wait() => {
            let message = "interrupted before all records were acknowledged";
            return Err(Failure::new(Exit::Failed, message));
        }
    };
    let tally = tally
        .map_err(|error| Failure::of(Exit::Failed, &error).while_doing("counting ended early"))?;
    let view = ProducedView {
        topic: args.topic.to_string(),
        records: tally.acked,
        failed: tally.failed,
        bytes: tally.bytes,
        seconds: started.elapsed().as_secs_f64(),
    };
    report(context.output, &view, interrupted)?;
    // The first thing that went wrong is the one to tell.
    match tally.first {
        Some(failure) => {
            let all = tally.failed + tally.acked;
            Err(failure.while_doing(format!("{} of {all} records failed", tally.failed)))
        }
        None => sent,
    }
}

fn options(args: &Produce) -> LineOptions {
    let bytes = |text: &String| Bytes::copy_from_slice(text.as_bytes());
    LineOptions {
        key: args.key.as_ref().map(bytes),
        key_delimiter: args.key_delimiter.as_ref().map(bytes),
        empty_as_null: args.null,
        crlf: args.crlf,
    }
}

/// Reads lines on a thread of its own: standard input can only be waited for in a thread, and one
/// that still waits at the end must not hold up the program.
fn read_lines(
    input: Box<dyn Read + Send>,
    options: LineOptions,
) -> Result<mpsc::Receiver<Chunk>, Failure> {
    let (chunks, receiver) = mpsc::channel(WAITING_CHUNKS);
    std::thread::Builder::new()
        .name("lines".to_owned())
        .spawn(move || {
            let mut reader = LineReader::new(BufReader::with_capacity(CHUNK_BYTES, input), options);
            loop {
                let mut lines = Vec::new();
                let read = read_chunk(&mut reader, &mut lines);
                // Lines before a bad one are good.
                if !lines.is_empty() && chunks.blocking_send(Ok(lines)).is_err() {
                    break;
                }
                match read {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        // The receiver is gone only where nobody wants to know any more.
                        let _ = chunks.blocking_send(Err(error));
                        break;
                    }
                }
            }
        })
        .map_err(|error| Failure::of(Exit::Failed, &error).while_doing("cannot start a thread"))?;
    Ok(receiver)
}

/// Appends the next lines to `lines`, and tells whether there may be more. What can be had without
/// waiting comes at once, so that a line that someone types is sent when it is typed.
fn read_chunk<R: Read>(
    reader: &mut LineReader<R>,
    lines: &mut Vec<KeyValue>,
) -> Result<bool, ReadLineError> {
    let mut bytes = 0;
    while let Some(record) = reader.next_record()? {
        bytes += size(&record.key, &record.value);
        lines.push(record);
        if lines.len() >= CHUNK_LINES || bytes >= CHUNK_BYTES || !reader.has_next() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn size(key: &Option<Bytes>, value: &Option<Bytes>) -> usize {
    key.as_ref().map_or(0, Bytes::len) + value.as_ref().map_or(0, Bytes::len)
}

async fn send_all(
    producer: &Producer,
    args: &Produce,
    mut chunks: mpsc::Receiver<Chunk>,
    sent: mpsc::Sender<(Delivery, usize)>,
) -> Result<(), Failure> {
    let headers: Vec<_> =
        args.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            // Counting ends first only when there is no use in sending more.
            () = sent.closed() => return Ok(()),
        };
        let Some(chunk) = chunk else { return Ok(()) };
        for KeyValue { key, value } in chunk.map_err(|error| Failure::of(Exit::Failed, &error))? {
            let bytes = size(&key, &value);
            let record = ProducerRecord {
                key,
                value,
                headers: headers.clone(),
                timestamp: None,
                partition: args.partition.map(PartitionId),
            };
            let delivery = producer.send(record).await.map_err(|error| send_failure(&error))?;
            if sent.send((delivery, bytes)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// What became of the records.
#[derive(Default)]
struct Tally {
    acked: u64,
    failed: u64,
    bytes: u64,
    first: Option<Failure>,
}

impl Tally {
    /// Counts one record; false where there is no use in sending more.
    fn add(&mut self, result: Result<(), DeliveryError>, bytes: usize) -> bool {
        match result {
            Ok(()) => {
                self.acked += 1;
                self.bytes += bytes as u64;
                true
            }
            Err(error) => {
                self.failed += 1;
                self.first.get_or_insert_with(|| delivery_failure(&error));
                matches!(error, DeliveryError::Refused(_))
            }
        }
    }
}

async fn count(mut deliveries: mpsc::Receiver<(Delivery, usize)>) -> Tally {
    let progress = Progress::records("acknowledged");
    let mut tally = Tally::default();
    while let Some((delivery, bytes)) = deliveries.recv().await {
        if !tally.add(delivery.await.map(|_| ()), bytes) {
            // Takes no more, but counts those that were sent.
            deliveries.close();
        }
        if tally.acked.is_multiple_of(256) {
            progress.set(tally.acked);
        }
    }
    tally
}

fn delivery_failure(error: &DeliveryError) -> Failure {
    let exit = match error {
        DeliveryError::Refused(body) => Exit::of_code(body.code),
        DeliveryError::TimedOut { .. } => Exit::Unreachable,
        DeliveryError::Ended => Exit::Failed,
    };
    Failure::of(exit, error)
}

fn send_failure(error: &SendError) -> Failure {
    let exit = match error {
        SendError::UnknownPartition { .. } => Exit::NotFound,
        SendError::TooLarge { .. } | SendError::TooManyHeaders { .. } | SendError::Closed => {
            Exit::Failed
        }
    };
    Failure::of(exit, error)
}

fn report(output: Output, view: &ProducedView, interrupted: bool) -> Result<(), Failure> {
    if output == Output::Json {
        return output.print(view, String::new);
    }
    let time = human_duration(Duration::from_secs_f64(view.seconds));
    let end = if interrupted { ", then interrupted" } else { "" };
    note(&format!("{} records acknowledged in {time}{end}", grouped(view.records)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_wire::{ErrorBody, ErrorCode};

    fn chunks(input: &'static [u8]) -> Vec<Chunk> {
        let mut receiver = read_lines(Box::new(input), LineOptions::default()).unwrap();
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }

    #[test]
    fn lines_come_in_bounded_chunks_and_all_of_them() {
        let input: Vec<u8> = (0..2_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let chunks = chunks(input.leak());
        assert!(chunks.len() >= 4);
        let lines: Vec<_> = chunks.into_iter().flat_map(|chunk| chunk.unwrap()).collect();
        assert_eq!(lines.len(), 2_000);
        assert_eq!(lines[1_999].value.as_deref(), Some(b"1999".as_slice()));
    }

    #[test]
    fn lines_before_a_bad_one_are_sent() {
        let mut input = b"good\n".to_vec();
        input.resize(crate::lines::MAX_LINE.as_usize() + 10, b'x');
        let mut chunks = chunks(input.leak()).into_iter();
        assert_eq!(chunks.next().unwrap().unwrap().len(), 1);
        let error = chunks.next().unwrap().unwrap_err();
        assert!(error.to_string().starts_with("line 2 is longer than"), "{error}");
        assert!(chunks.next().is_none());
    }

    #[test]
    fn refusals_are_counted_and_a_lost_node_ends_the_sending() {
        let refused = || {
            let body = ErrorBody::new(ErrorCode::RejectedByPlugin, "no");
            Err(DeliveryError::Refused(body))
        };
        let mut tally = Tally::default();
        assert!(tally.add(Ok(()), 10));
        assert!(tally.add(refused(), 10));
        let timed_out =
            DeliveryError::TimedOut { after: Duration::ZERO, maybe_stored: false, last: None };
        assert!(!tally.add(Err(timed_out), 10));
        assert_eq!((tally.acked, tally.failed, tally.bytes), (1, 2, 10));
        assert_eq!(tally.first.unwrap().exit(), Exit::Failed);
    }
}
