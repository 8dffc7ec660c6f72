//! Kafka's protocol without sockets: bounded decoding, encoding, fetch sessions.
//!
//! The way of a request: [`frame`] takes it out of what has arrived, [`request::parse`] reads its
//! header, walks its body and only then decodes it, [`response`] and [`fetch_response`] put the
//! answer into bytes. [`client`] is the other side, for load generators and tests.
//!
//! What it holds true:
//! - [`api`] is the only place that says which APIs and versions exist here.
//! - No length or count of a request is believed. The body codec reserves memory by what a body
//!   claims, so a body reaches it only after a walk over its layout that checked every length and
//!   every count against the bytes that are there and against [`limits`].
//! - Bad input is an error with a place and a reason, never a panic. Neither is an answer that the
//!   asked version cannot express.
//! - Records are never looked into, and on the way in never copied: they are slices of the frame.
//!   On the way out they are not even here, only their lengths.
//!
//! What it does not do: no IO, no clock, no randomness, no records, no meaning. Authentication and
//! transactions are not advertised.

#[cfg(test)]
mod allocations;
pub mod api;
pub mod client;
pub mod error_code;
pub mod fetch_response;
pub mod fetch_session;
pub mod frame;
mod layouts;
pub mod limits;
pub mod malformed;
pub mod request;
pub mod response;
mod shape;
#[cfg(test)]
mod testing;
mod walk;

pub use api::{Api, ApiRange};
pub use error_code::ErrorCode;
pub use malformed::{Fault, Malformed};
pub use request::{ParsedRequest, Preamble, Request, RequestError, RequestHeader};
pub use response::EncodeError;

/// The bodies of requests and responses, one module each.
pub use kafka_protocol::messages;
/// A string that is a slice of the bytes it came in.
pub use kafka_protocol::protocol::StrBytes;
