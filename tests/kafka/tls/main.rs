//! Who is let in where the Kafka listener is not on loopback: whoever has a certificate that the
//! site issued for its use, and nobody else.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, RootCertStore,
    StreamOwned, SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tidegate_kafka_proto::messages::{ApiVersionsRequest, MetadataRequest};
use tidegate_kafka_tests::{BatchSpec, Conn, Typed, fetch};
use tidegate_tests::Node;
use tidegate_transport::{Authority, Issued, Role};
use tidegate_types::NodeId;

/// Far longer than a node takes to refuse.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that serves Kafka's clients on every interface, and how it is reached.
async fn start() -> (Node, SocketAddr) {
    let mut node = Node::new("edge").with_kafka_beyond_loopback();
    node.restart().await;
    let address = (Ipv4Addr::LOCALHOST, node.kafka().port()).into();
    (node, address)
}

/// The node's own authority.
fn authority(node: &Node) -> Authority {
    Authority::load(&node.data().join("tls"), node.site()).unwrap()
}

fn client_of(authority: &Authority) -> Issued {
    let site = authority.site().clone();
    authority.issue(&Role::Client { site, name: "sensor".to_owned() }).unwrap()
}

/// A connection that trusts this authority and shows this certificate. The handshake begins with
/// what is written first.
fn open(
    address: SocketAddr,
    trusts: &Authority,
    shows: Option<&Issued>,
    version: &'static SupportedProtocolVersion,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusts.certificate_pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match shows {
        None => builder.with_no_client_auth(),
        Some(Issued { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.0.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(tls, tcp)
}

/// The bytes of the first request that any client sends.
fn first_request() -> Vec<u8> {
    let body = [5, b't', b'e', b's', b't', 2, b'1', 0];
    Conn::framed(&[Conn::header(18, 3, 7, true), body.to_vec()].concat())
}

/// What a client hears that asks something and is not let in.
#[derive(PartialEq, Debug)]
enum Heard {
    /// The connection ended without a word.
    Nothing,
    /// TLS failed.
    Tls(Error),
}

/// Asks, and hears that it is refused.
fn refused(mut line: StreamOwned<ClientConnection, TcpStream>) -> Heard {
    let mut answer = Vec::new();
    let asked = line.write_all(&first_request()).and_then(|()| line.flush());
    let ended = asked.and_then(|()| line.read_to_end(&mut answer).map(drop));
    assert!(answer.is_empty(), "it was answered {} bytes", answer.len());
    let error = match ended {
        Ok(()) => return Heard::Nothing,
        Err(error) => error,
    };
    assert!(
        !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "it was left waiting"
    );
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => Heard::Tls(error.clone()),
        // The end came while it was still writing, or without TLS's own farewell.
        None => Heard::Nothing,
    }
}

/// That others are served while somebody is refused.
fn served(client: &mut Typed) {
    let metadata = client.ask(12, &MetadataRequest::default().with_topics(None));
    assert_eq!(metadata.brokers.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_site_is_served() {
    let (node, address) = start().await;
    let authority = authority(&node);
    let issued = client_of(&authority);
    // Not all clients know the newer one.
    for (version, topic) in [(&TLS13, "newer"), (&TLS12, "older")] {
        let line = open(address, &authority, Some(&issued), version);
        let mut client = Typed::over(Box::new(line));
        assert_eq!(client.ask(0, &ApiVersionsRequest::default()).error_code, 0);
        // What lies in a log comes whole through the cipher: many of its records.
        client.create(topic, 1, &[]);
        let value = "x".repeat(500_000);
        let batch = BatchSpec::of(&[("k", &value)], 1_700_000_000_000);
        assert_eq!(client.append(topic, &batch), 0);
        let found = client.fetch(&fetch(topic, 0, 0)).records.unwrap();
        assert!(found[61..] == batch.bytes()[61..], "{} bytes", found.len());
    }
    // So is another node of the site.
    let peer = authority.issue_node(NodeId(7), &[]).unwrap();
    served(&mut Typed::over(Box::new(open(address, &authority, Some(&peer), &TLS13))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_certificate_of_the_site_is_refused() {
    let (node, address) = start().await;
    let ours = authority(&node);
    let issued = client_of(&ours);
    let mut bystander = Typed::over(Box::new(open(address, &ours, Some(&issued), &TLS13)));
    // Another authority, though it calls itself by the same name.
    let other = Authority::create(node.site()).unwrap();
    let stranger = client_of(&other);
    for version in [&TLS12, &TLS13] {
        let told = refused(open(address, &ours, None, version));
        // TLS 1.2 has no word of its own for it.
        let words = [AlertDescription::CertificateRequired, AlertDescription::HandshakeFailure];
        let expected = words.map(|word| Heard::Tls(Error::AlertReceived(word)));
        assert!(expected.contains(&told), "no certificate: {told:?}");
        let told = refused(open(address, &ours, Some(&stranger), version));
        let words = [AlertDescription::UnknownCA, AlertDescription::DecryptError];
        let expected = words.map(|word| Heard::Tls(Error::AlertReceived(word)));
        assert!(expected.contains(&told), "another authority's: {told:?}");
        served(&mut bystander);
    }
    // The site's own, for another use.
    let remote = "hub".parse().unwrap();
    let link = ours.issue(&Role::Link { site: node.site().clone(), remote }).unwrap();
    assert_eq!(refused(open(address, &ours, Some(&link), &TLS13)), Heard::Nothing);
    served(&mut bystander);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_is_refused() {
    const ALERT: u8 = 21;
    let (node, address) = start().await;
    let ours = authority(&node);
    let mut plain = TcpStream::connect(address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(&first_request()).unwrap();
    let mut heard = Vec::new();
    match plain.read_to_end(&mut heard) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    // TLS may say that this is no TLS; nothing of Kafka's protocol comes.
    assert!(heard.is_empty() || heard[0] == ALERT, "{heard:?}");
    served(&mut Typed::over(Box::new(open(address, &ours, Some(&client_of(&ours)), &TLS13))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_authority_is_found_out_by_its_client() {
    let (_node, address) = start().await;
    let other = Authority::create(&"edge".parse().unwrap()).unwrap();
    let told = refused(open(address, &other, Some(&client_of(&other)), &TLS13));
    let Heard::Tls(Error::InvalidCertificate(why)) = told else { panic!("{told:?}") };
    assert!(
        matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature),
        "{why}"
    );
}
