//! How to reach a node.

use std::path::Path;
use std::time::Duration;

use tidegate_transport::{ConnectOptions, Identity, ReadIdentityError};
use tidegate_types::ByteSize;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Certificates or key cannot be read.
    #[error("no identity to connect with")]
    Identity(#[from] ReadIdentityError),
}

/// How to reach a node.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `host:port` of its native listener.
    pub address: String,
    /// Certificates and key to show, and the authority that the node's must come from.
    pub identity: Identity,
    /// Time for a connection to be made. Default 10 s.
    pub connect_timeout: Duration,
    /// Time for a request to be answered, making a connection included. Default 30 s.
    pub request_timeout: Duration,
    /// Program and version, for the node's log.
    pub software: String,
    /// Bytes that may wait on each stream, such as a subscription, until this program takes them.
    /// Default 8 MiB; with less, streams over long lines are slower.
    pub stream_window: ByteSize,
}

impl ClientConfig {
    /// A configuration with defaults.
    #[must_use]
    pub fn new(address: impl Into<String>, identity: Identity) -> ClientConfig {
        ClientConfig {
            address: address.into(),
            identity,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            software: concat!("tidegate-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            stream_window: ConnectOptions::default().stream_window,
        }
    }

    /// A configuration with defaults and the identity in `dir`: `ca.pem`, `client.pem` and
    /// `client.key`, as in a node's `tls` folder.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub fn from_tls_dir(
        address: impl Into<String>,
        dir: impl AsRef<Path>,
    ) -> Result<ClientConfig, ConfigError> {
        Ok(ClientConfig::new(address, Identity::client_from_dir(dir.as_ref())?))
    }
}
