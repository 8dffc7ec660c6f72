//! A real node and callers that break the rules: each is told what is wrong, and cut off no further
//! than it must be, while another client goes on all the time.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod raw;

use std::net::UdpSocket;
use std::time::Duration;

use tidegate_client::{Client, ClientConfig, ConnectError, ConsumeError, ConsumerConfig};
use tidegate_client::{Identity, ProducerConfig, RequestError};
use tidegate_tests::{Load, Node, PATIENCE, Seed};
use tidegate_transport::{Authority, Role};
use tidegate_types::{Acks, LinkName, PartitionId, SiteName, TopicConfig, limits};
use tidegate_wire::{
    ErrorCode, Hello, HelloReply, MAGIC, MirrorReply, Open, OpenMirror, OpenProduce, ProduceBatch,
    ProduceReply, VERSION,
};

use raw::{PROTOCOL, Raw, alert, framed, message};

const BAD_FRAME: u64 = 2;
const UNSUPPORTED_VERSION: u64 = 3;
const TOO_SLOW: u64 = 5;

struct Site {
    node: Node,
    identity: Identity,
    others: Load,
}

impl Site {
    /// A node, and a producer that has nothing to do with what is done to it.
    async fn start() -> Site {
        let node = Node::start("hq").await;
        let client = node.client().await;
        client.create_topic("t".parse().unwrap(), TopicConfig::default(), false).await.unwrap();
        let others = Load::start(client, "t", 1, 0, Duration::from_millis(5));
        let identity = Identity::client_from_dir(&node.data().join("tls")).unwrap();
        Site { node, identity, others }
    }

    /// A connection with a good certificate that has not said hello.
    async fn silent(&self) -> Raw {
        let authority = &self.identity.authority;
        let connected =
            raw::connect(self.node.address(), authority, Some(&self.identity), PROTOCOL).await;
        connected.unwrap()
    }

    /// One that has.
    async fn welcomed(&self) -> Raw {
        let raw = self.silent().await;
        let (_sender, mut receiver) = raw.stream(&framed(&hello(VERSION))).await;
        let reply = message::<HelloReply>(&mut receiver).await;
        assert!(matches!(reply, HelloReply::Welcome { .. }), "{reply:?}");
        raw
    }

    async fn client_as(&self, identity: Identity) -> Result<Client, ConnectError> {
        Client::connect(ClientConfig::new(self.node.address().to_string(), identity)).await
    }

    /// The others go on: now, and to a good end.
    async fn unharmed(self) {
        self.others.progress(50).await;
        self.others.finish().await;
        self.node.client().await.status().await.unwrap();
    }
}

fn hello(version: u16) -> Open {
    Open::Hello(Hello { magic: MAGIC, version, features: 0, software: "test".to_owned() })
}

