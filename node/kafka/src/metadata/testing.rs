//! A node to ask, and answers as a client reads them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tidegate_broker::{Node, NodeConfig};
use tidegate_kafka_proto::fetch_session::{FetchSessions, SessionLimits};
use tidegate_kafka_proto::response::{self, ResponseBody};
use tidegate_kafka_proto::{Api, StrBytes, client, messages};
use tidegate_types::{ByteSize, NodeId, SiteName};
use tokio::sync::Semaphore;

use crate::{GatewayConfig, Shared, limits};

/// A node in a folder of its own.
pub(crate) struct TestNode {
    pub(crate) shared: Shared,
    _node: Node,
    _dir: tempfile::TempDir,
}

impl TestNode {
    pub(crate) async fn start() -> TestNode {
        let dir = tempfile::tempdir().unwrap();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = NodeConfig {
            data: dir.path().to_owned(),
            site: SiteName::new("here").unwrap(),
            node: NodeId(1),
            listen,
            names: Vec::new(),
            reserve: ByteSize::mib(1),
            groups: tidegate_group::Config::default(),
            plugins: Default::default(),
        };
        let node = Node::start(config).await.unwrap();
        let broker = node.broker().clone();
        let shared = Shared {
            host: "127.0.0.1".to_owned(),
            port: 9_092,
            cluster_id: super::cluster_id(&broker),
            memory: Arc::new(Semaphore::new(limits::REQUEST_MEMORY.as_usize())),
            sessions: Mutex::new(FetchSessions::new(SessionLimits::default())),
            config: GatewayConfig { listen, advertised: None, auto_create: true, partitions: 3 },
            broker,
        };
        TestNode { shared, _node: node, _dir: dir }
    }
}

/// Every version in which an API is answered.
pub(crate) fn versions(api: Api) -> impl Iterator<Item = i16> {
    (0..=i16::MAX).take_while(move |v| *v <= api.range().max).filter(move |v| api.serves(*v))
}

/// An answer as it arrives at the client.
pub(crate) fn arrives<B: ResponseBody>(version: i16, answer: &B) -> B {
    let mut frame = response::encode(version, 5, answer).unwrap();
    let (id, arrived) = client::decode_response(version, frame.split_off(4)).unwrap();
    assert_eq!(id, 5);
    arrived
}

pub(crate) fn name(name: &str) -> messages::TopicName {
    messages::TopicName(StrBytes::from_string(name.to_owned()))
}
