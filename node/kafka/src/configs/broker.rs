//! The node's own settings, as far as Kafka has names for them.
//!
//! They come from the node's settings file and its limits, and are only to be read here. What Kafka
//! has and this node has not is left out.

use tidegate_group::Config as GroupConfig;
use tidegate_kafka_proto::fetch_session::SessionLimits;
use tidegate_types::TopicConfig;

use super::setting::Kind;
use super::topic;
use super::{DEFAULT, STATIC};
use crate::{Shared, limits, metadata};

/// A setting of the node.
pub(super) struct Value {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value: Option<String>,
    /// Where it comes from, in Kafka's numbers.
    pub(super) source: i8,
    pub(super) doc: &'static str,
}

/// What of the node its settings have to tell.
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) listener: String,
    pub(super) advertised: String,
    pub(super) data: String,
    pub(super) partitions: u32,
    pub(super) auto_create: bool,
    pub(super) tls: bool,
    pub(super) groups: GroupConfig,
}

impl Node {
    pub(super) fn new(shared: &Shared) -> Node {
        let config = &shared.config;
        // Where clients are not told of an address of its own, they are told of the listener's.
        let port = match (config.listen.port(), &config.advertised) {
            (0, None) => shared.port,
            (port, _) => port,
        };
        let tls = !config.listen.ip().is_loopback();
        let security = if tls { "SSL" } else { "PLAINTEXT" };
        let data = &shared.broker.config().data;
        Node {
            id: metadata::broker_id(&shared.broker).0,
            listener: format!(
                "{security}://{}",
                std::net::SocketAddr::new(config.listen.ip(), port)
            ),
            advertised: format!("{security}://{}:{}", host(&shared.host), shared.port),
            data: crate::cluster::absolute(data),
            partitions: config.partitions,
            auto_create: config.auto_create,
            tls,
            groups: shared.broker.config().groups.clone(),
        }
    }
}

