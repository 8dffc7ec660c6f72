//! Responses: length, header and body in one piece of bytes.
//!
//! ```text
//! 0        4             8
//! | length | correlation | tagged fields (none), where the version is flexible | body
//! ```
//!
//! The body codec refuses a field that is set where the asked version does not have it; that comes
//! back as an [`EncodeError`] with nothing written. The records of a fetch do not belong here, see
//! [`fetch_response`](crate::fetch_response).

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

use crate::api::{ADVERTISED, Api, ApiRange, for_each_api};
use crate::error_code::ErrorCode;
use crate::request::codec_version;

/// Why an answer cannot be put into bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It holds what the version has no place for, or a string that is too long.
    #[error("{api} version {version} cannot express this: {reason}")]
    Inexpressible {
        /// The API.
        api: Api,
        /// The version.
        version: i16,
        /// What the codec said.
        reason: String,
    },
    /// It is longer than a frame's length can say.
    #[error("{api} version {version} is {len} bytes, more than a frame holds")]
    TooLong {
        /// The API.
        api: Api,
        /// The version.
        version: i16,
        /// Bytes it takes.
        len: usize,
    },
}

/// The body of a response, as a type that knows its API.
pub trait ResponseBody: Message + Encodable + Decodable + HeaderVersion {
    /// Its API.
    const API: Api;
}

macro_rules! define_response {
    ($($name:ident $key:literal ($min:literal, $max:literal) $request:ident $response:ident;)*) => {
        $(impl ResponseBody for messages::$response {
            const API: Api = Api::$name;
        })*
    };
}
for_each_api!(define_response);

/// The frame that answers the request with this correlation id.
///
/// # Errors
/// If the version cannot express the body, or it is too long for a frame.
pub fn encode<B: ResponseBody>(
    version: i16,
    correlation_id: i32,
    body: &B,
) -> Result<Bytes, EncodeError> {
    let codec = codec_version::<B>(version);
    // The header of ApiVersions is old in every version: the client cannot know yet.
    let flexible = B::header_version(codec) >= 1;
    encode_frame(B::API, version, codec, body, |out| {
        out.put_i32(correlation_id);
        if flexible {
            out.put_u8(0);
        }
    })
}

/// A length, what `header` puts, and a body.
pub(crate) fn encode_frame<B: Encodable>(
    api: Api,
    version: i16,
    codec: i16,
    body: &B,
    header: impl FnOnce(&mut BytesMut),
) -> Result<Bytes, EncodeError> {
    /// More than any header takes whose client id is of a usual length.
    const HEADER_ROOM: usize = 64;
    let size = body.compute_size(codec).map_err(|error| inexpressible(api, version, &error))?;
    let mut out = BytesMut::with_capacity(4 + HEADER_ROOM + size);
    out.put_u32(0);
    header(&mut out);
    body.encode(&mut out, codec).map_err(|error| inexpressible(api, version, &error))?;
    let len = out.len() - 4;
    let Ok(prefix) = i32::try_from(len) else {
        return Err(EncodeError::TooLong { api, version, len });
    };
    out[..4].copy_from_slice(&prefix.to_be_bytes());
    Ok(out.freeze())
}

fn inexpressible(api: Api, version: i16, error: &dyn ToString) -> EncodeError {
    EncodeError::Inexpressible { api, version, reason: error.to_string() }
}

/// What is advertised, as the body of an ApiVersions response; features and their epoch are the
/// caller's to add.
#[must_use]
pub fn api_versions() -> messages::ApiVersionsResponse {
    messages::ApiVersionsResponse::default()
        .with_api_keys(ADVERTISED.iter().map(|range| api_version(*range)).collect())
}

fn api_version(range: ApiRange) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(range.api.key())
        .with_min_version(range.min)
        .with_max_version(range.max)
}

/// The answer to an ApiVersions request of a version that is not served: in version 0, which every
/// client reads, and with nothing but the range of ApiVersions itself.
///
/// # Errors
/// None that can be met: the answer is always the same but for the correlation id.
pub fn unsupported_api_versions(correlation_id: i32) -> Result<Bytes, EncodeError> {
    let body = messages::ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(vec![api_version(Api::ApiVersions.range())]);
    encode(0, correlation_id, &body)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::find_coordinator_response::Coordinator;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::client::decode_response;

    #[test]
    fn what_a_version_cannot_express_is_an_error() {
        let body = messages::FindCoordinatorResponse::default()
            .with_coordinators(vec![Coordinator::default()]);
        assert!(encode(4, 1, &body).is_ok());
        let error = encode(3, 1, &body).unwrap_err();
        assert!(matches!(
            error,
            EncodeError::Inexpressible { api: Api::FindCoordinator, version: 3, .. }
        ));
        // A string of 16-bit length in the old encoding.
        let name = StrBytes::from_string("x".repeat(40_000));
        let body = messages::FindCoordinatorResponse::default().with_host(name);
        assert!(encode(2, 1, &body).is_err());
        // Versions that nobody knows.
        assert!(encode(99, 1, &messages::HeartbeatResponse::default()).is_ok(), "read as the last");
        assert!(encode(-1, 1, &messages::HeartbeatResponse::default()).is_err());
    }

    #[test]
    fn api_versions_has_an_old_header_in_every_version() {
        for version in 0..=4 {
            let frame = encode(version, 0x0102_0304, &api_versions()).unwrap();
            assert_eq!(frame[4..8], [1, 2, 3, 4]);
            // Then the error code, at once.
            assert_eq!(frame[8..10], [0, 0]);
            let (_, body) =
                decode_response::<messages::ApiVersionsResponse>(version, frame.slice(4..))
                    .unwrap();
            assert_eq!(body.api_keys.len(), ADVERTISED.len());
            let produce = &body.api_keys[0];
            assert_eq!((produce.api_key, produce.min_version, produce.max_version), (0, 0, 13));
        }
        // Others have tagged fields in their header as soon as their body is flexible.
        let frame = encode(4, 1, &messages::HeartbeatResponse::default()).unwrap();
        assert_eq!(frame[8], 0);
        assert_eq!(frame.len(), 4 + 4 + 1 + 4 + 2 + 1);
    }

    /// What Kafka 4.3 answers, but for the correlation id.
    #[test]
    fn an_unknown_api_versions_is_answered_in_version_0() {
        let frame = unsupported_api_versions(7).unwrap();
        let wanted = [
            0, 0, 0, 16, // length
            0, 0, 0, 7, // correlation id
            0, 35, // UNSUPPORTED_VERSION
            0, 0, 0, 1, // one API
            0, 18, 0, 0, 0, 4, // ApiVersions, 0 to 4
        ];
        assert_eq!(frame[..], wanted);
    }
}
