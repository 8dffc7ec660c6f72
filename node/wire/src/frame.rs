//! The frame: `u32` length of all that follows, `u32` length of the header, header, payload.
//!
//! ```text
//! 0        4        8                8 + header length      4 + length
//! | length | header | header         | payload              |
//! |        | length | (postcard)     | (raw record batches) |
//! ```
//!
//! Both lengths are big endian. `length` counts everything after itself, so it is at least 4 and
//! at least 4 more than the header length. A header is exactly one postcard value: bytes left over
//! are refused, so that a message cannot carry what nobody reads.
//!
//! Both lengths are checked against [`limits::MAX_FRAME`] and [`limits::MAX_FRAME_HEADER`] before
//! anything is reserved for them, and memory is reserved as bytes arrive, not as they are promised.
//! What the payload holds is not looked at here, nor which message is due on which stream.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_types::limits;

/// Bytes before the header: the two lengths.
pub const PREFIX_LEN: usize = 8;

/// Bytes of the header length, which the frame's length counts.
const HEADER_LEN_SIZE: u32 = 4;

/// Reserved for a frame of which nothing has come yet; more is reserved as it arrives.
const FIRST_RESERVE: usize = 256 * 1024;

const _: () = assert!(limits::MAX_FRAME.get() <= u32::MAX as u64, "a frame's length is a u32");

/// Why a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length does not even cover the header length.
    #[error("frame length {len} is below the smallest, {HEADER_LEN_SIZE}")]
    TooShort {
        /// Its length.
        len: u32,
    },
    /// Longer than [`limits::MAX_FRAME`].
    #[error("frame length {len} is over the limit of {}", limits::MAX_FRAME)]
    TooLong {
        /// Its length.
        len: u32,
    },
    /// A header longer than [`limits::MAX_FRAME_HEADER`].
    #[error("frame header of {len} bytes is over the limit of {}", limits::MAX_FRAME_HEADER)]
    HeaderTooLong {
        /// Its length.
        len: u32,
    },
    /// A header that reaches beyond its frame.
    #[error("frame header of {header} bytes does not fit its frame of {frame} bytes")]
    HeaderBeyondFrame {
        /// The header's length.
        header: u32,
        /// The frame's length.
        frame: u32,
    },
    /// The header is no message of the expected kind.
    #[error("frame header is not the message expected here")]
    Header {
        /// What postcard found.
        source: postcard::Error,
    },
    /// Bytes follow the message in the header.
    #[error("{left} bytes follow the message in a frame header")]
    Trailing {
        /// Bytes left over.
        left: usize,
    },
}

/// Why a frame could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The header is over [`limits::MAX_FRAME_HEADER`].
    #[error("a message of {len} bytes is over the limit of {}", limits::MAX_FRAME_HEADER)]
    HeaderTooLong {
        /// Its length.
        len: usize,
    },
    /// Header and payload are over [`limits::MAX_FRAME`].
    #[error("a frame of {len} bytes is over the limit of {}", limits::MAX_FRAME)]
    TooLong {
        /// Length of the whole frame.
        len: usize,
    },
    /// The message cannot be expressed in postcard.
    #[error("message cannot be encoded")]
    Message {
        /// What postcard said.
        source: postcard::Error,
    },
}

/// The two lengths at the front of a frame, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHead {
    header: u32,
    payload: u32,
}

impl FrameHead {
    /// Reads and checks the two lengths.
    ///
    /// # Errors
    /// If a length breaks a limit, or the two contradict each other.
    pub fn parse(prefix: [u8; PREFIX_LEN]) -> Result<FrameHead, FrameError> {
        let [a, b, c, d, e, f, g, h] = prefix;
        let len = u32::from_be_bytes([a, b, c, d]);
        let header = u32::from_be_bytes([e, f, g, h]);
        if u64::from(len) > limits::MAX_FRAME.get() {
            return Err(FrameError::TooLong { len });
        }
        let body = len.checked_sub(HEADER_LEN_SIZE).ok_or(FrameError::TooShort { len })?;
        if u64::from(header) > limits::MAX_FRAME_HEADER.get() {
            return Err(FrameError::HeaderTooLong { len: header });
        }
        let payload =
            body.checked_sub(header).ok_or(FrameError::HeaderBeyondFrame { header, frame: len })?;
        Ok(FrameHead { header, payload })
    }

    /// Length of the postcard header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        self.header as usize
    }

    /// Length of the payload.
    #[must_use]
    pub const fn payload_len(self) -> usize {
        self.payload as usize
    }

    /// Length of header and payload.
    #[must_use]
    pub const fn body_len(self) -> usize {
        self.header_len() + self.payload_len()
    }
}

