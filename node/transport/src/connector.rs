//! The dialling end.
//!
//! A [`Connector`] keeps one UDP socket per address family for all its connections. Where a host
//! has several addresses they are tried a moment apart, and the first that answers wins.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{ClientConfig, Endpoint, TokioRuntime};
use tidegate_types::ByteSize;
use tidegate_wire::ErrorBody;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Connection, OpenError};
use crate::hello::{Welcome, say_hello};
use crate::lost::{CloseCode, Lost};
use crate::role::{Role, RoleError};
use crate::settings::{self, Side};
use crate::tls::{ClientTls, SERVER_NAME};

/// Head start of each address over the next one (RFC 8305 recommends it).
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

/// Why a node could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is no `host:port`, or the name is not known.
    #[error("cannot resolve {address:?}: give it as host:port")]
    Resolve {
        /// The address.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name is known, but has no address.
    #[error("{address:?} has no address")]
    NoAddress {
        /// The name.
        address: String,
    },
    /// No socket could be had on this end.
    #[error("cannot open a UDP socket")]
    Socket {
        /// Why not.
        source: io::Error,
    },
    /// Nobody answered.
    #[error(
        "no answer from {address} within {} ms: is the node running, and does UDP get through?",
        .waited.as_millis()
    )]
    TimedOut {
        /// The address as given.
        address: String,
        /// How long was waited.
        waited: Duration,
    },
    /// One of the two ends did not accept the other's certificate.
    #[error("not authorized")]
    NotAuthorized {
        /// Who refused whom, and why.
        source: Lost,
    },
    /// The node's certificate does not name a node.
    #[error("what answered is no node of the site")]
    NoNode {
        /// What is wrong with its certificate.
        source: RoleError,
    },
    /// The certificate is a client's or link's.
    #[error("what answered is {role}, not a node")]
    OtherRole {
        /// What it is.
        role: Role,
    },
    /// The node answered, and does not want this end.
    #[error("the node refused the connection: {error}")]
    Refused {
        /// Its reason.
        error: ErrorBody,
    },
    /// The node does not know the hello, or answered with something else.
    #[error("the node did not answer the hello")]
    Hello {
        /// What happened.
        source: OpenError,
    },
    /// The connection was lost before it was of use.
    #[error("cannot connect")]
    Lost {
        /// Why.
        source: Lost,
    },
}

impl ConnectError {
    pub(crate) fn from_lost(lost: Lost) -> ConnectError {
        match lost {
            Lost::Certificate { .. } | Lost::Closed { code: CloseCode::NotAuthorized, .. } => {
                ConnectError::NotAuthorized { source: lost }
            }
            source => ConnectError::Lost { source },
        }
    }

    /// Whether the same call may succeed later without anyone changing a setting.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            ConnectError::Resolve { .. }
            | ConnectError::NoAddress { .. }
            | ConnectError::Socket { .. }
            | ConnectError::TimedOut { .. } => true,
            ConnectError::Lost { source } => !matches!(source, Lost::OtherProtocol),
            ConnectError::Refused { error } => error.retriable,
            ConnectError::Hello { source } => source.lost().is_some(),
            ConnectError::NotAuthorized { .. }
            | ConnectError::NoNode { .. }
            | ConnectError::OtherRole { .. } => false,
        }
    }
}

/// How to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectOptions {
    /// Time for everything: name, handshake, hello. Default 10 s.
    pub timeout: Duration,
    /// Program and version, for the node's log.
    pub software: String,
    /// Bytes that may wait on each stream until this end reads them. Default 8 MiB; with less, streams
    /// over long lines are slower.
    pub stream_window: ByteSize,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions {
            timeout: Duration::from_secs(10),
            software: concat!("tidegate-transport/", env!("CARGO_PKG_VERSION")).to_owned(),
            stream_window: settings::STREAM_WINDOW,
        }
    }
}

/// Dials nodes of one site under one identity.
#[derive(Debug)]
pub struct Connector {
    tls: ClientTls,
    /// By family: IPv4, IPv6.
    endpoints: Mutex<[Option<Endpoint>; 2]>,
}

/// Dials once. To dial again and again, keep a [`Connector`].
///
/// # Errors
/// If the node is not reached or does not want this end.
pub async fn connect(
    address: &str,
    tls: ClientTls,
    options: &ConnectOptions,
) -> Result<(Connection, Welcome), ConnectError> {
    Connector::new(tls).connect(address, options).await
}

