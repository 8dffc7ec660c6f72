//! Two endpoints in one process: who gets in, who does not and is told why, and what streams carry.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ClientConfig, Endpoint};
use tidegate_types::{NodeId, PartitionId, SiteName, limits};
use tidegate_wire::frame::FrameError;
use tidegate_wire::{
    ErrorCode, Hello, HelloReply, MAGIC, Open, ProduceBatch, Request, Response, VERSION,
};
use tokio::task::JoinHandle;

use super::*;
use crate::settings::Side;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn identity(authority: &Authority, role: &Role) -> Identity {
    let Issued { certificate, key } = authority.issue(role).unwrap();
    Identity { authority: authority.certificate_pem().to_owned(), certificate, key }
}

fn client_identity(authority: &Authority) -> Identity {
    identity(authority, &Role::Client { site: authority.site().clone(), name: "me".into() })
}

fn local_node() -> LocalNode {
    LocalNode { node: NodeId(3), site: site("hq"), software: "test/1".into() }
}

struct Server {
    authority: Authority,
    listener: Arc<Listener>,
    address: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let authority = Authority::create(&site("hq")).unwrap();
        let own = identity(&authority, &Role::Node { site: site("hq"), id: NodeId(3) });
        let listener = Listener::bind(LOCAL, &ServerTls::new(&own).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        Server { authority, listener: Arc::new(listener), address }
    }

    /// Establishes the next connection in the background.
    fn establish(&self) -> JoinHandle<Result<(Connection, Hello), AcceptError>> {
        let listener = self.listener.clone();
        tokio::spawn(async move { listener.accept().await.unwrap().establish(&local_node()).await })
    }

    async fn connect_as(&self, identity: &Identity) -> Result<(Connection, Welcome), ConnectError> {
        let tls = ClientTls::new(identity).unwrap();
        connect(&self.address.to_string(), tls, &ConnectOptions::default()).await
    }

    /// Both ends of one good connection.
    async fn pair(&self) -> (Connection, Connection) {
        let accepted = self.establish();
        let (client, _) = self.connect_as(&client_identity(&self.authority)).await.unwrap();
        let (server, _) = accepted.await.unwrap().unwrap();
        (client, server)
    }

    /// A QUIC connection that has not said hello.
    async fn bare(&self) -> quinn::Connection {
        let tls = ClientTls::new(&client_identity(&self.authority)).unwrap();
        let mut config = ClientConfig::new(tls.crypto);
        config.transport_config(settings::transport(
            Side::Client,
            LOCAL.ip(),
            settings::STREAM_WINDOW,
        ));
        let endpoint = Endpoint::client(LOCAL).unwrap();
        endpoint.connect_with(config, self.address, SERVER_NAME).unwrap().await.unwrap()
    }
}

#[tokio::test]
async fn both_ends_know_who_the_other_is() {
    let server = Server::start();
    for role in [
        Role::Client { site: site("hq"), name: "me".into() },
        Role::Node { site: site("hq"), id: NodeId(9) },
        Role::Link { site: site("hq"), remote: site("edge") },
    ] {
        let accepted = server.establish();
        let (connection, welcome) =
            server.connect_as(&identity(&server.authority, &role)).await.unwrap();
        assert_eq!(connection.role(), &Role::Node { site: site("hq"), id: NodeId(3) });
        assert_eq!((welcome.node, welcome.version), (NodeId(3), VERSION));
        assert_eq!(welcome.software, "test/1");
        let (peer, hello) = accepted.await.unwrap().unwrap();
        assert_eq!(peer.role(), &role);
        assert!(hello.software.starts_with("tidegate-transport/"));
    }
}

#[tokio::test]
async fn a_node_is_found_by_name_whichever_family_it_listens_on() {
    let server = Server::start();
    let accepted = server.establish();
    let tls = ClientTls::new(&client_identity(&server.authority)).unwrap();
    let address = format!("localhost:{}", server.address.port());
    connect(&address, tls, &ConnectOptions::default()).await.unwrap();
    accepted.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_and_told() {
    let server = Server::start();
    let stranger = Authority::create(&site("hq")).unwrap();
    // Trusts the server, but is not trusted by it.
    let mut identity = client_identity(&stranger);
    identity.authority = server.authority.certificate_pem().to_owned();
    let accepted = server.establish();
    let error = server.connect_as(&identity).await.unwrap_err();
    let ConnectError::NotAuthorized { source: Lost::Certificate { by, .. } } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*by, RefusedBy::Peer);
    assert!(!error.is_retriable());
    let refused = accepted.await.unwrap().unwrap_err();
    assert!(
        matches!(
            refused,
            AcceptError::Handshake { source: Lost::Certificate { by: RefusedBy::Us, .. } }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_talked_to() {
    let server = Server::start();
    let accepted = server.establish();
    let error = server.connect_as(&client_identity(&Authority::create(&site("hq")).unwrap())).await;
    let error = error.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::NotAuthorized { source: Lost::Certificate { by: RefusedBy::Us, .. } }
        ),
        "{error:?}"
    );
    assert!(accepted.await.unwrap().is_err());
}

#[tokio::test]
async fn a_clients_certificate_does_not_serve() {
    let authority = Authority::create(&site("hq")).unwrap();
    let own = client_identity(&authority);
    let listener = Listener::bind(LOCAL, &ServerTls::new(&own).unwrap()).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accept =
        tokio::spawn(
            async move { listener.accept().await.unwrap().establish(&local_node()).await },
        );
    let tls = ClientTls::new(&client_identity(&authority)).unwrap();
    let error = connect(&address, tls, &ConnectOptions::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotAuthorized { .. }), "{error:?}");
    assert!(accept.await.unwrap().is_err());
}

