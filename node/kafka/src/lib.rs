//! The Kafka gateway: listeners, sessions, and the mapping to the broker.
//!
//! [`Gateway::start`] binds an address and serves Kafka's clients there, on the same logs as every
//! other listener: what they produce passes the same plugins and gets the same acknowledgement,
//! what they fetch is what the log holds, byte for byte.
//!
//! | module | what it does |
//! | --- | --- |
//! | `listener`, `stream` | TCP and TLS |
//! | `connection` | one client: order, pipelining, bounds |
//! | `dispatch` | which request goes where |
//! | `produce`, `fetch`, `offsets` | records in and out, and where they are |
//! | `metadata`, `versions` | what a client asks first |
//! | `topics`, `configs`, `cluster` | administration |
//! | `groups`, `group_admin` | consumer groups, which `tidegate-group` coordinates |
//! | `errors` | the broker's errors as Kafka's |
//!
//! On loopback the listener is plain. Elsewhere it wants TLS with a certificate of the site.
//!
//! What it does not do: transactions, SASL and ACLs are not advertised, and whoever asks for them
//! is told so. The protocol's bytes are `tidegate-kafka-proto`'s.

mod cluster;
mod configs;
mod connection;
mod dispatch;
mod errors;
mod fetch;
mod group_admin;
mod groups;
mod limits;
mod listener;
mod metadata;
mod offsets;
mod produce;
mod stream;
mod topics;
mod versions;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tidegate_broker::Broker;
use tidegate_kafka_proto::fetch_session::{FetchSessions, SessionLimits};
use tidegate_transport::{Identity, tcp_server_config};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A gateway's settings, checked by whoever read them.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// TCP address. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host and port that clients are told to use; the listener's own where `None`.
    pub advertised: Option<(String, u16)>,
    /// Whether a topic is made when a client asks for one that does not exist.
    pub auto_create: bool,
    /// Partitions of a topic that is made so, and of one made without a number.
    pub partitions: u32,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address} for Kafka's clients (--kafka names another address, --kafka \
         off leaves the listener out)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("cannot use the node's certificates for Kafka's clients")]
    Tls {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) broker: Arc<Broker>,
    pub(crate) config: GatewayConfig,
    /// What clients are told to use.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) cluster_id: String,
    /// Bytes of large requests that may still be read.
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) sessions: fetch::Sessions,
}

/// A gateway at work. It ends with its node; dropping it leaves its tasks running until then.
pub struct Gateway {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Gateway {
    /// Binds the address and begins to serve.
    ///
    /// # Errors
    /// If it cannot be listened on, or the certificates cannot be used.
    pub fn start(broker: &Arc<Broker>, config: GatewayConfig) -> Result<Gateway, StartError> {
        let failed = |source| StartError::Listen { address: config.listen, source };
        let listener = listener::bind(config.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tls = if address.ip().is_loopback() { None } else { Some(server_tls(broker)?) };
        let (host, port) =
            config.advertised.clone().unwrap_or_else(|| (advertised_host(address), address.port()));
        let shared = Arc::new(Shared {
            broker: broker.clone(),
            host,
            port,
            cluster_id: metadata::cluster_id(broker),
            memory: Arc::new(Semaphore::new(limits::REQUEST_MEMORY.as_usize())),
            sessions: Mutex::new(FetchSessions::new(SessionLimits::default())),
            config,
        });
        let accepting = tokio::spawn(listener::accept(shared, listener, tls));
        Ok(Gateway { address, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the connections to end, which they do once the node stops.
    pub async fn stopped(self) {
        if let Err(failed) = self.accepting.await {
            tracing::error!(error = %failed, "the Kafka listener failed");
        }
    }
}

fn server_tls(broker: &Broker) -> Result<Arc<rustls::ServerConfig>, StartError> {
    let dir = broker.config().data.join("tls");
    let identity = Identity::node_from_dir(&dir)
        .map_err(|error| StartError::Tls { source: Box::new(error) })?;
    tcp_server_config(&identity).map_err(|error| StartError::Tls { source: Box::new(error) })
}

/// An address that means every interface is of no use to a client: loopback is told instead, and
/// `advertised` is for more.
fn advertised_host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "::1".to_owned(),
        other => other.ip().to_string(),
    }
}
