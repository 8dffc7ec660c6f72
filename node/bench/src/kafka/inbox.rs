//! Whole frames out of what arrives on a socket.

use std::io::{self, ErrorKind};
use std::net::TcpStream;

use bytes::{Buf, Bytes};
use rustix::buffer::spare_capacity;

/// Read at once while it is not known how long the next frame is.
const CHUNK: usize = 64 << 10;

/// Bytes of a frame's length.
const PREFIX: usize = 4;

/// What was found on a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Something.
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The end.
    End,
}

/// A frame that is too long to be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BadLength(pub i32);

/// Collects what arrives; never holds more than one frame and a chunk.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    longest: usize,
}

impl Inbox {
    /// One for frames of at most so many bytes.
    pub fn new(longest: usize) -> Inbox {
        Inbox { buffer: Vec::new(), longest }
    }

    /// Lets frames be longer, or shorter.
    pub fn set_longest(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Reads once. Blocks if the socket does.
    ///
    /// # Errors
    /// If the socket fails; when its timeout strikes, nothing was found.
    pub fn read(&mut self, stream: &TcpStream) -> io::Result<Found> {
        let missing = match self.length() {
            Some(Ok(length)) => (PREFIX + length).saturating_sub(self.buffer.len()),
            _ => 0,
        };
        self.buffer.reserve(missing.max(CHUNK));
        match rustix::io::read(stream, spare_capacity(&mut self.buffer)) {
            Ok(0) => Ok(Found::End),
            Ok(_) => Ok(Found::Bytes),
            Err(error) => match io::Error::from(error).kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                    Ok(Found::Nothing)
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Takes out all whole frames, without their lengths, and gives them to `each`. Nothing is
    /// copied; a frame that is kept costs a new buffer.
    ///
    /// # Errors
    /// If a length is none, or the first that `each` gives.
    pub fn frames<E: From<BadLength>>(
        &mut self,
        mut each: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.has_frame()? {
            return Ok(());
        }
        let mut arrived = Bytes::from(std::mem::take(&mut self.buffer));
        let result = loop {
            match length(&arrived, self.longest) {
                Some(Ok(length)) if arrived.len() - PREFIX >= length => {
                    let frame = take(&mut arrived, length);
                    if let Err(error) = each(frame) {
                        break Err(error);
                    }
                }
                Some(Err(error)) => break Err(error.into()),
                _ => break Ok(()),
            }
        };
        // The buffer comes back, with what is left of it at its beginning.
        self.buffer = Vec::from(arrived);
        result
    }

    /// The first whole frame, if there is one.
    ///
    /// # Errors
    /// If a length is none.
    pub fn frame(&mut self) -> Result<Option<Bytes>, BadLength> {
        match self.length().transpose()? {
            Some(length) if self.buffer.len() - PREFIX >= length => {
                let mut arrived = Bytes::from(std::mem::take(&mut self.buffer));
                let frame = take(&mut arrived, length);
                self.buffer = Vec::from(arrived);
                Ok(Some(frame))
            }
            _ => Ok(None),
        }
    }

    fn has_frame(&self) -> Result<bool, BadLength> {
        let length = self.length().transpose()?;
        Ok(length.is_some_and(|length| self.buffer.len() - PREFIX >= length))
    }

    fn length(&self) -> Option<Result<usize, BadLength>> {
        length(&self.buffer, self.longest)
    }
}

/// Takes out the first frame, which is whole. It is not split off, since what is empty afterwards
/// would let go of the buffer then.
fn take(arrived: &mut Bytes, length: usize) -> Bytes {
    let frame = arrived.slice(PREFIX..PREFIX + length);
    arrived.advance(PREFIX + length);
    frame
}

/// The length that a frame begins with, once it is there.
fn length(buffer: &[u8], longest: usize) -> Option<Result<usize, BadLength>> {
    let length = i32::from_be_bytes(*buffer.first_chunk::<PREFIX>()?);
    let good = usize::try_from(length).ok().filter(|length| *length <= longest);
    Some(good.ok_or(BadLength(length)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Writes pieces one after the other; gives the frames that were found after each.
    fn found(pieces: &[&[u8]], longest: usize) -> Result<Vec<Vec<Bytes>>, BadLength> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let mut inbox = Inbox::new(longest);
        let mut all = Vec::new();
        for piece in pieces {
            other.write_all(piece).unwrap();
            let want = inbox.buffer.len() + piece.len();
            while inbox.buffer.len() < want {
                assert_eq!(inbox.read(&stream).unwrap(), Found::Bytes);
            }
            let mut frames = Vec::new();
            inbox.frames(|frame| {
                frames.push(frame);
                Ok::<_, BadLength>(())
            })?;
            all.push(frames);
        }
        Ok(all)
    }

    #[test]
    fn frames_are_found_however_they_arrive() {
        let found = found(&[&[0, 0], &[0, 2, 7], &[8, 0, 0, 0, 0, 0, 0, 0, 1], &[9]], 100).unwrap();
        let none: Vec<Bytes> = Vec::new();
        assert_eq!(found[..2], [none.clone(), none]);
        assert_eq!(found[2], [Bytes::from_static(&[7, 8]), Bytes::new()]);
        assert_eq!(found[3], [Bytes::from_static(&[9])]);
    }

    #[test]
    fn a_large_frame_is_read_in_one_buffer() {
        let mut piece = vec![0, 4, 0, 0];
        piece.resize(4 + (4 << 16), 3);
        let frames = found(&[&piece], 1 << 20).unwrap();
        assert_eq!(frames[0], [Bytes::from(vec![3; 4 << 16])]);
    }

    #[test]
    fn the_buffer_comes_back() {
        let mut inbox = Inbox::new(1 << 20);
        let mut piece = vec![0, 0, 1, 0];
        piece.resize(4 + 256, 3);
        for left in [0, 1, 100] {
            inbox.buffer = Vec::with_capacity(CHUNK);
            inbox.buffer.extend_from_slice(&piece);
            inbox.buffer.extend_from_slice(&vec![0; left]);
            let at = inbox.buffer.as_ptr();
            inbox.frames(|_| Ok::<_, BadLength>(())).unwrap();
            assert_eq!(inbox.buffer.as_ptr(), at, "{left} bytes are left");
            assert!(inbox.buffer.capacity() >= CHUNK);
            inbox.buffer = piece.clone();
            assert_eq!(inbox.frame().unwrap().unwrap().len(), 256);
        }
    }

    #[test]
    fn lengths_beyond_the_limit_or_below_zero_are_refused() {
        assert_eq!(found(&[&[0, 0, 0, 101]], 100), Err(BadLength(101)));
        assert_eq!(found(&[b"HTTP/1.1 400 Bad Request"], 100), Err(BadLength(0x4854_5450)));
        assert_eq!(found(&[&[255, 255, 255, 255]], 100), Err(BadLength(-1)));
    }
}
