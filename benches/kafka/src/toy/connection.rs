//! One client of the toy's.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use bytes::{Buf, Bytes};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use tidegate_bench_common::Failure;

use super::log::Range;

/// Bytes read with one call.
const CHUNK: usize = 1 << 20;

/// Bytes read from one client in a round: few enough to be still in the processor's cache when they
/// are checked and written.
const ROUND: usize = 1 << 20;

/// Longest request.
const LONGEST: usize = 16 << 20;

/// One client: what has arrived from it, and its socket.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    arrived: Vec<u8>,
    /// What is left behind the requests of this round, in the buffer that they lie in too.
    left: Option<Bytes>,
}

impl Connection {
    /// A client that has just come.
    ///
    /// # Errors
    /// If the socket cannot be set up.
    pub fn new(stream: TcpStream) -> Result<Connection, Failure> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, arrived: Vec::new(), left: None })
    }

    /// Its socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads what is there, up to a round's worth; false at the end.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn read(&mut self) -> Result<bool, Failure> {
        let mut read = 0;
        while read < ROUND {
            self.arrived.reserve(CHUNK);
            match rustix::io::read(&self.stream, spare_capacity(&mut self.arrived)) {
                Ok(0) => return Ok(false),
                Ok(some) => read += some,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Takes out all whole requests, as slices of what arrived. Once they are dropped,
    /// [`end_round`](Connection::end_round) takes their buffer back.
    ///
    /// # Errors
    /// If a length is none.
    pub fn requests(&mut self) -> Result<Vec<Bytes>, Failure> {
        let mut arrived = Bytes::from(std::mem::take(&mut self.arrived));
        let mut requests = Vec::new();
        while let Some(prefix) = arrived.first_chunk() {
            let length = i32::from_be_bytes(*prefix);
            let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST);
            let length = length.ok_or("a client sent what is no request")?;
            if arrived.len() < 4 + length {
                break;
            }
            requests.push(arrived.slice(4..4 + length));
            // Not split off: what is empty then would let go of the buffer.
            arrived.advance(4 + length);
        }
        self.left = Some(arrived);
        Ok(requests)
    }

    /// Takes the buffer back, with what is left at its beginning: memory that is new each round
    /// costs more than what is done to it.
    pub fn end_round(&mut self) {
        if let Some(left) = self.left.take() {
            self.arrived = Vec::from(left);
        }
    }

    /// Sends bytes, waiting for room if need be.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn send(&self, bytes: &[Bytes]) -> Result<(), Failure> {
        let mut slices: Vec<_> = bytes.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match (&self.stream).write_vectored(rest) {
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Hands a part of a file to the socket without a copy in between.
    ///
    /// # Errors
    /// If the socket fails, or the file is shorter.
    pub fn send_file(&self, range: &Range<'_>) -> Result<(), Failure> {
        let (mut at, end) = (range.at, range.at + range.len);
        while at < end {
            let count = usize::try_from(end - at)?;
            match rustix::fs::sendfile(&self.stream, range.file, Some(&mut at), count) {
                Ok(0) => return Err("a file is shorter than it was".into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => self.wait()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), Failure> {
        let mut fds = [PollFd::from_borrowed_fd(self.stream.as_fd(), PollFlags::OUT)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