#[tokio::test]
async fn reloaded_certificates_hold_for_new_connections_and_spare_the_old() {
    let server = Server::start();
    let (old, _old_server_end) = server.pair().await;
    let other = Authority::create(&site("hq")).unwrap();
    let own = identity(&other, &Role::Node { site: site("hq"), id: NodeId(3) });
    server.listener.reload(&ServerTls::new(&own).unwrap());

    let accepted = server.establish();
    assert!(server.connect_as(&client_identity(&server.authority)).await.is_err());
    assert!(accepted.await.unwrap().is_err());
    let accepted = server.establish();
    server.connect_as(&client_identity(&other)).await.unwrap();
    accepted.await.unwrap().unwrap();
    assert_eq!(old.lost(), None);
}

#[tokio::test]
async fn another_protocol_is_told_so() {
    let server = Server::start();
    let accepted = server.establish();
    let tls = ClientTls::with_protocol(&client_identity(&server.authority), b"h3").unwrap();
    let address = server.address.to_string();
    let error = connect(&address, tls, &ConnectOptions::default()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Lost { source: Lost::OtherProtocol }), "{error:?}");
    assert!(!error.is_retriable());
    assert!(accepted.await.unwrap().is_err());
}

#[tokio::test]
async fn nobody_there_is_a_timeout_that_names_the_address() {
    let socket = std::net::UdpSocket::bind(LOCAL).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let authority = Authority::create(&site("hq")).unwrap();
    let tls = ClientTls::new(&client_identity(&authority)).unwrap();
    let options =
        ConnectOptions { timeout: Duration::from_millis(200), ..ConnectOptions::default() };
    let error = connect(&address, tls, &options).await.unwrap_err();
    assert!(error.is_retriable());
    let message = error.to_string();
    assert!(message.starts_with(&format!("no answer from {address} within 200 ms")), "{message}");
}

/// Sends `bytes` as the first stream of a connection; gives what the server made of it, and the
/// reason that it told.
async fn first_bytes(bytes: &[u8]) -> (AcceptError, Lost) {
    let server = Server::start();
    let accepted = server.establish();
    let connection = server.bare().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    let _ = send.finish();
    let error = accepted.await.unwrap().unwrap_err();
    (error, connection.closed().await.into())
}

#[tokio::test]
async fn garbage_instead_of_a_hello_is_cut_off_with_a_reason() {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0, 0, 0, 5, 0, 0, 0, 1, 99][..],
        &[0, 0, 0, 6, 0, 0, 0, 2, 3, 0][..],
        &[0, 0, 0, 2, 0, 0, 0, 0][..],
        &[0, 0][..],
        &[][..],
    ] {
        let (_, lost) = first_bytes(garbage).await;
        let Lost::Closed { code: CloseCode::BadFrame, reason } = &lost else {
            panic!("{garbage:?}: {lost:?}");
        };
        assert!(!reason.is_empty());
    }
}

#[tokio::test]
async fn a_length_over_the_limit_is_cut_off_at_once() {
    // Only the prefix is sent: the server must not wait for what it promises.
    let (error, lost) = first_bytes(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]).await;
    let AcceptError::Hello {
        source: OpenError::Recv { source: RecvError::Frame { source: FrameError::TooLong { len } } },
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(len, u32::MAX);
    assert!(lost.to_string().contains("over the limit of 64 MiB"), "{lost}");
}

#[tokio::test]
async fn a_hello_of_another_protocol_is_told_apart() {
    let hello = Open::Hello(Hello { magic: 1, version: 1, features: 0, software: String::new() });
    let bytes = tidegate_wire::frame::encode_header(&hello, 0).unwrap();
    let (error, lost) = first_bytes(&bytes).await;
    assert_eq!(error, AcceptError::Magic { magic: 1 });
    assert!(matches!(lost, Lost::Closed { code: CloseCode::BadFrame, .. }));
}

