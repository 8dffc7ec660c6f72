//! Messages over one QUIC stream.
//!
//! A sender writes header and payload without copying the payload; a receiver gives one whole
//! frame at a time. Neither knows which message is due: the caller names the type.

use bytes::Bytes;
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_wire::frame::{
    EncodeError, Frame, FrameDecoder, FrameError, decode_header, encode_header,
};

use crate::lost::{CloseCode, Lost};

/// Chunks taken from QUIC at once, one packet each at most.
const CHUNKS_PER_READ: usize = 32;

/// Why a message was not sent. It may have been sent in part: the stream is of no more use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The message is over a limit.
    #[error("message cannot be sent")]
    Encode {
        /// Which one.
        #[from]
        source: EncodeError,
    },
    /// The peer wants no more on this stream.
    #[error("the peer stopped the stream ({code})")]
    Stopped {
        /// Why.
        code: CloseCode,
    },
    /// The stream was finished, or an earlier send was interrupted in the middle of a frame.
    #[error("the stream was ended on this end")]
    Ended,
    /// The connection is gone.
    #[error("the connection is gone")]
    Lost {
        /// Why.
        #[from]
        source: Lost,
    },
}

impl From<WriteError> for SendError {
    fn from(error: WriteError) -> SendError {
        match error {
            WriteError::Stopped(code) => SendError::Stopped { code: from_var_int(code) },
            WriteError::ConnectionLost(lost) => SendError::Lost { source: lost.into() },
            WriteError::ClosedStream | WriteError::ZeroRttRejected => SendError::Ended,
        }
    }
}

/// Why no message came.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecvError {
    /// What came is no frame, or not the message due here.
    #[error("the peer sent something out of place")]
    Frame {
        /// What was wrong.
        #[from]
        source: FrameError,
    },
    /// The stream ended in the middle of a frame.
    #[error("the stream ended in the middle of a frame")]
    Truncated,
    /// The peer abandoned the stream.
    #[error("the peer abandoned the stream ({code})")]
    Reset {
        /// Why.
        code: CloseCode,
    },
    /// The stream was stopped on this end.
    #[error("the stream was ended on this end")]
    Ended,
    /// The connection is gone.
    #[error("the connection is gone")]
    Lost {
        /// Why.
        #[from]
        source: Lost,
    },
}

impl From<ReadError> for RecvError {
    fn from(error: ReadError) -> RecvError {
        match error {
            ReadError::Reset(code) => RecvError::Reset { code: from_var_int(code) },
            ReadError::ConnectionLost(lost) => RecvError::Lost { source: lost.into() },
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => RecvError::Ended,
        }
    }
}

fn from_var_int(code: VarInt) -> CloseCode {
    CloseCode::from_wire(code.into_inner())
}

/// Sends messages on one stream.
///
/// Dropping it finishes the stream if the last message was sent whole; otherwise it resets it.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    /// Set while a frame is being written: a future dropped in between leaves it set.
    broken: bool,
    /// Bytes that the payload of the frame at hand still lacks.
    owed: usize,
}

impl FrameSender {
    pub(crate) fn new(stream: SendStream) -> FrameSender {
        FrameSender { stream, broken: false, owed: 0 }
    }

