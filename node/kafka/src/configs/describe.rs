//! Settings told.

use std::collections::HashSet;

use tidegate_kafka_proto::messages::describe_configs_request::DescribeConfigsResource;
use tidegate_kafka_proto::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use tidegate_kafka_proto::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use tidegate_kafka_proto::{ErrorCode, StrBytes};

use super::{DEFAULT, Kind, OF_TOPIC, broker, check_broker, find, topic, unsupported};
use crate::Shared;
use crate::errors::text;
use crate::topics::Refusal;

/// What a client wants to know of every setting.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

/// Answers DescribeConfigs.
pub(crate) async fn describe(
    shared: &Shared,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let detail =
        Detail { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let mut seen = HashSet::with_capacity(request.resources.len());
    let mut results = Vec::with_capacity(request.resources.len());
    for mut asked in request.resources {
        // No keys are all keys.
        asked.configuration_keys = asked.configuration_keys.filter(|keys| !keys.is_empty());
        let DescribeConfigsResource { resource_type, resource_name, configuration_keys, .. } =
            asked;
        // A resource has many settings and is asked for in a few bytes: twice is not told twice.
        if !seen.insert((resource_type, resource_name.clone(), configuration_keys.clone())) {
            continue;
        }
        let keys = configuration_keys.as_deref();
        let described = describe_one(shared, detail, resource_type, &resource_name, keys);
        results.push(described_answer(resource_type, resource_name, described));
    }
    DescribeConfigsResponse::default().with_results(results)
}

/// The text is empty where all is well, as Kafka's is.
fn described_answer(
    kind: i8,
    name: StrBytes,
    described: Result<Vec<DescribeConfigsResourceResult>, Refusal>,
) -> DescribeConfigsResult {
    let answer = DescribeConfigsResult::default().with_resource_type(kind).with_resource_name(name);
    match described {
        Ok(configs) => answer.with_error_message(Some(StrBytes::default())).with_configs(configs),
        Err(refused) => answer
            .with_error_code(refused.code.code())
            .with_error_message(Some(refused.text().unwrap_or_default())),
    }
}

fn describe_one(
    shared: &Shared,
    detail: Detail,
    kind: i8,
    name: &str,
    keys: Option<&[StrBytes]>,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let wanted = |name: &str| keys.is_none_or(|keys| keys.iter().any(|key| **key == *name));
    match Kind::from_code(kind) {
        Some(Kind::Topic) => {
            let config = find(shared, name)?.1;
            let values = topic::values(&config).into_iter();
            let values = values.filter(|value| wanted(value.setting.name));
            Ok(values.map(|value| of_topic(detail, value)).collect())
        }
        Some(Kind::Broker) => {
            check_broker(shared, name)?;
            // What holds for every broker of a cluster, and could be changed at work: nothing.
            if name.is_empty() {
                return Ok(Vec::new());
            }
            let values = broker::values(&broker::Node::new(shared)).into_iter();
            let values = values.filter(|value| wanted(value.name));
            Ok(values.map(|value| read_only(detail, value.name, value)).collect())
        }
        // Any group, whether or not it is there: what holds for it holds for all.
        Some(Kind::Group) if name.is_empty() => {
            Err(Refusal::new(ErrorCode::InvalidRequest, "Group name must not be empty"))
        }
        Some(Kind::Group) => {
            let values = broker::of_group(&shared.broker.config().groups).into_iter();
            let values = values.filter(|(name, _)| wanted(name));
            Ok(values.map(|(name, value)| read_only(detail, name, value)).collect())
        }
        _ => Err(unsupported(kind)),
    }
}

fn of_topic(detail: Detail, value: topic::Value) -> DescribeConfigsResourceResult {
    let set = value.is_set();
    let topic::Value { setting, value, default } = value;
    let value = text(value);
    let mut synonyms = Vec::new();
    if detail.synonyms {
        let own = set.then(|| synonym(setting.name, value.clone(), OF_TOPIC));
        let inherited = setting.broker.map(|name| synonym(name, text(default), DEFAULT));
        synonyms.extend(own.into_iter().chain(inherited));
    }
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(setting.name))
        .with_value(Some(value))
        .with_config_source(if set { OF_TOPIC } else { DEFAULT })
        .with_synonyms(synonyms)
        .with_config_type(setting.kind.code())
        .with_documentation(documentation(detail, setting.doc))
}

/// A setting that is only told, and the node's from which it has its value.
fn read_only(
    detail: Detail,
    name: &'static str,
    of_node: broker::Value,
) -> DescribeConfigsResourceResult {
    let broker::Value { name: inherited, kind, value, source, doc } = of_node;
    let value = value.map(text);
    let own = value.clone().filter(|_| detail.synonyms);
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(value)
        .with_read_only(true)
        .with_config_source(source)
        .with_synonyms(own.into_iter().map(|value| synonym(inherited, value, source)).collect())
        .with_config_type(kind.code())
        .with_documentation(documentation(detail, doc))
}

fn synonym(name: &'static str, value: StrBytes, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(Some(value))
        .with_source(source)
}

fn documentation(detail: Detail, doc: &'static str) -> Option<StrBytes> {
    detail.documentation.then(|| StrBytes::from_static_str(doc))
}
