//! Over Kafka's protocol, against any broker that speaks it.

mod admin;
mod channel;
mod drive;
mod fetch;
mod inbox;
mod outbox;
mod produce;

use std::time::Duration;

use tidegate_kafka_proto::ErrorCode;
use tidegate_types::{Acks, ByteSize, TopicName};

use self::admin::Topic;
use self::channel::Channel;
use self::fetch::Fetching;
use self::produce::Producing;
use crate::batches::Batch;
use crate::config::Load;
use crate::session::{Plan, Tally};
use crate::{BenchError, Stop};

/// A topic to load, and where it was found.
#[derive(Debug)]
pub(crate) struct Prepared {
    address: String,
    timeout: Duration,
    topic: Topic,
}

impl Prepared {
    /// Finds the topic or makes it.
    ///
    /// # Errors
    /// If the broker is not reached, or refuses.
    pub fn new(load: &Load, name: &TopicName) -> Result<Prepared, BenchError> {
        let (address, timeout) = (load.target.address().to_owned(), load.timeout);
        let mut channel = Channel::connect(&address, timeout)?;
        let topic = admin::find_or_make(&mut channel, load, name)?;
        Ok(Prepared { address, timeout, topic })
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> u32 {
        self.topic.partitions()
    }

    /// Deletes the topic. Over a new connection: brokers close those that are idle as long as a load
    /// may last.
    ///
    /// # Errors
    /// If the broker is not reached, or refuses.
    pub fn delete(&self) -> Result<(), BenchError> {
        delete(&self.address, self.timeout, &self.topic.name)
    }

    /// Sends the batch again and again, over so many connections.
    ///
    /// # Errors
    /// If a connection fails, or everything is refused.
    pub fn produce(
        &self,
        connections: u32,
        batch: &Batch,
        acks: Acks,
        plan: &Plan,
        rate: Option<f64>,
        stop: &Stop,
    ) -> Result<Tally, BenchError> {
        let count = connections as usize;
        self.topic.reach(count)?;
        let mut made = Vec::with_capacity(count);
        for number in 0..count {
            let leader = self.topic.leader(number);
            let channel = Channel::connect(&leader.address, plan.timeout)?;
            let (partitions, first) = (&leader.partitions, number as u64);
            let exchange =
                Producing::new(&channel, &self.topic.name, partitions, batch, acks, first)?;
            made.push((channel, exchange));
        }
        drive::run(made, plan, rate, stop)
    }

    /// Reads all partitions from start to end, again and again. Connections share the partitions;
    /// those beyond their number read the same ones again.
    ///
    /// # Errors
    /// If a connection fails, everything is refused, or there is nothing to read.
    pub fn fetch(
        &self,
        connections: u32,
        max_bytes: ByteSize,
        plan: &Plan,
        stop: &Stop,
    ) -> Result<Tally, BenchError> {
        let count = connections as usize;
        self.topic.reach(count)?;
        let mut made = Vec::with_capacity(count);
        let mut fewest = plan.in_flight;
        let brokers = self.topic.leaders.len();
        for number in 0..count {
            let leader = self.topic.leader(number);
            let mut channel = Channel::connect(&leader.address, plan.timeout)?;
            let cursors = fetch::cursors(&mut channel, &self.topic.name, &leader.partitions)?;
            let siblings = (number % brokers..count).step_by(brokers).count();
            let mine = dealt(&cursors, number / brokers, siblings);
            if mine.is_empty() {
                return Err(BenchError::Empty {
                    address: channel.address,
                    topic: self.topic.name.clone(),
                });
            }
            fewest = fewest.min(mine.len());
            let exchange = Fetching::new(&mut channel, &self.topic.name, mine, max_bytes)?;
            made.push((channel, exchange));
        }
        // Where the next fetch begins shows only in the answer to the last one.
        let plan = Plan { in_flight: fewest, ..plan.clone() };
        drive::run(made, &plan, None, stop)
    }
}

/// Deletes a topic.
///
/// # Errors
/// If the broker is not reached, or refuses.
pub(crate) fn delete(
    address: &str,
    timeout: Duration,
    topic: &TopicName,
) -> Result<(), BenchError> {
    admin::delete(&mut Channel::connect(address, timeout)?, topic)
}

/// Asks a broker for its versions and its topics.
///
/// # Errors
/// If it is not reached, or does not answer in time.
pub(crate) fn probe(address: &str, timeout: Duration) -> Result<(), BenchError> {
    admin::list(&mut Channel::connect(address, timeout)?)
}

/// The part of `all` that falls to one of so many; where there are not enough, several get the
/// same one.
fn dealt<T: Copy>(all: &[T], number: usize, of: usize) -> Vec<T> {
    if of >= all.len() {
        return all.get(number % all.len().max(1)).copied().into_iter().collect();
    }
    all.iter().skip(number).step_by(of).copied().collect()
}

/// The name of an error as Kafka tells it.
fn error_name(code: i16) -> String {
    match ErrorCode::from_code(code) {
        Some(error) => error.name().to_owned(),
        None => format!("error {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_dealt_and_nobody_goes_without() {
        let all = [0, 1, 2, 3, 4];
        assert_eq!(dealt(&all, 0, 1), all);
        assert_eq!(dealt(&all, 0, 2), [0, 2, 4]);
        assert_eq!(dealt(&all, 1, 2), [1, 3]);
        assert_eq!(dealt(&all, 4, 5), [4]);
        assert_eq!(dealt(&all, 6, 8), [1]);
        assert!(dealt::<i32>(&[], 0, 1).is_empty());
    }

    #[test]
    fn errors_have_kafkas_names() {
        assert_eq!(error_name(3), "UNKNOWN_TOPIC_OR_PARTITION");
        assert_eq!(error_name(12_345), "error 12345");
    }
}