    /// Sends `message` with the payload's parts, back to back, after it. Returns once QUIC has
    /// taken all of it; flow control of the peer holds it back.
    ///
    /// Not cancel-safe: if the future is dropped before it is done, every later call fails.
    ///
    /// # Errors
    /// If the message is over a limit (the stream stays usable), or stream or connection are gone.
    pub async fn send<T: Serialize + ?Sized>(
        &mut self,
        message: &T,
        payload: &[Bytes],
    ) -> Result<(), SendError> {
        if self.broken {
            return Err(SendError::Ended);
        }
        let header = encode_header(message, payload.iter().map(Bytes::len).sum())?;
        self.broken = true;
        match payload {
            [] => self.stream.write_chunk(header).await?,
            [one] => self.stream.write_all_chunks(&mut [header, one.clone()]).await?,
            many => {
                let mut parts = Vec::with_capacity(1 + many.len());
                parts.push(header);
                parts.extend_from_slice(many);
                self.stream.write_all_chunks(&mut parts).await?;
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Begins a message whose payload of `len` bytes follows in pieces, each given to
    /// [`push`](Self::push). Until all of it is there, nothing else can be sent.
    ///
    /// Not cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn begin<T: Serialize + ?Sized>(
        &mut self,
        message: &T,
        len: usize,
    ) -> Result<(), SendError> {
        if self.broken {
            return Err(SendError::Ended);
        }
        let header = encode_header(message, len)?;
        self.broken = true;
        self.stream.write_chunk(header).await?;
        self.owed = len;
        self.broken = len > 0;
        Ok(())
    }

    /// Waits until QUIC takes some of `piece`, and removes that from its front. Gives the number of
    /// bytes taken; 0 only if `piece` is empty.
    ///
    /// Cancel-safe: a future dropped before it is done has taken nothing.
    ///
    /// # Errors
    /// If the payload begun lacks less than `piece` holds, or stream or connection are gone.
    pub async fn push(&mut self, piece: &mut Bytes) -> Result<usize, SendError> {
        if piece.len() > self.owed {
            return Err(SendError::Ended);
        }
        if piece.is_empty() {
            return Ok(0);
        }
        let taken = self.stream.write_chunks(std::slice::from_mut(piece)).await?.bytes;
        self.owed = self.owed.saturating_sub(taken);
        self.broken = self.owed > 0;
        Ok(taken)
    }

    /// Says that nothing more will be sent. What was sent still arrives.
    pub fn finish(&mut self) {
        if !self.broken {
            // Fails only where it is finished or reset already.
            let _ = self.stream.finish();
        }
    }

    /// Abandons the stream; what was sent may not arrive.
    pub fn reset(&mut self, code: CloseCode) {
        self.broken = true;
        self.owed = 0;
        let _ = self.stream.reset(code.var_int());
    }

    /// Waits until the peer has all that was sent and finished, or wants no more of it.
    ///
    /// # Errors
    /// If the connection was lost before.
    pub async fn closed(&mut self) -> Result<(), Lost> {
        match self.stream.stopped().await {
            Err(quinn::StoppedError::ConnectionLost(lost)) => Err(lost.into()),
            Ok(_) | Err(quinn::StoppedError::ZeroRttRejected) => Ok(()),
        }
    }

    /// Sets how this stream is served beside the connection's others; higher goes first.
    pub fn set_priority(&self, priority: i32) {
        let _ = self.stream.set_priority(priority);
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        if self.broken {
            let _ = self.stream.reset(CloseCode::Internal.var_int());
        }
    }
}

/// Receives messages on one stream.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    decoder: FrameDecoder,
    finished: bool,
}

impl FrameReceiver {
    pub(crate) fn new(stream: RecvStream) -> FrameReceiver {
        FrameReceiver { stream, decoder: FrameDecoder::new(), finished: false }
    }

    /// The next message and its payload; `None` once the peer has finished the stream.
    ///
    /// Cancel-safe: what has arrived is kept for the next call.
    ///
    /// # Errors
    /// If something else than a `T` came, or stream or connection are gone.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Bytes)>, RecvError> {
        let Some(frame) = self.recv_frame().await? else { return Ok(None) };
        Ok(Some((decode_header(&frame.header)?, frame.payload)))
    }

    /// The next message if it is here already, without waiting for the network; `None` if not.
    ///
    /// For taking all that has arrived in one go after [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv), but never [`RecvError::Truncated`].
    pub fn try_recv<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Bytes)>, RecvError> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        loop {
            if let Some(frame) = self.decoder.poll_frame()? {
                return Ok(Some((decode_header(&frame.header)?, frame.payload)));
            }
            if self.finished {
                return Ok(None);
            }
            let read = std::pin::pin!(Self::read(&mut self.stream, &mut self.decoder));
            match read.poll(&mut context) {
                std::task::Poll::Pending => return Ok(None),
                std::task::Poll::Ready(more) => self.finished = !more?,
            }
        }
    }

    /// The next frame, its header not yet decoded; for streams with messages of several kinds.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// If it is no frame, or stream or connection are gone.
    pub async fn recv_frame(&mut self) -> Result<Option<Frame>, RecvError> {
        loop {
            if let Some(frame) = self.decoder.poll_frame()? {
                return Ok(Some(frame));
            }
            if self.finished {
                let clean = self.decoder.is_between_frames();
                return if clean { Ok(None) } else { Err(RecvError::Truncated) };
            }
            self.finished = !Self::read(&mut self.stream, &mut self.decoder).await?;
        }
    }

    /// Moves what has arrived to the decoder; false at the end of the stream.
    async fn read(stream: &mut RecvStream, decoder: &mut FrameDecoder) -> Result<bool, ReadError> {
        let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
        let Some(count) = stream.read_chunks(&mut chunks).await? else { return Ok(false) };
        for chunk in chunks.into_iter().take(count) {
            decoder.handle_bytes(chunk);
        }
        Ok(true)
    }

    /// Tells the peer to send no more.
    pub fn stop(&mut self, code: CloseCode) {
        // Fails only where it is over already.
        let _ = self.stream.stop(code.var_int());
    }
}
