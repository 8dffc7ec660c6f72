//! A topic's settings changed.

use tidegate_kafka_proto::messages::alter_configs_response::AlterConfigsResourceResponse;
use tidegate_kafka_proto::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResourceResponse;
use tidegate_kafka_proto::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_types::{Flush, TopicConfig};
use tidegate_wire::{ErrorBody, ErrorCode as Failure};

use super::edit::{self, Operation};
use super::{Kind, check_broker, find, unsupported};
use crate::Shared;
use crate::topics::{Refusal, count, refuse_internal};

/// Answers AlterConfigs: what is not named goes back to its default.
pub(crate) async fn alter(shared: &Shared, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let resources = request.resources.iter().map(|asked| Resource {
        kind: asked.resource_type,
        name: &asked.resource_name,
        from_defaults: true,
        changes: asked
            .configs
            .iter()
            .map(|config| Change {
                operation: Some(Operation::Set),
                name: &config.name,
                value: config.value.as_deref(),
            })
            .collect(),
    });
    let changed = change_all(shared, resources.collect(), request.validate_only).await;
    let responses = changed.into_iter().map(|changed| {
        AlterConfigsResourceResponse::default()
            .with_error_code(changed.code.code())
            .with_error_message(changed.message)
            .with_resource_type(changed.kind)
            .with_resource_name(changed.name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// Answers IncrementalAlterConfigs: what is not named stays as it is.
pub(crate) async fn alter_incrementally(
    shared: &Shared,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let resources = request.resources.iter().map(|asked| Resource {
        kind: asked.resource_type,
        name: &asked.resource_name,
        from_defaults: false,
        changes: asked
            .configs
            .iter()
            .map(|config| Change {
                operation: Operation::from_code(config.config_operation),
                name: &config.name,
                value: config.value.as_deref(),
            })
            .collect(),
    });
    let changed = change_all(shared, resources.collect(), request.validate_only).await;
    let responses = changed.into_iter().map(|changed| {
        IncrementalResourceResponse::default()
            .with_error_code(changed.code.code())
            .with_error_message(changed.message)
            .with_resource_type(changed.kind)
            .with_resource_name(changed.name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

/// One change to one setting, as both requests have it.
struct Change<'a> {
    /// `None` if there is no such operation.
    operation: Option<Operation>,
    name: &'a str,
    value: Option<&'a str>,
}

/// What is to become of one resource.
struct Resource<'a> {
    kind: i8,
    name: &'a StrBytes,
    /// Whether what is not among the changes goes back to its default.
    from_defaults: bool,
    changes: Vec<Change<'a>>,
}

/// What became of it.
struct Changed {
    kind: i8,
    name: StrBytes,
    code: ErrorCode,
    message: Option<StrBytes>,
}

/// Changes each resource for itself; one that is named twice is refused.
async fn change_all(
    shared: &Shared,
    resources: Vec<Resource<'_>>,
    validate_only: bool,
) -> Vec<Changed> {
    let mut counts = count(resources.iter().map(|resource| (resource.kind, resource.name)));
    let mut changed = Vec::with_capacity(counts.len());
    for resource in &resources {
        let result = match counts.remove(&(resource.kind, resource.name)) {
            // Its first mention told of it.
            None => continue,
            Some(1) => change(shared, resource, validate_only).await,
            Some(_) => {
                let message = "Each resource must appear at most once.";
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        };
        let (code, message) = match result {
            Ok(()) => (ErrorCode::None, None),
            Err(refused) => (refused.code, refused.text()),
        };
        changed.push(Changed { kind: resource.kind, name: resource.name.clone(), code, message });
    }
    changed
}

async fn change(
    shared: &Shared,
    resource: &Resource<'_>,
    validate_only: bool,
) -> Result<(), Refusal> {
    match Kind::from_code(resource.kind) {
        Some(Kind::Topic) => change_topic(shared, resource, validate_only).await,
        Some(Kind::Broker) => {
            check_broker(shared, resource.name)?;
            if resource.changes.is_empty() {
                return Ok(());
            }
            let names: Vec<_> = resource.changes.iter().map(|change| change.name).collect();
            let message = format!(
                "The node's settings come from its settings file: change them there and start it \
                 anew. Cannot update these configs dynamically: [{}]",
                names.join(", ")
            );
            Err(Refusal::new(ErrorCode::InvalidRequest, message))
        }
        _ => Err(unsupported(resource.kind)),
    }
}

async fn change_topic(
    shared: &Shared,
    resource: &Resource<'_>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let (name, mut config, is_mirror) = find(shared, resource.name)?;
    refuse_internal(&name)?;
    if validate_only {
        resource.apply(&mut config)?;
        // The one setting that a mirror cannot have.
        if is_mirror && config.flush != Flush::Always {
            let message = "flush.messages stays 1: a mirror syncs what it copies.";
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        return Ok(());
    }
    let mut refused = None;
    let configured = shared.broker.configure_topic(&name, |config| {
        resource.apply(config).map_err(|refusal| {
            let error = ErrorBody::new(Failure::InvalidSetting, &*refusal.message);
            refused = Some(refusal);
            error
        })
    });
    match configured.await {
        Ok(_) => Ok(()),
        Err(error) => Err(match refused {
            Some(refusal) => refusal,
            // The settings are possible, but not for this topic.
            None if error.code == Failure::InvalidRequest => {
                Refusal::new(ErrorCode::InvalidConfig, error.message)
            }
            None => error.into(),
        }),
    }
}

impl Resource<'_> {
    /// Makes all changes. If one cannot be made, the settings may be half changed.
    fn apply(&self, config: &mut TopicConfig) -> Result<(), Refusal> {
        let unlike = count(self.changes.iter().map(|change| change.name)).len();
        if unlike < self.changes.len() {
            let message = "Error due to duplicate config keys";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        if self.from_defaults {
            *config = TopicConfig { partitions: config.partitions, ..TopicConfig::default() };
        }
        for Change { operation, name, value } in &self.changes {
            let Some(operation) = *operation else {
                let message = format!("Unknown operation on {name}.");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            };
            edit::apply(config, operation, name, *value)?;
        }
        Ok(())
    }
}