#[tokio::test]
async fn another_version_is_answered_with_the_one_spoken_here() {
    let server = Server::start();
    let accepted = server.establish();
    let connection = server.bare().await;
    let (send, recv) = connection.open_bi().await.unwrap();
    let (mut sender, mut receiver) = (FrameSender::new(send), FrameReceiver::new(recv));
    let hello = Hello { magic: MAGIC, version: 9, features: 0, software: "new/9".into() };
    sender.send(&Open::Hello(hello), &[]).await.unwrap();
    let (reply, _) = receiver.recv::<HelloReply>().await.unwrap().unwrap();
    let HelloReply::Refused(error) = reply else { panic!("{reply:?}") };
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert_eq!(error.message, "this node (test/1) speaks protocol version 1, not 9");
    assert_eq!(accepted.await.unwrap().unwrap_err(), AcceptError::Version { version: 9 });
    let lost = Lost::from(connection.closed().await);
    assert!(matches!(lost, Lost::Closed { code: CloseCode::UnsupportedVersion, .. }), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_nothing_is_cut_off() {
    let server = Server::start();
    let accepted = server.establish();
    let connection = server.bare().await;
    let begun = tokio::time::Instant::now();
    let error = accepted.await.unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::TooSlow), "{error:?}");
    assert!(begun.elapsed() <= limits::HELLO_TIMEOUT + Duration::from_secs(1));
    let lost = Lost::from(connection.closed().await);
    assert!(matches!(lost, Lost::Closed { code: CloseCode::TooSlow, .. }), "{lost:?}");
}

#[tokio::test]
async fn messages_and_payloads_arrive_whole_and_in_order() {
    let server = Server::start();
    let (client, peer) = server.pair().await;
    let sizes = [0, 1, 1_000, 70_000, 3 << 20];
    let payload = |size: usize| Bytes::from((0..size).map(|i| i as u8).collect::<Vec<_>>());

    let receive = tokio::spawn(async move {
        let opened = peer.accept_stream().await.unwrap().accept().await.unwrap();
        assert_eq!(opened.open, Open::Request(Request::Status));
        assert_eq!(&opened.payload[..], b"with the first");
        let mut receiver = opened.receiver;
        let mut sender = opened.sender;
        let mut got = Vec::new();
        while let Some((batch, payload)) = receiver.recv::<ProduceBatch>().await.unwrap() {
            got.push((batch.number, payload));
        }
        sender.send(&Response::Done, &[]).await.unwrap();
        sender.finish();
        (got, peer)
    });
    let (mut sender, mut receiver) = client
        .open(&Open::Request(Request::Status), &[Bytes::from_static(b"with the first")])
        .await
        .unwrap();
    for (number, size) in sizes.iter().enumerate() {
        let batch = ProduceBatch { number: number as u64, partition: PartitionId(0) };
        let whole = payload(*size);
        // In parts: what is sent back to back is one payload.
        let parts =
            [whole.slice(..size / 3), whole.slice(size / 3..size / 2), whole.slice(size / 2..)];
        sender.send(&batch, &parts).await.unwrap();
    }
    sender.finish();
    let (reply, _) = receiver.recv::<Response>().await.unwrap().unwrap();
    assert_eq!(reply, Response::Done);
    assert!(receiver.recv::<Response>().await.unwrap().is_none());

    let (got, _peer) = receive.await.unwrap();
    assert_eq!(got.len(), sizes.len());
    for (i, (number, bytes)) in got.into_iter().enumerate() {
        assert_eq!(number, i as u64);
        assert_eq!(bytes, payload(sizes[i]));
    }
}

#[tokio::test]
async fn receiving_may_be_interrupted_at_any_time() {
    let server = Server::start();
    let (client, peer) = server.pair().await;
    let payload = Bytes::from(vec![7; 2 << 20]);
    let sent = payload.clone();
    let send = tokio::spawn(async move {
        let (mut sender, _receiver) =
            client.open(&Open::Request(Request::Status), &[]).await.unwrap();
        for number in 0..8 {
            let batch = ProduceBatch { number, partition: PartitionId(0) };
            sender.send(&batch, std::slice::from_ref(&sent)).await.unwrap();
        }
        sender.finish();
        sender.closed().await.unwrap();
        client
    });
    let mut opened = peer.accept_stream().await.unwrap().accept().await.unwrap();
    let mut numbers = Vec::new();
    loop {
        let next = opened.receiver.recv::<ProduceBatch>();
        match tokio::time::timeout(Duration::from_micros(300), next).await {
            Err(_) => continue,
            Ok(received) => match received.unwrap() {
                Some((batch, bytes)) => {
                    assert_eq!(bytes, payload);
                    numbers.push(batch.number);
                }
                None => break,
            },
        }
    }
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
    send.await.unwrap();
}

