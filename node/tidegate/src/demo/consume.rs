//! Reads the mirrors at the region: live while records flow, and once more when all is quiet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_client::{Client, ConsumeError, ConsumedRecord, Consumer, ConsumerConfig};
use tidegate_wire::ErrorCode;
use tokio::time::Instant;

use super::expect::{Check, Ledger};
use super::feed::{Books, with};
use super::setup;
use super::stream::Stream;
use crate::exit::{Exit, Failure};

/// A mirror appears when its link has reached the region.
const APPEARS: Duration = Duration::from_secs(30);

/// Between two looks for it.
const AGAIN: Duration = Duration::from_millis(50);

/// Reads one mirror for ever and notes in the books what comes.
///
/// # Errors
/// If it does not appear, or cannot be read on.
pub async fn follow(
    region: Client,
    stream: usize,
    topic: &'static str,
    books: Arc<Mutex<Books>>,
) -> Result<(), Failure> {
    let mut consumer = wait_for(&region, topic).await?;
    while let Some(record) = consumer.next().await {
        let record = record.map_err(|error| failed(topic, &error))?;
        with(&books, |books| note(&mut books.check, &books.ledger, stream, &record));
    }
    Err(Failure::new(Exit::Failed, format!("the region stopped sending {}/{topic}", setup::EDGE)))
}

async fn wait_for(region: &Client, topic: &str) -> Result<Consumer, Failure> {
    let mirror = setup::mirror(topic)?;
    let started = Instant::now();
    loop {
        match region.consumer(mirror.clone(), ConsumerConfig::default()).await {
            Ok(consumer) => return Ok(consumer),
            Err(ConsumeError::Refused { error })
                if error.code == ErrorCode::UnknownTopic && started.elapsed() < APPEARS =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(failed(topic, &error)),
        }
    }
}

/// Reads all mirrors from start to end, and holds them against the ledger anew.
///
/// # Errors
/// If one cannot be read.
pub async fn read_again(
    region: &Client,
    streams: &[Stream],
    ledger: &Ledger,
) -> Result<Check, Failure> {
    let mut check = Check::default();
    for (i, stream) in streams.iter().enumerate() {
        let config = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
        let mut consumer = region
            .consumer(setup::mirror(stream.topic)?, config)
            .await
            .map_err(|error| failed(stream.topic, &error))?;
        while let Some(record) = consumer.next().await {
            let record = record.map_err(|error| failed(stream.topic, &error))?;
            note(&mut check, ledger, i, &record);
        }
    }
    Ok(check)
}

fn note(check: &mut Check, ledger: &Ledger, stream: usize, record: &ConsumedRecord) {
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    check.take(ledger, stream, record.partition.0, key, value);
}

fn failed(topic: &str, error: &ConsumeError) -> Failure {
    Failure::of(Exit::Failed, error)
        .while_doing(format!("cannot read {}/{topic} at the region", setup::EDGE))
}
