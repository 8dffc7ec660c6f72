//! Takes length-prefixed frames out of what a connection has received.
//!
//! ```text
//! 0        4               4 + length
//! | length | payload       | next frame
//! ```
//!
//! The length is a signed 32-bit number and counts what follows it. It is checked as soon as its
//! four bytes are there, before room is made for the rest; a connection that sent a bad one is
//! beyond repair.
//!
//! A frame is split off the buffer without a copy. What has come of a frame that is not whole is
//! not looked at again, so that bytes that come one at a time cost no more than all at once.
//! [`room`](FrameReader::room) says how far to read, so that a large frame is received into memory
//! of its own size: growing by doubling would copy it over and over.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of the length.
pub const PREFIX_LEN: usize = 4;

/// Room made for a frame of which little has come: what a length merely promises is not reserved.
const FIRST_ROOM: usize = 64 * 1024;

/// Why a frame was refused. Nothing that follows it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is below zero.
    #[error("frame length {len} is negative")]
    Negative {
        /// The length.
        len: i32,
    },
    /// The length is over the limit.
    #[error("frame length {len} is over the limit of {max}")]
    TooLong {
        /// The length.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// Finds the frames in one connection's bytes.
///
/// Append to the buffer what arrives, then call [`next_frame`](Self::next_frame) until it gives
/// `None`. The buffer must be the same one all along, and nobody else may take from it.
#[derive(Debug, Clone)]
pub struct FrameReader {
    max: usize,
    /// Length of the payload at the front of the buffer, once it is known.
    awaited: Option<usize>,
}

impl FrameReader {
    /// A reader that takes payloads of up to `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> FrameReader {
        FrameReader { max, awaited: None }
    }

    /// The payload of the next frame, taken out of the buffer; `None` until more bytes come.
    ///
    /// # Errors
    /// If the length of a frame is negative or over the limit. The buffer is left as it was, and
    /// the same error comes again.
    pub fn next_frame(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let len = match self.awaited {
            Some(len) => len,
            None => {
                let Some(prefix) = buffer.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
                let len = self.check(i32::from_be_bytes(*prefix))?;
                buffer.advance(PREFIX_LEN);
                *self.awaited.insert(len)
            }
        };
        if buffer.len() < len {
            return Ok(None);
        }
        self.awaited = None;
        Ok(Some(buffer.split_to(len).freeze()))
    }

    fn check(&self, len: i32) -> Result<usize, FrameError> {
        let len = usize::try_from(len).map_err(|_| FrameError::Negative { len })?;
        if len > self.max {
            return Err(FrameError::TooLong { len, max: self.max });
        }
        Ok(len)
    }

    /// Bytes to make room for before the next read: [`BytesMut::reserve`] so many.
    ///
    /// Never more than what is missing of a frame, and at first never more than has come already,
    /// so that memory follows the bytes and not the promise. Between frames it is a read's worth.
    #[must_use]
    pub fn room(&self, buffer: &BytesMut) -> usize {
        match self.awaited {
            Some(len) => {
                let missing = len.saturating_sub(buffer.len());
                // At least fourfold each time: a frame is moved a few times at the most.
                missing.min((buffer.len() * 3).max(FIRST_ROOM))
            }
            None => FIRST_ROOM,
        }
    }

    /// Length of the payload that is on its way, once it is known.
    #[must_use]
    pub const fn awaited(&self) -> Option<usize> {
        self.awaited
    }

    /// Whether the connection may end here: no frame has begun that is not whole.
    #[must_use]
    pub fn is_between_frames(&self, buffer: &BytesMut) -> bool {
        self.awaited.is_none() && buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u32).to_be_bytes(), payload].concat()
    }

    fn frames(reader: &mut FrameReader, buffer: &mut BytesMut) -> Vec<Bytes> {
        std::iter::from_fn(|| reader.next_frame(buffer).unwrap()).collect()
    }

    #[test]
    fn frames_come_out_however_the_bytes_were_cut() {
        let payloads: Vec<Vec<u8>> =
            [0, 1, 7, 300, 0, 5_000].map(|len| vec![len as u8; len]).into();
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
        for cut in [1, 2, 3, 5, 64, 4_096, stream.len()] {
            let (mut reader, mut buffer) = (FrameReader::new(5_000), BytesMut::new());
            let mut found = Vec::new();
            for piece in stream.chunks(cut) {
                buffer.put_slice(piece);
                found.extend(frames(&mut reader, &mut buffer));
            }
            assert_eq!(found, payloads, "cut at {cut}");
            assert!(reader.is_between_frames(&buffer));
        }
    }

    #[test]
    fn a_bad_length_is_refused_before_anything_else_has_come() {
        for (len, error) in [
            (-1, FrameError::Negative { len: -1 }),
            (i32::MIN, FrameError::Negative { len: i32::MIN }),
            (101, FrameError::TooLong { len: 101, max: 100 }),
            (i32::MAX, FrameError::TooLong { len: i32::MAX as usize, max: 100 }),
        ] {
            let (mut reader, mut buffer) = (FrameReader::new(100), BytesMut::new());
            buffer.put_i32(len);
            let capacity = buffer.capacity();
            assert_eq!(reader.next_frame(&mut buffer), Err(error));
            assert_eq!(reader.next_frame(&mut buffer), Err(error), "it stays refused");
            assert_eq!(buffer.capacity(), capacity);
        }
        let (mut reader, mut buffer) = (FrameReader::new(100), BytesMut::new());
        buffer.put_slice(&frame(&[7; 100]));
        assert_eq!(reader.next_frame(&mut buffer).unwrap().unwrap(), vec![7; 100]);
    }

    #[test]
    fn a_payload_is_not_copied() {
        let (mut reader, mut buffer) = (FrameReader::new(1_000), BytesMut::with_capacity(4_096));
        buffer.put_slice(&frame(&[1; 900]));
        let at = buffer.as_ptr();
        let payload = reader.next_frame(&mut buffer).unwrap().unwrap();
        assert_eq!(payload.as_ptr(), at.wrapping_add(PREFIX_LEN));
    }

    #[test]
    fn room_follows_what_has_come_and_not_what_was_promised() {
        const LEN: usize = 50 << 20;
        let (mut reader, mut buffer) = (FrameReader::new(LEN), BytesMut::new());
        buffer.put_u32(LEN as u32);
        assert_eq!(reader.next_frame(&mut buffer), Ok(None));
        let (mut reads, mut moved) = (0, 0);
        while buffer.len() < LEN {
            let room = reader.room(&buffer);
            assert!(room > 0 && room <= (3 * buffer.len()).max(FIRST_ROOM));
            if buffer.capacity() - buffer.len() < room {
                moved += buffer.len();
            }
            buffer.reserve(room);
            buffer.put_bytes(9, room);
            reads += 1;
            if buffer.len() < LEN {
                assert_eq!(reader.next_frame(&mut buffer), Ok(None));
            }
        }
        assert!(reads < 10 && moved < LEN / 2, "{reads} reads, {moved} bytes moved");
        assert_eq!(reader.next_frame(&mut buffer).unwrap().unwrap().len(), LEN);
    }

    /// What has come of a frame is not looked at again: the time for one byte does not depend on
    /// how many came before. A reader that copied or searched would need minutes here.
    #[test]
    fn a_byte_at_a_time_costs_no_more_than_the_bytes() {
        const LEN: usize = 4 << 20;
        let (mut reader, mut buffer) = (FrameReader::new(LEN), BytesMut::new());
        buffer.put_u32(LEN as u32);
        for _ in 0..LEN {
            assert_eq!(reader.next_frame(&mut buffer), Ok(None));
            buffer.put_u8(3);
        }
        assert_eq!(reader.next_frame(&mut buffer).unwrap().unwrap().len(), LEN);
    }
}