/// Encodes a frame up to its payload, which the caller writes after it without a copy.
///
/// # Errors
/// If the message or the whole frame is over its limit.
pub fn encode_header<T: Serialize + ?Sized>(
    message: &T,
    payload_len: usize,
) -> Result<Bytes, EncodeError> {
    let mut out = Vec::with_capacity(PREFIX_LEN + 64);
    out.extend_from_slice(&[0; PREFIX_LEN]);
    let mut out =
        postcard::to_extend(message, out).map_err(|source| EncodeError::Message { source })?;
    let header = out.len() - PREFIX_LEN;
    if header > limits::MAX_FRAME_HEADER.as_usize() {
        return Err(EncodeError::HeaderTooLong { len: header });
    }
    let len = (HEADER_LEN_SIZE as usize + header).saturating_add(payload_len);
    if len > limits::MAX_FRAME.as_usize() {
        return Err(EncodeError::TooLong { len });
    }
    out[..4].copy_from_slice(&(len as u32).to_be_bytes());
    out[4..PREFIX_LEN].copy_from_slice(&(header as u32).to_be_bytes());
    Ok(Bytes::from(out))
}

/// Decodes the message in a frame's header.
///
/// # Errors
/// If it is another message, is cut short, or has bytes after it.
pub fn decode_header<T: DeserializeOwned>(header: &[u8]) -> Result<T, FrameError> {
    let (message, rest) =
        postcard::take_from_bytes(header).map_err(|source| FrameError::Header { source })?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Trailing { left: rest.len() }) }
}

/// One whole frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The postcard bytes, for [`decode_header`].
    pub header: Bytes,
    /// What follows them.
    pub payload: Bytes,
}

/// Takes bytes as they come and gives frames.
///
/// Call [`handle_bytes`](Self::handle_bytes) with what arrived, then
/// [`poll_frame`](Self::poll_frame) until it gives `None`. After an error the stream is beyond
/// repair: the same error is given again.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    queued: VecDeque<Bytes>,
    prefix: [u8; PREFIX_LEN],
    prefix_len: usize,
    body: Option<(FrameHead, BytesMut)>,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> FrameDecoder {
        FrameDecoder::default()
    }

    /// Takes the next bytes of the stream.
    pub fn handle_bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queued.push_back(bytes);
        }
    }

    /// Whether the stream may end here: no frame has begun that is not whole.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.queued.is_empty() && self.prefix_len == 0 && self.body.is_none()
    }

    /// The next whole frame; `None` until more bytes come.
    ///
    /// # Errors
    /// If the lengths of a frame break a limit or contradict each other.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let frame = self.advance();
        if let Err(error) = &frame {
            self.failed = Some(error.clone());
            self.queued.clear();
        }
        frame
    }

    fn advance(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some((head, body)) = &mut self.body {
                let missing = head.body_len() - body.len();
                if missing == 0 {
                    let (head, body) = (*head, std::mem::take(body).freeze());
                    return Ok(Some(self.finish(head, body)));
                }
                let Some(chunk) = take(&mut self.queued, missing) else { return Ok(None) };
                if body.is_empty() && chunk.len() == missing {
                    let head = *head;
                    return Ok(Some(self.finish(head, chunk)));
                }
                if body.capacity() - body.len() < chunk.len() {
                    let target = (body.capacity() * 4).max(FIRST_RESERVE).min(head.body_len());
                    body.reserve(target.saturating_sub(body.len()).max(chunk.len()));
                }
                body.extend_from_slice(&chunk);
                continue;
            }
            let Some(chunk) = take(&mut self.queued, PREFIX_LEN - self.prefix_len) else {
                return Ok(None);
            };
            let end = self.prefix_len + chunk.len();
            self.prefix[self.prefix_len..end].copy_from_slice(&chunk);
            self.prefix_len = end;
            if end == PREFIX_LEN {
                self.body = Some((FrameHead::parse(self.prefix)?, BytesMut::new()));
            }
        }
    }

    fn finish(&mut self, head: FrameHead, mut body: Bytes) -> Frame {
        self.body = None;
        self.prefix_len = 0;
        let header = body.split_to(head.header_len());
        Frame { header, payload: body }
    }
}

/// At most `max` bytes from the front of the queue.
fn take(queued: &mut VecDeque<Bytes>, max: usize) -> Option<Bytes> {
    let front = queued.front_mut()?;
    if front.len() > max { Some(front.split_to(max)) } else { queued.pop_front() }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