impl Connector {
    /// A connector with this identity. Sockets are opened when first needed.
    #[must_use]
    pub fn new(tls: ClientTls) -> Connector {
        Connector { tls, endpoints: Mutex::new([None, None]) }
    }

    /// Dials `address`, a `host:port`, and says hello.
    ///
    /// # Errors
    /// If the node is not reached or does not want this end.
    pub async fn connect(
        &self,
        address: &str,
        options: &ConnectOptions,
    ) -> Result<(Connection, Welcome), ConnectError> {
        let timed_out =
            || ConnectError::TimedOut { address: address.to_owned(), waited: options.timeout };
        tokio::time::timeout(options.timeout, self.dial(address, options))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    async fn dial(
        &self,
        address: &str,
        options: &ConnectOptions,
    ) -> Result<(Connection, Welcome), ConnectError> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host(address)
            .await
            .map_err(|source| ConnectError::Resolve { address: address.to_owned(), source })?
            .take(MAX_ADDRESSES)
            .collect();
        let mut attempts = JoinSet::new();
        let mut failed = None;
        let start = Instant::now();
        for (i, peer) in found.into_iter().enumerate() {
            let endpoint = match self.endpoint(peer) {
                Ok(endpoint) => endpoint,
                Err(source) => {
                    failed = Some(ConnectError::Socket { source });
                    continue;
                }
            };
            let config = self.config(peer.ip(), options.stream_window);
            let software = options.software.clone();
            let begin = start + HEAD_START * i as u32;
            attempts.spawn(async move {
                tokio::time::sleep_until(begin).await;
                attempt(&endpoint, config, peer, &software).await
            });
        }
        while let Some(outcome) = attempts.join_next().await {
            match outcome {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => failed = Some(more_telling(failed, error)),
                Err(panicked) => tracing::error!(error = %panicked, "an attempt to connect failed"),
            }
        }
        Err(failed.unwrap_or(ConnectError::NoAddress { address: address.to_owned() }))
    }

    fn config(&self, peer: IpAddr, stream_window: ByteSize) -> ClientConfig {
        let mut config = ClientConfig::new(self.tls.crypto.clone());
        config.transport_config(settings::transport(Side::Client, peer, stream_window));
        config
    }

    fn endpoint(&self, peer: SocketAddr) -> io::Result<Endpoint> {
        let (slot, any) = match peer {
            SocketAddr::V4(_) => (0, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (1, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &endpoints[slot] {
            return Ok(endpoint.clone());
        }
        let socket = settings::bind(SocketAddr::new(any, 0))?;
        let endpoint =
            Endpoint::new(settings::endpoint(None), None, socket, Arc::new(TokioRuntime))?;
        endpoints[slot] = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// Waits until every peer knows that its connection is closed, or has had time to.
    pub async fn wait_idle(&self) {
        let endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for endpoint in endpoints.into_iter().flatten() {
            endpoint.wait_idle().await;
        }
    }
}

async fn attempt(
    endpoint: &Endpoint,
    config: ClientConfig,
    peer: SocketAddr,
    software: &str,
) -> Result<(Connection, Welcome), ConnectError> {
    let transport = |reason: String| ConnectError::Lost { source: Lost::Transport { reason } };
    let quic = endpoint
        .connect_with(config, peer, SERVER_NAME)
        .map_err(|error| transport(error.to_string()))?
        .await
        .map_err(|error| ConnectError::from_lost(error.into()))?;
    let connection = Connection::new(quic).map_err(|source| ConnectError::NoNode { source })?;
    if !matches!(connection.role(), Role::Node { .. }) {
        let role = connection.role().clone();
        connection.close(CloseCode::NotAuthorized, "not a node");
        return Err(ConnectError::OtherRole { role });
    }
    let welcome = say_hello(&connection, software).await?;
    Ok((connection, welcome))
}

/// Of two addresses' failures the one that says more: an answer over none.
fn more_telling(first: Option<ConnectError>, second: ConnectError) -> ConnectError {
    let answered = |error: &ConnectError| {
        !matches!(
            error,
            ConnectError::Lost { source: Lost::TimedOut } | ConnectError::Socket { .. }
        )
    };
    match first {
        Some(first) if answered(&first) => first,
        _ => second,
    }
}