fn open_produce() -> Open {
    Open::Produce(OpenProduce { topic: "t".parse().unwrap(), acks: Acks::All, producer: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_instead_of_a_hello_is_told_so() {
    let site = Site::start().await;
    let mut rng = Seed::take("protocol garbage").rng(0);
    let random: Vec<u8> = (0..500).map(|_| rng.next_u64() as u8).collect();
    let oversized =
        [&(limits::MAX_FRAME.get() as u32 + 1).to_be_bytes()[..], &[0, 0, 0, 1]].concat();
    let out_of_place = framed(&open_produce());
    for (garbage, word) in [
        (&b"GET / HTTP/1.1\r\nHost: hq\r\n\r\n"[..], "limit"),
        (&random, ""),
        (&oversized, "over the limit of 64 MiB"),
        (&[0, 0, 0, 5, 0, 0, 0, 1, 99], "not the message"),
        (&out_of_place, ""),
    ] {
        let raw = site.silent().await;
        let (mut sender, _receiver) = raw.stream(garbage).await;
        _ = sender.finish();
        let (code, reason) = raw.closed().await;
        assert_eq!(code, BAD_FRAME, "{reason}");
        assert!(!reason.is_empty() && reason.contains(word), "{reason:?} lacks {word:?}");
    }
    site.unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_or_version_is_told_what_is_spoken_here() {
    let site = Site::start().await;
    let authority = &site.identity.authority;
    for protocol in [&b"h3"[..], b"tidegate/2"] {
        let address = site.node.address();
        let refused = raw::connect(address, authority, Some(&site.identity), protocol).await;
        let error = refused.err().unwrap();
        assert_eq!(alert(&error), Some(120), "no_application_protocol is due: {error}");
    }
    let raw = site.silent().await;
    let (_sender, mut receiver) = raw.stream(&framed(&hello(VERSION + 8))).await;
    let reply = message::<HelloReply>(&mut receiver).await;
    let HelloReply::Refused(error) = reply else { panic!("{reply:?}") };
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
    assert!(error.message.contains("version 1") && error.message.contains('9'), "{error}");
    assert_eq!(raw.closed().await.0, UNSUPPORTED_VERSION);
    site.unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_a_certificate_of_the_site_is_refused() {
    let site = Site::start().await;
    let authority = site.identity.authority.clone();
    // TLS 1.3: the client is done before the node has looked for a certificate.
    let error = match raw::connect(site.node.address(), &authority, None, PROTOCOL).await {
        Ok(raw) => raw.connection.closed().await,
        Err(error) => error,
    };
    assert_eq!(alert(&error), Some(116), "certificate_required is due: {error}");

    let name: SiteName = "hq".parse().unwrap();
    let stranger = Authority::create(&name).unwrap();
    let role = Role::Client { site: name, name: "admin".to_owned() };
    let issued = stranger.issue(&role).unwrap();
    let (certificate, key) = (issued.certificate, issued.key);
    let foreign = Identity { authority, certificate, key };
    let error = site.client_as(foreign.clone()).await.unwrap_err();
    let ConnectError::Dial(dial) = &error else { panic!("{error:?}") };
    assert!(matches!(dial, tidegate_transport::ConnectError::NotAuthorized { .. }), "{error:?}");
    // Nor is the node taken for one of the stranger's site.
    let authority = stranger.certificate_pem().to_owned();
    let distrusting = Identity { authority, ..site.identity.clone() };
    assert!(site.client_as(distrusting).await.is_err());
    site.unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_links_certificate_is_good_for_its_own_mirrors_only() {
    let site = Site::start().await;
    let invitation = site.node.client().await.invite_site("edge".parse().unwrap()).await.unwrap();
    let (certificate, key) = (invitation.certificate, invitation.key);
    let identity = Identity { authority: invitation.authority, certificate, key };
    let client = site.client_as(identity.clone()).await.unwrap();

    let request = client.status().await.unwrap_err();
    let RequestError::Refused(error) = request else { panic!("{request:?}") };
    assert_eq!(error.code, ErrorCode::NotAuthorized, "{error:?}");
    let produced = async {
        let config = ProducerConfig { idempotent: false, ..ProducerConfig::default() };
        let producer = client.producer("t".parse().unwrap(), config).await.map_err(debug)?;
        let record = tidegate_client::ProducerRecord::new("not mine");
        producer.send(record).await.map_err(debug)?.await.map_err(debug)
    };
    let refused = tokio::time::timeout(PATIENCE, produced).await.unwrap().unwrap_err();
    assert!(refused.contains("NotAuthorized"), "{refused}");
    let consumed = async {
        let mut consumer = client
            .consumer("t".parse().unwrap(), ConsumerConfig::default())
            .await
            .map_err(debug)?;
        match consumer.next().await {
            Some(Err(error @ ConsumeError::Refused { .. })) => Err(debug(error)),
            other => Ok(format!("{other:?}")),
        }
    };
    let refused = tokio::time::timeout(PATIENCE, consumed).await.unwrap().unwrap_err();
    assert!(refused.contains("NotAuthorized"), "{refused}");

    let authority = identity.authority.clone();
    let raw =
        raw::connect(site.node.address(), &authority, Some(&identity), PROTOCOL).await.unwrap();
    let (_hello, mut answer) = raw.stream(&framed(&hello(VERSION))).await;
    message::<HelloReply>(&mut answer).await;
    let open = Open::Mirror(OpenMirror {
        link: LinkName::new("up").unwrap(),
        site: "another".parse().unwrap(),
        topics: Vec::new(),
    });
    let (_sender, mut receiver) = raw.stream(&framed(&open)).await;
    let reply = message::<MirrorReply>(&mut receiver).await;
    let MirrorReply::Failed(error) = reply else { panic!("{reply:?}") };
    assert_eq!(error.code, ErrorCode::NotAuthorized, "{error:?}");
    site.unharmed().await;
}

fn debug(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_stream_ends_alone() {
    let site = Site::start().await;
    let raw = site.welcomed().await;
    let oversized = [&u32::MAX.to_be_bytes()[..], &[0, 0, 0, 1]].concat();
    let batch = framed(&ProduceBatch { number: 0, partition: PartitionId(0) });
    let skipped = framed(&ProduceBatch { number: 7, partition: PartitionId(0) });
    for (bytes, code) in [
        (oversized, ErrorCode::BadFrame),
        (vec![0, 0, 0, 9, 0, 0, 0, 5, 1, 1, 1, 1, 1], ErrorCode::BadFrame),
        (skipped, ErrorCode::BadFrame),
        (batch, ErrorCode::InvalidRecord),
    ] {
        let (mut sender, mut receiver) = raw.stream(&framed(&open_produce())).await;
        let ready = message::<ProduceReply>(&mut receiver).await;
        assert!(matches!(ready, ProduceReply::Ready { .. }), "{ready:?}");
        sender.write_all(&bytes).await.unwrap();
        let reply = message::<ProduceReply>(&mut receiver).await;
        let (ProduceReply::Failed(error) | ProduceReply::Refused { error, .. }) = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(error.code, code, "{error:?}");
    }
    // The same connection is still good.
    let (_sender, mut receiver) = raw.stream(&framed(&open_produce())).await;
    let ready = message::<ProduceReply>(&mut receiver).await;
    assert!(matches!(ready, ProduceReply::Ready { .. }), "{ready:?}");
    site.unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_floods_of_datagrams_do_not_stop_the_others() {
    let mut rng = Seed::take("protocol flood").rng(0);
    let site = Site::start().await;
    let silent = site.silent().await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..5_000u32 {
        let datagram: Vec<u8> = (0..rng.below(1_400)).map(|_| rng.next_u64() as u8).collect();
        // Every second one looks like a first QUIC packet.
        let begin: &[u8] = if round % 2 == 0 { &[0xc3, 0, 0, 0, 1] } else { &[] };
        _ = socket.send_to(&[begin, &datagram].concat(), site.node.address());
        if round % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    site.others.progress(50).await;
    let (code, reason) = tokio::time::timeout(PATIENCE, silent.closed()).await.unwrap();
    assert_eq!(code, TOO_SLOW, "{reason}");
    site.unharmed().await;
}
