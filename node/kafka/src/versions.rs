//! ApiVersions: what a client may ask, in which versions.

use tidegate_kafka_proto::messages::api_versions_response::{
    FinalizedFeatureKey, SupportedFeatureKey,
};
use tidegate_kafka_proto::messages::{ApiVersionsRequest, ApiVersionsResponse};
use tidegate_kafka_proto::{ErrorCode, response};

use crate::connection::Reply;
use crate::errors::text;

/// The consumer group protocol of KIP-848. Transactions have a feature too; they are not built.
const GROUP_VERSION: &str = "group.version";

/// First version of the request in which the client says what it is.
const NAMED_FROM: i16 = 3;

/// First version that may be told of features whose lowest level is 0.
const ZERO_LEVELS_FROM: i16 = 4;

/// Answers one.
pub(crate) fn answer(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    if version >= NAMED_FROM
        && !(is_software(&request.client_software_name)
            && is_software(&request.client_software_version))
    {
        return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
    }
    let answer = response::api_versions();
    if version < NAMED_FROM {
        return answer;
    }
    let supported =
        SupportedFeatureKey::default().with_name(text(GROUP_VERSION)).with_max_version(1);
    let finalized = FinalizedFeatureKey::default()
        .with_name(text(GROUP_VERSION))
        .with_min_version_level(1)
        .with_max_version_level(1);
    let supported = if version >= ZERO_LEVELS_FROM { vec![supported] } else { Vec::new() };
    answer
        .with_supported_features(supported)
        .with_finalized_features_epoch(0)
        .with_finalized_features(vec![finalized])
}

/// Answers one of a version that nobody serves: with the versions that are, in the oldest layout.
pub(crate) fn unsupported(correlation_id: i32) -> Reply {
    match response::unsupported_api_versions(correlation_id) {
        Ok(frame) => Reply::Frame(frame),
        Err(error) => Reply::Close(error.to_string()),
    }
}

/// Letters and digits, and between them also dots and hyphens (KIP-511).
fn is_software(name: &str) -> bool {
    let name = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    outer(name.first()) && outer(name.last()) && name.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_has_a_name_of_letters_and_digits() {
        for good in ["a", "librdkafka", "apache-kafka-java", "2.12.1", "1"] {
            assert!(is_software(good), "{good}");
        }
        for bad in ["", "-", "a-", ".a", "a b", "ä"] {
            assert!(!is_software(bad), "{bad:?}");
        }
    }
}