#[tokio::test]
async fn a_send_that_was_interrupted_does_not_pass_for_a_whole_one() {
    let server = Server::start();
    let (client, peer) = server.pair().await;
    let (mut sender, _receiver) = client.open(&Open::Request(Request::Status), &[]).await.unwrap();
    let mut opened = peer.accept_stream().await.unwrap().accept().await.unwrap();
    // More than the windows hold, towards a peer that does not read.
    let huge = Bytes::from(vec![0; 60 << 20]);
    let batch = ProduceBatch { number: 0, partition: PartitionId(0) };
    let send = sender.send(&batch, std::slice::from_ref(&huge));
    assert!(tokio::time::timeout(Duration::from_millis(100), send).await.is_err());
    assert_eq!(sender.send(&batch, &[]).await, Err(SendError::Ended));
    drop(sender);
    let received = opened.receiver.recv::<ProduceBatch>().await;
    assert_eq!(received, Err(RecvError::Reset { code: CloseCode::Internal }));
}

#[tokio::test]
async fn a_stream_that_opens_with_garbage_ends_alone() {
    let server = Server::start();
    let accepted = server.establish();
    let bare = server.bare().await;
    let client = Connection::new(bare.clone()).unwrap();
    say_hello(&client, "x").await.unwrap();
    let (peer, _) = accepted.await.unwrap().unwrap();

    let (mut send, mut recv) = bare.open_bi().await.unwrap();
    send.write_all(b"\0\0\0\x05\0\0\0\x01\xff").await.unwrap();
    let error = peer.accept_stream().await.unwrap().accept().await.unwrap_err();
    assert!(matches!(error, OpenError::Recv { .. }), "{error:?}");
    let reset = recv.read_to_end(10).await.unwrap_err();
    assert!(reset.to_string().contains("reset"), "{reset}");

    let (_sender, _receiver) = client.open(&Open::Request(Request::Status), &[]).await.unwrap();
    let opened = peer.accept_stream().await.unwrap().accept().await.unwrap();
    assert_eq!(opened.open, Open::Request(Request::Status));
}

#[tokio::test]
async fn closing_tells_the_peer_why() {
    let server = Server::start();
    let (client, peer) = server.pair().await;
    let (_sender, mut receiver) = client.open(&Open::Request(Request::Status), &[]).await.unwrap();
    let waiting = tokio::spawn(async move { receiver.recv::<Response>().await });
    server.listener.close(CloseCode::ShuttingDown, "back soon");
    let lost = Lost::Closed { code: CloseCode::ShuttingDown, reason: "back soon".into() };
    assert_eq!(client.closed().await, lost);
    assert_eq!(waiting.await.unwrap(), Err(RecvError::Lost { source: lost.clone() }));
    assert_eq!(lost.to_string(), "the peer closed the connection (shutting down): back soon");
    assert_eq!(peer.closed().await, Lost::ClosedHere);
    assert!(server.listener.accept().await.is_none());
}

/// Runs a listener in a runtime of its own, so that it can be ended as a kill does: without a word.
fn listen_apart(own: &Identity, address: SocketAddr) -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let listener = Listener::bind(address, &ServerTls::new(own).unwrap()).unwrap();
    let bound = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let mut kept = Vec::new();
        while let Some(incoming) = listener.accept().await {
            kept.push(incoming.establish(&local_node()).await);
        }
    });
    drop(_inside);
    (runtime, bound)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_tells_its_peers_so_when_it_is_back() {
    let authority = Authority::create(&site("hq")).unwrap();
    let own = identity(&authority, &Role::Node { site: site("hq"), id: NodeId(3) });
    let (first, address) = listen_apart(&own, LOCAL);
    let tls = ClientTls::new(&client_identity(&authority)).unwrap();
    let options = ConnectOptions::default();
    let (connection, _) = connect(&address.to_string(), tls, &options).await.unwrap();

    first.shutdown_background();
    // The port is free once the last task of the killed listener is gone.
    let rebound = tokio::time::timeout(Duration::from_secs(10), async {
        while settings::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    rebound.await.unwrap();
    let (second, _) = listen_apart(&own, address);
    // Something to send, as peers have: without it the next sign of life would bring it out.
    let _stream = connection.open(&Open::Request(Request::Status), &[]).await;
    let lost = tokio::time::timeout(Duration::from_secs(10), connection.closed()).await;
    assert_eq!(lost.unwrap(), Lost::Restarted);
    second.shutdown_background();
}
