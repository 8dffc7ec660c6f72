//! The two ways in which a client's bytes travel: plain TCP, or TLS over it.
//!
//! Records go from the log's file to a plain socket without passing through this process; through
//! TLS in small pieces, so that a slow reader holds little.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::fs::sendfile;
use rustix::io::{ReadWriteFlags, preadv2};
use tidegate_log::FileRange;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::limits::WRITE_STALL;

/// Room for a read of which nothing is known yet.
const FIRST_READ: usize = 4 << 10;

/// Handed to the system at once: enough to fill a socket's buffer.
const SEND: usize = 1 << 20;

/// Read at once to be encrypted.
const PIECE: usize = 64 << 10;

/// A client that takes nothing for so long is slow: what is held in memory for it is let go.
const SLOW: Duration = Duration::from_millis(200);

/// A client's connection.
pub(crate) enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads some bytes behind those in `buf`; 0 at the end. May be dropped while it waits, and
    /// nothing is lost. While nothing comes, it holds no memory for what may come.
    pub(crate) async fn read(&mut self, buf: &mut BytesMut, wanted: usize) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => loop {
                tcp.readable().await?;
                buf.reserve(wanted.max(FIRST_READ));
                match tcp.try_read_buf(buf) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            },
            Stream::Tls(tls) => {
                // It waits with the room in hand.
                let wanted = if buf.is_empty() { FIRST_READ } else { wanted };
                buf.reserve(wanted.max(FIRST_READ));
                tls.read_buf(buf).await
            }
        }
    }

    /// Writes all of `frames`.
    ///
    /// # Errors
    /// If the client is gone, or takes nothing for too long.
    pub(crate) async fn write(&mut self, frames: &[Bytes]) -> io::Result<()> {
        match frames {
            [] => Ok(()),
            [frame] => self.write_one(frame).await,
            many => self.write_many(many).await,
        }
    }

    async fn write_one(&mut self, mut left: &[u8]) -> io::Result<()> {
        while !left.is_empty() {
            let written = patiently(WRITE_STALL, async {
                match self {
                    Stream::Plain(tcp) => tcp.write(left).await,
                    Stream::Tls(tls) => tls.write(left).await,
                }
            });
            left = &left[some(written.await?)?..];
        }
        self.flush().await
    }

    async fn write_many(&mut self, frames: &[Bytes]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let writing = async {
                match self {
                    Stream::Plain(tcp) => tcp.write_vectored(left).await,
                    Stream::Tls(tls) => tls.write_vectored(left).await,
                }
            };
            let written = some(patiently(WRITE_STALL, writing).await?)?;
            IoSlice::advance_slices(&mut left, written);
        }
        self.flush().await
    }

    /// What TLS holds back goes out.
    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => patiently(WRITE_STALL, tls.flush()).await,
        }
    }

    /// Writes the bytes of a range of a log.
    ///
    /// # Errors
    /// As [`write`](Stream::write), or if the disk fails; the answer cannot be made whole then.
    pub(crate) async fn send(&mut self, mut range: FileRange) -> io::Result<()> {
        let mut at = 0;
        if range.is_in_memory() {
            at = self.send_memory(&range).await?;
            range.release_memory();
        }
        match self {
            Stream::Plain(tcp) => send_file(tcp, &range, at).await,
            Stream::Tls(tls) => {
                while at < range.len {
                    let reading = range.clone();
                    let piece = tokio::task::spawn_blocking(move || reading.piece(at, PIECE));
                    let piece = piece.await.map_err(io::Error::other)??;
                    patiently(WRITE_STALL, tls.write_all(&piece)).await?;
                    at += piece.len();
                }
                self.flush().await
            }
        }
    }

    /// Writes what lies in memory, for as long as the client takes it; how many bytes it took.
    async fn send_memory(&mut self, range: &FileRange) -> io::Result<usize> {
        let mut at = 0;
        while at < range.len {
            let piece = range.piece(at, SEND)?;
            let writing = async {
                match self {
                    Stream::Plain(tcp) => tcp.write(&piece).await,
                    Stream::Tls(tls) => tls.write(&piece).await,
                }
            };
            match tokio::time::timeout(SLOW, writing).await {
                Ok(written) => at += some(written?)?,
                Err(_) => break,
            }
        }
        Ok(at)
    }
}

/// Copies a range from its file to the socket, from `at` on.
async fn send_file(tcp: &TcpStream, range: &FileRange, at: usize) -> io::Result<()> {
    let Some(file) = range.file.as_fd() else {
        let message = "the log's file has no handle to send from";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    };
    let mut from = range.position + at as u64;
    let mut left = range.len - at;
    while left > 0 {
        let len = left.min(SEND);
        let mut copy = || Ok(sendfile(tcp, file, Some(&mut from), len)?);
        let cached = is_cached(file, range.position + (range.len - left) as u64, len);
        let sending = tcp.async_io(Interest::WRITABLE, || {
            // A cold page is waited for; meanwhile this thread's other work goes elsewhere.
            if cached { copy() } else { tokio::task::block_in_place(&mut copy) }
        });
        left -= some(patiently(WRITE_STALL, sending).await?)?;
    }
    Ok(())
}

/// Whether the first and the last page of a range are in memory, as far as the system tells.
fn is_cached(file: std::os::fd::BorrowedFd<'_>, at: u64, len: usize) -> bool {
    let page_is = |at: u64| {
        let mut byte = [0];
        let mut bufs = [io::IoSliceMut::new(&mut byte)];
        matches!(preadv2(file, &mut bufs, at, ReadWriteFlags::NOWAIT), Ok(1))
    };
    page_is(at) && page_is(at + len as u64 - 1)
}

/// Ends with an error where nothing happens for `patience`.
async fn patiently<T>(
    patience: Duration,
    writing: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(patience, writing).await.unwrap_or_else(|_| {
        let message = format!("the client took nothing for {patience:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    })
}

/// A write of nothing is the end.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}
