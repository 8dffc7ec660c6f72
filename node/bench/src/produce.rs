//! Writing, as fast as the broker takes it or at a rate.

use std::path::Path;
use std::sync::Arc;

use tidegate_types::{Acks, TopicName};

use crate::batches::{Batch, Records};
use crate::config::{End, Load, Rate, Target};
use crate::quota::Quota;
use crate::report::{Report, Subject, Work};
use crate::session::{Plan, Tally};
use crate::topic::Topic;
use crate::{BenchError, Stop, kafka, native};

/// Sends batches that were built before, and waits for their acks.
#[derive(Clone, PartialEq, Debug)]
pub struct Produce {
    /// Whom to load, and for how long.
    pub load: Load,
    /// What is sent.
    pub records: Records,
    /// When the broker acknowledges. Default once it is durable.
    pub acks: Acks,
    /// How often a request is due; without it, as soon as there is room.
    pub rate: Option<Rate>,
}

impl Produce {
    /// With defaults.
    #[must_use]
    pub fn new(target: Target) -> Produce {
        Produce {
            load: Load::new(target),
            records: Records::default(),
            acks: Acks::default(),
            rate: None,
        }
    }

    /// Fails if something cannot be.
    ///
    /// # Errors
    /// Names the first setting that is out of its range.
    pub fn check(&self) -> Result<(), BenchError> {
        self.load.check()?;
        self.records.check()?;
        if let Some(rate) = self.rate {
            rate.check()?;
        }
        Ok(())
    }

    /// Runs to its end, or until it is stopped. Needs a tokio runtime.
    ///
    /// # Errors
    /// If something cannot be, the broker is not reached, a connection fails, or everything is
    /// refused.
    pub async fn run(&self, stop: &Stop) -> Result<Report, BenchError> {
        self.run_as(Work::Produce, stop).await
    }

    pub(crate) async fn run_as(&self, work: Work, stop: &Stop) -> Result<Report, BenchError> {
        self.check()?;
        let batch = self.records.build()?;
        let topic = Topic::of(&self.load);
        let (partitions, tally) = match &self.load.target {
            Target::Kafka { .. } => self.run_kafka(batch, topic.clone(), stop).await?,
            Target::Native { tls, .. } => self.run_native(batch, &topic, tls, stop).await?,
        };
        let subject = Subject {
            work,
            topic: topic.name.to_string(),
            partitions,
            answered: self.acks != Acks::None,
            paced: self.rate.is_some(),
        };
        Ok(Report::new(&self.load, subject, &tally))
    }

    /// Requests a second.
    fn rate(&self) -> Option<f64> {
        Some(self.rate?.requests(self.records.per_batch()))
    }

    async fn run_kafka(
        &self,
        batch: Batch,
        topic: Topic,
        stop: &Stop,
    ) -> Result<(u32, Tally), BenchError> {
        let (load, acks, rate) = (self.load.clone(), self.acks, self.rate());
        crate::blocking(stop, move |stop| {
            let prepared = kafka::Prepared::new(&load, &topic.name)?;
            let plan = plan(&load, &batch);
            let tally = prepared.produce(load.connections, &batch, acks, &plan, rate, stop);
            let partitions = prepared.partitions();
            if topic.made {
                topic.and_deleted(tally, prepared.delete()).map(|tally| (partitions, tally))
            } else {
                Ok((partitions, tally?))
            }
        })
        .await
    }

    async fn run_native(
        &self,
        batch: Batch,
        topic: &Topic,
        tls: &Path,
        stop: &Stop,
    ) -> Result<(u32, Tally), BenchError> {
        native::topic_config(&self.load)?;
        let client = native::connect(&self.load, tls).await?;
        let prepared = native::prepare(client, &self.load, topic.name.clone()).await?;
        let tally = self.native_load(&batch, &topic.name, tls, stop).await;
        let deleted =
            if topic.made { native::delete(&prepared.client, &topic.name).await } else { Ok(()) };
        prepared.client.close().await;
        Ok((prepared.partitions, topic.and_deleted(tally, deleted)?))
    }

    /// Over connections of its own.
    pub(crate) async fn native_load(
        &self,
        batch: &Batch,
        topic: &TopicName,
        tls: &Path,
        stop: &Stop,
    ) -> Result<Tally, BenchError> {
        let mut clients = Vec::with_capacity(self.load.connections as usize);
        for _ in 0..self.load.connections {
            clients.push(native::connect(&self.load, tls).await?);
        }
        let producing = native::Producing {
            topic: topic.clone(),
            batch: batch.clone(),
            acks: self.acks,
            rate: self.rate(),
        };
        native::produce(clients, &producing, &plan(&self.load, batch), stop).await
    }
}

/// What all connections of a load that writes have in common.
pub(crate) fn plan(load: &Load, batch: &Batch) -> Plan {
    Plan { amount: Some(batch.amount), ..reading_plan(load) }
}

/// The same where what a request moves shows only in its answer.
pub(crate) fn reading_plan(load: &Load) -> Plan {
    Plan {
        in_flight: load.in_flight as usize,
        warmup: load.warmup,
        end: match load.end {
            End::Time(time) => Some(load.warmup + time),
            End::Records(_) | End::Bytes(_) => None,
        },
        timeout: load.timeout,
        quota: Arc::new(Quota::new(load.end)),
        amount: None,
    }
}
