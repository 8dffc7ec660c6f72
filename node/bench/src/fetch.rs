//! Reading, as fast as the broker gives it.

use std::path::Path;
use std::time::Duration;

use tidegate_types::{ByteSize, limits};

use crate::batches::Records;
use crate::config::{End, Load, Target, within};
use crate::produce::{Produce, plan, reading_plan};
use crate::report::{Report, Subject, Work};
use crate::session::Tally;
use crate::topic::Topic;
use crate::{BenchError, Stop, kafka, native};

/// Reads a topic from its start to its end, again and again.
#[derive(Clone, PartialEq, Debug)]
pub struct Fetch {
    /// Whom to load, and for how long. In flight is 1 by default, and never more than the
    /// connection has partitions: where a fetch begins shows only in the answer to the last one.
    pub load: Load,
    /// Bytes that a fetch asks for. Default 1 MiB. In the native protocol the node pushes as it
    /// sees fit, and this means nothing.
    pub max_bytes: ByteSize,
    /// What the topic is filled with first. A topic that was named is filled only on demand.
    pub records: Records,
    /// Bytes to fill the topic with. Default 512 MiB for a topic of its own, none for a named one.
    pub fill: Option<ByteSize>,
}

/// What a topic of its own is filled with.
const DEFAULT_FILL: ByteSize = ByteSize::mib(512);

/// Requests on their way while a topic is filled.
const FILL_IN_FLIGHT: u32 = 5;

impl Fetch {
    /// With defaults.
    #[must_use]
    pub fn new(target: Target) -> Fetch {
        Fetch {
            load: Load { in_flight: 1, ..Load::new(target) },
            max_bytes: ByteSize::mib(1),
            records: Records::default(),
            fill: None,
        }
    }

    /// Fails if something cannot be.
    ///
    /// # Errors
    /// Names the first setting that is out of its range.
    pub fn check(&self) -> Result<(), BenchError> {
        self.load.check()?;
        self.records.check()?;
        within("bytes of a fetch", self.max_bytes.get(), 1, limits::MAX_FRAME.get())?;
        Ok(())
    }

    /// Runs to its end, or until it is stopped. Needs a tokio runtime.
    ///
    /// # Errors
    /// If something cannot be, the broker is not reached, a connection fails, everything is
    /// refused, or there is nothing to read.
    pub async fn run(&self, stop: &Stop) -> Result<Report, BenchError> {
        self.check()?;
        let topic = Topic::of(&self.load);
        let answered = matches!(self.load.target, Target::Kafka { .. });
        let (partitions, tally) = match &self.load.target {
            Target::Kafka { .. } => self.run_kafka(topic.clone(), stop).await?,
            Target::Native { tls, .. } => self.run_native(&topic, tls, stop).await?,
        };
        let name = topic.name.to_string();
        let subject =
            Subject { work: Work::Fetch, topic: name, partitions, answered, paced: false };
        Ok(Report::new(&self.load, subject, &tally))
    }

    /// The load that fills the topic, if it is to be filled.
    fn filling(&self, topic: &Topic) -> Option<Produce> {
        let fill = self.fill.or(topic.made.then_some(DEFAULT_FILL))?;
        if fill.get() == 0 {
            return None;
        }
        let mut produce = Produce::new(self.load.target.clone());
        produce.records = self.records;
        produce.load = Load {
            end: End::Bytes(fill),
            in_flight: FILL_IN_FLIGHT,
            warmup: Duration::ZERO,
            ..self.load.clone()
        };
        Some(produce)
    }

    async fn run_kafka(&self, topic: Topic, stop: &Stop) -> Result<(u32, Tally), BenchError> {
        let this = self.clone();
        crate::blocking(stop, move |stop| {
            let load = &this.load;
            let prepared = kafka::Prepared::new(load, &topic.name)?;
            let read = || {
                if let Some(fill) = this.filling(&topic) {
                    let batch = fill.records.build()?;
                    let plan = plan(&fill.load, &batch);
                    let connections = fill.load.connections;
                    prepared.produce(connections, &batch, fill.acks, &plan, None, stop)?;
                }
                prepared.fetch(load.connections, this.max_bytes, &reading_plan(load), stop)
            };
            let tally = read();
            let partitions = prepared.partitions();
            let deleted = if topic.made { prepared.delete() } else { Ok(()) };
            Ok((partitions, topic.and_deleted(tally, deleted)?))
        })
        .await
    }

    async fn run_native(
        &self,
        topic: &Topic,
        tls: &Path,
        stop: &Stop,
    ) -> Result<(u32, Tally), BenchError> {
        native::topic_config(&self.load)?;
        let client = native::connect(&self.load, tls).await?;
        let prepared = native::prepare(client, &self.load, topic.name.clone()).await?;
        let tally = self.native_load(topic, &prepared, tls, stop).await;
        let deleted =
            if topic.made { native::delete(&prepared.client, &topic.name).await } else { Ok(()) };
        prepared.client.close().await;
        Ok((prepared.partitions, topic.and_deleted(tally, deleted)?))
    }

    async fn native_load(
        &self,
        topic: &Topic,
        prepared: &native::Prepared,
        tls: &Path,
        stop: &Stop,
    ) -> Result<Tally, BenchError> {
        let filling = self.filling(topic);
        if let Some(fill) = &filling {
            let batch = fill.records.build()?;
            fill.native_load(&batch, &topic.name, tls, stop).await?;
        }
        if filling.is_none() && prepared.records == 0 {
            let address = self.load.target.address().to_owned();
            return Err(BenchError::Empty { address, topic: topic.name.clone() });
        }
        let mut clients = Vec::with_capacity(self.load.connections as usize);
        for _ in 0..self.load.connections {
            clients.push(native::connect(&self.load, tls).await?);
        }
        let plan = reading_plan(&self.load);
        native::fetch(clients, &topic.name, prepared.partitions, &plan, stop).await
    }
}
