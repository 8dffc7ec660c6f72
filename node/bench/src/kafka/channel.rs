//! One connection to a broker: made, asked one thing at a time, then handed to a load.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use tidegate_kafka_proto::messages::{ApiVersionsRequest, ApiVersionsResponse};
use tidegate_kafka_proto::request::RequestBody;
use tidegate_kafka_proto::response::ResponseBody;
use tidegate_kafka_proto::{Api, client};

use super::inbox::{BadLength, Found, Inbox};
use crate::BenchError;

/// What this program calls itself.
pub(super) const CLIENT_ID: &str = "tidegate-bench";

/// Longest answer to anything but a fetch.
const LONGEST_ANSWER: usize = 16 << 20;

/// The ranges of versions that a broker speaks, by API.
type Versions = BTreeMap<i16, (i16, i16)>;

/// One connection to a broker.
#[derive(Debug)]
pub(super) struct Channel {
    pub stream: TcpStream,
    pub address: String,
    pub inbox: Inbox,
    pub timeout: Duration,
    versions: Versions,
    correlation: i32,
}

impl Channel {
    /// Connects, and asks which versions the broker speaks.
    ///
    /// # Errors
    /// If nothing answers there, or what answers is no broker.
    pub fn connect(address: &str, timeout: Duration) -> Result<Channel, BenchError> {
        let stream = dial(address, timeout)
            .map_err(|source| BenchError::Unreachable { address: address.to_owned(), source })?;
        let mut channel = Channel {
            stream,
            address: address.to_owned(),
            inbox: Inbox::new(LONGEST_ANSWER),
            timeout,
            versions: Versions::new(),
            correlation: 0,
        };
        let answer: ApiVersionsResponse =
            channel.ask_in(0, "for its versions", &ApiVersionsRequest::default())?;
        channel.accept("for its versions", answer.error_code, None)?;
        let ranges = answer.api_keys.iter();
        channel.versions =
            ranges.map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(channel)
    }

    /// The highest version of an API between `least` and `most` that the broker speaks.
    ///
    /// # Errors
    /// If there is none.
    pub fn version(&self, api: Api, least: i16, most: i16) -> Result<i16, BenchError> {
        let (min, max) = self.versions.get(&api.key()).copied().unwrap_or((0, -1));
        let version = most.min(max);
        if version >= least.max(min) {
            return Ok(version);
        }
        let speaks = if max < 0 { "none".to_owned() } else { format!("{min} to {max}") };
        let name = api.name();
        Err(self.wrong(format!("it speaks {name} in {speaks}, not in {least} to {most}")))
    }

    /// Asks in the highest version that both sides speak, and waits for the answer.
    ///
    /// # Errors
    /// If the connection fails, no answer comes in time, or it is not understood.
    pub fn ask<B: RequestBody>(
        &mut self,
        versions: (i16, i16),
        what: &'static str,
        body: &B,
    ) -> Result<B::Response, BenchError> {
        let version = self.version(B::API, versions.0, versions.1)?;
        self.ask_in(version, what, body)
    }

    fn ask_in<B: RequestBody>(
        &mut self,
        version: i16,
        what: &'static str,
        body: &B,
    ) -> Result<B::Response, BenchError> {
        self.correlation = self.correlation.wrapping_add(1) & i32::MAX;
        let sent = self.correlation;
        let frame = client::encode_request(version, sent, Some(CLIENT_ID), body)
            .map_err(|error| self.wrong(error.to_string()))?;
        let deadline = Instant::now() + self.timeout;
        let timed_out =
            BenchError::TimedOut { address: self.address.clone(), what, waited: self.timeout };
        self.limit(deadline).map_err(|error| self.broken(error))?;
        if let Err(error) = (&self.stream).write_all(&frame) {
            let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            return Err(if late { timed_out } else { self.broken(error) });
        }
        let payload = loop {
            match self.inbox.frame() {
                Ok(Some(payload)) => break payload,
                Ok(None) => {}
                Err(error) => return Err(self.bad_length(error)),
            }
            if Instant::now() >= deadline {
                return Err(timed_out);
            }
            self.limit(deadline).map_err(|error| self.broken(error))?;
            match self.inbox.read(&self.stream) {
                Ok(Found::Bytes | Found::Nothing) => {}
                Ok(Found::End) => {
                    return Err(BenchError::Closed {
                        address: self.address.clone(),
                        answered: sent.unsigned_abs().saturating_sub(1).into(),
                        waiting: 1,
                    });
                }
                Err(error) => return Err(self.broken(error)),
            }
        };
        let (correlation, answer) =
            decode::<B::Response>(version, payload).map_err(|reason| self.wrong(reason))?;
        if correlation != sent {
            return Err(self.wrong(format!("it answers request {correlation}, not {sent}")));
        }
        Ok(answer)
    }

    /// Lets no call on the socket outlast the deadline.
    fn limit(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean for ever.
        let left = Some(left.max(Duration::from_millis(1)));
        self.stream.set_read_timeout(left)?;
        self.stream.set_write_timeout(left)
    }

    /// Fails if an answer tells an error.
    ///
    /// # Errors
    /// The error, by its name.
    pub fn accept(
        &self,
        what: &'static str,
        code: i16,
        message: Option<&str>,
    ) -> Result<(), BenchError> {
        if code == 0 {
            return Ok(());
        }
        let mut error = super::error_name(code);
        if let Some(message) = message.filter(|message| !message.is_empty()) {
            error.push_str(": ");
            error.push_str(message);
        }
        Err(BenchError::Refused { address: self.address.clone(), what, error })
    }

    /// An error about what the broker sent.
    pub fn wrong(&self, reason: String) -> BenchError {
        BenchError::Protocol { address: self.address.clone(), reason }
    }

    fn broken(&self, source: io::Error) -> BenchError {
        let answered = self.correlation.unsigned_abs().saturating_sub(1).into();
        BenchError::Broken { address: self.address.clone(), answered, waiting: 1, source }
    }

    fn bad_length(&self, BadLength(length): BadLength) -> BenchError {
        self.wrong(format!("it sent a frame of {length} bytes, or is no Kafka broker"))
    }
}

/// The correlation id and the body of an answer.
pub(super) fn decode<R: ResponseBody>(
    version: i16,
    payload: bytes::Bytes,
) -> Result<(i32, R), String> {
    client::decode_response::<R>(version, payload).map_err(|error| error.to_string())
}

/// Connects to the first address that takes it.
fn dial(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
