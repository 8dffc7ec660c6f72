//! Settings of topics and of the node, described and changed.
//!
//! | module | what it does |
//! | --- | --- |
//! | `setting` | the topic settings that clients know |
//! | `topic` | a topic's settings in Kafka's form, and back |
//! | `broker` | the node's own settings |
//! | `describe` | all of them told |
//! | `edit`, `alter` | a topic's changed |
//!
//! A topic's settings can be changed while it works. The node's are only told: they come from its
//! settings file, and so do those that clients know as settings of single groups. Loggers and client
//! metrics are not here.

mod alter;
mod broker;
mod describe;
mod edit;
mod setting;
mod topic;

use tidegate_kafka_proto::messages::create_topics_response::CreatableTopicConfigs;
use tidegate_kafka_proto::messages::list_config_resources_response::ConfigResource;
use tidegate_kafka_proto::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_types::{TopicConfig, TopicName};

pub(crate) use self::alter::{alter, alter_incrementally};
pub(crate) use self::describe::describe;
pub(crate) use self::topic::set;
use crate::errors::text;
use crate::topics::Refusal;
use crate::{Shared, metadata};

/// A value that the topic itself has.
const OF_TOPIC: i8 = 1;

/// A value from the node's settings file.
const STATIC: i8 = 4;

/// A value that nobody set.
const DEFAULT: i8 = 5;

/// What settings are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl Kind {
    const ALL: [Kind; 5] =
        [Kind::Topic, Kind::Broker, Kind::BrokerLogger, Kind::ClientMetrics, Kind::Group];

    fn code(self) -> i8 {
        match self {
            Kind::Topic => 2,
            Kind::Broker => 4,
            Kind::BrokerLogger => 8,
            Kind::ClientMetrics => 16,
            Kind::Group => 32,
        }
    }

    fn from_code(code: i8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

fn unsupported(code: i8) -> Refusal {
    let what = match Kind::from_code(code) {
        Some(Kind::BrokerLogger) => "Loggers",
        Some(Kind::ClientMetrics) => "Client metrics",
        Some(Kind::Group) => "Single groups",
        _ => {
            let message = format!("Unsupported resource type: {code}");
            return Refusal::new(ErrorCode::InvalidRequest, message);
        }
    };
    let message = format!("{what} have no settings of their own on this node.");
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// A topic's settings, as the answer that tells of its making has them.
pub(crate) fn created(config: &TopicConfig) -> Vec<CreatableTopicConfigs> {
    let values = topic::values(config).into_iter().map(|value| {
        let source = if value.is_set() { OF_TOPIC } else { DEFAULT };
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(value.setting.name))
            .with_value(Some(text(value.value)))
            .with_config_source(source)
    });
    values.collect()
}

/// A topic's name and settings, and whether it is a mirror.
fn find(shared: &Shared, name: &str) -> Result<(TopicName, TopicConfig, bool), Refusal> {
    let name = TopicName::new(name)
        .map_err(|error| Refusal::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    let Some(topic) = shared.broker.topics().get(&name) else {
        let message = format!("The topic '{name}' does not exist.");
        return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message));
    };
    let config = TopicConfig::clone(&topic.config());
    Ok((name, config, topic.mirror_of().is_some()))
}

/// Whether a resource is this node, or the cluster that it makes up.
fn check_broker(shared: &Shared, name: &str) -> Result<(), Refusal> {
    let id = metadata::broker_id(&shared.broker).0;
    if name.is_empty() || name.parse() == Ok(id) {
        return Ok(());
    }
    let message =
        format!("Unexpected broker id, expected {id} or empty string, but received {name}");
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

/// First version of ListConfigResources that says what is to be listed; before it was what client
/// metrics there are.
const KINDS_FROM: i16 = 1;

/// Answers ListConfigResources.
pub(crate) async fn list_resources(
    shared: &Shared,
    version: i16,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let Some(kinds) = listed_kinds(version, &request.resource_types) else {
        let code = ErrorCode::UnsupportedVersion.code();
        return ListConfigResourcesResponse::default().with_error_code(code);
    };
    let resource = |kind: Kind, name: StrBytes| {
        ConfigResource::default().with_resource_name(name).with_resource_type(kind.code())
    };
    let mut resources = Vec::new();
    if kinds.contains(&Kind::Broker) {
        let id = metadata::broker_id(&shared.broker).0.to_string();
        resources.push(resource(Kind::Broker, text(id)));
    }
    if kinds.contains(&Kind::Topic) {
        let topics = shared.broker.topics().all();
        let topics = topics.iter().map(|topic| resource(Kind::Topic, text(topic.name().as_str())));
        resources.extend(topics);
    }
    ListConfigResourcesResponse::default().with_config_resources(resources)
}

/// What is to be listed; `None` if one of them is nothing that has settings.
fn listed_kinds(version: i16, asked: &[i8]) -> Option<Vec<Kind>> {
    if version < KINDS_FROM {
        return Some(vec![Kind::ClientMetrics]);
    }
    if asked.is_empty() {
        return Some(Kind::ALL.to_vec());
    }
    asked.iter().map(|code| Kind::from_code(*code)).collect()
}

#[cfg(test)]
mod tests;
