//! The load generator: prebuilt batches, so that the server is measured and not the client.

use std::path::Path;
use std::time::{Duration, Instant};

use tidegate_bench_common::sample;
use tidegate_transport::{ClientTls, ConnectOptions, Connection, Connector, Identity};
use tidegate_types::{Acks, PartitionId, StartPosition, TopicName};
use tidegate_wire::{Open, OpenProduce, OpenSubscribe, ProduceBatch, ProduceReply, SubscribeReply};

use crate::Failure;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// Records in all.
    pub records: u64,
    /// Records in a batch.
    pub per_batch: u32,
    /// Batches on their way at once.
    pub in_flight: u64,
    /// When the server acknowledges.
    pub acks: Acks,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Records sent or received.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// Time from the first byte to the last acknowledgement.
    pub took: Duration,
}

impl Run {
    /// Records a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64()
    }

    /// Nanoseconds a record.
    #[must_use]
    pub fn ns_per_record(&self) -> f64 {
        self.took.as_nanos() as f64 / self.records as f64
    }
}

/// Dials a server with the client's certificate in `tls`.
///
/// # Errors
/// If it is not reached.
pub async fn connect(address: &str, tls: &Path) -> Result<Connection, Failure> {
    let connector = Connector::new(ClientTls::new(&Identity::client_from_dir(tls)?)?);
    Ok(connector.connect(address, &ConnectOptions::default()).await?.0)
}

/// Sends the load and waits for every acknowledgement.
///
/// # Errors
/// If the server refuses anything.
pub async fn produce(
    connection: &Connection,
    topic: &TopicName,
    load: &Load,
) -> Result<Run, Failure> {
    let batch = sample::batch(0, load.per_batch)?;
    let open = Open::Produce(OpenProduce { topic: topic.clone(), acks: load.acks, producer: None });
    let (mut sender, mut receiver) = connection.open(&open, &[]).await?;
    match receiver.recv::<ProduceReply>().await? {
        Some((ProduceReply::Ready { .. }, _)) => {}
        other => return Err(format!("no session: {other:?}").into()),
    }
    let batches = load.records.div_ceil(u64::from(load.per_batch));
    let window = std::sync::Arc::new(tokio::sync::Semaphore::new(load.in_flight as usize));
    let started = Instant::now();
    let room = window.clone();
    let acking = tokio::spawn(async move {
        let mut acked = 0;
        while acked < batches {
            match receiver.recv::<ProduceReply>().await {
                Ok(Some((ProduceReply::Acked(acks), _))) => {
                    acked += acks.len() as u64;
                    room.add_permits(acks.len());
                }
                other => return Err(format!("not acknowledged: {other:?}")),
            }
        }
        Ok(())
    });
    for number in 0..batches {
        window.acquire().await?.forget();
        let header = ProduceBatch { number, partition: PartitionId(0) };
        sender.send(&header, std::slice::from_ref(&batch)).await?;
    }
    sender.finish();
    acking.await??;
    let took = started.elapsed();
    let records = batches * u64::from(load.per_batch);
    Ok(Run { records, bytes: batches * batch.len() as u64, took })
}

/// Receives all that a topic has.
///
/// # Errors
/// If the server ends the subscription otherwise.
pub async fn fetch(connection: &Connection, topic: &TopicName) -> Result<Run, Failure> {
    let open = Open::Subscribe(OpenSubscribe {
        topic: topic.clone(),
        from: StartPosition::Start,
        partitions: Vec::new(),
        until_end: true,
        plugin: None,
    });
    let started = Instant::now();
    let (_sender, mut receiver) = connection.open(&open, &[]).await?;
    let mut bytes = 0;
    loop {
        match receiver.recv::<SubscribeReply>().await? {
            Some((SubscribeReply::Records { .. }, payload)) => bytes += payload.len() as u64,
            Some((SubscribeReply::Ready { .. } | SubscribeReply::CaughtUp { .. }, _)) => {}
            Some((SubscribeReply::End, _)) => break,
            other => return Err(format!("the subscription ended: {other:?}").into()),
        }
    }
    Ok(Run { records: 0, bytes, took: started.elapsed() })
}
