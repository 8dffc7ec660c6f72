//! What is still to be written to a socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::TcpStream;

use bytes::{Buf, Bytes};

/// Pieces written with one call.
const PIECES: usize = 64;

/// Requests on their way out, in pieces that are shared and never copied. Bounded by who fills it:
/// by the requests that may wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// The request ends with it.
    last: bool,
}

impl Outbox {
    /// Puts a request at the end.
    pub fn push<const N: usize>(&mut self, request: [Bytes; N]) {
        let pieces = request.into_iter().filter(|bytes| !bytes.is_empty());
        self.pieces.extend(pieces.map(|bytes| Piece { bytes, last: false }));
        if let Some(piece) = self.pieces.back_mut() {
            piece.last = true;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes as much as the socket takes; gives how many requests are whole now.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn write(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        let mut whole = 0;
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.pieces.len().min(PIECES);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(&piece.bytes);
            }
            match stream.write_vectored(&slices[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => whole += self.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(whole)
    }

    fn advance(&mut self, mut written: usize) -> usize {
        let mut whole = 0;
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.bytes.len() {
                piece.bytes.advance(written);
                break;
            }
            written -= piece.bytes.len();
            whole += usize::from(piece.last);
            self.pieces.pop_front();
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn everything_arrives_in_order_though_the_socket_takes_a_part_at_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (mut other, _) = listener.accept().unwrap();

        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for n in 0..200_u8 {
            let pieces = [Bytes::from(vec![n; 3]), Bytes::from(vec![n; 90_000]), Bytes::new()];
            expected.extend(pieces.iter().flatten());
            outbox.push(pieces);
        }
        let mut whole = outbox.write(&stream).unwrap();
        assert!(!outbox.is_empty(), "the socket took 18 MB at once");
        assert!(whole < 200);
        let mut got = vec![0; expected.len()];
        let mut at = 0;
        while at < got.len() {
            at += other.read(&mut got[at..]).unwrap();
            whole += outbox.write(&stream).unwrap();
        }
        assert!(outbox.is_empty());
        assert_eq!(whole, 200);
        assert!(got == expected);
    }
}
