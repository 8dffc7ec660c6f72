//! The accepting end.
//!
//! [`Listener::accept`] never waits for a peer: all that takes time, handshake and hello, happens
//! in [`Incoming::establish`], which the caller runs as a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use quinn::{Endpoint, ServerConfig, TokioRuntime};
use tidegate_types::limits;
use tidegate_wire::Hello;

use crate::connection::{Connection, OpenError};
use crate::hello::{LocalNode, answer_hello};
use crate::lost::{CloseCode, Lost};
use crate::role::RoleError;
use crate::settings::{self, Side};
use crate::tls::ServerTls;

/// Handshakes that may wait to be accepted.
const MAX_WAITING: usize = 1_024;

/// Bytes that may wait for one of them, and for all.
const MAX_WAITING_BYTES: u64 = 64 << 10;
const MAX_WAITING_BYTES_TOTAL: u64 = 16 << 20;

/// From so many connections on, a caller must prove its address before it costs a handshake.
const VALIDATE_ADDRESS_FROM: usize = limits::MAX_CONNECTIONS / 2;

/// Why no listener could be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is not to be had.
    #[error("cannot listen on {address} (UDP)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Why a caller did not get in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AcceptError {
    /// The handshake failed.
    #[error("handshake failed")]
    Handshake {
        /// Why.
        source: Lost,
    },
    /// The certificate names no role.
    #[error("the caller's certificate is of no use")]
    Role {
        /// What is wrong with it.
        #[from]
        source: RoleError,
    },
    /// Handshake and hello took too long.
    #[error("no hello within {} s", limits::HELLO_TIMEOUT.as_secs())]
    TooSlow,
    /// No hello could be read or answered.
    #[error("no hello")]
    Hello {
        /// What came.
        #[from]
        source: OpenError,
    },
    /// The first message is another one.
    #[error("the first message is no hello")]
    NoHello,
    /// The hello is of another protocol.
    #[error("the hello begins with {magic:#010x}: that is not tidegate")]
    Magic {
        /// What it begins with.
        magic: u32,
    },
    /// The caller speaks another version.
    #[error("the caller speaks protocol version {version}")]
    Version {
        /// Its version.
        version: u16,
    },
}

/// Accepts connections on one UDP address.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    configs: RwLock<Arc<Configs>>,
}

#[derive(Debug)]
struct Configs {
    network: Arc<ServerConfig>,
    loopback: Arc<ServerConfig>,
}

impl Configs {
    fn new(tls: &ServerTls) -> Configs {
        let config = |peer: std::net::IpAddr| {
            let mut config = ServerConfig::with_crypto(tls.crypto.clone());
            config
                .transport_config(settings::transport(Side::Server, peer, settings::STREAM_WINDOW))
                .max_incoming(MAX_WAITING)
                .incoming_buffer_size(MAX_WAITING_BYTES)
                .incoming_buffer_size_total(MAX_WAITING_BYTES_TOTAL);
            Arc::new(config)
        };
        Configs {
            network: config(std::net::Ipv4Addr::UNSPECIFIED.into()),
            loopback: config(std::net::Ipv4Addr::LOCALHOST.into()),
        }
    }
}

impl Listener {
    /// Begins to listen. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the address is not to be had.
    pub fn bind(address: SocketAddr, tls: &ServerTls) -> Result<Listener, BindError> {
        let failed = |source| BindError::Bind { address, source };
        let configs = Arc::new(Configs::new(tls));
        let socket = settings::bind(address).map_err(failed)?;
        let endpoint = Endpoint::new(
            settings::endpoint(Some(&tls.restart)),
            Some(ServerConfig::clone(&configs.network)),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(failed)?;
        Ok(Listener { endpoint, configs: RwLock::new(configs) })
    }

    /// Takes other certificates for connections from now on; those that exist stay.
    pub fn reload(&self, tls: &ServerTls) {
        let configs = Arc::new(Configs::new(tls));
        self.endpoint.set_server_config(Some(ServerConfig::clone(&configs.network)));
        *self.configs.write().unwrap_or_else(PoisonError::into_inner) = configs;
    }

    /// The address listened on, with the port that the system chose where 0 was asked for.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Connections that exist, those in their handshake among them.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// The next caller; `None` once the listener is closed. Over [`limits::MAX_CONNECTIONS`]
    /// callers are refused.
    pub async fn accept(&self) -> Option<Incoming> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let open = self.endpoint.open_connections();
            if open >= limits::MAX_CONNECTIONS {
                tracing::warn!(peer = %incoming.remote_address(), open, "refused a connection: too many");
                incoming.refuse();
                continue;
            }
            if open >= VALIDATE_ADDRESS_FROM
                && !incoming.remote_address_validated()
                && incoming.may_retry()
            {
                // Cannot fail: that it may be retried was just asked.
                let _ = incoming.retry();
                continue;
            }
            let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner).clone();
            return Some(Incoming { incoming, configs });
        }
    }

    /// Closes every connection at once and accepts no more.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.endpoint.close(code.var_int(), reason.as_bytes());
    }

    /// Waits until every peer knows that its connection is closed, or has had time to.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

/// A caller that has not been let in.
#[derive(Debug)]
pub struct Incoming {
    incoming: quinn::Incoming,
    configs: Arc<Configs>,
}

impl Incoming {
    /// Where the caller is, or says that it is.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Turns the caller away.
    pub fn refuse(self) {
        self.incoming.refuse();
    }

    /// Does handshake and hello, within [`limits::HELLO_TIMEOUT`]. What the peer's role may do is
    /// for the caller to judge.
    ///
    /// # Errors
    /// If the peer has no certificate of the site, is of another version, sends something else
    /// than a hello, or is too slow. It has been told.
    pub async fn establish(self, local: &LocalNode) -> Result<(Connection, Hello), AcceptError> {
        let config = if self.incoming.remote_address().ip().to_canonical().is_loopback() {
            self.configs.loopback.clone()
        } else {
            self.configs.network.clone()
        };
        let handshake =
            |source: quinn::ConnectionError| AcceptError::Handshake { source: source.into() };
        let connecting = self.incoming.accept_with(config).map_err(handshake)?;
        let deadline = tokio::time::Instant::now() + limits::HELLO_TIMEOUT;
        let quic = tokio::time::timeout_at(deadline, connecting)
            .await
            .map_err(|_| AcceptError::TooSlow)?
            .map_err(handshake)?;
        let connection = match Connection::new(quic.clone()) {
            Ok(connection) => connection,
            Err(error) => {
                let reason = error.to_string();
                quic.close(CloseCode::NotAuthorized.var_int(), reason.as_bytes());
                return Err(error.into());
            }
        };
        match tokio::time::timeout_at(deadline, answer_hello(&connection, local)).await {
            Ok(hello) => Ok((connection, hello?)),
            Err(_) => {
                connection.close(CloseCode::TooSlow, "no hello within the time allowed");
                Err(AcceptError::TooSlow)
            }
        }
    }
}