/// A host as it stands before a port.
fn host(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// All of them, by name.
pub(super) fn values(node: &Node) -> Vec<Value> {
    let mut values = from_file(node);
    values.extend(limited(node));
    values.extend(grouped(&node.groups));
    values.extend(for_topics());
    values.sort_by_key(|value| value.name);
    values
}

/// What the settings file says.
fn from_file(node: &Node) -> Vec<Value> {
    let value = |name, kind, value: String, doc| Value {
        name,
        kind,
        value: Some(value),
        source: STATIC,
        doc,
    };
    vec![
        value(
            "advertised.listeners",
            Kind::List,
            node.advertised.clone(),
            "Where clients are told to connect.",
        ),
        value(
            "auto.create.topics.enable",
            Kind::Boolean,
            node.auto_create.to_string(),
            "Whether a topic is made when a client asks for one that does not exist.",
        ),
        value("broker.id", Kind::Int, node.id.to_string(), "The node's id in its site."),
        value("listeners", Kind::List, node.listener.clone(), "Where Kafka's clients are served."),
        value(
            "log.dirs",
            Kind::List,
            node.data.clone(),
            "The data folder: logs, metadata, plugins and certificates.",
        ),
        value("node.id", Kind::Int, node.id.to_string(), "The node's id in its site."),
        value(
            "num.partitions",
            Kind::Int,
            node.partitions.to_string(),
            "Partitions of a topic that is made without a number.",
        ),
    ]
}

fn fixed(name: &'static str, kind: Kind, value: impl ToString, doc: &'static str) -> Value {
    Value { name, kind, value: Some(value.to_string()), source: DEFAULT, doc }
}

fn unset(name: &'static str, kind: Kind, doc: &'static str) -> Value {
    Value { name, kind, value: None, source: DEFAULT, doc }
}

/// What the node is and what it bounds.
fn limited(node: &Node) -> Vec<Value> {
    let security = if node.tls { "SSL" } else { "PLAINTEXT" };
    let retention_hours = TopicConfig::default()
        .policy
        .retention
        .map_or(-1, |retention| i64::try_from(retention.as_secs() / 3_600).unwrap_or(i64::MAX));
    let roll_hours = TopicConfig::default().policy.segment_age.as_secs() / 3_600;
    vec![
        fixed("authorizer.class.name", Kind::String, "", "Nobody is kept from anything."),
        unset("broker.rack", Kind::String, "The node is in no rack."),
        fixed(
            "connections.max.idle.ms",
            Kind::Long,
            limits::IDLE.as_millis(),
            "A connection on which nothing happens for so long is closed.",
        ),
        fixed("default.replication.factor", Kind::Int, 1, "Every partition is on this node alone."),
        fixed("delete.topic.enable", Kind::Boolean, true, "Topics can be deleted."),
        unset(
            "inter.broker.listener.name",
            Kind::String,
            "Nodes do not speak Kafka's protocol with each other.",
        ),
        fixed(
            "listener.security.protocol.map",
            Kind::String,
            "PLAINTEXT:PLAINTEXT,SSL:SSL",
            "What the listeners' names mean.",
        ),
        fixed("log.cleaner.enable", Kind::Boolean, true, "Topics can be compacted."),
        unset("log.flush.interval.ms", Kind::Long, "Nothing is synced by the clock."),
        fixed(
            "log.retention.hours",
            Kind::Int,
            retention_hours,
            "Age at which records are deleted, for a topic that does not say otherwise.",
        ),
        unset("log.retention.minutes", Kind::Int, "See log.retention.hours."),
        unset("log.retention.ms", Kind::Long, "See log.retention.hours."),
        fixed(
            "log.roll.hours",
            Kind::Int,
            roll_hours,
            "Age at which a segment is closed, for a topic that does not say otherwise.",
        ),
        unset("log.roll.ms", Kind::Long, "See log.roll.hours."),
        fixed(
            "max.connections",
            Kind::Int,
            limits::MAX_CONNECTIONS,
            "Connections of Kafka's clients that are served at once.",
        ),
        fixed(
            "max.incremental.fetch.session.cache.slots",
            Kind::Int,
            SessionLimits::default().sessions,
            "Fetch sessions that are kept.",
        ),
        fixed(
            "max.request.partition.size.limit",
            Kind::Int,
            metadata::MAX_DESCRIBED,
            "Most partitions in one answer to DescribeTopicPartitions.",
        ),
        fixed(
            "process.roles",
            Kind::List,
            "broker,controller",
            "The node serves records and keeps the metadata.",
        ),
        fixed(
            "remote.log.storage.system.enable",
            Kind::Boolean,
            false,
            "No part of a log is kept elsewhere.",
        ),
        fixed("sasl.enabled.mechanisms", Kind::List, "", "Clients show a certificate instead."),
        fixed(
            "security.inter.broker.protocol",
            Kind::String,
            security,
            "The protocol of the listener.",
        ),
        fixed("socket.request.max.bytes", Kind::Int, limits::MAX_REQUEST.get(), "Largest request."),
        fixed(
            "ssl.client.auth",
            Kind::String,
            if node.tls { "required" } else { "none" },
            "Clients show a certificate of the site, except on loopback.",
        ),
    ]
}

/// How groups are coordinated.
fn grouped(config: &GroupConfig) -> Vec<Value> {
    let GroupConfig {
        min_session_timeout,
        max_session_timeout,
        initial_rebalance_delay,
        max_members,
        consumer_session_timeout,
        consumer_heartbeat_interval,
        assignment_interval,
        offsets_retention,
        cleanup_interval,
        max_offset_metadata,
        max_memory: _,
    } = config;
    vec![
        fixed(
            "group.consumer.assignment.interval.ms",
            Kind::Int,
            assignment_interval.as_millis(),
            "Shortest time between two targets of a large consumer group.",
        ),
        fixed(
            "group.consumer.assignors",
            Kind::List,
            "uniform,range",
            "Assignors of consumer groups that the node works out itself.",
        ),
        fixed(
            "group.consumer.heartbeat.interval.ms",
            Kind::Int,
            consumer_heartbeat_interval.as_millis(),
            "How often members of consumer groups are told to speak.",
        ),
        fixed(
            "group.consumer.max.size",
            Kind::Int,
            max_members,
            "Most members of one consumer group.",
        ),
        fixed(
            "group.consumer.session.timeout.ms",
            Kind::Int,
            consumer_session_timeout.as_millis(),
            "How long a member of a consumer group may be silent.",
        ),
        fixed(
            "group.coordinator.rebalance.protocols",
            Kind::List,
            "classic,consumer",
            "Protocols of groups that are spoken.",
        ),
        fixed(
            "group.initial.rebalance.delay.ms",
            Kind::Int,
            initial_rebalance_delay.as_millis(),
            "How long an empty classic group waits for more members.",
        ),
        fixed(
            "group.max.session.timeout.ms",
            Kind::Int,
            max_session_timeout.as_millis(),
            "Longest session timeout of a classic member.",
        ),
        fixed("group.max.size", Kind::Int, max_members, "Most members of one classic group."),
        fixed(
            "group.min.session.timeout.ms",
            Kind::Int,
            min_session_timeout.as_millis(),
            "Shortest session timeout of a classic member.",
        ),
        fixed(
            "offset.metadata.max.bytes",
            Kind::Int,
            max_offset_metadata,
            "Longest metadata of a committed offset.",
        ),
        fixed(
            "offsets.retention.check.interval.ms",
            Kind::Long,
            cleanup_interval.as_millis(),
            "How often expired offsets are looked for.",
        ),
        fixed(
            "offsets.retention.minutes",
            Kind::Int,
            offsets_retention.as_secs() / 60,
            "How long offsets are kept once their group is empty.",
        ),
        fixed(
            "offsets.topic.num.partitions",
            Kind::Int,
            1,
            "Partitions of the topic that holds the groups.",
        ),
        fixed(
            "offsets.topic.replication.factor",
            Kind::Short,
            1,
            "Every partition is on this node alone.",
        ),
    ]
}

/// What clients know as settings of single groups, by the names that they have there: the node's
/// hold for every group.
pub(super) fn of_group(config: &GroupConfig) -> Vec<(&'static str, Value)> {
    let of_single = |value: Value| {
        let name = match value.name {
            "group.consumer.heartbeat.interval.ms" => "consumer.heartbeat.interval.ms",
            "group.consumer.session.timeout.ms" => "consumer.session.timeout.ms",
            _ => return None,
        };
        Some((name, value))
    };
    grouped(config).into_iter().filter_map(of_single).collect()
}

/// What topics have that do not say otherwise.
fn for_topics() -> impl Iterator<Item = Value> {
    topic::values(&TopicConfig::default()).into_iter().filter_map(
        |topic::Value { setting, value, .. }| {
            Some(fixed(setting.broker?, setting.kind, value, setting.doc))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(tls: bool) -> Node {
        Node {
            id: 7,
            listener: "PLAINTEXT://127.0.0.1:9092".to_owned(),
            advertised: "PLAINTEXT://127.0.0.1:9092".to_owned(),
            data: "/data".to_owned(),
            partitions: 4,
            auto_create: true,
            tls,
            groups: GroupConfig::default(),
        }
    }

    #[test]
    fn the_nodes_settings_lie_by_name_and_each_once() {
        let values = values(&node(false));
        assert!(values.is_sorted_by(|a, b| a.name < b.name));
        assert!(values.len() >= 60, "{}", values.len());
        let value = |name: &str| {
            let value = values.iter().find(|value| value.name == name).unwrap();
            value.value.clone()
        };
        // As a real one describes them.
        for (name, expected) in [
            ("advertised.listeners", "PLAINTEXT://127.0.0.1:9092"),
            ("auto.create.topics.enable", "true"),
            ("broker.id", "7"),
            ("connections.max.idle.ms", "600000"),
            ("group.consumer.session.timeout.ms", "45000"),
            ("group.max.session.timeout.ms", "1800000"),
            ("group.min.session.timeout.ms", "6000"),
            ("log.cleaner.min.cleanable.ratio", "0.5"),
            ("log.flush.interval.messages", "1"),
            ("log.retention.bytes", "-1"),
            ("log.retention.hours", "168"),
            ("log.roll.hours", "168"),
            ("log.segment.bytes", "67108864"),
            ("max.incremental.fetch.session.cache.slots", "1000"),
            ("message.max.bytes", "1048588"),
            ("min.insync.replicas", "1"),
            ("num.partitions", "4"),
            ("offset.metadata.max.bytes", "4096"),
            ("offsets.retention.minutes", "10080"),
            ("socket.request.max.bytes", "104857600"),
            ("ssl.client.auth", "none"),
        ] {
            assert_eq!(value(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value("log.retention.ms"), None);
    }

    #[test]
    fn numbers_are_numbers() {
        for value in values(&node(true)) {
            if let Some(text) = &value.value {
                assert_eq!(value.kind.check(text), Ok(()), "{}={text}", value.name);
            }
        }
    }

    #[test]
    fn an_ipv6_host_stands_in_brackets() {
        assert_eq!(host("::1"), "[::1]");
        assert_eq!(host("edge.example"), "edge.example");
    }
}
