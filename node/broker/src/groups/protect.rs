//! Keeps everyone but the coordinator from changing its topic.

use tidegate_types::TopicName;
use tidegate_wire::{ErrorBody, ErrorCode};

use super::GROUPS_TOPIC;

/// Whether a topic is the node's own: it may be read, and nothing else.
pub(crate) fn is_internal(name: &str) -> bool {
    name == GROUPS_TOPIC
}

/// Refuses to do that to the node's own topics.
pub(crate) fn refuse_internal(name: &TopicName, what: &str) -> Result<(), ErrorBody> {
    if !is_internal(name.as_str()) {
        return Ok(());
    }
    let message = format!("topic {name} holds the node's consumer groups: it cannot be {what}");
    Err(ErrorBody::new(ErrorCode::InvalidRequest, message))
}
