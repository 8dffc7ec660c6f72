//! Requests: header and body out of the payload of one frame.
//!
//! ```text
//! 0         2         4              8
//! | API key | version | correlation  | client id (nullable string, 16-bit length)
//! |         |         | id           | tagged fields, where the version is flexible | body
//! ```
//!
//! All of it is walked over before any of it is decoded. What comes out holds slices of
//! the frame: a string that is kept keeps the whole frame alive, so whoever stores a client id or a
//! member id copies it.

use bytes::{Buf, Bytes};
use kafka_protocol::messages;
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request as _, StrBytes,
};

use crate::api::{Api, for_each_api};
use crate::layouts;
use crate::limits::MAX_STRING;
use crate::malformed::{Fault, Malformed};
use crate::response::ResponseBody;
use crate::walk::{walk, walk_tags};

/// Bytes of the fields that every request begins with.
const PREAMBLE_LEN: usize = 8;

/// What every request of any version begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preamble {
    /// Which API; need not be an advertised one.
    pub api_key: i16,
    /// Which version of it; need not be a served one.
    pub version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
}

impl Preamble {
    /// Reads it; `None` if there are not enough bytes.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Preamble> {
        let [a, b, c, d, e, f, g, h] = *payload.first_chunk::<PREAMBLE_LEN>()?;
        Some(Preamble {
            api_key: i16::from_be_bytes([a, b]),
            version: i16::from_be_bytes([c, d]),
            correlation_id: i32::from_be_bytes([e, f, g, h]),
        })
    }
}

/// The header of a request that is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// Which API.
    pub api: Api,
    /// Which version of it; one that is served.
    pub version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
    /// What the client calls itself; a slice of the frame.
    pub client_id: Option<StrBytes>,
}

/// A request, read.
#[derive(Clone, PartialEq, Debug)]
pub struct ParsedRequest {
    /// Its header.
    pub header: RequestHeader,
    /// Its body.
    pub request: Request,
}

/// Why a request cannot be read. Kafka closes the connection for each, but for an ApiVersions of
/// an unknown version, which it answers ([`RequestError::unsupported_api_versions`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not even the API, the version and the correlation id are there.
    #[error("a request of {len} bytes is too short for a header")]
    NoHeader {
        /// Bytes in the frame.
        len: usize,
    },
    /// An API that is not advertised.
    #[error("API {} version {} is not known here", .0.api_key, .0.version)]
    UnknownApi(Preamble),
    /// A version that is not served.
    #[error("{api} version {} is not served", .preamble.version)]
    UnsupportedVersion {
        /// The API.
        api: Api,
        /// How the request began.
        preamble: Preamble,
    },
    /// Header or body are not what the version prescribes, or over a limit.
    #[error("{api} version {}, {source}", .preamble.version)]
    Malformed {
        /// The API.
        api: Api,
        /// How the request began.
        preamble: Preamble,
        /// Where and how.
        source: Malformed,
    },
}

impl RequestError {
    /// How the request began, if it got that far.
    #[must_use]
    pub fn preamble(&self) -> Option<Preamble> {
        match *self {
            RequestError::NoHeader { .. } => None,
            RequestError::UnknownApi(preamble)
            | RequestError::UnsupportedVersion { preamble, .. }
            | RequestError::Malformed { preamble, .. } => Some(preamble),
        }
    }

    /// The correlation id to answer with, where this is an ApiVersions request of a version that is
    /// not served: the client then asks again with one that is. The answer is
    /// [`response::unsupported_api_versions`](crate::response::unsupported_api_versions).
    #[must_use]
    pub fn unsupported_api_versions(&self) -> Option<i32> {
        match self {
            RequestError::UnsupportedVersion { api: Api::ApiVersions, preamble } => {
                Some(preamble.correlation_id)
            }
            _ => None,
        }
    }
}

/// The body of a request, as a type that knows its API and its answer.
pub trait RequestBody: Message + Encodable + Decodable + HeaderVersion {
    /// Its API.
    const API: Api;
    /// The body of its answer.
    type Response: ResponseBody;
}

macro_rules! define_request {
    ($($name:ident $key:literal ($min:literal, $max:literal) $request:ident $response:ident;)*) => {
        /// The body of a request. Strings, bytes and records are slices of its frame.
        #[derive(Clone, PartialEq, Debug)]
        #[expect(missing_docs, reason = "the protocol's own names")]
        pub enum Request {
            $($name(messages::$request),)*
        }

        impl Request {
            /// Its API.
            #[must_use]
            pub const fn api(&self) -> Api {
                match self {
                    $(Request::$name(_) => Api::$name,)*
                }
            }
        }

        $(impl RequestBody for messages::$request {
            const API: Api = Api::$name;
            type Response = messages::$response;
        }

        impl From<messages::$request> for Request {
            fn from(body: messages::$request) -> Request {
                Request::$name(body)
            }
        })*

        /// The version of the header that goes with a version of the body.
        fn header_version(api: Api, version: i16) -> i16 {
            match api {
                $(Api::$name => messages::$request::header_version(version),)*
            }
        }

        /// Decodes a body as the codec does: only after a walk.
        pub(crate) fn decode(
            api: Api,
            version: i16,
            body: &mut Bytes,
        ) -> Result<Request, Fault> {
            match api {
                $(Api::$name => decode_body(version, body).map(Request::$name),)*
            }
        }
    };
}
for_each_api!(define_request);

