//! A connection that sends any bytes and tells what came back. Blocking, with a limit on every
//! wait.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::Broker;

/// What a connection runs over: TCP, plain or with TLS.
pub trait Line: Read + Write + Send {
    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

impl Line for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Line for StreamOwned<ClientConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// How long a broker may take nothing.
const WRITE_WAIT: Duration = Duration::from_secs(10);

/// The client id in every request header.
const CLIENT: &str = "compare";

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A frame, without its length.
    Frame(Vec<u8>),
    /// The broker closed the connection.
    Closed,
    /// Nothing within the time.
    Silent,
    /// A length that no answer has.
    BadLength(i32),
}

/// One connection to a broker.
pub struct Conn {
    line: Box<dyn Line>,
    correlation: i32,
}

impl Conn {
    /// Connects.
    ///
    /// # Panics
    /// If the broker does not listen.
    #[must_use]
    pub fn open(broker: Broker) -> Conn {
        Conn::try_open(broker).unwrap_or_else(|| panic!("nobody listens at {}", broker.address))
    }

    /// Connects; `None` if nobody listens there.
    #[must_use]
    pub fn try_open(broker: Broker) -> Option<Conn> {
        let stream = TcpStream::connect_timeout(&broker.address, WRITE_WAIT).ok()?;
        Some(Conn::over(Box::new(stream)))
    }

    /// Takes up a connection that there is.
    ///
    /// # Panics
    /// If the system refuses a socket's options.
    #[must_use]
    pub fn over(line: Box<dyn Line>) -> Conn {
        line.tcp().set_nodelay(true).expect("a socket option");
        line.tcp().set_write_timeout(Some(WRITE_WAIT)).expect("a socket option");
        Conn { line, correlation: 0 }
    }

    /// What it runs over, alone.
    #[must_use]
    pub fn into_line(self) -> Box<dyn Line> {
        self.line
    }

    /// Sends bytes as they are. A broker may close while they are still on their way, which is
    /// found out when the answer is read.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.line.write_all(bytes).and_then(|()| self.line.flush());
    }

    /// Sends a request with a header of its own and returns its correlation id.
    pub fn send(&mut self, api: i16, version: i16, flexible: bool, body: &[u8]) -> i32 {
        self.correlation += 1;
        let mut frame = header(api, version, self.correlation, flexible);
        frame.extend_from_slice(body);
        self.send_raw(&framed(&frame));
        self.correlation
    }

    /// Ends the sending side; the answer can still be read.
    pub fn finish(&mut self) {
        let _ = self.line.tcp().shutdown(std::net::Shutdown::Write);
    }

    /// The next frame, whatever it is.
    pub fn receive(&mut self, wait: Duration) -> Received {
        let end = Instant::now() + wait;
        let mut length = [0; 4];
        if let Some(other) = self.fill(&mut length, end) {
            return other;
        }
        let length = i32::from_be_bytes(length);
        let Some(size) = usize::try_from(length).ok().filter(|size| *size <= MAX_ANSWER) else {
            return Received::BadLength(length);
        };
        let mut frame = vec![0; size];
        match self.fill(&mut frame, end) {
            Some(other) => other,
            None => Received::Frame(frame),
        }
    }

    fn fill(&mut self, mut buf: &mut [u8], end: Instant) -> Option<Received> {
        while !buf.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Received::Silent);
            }
            self.line.tcp().set_read_timeout(Some(left)).expect("a socket option");
            match self.line.read(buf) {
                Ok(0) => return Some(Received::Closed),
                Ok(n) => buf = &mut buf[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Some(Received::Silent);
                }
                Err(_) => return Some(Received::Closed),
            }
        }
        None
    }

    /// A request's frame without its length: header version 2 where the request is flexible, else
    /// 1, and no body.
    #[must_use]
    pub fn header(api: i16, version: i16, correlation: i32, flexible: bool) -> Vec<u8> {
        header(api, version, correlation, flexible)
    }

    /// The frame with its length before it.
    #[must_use]
    pub fn framed(frame: &[u8]) -> Vec<u8> {
        framed(frame)
    }
}

fn header(api: i16, version: i16, correlation: i32, flexible: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.extend_from_slice(&api.to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&correlation.to_be_bytes());
    out.extend_from_slice(&(CLIENT.len() as i16).to_be_bytes());
    out.extend_from_slice(CLIENT.as_bytes());
    if flexible {
        out.push(0);
    }
    out
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let mut out = (frame.len() as i32).to_be_bytes().to_vec();
    out.extend_from_slice(frame);
    out
}

/// Bytes as lower-case hexadecimal text, which is how they stand in trees.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that [`hex`] made text of; anything else is `None`.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
