//! `produce`: lines in, records out.
//!
//! Three parts work at once, each with a bound on what waits before it: a thread reads lines, the
//! command sends them, and a task counts what was acknowledged. A record that the node refuses is
//! told and counted and the rest goes on; when the node cannot be reached any more, all stops.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tidegate_client::{Delivery, DeliveryError, Producer, ProducerConfig, ProducerRecord};
use tidegate_types::PartitionId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Context, request_exit};
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
    let mut interrupt = Interrupt::listen()?;
    let client = context.connect().await?;
    let config = ProducerConfig {
        acks: args.acks,
        compression: args.compression,
        linger: args.linger,
        ..ProducerConfig::default()
    };
    let producer = client.producer(args.topic.clone(), config).await?;
    let started = Instant::now();

    let chunks = read_lines(input, options(args))?;
    let (sent, deliveries) = mpsc::channel(WAITING_DELIVERIES);
    let mut counting = tokio::spawn(count(deliveries));
    let sending = send_all(&producer, args, chunks, sent);
    let mut interrupted = false;
    let sent = tokio::select! {
        sent = sending => sent,
        () = interrupt.wait() => {
            interrupted = true;
            Ok(())
        }
    };
    // What was read is sent, whatever ended the reading; a second interrupt ends that too.
    let flushed = {
        let mut closing = pin!(producer.close());
        tokio::select! {
            closed = &mut closing => closed.map_err(|error| delivery_failure(&error)),
            () = interrupt.wait() => Err(Failure::new(Exit::Failed, "interrupted before all records were acknowledged")),
        }
    };
    let tally = finish(&mut counting).await?;
    let view = ProducedView {
        topic: args.topic.to_string(),
        records: tally.acked,
        failed: tally.failed,
        bytes: tally.bytes,
        seconds: started.elapsed().as_secs_f64(),
    };
    report(context.output, &view, interrupted)?;
    // The first thing that went wrong is the one to tell.
    if let Some(failure) = tally.first {
        let what = format!("{} of {} records failed", tally.failed, tally.failed + tally.acked);
        return Err(failure.while_doing(what));
    }
    sent?;
    flushed
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
            let mut reader =
                LineReader::new(BufReader::with_capacity(CHUNK_BYTES, input), options);
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