/// The version under which the body codec knows this one: the layouts of versions beyond its last
/// are the same as that. Which these are stands in [`api`](crate::api).
pub(crate) fn codec_version<B: Message>(version: i16) -> i16 {
    version.min(B::VERSIONS.max)
}

fn decode_body<B: RequestBody>(version: i16, body: &mut Bytes) -> Result<B, Fault> {
    B::decode(body, codec_version::<B>(version))
        .map_err(|error| Fault::Codec { reason: error.to_string() })
}

/// Reads the payload of one frame.
///
/// # Errors
/// If it is no request that is served, if it is cut short, or if it is over a limit.
pub fn parse(payload: Bytes) -> Result<ParsedRequest, RequestError> {
    let no_header = RequestError::NoHeader { len: payload.len() };
    let preamble = Preamble::parse(&payload).ok_or(no_header)?;
    let Preamble { api_key, version, correlation_id } = preamble;
    let api = Api::from_key(api_key).ok_or(RequestError::UnknownApi(preamble))?;
    if !api.serves(version) {
        return Err(RequestError::UnsupportedVersion { api, preamble });
    }
    let malformed = |source| RequestError::Malformed { api, preamble, source };
    let (client_id, body) = header(api, version, &payload).map_err(malformed)?;
    let end = walk(layouts::of(api), version, &payload, body).map_err(malformed)?;
    let request = decode_all(api, version, payload.slice(..end), body).map_err(malformed)?;
    Ok(ParsedRequest { header: RequestHeader { api, version, correlation_id, client_id }, request })
}

/// Reads the rest of the header, and says where the body begins.
fn header(api: Api, version: i16, payload: &Bytes) -> Result<(Option<StrBytes>, usize), Malformed> {
    const FIELD: &str = "client_id";
    let fail = |at, fault| Malformed { field: FIELD, at, fault };
    let rest = &payload[PREAMBLE_LEN..];
    let Some(len) = rest.first_chunk::<2>() else {
        return Err(fail(PREAMBLE_LEN, Fault::Truncated { needed: 2, left: rest.len() }));
    };
    let len = i16::from_be_bytes(*len);
    let start = PREAMBLE_LEN + 2;
    // The client id keeps its old encoding in every version of the header.
    let (client_id, end) = match usize::try_from(len) {
        Ok(len) if len <= payload.len() - start => {
            let bytes = payload.slice(start..start + len);
            // Whoever names itself in another encoding is served all the same, as Kafka does.
            let text = StrBytes::from_utf8(bytes).or_else(|_| {
                let text = String::from_utf8_lossy(&payload[start..start + len]).into_owned();
                // It takes more bytes than were sent, and goes into answers.
                if text.len() > MAX_STRING {
                    return Err(fail(start, Fault::NotUtf8));
                }
                Ok(StrBytes::from_string(text))
            });
            (Some(text?), start + len)
        }
        Ok(needed) => {
            return Err(fail(start, Fault::Truncated { needed, left: payload.len() - start }));
        }
        Err(_) if len == -1 => (None, start),
        Err(_) => return Err(fail(PREAMBLE_LEN, Fault::NegativeLength { len: len.into() })),
    };
    let body = if header_version(api, version) >= 2 { walk_tags(payload, end)? } else { end };
    Ok((client_id, body))
}

/// Decodes a body that the walk was content with.
fn decode_all(
    api: Api,
    version: i16,
    mut payload: Bytes,
    body: usize,
) -> Result<Request, Malformed> {
    let len = payload.len();
    payload.advance(body);
    let request = decode(api, version, &mut payload);
    // The walk ended at the last of these bytes. A codec that does not has another idea of the layout.
    let request = match payload.len() {
        left if left > 0 && request.is_ok() => Err(Fault::Trailing { left }),
        _ => request,
    };
    request.map_err(|fault| Malformed { field: "body", at: len - payload.len(), fault })
}

const _: () = assert!(MAX_STRING == i16::MAX as usize, "a client id fits every string");
const _: () = assert!(messages::ApiVersionsRequest::KEY == Api::ApiVersions.key());
