//! A connection with its peer's role, and the streams on it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use tidegate_types::limits;
use tidegate_wire::Open;

use crate::lost::{CloseCode, Lost};
use crate::role::{Role, RoleError};
use crate::stream::{FrameReceiver, FrameSender, RecvError, SendError};

/// Why a stream could not be opened, or what opened it was of no use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// The connection is gone.
    #[error("the connection is gone")]
    Lost {
        /// Why.
        #[from]
        source: Lost,
    },
    /// The first message could not be sent.
    #[error("the stream's first message could not be sent")]
    Send {
        /// Why not.
        #[from]
        source: SendError,
    },
    /// The first message did not come, or is none.
    #[error("the stream's first message is not understood")]
    Recv {
        /// What came.
        #[from]
        source: RecvError,
    },
    /// The peer opened a stream and ended it without a message.
    #[error("the stream ended without a message")]
    Empty,
    /// The peer opened a stream and then said nothing.
    #[error("the stream's first message did not come within {} s", limits::HELLO_TIMEOUT.as_secs())]
    TooSlow,
}

impl OpenError {
    /// Why the connection is gone, if that was it.
    #[must_use]
    pub fn lost(&self) -> Option<&Lost> {
        match self {
            OpenError::Lost { source }
            | OpenError::Send { source: SendError::Lost { source } }
            | OpenError::Recv { source: RecvError::Lost { source } } => Some(source),
            _ => None,
        }
    }
}

/// A mutually authenticated connection. Clones share it; it closes when closed, not when dropped
/// by one of them: the last one dropped closes it with [`CloseCode::Done`].
#[derive(Clone, Debug)]
pub struct Connection {
    quic: quinn::Connection,
    role: Role,
}

impl Connection {
    /// Takes over a connection whose handshake is done, and reads the peer's role.
    pub(crate) fn new(quic: quinn::Connection) -> Result<Connection, RoleError> {
        let chain = quic
            .peer_identity()
            .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
        let leaf =
            chain.as_ref().and_then(|chain| chain.first()).ok_or(RoleError::NoCertificate)?;
        let role = Role::from_certificate(leaf)?;
        Ok(Connection { quic, role })
    }

    /// Who the peer proved to be.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Where the peer is now; it may move.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// The smoothed round-trip time.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// Bytes of datagrams sent and received so far, everything included.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let stats = self.quic.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    /// Opens a stream and sends its first message. Waits while the peer allows no more streams.
    ///
    /// # Errors
    /// If the connection is gone, or the message is over a limit.
    pub async fn open(
        &self,
        open: &Open,
        payload: &[Bytes],
    ) -> Result<(FrameSender, FrameReceiver), OpenError> {
        let (send, recv) = self.quic.open_bi().await.map_err(Lost::from)?;
        let mut sender = FrameSender::new(send);
        if let Err(source) = sender.send(open, payload).await {
            sender.reset(CloseCode::Internal);
            return Err(source.into());
        }
        Ok((sender, FrameReceiver::new(recv)))
    }

    /// Waits for the peer to open a stream. Its first message is read by
    /// [`StreamRequest::accept`], so that a slow stream does not hold up the others.
    ///
    /// # Errors
    /// If the connection is gone; [`Lost::Closed`] with [`CloseCode::Done`] is its regular end.
    pub async fn accept_stream(&self) -> Result<StreamRequest, Lost> {
        let (send, recv) = self.quic.accept_bi().await?;
        Ok(StreamRequest { sender: FrameSender::new(send), receiver: FrameReceiver::new(recv) })
    }

    /// Closes the connection at once; what was not yet delivered is lost.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.quic.close(code.var_int(), reason.as_bytes());
    }

    /// Waits until the connection is gone, and says why.
    pub async fn closed(&self) -> Lost {
        self.quic.closed().await.into()
    }

    /// Why the connection is gone; `None` while it is not.
    #[must_use]
    pub fn lost(&self) -> Option<Lost> {
        self.quic.close_reason().map(Lost::from)
    }
}

/// A stream that the peer has opened; its first message has not been read.
#[derive(Debug)]
pub struct StreamRequest {
    sender: FrameSender,
    receiver: FrameReceiver,
}

/// A stream and the message that opened it.
#[derive(Debug)]
pub struct OpenedStream {
    /// What the peer wants.
    pub open: Open,
    /// The payload that came with it.
    pub payload: Bytes,
    /// Towards the peer.
    pub sender: FrameSender,
    /// From the peer.
    pub receiver: FrameReceiver,
}

impl StreamRequest {
    /// Reads the first message, within [`limits::HELLO_TIMEOUT`]. Where that fails, both
    /// directions are ended with a code that says why.
    ///
    /// # Errors
    /// If the message did not come in time or is not understood.
    pub async fn accept(mut self) -> Result<OpenedStream, OpenError> {
        match self.first_message().await {
            Ok((open, payload)) => {
                Ok(OpenedStream { open, payload, sender: self.sender, receiver: self.receiver })
            }
            Err(error) => {
                self.refuse(match &error {
                    OpenError::TooSlow => CloseCode::TooSlow,
                    _ => CloseCode::BadFrame,
                });
                Err(error)
            }
        }
    }

    /// Ends both directions without reading anything.
    pub fn refuse(&mut self, code: CloseCode) {
        self.sender.reset(code);
        self.receiver.stop(code);
    }

    async fn first_message(&mut self) -> Result<(Open, Bytes), OpenError> {
        tokio::time::timeout(limits::HELLO_TIMEOUT, self.receiver.recv())
            .await
            .map_err(|_| OpenError::TooSlow)??
            .ok_or(OpenError::Empty)
    }
}
