//! TLS set-ups of both ends: TLS 1.3 only, mutual, one trust anchor, one application protocol.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::RootCertStore;
use rustls::crypto::ring::cipher_suite;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tidegate_types::{ByteSize, Secret};
use tidegate_wire::ALPN;

use crate::restart::RestartKey;
use crate::role::{Role, RoleError};

/// The name under which every node is called in TLS, whatever address leads to it: the authority
/// is private to the site, so being one of its nodes is what counts.
pub const SERVER_NAME: &str = "node.tidegate";

/// No certificate or key is larger.
const MAX_PEM: ByteSize = ByteSize::kib(256);

/// Certificates and key of one end.
#[derive(Clone, Debug)]
pub struct Identity {
    /// PEM of the authority that the other end's certificate must come from.
    pub authority: String,
    /// PEM of this end's certificate.
    pub certificate: String,
    /// PEM of its private key.
    pub key: Secret,
}

/// Why an identity could not be read from its folder.
#[derive(Debug, thiserror::Error)]
pub enum ReadIdentityError {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is too large to be a certificate or key.
    #[error("{} is over {MAX_PEM}: that is no certificate or key", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl Identity {
    /// A node's own identity, from its `tls` folder.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub fn node_from_dir(dir: &Path) -> Result<Identity, ReadIdentityError> {
        Identity::from_dir(dir, "node")
    }

    /// A client's identity: `ca.pem`, `client.pem` and `client.key` of `dir`.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub fn client_from_dir(dir: &Path) -> Result<Identity, ReadIdentityError> {
        Identity::from_dir(dir, "client")
    }

    fn from_dir(dir: &Path, stem: &str) -> Result<Identity, ReadIdentityError> {
        Ok(Identity {
            authority: read_pem(&dir.join("ca.pem"))?,
            certificate: read_pem(&dir.join(format!("{stem}.pem")))?,
            key: Secret(read_pem(&dir.join(format!("{stem}.key")))?),
        })
    }

    /// The role in the certificate. It is this end's own, so nobody verified it.
    ///
    /// # Errors
    /// If the certificate is not readable or names none.
    pub fn role(&self) -> Result<Role, RoleError> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|e| RoleError::Certificate { reason: e.to_string() })?;
        Role::from_certificate(&certificate)
    }
}

pub(crate) fn read_pem(path: &Path) -> Result<String, ReadIdentityError> {
    let failed = |source| ReadIdentityError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_PEM.get() + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if text.len() > MAX_PEM.as_usize() {
        return Err(ReadIdentityError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// Why certificates and key make no TLS set-up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or nothing of the kind in it.
    #[error("{what} is not readable as PEM")]
    Pem {
        /// Which part.
        what: &'static str,
        /// What was found.
        source: rustls_pki_types::pem::Error,
    },
    /// No certificate where one is needed.
    #[error("{what} holds no certificate")]
    Empty {
        /// Which part.
        what: &'static str,
    },
    /// Well-formed, but of no use.
    #[error("certificate and key cannot be used: {reason}")]
    Unusable {
        /// What was found.
        reason: String,
    },
}

impl TlsError {
    fn unusable(error: impl std::fmt::Display) -> TlsError {
        TlsError::Unusable { reason: error.to_string() }
    }
}

/// TLS of a listener.
#[derive(Clone)]
pub struct ServerTls {
    pub(crate) crypto: Arc<QuicServerConfig>,
    pub(crate) restart: RestartKey,
}

// What is inside holds a private key: nothing of it is shown.
impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Checks `identity` and sets it up. Only peers with a certificate of its authority get in.
    ///
    /// # Errors
    /// If a part is not readable, or key and certificate do not belong together.
    pub fn new(identity: &Identity) -> Result<ServerTls, TlsError> {
        let parts = Parts::read(identity)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(parts.roots), provider())
                .build()
                .map_err(TlsError::unusable)?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(parts.chain, parts.key)
            .map_err(TlsError::unusable)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = QuicServerConfig::try_from(config).map_err(TlsError::unusable)?;
        Ok(ServerTls { crypto: Arc::new(crypto), restart: RestartKey::of(&identity.key) })
    }
}

/// TLS of a TCP listener for another protocol's clients, which need a certificate of the same
/// authority. TLS 1.2 is spoken as well: not all of them know 1.3.
///
/// # Errors
/// If a part is not readable, or key and certificate do not belong together.
pub fn tcp_server_config(identity: &Identity) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let parts = Parts::read(identity)?;
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(parts.roots), provider.clone())
            .build()
            .map_err(TlsError::unusable)?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(parts.chain, parts.key)
        .map_err(TlsError::unusable)?;
    Ok(Arc::new(config))
}

/// TLS of an end that dials.
#[derive(Clone)]
pub struct ClientTls {
    pub(crate) crypto: Arc<QuicClientConfig>,
}

impl ClientTls {
    /// Checks `identity` and sets it up. Only nodes with a certificate of its authority are
    /// talked to.
    ///
    /// # Errors
    /// If a part is not readable, or key and certificate do not belong together.
    pub fn new(identity: &Identity) -> Result<ClientTls, TlsError> {
        ClientTls::with_protocol(identity, ALPN)
    }

    pub(crate) fn with_protocol(identity: &Identity, alpn: &[u8]) -> Result<ClientTls, TlsError> {
        let parts = Parts::read(identity)?;
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::unusable)?
            .with_root_certificates(parts.roots)
            .with_client_auth_cert(parts.chain, parts.key)
            .map_err(TlsError::unusable)?;
        config.alpn_protocols = vec![alpn.to_vec()];
        let crypto = QuicClientConfig::try_from(config).map_err(TlsError::unusable)?;
        Ok(ClientTls { crypto: Arc::new(crypto) })
    }
}

struct Parts {
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Parts {
    fn read(identity: &Identity) -> Result<Parts, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates("the authority", &identity.authority)? {
            roots.add(authority).map_err(TlsError::unusable)?;
        }
        let chain = certificates("the certificate", &identity.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.0.as_bytes())
            .map_err(|source| TlsError::Pem { what: "the private key", source })?;
        Ok(Parts { roots, chain, key })
    }
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { what, source })?;
    if found.is_empty() { Err(TlsError::Empty { what }) } else { Ok(found) }
}

/// AES-128-GCM first: it measured best. The others stay for peers that do not offer it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring::default_provider()
    })
}
