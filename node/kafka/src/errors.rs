//! The broker's errors as Kafka's clients know them.
//!
//! A client decides by the code whether it tries again, so that an error which may pass never
//! becomes one that may not. None becomes UNKNOWN_SERVER_ERROR, which tells nothing.

use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_wire::{ErrorBody, ErrorCode as Failure};

/// Kafka's code for an error of the broker.
pub(crate) fn code(error: &ErrorBody) -> ErrorCode {
    match error.code {
        Failure::UnknownTopic | Failure::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        Failure::TopicExists => ErrorCode::TopicAlreadyExists,
        Failure::InvalidName => ErrorCode::InvalidTopicException,
        Failure::InvalidSetting => ErrorCode::InvalidConfig,
        Failure::InvalidRequest | Failure::BadFrame => ErrorCode::InvalidRequest,
        Failure::NotAuthorized | Failure::ReadOnly => ErrorCode::TopicAuthorizationFailed,
        Failure::InvalidRecord | Failure::RejectedByPlugin => ErrorCode::InvalidRecord,
        Failure::CorruptBatch | Failure::Damaged => ErrorCode::CorruptMessage,
        Failure::InvalidTimestamp => ErrorCode::InvalidTimestamp,
        Failure::TooLarge => ErrorCode::MessageTooLarge,
        Failure::OutOfOrderSequence => ErrorCode::OutOfOrderSequenceNumber,
        Failure::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        Failure::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
        Failure::NotEnoughReplicas => ErrorCode::NotEnoughReplicas,
        Failure::UnknownGroup => ErrorCode::GroupIdNotFound,
        Failure::GroupInUse => ErrorCode::NonEmptyGroup,
        Failure::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        // Clients look for another leader, and find this node again once it is back.
        Failure::ShuttingDown => ErrorCode::NotLeaderOrFollower,
        Failure::Overloaded => ErrorCode::RequestTimedOut,
        Failure::HaltedByPlugin if !error.retriable => ErrorCode::InvalidRecord,
        Failure::HaltedByPlugin => ErrorCode::RequestTimedOut,
        _ => ErrorCode::KafkaStorageError,
    }
}

/// What an answer says to people.
pub(crate) fn message(error: &ErrorBody) -> Option<StrBytes> {
    Some(StrBytes::from_string(error.message.clone()))
}

/// Text of this program's own.
pub(crate) fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_so_and_nothing_is_unknown() {
        for failure in [
            Failure::ShuttingDown,
            Failure::Overloaded,
            Failure::DiskFull,
            Failure::Internal,
            Failure::HaltedByPlugin,
            Failure::NotEnoughReplicas,
        ] {
            let code = code(&ErrorBody::retriable(failure, "x"));
            assert!(code.is_retriable(), "{failure:?} became {code:?}");
        }
        for failure in [
            Failure::InvalidRecord,
            Failure::RejectedByPlugin,
            Failure::HaltedByPlugin,
            Failure::ReadOnly,
            Failure::TooLarge,
            Failure::InvalidSetting,
        ] {
            let code = code(&ErrorBody::new(failure, "x"));
            assert!(!code.is_retriable(), "{failure:?} became {code:?}");
            assert_ne!(code, ErrorCode::UnknownServerError);
        }
    }
}
