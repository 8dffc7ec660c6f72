//! Failures of the parts below, as callers see them.

use std::fmt::Display;

use tidegate_log::{AppendError, ReadError};
use tidegate_types::{LinkName, PartitionId, PluginName, TopicName};
use tidegate_wire::{ErrorBody, ErrorCode};

pub(crate) fn unknown_topic(name: &TopicName) -> ErrorBody {
    let message = format!("no topic {name}: make it with 'tidegate topic create {name}'");
    ErrorBody::new(ErrorCode::UnknownTopic, message)
}

pub(crate) fn unknown_partition(name: &TopicName, id: PartitionId, count: u32) -> ErrorBody {
    let message = format!("topic {name} has no partition {id}: it has {count}, from 0");
    ErrorBody::new(ErrorCode::UnknownPartition, message)
}

pub(crate) fn unknown_plugin(name: &PluginName) -> ErrorBody {
    let message = format!("no plugin {name}: install it with 'tidegate plugin install {name}'");
    ErrorBody::new(ErrorCode::UnknownPlugin, message)
}

pub(crate) fn unknown_link(name: &LinkName) -> ErrorBody {
    ErrorBody::new(ErrorCode::UnknownLink, format!("no link {name}: see 'tidegate link list'"))
}

pub(crate) fn shutting_down() -> ErrorBody {
    ErrorBody::retriable(ErrorCode::ShuttingDown, "the node is shutting down: try again later")
}

pub(crate) fn not_authorized(what: &str, who: &dyn Display) -> ErrorBody {
    let message = format!("{who} may not {what}");
    ErrorBody::new(ErrorCode::NotAuthorized, message)
}

/// A fault of the node itself: the details go to its log.
pub(crate) fn internal(doing: &str, cause: &dyn Display) -> ErrorBody {
    tracing::error!(%cause, "{doing} failed");
    ErrorBody::retriable(ErrorCode::Internal, format!("{doing} failed: {cause}"))
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Why batches were not appended.
pub(crate) fn append(failure: &AppendError) -> ErrorBody {
    let code = match failure {
        AppendError::Backlog { .. } => ErrorCode::Overloaded,
        AppendError::DiskFull { .. } => ErrorCode::DiskFull,
        AppendError::Closed => ErrorCode::ShuttingDown,
        AppendError::Deleted => ErrorCode::UnknownTopic,
        AppendError::Sealed { .. } => ErrorCode::LogSealed,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::ProducerFenced,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequence,
        AppendError::Empty | AppendError::Malformed { .. } | AppendError::OffsetTooLow { .. } => {
            ErrorCode::InvalidRecord
        }
        AppendError::OffsetsExhausted { .. } => ErrorCode::Internal,
    };
    ErrorBody {
        retriable: failure.is_retriable(),
        written: failure.may_be_written(),
        ..ErrorBody::new(code, chain(failure))
    }
}

/// Why nothing could be read.
pub(crate) fn read(failure: &ReadError) -> ErrorBody {
    match failure {
        ReadError::OutOfRange { .. } => ErrorBody::new(ErrorCode::OffsetOutOfRange, chain(failure)),
        ReadError::Damaged { .. } => ErrorBody::new(ErrorCode::Damaged, chain(failure)),
        ReadError::Io { .. } => ErrorBody::retriable(ErrorCode::Internal, chain(failure)),
        ReadError::Closed => shutting_down(),
    }
}
