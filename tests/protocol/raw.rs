//! QUIC without the client: any certificate or none, any protocol name, any bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use tidegate_transport::{Identity, SERVER_NAME};
use tidegate_wire::frame;

/// The name of the protocol that nodes speak.
pub(crate) const PROTOCOL: &[u8] = b"tidegate/1";

/// A connection, with what keeps it alive.
pub(crate) struct Raw {
    pub(crate) connection: quinn::Connection,
    _endpoint: Endpoint,
}

/// Connects and trusts `authority`; shows `identity`, if there is one.
pub(crate) async fn connect(
    address: SocketAddr,
    authority: &str,
    identity: Option<&Identity>,
    protocol: &[u8],
) -> Result<Raw, ConnectionError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key, .. }) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.0.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    tls.alpn_protocols = vec![protocol.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connection = endpoint.connect_with(config, address, SERVER_NAME).unwrap().await?;
    Ok(Raw { connection, _endpoint: endpoint })
}

impl Raw {
    /// A new stream that begins with these bytes.
    pub(crate) async fn stream(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut sender, receiver) = self.connection.open_bi().await.unwrap();
        sender.write_all(bytes).await.unwrap();
        (sender, receiver)
    }

    /// The code and reason with which the node closes the connection.
    pub(crate) async fn closed(&self) -> (u64, String) {
        match self.connection.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason).into_owned();
                (close.error_code.into_inner(), reason)
            }
            other => panic!("the node did not close the connection: {other}"),
        }
    }
}

/// The TLS alert with which the node refused a connection.
pub(crate) fn alert(error: &ConnectionError) -> Option<u64> {
    match error {
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code).checked_sub(0x100),
        _ => None,
    }
}

/// A whole frame with a message and no payload.
pub(crate) fn framed<T: Serialize>(message: &T) -> Vec<u8> {
    frame::encode_header(message, 0).unwrap().to_vec()
}

/// The next frame's message.
pub(crate) async fn message<T: serde::de::DeserializeOwned>(receiver: &mut RecvStream) -> T {
    let mut prefix = [0; frame::PREFIX_LEN];
    receiver.read_exact(&mut prefix).await.unwrap();
    let head = frame::FrameHead::parse(prefix).unwrap();
    let mut body = vec![0; head.body_len()];
    receiver.read_exact(&mut body).await.unwrap();
    frame::decode_header(&body[..head.header_len()]).unwrap()
}
