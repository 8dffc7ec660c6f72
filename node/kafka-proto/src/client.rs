//! The other side: requests into bytes, answers out of them.
//!
//! For load generators and tests, which know whom they talk to: an answer is decoded as it is,
//! without the walk that requests get.

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::protocol::HeaderVersion;

use crate::api::{Api, for_each_api};
use crate::limits::MAX_STRING;
use crate::malformed::{Fault, Malformed};
use crate::request::{Request, RequestBody, codec_version};
use crate::response::{EncodeError, ResponseBody, encode_frame};
use crate::walk::walk_tags;

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("answer to {api} version {version}, {source}")]
pub struct ResponseError {
    /// The API that was asked.
    pub api: Api,
    /// In which version.
    pub version: i16,
    /// Where and how.
    pub source: Malformed,
}

/// The frame of a request, length in front.
///
/// # Errors
/// If the version cannot express the body, or something in it is too long.
pub fn encode_request<B: RequestBody>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: &B,
) -> Result<Bytes, EncodeError> {
    let codec = codec_version::<B>(version);
    if let Some(id) = client_id.filter(|id| id.len() > MAX_STRING) {
        return Err(EncodeError::TooLong { api: B::API, version, len: id.len() });
    }
    encode_frame(B::API, version, codec, body, |out| {
        out.put_i16(B::API.key());
        out.put_i16(version);
        out.put_i32(correlation_id);
        match client_id {
            Some(id) => {
                out.put_i16(id.len() as i16);
                out.put_slice(id.as_bytes());
            }
            None => out.put_i16(-1),
        }
        if B::header_version(codec) >= 2 {
            out.put_u8(0);
        }
    })
}

macro_rules! define_encode {
    ($($name:ident $key:literal ($min:literal, $max:literal) $request:ident $response:ident;)*) => {
        /// The same as [`encode_request`] for a request of whatever API.
        ///
        /// # Errors
        /// As there.
        pub fn encode(
            version: i16,
            correlation_id: i32,
            client_id: Option<&str>,
            request: &Request,
        ) -> Result<Bytes, EncodeError> {
            match request {
                $(Request::$name(body) => encode_request(version, correlation_id, client_id, body),)*
            }
        }
    };
}
for_each_api!(define_encode);

/// The correlation id of an answer, by which its request is known.
#[must_use]
pub fn correlation_id(payload: &[u8]) -> Option<i32> {
    payload.first_chunk().map(|id| i32::from_be_bytes(*id))
}

/// The correlation id and the body of an answer, out of the payload of its frame.
///
/// # Errors
/// If the payload is no such answer, or bytes follow it.
pub fn decode_response<B: ResponseBody>(
    version: i16,
    mut payload: Bytes,
) -> Result<(i32, B), ResponseError> {
    let len = payload.len();
    let codec = codec_version::<B>(version);
    let fail = |field, at, fault| ResponseError {
        api: B::API,
        version,
        source: Malformed { field, at, fault },
    };
    let Some(id) = correlation_id(&payload) else {
        return Err(fail("correlation_id", 0, Fault::Truncated { needed: 4, left: len }));
    };
    let mut body = 4;
    if <B as HeaderVersion>::header_version(codec) >= 1 {
        body = walk_tags(&payload, body).map_err(|source| ResponseError {
            api: B::API,
            version,
            source,
        })?;
    }
    payload.advance(body);
    let response = B::decode(&mut payload, codec);
    let at = len - payload.len();
    match response {
        Err(error) => Err(fail("body", at, Fault::Codec { reason: error.to_string() })),
        Ok(_) if payload.has_remaining() => {
            Err(fail("body", at, Fault::Trailing { left: payload.remaining() }))
        }
        Ok(response) => Ok((id, response)),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::*;

    use super::*;
    use crate::response::encode;

    /// Of every API and version, an answer comes back as it went out, with a header as old as it
    /// must be.
    #[test]
    fn answers_come_back_as_they_went_out() {
        macro_rules! check {
            ($($name:ident $key:literal ($min:literal, $max:literal) $request:ident
                $response:ident;)*) => {
                $(for version in ($min..=$max).filter(|version| Api::$name.serves(*version)) {
                    let body = $response::default();
                    let frame = encode(version, -7, &body).unwrap();
                    assert_eq!(frame[..4], (frame.len() as u32 - 4).to_be_bytes());
                    let (id, back) = decode_response::<$response>(version, frame.slice(4..)).unwrap();
                    assert_eq!((id, back), (-7, body), "{} {version}", Api::$name);
                    // Nothing shorter is an answer, nor anything longer.
                    for len in 4..frame.len() {
                        assert!(decode_response::<$response>(version, frame.slice(4..len)).is_err());
                    }
                    let longer = [&frame[4..], &[0]].concat();
                    let error = decode_response::<$response>(version, longer.into()).unwrap_err();
                    assert_eq!(error.source.fault, Fault::Trailing { left: 1 });
                })*
            };
        }
        for_each_api!(check);
    }

    #[test]
    fn a_client_id_that_is_too_long_is_refused() {
        let body = HeartbeatRequest::default();
        let id = "x".repeat(MAX_STRING + 1);
        assert!(encode_request(4, 1, Some(&id[1..]), &body).is_ok());
        let refused = encode_request(4, 1, Some(&id), &body);
        assert!(matches!(refused, Err(EncodeError::TooLong { len: 32_768, .. })));
    }
}
