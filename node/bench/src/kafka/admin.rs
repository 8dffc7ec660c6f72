//! Topics: found, made, deleted, and who leads their partitions.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use tidegate_kafka_proto::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use tidegate_kafka_proto::messages::metadata_request::MetadataRequestTopic;
use tidegate_kafka_proto::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, MetadataResponse,
    TopicName as WireName,
};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_types::TopicName;

use super::channel::Channel;
use crate::BenchError;
use crate::config::Load;

const METADATA: (i16, i16) = (1, 9);
const CREATE_TOPICS: (i16, i16) = (2, 5);
const DELETE_TOPICS: (i16, i16) = (1, 5);

/// Between two looks at a topic that is being made.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// As many replicas as the broker sees fit; versions before 4 cannot say that.
const DEFAULT_REPLICAS: i16 = -1;

/// A broker and the partitions that it leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Leader {
    pub address: String,
    pub partitions: Vec<i32>,
}

/// A topic as a load needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Topic {
    pub name: TopicName,
    pub leaders: Vec<Leader>,
}

impl Topic {
    pub fn partitions(&self) -> u32 {
        self.leaders.iter().map(|leader| leader.partitions.len() as u32).sum()
    }

    /// The broker that the connection of this number goes to: they are dealt in turn.
    pub fn leader(&self, connection: usize) -> &Leader {
        &self.leaders[connection % self.leaders.len()]
    }

    /// Fails if some leader would have no connection.
    ///
    /// # Errors
    /// If there are fewer connections than leaders.
    pub fn reach(&self, connections: usize) -> Result<(), BenchError> {
        let brokers = self.leaders.len();
        if connections < brokers {
            return Err(BenchError::TooFewConnections { brokers });
        }
        Ok(())
    }
}

pub(super) fn wire_name(name: &TopicName) -> WireName {
    WireName(StrBytes::from_string(name.to_string()))
}

/// Finds a topic, or makes it, and waits until each of its partitions is led.
///
/// # Errors
/// If the broker refuses, or leaders are not there in time.
pub(super) fn find_or_make(
    channel: &mut Channel,
    load: &Load,
    name: &TopicName,
) -> Result<Topic, BenchError> {
    let deadline = Instant::now() + load.timeout;
    let mut made = false;
    loop {
        match look(channel, name)? {
            Look::Ready(leaders) => return Ok(Topic { name: name.clone(), leaders }),
            Look::Unknown if !made => {
                make(channel, load, name)?;
                made = true;
                continue;
            }
            Look::Unknown | Look::Unled => {}
        }
        if Instant::now() >= deadline {
            return Err(BenchError::TimedOut {
                address: channel.address.clone(),
                what: "for leaders of the topic's partitions",
                waited: load.timeout,
            });
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Deletes a topic.
///
/// # Errors
/// If the broker refuses.
pub(super) fn delete(channel: &mut Channel, name: &TopicName) -> Result<(), BenchError> {
    let timeout = millis(channel.timeout);
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![wire_name(name)])
        .with_timeout_ms(timeout);
    let what = "to delete the topic";
    let answer = channel.ask(DELETE_TOPICS, what, &request)?;
    for topic in &answer.responses {
        channel.accept(what, topic.error_code, topic.error_message.as_deref())?;
    }
    Ok(())
}

/// Asks for all topics.
///
/// # Errors
/// If the broker does not answer.
pub(super) fn list(channel: &mut Channel) -> Result<(), BenchError> {
    let request = MetadataRequest::default().with_topics(None);
    channel.ask(METADATA, "for its topics", &request).map(drop)
}

fn make(channel: &mut Channel, load: &Load, name: &TopicName) -> Result<(), BenchError> {
    let setting = |(name, value): &(String, String)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
    };
    let version = channel.version(tidegate_kafka_proto::Api::CreateTopics, 2, CREATE_TOPICS.1)?;
    let topic = CreatableTopic::default()
        .with_name(wire_name(name))
        .with_num_partitions(i32::try_from(load.partitions).unwrap_or(i32::MAX))
        .with_replication_factor(if version < 4 { 1 } else { DEFAULT_REPLICAS })
        .with_configs(load.topic_settings.iter().map(setting).collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(millis(channel.timeout));
    let what = "to make the topic";
    let answer = channel.ask(CREATE_TOPICS, what, &request)?;
    for topic in &answer.topics {
        // Somebody else was faster.
        if topic.error_code != ErrorCode::TopicAlreadyExists.code() {
            channel.accept(what, topic.error_code, topic.error_message.as_deref())?;
        }
    }
    Ok(())
}

/// What a look at a topic shows.
enum Look {
    Ready(Vec<Leader>),
    Unled,
    Unknown,
}

fn look(channel: &mut Channel, name: &TopicName) -> Result<Look, BenchError> {
    let topic = MetadataRequestTopic::default().with_name(Some(wire_name(name)));
    // In versions below 4 a broker may make it of itself, which is as well.
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(false);
    let what = "for the topic";
    let answer: MetadataResponse = channel.ask(METADATA, what, &request)?;
    let Some(topic) = answer.topics.first() else {
        return Err(channel.wrong("it tells nothing of the topic".to_owned()));
    };
    match ErrorCode::from_code(topic.error_code) {
        Some(ErrorCode::UnknownTopicOrPartition) => return Ok(Look::Unknown),
        Some(ErrorCode::LeaderNotAvailable) => return Ok(Look::Unled),
        _ => channel.accept(what, topic.error_code, None)?,
    }
    if topic.partitions.is_empty() {
        return Ok(Look::Unled);
    }
    let mut led: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for partition in &topic.partitions {
        let leader = partition.leader_id.0;
        if partition.error_code != 0 || leader < 0 {
            return Ok(Look::Unled);
        }
        led.entry(leader).or_default().push(partition.partition_index);
    }
    // With one broker the address that was given is good, whatever it calls itself.
    let alone = led.len() == 1 && answer.brokers.len() == 1;
    let mut leaders = Vec::with_capacity(led.len());
    for (leader, mut partitions) in led {
        partitions.sort_unstable();
        let address = if alone {
            channel.address.clone()
        } else {
            let Some(broker) = answer.brokers.iter().find(|broker| broker.node_id.0 == leader)
            else {
                return Ok(Look::Unled);
            };
            address(&broker.host, broker.port)
        };
        leaders.push(Leader { address, partitions });
    }
    Ok(Look::Ready(leaders))
}

/// `host:port`, with brackets around a host that has colons.
fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(super) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
